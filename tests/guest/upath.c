/*
 * upath.c - calls on names: what they make, remove and change, and the errors, in the order in which Linux
 * finds them. Works in a directory of its own under /tmp or, where there is none, under the root. Runs as
 * root; the parts about rights run in children with other ids.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>
#include "utap.h"

enum { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2 }; /* musl 1.2.3 has no names for them */

static char long_name[300], long_path[PATH_MAX + 8];

static bool make_file(const char *name, mode_t mode)
{
	int fd = open(name, O_CREAT | O_EXCL | O_RDWR, mode);
	return fd >= 0 && fchmod(fd, mode) == 0 && close(fd) == 0;
}

/* Run fn as an ordinary user, one group more. */
static int (*unprivileged_fn)(void);
static int as_user(void *arg)
{
	gid_t group = 4242;
	(void)arg;
	if (sc(setgroups, 1, &group) || sc(setresgid, 1001, 1001, 1001) || sc(setresuid, 1001, 1001, 1001))
		return 99;
	return unprivileged_fn();
}
static bool user_succeeds(int (*fn)(void))
{
	unprivileged_fn = fn;
	return child_exits(as_user, NULL, 0);
}

static bool directories(void)
{
	CHECK(sc(mkdir, "d", 0777) == 0);
	CHECK(FAILS_WITH(sc(mkdir, "d", 0777), EEXIST));
	CHECK(FAILS_WITH(sc(mkdir, "d/", 0777), EEXIST));
	CHECK(FAILS_WITH(sc(mkdir, ".", 0777), EEXIST));
	CHECK(FAILS_WITH(sc(mkdir, "/", 0777), EEXIST));
	CHECK(FAILS_WITH(sc(mkdir, "", 0777), ENOENT));
	CHECK(FAILS_WITH(sc(mkdir, "no/d", 0777), ENOENT));
	CHECK(FAILS_WITH(sc(mkdir, BAD, 0777), EFAULT));
	CHECK(FAILS_WITH(sc(mkdir, long_name, 0777), ENAMETOOLONG));
	CHECK(FAILS_WITH(sc(mkdir, long_path, 0777), ENAMETOOLONG));
	CHECK(FAILS_WITH(sc(mkdirat, 99, "x", 0777), EBADF));
	CHECK(FAILS_WITH(sc(mkdirat, 99, "", 0777), ENOENT));
	CHECK(sc(mkdirat, 99, utest_base, 0777) == -1 && errno == EEXIST);
	CHECK(sc(mkdir, "d/e///", 01777) == 0);
	CHECK(FAILS_WITH(sc(rmdir, "d"), ENOTEMPTY));
	CHECK(FAILS_WITH(sc(rmdir, "d/."), EINVAL));
	CHECK(FAILS_WITH(sc(rmdir, "d/e/.."), ENOTEMPTY));
	CHECK(FAILS_WITH(sc(rmdir, "/"), EBUSY));
	CHECK(FAILS_WITH(sc(unlink, "d"), EISDIR));
	CHECK(FAILS_WITH(sc(unlink, "d/"), EISDIR));
	CHECK(FAILS_WITH(sc(unlinkat, AT_FDCWD, "d", 1), EINVAL));
	CHECK(sc(rmdir, "d/e/") == 0 && sc(unlinkat, AT_FDCWD, "d", AT_REMOVEDIR) == 0);
	CHECK(FAILS_WITH(sc(rmdir, "d"), ENOENT));
	return true;
}

