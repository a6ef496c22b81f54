/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/known.c: see known.h.
 *
 * Promise: a message that was committed before the checkpoint, and is not in the checkpoint, was
 *          delivered. Control forgets a delivery only when its outcome is durable.
 * Trap:    the state log continues after the checkpoint. What the state log says is newer. */
#include "control/cli/known.h"

#include "control/shell/snapshot.h"

#include <errno.h>
#include <stdlib.h>

struct known {
    uint64_t floor;
    struct snapshot_delivery *delivery; /* ascending by id */
    size_t count;
    size_t capacity;
};

static int add(void *ctx, const struct snapshot_delivery *delivery)
{
    struct known *k = ctx;
    if (k->count == k->capacity) {
        size_t capacity = k->capacity == 0 ? 1024 : k->capacity * 2;
        struct snapshot_delivery *more = realloc(k->delivery, capacity * sizeof *more);
        if (more == NULL) {
            return -ENOMEM;
        }
        k->delivery = more;
        k->capacity = capacity;
    }
    k->delivery[k->count++] = *delivery;
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = ((const struct snapshot_delivery *)a)->id;
    uint64_t y = ((const struct snapshot_delivery *)b)->id;
    return (x > y) - (x < y);
}

struct known *known_load(struct spool_io *io, int *error_out)
{
    uint64_t message_pos;
    uint64_t state_pos;
    uint64_t older_pos;
    void *blob = NULL;
    size_t len = 0;
    int r = spool_checkpoint_load(io, &message_pos, &state_pos, &older_pos, &blob, &len);
    *error_out = r == -ENOENT ? 0 : r;
    struct known *k = r == 0 ? calloc(1, sizeof *k) : NULL;
    if (k != NULL) {
        *error_out = snapshot_read(bytes_of(blob, len), &k->floor, add, k);
        if (*error_out != 0) {
            *error_out = trouble_add(io->trouble, *error_out, "the newest checkpoint's deliveries");
            known_free(k);
            k = NULL;
        } else if (k->count > 0) {
            qsort(k->delivery, k->count, sizeof *k->delivery, compare);
        }
    }
    free(blob);
    return k;
}

void known_free(struct known *k)
{
    if (k != NULL) {
        free(k->delivery);
        free(k);
    }
}

bool known_ask(void *ctx, uint64_t id, uint64_t commit_pos, struct spool_tool_hint *hint_out)
{
    const struct known *k = ctx;
    if (commit_pos >= k->floor) {
        return false;
    }
    const struct snapshot_delivery key = {.id = id};
    const struct snapshot_delivery *d =
        k->count == 0 ? NULL : bsearch(&key, k->delivery, k->count, sizeof key, compare);
    *hint_out = (struct spool_tool_hint){.is_done = d == NULL};
    if (d != NULL) {
        hint_out->delivered = d->done;
        hint_out->frozen = d->frozen;
    }
    return true;
}
