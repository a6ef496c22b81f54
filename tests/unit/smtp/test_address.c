/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/smtp/test_address.c: paths and parameters against RFC 5321 section 4.1.2. */
#include "dataplane/smtp/address.h"

#include "common/limits/address.h"

#include <criterion/criterion.h>
#include <stdio.h>

static enum smtp_path_verdict parse(const char *text, char *address, size_t size)
{
    struct smtp_path path = {0};
    struct bytes rest;
    enum smtp_path_verdict verdict = smtp_path_parse(bytes_str(text), &path, &rest);
    address[0] = '\0';
    if (verdict == SMTP_PATH_OK) {
        (void)bytes_copy_str(path.address, address, size);
    }
    return verdict;
}

Test(smtp_address, accepts_the_grammar)
{
    static const struct {
        const char *path;
        const char *address;
    } good[] = {
        {"<>", ""}, /* Reverse-path = Path / "<>" */
        {"<a@b>", "a@b"},
        {"<User@Example.COM>", "User@Example.COM"}, /* stored as spelled: section 2.4 */
        {"<a.b.c@x-1.example>", "a.b.c@x-1.example"},
        {"<!#$%&'*+-/=?^_`{|}~@example>", "!#$%&'*+-/=?^_`{|}~@example"},
        {"<\"a b\"@example>", "\"a b\"@example"},
        {"<\"a>b@c,d\"@example>", "\"a>b@c,d\"@example"},
        {"<\"q\\\"\\\\\"@example>", "\"q\\\"\\\\\"@example"},
        {"<\"\"@example>", "\"\"@example"}, /* *QcontentSMTP may be empty */
        {"<a@[192.0.2.1]>", "a@[192.0.2.1]"},
        {"<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"},
        {"<a@[ipv6:::ffff:192.0.2.1]>", "a@[ipv6:::ffff:192.0.2.1]"},
        {"<@one.example,@two.example:a@b.example>", "a@b.example"}, /* appendix C */
        {"<@one.example:a@b.example>", "a@b.example"},
        {"<a@1.2.3.4>", "a@1.2.3.4"}, /* sub-domain may be all digits */
        {"<;id;@example>", NULL},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char address[300];
        enum smtp_path_verdict verdict = parse(good[i].path, address, sizeof address);
        if (good[i].address == NULL) {
            cr_expect_eq(verdict, SMTP_PATH_SYNTAX, "%s", good[i].path);
            continue;
        }
        cr_expect_eq(verdict, SMTP_PATH_OK, "%s", good[i].path);
        cr_expect_str_eq(address, good[i].address);
    }
}

Test(smtp_address, refuses_the_rest)
{
    static const char *const bad[] = {
        "",
        "a@b",           /* no brackets */
        "<a@b",          /* unclosed */
        "a@b>",          /**/
        "<<a@b>>",       /**/
        "< a@b>",        /**/
        "<a@b >",        /**/
        "<a>",           /* no domain */
        "<@b>",          /* no local-part */
        "<a@>",          /**/
        "<.a@b>",        /* Dot-string begins with an Atom */
        "<a.@b>",        /**/
        "<a..b@c>",      /**/
        "<a@.b>",        /**/
        "<a@b.>",        /**/
        "<a@b..c>",      /**/
        "<a@-b>",        /* sub-domain = Let-dig [Ldh-str] */
        "<a@b->",        /**/
        "<a@b_c>",       /**/
        "<a b@c>",       /**/
        "<a(c)@b>",      /**/
        "<\"a@b>",       /* quote unclosed */
        "<\"a\"b@c>",    /**/
        "<\"a\\\"@b>",   /* the quote is escaped */
        "<\"a\x01\"@b>", /**/
        "<\"a\rb\"@c>",  /**/
        "<a@[1.2.3]>",   /* address-literal: section 4.1.3 */
        "<a@[1.2.3.256]>",
        "<a@[1.2.3.4>",
        "<a@1.2.3.4]>",
        "<a@[IPv6:1.2.3.4]>",
        "<a@[2001:db8::1]>",
        "<a@[IPv6:zz]>",
        "<a@[tag:x]>",
        "<a@[]>",
        "<@one.example a@b>", /* source route without ":" */
        "<@one.example:>",
        "<@one.example,:a@b>",
        "<;id;>", /* CVE-2020-7247's shape */
        "<|/bin/sh>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char address[300];
        cr_expect_eq(parse(bad[i], address, sizeof address), SMTP_PATH_SYNTAX, "%s", bad[i]);
    }
}

Test(smtp_address, refuses_nul)
{
    struct smtp_path path;
    struct bytes rest;
    cr_assert_eq(smtp_path_parse(bytes_of("<a\0b@c>", 7), &path, &rest), SMTP_PATH_SYNTAX);
    cr_assert_eq(smtp_path_parse(bytes_of("<a@[1.2.3.4\0]>", 14), &path, &rest), SMTP_PATH_SYNTAX);
    cr_assert_eq(smtp_path_parse(bytes_of("<\"\0\"@c>", 7), &path, &rest), SMTP_PATH_SYNTAX);
}

