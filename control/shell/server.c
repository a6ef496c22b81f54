/* SPDX-License-Identifier: BSD-3-Clause */
/* control/shell/server.c: the admin socket: frames of JSON in, frames of JSON out. docs/ADMIN.md.
 *
 * Promise: a client that is slow, silent or talks nonsense costs one connection and no more.
 * Trap:    one request at a time per connection: the next is read when the answer is out.
 */
#include "common/config.h"
#include "common/limits/admin.h"
#include "control/core/mem.h"
#include "control/shell/shell.h"

#include "common/bytes.h"
#include "common/list.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 4,
    WHO_SIZE = 64,
};

struct conn {
    struct list node;
    int fd; /* -1: the client is gone, an answer is still pending */
    char who[WHO_SIZE];
    uint8_t *in;
    size_t in_len;
    size_t in_capacity;
    uint8_t *out;
    size_t out_len;
    size_t out_done;
    bool pending;
    bool ending;    /* hang up when the answer is out */
    bool dismissed; /* shut down for another one's sake */
    uint64_t token;
};

struct server {
    int fd;
    int epoll_fd;
    struct list conns;
    uint32_t conn_count;
};

static void watch(struct server *s, struct conn *conn)
{
    struct epoll_event event = {.data.ptr = conn};
    if (conn->out != NULL) {
        event.events = EPOLLOUT;
    } else if (!conn->pending) {
        event.events = EPOLLIN;
    }
    int r = epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
    assert(r == 0);
}

static void hang_up(struct server *s, struct conn *conn)
{
    if (conn->fd >= 0) {
        close(conn->fd); /* leaves the epoll set with it */
        conn->fd = -1;
    }
    if (conn->pending) {
        return; /* server_turn takes its answer first */
    }
    list_remove(&conn->node);
    s->conn_count--;
    free(conn->in);
    free(conn->out);
    free(conn);
}

static void put_answer(struct conn *conn, json_t *answer)
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
    conn->out = mem_zalloc(HEADER_BYTES + len);
    put_be32(conn->out, (uint32_t)len);
    memcpy(conn->out + HEADER_BYTES, text, len);
    conn->out_len = HEADER_BYTES + len;
    conn->out_done = 0;
    free(text);
}

/* Sends what there is. false: the connection is over. */
static bool flush(struct conn *conn)
{
    while (conn->out != NULL) {
        ssize_t sent = send(conn->fd, conn->out + conn->out_done, conn->out_len - conn->out_done,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        conn->out_done += (size_t)sent;
        if (conn->out_done == conn->out_len) {
            free(conn->out);
            conn->out = NULL;
        }
    }
    return !conn->ending;
}

/* Not our protocol: said so, and no more is read. */
static void refuse(struct conn *conn, const char *why)
{
    conn->ending = true;
    put_answer(conn, json_pack("{sisbsssi}", "v", 1, "ok", 0, "error", why, "exit", 64));
}

static void answer_frame(struct conn *conn, struct control *control, struct bytes frame)
{
    json_t *request = json_loadb((const char *)frame.data, frame.len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(request)) {
        json_decref(request);
        refuse(conn, "not a JSON object");
        return;
    }
    json_t *answer = control_admin(control, request, conn->who, shell_time());
    json_decref(request);
    const json_t *token = json_object_get(answer, "pending");
    if (json_is_integer(token)) {
        conn->pending = true;
        conn->token = (uint64_t)json_integer_value(token);
        json_decref(answer);
        return;
    }
    put_answer(conn, answer);
}

/* Answers the frames that are whole, one after the other. false: the connection is over. */
static bool run(struct conn *conn, struct control *control)
{
    while (conn->out == NULL && !conn->pending && conn->in_len >= HEADER_BYTES) {
        size_t len = get_be32(conn->in);
        if (len > LIMIT_ADMIN_REQUEST_BYTES) {
            refuse(conn, "the frame is too long");
            return flush(conn);
        }
        if (conn->in_len < HEADER_BYTES + len) {
            break;
        }
        answer_frame(conn, control, bytes_of(conn->in + HEADER_BYTES, len));
        conn->in_len -= HEADER_BYTES + len;
        memmove(conn->in, conn->in + HEADER_BYTES + len, conn->in_len);
        if (!flush(conn)) {
            return false;
        }
    }
    return true;
}

static bool receive(struct conn *conn)
{
    enum { PIECE = 64 * 1024 };
    conn->in = mem_grow(conn->in, &conn->in_capacity, conn->in_len + PIECE, 1);
    ssize_t got = recv(conn->fd, conn->in + conn->in_len, PIECE, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    conn->in_len += (size_t)got;
    return got > 0;
}

static void name_peer(int fd, char who[WHO_SIZE])
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
        snprintf(who, WHO_SIZE, "unknown");
        return;
    }
    const struct passwd *user = getpwuid(cred.uid);
    if (user != NULL) {
        snprintf(who, WHO_SIZE, "%s", user->pw_name);
    } else {
        snprintf(who, WHO_SIZE, "uid:%u", (unsigned)cred.uid);
    }
}

/* Who says nothing must not keep others out. The one that was silent the longest is shut down, and
 * hung up when epoll says so: its event may be in the batch under way. */
static void dismiss_idle(struct server *s)
{
    for (struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        struct conn *conn = list_entry(l, struct conn, node);
        if (!conn->pending && !conn->dismissed) {
            conn->dismissed = true;
            (void)shutdown(conn->fd, SHUT_RDWR);
            return;
        }
    }
}

static void welcome(struct server *s)
{
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (s->conn_count >= LIMIT_ADMIN_CONNS) {
        dismiss_idle(s);
    }
    if (s->conn_count >= 2 * LIMIT_ADMIN_CONNS) {
        close(fd);
        return;
    }
    struct conn *conn = mem_zalloc(sizeof *conn);
    conn->fd = fd;
    name_peer(fd, conn->who);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        close(fd);
        free(conn);
        return;
    }
    list_append(&s->conns, &conn->node);
    s->conn_count++;
}

void server_event(struct server *s, struct control *control, const struct epoll_event *event)
{
    if (event->data.ptr == s) {
        welcome(s);
        return;
    }
    struct conn *conn = event->data.ptr;
    list_remove(&conn->node); /* the longest silent one is the first */
    list_append(&s->conns, &conn->node);
    bool good = (event->events & (EPOLLERR | EPOLLHUP)) == 0;
    if (good && (event->events & EPOLLOUT) != 0) {
        good = flush(conn);
    } else if (good && (event->events & EPOLLIN) != 0) {
        good = receive(conn);
    }
    if (good && run(conn, control)) {
        watch(s, conn);
    } else {
        hang_up(s, conn);
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
        if (answer == NULL) {
            continue;
        }
        conn->pending = false;
        if (conn->fd < 0) {
            json_decref(answer);
            hang_up(s, conn);
            continue;
        }
        put_answer(conn, answer);
        if (flush(conn) && run(conn, control)) {
            watch(s, conn);
        } else {
            hang_up(s, conn);
        }
    }
}

bool server_is_waiting(const struct server *s)
{
    for (const struct list *l = s->conns.next; l != &s->conns; l = l->next) {
        if (list_entry(l, struct conn, node)->pending) {
            return true;
        }
    }
    return false;
}

int server_create(int listen_fd, int epoll_fd, struct server **server_out)
{
    struct server *s = mem_zalloc(sizeof *s);
    s->fd = listen_fd;
    s->epoll_fd = epoll_fd;
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
        hang_up(s, conn);
    }
    close(s->fd);
    free(s);
}
