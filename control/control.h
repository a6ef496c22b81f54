/* SPDX-License-Identifier: BSD-3-Clause */
/* control/control.h: the core of holdfast-control: index of deliveries, scheduler, breakers, rules,
 * and the operator's requests, behind one surface that main.c drives with epoll and the simulator
 * drives with its own clock.
 *
 * Promise: a delivery it knows is delivered, waiting, frozen or held, and never forgotten; what an
 *          operator was told is done is durable.
 * Trap:    time is an argument. Nothing here reads a clock or sleeps.
 */
#ifndef HOLDFAST_CONTROL_CONTROL_H
#define HOLDFAST_CONTROL_CONTROL_H

#include "common/abi.h"
#include "common/assert.h"
#include "common/config_fwd.h"
#include "spool/io.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct control;

struct control_time {
    uint64_t now_ns;  /* monotonic */
    uint64_t wall_ms; /* since 1970 */
};

/* `db` is an open SQLite handle (the caller's, outlives control: in the simulator an in-memory
 * database survives control's crashes), `io` a readable spool directory (also written: the
 * checkpoints). The config is borrowed. Creates or checks the schema, gives routes and hops their
 * durable ids in *config, builds and saves the policy snapshot under config->state_dir when its
 * content changed (state_dir empty: not saved, control_policy gives it).
 * Returns 0 or -errno and a line in error_out. */
must_check int control_create(struct config *config, sqlite3 *db, struct spool_io *io,
                              struct control_time time, struct control **control_out,
                              char error_out[CONFIG_ERROR_SIZE]);
void control_destroy(struct control *control);

/* Loads the newest checkpoint and reads both logs to their ends. */
must_check int control_recover(struct control *control, struct control_time time);

/* Starts on fresh rings (an initialised region of abi_attach_size). What the HELLO says is durable
 * and not yet known is read from the logs first. */
void control_attach(struct control *control, struct abi_attach *region, uint32_t worker_count);
/* The dataplane is gone: deliveries under way wait again. The region is not touched any more. */
void control_detach(struct control *control);
bool control_is_attached(const struct control *control);

/* One turn: takes what the up ring has, schedules, sends DELIVERs, recycles, checkpoints when due.
 * Returns true when there was work. */
bool control_turn(struct control *control, struct control_time time);
/* When control_turn next has something to do by the clock alone. */
uint64_t control_next_ns(const struct control *control);
/* True when the up ring is empty: the caller sets control_sleeping, asks this again, sleeps. */
bool control_ring_is_empty(struct control *control);

/* One operator request (docs/ADMIN.md); `who` is the peer's name from SO_PEERCRED. Returns a new
 * reference to the answer. An answer {"pending": token} is complete once control_admin_ready. */
json_t *control_admin(struct control *control, const json_t *request, const char *who,
                      struct control_time time);
/* The answer for a pending token, or NULL while the dataplane has not confirmed yet. */
json_t *control_admin_ready(struct control *control, uint64_t token, struct control_time time);

/* Dropped ring entries may have held the last word about deliveries under way: a fresh attach (a
 * new region, control_attach again without control_detach) tells which still are. The caller
 * gives one soon; until then those deliveries count as under way. */
bool control_wants_attach(const struct control *control);

/* How long the dataplane's heartbeat is old, for status: the caller sees the root region. */
void control_set_heartbeat_age(struct control *control, uint64_t age_ms);

/* Saves a checkpoint now: for a clean end. Returns 0 or -errno. */
must_check int control_checkpoint(struct control *control, struct control_time time);

/* Another configuration takes the place of the borrowed one: routes, hops, limits, policy. On
 * failure the old one stays in force and -errno and a line are returned. */
must_check int control_reload(struct control *control, struct config *config,
                              struct control_time time, char error_out[CONFIG_ERROR_SIZE]);

/* What an operator should read in the log: level 3 error, 4 warning, 6 notice. NULL: silence. */
typedef void (*control_event_fn)(void *ctx, int level, const char *line);
void control_on_event(struct control *control, control_event_fn fn, void *ctx);

/* The snapshot now in force, for a simulated dataplane. */
const void *control_policy(const struct control *control, size_t *len_out,
                           uint64_t *generation_out);

#endif
