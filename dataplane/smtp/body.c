/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/body.c: message content on its way into gather buffers.
 *
 * Promise: a message from DATA ends at CRLF.CRLF and at nothing else (RFC 5321 section 4.1.1.4),
 *          however it was cut into segments. A bare CR or LF anywhere in it is answered 550 after
 *          its true end, and nothing of it is committed. BDAT knows octet counts and no dots
 *          (RFC 3030).
 * Trap:    a refusal on the way does not end the reading. `reject` is set, the transaction is given
 *          back at once, and the same scanner goes on to the end.
 *
 * The scanner's state is one byte, so that a cut anywhere makes no difference:
 *
 *            other          CR              LF
 *   START ──────────▶ MID ──────▶ CR ──────────────▶ START        LF in START, MID, DOT: bare
 *     │ '.' (dropped)  ▲           │ other: bare CR               CR in CR, DOT_CR:      bare
 *     ▼                │           ▼
 *    DOT ──────────────┘          MID (or CR again)
 *     │ CR (dropped)
 *     ▼            LF
 *   DOT_CR ─────────────▶ end of data
 *
 * The common case does not go byte by byte. In START and MID, memchr finds the longest piece up to
 * the next dot at a line start. Its CRs are counted in bulk: if there are not as many as line ends,
 * one is bare. The piece is copied as a whole. */
#include "dataplane/smtp/server_internal.h"

#include "common/limits/chunk.h"

enum match {
    MATCH_START,
    MATCH_MID,
    MATCH_CR,
    MATCH_DOT,
    MATCH_DOT_CR,
};

enum { HEADER_SKIP = 0x40, HEADER_DONE, HEADER_RECEIVED, HEADER_RECEIVED_LINE };

static const char bare_reply[] = "550 5.6.0 bare CR or LF in the message";

void server_body_begin(struct smtp_server *server, enum smtp_server_state state)
{
    assert(server->txn != NULL && server->gather.data == NULL && server->reject == NULL);
    server->state = state;
    server->body_match = MATCH_START;
    server->header_match = 0;
    server->total_bytes = 0;
    server->trace_bytes = 0;
    server->received_count = 0;
    server->received_own = 0;
    server->flags |= SERVER_FIRST_BUFFER;
}

void server_body_reject(struct smtp_server *server, const char *reply)
{
    /* A bare line end outranks what else was wrong, so that the answer does not depend on how the
     * message was cut. Only a failure of our own outranks a bare line end. */
    bool outranks =
        reply == bare_reply && server->reject != NULL && strncmp(server->reject, "421", 3) != 0;
    if (server->reject == NULL || outranks) {
        server->reject = reply;
    }
    server_abort(server);
}

/* --- the first buffer ------------------------------------------------------------------------ */

static size_t envelope_bytes(const struct envelope *envelope)
{
    size_t len = 28 + 4 + envelope->helo.len + envelope->sender.len; /* layout in envelope.h */
    for (unsigned i = 0; i < envelope->rcpt_count; i++) {
        len += 7 + envelope->rcpt[i].address.len;
    }
    return len;
}

size_t smtp_server_buffer_wanted(const struct smtp_server *server)
{
    if ((server->flags & SERVER_FIRST_BUFFER) == 0 || server->txn == NULL) {
        return 1;
    }
    size_t names = server->helo_len + strlen(server->env->hostname);
    size_t wanted = envelope_bytes(&server->txn->envelope) + TRACE_FIXED_BYTES + names;
    assert(wanted <= LIMIT_CHUNK_LARGE_BYTES);
    return wanted;
}

void server_first_buffer(struct smtp_server *server)
{
    struct smtp_gather *gather = &server->gather;
    struct envelope *envelope = &server->txn->envelope;
    server->flags &= (uint16_t)~SERVER_FIRST_BUFFER;
    envelope->received_ms = server->wall_ms;
    gather->len = envelope_encode(envelope, gather->data, gather->cap);
    assert(gather->len == envelope_bytes(envelope));
    gather->envelope_bytes = (uint32_t)gather->len;
    size_t trace = trace_format(server, gather->data + gather->len, gather->cap - gather->len);
    gather->len += trace;
    server->trace_bytes = (uint32_t)trace;
    server->total_bytes = (uint32_t)trace;
}

