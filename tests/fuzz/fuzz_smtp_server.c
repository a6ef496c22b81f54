/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_smtp_server.c: a peer that says anything.
 *
 * The first four bytes choose buffers and failures; the rest is what the peer says. It is said
 * twice, cut differently and with other buffers: answers and stored messages must be the same. */
#include "tests/unit/smtp/bed.h"

#include "common/limits/chunk.h"
#include "tests/fuzz/reach.h"

#define REACH_MARKS(MARK)                                                                          \
    MARK(stored), MARK(null_sender), MARK(many_rcpts), MARK(commit_refused), MARK(no_buffer),      \
        MARK(transaction_aborted), MARK(closed_by_us), MARK(timed_out), MARK(several_chunks)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KNOBS = 4 };

struct trial {
    struct bed_text out;
    unsigned message_count;
    unsigned commit_count;
    uint64_t all_crc;
    size_t used;
};

static void run(struct trial *trial, const uint8_t *knob, struct bytes input, size_t piece,
                size_t cap)
{
    static struct server_bed bed;
    server_bed_init(&bed);
    bed.env.message_bytes_max = 10u + knob[1] * 4u;
    bed.env.rcpts_max = 1 + knob[2] % LIMIT_RCPTS;
    bed.commit = (enum smtp_commit)((knob[2] & 0x80) != 0 ? knob[3] % 3 : SMTP_COMMIT_OK);
    bed.no_buffer = (knob[3] & 0x40) != 0;
    bed.no_transaction = (knob[3] & 0xc0) == 0xc0;
    bed.buffer_cap = cap;
    trial->used = server_bed_feed(&bed, input, piece);
    trial->out = bed.out;
    bed.out = (struct bed_text){0};
    trial->message_count = bed.message_count;
    trial->commit_count = bed.commit_count;
    trial->all_crc = bed.all_crc;
    REACH_IF(bed.message_count > 0, stored);
    REACH_IF(bed.message_count > 0 && bed.envelope.sender.len == 0, null_sender);
    REACH_IF(bed.message_count > 0 && bed.envelope.rcpt_count > 1, many_rcpts);
    REACH_IF(bed.commit_count > bed.message_count, commit_refused);
    REACH_IF(bed.no_buffer, no_buffer);
    REACH_IF(bed.abort_count > 0, transaction_aborted);
    REACH_IF(bed.chunk_count > 0, several_chunks);
    REACH_IF(bed.closed, closed_by_us);
    REACH_IF(!bed.closed, timed_out);
    if (!bed.closed) {
        smtp_server_timeout(&bed.server, "over");
        server_bed_say(&bed, "");
    }
    assert(bed.closed && !bed.txn_lent && bed.server.gather.data == NULL);
    server_bed_fini(&bed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < KNOBS || size > 65536) {
        return 0;
    }
    struct bytes input = bytes_of(data + KNOBS, size - KNOBS);
    struct trial whole;
    struct trial cut;
    run(&whole, data, input, SIZE_MAX, LIMIT_CHUNK_SMALL_BYTES);
    run(&cut, data, input, 1 + data[0] % 40, 1 + data[0]);
    assert(whole.used == cut.used && whole.message_count == cut.message_count);
    assert(whole.commit_count == cut.commit_count && whole.all_crc == cut.all_crc);
    assert(
        bytes_equal(bytes_of(whole.out.data, whole.out.len), bytes_of(cut.out.data, cut.out.len)));
    bed_text_free(&whole.out);
    bed_text_free(&cut.out);
    return 0;
}
