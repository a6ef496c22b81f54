/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/net/nic.c: ports over DPDK's ethdev: one receive and one transmit queue each.
 *
 * Promise: receive and transmit buffers come from separate pools: frames that arrive cannot use up
 *          the buffers for answers, nor the other way round.
 * Trap:    checksums of arriving frames are trusted only where the device says GOOD. A kernel at
 *          the other end of a veth sends partial checksums that net_af_packet and net_af_xdp pass
 *          on as they are: switch that off there (ethtool -K DEV tx off).
 *
 * A frame is an mbuf with room for one whole Ethernet frame. What a port does not take is offered
 * again a few times (a device needs some microseconds to free a slot), then dropped and counted:
 * the worker never waits for a wire.
 */
#include "dataplane/net/nic.h"

#include "common/config.h"
#include "dataplane/net/eal.h"
#include "dataplane/net/eal_args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

enum {
    DESCRIPTORS_MAX = 1024, /* per queue: at 10 Gb/s, 0.8 ms of full frames */
    DESCRIPTORS_MIN = 128,
    POOL_CACHE = 256,
    /* Besides the rings: a burst that is being read, one that is being built, the caches. */
    POOL_SPARE = 2 * NIC_BURST + 2 * POOL_CACHE,
    /* net_af_xdp fills a ring of 2048 from the receive pool, whatever it is told, and copies what
     * it sends into another 2048. */
    POOL_XDP = 2 * 2048,
    MBUF_BYTES = RTE_MBUF_DEFAULT_BUF_SIZE + 256, /* with what mbuf and pool add */
    POOL_SHARE = 4, /* at most a quarter of the memory is for frames */
    TX_ATTEMPTS = 8,
};

_Static_assert(NIC_FRAME_BYTES + RTE_PKTMBUF_HEADROOM <= RTE_MBUF_DEFAULT_BUF_SIZE, "frame fits");

struct nic_port {
    uint16_t id; /* DPDK's */
    uint16_t mtu;
    uint8_t mac[NIC_MAC_BYTES];
    uint16_t tx_count;
    struct rte_mbuf *tx[NIC_BURST];
};

struct nic {
    uint32_t port_count;
    struct nic_port port[LIMIT_INTERFACES];
    uint32_t interface_count;
    uint32_t port_of[LIMIT_INTERFACES];
    uint16_t descriptors;
    struct rte_mempool *rx_pool;
    struct rte_mempool *tx_pool;
    uint64_t tx_dropped;
};

__attribute__((format(printf, 3, 4))) static int refuse(char error_out[CONFIG_ERROR_SIZE], int rc,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error_out, CONFIG_ERROR_SIZE, format, args);
    va_end(args);
    return rc;
}

/* --- opening --------------------------------------------------------------------------------- */

static uint64_t pool_count(uint32_t port_count, uint32_t descriptors)
{
    return (uint64_t)port_count * (descriptors + NIC_BURST) + POOL_SPARE;
}

/* How many buffers the drivers take from the receive pool besides their descriptors. */
static uint64_t pool_driver_count(const struct config *config)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < config->interface_count; i++) {
        const char *device = config->interface[i].device;
        if (strncmp(device, "net_af_xdp", strlen("net_af_xdp")) == 0) {
            count += POOL_XDP;
        }
    }
    return count;
}

