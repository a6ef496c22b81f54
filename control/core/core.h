/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/core.h: what the files of control's core share: the delivery, the route, the hop,
 * and the whole they hang from.
 *
 *   route ── all ──▶ deliveries in order of arrival
 *      │  └─ ready ─▶ those due now
 *      └─ hop[] in order of preference ──▶ breaker, window, in_flight
 *   heap   deliveries that wait for a time
 *   flights  what was sent down and not heard of yet
 *
 * Trap:    a delivery is changed only between delivery_lift and delivery_settle, which take it out
 *          of the queues and the sums, and put it back where it now belongs (index.h).
 */
#ifndef HOLDFAST_CONTROL_CORE_CORE_H
#define HOLDFAST_CONTROL_CORE_CORE_H

#include "common/limits/names.h"
#include "common/limits/ring.h"
#include "common/limits/routes.h"
#include "control/core/breaker.h"
#include "control/control.h"
#include "control/core/delivery_state.h"
#include "control/core/liveness.h"
#include "control/core/map.h"
#include "control/core/seen.h"
#include "control/shell/snapshot.h"

#include "common/id.h"
#include "common/list.h"
#include "common/outcome.h"
#include "spool/spool.h"

enum {
    CONTROL_UP_PER_TURN = 4096,        /* ring entries per turn: keeps a turn under milliseconds */
    CONTROL_STATES_OUTSTANDING = 1024, /* commands not answered yet: a quarter of a down ring */
    CONTROL_FREEZE_FAULTS = 2,         /* faults after which a delivery is suspect */
    CONTROL_POISON_LOSSES = 5,         /* connections lost at one message's dot while others pass */
};

#define CONTROL_RECYCLE_AGAIN_NS (5 * UINT64_C(1000000000))
#define CONTROL_ALONE_NS_MAX     (10 * UINT64_C(1000000000))
#define CONTROL_ALONE_PAUSE_NS   UINT64_C(1000000000)
/* So often the others pause for a suspect in vain; then it goes beside them. The fault handler
 * names the one at fault also then. */
#define CONTROL_ALONE_VAIN_MAX     3
#define CONTROL_SELF_PAUSE_NS      UINT64_C(1000000000)
#define CONTROL_POLICY_TELL_NS     (10 * UINT64_C(1000000000)) /* it is taken in milliseconds */
#define CONTROL_RELIST_NS          (60 * UINT64_C(1000000000))
#define CONTROL_REPUBLISH_NS       (3600 * UINT64_C(1000000000)) /* grace is counted in days */
#define CONTROL_REPUBLISH_AGAIN_NS (10 * UINT64_C(1000000000))   /* after a failure */
#define CONTROL_STORE_FLUSH_NS     (UINT64_C(500) * 1000000)

struct rcpt {
    uint64_t state_pos; /* the state record with the last reply; 0: none */
    uint16_t code;
    uint8_t state;   /* enum rcpt_state */
    uint8_t outcome; /* enum outcome: the last */
};

struct flight;

struct delivery {
    uint64_t id;
    uint64_t commit_pos;
    uint64_t first_pos;
    uint64_t received_ms;
    uint64_t due_ns; /* next attempt; passed: now */
    struct route *route;
    struct list route_node;
    struct list ready_node; /* route->ready or core->suspects, or in neither */
    struct flight *flight;
    struct rcpt *rcpt; /* rcpt_count of them; &one when there is one */
    struct rcpt one;
    uint32_t body_bytes;
    uint32_t heap_slot;       /* 1-based; 0: not in the heap */
    uint32_t held_rule;       /* id of a rule that holds it; 0: none */
    uint32_t rule_generation; /* unchanging terms of the rules of this generation do not match */
    uint32_t success_mark;    /* poison: the hop's successes when it last lost us at the dot */
    uint32_t last_hop_id;
    uint16_t rcpt_count;
    uint16_t waiting_count;
    uint16_t frozen_count;
    uint16_t attempts;
    uint8_t state; /* enum delivery_state */
    uint8_t faults;
    uint8_t dot_losses;
    bool freezing;  /* a FREEZE is on its way to the log: not sent meanwhile */
    bool releasing; /* a RELEASE likewise */
};

struct tally {
    uint64_t deliveries;
    uint64_t rcpts; /* waiting ones in these deliveries */
};

struct hop {
    uint32_t id;
    char name[LIMIT_NAME_BYTES + 1];
    bool known; /* in the present configuration */
    uint32_t connection_count_max;
    struct breaker breaker;
    uint32_t in_flight;
    uint32_t window;       /* deliveries at once, 1 .. connection_count_max */
    uint32_t tempfail_run; /* 4xx in a row */
    uint32_t successes;
    uint64_t last_state_pos;
    uint64_t since_ms; /* of the breaker's state */
    uint16_t last_code;
    uint8_t last_outcome;
};