static bool nodes(void)
{
	CHECK(sc(mknod, "reg", 0644, 0) == 0 && sc(mknod, "fifo", S_IFIFO | 0600, 0) == 0);
	CHECK(sc(mknod, "sock", S_IFSOCK | 0600, 0) == 0);
	CHECK(sc(mknod, "null", S_IFCHR | 0600, makedev(1, 3)) == 0);
	CHECK(FAILS_WITH(sc(mknod, "reg", 0644, 0), EEXIST));
	CHECK(FAILS_WITH(sc(mknod, "x", S_IFDIR | 0700, 0), EPERM));
	CHECK(FAILS_WITH(sc(mknod, "x", S_IFLNK | 0700, 0), EINVAL));
	CHECK(FAILS_WITH(sc(mknod, BAD, S_IFDIR | 0700, 0), EPERM));
	CHECK(FAILS_WITH(sc(mknod, "x/", S_IFREG | 0700, 0), ENOENT));
	CHECK(FAILS_WITH(sc(open, "sock", O_RDWR, 0), ENXIO));
	CHECK(unlink("reg") == 0 && unlink("fifo") == 0 && unlink("sock") == 0 && unlink("null") == 0);
	CHECK(FAILS_WITH(unlink("reg"), ENOENT));
	return true;
}

static bool links(void)
{
	struct stat st;
	CHECK(make_file("a", 0644) && link("a", "b") == 0);
	CHECK(stat("b", &st) == 0 && st.st_nlink == 2);
	CHECK(FAILS_WITH(link("a", "b"), EEXIST) && FAILS_WITH(link("a", "b/"), EEXIST));
	CHECK(FAILS_WITH(link("a", "c/"), ENOENT) && FAILS_WITH(link("no", "c"), ENOENT));
	CHECK(FAILS_WITH(link(".", "c"), EPERM) && FAILS_WITH(link("a/", "c"), ENOTDIR));
	CHECK(FAILS_WITH(sc(linkat, AT_FDCWD, "a", AT_FDCWD, "c", 1), EINVAL));
	int fd = open("a", O_RDONLY);
	CHECK(fd >= 0 && sc(linkat, fd, "", AT_FDCWD, "c", AT_EMPTY_PATH) == 0);
	CHECK(FAILS_WITH(sc(linkat, fd, "", AT_FDCWD, "d", 0), ENOENT));
	close(fd);
	CHECK(symlink("a", "s") == 0 && sc(linkat, AT_FDCWD, "s", AT_FDCWD, "s2", 0) == 0);
	CHECK(lstat("s2", &st) == 0 && S_ISLNK(st.st_mode) && st.st_nlink == 2);
	CHECK(sc(linkat, AT_FDCWD, "s", AT_FDCWD, "e", AT_SYMLINK_FOLLOW) == 0);
	CHECK(stat("e", &st) == 0 && st.st_nlink == 4);
	CHECK(!unlink("a") && !unlink("b") && !unlink("c") && !unlink("e") && !unlink("s") && !unlink("s2"));
	return true;
}

static bool nameless_files(void)
{
	struct stat st;
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0 && errno == EOPNOTSUPP)
		return true; /* a host file system without */
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0);
	CHECK(sc(linkat, fd, "", AT_FDCWD, "t", AT_EMPTY_PATH) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 1 && unlink("t") == 0);
	CHECK(FAILS_WITH(sc(linkat, fd, "", AT_FDCWD, "t", AT_EMPTY_PATH), ENOENT));
	close(fd);
	fd = open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600);
	CHECK(FAILS_WITH(sc(linkat, fd, "", AT_FDCWD, "t", AT_EMPTY_PATH), ENOENT));
	close(fd);
	return true;
}

