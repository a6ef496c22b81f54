/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/reply.c: segments that no connection sends: RSTs, ACKs from TIME_WAIT.
 *
 * Promise: replies wait in a ring of fixed size; one that finds it full is not sent. Each answers
 *          a segment that the peer repeats if it is alive, so only time is lost.
 * Trap:    a RST is never answered: two stacks would answer each other without end.
 */
#include "dataplane/tcp/core.h"

void tcp_reply_add(struct tcp_stack *stack, const struct tcp_reply *reply)
{
    if (stack->reply_count == LIMIT_TCP_REPLIES) {
        return;
    }
    uint32_t i = (stack->reply_head + stack->reply_count) % LIMIT_TCP_REPLIES;
    stack->reply[i] = *reply;
    stack->reply_count++;
}

void tcp_reply_reset(struct tcp_stack *stack, const struct tcp_tuple *tuple,
                     const struct tcp_segment *segment)
{
    if ((segment->flags & TCP_FLAG_RST) != 0) {
        return;
    }
    struct tcp_reply reply = {.tuple = *tuple, .flags = TCP_FLAG_RST};
    if ((segment->flags & TCP_FLAG_ACK) != 0) {
        reply.seq = segment->ack;
    } else {
        reply.ack = segment->seq + tcp_segment_length(segment);
        reply.flags |= TCP_FLAG_ACK;
    }
    tcp_reply_add(stack, &reply);
}

bool tcp_reply_output(struct tcp_stack *stack)
{
    while (stack->reply_count > 0) {
        const struct tcp_reply *reply = &stack->reply[stack->reply_head];
        struct tcp_segment_out out = {
            .tuple = &reply->tuple,
            .seq = reply->seq,
            .ack = reply->ack,
            .window = reply->window,
            .flags = reply->flags,
        };
        if (reply->has_timestamps) {
            tcp_option_put_timestamps(&out, reply->ts_value, reply->ts_echo);
        }
        if (!tcp_emit(stack->shell, &out)) {
            return false;
        }
        if ((reply->flags & TCP_FLAG_RST) != 0) {
            stack->stats.resets_sent++;
        }
        stack->reply_head = (stack->reply_head + 1) % LIMIT_TCP_REPLIES;
        stack->reply_count--;
    }
    return true;
}
