/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rulebook.c: adds rules to the book, and takes them out. See rulebook.h;
 * rulebook_key.c knows which keys a term offers, rulebook_match.c asks the book. Pure.
 *
 * Promise: a rule stands on one shelf, under the key that is asked for least. A shelf of characters
 *          has its bit in the filter. */
#include "control/core/rulebook.h"

#include "control/core/mem.h"
#include "control/core/rulebook_shelf.h"

#include "common/limits/rules.h"

_Static_assert(LIMIT_RULES % 64 == 0, "a bitmap of rules is whole words");

struct book *book_create(const struct siphash_key *key)
{
    struct book *book = mem_zalloc(sizeof *book);
    book->hash_key = *key;
    book->rest_envelope.kind = BOOK_REST;
    book->rest_now.kind = BOOK_REST;
    return book;
}

void book_destroy(struct book *book)
{
    size_t at = 0;
    assert(book->rules.count <= LIMIT_RULES && book->envelope_count <= book->rules.count);
    for (struct shelf *s = map_next(&book->shelves, &at); s != NULL;
         s = map_next(&book->shelves, &at)) {
        mem_free(s->slot);
        mem_free(s);
    }
    at = 0;
    for (struct booked *r = map_next(&book->rules, &at); r != NULL;
         r = map_next(&book->rules, &at)) {
        mem_free(r);
    }
    mem_free(book->rest_envelope.slot);
    mem_free(book->rest_now.slot);
    map_fini(&book->shelves);
    map_fini(&book->rules);
    mem_free(book);
}

size_t book_envelope_count(const struct book *book)
{
    return book->envelope_count;
}

/* --- adding and removing --------------------------------------------------------------------- */

static struct book_sign sign_for(const struct shelf *s, const struct booked *rule)
{
    assert(s->kind < BOOK_KINDS);
    if (s->kind == BOOK_REST) {
        return (struct book_sign){0, 0};
    }
    return book_terms_sign(rule->term, rule->term_count, book_kind_is_of_rcpt(s->kind));
}

static void filter_add(struct book *book, uint64_t key)
{
    uint32_t bit = book_filter_bit(key);
    book->filter[bit / 64] |= UINT64_C(1) << (bit % 64);
    assert(book_filter_has(book, key));
}

/* A bit may stand for two shelves. */
static void filter_rebuild(struct book *book)
{
    size_t at = 0;
    memset(book->filter, 0, sizeof book->filter);
    for (const struct shelf *s = map_next(&book->shelves, &at); s != NULL;
         s = map_next(&book->shelves, &at)) {
        if (book_kind_is_part(s->kind)) {
            filter_add(book, s->key);
        }
    }
}

static struct shelf *shelf_take(struct book *book, const struct book_offer *offer)
{
    struct shelf *s = map_find(&book->shelves, offer->key);
    assert(offer->kind < BOOK_REST);
    if (s == NULL) {
        s = mem_zalloc(sizeof *s);
        s->key = offer->key;
        s->kind = offer->kind;
        map_put(&book->shelves, s->key, s);
        book->kind_count[s->kind]++;
        if (book_kind_is_part(s->kind)) {
            filter_add(book, s->key);
        }
    }
    assert(s->key == offer->key && book->kind_count[s->kind] > 0);
    return s;
}

static void shelf_give(struct book *book, struct shelf *s)
{
    assert(s->count == 0);
    if (s->kind == BOOK_REST) {
        return;
    }
    bool part = book_kind_is_part(s->kind);
    const struct shelf *removed = map_remove(&book->shelves, s->key);
    assert(removed == s && book->kind_count[s->kind] > 0);
    book->kind_count[s->kind]--;
    mem_free(s->slot);
    mem_free(s);
    if (part) {
        filter_rebuild(book);
    }
}

