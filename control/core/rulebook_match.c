/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/rulebook_match.c: which rules match an envelope, or what is known without one. See
 * rulebook.h. Pure.
 *
 * Promise: no memory is taken for a message. Each key that the message has costs one lookup:
 *          addresses, domains, characters in a row. Most of the latter end at one bit of a filter.
 *          Most rules under a key that is found end at their sign: what they want does not occur in
 *          the address. */
#include "control/core/rulebook.h"

#include "control/core/rulebook_shelf.h"

#include "common/id.h"
#include "common/limits/rcpts.h"
#include "common/limits/rules.h"

_Static_assert(OUTCOME_COUNT <= 64, "a bitmap of classes is one word");

/* --- what an envelope meets ------------------------------------------------------------------ */

/* Of a domain: one for each of its characters in each width, and its own. */
enum { DOMAIN_SHELVES_MAX = BOOK_MARKED_SIZE * BOOK_PART_MAX + 1 };

struct walk {
    const struct book *book;
    const struct envelope *envelope;
    unsigned route_index;
    const struct rcptset *pending;
    struct bytes sender; /* in lower case, as rcpt and marked */
    bool of_rcpt;        /* what is asked for is a recipient: this one */
    struct bytes rcpt;
    struct bytes marked; /* the address that is asked for, and its sign */
    struct book_sign sign;
    struct bytes domain; /* of the recipient before, as in the envelope: most have the same */
    bool in_domain;      /* a shelf that is found now belongs to the domain */
    size_t domain_shelf_count;
    const struct shelf **domain_shelf; /* DOMAIN_SHELVES_MAX */
    uint64_t met[LIMIT_RULES / 64];    /* rules that match */
    uint64_t asked[LIMIT_RULES / 64];  /* those, and all that were asked of this address */
    uint32_t *id;
    size_t count;
    size_t max;
};

static void note_match(struct walk *w, uint32_t id)
{
    size_t at = w->count;
    assert(w->count <= w->max);
    while (at > 0 && w->id[at - 1] > id) {
        at--;
    }
    if (at == w->max) {
        return;
    }
    size_t keep = w->count < w->max ? w->count : w->max - 1;
    memmove(&w->id[at + 1], &w->id[at], (keep - at) * sizeof w->id[0]);
    w->id[at] = id;
    w->count = keep + 1;
    assert(w->count <= w->max && at < w->count);
}

static bool ask_rule(const struct walk *w, const struct booked *rule)
{
    assert(rule->asks_envelope);
    if (w->of_rcpt) {
        return select_terms_match_rcpt(rule->term, rule->term_count, w->sender, w->rcpt);
    }
    struct rcptset mask = *w->pending;
    return select_terms_match_envelope(rule->term, rule->term_count, w->envelope, w->route_index,
                                       &mask);
}

static void ask_shelf(struct walk *w, const struct shelf *s)
{
    const struct book_sign sign = w->sign;
    assert(s->count > 0 || s->kind == BOOK_REST); /* an empty shelf is taken away */
    for (size_t i = 0; i < s->count; i++) {
        const struct slot *slot = &s->slot[i];
        if (!book_sign_has(sign, slot->sign)) {
            continue;
        }
        uint64_t bit = UINT64_C(1) << (slot->number % 64);
        if ((w->asked[slot->number / 64] & bit) != 0) {
            continue;
        }
        w->asked[slot->number / 64] |= bit;
        if (ask_rule(w, slot->rule)) {
            assert(slot->id != 0 && slot->number < LIMIT_RULES);
            w->met[slot->number / 64] |= bit;
            note_match(w, slot->id);
        }
    }
}

static void ask_key(struct walk *w, uint64_t key)
{
    const struct shelf *s = map_find(&w->book->shelves, key);
    if (s == NULL) {
        return;
    }
    if (w->in_domain) {
        assert(w->domain_shelf_count < DOMAIN_SHELVES_MAX);
        w->domain_shelf[w->domain_shelf_count++] = s;
    }
    ask_shelf(w, s);
}

static void ask_text(struct walk *w, enum book_kind kind, struct bytes text)
{
    if (w->book->kind_count[kind] > 0) {
        ask_key(w, book_key_text(&w->book->hash_key, kind, text));
    }
}

