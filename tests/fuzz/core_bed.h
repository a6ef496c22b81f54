/* SPDX-License-Identifier: BSD-3-Clause */
/* tests/fuzz/core_bed.h: a core of control's with two hops, three routes and two rules (id 1 asks
 * the envelope, id 2 does not), without a shell. */
#ifndef HOLDFAST_TESTS_FUZZ_CORE_BED_H
#define HOLDFAST_TESTS_FUZZ_CORE_BED_H

#include "control/core/core.h"

enum { CORE_BED_SENDER_RULE = 1, CORE_BED_ROUTE_RULE = 2 };

void core_bed_init(struct core *core);
/* Checks the core (core_check), and takes its image. Whole records; the caller frees. */
uint8_t *core_bed_image(struct core *core, size_t *len_out);

#endif
