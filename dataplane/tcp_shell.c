/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp_shell.c: tcp_emit for the dataplane and the simulator: one copy of the segment
 * from the send queue into the frame. */
#include "dataplane/tcp_shell.h"

#include "dataplane/tcp/tcp.h"

bool tcp_emit(void *shell, const struct tcp_segment_out *segment)
{
    struct tcp_shell *s = shell;
    size_t len = tcp_header_bytes(segment) + segment->payload[0].len + segment->payload[1].len;
    uint8_t *room =
        net_begin_tcp(s->net, &segment->tuple->local_addr, &segment->tuple->remote_addr, len);
    if (room == NULL) {
        /* Without a route the segment counts as sent, and is lost. To wait for a buffer would not
         * help, and would keep the segments of other connections waiting. */
        return !net_has_route(s->net, &segment->tuple->local_addr, &segment->tuple->remote_addr);
    }
    size_t written = tcp_segment_write(segment, room);
    assert(written == len);
    net_send(s->net, s->now_ns);
    return true;
}
