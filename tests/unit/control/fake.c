/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/fake.c: see fake.h. */
#include "tests/unit/control/fake.h"

#include "common/config.h"
#include "control/core/check.h"
#include "control/shell/parts.h"
#include "common/crc32c.h"
#include "common/limits/ring.h"
#include "spool/reader.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFER = 256 * 1024 };

static void name_hop(struct config_hop *hop, const char *name)
{
    config_hop_defaults(hop);
    snprintf(hop->name, sizeof hop->name, "%s", name);
    hop->address_count = 1;
    const uint8_t local[4] = {127, 0, 0, 1};
    hop->address[0] = ip_from_v4(local);
    hop->port = 2525;
    hop->connection_count_max = 4;
    hop->messages_per_connection_max = 100;
    hop->breaker_failures = 3;
    hop->probe_interval_ms = 1000;
}

static void name_route(struct config_route *route, const char *name, const char *domain)
{
    config_route_defaults(route);
    snprintf(route->name, sizeof route->name, "%s", name);
    snprintf(route->owner, sizeof route->owner, "%s", "postmaster");
    route->domain = calloc(1, sizeof(char *));
    route->domain[0] = strdup(domain);
    route->domain_count = 1;
    route->hop_count = 1;
}

static struct config *make_config(const char *dir)
{
    struct config *config = malloc(sizeof *config);
    cr_assert_not_null(config);
    config_defaults(config);
    config->state_dir[0] = '\0'; /* the policy stays in memory */
    snprintf(config->hostname, sizeof config->hostname, "%s", "mx.test");
    snprintf(config->instance, sizeof config->instance, "%s", "test");
    snprintf(config->spool.dir, sizeof config->spool.dir, "%s", dir);
    config->retry.first_ms = 1000;
    config->retry.max_ms = 60000;
    config->control.checkpoint_interval_ms = 3600 * 1000;
    config->control.domain_grace_ms = 86400 * 1000;
    config->hop_count = FAKE_HOPS;
    config->hop = calloc(FAKE_HOPS, sizeof *config->hop);
    name_hop(&config->hop[0], "h1");
    name_hop(&config->hop[1], "h2");
    name_hop(&config->hop[2], "h3");
    config->route_count = FAKE_ROUTES;
    config->route = calloc(FAKE_ROUTES, sizeof *config->route);
    name_route(&config->route[0], "r1", "one.test");
    name_route(&config->route[1], "r2", "two.test");
    name_route(&config->route[2], "r3", "three.test");
    config->route[1].hop_index[0] = 1;
    config->route[2].hop_index[0] = 0;
    config->route[2].hop_index[1] = 1;
    config->route[2].hop_count = 2;
    return config;
}

static void begin_control(struct fake *f)
{
    char error[CONFIG_ERROR_SIZE] = "";
    cr_assert_eq(control_create(f->config, f->db, f->control_io, f->time, &f->control, error), 0,
                 "%s", error);
    control_recover(f->control, f->time);
}

static void recover(struct fake *f)
{
    while ((f->recovered = control_recovered(f->control)) == 0) {
        (void)control_turn(f->control, f->time);
        (void)control_work(f->control);
    }
}

struct fake *fake_create(void)
{
    static const struct spool_settings settings = {
        .segment_bytes = 1 << 20, .segments_max = 24, .state_segment_bytes = 1 << 20};
    struct fake *f = calloc(1, sizeof *f);
    f->time = (struct control_time){.now_ns = 1000000000, .wall_ms = 1700000000000};
    f->credits = 64;
    snprintf(f->dir, sizeof f->dir, "%s", "/var/tmp/hf-control-XXXXXX");
    cr_assert_not_null(mkdtemp(f->dir));
    cr_assert_eq(spool_io_create(f->dir, "pwritev2", -1, false, &f->writer_io), 0);
    cr_assert_eq(spool_io_create(f->dir, "pwritev2", -1, false, &f->control_io), 0);
    cr_assert_eq(spool_writer_open(f->writer_io, &settings, &f->writer), 0);
    cr_assert_eq(sqlite3_open(":memory:", &f->db), SQLITE_OK);
    f->config = make_config(f->dir);
    begin_control(f);
    recover(f);
    return f;
}

static void free_rings(struct fake *f)
{
    if (f->region != NULL) {
        munmap(f->region, abi_attach_size(1));
        f->region = NULL;
    }
}

static void remove_folder(const char *path)
{
    char name[512];
    DIR *dir = opendir(path);
    cr_assert_not_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        (void)unlink(name);
    }
    closedir(dir);
    cr_assert_eq(rmdir(path), 0);
}

static void end_control(struct fake *f)
{
    core_check(&f->control->core);
    control_destroy(f->control);
}

