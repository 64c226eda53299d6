/*
 * uinotify.c - inotify: which events come of what is done to files and names, in which order, and how they
 * are read. Each test does things in a directory of its own and compares all that it reads with one line of
 * text: the watch's letter, the event's names, ':' and the name that came with it; cookies are numbered as
 * they come.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include "utap.h"

#ifndef IN_MASK_CREATE
#define IN_MASK_CREATE 0x10000000
#endif

#define NOWHERE ((void *)8) /* an address of user space's where nothing is */

static char said[8192];
static int in, letters[8]; /* the inotify file; the numbers of watches a, b, ... */

static const struct {
	unsigned bit;
	const char *name;
} names[] = {{IN_ACCESS, "access"}, {IN_MODIFY, "modify"}, {IN_ATTRIB, "attrib"}, {IN_CLOSE_WRITE, "closew"},
    {IN_CLOSE_NOWRITE, "close"}, {IN_OPEN, "open"}, {IN_MOVED_FROM, "from"}, {IN_MOVED_TO, "to"},
    {IN_CREATE, "create"}, {IN_DELETE, "delete"}, {IN_DELETE_SELF, "deleteself"}, {IN_MOVE_SELF, "moveself"},
    {IN_UNMOUNT, "unmount"}, {IN_Q_OVERFLOW, "overflow"}, {IN_IGNORED, "ignored"}, {IN_ISDIR, "dir"}};

static char *add(char *at, const char *s)
{
	size_t n = strlen(s);
	if (at + n + 1 < said + sizeof(said))
		memcpy(at, s, n + 1);
	return at + n;
}

static char *describe(char *at, const struct inotify_event *e, uint32_t *cookie, int *ncookies)
{
	char c = e->wd == -1 ? '-' : '?', text[16];
	for (unsigned i = 0; i < 8; i++)
		if (letters[i] == e->wd)
			c = (char)('a' + i);
	snprintf(text, sizeof(text), "%s%c", at == said ? "" : " ", c);
	at = add(at, text);
	unsigned rest = e->mask;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (e->mask & names[i].bit)
			at = add(add(at, "."), names[i].name);
		rest &= ~names[i].bit;
	}
	if (rest)
		at = add(at, ".more");
	if (e->len)
		at = add(add(at, ":"), e->name);
	if (e->cookie) {
		if (e->cookie != *cookie)
			++*ncookies;
		*cookie = e->cookie;
		snprintf(text, sizeof(text), "#%d", *ncookies);
		at = add(at, text);
	}
	return at;
}

