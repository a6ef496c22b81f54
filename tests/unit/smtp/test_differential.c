/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/smtp/test_differential.c: however a conversation is cut, and however small the
 * buffers are, the same bytes get the same answers and store the same messages. */
#include "tests/unit/smtp/bed.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static uint64_t seed = 1;

static uint32_t rnd(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % below;
}

/* Pieces from which random conversations are made: sense and nonsense. */
static const char *const parts[] = {
    "EHLO peer\r\n",
    "HELO peer\r\n",
    "MAIL FROM:<a@b>\r\n",
    "MAIL FROM:<a@b> SIZE=5\r\n",
    "MAIL FROM:<> BODY=8BITMIME\r\n",
    "MAIL FROM:<a@b> SIZE=99999999\r\n",
    "RCPT TO:<r1@campus.example>\r\n",
    "RCPT TO:<r2@campus.example>\r\n",
    "RCPT TO:<unknown@campus.example>\r\n",
    "RCPT TO:<x@elsewhere>\r\n",
    "DATA\r\n",
    "BDAT 5\r\n",
    "BDAT 0\r\n",
    "BDAT 9 LAST\r\n",
    "BDAT 0 LAST\r\n",
    "RSET\r\n",
    "NOOP x\r\n",
    "VRFY x\r\n",
    "HELP\r\n",
    "line\r\n",
    "..line\r\n",
    ".x\r\n",
    "\r\n",
    ".\r\n",
    "\r\n.\r\n",
    ".",
    "\r",
    "\n",
    "Received: x\r\n",
    "text text text text text text\r\n",
    "\r\r\n",
    "x",
    "DATA\r\nSubject: y\r\n\r\nbody\r\n.\r\n",
    "\r\n.\n",
    "\n.\r\n",
    "BDAT 3\r\na\r\n",
};

struct trial {
    char out[16384];
    unsigned message_count;
    unsigned commit_count;
    uint64_t all_crc;
    size_t used;
};

static void run(struct trial *trial, struct bytes input, size_t piece, size_t cap)
{
    struct server_bed bed;
    server_bed_init(&bed);
    bed.env.message_bytes_max = 200;
    bed.buffer_cap = cap;
    trial->used = server_bed_feed(&bed, input, piece);
    (void)bytes_copy_str(bytes_str(server_bed_take(&bed)), trial->out, sizeof trial->out);
    trial->message_count = bed.message_count;
    trial->commit_count = bed.commit_count;
    trial->all_crc = bed.all_crc;
    server_bed_fini(&bed);
}

Test(smtp_differential, any_cut_is_like_none, .timeout = 100)
{
    static struct trial whole;
    static struct trial cut;
    static char text[8192];
    unsigned messages = 0;
    for (unsigned round = 0; round < 3000; round++) {
        size_t len = 0;
        const char *first = "EHLO p\r\nMAIL FROM:<a@b>\r\nRCPT TO:<r1@campus.example>\r\n";
        if (rnd(4) > 0) {
            memcpy(text, first, strlen(first));
            len = strlen(first);
        }
        for (unsigned part = rnd(60); part > 0; part--) {
            const char *add = parts[rnd(sizeof parts / sizeof parts[0])];
            memcpy(text + len, add, strlen(add));
            len += strlen(add);
        }
        run(&whole, bytes_of(text, len), SIZE_MAX, 4096);
        messages += whole.message_count;
        const size_t pieces[] = {1, 2, 1 + rnd(30)};
        for (unsigned i = 0; i < 3; i++) {
            run(&cut, bytes_of(text, len), pieces[i], 1 + rnd(300));
            cr_assert_str_eq(cut.out, whole.out, "round %u piece %zu:\n%.*s", round, pieces[i],
                             (int)len, text);
            cr_assert_eq(cut.message_count, whole.message_count);
            cr_assert_eq(cut.commit_count, whole.commit_count);
            cr_assert_eq(cut.all_crc, whole.all_crc, "round %u", round);
            cr_assert_eq(cut.used, whole.used);
        }
    }
    cr_assert_gt(messages, 300); /* else the conversations at random would store no messages */
}
