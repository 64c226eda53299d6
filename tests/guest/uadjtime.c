/* uadjtime.c - adjtimex, clock_adjtime and kcmp. The clock is steered in the guest only: on Linux nothing
 * that would change the clock of the machine. Runs as root. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/timex.h>
#include <sys/utsname.h>
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

/* --- steering --- */

enum { LOOKS = 20, PPM_UNIT = 65536 };

static int64_t read_clock(int clock, bool by_call)
{
	struct timespec t = {0};
	if (by_call)
		sc(clock_gettime, clock, &t);
	else
		clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* What `clock` is ahead of the raw one: *least to *most, as the best of several looks knows it. */
static void look(int clock, int64_t *least, int64_t *most)
{
	*least = 0, *most = INT64_MAX;
	for (int i = 0; i < LOOKS; i++) {
		int64_t before = read_clock(CLOCK_MONOTONIC_RAW, i % 2), now = read_clock(clock, i / 2 % 2);
		int64_t after = read_clock(CLOCK_MONOTONIC_RAW, i % 3 == 0);
		if (after - before < *most - *least)
			*least = now - after, *most = now - before;
	}
}

/* From now on the clock gains 10% and more, by its tick and its frequency: it does, and the others with it,
 * in user space and by system calls. */
static bool gains(int clock, const struct timex *t, int sign)
{
	struct timex set = *t;
	int64_t least[2], most[2];
	CHECK(sc(adjtimex, &set) >= 0 && set.tick == t->tick && set.freq == t->freq);
	look(clock, &least[0], &most[0]);
	int64_t begin = read_clock(CLOCK_MONOTONIC_RAW, true);
	while (read_clock(CLOCK_MONOTONIC_RAW, false) < begin + 30000000)
		;
	int64_t span = read_clock(CLOCK_MONOTONIC_RAW, true) - begin;
	look(clock, &least[1], &most[1]);
	int64_t fast = (most[1] - least[0]) * sign, slow = (least[1] - most[0]) * sign;
	CHECK((fast > slow ? fast : slow) >= span / 10);
	int64_t last = 0;
	for (int i = 0; i < LOOKS; i++) { /* who is asked makes no difference */
		int64_t now = read_clock(CLOCK_MONOTONIC, i % 2);
		CHECK(now >= last);
		last = now;
	}
	return true;
}

static bool steered(void)
{
	struct timex was = {0},
		     t = {.modes = ADJ_TICK | ADJ_FREQUENCY, .tick = 11000, .freq = 500 * PPM_UNIT};
	struct utsname u;
	if (uname(&u) || !strstr(u.release, "quire"))
		return true;
	CHECK(sc(adjtimex, &was) >= 0);
	CHECK(gains(CLOCK_MONOTONIC, &t, 1) && gains(CLOCK_REALTIME, &t, 1));
	t.tick = 9000, t.freq = -500 * PPM_UNIT;
	CHECK(gains(CLOCK_MONOTONIC, &t, -1) && gains(CLOCK_TAI, &t, -1));
	t.tick = was.tick, t.freq = was.freq;
	CHECK(sc(adjtimex, &t) >= 0);
	t = (struct timex){.modes = ADJ_OFFSET_SINGLESHOT, .offset = 5000000};
	CHECK(sc(adjtimex, &t) >= 0 && t.offset == 0);
	t = (struct timex){.modes = 0xa001};
	CHECK(sc(adjtimex, &t) >= 0 && t.offset > 4000000 && t.offset <= 5000000);
	t = (struct timex){.modes = ADJ_OFFSET_SINGLESHOT};
	CHECK(sc(adjtimex, &t) >= 0 && t.offset > 4000000 && t.offset <= 5000000);
	t = (struct timex){.modes = ADJ_MAXERROR | ADJ_STATUS, .maxerror = 15999999, .status = STA_NANO};
	CHECK(sc(adjtimex, &t) >= 0 && t.maxerror >= 15999999 && t.maxerror <= 16000000);
	t = (struct timex){
	    .modes = ADJ_MAXERROR | ADJ_STATUS, .maxerror = was.maxerror, .status = was.status};
	return sc(adjtimex, &t) >= 0;
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
    {"clocks run at the rate that is set", steered},
    {"comparing resources", comparing},
};

int main(void)
{
	return UTEST_RUN(tests);
}