/* --- storing --------------------------------------------------------------------------------- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Takes one octet of a Received field, to see whether the field is by this relay. mark_match is how
 * much of " by HOSTNAME" was seen. After all of it, the next octet tells whether the name ends
 * there. */
static void mark_scan(struct smtp_server *server, uint8_t c)
{
    static const char by[] = " by ";
    enum { BY_LEN = sizeof by - 1 };
    const char *host = server->env->hostname;
    size_t at = server->mark_match;
    uint8_t wanted = 0;
    if (at < BY_LEN) {
        wanted = (uint8_t)by[at];
    } else if (host[at - BY_LEN] != '\0') {
        wanted = ascii_lower((uint8_t)host[at - BY_LEN]);
    } else if (is_blank(c) || c == '\r' || c == ';') {
        server->received_own++;
    }
    bool fits = wanted != 0 && (wanted == ascii_lower(c) || (wanted == ' ' && is_blank(c)));
    server->mark_match = (uint16_t)(fits ? at + 1 : is_blank(c));
}

/* Takes the octets of a Received field up to the end of the line. Returns how many. */
static size_t received_line(struct smtp_server *server, struct bytes b)
{
    size_t end = bytes_index(b, '\n');
    for (size_t i = 0; i < end; i++) {
        mark_scan(server, b.data[i]);
    }
    server->header_match = end < b.len ? HEADER_RECEIVED_LINE : HEADER_RECEIVED;
    return end < b.len ? end + 1 : end;
}

/* Begins a line, or goes on in a field's name. header_match is how much of "Received" was seen. */
static void name_scan(struct smtp_server *server, uint8_t c)
{
    static const char name[] = "received";
    enum { NAME_LEN = sizeof name - 1 };
    uint8_t match = server->header_match;
    if (match == 0 && c == '\r') {
        server->header_match = HEADER_DONE;
    } else if (match < NAME_LEN) {
        server->header_match = ascii_lower(c) == (uint8_t)name[match] ? match + 1 : HEADER_SKIP;
    } else if (c == ':') {
        server->received_count++;
        server->header_match = HEADER_RECEIVED;
        server->mark_match = 0;
    } else if (!is_blank(c)) { /* space before the colon: RFC 5322 section 4.5 */
        server->header_match = HEADER_SKIP;
    }
}

/* Counts the Received fields in the header (RFC 5321 section 6.3), and those by this relay among
 * them, while the header passes. header_match says where the scanner is: in a field's name, in a
 * Received field, at the beginning of the line after one, in another field's line (SKIP), or past
 * the empty line (DONE). */
static void header_scan(struct smtp_server *server, struct bytes b)
{
    size_t at = 0;
    while (at < b.len && server->header_match != HEADER_DONE) {
        if (server->header_match == HEADER_SKIP) {
            at += bytes_index(bytes_from(b, at), '\n') + 1;
            server->header_match = at <= b.len ? 0 : HEADER_SKIP;
        } else if (server->header_match == HEADER_RECEIVED) {
            at += received_line(server, bytes_from(b, at));
        } else if (server->header_match == HEADER_RECEIVED_LINE) {
            server->header_match = is_blank(b.data[at]) ? HEADER_RECEIVED : 0; /* folded, or not */
        } else {
            name_scan(server, b.data[at++]);
        }
    }
}

static void body_put(struct smtp_server *server, const uint8_t *data, size_t len)
{
    struct smtp_gather *gather = &server->gather;
    assert(len <= gather->cap - gather->len);
    if (server->total_bytes - server->trace_bytes + len > server->env->message_bytes_max) {
        server_body_reject(server, "552 5.3.4 message too large");
        return;
    }
    memcpy(gather->data + gather->len, data, len);
    gather->len += len;
    server->total_bytes += (uint32_t)len;
    if (server->header_match != HEADER_DONE) {
        header_scan(server, bytes_of(data, len));
    }
}

/* True when there is a buffer with room; asks for one otherwise. Always true while the body is only
 * drained. */
static bool body_has_room(struct smtp_server *server)
{
    if (server->reject != NULL) {
        return true;
    }
    if (server->gather.data == NULL) {
        server->pending = SMTP_SERVER_BUFFER;
        return false;
    }
    if (server->gather.len == server->gather.cap) {
        server->pending = SMTP_SERVER_CHUNK;
        return false;
    }
    return true;
}

