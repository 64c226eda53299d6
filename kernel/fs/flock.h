#pragma once
/*
 * flock.h - advisory locks on files: ranges (fcntl), which belong to a table of descriptors or to an open
 * file, and whole files (flock). See flock.c.
 */
#include "fs/file.h"

struct desc_table;

enum lock_type { LOCK_NONE, LOCK_SHARED, LOCK_EXCLUSIVE };

/* A range of bytes, first to last, with who asks. */
struct lock_range {
	enum lock_type type;
	uint64_t first, last; /* last: included; INT64_MAX: to the end, wherever it is */
	const void *owner;    /* the table of descriptors, or the open file */
	bool of_file;         /* the owner is an open file: nobody waits in circles by it */
	uint32_t pid;         /* for those who ask who has it */
};

/* Lock or unlock a range; the owner's own locks under it are replaced. wait: sleep while others are in the
 * way. -EAGAIN, -EDEADLK, -ENOLCK (no memory), -EINTR. May sleep. */
MUST_CHECK err_t lock_range(struct file *f, const struct lock_range *want, bool wait);
/* Who would be in the way of *want? false: nobody; else *found. */
bool lock_find_conflict(struct file *f, const struct lock_range *want, struct lock_range *found);
/* flock(2) by f, for a process. -EAGAIN, -ENOLCK, -EINTR. A lock of the other type is let go before the new
 * one is waited for. */
MUST_CHECK err_t lock_whole(struct file *f, enum lock_type type, uint32_t pid, bool wait);
/* A descriptor of f was closed in this table: the table's locks on the file are gone. */
void lock_drop_owner(struct file *f, const struct desc_table *owner);
static inline void lock_close_owner(struct file *f, const struct desc_table *owner)
{
	if (unlikely(load_acquire(&f->vnode->locks)))
		lock_drop_owner(f, owner);
}
/* f's last reference is gone: its own locks are. */
void lock_release_file(struct file *f);
/* The vnode or anonymous file that `place` is part of goes: nobody has locks on it any more. */
void lock_free_list(_Atomic uintptr_t *place);
/* Number of locks that exist. */
uint64_t lock_count(void);

/* A lock, or one that somebody waits for. */
struct lock_view {
	struct lock_range range;
	bool whole;        /* flock's */
	bool waits;        /* for the last one before it that does not wait */
	uint64_t dev, ino; /* of the file */
};
/* The locks of all files: as many as there is room for. Returns how many there are. */
size_t lock_snapshot(struct lock_view *out, size_t room);
