/*
 * uioerr.c - what programs see of a disk that fails: an ext2 volume on /dev/vda whose emulator refuses some
 * requests (tools/scratch_disk.py, kind `ioerr`, which made the files, knows their blocks, and looks at the
 * image afterwards). Only in the guest, as init=/bin/uioerr.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "utap.h"

enum { BLOCK = 4096, BLOCKS = 16, BAD_BLOCK = 5, SIZE = BLOCK * BLOCKS };

static unsigned char buf[SIZE];

/* What scratch_disk.py wrote: each block is full of its number. */
static bool block_is(const void *block, int value)
{
	const unsigned char *p = block;
	for (int i = 0; i < BLOCK; i++)
		if (p[i] != value)
			return false;
	return true;
}

/* The disk fails the first flush; that is when a volume is mounted for writing. */
static bool flushes(void)
{
	mkdir("/mnt", 0755);
	CHECK(FAILS_WITH(mount("/dev/vda", "/mnt", "ext2", 0, NULL), EIO));
	CHECK(mount("/dev/vda", "/mnt", "ext2", 0, NULL) == 0);
	return true;
}

/* What lies before the bad block is read, and what lies behind it. */
static bool reads(void)
{
	int fd = open("/mnt/read", O_RDONLY);
	CHECK(fd >= 0);
	for (int times = 0; times < 2; times++) {
		CHECK(pread(fd, buf, SIZE, 0) == BAD_BLOCK * BLOCK);
		for (int i = 0; i < BAD_BLOCK; i++)
			CHECK(block_is(buf + i * BLOCK, i));
		CHECK(FAILS_WITH(pread(fd, buf, SIZE, BAD_BLOCK * BLOCK), EIO));
		CHECK(FAILS_WITH(pread(fd, buf, 1, BAD_BLOCK * BLOCK + 100), EIO));
		CHECK(pread(fd, buf, SIZE, (BAD_BLOCK + 1) * BLOCK) == SIZE - (BAD_BLOCK + 1) * BLOCK);
		CHECK(block_is(buf, BAD_BLOCK + 1));
	}
	return close(fd) == 0;
}

/* A part of a block that cannot be read cannot be written; a whole block can. */
static bool partial_writes(void)
{
	int fd = open("/mnt/partial", O_RDWR);
	CHECK(fd >= 0);
	memset(buf, 99, BLOCK);
	CHECK(FAILS_WITH(pwrite(fd, buf, 100, BAD_BLOCK * BLOCK + 10), EIO));
	CHECK(pwrite(fd, buf, BLOCK, BAD_BLOCK * BLOCK) == BLOCK);
	CHECK(pread(fd, buf, BLOCK, BAD_BLOCK * BLOCK) == BLOCK && block_is(buf, 99));
	CHECK(fsync(fd) == 0);
	return close(fd) == 0;
}

struct touch {
	const char *path;
	int block;
};

/* In a child: a load from a block of the file; the value, or a signal. */
static int touch(void *arg)
{
	const struct touch *t = arg;
	int fd = open(t->path, O_RDONLY);
	volatile unsigned char *p = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
	return p == MAP_FAILED ? 255 : p[t->block * BLOCK + 7];
}

static bool mappings(void)
{
	for (int i = 0; i < BLOCKS; i++) {
		struct touch t = {"/mnt/read", i};
		CHECK(i == BAD_BLOCK ? child_dies(touch, &t, SIGBUS) : child_exits(touch, &t, i));
	}
	int fd = open("/mnt/read", O_RDONLY), null = open("/dev/null", O_WRONLY), fds[2];
	void *p = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && null >= 0 && pipe(fds) == 0);
	CHECK(FAILS_WITH(
	    write(fds[1], (char *)p + BAD_BLOCK * BLOCK, 1), EFAULT)); /* the kernel's own access */
	close(fd), close(null), close(fds[0]), close(fds[1]);
	return munmap(p, SIZE) == 0;
}

/* Every open file is told once; what could not be written is kept, and written when the disk can. */
static bool writes(void)
{
	int a = open("/mnt/write", O_RDWR), b = open("/mnt/write", O_RDWR);
	CHECK(a >= 0 && b >= 0);
	memset(buf, 77, BLOCK);
	CHECK(pwrite(a, buf, BLOCK, BAD_BLOCK * BLOCK) == BLOCK);
	CHECK(FAILS_WITH(fsync(a), EIO));
	CHECK(pread(b, buf, BLOCK, BAD_BLOCK * BLOCK) == BLOCK && block_is(buf, 77));
	CHECK(fsync(a) == 0);
	CHECK(FAILS_WITH(fdatasync(b), EIO));
	CHECK(fdatasync(b) == 0);
	int late = open("/mnt/write", O_RDONLY);
	CHECK(late >= 0 && fsync(late) == 0); /* all have been told before */
	return close(a) == 0 && close(b) == 0 && close(late) == 0;
}

static bool mapped_writes(void)
{
	int fd = open("/mnt/msync", O_RDWR), other = open("/mnt/msync", O_RDONLY);
	unsigned char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED && other >= 0);
	memset(p + BAD_BLOCK * BLOCK, 88, BLOCK);
	CHECK(FAILS_WITH(msync(p, SIZE, MS_SYNC), EIO));
	CHECK(block_is(p + BAD_BLOCK * BLOCK, 88));
	CHECK(msync(p, SIZE, MS_SYNC) == 0);
	CHECK(FAILS_WITH(fsync(other), EIO));
	CHECK(fsync(other) == 0);
	return munmap(p, SIZE) == 0 && close(fd) == 0 && close(other) == 0;
}

/* Nobody asks: the error waits for who does, and close says nothing. */
static bool unasked(void)
{
	int fd = open("/mnt/later", O_RDWR), again;
	CHECK(fd >= 0);
	memset(buf, 66, BLOCK);
	CHECK(pwrite(fd, buf, BLOCK, BAD_BLOCK * BLOCK) == BLOCK);
	sync();
	CHECK(close(fd) == 0);
	again = open("/mnt/later", O_RDONLY); /* opened after the error, of which nobody was told yet */
	CHECK(again >= 0 && FAILS_WITH(fsync(again), EIO));
	CHECK(fsync(again) == 0);
	return close(again) == 0;
}

/* A write of the volume's own data that fails: nothing is changed any more, and what can be read is read. */
static bool metadata(void)
{
	struct stat st;
	int fd = open("/mnt/meta", O_RDWR);
	CHECK(fd >= 0 && fchmod(fd, 0640) == 0);
	CHECK(FAILS_WITH(fsync(fd), EIO));
	CHECK(FAILS_WITH(open("/mnt/new", O_RDWR | O_CREAT, 0600), EROFS));
	CHECK(FAILS_WITH(mkdir("/mnt/dir", 0700), EROFS));
	CHECK(FAILS_WITH(chmod("/mnt/write", 0600), EROFS));
	CHECK(pread(fd, buf, BLOCK, BLOCK) == BLOCK && block_is(buf, 1));
	CHECK(stat("/mnt/write", &st) == 0 && st.st_size == SIZE);
	CHECK(close(fd) == 0);
	CHECK(umount("/mnt") == 0);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"disk errors: flush at mount", flushes},
	    {"disk errors: read", reads},
	    {"disk errors: write of a part of a block", partial_writes},
	    {"disk errors: mappings", mappings},
	    {"disk errors: write and fsync", writes},
	    {"disk errors: mapping and msync", mapped_writes},
	    {"disk errors: write-back that nobody asked for", unasked},
	    {"disk errors: metadata", metadata},
	};
	return UTEST_RUN(tests);
}
