/* SPDX-License-Identifier: BSD-3-Clause */
/* common/outcome.h: outcome classes from outcome.def: their names, dispositions and scopes. */
#ifndef HOLDFAST_COMMON_OUTCOME_H
#define HOLDFAST_COMMON_OUTCOME_H

#include "common/assert.h"

#include <stdbool.h>
#include <stdint.h>

enum outcome {
#define OUTCOME(name, text, disposition, scope, meaning) OUTCOME_##name,
#include "common/outcome.def"
#undef OUTCOME
    OUTCOME_COUNT,
};

enum outcome_disposition {
    OUTCOME_DISPOSITION_DONE,
    OUTCOME_DISPOSITION_WAIT,
    OUTCOME_DISPOSITION_FREEZE,
};

enum outcome_scope {
    OUTCOME_SCOPE_MESSAGE,
    OUTCOME_SCOPE_HOP,
    OUTCOME_SCOPE_SELF,
};

enum outcome_disposition outcome_disposition(enum outcome outcome);
enum outcome_scope outcome_scope(enum outcome outcome);
const char *outcome_text(enum outcome outcome);
const char *outcome_meaning(enum outcome outcome);
/* The outcome whose text is `text`; false when there is none. */
must_check bool outcome_parse(const char *text, enum outcome *outcome_out);
/* A number from a disk or a ring: true when it names an outcome. */
must_check bool outcome_valid(uint32_t number);

#endif
