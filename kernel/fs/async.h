#pragma once
/*
 * async.h - O_ASYNC: files that have somebody told when something happens to them.
 *
 * A file of a type that can do so (file_ops.async) says file_news where Linux's would send a signal. The
 * news is noted with the file, and the file put on a list; who sends the signals (proc/sigio.c) takes it
 * from there, for files are told of news under locks that signals come before.
 */
#include "fs/file.h"

enum async_reason { /* the ABI's POLL_IN ..., as si_code tells them */
	ASYNC_IN = 1,
	ASYNC_OUT,
	ASYNC_MSG,
	ASYNC_ERR,
	ASYNC_PRI,
	ASYNC_HUP,
};

/* Files with O_ASYNC: while there are none, nobody need look for them. */
extern _Atomic uint32_t async_files;
void async_init(void);
void async_raise(struct file *f, enum async_reason reason);
/* Something happened. Any context that may take RANK_WAIT; no reference is kept. */
static inline void file_news(struct file *f, enum async_reason reason)
{
	if (unlikely(load_relaxed(&f->flags) & FILE_ASYNC))
		async_raise(f, reason);
}
/* Turn O_ASYNC on, noting the descriptor that signals are to name, or off, which drops news. */
void file_set_async(struct file *f, int fd, bool on);

/* Whom F_SETOWN names, as its caller packs them, and who called it. */
struct async_owner {
	uint64_t who;
	uint32_t uid, euid;
};
void file_set_owner(struct file *f, const struct async_owner *o);
void file_get_owner(struct file *f, struct async_owner *o);

/* What there is to tell about one file. */
struct async_news {
	struct async_owner owner;
	int fd;
	uint8_t signal;   /* F_SETSIG; 0: SIGIO, without information */
	uint32_t reasons; /* a bit for each enum async_reason */
};
/* Take the oldest; false: there is none. */
bool async_take(struct async_news *out);
/* Sleep until there is news. */
void async_wait(void);
