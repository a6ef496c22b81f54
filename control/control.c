/* SPDX-License-Identifier: BSD-3-Clause */
/* control/control.c: the whole: making it, one turn, attaching, letting go. See control.h.
 *
 * Timers: heap of deliveries and probes (scheduler.c), checkpoint (checkpoint.c), offers of
 * segments (down.c), listing of segments, republishing, flush of the database (here).
 */
#include "common/config.h"
#include "control/admin/select_json.h"
#include "control/core/index.h"
#include "control/core/mem.h"
#include "control/core/rules.h"
#include "control/shell/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A new attach is asked for at most this often: at overload rings overflow again and again. */
#define REATTACH_PAUSE_NS UINT64_C(1000000000)

void control_say(struct control *c, int level, const char *format, ...)
{
    char line[512];
    if (c->event == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->event(c->event_ctx, level, line);
}

void control_on_event(struct control *c, control_event_fn fn, void *ctx)
{
    c->event = fn;
    c->event_ctx = ctx;
}

static int load_rule(void *ctx, const struct rule *stored, const char *text)
{
    struct control *c = ctx;
    char error[SELECT_ERROR_SIZE];
    struct rule rule = *stored;
    json_t *terms = json_loads(text, 0, NULL);
    bool good = terms != NULL && select_parse(terms, &rule.select, error) && rule.select.count > 0;
    json_decref(terms);
    size_t count = 0;
    while (rules_at(c, count) != NULL) {
        count++;
    }
    if (!good || rule.id == 0 || count >= LIMIT_RULES) {
        return -EPROTO;
    }
    rules_add(c, &rule);
    return 0;
}

static int open_parts(struct control *c, sqlite3 *db, char error[CONFIG_ERROR_SIZE])
{
    int r = store_open(db, &c->store, error);
    if (r < 0) {
        return r;
    }
    r = store_rules_load(c->store, load_rule, c);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "a rule in the policy database is unreadable: %s; not starting without it",
                 trouble_meaning(r));
        return r;
    }
    r = routes_apply(c, error);
    if (r < 0) {
        return r;
    }
    r = routes_publish(c, error);
    if (r < 0) {
        return r;
    }
    r = spool_reader_open(c->io, &c->reader);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "spool %s: %s", c->config->spool.dir,
                 trouble_text(c->io->trouble, r));
    }
    return r;
}

int control_create(struct config *config, sqlite3 *db, struct spool_io *io,
                   struct control_time time, struct control **control_out,
                   char error[CONFIG_ERROR_SIZE])
{
    assert(config != NULL && db != NULL && io != NULL);
    struct control *c = mem_zalloc(sizeof *c);
    c->config = config;
    c->io = io;
    c->now = time;
    c->rules = rules_create();
    list_init(&c->active);
    list_init(&c->suspects);
    list_init(&c->pendings);
    list_init(&c->fences);
    c->checkpoint.due_ns = time.now_ns + (uint64_t)config->control.checkpoint_interval_ms * 1000000;
    c->relist_ns = time.now_ns + CONTROL_RELIST_NS;
    c->republish_ns = time.now_ns + CONTROL_REPUBLISH_NS;
    int r = open_parts(c, db, error);
    if (r < 0) {
        control_destroy(c);
        return r;
    }
    *control_out = c;
    return 0;
}

static void free_fence(struct fence *fence)
{
    list_remove(&fence->node);
    json_decref(fence->answer);
    free(fence);
}

void control_destroy(struct control *c)
{
    size_t at = 0;
    for (struct flight *f = map_next(&c->flights, &at); f != NULL; f = map_next(&c->flights, &at)) {
        free(f);
    }
    map_fini(&c->flights);
    free(c->cut);
    while (!list_is_empty(&c->fences)) {
        free_fence(list_entry(c->fences.next, struct fence, node));
    }
    pending_fini(c);
    index_fini(c);
    routes_fini(c);
    rules_destroy(c->rules);
    seen_fini(&c->messages);
    seen_fini(&c->states);
    liveness_fini(&c->liveness);
    if (c->reader != NULL) {
        spool_reader_close(c->reader);
    }
    if (c->store != NULL) {
        int r = store_flush(c->store); /* what it misses is only done again */
        (void)r;
        store_close(c->store);
    }
    free(c);
}

