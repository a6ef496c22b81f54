/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/spool.c: durable messages a second through the spool's writer alone, by io_uring beside
 * pwritev2, in turns, on the disk that the given directory lies on.
 *
 * Promise: every message is counted when its commit came back OK, which is after its batch was
 *          synced. As many are under way at a time as said: the batch grows with them.
 * Trap:    one thread submits and turns: what handing over between threads costs is not in it. */
#include "bench/bench.h"

#include "common/crc32c.h"
#include "common/id.h"
#include "spool/spool.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 5, RECORD_BYTES = 2048, MIB = 1 << 20 };

struct message {
    struct spool_submit submit; /* first: what comes back is cast */
    struct spool_txn txn;
};

struct result {
    double rate;   /* messages a second */
    double cpu_us; /* of CPU a message */
    double batch;  /* messages a batch */
};

static void fill(struct message *m, uint64_t counter, uint32_t body_bytes)
{
    uint8_t *buffer = m->submit.buffer;
    size_t prefix = spool_record_prefix(0);
    struct envelope e = {.received_ms = 1700000000000, .rcpt_count = 1};
    e.helo = bytes_str("client.example");
    e.sender = bytes_str("sender@client.example");
    e.rcpt[0] = (struct envelope_rcpt){.route_id = 1, .address = bytes_str("a@campus.example")};
    size_t envelope = envelope_encode(&e, buffer + prefix, RECORD_BYTES - prefix);
    assert(envelope > 0 && prefix + envelope + body_bytes <= RECORD_BYTES);
    memset(buffer + prefix + envelope, 'x', body_bytes);
    m->txn = (struct spool_txn){.id = id_make(1, counter, 0), .record_count = 1};
    m->submit = (struct spool_submit){.kind = SPOOL_SUBMIT_COMMIT,
                                      .txn = &m->txn,
                                      .buffer = buffer,
                                      .buffer_size = RECORD_BYTES,
                                      .envelope_bytes = (uint32_t)envelope,
                                      .body_bytes = body_bytes,
                                      .total_bytes = body_bytes,
                                      .received_ms = 1700000000000,
                                      .id = m->txn.id};
    m->submit.body_crc = crc32c(0, buffer + prefix, envelope + body_bytes);
}

/* Keeps them all under way until `count` are durable. */
static void drive(struct spool_writer *w, struct message *message, uint32_t depth, uint32_t count,
                  uint32_t body_bytes)
{
    uint32_t sent = 0;
    uint32_t done = 0;
    for (; sent < depth && sent < count; sent++) {
        fill(&message[sent], sent + 1, body_bytes);
        spool_writer_submit(w, &message[sent].submit);
    }
    while (done < count) {
        struct spool_submit *s = spool_writer_turn(w, true);
        while (s != NULL) {
            struct message *m = (struct message *)s;
            s = s->next;
            assert(m->submit.result == SPOOL_RESULT_OK);
            done++;
            if (sent < count) {
                fill(m, ++sent, body_bytes);
                spool_writer_submit(w, &m->submit);
            }
        }
    }
}

static void remove_all(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] != '.') {
            (void)unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    (void)rmdir(dir);
}

static int round_of(const char *parent, const char *kind, uint32_t depth, uint32_t count,
                    struct result *result_out)
{
    char dir[512];
    snprintf(dir, sizeof dir, "%s/holdfast-bench-XXXXXX", parent);
    struct spool_io *io = NULL;
    struct spool_writer *w = NULL;
    struct message *message = calloc(depth, sizeof *message);
    uint8_t *memory = aligned_alloc(4096, (size_t)depth * RECORD_BYTES);
    assert(message != NULL && memory != NULL);
    struct spool_settings settings = {
        .segment_bytes = 256 * (uint64_t)MIB, .segments_max = 16, .state_segment_bytes = 8 * MIB};
    int err = mkdtemp(dir) == NULL ? -1 : spool_io_create(dir, kind, -1, false, &io);
    if (err == 0) {
        err = spool_writer_open(io, &settings, &w);
    }
    if (err == 0) {
        for (uint32_t i = 0; i < depth; i++) {
            message[i].submit.buffer = memory + (size_t)i * RECORD_BYTES;
        }
        struct spool_writer_stats stats;
        uint64_t cpu = bench_cpu_ns();
        uint64_t ns = bench_now_ns();
        drive(w, message, depth, count, 1000);
        ns = bench_now_ns() - ns;
        cpu = bench_cpu_ns() - cpu;
        spool_writer_stats(w, &stats);
        *result_out = (struct result){.rate = count * 1e9 / (double)ns,
                                      .cpu_us = (double)cpu / 1000 / count,
                                      .batch = (double)count / (double)stats.batches};
        spool_writer_close(w);
    }
    if (io != NULL) {
        io->ops->destroy(io);
    }
    remove_all(dir);
    free(memory);
    free(message);
    return err;
}

int main(int argc, char **argv)
{
    static const char *const kinds[] = {"io_uring", "pwritev2"};
    uint32_t depth = bench_option(argc, argv, "--depth", 512);
    uint32_t count = bench_option(argc, argv, "--messages", 200000);
    const char *parent = argc > 1 && argv[argc - 1][0] == '/' ? argv[argc - 1] : "/var/tmp";
    double rate[2][ROUNDS];
    double cpu[2][ROUNDS];
    double batch[2][ROUNDS];
    bench_machine_print();
    printf("settings  %u messages of 1000 bytes a round, %u under way, %d rounds in turns, in %s\n",
           count, depth, ROUNDS, parent);
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < 2; k++) {
            struct result r = {0};
            int err = round_of(parent, kinds[k], depth, count, &r);
            if (err != 0) {
                fprintf(stderr, "bench_spool: %s in %s: %s\n", kinds[k], parent, strerror(-err));
                return 1;
            }
            rate[k][i] = r.rate;
            cpu[k][i] = r.cpu_us;
            batch[k][i] = r.batch;
        }
    }
    for (int k = 0; k < 2; k++) {
        printf("median    %-9s %8.0f durable msg/s, %.2f us of CPU each, %.0f a batch\n", kinds[k],
               bench_median(rate[k], ROUNDS), bench_median(cpu[k], ROUNDS),
               bench_median(batch[k], ROUNDS));
    }
    return 0;
}
