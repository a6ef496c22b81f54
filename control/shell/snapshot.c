/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/snapshot.c: see snapshot.h; the layout is core/image_record.h's. */
#include "control/shell/snapshot.h"

#include "control/core/image_record.h"

#include <errno.h>

static void copy(const struct image_record *record, struct snapshot_delivery *d)
{
    *d = (struct snapshot_delivery){.id = record->delivery.id};
    for (unsigned i = 0; i < record->delivery.rcpt_count; i++) {
        if (record->delivery.rcpt[i].state == RCPT_DONE) {
            rcptset_add(&d->done, i);
        } else if (record->delivery.rcpt[i].state == RCPT_FROZEN) {
            rcptset_add(&d->frozen, i);
        }
    }
}

int snapshot_read(struct bytes blob, uint64_t *floor_out, snapshot_fn fn, void *ctx)
{
    struct image_record record; /* large; the decoder sets the used part */
    struct cursor in = cursor_of(blob);
    bool head = false;
    bool end = false;
    while (in.rest.len > 0) {
        if (end || !image_record_decode(&in, &record) || head == (record.kind == IMAGE_HEAD)) {
            return -EBADMSG;
        }
        if (record.kind == IMAGE_HEAD) {
            head = true;
            *floor_out = record.head.message_floor;
        } else if (record.kind == IMAGE_DELIVERY) {
            struct snapshot_delivery d;
            copy(&record, &d);
            int r = fn(ctx, &d);
            if (r != 0) {
                return r;
            }
        }
        end = record.kind == IMAGE_END;
    }
    return end ? 0 : -EBADMSG;
}