/* A release that an operator was told of and whose record we have not seen. */
static int load_release(void *ctx, uint64_t id, const struct rcptset *rcpts, uint64_t before_pos)
{
    struct control *c = ctx;
    struct delivery *d = index_find(c, id);
    struct rcptset todo = {{0}};
    for (unsigned i = 0; d != NULL && i < d->rcpt_count; i++) {
        if (rcptset_has(rcpts, i) && d->rcpt[i].state == RCPT_FROZEN &&
            d->rcpt[i].state_pos < before_pos) {
            rcptset_add(&todo, i);
        }
    }
    if (rcptset_is_empty(&todo)) {
        store_release_done(c->store, id);
        return 0;
    }
    d->releasing = true;
    pending_add(c, id, ABI_STATE_RELEASE, OUTCOME_NONE, &todo);
    return 0;
}

int control_recover(struct control *c, struct control_time time)
{
    c->now = time;
    int r = checkpoint_load(c);
    if (r == 0) {
        r = catchup_headers(c);
    }
    if (r == 0) {
        r = catchup_messages(c, UINT64_MAX);
    }
    if (r == 0) {
        r = catchup_states(c, UINT64_MAX);
    }
    if (r == 0) {
        r = store_release_load(c->store, load_release, c);
    }
    if (r < 0) {
        control_say(c, 3, "cannot recover: %s", trouble_text(c->io->trouble, r));
        return r;
    }
    control_say(c, 6, "recovered %zu deliveries", c->deliveries.count);
    return 0;
}

void control_attach(struct control *c, struct abi_attach *region, uint32_t worker_count)
{
    assert(worker_count > 0 && worker_count <= LIMIT_WORKERS);
    struct attach *a = &c->attach;
    *a = (struct attach){.phase = ATTACH_HELLO,
                         .region = region,
                         .worker_count = worker_count,
                         .since_ns = c->now.now_ns};
    char *base = (char *)region;
    ring_open(&a->up, (struct ring *)(base + abi_up_offset()), LIMIT_RING_UP_SLOTS);
    for (uint32_t w = 0; w < worker_count; w++) {
        ring_open(&a->down[w], (struct ring *)(base + abi_down_offset(w)), LIMIT_RING_DOWN_SLOTS);
    }
    size_t at = 0;
    for (struct flight *f = map_next(&c->flights, &at); f != NULL; f = map_next(&c->flights, &at)) {
        f->confirmed = false;
        f->worker = UINT32_MAX;
    }
    for (struct list *l = c->fences.next; l != &c->fences; l = l->next) {
        struct fence *fence = list_entry(l, struct fence, node);
        fence->waiting = fence_all_workers(c);
        fence->unsent = fence->waiting;
    }
    pending_resend_all(c);
    c->checkpoint.recycle_seq = c->checkpoint.told_seq; /* it may have died with the last ring */
    atomic_store_explicit(&region->policy_published, c->policy_generation, memory_order_release);
}

void control_detach(struct control *c)
{
    if (c->attach.phase == ATTACH_NONE) {
        return;
    }
    c->attach = (struct attach){.phase = ATTACH_NONE};
    flight_forget_all(c);
    pending_resend_all(c);
    control_say(c, 4, "the dataplane is gone");
}

bool control_is_attached(const struct control *c)
{
    return c->attach.phase != ATTACH_NONE;
}

bool control_wants_attach(const struct control *c)
{
    return c->attach.phase != ATTACH_NONE && c->attach.wanted_again &&
           c->now.now_ns >= c->attach.since_ns + REATTACH_PAUSE_NS;
}

void control_set_heartbeat_age(struct control *c, uint64_t age_ms)
{
    c->heartbeat_age_ms = age_ms;
}

