/* console_file.c - see console_file.h. What one call writes is not mixed with what others write. Reading finds the end at once. */
#include "fs/console_file.h"
#include "dev/console.h"
#include "fs/devfs.h"

enum { CHUNK = 512, CONSOLE_MAJOR = 5, CONSOLE_MINOR = 1 };

static struct mutex write_lock;

static int64_t console_file_write(UNUSED struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	char chunk[CHUNK];
	int64_t total = 0;
	err_t err = 0;
	mutex_lock(&write_lock);
	while (u->left && !err) {
		size_t done;
		err = uio_read(u, chunk, MIN(u->left, sizeof(chunk)), &done);
		console_write(chunk, done);
		total += (int64_t)done;
	}
	mutex_unlock(&write_lock);
	return total ? total : err;
}

static int64_t console_file_read(UNUSED struct file *f, UNUSED struct uio *u, UNUSED uint64_t *pos)
{
	return 0;
}

static const struct file_ops console_file_ops = {.read = console_file_read, .write = console_file_write};

static err_t console_file_open(struct file *f, UNUSED void *data)
{
	f->ops = &console_file_ops;
	fetch_or_acq_rel(&f->flags, FILE_STREAM);
	kobject_signal(&f->object, SIGNAL_READABLE | SIGNAL_WRITABLE, 0);
	return 0;
}

err_t console_file_init(void)
{
	mutex_init(&write_lock, "console write", RANK_CHANNEL);
	return dev_register(
	    "console", MODE_CHAR | 0600, DEV_MAKE(CONSOLE_MAJOR, CONSOLE_MINOR), console_file_open, NULL);
}
