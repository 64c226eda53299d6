/*
 * uxattr.c - extended attributes: what they keep, who may use which, limits, and when the capabilities of a
 * file are lost. Runs as root, works in a directory of its own.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include "utap.h"

#define SETFLAGS 0x40086602UL
#define CAPS     "security.capability"
enum { LIMIT = 65536 };

static char buf[LIMIT + 16];

static bool make(const char *name)
{
	int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644);
	return fd >= 0 && write(fd, "0123456789", 10) == 10 && close(fd) == 0;
}

static bool has(const char *file, const char *name, const char *value)
{
	ssize_t n = lgetxattr(file, name, buf, sizeof(buf));
	return n == (ssize_t)strlen(value) && !memcmp(buf, value, (size_t)n);
}

/* Is this name listed for the file? */
static bool lists(const char *file, const char *name)
{
	char names[4096];
	ssize_t n = llistxattr(file, names, sizeof(names));
	for (char *s = names; n > 0 && s < names + n; s += strlen(s) + 1)
		if (!strcmp(s, name))
			return true;
	return false;
}

static bool round_trip(void)
{
	CHECK(make("f") && symlink("f", "l") == 0 && listxattr("f", buf, sizeof(buf)) >= 0);
	ssize_t before = listxattr("f", NULL, 0);
	CHECK(setxattr("f", "user.one", "first", 5, 0) == 0 && has("f", "user.one", "first"));
	CHECK(setxattr("l", "user.two", "", 0, 0) == 0 && has("f", "user.two", ""));
	CHECK(getxattr("l", "user.one", buf, sizeof(buf)) == 5 && !memcmp(buf, "first", 5));
	int fd = open("f", O_RDONLY);
	CHECK(fsetxattr(fd, "user.three", "3", 1, 0) == 0 && fgetxattr(fd, "user.three", buf, 9) == 1);
	CHECK(listxattr("f", NULL, 0) == before + 9 + 9 + 11 && flistxattr(fd, NULL, 0) == before + 29);
	CHECK(lists("f", "user.one") && lists("f", "user.two") && lists("f", "user.three"));
	CHECK(
	    setxattr("f", "user.one", "another value", 13, 0) == 0 && has("f", "user.one", "another value"));
	CHECK(removexattr("f", "user.two") == 0 && !lists("f", "user.two") &&
	      FAILS_WITH(getxattr("f", "user.two", buf, 9), ENODATA));
	CHECK(fremovexattr(fd, "user.three") == 0 && FAILS_WITH(fremovexattr(fd, "user.three"), ENODATA));
	close(fd);
	CHECK(rename("f", "g") == 0 && link("g", "f") == 0 && has("g", "user.one", "another value"));
	CHECK(unlink("f") == 0 && removexattr("g", "user.one") == 0 && listxattr("g", NULL, 0) == before);
	CHECK(unlink("g") == 0 && unlink("l") == 0);
	return true;
}

