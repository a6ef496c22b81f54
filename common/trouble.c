/* SPDX-License-Identifier: BSD-3-Clause */
/* common/trouble.c: see trouble.h. */
#include "common/trouble.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *trouble_meaning(int error)
{
    assert(error < 0);
    if (error == -EBADMSG) {
        return "damaged (the bytes fail their check)";
    }
    const char *text = strerrordesc_np(-error);
    return text == NULL ? "unknown error" : text;
}

/* Replaces what is not part of one line, since a file name may hold anything. */
static void make_line(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
    }
}

static void set(struct trouble *t, int error, const char *format, va_list args)
{
    t->error = error;
    vsnprintf(t->text, sizeof t->text, format, args);
    make_line(t->text);
}

/* Appends ": " and `after`. Where there is no room, the text before it is cut. */
static void append(struct trouble *t, const char *after)
{
    static const char colon[] = ": ";
    size_t room = sizeof t->text - sizeof colon;
    size_t after_len = strnlen(after, room);
    size_t len = strlen(t->text);
    len = len > room - after_len ? room - after_len : len;
    memcpy(t->text + len, colon, sizeof colon);
    memcpy(t->text + len + sizeof colon - 1, after, after_len);
    t->text[len + sizeof colon - 1 + after_len] = '\0';
}

int trouble_begin(struct trouble *t, int error, const char *where, ...)
{
    assert(error < 0);
    if (t != NULL) {
        va_list args;
        va_start(args, where);
        set(t, error, where, args);
        va_end(args);
        append(t, trouble_meaning(error));
    }
    return error;
}

int trouble_say(struct trouble *t, int error, const char *words, ...)
{
    assert(error < 0);
    if (t != NULL) {
        va_list args;
        va_start(args, words);
        set(t, error, words, args);
        va_end(args);
        assert(t->text[0] != '\0');
    }
    return error;
}

int trouble_add(struct trouble *t, int error, const char *what, ...)
{
    assert(error < 0);
    if (t == NULL) {
        return error;
    }
    struct trouble outer;
    va_list args;
    va_start(args, what);
    set(&outer, error, what, args);
    va_end(args);
    const char *inner = trouble_text(t, error);
    if (strlen(outer.text) + strlen(": ") + strlen(inner) < sizeof outer.text) {
        append(&outer, inner);
        *t = outer;
    } else if (inner != t->text) {
        t->error = error; /* an older chain belongs to another error */
        snprintf(t->text, sizeof t->text, "%s", inner);
    }
    assert(t->error == error && t->text[0] != '\0');
    return error;
}

const char *trouble_text(const struct trouble *t, int error)
{
    assert(error < 0);
    return t != NULL && t->error == error && t->text[0] != '\0' ? t->text : trouble_meaning(error);
}
