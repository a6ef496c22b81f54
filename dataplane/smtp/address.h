/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/address.h: mail addresses and parameters as RFC 5321 section 4.1.2 spells them. */
#ifndef HOLDFAST_DATAPLANE_SMTP_ADDRESS_H
#define HOLDFAST_DATAPLANE_SMTP_ADDRESS_H

#include "common/assert.h"
#include "common/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum smtp_path_kind {
    SMTP_PATH_MAILBOX,    /* local-part@domain */
    SMTP_PATH_NULL,       /* <> */
    SMTP_PATH_POSTMASTER, /* <postmaster> without a domain (section 4.1.1.3) */
};

/* A borrowed view of what was parsed: the address without brackets and source route. */
struct smtp_path {
    enum smtp_path_kind kind;
    struct bytes address;
};

enum smtp_path_verdict {
    SMTP_PATH_OK,
    SMTP_PATH_SYNTAX,
    SMTP_PATH_TOO_LONG,  /* over LIMIT_ADDRESS_BYTES */
    SMTP_PATH_NOT_ASCII, /* needs SMTPUTF8 (RFC 6531), which is not offered */
};

/* Reads one path in brackets from the front of `in`; what follows it is *rest_out. */
must_check enum smtp_path_verdict smtp_path_parse(struct bytes in, struct smtp_path *path_out,
                                                  struct bytes *rest_out);
/* True when the address is a complete Mailbox, in length and spelling. The one check of what we
 * store and what we send to a hop. */
must_check bool smtp_mailbox_valid(struct bytes address);
/* True for a complete domain or address-literal. */
must_check bool smtp_domain_valid(struct bytes domain);

/* Takes one " KEYWORD[=value]" from the front of *in. 1 taken, 0 at the end, -1 bad syntax. */
must_check int smtp_param_take(struct bytes *in, struct bytes *keyword_out,
                               struct bytes *value_out);
/* 1*20DIGIT. false on anything else and on overflow; *overflow_out tells which. */
must_check bool smtp_number_parse(struct bytes digits, uint64_t *number_out, bool *overflow_out);
/* Returns the arguments of a whole command line; its verb is *verb_out. */
struct bytes smtp_line_split(struct bytes line, struct bytes *verb_out);

#endif
