/*
 * uthread.c - threads and what they wait for one another with: the C library's threads, and the calls
 * themselves. Runs on the host's Linux as well.
 */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include "utap.h"

#define NTHREADS 4
#define ROUNDS   2000
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
/* linux/futex.h, which not every C library brings along. */
enum {
	FUTEX_WAIT = 0,
	FUTEX_WAKE = 1,
	FUTEX_REQUEUE = 3,
	FUTEX_CMP_REQUEUE = 4,
	FUTEX_WAKE_OP = 5,
	FUTEX_WAIT_BITSET = 9,
	FUTEX_WAKE_BITSET = 10,
	FUTEX_CLOCK_REALTIME = 256,
	FUTEX_PRIVATE = 128,
	FUTEX_WAIT_PRIVATE = FUTEX_WAIT | FUTEX_PRIVATE,
	FUTEX_WAKE_PRIVATE = FUTEX_WAKE | FUTEX_PRIVATE,
	FUTEX_REQUEUE_PRIVATE = FUTEX_REQUEUE | FUTEX_PRIVATE,
	FUTEX_CMP_REQUEUE_PRIVATE = FUTEX_CMP_REQUEUE | FUTEX_PRIVATE,
	FUTEX_WAIT_BITSET_PRIVATE = FUTEX_WAIT_BITSET | FUTEX_PRIVATE,
	FUTEX_WAKE_BITSET_PRIVATE = FUTEX_WAKE_BITSET | FUTEX_PRIVATE,
};
enum { FUTEX_OP_SET, FUTEX_OP_ADD, FUTEX_OP_OR, FUTEX_OP_ANDN, FUTEX_OP_XOR, FUTEX_OP_OPARG_SHIFT = 8 };
enum { FUTEX_OP_CMP_EQ, FUTEX_OP_CMP_NE, FUTEX_OP_CMP_LT, FUTEX_OP_CMP_LE, FUTEX_OP_CMP_GT, FUTEX_OP_CMP_GE };
#define FUTEX_OP(op, arg, cmp, cmp_arg)                                                                      \
	((uint32_t)(op) << 28 | (uint32_t)(cmp) << 24 | ((arg)&0xfffu) << 12 | ((cmp_arg)&0xfffu))

enum { CALL_CLONE3 = 435, CALL_MEMBARRIER = 324 };

extern char **environ;

static long futex(void *addr, int op, uint32_t val, const void *timeout, void *addr2, uint32_t val3)
{
	return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}
