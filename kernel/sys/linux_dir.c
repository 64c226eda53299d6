/*
 * linux_dir.c - reading directories: getdents64 and its older sister.
 *
 *	getdents64:  ino 8 │ next 8 │ length 2 │ type 1 │ name, 0 │ up to 8
 *	getdents:    ino 8 │ next 8 │ length 2 │ name, 0 │ up to 8, type in the last byte
 */
#include "lib/string.h"
#include "sys/files.h"

enum { HEAD = 18, RECORD_MAX = 280 }; /* ino, next, length; the longest record: HEAD + 1 + 255 + 1, aligned */

struct dents {
	uaddr_t to;
	size_t left; /* bytes */
	bool old;    /* getdents */
	err_t err;   /* why it stopped, if nothing was put */
	size_t done;
};

/* The record of one entry; its length. */
static size_t make_record(const struct dents *d, uint8_t *record, const char *name, size_t len, uint64_t ino,
    uint8_t type, uint64_t next)
{
	size_t total = ALIGN_UP(HEAD + len + 2, (size_t)8);
	uint16_t length = (uint16_t)total;
	memset(record, 0, total);
	memcpy(record, &ino, sizeof(ino));
	memcpy(record + 8, &next, sizeof(next));
	memcpy(record + 16, &length, sizeof(length));
	record[d->old ? total - 1 : HEAD] = type;
	memcpy(record + HEAD + !d->old, name, len);
	return total;
}

static bool put_entry(void *arg, const char *name, size_t len, uint64_t ino, unsigned type, uint64_t next_pos)
{
	struct dents *d = arg;
	uint8_t record[RECORD_MAX];
	if (len > NAME_LEN_MAX)
		return false;
	size_t total = make_record(d, record, name, len, ino, (uint8_t)(type >> 12), next_pos);
	if (total > d->left)
		d->err = -EINVAL;
	else
		d->err = copy_to_user(d->to + d->done, record, total);
	if (d->err)
		return false;
	d->done += total;
	d->left -= total;
	return true;
}

static int64_t read_directory(int32_t fd, uaddr_t to, uint32_t count, bool old)
{
	struct file *f;
	struct dents d = {.to = to, .left = count, .old = old};
	err_t err = fd_file_for(fd, RIGHT_READ, &f);
	if (err)
		return err;
	err = file_readdir(f, put_entry, &d);
	file_put(f);
	if (d.done)
		return (int64_t)d.done;
	return err ? err : d.err;
}

int64_t sys_getdents64(int32_t fd, uaddr_t buf, uint32_t count)
{
	return read_directory(fd, buf, count, false);
}

int64_t sys_getdents(int32_t fd, uaddr_t buf, uint32_t count)
{
	return read_directory(fd, buf, count, true);
}
