/*
 * urseq.c - restartable sequences: who may register what, that the numbers in the area are true, that a
 * sequence which loses the CPU or takes a signal starts again, and that nonsense is SIGSEGV. Registers for
 * itself, so the C library must not have done so.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include "utap.h"

enum { SIG = 0x53053053, UNREGISTER = 1, THREADS = 4, ROUNDS = 200000 };
#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN        28
#endif

struct area {
	uint32_t cpu_id_start, cpu_id;
	uint64_t sequence;
	uint32_t flags, node_id, slot, padding;
} __attribute__((aligned(32)));
struct sequence {
	uint32_t version, flags;
	uint64_t start, length, abort;
} __attribute__((aligned(32)));

static __thread volatile struct area mine;

static long rseq(volatile void *area, unsigned len, int flags, unsigned sig)
{
	return syscall(334, area, len, flags, sig);
}
static long enter(void)
{
	return rseq(&mine, sizeof(mine), 0, SIG);
}
static long leave(void)
{
	return rseq(&mine, sizeof(mine), UNREGISTER, SIG);
}

/* --- registering --- */

static bool registering(void)
{
	static struct area other;
	char *odd = (char *)&other + 8;
	CHECK(FAILS_WITH(leave(), EINVAL) && FAILS_WITH(rseq(&mine, 32, 2, SIG), EINVAL) &&
	      FAILS_WITH(rseq(&mine, 32, 3, SIG), EINVAL));
	CHECK(FAILS_WITH(rseq(&mine, 31, 0, SIG), EINVAL) && FAILS_WITH(rseq(odd, 32, 0, SIG), EINVAL));
	CHECK(FAILS_WITH(rseq((void *)(1UL << 47), 32, 0, SIG), EFAULT));
	mine.cpu_id = 77;
	CHECK(enter() == 0 && mine.cpu_id != 77 && mine.cpu_id == mine.cpu_id_start);
	CHECK(FAILS_WITH(enter(), EBUSY) && FAILS_WITH(rseq(&mine, 32, 0, SIG + 1), EPERM));
	CHECK(FAILS_WITH(rseq(&other, 32, 0, SIG), EINVAL) && FAILS_WITH(rseq(&mine, 64, 0, SIG), EINVAL));
	CHECK(FAILS_WITH(rseq(&other, 32, UNREGISTER, SIG), EINVAL) &&
	      FAILS_WITH(rseq(&mine, 32, UNREGISTER, 1), EPERM));
	CHECK(FAILS_WITH(rseq(&mine, 64, UNREGISTER, SIG), EINVAL));
	CHECK(leave() == 0 && mine.cpu_id == UINT32_MAX && mine.cpu_id_start == 0 && mine.slot == 0);
	return true;
}

static bool auxiliary(void)
{
	CHECK(getauxval(AT_RSEQ_FEATURE_SIZE) >= 28 && getauxval(AT_RSEQ_ALIGN) >= 32);
	return true;
}

/* --- numbers --- */

static int others_do_not_have_it(void *arg)
{
	(void)arg;
	return enter() == 0 && leave() == 0 ? 0 : 1;
}

static int child_has_it(void *arg)
{
	unsigned cpu = 0;
	(void)arg;
	UCHECK(FAILS_WITH(enter(), EBUSY) && syscall(SYS_getcpu, &cpu, NULL, NULL) == 0);
	return cpu < 1024 && mine.slot == 0 && leave() == 0 ? 0 : 1;
}

static void *thread_has_none(void *arg)
{
	*(bool *)arg = enter() == 0 && leave() == 0;
	return NULL;
}

static bool numbers(void)
{
	cpu_set_t all, one;
	pthread_t t;
	bool ok = false;
	CHECK(child_exits(others_do_not_have_it, NULL, 0));
	CHECK(sched_getaffinity(0, sizeof(all), &all) == 0 && enter() == 0 &&
	      child_exits(child_has_it, NULL, 0));
	for (int round = 0; round < 20; round++)
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
			if (!CPU_ISSET(cpu, &all))
				continue;
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
			CHECK(mine.cpu_id == (unsigned)cpu && mine.cpu_id_start == (unsigned)cpu);
			CHECK(mine.slot == 0 && mine.node_id == 0);
		}
	CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
	CHECK(pthread_create(&t, NULL, thread_has_none, &ok) == 0 && pthread_join(t, NULL) == 0 && ok);
	return leave() == 0;
}

/* --- sequences --- */

/*
 * A sequence that adds 1 to *counter, and counts its aborts. "nop"s make it long, so that what can interrupt
 * it does. The signature is the operand of an undefined instruction.
 */
