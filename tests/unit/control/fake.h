/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/fake.h: a dataplane that is not there: it writes the real logs in a temporary
 * folder, speaks through a real ring pair in memory, and does what a test tells it.
 *
 * `deaf` entries take their number but never reach the ring: what a full ring does.
 */
#ifndef HOLDFAST_TESTS_UNIT_CONTROL_FAKE_H
#define HOLDFAST_TESTS_UNIT_CONTROL_FAKE_H

#include "control/control.h"

#include "common/id.h"
#include "common/outcome.h"
#include "spool/spool.h"

enum { FAKE_ROUTES = 3, FAKE_HOPS = 3, FAKE_DELIVERS_MAX = 4096 };

struct fake {
    char dir[64];
    struct spool_io *writer_io;
    struct spool_io *control_io;
    struct spool_writer *writer;
    struct config *config;
    sqlite3 *db;
    struct control *control;
    struct control_time time;

    struct abi_attach *region;
    struct ring_end up;
    struct ring_end down;
    uint64_t number;
    bool deaf;
    bool unpublished; /* the durable positions of the region stay as they are */
    bool old_policy;  /* the dataplane adopts no policy */
    uint64_t counter; /* of message ids */
    uint64_t last_state_pos;
    uint64_t last_commit_pos;
    uint32_t credits;

    /* what control sent down, and has not been forgotten */
    struct abi_down deliver[FAKE_DELIVERS_MAX];
    uint32_t deliver_count;
    struct abi_down state[64];
    uint32_t state_count;
    uint64_t recycle[64];
    uint64_t recycle_seen[64];
    uint32_t recycle_count;
    uint64_t state_recycle;
    uint64_t fence;
    int recovered; /* of the last start: 1, or -errno */
    struct config *next_config;
    bool reload_over;
    int reload_error;
    bool echo; /* fences and state commands are answered at once */
};

/* An empty spool and database, a configuration of three routes: r1 → h1, r2 → h2, r3 → h1, h2.
 * Control is created and recovered, not attached. */
struct fake *fake_create(void);
void fake_destroy(struct fake *f);
/* Another configuration, in force when this returns 0. */
int fake_reload(struct fake *f, struct config *config);
/* Control dies and starts again on the same folder and database. `clean`: with a checkpoint. */
void fake_restart_control(struct fake *f, bool clean);
/* Fresh rings and HELLO with those in flight. */
void fake_attach(struct fake *f, const uint64_t *in_flight, uint32_t count);
/* Only the rings, for a test that says HELLO itself. */
void fake_rings(struct fake *f);
void fake_put(struct fake *f, struct abi_up up);

struct fake_mail {
    const char *sender;
    uint32_t count;
    uint32_t route[8]; /* ids, per recipient */
    const char *rcpt[8];
    size_t padding; /* bytes of body */
};
/* Durable and told; returns the message's id. */
uint64_t fake_mail(struct fake *f, const struct fake_mail *mail);
/* One recipient on that route. */
uint64_t fake_simple(struct fake *f, uint32_t route);
/* A message in two records, the second (and COMMIT, untold) by fake_split_end: what comes between
 * may fill segments. Returns the position of the first. */
uint64_t fake_split_begin(struct fake *f, uint32_t route, struct spool_txn *txn);
void fake_split_end(struct fake *f, struct spool_txn *txn);
/* A state record, durable and told. Recipients as a mask. */
void fake_state(struct fake *f, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
                uint64_t rcpts, uint16_t flags, const char *text);
void fake_attempt(struct fake *f, uint64_t id, enum outcome outcome, uint16_t flags);
/* A bit of the message log is not what it was: in the payload of the record at that position, or
 * in both copies of a segment's header; or its whole file is gone. */
void fake_damage_record(struct fake *f, uint64_t pos);
void fake_damage_header(struct fake *f, uint64_t seq);
void fake_remove_segment(struct fake *f, uint64_t seq);
/* Turns control until it rests, moving the clock by ms first; takes what it sent. */
void fake_turn(struct fake *f, uint64_t ms);
void fake_forget_sent(struct fake *f);
/* Sent since the last fake_forget_sent? */
bool fake_was_sent(const struct fake *f, uint64_t id);
uint32_t fake_times_sent(const struct fake *f, uint64_t id);

/* {"v":1,"cmd":cmd,...} as JSON text with ' for ". Returns the answer. */
json_t *fake_admin(struct fake *f, const char *request);
/* A number of the answer to status, e.g. "waiting" of totals. */
json_int_t fake_total(struct fake *f, const char *key);
bool fake_ok(json_t *answer);
/* "state" of one delivery, as list shows it; "" when it is not there. */
const char *fake_state_of(struct fake *f, uint64_t id, char out[32]);

#endif
