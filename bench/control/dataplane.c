/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/dataplane.c: see dataplane.h.
 *
 *   step:  rings, policy ─▶ writer_turn ─▶ results ─▶ commands of control ─▶ new mail
 */
#include "bench/control/dataplane.h"

#include "bench/control/record.h"
#include "common/id.h"
#include "common/counter_block.h"
#include "common/limits/ring.h"
#include "dataplane/writer.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    SLOTS = 8192,             /* submissions under way: fewer than the writer's rings hold */
    SLOTS_FOR_MAIL = 4096,    /* how many of them are for new mail; the rest answers control */
    FROZEN_UNANSWERED = 2048, /* of a fill: mail that control has yet to send */
    LIVE_MAX = 1 << 23,
    REGIONS_MAX = 64,
    SPINS = 20,
    NAP_NS = 50000, /* idle_nap of the example configuration */
    MIB = 1 << 20,
};

enum purpose { FOR_NOTHING, FOR_MAIL, FOR_DELIVERED, FOR_REFUSED };

struct slot {
    struct submission submission; /* first member: what comes back is cast */
    struct spool_txn txn;
    uint8_t *buffer;
    struct envelope *envelope;
    struct slot *next;
    enum campus_group group;
    uint64_t live; /* number of a live message */
};

/* When a live message came, and when it was durable. */
struct live_clock {
    uint64_t made_ns; /* 0: seen already */
    uint64_t durable_ns;
};

struct dataplane {
    struct spool_io *io;
    struct spool_writer *spool;
    struct writer *writer;
    struct writer_port *port;
    struct counters counters;
    int doorbell_fd;
    pthread_t thread;
    struct campus campus;
    struct slot *slot;
    uint8_t *buffers;
    struct envelope *envelopes;
    struct slot *free_slot;
    uint32_t slots_taken;
    uint32_t mail_taken;

    /* The thread's own. */
    struct abi_attach *region;
    struct ring_end down;
    uint64_t counter;   /* of message ids */
    uint64_t live_base; /* counter of the first live message, minus 1 */
    uint64_t live_made;
    uint64_t live_next_ns;
    uint64_t filled[CAMPUS_GROUP_COUNT];
    uint64_t turn_ns;         /* when the newest turn of the writer began */
    struct live_clock *clock; /* of each live message */

    /* What the other thread asks for. */
    _Atomic(struct abi_attach *) region_wanted;
    _Atomic uint64_t fill_wanted[CAMPUS_GROUP_COUNT];
    _Atomic uint32_t share;
    _Atomic uint32_t live_rate;
    _Atomic(struct dataplane_latency *) latency;
    _Atomic bool stop;

    /* What the other thread may read. */
    _Atomic(struct abi_attach *) region_used;
    _Atomic uint64_t committed[CAMPUS_GROUP_COUNT];
    _Atomic uint64_t delivered;
    _Atomic uint64_t refused;
    _Atomic uint32_t live_rate_seen;
    _Atomic uint32_t under_way;

    /* The other thread's own. */
    struct abi_attach *made[REGIONS_MAX];
    uint64_t epoch;
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_release);
}

/* --- submissions ------------------------------------------------------------------------------ */

static struct slot *take_slot(struct dataplane *dp)
{
    struct slot *s = dp->free_slot;
    assert(s != NULL && dp->slots_taken < SLOTS);
    dp->free_slot = s->next;
    dp->slots_taken++;
    uint8_t *buffer = s->buffer;
    struct envelope *envelope = s->envelope;
    *s = (struct slot){.buffer = buffer, .envelope = envelope};
    return s;
}

static void give_slot(struct dataplane *dp, struct slot *s)
{
    assert(dp->slots_taken > 0);
    dp->slots_taken--;
    s->next = dp->free_slot;
    dp->free_slot = s;
}

static void submit(struct dataplane *dp, struct slot *s, enum spool_submit_kind kind,
                   enum purpose purpose)
{
    struct submission *submission = &s->submission;
    submission->spool.kind = kind;
    submission->purpose = purpose;
    struct ring_slot message = {{0}};
    memcpy(message.data, &submission, sizeof submission);
    bool room = ring_put(&dp->port->submit, &message);
    assert(room); /* there are fewer slots than the ring has */
}

static void note(struct dataplane *dp, const struct abi_up *up)
{
    struct slot *s = take_slot(dp);
    s->submission.spool.user = *up;
    submit(dp, s, SPOOL_SUBMIT_NOTE, FOR_NOTHING);
}

