/* SPDX-License-Identifier: BSD-3-Clause */
/* control/core/image_load.h: a table from an image (image.h), piece by piece. */
#ifndef HOLDFAST_CONTROL_CORE_IMAGE_LOAD_H
#define HOLDFAST_CONTROL_CORE_IMAGE_LOAD_H

#include "control/core/core.h"

/* Whole records, in order. The rules of the database are in the core already. false: hostile. */
must_check bool image_load(struct core *core, struct bytes piece);
/* The last record has come: the image was whole. */
must_check bool image_loaded(const struct core *core);

#endif
