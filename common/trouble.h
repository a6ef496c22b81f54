/* SPDX-License-Identifier: BSD-3-Clause */
/* common/trouble.h: what went wrong, as a chain: from what was asked down to what the system said.
 *
 *     /var/spool/holdfast: reading the checkpoint: ckpt-0000000012: its header is damaged
 *     └ the caller added   └ the caller added      └ where the error was seen first
 *
 * The function that sees an error first begins the chain, and returns the error code. Each caller
 * on the way up may add what it was doing. The code that talks to a person prints the text.
 *
 * Promise: the text always says where and what, is one line, and fits. When there is no room, the
 *          outer parts are left out: what the system said stays.
 * Trap:    a chain belongs to one error code. When a caller passes another code, trouble_add and
 *          trouble_text discard the old chain and begin a new one.
 */
#ifndef HOLDFAST_COMMON_TROUBLE_H
#define HOLDFAST_COMMON_TROUBLE_H

#include "common/assert.h"

enum { TROUBLE_TEXT_SIZE = 480 };

struct trouble {
    int error; /* -errno; 0: nothing is known to be wrong */
    char text[TROUBLE_TEXT_SIZE];
};

/* What an error (-errno) means to a person. EBADMSG means "damaged" in this program. */
const char *trouble_meaning(int error);

/* The next three return `error`, and do nothing else when t is NULL. */

/* Begins a chain: "WHERE: what the system said". */
__attribute__((format(printf, 3, 4))) int trouble_begin(struct trouble *t, int error,
                                                        const char *where, ...);
/* Begins a chain in the caller's words, where the system's words would mislead. */
__attribute__((format(printf, 3, 4))) int trouble_say(struct trouble *t, int error,
                                                      const char *words, ...);
/* Puts "WHAT: " before the chain of that error. */
__attribute__((format(printf, 3, 4))) int trouble_add(struct trouble *t, int error,
                                                      const char *what, ...);

/* The chain of that error, or what the error means when there is no chain, or no t. */
const char *trouble_text(const struct trouble *t, int error);

#endif