static int pools_create(struct nic *nic, const struct config *config,
                        char error_out[CONFIG_ERROR_SIZE])
{
    uint64_t budget = (uint64_t)config->dataplane.memory_mib * 1024 * 1024 / POOL_SHARE;
    uint64_t extra = pool_driver_count(config);
    uint32_t descriptors = DESCRIPTORS_MAX;
    while (descriptors > DESCRIPTORS_MIN &&
           (2 * pool_count(nic->port_count, descriptors) + extra) * MBUF_BYTES > budget) {
        descriptors /= 2;
    }
    uint64_t count = pool_count(nic->port_count, descriptors);
    nic->descriptors = (uint16_t)descriptors;
    nic->rx_pool = rte_pktmbuf_pool_create("holdfast_rx", (unsigned)(count + extra), POOL_CACHE, 0,
                                           RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    nic->tx_pool = rte_pktmbuf_pool_create("holdfast_tx", (unsigned)count, POOL_CACHE, 0,
                                           RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    if (nic->rx_pool == NULL || nic->tx_pool == NULL) {
        return refuse(error_out, -ENOMEM,
                      "dataplane.memory = %u MiB is too small for the frames of %u ports (%s)",
                      config->dataplane.memory_mib, nic->port_count, rte_strerror(rte_errno));
    }
    return 0;
}

static int port_find(const struct config_interface *interface, uint16_t *id_out,
                     char error_out[CONFIG_ERROR_SIZE])
{
    char name[EAL_DEVICE_NAME_SIZE];
    if (!eal_device_name(interface->device, name) ||
        rte_eth_dev_get_port_by_name(name, id_out) != 0) {
        return refuse(error_out, -ENODEV, "interface \"%s\": DPDK could not open device \"%s\"%s",
                      interface->name, interface->device,
                      eal_device_is_virtual(interface->device)
                          ? ": its own lines above say why"
                          : ": is it bound to vfio-pci (dpdk-devbind.py)?");
    }
    return 0;
}

static int port_configure(const struct nic *nic, struct nic_port *port, const char *name,
                          char error_out[CONFIG_ERROR_SIZE])
{
    struct rte_eth_dev_info info;
    int rc = rte_eth_dev_info_get(port->id, &info);
    if (rc != 0) {
        return refuse(error_out, rc, "interface \"%s\": no information from its driver (%s)", name,
                      rte_strerror(-rc));
    }
    struct rte_eth_conf conf = {0};
    conf.rxmode.mtu = port->mtu;
    conf.rxmode.offloads =
        info.rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM);
    rc = rte_eth_dev_configure(port->id, 1, 1, &conf);
    uint16_t rx_count = nic->descriptors;
    uint16_t tx_count = nic->descriptors;
    if (rc == 0) {
        rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx_count, &tx_count);
    }
    if (rc != 0 || rx_count > nic->descriptors || tx_count > nic->descriptors) {
        return refuse(error_out, rc != 0 ? rc : -ENOMEM,
                      "interface \"%s\": its driver refuses one queue of %u frames and MTU %u (%s)",
                      name, nic->descriptors, port->mtu, rte_strerror(-rc));
    }
    unsigned socket = (unsigned)rte_eth_dev_socket_id(port->id);
    struct rte_eth_rxconf rx = info.default_rxconf;
    rx.offloads = conf.rxmode.offloads;
    rc = rte_eth_rx_queue_setup(port->id, 0, rx_count, socket, &rx, nic->rx_pool);
    if (rc == 0) {
        struct rte_eth_txconf tx = info.default_txconf;
        tx.offloads = 0;
        rc = rte_eth_tx_queue_setup(port->id, 0, tx_count, socket, &tx);
    }
    if (rc != 0) {
        return refuse(error_out, rc, "interface \"%s\": its driver refuses a queue (%s)", name,
                      rte_strerror(-rc));
    }
    return 0;
}

static int port_start(struct nic_port *port, const char *name, char error_out[CONFIG_ERROR_SIZE])
{
    /* The driver is always told the MTU: a kernel interface below must carry what we send. */
    int rc = rte_eth_dev_set_mtu(port->id, port->mtu);
    if (rc != 0 && rc != -ENOTSUP) {
        return refuse(error_out, rc, "interface \"%s\": MTU %u cannot be set (%s)", name, port->mtu,
                      rte_strerror(-rc));
    }
    struct rte_ether_addr mac;
    rc = rte_eth_macaddr_get(port->id, &mac);
    if (rc == 0) {
        memcpy(port->mac, mac.addr_bytes, NIC_MAC_BYTES);
        rc = rte_eth_dev_start(port->id);
    }
    if (rc != 0) {
        return refuse(error_out, rc, "interface \"%s\": it does not start (%s)", name,
                      rte_strerror(-rc));
    }
    rc = rte_eth_promiscuous_disable(port->id);
    if (rc != 0 && rc != -ENOTSUP) {
        return refuse(error_out, rc, "interface \"%s\": promiscuous mode stays on (%s)", name,
                      rte_strerror(-rc));
    }
    return 0;
}