void fake_destroy(struct fake *f)
{
    end_control(f);
    spool_writer_close(f->writer);
    f->writer_io->ops->destroy(f->writer_io);
    f->control_io->ops->destroy(f->control_io);
    sqlite3_close(f->db);
    free_rings(f);
    for (uint32_t i = 0; i < f->config->route_count; i++) {
        free(f->config->route[i].domain[0]);
        free(f->config->route[i].domain);
    }
    free(f->config->route);
    free(f->config->hop);
    free(f->config);
    remove_folder(f->dir);
    free(f);
}

void fake_begin_control(struct fake *f, bool clean)
{
    cr_assert(!clean || control_checkpoint(f->control, f->time) == 0);
    end_control(f);
    free_rings(f);
    begin_control(f);
}

void fake_restart_control(struct fake *f, bool clean)
{
    fake_begin_control(f, clean);
    recover(f);
}

void fake_rings(struct fake *f)
{
    struct abi_attach *old = f->region;
    f->region =
        mmap(NULL, abi_attach_size(1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(f->region, MAP_FAILED);
    char *base = (char *)f->region;
    abi_attach_init_rings(f->region, 1);
    ring_open(&f->up, (struct ring *)(base + abi_up_offset()), LIMIT_RING_UP_SLOTS);
    ring_open(&f->down, (struct ring *)(base + abi_down_offset(0)), LIMIT_RING_DOWN_SLOTS);
    f->number = 0;
    control_attach(f->control, f->region, 1);
    if (old != NULL) {
        munmap(old, abi_attach_size(1));
    }
}

void fake_put(struct fake *f, struct abi_up up)
{
    up.number = f->number++;
    if (!f->deaf && f->region != NULL) {
        bool put = ring_put(&f->up, &up);
        cr_assert(put);
    }
    if (f->region != NULL && !f->unpublished) {
        atomic_store(&f->region->up_count, f->number);
    }
}

void fake_attach(struct fake *f, const uint64_t *in_flight, uint32_t count)
{
    fake_rings(f);
    fake_put(f, (struct abi_up){.type = ABI_UP_HELLO,
                                .hello = {.message_pos = spool_writer_message_pos(f->writer),
                                          .state_pos = spool_writer_state_pos(f->writer),
                                          .start = spool_writer_start(f->writer),
                                          .credits = f->credits}});
    for (uint32_t i = 0; i < count; i++) {
        fake_put(f, (struct abi_up){.type = ABI_UP_INFLIGHT, .inflight = {.id = in_flight[i]}});
    }
    fake_put(f, (struct abi_up){.type = ABI_UP_INFLIGHT_END});
}

static void publish(struct fake *f)
{
    if (f->region != NULL && !f->unpublished) {
        atomic_store(&f->region->durable_message_pos, spool_writer_message_pos(f->writer));
        atomic_store(&f->region->durable_state_pos, spool_writer_state_pos(f->writer));
    }
}

static void run_writer(struct fake *f, struct spool_submit *submit)
{
    spool_writer_submit(f->writer, submit);
    struct spool_submit *done = NULL;
    while (done == NULL) {
        done = spool_writer_turn(f->writer, true);
    }
    cr_assert_eq(done, submit);
    cr_assert_eq(submit->result, SPOOL_RESULT_OK);
    publish(f);
}

static size_t lay_payload(struct fake *f, const struct fake_mail *mail, uint8_t *out,
                          uint32_t *envelope_bytes_out, struct envelope *e)
{
    static const char text[] = "Subject: x\r\n\r\nbody\r\n";
    uint32_t routes[8];
    uint32_t route_count = 0;
    *e = (struct envelope){.received_ms = f->time.wall_ms,
                           .helo = bytes_str("client.test"),
                           .sender = bytes_str(mail->sender),
                           .rcpt_count = (uint16_t)mail->count};
    for (uint32_t i = 0; i < mail->count; i++) {
        uint32_t n = 0;
        while (n < route_count && routes[n] != mail->route[i]) {
            n++;
        }
        if (n == route_count) {
            routes[route_count++] = mail->route[i];
        }
        e->rcpt[i] = (struct envelope_rcpt){.route_id = mail->route[i],
                                            .route_index = (uint8_t)n,
                                            .address = bytes_str(mail->rcpt[i])};
    }
    size_t len = envelope_encode(e, out, LIMIT_ENVELOPE_BYTES);
    cr_assert_gt(len, 0);
    *envelope_bytes_out = (uint32_t)len;
    memcpy(out + len, text, sizeof text - 1);
    len += sizeof text - 1;
    memset(out + len, 'x', mail->padding);
    return len + mail->padding;
}

uint64_t fake_mail(struct fake *f, const struct fake_mail *mail)
{
    static struct envelope e;
    uint8_t *buffer = aligned_alloc(SPOOL_BLOCK_BYTES, BUFFER);
    memset(buffer, 0, BUFFER);
    uint64_t id = id_make(spool_writer_start(f->writer), ++f->counter, 0);
    struct spool_txn txn = {.id = id, .record_count = 1};
    struct spool_submit *s = calloc(1, sizeof *s);
    uint32_t envelope_bytes;
    uint8_t *payload = buffer + spool_record_prefix(0);
    size_t len = lay_payload(f, mail, payload, &envelope_bytes, &e);
    s->kind = SPOOL_SUBMIT_COMMIT;
    s->txn = &txn;
    s->buffer = buffer;
    s->buffer_size = BUFFER;
    s->envelope_bytes = envelope_bytes;
    s->body_bytes = (uint32_t)len - envelope_bytes;
    s->body_crc = crc32c(0, payload, len);
    s->total_bytes = s->body_bytes;
    s->received_ms = f->time.wall_ms;
    run_writer(f, s);
    f->last_commit_pos = s->pos;
    for (unsigned i = 0; i < envelope_route_count(&e); i++) {
        unsigned n = 0;
        while (e.rcpt[n].route_index != i) {
            n++;
        }
        fake_put(f,
                 (struct abi_up){.type = ABI_UP_COMMIT,
                                 .commit = {.id = id | i,
                                            .commit_pos = s->pos,
                                            .first_pos = s->pos,
                                            .received_ms = s->received_ms,
                                            .route_id = e.rcpt[n].route_id,
                                            .body_bytes = s->total_bytes,
                                            .rcpt_count = (uint16_t)envelope_route_rcpts(&e, i)}});
    }
    free(buffer);
    free(s);
    return id;
}

uint64_t fake_simple(struct fake *f, uint32_t route)
{
    struct fake_mail mail = {
        .sender = "a@from.test", .count = 1, .route = {route}, .rcpt = {"user@one.test"}};
    return fake_mail(f, &mail);
}

static void split_part(struct fake *f, struct spool_txn *txn, const uint8_t *data, size_t len,
                       uint32_t envelope_bytes)
{
    uint8_t *buffer = aligned_alloc(SPOOL_BLOCK_BYTES, BUFFER);
    memset(buffer, 0, BUFFER);
    struct spool_submit *s = calloc(1, sizeof *s);
    uint8_t *payload = buffer + spool_record_prefix(txn->record_count);
    memcpy(payload, data, len);
    s->kind = txn->record_count++ == 0 ? SPOOL_SUBMIT_RECORD : SPOOL_SUBMIT_COMMIT;
    s->txn = txn;
    s->buffer = buffer;
    s->buffer_size = BUFFER;
    s->envelope_bytes = envelope_bytes;
    s->body_bytes = (uint32_t)len - envelope_bytes;
    s->body_crc = crc32c(0, payload, len);
    s->total_bytes = (uint32_t)txn->written_bytes + s->body_bytes;
    s->received_ms = f->time.wall_ms;
    run_writer(f, s);
    free(buffer);
    free(s);
}

uint64_t fake_split_begin(struct fake *f, uint32_t route, struct spool_txn *txn)
{
    static struct envelope e;
    struct fake_mail mail = {
        .sender = "a@from.test", .count = 1, .route = {route}, .rcpt = {"user@one.test"}};
    uint8_t *data = calloc(1, BUFFER);
    uint32_t envelope_bytes;
    size_t len = lay_payload(f, &mail, data, &envelope_bytes, &e);
    *txn = (struct spool_txn){.id = id_make(spool_writer_start(f->writer), ++f->counter, 0)};
    split_part(f, txn, data, len, envelope_bytes);
    free(data);
    return txn->first_pos;
}

void fake_split_end(struct fake *f, struct spool_txn *txn)
{
    static const uint8_t rest[] = "the rest\r\n";
    split_part(f, txn, rest, sizeof rest - 1, 0);
    f->number++; /* COMMIT, dropped */
}

/* The path of the file that holds a segment of the message log. */
static void segment_path(struct fake *f, uint64_t seq, char *out, size_t out_size)
{
    struct spool_reader *reader;
    char name[FORMAT_NAME_SIZE];
    cr_assert_eq(spool_reader_open(f->control_io, &reader), 0);
    const struct segment_table *table = &reader->table[LOG_MESSAGE];
    size_t i = reader_table_at(table, seq);
    cr_assert(i < table->count && table->file[i].seq == seq);
    (void)format_segment_name(LOG_MESSAGE, table->file[i].file_number, name);
    snprintf(out, out_size, "%s/%s", f->dir, name);
    spool_reader_close(reader);
}

static void flip(const char *path, off_t offset)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &byte, 1, offset), 1);
    byte ^= 1;
    cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

