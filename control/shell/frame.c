/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/frame.c: see frame.h. */
#include "control/shell/frame.h"

#include "common/limits/admin.h"
#include "control/core/mem.h"
#include "control/core/rules.h"
#include "control/core/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest request that makes sense: all terms, each as long as it may be, and a reason, all
 * written as \u0000; besides, names and numbers. */
enum { ESCAPED = 6, TERM_BYTES = SELECT_TEXT_SIZE + 16, OTHERS_BYTES = 1024 };
_Static_assert(LIMIT_ADMIN_REQUEST_BYTES >= LIMIT_SELECT_TERMS * TERM_BYTES * ESCAPED +
                                                RULES_REASON_SIZE * ESCAPED + OTHERS_BYTES,
               "a legal request fits a frame");
_Static_assert(LIMIT_ADMIN_REQUEST_VALUES >= 2 * LIMIT_SELECT_TERMS, "a legal request is taken");

/* --- requests -------------------------------------------------------------------------------- */

/* Counts the value and those in it, until there are more than `most`. */
static size_t values_of(const json_t *value, size_t most)
{
    size_t count = 1;
    size_t i;
    const char *key;
    json_t *inner;
    json_array_foreach(value, i, inner)
    {
        count += count <= most ? values_of(inner, most - count) : 0;
    }
    json_object_foreach((json_t *)value, key, inner)
    {
        count += count <= most ? values_of(inner, most - count) : 0;
    }
    return count;
}

static void say_why(const json_error_t *error, char why[FRAME_WHY_SIZE])
{
    static const struct {
        enum json_error_code code;
        const char *what;
    } known[] = {
        {json_error_duplicate_key, "a member stands there twice: the second ends"},
        {json_error_invalid_utf8, "not UTF-8"},
        {json_error_null_character, "a NUL in the text"},
        {json_error_null_byte_in_key, "a NUL in the name of a member"},
        {json_error_stack_overflow, "too deep"},
    };
    const char *what = "not JSON";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        what = known[i].code == json_error_code(error) ? known[i].what : what;
    }
    (void)snprintf(why, FRAME_WHY_SIZE, "%s at byte %d", what, error->position);
}

json_t *frame_parse(struct bytes text, char why[FRAME_WHY_SIZE])
{
    json_error_t error;
    json_t *request = json_loadb((const char *)text.data, text.len,
                                 JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    why[0] = '\0';
    if (request == NULL) {
        say_why(&error, why);
        return NULL;
    }
    if (!json_is_object(request)) {
        (void)snprintf(why, FRAME_WHY_SIZE, "not a JSON object");
    } else if (values_of(request, LIMIT_ADMIN_REQUEST_VALUES) > LIMIT_ADMIN_REQUEST_VALUES) {
        (void)snprintf(why, FRAME_WHY_SIZE, "more than %d values in one request",
                       LIMIT_ADMIN_REQUEST_VALUES);
    } else {
        return request;
    }
    json_decref(request);
    return NULL;
}

/* --- answers --------------------------------------------------------------------------------- */

/* Takes from *left what the value needs, approximately. false: there is not so much. */
static bool fits(const json_t *value, size_t *left)
{
    enum { VALUE_BYTES = 16 };
    size_t i;
    const char *key;
    json_t *inner;
    size_t bytes = VALUE_BYTES + json_string_length(value);
    if (bytes > *left) {
        return false;
    }
    *left -= bytes;
    json_array_foreach(value, i, inner)
    {
        if (!fits(inner, left)) {
            return false;
        }
    }
    json_object_foreach((json_t *)value, key, inner)
    {
        if (!fits(inner, left)) {
            return false;
        }
    }
    return true;
}

bool frame_is_short(const json_t *answer)
{
    enum { SHORT_ANSWER_BYTES = 16 * FRAME_SHORT_BYTES }; /* to write costs less than to parse */
    size_t left = SHORT_ANSWER_BYTES;
    return fits(answer, &left);
}

uint8_t *frame_encode_take(json_t *answer, size_t *len_out)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    size_t len = text == NULL ? 0 : strlen(text);
    json_decref(answer);
    if (text == NULL || len > LIMIT_ADMIN_ANSWER_BYTES) {
        static const char refused[] =
            "{\"v\":1,\"ok\":false,\"error\":\"the answer is too large: ask for less\",\"exit\":1}";
        free(text);
        text = mem_copy_str(refused);
        len = strlen(text);
    }
    uint8_t *frame = mem_zalloc(FRAME_HEADER_BYTES + len);
    put_be32(frame, (uint32_t)len);
    memcpy(frame + FRAME_HEADER_BYTES, text, len);
    free(text);
    *len_out = FRAME_HEADER_BYTES + len;
    return frame;
}

/* --- in a lane ------------------------------------------------------------------------------- */

static void read_run(struct work *work, struct work_tools *tools)
{
    struct frame_reading *reading = (struct frame_reading *)work;
    (void)tools;
    reading->request = frame_parse(bytes_of(reading->text, reading->len), reading->why);
}

static void read_drop(struct work *work)
{
    frame_reading_destroy((struct frame_reading *)work);
}

struct frame_reading *frame_reading_create(void *conn, struct bytes text, frame_done_fn done)
{
    struct frame_reading *reading = mem_zalloc(sizeof *reading + text.len);
    reading->work =
        (struct work){.lane = WORK_LOOK, .run = read_run, .done = done, .drop = read_drop};
    reading->conn = conn;
    reading->len = text.len;
    memcpy(reading->text, text.data, text.len);
    return reading;
}

void frame_reading_destroy(struct frame_reading *reading)
{
    json_decref(reading->request);
    mem_free(reading);
}

static void write_run(struct work *work, struct work_tools *tools)
{
    struct frame_writing *writing = (struct frame_writing *)work;
    (void)tools;
    writing->frame = frame_encode_take(writing->answer, &writing->len);
    writing->answer = NULL;
}

static void write_drop(struct work *work)
{
    frame_writing_destroy((struct frame_writing *)work);
}

struct frame_writing *frame_writing_create_take(void *conn, json_t *answer, frame_done_fn done)
{
    struct frame_writing *writing = mem_zalloc(sizeof *writing);
    writing->work =
        (struct work){.lane = WORK_LOOK, .run = write_run, .done = done, .drop = write_drop};
    writing->conn = conn;
    writing->answer = answer;
    return writing;
}

void frame_writing_destroy(struct frame_writing *writing)
{
    json_decref(writing->answer);
    free(writing->frame);
    mem_free(writing);
}
