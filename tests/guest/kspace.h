#pragma once
/* kspace.h - what the tests of the VM core in the guest share: spaces that kernel threads enter, mappings in
 * one line, and a barrier that spins. */
#include "ktest.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/mmu.h"
#include "arch/usercopy.h"
#include "kern/thread.h"
#include "vm/copy.h"
#include "vm/space.h"

/* The current thread works in s from here on, as a thread of a process would: usercopy goes there. NULL: in
 * none. */
static inline void enter_space(struct vm_space *s)
{
	struct thread *t = current_thread();
	uint64_t irq = irq_save();
	t->space = s;
	t->mmu = s ? &s->mmu : NULL;
	mmu_switch(t->mmu);
	irq_restore(irq);
}

/* Map npages of anonymous memory at addr (0: anywhere); its address, 0 without memory. */
static inline uaddr_t map_anon(
    struct vm_space *s, uaddr_t addr, uint64_t npages, unsigned prot, unsigned flags)
{
	struct vm_map_args args = {.addr = addr,
	    .len = npages * PAGE_SIZE,
	    .prot = prot,
	    .flags = flags | (addr ? VM_MAP_FIXED : 0)};
	uaddr_t at = 0;
	return space_map(s, &args, &at) ? 0 : at;
}

static inline uaddr_t map_object(
    struct vm_space *s, struct vm_object *o, uint64_t npages, unsigned prot, unsigned flags)
{
	struct vm_map_args args = {.len = npages * PAGE_SIZE, .prot = prot, .flags = flags, .object = o};
	uaddr_t at = 0;
	return space_map(s, &args, &at) ? 0 : at;
}

static inline err_t put_word(uaddr_t addr, uint64_t word)
{
	return copy_to_user(addr, &word, sizeof(word));
}
/* The word at addr, or ~0 if it cannot be read. */
static inline uint64_t get_word(uaddr_t addr)
{
	uint64_t word;
	return copy_from_user(&word, addr, sizeof(word)) ? UINT64_MAX : word;
}

/* All n threads leave at the same instant, as far as CPUs can. Reusable. */
struct barrier {
	unsigned n;
	_Atomic uint32_t arrived, round;
};
static inline void barrier_wait(struct barrier *b)
{
	uint32_t round = load_acquire(&b->round);
	if (fetch_add_acq_rel(&b->arrived, 1) == b->n - 1) {
		store_relaxed(&b->arrived, 0);
		store_release(&b->round, round + 1);
		return;
	}
	for (unsigned spins = 0; load_acquire(&b->round) == round; spins++) {
		cpu_relax();
		if (spins % 2000 == 1999)
			thread_yield(); /* more threads than CPUs, or CPUs than the host has */
	}
}

/*
 * Emulated CPUs that outnumber the host's make every hand-over between them slow, so tests that race are
 * bounded in time as well as in rounds. Is there time for another one? The first few are always done.
 */
enum { RACE_NS = 1500000000, ROUNDS_MIN = 8 };
static inline bool another_round(unsigned round, unsigned max, nsec_t start)
{
	return round < max && (round < ROUNDS_MIN || clock_now() - start < RACE_NS);
}
