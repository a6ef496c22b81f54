/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config_fwd.h: for who only hands a configuration on: its name, and sizes of its texts.
 * Who reads its members includes common/config.h. */
#ifndef HOLDFAST_COMMON_CONFIG_FWD_H
#define HOLDFAST_COMMON_CONFIG_FWD_H

struct config;
struct config_interface;

enum { CONFIG_PATH_SIZE = 256, CONFIG_TEXT_SIZE = 256, CONFIG_ERROR_SIZE = 512 };

#endif
