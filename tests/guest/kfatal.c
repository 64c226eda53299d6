/*
 * kfatal.c - what must end in a panic, and does: each of these is run alone (`test=fatal_...`, never part of
 * `all`) in a configuration that expects the panic and looks for its words (tests/run/fatal-*.case).
 */
#include "ktest.h"
#include "arch/cpu.h"
#include "kern/spinlock.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/slab.h"

/* Not known to the compiler, so that it neither warns nor optimises. */
static volatile uint64_t zero;

KTEST(fatal_panic)
{
	panic("on purpose, %d", 42);
}

KTEST(fatal_null)
{
	*(volatile uint32_t *)zero = 1;
}

/* Interrupts are off: nothing but an NMI reaches this CPU. */
KTEST(fatal_hang)
{
	irq_disable();
	while (!zero)
		cpu_relax();
}

KTEST_LONG(fatal_slow, 1)
{
	while (!zero)
		cpu_relax();
}

static NOINLINE uint64_t recurse(uint64_t n)
{
	volatile char frame[512];
	frame[n % sizeof(frame)] = (char)n;
	return zero ? n : recurse(n + 1) + (uint64_t)frame[0];
}

KTEST(fatal_stack_overflow)
{
	zero = recurse(0);
}

KTEST(fatal_text_write)
{
	*(volatile char *)(vaddr_t)recurse = 0;
}

KTEST(fatal_leak)
{
	KT_REQUIRE(frame_alloc(PAGE_KERNEL, 0));
}

#ifdef CONFIG_DEBUG
static struct spinlock low = SPINLOCK_INIT("low", RANK_MMU), high = SPINLOCK_INIT("high", RANK_ZONE);

KTEST(fatal_lock_order)
{
	spin_lock(&high);
	spin_lock(&low);
}

KTEST(fatal_double_free)
{
	void *p = kmalloc(100);
	kfree(p);
	kfree(p);
	KT_CHECK(p == NULL); /* not reached; and no tail call, so that the backtrace has this function */
}
#endif

#ifdef CONFIG_KASAN
static char global[13];

KTEST(fatal_kasan_global)
{
	((volatile char *)global)[zero + sizeof(global)] = 1;
}

KTEST(fatal_kasan_stack)
{
	volatile char local[13];
	local[zero] = 0;
	((volatile char *)local)[zero + sizeof(local)] = 1;
}

KTEST(fatal_kasan_heap)
{
	volatile char *p = kmalloc(100);
	KT_REQUIRE(p);
	p[zero + 100] = 1;
}

KTEST(fatal_kasan_use_after_free)
{
	volatile char *p = kmalloc(100);
	KT_REQUIRE(p);
	kfree((void *)p);
	p[zero] = 1;
}

KTEST(fatal_kasan_frame)
{
	struct page *p = frame_alloc(PAGE_KERNEL, 0);
	KT_REQUIRE(p);
	frame_free(p);
	*(volatile uint64_t *)page_to_virt(p) = 1;
}

KTEST(fatal_kasan_copy)
{
	char *p = kmalloc(100), *q = kmalloc(200);
	KT_REQUIRE(p && q);
	memcpy(q, p, zero + 101);
}
#endif

#ifdef CONFIG_UBSAN
KTEST(fatal_ubsan_overflow)
{
	int n = INT32_MAX - (int)zero;
	zero = (uint64_t)(n + 1);
}

KTEST(fatal_ubsan_shift)
{
	zero = 1u << (zero + 32);
}

KTEST(fatal_ubsan_bounds)
{
	volatile int a[4] = {1, 2, 3, 4};
	zero = (uint64_t)a[zero + 4];
}

KTEST(fatal_ubsan_null)
{
	struct page *p = (struct page *)zero;
	zero = p->index;
}
#endif