/* Is all that is to be read this? */
static bool reads(const char *expected)
{
	_Alignas(8) static char buf[65536];
	char *at = said;
	uint32_t cookie = 0;
	int ncookies = 0;
	ssize_t n;
	said[0] = 0;
	while ((n = read(in, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n;) {
			const struct inotify_event *e = (void *)(buf + i);
			at = describe(at, e, &cookie, &ncookies);
			i += (ssize_t)(sizeof(*e) + e->len);
		}
	if (n == -1 && errno == EAGAIN && !strcmp(said, expected))
		return true;
	printf("# read:     %s\n# expected: %s\n", said, expected);
	return false;
}

static bool begin(void)
{
	memset(letters, 0x80, sizeof(letters));
	in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	return in >= 0;
}

static bool watch(char letter, const char *name, uint32_t mask)
{
	return (letters[letter - 'a'] = inotify_add_watch(in, name, mask)) > 0;
}

static bool put(const char *name)
{
	int fd = open(name, O_CREAT | O_WRONLY, 0644);
	return fd >= 0 && write(fd, "hello", 5) == 5 && close(fd) == 0;
}

static bool creating(void)
{
	CHECK(begin() && watch('a', ".", IN_ALL_EVENTS));
	CHECK(put("f"));
	CHECK(reads("a.create:f a.open:f a.modify:f a.closew:f"));
	CHECK(mkdir("d", 0755) == 0 && reads("a.create.dir:d"));
	CHECK(symlink("f", "s") == 0 && reads("a.create:s"));
	CHECK(mkfifo("p", 0600) == 0 && reads("a.create:p"));
	CHECK(link("f", "l") == 0 && reads("a.create:l"));
	CHECK(FAILS_WITH(link("f", "l"), EEXIST) && FAILS_WITH(mkdir("d", 0755), EEXIST) && reads(""));
	CHECK(
	    unlink("l") == 0 && unlink("s") == 0 && unlink("p") == 0 && rmdir("d") == 0 && unlink("f") == 0);
	CHECK(reads("a.delete:l a.delete:s a.delete:p a.delete.dir:d a.delete:f"));
	close(in);
	return true;
}

static bool using(void)
{
	char buf[64];
	CHECK(put("f") && put("g") && begin() && watch('a', ".", IN_ALL_EVENTS) &&
	      watch('b', "f", IN_ALL_EVENTS));
	int fd = open("f", O_RDWR);
	CHECK(reads("a.open:f b.open"));
	CHECK(read(fd, buf, 2) == 2 && read(fd, buf, 2) == 2 && pread(fd, buf, 1, 0) == 1);
	CHECK(reads("a.access:f b.access a.access:f b.access a.access:f b.access"));
	CHECK(read(fd, buf, 64) == 1 && read(fd, buf, 64) == 0 && read(fd, buf, 0) == 0);
	CHECK(reads("a.access:f b.access"));
	CHECK(write(fd, "x", 1) == 1 && write(fd, "", 0) == 0 && reads("a.modify:f b.modify"));
	CHECK(FAILS_WITH(write(fd, BAD, 1), EFAULT) && reads(""));
	CHECK(ftruncate(fd, 3) == 0 && reads("a.modify:f b.modify"));
	CHECK(posix_fallocate(fd, 0, 100) == 0 && reads("a.modify:f b.modify"));
	CHECK(lseek(fd, 0, SEEK_SET) == 0 && fsync(fd) == 0 && reads(""));
	int other = open("g", O_WRONLY);
	CHECK(sendfile(other, fd, NULL, 3) == 3);
	CHECK(reads("a.open:g a.access:f b.access a.modify:g"));
	int twin = dup(other);
	CHECK(close(other) == 0 && reads("") && close(twin) == 0 && reads("a.closew:g"));
	void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED && close(fd) == 0 && reads(""));
	CHECK(munmap(at, 4096) == 0 && reads("a.closew:f b.closew"));
	CHECK((fd = open("f", O_RDONLY)) >= 0 && close(fd) == 0);
	CHECK(reads("a.open:f b.open a.close:f b.close"));
	CHECK((fd = open("f", O_PATH)) >= 0 && close(fd) == 0 && reads(""));
	CHECK((fd = open("f", O_WRONLY | O_TRUNC)) >= 0 && close(fd) == 0);
	CHECK(reads("a.open:f b.open a.modify:f b.modify a.closew:f b.closew"));
	CHECK(truncate("f", 10) == 0 && reads("a.modify:f b.modify"));
	CHECK(unlink("f") == 0 && unlink("g") == 0);
	CHECK(reads("b.attrib b.deleteself b.ignored a.delete:f a.delete:g"));
	close(in);
	return true;
}

static bool attributes(void)
{
	struct timespec omit[2] = {{1, UTIME_OMIT}, {1, 0}};
	CHECK(put("f") && mkdir("d", 0755) == 0 && begin() && watch('a', ".", IN_ALL_EVENTS));
	CHECK(watch('b', "f", IN_ALL_EVENTS) && watch('c', "d", IN_ALL_EVENTS));
	CHECK(chmod("f", 0600) == 0 && reads("a.attrib:f b.attrib"));
	CHECK(chmod("d", 0700) == 0 && reads("a.attrib.dir:d c.attrib.dir"));
	CHECK(chown("f", 1, -1) == 0 && reads("a.attrib:f b.attrib"));
	CHECK(chown("f", -1, -1) == 0 && reads(""));
	CHECK(utimensat(AT_FDCWD, "f", NULL, 0) == 0 && reads("a.attrib:f b.attrib"));
	CHECK(utimensat(AT_FDCWD, "f", omit, 0) == 0 && reads("a.modify:f b.modify"));
	omit[1].tv_nsec = UTIME_OMIT;
	omit[0].tv_nsec = 0;
	CHECK(utimensat(AT_FDCWD, "f", omit, 0) == 0 && reads("a.access:f b.access"));
	CHECK(link("f", "l") == 0 && reads("b.attrib a.create:l"));
	CHECK(unlink("l") == 0 && reads("b.attrib a.delete:l"));
	int fd = open("f", O_WRONLY);
	CHECK(fchmod(fd, 04755) == 0 && reads("a.open:f b.open a.attrib:f b.attrib"));
	close(fd);
	CHECK(reads("a.closew:f b.closew"));
	CHECK(unlink("f") == 0 && rmdir("d") == 0);
	CHECK(reads("b.attrib b.deleteself b.ignored a.delete:f c.deleteself c.ignored a.delete.dir:d"));
	close(in);
	return true;
}

/* As an ordinary user, with files that have the set-user-id bit. */
static int lose_suid(void *arg)
{
	(void)arg;
	if (setgid(1001) || setuid(1001))
		return 99;
	int fd = open("f", O_WRONLY);
	if (fd < 0 || chmod("f", 04755) || write(fd, "x", 1) != 1 || write(fd, "x", 1) != 1 ||
	    chmod("f", 04755))
		return 2;
	return ftruncate(fd, 1) || chmod("f", 04755) || truncate("f", 0);
}

static bool lost_bits(void)
{
	CHECK(put("f") && chown("f", 1001, 1001) == 0 && begin() && watch('b', "f", IN_ATTRIB | IN_MODIFY));
	CHECK(child_exits(lose_suid, NULL, 0));
	CHECK(reads("b.attrib b.modify b.attrib b.modify.attrib b.attrib b.modify.attrib"));
	CHECK(unlink("f") == 0);
	close(in);
	return true;
}

static bool directories(void)
{
	char buf[1024];
	CHECK(mkdir("d", 0755) == 0 && begin() && watch('a', ".", IN_ALL_EVENTS) &&
	      watch('b', "d", IN_ALL_EVENTS));
	int fd = open("d", O_RDONLY | O_DIRECTORY);
	CHECK(reads("a.open.dir:d b.open.dir"));
	CHECK(sc(getdents64, fd, buf, sizeof(buf)) > 0 && reads("a.access.dir:d b.access.dir"));
	CHECK(sc(getdents64, fd, buf, sizeof(buf)) == 0 && reads("a.access.dir:d b.access.dir"));
	CHECK(rmdir("d") == 0 && reads("a.delete.dir:d"));
	CHECK(FAILS_WITH(sc(getdents64, fd, buf, sizeof(buf)), ENOENT) && reads(""));
	close(fd);
	CHECK(reads("a.close.dir:d b.close.dir b.deleteself b.ignored"));
	close(in);
	return true;
}

static bool deleting(void)
{
	CHECK(put("f") && link("f", "l") == 0 && begin() && watch('b', "f", IN_ALL_EVENTS));
	CHECK(unlink("f") == 0 && reads("b.attrib"));
	int fd = open("l", O_RDWR);
	CHECK(unlink("l") == 0 && reads("b.open b.attrib"));
	CHECK(write(fd, "x", 1) == 1 && reads("b.modify"));
	CHECK(close(fd) == 0 && reads("b.closew b.deleteself b.ignored"));
	CHECK(FAILS_WITH(inotify_rm_watch(in, letters[1]), EINVAL));
	CHECK(put("f") && watch('b', "f", IN_ATTRIB) && unlink("f") == 0 && reads("b.attrib b.ignored"));
	CHECK(put("f") && watch('b', "f", IN_OPEN) && unlink("f") == 0 && reads("b.ignored"));
	close(in);
	return true;
}

static bool renaming(void)
{
	CHECK(put("f") && put("g") && mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0 && begin());
	CHECK(watch('a', ".", IN_ALL_EVENTS) && watch('b', "d", IN_ALL_EVENTS) &&
	      watch('c', "f", IN_ALL_EVENTS) && watch('d', "g", IN_ALL_EVENTS) &&
	      watch('e', "e", IN_ALL_EVENTS));
	CHECK(rename("f", "h") == 0 && reads("a.from:f#1 a.to:h#1 c.moveself"));
	CHECK(rename("h", "d/f") == 0 && reads("a.from:h#1 b.to:f#1 c.moveself"));
	CHECK(rename("d/f", "g") == 0);
	CHECK(reads("b.from:f#1 a.to:g#1 d.attrib c.moveself d.deleteself d.ignored"));
	CHECK(rename("g", "g") == 0 && link("g", "l") == 0 && rename("g", "l") == 0);
	CHECK(reads("c.attrib a.create:l"));
	CHECK(rename("e", "d/e") == 0 && reads("a.from.dir:e#1 b.to.dir:e#1 e.moveself"));
	CHECK(sc(renameat2, AT_FDCWD, "d/e", AT_FDCWD, "g", 2) == 0); /* RENAME_EXCHANGE */
	CHECK(reads("b.from.dir:e#1 a.to.dir:g#1 e.moveself a.from:g#2 b.to:e#2 c.moveself"));
	CHECK(chmod("d/e", 0600) == 0 && reads("b.attrib:e c.attrib"));
	CHECK(rmdir("g") == 0 && unlink("l") == 0 && unlink("d/e") == 0 && rmdir("d") == 0);
	close(in);
	return true;
}

static bool merging(void)
{
	char c;
	CHECK(put("f") && begin() && watch('b', "f", IN_ACCESS | IN_OPEN | IN_ATTRIB));
	int fd = open("f", O_RDONLY);
	for (int i = 0; i < 3; i++)
		CHECK(pread(fd, &c, 1, 0) == 1);
	CHECK(reads("b.open b.access"));
	CHECK(pread(fd, &c, 1, 0) == 1 && fchmod(fd, 0600) == 0 && pread(fd, &c, 1, 0) == 1);
	CHECK(reads("b.access b.attrib b.access"));
	close(fd);
	int first = letters[1];
	CHECK(inotify_rm_watch(in, first) == 0 && reads("b.ignored"));
	CHECK(watch('b', "f", IN_OPEN) && letters[1] == first + 1); /* numbers are not used again */
	close(in);
	CHECK(unlink("f") == 0);
	return true;
}

static bool masks(void)
{
	CHECK(put("f") && symlink("f", "s") == 0 && begin() && watch('b', "f", IN_OPEN));
	CHECK(inotify_add_watch(in, "s", IN_ATTRIB | IN_MASK_ADD) == letters[1]);
	CHECK(chmod("f", 0600) == 0 && close(open("f", O_RDONLY)) == 0 && reads("b.attrib b.open"));
	CHECK(inotify_add_watch(in, "f", IN_ATTRIB) == letters[1]);
	CHECK(chmod("f", 0644) == 0 && close(open("f", O_RDONLY)) == 0 && reads("b.attrib"));
	CHECK(FAILS_WITH(inotify_add_watch(in, "f", IN_OPEN | IN_MASK_CREATE), EEXIST));
	CHECK(FAILS_WITH(inotify_add_watch(in, "f", IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD), EINVAL));
	CHECK(watch('c', "s", IN_ALL_EVENTS | IN_DONT_FOLLOW | IN_MASK_CREATE) && letters[2] != letters[1]);
	CHECK(FAILS_WITH(inotify_add_watch(in, "f", IN_OPEN | IN_ONLYDIR), ENOTDIR));
	CHECK(FAILS_WITH(inotify_add_watch(in, "f", 0), EINVAL));
	CHECK(FAILS_WITH(inotify_add_watch(in, "f", 0x1000), EINVAL));
	CHECK(watch('d', ".", IN_ONLYDIR)); /* no event, but the last one */
	CHECK(watch('b', "f", IN_OPEN | IN_ATTRIB | IN_ONESHOT));
	CHECK(close(open("f", O_RDONLY)) == 0 && chmod("f", 0600) == 0 && reads("b.open b.ignored"));
	CHECK(unlink("s") == 0 && reads("c.attrib c.deleteself c.ignored") && unlink("f") == 0);
	close(in);
	return true;
}

static bool unlinked_names(void)
{
	CHECK(put("f") && put("g") && begin() &&
	      watch('a', ".", IN_MODIFY | IN_ATTRIB | IN_CLOSE | IN_EXCL_UNLINK));
	int f = open("f", O_WRONLY);
	CHECK(write(f, "x", 1) == 1 && unlink("f") == 0 && write(f, "x", 1) == 1 && reads("a.modify:f"));
	CHECK(close(f) == 0 && reads(""));
	CHECK(watch('a', ".", IN_MODIFY | IN_CLOSE));
	f = open("g", O_WRONLY);
	CHECK(unlink("g") == 0 && write(f, "x", 1) == 1 && close(f) == 0 && reads("a.modify:g a.closew:g"));
	close(in);
	return true;
}

static bool nameless(void)
{
	char expected[128];
	struct stat st;
	CHECK(begin() && watch('a', ".", IN_ALL_EVENTS));
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0 && errno == EOPNOTSUPP)
		return close(in) == 0; /* where this runs the file system has none */
	CHECK(fd >= 0 && fstat(fd, &st) == 0 && close(fd) == 0);
	snprintf(expected, sizeof(expected), "a.open:#%lu a.closew:#%lu", (unsigned long)st.st_ino,
	    (unsigned long)st.st_ino);
	CHECK(reads(expected));
	close(in);
	return true;
}

