/* SPDX-License-Identifier: BSD-3-Clause */
/* control/control.h: the whole of holdfast-control but for sockets, signals and threads, behind one
 * surface that shell/main.c drives with epoll and the simulator drives with its own clock.
 *
 *   control_turn     the loop: the core, answers from beside the loop, operators' requests
 *   control_work     beside the loop: files and the database, by threads or by the caller
 *
 * Promise: a delivery it knows is delivered, waiting, frozen or held, and never forgotten; what an
 *          operator was told is done is durable. A turn is bounded, whatever is asked.
 * Trap:    time is an argument. Nothing in a turn reads a clock, a file or a database, or sleeps.
 */
#ifndef HOLDFAST_CONTROL_CONTROL_H
#define HOLDFAST_CONTROL_CONTROL_H

#include "common/abi.h"
#include "common/assert.h"
#include "common/config.h"
#include "control/core/core.h"
#include "control/shell/works.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct control;

/* `db` is an open SQLite handle (the caller's, outlives control: in the simulator an in-memory
 * database survives control's crashes), `io` a readable spool directory (also written: the
 * checkpoints). The config is borrowed. Creates or checks the schema, gives routes and hops their
 * durable ids in *config, builds and saves the policy snapshot under config->state_dir when its
 * content changed (state_dir empty: not saved, control_policy gives it).
 * Returns 0 or -errno and a line in error_out. */
must_check int control_create(struct config *config, sqlite3 *db, struct spool_io *io,
                              struct control_time time, struct control **control_out,
                              char error_out[CONFIG_ERROR_SIZE]);
/* No thread works for it any more. */
void control_destroy(struct control *control);

/* Begins to load the newest checkpoint and to read both logs to their ends: beside the loop, over
 * the next turns. */
void control_recover(struct control *control, struct control_time time);
/* 1: recovered; 0: not yet; -errno: it cannot be. Until it is, control_attach may not be called. */
int control_recovered(const struct control *control);
/* Why it cannot be: a chain of what was done and what the system said. */
const char *control_recover_error(const struct control *control);

/* Starts on fresh rings (an initialised region of abi_attach_size). What the HELLO says is durable
 * and not yet known is read from the logs first. */
void control_attach(struct control *control, struct abi_attach *region, uint32_t worker_count);
/* The dataplane is gone: deliveries under way wait again. The region is not touched any more. */
void control_detach(struct control *control);
bool control_is_attached(const struct control *control);

/* One turn. Returns true when there is more to do at once. */
bool control_turn(struct control *control, struct control_time time);
/* When control_turn next has something to do by the clock alone. */
uint64_t control_next_ns(const struct control *control);
/* True when the up ring is empty: the caller sets control_sleeping, asks this again, sleeps. */
bool control_ring_is_empty(struct control *control);

/* The lanes of what is done beside the loop. */
struct works *control_works(struct control *control);
/* Without threads: runs one work of any lane. false: there was none. */
bool control_work(struct control *control);

/* How many places of the index a request looks at in a step; a test asks for few, so that requests
 * are half-way when something happens. */
void control_set_pace(struct control *control, uint32_t slots);

/* One operator request (docs/ADMIN.md). Returns a new reference to the answer. An answer
 * {"pending": token} is complete once control_admin_ready. */
struct control_peer {
    const char *who; /* the name to write into the audit */
    bool may_act;    /* else it may only look */
};
/* That request goes into the audit, and so needs the true name. For others a number may stand for
 * it, also for what is refused because its sender may not act. */
bool control_admin_needs_name(const json_t *request, bool may_act);
json_t *control_admin(struct control *control, const json_t *request,
                      const struct control_peer *peer, struct control_time time);
/* The answer for a pending token, to be taken once, or NULL while it is not complete. */
json_t *control_admin_ready(struct control *control, uint64_t token, struct control_time time);
/* Nobody waits for that answer any more: what was begun goes on, what only looks ends. */
void control_admin_forget(struct control *control, uint64_t token);

/* Dropped ring entries may have held the last word about deliveries under way: a fresh attach (a
 * new region, control_attach again without control_detach) tells which still are. The caller
 * gives one soon; until then those deliveries count as under way. */
bool control_wants_attach(const struct control *control);

/* How old the dataplane's heartbeat is, for status: the caller sees the root region. */
void control_set_heartbeat_age(struct control *control, uint64_t age_ms);

/* A checkpoint is to be saved now, over the next turns. */
void control_wish_checkpoint(struct control *control);
/* A reload or a checkpoint is under way. */
bool control_is_settling(const struct control *control);
/* Saves a checkpoint now and waits for it: for a clean end. Returns 0 or -errno. */
must_check int control_checkpoint(struct control *control, struct control_time time);

/* Another configuration is to take the place of the borrowed one: routes, hops, limits, policy.
 * `load` makes it, beside the loop: 0 and *config_out, or -errno and a line. `done` is called in a
 * later turn: error NULL, and `config` is in force, borrowed from now on; or a line, config NULL,
 * and the old one stays. `unload` is called beside the loop for the one that is no longer used: the
 * old one, or a new one that was refused. It may be called after control_destroy has begun. NULL:
 * the caller keeps them all. */
struct control_reload {
    int (*load)(void *ctx, struct config **config_out, char error_out[CONFIG_ERROR_SIZE]);
    void (*done)(void *ctx, struct config *config, const char *error);
    void (*unload)(void *ctx, struct config *config);
    void *ctx;
};
void control_reload(struct control *control, const struct control_reload *reload,
                    struct control_time time);

/* What an operator should read in the log: level 3 error, 4 warning, 6 information. NULL: none. */
typedef void (*control_event_fn)(void *ctx, int level, const char *line);
void control_on_event(struct control *control, control_event_fn fn, void *ctx);

/* The snapshot now in force, for a simulated dataplane. */
const void *control_policy(const struct control *control, size_t *len_out,
                           uint64_t *generation_out);

#endif
