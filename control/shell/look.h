/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/look.h: reading one envelope or one reply, in a lane. */
#ifndef HOLDFAST_CONTROL_SHELL_LOOK_H
#define HOLDFAST_CONTROL_SHELL_LOOK_H

#include "common/bytes.h"
#include "common/envelope.h"
#include "control/shell/works.h"

/* Reads the encoded envelope of that message, borrowed until the lane's next read. 0; -EBADMSG: it
 * cannot be read; -errno: it cannot be read now. */
must_check int look_envelope(struct work_tools *tools, uint64_t id, uint64_t first_pos,
                             struct bytes *encoded_out);
/* Reads a reply from its state record, or else from the store, and cleans it. Returns its length, 0
 * without one. */
size_t look_reply(struct work_tools *tools, uint64_t state_pos, char *out, size_t out_size);

#endif
