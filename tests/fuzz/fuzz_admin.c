/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/fuzz_admin.c: what anybody at the admin socket may send.
 *
 * Target functions: the server's frames (shell/server.c, shell/frame.c), control_admin and all of
 * control/admin/: requests, selections (select_json.c, core/select.c), jobs, answers; the database
 * behind them.
 *
 * Input: lines, the first byte of each says what is done with the rest:
 *   q TEXT   the present client sends TEXT in a frame
 *   l TEXT   the same behind 1 KiB of blanks: a lane reads it
 *   r BYTES  it sends bytes as they are
 *   k TEXT   one who may only look asks TEXT
 *   c N      client N is present from now on; it connects when it first sends
 *   x        the present client hangs up
 *   t C      C % 32 seconds pass, or as many hours for a capital letter
 *   w C      C % 64 works and turns
 *   a, d     a dataplane attaches; it goes
 *   e, f     it answers its commands; it gives up on its deliveries
 *   R        control ends and starts again
 * After each there is a turn.
 *
 * Promise: what is answered is a frame of JSON with `ok` or a line, `error`. All mail is there in
 *          the end. While nobody asked to change something, no rule, no hold and no frozen mail
 *          has changed. Jobs end, and who comes then is served.
 */
#include "control/admin/job.h"
#include "control/shell/frame.h"
#include "tests/fuzz/admin_bed.h"
#include "tests/fuzz/reach.h"

#include <stdlib.h>
#include <string.h>

#define REACH_MARKS(MARK)                                                                          \
    MARK(not_json), MARK(frame_too_long), MARK(in_lane), MARK(selection_refused),                  \
        MARK(member_refused), MARK(command_unknown), MARK(name_unknown), MARK(count_refused),      \
        MARK(may_not_act), MARK(says_status), MARK(says_list), MARK(says_count), MARK(says_show),  \
        MARK(says_body), MARK(says_rules), MARK(says_audit), MARK(says_jobs), MARK(planned),       \
        MARK(held), MARK(released), MARK(retried), MARK(rule_ended), MARK(held_attached),          \
        MARK(unchanged), MARK(gone_while_pending), MARK(job_resumed), MARK(second_client)
REACH_TABLE

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096, FRAME_MAX = INPUT_MAX + 2048, MS_PER_S = 1000, S_PER_H = 3600 };

struct states {
    size_t rules;
    size_t count[DELIVERY_STATE_COUNT];
};

struct world {
    struct admin_bed bed;
    unsigned client;
    uint64_t slept_ms;
    struct states before;
    bool acted; /* somebody may have asked to change something */
};

static struct states states_of(const struct control *control)
{
    struct states states = {.rules = control->core.rules.count};
    size_t all = 0;
    for (uint32_t slot = 0; slot < index_slots(&control->core.index); slot++) {
        const struct delivery *d = index_at(&control->core.index, slot);
        states.count[d->state] += d->id != 0;
        all += d->id != 0;
    }
    assert(all == ADMIN_BED_DELIVERIES);
    return states;
}

/* --- answers --------------------------------------------------------------------------------- */

static bool has(const json_t *answer, const char *member)
{
    return json_object_get(answer, member) != NULL;
}

static void look_at_error(const json_t *answer)
{
    const char *error = json_string_value(json_object_get(answer, "error"));
    json_int_t code = json_integer_value(json_object_get(answer, "exit"));
    assert(error != NULL && error[0] != '\0' && (code == 1 || code == 2 || code == 64));
    for (const char *p = error; *p != '\0'; p++) {
        assert((unsigned char)*p >= ' '); /* one line, and none that a terminal would obey */
    }
    REACH_IF(strstr(error, "at byte") != NULL, not_json);
    REACH_IF(strstr(error, "frame is too long") != NULL, frame_too_long);
    REACH_IF(strstr(error, "not a selection") != NULL, selection_refused);
    REACH_IF(strstr(error, "no such member") != NULL, member_refused);
    REACH_IF(strstr(error, "unknown command") != NULL, command_unknown);
    REACH_IF(strstr(error, "is called") != NULL, name_unknown);
    REACH_IF(strstr(error, "deliveries now") != NULL, count_refused);
    REACH_IF(strstr(error, "you may look, not act") != NULL, may_not_act);
}

