/* ulimits.c - resource limits: reading and setting them, whose they are, and that they hold. Runs as root. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "utap.h"

struct limit {
	unsigned long soft, hard;
};

static bool reading_and_setting(void)
{
	struct limit l, m;
	for (int r = 0; r < 16; r++)
		CHECK(sc(getrlimit, r, &l) == 0 && l.soft <= l.hard);
	CHECK(FAILS_WITH(sc(getrlimit, 16, &l), EINVAL) && FAILS_WITH(sc(getrlimit, -1, &l), EINVAL));
	CHECK(FAILS_WITH(sc(getrlimit, 0, BAD), EFAULT) && FAILS_WITH(sc(setrlimit, 99, BAD), EFAULT));
	l = (struct limit){5, 4};
	CHECK(
	    FAILS_WITH(sc(setrlimit, RLIMIT_CORE, &l), EINVAL) && FAILS_WITH(sc(setrlimit, 16, &l), EINVAL));
	CHECK(sc(getrlimit, RLIMIT_CORE, &m) == 0);
	l = (struct limit){4, m.hard};
	CHECK(sc(prlimit64, 0, RLIMIT_CORE, &l, &m) == 0 && sc(prlimit64, 0, RLIMIT_CORE, &m, &l) == 0);
	CHECK(l.soft == 4);
	CHECK(FAILS_WITH(sc(prlimit64, 1 << 22, RLIMIT_CORE, NULL, NULL), ESRCH));
	CHECK(FAILS_WITH(sc(prlimit64, -1, RLIMIT_CORE, NULL, NULL), ESRCH));
	CHECK(FAILS_WITH(sc(prlimit64, 0, RLIMIT_CORE, BAD, NULL), EFAULT));
	l = (struct limit){1, 1UL << 30};
	CHECK(FAILS_WITH(sc(setrlimit, RLIMIT_NOFILE, &l), EPERM));
	return true;
}

static int lower_only(void *arg)
{
	struct limit l = {100, 200}, m;
	(void)arg;
	UCHECK(sc(setrlimit, RLIMIT_NOFILE, &l) == 0 && sc(setresuid, 5, 5, 5) == 0);
	l = (struct limit){150, 200};
	UCHECK(sc(setrlimit, RLIMIT_NOFILE, &l) == 0);
	l = (struct limit){150, 201};
	UCHECK(FAILS_WITH(sc(setrlimit, RLIMIT_NOFILE, &l), EPERM));
	l = (struct limit){0, 150};
	UCHECK(sc(setrlimit, RLIMIT_NOFILE, &l) == 0);
	l = (struct limit){10, 151};
	UCHECK(FAILS_WITH(sc(setrlimit, RLIMIT_NOFILE, &l), EPERM));
	UCHECK(FAILS_WITH(sc(prlimit64, getppid(), RLIMIT_NOFILE, NULL, &m), EPERM));
	return 0;
}

static bool rights(void)
{
	return child_exits(lower_only, NULL, 0);
}

static int inherit(void *arg)
{
	struct limit l;
	UCHECK(sc(getrlimit, RLIMIT_CORE, &l) == 0 && l.soft == *(unsigned long *)arg);
	l.soft = 7;
	UCHECK(sc(prlimit64, getppid(), RLIMIT_CORE, &l, NULL) == 0);
	return 0;
}

static bool children_and_others(void)
{
	struct limit old, l;
	CHECK(sc(getrlimit, RLIMIT_CORE, &old) == 0);
	l = (struct limit){3, old.hard};
	CHECK(sc(setrlimit, RLIMIT_CORE, &l) == 0 && child_exits(inherit, &l.soft, 0));
	CHECK(sc(getrlimit, RLIMIT_CORE, &l) == 0 && l.soft == 7);
	return sc(setrlimit, RLIMIT_CORE, &old) == 0;
}

/* Without a descriptor for it, no file is made; and what failed holds no descriptor. */
static int few_files(void *arg)
{
	struct limit l = {5, 5};
	const char *path = arg;
	UCHECK(FAILS_WITH(open("/no/such", O_RDONLY), ENOENT));
	UCHECK(sc(setrlimit, RLIMIT_NOFILE, &l) == 0);
	int fd;
	while ((fd = open("/", O_RDONLY)) >= 0)
		UCHECK(fd < 5);
	UCHECK(errno == EMFILE && FAILS_WITH(open("/no/such", O_RDONLY), EMFILE));
	UCHECK(FAILS_WITH(open(path, O_CREAT | O_WRONLY, 0644), EMFILE) && access(path, F_OK) == -1);
	UCHECK(FAILS_WITH(open("", O_RDONLY), ENOENT) && close(4) == 0);
	UCHECK(FAILS_WITH(open("/no/such", O_RDONLY), ENOENT) && open(path, O_CREAT | O_WRONLY, 0644) == 4);
	return 0;
}

