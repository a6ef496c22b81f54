/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/known.h: what control's last checkpoint says about deliveries. A spool that is read
 * from its files alone needs it for deliveries whose state records are gone. */
#ifndef HOLDFAST_CONTROL_CLI_KNOWN_H
#define HOLDFAST_CONTROL_CLI_KNOWN_H

#include "spool/tool.h"

struct known;

/* Loads the newest good checkpoint. Returns NULL when there is none: *error_out is then 0 when no
 * checkpoint was ever made, or -errno. */
struct known *known_load(struct spool_io *io, int *error_out);
void known_free(struct known *known);
/* spool_tool_hint_fn; ctx is a struct known. */
bool known_ask(void *ctx, uint64_t id, uint64_t commit_pos, struct spool_tool_hint *hint_out);

#endif
