/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/sim/wire.h: one Ethernet segment with a network card for each host, behind
 * dataplane/net/nic.h.
 *
 * Promise: frames arrive at the card with their destination's MAC, or everywhere for group
 *          addresses, after a delay; with faults, late, twice, never, or with damaged bits.
 * Trap:    only what a checksum protects is ever damaged: a single bit or a burst of at most 15
 *          bits behind the Ethernet header of an IPv4 frame, which the Internet checksum always
 *          catches (RFC 1071). More would be damage no IP host can see.
 */
#ifndef HOLDFAST_TESTS_SIM_WIRE_H
#define HOLDFAST_TESTS_SIM_WIRE_H

#include "dataplane/net/nic.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WIRE_NICS_MAX = 16,
    WIRE_RX_FRAMES_MAX = 512, /* receive queue of a card; more are dropped */
};

struct wire_faults {
    uint64_t delay_min_ns;
    uint64_t delay_max_ns;
    uint32_t loss_ppm;
    uint32_t duplicate_ppm;
    uint32_t reorder_ppm;
    uint32_t corrupt_ppm;
    uint32_t no_frame_ppm; /* how often a card has no frame to send from */
};

struct wire;

struct wire *wire_create(uint64_t seed);
/* Frees the cards too. */
void wire_destroy(struct wire *wire);
struct wire_faults *wire_faults(struct wire *wire);
/* A card with one port. */
struct nic *wire_plug(struct wire *wire, const uint8_t mac[NIC_MAC_BYTES], uint16_t mtu);
/* The host has stopped: frames that wait in its card are gone. The card stays allocated. */
void wire_unplug(struct nic *nic);
/* Moves frames whose time has come into the cards. */
void wire_deliver(struct wire *wire);
/* When the next frame arrives; UINT64_MAX: none is under way. */
uint64_t wire_next_ns(const struct wire *wire);
bool wire_nic_has_frames(const struct nic *nic);

#endif