/* --- scanning -------------------------------------------------------------------------------- */

typedef uint8_t vec16 __attribute__((vector_size(16)));

static size_t count_cr(const uint8_t *data, size_t len)
{
    size_t count = 0;
    size_t at = 0;
    while (len - at >= sizeof(vec16)) {
        vec16 sum = {0};
        /* Each lane counts up to 255; one more would overflow. */
        for (unsigned i = 0; i < 255 && len - at >= sizeof(vec16); i++) {
            vec16 v;
            memcpy(&v, data + at, sizeof v);
            sum -= (vec16)(v == '\r'); /* true is all ones: minus one */
            at += sizeof v;
        }
        for (unsigned i = 0; i < sizeof sum; i++) {
            count += sum[i];
        }
    }
    for (; at < len; at++) {
        count += data[at] == '\r';
    }
    return count;
}

/* In START (where no dot comes first, or dots have no meaning) or MID: how much of `run` can be
 * taken unchanged. With `dots` it ends before a dot that begins a line. */
static size_t scan_run(struct smtp_server *server, struct bytes run, bool dots, bool *bare_out)
{
    assert(run.len > 0);
    assert(server->body_match == MATCH_START || server->body_match == MATCH_MID);
    const uint8_t *data = run.data;
    size_t line_count = 0;
    size_t end = 0;
    bool bare = false;
    bool at_start = false;
    while (end < run.len) {
        const uint8_t *lf = memchr(data + end, '\n', run.len - end);
        at_start = false;
        if (lf == NULL) {
            end = run.len;
            break;
        }
        end = (size_t)(lf - data) + 1;
        if (end < 2 || data[end - 2] != '\r') {
            bare = true;
            continue;
        }
        line_count++;
        at_start = true;
        if (dots && end < run.len && data[end] == '.') {
            break;
        }
    }
    bool at_cr = data[end - 1] == '\r';
    server->body_match = at_start ? MATCH_START : at_cr ? MATCH_CR : MATCH_MID;
    *bare_out = bare || count_cr(data, end) != line_count + at_cr;
    return end;
}

/* Takes a piece in START or MID. 0 when a buffer is needed first. */
static size_t take_run(struct smtp_server *server, struct bytes run, bool dots)
{
    if (!body_has_room(server)) {
        return 0;
    }
    if (server->reject == NULL) {
        run = bytes_first(run, server->gather.cap - server->gather.len);
    }
    bool bare;
    size_t len = scan_run(server, run, dots, &bare);
    if (bare) {
        server_body_reject(server, bare_reply);
    } else if (server->reject == NULL) {
        body_put(server, run.data, len);
    }
    return len;
}

/* Takes the byte after a CR inside a line. 0 when a buffer is needed first. */
static size_t take_after_cr(struct smtp_server *server, const uint8_t *byte)
{
    if (*byte != '\n') {
        server_body_reject(server, bare_reply);
        server->body_match = *byte == '\r' ? MATCH_CR : MATCH_MID;
        return 1;
    }
    if (!body_has_room(server)) {
        return 0;
    }
    server->body_match = MATCH_START;
    if (server->reject == NULL) {
        body_put(server, byte, 1);
    }
    return 1;
}

/* Takes the byte after a dot that began a line, or after that dot's CR. */
static size_t take_after_dot(struct smtp_server *server, uint8_t byte)
{
    bool cr_seen = server->body_match == MATCH_DOT_CR;
    if (!cr_seen && byte == '\r') {
        server->body_match = MATCH_DOT_CR;
        return 1;
    }
    if (!cr_seen && byte != '\n') {
        server->body_match = MATCH_MID; /* the dot was stuffing (section 4.5.2) */
        return 0;
    }
    server_body_reject(server, bare_reply); /* the dot's CR, or this LF, stands alone */
    server->body_match = byte == '\r' ? MATCH_CR : MATCH_MID;
    return 1;
}

/* --- ends ------------------------------------------------------------------------------------ */

