/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/count.c: count: deliveries and recipients by selection, in all and by one or more
 * of route, state, class, hop and domain.
 *
 *   sieve ─▶ sums by (route, state, class, hop), in the loop
 *        └─▶ by domain: in the lane, where the envelope is; the lane makes the list of them, too
 *
 * Promise: the loop's part does not grow with the number of domains. More of them than an answer
 *          can hold are refused, not kept in memory.
 */
#include "control/admin/admin.h"
#include "control/admin/sieve.h"
#include "control/core/mem.h"

#include "common/id.h"
#include "common/limits/address.h"
#include "common/limits/admin.h"
#include "common/limits/names.h"
#include "common/limits/rcpts.h"

#include <stdio.h>
#include <string.h>

enum by {
    BY_ROUTE,
    BY_STATE,
    BY_CLASS,
    BY_HOP,
    BY_DOMAIN,
    BY_COUNT,
};

enum {
    /* An entry of the answer without its key: the names of its members, two numbers of 64 bits. */
    ENTRY_BYTES = 80,
    BYTES_MAX = LIMIT_ADMIN_ANSWER_BYTES - 4096, /* of all entries; some are left for the totals */
    ESCAPED_BYTES = 2,       /* of a quote and a backslash; control bytes are in no key */
    DOMAINS_PER_WORK = 1024, /* another's quick work waits for one such work at most */
};

static const char *const by_names[BY_COUNT] = {"route", "state", "class", "hop", "domain"};

struct sum {
    uint64_t deliveries;
    uint64_t rcpts;
};

struct count_job {
    struct job job;
    struct sieve sieve;
    enum by by[BY_COUNT]; /* in the order asked for */
    size_t by_count;
    bool by_domain;
    uint64_t deliveries;
    uint64_t rcpts;
    struct map sums; /* key_of: struct sum */
    /* The lane's while it works: */
    struct work pouring;
    json_t *domains; /* domain: [deliveries, rcpts] */
    size_t bytes;    /* of their entries, at most */
    json_t *list;    /* the entries of the answer */
    bool too_many;
};

/* --- by what the core knows ------------------------------------------------------------------ */

/* The key of a sum: route 16 bits, hop 16, class 8, state 8, and a bit that makes it never 0. */
static uint64_t key_of(const struct count_job *j, const struct control *c, const struct delivery *d)
{
    uint64_t key = UINT64_C(1) << 48;
    for (size_t i = 0; i < j->by_count; i++) {
        const struct route *route = routes_at(&c->core.routes, d->route);
        switch (j->by[i]) {
        case BY_ROUTE:
            key |= (uint64_t)d->route;
            break;
        case BY_HOP:
            key |= (uint64_t)(route->hop_count > 0 ? route->hop[0]->index : 0) << 16;
            break;
        case BY_CLASS:
            key |= (uint64_t)delivery_class(d, NULL) << 32;
            break;
        case BY_STATE:
            key |= (uint64_t)d->state << 40;
            break;
        case BY_DOMAIN:
        case BY_COUNT:
            break;
        }
    }
    return key;
}

static void visit(struct sieve *s, struct control *c, struct delivery *d,
                  const struct rcptset *mask)
{
    struct count_job *j = s->ctx;
    uint64_t rcpts = rcptset_count(mask);
    j->deliveries++;
    j->rcpts += rcpts;
    if (j->by_count == 0 || j->by_domain) {
        return;
    }
    uint64_t key = key_of(j, c, d);
    struct sum *sum = map_find(&j->sums, key);
    if (sum == NULL) {
        sum = mem_zalloc(sizeof *sum);
        map_put(&j->sums, key, sum);
    }
    sum->deliveries++;
    sum->rcpts += rcpts;
}

/* --- by domain, in the lane ------------------------------------------------------------------ */

static size_t entry_bytes(const char *key)
{
    size_t bytes = ENTRY_BYTES;
    for (const char *p = key; *p != '\0'; p++) {
        bytes += *p == '"' || *p == '\\' ? ESCAPED_BYTES : 1;
    }
    return bytes;
}

