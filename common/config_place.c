/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config_place.c: run_dir alone, also from a configuration that is wrong elsewhere.
 *
 * The operator's command needs one value: the folder of control's socket. A typo in a route must
 * not keep an operator from control. A guess must not lead the operator to another relay.
 *
 *   the configuration is good            run_dir as it says
 *   the syntax is good, each key known   run_dir as it says, or the default where it says nothing
 *   the syntax is bad                    the one line `run_dir = "/path";`, if there is just one
 *   anything else                        not known: a person has to say
 *
 * Promise: a folder is given only when the file cannot be read in a way that gives another one.
 * Trap:    after a missing quote or bracket, strings and comments cannot be told apart. So each
 *          line is read alone; when two lines name run_dir, neither counts.
 */
#include "common/bytes.h"
#include "common/config_read.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char WORD[] = "run_dir";

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*';
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\r') {
        p++;
    }
    return p;
}

static bool is_comment(const char *p)
{
    return p[0] == '#' || (p[0] == '/' && p[1] == '/');
}

/* True when the whole line is `run_dir = "/path";`, and perhaps a comment. */
static bool parse_line(const char *line, char run_dir_out[CONFIG_PATH_SIZE])
{
    const char *p = skip_blanks(line);
    if (strncmp(p, WORD, sizeof WORD - 1) != 0) {
        return false;
    }
    p = skip_blanks(p + sizeof WORD - 1);
    if (*p != '=' && *p != ':') {
        return false;
    }
    p = skip_blanks(p + 1);
    if (p[0] != '"' || p[1] != '/') {
        return false;
    }
    const char *value = p + 1;
    size_t len = strcspn(value, "\"\\\n");
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)value[i] < 0x20 || value[i] == 0x7f) {
            return false;
        }
    }
    if (value[len] != '"' || len >= CONFIG_PATH_SIZE) {
        return false;
    }
    p = skip_blanks(value + len + 1);
    p = *p == ';' || *p == ',' ? skip_blanks(p + 1) : p;
    bool whole = *p == '\n' || *p == '\0' || is_comment(p);
    /* libconfig joins strings that follow each other. */
    const char *next = p + strcspn(p, "\n");
    bool joined = next[strspn(next, " \t\r\n")] == '"';
    if (!whole || joined) {
        return false;
    }
    memcpy(run_dir_out, value, len);
    run_dir_out[len] = '\0';
    return true;
}

/* True when the word is in the line, and the line is not a comment. */
static bool names_run_dir(const char *line, size_t len)
{
    if (is_comment(skip_blanks(line))) {
        return false;
    }
    for (size_t i = 0; i + sizeof WORD - 1 <= len; i++) {
        bool begins = i == 0 || !is_word_byte(line[i - 1]);
        if (begins && memcmp(line + i, WORD, sizeof WORD - 1) == 0 &&
            !is_word_byte(line[i + sizeof WORD - 1])) {
            return true;
        }
    }
    return false;
}

/* The last byte of the string that begins at p, or of the line, where no quote ends it there. */
static const char *end_of_string(const char *p)
{
    for (p++; *p != '"' && p[0] != '\0' && p[1] != '\0' && p[1] != '\n'; p++) {
        p += p[0] == '\\' && p[1] == '"';
    }
    return p;
}

/* True when every bracket and block comment that opens before the line is closed before it. */
static bool is_at_top(const char *text, const char *line)
{
    int depth = 0;
    bool in_comment = false;
    for (const char *p = text; p < line; p++) {
        if (in_comment) {
            in_comment = p[0] != '*' || p[1] != '/';
        } else if (p[0] == '/' && p[1] == '*') {
            in_comment = true;
            p++;
        } else if (is_comment(p)) {
            p += strcspn(p, "\n");
        } else if (*p == '"') {
            p = end_of_string(p);
        } else {
            depth += strchr("{([", *p) != NULL;
            depth -= strchr("})]", *p) != NULL;
        }
    }
    return depth == 0 && !in_comment;
}

static bool find_line(const char *text, size_t len, char run_dir_out[CONFIG_PATH_SIZE])
{
    bool found = false;
    if (strlen(text) != len) {
        return false;
    }
    for (const char *line = text; *line != '\0';) {
        size_t line_len = strcspn(line, "\n");
        if (names_run_dir(line, line_len)) {
            if (found || !is_at_top(text, line) || !parse_line(line, run_dir_out)) {
                return false;
            }
            found = true;
        }
        line += line_len + (line[line_len] == '\n');
    }
    return found;
}

static bool is_silent(const char *text)
{
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (names_run_dir(line, len)) {
            return false;
        }
        line += len + (line[len] == '\n');
    }
    return true;
}

/* Finds run_dir where the syntax is good and each key of the file is known. */
static bool find_setting(const char *text, size_t len, char run_dir_out[CONFIG_PATH_SIZE])
{
    char error[CONFIG_ERROR_SIZE];
    config_t tree;
    struct config_reader reader = {.path = "", .error = error, .tree = &tree};
    config_init(&tree);
    config_set_include_dir(&tree, "/dev/null");
    bool good = config_check_tokens(&reader, text, len) == 0 && config_read_string(&tree, text);
    const config_setting_t *root = good ? config_root_setting(&tree) : NULL;
    unsigned count = good ? (unsigned)config_setting_length(root) : 0;
    for (unsigned i = 0; good && i < count; i++) {
        good = config_is_key(config_setting_name(config_setting_get_elem(root, i)));
    }
    const config_setting_t *setting = good ? config_setting_get_member(root, WORD) : NULL;
    if (setting != NULL) {
        const char *value = config_setting_get_string(setting);
        good = value != NULL && value[0] == '/' && strlen(value) < CONFIG_PATH_SIZE;
        bytes_copy_str(bytes_str(good ? value : ""), run_dir_out, CONFIG_PATH_SIZE);
    } else if (good) {
        good = is_silent(text); /* the file may have a run_dir inside a group, by mistake */
        bytes_copy_str(bytes_str(CONFIG_RUN_DIR), run_dir_out, CONFIG_PATH_SIZE);
    }
    config_destroy(&tree);
    return good && count > 0;
}

enum config_place config_find_run_dir(const char *path, char run_dir_out[CONFIG_PATH_SIZE],
                                      char error_out[CONFIG_ERROR_SIZE])
{
    char *text = NULL;
    size_t len = 0;
    struct config *config = NULL;
    run_dir_out[0] = '\0';
    int r = config_take_file(path, &text, &len, error_out);
    if (r < 0) {
        return CONFIG_PLACE_UNREADABLE;
    }
    enum config_place place = CONFIG_PLACE_UNKNOWN;
    if (config_parse(path, text, len, &config, error_out) == 0) {
        bytes_copy_str(bytes_str(config->run_dir), run_dir_out, CONFIG_PATH_SIZE);
        config_free(config);
        place = CONFIG_PLACE_GOOD;
    } else if (find_setting(text, len, run_dir_out) || find_line(text, len, run_dir_out)) {
        place = CONFIG_PLACE_LIKELY;
    } else {
        run_dir_out[0] = '\0';
    }
    free(text);
    assert((run_dir_out[0] == '/') == (place == CONFIG_PLACE_GOOD || place == CONFIG_PLACE_LIKELY));
    return place;
}
