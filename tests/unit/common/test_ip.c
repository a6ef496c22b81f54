/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_ip.c: addresses of 16 bytes. */
#include "common/ip.h"

#include <criterion/criterion.h>

static struct ip_addr parse(const char *text)
{
    struct ip_addr addr;
    cr_assert(ip_parse(text, &addr), "%s", text);
    return addr;
}

/* RFC 4291 section 2.5.5.2. */
Test(ip, v4_is_v4_mapped)
{
    struct ip_addr a = parse("198.51.100.10");
    struct ip_addr b = parse("::ffff:198.51.100.10");
    char text[IP_TEXT_SIZE];
    cr_assert(ip_is_v4(&a) && ip_equal(&a, &b));
    cr_assert_eq(ip_v4_octets(&a)[3], 10);
    cr_assert_str_eq(ip_format(&b, text), "198.51.100.10");
}

Test(ip, v6_in_its_short_form)
{
    char text[IP_TEXT_SIZE];
    struct ip_addr a = parse("2001:DB8:0:0:0:0:0:1");
    cr_assert(!ip_is_v4(&a) && !ip_is_zero(&a));
    cr_assert_str_eq(ip_format(&a, text), "2001:db8::1");
    a = parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    ip_format(&a, text);
    a = parse("::");
    cr_assert(ip_is_zero(&a));
}

Test(ip, refuses_what_is_no_address)
{
    static const char *const bad[] = {"",          "1.2.3",     "1.2.3.4.5", "1.2.3.256",
                                      "01.2.3.4x", " 1.2.3.4",  "1.2.3.4 ",  "::1%lo",
                                      "g::",       "1.2.3.4/24"};
    struct ip_addr addr;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert(!ip_parse(bad[i], &addr), "%s", bad[i]);
    }
}

Test(ip, prefixes_count_bits_of_128)
{
    struct ip_prefix p;
    cr_assert(ip_parse_prefix("198.51.100.0/26", &p) && p.bit_count == 122);
    struct ip_addr in = parse("198.51.100.63");
    struct ip_addr out = parse("198.51.100.64");
    cr_assert(ip_in_prefix(&in, &p) && !ip_in_prefix(&out, &p));
    cr_assert(ip_parse_prefix("0.0.0.0/0", &p) && p.bit_count == 96);
    struct ip_addr v6 = parse("2001:db8::1");
    cr_assert(ip_in_prefix(&out, &p) && !ip_in_prefix(&v6, &p), "IPv4 any is not IPv6");
    cr_assert(ip_parse_prefix("2001:db8::/32", &p) && p.bit_count == 32);
    cr_assert(ip_in_prefix(&v6, &p));
    cr_assert(ip_parse_prefix("198.51.100.1/32", &p) && p.bit_count == 128);
    cr_assert(!ip_in_prefix(&in, &p));
}

Test(ip, refuses_what_is_no_prefix)
{
    static const char *const bad[] = {"",
                                      "1.2.3.4",
                                      "1.2.3.4/",
                                      "1.2.3.4/33",
                                      "1.2.3.4/-1",
                                      "1.2.3.4/+1",
                                      "1.2.3.4/ 1",
                                      "::/129",
                                      "1.2.3.4/24x",
                                      "/24",
                                      "1.2.3.4/99999999999999999999"};
    struct ip_prefix p;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert(!ip_parse_prefix(bad[i], &p), "%s", bad[i]);
    }
}
