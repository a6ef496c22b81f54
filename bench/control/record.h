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

/* Message `number` of a group, one recipient on each of `share` routes, into `buffer` of
 * RECORD_BYTES. The envelope's texts lie in the buffer: both stay until the submission is given
 * back. Fills the transaction, but for its id, and the submission of its commit. */
void record_lay(const struct campus *campus, enum campus_group group, uint64_t number,
                uint32_t share, uint8_t *buffer, struct envelope *envelope, struct spool_txn *txn,
                struct submission *submission);

#endif
