/*
 * uopenat2.c - openat2: what its arguments may be, and walks that may not leave their base, cross mounts or
 * follow links. Works in a directory of its own.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "utap.h"

enum {
	SYS_OPENAT2 = 437,
	NO_XDEV = 1,
	NO_MAGICLINKS = 2,
	NO_SYMLINKS = 4,
	BENEATH = 8,
	IN_ROOT = 16,
	CACHED = 32
};

struct how {
	uint64_t flags, mode, resolve;
	uint64_t later;
};
enum { HOW_SIZE = 24 };

static int open_how(int dir, const char *name, struct how how)
{
	return (int)syscall(SYS_OPENAT2, dir, name, &how, HOW_SIZE);
}

static int walk(int dir, const char *name, uint64_t resolve)
{
	return open_how(dir, name, (struct how){.flags = O_PATH, .resolve = resolve});
}

/* Does the walk lead to the file `to`? */
static bool leads(int dir, const char *name, uint64_t resolve, const char *to)
{
	struct stat a, b;
	int fd = walk(dir, name, resolve);
	bool same = fd >= 0 && fstat(fd, &a) == 0 && stat(to, &b) == 0 && a.st_ino == b.st_ino &&
		    a.st_dev == b.st_dev;
	close(fd);
	return same;
}

static bool arguments(void)
{
	struct how how = {.flags = O_RDONLY};
	CHECK(FAILS_WITH(syscall(SYS_OPENAT2, AT_FDCWD, ".", &how, 23), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_OPENAT2, AT_FDCWD, ".", &how, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_OPENAT2, AT_FDCWD, ".", &how, 4097), E2BIG));
	CHECK(FAILS_WITH(syscall(SYS_OPENAT2, AT_FDCWD, ".", NULL, HOW_SIZE), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_OPENAT2, AT_FDCWD, BAD, &how, HOW_SIZE), EFAULT));
	int fd = (int)syscall(SYS_OPENAT2, AT_FDCWD, ".", &how, sizeof(how));
	CHECK(fd >= 0 && close(fd) == 0);
	how.later = 1ULL << 63;
	CHECK(FAILS_WITH(syscall(SYS_OPENAT2, AT_FDCWD, ".", &how, sizeof(how)), E2BIG));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, ".", (struct how){.flags = 1ULL << 40}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, BAD, (struct how){.flags = 1ULL << 31}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, ".", (struct how){.resolve = 64}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, ".", (struct how){.resolve = BENEATH | IN_ROOT}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, ".", (struct how){.mode = 0600}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, "f", (struct how){.flags = O_CREAT, .mode = 010000}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, "f", (struct how){.flags = O_CREAT, .mode = 0100600}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, ".", (struct how){.flags = O_PATH | O_RDWR}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, ".", (struct how){.flags = O_PATH | O_NONBLOCK}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, ".", (struct how){.flags = O_DIRECTORY | O_CREAT}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, BAD, (struct how){.flags = O_TMPFILE}), EINVAL));
	CHECK(FAILS_WITH(open_how(AT_FDCWD, "", (struct how){.flags = O_PATH}), ENOENT));
	fd = open_how(
	    AT_FDCWD, "f", (struct how){.flags = O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, .mode = 0640});
	struct stat st;
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && st.st_mode == (S_IFREG | 0640));
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && fcntl(fd, F_GETFL) == (O_RDWR | 0100000));
	close(fd);
	CHECK(FAILS_WITH(open_how(99, "f", (struct how){.flags = O_RDONLY}), EBADF));
	CHECK(unlink("f") == 0);
	return true;
}

/* in/ has f, dir/ and links: up -> ../out, abs -> /out, here -> dir/../f, dots -> dir/../../out, loop */
static bool make_tree(void)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/out", utest_base);
	return mkdir("in", 0755) == 0 && mkdir("in/dir", 0755) == 0 && close(creat("in/f", 0644)) == 0 &&
	       close(creat("out", 0644)) == 0 && symlink("../out", "in/up") == 0 &&
	       symlink("/f", "in/root") == 0 && symlink(path, "in/abs") == 0 &&
	       symlink("dir/../f", "in/here") == 0 && symlink("dir/../../out", "in/dots") == 0 &&
	       symlink("loop", "in/loop") == 0 && symlink("/proc/self/fd/0", "in/magic") == 0;
}

