/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/hold.c: see hold.h. */
#include "tests/sim/hold.h"

#include "common/assert.h"
#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Frames of a delivery that just ended may still be under way. */
static const uint64_t grace_ns = UINT64_C(1000000000);

struct hold_book *hold_book_create(void)
{
    struct hold_book *book = calloc(1, sizeof *book);
    assert(book != NULL);
    for (int i = 0; i < HOLD_BOOK_MAX; i++) {
        book->hold[i].kind = HOLD_KIND_COUNT; /* free */
    }
    return book;
}

struct hold *hold_take(struct hold_book *book, enum hold_kind kind, uint32_t arg)
{
    for (int i = 0; i < HOLD_BOOK_MAX; i++) {
        struct hold *hold = &book->hold[i];
        if (hold->kind == HOLD_KIND_COUNT) {
            hold->kind = kind;
            hold->arg = arg;
            return hold;
        }
    }
    return NULL;
}

void hold_begin(struct hold *hold)
{
    assert(hold->kind != HOLD_KIND_COUNT && !hold->active);
    memset(hold->exempt, 0, sizeof hold->exempt);
    hold->since_ns = hold->looked_ns = trace.now_ns;
    hold->active = true;
}

void hold_end(struct hold *hold)
{
    hold->active = false;
    hold->kind = HOLD_KIND_COUNT;
}

const char *hold_term(const struct hold *hold, char out[64])
{
    switch (hold->kind) {
    case HOLD_ALL:
    case HOLD_KIND_COUNT:
        snprintf(out, 64, "all");
        break;
    case HOLD_ROUTE:
        snprintf(out, 64, "route=route%" PRIu32, hold->arg);
        break;
    case HOLD_DOMAIN:
        snprintf(out, 64, "domain=D%" PRIu32 ".test", hold->arg);
        break;
    case HOLD_RCPT:
        snprintf(out, 64, "rcpt=r%" PRIu32 ".*", hold->arg);
        break;
    case HOLD_NULL_SENDER:
        snprintf(out, 64, "sender=<>");
        break;
    case HOLD_SENDER:
        snprintf(out, 64, "sender=s%" PRIu32 "*", hold->arg);
        break;
    case HOLD_AGE:
        snprintf(out, 64, "age>%" PRIu32 "s", hold->arg);
        break;
    }
    return out;
}

/* For a hold by age: true when the delivery began after the mail was old enough, as last looked
 * at. */
static bool matches(const struct hold *hold, const struct mail *mail, uint32_t rcpt,
                    uint64_t heard_ns)
{
    char text[16];
    switch (hold->kind) {
    case HOLD_ALL:
        return true;
    case HOLD_ROUTE:
    case HOLD_DOMAIN:
        return mail->rcpt[rcpt].route == hold->arg;
    case HOLD_RCPT:
        return rcpt == hold->arg;
    case HOLD_NULL_SENDER:
        return mail->sender[0] == '\0';
    case HOLD_SENDER:
        snprintf(text, sizeof text, "s%" PRIu32, hold->arg);
        return strncmp(mail->sender, text, strlen(text)) == 0;
    case HOLD_AGE:
        return mail->state == MAIL_ACCEPTED && heard_ns < hold->looked_ns + grace_ns &&
               heard_ns > mail->accepted_ns + hold->arg * UINT64_C(1000000000) + grace_ns;
    case HOLD_KIND_COUNT:
        break;
    }
    return false;
}

void hold_check(const struct hold_book *book, const struct mail *mail, uint32_t rcpt,
                uint64_t heard_ns)
{
    if (mail->rotten) {
        return; /* nobody can read whose it is, so nobody could tell that it was in flight */
    }
    for (int i = 0; i < HOLD_BOOK_MAX; i++) {
        const struct hold *hold = &book->hold[i];
        bool bound = hold->active && heard_ns > hold->since_ns + grace_ns &&
                     (hold->exempt[mail->id - 1] >> rcpt & 1) == 0;
        if (bound && matches(hold, mail, rcpt, heard_ns)) {
            char term[64];
            trace_break(BREACH_HELD,
                        "mail %" PRIu32 " for %s delivered, but %s is held since %.6f s", mail->id,
                        mail->rcpt[rcpt].address, hold_term(hold, term),
                        (double)hold->since_ns / 1e9);
        }
    }
}
