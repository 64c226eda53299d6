/* uprocfs.c - /proc: names that come and go, texts in Linux's forms, links that lead to open files. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "utap.h"
#include "utext.h"

static bool has_line(const char *path, const char *line)
{
	char *s = slurp(path), *at = s ? strstr(s, line) : NULL;
	return at && (at == s || at[-1] == '\n');
}

static bool lists(const char *dir, const char *name)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;
	while (d && (e = readdir(d)))
		found |= strcmp(e->d_name, name) == 0;
	if (d)
		closedir(d);
	return found;
}

static bool self(void)
{
	char buf[64], want[64];
	snprintf(want, sizeof(want), "%d", (int)getpid());
	CHECK(readlink("/proc/self", buf, sizeof(buf)) == (ssize_t)strlen(want) &&
	      !strncmp(buf, want, strlen(want)));
	CHECK(lists("/proc", want));
	snprintf(want, sizeof(want), "%d (uprocfs) R %d ", (int)getpid(), (int)getppid());
	CHECK(has_line("/proc/self/stat", want));
	CHECK(has_line("/proc/thread-self/status", "Name:\tuprocfs\n"));
	struct stat st;
	CHECK(stat("/proc/self", &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0555);
	CHECK(FAILS_WITH(open("/proc/999999", O_RDONLY), ENOENT));
	CHECK(FAILS_WITH(open("/proc/0123", O_RDONLY), ENOENT));
	CHECK(FAILS_WITH(open("/proc/self/nothing", O_RDONLY), ENOENT));
	return true;
}

static bool others(void)
{
	char path[64];
	int fds[2], status;
	CHECK(pipe(fds) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		char c;
		close(fds[1]);
		_exit(read(fds[0], &c, 1) == 0 ? 7 : 8);
	}
	close(fds[0]);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	CHECK(has_line(path, "State:\t"));
	int fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	close(fds[1]);
	siginfo_t info;
	CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	CHECK(has_line(path, "State:\tZ (zombie)\n"));
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	CHECK(slurp(path) && text[0] == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	CHECK(FAILS_WITH(open(path, O_RDONLY), ENOENT));
	snprintf(path, sizeof(path), "%d", (int)pid);
	CHECK(!lists("/proc", path));
	close(fd);
	return true;
}

static bool links(void)
{
	char buf[256], cwd[256];
	ssize_t n = readlink("/proc/self/exe", buf, sizeof(buf) - 1);
	CHECK(n > 8);
	buf[n] = 0;
	CHECK(!strcmp(strrchr(buf, '/'), "/uprocfs"));
	CHECK(getcwd(cwd, sizeof(cwd)));
	n = readlink("/proc/self/cwd", buf, sizeof(buf) - 1);
	CHECK(n == (ssize_t)strlen(cwd) && !strncmp(buf, cwd, (size_t)n));
	CHECK(readlink("/proc/self/root", buf, sizeof(buf)) >= 1 && buf[0] == '/');
	struct stat a, b;
	CHECK(stat("/proc/self/exe", &a) == 0 && S_ISREG(a.st_mode) && a.st_size > 1000);
	CHECK(lstat("/proc/self/exe", &b) == 0 && S_ISLNK(b.st_mode));
	CHECK(stat("/proc/self/root/", &a) == 0 && stat("/", &b) == 0 && a.st_ino == b.st_ino);
	return true;
}

static bool descriptors(void)
{
	char path[64], buf[64];
	int fds[2];
	struct stat st;
	CHECK(pipe(fds) == 0);
	snprintf(path, sizeof(path), "%d", fds[1]);
	CHECK(lists("/proc/self/fd", path));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[1]);
	ssize_t n = readlink(path, buf, sizeof(buf) - 1);
	CHECK(n > 6 && !strncmp(buf, "pipe:[", 6) && buf[n - 1] == ']');
	CHECK(lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && (st.st_mode & 0777) == 0300);
	CHECK(stat(path, &st) == 0 && S_ISFIFO(st.st_mode));
	int again = open(path, O_WRONLY);
	CHECK(again >= 0 && write(again, "abc", 3) == 3);
	close(fds[1]);
	CHECK(read(fds[0], buf, sizeof(buf)) == 3);
	close(again);
	CHECK(read(fds[0], buf, sizeof(buf)) == 0); /* nothing keeps the writer's end */
	CHECK(FAILS_WITH(open(path, O_WRONLY), ENOENT));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fds[0]);
	CHECK(has_line(path, "pos:\t0\n") && has_line(path, "flags:\t0"));
	close(fds[0]);
	return true;
}

