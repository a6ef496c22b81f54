/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/client_body.c: the message on its way to a hop.
 *
 * Promise: every line that begins with a dot gets another (RFC 5321 section 4.5.2), and CRLF.CRLF
 *          stands at the end and only there. The bytes are the same however input and output are
 *          cut.
 * Trap:    stored bodies have only CRLF line ends. If one has a bare LF all the same, a dot behind
 *          it is stuffed, too: a hop that takes the LF for a line end must not find an end of data
 *          there. */
#include "dataplane/smtp/client_internal.h"

enum match {
    MATCH_START, /* behind CRLF, or at the very beginning */
    MATCH_LF,    /* behind a bare LF */
    MATCH_MID,
    MATCH_CR,
    MATCH_STUFFED, /* the extra dot is written; the line's own dot comes next */
};

/* Copies what is left of `text`; literal_sent remembers how much is copied. */
static size_t put_literal(struct smtp_client *client, const char *text, uint8_t *out,
                          size_t out_size)
{
    struct bytes left = bytes_first(bytes_from(bytes_str(text), client->literal_sent), out_size);
    memcpy(out, left.data, left.len);
    client->literal_sent = (uint8_t)(client->literal_sent + left.len);
    return left.len;
}

/* How much of the run can be copied unchanged: up to a dot behind a line end. */
static size_t copy_len(struct smtp_client *client, const uint8_t *data, size_t len)
{
    assert(len > 0);
    size_t end = 0;
    while (end < len) {
        const uint8_t *lf = memchr(data + end, '\n', len - end);
        end = lf == NULL ? len : (size_t)(lf - data) + 1;
        if (end < len && data[end] == '.') {
            break;
        }
    }
    bool cr_before = end >= 2 ? data[end - 2] == '\r' : client->body_match == MATCH_CR;
    uint8_t last = data[end - 1];
    client->body_match = last == '\r'   ? MATCH_CR
                         : last != '\n' ? MATCH_MID
                         : cr_before    ? MATCH_START
                                        : MATCH_LF;
    return end;
}

static size_t put_stuffed(struct smtp_client *client, struct bytes body, uint8_t *out,
                          size_t out_size, size_t *consumed_out)
{
    size_t used = 0;
    size_t written = 0;
    while (used < body.len && written < out_size) {
        bool line_start = client->body_match == MATCH_START || client->body_match == MATCH_LF;
        if (line_start && body.data[used] == '.') {
            out[written++] = '.';
            client->body_match = MATCH_STUFFED;
            continue;
        }
        size_t room = out_size - written;
        size_t len = body.len - used < room ? body.len - used : room;
        len = copy_len(client, body.data + used, len);
        memcpy(out + written, body.data + used, len);
        used += len;
        written += len;
    }
    *consumed_out = used;
    return written;
}

static size_t put_data(struct smtp_client *client, struct bytes body, uint8_t *out, size_t out_size,
                       size_t *consumed_out)
{
    size_t written = put_stuffed(client, body, out, out_size, consumed_out);
    if (client->body_left > *consumed_out) {
        return written;
    }
    const char *end = client->body_match == MATCH_START ? ".\r\n" : "\r\n.\r\n";
    written += put_literal(client, end, out + written, out_size - written);
    if (client->literal_sent == strlen(end)) {
        client->state = SMTP_CLIENT_STATE_DOT;
    }
    return written;
}

size_t smtp_client_body(struct smtp_client *client, struct bytes body, uint8_t *out,
                        size_t out_size, size_t *consumed_out)
{
    *consumed_out = 0;
    if (client->state != SMTP_CLIENT_STATE_BODY || out_size == 0) {
        return 0;
    }
    assert(body.len <= client->body_left);
    size_t written = put_data(client, body, out, out_size, consumed_out);
    assert(*consumed_out <= body.len && written <= out_size);
    client->body_left -= (uint32_t)*consumed_out;
    return written;
}

bool smtp_client_body_done(const struct smtp_client *client)
{
    return client->state != SMTP_CLIENT_STATE_BODY;
}