static void ask_characters(struct walk *w, enum book_kind kind, size_t from, size_t to)
{
    uint64_t seen[256 / 64] = {0};
    assert(from <= to && to <= w->marked.len);
    for (size_t i = from; i < to; i++) {
        uint8_t c = w->marked.data[i];
        uint64_t bit = UINT64_C(1) << (c % 64);
        if ((seen[c / 64] & bit) == 0) {
            seen[c / 64] |= bit;
            uint64_t key = book_key_number(kind, c);
            if (book_filter_has(w->book, key)) {
                ask_key(w, key);
            }
        }
    }
}

/* The parts of one width; it is a constant where it is called. */
static inline void ask_rows(struct walk *w, enum book_kind kind, size_t width, size_t from,
                            size_t to)
{
    const struct book *book = w->book;
    const struct bytes text = w->marked;
    assert(book_kind_is_part(kind) && to <= text.len);
    for (size_t i = from; i < to && i + width <= text.len; i++) {
        uint64_t key = book_key_number(kind, book_part(text.data + i, width));
        if (book_filter_has(book, key)) {
            ask_key(w, key);
        }
    }
}

/* The parts of the marked text that begin there. */
static void ask_parts(struct walk *w, enum book_kind one, size_t from, size_t to)
{
    const size_t *kind_count = &w->book->kind_count[one];
    assert(one == BOOK_SENDER_ONE || one == BOOK_RCPT_ONE);
    assert(from <= to && to <= w->marked.len);
    if (kind_count[0] > 0) {
        ask_characters(w, one, from, to);
    }
    if (kind_count[1] > 0) {
        ask_rows(w, (enum book_kind)(one + 1), 2, from, to);
    }
    if (kind_count[2] > 0) {
        ask_rows(w, (enum book_kind)(one + 2), 3, from, to);
    }
}

/* `marked` is what is asked for from now on. Returns it without its marks. */
static struct bytes ask_for(struct walk *w, struct bytes marked)
{
    assert(marked.len >= 2);
    w->marked = marked;
    w->sign = book_sign_of(marked);
    memcpy(w->asked, w->met, sizeof w->asked);
    return bytes_of(marked.data + 1, marked.len - 2);
}

static void ask_sender(struct walk *w, struct bytes marked)
{
    assert(!w->of_rcpt && !w->in_domain);
    struct bytes text = ask_for(w, marked);
    ask_text(w, BOOK_SENDER, text);
    ask_text(w, BOOK_SENDER_DOMAIN, select_domain_of(text));
    ask_parts(w, BOOK_SENDER_ONE, 0, w->marked.len);
}

static void ask_rcpt(struct walk *w, struct bytes address)
{
    uint8_t memory[BOOK_MARKED_SIZE];
    struct bytes text = ask_for(w, book_mark(address, memory));
    struct bytes domain = select_domain_of(address);
    size_t at = 1 + text.len - domain.len; /* where it begins in the marked text */
    assert(w->of_rcpt && !w->in_domain && domain.len <= text.len);
    w->rcpt = text;
    ask_text(w, BOOK_RCPT, text);
    ask_parts(w, BOOK_RCPT_ONE, 0, at);
    if (w->domain.data != NULL && bytes_equal(domain, w->domain)) {
        for (size_t i = 0; i < w->domain_shelf_count; i++) {
            ask_shelf(w, w->domain_shelf[i]);
        }
        return;
    }
    w->in_domain = true;
    w->domain_shelf_count = 0;
    ask_text(w, BOOK_RCPT_DOMAIN, select_domain_of(text));
    ask_parts(w, BOOK_RCPT_ONE, at, w->marked.len);
    w->in_domain = false;
    w->domain = domain;
    assert(w->domain_shelf_count <= DOMAIN_SHELVES_MAX);
}

/* Some rule stands under a key of that side: the whole, the domain, or parts of it. */
static bool has_side(const struct book *book, enum book_kind whole, enum book_kind domain,
                     enum book_kind one)
{
    size_t shelves = book->kind_count[whole] + book->kind_count[domain];
    assert(one == BOOK_SENDER_ONE || one == BOOK_RCPT_ONE);
    for (int width = 0; width < BOOK_PART_MAX; width++) {
        shelves += book->kind_count[one + width];
    }
    return shelves > 0;
}

static void ask_rcpts(struct walk *w)
{
    const struct envelope *e = w->envelope;
    unsigned n = 0;
    w->of_rcpt = true;
    for (unsigned i = 0; i < e->rcpt_count; i++) {
        if (e->rcpt[i].route_index == w->route_index && rcptset_has(w->pending, n++)) {
            ask_rcpt(w, e->rcpt[i].address);
        }
    }
    assert(n <= e->rcpt_count && w->count <= w->max);
}

