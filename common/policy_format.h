/* SPDX-License-Identifier: BSD-3-Clause */
/* common/policy_format.h: the snapshot's bytes, for policy*.c and their tests only.
 *
 *   header | domain slots | recipient slots | hops | names
 *
 * Both tables are open-addressed with linear probing; a key's home is its SipHash under the
 * header's key. Names are bytes without end marks in one area. Everything is in the machine's own
 * order and alignment: a snapshot never leaves the machine that built it.
 */
#ifndef HOLDFAST_COMMON_POLICY_FORMAT_H
#define HOLDFAST_COMMON_POLICY_FORMAT_H

#include "common/config.h"
#include "common/limits/policy.h"
#include "common/limits/routes.h"
#include "common/policy.h"
#include "common/siphash.h"

#define POLICY_MAGIC UINT64_C(0x31306c6f70616668) /* "hfapol01" */

enum {
    POLICY_VERSION = 2,
    /* A lookup looks at this many slots at most. With half the slots free and a good hash, fewer
     * than 1 table in 10^6 has a run of 64; the builder then takes another key. */
    POLICY_PROBES_MAX = 64,
    POLICY_SLOTS_MIN = 8,
};

enum policy_slot_kind {
    POLICY_SLOT_EMPTY,
    POLICY_SLOT_ROUTE,           /* domain or recipient: goes to route_id */
    POLICY_SLOT_RECIPIENTS_ONLY, /* domain: only listed recipients, and the postmaster */
    POLICY_SLOT_GRACE,           /* domain: was in the configuration lately */
};

struct policy_slot {
    uint32_t name_offset; /* into the names */
    uint16_t name_len;
    uint8_t kind; /* enum policy_slot_kind */
    uint8_t reserved;
    uint32_t route_id;
};
_Static_assert(sizeof(struct policy_slot) == 12, "no padding");

struct policy_table {
    uint64_t offset;     /* of the first slot, from the header */
    uint32_t slot_count; /* a power of two */
    uint32_t used_count;
};

struct policy {
    uint64_t magic;
    uint32_t version;
    uint32_t crc; /* CRC-32C of all `len` bytes with this field zero */
    uint64_t len;
    uint64_t generation;
    uint64_t content; /* digest of the content, without key and generation */
    struct siphash_key key;
    struct policy_table domains;
    struct policy_table recipients;
    uint64_t hop_offset; /* struct policy_hop[hop_count], ascending ids */
    uint64_t name_offset;
    uint32_t name_bytes;
    uint32_t hop_count;
    uint32_t postmaster_route; /* of the bare mailbox <postmaster> */
    uint32_t has_postmaster;
};
_Static_assert(sizeof(struct policy) == 120, "no padding");
_Static_assert(sizeof(struct policy) % 8 == 0, "what follows is aligned");
_Static_assert(CONFIG_RECIPIENTS_MAX * 4 <= LIMIT_POLICY_SLOTS, "the largest table fits, doubled");
_Static_assert(LIMIT_DOMAINS * 4 <= LIMIT_POLICY_SLOTS, "the largest table fits, doubled");

/* The CRC of a snapshot of `len` bytes, its own field taken as zero. */
uint32_t policy_crc(const void *data, size_t len);
/* The slot where `name` lies, or NULL. At most POLICY_PROBES_MAX looks. */
const struct policy_slot *policy_find(const struct policy *policy, const struct policy_table *table,
                                      struct bytes name);

#endif