static bool symbolic_links(void)
{
	char buf[PATH_MAX];
	CHECK(sc(symlink, "some/where", "s") == 0);
	CHECK(FAILS_WITH(sc(symlink, "x", "s"), EEXIST) && FAILS_WITH(sc(symlink, "", "t"), ENOENT));
	CHECK(FAILS_WITH(sc(symlink, "x", "t/"), ENOENT) && FAILS_WITH(sc(symlink, BAD, "t"), EFAULT));
	CHECK(sc(readlink, "s", buf, sizeof(buf)) == 10 && !memcmp(buf, "some/where", 10));
	CHECK(sc(readlink, "s", buf, 4) == 4 && !memcmp(buf, "some", 4));
	CHECK(
	    FAILS_WITH(sc(readlink, "s", buf, 0), EINVAL) && FAILS_WITH(sc(readlink, "s", buf, -1), EINVAL));
	CHECK(FAILS_WITH(sc(readlink, ".", buf, 9), EINVAL) && FAILS_WITH(sc(readlink, "", buf, 9), ENOENT));
	CHECK(FAILS_WITH(sc(readlink, "s", BAD, 9), EFAULT));
	CHECK(FAILS_WITH(sc(readlinkat, AT_FDCWD, "", buf, 9), ENOENT));
	int fd = open("s", O_PATH | O_NOFOLLOW);
	CHECK(fd >= 0 && sc(readlinkat, fd, "", buf, sizeof(buf)) == 10);
	close(fd);
	CHECK(symlink("l2", "l1") == 0 && symlink("l1", "l2") == 0);
	CHECK(FAILS_WITH(open("l1", O_RDONLY), ELOOP) && FAILS_WITH(chdir("l1"), ELOOP));
	CHECK(!unlink("s") && !unlink("l1") && !unlink("l2"));
	return true;
}

