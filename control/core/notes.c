/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/notes.c: see notes.h. Pure. */
#include "control/core/notes.h"

#include "common/bytes.h"

static const struct {
    int level;
    const char *text;
} infos[] = {
#define NOTE(name, level, text) [NOTE_##name] = {level, text},
#include "control/core/notes.def"
#undef NOTE
};

void notes_add(struct notes *notes, enum note_kind kind, const char *name, uint64_t a, uint64_t b)
{
    assert(kind < NOTE_COUNT);
    assert(notes->count <= NOTES_MAX);
    if (notes->count == NOTES_MAX) {
        notes->dropped++;
        return;
    }
    struct note *note = &notes->note[notes->count++];
    assert(notes->count <= NOTES_MAX && notes->dropped == 0);
    *note = (struct note){.kind = kind, .a = a, .b = b};
    (void)bytes_copy_str(bytes_str(name == NULL ? "" : name), note->name, sizeof note->name);
}

void notes_clear(struct notes *notes)
{
    notes->count = 0;
    notes->dropped = 0;
}

int notes_format(const struct note *note, char out[NOTE_LINE_SIZE])
{
    assert(note->kind < NOTE_COUNT);
    struct text text = text_of(out, NOTE_LINE_SIZE);
    for (const char *p = infos[note->kind].text; *p != '\0'; p++) {
        if (*p != '%') {
            text_append_first(&text, p, 1);
            continue;
        }
        switch (*++p) {
        case 'n':
            text_append(&text, note->name);
            break;
        case 'a':
            text_append_number(&text, note->a);
            break;
        case 'b':
            text_append_number(&text, note->b);
            break;
        default: /* p */
            text_append_number(&text, note->a >> 32);
            text_append(&text, ":");
            text_append_number(&text, (uint32_t)note->a);
            break;
        }
    }
    return infos[note->kind].level;
}