static bool sizes_and_flags(void)
{
	CHECK(make("f"));
	CHECK(FAILS_WITH(setxattr("f", "user.a", "v", 1, XATTR_REPLACE), ENODATA));
	CHECK(setxattr("f", "user.a", "value", 5, XATTR_CREATE) == 0);
	CHECK(
	    FAILS_WITH(setxattr("f", "user.a", "v", 1, XATTR_CREATE), EEXIST) && has("f", "user.a", "value"));
	CHECK(setxattr("f", "user.a", "VALUE", 5, XATTR_REPLACE) == 0 && has("f", "user.a", "VALUE"));
	CHECK(FAILS_WITH(setxattr("f", "user.a", "v", 1, XATTR_CREATE | XATTR_REPLACE), EEXIST));
	CHECK(FAILS_WITH(setxattr("f", "user.b", "v", 1, XATTR_CREATE | XATTR_REPLACE), ENODATA));
	CHECK(FAILS_WITH(setxattr("f", "user.a", "v", 1, 4), EINVAL));
	CHECK(getxattr("f", "user.a", NULL, 0) == 5 && getxattr("f", "user.a", BAD, 0) == 5);
	CHECK(FAILS_WITH(getxattr("f", "user.a", buf, 4), ERANGE) && getxattr("f", "user.a", buf, 5) == 5);
	CHECK(FAILS_WITH(getxattr("f", "user.a", BAD, 5), EFAULT) &&
	      FAILS_WITH(listxattr("f", BAD, 99), EFAULT));
	CHECK(FAILS_WITH(listxattr("f", buf, 6), ERANGE) && listxattr("f", NULL, 0) >= 7);
	CHECK(FAILS_WITH(setxattr("f", "user.a", BAD, 5, 0), EFAULT) && has("f", "user.a", "VALUE"));
	CHECK(FAILS_WITH(setxattr("f", "user.a", buf, LIMIT + 1, 0), E2BIG));
	CHECK(FAILS_WITH(setxattr("f", BAD, buf, 1, 0), EFAULT) &&
	      FAILS_WITH(getxattr("f", BAD, buf, 1), EFAULT));
	CHECK(FAILS_WITH(setxattr("none", "user.a", "v", 1, 0), ENOENT) &&
	      FAILS_WITH(listxattr("none", buf, 9), ENOENT));
	int fd = open("f", O_PATH);
	CHECK(
	    FAILS_WITH(fgetxattr(fd, "user.a", buf, 9), EBADF) && FAILS_WITH(flistxattr(fd, buf, 9), EBADF));
	CHECK(FAILS_WITH(fsetxattr(fd, "user.a", "v", 1, 0), EBADF) &&
	      FAILS_WITH(fremovexattr(fd, "user.a"), EBADF));
	close(fd);
	CHECK(unlink("f") == 0);
	return true;
}

static bool names(void)
{
	char name[300];
	CHECK(make("f"));
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[255] = 0;
	CHECK(setxattr("f", name, "v", 1, 0) == 0 && has("f", name, "v") && lists("f", name));
	CHECK(removexattr("f", name) == 0);
	name[255] = 'n', name[256] = 0;
	CHECK(FAILS_WITH(setxattr("f", name, "v", 1, 0), ERANGE) &&
	      FAILS_WITH(getxattr("f", name, buf, 9), ERANGE));
	CHECK(FAILS_WITH(removexattr("f", name), ERANGE) && FAILS_WITH(removexattr("f", ""), ERANGE));
	CHECK(FAILS_WITH(setxattr("f", "user.", "v", 1, 0), EINVAL) &&
	      FAILS_WITH(getxattr("f", "trusted.", buf, 9), EINVAL));
	CHECK(FAILS_WITH(setxattr("f", "nonsense.a", "v", 1, 0), EOPNOTSUPP) &&
	      FAILS_WITH(getxattr("f", "user", buf, 9), EOPNOTSUPP));
	CHECK(FAILS_WITH(removexattr("f", "system.nonsense"), EOPNOTSUPP));
	CHECK(setxattr("f", "user.\xe4\xf6 x", "v", 1, 0) == 0 && has("f", "user.\xe4\xf6 x", "v"));
	CHECK(setxattr("f", "user.aa", "1", 1, 0) == 0 && setxattr("f", "user.a", "2", 1, 0) == 0 &&
	      setxattr("f", "user.b", "3", 1, 0) == 0);
	CHECK(has("f", "user.aa", "1") && has("f", "user.a", "2") && has("f", "user.b", "3"));
	CHECK(unlink("f") == 0);
	return true;
}

