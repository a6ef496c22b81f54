/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_trouble.c: chains of errors. */
#include "common/trouble.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(trouble, a_chain_goes_from_what_was_asked_to_what_the_system_said)
{
    struct trouble t = {0};
    cr_assert_eq(trouble_begin(&t, -EACCES, "opening %s", "meta"), -EACCES);
    cr_assert_eq(trouble_add(&t, -EACCES, "%s", "/spool"), -EACCES);
    cr_assert_str_eq(trouble_text(&t, -EACCES), "/spool: opening meta: Permission denied");
    trouble_say(&t, -EBADMSG, "meta: of format 3");
    trouble_add(&t, -EBADMSG, "/spool");
    cr_assert_str_eq(trouble_text(&t, -EBADMSG), "/spool: meta: of format 3");
}

Test(trouble, bad_message_never_stands_alone)
{
    struct trouble t = {0};
    cr_assert(strstr(trouble_meaning(-EBADMSG), "damaged") != NULL);
    cr_assert(strstr(trouble_text(&t, -EBADMSG), "Bad message") == NULL);
    trouble_begin(&t, -EBADMSG, "ckpt-1");
    cr_assert_str_eq(t.text, "ckpt-1: damaged (the bytes fail their check)");
    cr_assert_str_eq(trouble_meaning(-99999), "unknown error");
}

Test(trouble, a_chain_belongs_to_one_error)
{
    struct trouble t = {0};
    trouble_begin(&t, -ENOENT, "opening ckpt-2");
    cr_assert_str_eq(trouble_text(&t, -EIO), "Input/output error");
    trouble_add(&t, -EIO, "reading ckpt-1");
    cr_assert_str_eq(trouble_text(&t, -EIO), "reading ckpt-1: Input/output error");
    cr_assert_eq(trouble_begin(NULL, -EIO, "x"), -EIO);
    cr_assert_eq(trouble_add(NULL, -EIO, "x"), -EIO);
    cr_assert_eq(trouble_say(NULL, -EIO, "x"), -EIO);
}

Test(trouble, what_the_system_said_stays_when_there_is_no_room)
{
    struct trouble t = {0};
    char name[TROUBLE_TEXT_SIZE * 2];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    trouble_begin(&t, -ENOSPC, "writing %s", name);
    cr_assert_eq(strlen(t.text), TROUBLE_TEXT_SIZE - 1);
    cr_assert_str_eq(t.text + strlen(t.text) - 25, ": No space left on device");
    trouble_add(&t, -ENOSPC, "exporting");
    cr_assert(strstr(t.text, ": No space left on device") != NULL);
    trouble_say(&t, -ENOENT, "a");
    trouble_add(&t, -ENOSPC, "%s", name);
    cr_assert_str_eq(trouble_text(&t, -ENOSPC), "No space left on device");
    trouble_begin(&t, -ENOENT, "a\nb\x1b");
    cr_assert_str_eq(t.text, "a?b?: No such file or directory");
}
