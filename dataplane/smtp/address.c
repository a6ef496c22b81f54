/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/address.c: paths, mailboxes and parameters.
 *
 * Promise: what is not in the grammar of RFC 5321 section 4.1.2 is refused; nothing is repaired.
 *          An accepted address is printable ASCII, so it can hold no line end.
 * Trap:    '>', '@', ' ' and ',' may stand inside a quoted local-part. So the end of a path is
 *          found by parsing, never by searching.
 *
 * Each take_* reads its production from the front of the cursor, and returns whether it was there.
 * The local-part may be longer than 64 (section 4.5.3.1 asks for techniques without limits, and
 * bounce addresses of large senders are longer); a path as a whole may not pass 256. */
#include "dataplane/smtp/address.h"

#include "common/ip.h"
#include "common/limits/address.h"

enum { LABEL_BYTES_MAX = 63 }; /* RFC 1035 section 2.3.4 */

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* atext, RFC 5322 section 3.2.3 */
static bool is_atext(uint8_t c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool peek(const struct cursor *c, uint8_t want)
{
    return c->rest.len > 0 && c->rest.data[0] == want;
}

static bool take_char(struct cursor *c, uint8_t want)
{
    if (!peek(c, want)) {
        return false;
    }
    c->rest = bytes_from(c->rest, 1);
    return true;
}

/* Takes the longest run of bytes for which `accept` is true. */
static size_t take_run(struct cursor *c, bool (*accept)(uint8_t))
{
    size_t len = 0;
    while (len < c->rest.len && accept(c->rest.data[len])) {
        len++;
    }
    c->rest = bytes_from(c->rest, len);
    return len;
}

/* Dot-string = Atom *("." Atom) */
static bool take_dot_string(struct cursor *c)
{
    do {
        if (take_run(c, is_atext) == 0) {
            return false;
        }
    } while (take_char(c, '.'));
    return true;
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE */
static bool take_quoted_string(struct cursor *c)
{
    if (!take_char(c, '"')) {
        return false;
    }
    while (c->rest.len > 0 && !peek(c, '"')) {
        (void)take_char(c, '\\');
        if (c->rest.len == 0 || c->rest.data[0] < 0x20 || c->rest.data[0] > 0x7e) {
            return false;
        }
        c->rest = bytes_from(c->rest, 1);
    }
    return take_char(c, '"');
}

static bool is_ldh(uint8_t c)
{
    return is_alnum(c) || c == '-';
}

/* Domain = sub-domain *("." sub-domain); sub-domain = Let-dig [Ldh-str] */
static bool take_domain(struct cursor *c)
{
    size_t before = c->rest.len;
    do {
        const uint8_t *label = c->rest.data;
        size_t len = take_run(c, is_ldh);
        if (len == 0 || len > LABEL_BYTES_MAX || label[0] == '-' || label[len - 1] == '-') {
            return false;
        }
    } while (take_char(c, '.'));
    return before - c->rest.len <= LIMIT_DOMAIN_BYTES;
}

/* address-literal (section 4.1.3): IPv4 or IPv6. No other tag was ever registered. */
static bool take_literal(struct cursor *c)
{
    if (!take_char(c, '[')) {
        return false;
    }
    size_t len = bytes_index(c->rest, ']');
    struct bytes inner = cursor_take(c, len);
    if (c->failed || !take_char(c, ']') || memchr(inner.data, '\0', inner.len) != NULL) {
        return false;
    }
    static const char tag[] = "IPv6:";
    bool v6 = bytes_equal_nocase(bytes_first(inner, 5), bytes_str(tag));
    struct bytes number = bytes_from(inner, v6 ? 5 : 0);
    char text[IP_TEXT_SIZE];
    struct ip_addr addr;
    return number.len < sizeof text && bytes_copy_str(number, text, sizeof text) == number.len &&
           (strchr(text, ':') != NULL) == v6 && ip_parse(text, &addr);
}

/* Mailbox = Local-part "@" ( Domain / address-literal ) */
static bool take_mailbox(struct cursor *c)
{
    bool local = peek(c, '"') ? take_quoted_string(c) : take_dot_string(c);
    return local && take_char(c, '@') && (peek(c, '[') ? take_literal(c) : take_domain(c));
}

/* A-d-l ":" = At-domain *("," At-domain) ":". It is accepted and ignored (appendix C). */
static bool take_source_route(struct cursor *c)
{
    do {
        if (!take_char(c, '@') || !take_domain(c)) {
            return false;
        }
    } while (take_char(c, ','));
    return take_char(c, ':');
}

static bool has_high(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        if (b.data[i] >= 0x80) {
            return true;
        }
    }
    return false;
}

static bool take_postmaster(struct cursor *c)
{
    struct bytes word = bytes_str("postmaster");
    struct bytes front = bytes_first(c->rest, word.len);
    struct bytes after = bytes_from(c->rest, word.len);
    if (!bytes_equal_nocase(front, word) || after.len == 0 || after.data[0] != '>') {
        return false;
    }
    c->rest = after;
    return true;
}

enum smtp_path_verdict smtp_path_parse(struct bytes in, struct smtp_path *path_out,
                                       struct bytes *rest_out)
{
    struct cursor c = cursor_of(in);
    enum smtp_path_verdict wrong = has_high(in) ? SMTP_PATH_NOT_ASCII : SMTP_PATH_SYNTAX;
    *rest_out = bytes_of(in.data, 0);
    if (!take_char(&c, '<') || (peek(&c, '@') && !take_source_route(&c))) {
        return wrong;
    }
    const uint8_t *start = c.rest.data;
    path_out->kind = SMTP_PATH_MAILBOX;
    if (peek(&c, '>') && start == in.data + 1) {
        path_out->kind = SMTP_PATH_NULL;
    } else if (take_postmaster(&c)) {
        path_out->kind = SMTP_PATH_POSTMASTER;
    } else if (!take_mailbox(&c)) {
        return wrong;
    }
    path_out->address = bytes_of(start, (size_t)(c.rest.data - start));
    if (!take_char(&c, '>')) {
        return wrong;
    }
    *rest_out = c.rest;
    return path_out->address.len > LIMIT_ADDRESS_BYTES ? SMTP_PATH_TOO_LONG : SMTP_PATH_OK;
}

bool smtp_mailbox_valid(struct bytes address)
{
    struct cursor c = cursor_of(address);
    return address.len <= LIMIT_ADDRESS_BYTES && take_mailbox(&c) && c.rest.len == 0;
}

bool smtp_domain_valid(struct bytes domain)
{
    struct cursor c = cursor_of(domain);
    return (peek(&c, '[') ? take_literal(&c) : take_domain(&c)) && c.rest.len == 0;
}

/* esmtp-value = 1*(%d33-60 / %d62-126) */
static bool is_value(uint8_t c)
{
    return c > 0x20 && c < 0x7f && c != '=';
}

int smtp_param_take(struct bytes *in, struct bytes *keyword_out, struct bytes *value_out)
{
    struct cursor c = cursor_of(*in);
    bool space = false;
    while (take_char(&c, ' ')) {
        space = true;
    }
    if (c.rest.len == 0) {
        return 0;
    }
    const uint8_t *keyword = c.rest.data;
    size_t len = take_run(&c, is_ldh);
    if (!space || len == 0 || keyword[0] == '-') {
        return -1;
    }
    *keyword_out = bytes_of(keyword, len);
    *value_out = bytes_of(c.rest.data, 0);
    if (take_char(&c, '=')) {
        const uint8_t *value = c.rest.data;
        *value_out = bytes_of(value, take_run(&c, is_value));
        if (value_out->len == 0) {
            return -1;
        }
    }
    if (c.rest.len > 0 && !peek(&c, ' ')) {
        return -1;
    }
    *in = c.rest;
    return 1;
}

bool smtp_number_parse(struct bytes digits, uint64_t *number_out, bool *overflow_out)
{
    uint64_t number = 0;
    *overflow_out = false;
    for (size_t i = 0; i < digits.len; i++) {
        if (!is_digit(digits.data[i])) {
            *overflow_out = false;
            return false;
        }
        unsigned digit = digits.data[i] - '0';
        if (number > (UINT64_MAX - digit) / 10) {
            *overflow_out = true;
        } else {
            number = number * 10 + digit;
        }
    }
    *number_out = number;
    return digits.len > 0 && !*overflow_out;
}

/* Space at the end is tolerated (section 4.1.1). */
static struct bytes strip_end(struct bytes line)
{
    while (line.len > 0 && (line.data[line.len - 1] == ' ' || line.data[line.len - 1] == '\t')) {
        line.len--;
    }
    return line;
}

struct bytes smtp_line_split(struct bytes line, struct bytes *verb_out)
{
    line = strip_end(line);
    size_t len = bytes_index(line, ' ');
    *verb_out = bytes_first(line, len);
    struct bytes arg = bytes_from(line, len);
    while (arg.len > 0 && arg.data[0] == ' ') {
        arg = bytes_from(arg, 1);
    }
    return arg;
}