/* Other kinds of files have attributes as well, but not a user's. */
static bool kinds_of_files(void)
{
	CHECK(mkdir("d", 0755) == 0 && symlink("d", "l") == 0 && mkfifo("p", 0644) == 0);
	CHECK(setxattr("d", "user.a", "v", 1, 0) == 0 && has("d", "user.a", "v"));
	CHECK(FAILS_WITH(lsetxattr("l", "user.a", "v", 1, 0), EPERM) &&
	      FAILS_WITH(lgetxattr("l", "user.a", buf, 9), ENODATA) &&
	      FAILS_WITH(lremovexattr("l", "user.a"), EPERM));
	CHECK(FAILS_WITH(setxattr("p", "user.a", "v", 1, 0), EPERM) &&
	      FAILS_WITH(getxattr("p", "user.a", buf, 9), ENODATA));
	CHECK(lsetxattr("l", "trusted.a", "v", 1, 0) == 0 && has("l", "trusted.a", "v") &&
	      lists("l", "trusted.a") && !lists("d", "trusted.a"));
	CHECK(setxattr("p", "security.a", "v", 1, 0) == 0 && has("p", "security.a", "v"));
	CHECK(unlink("p") == 0 && unlink("l") == 0 && rmdir("d") == 0);
	int fds[2];
	CHECK(pipe(fds) == 0 && FAILS_WITH(fgetxattr(fds[0], "trusted.a", buf, 9), EOPNOTSUPP));
	CHECK(FAILS_WITH(fsetxattr(fds[0], "trusted.a", "v", 1, 0), EOPNOTSUPP));
	close(fds[0]), close(fds[1]);
	CHECK(access("/proc/self/status", F_OK) ||
	      FAILS_WITH(getxattr("/proc/self/status", "trusted.a", buf, 9), EOPNOTSUPP));
	return true;
}

static int as_user(void *arg)
{
	(void)arg;
	if (setgid(1001) || setuid(1001))
		return 99;
	UCHECK(has("f", "user.a", "v") && FAILS_WITH(setxattr("f", "user.a", "w", 1, 0), EACCES));
	UCHECK(FAILS_WITH(removexattr("f", "user.a"), EACCES) &&
	       FAILS_WITH(setxattr("f", "nonsense.a", "w", 1, 0), EACCES));
	UCHECK(FAILS_WITH(getxattr("secret", "user.a", buf, 9), EACCES) && lists("secret", "user.a"));
	UCHECK(setxattr("shared", "user.a", "w", 1, 0) == 0 && has("shared", "user.a", "w"));
	UCHECK(FAILS_WITH(getxattr("f", "trusted.a", buf, 9), ENODATA) && !lists("f", "trusted.a"));
	UCHECK(FAILS_WITH(setxattr("shared", "trusted.a", "w", 1, 0), EPERM) &&
	       FAILS_WITH(removexattr("f", "trusted.a"), EPERM));
	UCHECK(has("f", "security.a", "v") && lists("f", "security.a"));
	UCHECK(FAILS_WITH(setxattr("shared", "security.a", "w", 1, 0), EPERM) &&
	       FAILS_WITH(removexattr("f", "security.a"), EPERM));
	UCHECK(FAILS_WITH(setxattr("sticky", "user.a", "w", 1, 0), EPERM) && has("sticky", "user.a", "v"));
	return 0;
}

static bool rights(void)
{
	CHECK(make("f") && make("secret") && make("shared") && mkdir("sticky", 0777) == 0);
	CHECK(chmod("secret", 0600) == 0 && chmod("shared", 0666) == 0 && chmod("sticky", 01777) == 0);
	CHECK(setxattr("f", "user.a", "v", 1, 0) == 0 && setxattr("f", "trusted.a", "v", 1, 0) == 0 &&
	      setxattr("f", "security.a", "v", 1, 0) == 0);
	CHECK(setxattr("secret", "user.a", "v", 1, 0) == 0 && setxattr("sticky", "user.a", "v", 1, 0) == 0);
	CHECK(lists("f", "trusted.a") && has("f", "trusted.a", "v"));
	CHECK(child_exits(as_user, NULL, 0));
	CHECK(removexattr("f", "security.a") == 0 && removexattr("f", "trusted.a") == 0);
	CHECK(unlink("f") == 0 && unlink("secret") == 0 && unlink("shared") == 0 && rmdir("sticky") == 0);
	return true;
}

