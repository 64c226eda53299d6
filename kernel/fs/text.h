#pragma once
/*
 * text.h - files whose contents are made when they are read: what /proc consists of.
 *
 * The whole text is made at the first read, and made again by a read at position 0, so that one pass through
 * a file sees one state of things.
 */
#include "fs/file.h"

/* A growing text. An error (-ENOMEM, or one of whoever makes it) stays; what comes after it is dropped. */
struct text {
	char *buf;
	size_t used, size; /* bytes */
	err_t err;
};

void text_printf(struct text *t, const char *fmt, ...) PRINTF(2, 3);
void text_add(struct text *t, const char *s, size_t n);
/* The same with white space, backslashes and the characters of `special` as \ooo. */
void text_add_escaped(struct text *t, const char *s, const char *special);
void text_fini(struct text *t);

struct text_ops {
	/* Make the contents. May sleep. NULL: not readable (-EINVAL). */
	void (*show)(struct text *t, struct vnode *v);
	/* What one write call says: n bytes, terminated. Bytes taken or an error. NULL: not writable (-EIO).
	 */
	int64_t (*store)(struct vnode *v, char *s, size_t n);
};
/* The seek operation of files whose size nobody knows: any position, but not from the end. */
MUST_CHECK int64_t text_seek(struct file *f, int64_t offset, int whence);
/* The open operation of such a vnode's ops: f becomes a file of these. -ENOMEM. */
MUST_CHECK err_t text_open(struct file *f, const struct text_ops *ops);
