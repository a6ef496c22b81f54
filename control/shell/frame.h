/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/frame.h: what stands in a frame of the admin socket: bytes to JSON, JSON to bytes.
 *
 * Promise: what fits FRAME_SHORT_BYTES is done within a millisecond, in the loop. The rest is for a
 *          lane: 64 KiB can hold 20 000 values, and a body 8 MiB. A request that is handed on has
 *          no more values than LIMIT_ADMIN_REQUEST_VALUES, so that the loop can walk it and free
 *          it.
 */
#ifndef HOLDFAST_CONTROL_SHELL_FRAME_H
#define HOLDFAST_CONTROL_SHELL_FRAME_H

#include "common/assert.h"
#include "common/bytes.h"
#include "control/shell/works.h"

#include <jansson.h>
#include <stdbool.h>

enum {
    FRAME_HEADER_BYTES = 4,
    FRAME_SHORT_BYTES = 1024, /* of a request */
    FRAME_WHY_SIZE = 128,
};

/* A request, a new reference. NULL: it is none, and why_out says so. */
json_t *frame_parse(struct bytes text, char why_out[FRAME_WHY_SIZE]);
/* The answer's frame is made quickly enough for the loop. Looks at a bounded part of it. */
bool frame_is_short(const json_t *answer);
/* Takes the answer, and makes its frame, to be freed with free. */
uint8_t *frame_encode_take(json_t *answer, size_t *len_out);

typedef bool (*frame_done_fn)(struct work *work, struct control *control);

/* A long request while a lane parses it. */
struct frame_reading {
    struct work work;
    void *conn; /* the caller's */
    json_t *request;
    char why[FRAME_WHY_SIZE];
    size_t len;
    uint8_t text[];
};

/* A long answer while a lane makes its frame. */
struct frame_writing {
    struct work work;
    void *conn;
    json_t *answer;
    uint8_t *frame; /* to be freed with free */
    size_t len;
};

/* The text is copied. `done` destroys the work. */
struct frame_reading *frame_reading_create(void *conn, struct bytes text, frame_done_fn done);
void frame_reading_destroy(struct frame_reading *reading);
struct frame_writing *frame_writing_create_take(void *conn, json_t *answer, frame_done_fn done);
void frame_writing_destroy(struct frame_writing *writing);

#endif