/* Fills in ports and port_of: DPDK's ids and the MTU, nothing opened yet. */
static int ports_find(struct nic *nic, const struct config *config,
                      char error_out[CONFIG_ERROR_SIZE])
{
    for (uint32_t i = 0; i < config->interface_count; i++) {
        const struct config_interface *interface = &config->interface[i];
        assert(interface->mtu_bytes >= LIMIT_MTU_MIN_BYTES);
        assert(interface->mtu_bytes <= LIMIT_MTU_MAX_BYTES);
        uint16_t id;
        int rc = port_find(interface, &id, error_out);
        if (rc != 0) {
            return rc;
        }
        uint32_t at = 0;
        while (at < nic->port_count && nic->port[at].id != id) {
            at++;
        }
        if (at < nic->port_count && nic->port[at].mtu != interface->mtu_bytes) {
            return refuse(error_out, -EINVAL,
                          "interface \"%s\": another one has the same device and another MTU",
                          interface->name);
        }
        if (at == nic->port_count) {
            nic->port_count++;
        }
        nic->port[at].id = id;
        nic->port[at].mtu = interface->mtu_bytes;
        nic->port_of[i] = at;
    }
    nic->interface_count = config->interface_count;
    return 0;
}

static int nic_open(struct nic *nic, const struct config *config, char error_out[CONFIG_ERROR_SIZE])
{
    int rc = ports_find(nic, config, error_out);
    if (rc == 0) {
        rc = pools_create(nic, config, error_out);
    }
    for (uint32_t i = 0; rc == 0 && i < nic->interface_count; i++) {
        struct nic_port *port = &nic->port[nic->port_of[i]];
        bool opened = false;
        for (uint32_t j = 0; j < i; j++) {
            opened = opened || nic->port_of[j] == nic->port_of[i];
        }
        if (opened) {
            continue;
        }
        rc = port_configure(nic, port, config->interface[i].name, error_out);
        if (rc == 0) {
            rc = port_start(port, config->interface[i].name, error_out);
        }
    }
    return rc;
}

int nic_create(const struct config *config, struct nic **nic_out, char error_out[CONFIG_ERROR_SIZE])
{
    assert(config->interface_count > 0 && config->interface_count <= LIMIT_INTERFACES);
    struct nic *nic = rte_zmalloc(NULL, sizeof *nic, RTE_CACHE_LINE_SIZE);
    if (nic == NULL) {
        return refuse(error_out, -ENOMEM, "dataplane.memory = %u MiB is too small",
                      config->dataplane.memory_mib);
    }
    int rc = nic_open(nic, config, error_out);
    if (rc != 0) {
        nic_destroy(nic);
        return rc;
    }
    *nic_out = nic;
    return 0;
}

void nic_destroy(struct nic *nic)
{
    if (nic == NULL) {
        return;
    }
    for (uint32_t i = 0; i < nic->port_count; i++) {
        struct nic_port *port = &nic->port[i];
        rte_pktmbuf_free_bulk(port->tx, port->tx_count);
        /* A port that never started has nothing to stop; either way it is closed. */
        (void)rte_eth_dev_stop(port->id);
        if (rte_eth_dev_close(port->id) != 0) {
            fprintf(stderr, "holdfast-dataplane: port %u did not close\n", port->id);
        }
    }
    rte_mempool_free(nic->rx_pool);
    rte_mempool_free(nic->tx_pool);
    rte_free(nic);
}

/* --- figures --------------------------------------------------------------------------------- */

uint32_t nic_port_count(const struct nic *nic)
{
    return nic->port_count;
}

