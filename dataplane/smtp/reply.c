/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/reply.c: the class of a reply that refuses.
 *
 * Promise: mail is frozen only by a 5xx that speaks about this message or recipient. When the reply
 *          contradicts itself, or speaks about the conversation (RFC 3463 X.5), the mail waits.
 * Trap:    552 at RCPT without a status code may be an old server's "too many recipients" and is
 *          to be taken as temporary (RFC 5321 section 4.5.3.1.10).
 *
 * The first row that fits decides; the status code (RFC 3463) is looked at before the bare one. */
#include "dataplane/smtp/reply.h"

enum {
    ANY = 0xffff,
    NO_STATUS = 0xfffe,
    AT_MAIL = 1 << ABI_PHASE_MAIL,
    AT_RCPT = 1 << ABI_PHASE_RCPT,
    AT_DATA = 1 << ABI_PHASE_DATA,
    AT_DOT = 1 << ABI_PHASE_DOT,
    AT_ALL = AT_MAIL | AT_RCPT | AT_DATA | AT_DOT,
};

struct rule {
    uint16_t phases;
    uint16_t code;
    uint16_t subject; /* NO_STATUS: there is no status code */
    uint16_t detail;
    enum outcome outcome;
};

static const struct rule rules[] = {
    /* about the conversation, not the mail; another status code says that it is about the mail */
    {AT_ALL, 500, NO_STATUS, ANY, OUTCOME_REPLY_INVALID},
    {AT_ALL, 500, 5, ANY, OUTCOME_REPLY_INVALID},
    {AT_ALL, 502, NO_STATUS, ANY, OUTCOME_REPLY_INVALID},
    {AT_ALL, 502, 5, ANY, OUTCOME_REPLY_INVALID},
    {AT_ALL, 503, NO_STATUS, ANY, OUTCOME_REPLY_INVALID},
    {AT_ALL, 503, 5, ANY, OUTCOME_REPLY_INVALID},
    /* the recipient; 5.1.7 and 5.1.8 are about the sender */
    {AT_ALL, ANY, 1, 7, OUTCOME_REJECTED},
    {AT_ALL, ANY, 1, 8, OUTCOME_REJECTED},
    {AT_RCPT, 550, 1, ANY, OUTCOME_USER_UNKNOWN},
    {AT_RCPT | AT_DOT, ANY, 1, 1, OUTCOME_USER_UNKNOWN},
    {AT_RCPT | AT_DOT, ANY, 1, 2, OUTCOME_USER_UNKNOWN},
    {AT_RCPT | AT_DOT, ANY, 1, 3, OUTCOME_USER_UNKNOWN},
    {AT_RCPT | AT_DOT, ANY, 1, 6, OUTCOME_USER_UNKNOWN},
    {AT_RCPT | AT_DOT, ANY, 1, 10, OUTCOME_USER_UNKNOWN},
    {AT_RCPT, ANY, 4, 1, OUTCOME_USER_UNKNOWN}, /* Exchange Online's recipient check */
    /* too many recipients at once: the rest goes in a later transaction */
    {AT_RCPT, ANY, 5, 3, OUTCOME_REPLY_4XX},
    {AT_RCPT, 552, NO_STATUS, ANY, OUTCOME_REPLY_4XX},
    /* policy and size */
    {AT_ALL, ANY, 7, ANY, OUTCOME_POLICY},
    {AT_ALL, ANY, 3, 4, OUTCOME_SIZE},
    {AT_ALL, ANY, 2, 3, OUTCOME_SIZE},
    {AT_ALL, 552, NO_STATUS, ANY, OUTCOME_SIZE},
    /* no status code: what the reply code says there */
    {AT_RCPT, 550, NO_STATUS, ANY, OUTCOME_USER_UNKNOWN},
    {AT_RCPT, 551, NO_STATUS, ANY, OUTCOME_USER_UNKNOWN},
    {AT_RCPT, 553, NO_STATUS, ANY, OUTCOME_USER_UNKNOWN},
    {AT_DOT, ANY, ANY, ANY, OUTCOME_CONTENT},
    {AT_ALL, ANY, ANY, ANY, OUTCOME_REJECTED},
};

static uint16_t take_number(struct cursor *c, size_t digits_max)
{
    uint16_t number = 0;
    size_t digits = 0;
    while (digits < digits_max && c->rest.len > 0 && c->rest.data[0] >= '0' &&
           c->rest.data[0] <= '9') {
        number = (uint16_t)(number * 10 + cursor_u8(c) - '0');
        digits++;
    }
    c->failed = c->failed || digits == 0;
    return number;
}

struct reply_status reply_status_parse(struct bytes text)
{
    static const struct reply_status none;
    struct cursor c = cursor_of(text);
    struct reply_status status;
    status.part_class = take_number(&c, 1);
    bool dots = cursor_u8(&c) == '.';
    status.subject = take_number(&c, 3);
    dots = cursor_u8(&c) == '.' && dots;
    status.detail = take_number(&c, 3);
    bool ends = c.rest.len == 0 || c.rest.data[0] == ' ' || c.rest.data[0] == '\t';
    bool known = status.part_class == 2 || status.part_class == 4 || status.part_class == 5;
    return !c.failed && dots && ends && known ? status : none;
}

static bool rule_fits(const struct rule *rule, enum abi_phase phase, uint16_t code,
                      struct reply_status status)
{
    if ((rule->phases & 1u << phase) == 0 || (rule->code != ANY && rule->code != code)) {
        return false;
    }
    if (rule->subject == ANY) {
        return true;
    }
    if (status.part_class == 0) {
        return rule->subject == NO_STATUS;
    }
    return rule->subject == status.subject &&
           (rule->detail == ANY || rule->detail == status.detail);
}

enum outcome reply_classify(enum abi_phase phase, uint16_t code, struct bytes text)
{
    assert(phase >= ABI_PHASE_MAIL && phase <= ABI_PHASE_DOT && code >= 400 && code < 600);
    struct reply_status status = reply_status_parse(text);
    if (code < 500 || (status.part_class != 0 && status.part_class != 5)) {
        return OUTCOME_REPLY_4XX; /* "550 4.2.0" contradicts itself, so it is not for ever */
    }
    const struct rule *rule = rules;
    while (!rule_fits(rule, phase == ABI_PHASE_BODY ? ABI_PHASE_DATA : phase, code, status)) {
        rule++; /* the last rule fits everything */
    }
    assert(rule < rules + sizeof rules / sizeof rules[0]);
    return rule->outcome;
}