static bool beneath(void)
{
	int in = open("in", O_PATH | O_DIRECTORY);
	CHECK(in >= 0 && leads(in, "f", BENEATH, "in/f") && leads(in, "dir/../f", BENEATH, "in/f"));
	CHECK(leads(in, "here", BENEATH, "in/f") && leads(in, "dir/..", BENEATH, "in") &&
	      leads(in, ".", BENEATH, "in"));
	CHECK(FAILS_WITH(walk(in, "..", BENEATH), EXDEV) && FAILS_WITH(walk(in, "../out", BENEATH), EXDEV));
	CHECK(FAILS_WITH(walk(in, "../in/f", BENEATH), EXDEV) &&
	      FAILS_WITH(walk(in, "dir/../..", BENEATH), EXDEV));
	CHECK(FAILS_WITH(walk(in, "/", BENEATH), EXDEV) && FAILS_WITH(walk(in, "up", BENEATH), EXDEV));
	CHECK(FAILS_WITH(walk(in, "abs", BENEATH), EXDEV) && FAILS_WITH(walk(in, "dots", BENEATH), EXDEV));
	CHECK(FAILS_WITH(walk(99, "/", BENEATH), EXDEV));
	CHECK(FAILS_WITH(walk(in, "loop", BENEATH), ELOOP) && FAILS_WITH(walk(in, "no", BENEATH), ENOENT));
	int up = open_how(in, "up", (struct how){.flags = O_PATH | O_NOFOLLOW, .resolve = BENEATH});
	CHECK(up >= 0 && close(up) == 0);
	CHECK(FAILS_WITH(open_how(in, "../new", (struct how){O_CREAT, 0600, BENEATH, 0}), EXDEV));
	int fd = open_how(in, "dir/new", (struct how){O_CREAT | O_WRONLY, 0600, BENEATH, 0});
	CHECK(fd >= 0 && close(fd) == 0 && unlink("in/dir/new") == 0);
	CHECK(leads(AT_FDCWD, "in/up", BENEATH, "out")); /* the working directory is the base */
	close(in);
	return true;
}

static bool in_root(void)
{
	int in = open("in", O_PATH | O_DIRECTORY), file = open("out", O_RDONLY);
	CHECK(leads(in, "/f", IN_ROOT, "in/f") && leads(in, "/", IN_ROOT, "in") &&
	      leads(in, "..", IN_ROOT, "in"));
	CHECK(leads(in, "../../f", IN_ROOT, "in/f") && leads(in, "root", IN_ROOT, "in/f"));
	CHECK(leads(in, "/../dir/../../f", IN_ROOT, "in/f") && FAILS_WITH(walk(in, "up", IN_ROOT), ENOENT));
	CHECK(FAILS_WITH(walk(in, "abs", IN_ROOT), ENOENT) && FAILS_WITH(walk(in, "dots", IN_ROOT), ENOENT));
	CHECK(FAILS_WITH(walk(99, "/f", IN_ROOT), EBADF) && FAILS_WITH(walk(file, "/f", IN_ROOT), ENOTDIR));
	int fd = open_how(in, "/../new", (struct how){O_CREAT | O_WRONLY, 0600, IN_ROOT, 0});
	CHECK(fd >= 0 && close(fd) == 0 && unlink("in/new") == 0);
	close(file);
	close(in);
	return true;
}

static bool without_links(void)
{
	int in = open("in", O_PATH | O_DIRECTORY);
	CHECK(leads(in, "f", NO_SYMLINKS, "in/f") && leads(in, "../out", NO_SYMLINKS, "out"));
	CHECK(FAILS_WITH(walk(in, "here", NO_SYMLINKS), ELOOP) &&
	      FAILS_WITH(walk(in, "up", NO_SYMLINKS), ELOOP));
	int link = open_how(in, "up", (struct how){.flags = O_PATH | O_NOFOLLOW, .resolve = NO_SYMLINKS});
	CHECK(link >= 0 && close(link) == 0);
	CHECK(
	    FAILS_WITH(open_how(in, "up", (struct how){.flags = O_NOFOLLOW, .resolve = NO_SYMLINKS}), ELOOP));
	close(in);
	return true;
}

/* Links of /proc that lead to objects. */
static bool magic_links(void)
{
	char name[32];
	int in = open("in", O_PATH | O_DIRECTORY);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", in);
	CHECK(leads(AT_FDCWD, name, 0, "in") && FAILS_WITH(walk(AT_FDCWD, name, NO_MAGICLINKS), ELOOP));
	CHECK(FAILS_WITH(walk(AT_FDCWD, name, NO_SYMLINKS), ELOOP) &&
	      FAILS_WITH(walk(AT_FDCWD, name, NO_XDEV), EXDEV));
	CHECK(leads(in, "here", NO_MAGICLINKS, "in/f"));
	int root = open("/", O_PATH | O_DIRECTORY);
	CHECK(
	    FAILS_WITH(walk(root, name, IN_ROOT), EXDEV) && FAILS_WITH(walk(root, name + 1, BENEATH), EXDEV));
	int link =
	    open_how(AT_FDCWD, name, (struct how){.flags = O_PATH | O_NOFOLLOW, .resolve = NO_MAGICLINKS});
	CHECK(link >= 0 && close(link) == 0);
	close(root);
	close(in);
	return true;
}

