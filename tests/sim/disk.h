/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/disk.h: one simulated disk with one directory, seen by several processes through
 * spool/io.h.
 *
 *              writes                      sync, or a durable write
 *   process ───────────▶ current sectors ───────────▶ durable sectors
 *           create,      current names               durable names
 *           rename,      (everybody reads these)     (what a power loss surely leaves)
 *           remove                        sync_dir
 *
 * Promise: a killed process leaves everything that it finished writing. A power loss leaves the
 *          durable state. Each sector, name and size that was not durable is then the old or the
 *          new one, independently. A sector that was being written may be garbage, and so may its
 *          whole page, which is one sector to the device, durable neighbours included.
 * Trap:    asynchronous operations take effect when they are reaped, which is not before their time
 *          has come. Memory lent to them must live until then, or until the process is killed.
 */
#ifndef HOLDFAST_TESTS_SIM_DISK_H
#define HOLDFAST_TESTS_SIM_DISK_H

#include "spool/io.h"
#include "tests/sim/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SIMDISK_SECTOR_BYTES = 512,
    SIMDISK_PAGE_BYTES = 4096,
    SIMDISK_SECTORS_PER_PAGE = SIMDISK_PAGE_BYTES / SIMDISK_SECTOR_BYTES,
    SIMDISK_NAME_SIZE = 64,
    SIMDISK_NAMES_MAX = 2048,
    SIMDISK_FILES_MAX = 1024, /* open at a time in one process */
};

struct simdisk_faults {
    uint64_t latency_min_ns;
    uint64_t latency_max_ns;
    uint64_t stall_ns; /* some operations take this long */
    uint32_t stall_ppm;
    uint32_t write_eio_ppm;
    uint32_t sync_eio_ppm;
    bool no_space; /* files do not grow */
};

struct simdisk;

/* Called before each operation of a process. It may kill the process, and then does not return. */
typedef void (*simdisk_hook_fn)(void *ctx, struct spool_io *io);

struct simdisk *simdisk_create(uint64_t seed, bool dsync);
void simdisk_set_hook(struct simdisk *disk, simdisk_hook_fn hook, void *ctx);
/* May be changed at any time. */
struct simdisk_faults *simdisk_faults(struct simdisk *disk);
uint64_t simdisk_op_count(const struct simdisk *disk);
/* The number of errors given so far. */
uint64_t simdisk_error_count(const struct simdisk *disk);

/* A process's view of the disk. */
struct spool_io *simdisk_process_begin(struct simdisk *disk, const char *name);
/* SIGKILL: finished writes stay, operations under way happened or did not, locks are free. The view
 * stays allocated and refuses everything. `power`: the machine lost power, so the sector that was
 * being written may hold garbage. */
void simdisk_process_kill(struct spool_io *io, bool power);
/* Call it when all processes are killed. */
void simdisk_power_loss(struct simdisk *disk);
/* `starved`: from now on the process cannot open a file, as when it has no descriptor left. */
void simdisk_process_starve(struct spool_io *io, bool starved);
/* When the next operation under way may be reaped; UINT64_MAX: none is under way. */
uint64_t simdisk_next_ns(const struct spool_io *io);

/* --- between disk.c and disk_io.c ----------------------------------------------------------- */

struct simdisk_page {
    uint8_t current[SIMDISK_PAGE_BYTES];
    uint8_t *durable; /* NULL: zeros; or equal to current where the sector is not dirty */
    uint64_t version[SIMDISK_SECTORS_PER_PAGE];
    uint8_t dirty; /* a bit for each sector */
    bool listed;   /* in the inode's dirty list */
};

struct simdisk_inode {
    uint64_t number;
    uint64_t size;
    uint64_t durable_size;
    struct simdisk_page **page;
    uint64_t page_count;
    uint64_t *dirty_page; /* indexes of pages with dirty sectors, and maybe of clean ones */
    size_t dirty_count;
    size_t dirty_cap;
    const struct spool_io *locked_by;
    struct simdisk_inode *next;
};

struct simdisk_name {
    char name[SIMDISK_NAME_SIZE];
    struct simdisk_inode *inode;
};

struct simdisk_names {
    struct simdisk_name entry[SIMDISK_NAMES_MAX];
    size_t count;
};

struct simdisk_change {
    enum { SIMDISK_CHANGE_CREATE, SIMDISK_CHANGE_RENAME, SIMDISK_CHANGE_REMOVE } kind;
    char name[SIMDISK_NAME_SIZE]; /* RENAME: the old one */
    char to[SIMDISK_NAME_SIZE];
    struct simdisk_inode *inode;
};

struct simdisk {
    struct rng rng;
    bool dsync;
    struct simdisk_faults faults;
    simdisk_hook_fn hook;
    void *hook_ctx;
    uint64_t op_count;
    uint64_t error_count;
    uint64_t version;
    uint64_t inode_count;
    struct simdisk_inode *inodes;
    struct simdisk_names current;
    struct simdisk_names durable;
    struct simdisk_change change[SIMDISK_NAMES_MAX];
    size_t change_count;
};

/* A sector as it was when a sync began. */
struct simdisk_snapshot {
    uint64_t sector;
    uint64_t version;
    uint8_t data[SIMDISK_SECTOR_BYTES];
};

struct simdisk_sync {
    uint64_t size;
    struct simdisk_snapshot *snapshot;
    size_t count;
};

struct simdisk_inode *simdisk_find(const struct simdisk_names *names, const char *name);
struct simdisk_inode *simdisk_create_name(struct simdisk *disk, const char *name);
int simdisk_rename_name(struct simdisk *disk, const char *from, const char *to);
int simdisk_remove_name(struct simdisk *disk, const char *name);
void simdisk_sync_names(struct simdisk *disk);
void simdisk_inode_read(const struct simdisk_inode *inode, void *out, size_t len, uint64_t offset);
void simdisk_inode_write(struct simdisk *disk, struct simdisk_inode *inode, const void *data,
                         size_t len, uint64_t offset);
/* Flips a bit of what the disk has, and tells nobody. */
void simdisk_inode_rot(struct simdisk_inode *inode, uint64_t offset, unsigned bit);
/* A write of the sector at `from` also went to `to`, durably. */
void simdisk_inode_misdirect(struct simdisk_inode *inode, uint64_t from, uint64_t to);
void simdisk_sync_begin(const struct simdisk_inode *inode, struct simdisk_sync *sync_out);
/* `percent` of the snapshot's sectors become durable (100: a good sync). When the sync failed, the
 * others go back to what was durable. */
void simdisk_sync_end(struct simdisk *disk, struct simdisk_inode *inode, struct simdisk_sync *sync,
                      uint32_t percent);

#endif