static bool set_flags(const char *name, int flags)
{
	int fd = open(name, O_RDONLY), done = ioctl(fd, SETFLAGS, &flags);
	close(fd);
	return done == 0;
}

static bool flags_and_times(void)
{
	struct stat before, after;
	CHECK(make("f") && setxattr("f", "user.a", "v", 1, 0) == 0 && set_flags("f", 0x10));
	CHECK(FAILS_WITH(setxattr("f", "user.a", "w", 1, 0), EPERM) &&
	      FAILS_WITH(removexattr("f", "user.a"), EPERM));
	CHECK(FAILS_WITH(setxattr("f", "trusted.a", "w", 1, 0), EPERM) && has("f", "user.a", "v"));
	CHECK(set_flags("f", 0x20) && FAILS_WITH(setxattr("f", "security.a", "w", 1, 0), EPERM) &&
	      set_flags("f", 0));
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	CHECK(utimensat(AT_FDCWD, "f", old, 0) == 0 && stat("f", &before) == 0);
	do {
		CHECK(setxattr("f", "user.b", "v", 1, 0) == 0 && stat("f", &after) == 0);
	} while (
	    after.st_ctim.tv_nsec == before.st_ctim.tv_nsec && after.st_ctim.tv_sec == before.st_ctim.tv_sec);
	CHECK(after.st_mtim.tv_sec == 1000 && after.st_atim.tv_sec == 1000);
	CHECK(unlink("f") == 0);
	return true;
}

/* A file in memory takes what a call can give. */
static bool large_values(void)
{
	char name[32];
	int fd = memfd_create("xattr", 0);
	memset(buf, 'v', LIMIT);
	CHECK(fd >= 0 && fsetxattr(fd, "user.large", buf, LIMIT, 0) == 0);
	memset(buf, 0, LIMIT);
	CHECK(fgetxattr(fd, "user.large", buf, LIMIT) == LIMIT && buf[0] == 'v' && buf[LIMIT - 1] == 'v');
	CHECK(fgetxattr(fd, "user.large", buf, LIMIT + 10) == LIMIT);
	CHECK(FAILS_WITH(fgetxattr(fd, "user.large", buf, LIMIT - 1), ERANGE));
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "user.%d", i * 7 % 300);
		CHECK(fsetxattr(fd, name, name, (size_t)(i % 20), XATTR_CREATE) == 0);
	}
	ssize_t all = flistxattr(fd, NULL, 0);
	CHECK(all > 300 * 7 && flistxattr(fd, buf, sizeof(buf)) == all);
	for (int i = 0; i < 300; i += 2) {
		snprintf(name, sizeof(name), "user.%d", i);
		CHECK(fremovexattr(fd, name) == 0);
	}
	CHECK(fgetxattr(fd, "user.1", buf, 99) >= 0 && FAILS_WITH(fgetxattr(fd, "user.2", buf, 99), ENODATA));
	close(fd);
	return true;
}

/* --- capabilities of files --- */

struct caps {
	uint32_t magic, permitted, inheritable, permitted_high, inheritable_high, root;
};
static const struct caps net_raw = {.magic = 0x02000001, .permitted = 1 << 13};

static bool give_caps(const char *file)
{
	return setxattr(file, CAPS, &net_raw, 20, 0) == 0;
}

static bool has_caps(const char *file)
{
	return getxattr(file, CAPS, buf, sizeof(buf)) == 20;
}

static int caps_as_user(void *arg)
{
	(void)arg;
	if (setgid(1001) || setuid(1001))
		return 99;
	UCHECK(has_caps("f") && FAILS_WITH(setxattr("f", CAPS, &net_raw, 20, 0), EPERM));
	UCHECK(FAILS_WITH(setxattr("f", CAPS, "nonsense", 8, 0), EINVAL) &&
	       FAILS_WITH(removexattr("f", CAPS), EPERM));
	int fd = open("f", O_WRONLY | O_APPEND); /* it may write, and that takes them */
	UCHECK(fd >= 0 && write(fd, "", 0) == 0 && has_caps("f") && write(fd, "x", 1) == 1 && !has_caps("f"));
	close(fd);
	return 0;
}