static void nap(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}
static int64_t now_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static bool is_done(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- the C library's threads --- */

static void *return_argument(void *arg)
{
	return arg;
}

static bool create_and_join(void)
{
	for (long i = 0; i < 1000; i++) {
		pthread_t t;
		void *result;
		CHECK(pthread_create(&t, NULL, return_argument, (void *)i) == 0);
		CHECK(pthread_join(t, &result) == 0);
		CHECK((long)result == i);
	}
	return true;
}

static bool run_all(void *(*fn)(void *))
{
	pthread_t t[NTHREADS];
	void *result;
	bool ok = true;
	for (long i = 0; i < NTHREADS; i++)
		if (pthread_create(&t[i], NULL, fn, (void *)i))
			return false;
	for (int i = 0; i < NTHREADS; i++)
		ok = pthread_join(t[i], &result) == 0 && result == NULL && ok;
	return ok;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned counter;

static void *count_locked(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		if (i % 64 == 0)
			sched_yield();
		pthread_mutex_unlock(&mutex);
	}
	return arg = NULL;
}

static bool mutex_contention(void)
{
	counter = 0;
	CHECK(run_all(count_locked));
	CHECK(counter == NTHREADS * ROUNDS);
	return true;
}

/* Each waits for its turn. */
static void *take_turns(void *arg)
{
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&mutex);
		while (counter % NTHREADS != (unsigned)(long)arg)
			pthread_cond_wait(&cond, &mutex);
		counter++;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static bool condition_turns(void)
{
	counter = 0;
	CHECK(run_all(take_turns));
	CHECK(counter == NTHREADS * 200);
	return true;
}

static pthread_barrier_t barrier;
static _Atomic unsigned arrived;

static void *meet(void *arg)
{
	for (unsigned i = 1; i <= 100; i++) {
		arrived++;
		pthread_barrier_wait(&barrier);
		if (arrived != i * NTHREADS)
			return (void *)1;
		pthread_barrier_wait(&barrier);
	}
	return arg = NULL;
}

static bool barriers(void)
{
	arrived = 0;
	CHECK(pthread_barrier_init(&barrier, NULL, NTHREADS) == 0);
	CHECK(run_all(meet));
	CHECK(pthread_barrier_destroy(&barrier) == 0);
	return true;
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static unsigned pair[2];

static void *read_and_write(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		if (i % 8 == (long)arg) {
			pthread_rwlock_wrlock(&rwlock);
			pair[0]++;
			pair[1]++;
		} else {
			pthread_rwlock_rdlock(&rwlock);
			if (pair[0] != pair[1])
				return (void *)1;
		}
		pthread_rwlock_unlock(&rwlock);
	}
	return NULL;
}

static bool rwlocks(void)
{
	CHECK(run_all(read_and_write));
	CHECK(pair[0] == pair[1] && pair[0] == NTHREADS * ROUNDS / 8);
	return true;
}

static __thread long own = 17;
static void *use_tls(void *arg)
{
	if (own != 17)
		return (void *)1;
	for (int i = 0; i < 100; i++) {
		own = (long)arg * 1000 + i;
		sched_yield();
		if (own != (long)arg * 1000 + i)
			return (void *)1;
	}
	return NULL;
}

static bool thread_local_storage(void)
{
	own = 17;
	CHECK(run_all(use_tls));
	CHECK(own == 17);
	return true;
}

static void *lock_and_die(void *m)
{
	pthread_mutex_lock(m);
	return NULL;
}
static void *lock_slowly_and_die(void *m)
{
	pthread_mutex_lock(m);
	nap(50);
	return NULL;
}

static bool robust_with(void *(*fn)(void *), bool join_first)
{
	pthread_mutexattr_t attr;
	pthread_mutex_t m;
	pthread_t t;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	CHECK(pthread_mutex_init(&m, &attr) == 0);
	CHECK(pthread_create(&t, NULL, fn, &m) == 0);
	if (join_first)
		pthread_join(t, NULL);
	else
		nap(20);
	CHECK(pthread_mutex_lock(&m) == EOWNERDEAD);
	CHECK(pthread_mutex_consistent(&m) == 0);
	CHECK(pthread_mutex_unlock(&m) == 0);
	CHECK(pthread_mutex_lock(&m) == 0 && pthread_mutex_unlock(&m) == 0);
	if (!join_first)
		pthread_join(t, NULL);
	return true;
}

static bool robust_mutex(void)
{
	return robust_with(lock_and_die, true) && robust_with(lock_slowly_and_die, false);
}

/* --- ids, and ends --- */

static _Atomic long other_tid;
static void *tell_tid(void *arg)
{
	other_tid = syscall(SYS_gettid);
	return arg = getpid() == (pid_t)(long)arg ? NULL : (void *)1;
}

static bool thread_ids(void)
{
	pthread_t t;
	void *result;
	CHECK(syscall(SYS_gettid) == getpid());
	CHECK(pthread_create(&t, NULL, tell_tid, (void *)(long)getpid()) == 0);
	CHECK(pthread_join(t, &result) == 0 && !result);
	CHECK(other_tid > 0 && other_tid != getpid());
	return true;
}

static void *nap_and_exit_3(void *arg)
{
	nap(30);
	syscall(SYS_exit, 3);
	return arg;
}
/* The status of the process is that of the thread that goes last. */
static int leader_goes_first(void *arg)
{
	pthread_t t;
	if (pthread_create(&t, NULL, nap_and_exit_3, arg))
		return 1;
	syscall(SYS_exit, 5);
	return 2;
}

static void *sleep_for_ever(void *word)
{
	for (;;)
		futex(word, FUTEX_WAIT, 0, NULL, NULL, 0);
	return NULL;
}
static int group_exit(void *arg)
{
	static uint32_t word;
	pthread_t t;
	for (int i = 0; i < NTHREADS; i++)
		if (pthread_create(&t, NULL, sleep_for_ever, &word))
			return 1;
	nap(10);
	syscall(SYS_exit_group, 7);
	return arg != NULL;
}
static void *exit_group_9(void *arg)
{
	nap(10);
	syscall(SYS_exit_group, 9);
	return arg;
}
static int group_exit_by_another(void *arg)
{
	static uint32_t word;
	pthread_t t;
	if (pthread_create(&t, NULL, exit_group_9, arg))
		return 1;
	sleep_for_ever(&word);
	return 2;
}

static bool exits(void)
{
	CHECK(child_exits(leader_goes_first, NULL, 3));
	CHECK(child_exits(group_exit, NULL, 7));
	CHECK(child_exits(group_exit_by_another, NULL, 9));
	return true;
}

static const char *self_path = "/bin/uthread";
static void *exec_self(void *pid)
{
	char *argv[] = {(char *)self_path, (char *)"exec", pid, NULL};
	nap(10);
	execve(self_path, argv, environ);
	_exit(99);
}
static int exec_from_second(void *arg)
{
	static uint32_t word;
	char pid[16];
	pthread_t t;
	snprintf(pid, sizeof(pid), "%d", getpid());
	if (pthread_create(&t, NULL, sleep_for_ever, &word) || pthread_create(&t, NULL, exec_self, pid))
		return 1;
	sleep_for_ever(&word);
	return arg != NULL;
}
/* A thread that could not exec leaves the others alone. */
static void *exec_nothing(void *arg)
{
	char *argv[] = {(char *)"/no/such", NULL};
	execve(argv[0], argv, environ);
	return arg = errno == ENOENT ? NULL : (void *)1;
}

static bool exec_of_threads(void)
{
	CHECK(run_all(exec_nothing));
	CHECK(child_exits(exec_from_second, NULL, 42));
	return true;
}

/* --- making threads by hand --- */

static bool vfork_and_exec(void)
{
	char *argv[] = {(char *)self_path, (char *)"exit", NULL};
	volatile int shared = 0;
	int status;
	pid_t pid = vfork();
	if (pid == 0) {
		shared = 1;
		execve(self_path, argv, environ);
		_exit(99);
	}
	CHECK(pid > 0 && shared == 1);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 43);
	pid = vfork();
	if (pid == 0) {
		nap(20);
		shared = 2;
		_exit(0);
	}
	CHECK(pid > 0 && shared == 2); /* it has exited */
	CHECK(waitpid(pid, &status, 0) == pid && is_done(status));
	return true;
}

