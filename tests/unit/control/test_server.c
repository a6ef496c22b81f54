/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/control/test_server.c: clients at the admin socket: who left, who floods, who sends
 * what is none, and the person at a prompt beside them.
 *
 * The loop is pump(): what control/shell/main.c does, with the lanes run in between.
 */
#include "tests/unit/control/fake.h"

#include "control/admin/job.h"
#include "control/shell/frame.h"
#include "control/shell/parts.h"
#include "control/shell/peer.h"
#include "control/shell/shell.h"

#include "common/bytes.h"
#include "common/limits/admin.h"
#include "common/limits/rules.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAIL = 200, HEADER_BYTES = 4, EVENTS_MAX = 32, ROUNDS_MAX = 5000 };

static struct fake *f;
static struct server *server;
static struct place place;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int epoll_fd;

static void set_up(void)
{
    f = fake_create();
    f->time = shell_time();
    fake_attach(f, NULL, 0);
    place = (struct place){.uid = geteuid(), .look_gid = (gid_t)-1, .admin_gid = (gid_t)-1};
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/admin.sock", f->dir);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 128), 0);
    cr_assert_eq(server_create(fd, epoll_fd, &place, &server), 0);
}

static void tear_down(void)
{
    server_destroy(server);
    close(epoll_fd);
    fake_destroy(f);
}

TestSuite(server, .init = set_up, .fini = tear_down);

static void make_frozen(void)
{
    for (int i = 0; i < MAIL; i++) {
        uint64_t id = fake_simple(f, 1);
        fake_turn(f, 0);
        fake_state(f, id, ABI_STATE_OUTCOME, OUTCOME_POLICY, 1, ABI_FLAG_LAST, "go away");
    }
    fake_turn(f, 0);
}

/* --- the loop -------------------------------------------------------------------------------- */

static void pump(void)
{
    struct epoll_event event[EVENTS_MAX];
    f->time = shell_time();
    (void)control_turn(f->control, f->time);
    server_turn(server, f->control);
    int count = epoll_wait(epoll_fd, event, EVENTS_MAX, 0);
    for (int i = 0; i < count; i++) {
        server_event(server, f->control, &event[i]);
    }
}

/* Also the lanes: until nothing is to do. */
static void pump_all(void)
{
    int idle = 0;
    for (int i = 0; i < ROUNDS_MAX && idle < 3; i++) {
        pump();
        bool worked = control_work(f->control) || works_busy(control_works(f->control)) ||
                      jobs_count(f->control, false) > 0;
        idle = worked ? 0 : idle + 1;
    }
}

/* --- clients --------------------------------------------------------------------------------- */