static void count_domain(struct count_job *j, const char *key, uint64_t rcpts)
{
    json_t *sum = json_object_get(j->domains, key);
    if (sum == NULL) {
        size_t bytes = entry_bytes(key);
        if (j->too_many || bytes > BYTES_MAX - j->bytes) {
            j->too_many = true;
            return;
        }
        j->bytes += bytes;
        sum = json_pack("[ii]", 0, 0);
        json_object_set_new(j->domains, key, sum);
    }
    json_t *deliveries = json_array_get(sum, 0);
    json_t *total = json_array_get(sum, 1);
    json_integer_set(deliveries, json_integer_value(deliveries) + 1);
    json_integer_set(total, json_integer_value(total) + (json_int_t)rcpts);
}

static void domain_key(const struct envelope *e, unsigned i, char out[LIMIT_ADDRESS_BYTES + 1])
{
    bytes_copy_clean(select_domain_of(e->rcpt[i].address), out, LIMIT_ADDRESS_BYTES + 1);
    for (char *p = out; *p != '\0'; p++) {
        *p = (char)ascii_lower((uint8_t)*p);
    }
}

/* A delivery to several domains counts once under each of them. */
static void look(struct sieve *s, const struct sieve_item *item, const struct envelope *e)
{
    struct count_job *j = s->ctx;
    char key[LIMIT_ADDRESS_BYTES + 1];
    char other[LIMIT_ADDRESS_BYTES + 1];
    unsigned index[LIMIT_RCPTS];
    unsigned count = 0;
    unsigned rcpt = 0;
    if (e == NULL) {
        count_domain(j, "(unreadable)", rcptset_count(&item->mask));
        return;
    }
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        if (e->rcpt[i].route_index == id_index(item->id) && rcptset_has(&item->mask, rcpt++)) {
            index[count++] = i;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t same = 0;
        bool first = true;
        domain_key(e, index[i], key);
        for (unsigned k = 0; k < count; k++) {
            domain_key(e, index[k], other);
            bool equal = strcmp(key, other) == 0;
            first = first && !(equal && k < i);
            same += equal;
        }
        if (first) {
            count_domain(j, key, same);
        }
    }
}

/* --- the answer ------------------------------------------------------------------------------ */

static const char *name_of(const struct control *c, enum by by, uint64_t key)
{
    const struct hop *hop;
    switch (by) {
    case BY_ROUTE:
        return routes_at(&c->core.routes, key & 0xffff)->name;
    case BY_HOP:
        hop = routes_hop_at(&c->core.routes, key >> 16 & 0xffff);
        return hop == NULL ? "(none)" : hop->name;
    case BY_CLASS:
        return outcome_text((enum outcome)(key >> 32 & 0xff));
    case BY_STATE:
        return delivery_state_text((enum delivery_state)(key >> 40 & 0xff));
    case BY_DOMAIN:
    case BY_COUNT:
        break;
    }
    assert(false);
    return "";
}

static void add_entry(json_t *list, const char *key, uint64_t deliveries, uint64_t rcpts)
{
    json_t *entry = json_object();
    admin_set_text(entry, "key", bytes_str(key));
    admin_set_number(entry, "deliveries", deliveries);
    admin_set_number(entry, "rcpts", rcpts);
    json_array_append_new(list, entry);
}

static void add_sums(const struct count_job *j, const struct control *c)
{
    for (size_t at = 0; j->sums.slot != NULL && at <= j->sums.mask; at++) {
        const struct sum *sum = j->sums.slot[at].value;
        char key[BY_COUNT * (LIMIT_NAME_BYTES + 1)];
        struct text text = text_of(key, sizeof key);
        for (size_t i = 0; sum != NULL && i < j->by_count; i++) {
            text_append(&text, i == 0 ? "" : ",");
            text_append(&text, name_of(c, j->by[i], j->sums.slot[at].key));
        }
        if (sum != NULL) {
            add_entry(j->list, key, sum->deliveries, sum->rcpts);
        }
    }
}

static struct count_job *of_pouring(struct work *work)
{
    return (struct count_job *)((char *)work - offsetof(struct count_job, pouring));
}

