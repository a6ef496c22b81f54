/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/nic.h: Ethernet frames in and out of ports: the seam between the cores and DPDK.
 *
 * Resolved at link time: nic.c over DPDK's ethdev in the dataplane, a simulated wire in the tests.
 *
 * Promise: a frame given by nic_receive is unshared memory until nic_release; a frame taken for
 *          sending has NIC_FRAME_BYTES of room.
 * Trap:    every frame taken must be sent or released, or the pool runs dry.
 */
#ifndef HOLDFAST_DATAPLANE_NET_NIC_H
#define HOLDFAST_DATAPLANE_NET_NIC_H

#include "common/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NIC_FRAME_BYTES = 1518, /* room in a frame taken for sending */
    NIC_BURST = 32,
    NIC_MAC_BYTES = 6,
};

struct nic; /* all ports, one queue of each: belongs to one worker */

struct nic_frame {
    uint8_t *data;
    uint16_t len;
    uint8_t port;
    bool checksum_good; /* on arrival: the device verified IP and TCP checksums */
    void *owner;        /* the shell's: an mbuf */
};

uint32_t nic_port_count(const struct nic *nic);
void nic_mac(const struct nic *nic, uint32_t port, uint8_t mac_out[NIC_MAC_BYTES]);
uint16_t nic_mtu(const struct nic *nic, uint32_t port);
/* Up to NIC_BURST frames that arrived on `port`; returns how many. */
uint32_t nic_receive(struct nic *nic, uint32_t port, struct nic_frame frames_out[NIC_BURST]);
void nic_release(struct nic *nic, struct nic_frame *frame);
/* A frame to fill; false: the transmit pool is empty. */
must_check bool nic_take(struct nic *nic, uint32_t port, struct nic_frame *frame_out);
/* Queues frame->len bytes; they leave at the latest with nic_flush. Takes the frame. */
void nic_send_take(struct nic *nic, struct nic_frame *frame);
void nic_flush(struct nic *nic);
/* Frames the port refused and that were dropped, ever. */
uint64_t nic_tx_dropped(const struct nic *nic);

#endif
