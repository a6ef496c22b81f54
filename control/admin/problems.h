/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/problems.h: the problems that an operator has to know, worst first, each with what
 * to do. */
#ifndef HOLDFAST_CONTROL_ADMIN_PROBLEMS_H
#define HOLDFAST_CONTROL_ADMIN_PROBLEMS_H

#include "control/admin/admin.h"

struct problems_sums {
    struct tally state[DELIVERY_STATE_COUNT];
    uint64_t frozen_rcpts;
};

void problems_sum(const struct control *control, struct problems_sums *out);
bool problems_has_mail(const struct route *route);
/* A new array of {"what","level","text","do"}. *level_out: 2: mail is not accepted, or is damaged;
 * 1: something waits for a person; 0: nothing is wrong. */
json_t *problems_list(const struct control *control, const struct problems_sums *sums,
                      int *level_out);

#endif
