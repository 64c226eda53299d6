/*
 * test_spinlock.c - spinlocks over the host port's CPUs: exclusion, who goes first, tries, and the rank
 * checker.
 *
 * Run under ThreadSanitizer as well: the counters below are plain variables, so a lock that does not order
 * memory shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "kern/spinlock.h"
#include "machine/host.h"

enum { CPUS = 4, ROUNDS = 3000 };

static struct spinlock lock = SPINLOCK_INIT("test", RANK_OBJECT);
static uint64_t counter;
static unsigned inside;
static _Atomic uint64_t tries_won;

static void add(void *arg, unsigned i)
{
	(void)arg;
	(void)i;
	for (int n = 0; n < ROUNDS; n++) {
		spin_lock(&lock);
		assert_int_equal(inside++, 0);
		assert_true(spin_is_held(&lock));
		counter++;
		inside--;
		spin_unlock(&lock);
	}
}

static void exclusion(void **state)
{
	(void)state;
	counter = 0;
	host_run_cpus(CPUS, add, NULL);
	assert_int_equal(counter, CPUS * ROUNDS);
	assert_int_equal(load_relaxed(&lock.word), 0);
	assert_int_equal(preempt_count(), 0);
}

static void add_or_not(void *arg, unsigned i)
{
	(void)arg;
	(void)i;
	for (int n = 0; n < ROUNDS; n++) {
		if (!spin_trylock(&lock)) {
			assert_int_equal(preempt_count(), 0);
			continue;
		}
		assert_int_equal(preempt_count(), 1);
		assert_int_equal(inside++, 0);
		counter++;
		inside--;
		spin_unlock(&lock);
		fetch_add_relaxed(&tries_won, 1);
	}
}

static void tries(void **state)
{
	(void)state;
	counter = 0;
	store_relaxed(&tries_won, 0);
	spin_lock(&lock);
	assert_false(spin_trylock(&lock));
	assert_int_equal(preempt_count(), 1);
	spin_unlock(&lock);
	host_run_cpus(CPUS, add_or_not, NULL);
	assert_int_equal(counter, load_relaxed(&tries_won));
	assert_true(counter > 0);
	assert_true(spin_trylock(&lock));
	spin_unlock(&lock);
}

static void interrupt_state(void **state)
{
	struct spinlock irq_lock, inner;

	(void)state;
	spin_init(&irq_lock, "irq", RANK_IRQ);
	spin_init(&inner, "inner", RANK_WAITQ);
	assert_true(irq_is_enabled());
	uint64_t outer_state = spin_lock_irqsave(&irq_lock);
	assert_false(irq_is_enabled());
	uint64_t inner_state = spin_lock_irqsave(&inner);
	spin_unlock_irqrestore(&inner, inner_state);
	assert_false(irq_is_enabled());
	spin_unlock_irqrestore(&irq_lock, outer_state);
	assert_true(irq_is_enabled());
	assert_int_equal(preempt_count(), 0);
}

/* CPU 0 wants the lock as often as others do who never let go of it for longer than a moment. */
static _Atomic bool fed;

static void eat_or_hog(void *arg, unsigned i)
{
	(void)arg;
	for (int n = 0; i == 0 ? n < ROUNDS / 10 : !load_acquire(&fed); n++) {
		spin_lock(&lock);
		assert_int_equal(inside++, 0);
		inside--;
		spin_unlock(&lock);
	}
	if (i == 0)
		store_release(&fed, true);
}

static void nobody_starves(void **state)
{
	(void)state;
	store_relaxed(&fed, false);
	host_run_cpus(CPUS, eat_or_hog, NULL);
	assert_int_equal(load_relaxed(&lock.word), 0);
}

/* Who is hungry but not there is not waited for. */
static void politeness_ends(void **state)
{
	(void)state;
	store_relaxed(&lock.word, SPIN_HUNGRY);
	spin_lock(&lock);
	assert_int_equal(load_relaxed(&lock.word), SPIN_HUNGRY | SPIN_TAKEN);
	assert_false(spin_trylock(&lock));
	spin_unlock(&lock);
	assert_true(spin_trylock(&lock));
	spin_unlock(&lock);
	assert_int_equal(load_relaxed(&lock.word), SPIN_HUNGRY);
	store_relaxed(&lock.word, 0);
}

