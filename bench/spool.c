/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/spool.c: durable messages a second through the spool's writer alone, by io_uring beside
 * pwritev2, in turns, on the disk that --dir lies on.
 *
 * Promise: every message is counted when its commit came back OK, which is after its batch was
 *          synced. --depth says how many are under way at a time; batches grow with it.
 * Trap:    one thread submits and turns: the cost of handing over between threads is not
 *          included. */
#include "bench/bench.h"

#include "common/crc32c.h"
#include "common/id.h"
#include "spool/spool.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS_MAX = 99, RECORD_BYTES = 2048, MIB = 1 << 20 };

struct message {
    struct spool_submit submit; /* first member: what comes back is cast */
    struct spool_txn txn;
};

struct result {
    double rate;   /* messages a second */
    double cpu_us; /* microseconds of CPU for a message */
    double batch;  /* messages in a batch */
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

/* Keeps all of them under way until `count` messages are durable. */
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
        .segment_bytes = 256 * (uint64_t)MIB, .segments_max = 32, .state_segment_bytes = 8 * MIB};
    int err = mkdtemp(dir) == NULL ? -errno : spool_io_create(dir, kind, -1, false, &io);
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

enum { DIR_OPTION, MESSAGES, DEPTH, ROUNDS };

static struct bench_option option[] = {
    [DIR_OPTION] = {"dir", "a directory on the disk to measure", .text = "/var/tmp"},
    [MESSAGES] = {"messages", "of 1000 bytes in each round", 200000, 1, 1000000, NULL},
    [DEPTH] = {"depth", "messages under way at a time", 512, 1, 65536, NULL},
    [ROUNDS] = {"rounds", "of each kind, in turns", 5, 1, ROUNDS_MAX, NULL},
    {NULL},
};

static const char *const kinds[] = {"io_uring", "pwritev2"};

static void report(struct result sample[2][ROUNDS_MAX], size_t rounds)
{
    double rate[2][ROUNDS_MAX];
    double cpu[2][ROUNDS_MAX];
    double batch[2][ROUNDS_MAX];
    printf("%-10s %14s %14s %10s\n", "median", "durable msg/s", "us of CPU each", "a batch");
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < rounds; i++) {
            rate[k][i] = sample[k][i].rate;
            cpu[k][i] = sample[k][i].cpu_us;
            batch[k][i] = sample[k][i].batch;
        }
        printf("%-10s %14.0f %14.2f %10.0f\n", kinds[k], bench_median(rate[k], rounds),
               bench_median(cpu[k], rounds), bench_median(batch[k], rounds));
    }
    for (int k = 0; k < 2; k++) {
        printf("%s%s_rate=%.0f %s_cpu_us=%.2f %s_batch=%.0f", k > 0 ? " " : "", kinds[k],
               bench_median(rate[k], rounds), kinds[k], bench_median(cpu[k], rounds), kinds[k],
               bench_median(batch[k], rounds));
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    static struct result sample[2][ROUNDS_MAX];
    bench_options(argc, argv, option);
    bench_settings_print(option);
    const char *parent = option[DIR_OPTION].text;
    for (size_t i = 0; i < option[ROUNDS].number; i++) {
        for (int k = 0; k < 2; k++) {
            int err = round_of(parent, kinds[k], (uint32_t)option[DEPTH].number,
                               (uint32_t)option[MESSAGES].number, &sample[k][i]);
            if (err != 0) {
                fprintf(stderr, "bench_spool: %s in %s: %s\n", kinds[k], parent, strerror(-err));
                return 1;
            }
        }
    }
    report(sample, option[ROUNDS].number);
    return 0;
}