static bool clone_fails(unsigned long flags, int err)
{
	long r = syscall(SYS_clone, flags, NULL, NULL, NULL, 0);
	if (r == 0)
		_exit(0);
	return r == -1 && errno == err;
}

static bool clone_errors(void)
{
	CHECK(clone_fails(CLONE_THREAD | SIGCHLD, EINVAL));
	CHECK(clone_fails(CLONE_THREAD | CLONE_SIGHAND, EINVAL));
	CHECK(clone_fails(CLONE_SIGHAND | SIGCHLD, EINVAL));
	uint64_t args[64] = {0};
	CHECK(FAILS_WITH(syscall(CALL_CLONE3, args, 63), EINVAL));
	CHECK(FAILS_WITH(syscall(CALL_CLONE3, args, 4097), E2BIG));
	CHECK(FAILS_WITH(syscall(CALL_CLONE3, NULL, 64), EFAULT));
	args[20] = 1;
	CHECK(FAILS_WITH(syscall(CALL_CLONE3, args, sizeof(args)), E2BIG));
	args[20] = 0;
	args[0] = SIGCHLD; /* the signal has a place of its own */
	CHECK(FAILS_WITH(syscall(CALL_CLONE3, args, 88), EINVAL));
	args[0] = 0;
	args[4] = 65;
	CHECK(FAILS_WITH(syscall(CALL_CLONE3, args, 88), EINVAL));
	args[4] = SIGCHLD;
	args[5] = 4096; /* a stack without size */
	CHECK(FAILS_WITH(syscall(CALL_CLONE3, args, 88), EINVAL));
	args[5] = 0;
	args[6] = 4096;
	CHECK(FAILS_WITH(syscall(CALL_CLONE3, args, 88), EINVAL));
	return true;
}

