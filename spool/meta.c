/* SPDX-License-Identifier: BSD-3-Clause */
/* spool/meta.c: what identifies a spool: its uuid, the sizes of its segments, how often it was
 * started. It is kept in two files, since without it nothing of the spool can be read.
 *
 * Promise: either file is enough. A save that a crash cuts short leaves the earlier state or the
 *          later one, in whichever file.
 * Trap:    "meta-2" is written first, so its start number is never behind that of "meta". A start
 *          that finds only "meta-2" therefore uses no number twice.
 */
#include "spool/format.h"

#include <errno.h>
#include <inttypes.h>

static const char *const names[] = {"meta-2", "meta"}; /* in the order of writing */
static const char temporary[] = "meta.tmp";

static int save_one(struct spool_io *io, const uint8_t data[FORMAT_META_BYTES], const char *name)
{
    int file = io->ops->open(io, temporary, true, false);
    if (file < 0) {
        return file;
    }
    int64_t put = io->ops->pwrite(io, file, data, FORMAT_META_BYTES, 0);
    int err = put == FORMAT_META_BYTES ? 0 : put < 0 ? (int)put : -EIO;
    if (err == 0) {
        err = io->ops->sync(io, file);
    }
    io->ops->close(io, file);
    if (err == 0) {
        err = io->ops->rename(io, temporary, name);
    }
    return err == 0 ? io->ops->sync_dir(io) : err;
}

int meta_save(struct spool_io *io, const struct format_meta *meta)
{
    uint8_t data[FORMAT_META_BYTES];
    format_meta_encode(meta, data);
    int err = save_one(io, data, names[0]);
    return err == 0 ? save_one(io, data, names[1]) : err;
}

static int load_one(struct spool_io *io, const char *name, bool sync, struct format_meta *meta_out)
{
    uint8_t data[FORMAT_META_BYTES];
    int file = io->ops->open(io, name, false, false);
    if (file < 0) {
        return file;
    }
    int err = sync ? io->ops->sync(io, file) : 0;
    int64_t got = err == 0 ? io->ops->pread(io, file, data, sizeof data, 0) : err;
    io->ops->close(io, file);
    if (got < 0) {
        return (int)got;
    }
    if (format_meta_decode(bytes_of(data, (size_t)got), meta_out)) {
        return 0;
    }
    uint32_t version = format_meta_version(bytes_of(data, (size_t)got));
    return version == 0 || version == FORMAT_VERSION
               ? trouble_begin(io->trouble, -EBADMSG, "%s", name)
               : trouble_say(io->trouble, -EBADMSG,
                             "%s: the spool is of format %" PRIu32 "; this program reads format %d",
                             name, version, FORMAT_VERSION);
}

int meta_load(struct spool_io *io, bool sync, struct format_meta *meta_out)
{
    int err = load_one(io, names[1], sync, meta_out);
    if (err == 0) {
        return 0;
    }
    struct trouble *trouble = io->trouble;
    io->trouble = err == -ENOENT ? trouble : NULL; /* it tells of the first file that exists */
    int other = load_one(io, names[0], sync, meta_out);
    io->trouble = trouble;
    return other == 0 || err == -ENOENT ? other : err;
}
