/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/mail.h: the ledger: every message that a client outside made, how it was answered, and
 * every copy that a next hop took. All invariants about mail are checked here.
 *
 *   DRAFT ──end of data sent──▶ SENT ──250──▶ ACCEPTED      must arrive
 *     │                           ├──451, 452, 5xx──▶ REFUSED   must not arrive any more
 *     │                           └──421 or no answer: stays SENT, may arrive
 *     └── anything before ──▶ must not arrive
 *
 * Promise: a body is compared byte for byte; a copy is matched by what it says, never by time.
 * Trap:    a recipient that was refused to the client must never get the message, even if others
 *          were accepted.
 */
#ifndef HOLDFAST_TESTS_SIM_MAIL_H
#define HOLDFAST_TESTS_SIM_MAIL_H

#include "common/bytes.h"
#include "tests/sim/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MAIL_RCPTS_MAX = 6,
    MAIL_ADDRESS_SIZE = 64,
    MAIL_COUNT_MAX = 20000,
    MAIL_COPIES_MAX = 200000,
    MAIL_CRASHES_MAX = 1024,
    MAIL_ROUTES_MAX = 4,
    MAIL_ROUTE_NOWHERE = 255, /* an address nobody relays for */
};

enum mail_state {
    MAIL_DRAFT,
    MAIL_SENT,
    MAIL_ACCEPTED,
    MAIL_REFUSED,
};

enum mail_rcpt_state {
    MAIL_RCPT_UNKNOWN,
    MAIL_RCPT_ACCEPTED,
    MAIL_RCPT_REFUSED,
};

struct mail_rcpt {
    char address[MAIL_ADDRESS_SIZE];
    uint8_t route;
    enum mail_rcpt_state state;
    uint32_t copies;
    uint32_t last_copy; /* index into the ledger's copies */
};

struct mail {
    uint32_t id;
    enum mail_state state;
    bool eight_bit;
    bool smuggles;                  /* has bare line feeds: must be refused with 5xx */
    bool unfinished;                /* does not end in CRLF: only with BDAT */
    bool loops;                     /* has too many Received fields: waits for a release */
    bool pardoned;                  /* its release was asked for */
    bool rotten;                    /* its bytes on the disk were damaged */
    uint64_t rotten_pos;            /* the record with the damaged bytes */
    bool rot_found;                 /* a scan of the files finds the damage */
    char sender[MAIL_ADDRESS_SIZE]; /* empty: the null sender */
    uint32_t rcpt_count;
    struct mail_rcpt rcpt[MAIL_RCPTS_MAX];
    uint8_t *body;
    size_t body_len;
    uint64_t sent_ns;
    uint64_t accepted_ns;
};

/* A copy of a message that a hop took for one recipient. */
struct mail_copy {
    uint32_t mail;
    uint8_t rcpt;
    bool lost; /* the hop's answer was not sent, or not acknowledged at the connection's end */
    bool one_of_many;  /* LMTP: its outcome is reported with the message's last answer */
    uint64_t begun_ns; /* the transaction */
    uint64_t taken_ns;
    uint64_t acked_ns; /* when the relay's TCP had the 2xx; 0: not known */
};

struct hold_book;

struct mail_ledger {
    struct rng rng;
    uint32_t route_count;
    uint32_t route_hops[MAIL_ROUTES_MAX]; /* a bit for each hop that may take its mail */
    uint32_t large_percent;               /* messages of more than a buffer */
    uint32_t huge_percent;                /* of several records */
    uint32_t loop_percent;
    uint32_t rotten_count;
    struct hold_book *holds;
    struct mail *mail; /* by id - 1 */
    uint32_t mail_count;
    struct mail_copy *copy;
    uint32_t copy_count;
    uint64_t crash_ns[MAIL_CRASHES_MAX]; /* of the dataplane */
    uint32_t crash_count;
    uint64_t dot_timeout_ns;
    uint32_t accepted_count;
    uint32_t duplicate_count;
};

struct mail_ledger *mail_ledger_create(uint64_t seed);
/* Makes a message of random size and recipients. Pointers to mails stay valid. */
struct mail *mail_make(struct mail_ledger *ledger, bool bdat);
void mail_set_state(struct mail_ledger *ledger, struct mail *mail, enum mail_state state);
/* The dataplane died now. */
void mail_note_crash(struct mail_ledger *ledger);

struct mail_transaction {
    struct bytes sender;
    uint32_t rcpt_count;
    struct bytes rcpt[MAIL_RCPTS_MAX];
    struct bytes body;
};

/* A hop has read a whole message: checks that a client sent exactly this, to these recipients, over
 * this hop. Returns its id; 0: it is wrong, and reported. */
uint32_t mail_check(struct mail_ledger *ledger, uint32_t hop, const struct mail_transaction *t);
/* The hop takes it for this recipient of the checked transaction, which began at begun_ns; the
 * network brought its last octets at heard_ns. Returns the copy. */
uint32_t mail_take(struct mail_ledger *ledger, uint32_t id, struct bytes rcpt, uint64_t begun_ns,
                   uint64_t heard_ns);
/* Finds the message and the recipient of an address. false: there is none. */
bool mail_find_address(struct mail_ledger *ledger, const char *address, struct mail **mail_out,
                       uint32_t *rcpt_out);
/* Frozen mail was released: looping mail may be sent once more. */
void mail_pardon_loops(struct mail_ledger *ledger);
/* Says what happened to the hop's 2xx: it arrived, or it cannot arrive any more. The first call
 * counts. */
void mail_copy_acked(struct mail_ledger *ledger, uint32_t copy);
void mail_copy_one_of_many(struct mail_ledger *ledger, uint32_t copy);
void mail_copy_lost(struct mail_ledger *ledger, uint32_t copy);
/* True for an accepted recipient of an accepted message of which no hop has a copy, while its bytes
 * are good. */
bool mail_is_missing(const struct mail *mail, uint32_t rcpt);
/* How many of them there are. */
uint32_t mail_missing(const struct mail_ledger *ledger);
/* At the end: reports every accepted recipient without a copy as lost. */
void mail_report_missing(const struct mail_ledger *ledger);

#endif
