/* SPDX-License-Identifier: BSD-3-Clause */
/* control/admin/problems.c: see problems.h.
 *
 * Promise: a command in the advice (`do`) works as it is typed: it has its selection, and a reason
 *          where it acts. Where the advice is to reload or to end control, it is a `kill` with
 *          control's process id, which works under any service manager.
 * Trap:    mail that waits is no problem by itself; mail that has waited for longer than its
 *          route's objective is. */
#include "control/admin/problems.h"

#include "common/counters.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* A hop is mute when it has mail under way and has said nothing for longer than any command may
 * take by RFC 5321 section 4.5.3.2.6. */
#define MUTE_NS (UINT64_C(600) * 1000000000)
/* Ages are differences of the wall clock. An error of this much spoils none of them. */
#define CLOCK_MS (UINT64_C(60) * 1000)
/* A rule that has held nothing for this long after it was made counts as one that matches
 * nothing. */
#define IDLE_MS (UINT64_C(3600) * 1000)

struct problems {
    json_t *list;
    int level;
};

void problems_sum(const struct control *c, struct problems_sums *s)
{
    *s = (struct problems_sums){.frozen_rcpts = 0};
    for (size_t at = 1; at <= c->core.routes.route_count; at++) {
        const struct route *r = routes_at(&c->core.routes, at);
        for (int i = 0; i < DELIVERY_STATE_COUNT; i++) {
            s->state[i].deliveries += r->tally[i].deliveries;
            s->state[i].rcpts += r->tally[i].rcpts;
        }
        for (int i = 0; i < OUTCOME_COUNT; i++) {
            s->frozen_rcpts += r->frozen_rcpts[i];
        }
    }
}

bool problems_has_mail(const struct route *r)
{
    uint64_t deliveries = 0;
    for (int i = 0; i < DELIVERY_STATE_COUNT; i++) {
        deliveries += r->tally[i].deliveries;
    }
    return deliveries > 0;
}

__attribute__((format(printf, 5, 6))) static void add(struct problems *p, const char *what,
                                                      int level, const char *what_to_do,
                                                      const char *format, ...)
{
    char text[320];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_t *o = json_object();
    admin_set_text(o, "what", bytes_str(what));
    admin_set_number(o, "level", (uint64_t)level);
    admin_set_words(o, "text", text);
    admin_set_words(o, "do", what_to_do);
    p->level = level > p->level ? level : p->level;
    /* The worst first. Equal ones stay in the order in which they were found. */
    size_t at = 0;
    while (at < json_array_size(p->list) &&
           json_integer_value(json_object_get(json_array_get(p->list, at), "level")) >= level) {
        at++;
    }
    json_array_insert_new(p->list, at, o);
}

static void check_spool(struct problems *p, const struct control *c)
{
    const struct abi_attach *region = c->core.attach.region;
    if (c->core.attach.phase != ATTACH_RUNNING) {
        add(p, "detached", 2, "see whether holdfast-dataplane runs, and its log",
            "no dataplane is attached: mail does not come in through it, and nothing is delivered");
    }
    if (region == NULL) {
        return;
    }
    uint32_t state = atomic_load_explicit(&region->spool_state, memory_order_relaxed);
    uint64_t free_segments =
        atomic_load_explicit(&region->counter[COUNTER_segments_free], memory_order_relaxed);
    bool full = state == ABI_SPOOL_FULL;
    if (state == ABI_SPOOL_FENCED) {
        add(p, "spool_fenced", 2,
            "look for disk errors in the kernel's log, then restart "
            "holdfast-dataplane",
            "the spool met an I/O error: senders are answered 421");
    } else if (full) {
        add(p, "spool_full", 2, "see what holds the space: holdfast count --by route,class",
            "the spool is full: senders are answered 452 (%" PRIu64 " segments are free)",
            free_segments);
    }
    if (c->core.attach.phase == ATTACH_RUNNING &&
        !attach_policy_adopted(&c->core.attach, c->core.policy_generation)) {
        add(p, "policy", 1, "see the log of holdfast-dataplane",
            "the dataplane has not taken policy generation %" PRIu64
            " yet: nothing is delivered until it has",
            c->core.policy_generation);
    }
}

static void add_recovering(struct problems *p, const struct control *c)
{
    char progress[PROGRESS_TEXT_SIZE];
    add(p, "recovering", 2, "wait; if it does not get on, see the log of holdfast-control",
        "control is still %s; until that is done the figures are not whole, nothing is delivered, "
        "and other commands are refused",
        progress_text(c, progress));
}

static void check_policy_db(struct problems *p, const struct control *c)
{
    char act[200];
    bool lost = c->core.rules_lost;
    if (c->verifier.why[0] != '\0') {
        snprintf(act, sizeof act,
                 "restore policy.db, then end control and start it again: kill %ld; see OPERATING, "
                 "Damage",
                 (long)getpid());
        add(p, "policy_db", 2,
            lost ? act : "see whether the disk of state_dir is full, and who else uses policy.db",
            "%s: %s", lost ? "nothing is delivered" : "commands that act are refused",
            c->verifier.why);
    }
}

