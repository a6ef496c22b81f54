/* SPDX-License-Identifier: BSD-3-Clause */
/* common/policy_build.c: a snapshot from the configuration.
 *
 * Promise: what is built passes policy_verify; it is verified before it is handed out.
 * Trap:    ids of routes and hops come from control, which never uses one twice. A configuration
 *          that shows an id twice is a bug there, and asserted here.
 *
 * First the entries of each table are collected in a list (name, kind, route). Then they are placed
 * under a fresh key, with twice as many slots as entries. When an entry finds no slot within
 * POLICY_PROBES_MAX, placing starts again with another key, and after a few tries with twice the
 * slots.
 */
#include "common/policy.h"

#include "common/config.h"
#include "common/policy_format.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum { POLICY_KEY_TRIES = 4 };

struct entry {
    const char *name;
    uint8_t kind;
    uint32_t route_id;
};

struct entries {
    struct entry *item;
    uint32_t count;
};

struct build {
    const struct config *config;
    uint64_t generation;
    struct siphash_key key;
    struct entries domains;
    struct entries recipients;
    struct policy *policy;
    uint32_t names_used;
};

static void add(struct entries *entries, const char *name, uint8_t kind, uint32_t route_id)
{
    entries->item[entries->count++] =
        (struct entry){.name = name, .kind = kind, .route_id = route_id};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* Adds the domains in grace. A domain that is back in the configuration needs none; one that is
 * listed twice is added once. */
static void add_grace(struct entries *domains, const struct policy_grace *grace, size_t count)
{
    qsort(domains->item, domains->count, sizeof *domains->item, compare_names);
    uint32_t configured = domains->count;
    for (size_t i = 0; i < count; i++) {
        struct entry entry = {.name = grace[i].domain, .kind = POLICY_SLOT_GRACE};
        size_t len = strlen(entry.name);
        if (len == 0 || len > LIMIT_DOMAIN_BYTES ||
            bsearch(&entry, domains->item, configured, sizeof entry, compare_names) != NULL) {
            continue;
        }
        domains->item[domains->count++] = entry;
    }
    struct entry *first = domains->item + configured;
    qsort(first, domains->count - configured, sizeof *first, compare_names);
    uint32_t kept = configured;
    for (uint32_t i = configured; i < domains->count; i++) {
        if (i == configured || compare_names(&domains->item[kept - 1], &domains->item[i]) != 0) {
            domains->item[kept++] = domains->item[i];
        }
    }
    domains->count = kept;
}

static int collect(struct build *b, const struct policy_grace *grace, size_t grace_count)
{
    const struct config *config = b->config;
    size_t domains = grace_count;
    size_t recipients = 0;
    for (uint32_t i = 0; i < config->route_count; i++) {
        domains += config->route[i].domain_count;
        recipients += config->route[i].recipient_count;
    }
    if (domains > LIMIT_POLICY_SLOTS / 4 || recipients > LIMIT_POLICY_SLOTS / 4) {
        return -E2BIG;
    }
    b->domains.item = calloc(domains + 1, sizeof *b->domains.item);
    b->recipients.item = calloc(recipients + 1, sizeof *b->recipients.item);
    if (b->domains.item == NULL || b->recipients.item == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->route[i];
        uint8_t kind = route->recipients_only ? POLICY_SLOT_RECIPIENTS_ONLY : POLICY_SLOT_ROUTE;
        for (uint32_t j = 0; j < route->domain_count; j++) {
            add(&b->domains, route->domain[j], kind, route->id);
        }
        for (uint32_t j = 0; j < route->recipient_count; j++) {
            add(&b->recipients, route->recipient[j], POLICY_SLOT_ROUTE, route->id);
        }
    }
    add_grace(&b->domains, grace, grace_count);
    return 0;
}

static uint32_t slots_for(uint32_t entry_count)
{
    uint32_t count = POLICY_SLOTS_MIN;
    while (count < entry_count * 2) {
        count *= 2;
    }
    return count;
}

static size_t name_bytes(const struct entries *entries)
{
    size_t total = 0;
    for (uint32_t i = 0; i < entries->count; i++) {
        total += strlen(entries->item[i].name);
    }
    return total;
}

/* Puts one entry where policy_find will look for it. -EAGAIN: the run there is too long. */
static int place(struct build *b, const struct policy_table *table, const struct entry *entry)
{
    struct policy *policy = b->policy;
    struct policy_slot *slot = (void *)((uint8_t *)policy + table->offset);
    size_t len = strlen(entry->name);
    assert(len > 0 && len <= LIMIT_DOMAIN_BYTES);
    uint32_t mask = table->slot_count - 1;
    uint32_t home = (uint32_t)siphash(&policy->key, entry->name, len) & mask;
    for (uint32_t i = 0; i < POLICY_PROBES_MAX; i++) {
        struct policy_slot *at = &slot[(home + i) & mask];
        if (at->kind == POLICY_SLOT_EMPTY) {
            assert(len <= policy->name_bytes - b->names_used);
            *at = (struct policy_slot){.name_offset = b->names_used,
                                       .name_len = (uint16_t)len,
                                       .kind = entry->kind,
                                       .route_id = entry->route_id};
            memcpy((uint8_t *)policy + policy->name_offset + b->names_used, entry->name, len);
            b->names_used += (uint32_t)len;
            return 0;
        }
    }
    return -EAGAIN;
}

static int place_all(struct build *b, const struct policy_table *table,
                     const struct entries *entries)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < entries->count; i++) {
        r = place(b, table, &entries->item[i]);
    }
    return r;
}