static bool take_results(struct dataplane *dp)
{
    struct ring_slot message;
    bool worked = false;
    while (ring_take(&dp->port->done, &message)) {
        struct submission *submission;
        memcpy(&submission, message.data, sizeof submission);
        struct slot *s = (struct slot *)submission;
        worked = true;
        if (submission->spool.result != SPOOL_RESULT_OK && submission->purpose != FOR_NOTHING) {
            fprintf(stderr, "bench_control: the spool failed (result %d): full?\n",
                    submission->spool.result);
            exit(1);
        }
        switch ((enum purpose)submission->purpose) {
        case FOR_MAIL:
            dp->mail_taken--;
            if (s->group == CAMPUS_LIVE) {
                /* The turn of the writer that saw it durable also put its COMMIT: control may
                 * have answered since. */
                dp->clock[s->live].durable_ns = dp->turn_ns;
            }
            add(&dp->committed[s->group], 1);
            break;
        case FOR_DELIVERED:
            add(&dp->delivered, s->live);
            break;
        case FOR_REFUSED:
            add(&dp->refused, 1);
            break;
        case FOR_NOTHING:
            break;
        }
        give_slot(dp, s);
    }
    return worked;
}

/* --- rings ------------------------------------------------------------------------------------ */

/* The writer changes to the new rings first. Then comes what is under way, which is nothing: a
 * DELIVER is answered in the step that sees it. */
static void take_region(struct dataplane *dp)
{
    struct abi_attach *wanted = atomic_load_explicit(&dp->region_wanted, memory_order_acquire);
    if (dp->region != NULL) {
        uint64_t published =
            atomic_load_explicit(&dp->region->policy_published, memory_order_acquire);
        atomic_store_explicit(&dp->region->policy_adopted, published, memory_order_release);
    }
    if (wanted == dp->region) {
        return;
    }
    if (writer_attached(dp->writer) != wanted) {
        writer_attach(dp->writer, wanted);
        return;
    }
    if (dp->slots_taken == SLOTS) {
        return;
    }
    dp->region = wanted;
    ring_open(&dp->down, (struct ring *)((uint8_t *)wanted + abi_down_offset(0)),
              LIMIT_RING_DOWN_SLOTS);
    struct abi_up end = {.type = ABI_UP_INFLIGHT_END};
    note(dp, &end);
    atomic_store_explicit(&dp->region_used, wanted, memory_order_release);
}

/* Entries of the up ring that control has not taken. */
static uint32_t unread(const struct dataplane *dp)
{
    struct ring *up = (struct ring *)((uint8_t *)dp->region + abi_up_offset());
    return atomic_load_explicit(&up->tail, memory_order_relaxed) -
           atomic_load_explicit(&up->head, memory_order_acquire);
}

static void ring_bell(void *ctx)
{
    const struct dataplane *dp = ctx;
    uint64_t one = 1;
    ssize_t written = write(dp->doorbell_fd, &one, sizeof one);
    assert(written == (ssize_t)sizeof one);
}

/* --- commands of control ---------------------------------------------------------------------- */

/* The first DELIVER of a live message ends its latency. Returns 1 for it, 0 for one that was seen
 * before. */
static uint64_t see_live(struct dataplane *dp, uint64_t id)
{
    uint64_t counter = id >> ID_INDEX_BITS & ((UINT64_C(1) << ID_COUNTER_BITS) - 1);
    uint64_t live = counter - dp->live_base - 1;
    assert(counter > dp->live_base && live < dp->live_made);
    struct live_clock *clock = &dp->clock[live];
    struct dataplane_latency *latency = atomic_load(&dp->latency);
    if (clock->made_ns == 0) {
        return 0;
    }
    uint64_t now_ns = bench_now_ns();
    assert(clock->made_ns <= clock->durable_ns && clock->durable_ns <= now_ns);
    uint64_t paused_ns = latency->pauses == NULL
                             ? 0
                             : bench_pauses_anywhere(latency->pauses, clock->made_ns, now_ns);
    bench_histogram_add(&latency->whole, now_ns - clock->made_ns);
    bench_histogram_add(&latency->net, now_ns - clock->made_ns - paused_ns);
    bench_histogram_add(&latency->control, now_ns - clock->durable_ns);
    clock->made_ns = 0;
    return 1;
}

