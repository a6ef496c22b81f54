/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config.c: the configuration file: defaults, the table of its keys, loading, freeing.
 *
 * Promise: config_load gives a configuration in which every name resolves and every bound holds,
 *          or one line that says where and what to write instead.
 * Trap:    @include is refused: a file and line must name one file, and what was checked must be
 *          what runs. libconfig gets a directory in which no file can be.
 *
 * Each group of settings has a table; config_read.h has the reader. Keys are read in the order of
 * their table, not of the file, so that hops are read before the routes that name them.
 */
#include "common/config.h"

#include "common/bytes.h"
#include "common/config_read.h"
#include "common/limits/message.h"
#include "common/limits/rcpts.h"
#include "common/limits/spool.h"
#include "common/limits/tcp.h"
#include "common/trouble.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A million recipients (CONFIG_RECIPIENTS_MAX) with their routes are 64 MiB of text. */
enum { CONFIG_FILE_BYTES_MAX = 64 << 20 };
/* More than DPDK has options. */
enum { CONFIG_EAL_ARGS_MAX = 64 };

#define MSEC_PER_S 1000u
#define MSEC_PER_M (60u * MSEC_PER_S)
#define MSEC_PER_H (60u * MSEC_PER_M)
#define MSEC_PER_D (24u * MSEC_PER_H)
#define KIB        UINT64_C(1024)
#define MIB        (KIB * 1024)

static int read_eal(struct config_reader *reader, config_setting_t *setting, void *into)
{
    (void)into;
    struct config *config = reader->config;
    return config_read_texts(reader, setting, CONFIG_EAL_ARGS_MAX, &config->dataplane.eal_arg,
                             &config->dataplane.eal_arg_count);
}

static int read_io(struct config_reader *reader, config_setting_t *setting, void *into)
{
    const char *text;
    int r = config_expect_text(reader, setting, &text);
    if (r < 0) {
        return r;
    }
    if (strcmp(text, "auto") != 0 && strcmp(text, "io_uring") != 0 &&
        strcmp(text, "pwritev2") != 0) {
        return config_refuse(reader, setting,
                             "io: \"%.40s\" is unknown (\"auto\", \"io_uring\" or \"pwritev2\")",
                             text);
    }
    memcpy(into, text, strlen(text) + 1);
    return 0;
}

static int read_mode(struct config_reader *reader, config_setting_t *setting, void *into)
{
    const char *text;
    int r = config_expect_text(reader, setting, &text);
    if (r < 0) {
        return r;
    }
    size_t len = strlen(text);
    if (len < 3 || len > 4 || strspn(text, "01234567") != len || (len == 4 && text[0] != '0')) {
        return config_refuse(reader, setting,
                             "admin_mode: \"%.40s\" is not a file mode (such as \"0660\")", text);
    }
    uint32_t mode = (uint32_t)strtoul(text, NULL, 8);
    if ((mode & 0002) != 0) {
        return config_refuse(reader, setting,
                             "admin_mode: \"%s\" lets every user of this machine hold and release "
                             "mail (\"0660\" with an admin_group)",
                             text);
    }
    memcpy(into, &mode, sizeof mode);
    return 0;
}

/* --- the tables ------------------------------------------------------------------------------ */

#define C(field) CONFIG_FIELD(struct config, field)

static const struct config_key dataplane_keys[] = {
    {"lcore", CONFIG_KIND_NUMBER, false, C(dataplane.lcore), 0, 1023, NULL},
    {"service_cpu", CONFIG_KIND_NUMBER, false, C(dataplane.service_cpu), 0, 1023, NULL},
    {"hugepages", CONFIG_KIND_BOOL, false, C(dataplane.hugepages), 0, 0, NULL},
    {"memory", CONFIG_KIND_MIB, false, C(dataplane.memory_mib), 64, 1024 * 1024, NULL},
    {"idle_nap", CONFIG_KIND_USEC, false, C(dataplane.idle_nap_us), 0, 10000, NULL},
    {"eal", CONFIG_KIND_CUSTOM, false, C(dataplane.eal_arg), 0, 0, read_eal},
};