static int few_signals(void *arg)
{
	struct limit l = {2, 2};
	sigset_t set;
	siginfo_t info = {.si_code = SI_QUEUE};
	(void)arg;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	UCHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	UCHECK(sc(setresuid, 54321, 54321, 54321) == 0 && sc(setrlimit, RLIMIT_SIGPENDING, &l) == 0);
	UCHECK(sc(rt_sigqueueinfo, getpid(), SIGRTMIN, &info) == 0);
	UCHECK(sc(rt_sigqueueinfo, getpid(), SIGRTMIN, &info) == 0);
	UCHECK(FAILS_WITH(sc(rt_sigqueueinfo, getpid(), SIGRTMIN, &info), EAGAIN));
	UCHECK(kill(getpid(), SIGRTMIN) == 0); /* nobody misses what it says */
	return 0;
}

static bool limits_hold(void)
{
	char path[64];
	CHECK(
	    child_exits(few_files, (char *)utest_file(path, "made"), 0) && child_exits(few_signals, NULL, 0));
	return true;
}

static volatile sig_atomic_t signals_seen;

static void count_signal(int signal)
{
	(void)signal;
	signals_seen++;
}

static int burn(void *arg)
{
	struct limit l = {1, 3}, m;
	(void)arg;
	signal(SIGXCPU, count_signal);
	UCHECK(sc(setrlimit, RLIMIT_CPU, &l) == 0);
	while (signals_seen < 2)
		continue;
	UCHECK(sc(getrlimit, RLIMIT_CPU, &m) == 0 && m.soft == 3 && m.hard == 3);
	for (;;)
		continue;
}

/* Used up at once, and that is inherited. */
static int burn_nothing(void *arg)
{
	struct limit l = {0, RLIM_INFINITY};
	(void)arg;
	UCHECK(signal(SIGXCPU, SIG_IGN) == SIG_DFL && sc(setrlimit, RLIMIT_CPU, &l) == 0);
	usleep(100000);
	UCHECK(sc(getrlimit, RLIMIT_CPU, &l) == 0);
	l.soft = 1;
	UCHECK(sc(setrlimit, RLIMIT_CPU, &l) == 0);
	pid_t pid = fork();
	if (!pid) {
		signal(SIGXCPU, SIG_DFL);
		for (;;)
			continue;
	}
	int status;
	UCHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
	return 0;
}

static bool time_of_the_processor(void)
{
	CHECK(child_dies(burn, NULL, SIGKILL) && child_exits(burn_nothing, NULL, 0));
	return true;
}

static const struct utest tests[] = {
    {"getrlimit, setrlimit, prlimit64", reading_and_setting},
    {"who may raise limits", rights},
    {"children inherit, others can be given", children_and_others},
    {"descriptors, queued signals", limits_hold},
    {"CPU time", time_of_the_processor},
};

int main(void)
{
	return UTEST_RUN(tests);
}
