/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config_read.c: from libconfig's tree to values, by tables.
 *
 * Promise: a value that is kept had the right type, unit and range; what was wrong is said with
 *          its line and with an example of what would be right.
 * Trap:    libconfig's getters return 0 for a wrong type. Ask for the type first, always.
 */
#include "common/config_read.h"

#include "common/bytes.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int config_refuse(struct config_reader *reader, const config_setting_t *setting, const char *format,
                  ...)
{
    char text[CONFIG_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    unsigned line = setting == NULL ? 0 : config_setting_source_line(setting);
    if (line != 0) {
        snprintf(reader->error, CONFIG_ERROR_SIZE, "%s:%u: %.*s", reader->path, line,
                 CONFIG_ERROR_SIZE / 2 + 128, text);
    } else {
        snprintf(reader->error, CONFIG_ERROR_SIZE, "%s: %.*s", reader->path,
                 CONFIG_ERROR_SIZE / 2 + 128, text);
    }
    for (char *p = reader->error; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            *p = '?'; /* the message stays one line, whatever the file's strings hold */
        }
    }
    return -EINVAL;
}

const char *config_setting_label(const config_setting_t *setting)
{
    while (setting != NULL && config_setting_name(setting) == NULL) {
        setting = config_setting_parent(setting);
    }
    return setting == NULL ? "file" : config_setting_name(setting);
}

int config_expect_text(struct config_reader *reader, const config_setting_t *setting,
                       const char **text_out)
{
    if (config_setting_type(setting) != CONFIG_TYPE_STRING) {
        return config_refuse(reader, setting, "%s must be text (write it in double quotes)",
                             config_setting_label(setting));
    }
    *text_out = config_setting_get_string(setting);
    assert(*text_out != NULL);
    return 0;
}

int config_expect_list(struct config_reader *reader, const config_setting_t *setting, unsigned min,
                       unsigned max)
{
    int type = config_setting_type(setting);
    const char *label = config_setting_label(setting);
    if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY) {
        return config_refuse(reader, setting, "%s must be a list (write ( ... ) or [ ... ])",
                             label);
    }
    int length = config_setting_length(setting);
    if (length < 0 || (unsigned)length < min || (unsigned)length > max) {
        return config_refuse(reader, setting, "%s has %d entries (%u to %u are possible)", label,
                             length, min, max);
    }
    return 0;
}

/* --- units ----------------------------------------------------------------------------------- */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", 1000000},
    {"m", UINT64_C(60) * 1000000},
    {"h", UINT64_C(3600) * 1000000},
    {"d", UINT64_C(86400) * 1000000},
    {NULL, 0},
};

static const struct unit size_units[] = {
    {"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", 1024 * 1024 * 1024}, {NULL, 0},
};

/* Reads a text such as "30s" by the table. false: it is not a whole number directly followed by a
 * known unit. */
static bool parse_unit(const char *text, const struct unit *unit, uint64_t *value_out)
{
    uint64_t number = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
        if (digits >= 12) {
            return false; /* times a day in microseconds would not fit 64 bits */
        }
        number = number * 10 + (uint64_t)(text[digits] - '0');
    }
    for (; digits > 0 && unit->name != NULL; unit++) {
        if (strcmp(text + digits, unit->name) == 0) {
            return !__builtin_mul_overflow(number, unit->factor, value_out);
        }
    }
    return false;
}

/* Writes the value with the largest unit that divides it, for a message that names a bound. */
static const char *format_unit(uint64_t value, const struct unit *unit, char out[32])
{
    const struct unit *best = unit;
    for (const struct unit *u = unit; u->name != NULL; u++) {
        best = value != 0 && value % u->factor == 0 ? u : best;
    }
    assert(best->name != NULL);
    snprintf(out, 32, "%" PRIu64 "%s", value / best->factor, best->name);
    return out;
}

static void store(void *field, size_t size, uint64_t value)
{
    if (size == sizeof(uint64_t)) {
        memcpy(field, &value, size);
    } else if (size == sizeof(uint32_t)) {
        assert(value <= UINT32_MAX);
        memcpy(field, &(uint32_t){(uint32_t)value}, size);
    } else {
        assert(size == sizeof(uint16_t) && value <= UINT16_MAX);
        memcpy(field, &(uint16_t){(uint16_t)value}, size);
    }
}

/* Reads a duration or a size. `factor`: how many of the table's smallest unit make one kept
 * unit. */