static bool reading(void)
{
	_Alignas(8) char buf[128];
	const struct inotify_event *e = (void *)buf;
	int n;
	CHECK(begin() && watch('a', ".", IN_CREATE | IN_DELETE));
	CHECK(FAILS_WITH(read(in, buf, 1), EAGAIN) && FAILS_WITH(read(in, NOWHERE, 100), EAGAIN));
	CHECK(put("f") && FAILS_WITH(read(in, buf, 31), EINVAL) && FAILS_WITH(read(in, buf, 0), EINVAL));
	CHECK(ioctl(in, FIONREAD, &n) == 0 && n == 32);
	CHECK(read(in, buf, 32) == 32 && e->len == 16 && !strcmp(e->name, "f") && e->cookie == 0);
	for (int i = 2; i < 16; i++)
		CHECK(e->name[i] == 0);
	CHECK(put("sixteen-letters.") && put("fifteen-letters"));
	CHECK(ioctl(in, FIONREAD, &n) == 0 && n == 16 + 32 + 16 + 16);
	CHECK(read(in, buf, 79) == 48 && e->len == 32 && read(in, buf, 100) == 32 && e->len == 16);
	CHECK(ioctl(in, FIONREAD, &n) == 0 && n == 0 && FAILS_WITH(ioctl(in, TCGETS, buf), ENOTTY));
	CHECK(
	    unlink("f") == 0 && unlink("fifteen-letters") == 0 && FAILS_WITH(read(in, NOWHERE, 100), EFAULT));
	CHECK(reads("a.delete:fifteen-letters")); /* the other one is lost */
	CHECK(unlink("sixteen-letters.") == 0 && reads("a.delete:sixteen-letters."));
	CHECK(FAILS_WITH(write(in, "x", 1), EBADF) && lseek(in, 5, SEEK_SET) == 0);
	CHECK(FAILS_WITH(pread(in, buf, 100, 0), ESPIPE));
	char path[64], link[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
	ssize_t len = readlink(path, link, sizeof(link));
	CHECK(len == 18 && !memcmp(link, "anon_inode:inotify", 18));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", in);
	FILE *info = fopen(path, "r");
	unsigned wd = 0, mask = 0;
	while (info && fgets(buf, sizeof(buf), info))
		(void)sscanf(buf, "inotify wd:%x ino:%*x sdev:%*x mask:%x", &wd, &mask);
	CHECK(info && fclose(info) == 0 && (int)wd == letters[0]);
	CHECK((mask & IN_ALL_EVENTS) == (IN_CREATE | IN_DELETE));
	close(in);
	return true;
}

static bool waiting(void)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT};
	_Alignas(8) char buf[128];
	int ep = epoll_create1(0), status;
	CHECK(begin() && watch('a', ".", IN_CREATE | IN_DELETE));
	struct pollfd p = {in, POLLIN | POLLOUT | POLLRDNORM, 0};
	CHECK(poll(&p, 1, 0) == 0 && epoll_ctl(ep, EPOLL_CTL_ADD, in, &ev) == 0 &&
	      epoll_wait(ep, &ev, 1, 0) == 0);
	CHECK(put("f") && poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLRDNORM));
	CHECK(epoll_wait(ep, &ev, 1, 0) == 1 && ev.events == EPOLLIN);
	CHECK(reads("a.create:f") && poll(&p, 1, 0) == 0 && epoll_wait(ep, &ev, 1, 0) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		fcntl(in, F_SETFL, 0);
		_exit(read(in, buf, sizeof(buf)) == 32 ? 0 : 1);
	}
	while (fcntl(in, F_GETFL) & O_NONBLOCK) /* it is about to sleep, or does */
		sched_yield();
	CHECK(unlink("f") == 0 && waitpid(pid, &status, 0) == pid && status == 0);
	close(ep);
	close(in);
	return true;
}

