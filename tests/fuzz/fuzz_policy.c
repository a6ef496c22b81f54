/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_policy.c: a snapshot with anything in it, and a right length and CRC.
 *
 * Input: the bytes of a snapshot (the corpus has true ones). Magic, version, length and CRC are put
 * right, so that the checks behind them are reached. What passes is looked into.
 */
#include "common/policy_format.h"

#include "tests/fuzz/reach.h"

#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK)                                                                          \
    MARK(verified), MARK(refused), MARK(too_short), MARK(address_accepted), MARK(user_unknown),    \
        MARK(not_relayed), MARK(hop_found)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_up(const struct policy *policy, struct bytes address)
{
    uint32_t route;
    enum policy_verdict verdict = policy_lookup(policy, address, &route);
    REACH_IF(verdict == POLICY_ACCEPT, address_accepted);
    REACH_IF(verdict == POLICY_UNKNOWN_USER, user_unknown);
    REACH_IF(verdict == POLICY_NOT_RELAYED, not_relayed);
}

static void look_into(const struct policy *policy, const uint8_t *data, size_t size)
{
    static const char *const fixed[] = {"x@staff.example",  "rector@staff.example", "postmaster",
                                        "dean@law.example", "x@gone.example",       "\"\\"};
    struct policy_hop hop;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        look_up(policy, bytes_str(fixed[i]));
    }
    for (size_t at = 0; at < size; at += 97) {
        look_up(policy, bytes_first(bytes_of(data + at, size - at), at % 300));
    }
    for (uint32_t id = 0; id < 16; id++) {
        if (policy_find_hop(policy, id, &hop)) {
            REACH(hop_found);
            assert(hop.id == id && hop.address_count <= LIMIT_HOP_ADDRESSES);
            assert(strlen(hop.name) < sizeof hop.name);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < sizeof(struct policy)) {
        assert(policy_verify(data, size) == NULL);
        REACH(too_short);
        return 0;
    }
    struct policy *copy = malloc(size);
    assert(copy != NULL);
    memcpy(copy, data, size);
    copy->magic = POLICY_MAGIC;
    copy->version = POLICY_VERSION;
    copy->len = size;
    copy->crc = policy_crc(copy, size);
    const struct policy *policy = policy_verify(copy, size);
    if (policy != NULL) {
        REACH(verified);
        look_into(policy, data, size);
    } else {
        REACH(refused);
    }
    free(copy);
    return 0;
}
