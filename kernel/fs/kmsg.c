/* kmsg.c - /dev/kmsg. See kmsg.h. */
#include "fs/kmsg.h"
#include "fs/devfs.h"
#include "fs/devfs_mem.h"
#include "fs/log_news.h"
#include "kern/log.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { MINOR_KMSG = 11, KMSG_RECORD_MAX = 1024 };

struct kmsg {
	struct mutex lock;        /* RANK_CHANNEL */
	struct log_reader reader; /* lock */
};

/* "priority,sequence,microseconds,-;text\n", control characters and backslashes as \xNN. */
static size_t format_record(const struct log_record *r, char *buf)
{
	size_t n = (size_t)format(buf, KMSG_RECORD_MAX, "%u,%llu,%llu,-;%s: ", r->level,
	    (unsigned long long)r->seq, (unsigned long long)(r->time / 1000), r->subsystem);
	for (unsigned i = 0; i < r->len && n < KMSG_RECORD_MAX - 6; i++) {
		uint8_t c = (uint8_t)r->text[i];
		if (c < ' ' || c >= 127 || c == '\\')
			n += (size_t)format(buf + n, 5, "\\x%02x", c);
		else
			buf[n++] = (char)c;
	}
	buf[n++] = '\n';
	return n;
}

/* One record; -EAGAIN: none yet; -EPIPE: some were overwritten, the next read goes on behind them. */
static int64_t read_record(struct kmsg *k, struct uio *u)
{
	char text[KMSG_RECORD_MAX];
	struct log_record r;
	uint64_t lost, seq = k->reader.next;
	size_t done;
	err_t err = log_read(&seq, &r, &lost);
	if (err)
		return err;
	if (lost) {
		log_reader_move(&k->reader, r.seq);
		return -EPIPE;
	}
	size_t n = format_record(&r, text);
	if (n > u->left)
		return -EINVAL;
	log_reader_move(&k->reader, seq);
	err = uio_write(u, text, n, &done);
	return err ? err : (int64_t)n;
}

static int64_t kmsg_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct kmsg *k = f->priv;
	for (;;) {
		mutex_lock(&k->lock);
		int64_t n = read_record(k, u);
		mutex_unlock(&k->lock);
		if (n != -EAGAIN || file_is_nonblock(f, u))
			return n;
		err_t err = log_reader_wait(&k->reader);
		if (err)
			return err;
	}
}

/* "<N>text": N is the priority; facilities are dropped. One record a write. */
static int64_t kmsg_write(UNUSED struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	char text[sizeof(((struct log_record *)0)->text)];
	size_t n = MIN(u->left, sizeof(text) - 1), total = u->left, done;
	enum log_level level = LOG_INFO;
	const char *s = text;
	err_t err = uio_read(u, text, n, &done);
	if (err)
		return err;
	text[n] = 0;
	uio_skip(u, u->left);
	if (text[0] == '<' && strchr(text, '>')) {
		unsigned number = 0;
		for (s = text + 1; *s >= '0' && *s <= '9'; s++)
			number = number * 10 + (unsigned)(*s - '0');
		level = (enum log_level)(number & 7);
		s = *s == '>' ? s + 1 : text;
	}
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = 0;
	log_print(level, "user", "%s", s);
	return (int64_t)total;
}

/* SEEK_SET 0: the oldest record; SEEK_END, SEEK_DATA: behind the youngest. */
static int64_t kmsg_seek(struct file *f, int64_t offset, int whence)
{
	struct kmsg *k = f->priv;
	struct log_record r;
	uint64_t lost;
	if (offset)
		return -ESPIPE;
	if (whence != FILE_SEEK_SET && whence != FILE_SEEK_END && whence != FILE_SEEK_DATA)
		return -EINVAL;
	uint64_t next = 0;
	mutex_lock(&k->lock);
	if (whence == FILE_SEEK_SET && !log_read(&next, &r, &lost))
		next = r.seq;
	while (whence != FILE_SEEK_SET && !log_read(&next, &r, &lost))
		;
	log_reader_move(&k->reader, next);
	mutex_unlock(&k->lock);
	return 0;
}

static void kmsg_refresh(struct file *f)
{
	struct kmsg *k = f->priv;
	log_reader_look(&k->reader);
}

static void kmsg_release(struct file *f)
{
	struct kmsg *k = f->priv;
	log_reader_fini(&k->reader);
	kfree(k);
}

static const struct file_ops kmsg_ops = {
    .read = kmsg_read,
    .write = kmsg_write,
    .seek = kmsg_seek,
    .refresh = kmsg_refresh,
    .release = kmsg_release,
};

static bool (*may_read_log)(void); /* constant after boot */

static err_t kmsg_open(struct file *f, UNUSED void *data)
{
	if (file_may_read(f) && !may_read_log())
		return -EPERM;
	struct kmsg *k = kzalloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	mutex_init(&k->lock, "kmsg", RANK_CHANNEL);
	log_reader_init(&k->reader, &f->object);
	f->ops = &kmsg_ops;
	f->priv = k;
	int64_t start = kmsg_seek(f, 0, FILE_SEEK_SET);
	ASSERT(start == 0);
	return 0;
}

err_t kmsg_init(bool (*may_read)(void))
{
	may_read_log = may_read;
	return dev_register("kmsg", MODE_CHAR | 0644, DEV_MAKE(DEVFS_MEM_MAJOR, MINOR_KMSG), kmsg_open, NULL);
}
