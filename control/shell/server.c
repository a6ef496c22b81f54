/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/server.c: the admin socket: frames of JSON in, frames of JSON out. docs/ADMIN.md.
 *
 * Promise: a client that is slow, silent or talks nonsense costs one connection and no more. Who
 *          asked something is not pushed out by other connections of the same user. Who only looks
 *          does not wait for the name service: names are looked up for the audit alone.
 *          A turn does a bounded piece for it: a long request is parsed in a lane, a long answer is
 *          written as text there and sent in pieces.
 * Trap:    one request at a time per connection: the next is read when the answer is out.
 */
#include "common/config.h"
#include "common/limits/admin.h"
#include "control/core/mem.h"
#include "control/shell/frame.h"
#include "control/shell/peer.h"
#include "control/shell/shell.h"

#include "common/bytes.h"
#include "common/list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WELCOMES = 16,           /* new connections in one turn */
    ANSWERS = 8,             /* short requests of one connection in one turn */
    PIECE_BYTES = 64 * 1024, /* received in one turn */
    SEND_BYTES = 256 * 1024, /* sent in one turn */
    GONE_MAX =
        4 * LIMIT_ADMIN_CONNS, /* connections, with those that are shut down and not yet gone */
};

/* The name of a peer is being looked up. */
struct naming {
    struct work work;
    struct conn *conn;
    struct peer peer;
    char who[PEER_WHO_SIZE];
};

struct conn {
    struct list node;
    struct server *server;
    int fd; /* -1: the client is gone, but something of it is still in a lane */
    struct peer peer;
    char who[PEER_WHO_SIZE];
    bool named;
    json_t *unnamed; /* a request that waits for the name; NULL: none does */
    bool asked;      /* it has sent a request */
    uint64_t number; /* the newest has the highest */
    uint8_t *in;
    size_t in_len;
    size_t in_capacity;
    uint8_t *out;
    size_t out_len;
    size_t out_done;
    bool pending;
    bool in_lane;   /* its name is looked up, its request parsed, or its answer written */
    bool ending;    /* hang up when the answer is sent */
    bool dismissed; /* shut down to make room for another client */
    uint64_t token;
};

struct server {
    int fd;
    int epoll_fd;
    const struct place *place;
    struct list conns;
    uint32_t conn_count; /* also those that are gone, while a lane works for them */
    uint64_t newest;
};

/* Its next request can be answered, or refused, without waiting for anything. */
static bool is_ready(const struct conn *conn)
{
    if (conn->fd < 0 || conn->out != NULL || conn->pending || conn->in_lane ||
        conn->in_len < FRAME_HEADER_BYTES) {
        return false;
    }
    size_t len = get_be32(conn->in);
    return len > LIMIT_ADMIN_REQUEST_BYTES || conn->in_len >= FRAME_HEADER_BYTES + len;
}

/* Nothing is read while a request waits in the buffer: so it stays small. */
static void watch(struct server *s, struct conn *conn)
{
    struct epoll_event event = {.data.ptr = conn};
    if (conn->out != NULL) {
        event.events = EPOLLOUT;
    } else if (!conn->pending && !conn->in_lane && !is_ready(conn)) {
        event.events = EPOLLIN;
    }
    int r = epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
    assert(r == 0);
}

/* The client is gone, and nobody works for it any more, unless it asked to change something. */
static void hang_up(struct server *s, struct conn *conn, struct control *control)
{
    if (conn->fd >= 0) {
        close(conn->fd); /* this removes it from the epoll set, too */
        conn->fd = -1;
    }
    if (conn->pending) {
        control_admin_forget(control, conn->token);
        conn->pending = false;
    }
    if (conn->in_lane) {
        return; /* till it comes back: name_done, read_done, write_done */
    }
    list_remove(&conn->node);
    s->conn_count--;
    json_decref(conn->unnamed);
    free(conn->in);
    free(conn->out);
    free(conn);
}