static int add_in_sequence(volatile long *counter, volatile long *spin)
{
	__asm__ goto(".pushsection __rseq_seq, \"aw\"\n\t"
		     ".balign 32\n"
		     "3: .long 0, 0\n\t"
		     ".quad 1f, 2f - 1f, 4f\n\t"
		     ".popsection\n\t"
		     "leaq 3b(%%rip), %%rax\n\t"
		     "movq %%rax, %[named]\n"
		     "1:\n\t"
		     "movq (%[counter]), %%rcx\n\t"
		     "movq (%[spin]), %%rax\n"
		     "5: subq $1, %%rax\n\t"
		     "jns 5b\n\t"
		     "addq $1, %%rcx\n\t"
		     "movq %%rcx, (%[counter])\n"
		     "2:\n\t"
		     ".pushsection __rseq_abort, \"ax\"\n\t"
		     ".byte 0x0f, 0xb9, 0x3d\n\t"
		     ".long 0x53053053\n"
		     "4: jmp %l[aborted]\n\t"
		     ".popsection"
		     :
		     : [named] "m"(mine.sequence), [counter] "r"(counter), [spin] "r"(spin)
		     : "rax", "rcx", "memory", "cc"
		     : aborted);
	return 0;
aborted:
	return 1;
}

struct counter {
	volatile long value;
	char space[120];
};
static struct counter counters[1024];
static atomic_long aborts;
static volatile long spin_none, spin_long = 300;
static atomic_int bad_slots;

/* The classical counter for each CPU: the CPU is read inside the attempt, so it has to be the same at its
 * end. */
static int add_for_cpu(void)
{
	__asm__ goto(".pushsection __rseq_seq, \"aw\"\n\t"
		     ".balign 32\n"
		     "3: .long 0, 0\n\t"
		     ".quad 1f, 2f - 1f, 4f\n\t"
		     ".popsection\n\t"
		     "leaq 3b(%%rip), %%rax\n\t"
		     "movq %%rax, %[named]\n"
		     "1:\n\t"
		     "movl %[cpu], %%eax\n\t"
		     "shlq $7, %%rax\n\t"
		     "addq %[counters], %%rax\n\t"
		     "movq (%%rax), %%rcx\n\t"
		     "movq (%[spin]), %%rdx\n"
		     "5: subq $1, %%rdx\n\t"
		     "jns 5b\n\t"
		     "addq $1, %%rcx\n\t"
		     "movq %%rcx, (%%rax)\n"
		     "2:\n\t"
		     ".pushsection __rseq_abort, \"ax\"\n\t"
		     ".byte 0x0f, 0xb9, 0x3d\n\t"
		     ".long 0x53053053\n"
		     "4: jmp %l[aborted]\n\t"
		     ".popsection"
		     :
		     : [named] "m"(mine.sequence), [cpu] "m"(mine.cpu_id), [counters] "r"(counters),
		     [spin] "r"(&spin_long)
		     : "rax", "rcx", "rdx", "memory", "cc"
		     : aborted);
	return 0;
aborted:
	return 1;
}

static void *count(void *arg)
{
	(void)arg;
	if (enter())
		return NULL;
	for (long done = 0; done < ROUNDS / THREADS;) {
		if (add_for_cpu())
			atomic_fetch_add(&aborts, 1);
		else
			done++;
	}
	leave();
	return NULL;
}

static bool counters_are_exact(void)
{
	pthread_t t[THREADS];
	long sum = 0;
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, count, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	for (int i = 0; i < 1024; i++)
		sum += counters[i].value;
	CHECK(sum == ROUNDS / THREADS * THREADS);
	return true;
}

static atomic_int handled, in_handler_bad;
static volatile long spin_endless = INT64_MAX;

static void on_alarm(int signal)
{
	(void)signal;
	atomic_fetch_add(&handled, 1);
	if (mine.sequence)
		atomic_store(&in_handler_bad, 1);
	spin_endless = 0;
}

/* The sequence would go on for ever. It may be aborted for other reasons before the signal comes, and,
 * rarely, the signal comes between two attempts: then once more. */
static int attempt_until_signal(volatile long *counter)
{
	struct itimerval in = {{0, 0}, {0, 20000}};
	int aborted;
	do {
		*counter = 0;
		spin_endless = INT64_MAX;
		atomic_store(&handled, 0);
		if (setitimer(ITIMER_REAL, &in, NULL))
			return -1;
		do
			aborted = add_in_sequence(counter, &spin_endless);
		while (aborted && !atomic_load(&handled));
	} while (!aborted);
	return aborted;
}

static bool signals_abort(void)
{
	volatile long counter;
	CHECK(signal(SIGALRM, on_alarm) != SIG_ERR && enter() == 0);
	CHECK(attempt_until_signal(&counter) == 1);
	CHECK(atomic_load(&handled) == 1 && !atomic_load(&in_handler_bad) && counter == 0 &&
	      mine.sequence == 0);
	while (add_in_sequence(&counter, &spin_none))
		;
	CHECK(counter == 1);
	return leave() == 0;
}