static bool clone_like_fork(void)
{
	static pid_t parent_tid, child_tid;
	int status;
	long pid =
	    syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD,
		NULL, &parent_tid, &child_tid, 0);
	if (pid == 0)
		_exit(child_tid == syscall(SYS_getpid) && child_tid == syscall(SYS_gettid) ? 0 : 1);
	CHECK(pid > 0 && parent_tid == pid && child_tid == 0);
	CHECK(waitpid((pid_t)pid, &status, 0) == pid && is_done(status));
	uint64_t args[11] = {[4] = SIGCHLD};
	pid = syscall(CALL_CLONE3, args, 88);
	if (pid == 0)
		_exit(0);
	CHECK(pid > 0 && waitpid((pid_t)pid, &status, 0) == pid && is_done(status));
	/* Without an exit signal only __WALL and __WCLONE see it. */
	pid = syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
	if (pid == 0)
		_exit(0);
	CHECK(pid > 0 && FAILS_WITH(waitpid((pid_t)pid, &status, 0), ECHILD));
	CHECK(waitpid((pid_t)pid, &status, __WCLONE) == pid && is_done(status));
	return true;
}

#define THREAD_FLAGS_RAW                                                                                     \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |                  \
	    CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
static _Atomic int raw_ran;
static int raw_body(void *arg)
{
	raw_ran += *(int *)arg;
	return 0;
}

/* CLEARTID: the word becomes 0 and its waiter is woken when the thread is gone. */
static bool raw_thread(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	static _Atomic pid_t tid;
	int value = 5;
	raw_ran = 0;
	for (int i = 0; i < 50; i++) {
		tid = -1;
		int id = clone(raw_body, stack + sizeof(stack), THREAD_FLAGS_RAW, &value, &tid, NULL, &tid);
		CHECK(id > 0);
		for (pid_t seen; (seen = tid) != 0;)
			futex(&tid, FUTEX_WAIT, (uint32_t)seen, NULL, NULL, 0);
	}
	CHECK(raw_ran == 250);
	return true;
}

/* --- futex --- */

static bool futex_errors(void)
{
	static _Alignas(8) uint32_t w[4];
	struct timespec bad = {0, 1000000000}, minus = {-1, 0}, zero = {0, 0};
	char *odd = (char *)w + 1;
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT, 0, &zero, NULL, 0), ETIMEDOUT));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT_PRIVATE, 0, &zero, NULL, 0), ETIMEDOUT));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT, 0, &minus, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT, 0, (void *)8, NULL, 0), EFAULT));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT_BITSET, 0, &zero, NULL, 1), ETIMEDOUT));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &zero, NULL, 1), ETIMEDOUT));
	CHECK(FAILS_WITH(futex(odd, FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(futex(odd, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(futex((void *)4096, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT));
	CHECK(FAILS_WITH(futex((void *)4096, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT));
	CHECK(FAILS_WITH(futex((void *)4096, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT));
	CHECK(futex((void *)4096, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0);
	CHECK(FAILS_WITH(futex((void *)-4096, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), EFAULT));
	CHECK(futex(w, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
	CHECK(FAILS_WITH(futex(w, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), ENOSYS));
	CHECK(FAILS_WITH(futex(w, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), ENOSYS));
	CHECK(FAILS_WITH(futex(w, FUTEX_REQUEUE, (uint32_t)-1, NULL, w + 1, 0), EINVAL));
	CHECK(FAILS_WITH(futex(w, FUTEX_REQUEUE, 1, (void *)-1, w + 1, 0), EINVAL));
	CHECK(FAILS_WITH(futex(w, FUTEX_CMP_REQUEUE, 1, NULL, w + 1, 1), EAGAIN));
	CHECK(futex(w, FUTEX_CMP_REQUEUE, 1, NULL, w + 1, 0) == 0);
	CHECK(FAILS_WITH(futex(w, FUTEX_CMP_REQUEUE, 1, NULL, odd, 0), EINVAL));
	CHECK(FAILS_WITH(futex(w, 99, 1, NULL, NULL, 0), ENOSYS));
	return true;
}

static bool futex_wake_ops(void)
{
	static uint32_t a, b;
	CHECK(
	    futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_SET, 5, FUTEX_OP_CMP_EQ, 0)) == 0 &&
	    b == 5);
	CHECK(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_ADD, 0xfff, FUTEX_OP_CMP_GT, 0)) ==
		  0 &&
	      b == 4);
	CHECK(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_OR, 3, FUTEX_OP_CMP_NE, 0)) == 0 &&
	      b == 7);
	CHECK(
	    futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_ANDN, 2, FUTEX_OP_CMP_LT, 0)) == 0 &&
	    b == 5);
	CHECK(
	    futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_XOR, 15, FUTEX_OP_CMP_LE, 0)) == 0 &&
	    b == 10);
	CHECK(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b,
		  FUTEX_OP((FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT), 12, FUTEX_OP_CMP_GE, 0)) == 0 &&
	      b == 4096);
	CHECK(FAILS_WITH(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(7, 1, 0, 0)), ENOSYS) &&
	      b == 4096);
	CHECK(
	    FAILS_WITH(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, &b, FUTEX_OP(FUTEX_OP_SET, 1, 9, 0)), ENOSYS) &&
	    b == 1);
	CHECK(FAILS_WITH(futex(&a, FUTEX_WAKE_OP, 1, (void *)1, (void *)4096, 0), EFAULT));
	return true;
}