static void look_at(const struct world *w, const json_t *answer)
{
    const json_t *ok = json_object_get(answer, "ok");
    assert(json_is_object(answer) && json_is_boolean(ok));
    assert(json_integer_value(json_object_get(answer, "v")) == 1);
    if (json_is_false(ok)) {
        look_at_error(answer);
        return;
    }
    REACH_IF(has(answer, "totals"), says_status);
    REACH_IF(json_array_size(json_object_get(answer, "deliveries")) > 0, says_list);
    REACH_IF(json_array_size(json_object_get(answer, "by")) > 0, says_count);
    REACH_IF(has(answer, "recipients"), says_show);
    REACH_IF(has(answer, "body") || has(answer, "body_base64"), says_body);
    REACH_IF(json_array_size(json_object_get(answer, "rules")) > 0, says_rules);
    REACH_IF(json_array_size(json_object_get(answer, "entries")) > 0, says_audit);
    REACH_IF(json_array_size(json_object_get(answer, "jobs")) > 0, says_jobs);
    REACH_IF(has(answer, "in_flight") && !has(answer, "rule"), planned);
    REACH_IF(has(answer, "rule"), held);
    REACH_IF(has(answer, "rule") && w->bed.region != NULL, held_attached);
    REACH_IF(json_integer_value(json_object_get(answer, "released")) > 0, released);
    REACH_IF(json_integer_value(json_object_get(answer, "retried")) > 0, retried);
    REACH_IF(json_array_size(json_object_get(answer, "rules_ended")) > 0, rule_ended);
}

static void hear(struct world *w)
{
    for (unsigned client = 0; client < ADMIN_BED_CLIENTS; client++) {
        json_t *answer;
        while ((answer = admin_bed_hear(&w->bed, client)) != NULL) {
            look_at(w, answer);
            json_decref(answer);
            REACH_IF(client > 0, second_client);
        }
    }
}

/* --- steps ----------------------------------------------------------------------------------- */

/* The request, if it is one, might change something. */
static bool acts(struct bytes text)
{
    char why[FRAME_WHY_SIZE];
    json_t *request = frame_parse(text, why);
    const char *cmd = json_string_value(json_object_get(request, "cmd"));
    bool might = cmd != NULL && (strcmp(cmd, "hold") == 0 || strcmp(cmd, "release") == 0 ||
                                 strcmp(cmd, "retry") == 0 || strcmp(cmd, "rules") == 0);
    might = might && !json_is_true(json_object_get(request, "dry_run"));
    might = might && (strcmp(cmd, "rules") != 0 || has(request, "remove"));
    json_decref(request);
    return might;
}

static void send_frame(struct world *w, struct bytes text, size_t blanks)
{
    uint8_t frame[FRAME_MAX];
    assert(FRAME_HEADER_BYTES + blanks + text.len <= sizeof frame);
    put_be32(frame, (uint32_t)(blanks + text.len));
    memset(frame + FRAME_HEADER_BYTES, ' ', blanks);
    memcpy(frame + FRAME_HEADER_BYTES + blanks, text.data, text.len);
    w->acted |= acts(text);
    admin_bed_send(&w->bed, w->client, bytes_of(frame, FRAME_HEADER_BYTES + blanks + text.len));
}

/* One who may only look. What is pending is given up at once. */
static void look_only(struct world *w, struct bytes text)
{
    char why[FRAME_WHY_SIZE];
    const struct control_peer peer = {.who = "looker", .may_act = false};
    struct control *control = w->bed.control;
    json_t *request = frame_parse(text, why);
    assert((request == NULL) == (why[0] != '\0'));
    if (request != NULL) {
        json_t *answer = control_admin(control, request, &peer, shell_time());
        const json_t *token = json_object_get(answer, "pending");
        if (json_is_integer(token)) {
            control_admin_forget(control, (uint64_t)json_integer_value(token));
        } else {
            look_at(w, answer);
        }
        json_decref(answer);
        json_decref(request);
    }
}

