/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/check_parts.c: see check_parts.h. Pure. */
#include "control/core/check_parts.h"

#include "common/limits/ring.h"

/* --- rules and routes ------------------------------------------------------------------------ */

/* Every slot in its set has a delivery, and that delivery knows that some rule has noted it. */
static void check_noted(const struct core *c, const struct rule *rule)
{
    size_t count = 0;
    uint32_t at = 0;
    uint32_t budget = UINT32_MAX;
    uint32_t slot;
    while ((slot = slotset_next(&rule->noted, &at, &budget)) != UINT32_MAX) {
        assert(slot < index_slots(&c->index));
        const struct delivery *d = index_at(&c->index, slot);
        assert(d->id != 0 && d->noted);
        count++;
    }
    assert(count == rule->noted.count && (count == 0 || rule->asks_envelope));
}

static void check_rules(const struct core *c)
{
    const struct rules *rules = &c->rules;
    size_t asking = 0;
    size_t booked = 0;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = rules->rule[i];
        assert(rule->id != 0 && rules_find(rules, rule->id) == rule);
        assert(rule->in_force == (rule->id < RULES_PLANNED) && (rule->in_force || !rule->ending));
        assert(rule->asks_envelope == select_needs_envelope(&rule->select));
        assert(rule->matches <= rule->held_ever && (rule->in_force || rule->held_ever == 0));
        check_noted(c, rule);
        asking += rule->asks_envelope;
        booked += rule->in_force || rule->asks_envelope;
    }
    assert(book_envelope_count(rules->book) == asking);
    assert(book_check(rules->book) == booked);
}

static void check_routes(const struct core *c)
{
    const struct routes *routes = &c->routes;
    assert(routes->route[0] == NULL && routes->hop[0] == NULL);
    assert(routes->by_id.count == routes->route_count);
    assert(routes->hop_by_id.count == routes->hop_count);
    for (size_t i = 1; i <= routes->route_count; i++) {
        const struct route *r = routes->route[i];
        assert(r->index == i && routes_find(routes, r->id) == r);
        assert(r->known || r->hop_count == 0);
        for (uint32_t h = 0; h < r->hop_count; h++) {
            assert(r->hop[h]->known && r->hop_name[h] == r->hop[h]->name);
        }
    }
    for (size_t i = 1; i <= routes->hop_count; i++) {
        assert(routes->hop[i]->index == i);
        assert(routes_find_hop(routes, routes->hop[i]->id) == routes->hop[i]);
    }
}

/* --- outbox ---------------------------------------------------------------------------------- */

/* Returns how many of them are sent. */
static size_t check_commands(const struct outbox *o, const struct map *map,
                             enum abi_state_kind kind)
{
    size_t sent = 0;
    size_t at = 0;
    for (const struct pending *p = map_next(map, &at); p != NULL; p = map_next(map, &at)) {
        assert(p->kind == kind && outbox_find(o, p->id, kind) == p);
        assert(!rcptset_is_empty(&p->rcpts) && p->sent == list_is_empty(&p->node));
        sent += p->sent;
    }
    return sent;
}

static void check_outbox(const struct core *c)
{
    const struct outbox *o = &c->outbox;
    size_t unsent = 0;
    size_t fences = 0;
    uint64_t token = 0;
    size_t sent = check_commands(o, &o->releases, ABI_STATE_RELEASE) +
                  check_commands(o, &o->freezes, ABI_STATE_FREEZE);
    for (const struct list *n = o->unsent.next; n != &o->unsent; n = n->next) {
        assert(!list_entry(n, struct pending, node)->sent && n->next->prev == n);
        unsent++;
    }
    assert(sent == o->sent_count && sent <= OUTBOX_OUTSTANDING);
    assert(sent + unsent == o->releases.count + o->freezes.count);
    assert(sent == 0 || c->attach.phase != ATTACH_NONE);
    for (const struct list *n = o->fences.next; n != &o->fences; n = n->next) {
        const struct fence *fence = list_entry(n, struct fence, node);
        assert(fence->token > token && fence->token <= o->fence_token);
        token = fence->token;
        fences++;
    }
    assert(fences == o->fence_count);
}

