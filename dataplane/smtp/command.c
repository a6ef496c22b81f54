/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/command.c: command lines, and the verb that each of them names.
 *
 * Promise: a command ends at CRLF and nowhere else (RFC 5321 section 2.3.8). A line with a bare LF
 *          or CR is never executed, nor is anything behind the bare LF up to the next CRLF. The
 *          replies depend on the bytes alone, not on how they were cut into segments.
 * Trap:    server_refuse may close the session. So the state that follows a refusal is set before.
 *
 *   bytes ──▶ line[] ──CRLF──▶ verbs.def ──▶ state allowed? ──▶ check_* ──NULL──▶ apply_*
 *                │                 │ 500            │ 503           │ the reply
 *                └─ LF alone: 500, skip to CRLF     └───────────────┴──▶ server_refuse */
#include "dataplane/smtp/server_internal.h"

struct verb {
    const char *name;
    size_t len;
    uint32_t states;
    const char *(*check)(const struct smtp_server *server, struct bytes arg,
                         struct server_command *command_out);
    void (*apply)(struct smtp_server *server, const struct server_command *command);
};

/* How much is kept of a line that is too long: enough for its verb. */
enum { LINE_HEAD_BYTES = 8 };

#define IN(state) (UINT32_C(1) << SMTP_SERVER_STATE_##state)
#define IN_ANY    UINT32_MAX

static const struct verb verbs[] = {
#define VERB(name, states, handler)                                                                \
    {#name, sizeof #name - 1, states, check_##handler, apply_##handler},
#include "dataplane/smtp/verbs.def"
#undef VERB
};

static const struct verb *verb_find(struct bytes name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (bytes_equal_nocase(name, bytes_of(verbs[i].name, verbs[i].len))) {
            return &verbs[i];
        }
    }
    return NULL;
}

/* A bare CR counts, too: the line's own CRLF is no longer in `line`. */
static bool has_control(struct bytes line)
{
    for (size_t i = 0; i < line.len; i++) {
        if ((line.data[i] < 0x20 && line.data[i] != '\t') || line.data[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

/* True for BDAT in a line that is refused: then octets follow, and nobody knows how many. */
static bool is_bdat(struct bytes line)
{
    bool ends = line.len <= 4 || strchr(" \t\r", line.data[4]) != NULL;
    return ends && bytes_equal_nocase(bytes_first(line, 4), bytes_str("BDAT"));
}

/* Refuses the whole line. */
static void refuse_line(struct smtp_server *server, struct bytes line, const char *text,
                        unsigned weight)
{
    bool bdat = is_bdat(line);
    server->line_len = 0;
    if (bdat) {
        server_close(server);
    }
    server_reply(server, text);
    server_mistake(server, weight);
}

static void dispatch(struct smtp_server *server, struct bytes line)
{
    struct bytes name;
    struct bytes arg = smtp_line_split(line, &name);
    const struct verb *verb = verb_find(name);
    if (has_control(line)) {
        bool bare = bytes_index(line, '\r') < line.len;
        refuse_line(server, line,
                    bare ? "500 5.5.2 bare CR in a command line"
                         : "500 5.5.2 control character in a command line",
                    1);
        return;
    }
    if (verb == NULL && is_bdat(line)) { /* a tab behind it */
        refuse_line(server, line, "501 5.5.4 BDAT size not understood, closing", 1);
        return;
    }
    if (verb == NULL) {
        server_refuse(server, "500 5.5.1 command not recognized");
        return;
    }
    if ((verb->states & UINT32_C(1) << server->state) == 0) {
        bool greeted = server->state == SMTP_SERVER_STATE_GREETED;
        server_refuse(server,
                      greeted ? "503 5.5.1 EHLO first" : "503 5.5.1 bad sequence of commands");
        return;
    }
    struct server_command command = {.arg = arg};
    const char *refusal = verb->check(server, arg, &command);
    if (refusal != NULL) {
        server_refuse(server, refusal);
        server->flags |= SERVER_REFUSED;
        return;
    }
    verb->apply(server, &command);
}

/* Keeps the bytes of a line. Of a line that is too long, it keeps the beginning, for the verb, and
 * the last byte. Of a line that is only skipped, it keeps the last byte, to see whether it is the
 * CR. */
static void line_append(struct smtp_server *server, struct bytes b)
{
    if (b.len == 0) {
        return;
    }
    const uint16_t skip = SERVER_LINE_LONG | SERVER_LINE_REFUSED;
    size_t room = sizeof server->line - 1 - server->line_len; /* 1: for the LF, unstored */
    if ((server->flags & skip) == 0 && b.len <= room) {
        memcpy(server->line + server->line_len, b.data, b.len);
        server->line_len = (uint16_t)(server->line_len + b.len);
        return;
    }
    if ((server->flags & SERVER_LINE_REFUSED) != 0) {
        server->line_len = 1;
    } else if ((server->flags & SERVER_LINE_LONG) == 0) {
        if (server->line_len < LINE_HEAD_BYTES) {
            memcpy(server->line + server->line_len, b.data, LINE_HEAD_BYTES - server->line_len);
        }
        server->flags |= SERVER_LINE_LONG;
        server->line_len = LINE_HEAD_BYTES + 1;
    }
    server->line[server->line_len - 1] = b.data[b.len - 1];
}

/* Handles the LF that ends a line. */
static void line_end(struct smtp_server *server)
{
    uint16_t flags = server->flags;
    uint16_t len = server->line_len;
    bool crlf = len > 0 && server->line[len - 1] == '\r';
    struct bytes line = bytes_of(server->line, len);
    server->flags &= (uint16_t) ~(SERVER_LINE_LONG | SERVER_LINE_REFUSED);
    if (!crlf) {
        bool refused = (flags & SERVER_LINE_REFUSED) != 0; /* then this line is not a command */
        server->flags |= SERVER_LINE_REFUSED;
        refuse_line(server, refused ? bytes_of("", 0) : line, "500 5.5.2 bare LF in a command line",
                    LIMIT_SMTP_BARE_LF_WEIGHT);
    } else if ((flags & SERVER_LINE_REFUSED) != 0) {
        server->line_len = 0;
    } else if ((flags & SERVER_LINE_LONG) != 0) {
        refuse_line(server, line, "500 5.5.2 line too long", 1);
    } else {
        dispatch(server, bytes_of(server->line, len - 1u));
        if (server->pending != SMTP_SERVER_TRANSACTION) { /* MAIL reads its line again */
            server->line_len = 0;
        }
    }
}

size_t server_command_feed(struct smtp_server *server, struct bytes input)
{
    assert(input.len > 0 && server->line_len < sizeof server->line);
    size_t end = bytes_index(input, '\n');
    line_append(server, bytes_first(input, end));
    if (end == input.len) {
        return end;
    }
    line_end(server);
    return end + 1;
}
