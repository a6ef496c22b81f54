/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/scripts/runner.c: runs SMTP conversations written down as specification (*.smtp).
 *
 * Promise: every script is run at several ways of cutting its bytes and sizes of buffers; each must
 *          hold word for word. Output that the script does not mention is a failure.
 *
 *   # comment
 *   @server [max=N] [rcpts=N]     our server is under test; C speaks, S is expected
 *   @client [lmtp]                our client is under test; S speaks, C is expected
 *   C: text   S: text             the speaker: text and CRLF. The expected: a line that begins so
 *   C. text   S. text             the speaker: text without CRLF
 *                                 in text: \r \n \t \\ \xHH, and \{N*x} for N times x
 *   @silence                      no output is left
 * server:
 *   @commit ok|full|failed        what the spool answers from here on
 *   @no transaction|buffer        there are none from here on
 *   @messages N   @aborts N       committed; given up
 *   @sender A   @rcpts A,B   @routes N   @flags N   @helo NAME      of the last envelope
 *   @content text   @bytes N      of the last message, behind our Received field
 *   @closed   @open   @timeout REASON
 * client:
 *   @begin SENDER RCPT[,RCPT...] [8bit] BODY-TEXT
 *   @done N                       deliveries that ended
 *   @ready   @broken OUTCOME PHASE   @phase PHASE
 *   @result N OUTCOME PHASE CODE [TEXT]
 *   @lost [OUTCOME]   @quit   @hold-body */
#include "tests/unit/smtp/bed.h"

#include "common/limits/chunk.h"

#include <stdio.h>
#include <stdlib.h>

struct script {
    const char *path;
    unsigned line;
    char role; /* 'S' or 'C': who is under test; 0: not said yet */
    size_t piece;
    size_t drain;
    size_t cap;
    size_t out_at;
    struct server_bed server;
    struct client_bed client;
    uint8_t body[65536];
    char names[65536];
};

static _Noreturn void fail(const struct script *s, const char *what, const char *detail)
{
    fprintf(stderr, "%s:%u: %s: %s (piece %zu, drain %zu, cap %zu)\n", s->path, s->line, what,
            detail, s->piece, s->drain, s->cap);
    exit(1);
}

static unsigned hex(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : ascii_lower((uint8_t)c) - 'a' + 10);
}

/* Text with its escapes resolved. Returns its length. */
static size_t unescape(const struct script *s, const char *text, uint8_t *out, size_t size)
{
    size_t len = 0;
    for (const char *p = text; *p != '\0'; p++) {
        size_t count = 1;
        uint8_t c = (uint8_t)*p;
        if (*p == '\\') {
            p++;
            if (*p == 'x') {
                c = (uint8_t)(hex(p[1]) << 4 | hex(p[2]));
                p += 2;
            } else if (*p == '{') {
                char *end;
                count = strtoul(p + 1, &end, 10);
                c = (uint8_t)end[1];
                p = end + 2;
            } else {
                c = *p == 'r' ? '\r' : *p == 'n' ? '\n' : *p == 't' ? '\t' : (uint8_t)*p;
            }
        }
        if (len + count > size) {
            fail(s, "text too long", text);
        }
        memset(out + len, c, count);
        len += count;
    }
    return len;
}

static struct bed_text *output(struct script *s)
{
    return s->role == 'S' ? &s->server.out : &s->client.out;
}

static void speak(struct script *s, const char *text, bool end)
{
    static uint8_t bytes[1 << 21];
    size_t len = unescape(s, text, bytes, sizeof bytes - 2);
    if (end) {
        memcpy(bytes + len, "\r\n", 2);
        len += 2;
    }
    if (s->role == 'S') {
        (void)server_bed_feed(&s->server, bytes_of(bytes, len), s->piece);
    } else {
        (void)client_bed_feed(&s->client, bytes_of(bytes, len), s->piece);
    }
}

static void expect_line(struct script *s, const char *text)
{
    static uint8_t want[4096];
    size_t len = unescape(s, text, want, sizeof want);
    struct bytes rest = bytes_from(bytes_of(output(s)->data, output(s)->len), s->out_at);
    size_t end = bytes_index(rest, '\n');
    static char shown[4096];
    (void)bytes_copy_clean(bytes_first(rest, end), shown, sizeof shown);
    if (end == rest.len) {
        fail(s, "no such line was said", text);
    }
    if (!bytes_equal(bytes_first(rest, len), bytes_of(want, len))) {
        fail(s, "something else was said", shown);
    }
    if (end == 0 || rest.data[end - 1] != '\r') {
        fail(s, "a line without CR", shown);
    }
    s->out_at += end + 1;
}

static void expect_silence(struct script *s)
{
    static char shown[4096];
    struct bytes rest = bytes_from(bytes_of(output(s)->data, output(s)->len), s->out_at);
    (void)bytes_copy_clean(rest, shown, sizeof shown);
    if (rest.len > 0) {
        fail(s, "more was said", shown);
    }
}

