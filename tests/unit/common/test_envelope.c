/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_envelope.c: envelopes as they lie in the spool. */
#include "common/envelope.h"

#include "common/limits/address.h"
#include "common/limits/message.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct envelope *sample(void)
{
    static struct envelope e;
    e = (struct envelope){.flags = ENVELOPE_8BITMIME,
                          .received_ms = UINT64_C(1700000000123),
                          .client = ip_from_v4((const uint8_t[4]){192, 0, 2, 1}),
                          .helo = bytes_str("client.example"),
                          .sender = bytes_str("a@example.org"),
                          .rcpt_count = 3};
    e.rcpt[0] = (struct envelope_rcpt){.route_id = 7, .address = bytes_str("x@staff.example")};
    e.rcpt[1] = (struct envelope_rcpt){
        .route_id = 9, .route_index = 1, .address = bytes_str("y@students.example")};
    e.rcpt[2] = (struct envelope_rcpt){.route_id = 7, .address = bytes_str("z@staff.example")};
    return &e;
}

Test(envelope, comes_back_as_it_was)
{
    uint8_t b[512];
    struct envelope back;
    const struct envelope *e = sample();
    size_t len = envelope_encode(e, b, sizeof b);
    cr_assert_gt(len, 0);
    cr_assert(envelope_decode(bytes_of(b, len), &back));
    cr_assert_eq(back.flags, e->flags);
    cr_assert_eq(back.received_ms, e->received_ms);
    cr_assert(ip_equal(&back.client, &e->client));
    cr_assert(bytes_equal(back.helo, e->helo) && bytes_equal(back.sender, e->sender));
    cr_assert_eq(back.rcpt_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(back.rcpt[i].route_id, e->rcpt[i].route_id);
        cr_assert_eq(back.rcpt[i].route_index, e->rcpt[i].route_index);
        cr_assert(bytes_equal(back.rcpt[i].address, e->rcpt[i].address));
    }
    cr_assert_eq(envelope_route_count(&back), 2);
    cr_assert_eq(envelope_route_rcpts(&back, 0), 2);
    cr_assert_eq(envelope_route_rcpts(&back, 1), 1);
    cr_assert_eq(envelope_route_rcpts(&back, 2), 0);
}

/* RFC 5321 section 4.5.5: the null sender is empty, not missing. */
Test(envelope, keeps_the_null_sender)
{
    uint8_t b[512];
    struct envelope back;
    struct envelope *e = sample();
    e->sender = bytes_str("");
    size_t len = envelope_encode(e, b, sizeof b);
    cr_assert(envelope_decode(bytes_of(b, len), &back));
    cr_assert_eq(back.sender.len, 0);
}

Test(envelope, all_bounds_fit_the_limit)
{
    static uint8_t b[LIMIT_ENVELOPE_BYTES];
    static struct envelope back;
    struct envelope *e = sample();
    uint8_t text[LIMIT_DOMAIN_BYTES];
    memset(text, 'a', sizeof text);
    e->helo = bytes_of(text, LIMIT_DOMAIN_BYTES);
    e->sender = bytes_of(text, LIMIT_ADDRESS_BYTES);
    e->rcpt_count = LIMIT_RCPTS;
    for (unsigned i = 0; i < LIMIT_RCPTS; i++) {
        e->rcpt[i] =
            (struct envelope_rcpt){.route_id = UINT32_MAX,
                                   .route_index = (uint8_t)(i < LIMIT_ROUTES_PER_MESSAGE ? i : 0),
                                   .address = bytes_of(text, LIMIT_ADDRESS_BYTES)};
    }
    size_t len = envelope_encode(e, b, sizeof b);
    cr_assert_gt(len, 0);
    cr_assert(envelope_decode(bytes_of(b, len), &back));
    cr_assert_eq(envelope_route_count(&back), LIMIT_ROUTES_PER_MESSAGE);
    cr_assert_eq(envelope_encode(e, b, len - 1), 0, "what does not fit is not written half");
}

Test(envelope, refuses_every_shortening_and_what_follows)
{
    uint8_t b[512] = {0};
    struct envelope back;
    size_t len = envelope_encode(sample(), b, sizeof b);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut + 1); /* ASan finds a read behind the end */
        memcpy(exact, b, cut);
        cr_assert(!envelope_decode(bytes_of(exact, cut), &back), "cut at %zu", cut);
        free(exact);
    }
    cr_assert(!envelope_decode(bytes_of(b, len + 1), &back));
}

Test(envelope, refuses_foreign_versions_and_counts)
{
    uint8_t b[512];
    struct envelope back;
    size_t len = envelope_encode(sample(), b, sizeof b);
    b[0] = 2;
    cr_assert(!envelope_decode(bytes_of(b, len), &back));
    b[0] = 1;
    b[2] = 0;
    cr_assert(!envelope_decode(bytes_of(b, len), &back), "no recipients");
    b[2] = LIMIT_RCPTS + 1;
    cr_assert(!envelope_decode(bytes_of(b, len), &back), "too many");
    b[2] = 2;
    cr_assert(!envelope_decode(bytes_of(b, len), &back), "one left over");
}

/* Route indexes have no gaps, in order of appearance: they are part of delivery ids. */
Test(envelope, refuses_route_indexes_with_gaps)
{
    uint8_t b[512];
    struct envelope back;
    struct envelope *e = sample();
    e->rcpt[1].route_index = 2;
    size_t len = envelope_encode(e, b, sizeof b);
    cr_assert(!envelope_decode(bytes_of(b, len), &back));
    e = sample();
    e->rcpt[0].route_index = 1;
    len = envelope_encode(e, b, sizeof b);
    cr_assert(!envelope_decode(bytes_of(b, len), &back));
}