static bool timeouts(void)
{
	static uint32_t w;
	struct timespec t = {0, 30000000};
	int64_t began = now_ns(CLOCK_MONOTONIC), took;
	CHECK(FAILS_WITH(futex(&w, FUTEX_WAIT, 0, &t, NULL, 0), ETIMEDOUT));
	took = now_ns(CLOCK_MONOTONIC) - began;
	CHECK(took >= 30000000 && took < 5000000000);
	for (int real = 0; real < 2; real++) {
		clockid_t clock = real ? CLOCK_REALTIME : CLOCK_MONOTONIC;
		int64_t until = now_ns(clock) + 30000000;
		t = (struct timespec){until / 1000000000, until % 1000000000};
		CHECK(FAILS_WITH(
		    futex(&w, FUTEX_WAIT_BITSET_PRIVATE | (real ? FUTEX_CLOCK_REALTIME : 0), 0, &t, NULL, 1),
		    ETIMEDOUT));
		took = now_ns(clock) - until;
		CHECK(took >= 0 && took < 5000000000);
	}
	return true;
}

static uint32_t words[2];
static _Atomic unsigned woken;
static void *wait_on_first(void *arg)
{
	uint32_t bit = 1u << (long)arg;
	if (futex(&words[0], FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bit))
		return (void *)1;
	woken++;
	return NULL;
}

/* Move one sleeper to where it is counted, at last. */
static long wake_until(uint32_t *word, uint32_t bits, long want)
{
	long n = 0;
	for (int i = 0; i < 2000 && n < want; i++) {
		long r = futex(word, FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, NULL, NULL, bits);
		n += r > 0 ? r : 0;
		if (n < want)
			nap(1);
	}
	return n;
}

