/*
 * rseq.c - restartable sequences: short pieces of user code that may assume that they are not preempted,
 * moved, or interrupted by a signal, because they start again elsewhere if they are. What C libraries and
 * allocators keep for each CPU is changed in this way, without atomic operations.
 *
 * A thread registers an area of its memory, once. There the kernel tells on which CPU it runs, and there the
 * thread names a description of the sequence that it is in:
 *
 *	area:  cpu_id_start, cpu_id   written by the kernel
 *	       sequence ────────▶ { version, flags, start, length, abort }
 *	       flags                  0
 *	       node, slot             written by the kernel
 *
 * Giving up the CPU is the one event that counts (signals aside), and the scheduler only leaves a flag then,
 * if the thread is registered at all. All work is done where the thread goes back to user mode: if it stands
 * in its sequence it goes to the address for aborts instead; and the area is written. Both may fault and so
 * give up the CPU, which sets the flag again: the thread goes back only when nothing has happened since.
 *
 * The slot is a small number that no two threads have that run in one memory at the same time (Linux:
 * mm_cid). A running thread holds one, as a bit of its space's `slots`, from here until it gives up the CPU;
 * so there are never more than threads or CPUs.
 *
 * Nothing that user space says is believed: a description that makes no sense, an area that cannot be written
 * and an abort address without the thread's signature before it are SIGSEGV.
 */
#include "arch/usercopy.h"
#include "kern/spinlock.h"
#include "lib/bits.h"
#include "proc/process.h"
#include "vm/space.h"

struct rseq_area { /* struct rseq of the ABI */
	uint32_t cpu_id_start, cpu_id;
	uaddr_t sequence;
	uint32_t flags, node_id, slot, padding;
};
struct rseq_sequence { /* struct rseq_cs of the ABI */
	uint32_t version, flags;
	uaddr_t start;
	uint64_t length;
	uaddr_t abort;
};
_Static_assert(sizeof(struct rseq_area) == 32 && sizeof(struct rseq_sequence) == 32, "the ABI");
_Static_assert(RSEQ_FEATURE_SIZE == offsetof(struct rseq_area, padding), "what there is to be found");

enum { CPU_UNREGISTERED = UINT32_MAX };

/* --- registering --- */

static bool matches(const struct user_thread *ut, uaddr_t addr, uint32_t len)
{
	return ut->rseq.addr == addr && ut->rseq.len == len;
}

err_t rseq_register(uaddr_t addr, uint32_t len, uint32_t sig)
{
	struct user_thread *ut = current_user_thread();
	if (ut->rseq.addr) {
		if (!matches(ut, addr, len))
			return -EINVAL;
		return ut->rseq.sig == sig ? -EBUSY : -EPERM;
	}
	if (len < sizeof(struct rseq_area) || addr % RSEQ_ALIGN)
		return -EINVAL;
	if (!addr || addr > USER_END - len)
		return -EFAULT;
	ut->rseq.addr = addr;
	ut->rseq.len = len;
	ut->rseq.sig = sig;
	fetch_or_acq_rel(&ut->thread.flags, THREAD_RSEQ | THREAD_RSEQ_WORK);
	return 0;
}

err_t rseq_unregister(uaddr_t addr, uint32_t len, uint32_t sig)
{
	static const struct rseq_area none = {.cpu_id = CPU_UNREGISTERED};
	struct user_thread *ut = current_user_thread();
	if (!addr || !matches(ut, addr, len))
		return -EINVAL;
	if (ut->rseq.sig != sig)
		return -EPERM;
	err_t err = copy_to_user(addr, &none, offsetof(struct rseq_area, sequence));
	if (!err)
		err = copy_to_user(addr + offsetof(struct rseq_area, node_id), &none.node_id,
		    RSEQ_FEATURE_SIZE - offsetof(struct rseq_area, node_id));
	if (!err)
		rseq_forget();
	return err ? -EFAULT : 0;
}

static void give_slot(struct thread *t)
{
	preempt_disable();
	if (t->slot)
		atomic_fetch_and_explicit(t->slots, ~t->slot, memory_order_release);
	t->slot = 0;
	preempt_enable();
}