static bool memory(void)
{
	CHECK(slurp("/proc/self/maps"));
	CHECK(strstr(text, "/uprocfs\n") && strstr(text, "[stack]\n") && strstr(text, "[vdso]\n"));
	CHECK(strstr(text, " r-xp "));
	unsigned long size, resident;
	CHECK(slurp("/proc/self/statm") && sscanf(text, "%lu %lu", &size, &resident) == 2);
	CHECK(size > 10 && resident > 1 && resident <= size);
	CHECK(has_line("/proc/self/status", "VmSize:\t"));
	CHECK(has_line("/proc/self/smaps", "Rss: "));
	return true;
}

static bool strings(void)
{
	CHECK(slurp("/proc/self/cmdline") && strlen(text) > 7 && !strcmp(text + strlen(text) - 7, "uprocfs"));
	CHECK(slurp("/proc/self/auxv"));
	CHECK(prctl(PR_SET_NAME, "renamed") == 0);
	CHECK(slurp("/proc/self/comm") && !strcmp(text, "renamed\n"));
	int fd = open("/proc/self/comm", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "uprocfs", 7) == 7);
	close(fd);
	char name[16];
	CHECK(prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "uprocfs"));
	CHECK(has_line("/proc/self/limits", "Max open files            "));
	CHECK(has_line("/proc/self/status", "Threads:\t1\n"));
	return true;
}

static bool the_system(void)
{
	unsigned long long total = 0;
	double up, idle;
	char first[64];
	CHECK(slurp("/proc/meminfo") && sscanf(text, "MemTotal: %llu kB", &total) == 1 && total > 1000);
	CHECK(slurp("/proc/uptime") && sscanf(text, "%lf %lf", &up, &idle) == 2 && up > 0);
	CHECK(has_line("/proc/stat", "cpu  ") && has_line("/proc/stat", "cpu0 ") &&
	      has_line("/proc/stat", "btime "));
	CHECK(slurp("/proc/loadavg") && strchr(text, '/'));
	CHECK(has_line("/proc/mounts", "proc /proc proc rw"));
	CHECK(has_line("/proc/cpuinfo", "processor\t: 0\n"));
	CHECK(slurp("/proc/sys/kernel/ostype") && !strcmp(text, "Linux\n"));
	CHECK(slurp("/proc/sys/kernel/random/uuid") && strlen(text) == 37 && text[14] == '4');
	strcpy(first, text);
	CHECK(slurp("/proc/sys/kernel/random/uuid") && strcmp(text, first));
	CHECK(slurp("/proc/version") && !strncmp(text, "Linux version ", 14));
	return true;
}

/* A read at 0 sees how things are now; a pass through the file sees one state. */
static bool positions(void)
{
	char a[8], b[8];
	int fd = open("/proc/self/status", O_RDONLY);
	CHECK(fd >= 0);
	CHECK(read(fd, a, 4) == 4 && !memcmp(a, "Name", 4));
	CHECK(pread(fd, b, 4, 0) == 4 && !memcmp(b, "Name", 4));
	CHECK(read(fd, b, 1) == 1 && b[0] == ':');
	CHECK(lseek(fd, 0, SEEK_SET) == 0 && read(fd, a, 5) == 5 && !memcmp(a, "Name:", 5));
	CHECK(lseek(fd, 1 << 20, SEEK_SET) == 1 << 20 && read(fd, a, 5) == 0);
	close(fd);
	return true;
}

/* What /proc/self/io says, by line. */
static bool read_io(unsigned long long *of)
{
	const char *const form = "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\nread_bytes: %llu\n"
				 "write_bytes: %llu\ncancelled_write_bytes: %llu\n";
	return slurp("/proc/self/io") &&
	       sscanf(text, form, &of[0], &of[1], &of[2], &of[3], &of[4], &of[5], &of[6]) == 7;
}

