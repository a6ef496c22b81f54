/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/helper.h: messages to put into a spool, and the writer's loop around it.
 *
 * The bytes of a message depend on its id alone, so each message that is found can be checked.
 */
#ifndef HOLDFAST_TESTS_UNIT_SPOOL_HELPER_H
#define HOLDFAST_TESTS_UNIT_SPOOL_HELPER_H

#include "spool/format.h"
#include "spool/spool.h"

enum { HELPER_SEGMENT = 1 << 20 };

extern const struct spool_settings helper_settings; /* 1 MiB segments, 6 of them */

/* A record ready to be submitted. */
struct helper_record {
    struct spool_submit submit;
    struct spool_txn *txn;
};

uint8_t helper_byte(uint64_t id, uint64_t offset);
/* Appends a record of body_len bytes to the transaction and submits it. The caller frees it with
 * helper_record_free once it is done. txn->record_count counts up. */
struct helper_record *helper_submit(struct spool_writer *w, struct spool_txn *txn, size_t body_len,
                                    bool last);
void helper_record_free(struct helper_record *record);
/* Turns until the writer is idle; frees nothing. Returns the results in order through `next`. */
struct spool_submit *helper_run(struct spool_writer *w);
/* One message of chunk_count records of chunk_len each: submitted, run, freed. */
enum spool_result helper_message(struct spool_writer *w, uint64_t id, uint32_t chunk_count,
                                 size_t chunk_len, uint64_t *pos_out);
enum spool_result helper_state(struct spool_writer *w, uint64_t id, uint64_t *pos_out);
enum spool_result helper_simple(struct spool_writer *w, enum spool_submit_kind kind, uint64_t seq,
                                uint64_t seen_pos);

/* Everything that a scan finds. */
struct helper_seen {
    uint64_t commit[512];
    uint64_t commit_pos[512];
    uint32_t commit_count;
    uint32_t record_count;
    uint64_t state[512];
    uint32_t state_count;
    uint32_t damage_count;
    uint64_t damage_pos;
    uint32_t tail_count;
};
void helper_scan(struct spool_io *io, struct helper_seen *seen_out);
bool helper_has(const uint64_t *ids, uint32_t count, uint64_t id);
/* Reads the body of the message back and compares every byte. 0, or what spool_read_body said. */
int helper_check_body(struct spool_io *io, uint64_t commit_pos, uint64_t id, size_t *len_out);

#endif