/* Sends of what is in the buffer as much as a turn may. false: the connection is over. */
static bool flush(struct conn *conn)
{
    for (size_t turn = 0; conn->out != NULL && turn < SEND_BYTES;) {
        size_t left = conn->out_len - conn->out_done;
        ssize_t sent = send(conn->fd, conn->out + conn->out_done,
                            left < SEND_BYTES ? left : SEND_BYTES, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        conn->out_done += (size_t)sent;
        turn += (size_t)sent;
        if (conn->out_done == conn->out_len) {
            free(conn->out);
            conn->out = NULL;
        }
    }
    return conn->out != NULL || !conn->ending;
}

/* --- requests and answers -------------------------------------------------------------------- */

static void go_on(struct conn *conn, struct control *control);

static void submit(struct conn *conn, struct control *control, struct work *work)
{
    assert(!conn->in_lane && !conn->pending);
    conn->in_lane = true;
    works_submit(control_works(control), work);
}

static void put_frame(struct conn *conn, uint8_t *frame, size_t len)
{
    assert(conn->out == NULL);
    conn->out = frame;
    conn->out_len = len;
    conn->out_done = 0;
}

static bool write_done(struct work *work, struct control *control)
{
    struct frame_writing *writing = (struct frame_writing *)work;
    struct conn *conn = writing->conn;
    conn->in_lane = false;
    put_frame(conn, writing->frame, writing->len);
    writing->frame = NULL;
    frame_writing_destroy(writing);
    go_on(conn, control);
    return true;
}

/* Takes the answer. */
static void put_answer(struct conn *conn, struct control *control, json_t *answer)
{
    if (frame_is_short(answer)) {
        size_t len;
        uint8_t *frame = frame_encode_take(answer, &len);
        put_frame(conn, frame, len);
        return;
    }
    submit(conn, control, &frame_writing_create_take(conn, answer, write_done)->work);
}

/* Answers a client that does not speak our protocol. Nothing more is read from it. */
static void refuse(struct conn *conn, struct control *control, const char *why)
{
    conn->ending = true;
    put_answer(conn, control, json_pack("{sisbsssi}", "v", 1, "ok", 0, "error", why, "exit", 64));
}

static void take_request(struct conn *conn, struct control *control, json_t *request,
                         const char *why);

static void name_run(struct work *work, struct work_tools *tools)
{
    struct naming *naming = (struct naming *)work;
    (void)tools;
    peer_name(&naming->peer, naming->who);
}

static bool name_done(struct work *work, struct control *control)
{
    struct naming *naming = (struct naming *)work;
    struct conn *conn = naming->conn;
    json_t *request = conn->unnamed;
    memcpy(conn->who, naming->who, sizeof conn->who);
    conn->named = true;
    conn->in_lane = false;
    conn->unnamed = NULL;
    mem_free(naming);
    if (conn->fd >= 0 && !conn->dismissed) {
        take_request(conn, control, request, "");
    } else {
        json_decref(request); /* it went, or has to go, before anything was begun */
    }
    go_on(conn, control);
    return true;
}

static void naming_drop(struct work *work)
{
    struct naming *naming = (struct naming *)work;
    mem_free(naming);
}

/* Takes the request, which goes on when the name is known. */
static void ask_name(struct conn *conn, struct control *control, json_t *request)
{
    assert(conn->unnamed == NULL && !conn->named);
    struct naming *naming = mem_zalloc(sizeof *naming);
    naming->work =
        (struct work){.lane = WORK_NAMES, .run = name_run, .done = name_done, .drop = naming_drop};
    naming->conn = conn;
    naming->peer = conn->peer;
    conn->unnamed = request;
    submit(conn, control, &naming->work);
}

/* Takes the request. NULL: it is none, and `why` says so. */
static void take_request(struct conn *conn, struct control *control, json_t *request,
                         const char *why)
{
    if (request == NULL) {
        refuse(conn, control, why);
        return;
    }
    conn->asked = true;
    if (!conn->named && control_admin_needs_name(request, conn->peer.may_act)) {
        ask_name(conn, control, request);
        return;
    }
    char who[PEER_WHO_SIZE];
    (void)snprintf(who, sizeof who, "%s", conn->who);
    peer_add_sudo(&conn->peer, json_string_value(json_object_get(request, "sudo_user")), who);
    (void)json_object_del(request, "sudo_user");
    const struct control_peer peer = {.who = who, .may_act = conn->peer.may_act};
    json_t *answer = control_admin(control, request, &peer, shell_time());
    json_decref(request);
    const json_t *token = json_object_get(answer, "pending");
    if (json_is_integer(token)) {
        conn->pending = true;
        conn->token = (uint64_t)json_integer_value(token);
        json_decref(answer);
        return;
    }
    put_answer(conn, control, answer);
}

static bool read_done(struct work *work, struct control *control)
{
    struct frame_reading *reading = (struct frame_reading *)work;
    struct conn *conn = reading->conn;
    conn->in_lane = false;
    if (conn->fd >= 0) {
        take_request(conn, control, reading->request, reading->why);
        reading->request = NULL;
    }
    frame_reading_destroy(reading);
    go_on(conn, control);
    return true;
}

static void answer_frame(struct conn *conn, struct control *control, struct bytes frame)
{
    if (frame.len <= FRAME_SHORT_BYTES) {
        char why[FRAME_WHY_SIZE];
        json_t *request = frame_parse(frame, why);
        take_request(conn, control, request, why);
        return;
    }
    conn->asked = true; /* it waits */
    submit(conn, control, &frame_reading_create(conn, frame, read_done)->work);
}

/* Answers complete frames, one after the other; server_turn goes on with what is left. false: the
 * connection is over. */
static bool run(struct conn *conn, struct control *control)
{
    for (int n = 0; n < ANSWERS && is_ready(conn); n++) {
        size_t len = get_be32(conn->in);
        if (len > LIMIT_ADMIN_REQUEST_BYTES) {
            refuse(conn, control, "the frame is too long");
            return flush(conn);
        }
        answer_frame(conn, control, bytes_of(conn->in + FRAME_HEADER_BYTES, len));
        conn->in_len -= FRAME_HEADER_BYTES + len;
        memmove(conn->in, conn->in + FRAME_HEADER_BYTES + len, conn->in_len);
        if (!flush(conn)) {
            return false;
        }
    }
    return true;
}

/* Sends, answers, and waits for more; closes a connection that is over. */
static void go_on(struct conn *conn, struct control *control)
{
    if (conn->fd >= 0 && flush(conn) && run(conn, control)) {
        watch(conn->server, conn);
    } else {
        hang_up(conn->server, conn, control);
    }
}

static bool receive(struct conn *conn)
{
    conn->in = mem_grow(conn->in, &conn->in_capacity, conn->in_len + PIECE_BYTES, 1);
    ssize_t got = recv(conn->fd, conn->in + conn->in_len, PIECE_BYTES, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    conn->in_len += (size_t)got;
    return got > 0;
}

/* --- room ------------------------------------------------------------------------------------ */

static bool is_live(const struct conn *conn)
{
    return conn->fd >= 0 && !conn->dismissed;
}

/* It has had its answers, and nothing is done for it. */
static bool is_idle(const struct conn *conn)
{
    return is_live(conn) && conn->asked && !conn->pending && !conn->in_lane;
}

/* It has asked something, or its first request is not read yet. */
static bool has_spoken(const struct conn *conn)
{
    int waiting = 0;
    return conn->asked || (ioctl(conn->fd, FIONREAD, &waiting) == 0 && waiting > 0);
}

static uint32_t count_all(const struct server *s)
{
    uint32_t count = 0;
    for (const struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        count += is_live(list_entry(l, struct conn, node));
    }
    return count;
}

static uint32_t count_of(const struct server *s, uid_t uid)
{
    uint32_t count = 0;
    for (const struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        const struct conn *conn = list_entry(l, struct conn, node);
        count += is_live(conn) && conn->peer.uid == uid;
    }
    return count;
}

/* The newest connection of that user that has asked nothing. NULL: all have spoken. */
static struct conn *newcomer_of(const struct server *s, uid_t uid)
{
    struct conn *newest = NULL;
    for (const struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        struct conn *conn = list_entry(l, struct conn, node);
        if (is_live(conn) && conn->peer.uid == uid && !has_spoken(conn) &&
            (newest == NULL || conn->number > newest->number)) {
            newest = conn;
        }
    }
    return newest;
}

/* Which connection gives way to a new one of a user that has `own`, when all places are taken: of
 * the users that have a newcomer, the newest newcomer of the one with the most connections. Without
 * one: of the users that have more than own + 1 and an idle connection, the one with the most loses
 * the idle one that was silent for longest, which comes first in the list. NULL: none. */
static struct conn *who_goes(const struct server *s, uint32_t own)
{
    struct conn *newcomer = NULL;
    struct conn *silent = NULL;
    uint32_t newcomers = 0; /* how many their user has */
    uint32_t silents = own + 1;
    for (const struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        struct conn *conn = list_entry(l, struct conn, node);
        uint32_t count = count_of(s, conn->peer.uid);
        struct conn *newest = count > newcomers ? newcomer_of(s, conn->peer.uid) : NULL;
        if (newest != NULL) {
            newcomer = newest;
            newcomers = count;
        }
        if (count > silents && is_idle(conn)) {
            silent = conn;
            silents = count;
        }
    }
    return newcomer != NULL ? newcomer : silent;
}

/* Returns whether there is room for a connection of this user, and makes room where it can: whoever
 * opens many must not keep others out, nor take the connection of a person at a prompt. The
 * connection that has to go is shut down here, and closed when epoll reports it: its event may be
 * in the batch that is being handled. */
static bool make_room(struct server *s, uid_t uid)
{
    uint32_t own = count_of(s, uid);
    bool user_full = own >= LIMIT_ADMIN_CONNS_USER;
    if (!user_full && count_all(s) < LIMIT_ADMIN_CONNS) {
        return true;
    }
    struct conn *goes = user_full ? newcomer_of(s, uid) : who_goes(s, own);
    if (goes != NULL) {
        goes->dismissed = true;
        (void)shutdown(goes->fd, SHUT_RDWR);
    }
    return goes != NULL;
}

/* --- clients come ---------------------------------------------------------------------------- */

/* Tells a client why it is not served, and closes. */
static void turn_away(int fd, const char *why)
{
    char answer[256];
    uint8_t frame[FRAME_HEADER_BYTES + sizeof answer];
    int len =
        snprintf(answer, sizeof answer, "{\"v\":1,\"ok\":false,\"error\":\"%s\",\"exit\":1}", why);
    assert(len > 0 && (size_t)len < sizeof answer);
    put_be32(frame, (uint32_t)len);
    memcpy(frame + FRAME_HEADER_BYTES, answer, (size_t)len);
    ssize_t sent = send(fd, frame, FRAME_HEADER_BYTES + (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* a fresh socket has room; if not, it is closed without an answer */
    close(fd);
}

/* Accepts one client. false: nobody waits. */
static bool welcome(struct server *s)
{
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct peer peer;
    if (fd < 0) {
        return false;
    }
    if (!peer_judge(fd, s->place, &peer)) {
        close(fd);
        return true;
    }
    if (!peer.may_look) {
        turn_away(fd, "you are in neither group that may use this socket");
        return true;
    }
    if (!make_room(s, peer.uid)) {
        turn_away(fd, "too many connections are open, and each has asked something: close one");
        return true;
    }
    struct conn *conn = mem_zalloc(sizeof *conn);
    conn->fd = fd;
    conn->server = s;
    conn->peer = peer;
    conn->number = ++s->newest;
    (void)snprintf(conn->who, sizeof conn->who, "uid:%u", (unsigned)peer.uid);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        close(fd);
        mem_free(conn);
        return true;
    }
    list_append(&s->conns, &conn->node);
    s->conn_count++;
    return true;
}

void server_event(struct server *s, struct control *control, const struct epoll_event *event)
{
    if (event->data.ptr == s) {
        /* A connection that was shut down keeps its place until epoll reports it or a lane gives it
         * back. Until then newcomers wait in the backlog. To refuse them would punish a person for
         * a crowd of others. */
        for (int n = 0; n < WELCOMES && s->conn_count < GONE_MAX && welcome(s); n++) {
        }
        return;
    }
    struct conn *conn = event->data.ptr;
    list_remove(&conn->node); /* the longest silent one stays first */
    list_append(&s->conns, &conn->node);
    bool good = (event->events & (EPOLLERR | EPOLLHUP)) == 0;
    if (good && (event->events & EPOLLOUT) != 0) {
        good = flush(conn);
    } else if (good && (event->events & EPOLLIN) != 0) {
        good = receive(conn);
    }
    if (good) {
        go_on(conn, control);
    } else {
        hang_up(s, conn, control);
    }
}

void server_turn(struct server *s, struct control *control)
{
    struct list *next;
    for (struct list *l = s->conns.next; l != &s->conns; l = next) {
        next = l->next;
        struct conn *conn = list_entry(l, struct conn, node);
        json_t *answer =
            conn->pending ? control_admin_ready(control, conn->token, shell_time()) : NULL;
        if (answer != NULL) {
            conn->pending = false;
            put_answer(conn, control, answer);
            go_on(conn, control);
        } else if (is_ready(conn)) {
            go_on(conn, control); /* it sent several requests at once */
        }
    }
}

bool server_is_waiting(const struct server *s)
{
    for (const struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        const struct conn *conn = list_entry(l, struct conn, node);
        if (conn->pending || is_ready(conn)) {
            return true;
        }
    }
    return false;
}

int server_create(int listen_fd, int epoll_fd, const struct place *place,
                  struct server **server_out)
{
    struct server *s = mem_zalloc(sizeof *s);
    s->fd = listen_fd;
    s->epoll_fd = epoll_fd;
    s->place = place;
    list_init(&s->conns);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event) < 0) {
        int r = -errno;
        server_destroy(s);
        return r;
    }
    *server_out = s;
    return 0;
}

void server_destroy(struct server *s)
{
    while (!list_is_empty(&s->conns)) {
        struct conn *conn = list_entry(s->conns.next, struct conn, node);
        conn->pending = false;
        conn->in_lane = false; /* its work comes back to nobody */
        hang_up(s, conn, NULL);
    }
    close(s->fd);
    free(s);
}