static int read_unit(struct config_reader *reader, const config_setting_t *setting,
                     const struct config_key *key, const struct unit *unit, uint64_t factor,
                     void *field)
{
    bool is_duration = unit == duration_units;
    const char *example = is_duration ? "\"500ms\", \"30s\", \"5m\", \"2h\" or \"7d\""
                                      : "\"64KiB\", \"256MiB\" or \"1GiB\"";
    const char *noun = is_duration ? "duration" : "size";
    if (config_setting_type(setting) != CONFIG_TYPE_STRING) {
        return config_refuse(reader, setting, "%s must be a %s with its unit (such as %s)",
                             key->name, noun, example);
    }
    const char *text = config_setting_get_string(setting);
    uint64_t value;
    if (!parse_unit(text, unit, &value)) {
        return config_refuse(reader, setting, "%s: \"%.60s\" is not a %s (write it as %s)",
                             key->name, text, noun, example);
    }
    char low[32];
    char high[32];
    if (value % factor != 0 || value / factor < key->min || value / factor > key->max) {
        return config_refuse(reader, setting, "%s: \"%.60s\" is out of range (%s to %s%s%s)",
                             key->name, text, format_unit(key->min * factor, unit, low),
                             format_unit(key->max * factor, unit, high),
                             factor == 1 ? "" : ", in steps of ",
                             factor == 1 ? "" : format_unit(factor, unit, (char[32]){0}));
    }
    store(field, key->size, value / factor);
    return 0;
}

/* --- plain values ---------------------------------------------------------------------------- */

static int read_number(struct config_reader *reader, const config_setting_t *setting,
                       const struct config_key *key, void *field)
{
    int type = config_setting_type(setting);
    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
        return config_refuse(reader, setting, "%s must be a whole number without quotes or unit",
                             key->name);
    }
    long long value = type == CONFIG_TYPE_INT ? config_setting_get_int(setting)
                                              : config_setting_get_int64(setting);
    if (value < 0 || (uint64_t)value < key->min || (uint64_t)value > key->max) {
        return config_refuse(reader, setting,
                             "%s: %lld is out of range (%" PRIu64 " to %" PRIu64 ")", key->name,
                             value, key->min, key->max);
    }
    store(field, key->size, (uint64_t)value);
    return 0;
}

const char *config_check_name(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        bool inner = p > text && (*p == '.' || *p == '_' || *p == '-');
        if (!inner && !isalnum((unsigned char)*p)) {
            return "letters, digits, and after the first one also . _ -";
        }
    }
    return text[0] == '\0' ? "at least one letter or digit" : NULL;
}

/* RFC 5321 section 2.3.5: fully qualified; RFC 1123 section 2.1: letters, digits, hyphen. */
const char *config_check_domain(const char *text)
{
    size_t len = strlen(text);
    size_t label_len = 0;
    size_t label_count = 1;
    bool numeric = true;
    if (len == 0 || len > 253) {
        return "1 to 253 characters";
    }
    for (size_t i = 0; i <= len; i++) {
        char c = text[i];
        if (c == '.' || c == '\0') {
            if (label_len == 0 || label_len > 63 || text[i - 1] == '-') {
                return "labels of 1 to 63 characters between dots, no hyphen at their ends";
            }
            label_count += c == '.';
            numeric = c == '.' ? true : numeric;
            label_len = 0;
            continue;
        }
        if ((!isalnum((unsigned char)c) || (unsigned char)c > 0x7f) &&
            (c != '-' || label_len == 0)) {
            return "letters, digits, hyphens and dots; an international name as xn--...";
        }
        numeric = numeric && isdigit((unsigned char)c);
        label_len++;
    }
    if (label_count < 2 || numeric) {
        return "a fully qualified name such as mx.example.org";
    }
    return NULL;
}

/* Checks a mailbox as RFC 5321 section 4.1.2 defines it, but takes only the dot-string form of the
 * local part. The quoted form of a plain name is the same mailbox, and is found under the plain
 * one. */
const char *config_check_address(const char *text)
{
    const char *at = strrchr(text, '@');
    if (at == NULL || at == text || strlen(text) > LIMIT_ADDRESS_BYTES) {
        return "local-part@domain, 254 characters at most";
    }
    if ((size_t)(at - text) > LIMIT_LOCAL_PART_BYTES) {
        return "at most 64 characters before the @";
    }
    for (const char *p = text; p < at; p++) {
        bool dot = *p == '.' && p > text && p[1] != '.' && p + 1 < at;
        bool atext = (unsigned char)*p < 0x80 &&
                     (isalnum((unsigned char)*p) || strchr("!#$%&'*+-/=?^_`{|}~", *p) != NULL);
        if (!dot && !atext) {
            return "a plain local part without quotes, spaces or a dot at its ends";
        }
    }
    return config_check_domain(at + 1);
}

void config_lower(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (char)ascii_lower((uint8_t)*text);
    }
}

