/* text.c - see text.h. */
#include "fs/text.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { TEXT_FIRST = 1024, TEXT_MAX = 64 << 20, STORE_MAX = PAGE_SIZE };

struct text_file {
	const struct text_ops *ops; /* (C) */
	struct mutex lock;          /* RANK_TEXT */
	struct text text;           /* lock */
	bool made;                  /* lock */
};

/* Make room for n more bytes and a terminator. */
static bool text_grow(struct text *t, size_t n)
{
	if (t->err)
		return false;
	if (t->used + n < t->size)
		return true;
	size_t size = MAX(t->size * 2, (size_t)TEXT_FIRST);
	while (size <= t->used + n)
		size *= 2;
	char *bigger = size <= TEXT_MAX ? kmalloc(size) : NULL;
	if (!bigger) {
		t->err = -ENOMEM;
		return false;
	}
	memcpy(bigger, t->buf, t->used);
	kfree(t->buf);
	t->buf = bigger;
	t->size = size;
	return true;
}

void text_add(struct text *t, const char *s, size_t n)
{
	if (!text_grow(t, n))
		return;
	memcpy(t->buf + t->used, s, n);
	t->used += n;
}

static void text_out(void *ctx, const char *s, size_t n)
{
	text_add(ctx, s, n);
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	format_to(text_out, t, fmt, args);
	va_end(args);
}

void text_add_escaped(struct text *t, const char *s, const char *special)
{
	for (; *s; s++)
		if (strchr(special, *s))
			text_printf(t, "\\%03o", (unsigned char)*s);
		else
			text_add(t, s, 1);
}

void text_fini(struct text *t)
{
	kfree(t->buf);
	*t = (struct text){0};
}

/* Locked. */
static err_t text_make(struct text_file *tf, struct vnode *v)
{
	tf->text.used = 0;
	tf->text.err = 0;
	tf->ops->show(&tf->text, v);
	tf->made = !tf->text.err;
	return tf->text.err;
}

static int64_t text_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct text_file *tf = f->priv;
	size_t done = 0;
	if (!tf->ops->show)
		return -EINVAL;
	mutex_lock(&tf->lock);
	err_t err = *pos == 0 || !tf->made ? text_make(tf, f->vnode) : 0;
	if (!err && *pos < tf->text.used) {
		err = uio_write(u, tf->text.buf + *pos, MIN(u->left, tf->text.used - *pos), &done);
		*pos += done;
	}
	mutex_unlock(&tf->lock);
	return done ? (int64_t)done : err;
}

/* Each call says one thing; where it says it does not matter. */
static int64_t text_write(struct file *f, struct uio *u, uint64_t *pos)
{
	struct text_file *tf = f->priv;
	size_t n = u->left, done;
	if (!tf->ops->store)
		return -EIO;
	if (n >= STORE_MAX)
		return -EINVAL;
	char *s = kmalloc(n + 1);
	if (!s)
		return -ENOMEM;
	int64_t taken = uio_read(u, s, n, &done);
	if (!taken) {
		s[n] = 0;
		taken = tf->ops->store(f->vnode, s, n);
	}
	kfree(s);
	if (taken > 0)
		*pos += (uint64_t)taken;
	return taken;
}

/* The size is not known before it is read: no SEEK_END. */
int64_t text_seek(struct file *f, int64_t offset, int whence)
{
	if (whence != FILE_SEEK_SET && whence != FILE_SEEK_CUR)
		return -EINVAL;
	int64_t base = whence == FILE_SEEK_CUR ? (int64_t)f->pos : 0, pos;
	if (__builtin_add_overflow(base, offset, &pos) || pos < 0)
		return -EINVAL;
	f->pos = (uint64_t)pos;
	return pos;
}

static void text_release(struct file *f)
{
	struct text_file *tf = f->priv;
	text_fini(&tf->text);
	kfree(tf);
}

static const struct file_ops text_file_ops = {.splice = SPLICE_READ,
    .read = text_read,
    .write = text_write,
    .seek = text_seek,
    .release = text_release};

err_t text_open(struct file *f, const struct text_ops *ops)
{
	struct text_file *tf = kzalloc(sizeof(*tf));
	if (!tf)
		return -ENOMEM;
	tf->ops = ops;
	mutex_init(&tf->lock, "text", RANK_TEXT);
	f->ops = &text_file_ops;
	f->priv = tf;
	return 0;
}
