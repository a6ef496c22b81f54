/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/smtp/trace.c: the Received field that we put before each message (RFC 5321 section
 * 4.4).
 *
 * Promise: every line is under 998 octets, and nothing that the peer said can end a line: the name
 *          that it gave was cleaned at EHLO.
 *
 *   Received: from HELO ([192.0.2.1])\r\n
 *   \tby mx.example.net with ESMTP id 4k2...;\r\n
 *   \tThu, 01 Jan 1970 00:00:00 +0000\r\n */
#include "dataplane/smtp/server_internal.h"

#include "common/id.h"

struct date {
    unsigned year, month, day, weekday, second_of_day;
};

/* The Gregorian date of a day number. Eras of 400 years begin in March, so that the leap day is the
 * last day of each. */
static struct date date_of(uint64_t seconds)
{
    uint64_t day_number = seconds / 86400;
    uint64_t z = day_number + 719468; /* days from 0000-03-01 to 1970-01-01 */
    uint64_t era_day = z % 146097;
    uint64_t era_year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
    uint64_t year_day = era_day - (365 * era_year + era_year / 4 - era_year / 100);
    uint64_t march_month = (5 * year_day + 2) / 153;
    struct date date = {
        .day = (unsigned)(year_day - (153 * march_month + 2) / 5 + 1),
        .month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9),
        .weekday = (unsigned)((day_number + 4) % 7), /* 1970-01-01 was a Thursday */
        .second_of_day = (unsigned)(seconds % 86400),
    };
    date.year = (unsigned)(z / 146097 * 400 + era_year + (date.month <= 2));
    return date;
}

/* Written by hand: printf would take a third of the time that this layer needs for a small
 * message. */
struct trace {
    uint8_t *data;
    size_t size;
    size_t len;
};

static void put(struct trace *t, const char *text, size_t len)
{
    assert(len <= t->size - t->len);
    memcpy(t->data + t->len, text, len);
    t->len += len;
}

static void put_str(struct trace *t, const char *text)
{
    put(t, text, strlen(text));
}

/* Writes at least `digits` digits. */
static void put_number(struct trace *t, unsigned number, size_t digits)
{
    char text[12];
    size_t at = sizeof text;
    while (number > 0 || sizeof text - at < digits) {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    }
    put(t, text + at, sizeof text - at);
}

/* address-literal (section 4.1.3) */
static void put_literal(struct trace *t, const struct ip_addr *addr)
{
    char text[IP_TEXT_SIZE];
    if (!ip_is_v4(addr)) {
        put_str(t, "[IPv6:");
        put_str(t, ip_format(addr, text));
    } else {
        const uint8_t *octet = ip_v4_octets(addr);
        for (unsigned i = 0; i < 4; i++) {
            put(t, i == 0 ? "[" : ".", 1);
            put_number(t, octet[i], 1);
        }
    }
    put(t, "]", 1);
}

/* date-time, RFC 5322 section 3.3 */
static void put_date(struct trace *t, uint64_t seconds)
{
    static const char weekday[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char month[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct date d = date_of(seconds);
    assert(d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= 31);
    put(t, weekday[d.weekday], 3);
    put(t, ", ", 2);
    put_number(t, d.day, 2);
    put(t, " ", 1);
    put(t, month[d.month - 1], 3);
    put(t, " ", 1);
    put_number(t, d.year, 4);
    put(t, " ", 1);
    put_number(t, d.second_of_day / 3600, 2);
    put(t, ":", 1);
    put_number(t, d.second_of_day / 60 % 60, 2);
    put(t, ":", 1);
    put_number(t, d.second_of_day % 60, 2);
    put(t, " +0000", 6);
}

size_t trace_format(const struct smtp_server *server, uint8_t *out, size_t out_size)
{
    struct trace t = {.data = out, .size = out_size};
    assert(server->helo_len > 0 && out_size >= TRACE_FIXED_BYTES);
    put_str(&t, "Received: from ");
    put(&t, server->helo, server->helo_len);
    put_str(&t, " (");
    put_literal(&t, &server->client);
    put_str(&t, ")\r\n\tby ");
    put_str(&t, server->env->hostname);
    put_str(&t, (server->flags & SERVER_ESMTP) != 0 ? " with ESMTP id " : " with SMTP id ");
    char id[ID_TEXT_SIZE];
    put_str(&t, id_format(server->txn->id, id));
    put_str(&t, ";\r\n\t");
    /* Ten digits of seconds reach the year 2286. A later clock is wrong. */
    uint64_t seconds = server->wall_ms / 1000;
    put_date(&t, seconds < UINT64_C(9999999999) ? seconds : UINT64_C(9999999999));
    put_str(&t, "\r\n");
    return t.len;
}