struct route {
    uint32_t id;
    char name[LIMIT_NAME_BYTES + 1];
    char owner[CONFIG_TEXT_SIZE];
    bool known;
    uint32_t hop_count;
    struct hop *hop[LIMIT_HOPS_PER_ROUTE];
    struct list all;
    struct list ready;
    struct list active_node; /* in core->active while ready is not empty */
    struct tally tally[DELIVERY_STATE_COUNT];
    uint64_t frozen_deliveries[OUTCOME_COUNT]; /* state FROZEN, by their first frozen class */
    uint64_t frozen_rcpts[OUTCOME_COUNT];
    uint64_t frozen_sample[OUTCOME_COUNT]; /* a delivery lately frozen so */
};

/* A delivery under way: exists longer than its delivery when that is complete before the last
 * word about the attempt has come. */
struct flight {
    uint64_t id;
    struct list node;          /* for who walks a selection of them */
    struct delivery *delivery; /* NULL: complete, or unknown */
    struct hop *hop;           /* NULL: unknown */
    struct rcptset open;       /* sent down, nothing heard yet */
    uint32_t worker;           /* UINT32_MAX: told by INFLIGHT, which does not say */
    bool probe;
    bool alone;
    bool confirmed;     /* told by INFLIGHT on this attach, or begun on it */
    uint64_t begun_pos; /* the state log then: what lies before belongs to an earlier attempt */
    bool saw_message;   /* outcomes so far, by scope */
    bool saw_hop;
    bool saw_self;
};

/* Under way when the dataplane went. */
struct cut {
    uint64_t id;
    uint64_t begun_pos;
};

/* A state command on its way: durable below (RELEASE) or derivable (FREEZE). */
struct pending {
    uint64_t id;
    struct list node;
    struct rcptset rcpts;
    uint8_t kind; /* enum abi_state_kind */
    uint8_t outcome;
    bool sent;
};

struct fence {
    uint64_t token;
    struct list node;
    json_t *answer;
    uint32_t rule;    /* whose matches still under way are reported */
    uint32_t waiting; /* bit per worker that has not answered */
    uint32_t unsent;  /* bit per worker that has not been asked on this attach */
};

enum attach_phase {
    ATTACH_NONE,
    ATTACH_HELLO,    /* waiting for HELLO */
    ATTACH_INFLIGHT, /* waiting for INFLIGHT_END */
    ATTACH_RUNNING,
};

struct attach {
    enum attach_phase phase;
    struct abi_attach *region;
    uint32_t worker_count;
    uint32_t ends_left; /* INFLIGHT_ENDs to come: one per worker */
    struct ring_end up;
    struct ring_end down[LIMIT_WORKERS];
    uint32_t in_flight[LIMIT_WORKERS];
    uint64_t number; /* the next one expected */
    uint32_t start;
    uint32_t credits;
    uint64_t since_ns;
    uint64_t free_segments; /* as RECYCLED last told */
    bool wanted_again;
};

struct rules;
struct store;

struct checkpoint_facts {
    uint64_t due_ns;
    uint64_t tried_ns;        /* the last time */
    uint64_t state_pos;       /* of the newest saved one */
    uint64_t older_state_pos; /* of the one before */
    uint64_t recycle_seq;     /* what STATE_RECYCLE is to say; 0: nothing */
    uint64_t told_seq;        /* what it said last */
    bool dirty;
};

struct totals {
    uint64_t accepted_rcpts;
    uint64_t delivered_rcpts;
    uint64_t possible_duplicates;
    uint64_t damaged; /* places in the logs that should be good and are not */
};

struct control {
    struct config *config;
    struct spool_io *io;
    struct spool_reader *reader;
    struct store *store;
    struct rules *rules;
    struct control_time now;
    control_event_fn event;
    void *event_ctx;

    /* index */
    struct map deliveries;
    struct map routes;
    struct map hops;
    struct map flights;
    struct cut *cut; /* until the next dataplane has said what is under way */
    size_t cut_count;
    size_t cut_capacity;
    struct delivery *free_delivery; /* chained through `flight` */
    void **slab;
    size_t slab_count;
    size_t slab_capacity;
    struct delivery **heap;
    size_t heap_count;
    size_t heap_capacity;
    struct list active; /* routes with something ready, in turn */
    struct list suspects;
    uint64_t alone_id; /* the suspect under way, alone; 0: none */
    uint64_t alone_until_ns;
    uint64_t alone_next_ns;
    uint32_t alone_vain; /* times that the others paused and did not get done */
    uint64_t in_flight;  /* all flights */

    /* logs */
    struct seen messages;
    struct seen states;
    struct liveness liveness;
    struct totals totals;
    uint64_t message_damage_top; /* damage below was told already */
    uint64_t state_damage_top;
    struct envelope scan_envelope; /* too large for a stack that callbacks deepen */
    struct spool_state_entry scan_state;

