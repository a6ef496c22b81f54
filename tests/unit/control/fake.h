/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/fake.h: a fake dataplane. It writes real logs in a temporary folder, uses a
 * real pair of rings in memory, and does what the test says.
 *
 * `deaf` entries get a number but never reach the ring, as when the ring is full.
 */
#ifndef HOLDFAST_TESTS_UNIT_CONTROL_FAKE_H
#define HOLDFAST_TESTS_UNIT_CONTROL_FAKE_H

#include "control/control.h"

#include "common/id.h"
#include "common/outcome.h"
#include "spool/spool.h"

#include <criterion/criterion.h>

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
    bool unpublished; /* the region's durable positions are not updated */
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

/* An empty spool and database, and a configuration of three routes: r1 → h1, r2 → h2, r3 → h1, h2.
 * Control has started and recovered; it is not attached. */
struct fake *fake_create(void);
void fake_destroy(struct fake *f);
/* Loads another configuration. It is in force when this returns 0. */
int fake_reload(struct fake *f, struct config *config);
/* Control ends and starts again on the same folder and database. `clean`: with a checkpoint. */
void fake_restart_control(struct fake *f, bool clean);
/* The same, but its reading of the spool has only begun: control_turn and control_work go on. */
void fake_begin_control(struct fake *f, bool clean);
/* Makes fresh rings, with a HELLO and the deliveries in flight. */
void fake_attach(struct fake *f, const uint64_t *in_flight, uint32_t count);
/* Makes only the rings, for a test that sends HELLO itself. */
void fake_rings(struct fake *f);
void fake_put(struct fake *f, struct abi_up up);

struct fake_mail {
    const char *sender;
    uint32_t count;
    uint32_t route[8]; /* ids, per recipient */
    const char *rcpt[8];
    size_t padding; /* bytes of body */
};
/* Makes a message that is durable and told to control. Returns its id. */
uint64_t fake_mail(struct fake *f, const struct fake_mail *mail);
/* Makes a message with one recipient on that route. */
uint64_t fake_simple(struct fake *f, uint32_t route);
/* Begins a message in two records. fake_split_end writes the second, and sends no COMMIT. What
 * comes between may fill segments. Returns the position of the first. */
uint64_t fake_split_begin(struct fake *f, uint32_t route, struct spool_txn *txn);
void fake_split_end(struct fake *f, struct spool_txn *txn);
/* Makes a state record that is durable and told to control. The recipients are a mask. */
void fake_state(struct fake *f, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
                uint64_t rcpts, uint16_t flags, const char *text);
void fake_attempt(struct fake *f, uint64_t id, enum outcome outcome, uint16_t flags);
/* Damages the message log: a bit in the payload of the record at that position, both copies of a
 * segment's header, or a whole file, which is removed. */
void fake_damage_record(struct fake *f, uint64_t pos);
void fake_damage_header(struct fake *f, uint64_t seq);
void fake_remove_segment(struct fake *f, uint64_t seq);
/* Moves the clock by ms, then turns control until it rests. Takes what it sent. */
void fake_turn(struct fake *f, uint64_t ms);
void fake_forget_sent(struct fake *f);
/* True when it was sent since the last fake_forget_sent. */
bool fake_was_sent(const struct fake *f, uint64_t id);
uint32_t fake_times_sent(const struct fake *f, uint64_t id);

/* Sends {"v":1,"cmd":cmd,...}, JSON text with ' for ". Returns the answer. */
json_t *fake_admin(struct fake *f, const char *request);
/* A number of status's answer, e.g. "waiting" of the totals. */
json_int_t fake_total(struct fake *f, const char *key);
/* A number of that answer; 0 when it has none of that name. */
json_int_t fake_number(const json_t *answer, const char *key);
bool fake_ok(json_t *answer);
/* The "state" of one delivery, as list shows it; "" when it is not listed. */
const char *fake_state_of(struct fake *f, uint64_t id, char out[32]);

/* A suite of which each test begins with a fake `f` that is attached and at rest. */
#define FAKE_SUITE(suite)                                                                          \
    static struct fake *f;                                                                         \
    static void set_up(void)                                                                       \
    {                                                                                              \
        f = fake_create();                                                                         \
        fake_attach(f, NULL, 0);                                                                   \
        fake_turn(f, 0);                                                                           \
    }                                                                                              \
    static void tear_down(void)                                                                    \
    {                                                                                              \
        fake_destroy(f);                                                                           \
    }                                                                                              \
    TestSuite(suite, .init = set_up, .fini = tear_down)

#endif
