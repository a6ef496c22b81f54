/* SPDX-License-Identifier: BSD-3-Clause */
/* control/control.c: the whole: making it, one turn, attaching, letting go. See control.h.
 *
 *   core ── wishes, notes ──▶ catchup  save  publish  judge ── works ──▶ lanes
 *     ▲                          │ answers                                 │
 *     └──────────────────────────┴──────── works_finish ◀──────────────────┘
 *   operators' requests ─▶ jobs (admin/job.h), a slice of each in every turn
 *
 * Timers: the core's (core_next_ns), checkpoints (save.c), republishing (publish.c), looking at the
 * database (verify.c), listing of segments (catchup.c), envelopes asked again (judge.c), forgotten
 * replies (here). Releases that are sent again (admin/release.c) and a fresh attach (link.c) have
 * none: the caller's tick is enough for them.
 */
#include "control/admin/job.h"
#include "control/admin/select_json.h"
#include "control/core/mem.h"
#include "control/shell/parts.h"
#include "control/shell/store.h"
#include "spool/checkpoint.h"
#include "common/limits/rules.h"
#include "common/trouble.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FINISH_PER_TURN = 2, /* each is half a millisecond at most */
    PACE_SLOTS = 1024,
};

/* A new attach is asked for at most this often: at overload rings overflow again and again. */
#define REATTACH_PAUSE_NS UINT64_C(1000000000)
#define FLUSH_NS          (UINT64_C(500) * 1000000)

static void tell_notes(struct control *c)
{
    struct notes *notes = &c->core.notes;
    char line[NOTE_LINE_SIZE];
    for (uint32_t i = 0; i < notes->count; i++) {
        int level = notes_format(&notes->note[i], line);
        control_say(c, level, "%s", line);
    }
    if (notes->dropped > 0) {
        control_say(c, 4, "%llu more lines were left out", (unsigned long long)notes->dropped);
    }
    notes_clear(notes);
}

/* --- making it ------------------------------------------------------------------------------- */

static int load_rule(void *ctx, const struct rule *stored, const char *text)
{
    struct control *c = ctx;
    char error[SELECT_ERROR_SIZE];
    struct rule rule = *stored;
    json_t *terms = text == NULL ? NULL : json_loads(text, 0, NULL);
    bool good = terms != NULL && select_parse(terms, &rule.select, error) && rule.select.count > 0;
    json_decref(terms);
    if (rule.id == 0 || rule.id >= RULES_PLANNED || c->core.rules.count >= LIMIT_RULES) {
        return -EPROTO; /* no place for it: without it, held mail would go */
    }
    if (!good) { /* what it held is not known: all stays until a person has looked */
        rule.unreadable = true;
        rule.select = (struct select){.count = 1, .term = {{.key = SELECT_ALL}}};
    }
    (void)rules_add(&c->core.rules, &rule);
    return 0;
}

static int load_route(void *ctx, uint32_t id, const char *name)
{
    struct control *c = ctx;
    routes_set_name(routes_take(&c->core.routes, id), name);
    return 0;
}

static int load_hop(void *ctx, uint32_t id, const char *name)
{
    struct control *c = ctx;
    struct hop *hop = routes_take_hop(&c->core.routes, id);
    (void)bytes_copy_str(bytes_str(name), hop->name, sizeof hop->name);
    return 0;
}

/* Every name that a configuration ever had: old mail carries its id. */
static int load_names(struct control *c)
{
    int r = store_names_load(c->store, STORE_ROUTES, load_route, c);
    return r == 0 ? store_names_load(c->store, STORE_HOPS, load_hop, c) : r;
}

static int open_parts(struct control *c, sqlite3 *db, char error[CONFIG_ERROR_SIZE])
{
    int r = store_open(db, &c->store, error);
    if (r < 0) {
        return r;
    }
    r = load_names(c);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "the names of routes and hops cannot be read in the policy database: %s",
                 store_error(c->store));
        return r;
    }
    r = store_rules_load(c->store, load_rule, c);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "not starting without the rules in the policy database: %s",
                 r == -EPROTO ? "one has no number or no place" : store_error(c->store));
        return r;
    }
    r = publish_first(c, error);
    if (r < 0) {
        return r;
    }
    core_configure(&c->core, c->config);
    struct spool_reader *reader; /* the spool is one that can be read at all */
    r = work_reader(&c->works.tools[WORK_LOOK], &reader);
    if (r < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "spool %s: %.200s", c->config->spool.dir,
                 trouble_text(c->works.tools[WORK_LOOK].io->trouble, r));
    }
    return r;
}