void rseq_forget(void)
{
	struct user_thread *ut = current_user_thread();
	uint32_t bits = THREAD_RSEQ | THREAD_RSEQ_WORK;
	if (!ut->rseq.addr)
		return;
	atomic_fetch_and_explicit(&ut->thread.flags, ~bits, memory_order_relaxed);
	give_slot(&ut->thread);
	ut->rseq.addr = 0;
}

void rseq_fork(struct user_thread *child)
{
	child->rseq = current_user_thread()->rseq;
	if (child->rseq.addr)
		fetch_or_acq_rel(&child->thread.flags, THREAD_RSEQ | THREAD_RSEQ_WORK);
}

/* --- where it runs --- */

/* The number of the slot that t has from now until it gives up the CPU. There are as many as CPUs. */
static uint32_t take_slot(struct thread *t)
{
	preempt_disable();
	t->slots = &t->space->slots;
	uint64_t taken = load_relaxed(t->slots), free = t->slot;
	while (!t->slot) {
		free = ~taken & (taken + 1);
		if (cas_acq_rel(t->slots, &taken, taken | free))
			t->slot = free;
	}
	preempt_enable();
	return bit_lowest(free);
}

/* Memory is uniform: its one node is 0. */
static err_t tell_place(uaddr_t addr)
{
	uint32_t slot = take_slot(current_thread()), cpu = cpu_id();
	const struct rseq_area area = {.cpu_id_start = cpu, .cpu_id = cpu, .slot = slot};
	err_t err = copy_to_user(addr, &area, offsetof(struct rseq_area, sequence));
	return err ? err
		   : copy_to_user(addr + offsetof(struct rseq_area, node_id), &area.node_id,
			 RSEQ_FEATURE_SIZE - offsetof(struct rseq_area, node_id));
}

/* --- aborting --- */

static bool is_sane(const struct rseq_sequence *s)
{
	return !s->version && s->start < USER_END && s->length < USER_END - s->start && s->abort < USER_END &&
	       s->abort - s->start >= s->length;
}

/* The signature keeps whoever can write the area, but no code, from sending the thread anywhere. */
static err_t check_abort(const struct rseq_sequence *s)
{
	uint32_t sig;
	if (!is_sane(s))
		return -EINVAL;
	err_t err = copy_from_user(&sig, s->abort - sizeof(sig), sizeof(sig));
	return !err && sig != current_user_thread()->rseq.sig ? -EINVAL : err;
}

/* Flags once said which events do not count; none is accepted any more, while they could matter. */
static err_t check_flags(const struct rseq_sequence *s, uaddr_t area)
{
	uint32_t flags;
	if (copy_from_user(&flags, area + offsetof(struct rseq_area, flags), sizeof(flags)))
		return -EFAULT;
	return flags || s->flags ? -EINVAL : 0;
}

/* Out of the sequence that *f stands in, if it does; in any case no sequence is named any more that was left.
 */
static err_t leave_sequence(struct trap_frame *f, uaddr_t area)
{
	static const uaddr_t none;
	struct rseq_sequence s;
	uaddr_t at, named = area + offsetof(struct rseq_area, sequence);
	if (copy_from_user(&at, named, sizeof(at)))
		return -EFAULT;
	if (!at)
		return 0;
	if (at >= USER_END || copy_from_user(&s, at, sizeof(s)))
		return -EFAULT;
	err_t err = check_abort(&s);
	bool inside = user_frame_pc(f) - s.start < s.length;
	if (!err && inside)
		err = check_flags(&s, area);
	if (!err)
		err = copy_to_user(named, &none, sizeof(none));
	if (!err && inside)
		user_frame_set_pc(f, s.abort);
	return err;
}

/* signal: whose handler is about to run; 0: none. */
static void update(struct trap_frame *f, int signal)
{
	struct user_thread *ut = current_user_thread();
	atomic_fetch_and_explicit(&ut->thread.flags, ~(uint32_t)THREAD_RSEQ_WORK, memory_order_relaxed);
	err_t err = leave_sequence(f, ut->rseq.addr);
	if (!err)
		err = tell_place(ut->rseq.addr);
	if (err && err != -EINTR)
		signal_force_segv(signal);
}

void rseq_return(struct trap_frame *f)
{
	update(f, 0);
}

void rseq_interrupt(struct trap_frame *f, int signal)
{
	if (current_user_thread()->rseq.addr)
		update(f, signal);
}