Test(smtp_address, tells_non_ascii)
{
    /* RFC 6531 section 3.2: without SMTPUTF8 these are no addresses. */
    char address[300];
    cr_assert_eq(parse("<j\xc3\xb6rg@example>", address, sizeof address), SMTP_PATH_NOT_ASCII);
    cr_assert_eq(parse("<a@b\xc3\xbc.example>", address, sizeof address), SMTP_PATH_NOT_ASCII);
    cr_assert_eq(parse("<\"\x80\"@example>", address, sizeof address), SMTP_PATH_NOT_ASCII);
}

Test(smtp_address, bounds_the_length)
{
    /* Section 4.5.3.1.3: a path of 256 with its brackets; the local-part alone is not bounded. */
    char path[400];
    char address[300];
    memset(path, 'a', sizeof path);
    path[0] = '<';
    memcpy(path + 1 + 252, "@b>", 4);
    cr_assert_eq(parse(path, address, sizeof address), SMTP_PATH_OK);
    memset(path + 1, 'a', 253);
    memcpy(path + 1 + 253, "@b>", 4);
    cr_assert_eq(parse(path, address, sizeof address), SMTP_PATH_TOO_LONG);
    /* A label of 63 (RFC 1035), not 64. */
    memcpy(path, "<a@", 3);
    memset(path + 3, 'x', 64);
    memcpy(path + 3 + 63, ">", 2);
    cr_assert_eq(parse(path, address, sizeof address), SMTP_PATH_OK);
    memset(path + 3, 'x', 64);
    memcpy(path + 3 + 64, ">", 2);
    cr_assert_eq(parse(path, address, sizeof address), SMTP_PATH_SYNTAX);
}

Test(smtp_address, postmaster_needs_no_domain)
{
    struct smtp_path path;
    struct bytes rest;
    cr_assert_eq(smtp_path_parse(bytes_str("<PostMaster> X=1"), &path, &rest), SMTP_PATH_OK);
    cr_assert_eq(path.kind, SMTP_PATH_POSTMASTER); /* section 4.5.1 */
    cr_assert(bytes_equal(rest, bytes_str(" X=1")));
    cr_assert_eq(smtp_path_parse(bytes_str("<postmaster2>"), &path, &rest), SMTP_PATH_SYNTAX);
    cr_assert_eq(smtp_path_parse(bytes_str("<postmaster@b>"), &path, &rest), SMTP_PATH_OK);
    cr_assert_eq(path.kind, SMTP_PATH_MAILBOX);
}

Test(smtp_address, whole_mailbox_only)
{
    cr_assert(smtp_mailbox_valid(bytes_str("a@b")));
    cr_assert_not(smtp_mailbox_valid(bytes_str("a@b\r\nDATA")));
    cr_assert_not(smtp_mailbox_valid(bytes_str("a@b> SIZE=1")));
    cr_assert_not(smtp_mailbox_valid(bytes_str("")));
    cr_assert(smtp_domain_valid(bytes_str("[IPv6:::1]")));
    cr_assert_not(smtp_domain_valid(bytes_str("a b")));
    char longest[LIMIT_DOMAIN_BYTES + 1];
    for (size_t i = 0; i < sizeof longest; i++) {
        longest[i] = i % 64 == 63 ? '.' : 'a';
    }
    cr_assert(smtp_domain_valid(bytes_of(longest, LIMIT_DOMAIN_BYTES)));
    longest[254] = '.';
    longest[255] = 'a';
    cr_assert_not(smtp_domain_valid(bytes_of(longest, sizeof longest)));
}

Test(smtp_address, params)
{
    struct bytes keyword;
    struct bytes value;
    struct bytes in = bytes_str(" SIZE=12  BODY=8BITMIME X-Y");
    cr_assert_eq(smtp_param_take(&in, &keyword, &value), 1);
    cr_assert(bytes_equal(keyword, bytes_str("SIZE")) && bytes_equal(value, bytes_str("12")));
    cr_assert_eq(smtp_param_take(&in, &keyword, &value), 1);
    cr_assert(bytes_equal(value, bytes_str("8BITMIME")));
    cr_assert_eq(smtp_param_take(&in, &keyword, &value), 1);
    cr_assert(bytes_equal(keyword, bytes_str("X-Y")) && value.len == 0);
    cr_assert_eq(smtp_param_take(&in, &keyword, &value), 0);
    static const char *const bad[] = {
        "SIZE=1", " =1", " SIZE=", " SIZE==", " -A=1", " A=b=c", " \"a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        in = bytes_str(bad[i]);
        cr_expect_eq(smtp_param_take(&in, &keyword, &value), -1, "%s", bad[i]);
    }
}

Test(smtp_address, numbers)
{
    uint64_t number;
    bool overflow;
    cr_assert(smtp_number_parse(bytes_str("18446744073709551615"), &number, &overflow));
    cr_assert_eq(number, UINT64_MAX);
    cr_assert_not(smtp_number_parse(bytes_str("18446744073709551616"), &number, &overflow));
    cr_assert(overflow);
    cr_assert_not(smtp_number_parse(bytes_str("99999999999999999999999"), &number, &overflow));
    cr_assert(overflow);
    cr_assert_not(smtp_number_parse(bytes_str(""), &number, &overflow));
    cr_assert_not(smtp_number_parse(bytes_str("-1"), &number, &overflow));
    cr_assert_not(smtp_number_parse(bytes_str("1 "), &number, &overflow));
    cr_assert_not(overflow);
}