uint32_t nic_port_of(const struct nic *nic, uint32_t interface)
{
    assert(interface < nic->interface_count);
    return nic->port_of[interface];
}

void nic_mac(const struct nic *nic, uint32_t port, uint8_t mac_out[NIC_MAC_BYTES])
{
    assert(port < nic->port_count);
    memcpy(mac_out, nic->port[port].mac, NIC_MAC_BYTES);
}

uint16_t nic_mtu(const struct nic *nic, uint32_t port)
{
    assert(port < nic->port_count);
    return nic->port[port].mtu;
}

uint64_t nic_tx_dropped(const struct nic *nic)
{
    return nic->tx_dropped;
}

/* --- receiving ------------------------------------------------------------------------------- */

uint32_t nic_receive(struct nic *nic, uint32_t port, struct nic_frame frames_out[NIC_BURST])
{
    assert(port < nic->port_count);
    struct rte_mbuf *mbuf[NIC_BURST];
    uint16_t arrived = rte_eth_rx_burst(nic->port[port].id, 0, mbuf, NIC_BURST);
    uint32_t count = 0;
    for (uint16_t i = 0; i < arrived; i++) {
        /* More than one segment means more than our MTU. A frame that fits one buffer is joined;
         * others are dropped. */
        if (mbuf[i]->nb_segs > 1 && rte_pktmbuf_linearize(mbuf[i]) != 0) {
            rte_pktmbuf_free(mbuf[i]);
            continue;
        }
        const uint64_t flags = mbuf[i]->ol_flags;
        frames_out[count++] = (struct nic_frame){
            .data = rte_pktmbuf_mtod(mbuf[i], uint8_t *),
            .len = mbuf[i]->data_len,
            .port = (uint8_t)port,
            .checksum_good = (flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD &&
                             (flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD,
            .owner = mbuf[i],
        };
    }
    return count;
}

void nic_release(struct nic *nic, struct nic_frame *frame)
{
    assert(nic != NULL && frame->owner != NULL);
    rte_pktmbuf_free(frame->owner);
    frame->owner = NULL;
}

/* --- sending --------------------------------------------------------------------------------- */

bool nic_take(struct nic *nic, uint32_t port, struct nic_frame *frame_out)
{
    assert(port < nic->port_count);
    struct rte_mbuf *mbuf = rte_pktmbuf_alloc(nic->tx_pool);
    if (mbuf == NULL) {
        return false;
    }
    *frame_out = (struct nic_frame){
        .data = rte_pktmbuf_mtod(mbuf, uint8_t *),
        .port = (uint8_t)port,
        .owner = mbuf,
    };
    return true;
}

static void port_flush(struct nic *nic, struct nic_port *port)
{
    uint16_t sent = 0;
    for (unsigned i = 0; i < TX_ATTEMPTS && sent < port->tx_count; i++) {
        sent += rte_eth_tx_burst(port->id, 0, port->tx + sent, (uint16_t)(port->tx_count - sent));
    }
    if (sent < port->tx_count) {
        rte_pktmbuf_free_bulk(port->tx + sent, port->tx_count - sent);
        nic->tx_dropped += (uint64_t)(port->tx_count - sent);
    }
    port->tx_count = 0;
}

void nic_send_take(struct nic *nic, struct nic_frame *frame)
{
    assert(frame->port < nic->port_count && frame->owner != NULL);
    assert(frame->len > 0 && frame->len <= NIC_FRAME_BYTES);
    struct nic_port *port = &nic->port[frame->port];
    struct rte_mbuf *mbuf = frame->owner;
    mbuf->data_len = frame->len;
    mbuf->pkt_len = frame->len;
    frame->owner = NULL;
    port->tx[port->tx_count++] = mbuf;
    if (port->tx_count == NIC_BURST) {
        port_flush(nic, port);
    }
}

void nic_flush(struct nic *nic)
{
    for (uint32_t i = 0; i < nic->port_count; i++) {
        if (nic->port[i].tx_count > 0) {
            port_flush(nic, &nic->port[i]);
        }
    }
}