static int client(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_bytes(int fd, const char *text, size_t len)
{
    uint8_t header[HEADER_BYTES];
    put_be32(header, (uint32_t)len);
    cr_assert_eq(send(fd, header, sizeof header, MSG_NOSIGNAL), HEADER_BYTES);
    for (size_t done = 0; done < len;) {
        ssize_t sent = send(fd, text + done, len - done, MSG_NOSIGNAL);
        cr_assert(sent > 0 || errno == EAGAIN);
        done += sent > 0 ? (size_t)sent : 0;
        pump();
    }
}

static void say(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

static size_t take(int fd, uint8_t *out, size_t len)
{
    size_t done = 0;
    for (int i = 0; done < len && i < ROUNDS_MAX; i++) {
        ssize_t got = recv(fd, out + done, len - done, 0);
        if (got == 0) {
            break;
        }
        done += got > 0 ? (size_t)got : 0;
        if (got < 0) {
            cr_assert_eq(errno, EAGAIN);
            pump();
            (void)control_work(f->control);
        }
    }
    return done;
}

/* The next answer, or NULL when the connection is over. */
static json_t *hear(int fd)
{
    uint8_t header[HEADER_BYTES];
    if (take(fd, header, sizeof header) < sizeof header) {
        return NULL;
    }
    size_t len = get_be32(header);
    char *text = calloc(1, len + 1);
    cr_assert_eq(take(fd, (uint8_t *)text, len), len);
    json_t *answer = json_loadb(text, len, 0, NULL);
    cr_assert_not_null(answer, "%.80s", text);
    free(text);
    return answer;
}

static const char status[] = "{\"v\":1,\"cmd\":\"status\"}";

static bool status_answers(int fd)
{
    if (send(fd, "", 0, MSG_NOSIGNAL) < 0) {
        return false;
    }
    say(fd, status);
    json_t *answer = hear(fd);
    bool good = json_is_true(json_object_get(answer, "ok"));
    json_decref(answer);
    return good;
}

/* --- who left -------------------------------------------------------------------------------- */

/* Lists that nobody reads any more keep nobody waiting. */
Test(server, what_only_looks_ends_with_its_client)
{
    make_frozen();
    int fd = client();
    say(fd, "{\"v\":1,\"cmd\":\"list\",\"limit\":1000}");
    for (int i = 0; i < ROUNDS_MAX && jobs_count(f->control, false) == 0; i++) {
        pump();
        (void)control_work(f->control);
    }
    cr_assert_eq(jobs_count(f->control, false), 1);
    close(fd);
    int works = 0;
    for (int i = 0; i < ROUNDS_MAX && jobs_count(f->control, false) > 0; i++) {
        pump();
        works += control_work(f->control);
    }
    cr_assert_eq(jobs_count(f->control, false), 0);
    cr_assert_leq(works, 2, "%d works for nobody", works);
    cr_assert_not(server_is_waiting(server));
}

Test(server, what_changes_something_is_completed_without_its_client)
{
    make_frozen();
    fake_forget_sent(f);
    int fd = client();
    say(fd, "{\"v\":1,\"cmd\":\"release\",\"select\":[\"state=frozen\"],\"reason\":\"mended\"}");
    for (int i = 0; i < ROUNDS_MAX && jobs_count(f->control, false) == 0; i++) {
        pump();
        (void)control_work(f->control);
    }
    close(fd);
    pump_all();
    fake_turn(f, 0);
    cr_assert_gt(f->state_count, 0);
    cr_assert(status_answers(client()));
}

/* --- who floods ------------------------------------------------------------------------------ */

static void flood(int *fd, int count)
{
    for (int i = 0; i < count; i++) {
        fd[i] = client();
    }
    pump_all();
}

Test(server, quick_connections_of_the_same_user_push_out_nobody_who_asked)
{
    int crowd[3 * LIMIT_ADMIN_CONNS];
    int person = client();
    cr_assert(status_answers(person));
    flood(crowd, 3 * LIMIT_ADMIN_CONNS);
    cr_assert(status_answers(person));
    cr_assert(status_answers(client()), "nor keep a further one out");
}

/* No lane runs. A crowd is there before a person and grows behind them. */
Test(server, a_first_request_that_is_on_its_way_counts_as_asked)
{
    enum { BEHIND = 3, TURNS = 5 };
    uint8_t header[HEADER_BYTES];
    for (int i = 0; i < LIMIT_ADMIN_CONNS_USER; i++) {
        (void)client();
    }
    for (int i = 0; i < TURNS; i++) {
        pump();
    }
    int person = client();
    put_be32(header, sizeof status - 1);
    cr_assert_eq(send(person, header, sizeof header, MSG_NOSIGNAL), HEADER_BYTES);
    cr_assert_eq(send(person, status, sizeof status - 1, MSG_NOSIGNAL), sizeof status - 1);
    for (int i = 0; i < BEHIND * TURNS; i++) {
        if (i % TURNS == 0) {
            (void)client();
        }
        pump();
    }
    json_t *answer = hear(person);
    cr_assert(json_is_true(json_object_get(answer, "ok")), "%s",
              json_string_value(json_object_get(answer, "error")));
    json_decref(answer);
}

Test(server, one_more_is_refused_when_all_of_a_user_have_asked)
{
    int spoken[LIMIT_ADMIN_CONNS_USER];
    for (int i = 0; i < LIMIT_ADMIN_CONNS_USER; i++) {
        spoken[i] = client();
        cr_assert(status_answers(spoken[i]));
    }
    json_t *answer = hear(client());
    const char *error = json_string_value(json_object_get(answer, "error"));
    cr_assert(error != NULL && strstr(error, "too many connections") != NULL);
    json_decref(answer);
    for (int i = 0; i < LIMIT_ADMIN_CONNS_USER; i++) {
        cr_assert(status_answers(spoken[i]));
    }
    close(spoken[0]);
    pump_all();
    cr_assert(status_answers(client()), "there is room again");
}

static void let_others_in(void)
{
    if (geteuid() != 0) {
        cr_skip("only root can be several users");
    }
    cr_assert_eq(chmod(f->dir, 0755), 0);
    cr_assert_eq(chmod(address.sun_path, 0777), 0);
}

static int client_of(uid_t uid)
{
    cr_assert_eq(seteuid(uid), 0);
    int fd = client();
    cr_assert_eq(seteuid(0), 0);
    return fd;
}

/* Two users take all places and keep them. */
Test(server, crowds_of_others_push_out_no_single_person)
{
    enum { ONE = 65501, OTHER = 65502, THIRD = 65503 };
    let_others_in();
    int crowd[LIMIT_ADMIN_CONNS];
    for (int i = 0; i < LIMIT_ADMIN_CONNS; i++) {
        crowd[i] = client_of(i % 2 == 0 ? ONE : OTHER);
        cr_assert(status_answers(crowd[i]));
    }
    int person = client();
    cr_assert(status_answers(person), "the one silent for longest of the most makes room");
    int third = client_of(THIRD);
    cr_assert(status_answers(third));
    for (int i = 0; i < LIMIT_ADMIN_CONNS_USER; i++) {
        (void)client_of(ONE);
        (void)client_of(OTHER);
        pump_all();
    }
    cr_assert(status_answers(person) && status_answers(third));
}

/* --- the name service is slow ----------------------------------------------------------------- */

/* All lanes but that of names. */
static void pump_nameless(void)
{
    for (int i = 0; i < 200; i++) {
        pump();
        for (int lane = 0; lane < WORK_LANES; lane++) {
            (void)(lane != WORK_NAMES &&
                   works_run(control_works(f->control), (enum work_lane)lane));
        }
    }
}

static bool has_answer(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK) == 1;
}

Test(server, who_looks_does_not_wait_for_names)
{
    static const char hold[] =
        "{\"v\":1,\"cmd\":\"hold\",\"select\":[\"route=r1\"],\"reason\":\"x\"}";
    int actor = client();
    int gone = client();
    int person = client();
    f->echo = true;
    say(actor, hold);
    say(gone, hold);
    pump_nameless();
    cr_assert_not(has_answer(actor), "the audit needs the name");
    for (int i = 0; i < 3; i++) {
        say(person, status);
        pump_nameless();
        cr_assert(has_answer(person));
        json_decref(hear(person));
        say(person, "{\"v\":1,\"cmd\":\"list\"}");
        pump_nameless();
        cr_assert(has_answer(person));
        json_decref(hear(person));
    }
    close(gone);
    pump_nameless();
    for (int i = 0; i < 3; i++) { /* the names come, then the fence of the hold */
        pump_all();
        f->time = shell_time();
        fake_turn(f, 0);
    }
    json_t *answer = hear(actor);
    cr_assert_eq(json_integer_value(json_object_get(answer, "rule")), 1, "one of the two was gone");
    json_decref(answer);
    cr_assert_eq(f->control->core.rules.count, 1);
}

static const char retry_all[] = "{\"v\":1,\"cmd\":\"retry\",\"select\":[\"all\"],\"reason\":\"x\"}";

/* Somebody who only waits for the name service is not idle, however long that takes. */
Test(server, who_waits_for_the_name_is_not_pushed_out)
{
    enum { ONE = 65501, OTHER = 65502 };
    let_others_in();
    place.admin_gid = getegid();
    int actor = client_of(ONE);
    say(actor, retry_all);
    pump_nameless();
    for (int i = 1; i < LIMIT_ADMIN_CONNS + 3; i++) { /* the last three push one out each */
        int fd = i >= LIMIT_ADMIN_CONNS ? client() : client_of(i % 2 == 0 ? ONE : OTHER);
        say(fd, status);
        pump_nameless();
        json_decref(hear(fd));
    }
    cr_assert_not(has_answer(actor));
    json_t *answer = hear(actor);
    cr_assert(json_is_true(json_object_get(answer, "ok")));
    json_decref(answer);
}

Test(server, who_may_only_look_is_refused_without_a_name)
{
    enum { LOOKER = 65501 };
    let_others_in();
    place.look_gid = getegid();
    int fd = client_of(LOOKER);
    say(fd, retry_all);
    pump_nameless();
    cr_assert(has_answer(fd));
    json_t *answer = hear(fd);
    const char *error = json_string_value(json_object_get(answer, "error"));
    cr_assert_not_null(strstr(error, "you may look, not act"), "%s", error);
    json_decref(answer);
}

/* The audit has the name, not what stood for it while it was not known. */
Test(server, who_acts_is_named_in_the_audit)
{
    char who[PEER_WHO_SIZE];
    const struct peer self = {.uid = geteuid(), .pid = getpid()};
    peer_name(&self, who);
    int fd = client();
    cr_assert(status_answers(fd));
    say(fd, retry_all);
    json_decref(hear(fd));
    say(fd, "{\"v\":1,\"cmd\":\"audit\"}");
    json_t *answer = hear(fd);
    const json_t *entry = json_array_get(json_object_get(answer, "entries"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(entry, "who")), who);
    json_decref(answer);
}

/* --- who asks for much ----------------------------------------------------------------------- */

/* A request of not quite so many bytes, full of values. */
static char *many_values(size_t bytes)
{
    char *memory = calloc(1, bytes);
    struct text text = text_of(memory, bytes - sizeof "]}");
    text_append(&text, "{\"v\":1,\"cmd\":\"jobs\",\"x\":[{}");
    for (size_t i = 0; i < bytes / sizeof ",{}" - sizeof "{'v':1,'cmd':'jobs','x':[{}]}"; i++) {
        text_append(&text, ",{}");
    }
    memcpy(memory + strlen(memory), "]}", sizeof "]}");
    return memory;
}

static void expect_refusal(int fd, const char *why)
{
    json_t *answer = hear(fd);
    const char *error = json_string_value(json_object_get(answer, "error"));
    cr_assert(error != NULL && strstr(error, why) != NULL, "%s: %s", why,
              error == NULL ? "taken" : error);
    cr_assert_eq(fake_number(answer, "exit"), 64);
    json_decref(answer);
    cr_assert_null(hear(fd), "the connection is over");
    close(fd);
}

/* Only the lane parses it; others are answered meanwhile. */
Test(server, a_long_request_does_not_stop_the_loop)
{
    char *text = many_values(LIMIT_ADMIN_REQUEST_BYTES);
    int person = client();
    int other = client();
    cr_assert(status_answers(person) && status_answers(other));
    say(other, text);
    for (int i = 0; i < 100; i++) {
        pump();
    }
    char byte;
    cr_assert_eq(recv(other, &byte, 1, MSG_PEEK), -1, "it waits for the lane");
    say(person, status);
    for (int i = 0; i < 100; i++) {
        pump();
    }
    cr_assert_eq(recv(person, &byte, 1, MSG_PEEK), 1, "and nobody waits for it");
    expect_refusal(other, "values");
    int gone = client();
    cr_assert(status_answers(gone));
    say(gone, text);
    close(gone);
    pump_all();
    cr_assert(status_answers(client()));
    free(text);
}

Test(server, a_frame_beyond_the_longest_request_is_refused)
{
    uint8_t header[HEADER_BYTES];
    int fd = client();
    put_be32(header, LIMIT_ADMIN_REQUEST_BYTES + 1);
    cr_assert_eq(send(fd, header, sizeof header, MSG_NOSIGNAL), HEADER_BYTES);
    expect_refusal(fd, "too long");
}

/* Every term as long as it may be, and every byte of it as six. */
Test(server, the_longest_request_that_makes_sense_is_taken)
{
    enum { ADDRESS = 240 };
    char *memory = calloc(1, LIMIT_ADMIN_REQUEST_BYTES);
    struct text text = text_of(memory, LIMIT_ADMIN_REQUEST_BYTES);
    text_append(&text, "{\"v\":1,\"cmd\":\"count\",\"select\":[");
    for (int i = 0; i < LIMIT_SELECT_TERMS; i++) {
        text_append(&text, i == 0 ? "\"sender=" : ",\"sender=");
        for (int k = 0; k < ADDRESS; k++) {
            text_append(&text, "\\u0061");
        }
        text_append(&text, "\"");
    }
    text_append(&text, "]}");
    int fd = client();
    say(fd, memory);
    json_t *answer = hear(fd);
    cr_assert(json_is_true(json_object_get(answer, "ok")), "%s",
              json_string_value(json_object_get(answer, "error")));
    json_decref(answer);
    free(memory);
}

Test(server, a_long_answer_is_written_in_the_lane_and_is_whole)
{
    make_frozen();
    static const char list[] = "{\"v\":1,\"cmd\":\"list\",\"limit\":1000}";
    int fd = client();
    say(fd, list);
    json_t *answer = hear(fd);
    cr_assert_eq(json_array_size(json_object_get(answer, "deliveries")), MAIL);
    cr_assert_not(frame_is_short(answer));
    json_decref(answer);
    say(fd, list);
    while (jobs_count(f->control, false) == 0) {
        pump();
    }
    while (jobs_count(f->control, false) > 0) { /* answered, as far as the job knows */
        pump();
        (void)works_run(control_works(f->control), WORK_LOOK);
    }
    close(fd);
    pump_all();
    cr_assert(status_answers(client()));
}

Test(server, several_requests_at_once_are_all_answered)
{
    enum { COUNT = 100 };
    int fd = client();
    for (int i = 0; i < COUNT; i++) {
        uint8_t header[HEADER_BYTES];
        put_be32(header, sizeof status - 1);
        cr_assert_eq(send(fd, header, sizeof header, MSG_NOSIGNAL), HEADER_BYTES);
        cr_assert_eq(send(fd, status, sizeof status - 1, MSG_NOSIGNAL), sizeof status - 1);
    }
    for (int i = 0; i < COUNT; i++) {
        json_t *answer = hear(fd);
        cr_assert(json_is_true(json_object_get(answer, "ok")), "answer %d", i);
        json_decref(answer);
    }
}

/* Short answers, read at once: so nothing but the pace of the loop holds the client up. */
Test(server, requests_that_wait_stay_with_the_client)
{
    static const char nonsense[] = "\0\0\0\15{\"v\":1,\"a\":1}"; /* a frame */
    enum { FRAMES = 4000, FRAME = sizeof nonsense - 1 };
    uint8_t *many = calloc(FRAMES, FRAME);
    uint8_t *answers = calloc(1, 1 << 20);
    size_t sent = 0;
    int fd = client();
    cr_assert(status_answers(fd));
    for (int i = 0; i < FRAMES; i++) {
        memcpy(many + i * FRAME, nonsense, FRAME);
    }
    for (int i = 0; i < 100; i++) {
        ssize_t put = send(fd, many, FRAMES * FRAME, MSG_NOSIGNAL);
        sent += put > 0 ? (size_t)put : 0;
        pump();
        while (recv(fd, answers, 1 << 20, 0) > 0) {
        }
    }
    cr_assert_lt(sent, 1 << 20, "%zu bytes are in memory", sent);
    free(answers);
    free(many);
}

Test(server, what_is_no_request_is_called_what_it_is)
{
    static const struct {
        const char *text;
        const char *why;
    } bad[] = {
        {"{\"v\":1,\"cmd\":\"jobs\",\"v\":1}", "twice"},
        {"{\"v\":1,\"cmd\":\"jobs\",\"x\":\"\xff\"}", "not UTF-8"},
        {"{\"v\":1,\"cmd\":\"jobs\",\"x\":\"\\u0000\"}", "NUL"},
        {"{\"v\":1,\"cmd\"", "not JSON at byte"},
        {"[]", "not a JSON object"},
        {"7", "not a JSON object"},
        {"", "not JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = client();
        say(fd, bad[i].text);
        expect_refusal(fd, bad[i].why);
    }
}