static void fill_hop(struct policy_hop *out, const struct config_hop *hop)
{
    out->id = hop->id;
    memcpy(out->name, hop->name, sizeof out->name);
    out->address_count = hop->address_count;
    memcpy(out->address, hop->address, hop->address_count * sizeof hop->address[0]);
    out->port = hop->port;
    out->protocol = (uint8_t)hop->protocol;
    out->connection_count_max = hop->connection_count_max;
    out->messages_per_connection_max = hop->messages_per_connection_max;
    out->connect_timeout_ms = hop->connect_timeout_ms;
    out->command_timeout_ms = hop->command_timeout_ms;
    out->data_timeout_ms = hop->data_timeout_ms;
    out->dot_timeout_ms = hop->dot_timeout_ms;
    out->idle_timeout_ms = hop->idle_timeout_ms;
    out->keepalive_ms = hop->keepalive_ms;
}

static int compare_hops(const void *a, const void *b)
{
    const struct policy_hop *x = a;
    const struct policy_hop *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void fill_hops(struct policy *policy, const struct config *config)
{
    struct policy_hop *hop = (void *)((uint8_t *)policy + policy->hop_offset);
    for (uint32_t i = 0; i < config->hop_count; i++) {
        fill_hop(&hop[i], &config->hop[i]);
    }
    qsort(hop, config->hop_count, sizeof *hop, compare_hops);
    for (uint32_t i = 1; i < config->hop_count; i++) {
        assert(hop[i - 1].id < hop[i].id); /* control gives each hop an id of its own */
    }
}

/* The route of the bare <postmaster>, which RFC 5321 section 4.1.1.3 requires to be accepted: the
 * route of our own host name, if the configuration has one, else the first route. */
static void fill_postmaster(struct policy *policy, const struct config *config)
{
    if (config->route_count == 0) {
        return;
    }
    uint32_t route_id = config->route[0].id;
    uint8_t text[LIMIT_ADDRESS_BYTES];
    size_t host_len = strlen(config->hostname);
    if (host_len <= sizeof text - 11) {
        memcpy(text, "postmaster@", 11);
        memcpy(text + 11, config->hostname, host_len);
        uint32_t found;
        if (policy_lookup(policy, bytes_of(text, host_len + 11), &found) == POLICY_ACCEPT) {
            route_id = found;
        }
    }
    policy->postmaster_route = route_id;
    policy->has_postmaster = 1;
}

/* A sum over all entries, so that their order does not matter. The key is fixed, so that the
 * digests of two snapshots can be compared. Only who writes the configuration could make two of
 * them equal, and would gain nothing. */
static uint64_t digest(const struct build *b)
{
    static const struct siphash_key key = {UINT64_C(0x486f6c6466617374), 1};
    uint64_t sum = b->policy->postmaster_route;
    const struct entries *all[] = {&b->domains, &b->recipients};
    for (size_t t = 0; t < 2; t++) {
        for (uint32_t i = 0; i < all[t]->count; i++) {
            const struct entry *entry = &all[t]->item[i];
            uint64_t word[3] = {siphash(&key, entry->name, strlen(entry->name)), entry->route_id,
                                entry->kind + t * 256};
            sum += siphash(&key, word, sizeof word);
        }
    }
    const struct policy *policy = b->policy;
    return sum ^ siphash(&key, (const uint8_t *)policy + policy->hop_offset,
                         policy->hop_count * sizeof(struct policy_hop));
}

/* One try with the given numbers of slots. */
static int lay_out(struct build *b, uint32_t domain_slots, uint32_t recipient_slots)
{
    struct policy head = {.magic = POLICY_MAGIC, .version = POLICY_VERSION, .key = b->key};
    head.generation = b->generation;
    head.hop_count = b->config->hop_count;
    uint64_t at = sizeof head;
    head.hop_offset = at;
    at += head.hop_count * sizeof(struct policy_hop);
    head.domains = (struct policy_table){at, domain_slots, b->domains.count};
    at += (uint64_t)domain_slots * sizeof(struct policy_slot);
    head.recipients = (struct policy_table){at, recipient_slots, b->recipients.count};
    at += (uint64_t)recipient_slots * sizeof(struct policy_slot);
    head.name_offset = at;
    uint64_t names = name_bytes(&b->domains) + name_bytes(&b->recipients);
    at += names;
    if (at > LIMIT_POLICY_BYTES) {
        return -E2BIG;
    }
    head.name_bytes = (uint32_t)names;
    head.len = at;
    b->policy = calloc(1, at);
    if (b->policy == NULL) {
        return -ENOMEM;
    }
    memcpy(b->policy, &head, sizeof head);
    b->names_used = 0;
    int r = place_all(b, &b->policy->domains, &b->domains);
    if (r == 0) {
        r = place_all(b, &b->policy->recipients, &b->recipients);
    }
    if (r < 0) {
        free(b->policy);
        b->policy = NULL;
    }
    return r;
}

static int lay_out_until_it_fits(struct build *b)
{
    uint32_t domain_slots = slots_for(b->domains.count);
    uint32_t recipient_slots = slots_for(b->recipients.count);
    for (int i = 0;; i++) {
        if (getrandom(&b->key, sizeof b->key, 0) != (ssize_t)sizeof b->key) {
            return -EIO;
        }
        int r = lay_out(b, domain_slots, recipient_slots);
        if (r != -EAGAIN) {
            return r;
        }
        if (i == POLICY_KEY_TRIES) {
            domain_slots *= 2;
            recipient_slots *= 2;
        } else if (i > 2 * POLICY_KEY_TRIES) {
            return -E2BIG; /* the same name twice would end here, but config_load refuses that */
        }
    }
}

int policy_build(const struct config *config, uint64_t generation, const struct policy_grace *grace,
                 size_t grace_count, void **data_out, size_t *len_out)
{
    struct build b = {.config = config, .generation = generation};
    assert(config->hop_count <= LIMIT_HOPS && config->route_count <= LIMIT_ROUTES);
    int r = collect(&b, grace, grace_count);
    if (r == 0) {
        r = lay_out_until_it_fits(&b);
    }
    if (r == 0) {
        fill_hops(b.policy, config);
        fill_postmaster(b.policy, config);
        b.policy->content = digest(&b);
        b.policy->crc = policy_crc(b.policy, b.policy->len);
        if (policy_verify(b.policy, b.policy->len) == NULL) {
            free(b.policy);
            r = -EINVAL; /* a configuration that config_load would have refused */
        } else {
            *data_out = b.policy;
            *len_out = b.policy->len;
        }
    }
    free(b.domains.item);
    free(b.recipients.item);
    return r;
}
