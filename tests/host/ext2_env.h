#pragma once
/*
 * ext2_env.h - a disk in memory for tests of ext2: images come from mke2fs and go back to files, for e2fsck
 * and debugfs to judge. Requests end at once, or fail when the test wants it.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev/block.h"
#include "fs/bdev.h"
#include "fs/ext2/ext2.h"
#include "fs_env.h"

static uint8_t *image;
static size_t image_bytes;
static char work[] = "/tmp/test_ext2.XXXXXX";
static _Atomic uint64_t requests, flushes; /* since they were last set to 0 */
static uint64_t fail_request;              /* the n-th request fails; 0: none */
static bool fail_after;                    /* ... and all that follow */
static uint64_t fail_writes_from;          /* writes to sectors from here on fail; 0: none */

/* As a device copies: while it reads a block somebody may change it, and then it is written once more. That
 * is no race of threads, so ThreadSanitizer does not see it. */
static void device_copy(void *to, const void *from, size_t n)
{
#ifdef __SANITIZE_THREAD__
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
#else
	memcpy(to, from, n);
#endif
}

static err_t disk_transfer(const struct block_request *r)
{
	uint64_t pos = r->sector * SECTOR_SIZE;
	for (unsigned i = 0; i < r->nsegments; i++) {
		const struct block_segment *s = &r->segments[i];
		char *p = (char *)page_to_virt(s->page) + s->offset;
		if (r->op == BLOCK_READ)
			device_copy(p, image + pos, s->len);
		else
			device_copy(image + pos, p, s->len);
		pos += s->len;
	}
	return 0;
}

static void disk_submit(struct block_device *b UNUSED, struct block_request *r)
{
	uint64_t n = fetch_add_relaxed(&requests, 1) + 1;
	bool fails = fail_request && (n == fail_request || (fail_after && n > fail_request));
	fails |= fail_writes_from && r->op == BLOCK_WRITE && r->sector >= fail_writes_from;
	if (r->op == BLOCK_FLUSH)
		fetch_add_relaxed(&flushes, 1);
	block_end(r, fails ? -EIO : r->op == BLOCK_FLUSH ? 0 : disk_transfer(r));
}

static const struct block_driver disk_driver = {.submit = disk_submit};
static struct block_device disk = {.driver = &disk_driver,
    .name = "vda",
    .block_size = SECTOR_SIZE,
    .has_cache = true,
    .max_segments = 8,
    .max_sectors = 128};

UNUSED static void shell(const char *format, ...)
{
	char cmd[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(cmd, sizeof(cmd), format, args);
	va_end(args);
	if (system(cmd))
		panic("failed: %s", cmd);
}

/* The image becomes the disk. */
static void load_image(void)
{
	char name[200];
	struct stat st;
	snprintf(name, sizeof(name), "%s/img", work);
	if (image)
		munmap(image, image_bytes);
	int fd = open(name, O_RDWR);
	if (fd < 0 || fstat(fd, &st))
		panic("no image");
	image_bytes = (size_t)st.st_size;
	image = mmap(NULL, image_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	disk.nsectors = image_bytes / SECTOR_SIZE;
}

/* mke2fs with these options, on `size`; `tree` (or "") is copied in. */
UNUSED static void make_image(const char *options, const char *size, const char *tree)
{
	char from[300] = "";
	if (*tree)
		snprintf(from, sizeof(from), "-d %s", tree);
	shell("rm -f %s/img && PATH=$PATH:/sbin:/usr/sbin mke2fs -q -t ext2 %s %s %s/img %s >/dev/null 2>&1",
	    work, from, options, work, size);
	load_image();
}

static inline err_t ext2_begin(unsigned flags, const char *options)
{
	err_t err = mount_root("/dev/vda", &ext2_fs_ops, flags, options);
	if (err)
		return err;
	fs_me = (struct fs_context){.umask = 022, .cred.caps = CAP_ALL};
	mount_get_root(&fs_me.root);
	fs_me.cwd = fs_me.root;
	path_get(&fs_me.cwd);
	return 0;
}

/* Is the image what e2fsck calls clean? */
UNUSED static bool image_is_clean(void)
{
	char cmd[300];
	msync(image, image_bytes, MS_SYNC);
	snprintf(
	    cmd, sizeof(cmd), "PATH=$PATH:/sbin:/usr/sbin e2fsck -fn %s/img >%s/fsck.out 2>&1", work, work);
	if (!system(cmd))
		return true;
	shell("sed 's/^/# /' %s/fsck.out | head -30", work);
	return false;
}

static inline void ext2_env_init(uint64_t nframes)
{
	if (!mkdtemp(work))
		panic("no folder");
	disk.nsectors = 1 << 21; /* its size is each image's */
	fs_env_init(nframes);
	block_register(&disk);
	MUST(bdev_init());
	while (dentry_shrink(100)) /* the name of the disk: a test must not find it gone */
		;
}

static inline void ext2_env_fini(void)
{
	shell("rm -rf %s", work);
}
