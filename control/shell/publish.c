/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/publish.c: gives the names of a configuration durable ids, and makes the policy
 * snapshot of it: at the start, at a reload, and once an hour. The work is done in a lane.
 *
 * Promise: the snapshot's generation changes exactly when its content does. The file is written
 *          first, then the database, then the generation is published. So whatever fails, the
 *          published generation is in the file, and the next try completes the rest.
 * Trap:    a domain that vanished is answered 451 for domain_grace, so that a mistake in the
 *          configuration does not reject mail for it at once.
 */
#include "control/core/mem.h"
#include "control/shell/parts.h"
#include "control/shell/store.h"

#include "common/policy.h"
#include "common/limits/routes.h"
#include "common/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPUBLISH_NS       (3600 * UINT64_C(1000000000)) /* grace is counted in days */
#define REPUBLISH_AGAIN_NS (10 * UINT64_C(1000000000))   /* after a failure */
#define TELL_NS            (10 * UINT64_C(1000000000))   /* taking one needs milliseconds */

/* What is published. A lane makes it, the loop takes it over. */
struct edition {
    struct work work;
    struct control_reload reload; /* load NULL: publish the configuration in force again */
    struct config *config;        /* the one to publish */
    const struct config *present; /* the one in force; its domains are present until now */
    uint64_t wall_ms;
    uint64_t generation_now; /* of the published one; 0: none is published */
    void *data;              /* NULL: the content has not changed */
    size_t len;
    uint64_t generation;
    int error;
    char text[CONFIG_ERROR_SIZE];
};

/* Says what failed in the database; passes the error on. */
static int of_store(struct edition *e, const struct store *store, int error, const char *what)
{
    if (error < 0 && e->text[0] == '\0') {
        snprintf(e->text, sizeof e->text, "policy database %.300s/policy.db: %s: %s",
                 e->config->state_dir, what, store_error(store));
    }
    return error;
}

/* --- names ----------------------------------------------------------------------------------- */

/* Notes that the domains of the configuration are present at that time. */
static int note_present(struct store *store, const struct config *config, uint64_t wall_ms)
{
    int r = store_begin(store);
    for (uint32_t i = 0; i < config->route_count && r == 0; i++) {
        for (uint32_t n = 0; n < config->route[i].domain_count && r == 0; n++) {
            r = store_domain_present(store, config->route[i].domain[n], wall_ms);
        }
    }
    r = r == 0 ? store_commit(store) : r;
    if (r < 0) {
        store_rollback(store);
    }
    return r;
}

/* Gives every name a durable id, in one transaction. */
static int assign_ids(struct store *store, struct config *config)
{
    int r = store_begin(store);
    for (uint32_t i = 0; i < config->hop_count && r == 0; i++) {
        r = store_name_id(store, STORE_HOPS, config->hop[i].name, &config->hop[i].id);
    }
    for (uint32_t i = 0; i < config->route_count && r == 0; i++) {
        r = store_name_id(store, STORE_ROUTES, config->route[i].name, &config->route[i].id);
    }
    r = r == 0 ? store_commit(store) : r;
    if (r < 0) {
        store_rollback(store);
    }
    return r;
}

/* --- the snapshot ---------------------------------------------------------------------------- */

struct grace {
    struct policy_grace *list;
    size_t count;
    size_t capacity;
    const char **present; /* domains of the configuration in force, sorted */
    size_t present_count;
};

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_grace(void *ctx, const char *domain)
{
    struct grace *grace = ctx;
    if (domain == NULL || grace->count >= LIMIT_DOMAINS ||
        (grace->present_count > 0 && bsearch(&domain, grace->present, grace->present_count,
                                             sizeof *grace->present, compare_text) != NULL)) {
        return 0;
    }
    grace->list = mem_grow(grace->list, &grace->capacity, grace->count + 1, sizeof *grace->list);
    grace->list[grace->count++].domain = mem_copy_str(domain);
    return 0;
}

static void list_present(const struct config *config, struct grace *grace)
{
    size_t capacity = 0;
    for (uint32_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->route[i];
        grace->present =
            mem_grow(grace->present, &capacity, grace->present_count + route->domain_count + 1,
                     sizeof *grace->present);
        for (uint32_t n = 0; n < route->domain_count; n++) {
            grace->present[grace->present_count++] = route->domain[n];
        }
    }
    if (grace->present_count > 0) {
        qsort(grace->present, grace->present_count, sizeof *grace->present, compare_text);
    }
}

/* Finds the generation and the content of the snapshot in the state directory; 0 without one. */
static uint64_t saved_generation(const struct config *config, uint64_t *content_out)
{
    const struct policy *policy;
    void *data;
    size_t len;
    *content_out = 0;
    if (config->state_dir[0] == '\0' ||
        policy_load(config->state_dir, &policy, &data, &len, NULL) != 0) {
        return 0;
    }
    uint64_t generation = policy_generation(policy);
    *content_out = policy_content(policy);
    policy_unload(data, len);
    return generation;
}

/* Finds the generation for this content: the stored one if the content is the same, else the
 * next. */
