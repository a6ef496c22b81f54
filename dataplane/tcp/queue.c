/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/queue.c: the send queue of a connection, a chain of blocks.
 *
 *      head ──▶ [....aaaa] ──▶ [bbbbbbbb] ──▶ [cc......] ◀── tail
 *                   ^ head_offset                ^ head_offset + bytes
 *
 * Promise: bytes stay until they are acknowledged; a block goes back with its last byte, and an
 *          empty queue holds none.
 * Trap:    the cursor, which makes sending in sequence O(1), is only a hint: a slice before it
 *          walks from the head. Retransmissions are near the head.
 */
#include "dataplane/tcp/core.h"

static uint32_t queue_tail_room(const struct tcp_queue *queue)
{
    uint32_t end = (queue->head_offset + queue->bytes) % TCP_BLOCK_BYTES;
    return queue->head == 0 || end == 0 ? 0 : TCP_BLOCK_BYTES - end;
}

size_t tcp_queue_room(const struct tcp_stack *stack, const struct tcp_queue *queue)
{
    size_t blocks = tcp_blocks_open(stack, TCP_BLOCK_SEND_MORE);
    if (queue->head == 0 && blocks == 0) {
        blocks = tcp_blocks_open(stack, TCP_BLOCK_SEND_FIRST) > 0 ? 1 : 0;
    }
    return blocks * TCP_BLOCK_BYTES + queue_tail_room(queue);
}

size_t tcp_queue_append(struct tcp_stack *stack, struct tcp_queue *queue, struct bytes data)
{
    size_t done = 0;
    while (done < data.len) {
        uint32_t room = queue_tail_room(queue);
        if (room == 0) {
            bool first = queue->head == 0;
            uint32_t block =
                tcp_block_take(stack, first ? TCP_BLOCK_SEND_FIRST : TCP_BLOCK_SEND_MORE);
            if (block == 0) {
                break;
            }
            if (first) {
                queue->head = block;
                queue->head_offset = 0;
                queue->cursor = block;
                queue->cursor_index = 0;
            } else {
                stack->blocks[queue->tail].next = block;
            }
            queue->tail = block;
            room = TCP_BLOCK_BYTES;
        }
        size_t len = data.len - done < room ? data.len - done : room;
        memcpy(tcp_block_data(stack, queue->tail) + (TCP_BLOCK_BYTES - room), data.data + done,
               len);
        queue->bytes += (uint32_t)len;
        done += len;
    }
    return done;
}

void tcp_queue_drop(struct tcp_stack *stack, struct tcp_queue *queue, uint32_t len)
{
    assert(len <= queue->bytes);
    queue->head_offset += len;
    queue->bytes -= len;
    while (queue->head != 0 && (queue->head_offset >= TCP_BLOCK_BYTES || queue->bytes == 0)) {
        uint32_t block = queue->head;
        queue->head = stack->blocks[block].next;
        if (queue->cursor_index == 0) {
            queue->cursor = queue->head;
        } else {
            queue->cursor_index--;
        }
        queue->head_offset -= min_u32(queue->head_offset, TCP_BLOCK_BYTES);
        tcp_block_give(stack, block);
    }
    if (queue->bytes == 0) {
        *queue = (struct tcp_queue){0};
    }
}

void tcp_queue_slice(struct tcp_stack *stack, struct tcp_queue *queue, uint32_t offset,
                     uint32_t len, struct bytes piece_out[2])
{
    assert(offset + len <= queue->bytes);
    assert(len <= TCP_BLOCK_BYTES);
    piece_out[0] = bytes_of(NULL, 0);
    piece_out[1] = bytes_of(NULL, 0);
    if (len == 0) {
        return;
    }
    uint32_t place = queue->head_offset + offset;
    uint32_t index = place / TCP_BLOCK_BYTES;
    if (queue->cursor == 0 || queue->cursor_index > index) {
        queue->cursor = queue->head;
        queue->cursor_index = 0;
    }
    while (queue->cursor_index < index) {
        queue->cursor = stack->blocks[queue->cursor].next;
        queue->cursor_index++;
    }
    uint32_t start = place % TCP_BLOCK_BYTES;
    uint32_t first = min_u32(len, TCP_BLOCK_BYTES - start);
    piece_out[0] = bytes_of(tcp_block_data(stack, queue->cursor) + start, first);
    if (first < len) {
        uint32_t next = stack->blocks[queue->cursor].next;
        piece_out[1] = bytes_of(tcp_block_data(stack, next), len - first);
    }
}