/* A waiter becomes hungry, and is not any more once it has the lock. */
static void hold_until_hungry(void *arg, unsigned i)
{
	(void)arg;
	if (i == 0) {
		spin_lock(&lock);
		store_release(&fed, true);
		while (load_acquire(&lock.word) != (SPIN_HUNGRY | SPIN_TAKEN))
			cpu_relax();
		spin_unlock(&lock);
		return;
	}
	while (!load_acquire(&fed))
		cpu_relax();
	spin_lock(&lock);
	assert_int_equal(load_relaxed(&lock.word), SPIN_TAKEN);
	spin_unlock(&lock);
}

static void waiting_makes_hungry(void **state)
{
	(void)state;
	store_relaxed(&fed, false);
	host_run_cpus(2, hold_until_hungry, NULL);
	assert_int_equal(load_relaxed(&lock.word), 0);
}

#ifdef CONFIG_DEBUG
static struct spinlock low = SPINLOCK_INIT("lowlock", RANK_OBJECT);
static struct spinlock high = SPINLOCK_INIT("highlock", RANK_ZONE);
static struct spinlock twin = SPINLOCK_INIT("twinlock", RANK_OBJECT);
static struct spinlock free_rank = SPINLOCK_INIT("unranked", RANK_NONE);
static struct spinlock handler = SPINLOCK_INIT("handlerlock", RANK_IRQ);

static void inversion(void *arg)
{
	(void)arg;
	spin_lock(&high);
	spin_lock(&low);
}

static void equal_ranks(void *arg)
{
	(void)arg;
	spin_lock(&low);
	spin_lock(&twin);
}

static void twice(void *arg)
{
	spin_lock(arg);
	spin_lock_nested(arg);
}

static void foreign_release(void *arg)
{
	(void)arg;
	spin_unlock(&low);
}

static void interrupts_on(void *arg)
{
	(void)arg;
	spin_lock(&handler);
}

static void checker_panics(void **state)
{
	(void)state;
	assert_true(host_panics(inversion, NULL, "lowlock (rank 20)"));
	assert_true(host_panics(inversion, NULL, "while highlock (rank 44), taken at 0x"));
	assert_true(host_panics(equal_ranks, NULL, "twinlock (rank 20)"));
	assert_true(host_panics(twice, &low, "lowlock"));
	assert_true(host_panics(twice, &free_rank, "unranked"));
	assert_true(host_panics(foreign_release, NULL, "does not hold it"));
	assert_true(host_panics(interrupts_on, NULL, "interrupts enabled"));
}

static void checker_answers(void **state)
{
	(void)state;
	assert_false(spin_rank_would_invert(&low));
	spin_lock(&low);
	assert_true(spin_rank_would_invert(&low));
	assert_true(spin_rank_would_invert(&twin));
	assert_false(spin_rank_would_invert(&high));
	assert_false(spin_rank_would_invert(&free_rank));
	spin_lock_nested(&twin);
	spin_lock(&high);
	assert_int_equal(this_cpu()->nlocks, 3);
	assert_true(spin_rank_would_invert(&low));
	/* Out of order: what is left still counts. */
	spin_unlock(&low);
	assert_true(spin_rank_would_invert(&low));
	spin_unlock(&high);
	assert_true(spin_rank_would_invert(&low));
	spin_unlock(&twin);
	assert_false(spin_rank_would_invert(&low));
	assert_int_equal(this_cpu()->nlocks, 0);
	/* A try against the order is allowed, and recorded. */
	spin_lock(&high);
	assert_true(spin_trylock(&low));
	assert_int_equal(this_cpu()->nlocks, 2);
	spin_unlock(&low);
	spin_unlock(&high);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exclusion),
	    cmocka_unit_test(tries),
	    cmocka_unit_test(interrupt_state),
	    cmocka_unit_test(nobody_starves),
	    cmocka_unit_test(politeness_ends),
	    cmocka_unit_test(waiting_makes_hungry),
#ifdef CONFIG_DEBUG
	    cmocka_unit_test(checker_panics),
	    cmocka_unit_test(checker_answers),
#endif
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	host_init(1024);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
