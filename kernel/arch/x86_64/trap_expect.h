#pragma once
/*
 * trap_expect.h - tests that fault on purpose.
 */
#include "lib/types.h"
#include "machine/trap.h"

struct trap_info {
	unsigned vector;
	uint64_t error;
	vaddr_t addr; /* page faults: CR2 */
	vaddr_t pc;
};

#ifdef CONFIG_TEST
/* Call fn(arg) and catch the first exception that would be a panic: true, and *info tells it. fn is abandoned
 * where it faulted: it must hold nothing. False: fn returned. One thread at a time. */
bool trap_expect(void (*fn)(void *arg), void *arg, struct trap_info *info);
/* How many NMIs to come are the test's own and only counted down. */
extern _Atomic uint32_t trap_expected_nmis;
bool trap_expect_nmi(void);
/* For trap.c: is this exception expected? Then *f continues behind trap_expect. */
bool trap_expect_catch(struct trap_frame *f, vaddr_t addr);
#else
static inline bool trap_expect_nmi(void)
{
	return false;
}
static inline bool trap_expect_catch(struct trap_frame *f, vaddr_t addr)
{
	(void)f;
	(void)addr;
	return false;
}
#endif