int control_create(struct config *config, sqlite3 *db, struct spool_io *io,
                   struct control_time time, struct control **control_out,
                   char error[CONFIG_ERROR_SIZE])
{
    assert(config != NULL && db != NULL && io != NULL);
    struct control *c = mem_zalloc(sizeof *c);
    struct siphash_key key = {.k0 = 0, .k1 = 0};
    if (io->ops->random == NULL || io->ops->random(io, &key, sizeof key) < 0) {
        key = (struct siphash_key){.k0 = time.now_ns, .k1 = time.wall_ms};
    }
    core_init(&c->core, &key, time);
    c->config = config;
    list_init(&c->jobs);
    c->pace = PACE_SLOTS;
    works_init(&c->works, io, NULL);
    c->saver.due_ns = time.now_ns + (uint64_t)config->control.checkpoint_interval_ms * 1000000;
    c->catchup.relist_ns = time.now_ns + UINT64_C(60000000000);
    const char *file = sqlite3_db_filename(db, "main");
    c->verifier.in_memory = file == NULL || file[0] == '\0';
    int r = open_parts(c, db, error);
    if (r < 0) {
        control_destroy(c);
        return r;
    }
    for (int i = 0; i < WORK_LANES; i++) {
        c->works.tools[i].store = c->store;
    }
    *control_out = c;
    return 0;
}

void control_destroy(struct control *c)
{
    works_fini(&c->works); /* before the jobs: some works lie in them */
    jobs_fini(c);
    spool_checkpoint_abandon(c->saver.writer);
    core_fini(&c->core);
    free(c->publisher.data);
    if (c->store != NULL) {
        store_close(c->store);
    }
    mem_free(c);
}

void control_recover(struct control *c, struct control_time time)
{
    c->core.now = time;
    catchup_recover(c);
}

int control_recovered(const struct control *c)
{
    return c->catchup.recovered;
}

const char *control_recover_error(const struct control *c)
{
    assert(c->catchup.recovered < 0);
    return c->catchup.why;
}

/* --- the dataplane --------------------------------------------------------------------------- */

void control_attach(struct control *c, struct abi_attach *region, uint32_t worker_count)
{
    assert(c->catchup.recovered == 1);
    core_attach(&c->core, region, worker_count);
}

void control_detach(struct control *c)
{
    core_detach(&c->core);
    tell_notes(c);
}

bool control_is_attached(const struct control *c)
{
    return c->core.attach.phase != ATTACH_NONE;
}

bool control_wants_attach(const struct control *c)
{
    const struct attach *a = &c->core.attach;
    return a->phase != ATTACH_NONE && a->wanted_again &&
           c->core.now.now_ns >= a->since_ns + REATTACH_PAUSE_NS;
}

void control_set_heartbeat_age(struct control *c, uint64_t age_ms)
{
    c->heartbeat_age_ms = age_ms;
}

bool control_ring_is_empty(struct control *c)
{
    return !control_is_attached(c) || ring_is_empty(&c->core.attach.up);
}

/* The writer sends envelopes only while a rule may ask for them. */
static void tell_envelopes(struct control *c)
{
    struct abi_attach *region = c->core.attach.region;
    if (region != NULL) {
        uint32_t wanted = book_envelope_count(c->core.rules.book) > 0;
        atomic_store_explicit(&region->envelopes_wanted, wanted, memory_order_relaxed);
    }
}

/* --- replies that nobody needs any more ------------------------------------------------------ */

struct forget {
    struct work work;
    uint64_t *pos;
    size_t count;
    int error;
    char text[128];
};

static void forget_run(struct work *work, struct work_tools *tools)
{
    struct forget *forget = (struct forget *)work;
    forget->error = store_replies_done(tools->store, forget->pos, forget->count);
    if (forget->error < 0) {
        snprintf(forget->text, sizeof forget->text, "%s", store_error(tools->store));
    }
}

static bool forget_done(struct work *work, struct control *c)
{
    struct forget *forget = (struct forget *)work;
    if (forget->error < 0) {
        control_say(c, 3, "policy database: forgetting replies: %s", forget->text);
    }
    c->flushing = false;
    mem_free(forget->pos);
    mem_free(forget);
    return true;
}