static void body_commit(struct smtp_server *server)
{
    assert(server->txn != NULL && server->gather.len > server->gather.envelope_bytes);
    server->state = SMTP_SERVER_STATE_COMMIT;
    server->pending = SMTP_SERVER_COMMIT;
}

/* The drained body has ended: now it may be answered. */
static void body_refuse(struct smtp_server *server)
{
    const char *reply = server->reject;
    assert(reply != NULL && server->txn == NULL && server->gather.data == NULL);
    server->reject = NULL;
    server->state = server_state_idle(server);
    server->flags &= (uint16_t) ~(SERVER_FIRST_BUFFER | SERVER_BDAT_LAST);
    server_refuse(server, reply);
    server->flags |= SERVER_REFUSED;
    if (strncmp(reply, "421", 3) == 0) {
        server->state = SMTP_SERVER_STATE_CLOSED;
    }
}

/* Takes the LF of CRLF.CRLF. 0 when a buffer is needed first: an empty message has an envelope,
 * too. */
static size_t data_end(struct smtp_server *server)
{
    if (server->reject != NULL) {
        body_refuse(server);
    } else if (server->gather.data == NULL) {
        server->pending = SMTP_SERVER_BUFFER;
        return 0;
    } else {
        body_commit(server);
    }
    return 1;
}

size_t server_data_feed(struct smtp_server *server, struct bytes input)
{
    size_t used = 0;
    while (used < input.len && server->pending == SMTP_SERVER_MORE) {
        const uint8_t *byte = input.data + used;
        switch ((enum match)server->body_match) {
        case MATCH_START:
            if (*byte == '.') {
                server->body_match = MATCH_DOT;
                used++;
                break;
            }
            used += take_run(server, bytes_from(input, used), true);
            break;
        case MATCH_MID:
            used += take_run(server, bytes_from(input, used), true);
            break;
        case MATCH_CR:
            used += take_after_cr(server, byte);
            break;
        case MATCH_DOT_CR:
            if (*byte == '\n') {
                return used + data_end(server);
            }
            used += take_after_dot(server, *byte);
            break;
        case MATCH_DOT:
            used += take_after_dot(server, *byte);
            break;
        }
    }
    return used;
}

/* A chunk is complete. */
static void bdat_end(struct smtp_server *server)
{
    assert(server->chunk_left == 0);
    if (server->reject != NULL) {
        body_refuse(server);
        return;
    }
    if ((server->flags & SERVER_BDAT_LAST) == 0) {
        server->state = SMTP_SERVER_STATE_BDAT_NEXT;
        server_reply(server, "250 2.0.0 chunk received");
        return;
    }
    if (server->body_match == MATCH_CR) {
        server_body_reject(server, bare_reply);
        return;
    }
    /* The last line may lack its CRLF (RFC 3030 section 2). Whoever gets the message from us by
     * DATA needs one, so it is added here, where the checksum covers it. */
    if (server->body_match == MATCH_MID) {
        if (body_has_room(server)) {
            body_put(server, (const uint8_t *)"\r", 1);
            server->body_match = MATCH_DOT_CR; /* in BDAT: our own CR was added */
        }
        return;
    }
    if (server->body_match == MATCH_DOT_CR) {
        if (body_has_room(server)) {
            body_put(server, (const uint8_t *)"\n", 1);
            server->body_match = MATCH_START;
        }
        return;
    }
    if (server->gather.data == NULL) {
        server->pending = SMTP_SERVER_BUFFER; /* BDAT 0 LAST alone */
        return;
    }
    server->flags &= (uint16_t)~SERVER_BDAT_LAST;
    body_commit(server);
}

size_t server_bdat_feed(struct smtp_server *server, struct bytes input)
{
    struct bytes chunk = bytes_first(input, server->chunk_left);
    size_t used = 0;
    while (used < chunk.len && server->pending == SMTP_SERVER_MORE) {
        if (server->reject != NULL) {
            used = chunk.len;
        } else if (server->body_match == MATCH_CR) {
            used += take_after_cr(server, chunk.data + used);
        } else {
            used += take_run(server, bytes_from(chunk, used), false);
        }
    }
    server->chunk_left -= used;
    if (server->chunk_left == 0 && server->pending == SMTP_SERVER_MORE) {
        bdat_end(server);
    }
    return used;
}
