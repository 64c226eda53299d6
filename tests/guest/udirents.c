/*
 * udirents.c - getdents64 and getdents: records, alignment, positions, errors.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "utap.h"

struct record {
	uint64_t ino;
	int64_t next;
	uint16_t length;
	uint8_t type;
	char name[];
};

static char buf[65536];

static long read_entries(int fd, size_t size)
{
	return syscall(SYS_getdents64, fd, buf, size);
}

static struct record *at(long offset)
{
	return (struct record *)(buf + offset);
}

static bool is_well_formed(long len)
{
	for (long o = 0; o < len; o += at(o)->length) {
		struct record *r = at(o);
		size_t name = strnlen(r->name, 256);
		CHECK(r->length % 8 == 0 && o + r->length <= len);
		CHECK(name > 0 && name < 256);
		CHECK(r->length == (19 + name + 1 + 7) / 8 * 8);
		CHECK(r->ino != 0);
	}
	return true;
}

/* Entries of the directory, read with this buffer size; -1: something is wrong. */
static int count_entries(int fd, size_t size, int *dots, int *nulls)
{
	long len;
	int n = 0;
	lseek(fd, 0, SEEK_SET);
	while ((len = read_entries(fd, size)) > 0) {
		if (!is_well_formed(len))
			return -1;
		for (long o = 0; o < len; o += at(o)->length, n++) {
			*dots += !strcmp(at(o)->name, ".") || !strcmp(at(o)->name, "..");
			*nulls += !strcmp(at(o)->name, "null") && at(o)->type == DT_CHR;
		}
	}
	return len < 0 ? -1 : n;
}

static bool all_entries_once(void)
{
	int fd = open("/dev", O_RDONLY | O_DIRECTORY), dots = 0, nulls = 0, n;
	CHECK(fd >= 0);
	n = count_entries(fd, sizeof(buf), &dots, &nulls);
	CHECK(n > 3 && dots == 2 && nulls == 1);
	dots = nulls = 0;
	CHECK(count_entries(fd, 280, &dots, &nulls) == n);
	CHECK(dots == 2 && nulls == 1);
	CHECK(read_entries(fd, sizeof(buf)) == 0);
	close(fd);
	return true;
}

static bool positions_lead_back(void)
{
	int fd = open("/dev", O_RDONLY | O_DIRECTORY);
	long len = read_entries(fd, sizeof(buf));
	char third[256];
	CHECK(len > 0);
	long second = at(0)->length, o = second + at(second)->length;
	int64_t pos = at(second)->next;
	strcpy(third, at(o)->name);
	CHECK(lseek(fd, pos, SEEK_SET) == pos);
	CHECK(read_entries(fd, sizeof(buf)) > 0 && !strcmp(at(0)->name, third));
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(read_entries(fd, sizeof(buf)) == len);
	close(fd);
	return true;
}

static bool errors_are_told(void)
{
	int fd = open("/dev", O_RDONLY | O_DIRECTORY), null = open("/dev/null", O_RDONLY),
	    path = open("/dev", O_PATH);
	CHECK(FAILS_WITH(read_entries(fd, 0), EINVAL));
	CHECK(FAILS_WITH(read_entries(fd, 20), EINVAL));
	CHECK(read_entries(fd, 24) == 24);
	CHECK(FAILS_WITH(read_entries(null, 1000), ENOTDIR));
	CHECK(FAILS_WITH(read_entries(path, 1000), EBADF));
	CHECK(FAILS_WITH(read_entries(99, 1000), EBADF));
	CHECK(FAILS_WITH(syscall(SYS_getdents64, fd, 8, 1000), EFAULT));
	CHECK(FAILS_WITH(read(fd, buf, 10), EISDIR));
	CHECK(FAILS_WITH(write(fd, buf, 10), EBADF));
	close(fd);
	close(null);
	close(path);
	return true;
}

static bool old_records(void)
{
	int fd = open("/dev", O_RDONLY | O_DIRECTORY), n = 0, nulls = 0;
	long len = syscall(SYS_getdents, fd, buf, sizeof(buf));
	CHECK(len > 0);
	for (long o = 0; o < len; n++) {
		uint16_t length = *(uint16_t *)(buf + o + 16);
		const char *name = buf + o + 18;
		CHECK(length == (18 + strlen(name) + 2 + 7) / 8 * 8);
		nulls += !strcmp(name, "null") && buf[o + length - 1] == DT_CHR;
		o += length;
	}
	CHECK(n > 3 && nulls == 1);
	CHECK(FAILS_WITH(syscall(SYS_getdents, fd, buf, 0), EINVAL) || errno == 0);
	close(fd);
	return true;
}

static const struct utest tests[] = {
    {"every entry once, whatever the buffer", all_entries_once},
    {"positions lead back", positions_lead_back},
    {"errors", errors_are_told},
    {"the old call's records", old_records},
};

int main(void)
{
	return UTEST_RUN(tests);
}
