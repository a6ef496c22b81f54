/* SPDX-License-Identifier: BSD-3-Clause */
/* common/outcome.c: outcome classes as tables. See outcome.def. */
#include "common/outcome.h"

#include <string.h>

static const struct {
    const char *text;
    const char *meaning;
    enum outcome_disposition disposition;
    enum outcome_scope scope;
} table[OUTCOME_COUNT] = {
#define OUTCOME(name, text, disposition, scope, meaning)                                           \
    {text, meaning, OUTCOME_DISPOSITION_##disposition, OUTCOME_SCOPE_##scope},
#include "common/outcome.def"
#undef OUTCOME
};

enum outcome_disposition outcome_disposition(enum outcome outcome)
{
    assert(outcome < OUTCOME_COUNT);
    return table[outcome].disposition;
}

enum outcome_scope outcome_scope(enum outcome outcome)
{
    assert(outcome < OUTCOME_COUNT);
    return table[outcome].scope;
}

const char *outcome_text(enum outcome outcome)
{
    assert(outcome < OUTCOME_COUNT);
    return table[outcome].text;
}

const char *outcome_meaning(enum outcome outcome)
{
    assert(outcome < OUTCOME_COUNT);
    return table[outcome].meaning;
}

bool outcome_parse(const char *text, enum outcome *outcome_out)
{
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        if (strcmp(table[i].text, text) == 0) {
            *outcome_out = (enum outcome)i;
            return true;
        }
    }
    return false;
}

bool outcome_valid(uint32_t number)
{
    return number < OUTCOME_COUNT;
}