/* The second look has counted what of the first came after its text was made: two calls, and the text. */
static bool transfers_are_counted(void)
{
	unsigned long long before[7], after[7];
	char buf[1000];
	int fds[2];
	CHECK(pipe(fds) == 0);
	CHECK(read_io(before));
	size_t len = strlen(text);
	CHECK(write(fds[1], buf, 1000) == 1000 && read(fds[0], buf, 600) == 600);
	CHECK(write(fds[1], buf, 0) == 0 && write(-1, buf, 1) == -1);
	CHECK(read_io(after));
	CHECK(after[0] - before[0] == 600 + len && after[1] - before[1] == 1000);
	CHECK(after[2] - before[2] == 3 && after[3] - before[3] == 2);
	close(fds[0]);
	close(fds[1]);
	return true;
}

static int read_parents_io(void *arg)
{
	char path[64];
	(void)arg;
	snprintf(path, sizeof(path), "/proc/%d/io", (int)getppid());
	UCHECK(sc(setresgid, 65534, 65534, 65534) == 0 && sc(setresuid, 65534, 65534, 65534) == 0);
	UCHECK(FAILS_WITH(open(path, O_RDONLY), EACCES));
	return 0;
}

static bool counts_are_private(void)
{
	CHECK(child_exits(read_parents_io, NULL, 0));
	return true;
}

/* The line of /proc/locks that ends so, whatever its number. */
static bool has_lock(const char *prefix, pid_t pid, const struct stat *st, const char *range)
{
	char want[128];
	snprintf(want, sizeof(want), ": %s %d %02x:%02x:%llu %s\n", prefix, (int)pid,
	    (unsigned)(st->st_dev >> 8 & 0xfff), (unsigned)(st->st_dev & 0xff),
	    (unsigned long long)st->st_ino, range);
	return slurp("/proc/locks") && strstr(text, want);
}

static bool locks(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_start = 5, .l_len = 10};
	struct stat st;
	char path[64];
	int fd = open(utest_file(path, "lock"), O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	CHECK(sc(flock, fd, 1 /* LOCK_SH */) == 0 && fcntl(fd, F_SETLK, &l) == 0);
	CHECK(has_lock("FLOCK  ADVISORY  READ", getpid(), &st, "0 EOF"));
	CHECK(has_lock("POSIX  ADVISORY  WRITE", getpid(), &st, "5 14"));
	l = (struct flock){.l_type = F_RDLCK, .l_start = 100};
	CHECK(fcntl(fd, 37 /* F_OFD_SETLK */, &l) == 0);
	CHECK(has_lock("OFDLCK ADVISORY  READ", -1, &st, "100 EOF"));
	pid_t pid = fork();
	if (pid == 0) {
		l = (struct flock){.l_type = F_WRLCK, .l_len = 6};
		_exit(fcntl(fd, F_SETLKW, &l) == 0 ? 3 : 4);
	}
	int tries = 0, status;
	while (!has_lock("-> POSIX  ADVISORY  WRITE", pid, &st, "0 5") && tries++ < 1000)
		usleep(10000);
	CHECK(tries < 1000);
	l = (struct flock){.l_type = F_UNLCK};
	CHECK(fcntl(fd, F_SETLK, &l) == 0);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 3);
	close(fd);
	CHECK(!has_lock("FLOCK  ADVISORY  READ", getpid(), &st, "0 EOF"));
	unlink(path);
	return true;
}

/* Who logged in: anybody may say so once, and only the privileged again. */
static int log_in(void *arg)
{
	char session[16];
	(void)arg;
	int fd = open("/proc/self/loginuid", O_RDWR), last = open("/proc/self/sessionid", O_RDONLY);
	UCHECK(fd >= 0 && last >= 0 && pwrite(fd, "-1", 2, 0) == -1 && errno == EINVAL);
	UCHECK(pwrite(fd, "4294967295", 10, 0) == 10);
	UCHECK(slurp("/proc/self/sessionid") && !strcmp(text, "4294967295"));
	UCHECK(sc(setresuid, 65534, 65534, 65534) == 0);
	UCHECK(pwrite(fd, "123", 3, 0) == 3);
	UCHECK(FAILS_WITH(pwrite(fd, "124", 3, 0), EPERM));
	ssize_t n = pread(last, session, sizeof(session) - 1, 0);
	UCHECK(n > 0 && session[0] >= '0' && session[0] <= '9' && memcmp(session, "4294967295", 10));
	UCHECK(slurp("/proc/self/loginuid") && !strcmp(text, "123"));
	return 0;
}