static void check_config(struct problems *p, const struct control *c)
{
    char act[120];
    if (c->publisher.refused[0] != '\0') {
        snprintf(act, sizeof act, "mend it; then: holdfast config check; then: kill -HUP %ld",
                 (long)getpid());
        add(p, "config", 1, act,
            "the configuration was refused at the reload, the old one is in force: %s",
            c->publisher.refused);
    }
}

static void check_damage(struct problems *p, const struct control *c)
{
    /* What an earlier run of control found is known by the segments that are kept for it. */
    size_t kept = liveness_pinned_count(&c->core.journal.liveness);
    if (c->core.journal.damaged > 0 || kept > 0) {
        add(p, "damage", 2, "find it: holdfast spool verify; see OPERATING, Damage",
            "the spool is damaged: %" PRIu64 " places were found since control was started, %zu "
            "segments are kept because of damage",
            c->core.journal.damaged, kept);
    }
    if (c->saver.error < 0) {
        add(p, "checkpoint", 1, "see the log of holdfast-control; is the disk full?",
            "the last checkpoint could not be saved: a restart takes longer");
    }
}

/* A clock that was set back makes mail look younger than it is: problems that are found by age
 * would vanish unseen. */
static void check_clock(struct problems *p, const struct control *c)
{
    uint64_t wall_ms = c->core.now.wall_ms;
    uint64_t newest_ms = c->core.newest_wall_ms;
    char act[240];
    if (newest_ms > wall_ms + CLOCK_MS) {
        snprintf(act, sizeof act,
                 "see whether the clock is right: timedatectl; if it is, it was ahead before: once "
                 "the mail of that time is delivered, end control and start it again: kill %ld",
                 (long)getpid());
        add(p, "clock", 1, act,
            "the clock was set back by %" PRIu64
            " minutes: ages may be wrong, and problems by age may not be told",
            (newest_ms - wall_ms) / 60000);
    }
}

static void check_hops(struct problems *p, const struct control *c)
{
    char act[128];
    for (size_t i = 1; i <= c->core.routes.hop_count; i++) {
        const struct hop *h = routes_hop_at(&c->core.routes, i);
        uint64_t begun_ns = flight_oldest_ns(&c->core.flights, h);
        uint64_t since_ns = h->heard_ns > begun_ns ? h->heard_ns : begun_ns;
        snprintf(act, sizeof act, "mend it; then: holdfast retry hop=%s --reason 'it is mended'",
                 h->name);
        if (h->known && h->breaker.state != BREAKER_CLOSED) {
            add(p, "breaker", 1, act, "hop %s is down after %" PRIu64 " failures: %s", h->name,
                (uint64_t)h->breaker.failures, outcome_meaning((enum outcome)h->last_outcome));
        } else if (h->in_flight > 0 && begun_ns != 0 && c->core.now.now_ns > since_ns + MUTE_NS) {
            add(p, "mute_hop", 1, act,
                "hop %s has %u deliveries under way and has said nothing for %" PRIu64 " minutes",
                h->name, h->in_flight, (c->core.now.now_ns - since_ns) / 1000000000 / 60);
        }
    }
}

static void check_routes(struct problems *p, const struct control *c)
{
    char act[160];
    uint64_t wall_ms = c->core.now.wall_ms;
    for (size_t i = 1; i <= c->core.routes.route_count; i++) {
        const struct route *r = routes_at(&c->core.routes, i);
        uint64_t age_ms = r->tempfail_oldest_ms != 0 && wall_ms > r->tempfail_oldest_ms
                              ? wall_ms - r->tempfail_oldest_ms
                              : 0;
        if (r->tally[DELIVERY_ORPHAN].deliveries > 0) {
            snprintf(act, sizeof act,
                     "give route %s back to the configuration; then: kill -HUP %ld", r->name,
                     (long)getpid());
            add(p, "orphans", 1, act,
                "%" PRIu64 " deliveries are orphans: the configuration has no route %s",
                r->tally[DELIVERY_ORPHAN].deliveries, r->name);
        }
        if (r->objective_ms != 0 && age_ms > r->objective_ms) {
            snprintf(act, sizeof act, "ask why: holdfast list route=%s class=tempfail", r->name);
            add(p, "tempfail", 1, act,
                "route %s: %" PRIu64 " deliveries meet 4xx, the oldest for %" PRIu64 " minutes",
                r->name, r->tempfail_count, age_ms / 60000);
        }
    }
}

static void add_unreadable(struct problems *p, const struct rule *rule)
{
    char act[280];
    snprintf(act, sizeof act,
             "see what it was for: holdfast audit; hold that anew; then end this one: holdfast "
             "release rule=%u --reason 'it is held anew'",
             rule->id);
    add(p, "bad_rule", 2, act,
        "rule %u by %s cannot be read in the policy database: until it is ended it holds all mail, "
        "%" PRIu64 " deliveries now",
        rule->id, rule->author, rule->matches);
}

