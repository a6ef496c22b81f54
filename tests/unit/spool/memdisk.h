/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/memdisk.h: a disk in memory that forgets what was not synced.
 *
 * Promise: after memdisk_crash each 512-byte sector written but not synced is by itself old, new or
 *          garbage, and all of the 4096 bytes of its physical sector may be garbage with it, what
 *          was synced before included; a name made, renamed or removed since the last directory
 *          sync is old or new.
 * Trap:    a sync covers only writes that were reaped before it was issued, as on a real disk.
 */
#ifndef HOLDFAST_TESTS_UNIT_SPOOL_MEMDISK_H
#define HOLDFAST_TESTS_UNIT_SPOOL_MEMDISK_H

#include "spool/io.h"

struct memdisk;

struct memdisk *memdisk_create(uint64_t seed);
void memdisk_destroy(struct memdisk *disk);
struct spool_io *memdisk_io(struct memdisk *disk);

/* Loses power: writers must be closed. Locks are gone, faults are cleared. */
void memdisk_crash(struct memdisk *disk);
/* Every operation that changes something is counted. At the n-th from now the power goes: half of
 * that operation may have happened; it and all later ones return -EIO. */
void memdisk_crash_at(struct memdisk *disk, uint64_t operation);
uint64_t memdisk_operations(const struct memdisk *disk);
/* The next operations of the kind fail with `err` (a positive errno); 0 count: none. */
void memdisk_fail(struct memdisk *disk, enum spool_io_kind kind, uint32_t count, int err);
/* After `skip` more writes, the next one is cut short by a sector, without an error: pwrite may do
 * that near the end of a quota or after a signal. */
void memdisk_shorten(struct memdisk *disk, uint32_t skip);
/* All files together may not grow beyond so many bytes. */
void memdisk_limit(struct memdisk *disk, uint64_t bytes);
/* The 4096 bytes at the offset of the file cannot be read: EIO, for good. */
void memdisk_break(struct memdisk *disk, const char *name, uint64_t offset);
/* From now on the disk tells how much room there is. */
void memdisk_tell_space(struct memdisk *disk);
void memdisk_set_dsync(struct memdisk *disk, bool dsync);
uint64_t memdisk_syncs(const struct memdisk *disk);
/* The file's bytes, to be damaged in place: durably. NULL when there is no such file. */
uint8_t *memdisk_file(struct memdisk *disk, const char *name, size_t *len_out);
/* Makes a change through memdisk_file durable. */
void memdisk_keep(struct memdisk *disk);

#endif
