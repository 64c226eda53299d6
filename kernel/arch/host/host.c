/*
 * host.c - the host as a port: memory, CPUs, panic, clock, log.
 *
 * A CPU is a POSIX thread. Its struct cpu is the real one (so that the rank checker and preemption counts
 * work), found through a thread-local pointer. It also is a struct thread, because usercopy and the sleeping
 * locks ask for current_thread(). Nothing is ever preempted by the kernel; the host's scheduler preempts
 * anywhere, which is worse than any interrupt.
 *
 * Threads that do not call host_cpu_enter() become the lowest free CPU at their first use of this_cpu() and
 * leave through a thread-specific destructor, so that tests can use plain pthread_create.
 */
#include <execinfo.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arch/clock.h"
#include "arch/host/host.h"
#include "kern/log.h"
#include "kern/random.h"
#include "lib/printf.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "vm/commit.h"
#include "vm/page_tree.h"
#include "vm/space.h"

char *host_ram;
struct page *page_records;
struct cpu cpus[MAX_CPUS];
void (*host_panic_hook)(void);
int host_log_level = -1;
unsigned host_chaos;

static uint64_t nframes_total;
static struct thread threads[MAX_CPUS];
static _Atomic uint64_t online;
static _Atomic uint64_t last_serial;
static _Thread_local struct cpu *me;
static pthread_key_t leave_key;
static pthread_once_t leave_once = PTHREAD_ONCE_INIT;
static int panic_fd = STDERR_FILENO; /* where panic() writes: a pipe in the child of host_panics */

/* ---------------------------------------------------------------- memory */

static void *reserve(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		perror("host: mmap");
		exit(1);
	}
	return p;
}

void host_memory_init(uint64_t nframes)
{
	ASSERT(!host_ram && nframes > HOST_RESERVED_FRAMES);
	nframes_total = nframes;
	host_ram = reserve(nframes << PAGE_SHIFT);
	page_records = reserve(nframes * sizeof(struct page));
	for (uint64_t i = 0; i < HOST_RESERVED_FRAMES; i++)
		page_set_kind(&page_records[i], PAGE_RESERVED, 0);
	tlb_init(nframes);
}

void host_init(uint64_t nframes)
{
	host_memory_init(nframes);
	host_cpu_enter(0);
	zero_page = pfn_to_page(1);
	frame_add_range(HOST_RESERVED_FRAMES, nframes);
	slab_init();
	err_t err = mmu_init(&kernel_mmu);
	ASSERT(err == 0);
	vm_init();
	commit_set_mode(COMMIT_ALWAYS); /* tests map more than there is; those of the limits say so */
}

uint64_t host_nframes(void)
{
	return nframes_total;
}

/* ---------------------------------------------------------------- CPUs */

static void leave(void *unused UNUSED)
{
	if (me)
		host_cpu_exit();
}

static void make_leave_key(void)
{
	pthread_key_create(&leave_key, leave);
}

static void cpu_start(uint32_t id)
{
	struct cpu *c = &cpus[id];
	struct thread *t = &threads[id];

	memset(c, 0, sizeof(*c));
	memset(t, 0, sizeof(*t));
	c->self = c;
	c->id = id;
	c->current = t;
	t->cpu = id;
	t->serial = fetch_add_relaxed(&last_serial, 1) + 1;
	t->state = THREAD_RUNNING;
	snprintf(t->name, sizeof(t->name), "cpu%u", id);
	list_init(&t->wait_link);
	me = c;
	tlb_cpu_start(id);
	pthread_once(&leave_once, make_leave_key);
	pthread_setspecific(leave_key, c);
}

void host_cpu_enter(uint32_t id)
{
	ASSERT(!me && id < MAX_CPUS);
	uint64_t old = fetch_or_acq_rel(&online, 1ULL << id);
	ASSERT(!(old >> id & 1));
	cpu_start(id);
}

static NOINLINE void enter_any(void)
{
	uint64_t old = load_relaxed(&online);
	uint32_t id;

	do {
		ASSERT(~old != 0);
		id = (uint32_t)__builtin_ctzll(~old);
	} while (!cas_acq_rel(&online, &old, old | 1ULL << id));
	cpu_start(id);
}

void host_cpu_exit(void)
{
	struct cpu *c = me;

	ASSERT(c->preempt == 0);
	tlb_cpu_stop();
	me = NULL;
	fetch_and_acq_rel(&online, ~(1ULL << c->id));
}

void host_cpu_idle(void)
{
	(void)this_cpu();
	tlb_cpu_idle();
}

void host_cpu_resume(void)
{
	tlb_cpu_resume();
}

struct run {
	void (*fn)(void *arg, unsigned i);
	void *arg;
	unsigned i;
	pthread_barrier_t *start; /* all begin together */
};

static void *run_one(void *p)
{
	struct run *r = p;

	host_cpu_enter(r->i + 1);
	pthread_barrier_wait(r->start);
	r->fn(r->arg, r->i);
	slab_shrink_all(); /* what this CPU keeps in its caches goes back, so that tests can count */
	frame_drain_cpu();
	host_cpu_exit();
	return NULL;
}

