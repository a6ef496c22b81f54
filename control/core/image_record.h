/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/image_record.h: the layout of a checkpoint: a sequence of records, each a kind and
 * its fields, little-endian.
 *
 *   HEAD      version, totals, damage tops, floors of both logs, lowest state segment
 *   SEEN      one position above a floor that is applied (seen.h)
 *   RULE      a rule that has judged every delivery in this image
 *   PIN       a segment kept for the damage in it
 *   DELIVERY  one delivery, its recipients, the rules whose envelope terms match it
 *   END       how many deliveries
 *
 * The order is HEAD, then any but END, then END. The rules come before the deliveries: a delivery
 * that was judged by fewer rules than are in force is judged again.
 *
 * Promise: what is encoded decodes to the same; hostile bytes are refused.
 * Trap:    control and the operator's command both read it, by these functions alone.
 */
#ifndef HOLDFAST_CONTROL_CORE_IMAGE_RECORD_H
#define HOLDFAST_CONTROL_CORE_IMAGE_RECORD_H

#include "common/assert.h"
#include "common/bytes.h"
#include "common/limits/rcpts.h"

#include <stdbool.h>
#include <stdint.h>

enum { IMAGE_VERSION = 3, IMAGE_RULES_MAX = 255 };

enum rcpt_state {
    RCPT_WAITING,
    RCPT_DONE,
    RCPT_FROZEN,
};

enum image_kind {
    IMAGE_HEAD = 1,
    IMAGE_SEEN,
    IMAGE_RULE,
    IMAGE_PIN,
    IMAGE_DELIVERY,
    IMAGE_END,
};

struct image_rcpt {
    uint64_t state_pos;
    uint16_t code;
    uint8_t state;
    uint8_t outcome;
};

struct image_record {
    enum image_kind kind;
    union {
        struct {
            uint32_t version;
            uint64_t accepted_rcpts;
            uint64_t delivered_rcpts;
            uint64_t possible_duplicates;
            uint64_t message_damage_top;
            uint64_t state_damage_top;
            uint64_t message_floor; /* below it every commit is in the image, unless it was done */
            uint64_t state_floor;
            uint64_t told_seq; /* state segments below it were given back */
        } head;
        struct {
            uint8_t log; /* 0: messages, 1: states */
            uint64_t pos;
            uint16_t mask;
        } seen;
        struct {
            uint32_t id;
        } rule;
        struct {
            uint64_t seq;
        } pin;
        struct {
            uint64_t id;
            uint64_t first_pos;
            uint64_t commit_pos;
            uint64_t received_ms;
            uint64_t due_ms; /* by the wall clock: monotonic time ends with the boot. While a rule
                              * holds it: when that was found to be so */
            uint32_t route_id;
            uint32_t hop_id;
            uint32_t body_bytes;
            uint32_t held_rule;
            uint16_t attempts;
            uint8_t faults;
            uint8_t dot_losses;
            bool unjudged;
            uint16_t rcpt_count;
            struct image_rcpt rcpt[LIMIT_RCPTS];
            uint8_t rule_count;
            uint32_t rule[IMAGE_RULES_MAX];
        } delivery;
        struct {
            uint64_t deliveries;
        } end;
    };
};

/* The longest record. */
enum { IMAGE_RECORD_BYTES_MAX = 128 + 12 * LIMIT_RCPTS + 4 * IMAGE_RULES_MAX };

/* Writes at most IMAGE_RECORD_BYTES_MAX bytes; returns how many. */
size_t image_record_encode(const struct image_record *record, uint8_t *out);
/* Takes the next record. false: hostile bytes, or none left (ask in->rest.len before). */
must_check bool image_record_decode(struct cursor *in, struct image_record *record_out);

#endif
