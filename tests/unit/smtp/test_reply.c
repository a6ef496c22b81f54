/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/smtp/test_reply.c: classes of a hop's refusals, by common/outcome.def. */
#include "dataplane/smtp/reply.h"

#include <criterion/criterion.h>

Test(smtp_reply, status_codes)
{
    /* RFC 3463 section 2: class.subject.detail, 1 to 3 digits each. */
    static const struct {
        const char *text;
        int part_class, subject, detail;
    } table[] = {
        {"5.1.1 no such user", 5, 1, 1},
        {"4.7.999", 4, 7, 999},
        {"2.0.0 ok", 2, 0, 0},
        {"5.1.1000 x", 0, 0, 0},
        {"5.1 x", 0, 0, 0},
        {"5..1 x", 0, 0, 0},
        {"3.1.1 x", 0, 0, 0},
        {"", 0, 0, 0},
        {"<5.1.1>", 0, 0, 0},
        {"5.1.1x", 0, 0, 0},
        {"10.0.0.1 x", 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct reply_status status = reply_status_parse(bytes_str(table[i].text));
        cr_expect_eq(status.part_class, table[i].part_class, "%s", table[i].text);
        cr_expect_eq(status.subject, table[i].subject, "%s", table[i].text);
        cr_expect_eq(status.detail, table[i].detail, "%s", table[i].text);
    }
}

Test(smtp_reply, classes)
{
    static const struct {
        enum abi_phase phase;
        uint16_t code;
        const char *text;
        enum outcome outcome;
    } table[] = {
        {ABI_PHASE_MAIL, 450, "busy", OUTCOME_REPLY_4XX},
        {ABI_PHASE_DOT, 451, "4.3.0 later", OUTCOME_REPLY_4XX},
        {ABI_PHASE_RCPT, 450, "5.1.1 greylisted", OUTCOME_REPLY_4XX},
        {ABI_PHASE_RCPT, 550, "4.2.2 contradicts itself", OUTCOME_REPLY_4XX},
        {ABI_PHASE_RCPT, 550, "no such user", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 551, "not local", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 553, "mailbox name", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 554, "no", OUTCOME_REJECTED},
        {ABI_PHASE_RCPT, 550, "5.1.1 x", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 554, "5.1.2 x", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 501, "5.1.3 x", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 550, "5.1.6 moved", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 550, "5.1.10 null MX", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 550, "5.4.1 access denied", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 550, "5.1.8 sender", OUTCOME_REJECTED},
        {ABI_PHASE_RCPT, 550, "5.7.1 relaying denied", OUTCOME_POLICY},
        {ABI_PHASE_RCPT, 552, "5.2.2 mailbox full", OUTCOME_REJECTED},
        {ABI_PHASE_RCPT, 552, "too many recipients", OUTCOME_REPLY_4XX}, /* 4.5.3.1.10 */
        {ABI_PHASE_RCPT, 550, "5.5.3 too many recipients", OUTCOME_REPLY_4XX},
        {ABI_PHASE_RCPT, 552, "5.3.4 too large", OUTCOME_SIZE},
        {ABI_PHASE_RCPT, 550, "5.2.3 too large for it", OUTCOME_SIZE},
        {ABI_PHASE_MAIL, 552, "too large", OUTCOME_SIZE},
        {ABI_PHASE_MAIL, 550, "no", OUTCOME_REJECTED},
        {ABI_PHASE_MAIL, 554, "5.7.1 host", OUTCOME_POLICY},
        {ABI_PHASE_DATA, 554, "no valid recipients", OUTCOME_REJECTED},
        {ABI_PHASE_DOT, 554, "spam", OUTCOME_CONTENT},
        {ABI_PHASE_DOT, 550, "5.6.0 mime", OUTCOME_CONTENT},
        {ABI_PHASE_DOT, 550, "5.7.1 spam", OUTCOME_POLICY},
        {ABI_PHASE_DOT, 552, "too large", OUTCOME_SIZE},
        {ABI_PHASE_DOT, 554, "5.3.4 too large", OUTCOME_SIZE},
        {ABI_PHASE_DOT, 550, "5.1.1 unknown", OUTCOME_USER_UNKNOWN},
        {ABI_PHASE_RCPT, 503, "5.5.1 MAIL first", OUTCOME_REPLY_INVALID}, /* waits */
        {ABI_PHASE_MAIL, 500, "what", OUTCOME_REPLY_INVALID},
        {ABI_PHASE_RCPT, 500, "5.5.2 what", OUTCOME_REPLY_INVALID},
        {ABI_PHASE_RCPT, 500, "5.3.0 Error: command failed", OUTCOME_REJECTED}, /* smtp-sink -f */
        {ABI_PHASE_MAIL, 502, "not here", OUTCOME_REPLY_INVALID},
        {ABI_PHASE_DATA, 503, "MAIL first", OUTCOME_REPLY_INVALID},
        {ABI_PHASE_DOT, 503, "what message", OUTCOME_REPLY_INVALID},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        enum outcome outcome =
            reply_classify(table[i].phase, table[i].code, bytes_str(table[i].text));
        cr_expect_eq(outcome, table[i].outcome, "%u %s: %s", table[i].code, table[i].text,
                     outcome_text(outcome));
    }
}

Test(smtp_reply, every_refusal_has_a_class)
{
    for (uint16_t code = 400; code < 600; code++) {
        for (int phase = ABI_PHASE_MAIL; phase <= ABI_PHASE_DOT; phase++) {
            enum outcome outcome = reply_classify((enum abi_phase)phase, code, bytes_str("x"));
            cr_assert_neq(outcome, OUTCOME_NONE);
            cr_assert_neq(outcome, OUTCOME_DELIVERED);
            /* Never freeze for a 4xx. */
            cr_assert(code >= 500 || outcome_disposition(outcome) == OUTCOME_DISPOSITION_WAIT);
        }
    }
}