/* --- logs ------------------------------------------------------------------------------------ */

static void check_seen(const struct seen *seen)
{
    for (size_t i = 0; i < seen->count; i++) {
        assert(seen->entry[i].pos >= seen->floor);
        assert(i == 0 || seen->entry[i - 1].pos < seen->entry[i].pos);
    }
    assert(seen->count <= seen->capacity && seen_top(seen) >= seen->floor);
}

static void check_segments(const struct liveness *live)
{
    for (size_t i = 0; i < live->count; i++) {
        const struct liveness_segment *segment = &live->segment[i];
        assert(i == 0 || live->segment[i - 1].seq < segment->seq);
        assert(segment->offered_ns == 0 || segment->exists);
    }
    assert(live->count <= live->capacity);
}

static void check_pieces(const struct image *image)
{
    const struct image_piece *last = NULL;
    uint32_t out = 0;
    uint32_t spare = 0;
    for (const struct image_piece *piece = image->out; piece != NULL; piece = piece->next) {
        assert(piece->len > 0 && piece->len <= IMAGE_PIECE_BYTES);
        last = piece;
        out++;
    }
    for (const struct image_piece *piece = image->spare; piece != NULL; piece = piece->next) {
        spare++;
    }
    assert(last == image->out_last && out == image->out_count);
    assert(spare == image->spare_count && spare <= IMAGE_SPARE_MAX);
}

static void check_image(const struct core *c)
{
    const struct image *image = &c->image;
    size_t saved = 0;
    check_pieces(image);
    for (const struct image_keep *keep = image->keep; keep != NULL; keep = keep->next) {
        assert(keep->count > 0 && keep->count <= IMAGE_KEEP_POSITIONS);
        assert(keep == image->keep || keep->count == IMAGE_KEEP_POSITIONS);
    }
    for (size_t i = 0; i < image->saved_count; i++) {
        assert(image->saved[i] <= image->epoch);
        saved += image->saved[i] == image->epoch;
    }
    if (!image->active) {
        return;
    }
    assert(image->cursor <= image->chunk_count && image->chunk_count <= image->saved_count);
    assert(saved <= image->chunk_count && image->deliveries <= saved * IMAGE_CHUNK_SLOTS);
    for (uint32_t chunk = 0; chunk < image->cursor; chunk++) {
        assert(image->saved[chunk] == image->epoch);
    }
}

/* --- the rest -------------------------------------------------------------------------------- */

static void check_attach(const struct core *c)
{
    const struct attach *a = &c->attach;
    assert((a->phase == ATTACH_NONE) == (a->region == NULL));
    if (a->phase == ATTACH_NONE) {
        assert(!a->reading && !a->has_held && !c->wishes.logs.wanted && c->flights.count == 0);
        return;
    }
    assert(a->worker_count > 0 && a->worker_count <= LIMIT_WORKERS);
    assert(a->credits <= LIMIT_DELIVERS_IN_FLIGHT * a->worker_count);
    assert(a->phase != ATTACH_INFLIGHT || a->ends_left > 0);
    assert(a->phase != ATTACH_RUNNING || a->ends_left == 0);
    assert(!c->wishes.logs.wanted || c->wishes.logs.ticket == a->ticket);
}

void check_parts(const struct core *c)
{
    check_rules(c);
    check_routes(c);
    check_outbox(c);
    check_seen(&c->journal.messages);
    check_seen(&c->journal.states);
    check_segments(&c->journal.liveness);
    check_image(c);
    check_attach(c);
    assert(c->rounds.resettle_slot <= index_slots(&c->index));
    assert(c->rounds.census_slot <= index_slots(&c->index));
    assert(c->notes.count <= NOTES_MAX);
    assert(c->wishes.done_reply_count <= c->wishes.done_reply_capacity);
}
