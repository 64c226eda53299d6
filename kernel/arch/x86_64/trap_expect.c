/*
 * trap_expect.c - tests that fault on purpose: see trap_expect.h. Not in release kernels.
 */
#ifdef CONFIG_TEST
#include "arch/x86_64/trap_expect.h"
#include "arch/cpu.h"
#include "lib/assert.h"
#include "lib/atomic.h"

static struct thread *_Atomic expecting; /* the thread that waits for an exception; NULL: none */
static struct trap_info caught;
static uint64_t resume_rsp;

/* switch.S: call fn(arg) with the callee-saved registers on the stack below *rsp. Returns false when fn does,
 * true when somebody goes to trap_expect_resume with that stack pointer. */
bool trap_expect_call(void (*fn)(void *arg), void *arg, uint64_t *rsp);
extern char trap_expect_resume[];

bool trap_expect(void (*fn)(void *arg), void *arg, struct trap_info *info)
{
	struct thread *nobody = NULL;

	ASSERT(cas_acq_rel(&expecting, &nobody, current_thread()));
	uint64_t irq = irq_save();
	irq_restore(irq);
	bool trapped = trap_expect_call(fn, arg, &resume_rsp);
	if (irq)
		irq_enable(); /* fn may have been stopped with interrupts disabled */
	if (trapped)
		*info = caught;
	store_release(&expecting, NULL);
	return trapped;
}

bool trap_expect_catch(struct trap_frame *f, vaddr_t addr)
{
	struct thread *t = load_acquire(&expecting);

	if (!t || t != current_thread())
		return false;
	caught =
	    (struct trap_info){.vector = (unsigned)f->vector, .error = f->error, .addr = addr, .pc = f->rip};
	f->rip = (uint64_t)trap_expect_resume;
	f->rsp = resume_rsp;
	f->rflags &= ~(uint64_t)(RFLAGS_AC | RFLAGS_DF);
	return true;
}

_Atomic uint32_t trap_expected_nmis;

bool trap_expect_nmi(void)
{
	uint32_t n = load_relaxed(&trap_expected_nmis);

	while (n)
		if (cas_acquire(&trap_expected_nmis, &n, n - 1))
			return true;
	return false;
}
#else
typedef int not_in_release_kernels;
#endif
