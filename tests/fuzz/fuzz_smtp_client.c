/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_smtp_client.c: a next hop that says anything, in turns.
 *
 * The first four bytes say how the input is cut; the rest is what the hop says. Whenever the client
 * is READY it gets another delivery. At the end every recipient must have a result. */
#include "tests/fuzz/reach.h"
#include "tests/unit/smtp/bed.h"

#define REACH_MARKS(MARK)                                                                          \
    MARK(ready), MARK(begun), MARK(second_delivery), MARK(lmtp), MARK(lost_under_way),             \
        MARK(broken_by_hop), MARK(delivered), MARK(frozen), MARK(waits_message), MARK(waits_hop)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KNOBS = 4 };

static void begin(struct client_bed *bed, const uint8_t *knob)
{
    static const char body[] = ".dot\r\n\r\n..\r\nline\r\n";
    bed->delivery.sender = bytes_str((knob[1] & 1) != 0 ? "s@x.example" : "");
    bed->delivery.rcpt_count = (uint16_t)(1 + knob[2] % LIMIT_RCPTS);
    for (unsigned i = 0; i < bed->delivery.rcpt_count; i++) {
        bed->delivery.rcpt[i] = bytes_str("\"r r\"@hop.example");
    }
    bed->delivery.eight_bit = (knob[1] & 2) != 0;
    bed->body = bytes_of(body, knob[3] % sizeof body);
    client_bed_begin(bed);
}

static void reach_outcome(enum outcome outcome)
{
    bool of_hop = outcome_scope(outcome) == OUTCOME_SCOPE_HOP;
    switch (outcome_disposition(outcome)) {
    case OUTCOME_DISPOSITION_DONE:
        REACH(delivered);
        break;
    case OUTCOME_DISPOSITION_FREEZE:
        REACH(frozen);
        break;
    case OUTCOME_DISPOSITION_WAIT:
        REACH_IF(of_hop, waits_hop);
        REACH_IF(!of_hop, waits_message);
        break;
    }
}

static void check_results(const struct client_bed *bed)
{
    for (unsigned i = 0; i < bed->delivery.rcpt_count; i++) {
        assert(outcome_valid(bed->client.result[i].outcome));
        assert(bed->client.result[i].outcome != OUTCOME_NONE);
        reach_outcome(bed->client.result[i].outcome);
        const char *text = smtp_client_rcpt_text(&bed->client, i);
        assert(strlen(text) <= LIMIT_REPLY_TEXT_BYTES);
        for (; *text != '\0'; text++) {
            assert(*text >= 0x20 && *text <= 0x7e);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < KNOBS || size > 65536) {
        return 0;
    }
    static struct client_bed bed;
    client_bed_init(&bed, (data[1] & 4) != 0);
    bed.drain = 1 + data[0];
    bed.body_room = 1 + data[0] % 9;
    size_t piece = 1 + data[1] / 8;
    size_t at = KNOBS;
    bool begun = false;
    for (unsigned done = 0; at < size && bed.action != SMTP_CLIENT_BROKEN;) {
        size_t len = size - at < piece ? size - at : piece;
        at += client_bed_feed(&bed, bytes_of(data + at, len), len);
        if (bed.done_count > done) {
            check_results(&bed);
            done = bed.done_count;
            begun = false;
        }
        if (bed.action == SMTP_CLIENT_READY) {
            REACH(ready);
            REACH_IF(done > 0, second_delivery);
            begin(&bed, data);
            REACH_IF(bed.done_count == done, begun);
            REACH_IF((data[1] & 4) != 0, lmtp);
            begun = bed.done_count == done;
        }
        bed_text_clear(&bed.out);
    }
    REACH_IF(bed.action == SMTP_CLIENT_BROKEN, broken_by_hop);
    smtp_client_lost(&bed.client, (data[3] & 0x80) != 0 ? OUTCOME_CONNECT_TIMEOUT : OUTCOME_NONE);
    client_bed_pump(&bed);
    assert(bed.action == SMTP_CLIENT_BROKEN);
    if (begun) {
        REACH(lost_under_way);
        check_results(&bed);
    }
    client_bed_fini(&bed);
    return 0;
}
