/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_control.c: a checkpoint of control's as a disk gives it back.
 *
 * Target functions: image_record_decode, image_load, image_loaded; checkpoint_walk_next and the
 * block format below it; what the core does with the table that it then has.
 *
 * Input: a count (modulo 4) of changes of the file, those as { offset, 2 bytes, little-endian;
 * value }, then the bytes of an image. The image is saved as a checkpoint with right checksums, the
 * file is changed, and read.
 *
 * Promise: a file that was changed is refused. An image that loads is whole: turns go on from it,
 *          and its own image loads again, with as many deliveries.
 */
#include "control/core/image_load.h"

#include "control/core/mem.h"
#include "spool/checkpoint.h"
#include "spool/spool.h"
#include "tests/fuzz/core_bed.h"
#include "tests/fuzz/reach.h"
#include "tests/unit/spool/memdisk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK)                                                                          \
    MARK(file_refused), MARK(file_good), MARK(image_refused), MARK(image_cut), MARK(image_loaded), \
        MARK(delivery_waiting), MARK(delivery_frozen), MARK(delivery_held), MARK(delivery_orphan), \
        MARK(delivery_noted), MARK(loaded_again)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHANGES_MAX = 4 };

/* Changes the file. Returns true when it differs from before. */
static bool change(struct memdisk *disk, struct cursor *c, unsigned count)
{
    size_t len;
    char name[FORMAT_NAME_SIZE];
    uint8_t *file = memdisk_file(disk, format_checkpoint_name(1, name), &len);
    assert(file != NULL && len > 0);
    uint8_t *before = malloc(len);
    assert(before != NULL);
    memcpy(before, file, len);
    for (unsigned i = 0; i < count; i++) {
        size_t at = cursor_le16(c) % len;
        file[at] = cursor_u8(c);
    }
    bool changed = memcmp(before, file, len) != 0;
    free(before);
    memdisk_keep(disk);
    return changed;
}

static void turn(struct core *core)
{
    for (unsigned i = 0; i < 8 && core_turn(core); i++) {
        notes_clear(&core->notes);
    }
    core->now.now_ns += UINT64_C(61000000000);
    core->now.wall_ms += 61000;
    (void)core_turn(core);
}

static void look(const struct core *core)
{
    for (uint32_t slot = 0; slot < index_slots(&core->index); slot++) {
        const struct delivery *d = index_at(&core->index, slot);
        if (d->id == 0) {
            continue;
        }
        REACH_IF(d->noted, delivery_noted);
        REACH_IF(d->state == DELIVERY_WAITING, delivery_waiting);
        REACH_IF(d->state == DELIVERY_FROZEN, delivery_frozen);
        REACH_IF(d->state == DELIVERY_HELD, delivery_held);
        REACH_IF(d->state == DELIVERY_ORPHAN, delivery_orphan);
    }
}

/* Runs turns on the core that loaded, and checks that its own image loads again. */
static void go_on(struct core *core)
{
    uint64_t deliveries = core->image.load.deliveries;
    look(core);
    turn(core);
    size_t len;
    uint8_t *again = core_bed_image(core, &len);
    struct core other;
    core_bed_init(&other);
    bool good = image_load(&other, bytes_of(again, len)) && image_loaded(&other);
    assert(good && other.image.load.deliveries == deliveries);
    REACH(loaded_again);
    core_fini(&other);
    mem_free(again);
}

static void load(struct bytes image)
{
    struct core core;
    core_bed_init(&core);
    if (!image_load(&core, image)) {
        REACH(image_refused);
    } else if (!image_loaded(&core)) {
        REACH(image_cut);
    } else {
        REACH(image_loaded);
        go_on(&core);
    }
    core_fini(&core);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_of(bytes_of(data, size));
    unsigned count = cursor_u8(&c) % CHANGES_MAX;
    if (c.failed || c.rest.len < (size_t)count * 3 || size > 65536) {
        return 0;
    }
    struct bytes image = bytes_from(c.rest, (size_t)count * 3);
    struct memdisk *disk = memdisk_create(1);
    struct spool_io *io = memdisk_io(disk);
    int r = spool_checkpoint_save(io, 1, 1, image);
    assert(r == 0);
    bool changed = change(disk, &c, count);
    uint64_t message_pos;
    uint64_t state_pos;
    void *blob;
    size_t len;
    r = spool_checkpoint_load(io, &message_pos, &state_pos, NULL, &blob, &len);
    assert(r == (changed ? -EBADMSG : 0));
    REACH_IF(changed, file_refused);
    if (r == 0) {
        assert(len == image.len && (len == 0 || memcmp(blob, image.data, len) == 0));
        REACH(file_good);
        load(bytes_of(blob, len));
        free(blob);
    }
    memdisk_destroy(disk);
    return 0;
}