static void step_works(struct world *w, uint8_t count)
{
    for (unsigned i = 0; i < count % 64u; i++) {
        (void)control_work(w->bed.control);
        admin_bed_turn(&w->bed);
    }
}

static void step_time(struct world *w, uint8_t c)
{
    uint64_t unit_s = c >= 'A' && c <= 'Z' ? S_PER_H : 1;
    uint64_t ms = c % 32 * unit_s * MS_PER_S;
    if (w->slept_ms + ms < ADMIN_BED_SLEEP_MS) {
        w->slept_ms += ms;
        admin_bed_sleep(ms);
    }
}

static void step_restart(struct world *w)
{
    admin_bed_restart(&w->bed);
    admin_bed_rest(&w->bed);
    REACH_IF(jobs_count(w->bed.control, true) > 0, job_resumed);
}

static void step_hang_up(struct world *w)
{
    size_t before = jobs_count(w->bed.control, false);
    admin_bed_hang_up(&w->bed, w->client);
    admin_bed_turn(&w->bed);
    REACH_IF(before > 0, gone_while_pending);
}

static void step(struct world *w, struct bytes line)
{
    uint8_t first = line.len > 1 ? line.data[1] : 0;
    struct bytes rest = bytes_from(line, 1);
    switch (line.data[0]) {
    case 'q':
        send_frame(w, rest, 0);
        break;
    case 'l':
        send_frame(w, rest, FRAME_SHORT_BYTES);
        REACH(in_lane);
        break;
    case 'r':
        w->acted = true;
        admin_bed_send(&w->bed, w->client, rest);
        break;
    case 'k':
        look_only(w, rest);
        break;
    case 'c':
        w->client = first % ADMIN_BED_CLIENTS;
        break;
    case 'x':
        step_hang_up(w);
        break;
    case 't':
        step_time(w, first);
        break;
    case 'w':
        step_works(w, first);
        break;
    case 'a':
        admin_bed_attach(&w->bed);
        break;
    case 'd':
        admin_bed_detach(&w->bed);
        break;
    case 'e':
        admin_bed_answer(&w->bed);
        break;
    case 'f':
        admin_bed_fail(&w->bed);
        break;
    case 'R':
        step_restart(w);
        break;
    default:
        break;
    }
}

/* --- the end --------------------------------------------------------------------------------- */

static void ask_status(struct world *w)
{
    static const char status[] = "{\"v\":1,\"cmd\":\"status\"}";
    w->client = 0;
    send_frame(w, bytes_str(status), 0);
    admin_bed_rest(&w->bed);
    json_t *answer = admin_bed_hear(&w->bed, 0);
    assert(json_is_true(json_object_get(answer, "ok")));
    look_at(w, answer);
    json_decref(answer);
}

static void check(struct world *w)
{
    struct states after = states_of(w->bed.control);
    if (!w->acted) {
        REACH(unchanged);
        assert(after.rules == w->before.rules);
        assert(after.count[DELIVERY_FROZEN] == w->before.count[DELIVERY_FROZEN]);
        assert(after.count[DELIVERY_HELD] == w->before.count[DELIVERY_HELD]);
        assert(after.count[DELIVERY_ORPHAN] == w->before.count[DELIVERY_ORPHAN]);
    }
}

static void settle(struct world *w)
{
    admin_bed_rest(&w->bed);
    hear(w);
    for (unsigned i = 0; i < ADMIN_BED_CLIENTS; i++) {
        admin_bed_hang_up(&w->bed, i);
    }
    admin_bed_detach(&w->bed);
    admin_bed_rest(&w->bed);
    assert(jobs_count(w->bed.control, false) == 0);
    ask_status(w);
    check(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct world *w = &world;
    if (size > INPUT_MAX) {
        return 0;
    }
    world = (struct world){0};
    admin_bed_init(&w->bed);
    w->before = states_of(w->bed.control);
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end == NULL ? size - at : (size_t)(end - (data + at));
        if (len > 0) {
            step(w, bytes_of(data + at, len));
            admin_bed_turn(&w->bed);
            hear(w);
        }
        at += len + 1;
    }
    settle(w);
    admin_bed_fini(&w->bed);
    return 0;
}
