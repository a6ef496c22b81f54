/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/restore.h: before a release is planned: mail whose envelope could not be read is
 * read again. A dry run does so as well: the mail stays frozen, and its plan is the true one. All
 * such mail is read, whatever is selected: nobody knows yet which selection means it.
 *
 *   what is frozen and unreadable ─▶ a lane reads the envelope ─▶ its true deliveries, frozen
 *
 * Promise: what can be read now is ordinary frozen mail when the release looks for what it means.
 *          What still cannot be read stays as it is. Without such mail this costs nothing.
 */
#ifndef HOLDFAST_CONTROL_ADMIN_RESTORE_H
#define HOLDFAST_CONTROL_ADMIN_RESTORE_H

#include "control/admin/sieve.h"

enum { RESTORE_BATCH = 64 };

struct restore_item {
    uint64_t id;
    uint64_t first_pos;
    uint8_t *encoded; /* NULL: it cannot be read */
    size_t len;
};

struct restore {
    struct work work;
    struct job *job;
    struct sieve sieve;
    bool found; /* the sieve is at its end */
    bool any;   /* some mail could be read again */
    struct restore_item *item;
    size_t count;
    size_t capacity;
    size_t at;    /* the first that was not read yet */
    size_t batch; /* how many of them the lane has */
};

void restore_init(struct restore *restore, struct job *job);
/* true: all were tried. false: call it again in the next turn in which the job is not under way. */
must_check bool restore_step(struct restore *restore, struct control *control);
/* After a restore that found any: the checkpoint that it asked for has ended; saver.error says how.
 * Before that nothing of it must be released: after a kill the last checkpoint would call it
 * unreadable, and the records of its release and of its delivery would mean nothing. */
must_check bool restore_is_saved(const struct control *control);
void restore_fini(struct restore *restore);

#endif
