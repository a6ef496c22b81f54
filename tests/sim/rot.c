/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/rot.c: bits flip on the disk, or writes go astray, under a record that was durable.
 *
 * This happens only where a later batch of the segment says that the record was durable. Without
 * that, nobody can tell rot from an end that a crash tore.
 *
 * Trap: what is still in the worker's memory is sent undamaged. Only what is read from the disk can
 *       show the damage.
 */
#include "tests/sim/world.h"

#include "spool/format.h"
#include "spool/spool.h"
#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct choice {
    struct world *w;
    struct mail *mail; /* the mail with that record */
    uint64_t id;       /* of the spool; 0: none chosen yet */
    uint64_t pos;
    uint32_t seen;
    uint32_t body_at; /* within the record */
    uint32_t body_bytes;
    bool witnessed;
};

static struct mail *mail_of(struct world *w, const struct spool_record *record)
{
    const uint8_t *name = memmem(record->body.data, record->body.len, "X-Sim: ", 7);
    if (name == NULL) {
        return NULL;
    }
    char text[16] = "";
    bytes_copy_str(bytes_from(record->body, (size_t)(name + 7 - record->body.data)), text,
                   sizeof text);
    unsigned long id = strtoul(text, NULL, 10);
    return id >= 1 && id <= w->ledger->mail_count ? &w->ledger->mail[id - 1] : NULL;
}

static bool is_missing(const struct mail *mail)
{
    for (uint32_t i = 0; i < mail->rcpt_count; i++) {
        if (mail_is_missing(mail, i)) {
            return true;
        }
    }
    return false;
}

/* Chooses among the messages that were accepted and have not arrived, each with the same chance. */
static int choose_message(void *ctx, const struct spool_scan_item *item)
{
    struct choice *c = ctx;
    if (item->verdict != SPOOL_SCAN_RECORD || !item->record->is_first) {
        return 0;
    }
    struct mail *mail = mail_of(c->w, item->record);
    if (mail != NULL && is_missing(mail) && rng_below(&c->w->operator.rng, ++c->seen) == 0) {
        c->mail = mail;
        c->id = item->record->id;
    }
    return 0;
}

/* Chooses one of its records. */
static int choose_record(void *ctx, const struct spool_scan_item *item)
{
    struct choice *c = ctx;
    const struct spool_record *r = item->record;
    if (item->verdict != SPOOL_SCAN_RECORD) {
        return 0;
    }
    const struct mail *other = r->is_first ? mail_of(c->w, r) : NULL;
    if (other != NULL && other->state == MAIL_ACCEPTED && c->pos != 0 &&
        other->sent_ns > c->mail->accepted_ns &&
        spool_pos_seq(item->pos) == spool_pos_seq(c->pos)) {
        c->witnessed = true;
    }
    if (r->id == c->id && r->body.len > 0 && rng_below(&c->w->operator.rng, ++c->seen) == 0) {
        c->pos = item->pos;
        c->witnessed = false;
        c->body_at = (uint32_t)(spool_record_prefix(r->index) + r->envelope.len);
        c->body_bytes = (uint32_t)r->body.len;
    }
    return 0;
}

static struct simdisk_inode *file_of(const struct simdisk *disk, uint64_t pos, uint64_t id)
{
    for (size_t i = 0; i < disk->current.count; i++) {
        struct simdisk_inode *inode = disk->current.entry[i].inode;
        uint8_t head[SPOOL_BLOCK_BYTES];
        struct format_record record;
        simdisk_inode_read(inode, head, sizeof head, spool_pos_offset(pos));
        if (strncmp(disk->current.entry[i].name, "msg-", 4) == 0 &&
            format_record_decode(bytes_of(head, sizeof head), &record) && record.id == id &&
            format_pos(record.seq, record.offset) == pos) {
            return inode;
        }
    }
    return NULL;
}

/* Flips a bit. Or, where the record is longer than the sector of its header, writes a sector that
 * was meant for another place: a batch header that verifies, but not there. */
static void damage(struct world *w, struct simdisk_inode *inode, uint64_t record, uint64_t at)
{
    uint64_t sector = at / SPOOL_BLOCK_BYTES * SPOOL_BLOCK_BYTES;
    if (sector > record && rng_percent(&w->operator.rng, 50)) {
        simdisk_inode_misdirect(inode, FORMAT_SEGMENT_START, sector);
        trace_say("disk: a misdirected write");
    } else {
        simdisk_inode_rot(inode, at, (unsigned)rng_below(&w->operator.rng, 8));
    }
}

bool rot_one(struct world *w)
{
    struct choice c = {.w = w};
    struct spool_reader *reader;
    struct spool_io *io = simdisk_process_begin(w->disk, "rot");
    if (spool_reader_open(io, &reader) < 0) {
        return false;
    }
    int error = spool_scan_messages(reader, 0, UINT64_MAX, choose_message, &c);
    c.seen = 0;
    if (error == 0 && c.id != 0) {
        error = spool_scan_messages(reader, 0, UINT64_MAX, choose_record, &c);
    }
    spool_reader_close(reader);
    simdisk_process_kill(io, false);
    struct simdisk_inode *inode = error == 0 && c.witnessed ? file_of(w->disk, c.pos, c.id) : NULL;
    if (inode == NULL) {
        return false;
    }
    uint64_t at = spool_pos_offset(c.pos) + c.body_at + rng_below(&w->operator.rng, c.body_bytes);
    damage(w, inode, spool_pos_offset(c.pos), at);
    c.mail->rotten = true;
    c.mail->rotten_pos = c.pos;
    w->ledger->rotten_count++;
    trace_event(0x46, c.pos, at);
    trace_say("disk: rot in mail %" PRIu32 " at %" PRIx64, c.mail->id, c.pos);
    return true;
}
