/* uadjtime.c - adjtimex, clock_adjtime and kcmp. Nothing that would set the clock of the machine it runs on.
 * Runs as root. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/timex.h>
#include <time.h>
#include "utap.h"

static bool clock_reads(void)
{
	struct timespec before, after;
	struct timex t = {0};
	clock_gettime(CLOCK_REALTIME, &before);
	long state = sc(adjtimex, &t);
	clock_gettime(CLOCK_REALTIME, &after);
	CHECK(state >= 0 && state <= 5 && t.precision == 1 && t.tolerance == 32768000 && t.tick >= 9000 &&
	      t.tick <= 11000);
	CHECK((state == 5) == !!(t.status & (STA_UNSYNC | STA_CLOCKERR)) && t.constant >= 0 &&
	      t.constant <= 10);
	CHECK(t.time.tv_sec >= before.tv_sec - 1 && t.time.tv_sec <= after.tv_sec + 1);
	CHECK(t.time.tv_usec >= 0 && t.time.tv_usec < (t.status & STA_NANO ? 1000000000 : 1000000));
	CHECK(sc(clock_adjtime, CLOCK_REALTIME, &t) == state);
	t.modes = 0xa001; /* what is left of a single correction */
	CHECK(sc(adjtimex, &t) == state && t.offset > -1000000 && t.offset < 1000000);
	return true;
}

static int adjust_as_other(void *arg)
{
	struct timex t = {.modes = ADJ_STATUS}, left = {.modes = 0xa001};
	(void)arg;
	UCHECK(sc(setresuid, 5, 5, 5) == 0 && FAILS_WITH(sc(adjtimex, &t), EPERM));
	t.modes = ADJ_SETOFFSET;
	UCHECK(FAILS_WITH(sc(adjtimex, &t), EPERM));
	t.modes = ADJ_OFFSET_SINGLESHOT;
	UCHECK(FAILS_WITH(sc(adjtimex, &t), EPERM) && sc(adjtimex, &left) >= 0);
	t.modes = 0;
	UCHECK(sc(adjtimex, &t) >= 0);
	return 0;
}

static bool clock_errors(void)
{
	struct timex t = {.modes = ADJ_TICK, .tick = 8999};
	CHECK(FAILS_WITH(sc(adjtimex, &t), EINVAL) && FAILS_WITH(sc(adjtimex, BAD), EFAULT));
	t.tick = 11001;
	CHECK(FAILS_WITH(sc(adjtimex, &t), EINVAL));
	t = (struct timex){.modes = ADJ_SETOFFSET, .time = {0, -1}};
	CHECK(FAILS_WITH(sc(adjtimex, &t), EINVAL));
	t.time.tv_usec = 1000000;
	CHECK(FAILS_WITH(sc(adjtimex, &t), EINVAL));
	t = (struct timex){.modes = 0x8000};
	CHECK(FAILS_WITH(sc(adjtimex, &t), EINVAL));
	t = (struct timex){.modes = ADJ_FREQUENCY, .freq = INT64_MAX};
	CHECK(FAILS_WITH(sc(adjtimex, &t), EINVAL));
	t = (struct timex){0};
	CHECK(FAILS_WITH(sc(clock_adjtime, CLOCK_MONOTONIC, &t), EOPNOTSUPP) &&
	      FAILS_WITH(sc(clock_adjtime, 77, &t), EINVAL));
	CHECK(FAILS_WITH(sc(clock_adjtime, CLOCK_MONOTONIC, BAD), EFAULT));
	return child_exits(adjust_as_other, NULL, 0);
}

/* --- kcmp --- */

enum { KCMP_FILE, KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_IO, KCMP_SYSVSEM, KCMP_TYPES = 8 };
static long kcmp(pid_t a, pid_t b, int type, unsigned long i, unsigned long j)
{
	return syscall(SYS_kcmp, a, b, type, i, j);
}
static bool differs(long result)
{
	return result == 1 || result == 2;
}

static int pause_child(void *arg)
{
	(void)arg;
	while (syscall(SYS_pause) == -1)
		;
	return 0;
}

static bool shares(unsigned long flags, const int *types, int n)
{
	static char stack[16384] __attribute__((aligned(16)));
	pid_t me = getpid(), pid = clone(pause_child, stack + sizeof(stack), (int)flags | SIGCHLD, NULL);
	bool ok = pid > 0;
	for (int type = KCMP_VM; type <= KCMP_SIGHAND; type++) {
		bool same = false;
		for (int i = 0; i < n; i++)
			same |= types[i] == type;
		long r = kcmp(me, pid, type, 0, 0);
		ok &= same ? r == 0 : differs(r) && kcmp(pid, me, type, 0, 0) == 3 - r;
	}
	kill(pid, SIGKILL);
	return waitpid(pid, NULL, 0) == pid && ok;
}

static int compare_as_other(void *arg)
{
	(void)arg;
	UCHECK(sc(setresuid, 5, 5, 5) == 0);
	UCHECK(FAILS_WITH(kcmp(getpid(), getppid(), KCMP_VM, 0, 0), EPERM));
	return 0;
}

static bool comparing(void)
{
	pid_t me = getpid();
	int a = open("/", O_RDONLY), b = open("/", O_RDONLY), c = dup(a);
	CHECK(kcmp(me, me, KCMP_FILE, (unsigned)a, (unsigned)c) == 0 &&
	      differs(kcmp(me, me, KCMP_FILE, (unsigned)a, (unsigned)b)));
	CHECK(kcmp(me, me, KCMP_FILE, (unsigned)a, (unsigned)b) +
		  kcmp(me, me, KCMP_FILE, (unsigned)b, (unsigned)a) ==
	      3);
	CHECK(FAILS_WITH(kcmp(me, me, KCMP_FILE, (unsigned)a, 999), EBADF) &&
	      FAILS_WITH(kcmp(me, me, KCMP_TYPES, 0, 0), EINVAL));
	CHECK(FAILS_WITH(kcmp(me, me, -1, 0, 0), EINVAL) &&
	      FAILS_WITH(kcmp(me, 1 << 22, KCMP_VM, 0, 0), ESRCH));
	close(a), close(b), close(c);
	for (int type = KCMP_VM; type <= KCMP_SYSVSEM; type++)
		CHECK(kcmp(me, me, type, 0, 0) == 0);
	CHECK(shares(0, NULL, 0) && shares(CLONE_FILES, (int[]){KCMP_FILES}, 1) &&
	      shares(CLONE_FS, (int[]){KCMP_FS}, 1));
	CHECK(shares(CLONE_VM | CLONE_SIGHAND, (int[]){KCMP_VM, KCMP_SIGHAND}, 2));
	return child_exits(compare_as_other, NULL, 0);
}

static const struct utest tests[] = {
    {"reading the clock's state", clock_reads},
    {"adjusting: errors", clock_errors},
    {"comparing resources", comparing},
};

int main(void)
{
	return UTEST_RUN(tests);
}
