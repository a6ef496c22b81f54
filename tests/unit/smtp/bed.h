/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/smtp/bed.h: a worker's part around an SMTP session, for tests, scripts and fuzzing:
 * it gives what the session asks for and checks that it asks in order. */
#ifndef HOLDFAST_TESTS_UNIT_SMTP_BED_H
#define HOLDFAST_TESTS_UNIT_SMTP_BED_H

#include "dataplane/smtp/smtp.h"

struct bed_text {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void bed_text_add(struct bed_text *text, const void *data, size_t len);
void bed_text_clear(struct bed_text *text);
void bed_text_free(struct bed_text *text);

struct server_bed {
    struct smtp_server_env env;
    struct smtp_server server;
    struct smtp_transaction txn;
    bool txn_lent;
    bool closed;
    /* What the session meets. */
    size_t buffer_cap; /* raised to what is wanted */
    bool no_transaction;
    bool no_buffer;
    enum smtp_commit commit;
    unsigned fail_at_chunk; /* smtp_server_fail_body(commit) at that CHUNK, from 1; 0 never */
    uint64_t wall_ms;
    /* What the session did. */
    struct bed_text out;
    unsigned message_count; /* committed with OK */
    unsigned commit_count;  /* how often the session asked for a commit */
    unsigned abort_count;
    unsigned chunk_count;
    struct bed_text first; /* of the last message asked for: the encoded envelope */
    struct bed_text body;  /* and its body, Received field included */
    struct envelope envelope;
    bool loops;
    uint64_t all_crc; /* over everything committed, for comparing runs */
};

/* The domains campus.example and mx.campus.example are ours. A local-part that begins with
 * "unknown" or "untrusted" gets that verdict; "rN" and "rN.x" are on route N, others on route 7. */
void server_bed_init(struct server_bed *bed);
void server_bed_fini(struct server_bed *bed);
/* Feeds all of it, `piece` bytes at most at a time. Returns how much was consumed: less only when
 * the session closed. */
size_t server_bed_feed(struct server_bed *bed, struct bytes input, size_t piece);
void server_bed_say(struct server_bed *bed, const char *text);
/* The body after our Received field. */
struct bytes server_bed_content(const struct server_bed *bed);
/* Returns the output so far as a string, and forgets it. Valid until the next call. */
const char *server_bed_take(struct server_bed *bed);

struct client_bed {
    struct smtp_client client;
    struct smtp_delivery delivery;
    struct bytes body;
    size_t body_at;
    size_t drain;     /* bytes of output taken at a time */
    size_t body_room; /* bytes of room at a time for the body; 0: wait */
    struct bed_text out;
    enum smtp_client_action action; /* the last, DONE kept */
    unsigned done_count;
};

void client_bed_init(struct client_bed *bed, bool lmtp);
void client_bed_fini(struct client_bed *bed);
/* Feeds no input, so that the client goes on with what is pending. */
void client_bed_pump(struct client_bed *bed);
size_t client_bed_feed(struct client_bed *bed, struct bytes input, size_t piece);
void client_bed_say(struct client_bed *bed, const char *text);
void client_bed_begin(struct client_bed *bed);
const char *client_bed_take(struct client_bed *bed);

#endif
