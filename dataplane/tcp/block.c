/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/tcp/block.c: the pool of 2 KiB blocks that all connections of a stack share.
 *
 * Promise: when few blocks are left, a reply of one block can still be queued where bulk cannot,
 *          and bytes in order are still kept where bytes ahead of a hole are not. So a pool that
 *          runs empty slows connections down, but never stops them all.
 * Trap:    block numbers begin with 1; 0 is "none" so that zeroed objects hold nothing.
 */
#include "dataplane/tcp/core.h"

/* So many blocks are left to more urgent uses. */
static uint32_t block_reserve(const struct tcp_stack *stack, enum tcp_block_use use)
{
    uint32_t count = stack->settings.block_count;
    switch (use) {
    case TCP_BLOCK_SEND_FIRST:
        return 0;
    case TCP_BLOCK_IN_ORDER:
        return count / 16;
    case TCP_BLOCK_SEND_MORE:
    case TCP_BLOCK_AHEAD:
        return count / 8;
    }
    return count;
}

uint32_t tcp_blocks_open(const struct tcp_stack *stack, enum tcp_block_use use)
{
    uint32_t reserve = block_reserve(stack, use);
    return stack->blocks_free > reserve ? stack->blocks_free - reserve : 0;
}

bool tcp_blocks_are_low(const struct tcp_stack *stack)
{
    return stack->blocks_free < stack->settings.block_count / 8;
}

uint32_t tcp_block_take(struct tcp_stack *stack, enum tcp_block_use use)
{
    if (tcp_blocks_open(stack, use) == 0) {
        stack->stats.no_memory++;
        return 0;
    }
    uint32_t block = stack->block_free_head;
    if (block != 0) {
        stack->block_free_head = stack->blocks[block].next;
    } else {
        /* Never used before: memory of blocks is touched only as load asks for it. */
        block = ++stack->blocks_touched;
    }
    assert(block != 0 && block <= stack->settings.block_count);
    stack->blocks_free--;
    stack->blocks[block].next = 0;
    return block;
}

void tcp_block_give(struct tcp_stack *stack, uint32_t block)
{
    assert(block != 0 && block <= stack->blocks_touched);
    assert(stack->blocks_free < stack->settings.block_count);
    stack->blocks[block].next = stack->block_free_head;
    stack->block_free_head = block;
    stack->blocks_free++;
}

uint8_t *tcp_block_data(const struct tcp_stack *stack, uint32_t block)
{
    assert(block != 0 && block <= stack->blocks_touched);
    return stack->block_data + (size_t)(block - 1) * TCP_BLOCK_BYTES;
}
