/* SPDX-License-Identifier: BSD-3-Clause */
/* dataplane/report.c: reports the outcome of a delivery to the state log and to control.
 *
 * Promise: every recipient of an attempt is reported once; the last report says that it was the
 *          last. What must survive a restart is durable before control hears of it.
 * Trap:    a report needs a submission, and there may be none now. The delivery then stays in
 *          REPORTING.
 */
#include "dataplane/conn.h"

#include "common/counters.h"

#include <stdio.h>

static void count_outcome(struct worker *w, enum outcome outcome, unsigned rcpts)
{
    switch (outcome_disposition(outcome)) {
    case OUTCOME_DISPOSITION_DONE:
        counter_add(w->counters, COUNTER_delivered_rcpts, rcpts);
        break;
    case OUTCOME_DISPOSITION_FREEZE:
        counter_add(w->counters, COUNTER_frozen_rcpts, rcpts);
        break;
    case OUTCOME_DISPOSITION_WAIT:
        counter_add(w->counters, COUNTER_deferred_attempts, 1);
        break;
    }
    if (outcome == OUTCOME_DOT_LOST) {
        counter_add(w->counters, COUNTER_dot_lost, 1);
    }
}

/* What must survive a restart goes to the state log. A hop's trouble is only told to control. */
static bool is_logged(enum outcome outcome)
{
    return outcome_disposition(outcome) != OUTCOME_DISPOSITION_WAIT ||
           outcome_scope(outcome) == OUTCOME_SCOPE_MESSAGE;
}

static void fill_state(struct spool_state_entry *state, const struct abi_up *up, const char *text)
{
    state->id = up->state.id;
    state->rcpts = up->state.rcpts;
    state->time_ms = up->state.time_ms;
    state->hop_id = up->state.hop_id;
    state->kind = ABI_STATE_OUTCOME;
    state->outcome = up->outcome;
    state->phase = up->phase;
    state->code = up->code;
    state->text_len = (uint16_t)strnlen(text, LIMIT_REPLY_TEXT_BYTES);
    memcpy(state->text, text, state->text_len);
}

static void report(struct worker *w, const struct delivery *d, struct submission *s,
                   const struct smtp_rcpt_result *result, const struct rcptset *rcpts,
                   const char *text, bool last)
{
    struct abi_up up = {.type = ABI_UP_ATTEMPT,
                        .outcome = result->outcome,
                        .phase = result->phase,
                        .code = result->code};
    up.flags = (uint16_t)((last ? ABI_FLAG_LAST : 0) |
                          (result->outcome == OUTCOME_DOT_LOST ? ABI_FLAG_AFTER_DOT : 0));
    up.state.id = d->id;
    up.state.rcpts = *rcpts;
    up.state.time_ms = w->wall_ms;
    up.state.hop_id = d->hop.id;
    count_outcome(w, (enum outcome)result->outcome, rcptset_count(rcpts));
    s->spool.user = up;
    if (is_logged((enum outcome)result->outcome)) {
        fill_state(&s->spool.state, &up, text);
        submission_send(w, s, SPOOL_SUBMIT_STATE, NULL, PURPOSE_NOTHING);
    } else {
        submission_send(w, s, SPOOL_SUBMIT_NOTE, NULL, PURPOSE_NOTHING);
    }
}

static bool same_result(const struct smtp_rcpt_result *a, const struct smtp_rcpt_result *b)
{
    return a->outcome == b->outcome && a->code == b->code && a->phase == b->phase;
}

/* Takes the first recipient out of `unreported`, and all others with the same result. */
static unsigned next_group(struct delivery *d, struct rcptset *rcpts_out)
{
    unsigned first = 0;
    while (!rcptset_has(&d->unreported, first)) {
        first++;
    }
    *rcpts_out = (struct rcptset){{0}};
    for (unsigned i = first; i < d->smtp.rcpt_count; i++) {
        if (rcptset_has(&d->unreported, i) && same_result(&d->result[first], &d->result[i])) {
            rcptset_remove(&d->unreported, i);
            rcptset_add(rcpts_out, d->rcpt_index[i]);
        }
    }
    return first;
}

/* Sends one report for each distinct result; the last one says that the attempt is over. false: no
 * submission was free, and the rest is sent later. */
static bool send_reports(struct worker *w, struct delivery *d, const struct smtp_client *client)
{
    while (!rcptset_is_empty(&d->unreported)) {
        struct submission *s = submission_take(w, 0);
        if (s == NULL) {
            return false;
        }
        struct rcptset rcpts;
        unsigned first = next_group(d, &rcpts);
        const char *text = client == NULL ? d->text : smtp_client_rcpt_text(client, first);
        report(w, d, s, &d->result[first], &rcpts, text, rcptset_is_empty(&d->unreported));
    }
    return true;
}

/* `client` has the hop's reply for each recipient. It may be gone when a later report is sent; that
 * report then carries `text`. */
static void begin_reports(struct worker *w, struct delivery *d, const struct smtp_client *client,
                          const char *text)
{
    assert(d->client == NULL && d->step != DELIVERY_REPORTING);
    d->step = DELIVERY_REPORTING;
    d->unreported = rcptset_first(d->smtp.rcpt_count);
    (void)snprintf(d->text, sizeof d->text, "%s", text);
    if (send_reports(w, d, client)) {
        delivery_free(w, d);
    } else {
        list_append(&w->reporting, &d->report_link);
    }
}

void delivery_report_waiting(struct worker *w)
{
    while (!list_is_empty(&w->reporting)) {
        struct delivery *d = list_entry(w->reporting.next, struct delivery, report_link);
        if (!send_reports(w, d, NULL)) {
            return;
        }
        list_remove(&d->report_link);
        delivery_free(w, d);
    }
}

void delivery_finish(struct worker *w, struct delivery *d, const struct smtp_client *client)
{
    assert(d->smtp.rcpt_count > 0);
    memcpy(d->result, client->result, d->smtp.rcpt_count * sizeof client->result[0]);
    begin_reports(w, d, client, client->text);
}

void delivery_fail_all(struct worker *w, struct delivery *d, const struct smtp_rcpt_result *result,
                       const char *text)
{
    /* The envelope may not be known yet: name the recipients by their place in the delivery. */
    d->smtp.rcpt_count = 0;
    for (unsigned i = 0; i < LIMIT_RCPTS; i++) {
        if (rcptset_has(&d->rcpts, i)) {
            unsigned n = d->smtp.rcpt_count++;
            d->rcpt_index[n] = (uint8_t)i;
            d->result[n] = *result;
        }
    }
    begin_reports(w, d, NULL, text);
}

void delivery_fail(struct worker *w, struct delivery *d, enum outcome outcome, enum abi_phase phase,
                   const char *text)
{
    struct smtp_rcpt_result result = {.outcome = (uint8_t)outcome, .phase = (uint8_t)phase};
    delivery_fail_all(w, d, &result, text);
}

void delivery_refuse(struct worker *w, const struct abi_down *down, enum outcome outcome)
{
    struct abi_up up = {.type = ABI_UP_ATTEMPT, .outcome = (uint8_t)outcome};
    up.flags = ABI_FLAG_LAST;
    up.state.id = down->deliver.id;
    up.state.rcpts = down->deliver.rcpts;
    up.state.time_ms = w->wall_ms;
    up.state.hop_id = down->deliver.hop_id;
    count_outcome(w, outcome, 0);
    submission_note(w, &up);
}