/* In a namespace of its own where there are such. */
static int with_mount(void *arg)
{
	(void)arg;
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 99;
	UCHECK(mkdir("m", 0755) == 0);
	if (mount("none", "m", "tmpfs", 0, NULL)) {
		UCHECK(errno == EPERM && rmdir("m") == 0); /* a host that does not let us */
		return 0;
	}
	UCHECK(mkdir("m/d", 0755) == 0 && symlink("/", "m/root") == 0 && symlink("d", "m/link") == 0);
	UCHECK(leads(AT_FDCWD, "m", 0, "m") && FAILS_WITH(walk(AT_FDCWD, "m", NO_XDEV), EXDEV));
	UCHECK(FAILS_WITH(walk(AT_FDCWD, "m/d", NO_XDEV), EXDEV) &&
	       FAILS_WITH(walk(AT_FDCWD, "m/..", NO_XDEV), EXDEV));
	UCHECK(
	    FAILS_WITH(open_how(AT_FDCWD, "m", (struct how){.flags = O_RDONLY, .resolve = NO_XDEV}), EXDEV));
	int m = open("m", O_PATH | O_DIRECTORY);
	UCHECK(leads(m, "d", NO_XDEV, "m/d") && leads(m, "link", NO_XDEV, "m/d") &&
	       leads(m, "d/..", NO_XDEV, "m"));
	UCHECK(FAILS_WITH(walk(m, "..", NO_XDEV), EXDEV) && FAILS_WITH(walk(m, "root", NO_XDEV), EXDEV));
	UCHECK(leads(m, "/", NO_XDEV, "/")); /* where the walk begins is no crossing */
	UCHECK(FAILS_WITH(walk(m, "..", BENEATH), EXDEV) && leads(m, "..", IN_ROOT, "m"));
	UCHECK(leads(AT_FDCWD, "m/d/../..", BENEATH, "."));
	close(m);
	UCHECK(umount2("m", 0) == 0 && rmdir("m") == 0);
	return 0;
}

static bool mounts(void)
{
	CHECK(child_exits(with_mount, NULL, 0));
	return true;
}

static bool cached(void)
{
	int in = open("in", O_PATH | O_DIRECTORY);
	CHECK(leads(in, "f", 0, "in/f"));
	CHECK(leads(in, "f", CACHED, "in/f") && leads(in, "dir/../f", CACHED, "in/f"));
	CHECK(FAILS_WITH(open_how(in, "f", (struct how){O_CREAT, 0600, CACHED, 0}), EAGAIN));
	CHECK(FAILS_WITH(open_how(in, "f", (struct how){O_WRONLY | O_TRUNC, 0, CACHED, 0}), EAGAIN));
	CHECK(FAILS_WITH(open_how(in, "f", (struct how){O_CREAT, 010000, CACHED, 0}), EINVAL));
	close(in);
	return true;
}

/* While somebody exchanges in/dir and a directory outside, nobody gets out: each walk ends inside or fails.
 */
static bool moved_meanwhile(void)
{
	enum { WALKS = 2000 };
	struct stat in_st, st;
	int status = 0, in = open("in", O_PATH | O_DIRECTORY);
	_Atomic int *stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(stop != MAP_FAILED && mkdir("in/dir/a", 0755) == 0 && fstat(in, &in_st) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		while (!*stop)
			if (rename("in/dir/a", "a") || rename("a", "in/dir/a"))
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < WALKS; i++) {
		int fd = walk(in, "dir/a/../..", BENEATH);
		if (fd < 0) {
			CHECK(errno == ENOENT || errno == EAGAIN || errno == EXDEV);
			continue;
		}
		CHECK(fstat(fd, &st) == 0 && st.st_ino == in_st.st_ino && close(fd) == 0);
	}
	*stop = 1;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0 && rmdir("in/dir/a") == 0);
	munmap((void *)stop, 4096);
	close(in);
	return true;
}

static bool remove_tree(void)
{
	static const char *const links[] = {"up", "root", "abs", "here", "dots", "loop", "magic", "f"};
	char name[32];
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(name, sizeof(name), "in/%s", links[i]);
		CHECK(unlink(name) == 0);
	}
	CHECK(rmdir("in/dir") == 0 && rmdir("in") == 0 && unlink("out") == 0);
	return true;
}

static const struct utest tests[] = {{"arguments", arguments}, {"a tree to walk in", make_tree},
    {"RESOLVE_BENEATH", beneath}, {"RESOLVE_IN_ROOT", in_root}, {"RESOLVE_NO_SYMLINKS", without_links},
    {"RESOLVE_NO_MAGICLINKS", magic_links}, {"RESOLVE_NO_XDEV", mounts}, {"RESOLVE_CACHED", cached},
    {"what moves meanwhile", moved_meanwhile}, {"nothing is left", remove_tree}};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN_INSIDE(0700, tests);
}
