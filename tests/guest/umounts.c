/*
 * umounts.c - mount(2), umount2(2), pivot_root(2): binds of whole trees, moves, flags, kinds of sharing,
 * another root. Runs as root; on Linux in a mount namespace of its own, or not at all if it may not have one.
 *
 * All happens below one tmpfs, "m", in the program's directory.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include "utap.h"

enum { NODIRATIME = 2048, STRICTATIME = 1 << 24, RELATIME = 1 << 21 };

static bool has_place;

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool make_file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	return fd >= 0 && close(fd) == 0;
}

/* Field `field` of the line of mountinfo for `point`, which ends in this name; the fields behind '-' count
 * from 20. */
static const char *info(const char *point, int field)
{
	static char text[65536], value[256];
	size_t n = 0;
	ssize_t got;
	int fd = open("/proc/self/mountinfo", O_RDONLY);
	while (fd >= 0 && (got = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = 0;
	*value = 0;
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		char *fields[32] = {0};
		int k = 0;
		for (char *at = line, *one; (one = strsep(&at, " ")) && k < 31;) {
			if (!strcmp(one, "-"))
				k = 20;
			else
				fields[k++] = one;
		}
		size_t len = fields[4] ? strlen(fields[4]) : 0, want = strlen(point);
		if (len >= want && !strcmp(fields[4] + len - want, point))
			snprintf(value, sizeof(value), "%s", fields[field] ? fields[field] : "");
	}
	return value;
}

static bool info_is(const char *point, int field, const char *want)
{
	const char *value = info(point, field);
	if (strcmp(value, want))
		printf("# %s: field %d is '%s'\n", point, field, value);
	return !strcmp(value, want);
}

enum { ROOT = 3, OPTIONS = 5, OPTIONAL = 6, TYPE = 20, SUPER = 22 };

/* "m" with the directories a, b, c and d, of which a has a mount on it with a directory in, on which there is
 * one more. */
static bool begin(void)
{
	CHECK(mount("top", "m", "tmpfs", 0, NULL) == 0 && mount(NULL, "m", NULL, MS_PRIVATE, NULL) == 0);
	CHECK(!mkdir("m/a", 0755) && !mkdir("m/b", 0755) && !mkdir("m/c", 0755) && !mkdir("m/d", 0755));
	CHECK(
	    mount("one", "m/a", "tmpfs", 0, NULL) == 0 && !mkdir("m/a/in", 0755) && !mkdir("m/a/out", 0755));
	CHECK(mount("two", "m/a/in", "tmpfs", 0, NULL) == 0 && make_file("m/a/in/file") &&
	      make_file("m/a/top"));
	return true;
}

static bool end(void)
{
	CHECK(umount2("m", MNT_DETACH) == 0);
	return true;
}

static bool binds(void)
{
	CHECK(begin());
	CHECK(mount("m/a", "m/b", NULL, MS_BIND, NULL) == 0 && exists("m/b/top") && !exists("m/b/in/file"));
	CHECK(umount("m/b") == 0);
	CHECK(mount("m/a", "m/b", NULL, MS_BIND | MS_REC, NULL) == 0 && exists("m/b/in/file"));
	CHECK(FAILS_WITH(umount("m/b"), EBUSY) && umount("m/b/in") == 0 && exists("m/a/in/file"));
	CHECK(umount("m/b") == 0);
	/* only what is below the directory */
	CHECK(mount("m/a/in", "m/a/out", NULL, MS_BIND, NULL) == 0);
	CHECK(mount("m/a/out", "m/b", NULL, MS_BIND | MS_REC, NULL) == 0 && exists("m/b/file"));
	CHECK(umount("m/b") == 0 && umount("m/a/out") == 0);
	/* a tree into itself: once */
	CHECK(mount("m", "m/c", NULL, MS_BIND | MS_REC, NULL) == 0 && exists("m/c/a/in/file"));
	CHECK(exists("m/c/c") && !exists("m/c/c/a") && umount2("m/c", MNT_DETACH) == 0);
	CHECK(FAILS_WITH(mount("m/a/top", "m/b", NULL, MS_BIND, NULL), ENOTDIR));
	CHECK(FAILS_WITH(mount("", "m/b", NULL, MS_BIND, NULL), EINVAL));
	CHECK(FAILS_WITH(mount(NULL, "m/b", NULL, MS_BIND, NULL), EINVAL));
	CHECK(FAILS_WITH(mount("m/no", "m/b", NULL, MS_BIND, NULL), ENOENT));
	/* a detached tree is no source and no target */
	int fd = open("m/a", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0 && umount2("m/a", MNT_DETACH) == 0 && !exists("m/a/top") && fchdir(fd) == 0);
	CHECK(exists("top") && !exists("in/file"));
	char b[64];
	snprintf(b, sizeof(b), "%s/m/b", utest_base);
	CHECK(FAILS_WITH(mount(".", b, NULL, MS_BIND, NULL), EINVAL) && FAILS_WITH(umount2(".", 0), EINVAL));
	CHECK(mount("x", "in", "tmpfs", 0, NULL) == -1 &&
	      (errno == EINVAL || errno == ENOENT)); /* since 6.17 */
	CHECK(chdir(utest_base) == 0 && close(fd) == 0);
	return end();
}

static bool moves(void)
{
	CHECK(begin());
	CHECK(mount("m/a", "m/b", NULL, MS_MOVE, NULL) == 0 && exists("m/b/in/file") && !exists("m/a/top"));
	CHECK(info_is("m/b/in", TYPE, "tmpfs") && info_is("m/a/in", TYPE, ""));
	CHECK(FAILS_WITH(mount("m/b", "m/b/out", NULL, MS_MOVE, NULL), ELOOP));
	CHECK(FAILS_WITH(mount("m/c", "m/d", NULL, MS_MOVE, NULL), EINVAL)); /* nothing is mounted there */
	CHECK(FAILS_WITH(mount("m/b", "m/b/top", NULL, MS_MOVE, NULL), EINVAL));
	CHECK(make_file("m/file") && FAILS_WITH(mount("m/b", "m/file", NULL, MS_MOVE, NULL), EINVAL));
	CHECK(FAILS_WITH(mount("", "m/d", NULL, MS_MOVE, NULL), EINVAL));
	CHECK(mount(NULL, "m", NULL, MS_SHARED, NULL) == 0);
	CHECK(FAILS_WITH(mount("m/b", "m/d", NULL, MS_MOVE, NULL), EINVAL)); /* from one that is shared */
	CHECK(mount(NULL, "m", NULL, MS_PRIVATE, NULL) == 0);
	CHECK(mount("m/b", "m/a", NULL, MS_MOVE, NULL) == 0 && exists("m/a/in/file"));
	return end();
}

static bool flags_are(const char *point, unsigned long want)
{
	const unsigned long all =
	    ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME | ST_RELATIME;
	struct statvfs s;
	if (statvfs(point, &s) == 0 && (s.f_flag & all) == want)
		return true;
	printf("# %s: %lx\n", point, s.f_flag & all);
	return false;
}

static bool flags(void)
{
	CHECK(begin());
	CHECK(mount("m/a", "m/b", NULL, MS_BIND | MS_RDONLY, NULL) == 0); /* flags mean nothing yet */
	CHECK(flags_are("m/b", ST_RELATIME) && info_is("m/b", OPTIONS, "rw,relatime"));
	int fd = open("m/b/top", O_RDWR);
	CHECK(fd >= 0);
	CHECK(FAILS_WITH(mount(NULL, "m/b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), EBUSY));
	CHECK(close(fd) == 0);
	fd = open("m/a/top", O_RDWR); /* the same file by another mount */
	CHECK(fd >= 0 && mount(NULL, "m/b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
	CHECK(close(fd) == 0 && FAILS_WITH(open("m/b/top", O_RDWR), EROFS) && make_file("m/a/new"));
	CHECK(info_is("m/b", OPTIONS, "ro,relatime") && info_is("m/b", SUPER, info("m/a", SUPER)));
	CHECK(flags_are("m/b", ST_RDONLY | ST_RELATIME) && FAILS_WITH(mkdir("m/b/x", 0755), EROFS));
	CHECK(mount(NULL, "m/b", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME,
		  NULL) == 0);
	CHECK(flags_are("m/b", ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME));
	CHECK(info_is("m/b", OPTIONS, "rw,nosuid,nodev,noexec,noatime"));
	CHECK(mount(NULL, "m/b", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL) == 0);
	CHECK(flags_are("m/b", ST_NOSUID | ST_NOATIME)); /* of access times, nothing was said */
	CHECK(mount(NULL, "m/b", NULL, MS_REMOUNT | MS_BIND | MS_RELATIME | NODIRATIME, NULL) == 0);
	CHECK(flags_are("m/b", ST_RELATIME | ST_NODIRATIME));
	CHECK(mount(NULL, "m/b", NULL, MS_REMOUNT | MS_BIND | STRICTATIME | MS_NOATIME, NULL) == 0);
	CHECK(flags_are("m/b", 0) && info_is("m/b", OPTIONS, "rw"));
	CHECK(FAILS_WITH(mount(NULL, "m/c", NULL, MS_REMOUNT | MS_BIND, NULL), EINVAL));
	CHECK(mount(NULL, "m/a", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0); /* and now all of it */
	CHECK(FAILS_WITH(mkdir("m/b/x", 0755), EROFS) && flags_are("m/b", ST_RDONLY));
	CHECK(info_is("m/b", OPTIONS, "rw") && mount(NULL, "m/a", NULL, MS_REMOUNT, NULL) == 0);
	CHECK(FAILS_WITH(mount("x", "m/d", "tmpfs", 1UL << 31, NULL), EINVAL));
	return end();
}

enum { NOSYMFOLLOW = 256, ST_NOSYMFOLLOW = 0x2000 };

/* Links of such a mount lead nowhere; what they say can be read, and what they are, changed. */
static bool links_not_followed(void)
{
	char text[16];
	struct stat st;
	CHECK(begin() && symlink("top", "m/a/link") == 0 && symlink("a/top", "m/link") == 0);
	CHECK(symlink(".", "m/a/dir") == 0 && exists("m/a/link") && exists("m/a/dir/top"));
	CHECK(mount(NULL, "m/a", NULL, MS_REMOUNT | MS_BIND | NOSYMFOLLOW | MS_RELATIME, NULL) == 0);
	CHECK(flags_are("m/a", ST_RELATIME) && info_is("m/a", OPTIONS, "rw,relatime,nosymfollow"));
	CHECK(
	    FAILS_WITH(open("m/a/link", O_RDONLY), ELOOP) && FAILS_WITH(access("m/a/dir/top", F_OK), ELOOP));
	CHECK(FAILS_WITH(mkdir("m/a/dir/new", 0755), ELOOP) && FAILS_WITH(truncate("m/a/link", 0), ELOOP));
	CHECK(FAILS_WITH(open("m/a/link", O_CREAT | O_RDWR, 0600), ELOOP));
	CHECK(lstat("m/a/link", &st) == 0 && S_ISLNK(st.st_mode) && readlink("m/a/link", text, 16) == 3);
	CHECK(exists("m/link") && unlink("m/a/link") == 0); /* a link elsewhere may lead into it */
	CHECK(
	    mount("m/a", "m/b", NULL, MS_BIND, NULL) == 0 && FAILS_WITH(access("m/b/dir/top", F_OK), ELOOP));
	CHECK(mount(NULL, "m/b", NULL, MS_REMOUNT | MS_BIND, NULL) == 0 && exists("m/b/dir/top"));
	CHECK(info_is("m/b", OPTIONS, "rw,relatime"));
	CHECK(mount("new", "m/c", "tmpfs", NOSYMFOLLOW, NULL) == 0 && symlink("x", "m/c/x") == 0);
	struct statfs s;
	CHECK(FAILS_WITH(access("m/c/x", F_OK), ELOOP) && sc(statfs, "m/c", &s) == 0);
	CHECK((s.f_flags & ST_NOSYMFOLLOW) && sc(statfs, "m/b", &s) == 0 && !(s.f_flags & ST_NOSYMFOLLOW));
	return end();
}

static bool statfs_is(int fd, unsigned long type, unsigned long flags)
{
	struct statfs s = {0};
	bool ok = fd >= 0 && sc(fstatfs, fd, &s) == 0 && s.f_type == type && s.f_flags == flags &&
		  s.f_namelen == 255 && s.f_bsize == 4096;
	if (!ok)
		printf("# type %lx, flags %lx, names %ld, block %ld\n", (long)s.f_type, (long)s.f_flags,
		    (long)s.f_namelen, (long)s.f_bsize);
	close(fd);
	return ok;
}

/* Mounts that nobody made say nothing but that what they say is true. */
static bool internal_mounts(void)
{
	int p[2];
	struct timespec old[2] = {{1000, 0}, {2000, 0}};
	struct stat st;
	char c = 0;
	CHECK(pipe(p) == 0 && statfs_is(p[0], 0x50495045, 0x20) && close(p[1]) == 0);
	CHECK(statfs_is(socket(AF_UNIX, SOCK_STREAM, 0), 0x534f434b, 0x20));
	CHECK(statfs_is((int)sc(eventfd2, 0, 0), 0x09041934, 0x20));
	CHECK(statfs_is((int)sc(memfd_create, "m", 0), 0x01021994, 0x20));
	int fd = (int)sc(memfd_create, "m", 0); /* each access counts there */
	CHECK(write(fd, "x", 1) == 1 && futimens(fd, old) == 0 && pread(fd, &c, 1, 0) == 1);
	CHECK(fstat(fd, &st) == 0 && st.st_atim.tv_sec > 2000);
	struct timespec first = {st.st_atim.tv_sec - 10, 0}, set[2] = {first, {2000, 0}};
	CHECK(futimens(fd, set) == 0 && pread(fd, &c, 1, 0) == 1 && fstat(fd, &st) == 0);
	CHECK(st.st_atim.tv_sec > first.tv_sec && close(fd) == 0);
	return true;
}

static bool sharing(void)
{
	CHECK(begin());
	CHECK(FAILS_WITH(mount(NULL, "m/c", NULL, MS_SHARED, NULL), EINVAL));
	CHECK(FAILS_WITH(mount(NULL, "m/a", NULL, MS_SHARED | MS_SLAVE, NULL), EINVAL));
	CHECK(FAILS_WITH(mount(NULL, "m/a", NULL, MS_SHARED | MS_NODEV, NULL), EINVAL));
	CHECK(mount(NULL, "m/a", NULL, MS_UNBINDABLE, NULL) == 0 && info_is("m/a", OPTIONAL, "unbindable"));
	CHECK(FAILS_WITH(mount("m/a", "m/b", NULL, MS_BIND, NULL), EINVAL));
	CHECK(mount("m", "m/c", NULL, MS_BIND | MS_REC, NULL) == 0 && !exists("m/c/a/top"));
	CHECK(umount("m/c") == 0 && mount(NULL, "m/a", NULL, MS_SLAVE, NULL) == 0);
	CHECK(info_is("m/a", OPTIONAL, "unbindable"));
	CHECK(mount(NULL, "m/a", NULL, MS_SHARED | MS_REC, NULL) == 0);
	CHECK(!strncmp(info("m/a", OPTIONAL), "shared:", 7) &&
	      !strncmp(info("m/a/in", OPTIONAL), "shared:", 7));
	/* a copy is of the same group; what comes onto a shared mount is shared */
	char group[64];
	snprintf(group, sizeof(group), "%s", info("m/a", OPTIONAL));
	CHECK(mount("m/a", "m/b", NULL, MS_BIND, NULL) == 0 && info_is("m/b", OPTIONAL, group));
	CHECK(umount("m/b") == 0 && mount("x", "m/a/out", "tmpfs", 0, NULL) == 0);
	CHECK(!strncmp(info("m/a/out", OPTIONAL), "shared:", 7) && umount("m/a/out") == 0);
	/* a slave of a group that still has a member, and of one that has none */
	CHECK(mount("m/a", "m/b", NULL, MS_BIND, NULL) == 0 && mount(NULL, "m/b", NULL, MS_SLAVE, NULL) == 0);
	CHECK(!strncmp(info("m/b", OPTIONAL), "master:", 7) &&
	      !strcmp(strchr(info("m/b", OPTIONAL), ':'), strchr(group, ':')));
	CHECK(mount(NULL, "m/a", NULL, MS_SLAVE, NULL) == 0);
	CHECK(info_is("m/a", OPTIONAL, "") && info_is("m/b", OPTIONAL, ""));
	CHECK(mount(NULL, "m/a", NULL, MS_PRIVATE | MS_REC | MS_SILENT, NULL) == 0 &&
	      info_is("m/a/in", OPTIONAL, ""));
	return end();
}

static bool unmounts(void)
{
	CHECK(begin());
	CHECK(FAILS_WITH(umount2("m/a/in", MNT_EXPIRE | MNT_FORCE), EINVAL));
	CHECK(FAILS_WITH(umount2("m/a/in", MNT_EXPIRE | MNT_DETACH), EINVAL));
	CHECK(
	    FAILS_WITH(umount2("m/a", MNT_EXPIRE), EBUSY) && FAILS_WITH(umount2("m/c", MNT_EXPIRE), EINVAL));
	CHECK(FAILS_WITH(umount2("m/a/in", MNT_EXPIRE), EAGAIN) && exists("m/a/in/file"));
	CHECK(FAILS_WITH(umount2("m/a/in", MNT_EXPIRE), EAGAIN)); /* it was used */
	int fd = open("m/a/in/file", O_RDONLY);
	CHECK(fd >= 0 && FAILS_WITH(umount2("m/a/in", MNT_EXPIRE), EBUSY) && close(fd) == 0);
	CHECK(FAILS_WITH(umount2("m/a/in", MNT_EXPIRE), EAGAIN) && umount2("m/a/in", MNT_EXPIRE) == 0);
	CHECK(!exists("m/a/in/file") && umount2("m/a", MNT_FORCE) == 0 && !exists("m/a/top"));
	CHECK(mount("x", "m/a", "tmpfs", 0, NULL) == 0 && symlink("a", "m/link") == 0);
	CHECK(FAILS_WITH(umount2("m/link", UMOUNT_NOFOLLOW), EINVAL) && umount2("m/link", 0) == 0);
	CHECK(FAILS_WITH(umount2("m/a", 16), EINVAL) && FAILS_WITH(umount2("m/a", -1), EINVAL));
	/* a detached tree lives as long as it is used */
	CHECK(mount("x", "m/a", "tmpfs", 0, NULL) == 0 && mkdir("m/a/d", 0755) == 0 && make_file("m/a/d/f"));
	fd = open("m/a/d", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0 && FAILS_WITH(umount2("m/a", 0), EBUSY) && umount2("m/a", MNT_DETACH) == 0);
	CHECK(faccessat(fd, "f", F_OK, 0) == 0 && !exists("m/a/d") && close(fd) == 0);
	return end();
}

static bool roots(void)
{
	CHECK(begin());
	CHECK(!mkdir("m/a/in/deep", 0755) && mount("m/a/in/deep", "m/b", NULL, MS_BIND, NULL) == 0);
	CHECK(info_is("m/b", ROOT, "/deep") && info_is("m/a/in", ROOT, "/"));
	CHECK(mount("m/a/in/file", "m/a/top", NULL, MS_BIND, NULL) == 0 && info_is("m/a/top", ROOT, "/file"));
	CHECK(umount("m/a/top") == 0 && rmdir("m/a/in/deep") == 0 && info_is("m/b", ROOT, "/deep//deleted"));
	CHECK(FAILS_WITH(mount("x", "m/b", "tmpfs", 0, NULL), ENOENT) && umount("m/b") == 0);
	return end();
}

/* The root is a mount, "m"; of that, "b" becomes the root, and "m" goes to b/old. */
static int pivot_in_child(void *arg)
{
	(void)arg;
	UCHECK(mount("m", "m", NULL, MS_BIND | MS_REC, NULL) == 0 &&
	       mount(NULL, "m", NULL, MS_PRIVATE | MS_REC, NULL) == 0);
	UCHECK(chdir("m") == 0 && chroot(".") == 0);
	UCHECK(FAILS_WITH(sc(pivot_root, "/b", "/b"), EINVAL) || errno == EBUSY); /* no mount */
	UCHECK(mount("new", "/b", "tmpfs", 0, NULL) == 0 && !mkdir("/b/old", 0755) && make_file("/b/mark"));
	UCHECK(FAILS_WITH(sc(pivot_root, "/", "/b/old"), EBUSY) &&
	       FAILS_WITH(sc(pivot_root, "/b", "/c"), EBUSY));
	UCHECK(FAILS_WITH(sc(pivot_root, "/b", "/a"), EINVAL)); /* put_old is not below the new one */
	UCHECK(FAILS_WITH(sc(pivot_root, "/no", "/b/old"), ENOENT) &&
	       FAILS_WITH(sc(pivot_root, "/b/mark", "/b/old"), ENOTDIR));
	UCHECK(FAILS_WITH(sc(pivot_root, "/b/old", "/b/old"), EINVAL)); /* not where it is mounted */
	UCHECK(mount(NULL, "/b", NULL, MS_SHARED, NULL) == 0);
	UCHECK(FAILS_WITH(sc(pivot_root, "/b", "/b/old"), EINVAL) &&
	       mount(NULL, "/b", NULL, MS_PRIVATE, NULL) == 0);
	UCHECK(sc(pivot_root, "/b", "/b/old") == 0);
	char cwd[64];
	UCHECK(
	    exists("/mark") && exists("/old/a/top") && exists("mark")); /* the working directory moved too */
	UCHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/"));
	UCHECK(umount2("/old", MNT_DETACH) == 0 && !exists("/old/a") && exists("/mark"));
	return 0;
}

static int pivot_alone(void *arg)
{
	(void)arg;
	if (unshare(CLONE_NEWNS) && errno != EINVAL && errno != ENOSYS)
		return 1;
	return pivot_in_child(NULL);
}

static bool pivot(void)
{
	CHECK(begin());
	CHECK(child_exits(pivot_alone, NULL, 0));
	CHECK(umount2("m", MNT_DETACH) == 0);
	if (exists("m/a")) /* without a namespace of its own, the child left its mounts */
		CHECK(umount2("m", MNT_DETACH) == 0);
	return true;
}

static int as_user(void *arg)
{
	(void)arg;
	UCHECK(sc(setresuid, 60001, 60001, 60001) == 0);
	UCHECK(FAILS_WITH(sc(pivot_root, ".", "."), EPERM) && FAILS_WITH(umount2("m", MNT_DETACH), EPERM));
	UCHECK(FAILS_WITH(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND, NULL), EPERM));
	return 0;
}

static bool rights(void)
{
	CHECK(begin());
	CHECK(child_exits(as_user, NULL, 0));
	return end();
}

/* Where mounts may not be made, nothing can be looked at. */
#define WHERE_ALLOWED(fn)                                                                                    \
	static bool try_##fn(void)                                                                           \
	{                                                                                                    \
		return !has_place || fn();                                                                   \
	}
WHERE_ALLOWED(binds)
WHERE_ALLOWED(moves)
WHERE_ALLOWED(flags)
WHERE_ALLOWED(links_not_followed)
WHERE_ALLOWED(sharing)
WHERE_ALLOWED(unmounts)
WHERE_ALLOWED(roots)
WHERE_ALLOWED(pivot)
WHERE_ALLOWED(rights)

static bool prepare(void)
{
	struct utsname u;
	CHECK(uname(&u) == 0 && mkdir("m", 0755) == 0);
	bool quire = strstr(u.release, "quire");
	if (quire)
		has_place = true;
	else
		has_place =
		    unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	if (access("/proc/self", F_OK) && !mkdir("/proc", 0755))
		CHECK(mount("proc", "/proc", "proc", 0, NULL) == 0);
	return has_place || !quire;
}

static bool clean_up(void)
{
	return rmdir("m") == 0;
}

static const struct utest tests[] = {
    {"a place for mounts", prepare},
    {"MS_BIND, MS_REC", try_binds},
    {"MS_MOVE", try_moves},
    {"flags of a mount, MS_REMOUNT", try_flags},
    {"MS_NOSYMFOLLOW", try_links_not_followed},
    {"mounts of the kernel's own", internal_mounts},
    {"MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE", try_sharing},
    {"umount2 and its flags", try_unmounts},
    {"what of a file system is seen", try_roots},
    {"pivot_root", try_pivot},
    {"rights", try_rights},
    {"the place goes", clean_up},
};

int main(void)
{
	return UTEST_RUN_INSIDE(0755, tests);
}
