/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_bytes.c: views and cursors never leave their bytes. */
#include "common/bytes.h"

#include <criterion/criterion.h>

Test(bytes, from_and_first_stay_inside)
{
    struct bytes b = bytes_str("abcdef");
    cr_assert(bytes_equal(bytes_from(b, 2), bytes_str("cdef")));
    cr_assert_eq(bytes_from(b, 6).len, 0);
    cr_assert_eq(bytes_from(b, 1000).len, 0);
    cr_assert(bytes_equal(bytes_first(b, 3), bytes_str("abc")));
    cr_assert(bytes_equal(bytes_first(b, 1000), b));
}

Test(bytes, equal_takes_empty_views_without_data)
{
    cr_assert(bytes_equal(bytes_of(NULL, 0), bytes_of("x", 0)));
    cr_assert(!bytes_equal(bytes_str("a"), bytes_str("ab")));
    cr_assert(!bytes_equal(bytes_str("a"), bytes_str("A")));
}

/* RFC 5321 section 2.4: verbs and domains without case, in ASCII only. */
Test(bytes, nocase_folds_ascii_letters_only)
{
    cr_assert(bytes_equal_nocase(bytes_str("EhLo"), bytes_str("eHlO")));
    cr_assert(!bytes_equal_nocase(bytes_str("a"), bytes_str("ab")));
    cr_assert(!bytes_equal_nocase(bytes_str("@"), bytes_str("`")));
    cr_assert(!bytes_equal_nocase(bytes_str("["), bytes_str("{")));
    cr_assert(!bytes_equal_nocase(bytes_str("\xc4"), bytes_str("\xe4")));
    for (unsigned c = 0; c < 256; c++) {
        bool upper = c >= 'A' && c <= 'Z';
        cr_assert_eq(ascii_lower((uint8_t)c), upper ? c + 32 : c);
    }
}

Test(bytes, index_finds_the_first_or_the_length)
{
    cr_assert_eq(bytes_index(bytes_str("a@b@c"), '@'), 1);
    cr_assert_eq(bytes_index(bytes_str("abc"), '@'), 3);
    cr_assert_eq(bytes_index(bytes_of(NULL, 0), '@'), 0);
}

Test(bytes, copies_cut_and_end_in_nul)
{
    char out[4];
    cr_assert_eq(bytes_copy_str(bytes_str("abcdef"), out, sizeof out), 3);
    cr_assert_str_eq(out, "abc");
    cr_assert_eq(bytes_copy_str(bytes_of(NULL, 0), out, sizeof out), 0);
    cr_assert_str_eq(out, "");
}

/* What a peer sent reaches a terminal or a log only in printable form. */
Test(bytes, clean_copies_only_printable_ascii)
{
    char out[32];
    uint8_t hostile[] = {'a', 0x1b, '[', 0, '\r', '\n', 0x7f, 0x80, 0xff, '~', ' '};
    bytes_copy_clean(bytes_of(hostile, sizeof hostile), out, sizeof out);
    cr_assert_eq(memcmp(out, "a?[??????~ ", 12), 0);
}

Test(cursor, reads_both_byte_orders)
{
    static const uint8_t data[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                   12, 13, 14, 15, 16, 17, 18, 19, 20, 21};
    struct cursor c = cursor_of(bytes_of(data, sizeof data));
    cr_assert_eq(cursor_u8(&c), 1);
    cr_assert_eq(cursor_be16(&c), 0x0203);
    cr_assert_eq(cursor_le16(&c), 0x0504);
    cr_assert_eq(cursor_be32(&c), 0x06070809);
    cr_assert_eq(cursor_le32(&c), 0x0d0c0b0a);
    cr_assert_eq(cursor_le64(&c), UINT64_C(0x1514131211100f0e));
    cr_assert(!c.failed);
    cr_assert_eq(c.rest.len, 0);
}

/* A cursor that ran short stays failed and yields zeros, so a parser may test once, at the end. */
Test(cursor, stays_failed_after_a_short_read)
{
    struct cursor c = cursor_of(bytes_str("abc"));
    cr_assert_eq(cursor_be32(&c), 0);
    cr_assert(c.failed);
    cr_assert_eq(cursor_u8(&c), 0);
    cr_assert_eq(cursor_le64(&c), 0);
    cr_assert_eq(cursor_take(&c, 0).len, 0);
    cr_assert(c.failed);
}

Test(cursor, huge_lengths_do_not_wrap)
{
    struct cursor c = cursor_of(bytes_str("abc"));
    cr_assert_eq(cursor_take(&c, SIZE_MAX).len, 0);
    cr_assert(c.failed);
}

Test(bytes, put_and_get_are_inverse)
{
    uint8_t b[4];
    put_be32(b, 0xdeadbeef);
    cr_assert_eq(memcmp(b, "\xde\xad\xbe\xef", 4), 0);
    cr_assert_eq(get_be32(b), 0xdeadbeef);
    put_be16(b, 0x1234);
    cr_assert_eq(get_be16(b), 0x1234);
}

Test(text, is_cut_where_the_room_ends)
{
    char out[12];
    struct text t = text_of(out, sizeof out);
    cr_assert_str_eq(out, "");
    text_append(&t, "ab");
    text_append_first(&t, "cdef", 2);
    text_append_first(&t, "x", 9);
    text_append_number(&t, 0);
    text_append_number(&t, 907);
    cr_assert_str_eq(out, "abcdx0907");
    text_append_number(&t, UINT64_MAX);
    cr_assert_str_eq(out, "abcdx090718");
    text_append(&t, "more");
    cr_assert_str_eq(out, "abcdx090718");
    char one[1];
    t = text_of(one, sizeof one);
    text_append(&t, "x");
    cr_assert_str_eq(one, "");
    char whole[32];
    t = text_of(whole, sizeof whole);
    text_append_number(&t, UINT64_MAX);
    cr_assert_str_eq(whole, "18446744073709551615");
}
