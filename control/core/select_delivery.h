/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/select_delivery.h: selections asked of a delivery in the index; reads its envelope
 * from the spool when a term needs it. */
#ifndef HOLDFAST_CONTROL_CORE_SELECT_DELIVERY_H
#define HOLDFAST_CONTROL_CORE_SELECT_DELIVERY_H

#include "control/core/select.h"

struct control;
struct delivery;

/* What select_match answers when the envelope was needed and the spool did not give it. */
#define SELECT_UNREADABLE SELECT_NEED_ENVELOPE

/* `mask_out` (may be NULL): the recipients, not yet delivered, that are meant. */
enum select_verdict select_match(struct control *c, const struct select *select,
                                 const struct delivery *d, struct rcptset *mask_out);

#endif
