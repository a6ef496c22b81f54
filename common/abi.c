/* SPDX-License-Identifier: BSD-3-Clause */
/* common/abi.c: rings and the layout hash of the shared regions. */
#include "common/abi.h"

#include "common/crc32c.h"
#include "common/envelope_ring.h"
#include "common/limits/ring.h"

static size_t whole_pages(size_t size)
{
    return (size + 4095) & ~(size_t)4095;
}

static size_t ring_pages(uint32_t slots)
{
    return whole_pages(sizeof(struct ring) + (size_t)slots * RING_SLOT_BYTES);
}

size_t abi_up_offset(void)
{
    return whole_pages(sizeof(struct abi_attach));
}

size_t abi_envelope_offset(void)
{
    return abi_up_offset() + ring_pages(LIMIT_RING_UP_SLOTS);
}

size_t abi_down_offset(uint32_t worker)
{
    return abi_envelope_offset() + whole_pages(sizeof(struct envelope_ring)) +
           worker * ring_pages(LIMIT_RING_DOWN_SLOTS);
}

struct envelope_ring *abi_envelope_ring(struct abi_attach *region)
{
    return (struct envelope_ring *)((uint8_t *)region + abi_envelope_offset());
}

size_t abi_attach_size(uint32_t worker_count)
{
    return abi_down_offset(worker_count);
}

uint32_t abi_layout_hash(void)
{
    const uint32_t shape[] = {
        ABI_VERSION,
        sizeof(struct abi_root),
        offsetof(struct abi_root, attached_epoch),
        sizeof(struct abi_attach),
        offsetof(struct abi_attach, policy_adopted),
        offsetof(struct abi_attach, counter),
        offsetof(struct abi_attach, durable_state_pos),
        offsetof(struct abi_attach, up_count),
        offsetof(struct abi_attach, envelopes_wanted),
        sizeof(struct abi_up),
        offsetof(struct abi_up, commit.rcpt_count),
        offsetof(struct abi_up, commit.envelope_bytes),
        offsetof(struct abi_up, commit.envelope_at),
        offsetof(struct abi_up, state.hop_id),
        sizeof(struct abi_down),
        offsetof(struct abi_down, deliver.route_id),
        sizeof(struct ring),
        LIMIT_RING_UP_SLOTS,
        LIMIT_RING_DOWN_SLOTS,
        offsetof(struct envelope_ring, area),
        sizeof(struct envelope_ring),
        LIMIT_RCPTS,
        ABI_COUNTERS_MAX,
    };
    return crc32c(0, shape, sizeof shape);
}

void abi_attach_init_rings(struct abi_attach *region, uint32_t worker_count)
{
    assert((uintptr_t)region % 64 == 0);
    assert(worker_count > 0 && worker_count <= LIMIT_WORKERS);
    uint8_t *base = (uint8_t *)region;
    ring_init((struct ring *)(base + abi_up_offset()), LIMIT_RING_UP_SLOTS);
    envelope_ring_init(abi_envelope_ring(region));
    for (uint32_t w = 0; w < worker_count; w++) {
        ring_init((struct ring *)(base + abi_down_offset(w)), LIMIT_RING_DOWN_SLOTS);
    }
}