static void republish(struct control *c)
{
    char error[CONFIG_ERROR_SIZE];
    c->republish_ns = c->now.now_ns + CONTROL_REPUBLISH_NS;
    if (routes_publish(c, error) < 0) {
        control_say(c, 3, "%s", error);
        c->republish_ns = c->now.now_ns + CONTROL_REPUBLISH_AGAIN_NS;
    }
}

static void flush_store(struct control *c)
{
    c->flush_ns = c->now.now_ns + CONTROL_STORE_FLUSH_NS;
    if (store_flush(c->store) < 0) {
        control_say(c, 3, "policy database: %s", store_error(c->store));
    }
}

/* Nothing is sent until the dataplane has the policy: it must not be so for long in silence. */
static void watch_policy(struct control *c)
{
    if (c->attach.phase != ATTACH_RUNNING || scheduler_policy_adopted(c)) {
        c->policy_told_ns = 0;
        return;
    }
    if (c->policy_told_ns != 0 && c->now.now_ns >= c->policy_told_ns) {
        control_say(c, 3,
                    "the dataplane has not taken policy generation %" PRIu64
                    ": nothing is delivered until it has",
                    c->policy_generation);
        c->policy_told_ns = 0;
    }
    if (c->policy_told_ns == 0) {
        c->policy_told_ns = c->now.now_ns + CONTROL_POLICY_TELL_NS;
    }
}

bool control_turn(struct control *c, struct control_time time)
{
    assert(time.now_ns >= c->now.now_ns);
    c->now = time;
    bool worked = control_is_attached(c) && up_turn(c);
    worked = scheduler_turn(c) || worked;
    worked = down_turn(c) || worked;
    checkpoint_turn(c);
    watch_policy(c);
    if (c->attach.phase == ATTACH_RUNNING && c->now.now_ns >= c->relist_ns) {
        c->relist_ns = c->now.now_ns + CONTROL_RELIST_NS;
        down_list_segments(c);
    }
    if (c->now.now_ns >= c->republish_ns) {
        republish(c);
    }
    if (store_needs_flush(c->store) && c->now.now_ns >= c->flush_ns) {
        flush_store(c);
    }
    return worked;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t control_next_ns(const struct control *c)
{
    uint64_t next = earlier(scheduler_next_ns(c), c->republish_ns);
    if (c->checkpoint.dirty) {
        next = earlier(next, c->checkpoint.due_ns);
    }
    if (store_needs_flush(c->store)) {
        next = earlier(next, c->flush_ns);
    }
    if (c->attach.phase == ATTACH_RUNNING) {
        next = earlier(next, earlier(c->relist_ns, c->recycle_due_ns));
    }
    return next;
}

bool control_ring_is_empty(struct control *c)
{
    return !control_is_attached(c) || ring_is_empty(&c->attach.up);
}

int control_checkpoint(struct control *c, struct control_time time)
{
    c->now = time;
    int r = checkpoint_save(c);
    flush_store(c);
    return r;
}

int control_reload(struct control *c, struct config *config, struct control_time time,
                   char error[CONFIG_ERROR_SIZE])
{
    c->now = time;
    struct config *old = c->config;
    int r = routes_present(c); /* the grace of what is dropped now begins now */
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "policy database: %s", store_error(c->store));
        return r;
    }
    c->config = config;
    r = routes_apply(c, error);
    if (r == 0) {
        r = routes_publish(c, error);
    }
    if (r < 0) {
        char again[CONFIG_ERROR_SIZE];
        c->config = old;
        if (routes_apply(c, again) < 0 || routes_publish(c, again) < 0) {
            control_say(c, 3, "going back to the old configuration: %s", again);
        }
        return r;
    }
    control_say(c, 6, "configuration in force, policy generation %" PRIu64, c->policy_generation);
    return 0;
}

const void *control_policy(const struct control *c, size_t *len_out, uint64_t *generation_out)
{
    *len_out = c->policy_len;
    *generation_out = c->policy_generation;
    return c->policy;
}