static bool bitsets_and_requeue(void)
{
	pthread_t t[NTHREADS];
	void *result;
	woken = 0;
	for (long i = 0; i < NTHREADS; i++)
		CHECK(pthread_create(&t[i], NULL, wait_on_first, (void *)i) == 0);
	CHECK(wake_until(&words[0], 1, 1) == 1);
	CHECK(pthread_join(t[0], &result) == 0 && !result && woken == 1);
	CHECK(futex(&words[0], FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 1) == 0);
	long moved = 0;
	for (int i = 0; i < 2000 && moved < 3; i++) {
		moved += futex(&words[0], FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)9, &words[1], 0);
		nap(1);
	}
	CHECK(moved == 3 && woken == 1);
	CHECK(futex(&words[0], FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 0);
	CHECK(futex(&words[1], FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 3);
	for (int i = 1; i < NTHREADS; i++)
		CHECK(pthread_join(t[i], &result) == 0 && !result);
	CHECK(woken == NTHREADS);
	return true;
}

/* Two words, sleepers that time out, a mover and a waker: nobody sleeps for ever, nobody is counted twice. */
static _Atomic bool stop;
static _Atomic unsigned slept_through;
static void *sleep_often(void *arg)
{
	struct timespec t = {0, 200000};
	while (!stop)
		if (futex(&words[0], FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0) == 0)
			slept_through++;
	return arg = NULL;
}

static bool requeue_races(void)
{
	pthread_t t[NTHREADS];
	unsigned count = 0;
	stop = false;
	slept_through = 0;
	for (int i = 0; i < NTHREADS; i++)
		CHECK(pthread_create(&t[i], NULL, sleep_often, NULL) == 0);
	for (int i = 0; i < 3000; i++) {
		long r = futex(&words[0], FUTEX_REQUEUE_PRIVATE, 0, (void *)1, &words[1], 0);
		CHECK(r >= 0);
		r = futex(&words[i & 1], FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0);
		CHECK(r >= 0);
		count += (unsigned)r;
	}
	stop = true;
	for (int i = 0; i < NTHREADS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(slept_through == count);
	return true;
}

/* A word in memory that two processes share. */

static bool between_processes(void)
{
	_Atomic uint32_t *w = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	CHECK(w != MAP_FAILED);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) { /* ping */
		for (uint32_t i = 0; i < 500; i++) {
			while (w[0] == i)
				futex((void *)&w[0], FUTEX_WAIT, i, NULL, NULL, 0);
			w[1] = i + 1;
			futex((void *)&w[1], FUTEX_WAKE, 1, NULL, NULL, 0);
		}
		_exit(0);
	}
	CHECK(pid > 0);
	for (uint32_t i = 0; i < 500; i++) {
		w[0] = i + 1;
		futex((void *)&w[0], FUTEX_WAKE, 1, NULL, NULL, 0);
		while (w[1] == i)
			futex((void *)&w[1], FUTEX_WAIT, i, NULL, NULL, 0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && is_done(status));
	CHECK(munmap(w, 4096) == 0);
	return true;
}

/* A robust list that leads in circles, or nowhere, ends nobody but its owner. */
static int hostile_list(void *arg)
{
	static uint64_t head[3], loop[1];
	head[0] = (uint64_t)loop;
	loop[0] = (uint64_t)loop;
	head[1] = arg ? (uint64_t)arg : 4;
	head[2] = (uint64_t)arg;
	return syscall(SYS_set_robust_list, head, sizeof(head)) ? 1 : 0;
}

static bool robust_calls(void)
{
	void *head = NULL;
	size_t size = 0;
	CHECK(FAILS_WITH(syscall(SYS_set_robust_list, NULL, 23), EINVAL));
	CHECK(child_exits(hostile_list, NULL, 0));
	CHECK(child_exits(hostile_list, (void *)0x7fffffffffff1, 0));
	CHECK(child_exits(hostile_list, (void *)-8L, 0));
	CHECK(syscall(SYS_get_robust_list, 0, &head, &size) == 0 && size == 24);
	CHECK(FAILS_WITH(syscall(SYS_get_robust_list, 0, NULL, &size), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_get_robust_list, 99999999, &head, &size), ESRCH));
	return true;
}

/* --- the rest --- */

static bool affinity(void)
{
	unsigned long mask[16] = {0}, one = 1, none = 0;
	long n = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
	CHECK(n >= 8 && n % 8 == 0 && (mask[0] & 1));
	CHECK(FAILS_WITH(syscall(SYS_sched_getaffinity, 0, 9, mask), EINVAL));
	CHECK(FAILS_WITH(syscall(SYS_sched_getaffinity, 99999999, sizeof(mask), mask), ESRCH));
	CHECK(FAILS_WITH(syscall(SYS_sched_setaffinity, 0, 8, &none), EINVAL));
	CHECK(syscall(SYS_sched_setaffinity, 0, 8, &one) == 0);
	unsigned cpu = 7, node = 7;
	sched_yield();
	CHECK(syscall(SYS_getcpu, &cpu, &node, NULL) == 0 && cpu == 0 && node == 0);
	CHECK(syscall(SYS_sched_setaffinity, 0, 8, mask) == 0);
	return true;
}

static bool names(void)
{
	char name[17] = {0};
	CHECK(prctl(PR_SET_NAME, "a name that is too long") == 0);
	CHECK(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "a name that is ") == 0);
	CHECK(
	    prctl(PR_SET_NAME, "uthread") == 0 && prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "uthread"));
	CHECK(FAILS_WITH(prctl(PR_SET_NAME, 16), EFAULT));
	CHECK(FAILS_WITH(prctl(99999, 0), EINVAL));
	return true;
}

