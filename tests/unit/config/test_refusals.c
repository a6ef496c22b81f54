/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/config/test_refusals.c: everything that is refused, with its line and its words.
 *
 * One good text; each case replaces one piece of it and says what the refusal must contain. */
#include "common/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first line is line 1; the route "r" is in line 10. */
static const char good[] =
    "hostname = \"mx.campus.example\"; /* top */\n"
    "interfaces = (\n"
    "  { name = \"out\"; device = \"d0\"; address = \"198.51.100.10/26\"; },\n"
    "  { name = \"in\"; device = \"d1\"; address = \"198.51.100.74/26\"; } );\n"
    "listen = ( { address = \"198.51.100.10\"; port = 25; } );\n"
    "hops = (\n"
    "  { name = \"a\"; addresses = [ \"198.51.100.75\" ]; connections = 20; },\n"
    "  { name = \"b\"; addresses = [ \"198.51.100.76\" ]; port = 2526; } );\n"
    "routes = (\n"
    "  { name = \"r\"; domains = [ \"one.example\" ]; hops = [ \"a\", \"b\" ]; "
    "},\n"
    "  { name = \"s\"; domains = [ \"two.example\" ]; hops = [ \"b\" ];\n"
    "    recipients = [ \"rector@one.example\" ]; } );\n"
    "limits: { rcpts = 100; /* limits */ };\n"
    "retry: { first = \"2s\"; max = \"30s\"; };\n"
    "spool: { segments_max = 32; /* spool */ };\n"
    "control: { admin_mode = \"0660\"; /* control */ };\n"
    "dataplane: { lcore = 1; /* dataplane */ };\n";

struct refusal {
    const char *from;
    const char *to;
    const char *expected;
};

static char *replaced(const char *from, const char *to)
{
    const char *at = strstr(good, from);
    char *text;
    cr_assert_not_null(at, "the case is wrong: no \"%s\"", from);
    int len = asprintf(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    cr_assert_gt(len, 0);
    return text;
}

static void check(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct config *config = NULL;
        char error[CONFIG_ERROR_SIZE] = "";
        char *text = replaced(cases[i].from, cases[i].to);
        int r = config_parse("t", text, strlen(text), &config, error);
        cr_assert_eq(r, -EINVAL, "accepted: %s", cases[i].to);
        cr_assert_not_null(strstr(error, cases[i].expected), "case %zu \"%s\": %s", i, cases[i].to,
                           error);
        cr_assert_eq(strncmp(error, "t:", 2), 0, "%s", error);
        cr_assert_null(strpbrk(error, "\n\r\t"), "one line");
        free(text);
    }
}
#define CHECK(cases) check(cases, sizeof cases / sizeof cases[0])

Test(refusals, the_text_itself_is_good)
{
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    cr_assert_eq(config_parse("t", good, strlen(good), &config, error), 0, "%s", error);
    config_free(config);
}

Test(refusals, syntax)
{
    static const struct refusal cases[] = {
        {"retry: {", "retry: ", "t:14: syntax error"},
        {"/* top */", "hostname = \"x.example\";", "t:1: duplicate setting name"},
        {"rcpts = 100;", "rcpts = 100; rcpts = 100;", "t:13: duplicate"},
        {"/* top */", "\n@include \"/etc/passwd\"\n", "@include is not supported"},
        {"/* top */", "\n@include \"../../etc/passwd\"\n", "@include is not supported"},
        {"100;", "99999999999;", "t:13: the number is too large"},
        {"100;", "0xffffffff1;", "t:13: the number is too large"},
        {"\"d0\"", "\"d0\\x00\"", "t:3: \\x00 in a string"},
    };
    CHECK(cases);
    struct config *config;
    char error[CONFIG_ERROR_SIZE];
    cr_assert_eq(config_parse("t", "", 0, &config, error), -EINVAL);
    cr_assert_eq(config_parse("t", "a\0b", 3, &config, error), -EINVAL);
    cr_assert_not_null(strstr(error, "NUL"));
}

/* Numbers in strings and comments are not numbers. */
Test(refusals, only_true_numbers_are_measured)
{
    char *text = replaced("/* top */", "/* 99999999999 */ # 99999999999\n// 99999999999 \"\n");
    char error[CONFIG_ERROR_SIZE];
    struct config *config;
    cr_assert_eq(config_parse("t", text, strlen(text), &config, error), 0, "%s", error);
    config_free(config);
    free(text);
    text = replaced("\"d0\"", "\"d\\\"99999999999999\"");
    cr_assert_eq(config_parse("t", text, strlen(text), &config, error), 0, "%s", error);
    cr_assert_str_eq(config->interface[0].device, "d\"99999999999999");
    config_free(config);
    free(text);
}

