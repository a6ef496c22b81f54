/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/record.c: see record.h. */
#include "bench/control/record.h"

#include "bench/bench.h"
#include "common/crc32c.h"

#include <stdio.h>
#include <string.h>

/* The envelope borrows its texts: they stay until the next record is laid out. */
static void lay_rcpts(const struct campus *campus, enum campus_group group, uint64_t number,
                      struct envelope *e, struct submission *submission)
{
    static char address[CAMPUS_ROUTES][LIMIT_ADDRESS_BYTES + 1];
    char domain[LIMIT_DOMAIN_BYTES + 1];
    for (uint32_t i = 0; i < e->rcpt_count; i++) {
        uint32_t route = group == CAMPUS_LIVE ? 0 : (uint32_t)((number + i) % CAMPUS_ROUTES);
        (void)campus_domain(group, route, number / CAMPUS_ROUTES, domain, sizeof domain);
        snprintf(address[i], sizeof address[i], "u%u@%.200s", (unsigned)(number % 100000), domain);
        e->rcpt[i] = (struct envelope_rcpt){.route_id = campus->route_id[group][route],
                                            .route_index = (uint8_t)i,
                                            .address = bytes_str(address[i])};
        submission->delivery[i].route_id = e->rcpt[i].route_id;
        submission->delivery[i].rcpt_count = 1;
    }
    submission->delivery_count = e->rcpt_count;
}

void record_lay(const struct campus *campus, enum campus_group group, uint64_t number,
                uint32_t share, uint8_t *buffer, struct envelope *envelope, struct spool_txn *txn,
                struct submission *submission)
{
    static struct envelope e;
    char sender[LIMIT_ADDRESS_BYTES + 1] = "someone@outside.example";
    assert(share > 0 && share <= CAMPUS_ROUTES);
    if (group != CAMPUS_LIVE) { /* so that no hold by sender ever holds live mail */
        (void)campus_sender(number, sender, sizeof sender);
    }
    e = (struct envelope){.received_ms = bench_wall_ms(),
                          .helo = bytes_str("client.example"),
                          .sender = bytes_str(sender),
                          .rcpt_count = (uint16_t)share};
    lay_rcpts(campus, group, number, &e, submission);
    uint8_t *payload = buffer + spool_record_prefix(0);
    size_t room = RECORD_BYTES - RECORD_BODY_BYTES - spool_record_prefix(0);
    size_t len = envelope_encode(&e, payload, room);
    assert(len > 0);
    memset(payload + len, 'x', RECORD_BODY_BYTES);
    bool good = envelope_decode(bytes_of(payload, len), envelope);
    assert(good);
    submission->envelope = envelope;
    txn->record_count = 1;
    struct spool_submit *spool = &submission->spool;
    spool->id = txn->id;
    spool->txn = txn;
    spool->buffer = buffer;
    spool->buffer_size = RECORD_BYTES;
    spool->envelope_bytes = (uint32_t)len;
    spool->body_bytes = RECORD_BODY_BYTES;
    spool->total_bytes = RECORD_BODY_BYTES;
    spool->received_ms = e.received_ms;
    spool->body_crc = crc32c(0, payload, len + RECORD_BODY_BYTES);
}