static bool errors(void)
{
	CHECK(FAILS_WITH(sc(inotify_init1, 1), EINVAL));
	CHECK(FAILS_WITH(inotify_add_watch(99, ".", IN_OPEN), EBADF) &&
	      FAILS_WITH(inotify_rm_watch(99, 1), EBADF));
	CHECK(FAILS_WITH(inotify_add_watch(99, ".", 0), EINVAL));
	int fd = open(".", O_RDONLY);
	CHECK(FAILS_WITH(inotify_add_watch(fd, ".", IN_OPEN), EINVAL) &&
	      FAILS_WITH(inotify_rm_watch(fd, 1), EINVAL));
	close(fd);
	CHECK(begin() && FAILS_WITH(inotify_rm_watch(in, 1), EINVAL));
	CHECK(FAILS_WITH(inotify_add_watch(in, "no", IN_OPEN), ENOENT));
	CHECK(FAILS_WITH(inotify_add_watch(in, "", IN_OPEN), ENOENT));
	CHECK(FAILS_WITH(sc(inotify_add_watch, in, BAD, IN_OPEN), EFAULT));
	CHECK(fcntl(in, F_GETFD) == FD_CLOEXEC && (fcntl(in, F_GETFL) & O_NONBLOCK));
	close(in);
	fd = sc(inotify_init1, 0);
	CHECK(fcntl(fd, F_GETFD) == 0 && fcntl(fd, F_GETFL) == 0);
	close(fd);
	return true;
}

