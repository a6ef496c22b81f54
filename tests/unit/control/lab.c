/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/lab.c: see lab.h. */
#include "tests/unit/control/lab.h"

#include "control/core/check.h"
#include "control/core/feed.h"
#include "control/core/up.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A larger table is checked at the end alone: the check takes as long as the table is. */
enum { CHECK_EACH_TURN_MAX = 64 };

static const struct siphash_key key = {1, 2};

static void configure(struct lab *lab)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct config_hop *hop = &lab->hop[i];
        struct config_route *route = &lab->route[i];
        snprintf(hop->name, sizeof hop->name, "h%u", i + 1);
        hop->id = i + 1;
        hop->connection_count_max = 8;
        hop->breaker_failures = 3;
        hop->probe_interval_ms = 1000;
        snprintf(route->name, sizeof route->name, "r%u", i + 1);
        route->id = i + 1;
        route->hop_count = 1;
        route->hop_index[0] = i;
    }
    lab->config.hop = lab->hop;
    lab->config.hop_count = 2;
    lab->config.route = lab->route;
    lab->config.route_count = 2;
    lab->config.retry.first_ms = 1000;
    lab->config.retry.max_ms = 60000;
}

struct lab *lab_create(void)
{
    struct lab *lab = calloc(1, sizeof *lab);
    configure(lab);
    core_init(&lab->core, &key,
              (struct control_time){.now_ns = 1000000000, .wall_ms = 1700000000000});
    core_configure(&lab->core, &lab->config);
    return lab;
}

static void free_rings(struct lab *lab)
{
    if (lab->region != NULL) {
        munmap(lab->region, abi_attach_size(lab->workers));
        lab->region = NULL;
    }
}

void lab_destroy(struct lab *lab)
{
    core_check(&lab->core);
    core_fini(&lab->core);
    free_rings(lab);
    free(lab);
}

struct core *lab_core(const struct lab *lab)
{
    struct core *core = calloc(1, sizeof *core);
    core_init(core, &key, lab->core.now);
    core_configure(core, &lab->config);
    return core;
}

void lab_core_destroy(struct core *core)
{
    core_check(core);
    core_fini(core);
    free(core);
}

void lab_hello(struct lab *lab, uint32_t workers, uint32_t credits)
{
    free_rings(lab);
    size_t size = abi_attach_size(workers);
    lab->workers = workers;
    lab->region = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(lab->region, MAP_FAILED);
    abi_attach_init_rings(lab->region, workers);
    char *base = (char *)lab->region;
    ring_open(&lab->up, (struct ring *)(base + abi_up_offset()), LIMIT_RING_UP_SLOTS);
    for (uint32_t w = 0; w < workers; w++) {
        ring_open(&lab->down[w], (struct ring *)(base + abi_down_offset(w)), LIMIT_RING_DOWN_SLOTS);
    }
    envelope_ring_open(&lab->envelopes, abi_envelope_ring(lab->region));
    atomic_store(&lab->region->policy_adopted, UINT64_MAX);
    lab->number = 0;
    core_attach(&lab->core, lab->region, workers);
    lab_put(lab, (struct abi_up){.type = ABI_UP_HELLO,
                                 .hello = {.message_pos = seen_top(&lab->core.journal.messages),
                                           .state_pos = seen_top(&lab->core.journal.states),
                                           .start = 1,
                                           .credits = credits}});
}

void lab_ends(struct lab *lab)
{
    for (uint32_t w = 0; w < lab->workers; w++) {
        lab_put(lab, (struct abi_up){.type = ABI_UP_INFLIGHT_END});
    }
    lab_turn(lab, 0);
}

void lab_attach(struct lab *lab)
{
    lab_hello(lab, 1, 64);
    lab_ends(lab);
    cr_assert_eq(lab->core.attach.phase, ATTACH_RUNNING);
}

void lab_put(struct lab *lab, struct abi_up up)
{
    up.number = lab->number++;
    bool put = ring_put(&lab->up, &up);
    cr_assert(put);
    atomic_store(&lab->region->up_count, lab->number);
}

void lab_turn(struct lab *lab, uint64_t ms)
{
    struct core *c = &lab->core;
    c->now.now_ns += ms * 1000000;
    c->now.wall_ms += ms;
    bool worked = true;
    for (int i = 0; worked && i < 10000; i++) {
        worked = core_turn(c);
        if (c->wishes.logs.wanted && !lab->unread) {
            c->wishes.logs.wanted = false;
            up_logs_read(c, c->wishes.logs.ticket, 0);
            worked = true;
        }
        for (uint32_t w = 0; lab->region != NULL && w < lab->workers; w++) {
            while (lab->sent_count < LAB_SENT_MAX &&
                   ring_take(&lab->down[w], &lab->sent[lab->sent_count])) {
                lab->sent_count++;
                worked = true;
            }
        }
    }
    cr_assert_not(worked, "the core never rests");
    if (c->index.count <= CHECK_EACH_TURN_MAX) {
        core_check(c);
    }
}

