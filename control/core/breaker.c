/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/breaker.c: see breaker.h. Pure. */
#include "control/core/breaker.h"

bool breaker_fail(struct breaker *breaker, uint64_t now_ns, bool at_once, bool was_probe)
{
    if (breaker->failures < UINT32_MAX) {
        breaker->failures++;
    }
    assert(breaker->failures > 0);
    switch (breaker->state) {
    case BREAKER_CLOSED:
        if (!at_once && breaker->failures < breaker->failures_max) {
            return false;
        }
        breaker->state = BREAKER_OPEN;
        breaker->next_probe_ns = now_ns + breaker->probe_interval_ns;
        return true;
    case BREAKER_OPEN:
        return false;
    case BREAKER_PROBING:
        if (was_probe) {
            breaker_probe_cancel(breaker, now_ns, breaker->probe_interval_ns);
        }
        return false;
    }
    assert(false);
    return false;
}

bool breaker_close(struct breaker *breaker)
{
    bool was_open = breaker->state != BREAKER_CLOSED;
    assert(!was_open || breaker->failures > 0);
    breaker->state = BREAKER_CLOSED;
    breaker->failures = 0;
    breaker->next_probe_ns = 0;
    return was_open;
}

bool breaker_may_probe(const struct breaker *breaker, uint64_t now_ns)
{
    return breaker->state == BREAKER_OPEN && now_ns >= breaker->next_probe_ns;
}

void breaker_probe_begin(struct breaker *breaker)
{
    assert(breaker->state == BREAKER_OPEN);
    assert(breaker->failures > 0);
    breaker->state = BREAKER_PROBING;
    assert(!breaker_may_probe(breaker, UINT64_MAX)); /* one canary at a time */
}

void breaker_probe_cancel(struct breaker *breaker, uint64_t now_ns, uint64_t delay_ns)
{
    if (breaker->state != BREAKER_PROBING) {
        return;
    }
    assert(breaker->failures > 0);
    breaker->state = BREAKER_OPEN;
    breaker->next_probe_ns = now_ns + delay_ns;
    assert(!breaker_may_probe(breaker, now_ns) || delay_ns == 0);
}

const char *breaker_state_text(enum breaker_state state)
{
    switch (state) {
    case BREAKER_CLOSED:
        return "closed";
    case BREAKER_OPEN:
        return "open";
    case BREAKER_PROBING:
        return "probing";
    }
    assert(false);
    return "";
}