static void deliver(struct dataplane *dp, const struct abi_down *down)
{
    static const char refusal[] = "5.7.1 Command rejected";
    struct slot *s = take_slot(dp);
    bool taken = down->deliver.hop_id == dp->campus.live_hop_id;
    struct spool_state_entry *state = &s->submission.spool.state;
    state->id = down->deliver.id;
    state->rcpts = down->deliver.rcpts;
    state->time_ms = bench_wall_ms();
    state->hop_id = down->deliver.hop_id;
    state->kind = ABI_STATE_OUTCOME;
    state->outcome = taken ? OUTCOME_DELIVERED : OUTCOME_POLICY;
    state->phase = taken ? ABI_PHASE_DOT : ABI_PHASE_RCPT;
    state->code = taken ? 250 : 550;
    if (!taken) {
        memcpy(state->text, refusal, sizeof refusal - 1);
        state->text_len = sizeof refusal - 1;
    }
    s->submission.spool.user.flags = ABI_FLAG_LAST;
    s->live = taken ? see_live(dp, down->deliver.id) : 0;
    submit(dp, s, SPOOL_SUBMIT_STATE, taken ? FOR_DELIVERED : FOR_REFUSED);
}

static void command(struct dataplane *dp, const struct abi_down *down)
{
    struct slot *s;
    struct abi_up fence = {.type = ABI_UP_FENCE};
    switch ((enum abi_down_type)down->type) {
    case ABI_DOWN_DELIVER:
        deliver(dp, down);
        return;
    case ABI_DOWN_STATE:
        s = take_slot(dp);
        s->submission.spool.state.id = down->state.id;
        s->submission.spool.state.rcpts = down->state.rcpts;
        s->submission.spool.state.kind = down->kind;
        s->submission.spool.state.outcome = down->outcome;
        s->submission.spool.state.time_ms = bench_wall_ms();
        submit(dp, s, SPOOL_SUBMIT_STATE, FOR_NOTHING);
        return;
    case ABI_DOWN_RECYCLE:
    case ABI_DOWN_STATE_RECYCLE:
        s = take_slot(dp);
        s->submission.spool.seq = down->recycle.seq;
        s->submission.spool.seen_pos = down->recycle.seen_pos;
        submit(dp, s,
               down->type == ABI_DOWN_RECYCLE ? SPOOL_SUBMIT_RECYCLE : SPOOL_SUBMIT_STATE_RECYCLE,
               FOR_NOTHING);
        return;
    case ABI_DOWN_FENCE:
        fence.fence.token = down->fence.token;
        note(dp, &fence);
        return;
    }
    assert(!"control said what it never says");
}

static bool take_commands(struct dataplane *dp)
{
    struct abi_down down;
    bool worked = false;
    while (dp->region != NULL && dp->slots_taken + 1 < SLOTS && ring_take(&dp->down, &down)) {
        command(dp, &down);
        worked = true;
    }
    return worked;
}

/* --- new mail --------------------------------------------------------------------------------- */

static void make_message(struct dataplane *dp, enum campus_group group, uint32_t share)
{
    struct slot *s = take_slot(dp);
    dp->mail_taken++;
    assert(group != CAMPUS_LIVE || dp->counter == dp->live_base + dp->live_made);
    s->group = group;
    if (group == CAMPUS_LIVE) {
        s->live = dp->live_made++;
        dp->clock[s->live].made_ns = bench_now_ns();
    }
    s->txn.id = id_make(spool_writer_start(dp->spool), dp->counter + 1, 0);
    record_lay(&dp->campus, group, dp->counter++, share, s->buffer, s->envelope, &s->txn,
               &s->submission);
    submit(dp, s, SPOOL_SUBMIT_COMMIT, FOR_MAIL);
}

/* A fill is no faster than control: the ring must never be full. */
static bool may_fill(const struct dataplane *dp, enum campus_group group, uint32_t share)
{
    if (dp->region == NULL || dp->mail_taken >= SLOTS_FOR_MAIL ||
        unread(dp) + dp->slots_taken * share > LIMIT_RING_UP_SLOTS / 2) {
        return false;
    }
    return group != CAMPUS_FROZEN ||
           dp->filled[group] * share < atomic_load(&dp->refused) + FROZEN_UNANSWERED;
}

static bool fill(struct dataplane *dp, enum campus_group group)
{
    uint64_t wanted = atomic_load_explicit(&dp->fill_wanted[group], memory_order_acquire);
    uint32_t share = atomic_load_explicit(&dp->share, memory_order_relaxed);
    bool worked = false;
    while (dp->filled[group] < wanted && may_fill(dp, group, share)) {
        make_message(dp, group, share);
        dp->filled[group]++;
        worked = true;
    }
    return worked;
}