Test(refusals, unknown_and_missing_keys)
{
    static const struct refusal cases[] = {
        {"/* top */", "hostnme = 1;", "t:1: unknown key \"hostnme\" (known here: hostname"},
        {"/* limits */", "rcpt = 1;", "t:13: unknown key \"rcpt\""},
        {"connections = 20;", "conections = 20;", "t:7: unknown key \"conections\""},
        {"hostname = \"mx.campus.example\";", "", "hostname is missing"},
        {"name = \"a\";", "", "name is missing"},
        {"device = \"d0\";", "", "device is missing"},
        {"hops = [ \"b\" ];", "", "hops is missing"},
    };
    CHECK(cases);
}

Test(refusals, wrong_types_units_and_ranges)
{
    static const struct refusal cases[] = {
        {"100;", "\"100\";", "t:13: rcpts must be a whole number"},
        {"100;", "1.5;", "t:13: rcpts must be a whole number"},
        {"100;", "99;", "t:13: rcpts: 99 is out of range (100 to 128)"},
        {"100;", "-1;", "t:13: rcpts: -1 is out of range"},
        {"\"2s\"", "2", "t:14: first must be a duration with its unit"},
        {"\"2s\"", "\"2\"", "t:14: first: \"2\" is not a duration"},
        {"\"2s\"", "\"2 s\"", "is not a duration"},
        {"\"2s\"", "\"2sec\"", "is not a duration"},
        {"\"2s\"", "\"-2s\"", "is not a duration"},
        {"\"2s\"", "\"99999999999999d\"", "is not a duration"},
        {"\"2s\"", "\"999999999999d\"", "first: \"999999999999d\" is"},
        {"\"2s\"", "\"2KiB\"", "is not a duration"},
        {"\"2s\"", "\"1ms\"", "first: \"1ms\" is out of range (100ms to 1d"},
        {"\"2s\"", "\"31s\"", "retry: max is shorter than first"},
        {"/* spool */", "segment = \"64MB\";", "t:15: segment: \"64MB\" is not a size"},
        {"/* spool */", "segment = \"1KiB\";", "out of range (1MiB to 2GiB)"},
        {"/* spool */", "segment = \"1025KiB\";", "segment must be a multiple of 64KiB"},
        {"/* spool */", "segment = \"1MiB\";", "limits.message is more than half of the spool"},
        {"/* spool */", "io = \"sync\";", "t:15: io: \"sync\" is unknown"},
        {"/* spool */", "dir = \"spool\";", "an absolute path"},
        {"/* dataplane */", "hugepages = 1;", "hugepages must be true or false"},
        {"/* dataplane */", "memory = \"65MB\";", "not a size"},
        {"/* dataplane */", "memory = \"65537KiB\";", "in steps of 1MiB"},
        {"/* dataplane */", "eal = \"--no-pci\";", "eal must be a list"},
        {"/* dataplane */", "eal = [ 1 ];", "eal must be text"},
        {"\"0660\"", "\"0666\"", "t:16: admin_mode: \"0666\" lets every user"},
        {"\"0660\"", "\"0888\"", "not a file mode"},
        {"\"0660\"", "660", "admin_mode must be text"},
        {"/* limits */", "connections = 10; connections_per_client = 11;", "more than connections"},
        {"/* limits */", "connections = 20;", "hop \"a\" may take 20 connections"},
        {"retry: {", "retry: ( ); zzz: {", "unknown key \"zzz\""},
        {"/* top */", "group = \"mail\";", "group is set but user is not"},
    };
    CHECK(cases);
}

/* RFC 5321 section 2.3.5, RFC 1123 section 2.1. */
Test(refusals, names_hosts_and_domains)
{
    static const struct refusal cases[] = {
        {"mx.campus.example", "mx", "t:1: hostname: \"mx\" will not do"},
        {"mx.campus.example", "", "hostname"},
        {"mx.campus.example", "mx..example", "labels of 1 to 63"},
        {"mx.campus.example", "mx.example.", "labels of 1 to 63"},
        {"mx.campus.example", "-mx.example", "will not do"},
        {"mx.campus.example", "mx-.example", "no hyphen at their ends"},
        {"mx.campus.example", "198.51.100.10", "fully qualified"},
        {"mx.campus.example", "m x.example", "letters, digits"},
        {"mx.campus.example", "m\\tx.example", "will not do"},
        {"mx.campus.example", "m\303\274x.example", "xn--"},
        {"one.example", "*.example", "t:10: domains: \"*.example\" will not do"},
        {"one.example", "one_two.example", "will not do"},
        {"rector@one.example", "rector", "t:12: recipients: \"rector\" will not do"},
        {"rector@one.example", "@one.example", "local-part@domain"},
        {"rector@one.example", ".r@one.example", "plain local part"},
        {"rector@one.example", "r..s@one.example", "plain local part"},
        {"rector@one.example", "r.@one.example", "plain local part"},
        {"rector@one.example", "\\\"r\\\"@one.example", "plain local part"},
        {"rector@one.example", "r@one", "fully qualified"},
        {"\"r\"", "\"r r\"", "letters, digits, and after the first"},
        {"\"r\"", "\"../r\"", "letters, digits, and after the first"},
        {"\"r\"", "\"a12345678901234567890123456789012345\"", "too long (32"},
    };
    CHECK(cases);
}

