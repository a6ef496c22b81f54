/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/look.c: see look.h. */
#include "control/shell/look.h"

#include "control/shell/store.h"

#include "common/id.h"

#include <errno.h>
#include <string.h>

int look_envelope(struct work_tools *tools, uint64_t id, uint64_t first_pos, struct bytes *encoded)
{
    struct spool_reader *reader;
    struct spool_record record;
    *encoded = bytes_of(NULL, 0);
    int r = work_reader(tools, &reader);
    if (r < 0) {
        return r;
    }
    r = spool_read_record(reader, first_pos, id_message(id), &record);
    if (r == -ENOENT || r == -EIO || (r == 0 && !record.is_first)) {
        return -EBADMSG; /* a sector or a file is gone: as bad as wrong bytes */
    }
    if (r == 0) {
        *encoded = record.envelope;
    }
    return r;
}

size_t look_reply(struct work_tools *tools, uint64_t state_pos, char *out, size_t out_size)
{
    struct spool_reader *reader;
    struct spool_state_entry entry;
    assert(out_size > 0);
    out[0] = '\0';
    if (state_pos == 0) {
        return 0;
    }
    if (work_reader(tools, &reader) == 0 && spool_read_state(reader, state_pos, &entry) == 0) {
        size_t len = entry.text_len < sizeof entry.text ? entry.text_len : sizeof entry.text;
        return bytes_copy_clean(bytes_of(entry.text, len), out, out_size);
    }
    if (!store_reply_find(tools->store, state_pos, out, out_size)) {
        out[0] = '\0';
    }
    return strlen(out);
}