static const struct config_key spool_keys[] = {
    {"dir", CONFIG_KIND_PATH, false, C(spool.dir), 0, 0, NULL},
    /* The offset in a position has 32 bits. The smallest segment holds a few large records. */
    {"segment", CONFIG_KIND_SIZE, false, C(spool.segment_bytes), MIB, 2048 * MIB, NULL},
    {"segments_max", CONFIG_KIND_NUMBER, false, C(spool.segments_max), 4, LIMIT_SEGMENTS, NULL},
    {"state_segment", CONFIG_KIND_SIZE, false, C(spool.state_segment_bytes), MIB, 256 * MIB, NULL},
    {"io", CONFIG_KIND_CUSTOM, false, C(spool.io), 0, 0, read_io},
};

static const struct config_key limits_keys[] = {
    /* RFC 5321 section 4.5.3.1.7: at least 64K octets. */
    {"message", CONFIG_KIND_SIZE, false, C(limits.message_bytes), 64 * KIB, LIMIT_MESSAGE_BYTES,
     NULL},
    /* RFC 5321 section 4.5.3.1.8: at least 100 recipients. */
    {"rcpts", CONFIG_KIND_NUMBER, false, C(limits.rcpts), 100, LIMIT_RCPTS, NULL},
    {"connections", CONFIG_KIND_NUMBER, false, C(limits.connections), 2, LIMIT_CONNECTIONS, NULL},
    {"connections_per_client", CONFIG_KIND_NUMBER, false, C(limits.connections_per_client), 1,
     LIMIT_CONNECTIONS, NULL},
    /* RFC 5321 section 4.5.3.2.7 asks for 5 minutes. Less is for tests, and for a relay under
     * attack. */
    {"command_timeout", CONFIG_KIND_MSEC, false, C(limits.command_timeout_ms), MSEC_PER_S,
     MSEC_PER_H, NULL},
    {"data_timeout", CONFIG_KIND_MSEC, false, C(limits.data_timeout_ms), MSEC_PER_S, MSEC_PER_H,
     NULL},
    {"transaction_timeout", CONFIG_KIND_MSEC, false, C(limits.transaction_timeout_ms), MSEC_PER_S,
     MSEC_PER_D, NULL},
};

static const struct config_key retry_keys[] = {
    {"first", CONFIG_KIND_MSEC, false, C(retry.first_ms), 100, MSEC_PER_D, NULL},
    {"max", CONFIG_KIND_MSEC, false, C(retry.max_ms), 100, 7 * MSEC_PER_D, NULL},
};

static const struct config_key control_keys[] = {
    {"admin_mode", CONFIG_KIND_CUSTOM, false, C(control.admin_mode), 0, 0, read_mode},
    {"admin_group", CONFIG_KIND_NAME, false, C(control.admin_group), 0, 0, NULL},
    {"look_group", CONFIG_KIND_NAME, false, C(control.look_group), 0, 0, NULL},
    {"checkpoint_interval", CONFIG_KIND_MSEC, false, C(control.checkpoint_interval_ms), 100,
     MSEC_PER_H, NULL},
    /* 49 days are what 32 bits of milliseconds hold. */
    {"domain_grace", CONFIG_KIND_MSEC, false, C(control.domain_grace_ms), 0, 49u * MSEC_PER_D,
     NULL},
};

