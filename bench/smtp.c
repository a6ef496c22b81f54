/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/smtp.c: what a transaction costs in the SMTP server alone: no network, no disk.
 *
 * Promise: whole transactions of one recipient, command by command as a waiting client sends them,
 *          and all but the body at once as a pipelining one does, in turns; each answered 250.
 * Trap:    a buffer is filled and its checksum computed, as in the relay. The costs of TCP, the
 *          spool and the cold caches of a loaded machine are not included. */
#include "bench/bench.h"

#include "common/id.h"
#include "common/limits/chunk.h"
#include "dataplane/smtp/smtp.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS_MAX = 99, BODY_MAX = LIMIT_CHUNK_LARGE_BYTES - 4096 };

static uint8_t buffer[LIMIT_CHUNK_LARGE_BYTES];
static struct smtp_transaction txn;
static uint64_t committed;

static enum smtp_rcpt_verdict lookup(void *ctx, struct bytes address, uint32_t *route_id_out)
{
    (void)ctx;
    (void)address;
    *route_id_out = 1;
    return SMTP_RCPT_ACCEPT;
}

static void act(struct smtp_server *server, enum smtp_server_action action)
{
    struct smtp_gather gather;
    switch (action) {
    case SMTP_SERVER_MORE:
    case SMTP_SERVER_OUTPUT:
        smtp_server_output_sent(server, smtp_server_output(server).len);
        return;
    case SMTP_SERVER_TRANSACTION:
        txn.id = id_make(1, committed + 1, 0);
        smtp_server_give_transaction(server, &txn);
        return;
    case SMTP_SERVER_BUFFER:
        smtp_server_give_buffer(server, buffer, sizeof buffer);
        return;
    case SMTP_SERVER_COMMIT:
        gather = smtp_server_take_buffer(server);
        assert(gather.len > 0);
        committed++;
        smtp_server_committed(server, SMTP_COMMIT_OK);
        (void)smtp_server_take_transaction(server);
        return;
    case SMTP_SERVER_CHUNK:
    case SMTP_SERVER_ABORT:
    case SMTP_SERVER_CLOSE:
        break;
    }
    assert(!"nothing else happens here");
}

static void say(struct smtp_server *server, struct bytes input)
{
    enum smtp_server_action action = SMTP_SERVER_OUTPUT;
    while (input.len > 0 || action != SMTP_SERVER_MORE) {
        size_t used;
        action = smtp_server_feed(server, input, UINT64_C(1700000000000), &used);
        input = bytes_from(input, used);
        act(server, action);
    }
}

static char body[BODY_MAX + 128];

static void make_body(uint32_t bytes)
{
    static const char line[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567\r\n";
    size_t len =
        (size_t)snprintf(body, sizeof body, "From: a@client.example\r\nSubject: b\r\n\r\n");
    while (len + sizeof line < bytes) {
        memcpy(body + len, line, sizeof line - 1);
        len += sizeof line - 1;
    }
    memcpy(body + len, ".\r\n", 4);
}

/* Cycles (or ns, without a TSC) a message. */
static double round_of(struct smtp_server *server, uint32_t messages, bool pipelined)
{
    static const char mail[] = "MAIL FROM:<sender@client.example> BODY=8BITMIME\r\n";
    static const char rcpt[] = "RCPT TO:<someone@staff.campus.example>\r\n";
    static const char together[] = "MAIL FROM:<sender@client.example> BODY=8BITMIME\r\n"
                                   "RCPT TO:<someone@staff.campus.example>\r\nDATA\r\n";
    uint64_t before = committed;
    uint64_t cycles = bench_cycles();
    uint64_t ns = bench_now_ns();
    for (uint32_t i = 0; i < messages; i++) {
        if (pipelined) {
            say(server, bytes_str(together));
        } else {
            say(server, bytes_str(mail));
            say(server, bytes_str(rcpt));
            say(server, bytes_str("DATA\r\n"));
        }
        say(server, bytes_str(body));
    }
    assert(committed - before == messages);
    cycles = bench_cycles() - cycles;
    return (double)(cycles > 0 ? cycles : bench_now_ns() - ns) / messages;
}

enum { MESSAGES, LENGTH, ROUNDS };

static struct bench_option option[] = {
    [MESSAGES] = {"messages", "in each round", 100000, 1, 100000000, NULL},
    [LENGTH] = {"length", "bytes of a message", 1000, 100, BODY_MAX, NULL},
    [ROUNDS] = {"rounds", "of each kind, in turns, after one to warm up", 9, 1, ROUNDS_MAX, NULL},
    {NULL},
};

static void report(double sample[2][ROUNDS_MAX], size_t rounds)
{
    bool tsc = bench_cycles() > 0;
    double command = bench_median(sample[0], rounds);
    double pipelined = bench_median(sample[1], rounds);
    printf("%-20s %12s\n", "a message", tsc ? "TSC cycles" : "ns");
    printf("%-20s %12.0f\n", "command by command", command);
    printf("%-20s %12.0f\n", "pipelined", pipelined);
    printf("bytes=%zu %s_command=%.0f %s_pipelined=%.0f\n", strlen(body), tsc ? "cycles" : "ns",
           command, tsc ? "cycles" : "ns", pipelined);
}

int main(int argc, char **argv)
{
    struct smtp_server_env env = {.hostname = "mx.campus.example",
                                  .message_bytes_max = 1 << 20,
                                  .rcpts_max = LIMIT_RCPTS,
                                  .lookup = lookup};
    static double sample[2][ROUNDS_MAX];
    struct ip_addr client;
    bench_options(argc, argv, option);
    bench_settings_print(option);
    struct smtp_server *server = calloc(1, sizeof *server);
    bool ready = server != NULL && ip_parse("198.51.100.1", &client);
    assert(ready);
    make_body((uint32_t)option[LENGTH].number);
    smtp_server_init(server, &env, &client);
    say(server, bytes_str("EHLO client.example\r\n"));
    int rounds = (int)option[ROUNDS].number;
    for (int i = -1; i < rounds; i++) { /* one to warm up */
        for (int p = 0; p < 2; p++) {
            double cost = round_of(server, (uint32_t)option[MESSAGES].number, p == 1);
            sample[p][i < 0 ? 0 : i] = cost;
        }
    }
    report(sample, (size_t)rounds);
    free(server);
    return 0;
}
