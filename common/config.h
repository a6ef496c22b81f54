/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config.h: the configuration file, read by both processes.
 *
 * Promise: what config_load accepts is complete and consistent: every name resolves, every bound
 *          holds. What it refuses gets one line "file:line: what is wrong" and changes nothing.
 * Trap:    unknown keys, duplicate names and wrong units are errors, not warnings.
 */
#ifndef HOLDFAST_COMMON_CONFIG_H
#define HOLDFAST_COMMON_CONFIG_H

#include "common/assert.h"
#include "common/config_fwd.h"
#include "common/ip.h"
#include "common/limits/address.h"
#include "common/limits/names.h"
#include "common/limits/net.h"
#include "common/limits/routes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where control's socket is when the configuration does not say run_dir. */
#define CONFIG_RUN_DIR "/run/holdfast"
/* Listed recipients, all routes together: ten times what a large campus has. */
enum { CONFIG_RECIPIENTS_MAX = 1 << 20 };

enum config_protocol {
    CONFIG_PROTOCOL_SMTP,
    CONFIG_PROTOCOL_LMTP,
};

struct config_interface {
    char name[LIMIT_NAME_BYTES + 1];
    char device[CONFIG_TEXT_SIZE]; /* "net_af_packet0,iface=x" or a PCI address */
    struct ip_addr addr;
    uint8_t prefix_bits;    /* of 128 */
    struct ip_addr gateway; /* zero: none */
    uint16_t mtu_bytes;
};

struct config_hop {
    uint32_t id; /* 0 from the file; control assigns the durable id by name */
    char name[LIMIT_NAME_BYTES + 1];
    uint32_t address_count;
    struct ip_addr address[LIMIT_HOP_ADDRESSES];
    uint16_t port;
    enum config_protocol protocol;
    uint32_t connection_count_max;
    uint32_t messages_per_connection_max;
    uint32_t connect_timeout_ms;
    uint32_t command_timeout_ms;
    uint32_t data_timeout_ms;
    uint32_t dot_timeout_ms;
    uint32_t idle_timeout_ms;
    uint32_t keepalive_ms;
    uint32_t breaker_failures;  /* hop failures in a row that open the breaker */
    uint32_t probe_interval_ms; /* how often an open breaker lets one delivery through */
};

struct config_route {
    uint32_t id; /* as config_hop.id */
    char name[LIMIT_NAME_BYTES + 1];
    char owner[CONFIG_TEXT_SIZE];
    uint32_t objective_ms; /* status reports mail that meets 4xx for longer than this */
    uint32_t domain_count;
    char **domain; /* lower case */
    uint32_t recipient_count;
    char **recipient;     /* full addresses that take this route, not that of their domain */
    bool recipients_only; /* domain accepts only listed recipients: others are unknown users */
    uint32_t hop_count;
    uint32_t hop_index[LIMIT_HOPS_PER_ROUTE]; /* into config.hop, in order of preference */
};

struct config {
    char path[CONFIG_PATH_SIZE]; /* the file it came from */
    char hostname[LIMIT_DOMAIN_BYTES + 1];
    char instance[LIMIT_NAME_BYTES + 1];
    char run_dir[CONFIG_PATH_SIZE];   /* sockets, doorbell, locks */
    char state_dir[CONFIG_PATH_SIZE]; /* policy.db, policy.snap */
    char user[LIMIT_NAME_BYTES + 1];  /* privileges are dropped to these; empty: stay */
    char group[LIMIT_NAME_BYTES + 1];

    struct {
        uint32_t lcore;       /* CPU of the worker */
        uint32_t service_cpu; /* CPU of the writer and the housekeeping thread */
        bool hugepages;       /* false: --no-huge */
        uint32_t memory_mib;
        uint32_t idle_nap_us; /* 0: never nap */
        uint32_t eal_arg_count;
        char **eal_arg; /* passed to the EAL as they are */
    } dataplane;

    uint32_t interface_count;
    struct config_interface interface[LIMIT_INTERFACES];
    uint32_t listen_count;
    struct ip_endpoint listen[LIMIT_INTERFACES];

    struct {
        char dir[CONFIG_PATH_SIZE];
        uint64_t segment_bytes;
        uint32_t segments_max;
        uint64_t state_segment_bytes;
        char io[16]; /* "auto", "io_uring", "pwritev2" */
    } spool;

    struct {
        uint32_t message_bytes;
        uint32_t rcpts;
        uint32_t connections;            /* from outside */
        uint32_t connections_per_client; /* per address */
        uint32_t command_timeout_ms;     /* RFC 5321 section 4.5.3.2.7 */
        uint32_t data_timeout_ms;
        uint32_t transaction_timeout_ms; /* from MAIL to the dot: see LIMIT_SENDER_BYTES_PER_S */
    } limits;

    struct {
        uint32_t first_ms;
        uint32_t max_ms;
    } retry;

    struct {
        uint32_t admin_mode;                    /* of the socket, e.g. 0660 */
        char admin_group[LIMIT_NAME_BYTES + 1]; /* may look and act */
        char look_group[LIMIT_NAME_BYTES + 1];  /* may look; empty: there is no such group */
        uint32_t checkpoint_interval_ms;
        uint32_t domain_grace_ms; /* 451 for a domain that vanished this recently */
    } control;

    uint32_t hop_count;
    struct config_hop *hop;
    uint32_t route_count;
    struct config_route *route;
};

/* Reads the file `path`. On failure returns -EINVAL, or the file's -errno, and writes one line to
 * error_out: "path:line: message" where there is a line. */
must_check int config_load(const char *path, struct config **config_out,
                           char error_out[CONFIG_ERROR_SIZE]);
/* The same from memory; `path` is for messages. `text` ends in NUL at `len`. */
must_check int config_parse(const char *path, const char *text, size_t len,
                            struct config **config_out, char error_out[CONFIG_ERROR_SIZE]);
void config_free(struct config *config);

/* Fill all of *config, or all of one entry of its lists, with the defaults. What has none (names,
 * addresses) becomes empty. Code that makes a configuration without a file begins with these, so
 * that a new key has its default there, too. */
void config_defaults(struct config *config);
void config_interface_defaults(struct config_interface *interface);
void config_hop_defaults(struct config_hop *hop);
void config_route_defaults(struct config_route *route);

enum config_place {
    CONFIG_PLACE_GOOD,       /* the configuration is good */
    CONFIG_PLACE_LIKELY,     /* it is wrong, but its run_dir is plain */
    CONFIG_PLACE_UNKNOWN,    /* it is wrong, and which run_dir is meant cannot be told */
    CONFIG_PLACE_UNREADABLE, /* the file cannot be read at all */
};
/* run_dir alone: for the operator's command, which must reach control while the file has a typo,
 * and must not reach another relay's. Unless GOOD, error_out says what is wrong, in one line. */
must_check enum config_place config_find_run_dir(const char *path,
                                                 char run_dir_out[CONFIG_PATH_SIZE],
                                                 char error_out[CONFIG_ERROR_SIZE]);

#endif