static void expect_number(const struct script *s, const char *what, size_t got, const char *want)
{
    char shown[64];
    (void)snprintf(shown, sizeof shown, "%zu", got);
    if (strcmp(shown, want) != 0) {
        fail(s, what, shown);
    }
}

static void expect_bytes(const struct script *s, const char *what, struct bytes got,
                         const char *text)
{
    static uint8_t want[1 << 20];
    static char shown[4096];
    size_t len = unescape(s, text, want, sizeof want);
    (void)bytes_copy_clean(got, shown, sizeof shown);
    if (!bytes_equal(got, bytes_of(want, len))) {
        fail(s, what, shown);
    }
}

static const char *phase_name(unsigned phase)
{
    static const char *const names[] = {"none", "connect", "banner", "ehlo", "mail",
                                        "rcpt", "data",    "body",   "dot"};
    return phase < sizeof names / sizeof names[0] ? names[phase] : "?";
}

static void expect_word(const struct script *s, const char *what, const char *got, const char *want)
{
    if (strcmp(got, want) != 0) {
        fail(s, what, got);
    }
}

static void expect_rcpts(const struct script *s, const char *list)
{
    char text[8192] = "";
    size_t len = 0;
    const struct envelope *envelope = &s->server.envelope;
    for (unsigned i = 0; i < envelope->rcpt_count && len + 300 < sizeof text; i++) {
        struct bytes a = envelope->rcpt[i].address;
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s", i > 0 ? "," : "",
                                (int)a.len, (const char *)a.data);
    }
    expect_word(s, "recipients are", text, list);
}

static bool server_state(struct script *s, const char *word, const char *rest)
{
    struct server_bed *bed = &s->server;
    if (strcmp(word, "commit") == 0) {
        bed->commit = rest[0] == 'o'              ? SMTP_COMMIT_OK
                      : strcmp(rest, "full") == 0 ? SMTP_COMMIT_FULL
                                                  : SMTP_COMMIT_FAILED;
    } else if (strcmp(word, "no") == 0) {
        bed->no_transaction = strcmp(rest, "transaction") == 0;
        bed->no_buffer = strcmp(rest, "buffer") == 0;
    } else if (strcmp(word, "timeout") == 0) {
        smtp_server_timeout(&bed->server, rest);
        server_bed_say(bed, "");
    } else if (strcmp(word, "closed") == 0 || strcmp(word, "open") == 0) {
        expect_word(s, "the session is", bed->closed ? "closed" : "open", word);
    } else if (strcmp(word, "messages") == 0) {
        expect_number(s, "messages", bed->message_count, rest);
    } else if (strcmp(word, "aborts") == 0) {
        expect_number(s, "aborts", bed->abort_count, rest);
    } else {
        return false;
    }
    return true;
}

static bool server_message(struct script *s, const char *word, const char *rest)
{
    struct server_bed *bed = &s->server;
    if (strcmp(word, "sender") == 0) {
        expect_bytes(s, "sender is", bed->envelope.sender, rest);
    } else if (strcmp(word, "helo") == 0) {
        expect_bytes(s, "helo is", bed->envelope.helo, rest);
    } else if (strcmp(word, "rcpts") == 0) {
        expect_rcpts(s, rest);
    } else if (strcmp(word, "routes") == 0) {
        expect_number(s, "routes", envelope_route_count(&bed->envelope), rest);
    } else if (strcmp(word, "flags") == 0) {
        expect_number(s, "flags", bed->envelope.flags, rest);
    } else if (strcmp(word, "content") == 0) {
        expect_bytes(s, "content is", server_bed_content(bed), rest);
    } else if (strcmp(word, "bytes") == 0) {
        expect_number(s, "bytes", server_bed_content(bed).len, rest);
    } else {
        return false;
    }
    return true;
}

static char *next_word(char **rest)
{
    char *word = *rest;
    char *space = strchr(word, ' ');
    if (space == NULL) {
        *rest = word + strlen(word);
    } else {
        *space = '\0';
        *rest = space + 1;
    }
    return word;
}

static void client_begin(struct script *s, char *rest)
{
    struct smtp_delivery *delivery = &s->client.delivery;
    (void)snprintf(s->names, sizeof s->names, "%s", rest);
    rest = s->names;
    const char *sender = next_word(&rest);
    delivery->sender = bytes_str(strcmp(sender, "<>") == 0 ? "" : sender);
    const char *list = next_word(&rest);
    delivery->rcpt_count = 0;
    struct bytes left = bytes_str(list);
    while (left.len > 0 && delivery->rcpt_count < LIMIT_RCPTS) {
        size_t len = bytes_index(left, ',');
        delivery->rcpt[delivery->rcpt_count++] = bytes_first(left, len);
        left = bytes_from(left, len + 1);
    }
    delivery->eight_bit = strncmp(rest, "8bit ", 5) == 0;
    rest += delivery->eight_bit ? 5 : 0;
    s->client.body = bytes_of(s->body, unescape(s, rest, s->body, sizeof s->body));
    client_bed_begin(&s->client);
}

