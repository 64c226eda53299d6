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

static const struct utest tests[] = {{"self", self}, {"other processes", others}, {"exe, cwd, root", links},
    {"descriptors", descriptors}, {"memory", memory}, {"names and strings", strings},
    {"the system", the_system}, {"positions", positions}};

int main(void)
{
	if (access("/proc/self", F_OK)) {
		mkdir("/proc", 0755);
		if (mount("proc", "/proc", "proc", 0, NULL))
			return 1;
	}
	return UTEST_RUN(tests);
}
