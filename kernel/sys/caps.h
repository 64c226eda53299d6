#pragma once
/* caps.h - what prctl can do with capabilities: linux_caps.c. Each returns what the call does; -EPERM and
 * -EINVAL in Linux's order. */
#include "lib/types.h"

int64_t caps_bounding_has(uint64_t cap);
int64_t caps_drop_bounding(uint64_t cap);
int64_t caps_securebits(void);
int64_t caps_set_securebits(uint64_t bits);
int64_t caps_kept(void);
int64_t caps_set_kept(uint64_t on);
int64_t caps_ambient(uint64_t command, uint64_t cap, uint64_t arg4, uint64_t arg5);
