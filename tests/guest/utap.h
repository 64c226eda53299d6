#pragma once
/*
 * utap.h - for test programs that run in the guest and, where they use only the Linux ABI, on the host's
 * Linux as well: TAP on standard output, and children that may die.
 *
 * A program is a list of named tests; a test returns whether all its checks held. Lines say nothing that
 * differs between machines (addresses, pids), so outputs can be compared.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct utest {
	const char *name;
	bool (*fn)(void);
};

/* In a test: false, with the place, if a check fails. */
#define CHECK(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			printf("# %s:%d: failed: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno);        \
			return false;                                                                        \
		}                                                                                            \
	} while (0)

/* In a child: leave with status 1, and say the place, if a check fails. */
#define UCHECK(cond)                                                                                         \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			printf("# %s:%d: failed: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno);        \
			fflush(stdout);                                                                      \
			return 1;                                                                            \
		}                                                                                            \
	} while (0)

/* The call itself, past what the C library makes of it; an address where nothing is. */
#define sc(name, ...) syscall(SYS_##name, ##__VA_ARGS__)
#define BAD           ((void *)-1L)

/* The call returned -1 with this errno. */
#define FAILS_WITH(call, err) (errno = 0, (long)(call) == -1 && errno == (err))

/* Run fn(arg) in a child; its wait status. A child that returns from fn exits with what fn returned. */
static inline int child_status(int (*fn)(void *arg), void *arg)
{
	int status = -1;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn(arg));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}
static inline bool child_exits(int (*fn)(void *arg), void *arg, int code)
{
	int status = child_status(fn, arg);
	return WIFEXITED(status) && WEXITSTATUS(status) == code;
}
static inline bool child_dies(int (*fn)(void *arg), void *arg, int signal)
{
	int status = child_status(fn, arg);
	return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

static char utest_dir_name[24];

/* A directory of the program's own, made when it is first asked for; not by a child. It goes with its files.
 */
static inline const char *utest_dir(void)
{
	if (!utest_dir_name[0]) {
		mkdir("/tmp", 01777);
		strcpy(utest_dir_name, "/tmp/utest-XXXXXX");
		if (!mkdtemp(utest_dir_name) || chmod(utest_dir_name, 0755))
			perror(utest_dir_name);
	}
	return utest_dir_name;
}
/* Path of a file in it. */
static inline const char *utest_file(char path[static 64], const char *name)
{
	snprintf(path, 64, "%s/%s", utest_dir(), name);
	return path;
}

static inline void utest_remove_dir(void)
{
	DIR *d = utest_dir_name[0] ? opendir(utest_dir_name) : NULL;
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	if (rmdir(utest_dir_name))
		printf("# %s: %d\n", utest_dir_name, errno);
}

static inline int utest_run(const struct utest *tests, size_t n)
{
	unsigned failed = 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%zu\n", n);
	for (size_t i = 0; i < n; i++) {
		bool ok = tests[i].fn();
		failed += !ok;
		printf("%s %zu - %s\n", ok ? "ok" : "not ok", i + 1, tests[i].name);
	}
	utest_remove_dir();
	fflush(stdout);
	return failed != 0;
}
/* A guest starts with nothing mounted: see that `probe` is there. False: it is not. */
static inline bool utest_mounted(const char *dir, const char *type, const char *probe)
{
	if (!access(probe, F_OK))
		return true;
	mkdir(dir, 0755);
	return mount(type, dir, type, 0, NULL) == 0;
}

static inline bool utest_proc(void)
{
	return utest_mounted("/proc", "proc", "/proc/self");
}

static inline bool utest_sys(void)
{
	return utest_mounted("/sys", "sysfs", "/sys/devices");
}

static char utest_base[24] = "/tmp/utest-XXXXXX";

/* The same with utest_base, a directory of the program's own, as the working directory. The tests leave it
 * empty. */
static inline int utest_run_inside(mode_t mode, const struct utest *tests, size_t n)
{
	umask(022);
	mkdir("/tmp", 01777);
	if (!mkdtemp(utest_base) || chmod(utest_base, mode) || chdir(utest_base)) {
		printf("1..1\nnot ok 1 - no directory to work in: errno %d\n", errno);
		return 1;
	}
	int failed = utest_run(tests, n);
	if (chdir("/") || rmdir(utest_base)) {
		printf("# something was left behind\n");
		failed = 1;
	}
	return failed;
}
#define UTEST_RUN_INSIDE(mode, tests) utest_run_inside(mode, tests, sizeof(tests) / sizeof((tests)[0]))
#define UTEST_RUN(tests)              utest_run(tests, sizeof(tests) / sizeof((tests)[0]))