size_t book_match_envelope(const struct book *book, const struct envelope *envelope,
                           unsigned route_index, const struct rcptset *pending,
                           uint32_t *rule_id_out, size_t max)
{
    const struct shelf *domain_shelf[DOMAIN_SHELVES_MAX];
    uint8_t memory[BOOK_MARKED_SIZE];
    struct walk w = {.book = book,
                     .envelope = envelope,
                     .route_index = route_index,
                     .pending = pending,
                     .domain_shelf = domain_shelf,
                     .id = rule_id_out,
                     .max = max};
    assert(envelope->rcpt_count <= LIMIT_RCPTS);
    if (book->envelope_count == 0 || rcptset_is_empty(pending)) {
        return 0;
    }
    struct bytes marked = book_mark(envelope->sender, memory);
    w.sender = bytes_of(memory + 1, marked.len - 2);
    ask_shelf(&w, &book->rest_envelope);
    if (has_side(book, BOOK_SENDER, BOOK_SENDER_DOMAIN, BOOK_SENDER_ONE)) {
        ask_sender(&w, marked);
    }
    if (has_side(book, BOOK_RCPT, BOOK_RCPT_DOMAIN, BOOK_RCPT_ONE)) {
        ask_rcpts(&w);
    }
    assert(w.count <= max && w.count <= book->envelope_count);
    return w.count;
}

/* --- what is known without the envelope ------------------------------------------------------ */

/* The lowest id on that shelf that matches and is below `best`, else `best`. */
static uint64_t ask_now(const struct shelf *s, const struct select_facts *facts, uint64_t best)
{
    for (size_t i = 0; s != NULL && i < s->count && s->slot[i].id < best; i++) {
        const struct slot *slot = &s->slot[i];
        if (facts->age_ms < slot->older_min_ms || facts->age_ms >= slot->younger_ms) {
            continue;
        }
        struct rcptset mask;
        if (select_terms_match_facts(slot->rule->term, slot->rule->term_count, facts, &mask) ==
            SELECT_YES) {
            assert(slot->id != 0 && !slot->rule->asks_envelope);
            return slot->id;
        }
    }
    return best;
}

static uint64_t ask_name(const struct book *book, enum book_kind kind, const char *name,
                         const struct select_facts *facts, uint64_t best)
{
    assert(kind == BOOK_ROUTE || kind == BOOK_HOP);
    if (book->kind_count[kind] == 0) {
        return best;
    }
    uint64_t key = book_key_text(&book->hash_key, kind, bytes_str(name));
    return ask_now(map_find(&book->shelves, key), facts, best);
}

static uint64_t ask_classes(const struct book *book, const struct select_facts *facts,
                            uint64_t best)
{
    uint64_t seen = 0;
    assert(best != 0);
    if (book->kind_count[BOOK_CLASS] == 0) {
        return best;
    }
    for (unsigned i = 0; i < LIMIT_RCPTS; i++) {
        if (facts->pending.word[i / 64] == 0) {
            i |= 63;
            continue;
        }
        uint64_t class = rcptset_has(&facts->pending, i) ? facts->class_of(facts->ctx, i) : 64;
        if (class < 64 && (seen >> class & 1) == 0) {
            seen |= UINT64_C(1) << class;
            uint64_t key = book_key_number(BOOK_CLASS, class);
            best = ask_now(map_find(&book->shelves, key), facts, best);
        }
    }
    return best;
}

uint32_t book_match_now(const struct book *book, const struct select_facts *facts)
{
    uint64_t best = UINT64_MAX;
    best = ask_now(&book->rest_now, facts, best);
    if (book->kind_count[BOOK_ID] > 0) {
        uint64_t key = book_key_number(BOOK_ID, id_message(facts->id));
        best = ask_now(map_find(&book->shelves, key), facts, best);
    }
    best = ask_name(book, BOOK_ROUTE, facts->route_name, facts, best);
    for (uint32_t i = 0; i < facts->hop_count; i++) {
        best = ask_name(book, BOOK_HOP, facts->hop_name[i], facts, best);
    }
    best = ask_classes(book, facts, best);
    assert(best != 0 && (best == UINT64_MAX || best <= UINT32_MAX));
    return best == UINT64_MAX ? 0 : (uint32_t)best;
}