static int find_generation(struct store *store, const struct config *config, uint64_t content,
                           uint64_t *generation_out, bool *same_out)
{
    uint64_t stored = 0;
    uint64_t generation = 0;
    int r = store_meta_get(store, "policy_content", &stored);
    if (r == 0) {
        r = store_meta_get(store, "policy_generation", &generation);
    }
    /* The file may be ahead of the database: the database is new or restored, or failed to store
     * the last generation. */
    uint64_t saved_content;
    uint64_t saved = saved_generation(config, &saved_content);
    uint64_t newest = saved > generation ? saved : generation;
    *same_out = generation > 0 && stored == content && saved <= generation;
    *generation_out = *same_out ? generation : newest + 1;
    return r;
}

static int note_generation(struct store *store, uint64_t content, uint64_t generation)
{
    int r = store_begin(store);
    r = r == 0 ? store_meta_set(store, "policy_content", content) : r;
    r = r == 0 ? store_meta_set(store, "policy_generation", generation) : r;
    r = r == 0 ? store_commit(store) : r;
    if (r < 0) {
        store_rollback(store);
    }
    return r;
}

static int save(const struct config *config, uint64_t generation, const void *data, size_t len)
{
    uint64_t content;
    if (config->state_dir[0] == '\0') {
        return 0;
    }
    bool saved = saved_generation(config, &content) == generation;
    if (saved && content == policy_content(data)) {
        return 0;
    }
    return policy_save(config->state_dir, data, len);
}

static int build(struct edition *e, struct store *store, const struct grace *grace)
{
    bool same = false;
    int r = policy_build(e->config, 1, grace->list, grace->count, &e->data, &e->len);
    if (r < 0) {
        return r;
    }
    uint64_t content = policy_content(e->data);
    free(e->data);
    e->data = NULL;
    r = find_generation(store, e->config, content, &e->generation, &same);
    r = of_store(e, store, r, "reading the policy's generation");
    if (r < 0 || (same && e->generation_now == e->generation)) {
        return r;
    }
    r = policy_build(e->config, e->generation, grace->list, grace->count, &e->data, &e->len);
    if (r < 0) {
        return r;
    }
    r = save(e->config, e->generation, e->data, e->len);
    if (r < 0 || same) {
        return r;
    }
    r = note_generation(store, content, e->generation);
    return of_store(e, store, r, "storing the policy's generation");
}

static int make_snapshot(struct edition *e, struct store *store)
{
    struct grace grace = {0};
    uint64_t grace_ms = e->config->control.domain_grace_ms;
    uint64_t since_ms = e->wall_ms > grace_ms ? e->wall_ms - grace_ms : 0;
    list_present(e->config, &grace);
    int r = note_present(store, e->config, e->wall_ms);
    r = r == 0 ? store_domains_since(store, since_ms, add_grace, &grace) : r;
    r = of_store(e, store, r, "noting the domains of the configuration");
    r = r == 0 ? build(e, store, &grace) : r;
    for (size_t i = 0; i < grace.count; i++) {
        free((char *)grace.list[i].domain);
    }
    free(grace.list);
    free(grace.present);
    return r;
}

static int make(struct edition *e, struct store *store)
{
    int r = 0;
    if (e->present != NULL) {
        r = note_present(store, e->present, e->wall_ms); /* the grace of others begins now */
    }
    r = r == 0 ? assign_ids(store, e->config) : r;
    if (r < 0) {
        return of_store(e, store, r, "giving names their ids");
    }
    r = make_snapshot(e, store);
    if (r < 0 && e->text[0] == '\0') {
        snprintf(e->text, sizeof e->text, "policy snapshot: making it in %.300s: %s",
                 e->config->state_dir[0] == '\0' ? "memory" : e->config->state_dir,
                 trouble_meaning(r));
    }
    if (r < 0) {
        free(e->data);
        e->data = NULL;
    }
    return r;
}

static void edition_run(struct work *work, struct work_tools *tools)
{
    struct edition *e = (struct edition *)work;
    if (e->reload.load != NULL) {
        e->error = e->reload.load(e->reload.ctx, &e->config, e->text);
    }
    if (e->error == 0) {
        e->error = make(e, tools->store);
    }
}

/* --- what is no longer used ------------------------------------------------------------------ */

/* Half a million recipients are many pieces of memory: freeing them takes tens of milliseconds. */
struct discard {
    struct work work;
    struct control_reload reload;
    struct config *config;
    void *data;
};

static void unload(const struct control_reload *reload, struct config *config)
{
    if (config != NULL && reload->unload != NULL) {
        reload->unload(reload->ctx, config);
    }
}

static void discard_run(struct work *work, struct work_tools *tools)
{
    struct discard *discard = (struct discard *)work;
    (void)tools;
    unload(&discard->reload, discard->config);
    free(discard->data);
    discard->config = NULL;
    discard->data = NULL;
}

static bool discard_done(struct work *work, struct control *c)
{
    (void)c;
    mem_free(work);
    return true;
}

static void discard_drop(struct work *work)
{
    discard_run(work, NULL);
    mem_free(work);
}

