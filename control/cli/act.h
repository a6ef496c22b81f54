/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/act.h: the way every acting command goes: plan, yes, do. */
#ifndef HOLDFAST_CONTROL_CLI_ACT_H
#define HOLDFAST_CONTROL_CLI_ACT_H

#include "control/cli/cli.h"

/* Takes the request. *answer_out is the answer to print for people, or NULL: after an error, a dry
 * run, a no, or when it was printed as JSON. Returns the exit code. */
must_check int act(struct cli *cli, const struct args *args, const char *verb, json_t *request,
                   json_t **answer_out);
void act_print_released(const json_t *answer);

#endif