static bool renaming(void)
{
	struct stat st;
	CHECK(make_file("a", 0600) && make_file("b", 0600) && !mkdir("d", 0700) && !mkdir("e", 0700));
	CHECK(FAILS_WITH(sc(renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST));
	CHECK(FAILS_WITH(sc(renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 3), EINVAL));
	CHECK(FAILS_WITH(sc(renameat2, AT_FDCWD, BAD, AT_FDCWD, "b", 8), EINVAL));
	CHECK(FAILS_WITH(sc(renameat2, AT_FDCWD, "a", AT_FDCWD, "x", RENAME_EXCHANGE), ENOENT));
	CHECK(FAILS_WITH(rename("a", "d"), EISDIR) && FAILS_WITH(rename("d", "a"), ENOTDIR));
	CHECK(FAILS_WITH(rename("d", "d/x"), EINVAL) && FAILS_WITH(rename("no", "x"), ENOENT));
	CHECK(FAILS_WITH(rename(".", "x"), EBUSY) && FAILS_WITH(rename("a", ".."), EBUSY));
	CHECK(FAILS_WITH(rename("a", "x/"), ENOTDIR) && FAILS_WITH(rename("a/", "x"), ENOTDIR));
	CHECK(rename("d", "x/") == 0 && rename("x", "d") == 0);
	CHECK(make_file("e/f", 0600) && FAILS_WITH(rename("d", "e"), ENOTEMPTY) && rename("e", "d") == 0);
	CHECK(stat("d/f", &st) == 0 && FAILS_WITH(stat("e", &st), ENOENT));
	CHECK(FAILS_WITH(rename("d/f", "d"), ENOTEMPTY) && rename("a", "a") == 0);
	CHECK(sc(renameat2, AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE) == 0);
	CHECK(stat("d", &st) == 0 && S_ISREG(st.st_mode) && stat("a/f", &st) == 0);
	CHECK(
	    link("b", "c") == 0 && rename("b", "c") == 0 && stat("b", &st) == 0); /* two names of one file */
	CHECK(!unlink("b") && !unlink("c") && !unlink("d") && !unlink("a/f") && !rmdir("a"));
	return true;
}

static bool places(void)
{
	char buf[PATH_MAX];
	CHECK(sc(getcwd, buf, sizeof(buf)) == (long)strlen(utest_base) + 1 && !strcmp(buf, utest_base));
	CHECK(FAILS_WITH(sc(getcwd, buf, 3), ERANGE) && FAILS_WITH(sc(getcwd, BAD, 4096), EFAULT));
	CHECK(FAILS_WITH(sc(getcwd, buf, 0), ERANGE));
	CHECK(make_file("f", 0644) && !mkdir("d", 0755));
	CHECK(FAILS_WITH(chdir("f"), ENOTDIR) && FAILS_WITH(chdir("no"), ENOENT) &&
	      FAILS_WITH(chdir(""), ENOENT));
	int here = open(".", O_PATH), file = open("f", O_RDONLY), pipes[2];
	CHECK(FAILS_WITH(fchdir(99), EBADF) && FAILS_WITH(fchdir(file), ENOTDIR));
	CHECK(sc(pipe2, pipes, 0) == 0 && FAILS_WITH(fchdir(pipes[0]), ENOTDIR));
	close(pipes[0]);
	close(pipes[1]);
	CHECK(FAILS_WITH(openat(file, "x", O_RDONLY), ENOTDIR));
	CHECK(chdir("d") == 0 && getcwd(buf, sizeof(buf)) && !strcmp(buf + strlen(utest_base), "/d"));
	CHECK(rmdir("../d") == 0 && FAILS_WITH(sc(getcwd, buf, sizeof(buf)), ENOENT));
	CHECK(FAILS_WITH(open("x", O_CREAT | O_RDWR, 0600), ENOENT) && FAILS_WITH(mkdir("x", 0700), ENOENT));
	CHECK(fchdir(here) == 0 && getcwd(buf, sizeof(buf)) && !strcmp(buf, utest_base));
	close(here);
	close(file);
	CHECK(unlink("f") == 0);
	mode_t old = umask(0);
	CHECK(umask(07777) == 0 && umask(027) == 0777);
	CHECK(make_file("m", 0666) && chmod("m", 0) == 0 && mkdir("n", 0777) == 0);
	struct stat st;
	CHECK(stat("n", &st) == 0 && (st.st_mode & 07777) == 0750);
	umask(old);
	CHECK(!unlink("m") && !rmdir("n"));
	return true;
}

static int in_new_root(void *arg)
{
	char buf[64];
	struct stat st;
	(void)arg;
	UCHECK(FAILS_WITH(chroot("no"), ENOENT));
	UCHECK(chroot("r") == 0 && sc(getcwd, buf, sizeof(buf)) > 0 && !strncmp(buf, "(unreachable)/", 14));
	UCHECK(chdir("/") == 0 && getcwd(buf, sizeof(buf)) && !strcmp(buf, "/"));
	UCHECK(stat("/in", &st) == 0 && stat("../../in", &st) == 0);
	UCHECK(
	    symlink("/in", "abs") == 0 && stat("abs", &st) == 0 && S_ISREG(st.st_mode) && unlink("abs") == 0);
	return 0;
}

static bool roots(void)
{
	CHECK(!mkdir("r", 0755) && make_file("r/in", 0600) && child_exits(in_new_root, NULL, 0));
	CHECK(!unlink("r/in") && !rmdir("r"));
	return true;
}

static int user_rights(void)
{
	struct stat st;
	UCHECK(FAILS_WITH(open("private", O_RDONLY), EACCES) && FAILS_WITH(chdir("closed"), EACCES));
	UCHECK(FAILS_WITH(stat("closed/x", &st), EACCES) && FAILS_WITH(mkdir("x", 0700), EACCES));
	UCHECK(FAILS_WITH(access("private", R_OK), EACCES) && access("private", F_OK) == 0);
	UCHECK(access("group", R_OK) == 0 && FAILS_WITH(access("group", W_OK), EACCES));
	UCHECK(FAILS_WITH(access("private", 8), EINVAL));
	UCHECK(FAILS_WITH(chmod("private", 0666), EPERM) && FAILS_WITH(chown("private", 1001, -1), EPERM));
	UCHECK(FAILS_WITH(chroot("."), EPERM) && FAILS_WITH(chroot("no"), ENOENT));
	UCHECK(FAILS_WITH(mount("x", ".", "tmpfs", 0, NULL), EPERM));
	UCHECK(FAILS_WITH(mount("x", "no", "tmpfs", 0, NULL), ENOENT));
	UCHECK(FAILS_WITH(umount2(".", 0), EPERM) && FAILS_WITH(umount2(".", 64), EINVAL));
	UCHECK(
	    FAILS_WITH(unlink("open/sticky"), EPERM) && FAILS_WITH(rename("open/sticky", "open/x"), EPERM));
	UCHECK(make_file("open/mine", 0644) && stat("open/mine", &st) == 0 && st.st_uid == 1001);
	UCHECK(chown("open/mine", 1001, 4242) == 0 && chown("open/mine", -1, 1001) == 0);
	UCHECK(FAILS_WITH(chown("open/mine", 0, -1), EPERM) && FAILS_WITH(chown("open/mine", -1, 0), EPERM));
	UCHECK(FAILS_WITH(mknod("open/dev", S_IFCHR | 0600, makedev(1, 3)), EPERM));
	UCHECK(mknod("open/fifo", S_IFIFO | 0600, 0) == 0 && unlink("open/fifo") == 0);
	UCHECK(utimes("group-w", NULL) == 0 && utimensat(AT_FDCWD, "group-w", NULL, 0) == 0);
	struct timespec set[2] = {{1, 0}, {2, 0}}, half[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
	UCHECK(FAILS_WITH(utimensat(AT_FDCWD, "group-w", set, 0), EPERM));
	UCHECK(FAILS_WITH(utimensat(AT_FDCWD, "group-w", half, 0), EPERM));
	UCHECK(FAILS_WITH(utimes("private", NULL), EACCES));
	UCHECK(utimensat(AT_FDCWD, "open/mine", set, 0) == 0);
	UCHECK(FAILS_WITH(truncate("private", 0), EACCES) && unlink("open/mine") == 0);
	UCHECK(mkdir("open/own", 0700) == 0 && chmod("open/own", 02777) == 0);
	UCHECK(rename("open/own", "open/own2") == 0 && rmdir("open/own2") == 0);
	return 0;
}

static bool rights(void)
{
	CHECK(make_file("private", 0600) && make_file("group", 0640) && make_file("group-w", 0660));
	CHECK(!chown("group", 0, 4242) && !chown("group-w", 0, 4242));
	CHECK(!mkdir("closed", 0700) && !mkdir("open", 0755) && !chmod("open", 01777));
	CHECK(make_file("open/sticky", 0666));
	CHECK(user_succeeds(user_rights));
	CHECK(!unlink("private") && !unlink("group") && !unlink("group-w") && !rmdir("closed"));
	CHECK(!unlink("open/sticky") && !rmdir("open"));
	return true;
}

static int with_real_ids(void *arg)
{
	(void)arg;
	UCHECK(sc(setresuid, 1001, 0, 0) == 0);
	UCHECK(FAILS_WITH(sc(access, "f", R_OK), EACCES) &&
	       sc(faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS) == 0);
	return 0;
}

static bool asking_for_access(void)
{
	CHECK(make_file("f", 0600) && symlink("no", "s") == 0);
	CHECK(access("f", R_OK | W_OK) == 0 && FAILS_WITH(access("f", X_OK), EACCES));
	CHECK(FAILS_WITH(sc(faccessat2, AT_FDCWD, "f", 0, 0x8000), EINVAL));
	CHECK(FAILS_WITH(access("s", F_OK), ENOENT));
	CHECK(sc(faccessat2, AT_FDCWD, "s", F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	int fd = open("f", O_RDONLY);
	CHECK(
	    sc(faccessat2, fd, "", W_OK, AT_EMPTY_PATH) == 0 && FAILS_WITH(sc(faccessat, fd, "", 0), ENOENT));
	close(fd);
	CHECK(child_exits(with_real_ids, NULL, 0));
	CHECK(!unlink("f") && !unlink("s"));
	return true;
}

static bool modes_and_owners(void)
{
	struct stat st;
	CHECK(make_file("f", 0644) && symlink("f", "s") == 0);
	CHECK(chmod("s", 06755) == 0 && stat("f", &st) == 0 && (st.st_mode & 07777) == 06755);
	CHECK(chown("f", 5, 6) == 0 && stat("f", &st) == 0 && st.st_uid == 5 && st.st_gid == 6);
	CHECK((st.st_mode & 07777) == 0755);
	CHECK(lchown("s", 7, 8) == 0 && lstat("s", &st) == 0 && st.st_uid == 7 && st.st_gid == 8);
	CHECK(stat("f", &st) == 0 && st.st_uid == 5);
	int fd = open("f", O_RDWR), path = open("f", O_PATH);
	CHECK(fchmod(fd, 0600) == 0 && fchown(fd, -1, 9) == 0 && fstat(fd, &st) == 0);
	CHECK((st.st_mode & 07777) == 0600 && st.st_uid == 5 && st.st_gid == 9);
	CHECK(FAILS_WITH(sc(fchmod, path, 0600), EBADF) && FAILS_WITH(sc(fchown, path, 0, 0), EBADF));
	CHECK(sc(fchownat, path, "", 1, 2, AT_EMPTY_PATH) == 0 && fstat(fd, &st) == 0 && st.st_uid == 1);
	CHECK(FAILS_WITH(sc(fchownat, path, "", 1, 2, 0), ENOENT));
	CHECK(FAILS_WITH(sc(fchownat, AT_FDCWD, "f", 1, 2, 1), EINVAL));
	CHECK(FAILS_WITH(fchmod(99, 0), EBADF) && FAILS_WITH(chmod("f/", 0), ENOTDIR));
	close(fd);
	close(path);
	CHECK(!unlink("f") && !unlink("s"));
	return true;
}

static bool times(void)
{
	struct stat st;
	struct timespec t[2] = {{1000, 5}, {2000, 999999999}};
	struct timeval v[2] = {{10, 999999}, {20, 1}};
	struct utimbuf u = {30, 40};
	CHECK(make_file("f", 0600) && symlink("f", "s") == 0);
	CHECK(utimensat(AT_FDCWD, "s", t, 0) == 0 && stat("f", &st) == 0);
	CHECK(st.st_atim.tv_sec == 1000 && st.st_atim.tv_nsec == 5 && st.st_mtim.tv_sec == 2000 &&
	      st.st_mtim.tv_nsec == 999999999);
	CHECK(sc(utimes, "f", v) == 0 && stat("f", &st) == 0 && st.st_atim.tv_nsec == 999999000 &&
	      st.st_mtim.tv_sec == 20);
	CHECK(sc(utime, "f", &u) == 0 && stat("f", &st) == 0 && st.st_atim.tv_sec == 30 &&
	      st.st_mtim.tv_sec == 40);
	CHECK(utimensat(AT_FDCWD, "s", t, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(lstat("s", &st) == 0 && st.st_mtim.tv_sec == 2000 && stat("f", &st) == 0 &&
	      st.st_mtim.tv_sec == 40);
	t[0].tv_nsec = UTIME_OMIT;
	CHECK(utimensat(AT_FDCWD, "f", t, 0) == 0 && stat("f", &st) == 0);
	CHECK(st.st_atim.tv_sec == 30 && st.st_mtim.tv_sec == 2000);
	t[1].tv_nsec = UTIME_OMIT;
	CHECK(sc(utimensat, AT_FDCWD, "no", t, 0x8000) == 0); /* nothing is asked for, nothing is looked at */
	t[1].tv_nsec = 1000000000;
	CHECK(FAILS_WITH(sc(utimensat, AT_FDCWD, "f", t, 0), EINVAL));
	CHECK(FAILS_WITH(sc(utimensat, AT_FDCWD, "no", t, 0), ENOENT));
	CHECK(FAILS_WITH(sc(utimensat, AT_FDCWD, "f", NULL, 0x8000), EINVAL));
	CHECK(FAILS_WITH(sc(utimensat, AT_FDCWD, NULL, NULL, 0), EFAULT));
	v[0].tv_usec = 1000000;
	CHECK(FAILS_WITH(sc(utimes, "no", v), EINVAL) && FAILS_WITH(sc(utimes, "f", BAD), EFAULT));
	int fd = open("f", O_RDONLY);
	CHECK(sc(utimensat, fd, NULL, NULL, 0) == 0 && sc(futimesat, fd, NULL, NULL) == 0);
	CHECK(FAILS_WITH(sc(utimensat, fd, NULL, NULL, AT_SYMLINK_NOFOLLOW), EINVAL));
	CHECK(fstat(fd, &st) == 0 && st.st_mtim.tv_sec > 2000 && st.st_mtim.tv_sec == st.st_atim.tv_sec);
	close(fd);
	CHECK(!unlink("f") && !unlink("s"));
	return true;
}

static int beyond_limit(void *arg)
{
	struct rlimit l = {1000, 1000};
	(void)arg;
	UCHECK(sc(setrlimit, RLIMIT_FSIZE, &l) == 0 && truncate("f", 1000) == 0);
	signal(SIGXFSZ, SIG_IGN);
	UCHECK(FAILS_WITH(truncate("f", 1001), EFBIG));
	signal(SIGXFSZ, SIG_DFL);
	(void)!truncate("f", 1001);
	return 0;
}

static bool sizes(void)
{
	struct stat st;
	CHECK(
	    make_file("f", 0600) && truncate("f", 12345) == 0 && stat("f", &st) == 0 && st.st_size == 12345);
	CHECK(FAILS_WITH(truncate("no", -1), EINVAL) && FAILS_WITH(truncate(".", 0), EISDIR));
	CHECK(mkfifo("p", 0600) == 0 && FAILS_WITH(truncate("p", 0), EINVAL));
	CHECK(truncate("f", 0) == 0 && stat("f", &st) == 0 && st.st_size == 0);
	CHECK(child_dies(beyond_limit, NULL, SIGXFSZ));
	CHECK(!unlink("f") && !unlink("p"));
	return true;
}

static bool mounting(void)
{
	struct stat st;
	struct statfs sf;
	CHECK(!mkdir("m", 0755) && make_file("file", 0600));
	if (mount("none", "m", "tmpfs", 0, "size=64k") && errno == EPERM)
		return !rmdir("m") && !unlink("file"); /* a host that does not let us */
	CHECK(make_file("m/in", 0600) && stat("m/in", &st) == 0);
	CHECK(statfs("m", &sf) == 0 && sf.f_type == 0x01021994 && sf.f_blocks == 16 && sf.f_namelen == 255);
	CHECK(FAILS_WITH(rmdir("m"), EBUSY) && FAILS_WITH(rename("m", "n"), EBUSY));
	CHECK(FAILS_WITH(rename("m/in", "in"), EXDEV) && FAILS_WITH(link("m/in", "in"), EXDEV));
	CHECK(mount(NULL, "m", NULL, MS_PRIVATE | MS_REC, NULL) == 0);
	CHECK(FAILS_WITH(mount(NULL, "m/in", NULL, MS_PRIVATE, NULL), EINVAL));
	CHECK(FAILS_WITH(mount(NULL, "m", NULL, MS_PRIVATE | MS_SLAVE, NULL), EINVAL));
	int fd = open("m/in", O_RDWR);
	CHECK(FAILS_WITH(umount2("m", 0), EBUSY));
	CHECK(FAILS_WITH(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL), EBUSY));
	close(fd);
	CHECK(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
	CHECK(FAILS_WITH(open("m/in", O_RDWR), EROFS) && FAILS_WITH(open("m/x", O_CREAT, 0600), EROFS));
	CHECK(FAILS_WITH(mkdir("m/in", 0700), EEXIST) && FAILS_WITH(mkdir("m/x", 0700), EROFS));
	CHECK(FAILS_WITH(unlink("m/in"), EROFS) && FAILS_WITH(access("m/in", W_OK), EROFS));
	CHECK(FAILS_WITH(chmod("m/in", 0), EROFS) && statfs("m", &sf) == 0 && (sf.f_flags & 1));
	CHECK(FAILS_WITH(umount2("m/in", 0), EINVAL) && FAILS_WITH(umount2("no", 0), ENOENT));
	CHECK(umount2("m", 0) == 0 && FAILS_WITH(umount2("m", 0), EINVAL));
	CHECK(FAILS_WITH(mount("none", "file", "tmpfs", 0, NULL), ENOTDIR));
	CHECK(FAILS_WITH(mount("none", "m", "nosuchfs", 0, NULL), ENODEV));
	CHECK(FAILS_WITH(sc(mount, "none", "m", NULL, 0, NULL), EINVAL));
	CHECK(FAILS_WITH(sc(mount, "none", "m", "tmpfs", 0, BAD), EFAULT));
	CHECK(!mkdir("m/a", 0755) && make_file("m/a/f", 0600) && !mkdir("n", 0755));
	CHECK(mount("m/a", "n", NULL, MS_BIND, NULL) == 0 && stat("n/f", &st) == 0);
	CHECK(umount2("n", MNT_DETACH) == 0 && FAILS_WITH(stat("n/f", &st), ENOENT));
	CHECK(!unlink("m/a/f") && !rmdir("m/a") && !rmdir("m") && !rmdir("n") && !unlink("file"));
	return true;
}

static bool file_systems(void)
{
	struct statfs a, b;
	int fd = open(".", O_PATH), pipes[2];
	CHECK(statfs(".", &a) == 0 && fstatfs(fd, &b) == 0 && a.f_type == b.f_type && a.f_bsize == b.f_bsize);
	CHECK(a.f_bsize > 0 && a.f_namelen == 255 && (a.f_flags & 0x20));
	CHECK(FAILS_WITH(statfs("no", &a), ENOENT) && FAILS_WITH(sc(statfs, ".", BAD), EFAULT));
	CHECK(FAILS_WITH(fstatfs(99, &a), EBADF));
	close(fd);
	CHECK(sc(pipe2, pipes, 0) == 0 && fstatfs(pipes[0], &a) == 0 && a.f_type == 0x50495045);
	close(pipes[0]);
	close(pipes[1]);
	return true;
}

/* Answers that all file systems give. */
static bool extended_attributes(void)
{
	char buf[300], name[300];
	memset(name, 'n', 299);
	memcpy(name, "user.", 5);
	name[299] = 0;
	CHECK(make_file("f", 0600));
	CHECK(FAILS_WITH(setxattr("f", "user.x", "v", 1, 4), EINVAL));
	CHECK(FAILS_WITH(setxattr("f", "", "v", 1, 0), ERANGE) &&
	      FAILS_WITH(setxattr("f", name, "v", 1, 0), ERANGE));
	CHECK(FAILS_WITH(setxattr("f", "user.x", buf, 65537, 0), E2BIG));
	CHECK(FAILS_WITH(fgetxattr(99, "user.x", buf, 9), EBADF) &&
	      FAILS_WITH(getxattr("f", "", buf, 9), ERANGE));
	CHECK(FAILS_WITH(setxattr("f", "nonsense.x", "v", 1, 0), EOPNOTSUPP));
	CHECK(FAILS_WITH(getxattr("f", "nonsense.x", buf, 9), EOPNOTSUPP));
	CHECK(FAILS_WITH(removexattr("f", "nonsense.x"), EOPNOTSUPP));
	CHECK(listxattr("f", buf, sizeof(buf)) == 0 && llistxattr("f", NULL, 0) == 0);
	CHECK(unlink("f") == 0);
	return true;
}

static const struct utest tests[] = {
    {"mkdir, rmdir", directories},
    {"mknod", nodes},
    {"link", links},
    {"files without names get one", nameless_files},
    {"symlink, readlink", symbolic_links},
    {"rename", renaming},
    {"chdir, getcwd, umask", places},
    {"chroot", roots},
    {"ordinary users", rights},
    {"access", asking_for_access},
    {"chmod, chown", modes_and_owners},
    {"utimensat and its kin", times},
    {"truncate", sizes},
    {"mount, umount", mounting},
    {"statfs", file_systems},
    {"extended attributes", extended_attributes},
};

int main(void)
{
	memset(long_name, 'x', sizeof(long_name) - 1);
	memset(long_path, '/', sizeof(long_path) - 1);
	return UTEST_RUN_INSIDE(0755, tests);
}