/* Live mail is made by the clock, even when control is slow: a control that stands still is
 * measured so. */
static bool make_live(struct dataplane *dp)
{
    uint32_t rate = atomic_load_explicit(&dp->live_rate, memory_order_acquire);
    uint64_t now_ns = bench_now_ns();
    if (rate != atomic_load_explicit(&dp->live_rate_seen, memory_order_relaxed)) {
        atomic_store_explicit(&dp->live_rate_seen, rate, memory_order_release);
        dp->live_next_ns = now_ns;
        /* Earlier live mail is all delivered. Other mail may have come since. */
        dp->live_base = dp->counter - dp->live_made;
    }
    bool worked = false;
    while (rate > 0 && dp->live_next_ns <= now_ns && dp->mail_taken < SLOTS_FOR_MAIL) {
        if (dp->live_made == LIVE_MAX) {
            fprintf(stderr, "bench_control: more than %d live messages\n", LIVE_MAX);
            exit(1);
        }
        make_message(dp, CAMPUS_LIVE, 1);
        dp->live_next_ns += UINT64_C(1000000000) / rate;
        worked = true;
    }
    return worked;
}

/* --- the thread ------------------------------------------------------------------------------- */

static bool step(struct dataplane *dp)
{
    take_region(dp);
    dp->turn_ns = bench_now_ns();
    bool worked = writer_turn(dp->writer, false);
    worked = take_results(dp) || worked;
    worked = take_commands(dp) || worked;
    worked = fill(dp, CAMPUS_HELD) || worked;
    worked = fill(dp, CAMPUS_FROZEN) || worked;
    worked = make_live(dp) || worked;
    atomic_store_explicit(&dp->under_way, dp->slots_taken, memory_order_release);
    return worked;
}

static void *run(void *arg)
{
    struct dataplane *dp = arg;
    uint32_t idle = 0;
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(CAMPUS_LCORE, &own);
    (void)prctl(PR_SET_TIMERSLACK, 1000);
    (void)pthread_setaffinity_np(pthread_self(), sizeof own, &own);
    while (!atomic_load_explicit(&dp->stop, memory_order_relaxed) || dp->slots_taken > 0) {
        idle = step(dp) ? 0 : idle + 1;
        if (idle > SPINS) {
            (void)nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
        }
    }
    return NULL;
}

static int make_slots(struct dataplane *dp)
{
    dp->slot = calloc(SLOTS, sizeof *dp->slot);
    dp->buffers = aligned_alloc(4096, (size_t)SLOTS * RECORD_BYTES);
    dp->envelopes = malloc(SLOTS * sizeof *dp->envelopes);
    dp->clock = calloc(LIVE_MAX, sizeof *dp->clock);
    if (dp->slot == NULL || dp->buffers == NULL || dp->envelopes == NULL || dp->clock == NULL) {
        return -ENOMEM;
    }
    /* Touched now, so that the memory is not counted as control's later. */
    memset(dp->buffers, 0, (size_t)SLOTS * RECORD_BYTES);
    memset(dp->envelopes, 0, SLOTS * sizeof *dp->envelopes);
    for (uint32_t i = 0; i < SLOTS; i++) {
        dp->slot[i].buffer = dp->buffers + (size_t)i * RECORD_BYTES;
        dp->slot[i].envelope = &dp->envelopes[i];
        dp->slot[i].next = dp->free_slot;
        dp->free_slot = &dp->slot[i];
    }
    return 0;
}

int dataplane_create(const char *dir, uint32_t segment_mib, int doorbell_fd, struct dataplane **out)
{
    struct spool_settings settings = {.segment_bytes = (uint64_t)segment_mib * MIB,
                                      .segments_max = CAMPUS_SEGMENTS_MAX,
                                      .state_segment_bytes = (uint64_t)segment_mib * MIB};
    struct dataplane *dp = calloc(1, sizeof *dp);
    assert(dp != NULL);
    dp->doorbell_fd = doorbell_fd;
    atomic_store(&dp->share, 1);
    int err = make_slots(dp);
    err = err == 0 ? spool_io_create(dir, "auto", -1, false, &dp->io) : err;
    err = err == 0 ? spool_writer_open(dp->io, &settings, &dp->spool) : err;
    struct writer_settings writer = {.spool = dp->spool,
                                     .worker_count = 1,
                                     .counters = &dp->counters,
                                     .doorbell = ring_bell,
                                     .doorbell_ctx = dp};
    err = err == 0 ? writer_create(&writer, &dp->writer) : err;
    if (err == 0) {
        dp->port = writer_port(dp->writer, 0);
        err = -pthread_create(&dp->thread, NULL, run, dp);
    }
    *out = dp;
    return err;
}

