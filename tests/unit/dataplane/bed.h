/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/dataplane/bed.h: a writer over a true spool in a temporary directory (pwritev2), the
 * submissions of two workers, and control's end of the up ring. One bed in a process. */
#ifndef HOLDFAST_TESTS_UNIT_DATAPLANE_BED_H
#define HOLDFAST_TESTS_UNIT_DATAPLANE_BED_H

#include "common/counter_block.h"
#include "common/id.h"
#include "dataplane/writer.h"

enum { BED_WORKERS = 2, BED_BODY_BYTES = 1000, BED_NOTE_TYPE = ABI_UP_ATTEMPT };

struct bed {
    struct spool_io *io;
    struct spool_writer *spool;
    struct writer *writer;
    struct counters counters;
    uint32_t doorbells;
    struct ring_end up; /* of the newest region */
};
extern struct bed bed;

void bed_make(void);
void bed_unmake(void);
/* Makes a fresh region, as control does at each attach (abi.h). The caller frees it. */
struct abi_attach *bed_make_region(void);

struct submission *bed_make_submission(enum spool_submit_kind kind, uint32_t worker);
/* A message of one record, for the routes 100, 101, ... with 1, 2, ... recipients. */
struct submission *bed_make_commit(uint64_t counter, uint32_t worker, uint32_t route_count);
struct submission *bed_make_state(uint64_t id, uint32_t worker);
/* A NOTE whose up message has the token as its state.id. */
struct submission *bed_make_note(uint64_t token, uint32_t worker);
/* Does the same, and hands the envelope over for control: from "s@x.example". bed_discard frees
 * it. */
struct submission *bed_make_commit_with_envelope(uint64_t counter, uint32_t worker,
                                                 uint32_t route_count);
/* The counter in an id of bed_make_commit. */
uint64_t bed_counter(uint64_t id);

void bed_give(struct submission *s);
/* NULL: nothing came back. */
struct submission *bed_take_back(uint32_t worker);
void bed_discard(struct submission *s);
/* Turns until nothing is under way. */
void bed_run(void);
/* Does the same, then discards what came back. Returns how many of these were OK. */
uint32_t bed_finish(void);

struct abi_up bed_next_up(void);
void bed_no_more_up(void);

#endif
