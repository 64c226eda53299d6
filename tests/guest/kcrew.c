/* kcrew.c - see crew.h. */
#include "crew.h"
#include "ktest.h"
#include "arch/clock.h"
#include "kern/sched.h"
#include "lib/bits.h"
#include "mm/kva.h"
#include "mm/slab.h"

static void worker_main(void *arg)
{
	struct worker *w = arg;
	w->fn(w);
}

struct worker *worker_create(void (*fn)(struct worker *), void *shared, unsigned i)
{
	struct worker *w = kzalloc(sizeof(*w));
	vaddr_t stack = w ? kva_alloc_stack() : 0;

	if (!stack) {
		kfree(w);
		return NULL;
	}
	w->fn = fn;
	w->shared = shared;
	w->i = i;
	thread_init(&w->thread, "worker", stack, KSTACK_PAGES * PAGE_SIZE, worker_main, w);
	return w;
}

void worker_free(struct worker *w)
{
	arch_thread_fini(&w->thread);
	kva_free_stack(w->thread.stack);
	kfree(w);
}

uint64_t worker_join(struct worker *w)
{
	thread_join(&w->thread);
	KT_CHECK_EQ(load_relaxed(&w->thread.state), THREAD_DEAD);
	uint64_t result = w->result;
	worker_free(w);
	return result;
}

void crew_join(struct crew *c)
{
	for (unsigned i = 0; i < c->n; i++)
		worker_join(c->w[i]);
	sched_validate();
}

bool crew_create(struct crew *c, unsigned n, void (*fn)(struct worker *), void *shared)
{
	for (c->n = 0; c->n < n; c->n++) {
		c->w[c->n] = worker_create(fn, shared, c->n);
		if (!c->w[c->n]) {
			while (c->n--)
				worker_free(c->w[c->n]);
			return false;
		}
	}
	return true;
}

void crew_start(struct crew *c)
{
	for (unsigned i = 0; i < c->n; i++)
		thread_start(&c->w[i]->thread);
}

bool crew_run(unsigned n, void (*fn)(struct worker *), void *shared)
{
	struct crew c;

	if (!crew_create(&c, n, fn, shared))
		return false;
	crew_start(&c);
	crew_join(&c);
	return true;
}

unsigned crew_size(void)
{
	return MIN(2 * cpus_count(), (unsigned)WORKERS_MAX);
}

uint32_t here(void)
{
	preempt_disable();
	uint32_t cpu = cpu_id();
	preempt_enable();
	return cpu;
}

void pause_ns(nsec_t ns)
{
	KT_CHECK_EQ(thread_sleep_until(clock_now() + ns), 0);
}

uint32_t last_cpu(void)
{
	return bit_highest(cpus_online());
}

bool wait_for(_Atomic uint32_t *flag, uint32_t value)
{
	for (nsec_t end = clock_now() + SECONDS(20); load_acquire(flag) != value;) {
		if (clock_now() > end)
			return false;
		pause_ns(MS);
	}
	return true;
}