static void check_jobs(struct problems *p, const struct control *c)
{
    char act[280];
    if (c->bad_jobs.count > 0) {
        snprintf(act, sizeof act,
                 "see what it was for: holdfast audit; release that again; to forget it, in "
                 "state_dir: sqlite3 policy.db 'DELETE FROM jobs WHERE id = %u'; then end control "
                 "and start it again: kill %ld",
                 c->bad_jobs.first_id, (long)getpid());
        add(p, "bad_job", 1, act,
            "%zu releases that were under way when control was started cannot be read in the "
            "policy database, and do not go on: the first is job %u",
            c->bad_jobs.count, c->bad_jobs.first_id);
    }
}

static void check_rules(struct problems *p, const struct control *c)
{
    char act[160];
    uint64_t wall_ms = c->core.now.wall_ms;
    for (size_t i = 0; i < c->core.rules.count; i++) {
        const struct rule *rule = c->core.rules.rule[i];
        if (!rule->in_force) {
            continue;
        }
        if (rule->unreadable) {
            add_unreadable(p, rule);
            continue;
        }
        snprintf(act, sizeof act,
                 "look at it: holdfast rules; to end it: holdfast release rule=%u --reason 'it is "
                 "not needed'",
                 rule->id);
        if (rule->review_ms != 0 && wall_ms > rule->review_ms) {
            add(p, "overdue_rule", 1, act,
                "rule %u by %s was to be reviewed %" PRIu64 " hours ago; it holds %" PRIu64
                " deliveries",
                rule->id, rule->author, (wall_ms - rule->review_ms) / 3600000, rule->matches);
        } else if (rule->matches == 0 && rule->held_ever == 0 &&
                   wall_ms > rule->created_ms + IDLE_MS) {
            add(p, "idle_rule", 1, act,
                "rule %u by %s has held nothing: does it say what was "
                "meant?",
                rule->id, rule->author);
        }
    }
}

static uint64_t damaged_rcpts(const struct control *c)
{
    uint64_t rcpts = 0;
    for (size_t at = 1; at <= c->core.routes.route_count; at++) {
        rcpts += routes_at(&c->core.routes, at)->frozen_rcpts[OUTCOME_DAMAGED];
    }
    return rcpts;
}

/* The route and the class with the most frozen recipients, but the damaged. NULL: none is. */
static const struct route *most_frozen(const struct control *c, enum outcome *class_out)
{
    const struct route *most = NULL;
    *class_out = OUTCOME_NONE;
    for (size_t at = 1; at <= c->core.routes.route_count; at++) {
        const struct route *r = routes_at(&c->core.routes, at);
        for (int i = 0; i < OUTCOME_COUNT; i++) {
            uint64_t rcpts = r->frozen_rcpts[i];
            if (i != OUTCOME_DAMAGED && rcpts > 0 &&
                (most == NULL || rcpts > most->frozen_rcpts[*class_out])) {
                most = r;
                *class_out = (enum outcome)i;
            }
        }
    }
    return most;
}

static void check_aside(struct problems *p, const struct control *c, const struct problems_sums *s)
{
    char act[240];
    enum outcome class;
    uint64_t damaged = damaged_rcpts(c);
    const struct route *most = most_frozen(c, &class);
    assert(damaged <= s->frozen_rcpts && (most != NULL) == (s->frozen_rcpts > damaged));
    if (damaged > 0) {
        add(p, "damaged", 2,
            "see which: holdfast list class=damaged; once the disk gives the true bytes again: "
            "holdfast release class=damaged --reason 'its bytes are back'; see OPERATING, Damage",
            "%" PRIu64 " recipients are frozen because the bytes of their mail in the spool are "
            "damaged",
            damaged);
    }
    if (most != NULL) {
        snprintf(act, sizeof act,
                 "see why: holdfast count --by route,class state=frozen; once the cause is gone: "
                 "holdfast release state=frozen route=%s class=%s --reason 'the cause is gone'",
                 most->name, outcome_text(class));
        add(p, "frozen", 1, act, "%" PRIu64 " recipients are frozen, most of them on route %s: %s",
            s->frozen_rcpts, most->name, outcome_meaning(class));
    }
    if (s->state[DELIVERY_HELD].deliveries > 0) {
        add(p, "held", 1, "see by what: holdfast rules", "%" PRIu64 " deliveries are held by rules",
            s->state[DELIVERY_HELD].deliveries);
    }
}

json_t *problems_list(const struct control *c, const struct problems_sums *s, int *level_out)
{
    struct problems p = {.list = json_array()};
    bool recovered = c->catchup.recovered == 1;
    if (recovered) {
        check_spool(&p, c);
    } else {
        add_recovering(&p, c);
    }
    check_policy_db(&p, c);
    check_config(&p, c);
    check_damage(&p, c);
    if (recovered) { /* until then, these know half of the mail */
        check_clock(&p, c);
        check_hops(&p, c);
        check_routes(&p, c);
        check_rules(&p, c);
        check_jobs(&p, c);
        check_aside(&p, c, s);
    }
    *level_out = p.level;
    return p.list;
}