struct life_facts lab_facts(struct lab *lab, uint32_t route, uint16_t rcpts)
{
    uint64_t pos = (UINT64_C(2) << 32) + (1 << 20) + 4096 * ++lab->counter;
    return (struct life_facts){.id = id_make(1, lab->counter, 0),
                               .first_pos = pos,
                               .commit_pos = pos,
                               .received_ms = lab->core.now.wall_ms,
                               .route_id = route,
                               .body_bytes = 100,
                               .rcpt_count = rcpts};
}

void lab_put_commit(struct lab *lab, const struct life_facts *fact)
{
    lab_put(lab, (struct abi_up){.type = ABI_UP_COMMIT,
                                 .commit = {.id = fact->id,
                                            .commit_pos = fact->commit_pos,
                                            .first_pos = fact->first_pos,
                                            .received_ms = fact->received_ms,
                                            .route_id = fact->route_id,
                                            .body_bytes = fact->body_bytes,
                                            .rcpt_count = fact->rcpt_count}});
}

uint64_t lab_commit(struct lab *lab, uint32_t route, uint16_t rcpts)
{
    struct life_facts fact = lab_facts(lab, route, rcpts);
    lab_put_commit(lab, &fact);
    return fact.id;
}

uint64_t lab_mail_from(struct lab *lab, const char *sender, uint16_t rcpts)
{
    struct life_facts fact = lab_facts(lab, 1, rcpts);
    struct envelope *e = calloc(1, sizeof *e);
    e->sender = bytes_str(sender);
    e->rcpt_count = rcpts;
    for (unsigned i = 0; i < rcpts; i++) {
        const char *rcpt = i + 1 < rcpts ? "user@one.test" : "last@one.test";
        e->rcpt[i] = (struct envelope_rcpt){.route_id = 1, .address = bytes_str(rcpt)};
    }
    enum apply_result result = apply_commit(&lab->core, &fact, e, false);
    cr_assert_eq(result, APPLY_NEW);
    free(e);
    return fact.id;
}

void lab_state_at(struct lab *lab, uint64_t pos, uint64_t id, enum abi_state_kind kind,
                  enum outcome outcome, uint64_t rcpts, uint16_t flags)
{
    struct abi_up up = {.type = ABI_UP_STATE,
                        .kind = (uint8_t)kind,
                        .outcome = (uint8_t)outcome,
                        .flags = flags,
                        .state = {.id = id, .state_pos = pos}};
    up.state.rcpts.word[0] = rcpts;
    lab_put(lab, up);
}

uint64_t lab_state(struct lab *lab, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
                   uint64_t rcpts, uint16_t flags)
{
    uint64_t pos = (UINT64_C(1) << 32) + 1024 * ++lab->state_count;
    lab_state_at(lab, pos, id, kind, outcome, rcpts, flags);
    return pos;
}

void lab_log(struct lab *lab, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
             uint64_t rcpts)
{
    struct state_fact fact = {.id = id,
                              .pos = (UINT64_C(1) << 32) + 1024 * ++lab->state_count,
                              .hop_id = 1,
                              .kind = (uint8_t)kind,
                              .outcome = (uint8_t)outcome};
    fact.rcpts.word[0] = rcpts;
    bool fed = feed_state(&lab->core, &fact);
    cr_assert(fed);
}

void lab_attempt(struct lab *lab, uint64_t id, enum outcome outcome, uint64_t rcpts, uint16_t flags)
{
    struct abi_up up = {
        .type = ABI_UP_ATTEMPT, .outcome = (uint8_t)outcome, .flags = flags, .state = {.id = id}};
    up.state.rcpts.word[0] = rcpts;
    lab_put(lab, up);
}

uint8_t *lab_image(struct lab *lab, size_t *len_out)
{
    struct image *image = &lab->core.image;
    uint8_t *data = NULL;
    size_t capacity = 0;
    size_t len = 0;
    struct image_piece *piece;
    while (image->active && !image_step(&lab->core, 1)) {
    }
    while ((piece = image_take(image)) != NULL) {
        data = mem_grow(data, &capacity, len + piece->len, 1);
        memcpy(data + len, piece->bytes, piece->len);
        len += piece->len;
        image_give(image, piece);
    }
    *len_out = len;
    return data;
}

struct delivery *lab_find(struct lab *lab, uint64_t id)
{
    return index_find(&lab->core.index, id);
}

uint32_t lab_times_sent(const struct lab *lab, uint64_t id)
{
    uint32_t times = 0;
    for (uint32_t i = 0; i < lab->sent_count; i++) {
        times += lab->sent[i].type == ABI_DOWN_DELIVER && lab->sent[i].deliver.id == id;
    }
    return times;
}

const struct abi_down *lab_command(const struct lab *lab, uint64_t id)
{
    for (uint32_t i = lab->sent_count; i > 0; i--) {
        if (lab->sent[i - 1].type == ABI_DOWN_STATE && lab->sent[i - 1].state.id == id) {
            return &lab->sent[i - 1];
        }
    }
    return NULL;
}

struct rule *lab_rule(struct core *core, uint32_t id, const char *term)
{
    static struct rule rule;
    char error[SELECT_ERROR_SIZE];
    rule = (struct rule){.id = id};
    bool good = select_parse_terms(&term, 1, &rule.select, error);
    cr_assert(good, "%s", error);
    return rules_add(&core->rules, &rule);
}
