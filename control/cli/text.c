/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/text.c: ages, sizes, times, and text made safe for a terminal.
 *
 * Promise: a terminal never gets a byte that moves the cursor, rings, colours, or changes the
 *          direction of writing.
 * Trap:    strangers choose a hop's reply, a sender, a HELO. Other operators choose reasons.
 */
#include "control/cli/cli.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return width;
}

const char *text_age(int64_t ms, char out[TEXT_SHORT_SIZE])
{
    int64_t s = ms / 1000;
    if (ms < 0) {
        snprintf(out, TEXT_SHORT_SIZE, "-");
    } else if (s < 1) {
        snprintf(out, TEXT_SHORT_SIZE, "%" PRId64 "ms", ms);
    } else if (s < 60) {
        snprintf(out, TEXT_SHORT_SIZE, "%" PRId64 "s", s);
    } else if (s < 3600) {
        snprintf(out, TEXT_SHORT_SIZE, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(out, TEXT_SHORT_SIZE, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    } else {
        snprintf(out, TEXT_SHORT_SIZE, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
    }
    return out;
}

const char *text_size(int64_t bytes, char out[TEXT_SHORT_SIZE])
{
    static const char unit[] = "BKMGT";
    double value = (double)bytes;
    size_t i = 0;
    while (value >= 1024 && i + 2 < sizeof unit) {
        value /= 1024;
        i++;
    }
    snprintf(out, TEXT_SHORT_SIZE, i == 0 ? "%.0f%c" : "%.1f%c", value, unit[i]);
    return out;
}

const char *text_time(int64_t ms, char out[TEXT_SHORT_SIZE])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (ms <= 0 || localtime_r(&seconds, &tm) == NULL ||
        strftime(out, TEXT_SHORT_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
        snprintf(out, TEXT_SHORT_SIZE, "-");
    }
    return out;
}

const char *text_count(int64_t n, char out[TEXT_SHORT_SIZE])
{
    if (n == 0) {
        snprintf(out, TEXT_SHORT_SIZE, "-");
    } else {
        snprintf(out, TEXT_SHORT_SIZE, "%" PRId64, n);
    }
    return out;
}

int64_t text_now_ms(void)
{
    struct timespec now;
    int r = clock_gettime(CLOCK_REALTIME, &now);
    assert(r == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *member_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

int64_t member_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

bool member_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}