static bool caps_format(void)
{
	struct caps c = net_raw, got;
	CHECK(make("f"));
	CHECK(FAILS_WITH(setxattr("f", CAPS, "x", 1, 0), EINVAL) &&
	      FAILS_WITH(setxattr("f", CAPS, &c, 24, 0), EINVAL));
	c.magic = 0x01000000;
	CHECK(FAILS_WITH(setxattr("f", CAPS, &c, 12, 0), EINVAL) &&
	      FAILS_WITH(setxattr("f", CAPS, &c, 20, 0), EINVAL));
	c.magic = 0x03000001;
	CHECK(FAILS_WITH(setxattr("f", CAPS, &c, 20, 0), EINVAL) && setxattr("f", CAPS, &c, 24, 0) == 0);
	CHECK(getxattr("f", CAPS, NULL, 0) == 20 && FAILS_WITH(getxattr("f", CAPS, &got, 19), ERANGE));
	CHECK(
	    getxattr("f", CAPS, &got, sizeof(got)) == 20 && !memcmp(&got, &net_raw, 20)); /* root here is 0 */
	c.root = 1000;
	CHECK(setxattr("f", CAPS, &c, 24, 0) == 0 && getxattr("f", CAPS, &got, sizeof(got)) == 24 &&
	      !memcmp(&got, &c, 24));
	c.root = UINT32_MAX;
	CHECK(FAILS_WITH(setxattr("f", CAPS, &c, 24, 0), EINVAL));
	CHECK(give_caps("f") && lists("f", CAPS) && getxattr("f", CAPS, &got, 20) == 20 &&
	      !memcmp(&got, &net_raw, 20));
	CHECK(removexattr("f", CAPS) == 0 && FAILS_WITH(getxattr("f", CAPS, buf, 99), ENODATA));
	CHECK(unlink("f") == 0);
	return true;
}

static bool caps_are_lost(void)
{
	CHECK(make("f") && chmod("f", 0666) == 0 && give_caps("f") && has_caps("f"));
	CHECK(child_exits(caps_as_user, NULL, 0) && !has_caps("f"));
	int fd = open("f", O_RDWR);
	CHECK(
	    give_caps("f") && write(fd, "x", 1) == 1 && !has_caps("f")); /* the superuser's writing as well */
	CHECK(give_caps("f") && ftruncate(fd, 3) == 0 && !has_caps("f"));
	CHECK(give_caps("f") && truncate("f", 3) == 0 && !has_caps("f"));
	CHECK(give_caps("f") && close(open("f", O_WRONLY | O_TRUNC)) == 0 && !has_caps("f"));
	CHECK(give_caps("f") && chown("f", 5, 5) == 0 && !has_caps("f"));
	CHECK(give_caps("f") && fchown(fd, -1, -1) == 0 && !has_caps("f"));
	CHECK(give_caps("f") && chmod("f", 0755) == 0 && has_caps("f") && fchmod(fd, 0666) == 0 &&
	      has_caps("f"));
	CHECK(utimensat(AT_FDCWD, "f", NULL, 0) == 0 && rename("f", "g") == 0 && has_caps("g"));
	CHECK(pread(fd, buf, 1, 0) == 0 && has_caps("g") && pwrite(fd, buf, 1, 0) == 1 && !has_caps("g"));
	close(fd);
	CHECK(unlink("g") == 0);
	return true;
}

static const struct utest tests[] = {{"set, get, list, remove", round_trip},
    {"sizes and flags", sizes_and_flags}, {"names", names}, {"kinds of files", kinds_of_files},
    {"rights", rights}, {"flags of files, and times", flags_and_times},
    {"large values, and many", large_values}, {"the format of capabilities", caps_format},
    {"capabilities are lost by changes", caps_are_lost}};

int main(void)
{
	return UTEST_RUN_INSIDE(0777, tests);
}