void fake_damage_record(struct fake *f, uint64_t pos)
{
    char path[256];
    segment_path(f, spool_pos_seq(pos), path, sizeof path);
    flip(path, (off_t)spool_pos_offset(pos) + SPOOL_RECORD_HEADER_BYTES + 8);
}

void fake_damage_header(struct fake *f, uint64_t seq)
{
    char path[256];
    segment_path(f, seq, path, sizeof path);
    flip(path, 16);
    flip(path, FORMAT_SEGMENT_COPY_BYTES + 16);
}

void fake_remove_segment(struct fake *f, uint64_t seq)
{
    char path[256];
    segment_path(f, seq, path, sizeof path);
    cr_assert_eq(unlink(path), 0);
}

void fake_state(struct fake *f, uint64_t id, enum abi_state_kind kind, enum outcome outcome,
                uint64_t rcpts, uint16_t flags, const char *text)
{
    struct spool_submit *s = calloc(1, sizeof *s);
    s->kind = SPOOL_SUBMIT_STATE;
    s->state.id = id;
    s->state.rcpts.word[0] = rcpts;
    s->state.time_ms = f->time.wall_ms;
    s->state.kind = (uint8_t)kind;
    s->state.outcome = (uint8_t)outcome;
    s->state.phase = ABI_PHASE_DOT;
    s->state.code = 250;
    s->state.text_len = (uint16_t)strlen(text);
    memcpy(s->state.text, text, strlen(text));
    run_writer(f, s);
    f->last_state_pos = s->pos;
    struct abi_up up = {.type = ABI_UP_STATE,
                        .kind = (uint8_t)kind,
                        .outcome = (uint8_t)outcome,
                        .phase = ABI_PHASE_DOT,
                        .code = 250,
                        .flags = flags,
                        .state = {.id = id, .state_pos = s->pos, .time_ms = f->time.wall_ms}};
    up.state.rcpts.word[0] = rcpts;
    fake_put(f, up);
    free(s);
}

