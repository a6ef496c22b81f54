/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config_read.h: the parts of the configuration reader, for config*.c only.
 *
 * A group of settings is a table of keys; config_read_group walks it, so an unknown key, a wrong
 * type, unit or range is refused in one place, with the line and with what would be right.
 *
 *   config.c         the file, libconfig, the table of the top level, defaults, freeing
 *   config_read.c    tables to values: durations, sizes, numbers, names, addresses
 *   config_number.c  what libconfig 1.5 lets pass: numbers that overflow, NUL in strings
 *   config_lists.c   interfaces, listen, hops
 *   config_routes.c  routes
 *   config_check.c   what only shows when all is read: duplicates, reach, sizes that must fit
 *   config_place.c   run_dir alone, also from a file that is wrong elsewhere
 */
#ifndef HOLDFAST_COMMON_CONFIG_READ_H
#define HOLDFAST_COMMON_CONFIG_READ_H

#include "common/config.h"

#include <libconfig.h>

struct config_reader {
    const char *path;
    char *error; /* CONFIG_ERROR_SIZE */
    config_t *tree;
    struct config *config;
};

enum config_kind {
    CONFIG_KIND_TEXT,   /* any text that fits */
    CONFIG_KIND_NAME,   /* letters, digits, dot, underscore, hyphen */
    CONFIG_KIND_PATH,   /* absolute */
    CONFIG_KIND_DOMAIN, /* a fully qualified host or domain name, kept in lower case */
    CONFIG_KIND_BOOL,
    CONFIG_KIND_NUMBER, /* uint32_t, or uint16_t by its size */
    CONFIG_KIND_MSEC,   /* a duration, kept in milliseconds */
    CONFIG_KIND_USEC,   /* a duration, kept in microseconds */
    CONFIG_KIND_SIZE,   /* bytes, uint64_t, or uint32_t by its size */
    CONFIG_KIND_MIB,    /* a size, kept in MiB */
    CONFIG_KIND_CUSTOM, /* `read` does it */
};

typedef int (*config_read_fn)(struct config_reader *reader, config_setting_t *setting, void *into);

struct config_key {
    const char *name;
    enum config_kind kind;
    bool required;
    size_t offset; /* of the field in the structure that is being filled */
    size_t size;   /* bytes of the field */
    uint64_t min;  /* in the unit that is kept */
    uint64_t max;
    config_read_fn read;
};

#define CONFIG_FIELD(type, field) offsetof(type, field), sizeof(((type *)NULL)->field)

/* Writes "path:line: ..." and returns -EINVAL. A NULL setting has no line. */
__attribute__((format(printf, 3, 4))) must_check int config_refuse(struct config_reader *reader,
                                                                   const config_setting_t *setting,
                                                                   const char *format, ...);

/* Keys are read in the order of the table; `into` is the structure, filled with its defaults. */
must_check int config_read_group(struct config_reader *reader, config_setting_t *group,
                                 const struct config_key *key, size_t key_count, void *into);
/* A list or array of `min` to `max` elements. */
must_check int config_expect_list(struct config_reader *reader, const config_setting_t *setting,
                                  unsigned min, unsigned max);
/* The text of a string setting; borrowed from the tree. */
must_check int config_expect_text(struct config_reader *reader, const config_setting_t *setting,
                                  const char **text_out);
/* "name = ..." or, for an element of a list, the list's name. */
const char *config_setting_label(const config_setting_t *setting);

/* NULL when it is good, else what would be right. */
const char *config_check_name(const char *text);
const char *config_check_domain(const char *text);
const char *config_check_address(const char *text);
void config_lower(char *text);

must_check int config_read_interfaces(struct config_reader *reader, config_setting_t *setting,
                                      void *into);
must_check int config_read_listen(struct config_reader *reader, config_setting_t *setting,
                                  void *into);
must_check int config_read_hops(struct config_reader *reader, config_setting_t *setting,
                                void *into);
must_check int config_read_routes(struct config_reader *reader, config_setting_t *setting,
                                  void *into);
must_check int config_read_texts(struct config_reader *reader, config_setting_t *setting,
                                 unsigned max, char ***text_out, uint32_t *count_out);

/* The file's bytes, with a NUL behind them, to be freed. -errno with one line in error_out. */
must_check int config_take_file(const char *path, char **text_out, size_t *len_out,
                                char error_out[CONFIG_ERROR_SIZE]);
/* True when a setting of that name exists at the top level. */
bool config_is_key(const char *name);

/* Refuses what libconfig would silently change. `text` ends in NUL at `len`. */
must_check int config_check_tokens(struct config_reader *reader, const char *text, size_t len);
/* Checks what can be checked only when the whole configuration is read. */
must_check int config_check_all(struct config_reader *reader);

#endif