static const char *check_path(const char *text)
{
    return text[0] == '/' ? NULL : "an absolute path";
}

static int read_text(struct config_reader *reader, const config_setting_t *setting,
                     const struct config_key *key, char *field)
{
    const char *text = NULL;
    int r = config_expect_text(reader, setting, &text);
    if (r < 0) {
        return r;
    }
    const char *right = text[0] == '\0' ? "not empty" : NULL;
    if (key->kind == CONFIG_KIND_NAME) {
        right = config_check_name(text);
    } else if (key->kind == CONFIG_KIND_PATH) {
        right = check_path(text);
    } else if (key->kind == CONFIG_KIND_DOMAIN) {
        right = config_check_domain(text);
    }
    if (right != NULL) {
        return config_refuse(reader, setting, "%s: \"%.80s\" will not do (it must be: %s)",
                             key->name, text, right);
    }
    if (strlen(text) >= key->size) {
        return config_refuse(reader, setting, "%s is too long (%zu characters are possible)",
                             key->name, key->size - 1);
    }
    memcpy(field, text, strlen(text) + 1);
    if (key->kind == CONFIG_KIND_DOMAIN) {
        config_lower(field);
    }
    return 0;
}

static int read_bool(struct config_reader *reader, const config_setting_t *setting,
                     const struct config_key *key, bool *field)
{
    if (config_setting_type(setting) != CONFIG_TYPE_BOOL) {
        return config_refuse(reader, setting, "%s must be true or false, without quotes",
                             key->name);
    }
    *field = config_setting_get_bool(setting) != 0;
    return 0;
}

/* --- groups ---------------------------------------------------------------------------------- */

static int read_key(struct config_reader *reader, config_setting_t *setting,
                    const struct config_key *key, void *field)
{
    switch (key->kind) {
    case CONFIG_KIND_TEXT:
    case CONFIG_KIND_NAME:
    case CONFIG_KIND_PATH:
    case CONFIG_KIND_DOMAIN:
        return read_text(reader, setting, key, field);
    case CONFIG_KIND_BOOL:
        return read_bool(reader, setting, key, field);
    case CONFIG_KIND_NUMBER:
        return read_number(reader, setting, key, field);
    case CONFIG_KIND_MSEC:
        return read_unit(reader, setting, key, duration_units, 1000, field);
    case CONFIG_KIND_USEC:
        return read_unit(reader, setting, key, duration_units, 1, field);
    case CONFIG_KIND_SIZE:
        return read_unit(reader, setting, key, size_units, 1, field);
    case CONFIG_KIND_MIB:
        return read_unit(reader, setting, key, size_units, 1024 * 1024, field);
    case CONFIG_KIND_CUSTOM:
        return key->read(reader, setting, field);
    }
    assert(!"a kind of key without a reader");
    return -EINVAL;
}

static int refuse_unknown(struct config_reader *reader, const config_setting_t *child,
                          const struct config_key *key, size_t key_count)
{
    char known[CONFIG_ERROR_SIZE] = "";
    size_t len = 0;
    for (size_t i = 0; i < key_count && len + 48 < sizeof known; i++) {
        len += (size_t)snprintf(known + len, sizeof known - len, "%s%s", i == 0 ? "" : ", ",
                                key[i].name);
    }
    return config_refuse(reader, child, "unknown key \"%.60s\" (known here: %s)",
                         config_setting_name(child), known);
}

static int check_known(struct config_reader *reader, const config_setting_t *group,
                       const struct config_key *key, size_t key_count)
{
    for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++) {
        const config_setting_t *child = config_setting_get_elem(group, i);
        size_t at = 0;
        while (at < key_count && strcmp(config_setting_name(child), key[at].name) != 0) {
            at++;
        }
        if (at == key_count) {
            return refuse_unknown(reader, child, key, key_count);
        }
    }
    return 0;
}

int config_read_group(struct config_reader *reader, config_setting_t *group,
                      const struct config_key *key, size_t key_count, void *into)
{
    if (config_setting_type(group) != CONFIG_TYPE_GROUP) {
        return config_refuse(reader, group, "%s must be a group (write { key = value; ... })",
                             config_setting_label(group));
    }
    int r = check_known(reader, group, key, key_count);
    for (size_t i = 0; r == 0 && i < key_count; i++) {
        config_setting_t *child = config_setting_get_member(group, key[i].name);
        if (child != NULL) {
            r = read_key(reader, child, &key[i], (char *)into + key[i].offset);
        } else if (key[i].required) {
            r = config_refuse(reader, group, "%s is missing in %s", key[i].name,
                              config_setting_label(group));
        }
    }
    return r;
}
