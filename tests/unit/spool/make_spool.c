/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/spool/make_spool.c DIR [CHECKPOINTS]: a small spool of three messages on a real disk,
 * for tests of the operator's command. Its checkpoints are whole files that hold nothing of
 * control's. */
#include "common/id.h"
#include "tests/unit/spool/helper.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    struct spool_io *io;
    struct spool_writer *w;
    uint64_t pos;
    int checkpoints = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    int r = argc > 1 ? spool_io_create(argv[1], "pwritev2", -1, false, &io) : -1;
    r = r == 0 ? spool_writer_open(io, &helper_settings, &w) : r;
    if (r != 0) {
        fprintf(stderr, "make_spool: %d\n", r);
        return 1;
    }
    for (uint64_t i = 1; i <= 3 && r == 0; i++) {
        r = helper_message(w, id_make(1, i, 0), 2, 3000, &pos) == SPOOL_RESULT_OK ? 0 : 1;
    }
    for (int i = 0; i < checkpoints && r == 0; i++) {
        r = spool_checkpoint_save(io, 0, 0, bytes_str("not a table of deliveries"));
    }
    spool_writer_close(w);
    io->ops->destroy(io);
    return r == 0 ? 0 : 1;
}
