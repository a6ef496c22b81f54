/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/checkpoint_file.c: see checkpoint_file.h. */
#include "spool/checkpoint_file.h"

#include "common/crc32c.h"

#include <errno.h>
#include <inttypes.h>

static int note_name(void *ctx, const char *name)
{
    struct checkpoint_listing *l = ctx;
    uint64_t number;
    if (!format_checkpoint_name_parse(name, &number)) {
        return 0;
    }
    uint32_t at = 0;
    while (at < l->count && l->number[at] > number) {
        at++;
    }
    if (at == CHECKPOINT_LISTED_MAX) {
        return 0;
    }
    uint32_t keep = l->count < CHECKPOINT_LISTED_MAX ? l->count : CHECKPOINT_LISTED_MAX - 1u;
    memmove(&l->number[at + 1], &l->number[at], (keep - at) * sizeof l->number[0]);
    l->number[at] = number;
    l->count = keep + 1;
    return 0;
}

int checkpoint_list(struct spool_io *io, struct checkpoint_listing *listing_out)
{
    *listing_out = (struct checkpoint_listing){.count = 0};
    int err = io->ops->list(io, note_name, listing_out);
    assert(listing_out->count <= CHECKPOINT_LISTED_MAX);
    return err;
}

int checkpoint_walk_open(struct spool_io *io, uint64_t number, uint8_t *buffer,
                         struct checkpoint_walk *walk_out)
{
    char name[FORMAT_NAME_SIZE];
    int file = io->ops->open(io, format_checkpoint_name(number, name), false, false);
    if (file < 0) {
        return file;
    }
    *walk_out =
        (struct checkpoint_walk){.io = io, .buffer = buffer, .file = file, .number = number};
    return 0;
}

/* Reads exactly len bytes at the walk's offset. -EBADMSG where the file ends before. */
static int read_exactly(const struct checkpoint_walk *w, uint8_t *out, size_t len, uint64_t offset)
{
    size_t have = 0;
    while (have < len) {
        int64_t got = w->io->ops->pread(w->io, w->file, out + have, len - have, offset + have);
        if (got <= 0) {
            return got < 0 ? (int)got : -EBADMSG;
        }
        have += (size_t)got;
    }
    return 0;
}

/* True when the block is the next one of this checkpoint. */
static bool belongs(struct checkpoint_walk *w, const struct format_checkpoint_block *block)
{
    if (!w->stamped) {
        memcpy(w->stamp, block->stamp, sizeof w->stamp);
        w->stamped = true;
    }
    return block->number == w->number && block->seq == w->block_count &&
           memcmp(block->stamp, w->stamp, sizeof w->stamp) == 0;
}

static int check_end(const struct checkpoint_walk *w, const struct format_checkpoint_end *end)
{
    int64_t size = w->io->ops->size(w->io, w->file);
    if (size < 0) {
        return (int)size;
    }
    bool good = end->block_count == w->block_count && end->payload_bytes == w->payload_bytes &&
                (uint64_t)size == w->offset;
    return good ? 0 : -EBADMSG;
}

static int read_block(struct checkpoint_walk *w, struct bytes *payload_out,
                      struct format_checkpoint_end *end_out)
{
    uint8_t header[FORMAT_CHECKPOINT_HEADER_BYTES];
    struct format_checkpoint_block block;
    int err = read_exactly(w, header, sizeof header, w->offset);
    if (err != 0) {
        return err;
    }
    if (!format_checkpoint_block_decode(bytes_of(header, sizeof header), &block) ||
        !belongs(w, &block)) {
        return -EBADMSG;
    }
    assert(block.payload_bytes <= FORMAT_CHECKPOINT_PAYLOAD_MAX);
    err = read_exactly(w, w->buffer, block.payload_bytes, w->offset + sizeof header);
    if (err != 0) {
        return err;
    }
    struct bytes payload = bytes_of(w->buffer, block.payload_bytes);
    if (crc32c(0, payload.data, payload.len) != block.payload_crc) {
        return -EBADMSG;
    }
    w->offset += sizeof header + payload.len;
    if (block.kind == FORMAT_CHECKPOINT_END) {
        return format_checkpoint_end_decode(payload, end_out) ? check_end(w, end_out) : -EBADMSG;
    }
    w->block_count++;
    w->payload_bytes += payload.len;
    if (w->payload_bytes > FORMAT_CHECKPOINT_BYTES_MAX) {
        return -EBADMSG;
    }
    *payload_out = payload;
    return 1;
}

int checkpoint_walk_next(struct checkpoint_walk *w, struct bytes *payload_out,
                         struct format_checkpoint_end *end_out)
{
    char name[FORMAT_NAME_SIZE];
    int more = read_block(w, payload_out, end_out);
    if (more != -EBADMSG) {
        return more;
    }
    return trouble_begin(w->io->trouble, more, "%s, the block at byte %" PRIu64,
                         format_checkpoint_name(w->number, name), w->offset);
}

void checkpoint_walk_rewind(struct checkpoint_walk *w)
{
    assert(w->stamped);
    w->offset = 0;
    w->block_count = 0;
    w->payload_bytes = 0;
}

void checkpoint_walk_close(struct checkpoint_walk *w)
{
    assert(w->file >= 0);
    w->io->ops->close(w->io, w->file);
    w->file = -1;
}

int checkpoint_verify(struct checkpoint_walk *w, struct format_checkpoint_end *end_out)
{
    assert(w->offset == 0);
    struct bytes payload;
    int more;
    do {
        more = checkpoint_walk_next(w, &payload, end_out);
    } while (more > 0);
    return more;
}
