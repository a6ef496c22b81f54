/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/progress.c: how far the reading of the spool has come after a start, for those who
 * ask meanwhile. Its parts note it as the loop takes them. */
#include "control/shell/parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void progress_note(struct control *c, const char *reading, uint64_t at, uint64_t of)
{
    assert(reading != NULL);
    if (c->catchup.recovered != 1) {
        /* A segment may have begun since they were counted. */
        c->catchup.progress =
            (struct progress){.reading = reading, .at = at, .of = at > of ? at : of};
    }
}

const char *progress_text(const struct control *c, char out[PROGRESS_TEXT_SIZE])
{
    const struct progress *p = &c->catchup.progress;
    char place[64] = "";
    if (strcmp(p->reading, PROGRESS_CHECKPOINT) == 0) {
        (void)snprintf(place, sizeof place, ", %" PRIu64 " %%", p->at);
    } else if (p->at > 0) {
        (void)snprintf(place, sizeof place, ", segment %" PRIu64 " of %" PRIu64, p->at, p->of);
    }
    (void)snprintf(out, PROGRESS_TEXT_SIZE, "reading the spool: %zu deliveries so far, %s%s",
                   c->core.index.count, p->reading, place);
    return out;
}
