/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_utf8.c: what people said, made safe. */
#include "common/utf8.h"

#include <criterion/criterion.h>
#include <string.h>

Test(utf8, words_stay_and_what_fools_a_terminal_goes)
{
    static const struct {
        const char *text;
        const char *clean;
    } cases[] = {
        {"", ""},
        {"plain ~", "plain ~"},
        {"St\xc3\xb6rung \xe2\x82\xac \xf0\x9f\x93\xac",
         "St\xc3\xb6rung \xe2\x82\xac \xf0\x9f\x93\xac"},
        {"\x1b[2J\r\n\t\x7f", "?[2J????"},
        {"\xc2\x9b\x32J", "?2J"}, /* C1: CSI */
        {"a\xe2\x80\xae"
         "b",
         "a?b"},                            /* U+202E turns the line round */
        {"\xe2\x80\x8b\xe2\x81\xa6", "??"}, /* zero width, isolate */
        {"\xc0\xaf\xe0\x80\xaf", "?????"},  /* RFC 3629 section 3: overlong forms of / */
        {"\xed\xa0\x80", "???"},            /* a surrogate */
        {"\xf4\x90\x80\x80\xf5", "?????"},  /* past U+10FFFF */
        {"\xc3", "?"},                      /* cut short */
        {"\xe2\x82", "??"},
        {"\xff\xfe", "??"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char clean[64];
        cr_assert_str_eq(utf8_clean(cases[i].text, clean, sizeof clean), cases[i].clean, "case %zu",
                         i);
    }
}

Test(utf8, is_cut_before_what_does_not_fit)
{
    char clean[6];
    cr_assert_str_eq(utf8_clean("abcd\xc3\xb6", clean, sizeof clean), "abcd");
    cr_assert_str_eq(utf8_clean("abc\xc3\xb6", clean, sizeof clean), "abc\xc3\xb6");
    cr_assert_str_eq(utf8_clean("abcdefgh", clean, sizeof clean), "abcde");
    cr_assert_str_eq(utf8_clean("abc", clean, 1), "");
}