/* Moves some domains into the list. */
static void pour_run(struct work *work, struct work_tools *tools)
{
    struct count_job *j = of_pouring(work);
    (void)tools;
    for (int i = 0; i < DOMAINS_PER_WORK; i++) {
        void *first = json_object_iter(j->domains);
        if (first == NULL) {
            return;
        }
        char key[LIMIT_ADDRESS_BYTES + 1];
        const json_t *pair = json_object_iter_value(first);
        (void)bytes_copy_str(bytes_str(json_object_iter_key(first)), key, sizeof key);
        if (!j->too_many) {
            add_entry(j->list, key, (uint64_t)json_integer_value(json_array_get(pair, 0)),
                      (uint64_t)json_integer_value(json_array_get(pair, 1)));
        }
        int r = json_object_del(j->domains, key);
        assert(r == 0);
    }
}

static bool pour_done(struct work *work, struct control *c)
{
    struct count_job *j = of_pouring(work);
    (void)c;
    j->job.under_way = false;
    return true;
}

static json_t *answer_of(struct count_job *j, const struct control *c)
{
    if (j->too_many) {
        return admin_error(ADMIN_EXIT_FAILED,
                           "there are too many domains for one answer: narrow it down, as with "
                           "route= or domain=*.example");
    }
    json_t *o = admin_ok();
    admin_set_number(o, "deliveries", j->deliveries);
    admin_set_number(o, "rcpts", j->rcpts);
    add_sums(j, c);
    json_object_set_new(o, "by", j->list);
    j->list = NULL;
    return o;
}

static bool step(struct job *job, struct control *c)
{
    struct count_job *j = (struct count_job *)job;
    if (!j->too_many && !sieve_step(&j->sieve, c)) {
        return true;
    }
    if (json_object_size(j->domains) > 0) {
        j->pouring = (struct work){.lane = WORK_LOOK, .run = pour_run, .done = pour_done};
        job_submit(job, c, &j->pouring);
        return true;
    }
    job->answer = answer_of(j, c);
    return true;
}

static void fini(struct job *job)
{
    struct count_job *j = (struct count_job *)job;
    size_t at = 0;
    for (struct sum *sum = map_next(&j->sums, &at); sum != NULL; sum = map_next(&j->sums, &at)) {
        mem_free(sum);
    }
    map_fini(&j->sums);
    if (job->answer == NULL && j->list != NULL) { /* it ends half-way: a lane frees what is large */
        job->answer = json_array();
        json_array_append_new(job->answer, j->domains);
        json_array_append_new(job->answer, j->list);
        return;
    }
    assert(json_object_size(j->domains) == 0);
    json_decref(j->domains);
    json_decref(j->list);
}

/* Parses "route,class": each field at most once; domain cannot be combined with another. */
static bool parse_by(const char *text, struct count_job *j)
{
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        int by = 0;
        while (by < BY_COUNT &&
               (strlen(by_names[by]) != len || strncmp(by_names[by], text, len) != 0)) {
            by++;
        }
        for (size_t i = 0; i < j->by_count; i++) {
            by = j->by[i] == (enum by)by ? BY_COUNT : by;
        }
        if (by == BY_COUNT) {
            return false;
        }
        j->by[j->by_count++] = (enum by)by;
        j->by_domain |= by == BY_DOMAIN;
        text += len + (text[len] == ',' && text[len + 1] != '\0');
        if (*text == ',') {
            return false;
        }
    }
    return !j->by_domain || j->by_count == 1;
}

json_t *admin_count(struct control *c, struct admin_request *request)
{
    struct count_job parsed = {.by_count = 0};
    const json_t *by = json_object_get(request->json, "by");
    if (by != NULL && (!json_is_string(by) || !parse_by(json_string_value(by), &parsed))) {
        return admin_error(ADMIN_EXIT_USAGE,
                           "by: route, state, class, hop, also several as in route,class; "
                           "or domain alone");
    }
    struct count_job *j = job_create(c, sizeof *j, request, step);
    memcpy(j->by, parsed.by, sizeof j->by);
    j->by_count = parsed.by_count;
    j->by_domain = parsed.by_domain;
    j->job.looks = true;
    j->job.fini = fini;
    j->domains = json_object();
    j->list = json_array();
    sieve_init(&j->sieve, &j->job, &j->job.request.select, visit, j);
    j->sieve.look = j->by_domain ? look : NULL;
    return NULL;
}
