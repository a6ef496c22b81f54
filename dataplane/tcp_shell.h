/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp_shell.h: how TCP's segments reach the network: tcp_emit over net. The `shell` of
 * every TCP stack in this tree is one of these. */
#ifndef HOLDFAST_DATAPLANE_TCP_SHELL_H
#define HOLDFAST_DATAPLANE_TCP_SHELL_H

#include "dataplane/net/net.h"

struct tcp_shell {
    struct net *net;
    uint64_t now_ns; /* set before tcp_output */
};

#endif
