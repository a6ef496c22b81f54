/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/reply.h: what a next hop's reply means for the mail. */
#ifndef HOLDFAST_DATAPLANE_SMTP_REPLY_H
#define HOLDFAST_DATAPLANE_SMTP_REPLY_H

#include "common/abi.h"
#include "common/bytes.h"
#include "common/outcome.h"

/* An enhanced status code (RFC 3463); part_class 0 when there is none. */
struct reply_status {
    uint16_t part_class;
    uint16_t subject;
    uint16_t detail;
};

/* Parses a status code at the front of the text behind a reply code (RFC 2034 section 4). */
struct reply_status reply_status_parse(struct bytes text);

/* The class of a reply that refuses, with `code` 400 to 599, in `phase` MAIL, RCPT, DATA or DOT.
 * `text` is what follows the code. */
enum outcome reply_classify(enum abi_phase phase, uint16_t code, struct bytes text);

#endif
