/* devfs_mem.c - null, zero, full, random, urandom, kmsg and mem. */
#include "arch/clock.h"
#include "fs/devfs.h"
#include "fs/devfs_mem.h"
#include "kern/log.h"
#include "kern/random.h"
#include "kern/thread.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vm/space.h"

enum { MAJOR_MEM = 1, CHUNK = 256, KMSG_POLL_MS = 50, KMSG_RECORD_MAX = 1024 };

/* A long read ends early when its thread is told something. */
static bool is_interrupted(void)
{
	return load_relaxed(&current_thread()->flags) & THREAD_INTERRUPTS;
}

static int64_t moved(size_t before, const struct uio *u, err_t err)
{
	return before > u->left ? (int64_t)(before - u->left) : err;
}

/* The position is always 0, wherever one seeks. */
static int64_t null_read(UNUSED struct file *f, UNUSED struct uio *u, UNUSED uint64_t *pos)
{
	return 0;
}

static int64_t null_write(UNUSED struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	size_t n = u->left;
	uio_skip(u, n);
	return (int64_t)n;
}

static int64_t zero_read(UNUSED struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	size_t before = u->left, done;
	err_t err = 0;
	while (!err && u->left) {
		err = uio_zero(u, MIN(u->left, (size_t)PAGE_SIZE), &done);
		if (!err && is_interrupted())
			err = -EINTR;
	}
	return moved(before, u, err);
}

/* Private: memory like any other. Shared: an object of its own, which the mapping's children share. */
static err_t zero_mmap(UNUSED struct file *f, uint64_t offset, uint64_t len, UNUSED unsigned prot,
    unsigned map_flags, struct vm_object **out)
{
	*out = NULL;
	if (!(map_flags & VM_MAP_SHARED))
		return 0;
	return object_create_anon(0, DIV_ROUND_UP(offset + len, (uint64_t)PAGE_SIZE), NULL, out);
}

static int64_t full_write(UNUSED struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	return u->left ? -ENOSPC : 0;
}

static int64_t random_read(UNUSED struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	uint8_t bytes[CHUNK];
	size_t before = u->left, done;
	err_t err = 0;
	while (!err && u->left) {
		size_t n = MIN(u->left, sizeof(bytes));
		random_bytes(bytes, n);
		err = uio_write(u, bytes, n, &done);
		if (!err && before - u->left >= CHUNK && is_interrupted())
			err = -EINTR;
	}
	memset(bytes, 0, sizeof(bytes));
	return moved(before, u, err);
}

static int64_t mem_refuse(UNUSED struct file *f, UNUSED struct uio *u, UNUSED uint64_t *pos)
{
	return -EPERM;
}

static err_t mem_mmap(UNUSED struct file *f, UNUSED uint64_t offset, UNUSED uint64_t len,
    UNUSED unsigned prot, UNUSED unsigned map_flags, UNUSED struct vm_object **out)
{
	return -EPERM;
}

/* --- kmsg --- */

struct kmsg {
	struct mutex lock; /* RANK_CHANNEL */
	uint64_t next;     /* lock: sequence number of the next record to be read */
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
	uint64_t lost, seq = k->next;
	size_t done;
	err_t err = log_read(&seq, &r, &lost);
	if (err)
		return err;
	if (lost) {
		k->next = r.seq;
		return -EPIPE;
	}
	size_t n = format_record(&r, text);
	if (n > u->left)
		return -EINVAL;
	k->next = seq;
	err = uio_write(u, text, n, &done);
	return err ? err : (int64_t)n;
}

/* The log wakes nobody, as it is written from any context: a reader that waits looks again now and then. */
static int64_t kmsg_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct kmsg *k = f->priv;
	uint64_t seen;
	for (;;) {
		mutex_lock(&k->lock);
		int64_t n = read_record(k, u);
		mutex_unlock(&k->lock);
		if (n != -EAGAIN || file_is_nonblock(f, u))
			return n;
		err_t err = kobject_wait(&f->object, SIGNAL_DEAD, clock_now() + KMSG_POLL_MS * 1000000ULL,
		    WAIT_INTERRUPTIBLE, &seen);
		if (err == -EINTR)
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
	mutex_lock(&k->lock);
	k->next = 0;
	if (whence == FILE_SEEK_SET && !log_read(&k->next, &r, &lost))
		k->next = r.seq;
	while (whence != FILE_SEEK_SET && !log_read(&k->next, &r, &lost))
		;
	mutex_unlock(&k->lock);
	return 0;
}

static void kmsg_release(struct file *f)
{
	kfree(f->priv);
}

static const struct file_ops kmsg_ops = {
    .read = kmsg_read,
    .write = kmsg_write,
    .seek = kmsg_seek,
    .release = kmsg_release,
};

bool (*devfs_may_read_log)(void);

static err_t kmsg_open(struct file *f, UNUSED void *data)
{
	if (file_may_read(f) && devfs_may_read_log && !devfs_may_read_log())
		return -EPERM;
	struct kmsg *k = kzalloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	mutex_init(&k->lock, "kmsg", RANK_CHANNEL);
	f->ops = &kmsg_ops;
	f->priv = k;
	int64_t start = kmsg_seek(f, 0, FILE_SEEK_SET);
	ASSERT(start == 0);
	return 0;
}

/* --- the table --- */

static const struct file_ops null_ops = {
    .splice = SPLICE_WRITE, .read = null_read, .write = null_write, .seek = file_seek_nowhere};
static const struct file_ops zero_ops = {.splice = SPLICE_READ | SPLICE_WRITE,
    .read = zero_read,
    .write = null_write,
    .seek = file_seek_nowhere,
    .mmap = zero_mmap};
static const struct file_ops full_ops = {
    .splice = SPLICE_READ, .read = zero_read, .write = full_write, .seek = file_seek_nowhere};
static const struct file_ops random_ops = {.splice = SPLICE_READ | SPLICE_WRITE,
    .read = random_read,
    .write = null_write,
    .seek = file_seek_nowhere};
static const struct file_ops mem_ops = {
    .read = mem_refuse, .write = mem_refuse, .seek = file_seek_nowhere, .mmap = mem_mmap};

static err_t open_with(struct file *f, void *data)
{
	f->ops = data;
	return 0;
}

err_t devfs_mem_init(void)
{
	static const struct {
		const char *name;
		unsigned minor;
		uint32_t permissions;
		const struct file_ops *ops; /* NULL: kmsg */
	} all[] = {
	    {"mem", 1, 0640, &mem_ops},
	    {"null", 3, 0666, &null_ops},
	    {"zero", 5, 0666, &zero_ops},
	    {"full", 7, 0666, &full_ops},
	    {"random", 8, 0666, &random_ops},
	    {"urandom", 9, 0666, &random_ops},
	    {"kmsg", 11, 0644, NULL},
	};
	err_t err = 0;
	for (unsigned i = 0; !err && i < ARRAY_SIZE(all); i++)
		err = dev_register(all[i].name, MODE_CHAR | all[i].permissions,
		    DEV_MAKE(MAJOR_MEM, all[i].minor), all[i].ops ? open_with : kmsg_open,
		    (void *)(uintptr_t)all[i].ops);
	return err;
}