void fake_attempt(struct fake *f, uint64_t id, enum outcome outcome, uint16_t flags)
{
    fake_put(f, (struct abi_up){.type = ABI_UP_ATTEMPT,
                                .outcome = (uint8_t)outcome,
                                .flags = flags,
                                .state = {.id = id}});
}

static void take_down(struct fake *f, const struct abi_down *down)
{
    switch ((enum abi_down_type)down->type) {
    case ABI_DOWN_DELIVER:
        cr_assert_lt(f->deliver_count, FAKE_DELIVERS_MAX);
        f->deliver[f->deliver_count++] = *down;
        return;
    case ABI_DOWN_STATE:
        f->state[f->state_count++ % 64] = *down;
        if (f->echo) {
            fake_state(f, down->state.id, (enum abi_state_kind)down->kind,
                       (enum outcome)down->outcome, down->state.rcpts.word[0], 0, "");
        }
        return;
    case ABI_DOWN_RECYCLE:
        f->recycle[f->recycle_count % 64] = down->recycle.seq;
        f->recycle_seen[f->recycle_count++ % 64] = down->recycle.seen_pos;
        return;
    case ABI_DOWN_STATE_RECYCLE:
        f->state_recycle = down->recycle.seq;
        return;
    case ABI_DOWN_FENCE:
        f->fence = down->fence.token;
        if (f->echo) {
            fake_put(f, (struct abi_up){.type = ABI_UP_FENCE,
                                        .fence = {.token = f->fence, .worker = 0}});
        }
        return;
    }
    cr_assert_fail("unknown command");
}

void fake_turn(struct fake *f, uint64_t ms)
{
    struct abi_down down;
    f->time.now_ns += ms * 1000000;
    f->time.wall_ms += ms;
    bool worked = true;
    size_t len;
    uint64_t generation;
    (void)control_policy(f->control, &len, &generation);
    if (f->region != NULL && !f->old_policy) {
        atomic_store(&f->region->policy_adopted, generation);
    }
    for (int i = 0; worked && i < 1000; i++) {
        worked = control_turn(f->control, f->time);
        worked = control_work(f->control) || worked || works_busy(control_works(f->control));
        while (f->region != NULL && ring_take(&f->down, &down)) {
            take_down(f, &down);
            worked = true;
        }
    }
    cr_assert_not(worked, "control never rests");
}

void fake_forget_sent(struct fake *f)
{
    f->deliver_count = 0;
    f->state_count = 0;
    f->recycle_count = 0;
}

uint32_t fake_times_sent(const struct fake *f, uint64_t id)
{
    uint32_t times = 0;
    for (uint32_t i = 0; i < f->deliver_count; i++) {
        times += f->deliver[i].deliver.id == id;
    }
    return times;
}

bool fake_was_sent(const struct fake *f, uint64_t id)
{
    return fake_times_sent(f, id) > 0;
}
