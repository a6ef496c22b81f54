/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/act.h: what every acting command does: show the plan, ask, act. */
#ifndef HOLDFAST_CONTROL_CLI_ACT_H
#define HOLDFAST_CONTROL_CLI_ACT_H

#include "control/cli/cli.h"

/* Takes the request over. *answer_out is the answer, to be printed for people. It is NULL after an
 * error, a dry run or a no, and when the answer was printed as JSON. Returns the exit code. */
must_check int act_request(struct cli *cli, const struct args *args, const char *verb,
                           json_t *request, json_t **answer_out);
void act_print_released(const json_t *answer);

#endif