    /* down */
    struct map releases;
    struct map freezes;
    struct list pendings; /* not sent yet */
    uint32_t pendings_sent;
    struct list fences;
    uint64_t fence_token;
    uint64_t recycle_due_ns;

    struct attach attach;
    struct checkpoint_facts checkpoint;
    uint64_t relist_ns;
    uint64_t republish_ns;
    uint64_t flush_ns;

    uint64_t heartbeat_age_ms; /* the shell's: of the dataplane */

    void *policy;
    size_t policy_len;
    uint64_t policy_generation;
    uint64_t policy_told_ns; /* when to say that it is not adopted; 0: it is */
};

/* One line for the operator's log. level: 3 error, 4 warning, 6 notice (syslog numbers). */
__attribute__((format(printf, 3, 4))) void control_say(struct control *c, int level,
                                                       const char *format, ...);

/* routes.c: the routes and hops of a configuration, and the snapshot made of it. */
must_check int routes_apply(struct control *c, char error_out[CONFIG_ERROR_SIZE]);
struct route *routes_take(struct control *c, uint32_t id);
/* Notes that the domains of the configuration are there now. */
must_check int routes_present(struct control *c);
must_check int routes_publish(struct control *c, char error_out[CONFIG_ERROR_SIZE]);
struct hop *routes_find_hop(const struct control *c, uint32_t id);
struct hop *routes_find_hop_name(const struct control *c, const char *name);
void routes_fini(struct control *c);

/* scheduler.c */
uint64_t scheduler_backoff_ns(uint64_t id, uint32_t attempts, uint32_t first_ms, uint32_t max_ms);
void scheduler_wait(struct control *c, struct delivery *d);
void scheduler_drop(struct control *c, struct delivery *d);
bool scheduler_turn(struct control *c);
/* Every worker has the policy that was published: it knows all hops. */
bool scheduler_policy_adopted(const struct control *c);
uint64_t scheduler_next_ns(const struct control *c);

/* flight.c */
struct flight *flight_begin(struct control *c, uint64_t id, struct delivery *d, struct hop *hop);
void flight_end(struct control *c, struct flight *flight);
void flight_forget_all(struct control *c);
/* Both logs are read, and all that is under way is told. */
void flight_count_cut(struct control *c);

/* apply.c: what the logs and the ring say about deliveries. */
struct commit_fact {
    uint64_t id;
    uint64_t commit_pos;
    uint64_t first_pos;
    uint64_t received_ms;
    uint32_t route_id;
    uint32_t body_bytes;
    uint16_t rcpt_count;
};
/* Returns the new delivery, settled, or NULL when it was known. */
struct delivery *apply_commit(struct control *c, const struct commit_fact *fact);
struct state_fact {
    uint64_t id;
    uint64_t pos; /* 0: not in the log (an ATTEMPT) */
    struct rcptset rcpts;
    uint64_t time_ms;
    uint32_t hop_id;
    uint16_t code;
    uint16_t flags;
    uint8_t kind;
    uint8_t outcome;
    uint8_t phase;
    bool live; /* it happened just now, not read back from the log */
};
void apply_state(struct control *c, const struct state_fact *fact);
void apply_attempt(struct control *c, const struct state_fact *fact);

/* hopside.c: what an outcome says about the hop. `flight` may be NULL. */
void hopside_heard(struct control *c, struct hop *hop, const struct state_fact *fact,
                   struct flight *flight);
/* An operator believes in it again. */
void hopside_close(struct control *c, struct hop *hop);

/* pending.c: state commands to the dataplane. */
void pending_add(struct control *c, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
                 const struct rcptset *rcpts);
void pending_done(struct control *c, uint64_t id, enum abi_state_kind kind,
                  const struct rcptset *rcpts);
void pending_resend_all(struct control *c);
bool pending_turn(struct control *c);
void pending_fini(struct control *c);

/* catchup.c: reading the logs. */
must_check int catchup_messages(struct control *c, uint64_t to);
must_check int catchup_states(struct control *c, uint64_t to);
/* Says what of the message log is unreadable without a position: segments whose header is. */
must_check int catchup_headers(struct control *c);
/* Pins what is damaged below where we stand: for a checkpoint that does not tell. */
must_check int catchup_pin_old(struct control *c);
must_check bool catchup_envelope(struct control *c, const struct delivery *d,
                                 struct envelope *envelope_out);
size_t catchup_reply(struct control *c, uint64_t state_pos, char *out, size_t out_size);

/* checkpoint.c */
must_check int checkpoint_save(struct control *c);
must_check int checkpoint_load(struct control *c);
void checkpoint_turn(struct control *c);

/* up.c, down.c */
bool up_turn(struct control *c);
must_check bool down_put(struct control *c, uint32_t worker, const struct abi_down *down);
bool down_turn(struct control *c);
/* Segments that exist now, for the liveness. */
void down_list_segments(struct control *c);
uint32_t fence_all_workers(const struct control *c);

#endif
