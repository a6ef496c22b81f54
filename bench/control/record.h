/* SPDX-License-Identifier: BSD-3-Clause */
/* bench/control/record.h: the record of one message, as the dataplane would have laid it. */
#ifndef HOLDFAST_BENCH_CONTROL_RECORD_H
#define HOLDFAST_BENCH_CONTROL_RECORD_H

#include "bench/control/campus.h"
#include "dataplane/writer.h"

enum {
    RECORD_BYTES = 2048, /* holds an envelope of CAMPUS_ROUTES recipients, and a body */
    RECORD_BODY_BYTES = 300,
};

/* Lays out message `number` of a group, with one recipient on each of `share` routes, in `buffer`
 * of RECORD_BYTES. The envelope's texts lie in the buffer, so both stay until the submission is
 * given back. Fills in the transaction, except for its id, and the submission of its commit. */
void record_lay(const struct campus *campus, enum campus_group group, uint64_t number,
                uint32_t share, uint8_t *buffer, struct envelope *envelope, struct spool_txn *txn,
                struct submission *submission);

#endif
