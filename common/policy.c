/* SPDX-License-Identifier: BSD-3-Clause */
/* common/policy.c: verifying a snapshot once, and looking things up in it for every RCPT.
 *
 * Promise: policy_verify accepts no snapshot that could lead a lookup out of its bytes, or past
 *          POLICY_PROBES_MAX slots. A lookup allocates nothing and hashes twice.
 * Trap:    the local part is compared without case, although RFC 5321 section 2.4 leaves that to
 *          the final host: two mailboxes that differ only by case are not told apart here.
 */
#include "common/policy.h"

#include "common/config.h"
#include "common/crc32c.h"
#include "common/policy_format.h"

static const struct policy_slot *slots(const struct policy *policy,
                                       const struct policy_table *table)
{
    return (const void *)((const uint8_t *)policy + table->offset);
}

static struct bytes slot_name(const struct policy *policy, const struct policy_slot *slot)
{
    return bytes_of((const uint8_t *)policy + policy->name_offset + slot->name_offset,
                    slot->name_len);
}

static const struct policy_hop *hops(const struct policy *policy)
{
    return (const void *)((const uint8_t *)policy + policy->hop_offset);
}

const struct policy_slot *policy_find(const struct policy *policy, const struct policy_table *table,
                                      struct bytes name)
{
    uint32_t mask = table->slot_count - 1;
    uint32_t home = (uint32_t)siphash(&policy->key, name.data, name.len) & mask;
    for (uint32_t i = 0; i < POLICY_PROBES_MAX; i++) {
        const struct policy_slot *slot = &slots(policy, table)[(home + i) & mask];
        if (slot->kind == POLICY_SLOT_EMPTY) {
            return NULL;
        }
        if (bytes_equal(slot_name(policy, slot), name)) {
            return slot;
        }
    }
    return NULL;
}

/* --- verifying ------------------------------------------------------------------------------- */

uint32_t policy_crc(const void *data, size_t len)
{
    static const uint8_t zero[sizeof(uint32_t)];
    const size_t at = offsetof(struct policy, crc);
    assert(len >= sizeof(struct policy));
    uint32_t crc = crc32c(0, data, at);
    crc = crc32c(crc, zero, sizeof zero);
    return crc32c(crc, (const uint8_t *)data + at + sizeof zero, len - at - sizeof zero);
}

/* True when `count` items of `size` lie aligned within `len` bytes, behind the header. */
static bool area_fits(uint64_t offset, uint64_t count, size_t size, size_t align, uint64_t len)
{
    return offset >= sizeof(struct policy) && offset % align == 0 && offset <= len &&
           count <= (len - offset) / size;
}

static bool kind_fits(uint8_t kind, bool is_domain)
{
    return kind == POLICY_SLOT_ROUTE ||
           (is_domain && (kind == POLICY_SLOT_RECIPIENTS_ONLY || kind == POLICY_SLOT_GRACE));
}

/* True when every slot is in bounds, and every used one is found under its own name: so no entry is
 * there twice, and none is lost. All bounds are checked first, because finding reads the names of
 * other slots. */
static bool table_is_good(const struct policy *policy, const struct policy_table *table,
                          bool is_domain)
{
    uint32_t count = table->slot_count;
    if (count < POLICY_SLOTS_MIN || count > LIMIT_POLICY_SLOTS || (count & (count - 1)) != 0 ||
        !area_fits(table->offset, count, sizeof(struct policy_slot), _Alignof(struct policy_slot),
                   policy->len)) {
        return false;
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct policy_slot *slot = &slots(policy, table)[i];
        if (slot->kind == POLICY_SLOT_EMPTY) {
            continue;
        }
        used++;
        if (!kind_fits(slot->kind, is_domain) || slot->reserved != 0 || slot->name_len == 0 ||
            slot->name_len > LIMIT_DOMAIN_BYTES || slot->name_offset > policy->name_bytes ||
            slot->name_len > policy->name_bytes - slot->name_offset) {
            return false;
        }
    }
    if (used != table->used_count || used > count / 2) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct policy_slot *slot = &slots(policy, table)[i];
        if (slot->kind != POLICY_SLOT_EMPTY &&
            policy_find(policy, table, slot_name(policy, slot)) != slot) {
            return false;
        }
    }
    return true;
}

static bool hops_are_good(const struct policy *policy)
{
    if (policy->hop_count > LIMIT_HOPS ||
        !area_fits(policy->hop_offset, policy->hop_count, sizeof(struct policy_hop),
                   _Alignof(struct policy_hop), policy->len)) {
        return false;
    }
    for (uint32_t i = 0; i < policy->hop_count; i++) {
        const struct policy_hop *hop = &hops(policy)[i];
        if ((i > 0 && hop->id <= hop[-1].id) || hop->address_count == 0 ||
            hop->address_count > LIMIT_HOP_ADDRESSES || hop->port == 0 ||
            hop->protocol > CONFIG_PROTOCOL_LMTP || hop->connection_count_max == 0 ||
            hop->messages_per_connection_max == 0 ||
            memchr(hop->name, '\0', sizeof hop->name) == NULL) {
            return false;
        }
    }
    return true;
}

