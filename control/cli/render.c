/* SPDX-License-Identifier: BSD-3-Clause */
/* control/cli/render.c: tables with aligned columns for people.
 *
 * Promise: every cell is cleaned. A column is as wide as its widest cell, up to the given bound.
 *          One long address must not push the other columns off the screen.
 */
#include "control/cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void table_init(struct table *table, const char *const *title, size_t column_count)
{
    assert(column_count > 1 && column_count <= TABLE_COLUMNS_MAX);
    *table = (struct table){.column_count = column_count};
    for (size_t i = 0; i < column_count; i++) {
        table->right[i] = title[i][0] == '>';
        table->title[i] = title[i] + (table->right[i] ? 1 : 0);
    }
}

static void append(struct table *table, char *cell)
{
    if (table->cell_count == table->cell_capacity) {
        size_t capacity = table->cell_capacity == 0 ? 64 : table->cell_capacity * 2;
        char **grown = realloc(table->cell, capacity * sizeof *grown);
        assert(grown != NULL); /* a command that is out of memory has changed nothing */
        table->cell = grown;
        table->cell_capacity = capacity;
    }
    table->cell[table->cell_count++] = cell;
}

void table_cell(struct table *table, const char *text)
{
    char clean[CLI_TEXT_SIZE];
    char *copy = strdup(utf8_clean(text[0] == '\0' ? "-" : text, clean, sizeof clean));
    assert(copy != NULL);
    append(table, copy);
}

void table_format(struct table *table, const char *format, ...)
{
    char text[CLI_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    table_cell(table, text);
}

void table_note(struct table *table, const char *text)
{
    assert(table->cell_count % table->column_count == 0);
    append(table, NULL);
    table_cell(table, text);
    for (size_t i = 2; i < table->column_count; i++) {
        append(table, NULL);
    }
}

/* Cuts a text at the column's bound. Two dots show that it was cut. */
static void cut(char *text, size_t width_max)
{
    size_t width = 0;
    for (char *p = text; width_max > 2 && *p != '\0'; p++) {
        width += ((unsigned char)*p & 0xc0) != 0x80;
        if (width == width_max - 1 && text_width(text) > width_max) {
            memcpy(p, "..", 3); /* there were more than two bytes from here on */
            return;
        }
    }
}

static size_t column_width(const struct table *table, size_t column)
{
    size_t width = strlen(table->title[column]);
    for (size_t i = 0; i < table->cell_count; i += table->column_count) {
        if (table->cell[i] != NULL) {
            size_t cell = text_width(table->cell[i + column]);
            width = cell > width ? cell : width;
        }
    }
    return width;
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
    size_t pad = width - text_width(text);
    if (right) {
        printf("%*s%s", (int)pad, "", text);
    } else {
        printf("%s%*s", text, last ? 0 : (int)pad, "");
    }
    fputs(last ? "\n" : "  ", stdout);
}

static void print_row(const struct table *table, const size_t *width, char *const *cell)
{
    if (cell[0] == NULL) {
        printf("    %s\n", cell[1]);
        return;
    }
    for (size_t i = 0; i < table->column_count; i++) {
        print_cell(cell[i], width[i], table->right[i], i + 1 == table->column_count);
    }
}

void table_print(struct table *table)
{
    size_t width[TABLE_COLUMNS_MAX];
    size_t columns = table->column_count;
    assert(table->cell_count % columns == 0);
    for (size_t i = 0; i < table->cell_count; i++) {
        if (table->cell[i - i % columns] != NULL) {
            cut(table->cell[i], table->width_max[i % columns]);
        }
    }
    for (size_t i = 0; i < columns; i++) {
        width[i] = column_width(table, i);
    }
    for (size_t i = 0; table->cell_count > 0 && i < columns; i++) {
        print_cell(table->title[i], width[i], table->right[i], i + 1 == columns);
    }
    for (size_t i = 0; i < table->cell_count; i += columns) {
        print_row(table, width, &table->cell[i]);
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        free(table->cell[i]);
    }
    free(table->cell);
    *table = (struct table){.column_count = columns};
}

void render_field(const char *label, const char *text)
{
    char clean[CLI_TEXT_SIZE];
    printf("%-12s%s\n", label, utf8_clean(text, clean, sizeof clean));
}
