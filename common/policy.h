/* SPDX-License-Identifier: BSD-3-Clause */
/* common/policy.h: the policy snapshot: what the dataplane must know of routes, hops, domains.
 *
 * Control builds it, writes it beside the old one (temporary file, fsync, rename, directory
 * fsync), then publishes its generation. The dataplane maps the file and hands the pointer to its
 * workers. It is position-independent (offsets only), immutable, and on disk, so that a dataplane
 * that starts alone goes on with the last one.
 *
 * Promise: policy_verify accepts a file only when every offset and count in it is in bounds;
 *          after that the lookups need no further checks.
 * Trap:    no pointer into a snapshot outlives one turn of the worker's loop. Copy ids.
 */
#ifndef HOLDFAST_COMMON_POLICY_H
#define HOLDFAST_COMMON_POLICY_H

#include "common/assert.h"
#include "common/bytes.h"
#include "common/config_fwd.h"
#include "common/ip.h"
#include "common/limits/names.h"
#include "common/limits/routes.h"

#include <stdbool.h>
#include <stdint.h>

enum policy_verdict {
    POLICY_ACCEPT,       /* route_id is set */
    POLICY_UNKNOWN_USER, /* the domain's recipient table lacks the address: 550 5.1.1 */
    POLICY_NOT_RELAYED,  /* not one of our domains: 550 5.7.1 */
    POLICY_GRACE,        /* accepted within the last days, now gone from the configuration: 451 */
};

/* A hop as the client needs it; a copy, not a pointer. */
struct policy_hop {
    uint32_t id;
    char name[LIMIT_NAME_BYTES + 1];
    uint32_t address_count;
    struct ip_addr address[LIMIT_HOP_ADDRESSES];
    uint16_t port;
    uint8_t protocol; /* enum config_protocol */
    uint32_t connection_count_max;
    uint32_t messages_per_connection_max;
    uint32_t connect_timeout_ms;
    uint32_t command_timeout_ms; /* banner, EHLO, MAIL, RCPT, DATA */
    uint32_t data_timeout_ms;    /* each progress of the body */
    uint32_t dot_timeout_ms;     /* from the dot to its reply: RFC 5321 section 4.5.3.2.6 */
    uint32_t idle_timeout_ms;    /* an unused pooled connection is closed */
    uint32_t keepalive_ms;       /* how often a hop that owes a reply is probed */
};

struct policy;
struct trouble;

/* Checks magic, version, CRC and every offset of `len` bytes. NULL when anything is off. */
const struct policy *policy_verify(const void *data, size_t len);
uint64_t policy_generation(const struct policy *policy);
/* A digest of the content: equal for two snapshots that differ only in generation and hash key. The
 * bytes of two snapshots always differ, since each has its own key. */
uint64_t policy_content(const struct policy *policy);
/* `address` is local-part@domain, already syntax-checked; the domain is matched without case,
 * a recipient table entry likewise. `route_id_out` is set for POLICY_ACCEPT only. */
enum policy_verdict policy_lookup(const struct policy *policy, struct bytes address,
                                  uint32_t *route_id_out);
must_check bool policy_find_hop(const struct policy *policy, uint32_t hop_id,
                                struct policy_hop *hop_out);

/* A domain that was accepted once and is no longer in the configuration. */
struct policy_grace {
    const char *domain;
};

/* Builds a snapshot. Ids of routes and hops are given, never reused by control. The caller frees
 * *data_out. Returns 0 or -errno. */
must_check int policy_build(const struct config *config, uint64_t generation,
                            const struct policy_grace *grace, size_t grace_count, void **data_out,
                            size_t *len_out);
/* Writes the snapshot durably as <state_dir>/policy.snap. Returns 0 or -errno. */
must_check int policy_save(const char *state_dir, const void *data, size_t len);
/* Maps <state_dir>/policy.snap read-only and verifies it; -ENOENT when there is none, -EBADMSG
 * when it is damaged. *data_out, *len_out are for policy_unload. `trouble`, which may be NULL, gets
 * the chain. */
must_check int policy_load(const char *state_dir, const struct policy **policy_out, void **data_out,
                           size_t *len_out, struct trouble *trouble);
void policy_unload(void *data, size_t len);

#endif