static void forget_drop(struct work *work)
{
    struct forget *forget = (struct forget *)work;
    mem_free(forget->pos);
    mem_free(forget);
}

static void forget_replies(struct control *c)
{
    struct wishes *w = &c->core.wishes;
    if (w->done_reply_count == 0 || c->flushing || c->core.now.now_ns < c->flush_ns) {
        return;
    }
    struct forget *forget = mem_zalloc(sizeof *forget);
    forget->work = (struct work){
        .lane = WORK_STORE, .run = forget_run, .done = forget_done, .drop = forget_drop};
    forget->pos = w->done_reply;
    forget->count = w->done_reply_count;
    w->done_reply = NULL;
    w->done_reply_count = w->done_reply_capacity = 0;
    c->flushing = true;
    c->flush_ns = c->core.now.now_ns + FLUSH_NS;
    works_submit(&c->works, &forget->work);
}

/* --- turns ----------------------------------------------------------------------------------- */

bool control_turn(struct control *c, struct control_time time)
{
    assert(time.now_ns >= c->core.now.now_ns);
    c->core.now = time;
    bool worked = works_finish(&c->works, c, FINISH_PER_TURN);
    if (c->catchup.recovered == 1) {
        worked = core_turn(&c->core) || worked;
        worked = catchup_turn(c) || worked;
        worked = judge_turn(c) || worked;
        worked = save_turn(c) || worked;
        publish_turn(c);
        verify_turn(c);
        forget_replies(c);
    }
    worked = jobs_turn(c) || worked;
    tell_envelopes(c);
    tell_notes(c);
    return worked;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t control_next_ns(const struct control *c)
{
    if (c->catchup.recovered != 1) {
        return UINT64_MAX; /* the lane wakes us */
    }
    uint64_t next_ns = earlier(core_next_ns(&c->core), publish_next_ns(c));
    next_ns = earlier(next_ns, save_next_ns(c));
    next_ns = earlier(next_ns, verify_next_ns(c));
    next_ns = earlier(next_ns, judge_next_ns(c));
    if (c->core.wishes.done_reply_count > 0 && !c->flushing) {
        next_ns = earlier(next_ns, c->flush_ns);
    }
    if (c->core.attach.phase == ATTACH_RUNNING && !c->catchup.listing) {
        next_ns = earlier(next_ns, c->catchup.relist_ns);
    }
    return next_ns;
}

void control_set_pace(struct control *c, uint32_t slots)
{
    assert(slots > 0);
    c->pace = slots;
}

struct works *control_works(struct control *c)
{
    return &c->works;
}

bool control_work(struct control *c)
{
    for (int lane = 0; lane < WORK_LANES; lane++) {
        if (works_run(&c->works, (enum work_lane)lane)) {
            return true;
        }
    }
    return false;
}

void control_wish_checkpoint(struct control *c)
{
    c->saver.wanted = true;
}

bool control_is_settling(const struct control *c)
{
    return c->saver.wanted || c->saver.under_way || c->publisher.under_way ||
           c->core.rounds.resettling;
}

int control_checkpoint(struct control *c, struct control_time time)
{
    enum { WAIT_MS = 100 };
    c->core.now = time;
    if (c->catchup.recovered != 1) {
        return -EAGAIN;
    }
    bool asked = false;
    c->saver.ending = true;
    while (!asked || c->saver.under_way) {
        if (!c->saver.under_way) {
            c->saver.wanted = asked = true;
        }
        bool worked = save_turn(c);
        worked = works_finish(&c->works, c, FINISH_PER_TURN) || worked;
        if (!worked && c->works.threaded) {
            works_wait(&c->works, WAIT_MS);
        } else if (!worked && !control_work(c) && c->catchup.under_way) {
            return -EAGAIN;
        }
    }
    return c->saver.error;
}

void control_reload(struct control *c, const struct control_reload *reload,
                    struct control_time time)
{
    c->core.now = time;
    publish_reload(c, reload);
}

const void *control_policy(const struct control *c, size_t *len_out, uint64_t *generation_out)
{
    *len_out = c->publisher.len;
    *generation_out = c->core.policy_generation;
    return c->publisher.data;
}