static int without_right(void *arg)
{
	(void)arg;
	if (setgid(1001) || setuid(1001) || !begin())
		return 99;
	UCHECK(FAILS_WITH(inotify_add_watch(in, "secret", IN_OPEN), EACCES));
	UCHECK(inotify_add_watch(in, "open", IN_OPEN) > 0);
	return 0;
}

static bool rights(void)
{
	CHECK(put("secret") && put("open") && chmod("secret", 0600) == 0);
	CHECK(child_exits(without_right, NULL, 0));
	CHECK(unlink("secret") == 0 && unlink("open") == 0);
	return true;
}

/* As many as one user may have; in a child, so that all go at once. The user is one that has none. */
static int too_many(void *arg)
{
	int n = 0, fd;
	(void)arg;
	if (setgid(31007) || setuid(31007))
		return 99;
	while ((fd = inotify_init1(0)) >= 0)
		n++;
	int why = errno;
	FILE *f = fopen("/proc/sys/fs/inotify/max_user_instances", "r");
	int max = 0;
	UCHECK(f && fscanf(f, "%d", &max) == 1 && fclose(f) == 0);
	UCHECK(why == EMFILE && n > 0 && n <= max);
	return 0;
}

static bool limits(void)
{
	CHECK(child_exits(too_many, NULL, 0) &&
	      child_exits(too_many, NULL, 0)); /* what went can be had again */
	return true;
}

