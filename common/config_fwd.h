/* SPDX-License-Identifier: BSD-3-Clause */
/* common/config_fwd.h: the name of struct config, and the sizes of its texts: for files that only
 * pass a configuration on. A file that reads its members includes common/config.h. */
#ifndef HOLDFAST_COMMON_CONFIG_FWD_H
#define HOLDFAST_COMMON_CONFIG_FWD_H

struct config;
struct config_interface;

enum { CONFIG_PATH_SIZE = 256, CONFIG_TEXT_SIZE = 256, CONFIG_ERROR_SIZE = 512 };

#endif
