/* devfs_mem.c - null, zero, full, random, urandom and mem. */
#include "fs/devfs.h"
#include "fs/devfs_mem.h"
#include "kern/random.h"
#include "kern/thread.h"
#include "lib/string.h"
#include "vm/space.h"

enum { CHUNK = 256 };

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
		const struct file_ops *ops;
	} all[] = {
	    {"mem", 1, 0640, &mem_ops},
	    {"null", 3, 0666, &null_ops},
	    {"zero", 5, 0666, &zero_ops},
	    {"full", 7, 0666, &full_ops},
	    {"random", 8, 0666, &random_ops},
	    {"urandom", 9, 0666, &random_ops},
	};
	err_t err = 0;
	for (unsigned i = 0; !err && i < ARRAY_SIZE(all); i++)
		err = dev_register(all[i].name, MODE_CHAR | all[i].permissions,
		    DEV_MAKE(DEVFS_MEM_MAJOR, all[i].minor), open_with, (void *)(uintptr_t)all[i].ops);
	return err;
}