/* The first slot whose id is not below. */
static size_t slot_of(const struct shelf *s, uint32_t id)
{
    size_t low = 0;
    size_t high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->slot[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    assert(low <= s->count && (low == 0 || s->slot[low - 1].id < id));
    return low;
}

static void shelf_put(struct shelf *s, struct booked *rule, uint32_t id)
{
    size_t at = slot_of(s, id);
    assert(rule->shelf == NULL && (at == s->count || s->slot[at].id != id));
    struct slot slot = {.younger_ms = UINT64_MAX, .rule = rule, .id = id, .number = rule->number};
    slot.sign = sign_for(s, rule);
    for (uint32_t i = 0; i < rule->term_count; i++) {
        uint64_t ms = rule->term[i].number;
        if (rule->term[i].key == SELECT_OLDER && ms >= slot.older_min_ms) {
            slot.older_min_ms = ms + 1;
        } else if (rule->term[i].key == SELECT_YOUNGER && ms < slot.younger_ms) {
            slot.younger_ms = ms;
        }
    }
    s->slot = mem_grow(s->slot, &s->capacity, s->count + 1, sizeof *s->slot);
    memmove(&s->slot[at + 1], &s->slot[at], (s->count - at) * sizeof *s->slot);
    s->slot[at] = slot;
    s->count++;
    rule->shelf = s;
    assert(s->count <= s->capacity && slot_of(s, id) == at);
}

/* The best key so far. */
struct choice {
    const struct book *book;
    struct book_offer best;
};

static void choose(void *ctx, const struct book_offer *offer)
{
    struct choice *choice = ctx;
    assert(offer->kind < BOOK_REST && offer->cost < UINT32_MAX);
    const struct shelf *s = map_find(&choice->book->shelves, offer->key);
    uint32_t cost = offer->cost + (s == NULL ? 0 : (uint32_t)s->count);
    if (cost < choice->best.cost) {
        choice->best = *offer;
        choice->best.cost = cost;
    }
}

static struct shelf *choose_shelf(struct book *book, const struct booked *rule)
{
    struct choice choice = {.book = book, .best = {.kind = BOOK_REST, .cost = UINT32_MAX}};
    assert(rule->shelf == NULL);
    for (uint32_t i = 0; i < rule->term_count; i++) {
        if (select_key_is_envelope(rule->term[i].key) == rule->asks_envelope) {
            book_term_offers(&book->hash_key, &rule->term[i], choose, &choice);
        }
    }
    if (choice.best.kind == BOOK_REST) {
        return rule->asks_envelope ? &book->rest_envelope : &book->rest_now;
    }
    assert(choice.best.cost < UINT32_MAX);
    return shelf_take(book, &choice.best);
}

static uint32_t number_take(struct book *book)
{
    uint32_t number = 0;
    while ((book->numbers[number / 64] >> (number % 64) & 1) != 0) {
        number++;
        assert(number < LIMIT_RULES);
    }
    book->numbers[number / 64] |= UINT64_C(1) << (number % 64);
    return number;
}

/* What is asked of the envelope is asked without case; names of routes and hops have it. */
static void lower_case(struct select_term *term)
{
    for (char *at = term->text; select_key_is_envelope(term->key) && *at != '\0'; at++) {
        *at = (char)ascii_lower((uint8_t)*at);
    }
}

void book_add(struct book *book, uint32_t rule_id, const struct select *select)
{
    assert(rule_id != 0 && map_find(&book->rules, rule_id) == NULL);
    assert(book->rules.count < LIMIT_RULES && select->count <= LIMIT_SELECT_TERMS);
    struct booked *rule = mem_zalloc(sizeof *rule + select->count * sizeof select->term[0]);
    rule->number = number_take(book);
    rule->term_count = select->count;
    rule->asks_envelope = select_needs_envelope(select);
    for (uint32_t i = 0; i < select->count; i++) {
        rule->term[i] = select->term[i];
        lower_case(&rule->term[i]);
    }
    map_put(&book->rules, rule_id, rule);
    shelf_put(choose_shelf(book, rule), rule, rule_id);
    book->envelope_count += rule->asks_envelope;
    assert(rule->shelf != NULL && book->envelope_count <= book->rules.count);
}

void book_remove(struct book *book, uint32_t rule_id)
{
    struct booked *rule = map_remove(&book->rules, rule_id);
    assert(rule != NULL && rule->shelf != NULL);
    assert(book->envelope_count >= rule->asks_envelope);
    struct shelf *s = rule->shelf;
    size_t at = slot_of(s, rule_id);
    assert(at < s->count && s->slot[at].rule == rule);
    s->count--;
    memmove(&s->slot[at], &s->slot[at + 1], (s->count - at) * sizeof *s->slot);
    if (s->count == 0) {
        shelf_give(book, s);
    }
    book->numbers[rule->number / 64] &= ~(UINT64_C(1) << (rule->number % 64));
    book->envelope_count -= rule->asks_envelope;
    mem_free(rule);
    assert(book->envelope_count <= book->rules.count);
}
