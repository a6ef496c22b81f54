/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rulebook_check.c: does the book of rules agree with itself? A part of core_check
 * (check.h), for tests alone. Pure. */
#include "control/core/rulebook.h"

#include "control/core/rulebook_shelf.h"

#include "common/limits/rules.h"

/* Returns how many rules stand there. */
static size_t check_shelf(const struct book *book, const struct shelf *s)
{
    assert(s->kind == BOOK_REST || (s->count > 0 && map_find(&book->shelves, s->key) == s));
    assert(!book_kind_is_part(s->kind) || book_filter_has(book, s->key));
    for (size_t i = 0; i < s->count; i++) {
        const struct slot *slot = &s->slot[i];
        assert(i == 0 || s->slot[i - 1].id < slot->id);
        assert(map_find(&book->rules, slot->id) == slot->rule && slot->rule->shelf == s);
        assert(slot->number == slot->rule->number && slot->number < LIMIT_RULES);
        assert((book->numbers[slot->number / 64] >> (slot->number % 64) & 1) != 0);
    }
    return s->count;
}

size_t book_check(const struct book *book)
{
    size_t kind_count[BOOK_KINDS] = {0};
    size_t numbers = 0;
    size_t at = 0;
    size_t rules = check_shelf(book, &book->rest_envelope) + check_shelf(book, &book->rest_now);
    for (const struct shelf *s = map_next(&book->shelves, &at); s != NULL;
         s = map_next(&book->shelves, &at)) {
        rules += check_shelf(book, s);
        kind_count[s->kind]++;
    }
    for (int kind = 0; kind < BOOK_KINDS; kind++) {
        assert(kind_count[kind] == book->kind_count[kind]);
    }
    for (size_t i = 0; i < LIMIT_RULES / 64; i++) {
        numbers += (size_t)__builtin_popcountll(book->numbers[i]);
    }
    assert(rules == book->rules.count && numbers == rules);
    return rules;
}
