#pragma once
/*
 * atomic.h - C11 atomics under names that say what is ordered. Fields are declared _Atomic; plain `=` and
 * `++` on them would be sequentially consistent and are not used: every access names its order.
 */
#include <stdatomic.h>
#include "lib/types.h"

#define load_relaxed(p)         atomic_load_explicit(p, memory_order_relaxed)
#define load_acquire(p)         atomic_load_explicit(p, memory_order_acquire)
#define store_relaxed(p, v)     atomic_store_explicit(p, v, memory_order_relaxed)
#define store_release(p, v)     atomic_store_explicit(p, v, memory_order_release)
#define store_seq_cst(p, v)     atomic_store_explicit(p, v, memory_order_seq_cst)
#define fetch_add_relaxed(p, v) atomic_fetch_add_explicit(p, v, memory_order_relaxed)
#define fetch_add_acq_rel(p, v) atomic_fetch_add_explicit(p, v, memory_order_acq_rel)
#define fetch_sub_relaxed(p, v) atomic_fetch_sub_explicit(p, v, memory_order_relaxed)
#define fetch_sub_release(p, v) atomic_fetch_sub_explicit(p, v, memory_order_release)
#define fetch_sub_acq_rel(p, v) atomic_fetch_sub_explicit(p, v, memory_order_acq_rel)
#define fetch_or_acq_rel(p, v)  atomic_fetch_or_explicit(p, v, memory_order_acq_rel)
#define fetch_and_acq_rel(p, v) atomic_fetch_and_explicit(p, v, memory_order_acq_rel)
#define exchange_acq_rel(p, v)  atomic_exchange_explicit(p, v, memory_order_acq_rel)
/* Strong compare-exchange, acquire on success; *old is updated on failure. */
#define cas_acquire(p, old, v)                                                                               \
	atomic_compare_exchange_strong_explicit(p, old, v, memory_order_acquire, memory_order_relaxed)
#define cas_acq_rel(p, old, v)                                                                               \
	atomic_compare_exchange_strong_explicit(p, old, v, memory_order_acq_rel, memory_order_relaxed)
/* In the one total order of all sequentially consistent accesses: for `write mine, then look at yours` on
 * both sides. */
#define load_seq_cst(p) atomic_load_explicit(p, memory_order_seq_cst)
#define cas_seq_cst(p, old, v)                                                                               \
	atomic_compare_exchange_strong_explicit(p, old, v, memory_order_seq_cst, memory_order_seq_cst)
#define fence_acquire() atomic_thread_fence(memory_order_acquire)
#ifdef __SANITIZE_THREAD__ /* which knows no fences: a word that everybody touches orders them as well */
extern _Atomic uint32_t fence_word;
#define fence_seq_cst() ((void)atomic_fetch_add_explicit(&fence_word, 0, memory_order_seq_cst))
#else
#define fence_seq_cst() atomic_thread_fence(memory_order_seq_cst)
#endif
#define compiler_barrier() atomic_signal_fence(memory_order_seq_cst)