const struct policy *policy_verify(const void *data, size_t len)
{
    const struct policy *policy = data;
    if (len < sizeof *policy || len > LIMIT_POLICY_BYTES ||
        (uintptr_t)data % _Alignof(struct policy) != 0) {
        return NULL;
    }
    if (policy->magic != POLICY_MAGIC || policy->version != POLICY_VERSION || policy->len != len ||
        policy->crc != policy_crc(data, len)) {
        return NULL;
    }
    if (!area_fits(policy->name_offset, policy->name_bytes, 1, 1, len) ||
        policy->has_postmaster > 1 || !hops_are_good(policy) ||
        !table_is_good(policy, &policy->domains, true) ||
        !table_is_good(policy, &policy->recipients, false)) {
        return NULL;
    }
    return policy;
}

/* --- looking up ------------------------------------------------------------------------------ */

uint64_t policy_generation(const struct policy *policy)
{
    return policy->generation;
}

uint64_t policy_content(const struct policy *policy)
{
    return policy->content;
}

/* Writes the address in lower case, without the quotes of a quoted local part: "a"@x and a@x are
 * one mailbox (RFC 5321 section 4.1.2). Returns its length. *domain_out is where the domain begins,
 * 0 without one. The caller has checked that it fits. */
static size_t fold(struct bytes address, uint8_t out[LIMIT_ADDRESS_BYTES], size_t *domain_out)
{
    size_t at = address.len;
    while (at > 0 && address.data[at - 1] != '@') {
        at--;
    }
    size_t local_len = at > 0 ? at - 1 : address.len;
    size_t from = 0;
    bool quoted = local_len >= 2 && address.data[0] == '"' && address.data[local_len - 1] == '"';
    if (quoted) {
        from = 1;
        local_len--;
    }
    size_t len = 0;
    for (size_t i = from; i < local_len; i++) {
        if (quoted && address.data[i] == '\\' && i + 1 < local_len) {
            i++;
        }
        out[len++] = ascii_lower(address.data[i]);
    }
    *domain_out = 0;
    if (at > 0) {
        out[len++] = '@';
        *domain_out = len;
        for (size_t i = at; i < address.len; i++) {
            out[len++] = ascii_lower(address.data[i]);
        }
    }
    assert(len <= address.len && *domain_out <= len);
    return len;
}

/* RFC 5321 section 4.5.1: mail for the postmaster is accepted, whether listed or not; section
 * 2.3.5: also without a domain. */
static bool is_postmaster(struct bytes local)
{
    return bytes_equal(local, bytes_str("postmaster"));
}

enum policy_verdict policy_lookup(const struct policy *policy, struct bytes address,
                                  uint32_t *route_id_out)
{
    uint8_t text[LIMIT_ADDRESS_BYTES];
    size_t domain_at;
    if (address.len > sizeof text) {
        return POLICY_NOT_RELAYED; /* no path is that long: RFC 5321 section 4.5.3.1.3 */
    }
    size_t len = fold(address, text, &domain_at);
    if (domain_at == 0) {
        if (!is_postmaster(bytes_of(text, len)) || policy->has_postmaster == 0) {
            return POLICY_NOT_RELAYED;
        }
        *route_id_out = policy->postmaster_route;
        return POLICY_ACCEPT;
    }
    const struct policy_slot *slot = policy_find(policy, &policy->recipients, bytes_of(text, len));
    if (slot == NULL) {
        slot = policy_find(policy, &policy->domains, bytes_from(bytes_of(text, len), domain_at));
    }
    if (slot == NULL) {
        return POLICY_NOT_RELAYED;
    }
    if (slot->kind == POLICY_SLOT_GRACE) {
        return POLICY_GRACE;
    }
    if (slot->kind == POLICY_SLOT_RECIPIENTS_ONLY &&
        !is_postmaster(bytes_of(text, domain_at - 1))) {
        return POLICY_UNKNOWN_USER;
    }
    *route_id_out = slot->route_id;
    return POLICY_ACCEPT;
}

bool policy_find_hop(const struct policy *policy, uint32_t hop_id, struct policy_hop *hop_out)
{
    uint32_t low = 0;
    uint32_t high = policy->hop_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct policy_hop *hop = &hops(policy)[middle];
        if (hop->id == hop_id) {
            *hop_out = *hop;
            return true;
        }
        if (hop->id < hop_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}