#define GROUP(name)                                                                                \
    static int read_##name(struct config_reader *reader, config_setting_t *setting, void *into)    \
    {                                                                                              \
        (void)into;                                                                                \
        return config_read_group(reader, setting, name##_keys,                                     \
                                 sizeof name##_keys / sizeof name##_keys[0], reader->config);      \
    }
GROUP(dataplane)
GROUP(spool)
GROUP(limits)
GROUP(retry)
GROUP(control)

static const struct config_key top_keys[] = {
    {"hostname", CONFIG_KIND_DOMAIN, true, C(hostname), 0, 0, NULL},
    {"instance", CONFIG_KIND_NAME, false, C(instance), 0, 0, NULL},
    {"run_dir", CONFIG_KIND_PATH, false, C(run_dir), 0, 0, NULL},
    {"state_dir", CONFIG_KIND_PATH, false, C(state_dir), 0, 0, NULL},
    {"user", CONFIG_KIND_NAME, false, C(user), 0, 0, NULL},
    {"group", CONFIG_KIND_NAME, false, C(group), 0, 0, NULL},
    {"dataplane", CONFIG_KIND_CUSTOM, false, C(dataplane), 0, 0, read_dataplane},
    {"interfaces", CONFIG_KIND_CUSTOM, true, C(interface), 0, 0, config_read_interfaces},
    {"listen", CONFIG_KIND_CUSTOM, true, C(listen), 0, 0, config_read_listen},
    {"spool", CONFIG_KIND_CUSTOM, false, C(spool), 0, 0, read_spool},
    {"limits", CONFIG_KIND_CUSTOM, false, C(limits), 0, 0, read_limits},
    {"retry", CONFIG_KIND_CUSTOM, false, C(retry), 0, 0, read_retry},
    {"control", CONFIG_KIND_CUSTOM, false, C(control), 0, 0, read_control},
    {"hops", CONFIG_KIND_CUSTOM, true, C(hop), 0, 0, config_read_hops},
    {"routes", CONFIG_KIND_CUSTOM, true, C(route), 0, 0, config_read_routes},
};

static void set_text(char *field, size_t size, const char *text)
{
    size_t len = bytes_copy_str(bytes_str(text), field, size);
    assert(len == strlen(text));
}

#define SET(field, text) set_text(config->field, sizeof config->field, text)

void config_defaults(struct config *config)
{
    *config = (struct config){0};
    SET(instance, "main");
    SET(run_dir, CONFIG_RUN_DIR);
    SET(state_dir, "/var/lib/holdfast");
    config->dataplane.lcore = 1;
    config->dataplane.hugepages = true;
    config->dataplane.memory_mib = 512;
    config->dataplane.idle_nap_us = 50;
    SET(spool.dir, "/var/spool/holdfast");
    config->spool.segment_bytes = 256 * MIB;
    config->spool.segments_max = 64;
    config->spool.state_segment_bytes = 8 * MIB;
    SET(spool.io, "auto");
    config->limits.message_bytes = (uint32_t)(100 * MIB);
    config->limits.rcpts = LIMIT_RCPTS;
    config->limits.connections = 4096;
    config->limits.connections_per_client = 256;
    config->limits.command_timeout_ms = 5 * MSEC_PER_M;
    config->limits.data_timeout_ms = 3 * MSEC_PER_M;
    config->limits.transaction_timeout_ms = 10 * MSEC_PER_M;
    config->retry.first_ms = 5 * MSEC_PER_M;
    config->retry.max_ms = MSEC_PER_H;
    config->control.admin_mode = 0660;
    SET(control.admin_group, "root");
    config->control.checkpoint_interval_ms = 10 * MSEC_PER_S;
    config->control.domain_grace_ms = 7 * MSEC_PER_D;
}

/* --- the file -------------------------------------------------------------------------------- */

/* Reads all of fd into *text_out, NUL-terminated. */
static int read_all(int fd, size_t size, char **text_out, size_t *len_out)
{
    char *text = malloc(size + 1);
    size_t len = 0;
    while (text != NULL && len < size) {
        ssize_t n = read(fd, text + len, size - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            int r = -errno;
            free(text);
            return r;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    if (text == NULL) {
        return -ENOMEM;
    }
    text[len] = '\0';
    *text_out = text;
    *len_out = len;
    return 0;
}

static int read_path(const char *path, char **text_out, size_t *len_out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    if (r == 0 && S_ISDIR(st.st_mode)) {
        r = -EISDIR;
    } else if (r == 0 && !S_ISREG(st.st_mode)) {
        r = -EINVAL;
    } else if (r == 0 && st.st_size > CONFIG_FILE_BYTES_MAX) {
        r = -EFBIG;
    }
    if (r == 0) {
        r = read_all(fd, (size_t)st.st_size, text_out, len_out);
    }
    close(fd);
    return r;
}

int config_take_file(const char *path, char **text_out, size_t *len_out,
                     char error_out[CONFIG_ERROR_SIZE])
{
    int r = read_path(path, text_out, len_out);
    if (r < 0) {
        snprintf(error_out, CONFIG_ERROR_SIZE, "%s: reading the configuration: %s", path,
                 trouble_meaning(r));
    }
    return r;
}

bool config_is_key(const char *name)
{
    for (size_t i = 0; i < sizeof top_keys / sizeof top_keys[0]; i++) {
        if (strcmp(top_keys[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Refuses with libconfig's own message, and says what to do about the two that puzzle people. */
static int refuse_syntax(struct config_reader *reader, const char *text)
{
    const char *error = config_error_text(reader->tree);
    int line = config_error_line(reader->tree);
    const char *advice = "";
    if (text[0] == '\0') {
        error = "the file is empty";
    } else if (strstr(error, "include") != NULL) {
        error = "@include is not supported";
        advice = " (write everything into this one file)";
    } else if (strcmp(error, "syntax error") == 0) {
        advice = " (near this line: look for a missing ; or , or bracket or quote)";
    }
    snprintf(reader->error, CONFIG_ERROR_SIZE, "%s:%d: %s%s", reader->path, line, error, advice);
    return -EINVAL;
}

static int read_tree(struct config_reader *reader, const char *text, size_t len)
{
    int r = config_check_tokens(reader, text, len);
    if (r < 0) {
        return r;
    }
    if (!config_read_string(reader->tree, text)) {
        return refuse_syntax(reader, text);
    }
    r = config_read_group(reader, config_root_setting(reader->tree), top_keys,
                          sizeof top_keys / sizeof top_keys[0], reader->config);
    return r < 0 ? r : config_check_all(reader);
}

int config_parse(const char *path, const char *text, size_t len, struct config **config_out,
                 char error_out[CONFIG_ERROR_SIZE])
{
    config_t tree;
    struct config_reader reader = {.path = path, .error = error_out, .tree = &tree};
    error_out[0] = '\0';
    if (strlen(path) >= CONFIG_PATH_SIZE) {
        snprintf(error_out, CONFIG_ERROR_SIZE, "the path of the configuration is too long");
        return -ENAMETOOLONG;
    }
    struct config *config = malloc(sizeof *config);
    if (config == NULL) {
        snprintf(error_out, CONFIG_ERROR_SIZE, "%s: no memory", path);
        return -ENOMEM;
    }
    config_defaults(config);
    SET(path, path);
    reader.config = config;
    config_init(&tree);
    config_set_include_dir(&tree, "/dev/null"); /* nothing can be opened below a device */
    int r = read_tree(&reader, text, len);
    config_destroy(&tree);
    if (r < 0) {
        assert(error_out[0] != '\0');
        config_free(config);
        return r;
    }
    *config_out = config;
    return 0;
}

int config_load(const char *path, struct config **config_out, char error_out[CONFIG_ERROR_SIZE])
{
    char *text = NULL;
    size_t len = 0;
    int r = config_take_file(path, &text, &len, error_out);
    if (r < 0) {
        return r;
    }
    r = config_parse(path, text, len, config_out, error_out);
    free(text);
    return r;
}

static void free_texts(char **text, uint32_t count)
{
    for (uint32_t i = 0; text != NULL && i < count; i++) {
        free(text[i]);
    }
    free(text);
}

void config_free(struct config *config)
{
    if (config == NULL) {
        return;
    }
    for (uint32_t i = 0; i < config->route_count; i++) {
        free_texts(config->route[i].domain, config->route[i].domain_count);
        free_texts(config->route[i].recipient, config->route[i].recipient_count);
    }
    free_texts(config->dataplane.eal_arg, config->dataplane.eal_arg_count);
    free(config->hop);
    free(config->route);
    free(config);
}