static bool logging_in(void)
{
	CHECK(child_exits(log_in, NULL, 0));
	return true;
}

static bool the_first_user_namespace(void)
{
	CHECK(slurp("/proc/self/uid_map") && !strcmp(text, "         0          0 4294967295\n"));
	CHECK(slurp("/proc/self/gid_map") && !strcmp(text, "         0          0 4294967295\n"));
	CHECK(slurp("/proc/self/setgroups") && !strcmp(text, "allow\n"));
	int fd = open("/proc/self/uid_map", O_WRONLY);
	CHECK(fd >= 0 && FAILS_WITH(write(fd, "0 0 1\n", 6), EPERM));
	close(fd);
	return true;
}

static int look_at_parent(void *arg)
{
	static const char *const links[] = {"exe", "cwd", "root"};
	char path[64], buf[64];
	(void)arg;
	UCHECK(sc(setresgid, 65534, 65534, 65534) == 0 && sc(setresuid, 65534, 65534, 65534) == 0);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)getppid(), links[i]);
		UCHECK(FAILS_WITH(readlink(path, buf, sizeof(buf)), EACCES));
		UCHECK(FAILS_WITH(open(path, O_RDONLY), EACCES));
	}
	snprintf(path, sizeof(path), "/proc/%d/cwd/.", (int)getppid());
	UCHECK(FAILS_WITH(access(path, F_OK), EACCES));
	UCHECK(readlink("/proc/self/cwd", buf, sizeof(buf)) > 0);
	return 0;
}

static bool links_are_private(void)
{
	CHECK(child_exits(look_at_parent, NULL, 0));
	return true;
}

static bool nothing_can_be_made(void)
{
	struct stat st;
	CHECK(FAILS_WITH(mkdir("/proc/new", 0777), ENOENT) &&
	      FAILS_WITH(mkdir("/proc/self/new", 0777), ENOENT));
	CHECK(FAILS_WITH(open("/proc/new", O_CREAT | O_WRONLY, 0600), ENOENT));
	CHECK(FAILS_WITH(symlink("x", "/proc/new"), ENOENT) && FAILS_WITH(mkdir("/proc/self", 0777), EEXIST));
	int fd = open("/proc/self/stat", O_WRONLY);
	CHECK(fd >= 0 && FAILS_WITH(write(fd, "x", 1), EINVAL));
	close(fd);
	CHECK((fd = open("/proc/version", O_WRONLY)) >= 0 && FAILS_WITH(write(fd, "x", 1), EIO));
	close(fd);
	CHECK(lstat("/proc/self/fd/1", &st) == 0 && st.st_size == 64);
	return true;
}

/* A file that never had a name is called by its number. */
static bool nameless(void)
{
	struct stat st;
	char link[32], buf[64], want[64];
	int fd = open("/", O_TMPFILE | O_RDWR, 0600);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	snprintf(want, sizeof(want), "/#%llu (deleted)", (unsigned long long)st.st_ino);
	CHECK(readlink(link, buf, sizeof(buf)) == (ssize_t)strlen(want) && !memcmp(buf, want, strlen(want)));
	close(fd);
	return true;
}

static const struct utest tests[] = {{"self", self}, {"other processes", others}, {"exe, cwd, root", links},
    {"descriptors", descriptors}, {"memory", memory}, {"names and strings", strings},
    {"the system", the_system}, {"positions", positions}, {"transfers are counted", transfers_are_counted},
    {"counts are private", counts_are_private}, {"locks of files", locks}, {"logging in", logging_in},
    {"the first user namespace", the_first_user_namespace}, {"links are private", links_are_private},
    {"nothing can be made", nothing_can_be_made}, {"nameless", nameless}};

int main(void)
{
	return have_mounted("/proc", "proc", "/proc/self") ? UTEST_RUN(tests) : 1;
}
