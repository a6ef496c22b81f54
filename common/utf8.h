/* SPDX-License-Identifier: BSD-3-Clause */
/* common/utf8.h: makes text that a person wrote safe for a terminal and a log. */
#ifndef HOLDFAST_COMMON_UTF8_H
#define HOLDFAST_COMMON_UTF8_H

#include <stddef.h>

/* Copies UTF-8 (RFC 3629) text. Control characters, characters that hide or reverse text, and bytes
 * that are no UTF-8 become '?'. A code point that does not fit whole is left out. Returns out. */
const char *utf8_clean(const char *text, char *out, size_t out_size);

#endif
