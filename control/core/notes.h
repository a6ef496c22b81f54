/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/notes.h: what the core has to say to an operator's log. The shell takes the notes
 * and writes the lines.
 *
 * Promise: noting costs nothing that waits. When there are more notes in a turn than room, the rest
 *          are counted. */
#ifndef HOLDFAST_CONTROL_CORE_NOTES_H
#define HOLDFAST_CONTROL_CORE_NOTES_H

#include "common/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum note_kind {
#define NOTE(name, level, text) NOTE_##name,
#include "control/core/notes.def"
#undef NOTE
    NOTE_COUNT,
};

enum { NOTES_MAX = 64, NOTE_NAME_SIZE = 64, NOTE_LINE_SIZE = 512 };

struct note {
    enum note_kind kind;
    char name[NOTE_NAME_SIZE];
    uint64_t a;
    uint64_t b;
};

struct notes {
    struct note note[NOTES_MAX];
    uint32_t count;
    uint64_t dropped; /* since the last notes_clear */
};

/* `name` is copied; may be NULL. */
void notes_add(struct notes *notes, enum note_kind kind, const char *name, uint64_t a, uint64_t b);
void notes_clear(struct notes *notes);
/* As a line; returns its level. */
int notes_format(const struct note *note, char out[NOTE_LINE_SIZE]);

#endif