static atomic_bool stop_spinning;
static void *spin(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop_spinning))
		;
	return NULL;
}

/* With somebody else on its CPU, a sequence that does not end loses the CPU. */
static bool preemption_aborts(void)
{
	cpu_set_t all, one;
	pthread_t t;
	volatile long counter = 0, endless = INT64_MAX;
	CHECK(sched_getaffinity(0, sizeof(all), &all) == 0 && enter() == 0);
	CPU_ZERO(&one);
	CPU_SET(mine.cpu_id, &one);
	CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
	CHECK(pthread_create(&t, NULL, spin, NULL) == 0);
	CHECK(add_in_sequence(&counter, &endless) == 1 && counter == 0);
	atomic_store(&stop_spinning, true);
	CHECK(pthread_join(t, NULL) == 0);
	CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
	return leave() == 0;
}

/* --- slots --- */

static void *hold_slots(void *arg)
{
	(void)arg;
	if (enter())
		return NULL;
	unsigned cpus = (unsigned)sysconf(_SC_NPROCESSORS_CONF);
	for (int i = 0; i < 20000; i++)
		if (mine.slot >= cpus || mine.slot >= THREADS + 1)
			atomic_fetch_add(&bad_slots, 1);
	leave();
	return NULL;
}

static bool slots_are_few(void)
{
	pthread_t t[THREADS];
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&t[i], NULL, hold_slots, NULL) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	return atomic_load(&bad_slots) == 0;
}

/* --- nonsense --- */

extern char nonsense_start[], nonsense_abort[], nonsense_unsigned[];
__asm__(".pushsection .text\n"
	"nonsense_start: nop\n"
	".byte 0x0f, 0xb9, 0x3d\n"
	".long 0x53053053\n"
	"nonsense_abort: ret\n"
	".long 0\n"
	"nonsense_unsigned: ret\n"
	".popsection\n");

/* What a thread gets that names this sequence and gives up the CPU. */
static int name_sequence(void *arg)
{
	struct timespec ts = {0, 1000000};
	if (enter())
		return 1;
	mine.sequence = (uint64_t)arg;
	nanosleep(&ts, NULL);
	return mine.sequence == 0 ? 0 : 2;
}

static int area_vanishes(void *arg)
{
	struct timespec ts = {0, 1000000};
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)arg;
	if (page == MAP_FAILED || rseq(page, 32, 0, SIG) || munmap(page, 4096))
		return 1;
	nanosleep(&ts, NULL);
	return 0;
}

static int flags_count_inside(void *arg)
{
	struct itimerval in = {{0, 5000}, {0, 5000}}; /* the first may come too early */
	volatile long counter = 0;
	(void)arg;
	signal(SIGALRM, on_alarm);
	if (enter() || setitimer(ITIMER_REAL, &in, NULL))
		return 1;
	mine.flags = 1;
	add_in_sequence(&counter, &spin_endless);
	return 0;
}

static bool nonsense(void)
{
	uint64_t start = (uint64_t)nonsense_start, abort = (uint64_t)nonsense_abort;
	struct sequence good = {0, 0, start, 1, abort}, s = good;
	CHECK(child_exits(name_sequence, NULL, 0) && child_exits(name_sequence, &good, 0));
	CHECK(child_dies(name_sequence, (void *)64, SIGSEGV) &&
	      child_dies(name_sequence, (void *)(1UL << 63), SIGSEGV));
	s.version = 1;
	CHECK(child_dies(name_sequence, &s, SIGSEGV));
	s = good;
	s.abort = start; /* inside */
	CHECK(child_dies(name_sequence, &s, SIGSEGV));
	s.abort = (uint64_t)nonsense_unsigned;
	CHECK(child_dies(name_sequence, &s, SIGSEGV));
	s = good;
	s.length = UINT64_MAX - 100;
	CHECK(child_dies(name_sequence, &s, SIGSEGV));
	s = good;
	s.start = 1UL << 62;
	CHECK(child_dies(name_sequence, &s, SIGSEGV));
	s = good;
	s.flags = 1; /* nobody asks while it is not inside */
	CHECK(child_exits(name_sequence, &s, 0));
	CHECK(child_dies(area_vanishes, NULL, SIGSEGV));
	spin_endless = INT64_MAX;
	CHECK(child_dies(flags_count_inside, NULL, SIGSEGV));
	return true;
}

static const struct utest tests[] = {
    {"registering", registering},
    {"the auxiliary vector tells", auxiliary},
    {"CPU and slot are true", numbers},
    {"counters for each CPU are exact", counters_are_exact},
    {"a signal aborts", signals_abort},
    {"losing the CPU aborts", preemption_aborts},
    {"slots are few", slots_are_few},
    {"nonsense is SIGSEGV", nonsense},
};

int main(void)
{
	return UTEST_RUN(tests);
}