/* Two words that two threads write and read without fences but for the call: never both old. */
static _Atomic uint32_t left, right, left_saw, rounds;
static void *fast_side(void *arg)
{
	for (uint32_t i = 1; i <= 300; i++) {
		while (atomic_load(&rounds) < i)
			;
		atomic_store_explicit(&left, i, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		left_saw = atomic_load_explicit(&right, memory_order_relaxed) | 0x80000000u;
		while (left_saw)
			;
	}
	return arg;
}
static int unregistered(void *arg)
{
	(void)arg;
	return FAILS_WITH(syscall(CALL_MEMBARRIER, 8, 0, 0), EPERM) ? 0 : 1;
}
static bool membarrier(void)
{
	pthread_t t;
	long commands = syscall(CALL_MEMBARRIER, 0, 0, 0);
	CHECK(commands > 0 && (commands & 24) == 24);
	CHECK(FAILS_WITH(syscall(CALL_MEMBARRIER, 0, 77, 0), EINVAL));
	CHECK(FAILS_WITH(syscall(CALL_MEMBARRIER, 1 << 30, 0, 0), EINVAL));
	CHECK(child_exits(unregistered, NULL, 0));
	CHECK(syscall(CALL_MEMBARRIER, 16, 0, 0) == 0);
	CHECK(pthread_create(&t, NULL, fast_side, NULL) == 0);
	for (uint32_t i = 1; i <= 300; i++) {
		rounds = i;
		atomic_store_explicit(&right, i, memory_order_relaxed);
		CHECK(syscall(CALL_MEMBARRIER, 8, 0, 0) == 0);
		uint32_t saw = atomic_load_explicit(&left, memory_order_relaxed), other;
		while (!(other = left_saw))
			sched_yield();
		CHECK(saw == i || (other & 0x7fffffffu) == i);
		left_saw = 0;
	}
	CHECK(pthread_join(t, NULL) == 0);
	return true;
}

static const struct utest tests[] = {
    {"a thousand threads, one after another", create_and_join},
    {"a mutex and four threads", mutex_contention},
    {"a condition, in turns", condition_turns},
    {"a barrier", barriers},
    {"a reader-writer lock", rwlocks},
    {"thread-local storage", thread_local_storage},
    {"robust mutexes outlive their owner", robust_mutex},
    {"thread ids", thread_ids},
    {"exit and exit_group", exits},
    {"exec from a thread", exec_of_threads},
    {"vfork", vfork_and_exec},
    {"clone refuses", clone_errors},
    {"clone like fork", clone_like_fork},
    {"threads by hand", raw_thread},
    {"futex errors", futex_errors},
    {"futex operations", futex_wake_ops},
    {"futex timeouts", timeouts},
    {"futex bitsets and requeue", bitsets_and_requeue},
    {"futex requeue races with timeouts", requeue_races},
    {"futex between processes", between_processes},
    {"robust list calls", robust_calls},
    {"affinity", affinity},
    {"names", names},
    {"membarrier", membarrier},
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "exit"))
		return 43;
	if (argc > 2 && !strcmp(argv[1], "exec"))
		return getpid() == atoi(argv[2]) && syscall(SYS_gettid) == getpid() ? 42 : 1;
	if (argc > 0 && argv[0][0] == '/')
		self_path = argv[0];
	return UTEST_RUN(tests);
}
