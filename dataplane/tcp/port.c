/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/port.c: the local port of a connection that we open.
 *
 * Promise: the port is not one that a listener, a connection or a live TIME_WAIT has for the same
 *          pair; a stranger cannot guess it.
 * Trap:    offset and counter are taken while the tuple's local port is 0.
 */
#include "dataplane/tcp/core.h"

static bool port_is_free(const struct tcp_stack *stack, const struct tcp_tuple *tuple)
{
    if (tcp_listener_find(stack, &tuple->local_addr, tuple->local_port) != NULL) {
        return false;
    }
    uint32_t ref = tcp_table_find(stack, (uint32_t)tcp_tuple_hash(stack, tuple), tuple);
    if (ref == 0) {
        return true;
    }
    return (ref & TCP_REF_TIME_WAIT) != 0 &&
           !tcp_time_wait_is_live(stack, ref & ~TCP_REF_TIME_WAIT);
}

/* RFC 6056 section 3.3.4, algorithm 4 (double hash): connections to one peer take successive ports;
 * the port of a connection to one peer says nothing about those to others. */
bool tcp_port_pick(struct tcp_stack *stack, struct tcp_tuple *tuple)
{
    tuple->local_port = 0;
    uint32_t offset = tcp_port_offset(stack, tuple);
    uint32_t which = tcp_port_counter(stack, tuple);
    for (uint32_t tries = 0; tries < TCP_PORT_COUNT; tries++) {
        uint32_t count = stack->port_counter[which]++;
        tuple->local_port = (uint16_t)(TCP_PORT_FIRST + (offset + count) % TCP_PORT_COUNT);
        if (port_is_free(stack, tuple)) {
            return true;
        }
    }
    tuple->local_port = 0;
    return false;
}