/* One number of /proc/sys/fs/inotify. */
static long limit_of(const char *name)
{
	char path[64];
	long n = -1;
	snprintf(path, sizeof(path), "/proc/sys/fs/inotify/%s", name);
	FILE *f = fopen(path, "r");
	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

static bool overflow(void)
{
	long max = limit_of("max_queued_events"), n = 0;
	_Alignas(8) static char buf[65536];
	uint32_t last = 0;
	int last_wd = 0;
	ssize_t got;
	CHECK(max > 0 && max < 1000000 && limit_of("max_user_watches") >= 8192);
	CHECK(put("f") && begin() && watch('b', "f", IN_ATTRIB | IN_OPEN));
	int fd = open("f", O_RDONLY);
	for (long i = 0; i < max + 10; i++)
		CHECK(fchmod(fd, i % 2 ? 0600 : 0644) == 0 && close(open("f", O_RDONLY)) == 0);
	while ((got = read(in, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < got; n++) {
			const struct inotify_event *e = (void *)(buf + i);
			last = e->mask;
			last_wd = e->wd;
			i += (ssize_t)(sizeof(*e) + e->len);
		}
	CHECK(n == max + 1 && last == IN_Q_OVERFLOW && last_wd == -1);
	CHECK(fchmod(fd, 0600) == 0 && reads("b.attrib"));
	close(fd);
	close(in);
	CHECK(unlink("f") == 0);
	return true;
}

static bool two_watchers(void)
{
	int other = inotify_init1(IN_NONBLOCK);
	CHECK(put("f") && begin() && watch('a', ".", IN_OPEN) && inotify_add_watch(other, "f", IN_OPEN) > 0);
	CHECK(close(open("f", O_RDONLY)) == 0 && reads("a.open:f"));
	int swap = in;
	in = other;
	letters[1] = 1;
	letters[0] = -5;
	CHECK(reads("b.open"));
	close(swap);
	CHECK(unlink("f") == 0 && reads("b.ignored"));
	close(other);
	return true;
}

/* A file system that is gone. In a namespace of its own where there are such. */
static int unmount(void *arg)
{
	const char *name = arg;
	if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 99;
	UCHECK(mkdir("m", 0755) == 0);
	if (mount("none", "m", "tmpfs", 0, NULL)) {
		UCHECK(errno == EPERM && rmdir("m") == 0); /* a host that does not let us */
		return 0;
	}
	UCHECK(put("m/f") && begin() && watch('a', name, IN_OPEN));
	int fd = open("m/f", O_RDONLY);
	UCHECK(FAILS_WITH(umount2("m", 0), EBUSY) && close(fd) == 0 && umount2("m", 0) == 0);
	UCHECK(reads(name[1] ? "a.open a.unmount a.ignored" : "a.open:f a.unmount.dir a.ignored") &&
	       rmdir("m") == 0);
	return 0;
}

static bool unmounting(void)
{
	CHECK(child_exits(unmount, "m", 0) && child_exits(unmount, "m/f", 0));
	return true;
}

static const struct utest tests[] = {{"making and removing names", creating}, {"using a file", using},
    {"attributes", attributes}, {"set-user-id bits that go", lost_bits}, {"a directory", directories},
    {"deleted files", deleting}, {"rename", renaming}, {"equal events are one", merging},
    {"masks of watches", masks}, {"removed names", unlinked_names}, {"O_TMPFILE", nameless},
    {"reading events", reading}, {"waiting for events", waiting}, {"errors", errors},
    {"who may watch", rights}, {"as many as there may be", limits}, {"a queue that is full", overflow},
    {"two watchers", two_watchers}, {"unmount", unmounting}};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN_INSIDE(0777, tests);
}
