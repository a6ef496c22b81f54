/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/bed.c: see bed.h. */
#include "tests/unit/dataplane/bed.h"

#include "common/crc32c.h"
#include "common/limits/ring.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_BYTES = 4096 };

struct bed bed;

static char dir[] = "/var/tmp/holdfast-writer-XXXXXX"; /* O_DIRECT: not on a tmpfs */

static void ring_doorbell(void *ctx)
{
    cr_assert_eq(ctx, &bed.doorbells);
    bed.doorbells++;
}

void bed_make(void)
{
    const struct spool_settings spool_settings = {
        .segment_bytes = 1 << 20, .segments_max = 6, .state_segment_bytes = 1 << 20};
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(spool_io_create(dir, "pwritev2", -1, false, &bed.io), 0);
    cr_assert_eq(spool_writer_open(bed.io, &spool_settings, &bed.spool), 0);
    const struct writer_settings settings = {.spool = bed.spool,
                                             .worker_count = BED_WORKERS,
                                             .counters = &bed.counters,
                                             .doorbell = ring_doorbell,
                                             .doorbell_ctx = &bed.doorbells};
    cr_assert_eq(writer_create(&settings, &bed.writer), 0);
}

void bed_unmake(void)
{
    writer_destroy(bed.writer);
    spool_writer_close(bed.spool);
    bed.io->ops->destroy(bed.io);
    DIR *d = opendir(dir);
    cr_assert_not_null(d);
    const struct dirent *entry;
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.') {
            cr_assert_eq(unlinkat(dirfd(d), entry->d_name, 0), 0);
        }
    }
    closedir(d);
    cr_assert_eq(rmdir(dir), 0);
}

struct abi_attach *bed_make_region(void)
{
    size_t size = abi_attach_size(BED_WORKERS);
    struct abi_attach *region = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);
    cr_assert_not_null(region);
    memset(region, 0, size);
    struct ring *ring = (struct ring *)((uint8_t *)region + abi_up_offset());
    abi_attach_init_rings(region, BED_WORKERS);
    ring_open(&bed.up, ring, LIMIT_RING_UP_SLOTS);
    return region;
}

struct submission *bed_make_submission(enum spool_submit_kind kind, uint32_t worker)
{
    struct submission *s = calloc(1, sizeof *s);
    cr_assert_not_null(s);
    s->spool.kind = kind;
    s->worker = worker;
    return s;
}

static struct envelope *make_envelope(uint64_t counter, uint32_t route_count)
{
    struct envelope *e = calloc(1, sizeof *e);
    cr_assert_not_null(e);
    e->received_ms = 5000 + counter;
    e->sender = bytes_str("s@x.example");
    e->rcpt_count = (uint16_t)route_count;
    for (uint32_t i = 0; i < route_count; i++) {
        e->rcpt[i] = (struct envelope_rcpt){
            .route_id = 100 + i, .route_index = (uint8_t)i, .address = bytes_str("r@y.example")};
    }
    return e;
}

struct submission *bed_make_commit_with_envelope(uint64_t counter, uint32_t worker,
                                                 uint32_t route_count)
{
    struct submission *s = bed_make_submission(SPOOL_SUBMIT_COMMIT, worker);
    struct envelope *e = make_envelope(counter, route_count);
    for (uint32_t i = 0; i < route_count; i++) {
        s->delivery[i].route_id = 100 + i;
        s->delivery[i].rcpt_count = (uint16_t)(i + 1);
    }
    s->envelope = e;
    s->delivery_count = route_count;
    s->spool.txn = calloc(1, sizeof *s->spool.txn);
    s->spool.buffer = aligned_alloc(SPOOL_BLOCK_BYTES, RECORD_BYTES);
    cr_assert(s->spool.txn != NULL && s->spool.buffer != NULL);
    s->spool.txn->id = id_make(spool_writer_start(bed.spool), counter, 0);
    s->spool.txn->record_count = 1;
    memset(s->spool.buffer, 'x', RECORD_BYTES);
    s->spool.buffer_size = RECORD_BYTES;
    uint8_t *payload = s->spool.buffer + spool_record_prefix(0);
    size_t envelope_bytes = envelope_encode(e, payload, 2048);
    cr_assert_gt(envelope_bytes, 0);
    s->spool.envelope_bytes = (uint32_t)envelope_bytes;
    s->spool.body_bytes = BED_BODY_BYTES;
    s->spool.total_bytes = BED_BODY_BYTES;
    s->spool.body_crc = crc32c(0, payload, envelope_bytes + BED_BODY_BYTES);
    s->spool.received_ms = e->received_ms;
    return s;
}

struct submission *bed_make_commit(uint64_t counter, uint32_t worker, uint32_t route_count)
{
    struct submission *s = bed_make_commit_with_envelope(counter, worker, route_count);
    free((void *)s->envelope);
    s->envelope = NULL;
    return s;
}

struct submission *bed_make_state(uint64_t id, uint32_t worker)
{
    struct submission *s = bed_make_submission(SPOOL_SUBMIT_STATE, worker);
    s->spool.state.id = id;
    s->spool.state.rcpts = rcptset_first(2);
    s->spool.state.time_ms = 4711;
    s->spool.state.hop_id = 9;
    s->spool.state.kind = ABI_STATE_OUTCOME;
    s->spool.state.outcome = OUTCOME_DELIVERED;
    s->spool.state.phase = ABI_PHASE_DOT;
    s->spool.state.code = 250;
    s->spool.user.flags = ABI_FLAG_LAST;
    return s;
}

struct submission *bed_make_note(uint64_t token, uint32_t worker)
{
    struct submission *s = bed_make_submission(SPOOL_SUBMIT_NOTE, worker);
    s->spool.user.type = BED_NOTE_TYPE;
    s->spool.user.state.id = token;
    return s;
}

void bed_give(struct submission *s)
{
    struct ring_slot slot = {{0}};
    memcpy(slot.data, &s, sizeof s);
    cr_assert(ring_put(&writer_port(bed.writer, s->worker)->submit, &slot));
}

struct submission *bed_take_back(uint32_t worker)
{
    struct ring_slot slot;
    struct submission *s = NULL;
    if (ring_take(&writer_port(bed.writer, worker)->done, &slot)) {
        memcpy(&s, slot.data, sizeof s);
        cr_assert_eq(s->worker, worker, "given back to the worker it is of");
    }
    return s;
}

void bed_discard(struct submission *s)
{
    if (s->spool.txn != NULL) {
        free(s->spool.txn);
        free(s->spool.buffer);
    }
    free((void *)s->envelope);
    free(s);
}

void bed_run(void)
{
    for (uint32_t turns = 0; !writer_idle(bed.writer); turns++) {
        cr_assert_lt(turns, 1000000);
        writer_turn(bed.writer, true);
    }
}

uint32_t bed_finish(void)
{
    uint32_t ok = 0;
    bed_run();
    for (uint32_t i = 0; i < BED_WORKERS; i++) {
        struct submission *s;
        while ((s = bed_take_back(i)) != NULL) {
            ok += s->spool.result == SPOOL_RESULT_OK;
            bed_discard(s);
        }
    }
    return ok;
}

struct abi_up bed_next_up(void)
{
    struct abi_up message;
    cr_assert(ring_take(&bed.up, &message), "the up ring is empty");
    return message;
}

void bed_no_more_up(void)
{
    cr_assert(ring_is_empty(&bed.up));
}

uint64_t bed_counter(uint64_t id)
{
    return id >> ID_INDEX_BITS & ((UINT64_C(1) << ID_COUNTER_BITS) - 1);
}