static void client_result(struct script *s, char *rest)
{
    unsigned index = (unsigned)strtoul(next_word(&rest), NULL, 10);
    const struct smtp_rcpt_result *result = &s->client.client.result[index];
    expect_word(s, "outcome is", outcome_text(result->outcome), next_word(&rest));
    expect_word(s, "phase is", phase_name(result->phase), next_word(&rest));
    expect_number(s, "code is", result->code, next_word(&rest));
    if (*rest != '\0') {
        expect_word(s, "text is", smtp_client_rcpt_text(&s->client.client, index), rest);
    }
}

static bool client_directive(struct script *s, const char *word, char *rest)
{
    struct client_bed *bed = &s->client;
    if (strcmp(word, "begin") == 0) {
        client_begin(s, rest);
    } else if (strcmp(word, "result") == 0) {
        client_result(s, rest);
    } else if (strcmp(word, "done") == 0) {
        expect_number(s, "deliveries ended", bed->done_count, rest);
    } else if (strcmp(word, "ready") == 0) {
        expect_word(s, "state is", smtp_client_state_name(bed->client.state), "READY");
    } else if (strcmp(word, "phase") == 0) {
        expect_word(s, "phase is", phase_name(smtp_client_phase(&bed->client)), rest);
    } else if (strcmp(word, "broken") == 0) {
        expect_word(s, "state is", smtp_client_state_name(bed->client.state), "BROKEN");
        expect_word(s, "broken by", outcome_text(bed->client.broken.outcome), next_word(&rest));
        expect_word(s, "broken at", phase_name(bed->client.broken.phase), rest);
    } else if (strcmp(word, "lost") == 0) {
        enum outcome outcome = OUTCOME_NONE;
        if (*rest != '\0' && !outcome_parse(rest, &outcome)) {
            fail(s, "no such outcome", rest);
        }
        smtp_client_lost(&bed->client, outcome);
        client_bed_pump(bed);
    } else if (strcmp(word, "quit") == 0) {
        smtp_client_quit(&bed->client);
        client_bed_pump(bed);
    } else if (strcmp(word, "hold-body") == 0) {
        bed->body_room = 0;
    } else {
        return false;
    }
    return true;
}

static void set_role(struct script *s, const char *word, char *rest)
{
    s->role = word[0] == 's' ? 'S' : 'C';
    if (s->role == 'C') {
        client_bed_init(&s->client, strcmp(rest, "lmtp") == 0);
        s->client.drain = s->drain;
        s->client.body_room = s->cap;
        return;
    }
    server_bed_init(&s->server);
    s->server.buffer_cap = s->cap;
    while (*rest != '\0') {
        const char *setting = next_word(&rest);
        if (strncmp(setting, "max=", 4) == 0) {
            s->server.env.message_bytes_max = (uint32_t)strtoul(setting + 4, NULL, 10);
        } else if (strncmp(setting, "rcpts=", 6) == 0) {
            s->server.env.rcpts_max = (uint32_t)strtoul(setting + 6, NULL, 10);
        } else {
            fail(s, "no such setting", setting);
        }
    }
    server_bed_say(&s->server, "");
}

static void directive(struct script *s, char *rest)
{
    const char *word = next_word(&rest);
    if (s->role == 0) {
        set_role(s, word, rest);
    } else if (strcmp(word, "silence") == 0) {
        expect_silence(s);
    } else if (s->role == 'S' ? !server_state(s, word, rest) && !server_message(s, word, rest)
                              : !client_directive(s, word, rest)) {
        fail(s, "no such directive", word);
    }
}

static void run_line(struct script *s, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    if (line[0] == '#' || line[0] == '\0') {
        return;
    }
    if (line[0] == '@') {
        directive(s, line + 1);
        return;
    }
    bool known = (line[0] == 'C' || line[0] == 'S') && (line[1] == ':' || line[1] == '.');
    if (!known || s->role == 0) {
        fail(s, "not understood", line);
    }
    const char *text = line[2] == ' ' ? line + 3 : line + 2;
    if (line[0] == s->role) {
        expect_line(s, text);
    } else {
        speak(s, text, line[1] == ':');
    }
}

static void run(const char *path, size_t piece, size_t drain, size_t cap)
{
    static struct script script;
    memset(&script, 0, sizeof script);
    script.path = path;
    script.piece = piece;
    script.drain = drain;
    script.cap = cap;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail(&script, "cannot be opened", path);
    }
    static char line[65536];
    while (fgets(line, sizeof line, file) != NULL) {
        script.line++;
        run_line(&script, line);
    }
    (void)fclose(file);
    if (script.role == 0) {
        fail(&script, "says nothing", path);
    }
    expect_silence(&script);
    if (script.role == 'S') {
        server_bed_fini(&script.server);
    } else {
        client_bed_fini(&script.client);
    }
}

int main(int argc, char **argv)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 2, 7};
    for (int i = 1; i < argc; i++) {
        for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
            run(argv[i], pieces[p], SIZE_MAX, LIMIT_CHUNK_SMALL_BYTES);
            run(argv[i], pieces[p], 5, 1);
        }
    }
    return argc > 1 ? 0 : 2;
}
