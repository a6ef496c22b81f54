/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_envelope.c: an envelope as read from a disk. What decodes is within all bounds
 * and encodes to the very same bytes: there is one form of each envelope. */
#include "common/envelope.h"

#include "common/limits/message.h"
#include "tests/fuzz/reach.h"

#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK) MARK(decoded), MARK(refused), MARK(null_sender), MARK(many_routes)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct envelope envelope;
    if (!envelope_decode(bytes_of(data, size), &envelope)) {
        REACH(refused);
        return 0;
    }
    REACH(decoded);
    REACH_IF(envelope.sender.len == 0, null_sender);
    REACH_IF(envelope_route_count(&envelope) > 1, many_routes);
    assert(envelope.rcpt_count > 0 && envelope.rcpt_count <= LIMIT_RCPTS);
    assert(size <= LIMIT_ENVELOPE_BYTES);
    unsigned total = 0;
    for (unsigned i = 0; i < envelope_route_count(&envelope); i++) {
        unsigned count = envelope_route_rcpts(&envelope, i);
        assert(count > 0);
        total += count;
    }
    assert(total == envelope.rcpt_count);
    uint8_t *again = malloc(size);
    assert(again != NULL);
    assert(envelope_encode(&envelope, again, size) == size);
    assert(memcmp(again, data, size) == 0);
    free(again);
    return 0;
}
