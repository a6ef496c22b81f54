/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/wire.c: see wire.h.
 *
 *   nic_send_take ──▶ heap by arrival time ──▶ wire_deliver ──▶ card's queue ──▶ nic_receive
 */
#include "tests/sim/wire.h"

#include "tests/sim/rng.h"
#include "tests/sim/trace.h"

#include <stdlib.h>
#include <string.h>

enum {
    ETHERNET_HEADER_BYTES = 14,
    ETHERNET_MIN_BYTES = 60, /* without the FCS: shorter frames are padded by the sender */
    HEAP_MAX = 65536,
};

struct frame {
    uint64_t due_ns;
    uint64_t number; /* orders frames that arrive at once */
    struct nic *to;
    struct frame *next;
    uint16_t len;
    uint8_t data[NIC_FRAME_BYTES];
};

struct nic {
    struct wire *wire;
    uint8_t mac[NIC_MAC_BYTES];
    uint16_t mtu;
    bool plugged;
    uint32_t index;
    uint32_t rx_count;
    struct frame *rx;
    struct frame **rx_end;
    struct nic *before;                  /* the card that this host had before it came back */
    uint64_t last_due_ns[WIRE_NICS_MAX]; /* of each card's last frame: frames keep their order */
};

struct wire {
    struct rng rng;
    struct wire_faults faults;
    struct nic *nic[WIRE_NICS_MAX];
    uint32_t nic_count;
    struct frame *heap[HEAP_MAX];
    size_t heap_count;
    struct frame *free;
    uint64_t number;
};

struct wire *wire_create(uint64_t seed)
{
    struct wire *wire = calloc(1, sizeof *wire);
    assert(wire != NULL);
    rng_init(&wire->rng, seed, RNG_WIRE);
    wire->faults.delay_min_ns = 50000;
    wire->faults.delay_max_ns = 200000;
    return wire;
}

struct wire_faults *wire_faults(struct wire *wire)
{
    return &wire->faults;
}

struct nic *wire_plug(struct wire *wire, const uint8_t mac[NIC_MAC_BYTES], uint16_t mtu)
{
    struct nic *nic = calloc(1, sizeof *nic);
    assert(nic != NULL && mtu + ETHERNET_HEADER_BYTES <= NIC_FRAME_BYTES);
    memcpy(nic->mac, mac, NIC_MAC_BYTES);
    nic->wire = wire;
    nic->mtu = mtu;
    nic->plugged = true;
    nic->rx_end = &nic->rx;
    /* A host that comes back gets the card it had before. */
    for (uint32_t i = 0; i < wire->nic_count; i++) {
        if (memcmp(wire->nic[i]->mac, mac, NIC_MAC_BYTES) == 0) {
            assert(!wire->nic[i]->plugged);
            nic->index = i;
            nic->before = wire->nic[i];
            wire->nic[i] = nic;
            return nic;
        }
    }
    assert(wire->nic_count < WIRE_NICS_MAX);
    nic->index = wire->nic_count;
    wire->nic[wire->nic_count++] = nic;
    return nic;
}

static struct frame *frame_take(struct wire *wire)
{
    struct frame *f = wire->free;
    if (f != NULL) {
        wire->free = f->next;
    } else {
        f = malloc(sizeof *f);
        assert(f != NULL);
    }
    f->next = NULL;
    f->to = NULL;
    return f;
}

static void frame_give(struct wire *wire, struct frame *f)
{
    f->next = wire->free;
    wire->free = f;
}

void wire_unplug(struct nic *nic)
{
    nic->plugged = false;
    while (nic->rx != NULL) {
        struct frame *f = nic->rx;
        nic->rx = f->next;
        frame_give(nic->wire, f);
    }
    nic->rx_end = &nic->rx;
    nic->rx_count = 0;
}

void wire_destroy(struct wire *wire)
{
    for (uint32_t i = 0; i < wire->nic_count; i++) {
        wire_unplug(wire->nic[i]);
        for (struct nic *nic = wire->nic[i]; nic != NULL;) {
            struct nic *before = nic->before;
            free(nic);
            nic = before;
        }
    }
    for (size_t i = 0; i < wire->heap_count; i++) {
        free(wire->heap[i]);
    }
    while (wire->free != NULL) {
        struct frame *f = wire->free;
        wire->free = f->next;
        free(f);
    }
    free(wire);
}

/* --- the heap ------------------------------------------------------------------------------ */