Test(refusals, doubles)
{
    static const struct refusal cases[] = {
        {"two.example", "ONE.example", "t:11: domain \"one.example\" is already in line 10"},
        {"\"one.example\"", "\"one.example\", \"One.Example\"", "already in line 10"},
        {"\"rector@one.example\"", "\"rector@one.example\", \"Rector@One.example\"",
         "t:12: recipient \"rector@one.example\" is already in line 12"},
        {"\"s\"", "\"r\"", "t:11: route \"r\" is there twice"},
        {"\"b\"; addr", "\"a\"; addr", "t:8: hop \"a\" is there twice"},
        {"\"in\"", "\"out\"", "t:4: interface \"out\" is there twice"},
        {"198.51.100.74/26", "198.51.100.10/26", "has the address of \"out\""},
        {"\"d1\"", "\"d0\"", "has the device of \"out\""},
        {"[ \"a\", \"b\" ]", "[ \"a\", \"a\" ]", "t:10: hops: \"a\" is there twice"},
        {"\"198.51.100.76\"", "\"198.51.100.76\", \"198.51.100.76\"", "t:8: addresses:"},
        {"port = 25; }", "port = 25; }, { address = \"198.51.100.10\"; }", "port 25 twice"},
    };
    CHECK(cases);
}

Test(refusals, addresses)
{
    static const struct refusal cases[] = {
        {"\"198.51.100.10\"; port", "\"198.51.100.11\"; port",
         "t:5: listen: no interface has the address 198.51.100.11"},
        {"\"198.51.100.10\"; port", "\"mx.campus.example\"; port", "is not an address"},
        {"198.51.100.10/26", "198.51.100.10", "address with its prefix length"},
        {"198.51.100.10/26", "198.51.100.10/33", "address with its prefix length"},
        {"198.51.100.10/26", "198.51.100.0/26", "not a host's address in that network"},
        {"198.51.100.10/26", "198.51.100.63/26", "not a host's address in that network"},
        {"198.51.100.10/26", "127.0.0.1/8", "not a host's address"},
        {"198.51.100.10/26", "224.0.0.1/8", "not a host's address"},
        {"198.51.100.10/26", "2001:db8::1/64", "only IPv4 is served so far"},
        {"198.51.100.75", "2001:db8::1", "only IPv4 is served so far"},
        {"198.51.100.75", "127.0.0.1", "t:7: addresses: \"127.0.0.1\" is loopback"},
        {"198.51.100.75", "203.0.113.1", "t:7: hop \"a\": 203.0.113.1 is in no interface's"},
        {"198.51.100.75", "198.51.100.10", "is this relay itself"},
        {"\"d1\";", "\"d1\"; gateway = \"198.51.100.1\";", "t:4: the gateway of interface \"in\""},
        {"\"d1\";", "\"d1\"; gateway = \"198.51.100.74\";", "the gateway of interface"},
        {"\"d1\";", "\"d1\"; mtu = 575;", "mtu: 575 is out of range"},
        {"\"d1\";", "\"d1\"; mtu = 1501;", "mtu: 1501 is out of range"},
        {"port = 2526;", "port = 0;", "port: 0 is out of range"},
        {"port = 2526;", "protocol = \"lmtp\";", "t:8: hop \"b\" speaks LMTP"},
        {"port = 2526;", "protocol = \"lmtp\"; port = 25;", "speaks LMTP"},
        {"port = 2526;", "protocol = \"esmtp\";", "protocol: \"esmtp\" is unknown"},
        {"[ \"198.51.100.76\" ]", "[ ]", "addresses has 0 entries (1 to 8"},
    };
    CHECK(cases);
}

/* A route is refused when it names what does not exist, takes no mail, or would answer 550 to
 * everything. */
Test(refusals, routes)
{
    static const struct refusal cases[] = {
        {"[ \"a\", \"b\" ]", "[ \"a\", \"c\" ]", "t:10: there is no hop \"c\" (define it in hops)"},
        {"domains = [ \"one.example\" ];", "", "t:10: route \"r\" takes nothing"},
        {"domains = [ \"one.example\" ];", "domains = \"one.example\";", "must be a list"},
        {"hops = [ \"b\" ];", "hops = [ ];", "hops has 0 entries"},
        {"hops = [ \"b\" ];", "hops = [ \"b\" ]; recipients_only = true;",
         "t:11: route \"s\" is recipients_only, but no recipient of \"two.example\""},
        {"domains = [ \"two.example\" ];", "recipients_only = true;", "but has no domains"},
        {"hops = [ \"b\" ];", "hops = [ \"b\" ]; owner = \"\";", "owner"},
    };
    CHECK(cases);
}