void host_run_cpus(unsigned n, void (*fn)(void *arg, unsigned i), void *arg)
{
	struct run runs[MAX_CPUS];
	pthread_t ids[MAX_CPUS];
	pthread_barrier_t start;

	ASSERT(n > 0 && n < MAX_CPUS);
	pthread_barrier_init(&start, NULL, n);
	host_cpu_idle();
	for (unsigned i = 0; i < n; i++) {
		runs[i] = (struct run){fn, arg, i, &start};
		if (pthread_create(&ids[i], NULL, run_one, &runs[i]))
			abort();
	}
	for (unsigned i = 0; i < n; i++)
		pthread_join(ids[i], NULL);
	pthread_barrier_destroy(&start);
	host_cpu_resume();
}

void host_use_space(struct vm_space *s)
{
	struct thread *t = current_thread();

	t->space = s;
	t->mmu = s ? &s->mmu : NULL;
	uint64_t state = irq_save();
	mmu_switch(t->mmu);
	irq_restore(state);
}

struct cpu *this_cpu(void)
{
	if (unlikely(!me))
		enter_any();
	return me;
}

struct thread *current_thread(void)
{
	return this_cpu()->current;
}

uint32_t cpu_id(void)
{
	return this_cpu()->id;
}

/* Where a lock is about to be taken or has just been given back, an interrupt may arrive and others may run.
 */
static NOINLINE void chaos(void)
{
	static _Thread_local uint32_t state;

	state = (state ? state : cpu_id() + 1) * 1664525 + 1013904223;
	if ((state >> 8) % host_chaos)
		return;
	if (irq_is_enabled())
		cpu_poll_requests();
	sched_yield();
}

void preempt_count_add(int n)
{
	struct cpu *c = this_cpu();

	ASSERT(n > 0 || c->preempt > 0);
	c->preempt += (uint32_t)n;
	if (unlikely(host_chaos))
		chaos();
}

uint32_t preempt_count(void)
{
	return this_cpu()->preempt;
}

void preempt_check(void)
{
}

uint64_t irq_save(void)
{
	struct cpu *c = this_cpu();
	bool was = c->arch.irqs_disabled;

	c->arch.irqs_disabled = true;
	return was;
}

void irq_restore(uint64_t state)
{
	this_cpu()->arch.irqs_disabled = state;
	if (!state)
		cpu_poll_requests();
}

void irq_enable(void)
{
	irq_restore(0);
}

void irq_disable(void)
{
	(void)irq_save();
}

bool irq_is_enabled(void)
{
	return !this_cpu()->arch.irqs_disabled;
}

void cpu_relax(void)
{
	cpu_poll_requests();
	sched_yield();
}

void cpu_wait_irq(void)
{
	irq_enable();
	sched_yield();
}

void cpu_send_resched(uint32_t cpu)
{
	store_release(&cpus[cpu].need_resched, 1);
}

uint64_t cpus_online(void)
{
	return load_acquire(&online);
}

unsigned cpus_count(void)
{
	return (unsigned)__builtin_popcountll(cpus_online());
}

/* ---------------------------------------------------------------- time, log, the end */

nsec_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (nsec_t)ts.tv_sec * 1000000000 + (nsec_t)ts.tv_nsec;
}

void clock_delay(nsec_t ns)
{
	for (nsec_t end = clock_now() + ns; clock_now() < end;)
		cpu_relax();
}

void host_wait(nsec_t *since, const char *what)
{
	cpu_relax();
	if (!*since)
		*since = clock_now();
	else if (clock_now() - *since > 120ULL * 1000000000)
		panic("host: waited two minutes for %s", what);
}

/* Weak: a test of kern/log.c links the real one. */
__attribute__((weak)) void log_vprint(
    enum log_level level, const char *subsystem, const char *fmt, va_list args)
{
	char text[512];

	if ((int)level > host_log_level)
		return;
	format_va(text, sizeof(text), fmt, args);
	fprintf(stderr, "# %s: %s\n", subsystem, text);
}

__attribute__((weak)) void log_print(enum log_level level, const char *subsystem, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_vprint(level, subsystem, fmt, args);
	va_end(args);
}

/* Weak as well: nothing is kept here, so there is nothing to read. */
__attribute__((weak)) err_t log_read(uint64_t *seq, struct log_record *out, uint64_t *lost)
{
	(void)seq, (void)out, (void)lost;
	return -EAGAIN;
}

/* Weak: a test of kern/random.c links the real one. */
__attribute__((weak)) void random_bytes(void *buf, size_t n)
{
	uint8_t *p = buf;

	for (size_t done = 0; done < n;) {
		size_t part = n - done < 256 ? n - done : 256;
		if (getentropy(p + done, part))
			abort();
		done += part;
	}
}

void panic(const char *fmt, ...)
{
	char text[1024];
	void *frames[32];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	dprintf(panic_fd, "# panic (cpu %d): %s\n", me ? (int)me->id : -1, text);
	if (panic_fd != STDERR_FILENO)
		_exit(95);
	backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
	if (host_panic_hook)
		host_panic_hook();
	abort();
}

void machine_halt(bool clean)
{
	exit(clean ? 0 : 1);
}

bool host_panics(void (*fn)(void *arg), void *arg, const char *needle)
{
	char text[1100] = "";
	int fds[2], status = 0;
	size_t used = 0;
	ssize_t n;

	fflush(NULL);
	if (pipe(fds))
		abort();
	pid_t pid = fork();
	if (pid == 0) {
		panic_fd = fds[1];
		fn(arg);
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	close(fds[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 95 && strstr(text, needle);
}
