/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config_number.c: refuses numbers and strings that libconfig 1.5 reads wrongly without an
 * error.
 *
 * Promise: every number in the file has the value that is written there, every string is whole.
 * Trap:    libconfig reads 99999999999 as 1215752191 without an error, and C ends a string at an
 *          escaped NUL. So the text is walked once before libconfig sees it, by libconfig's own
 *          lexical rules: strings with backslashes, comments from # or // or between slash-star.
 */
#include "common/config_read.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NUMBER_DIGITS_MAX = 9 }; /* 999 999 999 fits an int; none of our numbers needs more */

struct walk {
    const char *p;
    unsigned line;
};

static int refuse_line(struct config_reader *reader, unsigned line, const char *what)
{
    snprintf(reader->error, CONFIG_ERROR_SIZE, "%s:%u: %s", reader->path, line, what);
    return -EINVAL;
}

static void step(struct walk *w)
{
    w->line += *w->p == '\n';
    w->p += *w->p != '\0';
}

static bool skip_comment(struct walk *w)
{
    if (w->p[0] == '#' || (w->p[0] == '/' && w->p[1] == '/')) {
        w->p += strcspn(w->p, "\n");
        return true;
    }
    if (w->p[0] == '/' && w->p[1] == '*') {
        w->p += 2;
        while (*w->p != '\0' && !(w->p[0] == '*' && w->p[1] == '/')) {
            step(w);
        }
        w->p += *w->p == '\0' ? 0 : 2;
        return true;
    }
    return false;
}

/* Skips a string. false: it holds an escaped NUL. */
static bool skip_string(struct walk *w)
{
    for (w->p++; *w->p != '\0' && *w->p != '"'; step(w)) {
        if (*w->p == '\\') {
            if ((w->p[1] == 'x' || w->p[1] == 'X') && w->p[2] == '0' && w->p[3] == '0') {
                return false;
            }
            w->p += w->p[1] != '\0';
        }
    }
    w->p += *w->p == '"';
    return true;
}

static size_t skip_number(struct walk *w)
{
    size_t digits = 0;
    if (w->p[0] == '0' && (w->p[1] == 'x' || w->p[1] == 'X')) {
        w->p += 2;
        for (; isxdigit((unsigned char)*w->p); w->p++) {
            digits += 1;
        }
        return digits > 7 ? NUMBER_DIGITS_MAX + 1 : digits;
    }
    for (; isdigit((unsigned char)*w->p); w->p++) {
        digits++;
    }
    return digits;
}

int config_check_tokens(struct config_reader *reader, const char *text, size_t len)
{
    if (strlen(text) != len) {
        return refuse_line(reader, 1, "the file has a NUL byte in it (it must be text)");
    }
    struct walk w = {.p = text, .line = 1};
    while (*w.p != '\0') {
        if (skip_comment(&w)) {
            continue;
        }
        if (*w.p == '"') {
            if (!skip_string(&w)) {
                return refuse_line(reader, w.line, "\\x00 in a string (no value can hold it)");
            }
        } else if (isalpha((unsigned char)*w.p) || *w.p == '*') {
            while (isalnum((unsigned char)*w.p) || (*w.p != '\0' && strchr("-_*", *w.p) != NULL)) {
                w.p++;
            }
        } else if (isdigit((unsigned char)*w.p)) {
            if (skip_number(&w) > NUMBER_DIGITS_MAX) {
                return refuse_line(reader, w.line, "the number is too large (9 digits at most)");
            }
        } else {
            step(&w);
        }
    }
    return 0;
}