void dataplane_destroy(struct dataplane *dp)
{
    atomic_store(&dp->live_rate, 0);
    atomic_store(&dp->stop, true);
    int err = pthread_join(dp->thread, NULL);
    assert(err == 0);
    writer_destroy(dp->writer);
    spool_writer_close(dp->spool);
    dp->io->ops->destroy(dp->io);
    dataplane_forget_older(dp, NULL);
    free(dp->clock);
    free(dp->buffers);
    free(dp->envelopes);
    free(dp->slot);
    free(dp);
}

/* --- for the other thread --------------------------------------------------------------------- */

const char *dataplane_io_name(const struct dataplane *dp)
{
    return dp->io->ops->name(dp->io);
}

void dataplane_set_campus(struct dataplane *dp, const struct campus *campus)
{
    assert(atomic_load(&dp->region_used) == NULL); /* before the first mail */
    dp->campus = *campus;
}

struct abi_attach *dataplane_offer(struct dataplane *dp, uint64_t policy_generation)
{
    struct abi_attach *region =
        mmap(NULL, abi_attach_size(1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(region != MAP_FAILED);
    memset(region, 0, abi_attach_size(1)); /* touched now: not counted as control's later */
    *region = (struct abi_attach){.magic = ABI_MAGIC_ATTACH,
                                  .version = ABI_VERSION,
                                  .layout_hash = abi_layout_hash(),
                                  .epoch = ++dp->epoch,
                                  .worker_count = 1};
    atomic_store(&region->policy_published, policy_generation);
    abi_attach_init_rings(region, 1);
    uint32_t at = 0;
    while (at < REGIONS_MAX && dp->made[at] != NULL) {
        at++;
    }
    assert(at < REGIONS_MAX);
    dp->made[at] = region;
    atomic_store_explicit(&dp->region_wanted, region, memory_order_release);
    return region;
}

bool dataplane_has_taken(const struct dataplane *dp, const struct abi_attach *region)
{
    return atomic_load_explicit(&dp->region_used, memory_order_acquire) == region;
}

void dataplane_forget_older(struct dataplane *dp, const struct abi_attach *region)
{
    for (uint32_t i = 0; i < REGIONS_MAX; i++) {
        if (dp->made[i] != NULL && dp->made[i] != region) {
            munmap(dp->made[i], abi_attach_size(1));
            dp->made[i] = NULL;
        }
    }
}

void dataplane_fill(struct dataplane *dp, enum campus_group group, uint64_t messages,
                    uint32_t share)
{
    assert(group != CAMPUS_LIVE && share > 0 && share <= CAMPUS_ROUTES);
    atomic_store(&dp->share, share);
    add(&dp->fill_wanted[group], messages);
}

void dataplane_live(struct dataplane *dp, uint32_t rate, struct dataplane_latency *latency)
{
    assert(rate == 0 || latency != NULL);
    if (latency != NULL) {
        atomic_store(&dp->latency, latency);
    }
    atomic_store_explicit(&dp->live_rate, rate, memory_order_release);
}

uint64_t dataplane_committed(const struct dataplane *dp, enum campus_group group)
{
    return atomic_load_explicit(&dp->committed[group], memory_order_acquire);
}

uint64_t dataplane_delivered(const struct dataplane *dp)
{
    return atomic_load_explicit(&dp->delivered, memory_order_acquire);
}

uint64_t dataplane_refused(const struct dataplane *dp)
{
    return atomic_load_explicit(&dp->refused, memory_order_acquire);
}

bool dataplane_is_idle(const struct dataplane *dp)
{
    bool filled = true;
    for (int g = 0; g < CAMPUS_LIVE; g++) {
        filled = filled &&
                 dataplane_committed(dp, (enum campus_group)g) == atomic_load(&dp->fill_wanted[g]);
    }
    return filled && atomic_load(&dp->live_rate) == 0 && atomic_load(&dp->live_rate_seen) == 0 &&
           dataplane_delivered(dp) == dataplane_committed(dp, CAMPUS_LIVE) &&
           atomic_load_explicit(&dp->under_way, memory_order_acquire) == 0;
}
