/*
 * kbench.c - what the memory core costs, in ticks of the time-stamp counter: `test=bench` on the command
 * line.
 *
 * Run in instruction-count mode, where a tick is an instruction and the figures repeat exactly;
 * bench/bench.py does, and knows their limits. Each figure is the smallest of several runs, less what an
 * empty loop costs. User-mode figures come from ubench.c.
 */
#include "ktest.h"
#include "arch/cpu.h"
#include "kern/log.h"
#include "mm/frame.h"
#include "vm/object.h"
#include "vm/page_tree.h"

enum { RUNS = 16, LOOPS = 64, PAGES = 1 << 20, LOOKUP_PAGES = 64 * 64 * 64 };

/* Ticks of one execution of `body`, loop and `empty` taken off. `empty` is what the caller does in any case:
 * arguments in place, a result taken up. */
#define COST(body, empty) ((least_of(body) - least_of(empty)) / LOOPS)
#define least_of(statement)                                                                                  \
	({                                                                                                   \
		uint64_t least_ = UINT64_MAX;                                                                \
		for (int run_ = 0; run_ < RUNS; run_++) {                                                    \
			uint64_t start_ = cpu_cycles();                                                      \
			for (int i_ = 0; i_ < LOOPS; i_++) {                                                 \
				statement;                                                                   \
			}                                                                                    \
			least_ = MIN(least_, cpu_cycles() - start_);                                         \
		}                                                                                            \
		least_;                                                                                      \
	})

static void figure(const char *name, uint64_t value)
{
	log_print(LOG_NOTICE, "bench", "%s = %llu", name, (unsigned long long)value);
}

/* A call that does nothing, seen from its caller: two arguments, a result. */
#define PREPARED_CALL(a, b)                                                                                  \
	({                                                                                                   \
		uint64_t a_ = (a), b_ = (b);                                                                 \
		void *result_;                                                                               \
		__asm__ volatile("" : "=a"(result_), "+D"(a_), "+S"(b_) : : "memory");                       \
		result_;                                                                                     \
	})

KTEST(bench_frame_pair)
{
	/* One frame is there: the pair goes through the CPU's cache. */
	struct page *p = frame_alloc(PAGE_KERNEL, 0);
	KT_REQUIRE(p);
	frame_free(p);
	figure("frame_alloc and frame_free", COST(frame_free(frame_alloc(PAGE_KERNEL, 0)),
						 __asm__ volatile(""
								  :
								  : "D"(PREPARED_CALL(PAGE_KERNEL, 0))
								  : "memory")));
}

KTEST(bench_zeroing)
{
	struct page *p = frame_alloc(PAGE_KERNEL, 0);
	KT_REQUIRE(p);
	figure("zeroing a frame", COST(memset(page_to_virt(p), 0, PAGE_SIZE), compiler_barrier()));
	frame_free(p);
}

/* An object with pages [0, n), all of them the same frame. NULL: no memory. */
static struct vm_object *object_of(pgidx_t n)
{
	struct vm_object *o;
	struct page *p = frame_alloc(PAGE_ANON, FRAME_ZERO);
	err_t err = p ? object_create_anon(VM_PRIVATE, 0, NULL, &o) : -ENOMEM;

	if (err) {
		if (p)
			frame_free(p);
		return NULL;
	}
	spin_lock(&o->lock);
	for (pgidx_t i = 0; i < n && !err; i++) {
		struct page_slot slot;
		err = page_tree_own(&o->tree, i, NULL, &slot);
		if (!err)
			page_slot_fill(slot, p);
	}
	spin_unlock(&o->lock);
	if (!err)
		return o;
	object_put(o);
	return NULL;
}

KTEST(bench_lookup)
{
	struct vm_object *o = object_of(LOOKUP_PAGES);
	KT_REQUIRE(o);
	KT_CHECK_EQ(o->tree.root->level, 2); /* three levels: 0, 1, 2 */
	const struct page_tree *tree = &o->tree;
	pgidx_t index = 123456;
	figure("page_tree_lookup at height 3", COST(
						   {
							   __asm__ volatile("" : "+r"(tree), "+r"(index));
							   struct page *found = page_tree_lookup(tree, index);
							   __asm__ volatile("" : : "r"(found));
						   },
						   __asm__ volatile(""
								    : "+r"(tree), "+r"(index))));
	object_put(o);
}

/* Ticks to clone o and to put the clone, the smallest of several runs. */
static void clone_and_put(struct vm_object *o, uint64_t *clone, uint64_t *put)
{
	*clone = *put = UINT64_MAX;
	for (int run = 0; run < RUNS; run++) {
		struct vm_object *copy;
		uint64_t start = cpu_cycles();
		err_t err = object_clone(o, &copy);
		uint64_t cloned = cpu_cycles();
		KT_REQUIRE(!err);
		object_put(copy);
		uint64_t end = cpu_cycles();
		*clone = MIN(*clone, cloned - start);
		*put = MIN(*put, end - cloned);
	}
}

KTEST_LONG(bench_clone, 300)
{
	uint64_t clone, put;
	struct vm_object *small = object_of(1), *large = object_of(PAGES);

	if (small && large) {
		clone_and_put(small, &clone, &put);
		figure("clone of 1 page", clone);
		figure("destroy of a clone of 1 page", put);
		clone_and_put(large, &clone, &put);
		figure("clone of 1M pages", clone);
		figure("destroy of a clone of 1M pages", put);
	}
	KT_CHECK(small && large);
	if (small)
		object_put(small);
	if (large)
		object_put(large);
}
