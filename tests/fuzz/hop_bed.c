/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/hop_bed.c: see hop_bed.h. */
#include "tests/fuzz/hop_bed.h"

#include "tests/fuzz/criterion/criterion.h"

#include "common/crc32c.h"

#include <string.h>

enum { LARGE_BYTES = 100000, STEP_MS = 20, SETTLE_MS = 1800000 };

/* Of what lane_mail sends. */
static uint32_t crc_of_mail(size_t body_bytes)
{
    static const char text[] = "Subject: x\r\n\r\nbody\r\n";
    char line[PEER_FILL_BYTES];
    uint32_t crc = crc32c(0, text, sizeof text - 1);
    for (uint32_t i = 0; (size_t)i * PEER_FILL_BYTES < body_bytes; i++) {
        peer_fill_line(i, line);
        crc = crc32c(crc, line, sizeof line);
    }
    return crc;
}

void hop_bed_init(struct hop_bed *bed)
{
    *bed = (struct hop_bed){0};
    bed->crc[0] = bed->crc[1] = crc_of_mail(0);
    bed->crc[2] = crc_of_mail(LARGE_BYTES);
    lane_make();
    bed->commit[0] = lane_mail("a@d0.example", 0);
    bed->commit[1] = lane_mail("b@d0.example c@d0.example d@d1.example", 0);
    (void)lane_up(ABI_UP_COMMIT); /* its second delivery */
    bed->commit[2] = lane_mail("e@d0.example", LARGE_BYTES);
}

void hop_bed_fini(struct hop_bed *bed)
{
    (void)bed;
    lane_unmake();
}

static bool is_hop(const struct peer *p)
{
    return p->node != lane.client;
}

void hop_bed_say(struct hop_bed *bed, uint32_t n, struct bytes bytes)
{
    struct peer *p = lane.peer[n];
    if (p->tcp != NULL && bytes.len > 0) {
        bed->talk[n].said |= bed->talk[n].dot;
        bed->talk[n].greeted = true;
        (void)tcp_write(p->tcp, bytes.data, bytes.len);
    }
}

static void answer(struct hop_bed *bed, uint32_t n, const char *text, bool honest)
{
    if (honest) {
        hop_bed_say(bed, n, bytes_str(text));
    }
}

/* A message has come: the dot follows its last line. */
static void take_message(struct hop_bed *bed, uint32_t n, bool honest)
{
    struct hop_bed_talk *talk = &bed->talk[n];
    bool whole = false;
    for (unsigned i = 0; i < HOP_BED_MAILS; i++) {
        whole |= talk->bytes == bed->commit[i].commit.body_bytes && talk->crc == bed->crc[i];
    }
    cr_assert(whole);
    talk->in_body = false;
    talk->dot = true;
    talk->said = false;
    bed->taken += honest;
    answer(bed, n, "250 2.0.0 taken\r\n", honest);
}

static void take_line(struct hop_bed *bed, uint32_t n, struct bytes line, bool honest)
{
    struct hop_bed_talk *talk = &bed->talk[n];
    if (talk->in_body && bytes_equal(line, bytes_str(".\r\n"))) {
        take_message(bed, n, honest);
    } else if (talk->in_body) {
        talk->bytes += line.len;
        bool received = line.data[0] == '\t' || talk->bytes == line.len;
        talk->crc = received ? 0 : crc32c(talk->crc, line.data, line.len);
    } else if (bytes_equal(line, bytes_str("DATA\r\n"))) {
        answer(bed, n, "354 go on\r\n", honest);
    } else {
        answer(bed, n, "250 2.0.0 good\r\n", honest);
    }
}

/* A body begins when the relay goes on behind DATA with what no command looks like: all mail here
 * begins with our Received field. */
static void note_body(struct hop_bed_talk *talk, struct bytes line)
{
    static const char received[] = "Received: ";
    if (!talk->in_body && line.len >= sizeof received - 1 &&
        memcmp(line.data, received, sizeof received - 1) == 0) {
        talk->in_body = true;
        talk->dot = false;
        talk->bytes = 0;
    }
}

static void hear(struct hop_bed *bed, uint32_t n, bool honest)
{
    struct peer *p = lane.peer[n];
    if (honest && p->opened && !bed->talk[n].greeted) {
        hop_bed_say(bed, n, bytes_str("220 hop\r\n"));
    }
    const uint8_t *lf;
    while ((lf = memchr(p->in + p->in_read, '\n', p->in_len - p->in_read)) != NULL) {
        const uint8_t *begin = p->in + p->in_read;
        struct bytes line = bytes_of(begin, (size_t)(lf - begin) + 1);
        note_body(&bed->talk[n], line);
        p->in_read += line.len;
        take_line(bed, n, line, honest);
    }
    memmove(p->in, p->in + p->in_read, p->in_len - p->in_read);
    p->in_len -= p->in_read;
    p->in_read = 0;
}

void hop_bed_hear(struct hop_bed *bed, bool honest)
{
    for (uint32_t n = 0; n < lane.peer_count; n++) {
        if (is_hop(lane.peer[n])) {
            hear(bed, n, honest);
        }
    }
}

void hop_bed_play(struct hop_bed *bed, uint64_t ms)
{
    for (uint64_t at = 0; at < ms; at += STEP_MS) {
        hop_bed_hear(bed, true);
        lane_run(STEP_MS);
    }
}

void hop_bed_settle(struct hop_bed *bed)
{
    uint64_t spent_ms = 0;
    for (int i = 0; i < LANE_HOPS; i++) {
        lane.hop[i]->mood = NODE_UP;
    }
    hop_bed_play(bed, 1000);
    for (uint64_t ms = 1000; lane.worker->in_flight_count > 0; spent_ms += ms) {
        cr_assert_lt(spent_ms, SETTLE_MS);
        lane_run(ms);
        hop_bed_play(bed, 1000);
    }
}