/* In the lane that used them: works before this one may still. */
static void discard_beside(struct control *c, const struct control_reload *reload,
                           struct config *config, void *data)
{
    struct discard *discard = mem_zalloc(sizeof *discard);
    discard->work = (struct work){
        .lane = WORK_STORE, .run = discard_run, .done = discard_done, .drop = discard_drop};
    discard->reload = *reload;
    discard->config = config;
    discard->data = data;
    works_submit(&c->works, &discard->work);
}

/* --- the loop's side ------------------------------------------------------------------------- */

/* Returns the policy that is no longer in force, NULL: none. */
must_check static void *take_over(struct control *c, struct edition *e)
{
    void *old = c->publisher.data;
    if (e->data == NULL) {
        return NULL;
    }
    c->publisher.data = e->data;
    c->publisher.len = e->len;
    c->core.policy_generation = e->generation;
    struct abi_attach *region = c->core.attach.region;
    if (region != NULL) {
        atomic_store_explicit(&region->policy_published, e->generation, memory_order_release);
    }
    return old;
}

static bool edition_done(struct work *work, struct control *c)
{
    struct edition *e = (struct edition *)work;
    struct config *unused = e->reload.load == NULL ? NULL : e->config;
    void *old = NULL;
    c->publisher.under_way = false;
    c->publisher.republish_ns =
        c->core.now.now_ns + (e->error == 0 ? REPUBLISH_NS : REPUBLISH_AGAIN_NS);
    if (e->error == 0) {
        old = take_over(c, e);
    }
    if (e->reload.load != NULL) {
        snprintf(c->publisher.refused, sizeof c->publisher.refused, "%.239s",
                 e->error == 0 ? "" : e->text);
    }
    if (e->reload.load == NULL && e->error < 0) {
        control_say(c, 3, "%s", e->text);
    } else if (e->reload.load != NULL && e->error == 0) {
        unused = c->config;
        c->config = e->config;
        core_configure(&c->core, e->config);
        control_say(c, 6, "configuration in force, policy generation %" PRIu64,
                    c->core.policy_generation);
    }
    if (e->reload.load != NULL) {
        e->reload.done(e->reload.ctx, e->error == 0 ? e->config : NULL,
                       e->error == 0 ? NULL : e->text);
    }
    if (unused != NULL || old != NULL) {
        discard_beside(c, &e->reload, unused, old);
    }
    mem_free(e);
    return true;
}

static void edition_drop(struct work *work)
{
    struct edition *edition = (struct edition *)work;
    free(edition->data);
    if (edition->reload.load != NULL) {
        unload(&edition->reload, edition->config); /* read, and in force nowhere */
    }
    mem_free(edition);
}

static struct edition *new_edition(const struct control *c)
{
    struct edition *e = mem_zalloc(sizeof *e);
    e->work = (struct work){
        .lane = WORK_STORE, .run = edition_run, .done = edition_done, .drop = edition_drop};
    e->config = c->config;
    e->wall_ms = c->core.now.wall_ms;
    e->generation_now = c->publisher.data != NULL ? c->core.policy_generation : 0;
    return e;
}

int publish_first(struct control *c, char error[CONFIG_ERROR_SIZE])
{
    struct edition *e = new_edition(c);
    int r = make(e, c->store);
    if (r == 0) {
        void *old = take_over(c, e);
        assert(old == NULL); /* the first */
        c->publisher.republish_ns = c->core.now.now_ns + REPUBLISH_NS;
    } else {
        snprintf(error, CONFIG_ERROR_SIZE, "%s", e->text);
    }
    mem_free(e);
    return r;
}

void publish_reload(struct control *c, const struct control_reload *reload)
{
    struct edition *e = new_edition(c);
    assert(reload->load != NULL && reload->done != NULL);
    e->reload = *reload;
    e->present = c->config;
    e->config = NULL;
    c->publisher.under_way = true;
    works_submit(&c->works, &e->work);
}

/* Nothing is sent until the dataplane has adopted the policy. If that takes long, the log says
 * so. */
static void watch(struct control *c)
{
    struct publisher *p = &c->publisher;
    const struct attach *a = &c->core.attach;
    if (a->phase != ATTACH_RUNNING || attach_policy_adopted(a, c->core.policy_generation)) {
        p->told_ns = 0;
        return;
    }
    if (p->told_ns != 0 && c->core.now.now_ns >= p->told_ns) {
        notes_add(&c->core.notes, NOTE_POLICY_NOT_TAKEN, NULL, c->core.policy_generation, 0);
        p->told_ns = 0;
    }
    if (p->told_ns == 0) {
        p->told_ns = c->core.now.now_ns + TELL_NS;
    }
}

void publish_turn(struct control *c)
{
    watch(c);
    if (!c->publisher.under_way && c->core.now.now_ns >= c->publisher.republish_ns) {
        struct edition *e = new_edition(c);
        c->publisher.under_way = true;
        works_submit(&c->works, &e->work);
    }
}

uint64_t publish_next_ns(const struct control *c)
{
    return c->publisher.under_way ? UINT64_MAX : c->publisher.republish_ns;
}
