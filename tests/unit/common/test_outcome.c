/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/unit/common/test_outcome.c: the classes, and that the manual says the same. */
#include "common/counters.h"
#include "common/outcome.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_doc(const char *path)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    char *text = calloc(1, 1 << 20);
    cr_assert_not_null(text);
    size_t len = fread(text, 1, (1 << 20) - 1, file);
    cr_assert_gt(len, 0);
    fclose(file);
    return text;
}

Test(outcome, names_round_trip_and_are_unique)
{
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        enum outcome back;
        cr_assert(outcome_valid(i));
        cr_assert(outcome_parse(outcome_text((enum outcome)i), &back));
        cr_assert_eq((unsigned)back, i);
    }
    enum outcome none;
    cr_assert(!outcome_valid(OUTCOME_COUNT));
    cr_assert(!outcome_parse("bounced", &none) && !outcome_parse("", &none));
}

/* No state "bounced". Only a 2xx ends a delivery. */
Test(outcome, only_delivered_is_done)
{
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        cr_assert_eq(outcome_disposition((enum outcome)i) == OUTCOME_DISPOSITION_DONE,
                     i == OUTCOME_DELIVERED);
    }
}

/* A hop's trouble never freezes a message: the message waits, for ever. */
Test(outcome, what_concerns_the_hop_waits)
{
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        if (outcome_scope((enum outcome)i) != OUTCOME_SCOPE_MESSAGE) {
            cr_assert_eq(outcome_disposition((enum outcome)i), OUTCOME_DISPOSITION_WAIT);
        }
    }
}

/* docs/OPERATING.md has a row for each class, which begins with its text and has the meaning in the
 * words of the .def: an operator must find every class there. */
Test(outcome, the_manual_has_each_class_with_its_meaning)
{
    char *text = read_doc(SOURCE_ROOT "/docs/OPERATING.md");
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        char begin[64];
        char meaning[256];
        snprintf(begin, sizeof begin, "\n| `%s` |", outcome_text((enum outcome)i));
        snprintf(meaning, sizeof meaning, "| %s |", outcome_meaning((enum outcome)i));
        const char *row = strstr(text, begin);
        cr_assert_not_null(row, "no row: %s", begin + 1);
        const char *found = strstr(row, meaning);
        cr_assert(found != NULL && found < row + 1 + strcspn(row + 1, "\n"), "%s", meaning);
    }
    free(text);
}

Test(counters, are_told_once_each)
{
    for (size_t i = 0; i < COUNTER_COUNT; i++) {
        cr_assert(counter_info[i].name[0] != '\0' && counter_info[i].meaning[0] != '\0');
        for (size_t j = 0; j < i; j++) {
            cr_assert_str_neq(counter_info[i].name, counter_info[j].name);
        }
    }
}
