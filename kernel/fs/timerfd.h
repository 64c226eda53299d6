#pragma once
/* timerfd.h - timers as files: readable once they have expired. */
#include "fs/file.h"

struct timerfd_value {
	nsec_t left, interval; /* left 0: not armed */
};

enum timerfd_set_flags { TIMERFD_ABSOLUTE = 1, TIMERFD_CANCEL_ON_SET = 2 }; /* the ABI's */

/* Once at boot. */
void timerfd_init(void);
/* wall: by the time of day, else by the monotonic clock. flags: FILE_NONBLOCK. -ENOMEM. */
MUST_CHECK err_t timerfd_create(bool wall, unsigned flags, struct file **out);
bool file_is_timerfd(const struct file *f);
/* f is one. May sleep. */
void timerfd_get(struct file *f, struct timerfd_value *out);
void timerfd_set(struct file *f, unsigned flags, const struct timerfd_value *new, struct timerfd_value *old);
/* The time of day was set: timers by it move, and those that asked for it are cancelled. */
void timerfd_wall_was_set(void);
