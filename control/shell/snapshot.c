/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/snapshot.c: see snapshot.h; the layout is at the head of checkpoint.c. */
#include "control/shell/snapshot.h"

#include <errno.h>

static void skip(struct cursor *in, uint64_t bytes)
{
    if (bytes > in->rest.len) {
        in->failed = true;
    } else {
        (void)cursor_take(in, (size_t)bytes);
    }
}

/* The floor of one list of seen positions; what is listed above it is passed over. */
static uint64_t seen_floor(struct cursor *in)
{
    uint64_t floor = cursor_le64(in);
    uint64_t count = cursor_le64(in);
    skip(in, count > in->rest.len ? UINT64_MAX : count * 10);
    return floor;
}

static bool read_delivery(struct cursor *in, struct snapshot_delivery *d)
{
    *d = (struct snapshot_delivery){.id = cursor_le64(in)};
    skip(in, UINT64_C(4) * 8 + 4 * 4); /* positions, times; route, size, rule, hop */
    uint16_t rcpt_count = cursor_le16(in);
    skip(in, 2 + 1 + 1); /* attempts, faults, dot losses */
    if (in->failed || rcpt_count == 0 || rcpt_count > LIMIT_RCPTS) {
        return false;
    }
    for (unsigned i = 0; i < rcpt_count; i++) {
        uint8_t state = cursor_u8(in);
        skip(in, 1 + 2 + 8); /* outcome, code, state record */
        if (state == RCPT_DONE) {
            rcptset_add(&d->done, i);
        } else if (state == RCPT_FROZEN) {
            rcptset_add(&d->frozen, i);
        }
    }
    return !in->failed;
}

int snapshot_read(struct bytes blob, uint64_t *floor_out, snapshot_fn fn, void *ctx)
{
    struct cursor in = cursor_of(blob);
    uint32_t version = cursor_le32(&in);
    if (version != CHECKPOINT_VERSION && version != CHECKPOINT_VERSION_UNPINNED) {
        return -EBADMSG;
    }
    skip(&in, UINT64_C(8) * CHECKPOINT_TOTALS);
    *floor_out = seen_floor(&in);
    (void)seen_floor(&in); /* of the state log */
    uint64_t count = cursor_le64(&in);
    for (uint64_t i = 0; i < count && !in.failed; i++) {
        struct snapshot_delivery d;
        if (!read_delivery(&in, &d)) {
            return -EBADMSG;
        }
        int r = fn(ctx, &d);
        if (r != 0) {
            return r;
        }
    }
    return in.failed ? -EBADMSG : 0;
}