static bool earlier(const struct frame *a, const struct frame *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static void heap_put(struct wire *wire, struct frame *f)
{
    assert(wire->heap_count < HEAP_MAX);
    size_t at = wire->heap_count++;
    while (at > 0 && earlier(f, wire->heap[(at - 1) / 2])) {
        wire->heap[at] = wire->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    wire->heap[at] = f;
}

static struct frame *heap_take(struct wire *wire)
{
    assert(wire->heap_count > 0);
    struct frame *first = wire->heap[0];
    struct frame *last = wire->heap[--wire->heap_count];
    size_t at = 0;
    while (at * 2 + 1 < wire->heap_count) {
        size_t child = at * 2 + 1;
        if (child + 1 < wire->heap_count && earlier(wire->heap[child + 1], wire->heap[child])) {
            child++;
        }
        if (!earlier(wire->heap[child], last)) {
            break;
        }
        wire->heap[at] = wire->heap[child];
        at = child;
    }
    wire->heap[at] = last;
    return first;
}

/* --- under way ----------------------------------------------------------------------------- */

static void damage(struct wire *wire, struct frame *f)
{
    if (f->len <= ETHERNET_HEADER_BYTES + 20 || f->data[12] != 0x08 || f->data[13] != 0x00) {
        return;
    }
    unsigned bits = rng_percent(&wire->rng, 50) ? 1 : (unsigned)rng_range(&wire->rng, 2, 15);
    unsigned first =
        (unsigned)rng_range(&wire->rng, ETHERNET_HEADER_BYTES * 8, (uint64_t)f->len * 8 - bits);
    for (unsigned b = 0; b < bits; b++) {
        /* The first and last bit of a burst always flip, those between may. */
        if (b == 0 || b == bits - 1 || rng_percent(&wire->rng, 50)) {
            f->data[(first + b) / 8] ^= (uint8_t)(0x80u >> (first + b) % 8);
        }
    }
}

static void travel(struct wire *wire, struct nic *from, struct nic *to, const struct frame *sent)
{
    const struct wire_faults *faults = &wire->faults;
    if (rng_ppm(&wire->rng, faults->loss_ppm)) {
        return;
    }
    struct frame *f = frame_take(wire);
    memcpy(f->data, sent->data, sent->len);
    f->len = sent->len;
    f->to = to;
    f->number = wire->number++;
    f->due_ns = trace.now_ns + rng_range(&wire->rng, faults->delay_min_ns, faults->delay_max_ns);
    if (rng_ppm(&wire->rng, faults->reorder_ppm)) {
        f->due_ns += rng_spread(&wire->rng, faults->delay_min_ns, faults->delay_max_ns * 8);
    } else {
        uint64_t *last = &from->last_due_ns[to->index];
        f->due_ns = f->due_ns > *last ? f->due_ns : *last;
        *last = f->due_ns;
    }
    if (rng_ppm(&wire->rng, faults->corrupt_ppm)) {
        damage(wire, f);
    }
    heap_put(wire, f);
}

static void send_to(struct wire *wire, struct nic *from, struct nic *to, const struct frame *sent)
{
    travel(wire, from, to, sent);
    if (rng_ppm(&wire->rng, wire->faults.duplicate_ppm)) {
        travel(wire, from, to, sent);
    }
}

void wire_deliver(struct wire *wire)
{
    while (wire->heap_count > 0 && wire->heap[0]->due_ns <= trace.now_ns) {
        struct frame *f = heap_take(wire);
        struct nic *to = wire->nic[f->to->index]; /* the card that is there now */
        if (!to->plugged || to->rx_count >= WIRE_RX_FRAMES_MAX) {
            frame_give(wire, f);
            continue;
        }
        f->next = NULL;
        *to->rx_end = f;
        to->rx_end = &f->next;
        to->rx_count++;
    }
}

uint64_t wire_next_ns(const struct wire *wire)
{
    return wire->heap_count == 0 ? UINT64_MAX : wire->heap[0]->due_ns;
}

bool wire_nic_has_frames(const struct nic *nic)
{
    return nic->rx != NULL;
}

/* --- dataplane/net/nic.h ------------------------------------------------------------------- */

uint32_t nic_port_count(const struct nic *nic)
{
    (void)nic;
    return 1;
}

void nic_mac(const struct nic *nic, uint32_t port, uint8_t mac_out[NIC_MAC_BYTES])
{
    assert(port == 0);
    memcpy(mac_out, nic->mac, NIC_MAC_BYTES);
}

uint16_t nic_mtu(const struct nic *nic, uint32_t port)
{
    assert(port == 0);
    return nic->mtu;
}

uint32_t nic_receive(struct nic *nic, uint32_t port, struct nic_frame frames_out[NIC_BURST])
{
    assert(port == 0);
    uint32_t count = 0;
    while (nic->rx != NULL && count < NIC_BURST) {
        struct frame *f = nic->rx;
        nic->rx = f->next;
        nic->rx_count--;
        frames_out[count++] = (struct nic_frame){.data = f->data, .len = f->len, .owner = f};
    }
    if (nic->rx == NULL) {
        nic->rx_end = &nic->rx;
    }
    return count;
}

void nic_release(struct nic *nic, struct nic_frame *frame)
{
    assert(frame->owner != NULL);
    frame_give(nic->wire, frame->owner);
    frame->owner = NULL;
}

bool nic_take(struct nic *nic, uint32_t port, struct nic_frame *frame_out)
{
    assert(port == 0);
    if (rng_ppm(&nic->wire->rng, nic->wire->faults.no_frame_ppm)) {
        return false;
    }
    struct frame *f = frame_take(nic->wire);
    *frame_out = (struct nic_frame){.data = f->data, .owner = f};
    return true;
}

static void pad(struct wire *wire, struct frame *f)
{
    if (f->len < ETHERNET_MIN_BYTES) {
        rng_bytes(&wire->rng, f->data + f->len, ETHERNET_MIN_BYTES - (size_t)f->len);
        f->len = ETHERNET_MIN_BYTES;
    }
}

void nic_send_take(struct nic *nic, struct nic_frame *frame)
{
    struct wire *wire = nic->wire;
    struct frame *f = frame->owner;
    assert(f != NULL && frame->data == f->data);
    assert(frame->len >= ETHERNET_HEADER_BYTES && frame->len <= nic->mtu + ETHERNET_HEADER_BYTES);
    f->len = frame->len;
    frame->owner = NULL;
    trace_bytes(0xe0 + nic->index, f->data, f->len);
    pad(wire, f);
    for (uint32_t i = 0; nic->plugged && i < wire->nic_count; i++) {
        struct nic *to = wire->nic[i];
        if (to != nic && ((f->data[0] & 1) != 0 || memcmp(f->data, to->mac, NIC_MAC_BYTES) == 0)) {
            send_to(wire, nic, to, f);
        }
    }
    frame_give(wire, f);
}

void nic_flush(struct nic *nic)
{
    (void)nic;
}

uint64_t nic_tx_dropped(const struct nic *nic)
{
    (void)nic;
    return 0;
}
