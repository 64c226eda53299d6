/*
 * panic.c - the end of the machine, told in full.
 *
 * One CPU panics; others that come here while it does stop and are dumped with the rest. In order: stop the
 * others, the message, this CPU's registers and descriptors, a backtrace of every CPU, locks held, the last
 * lines of the log, the exit status for the emulator. Nothing here allocates, locks or waits without bound:
 * text goes straight to the serial port.
 *
 * If printing itself faults, panic is entered again by the same CPU: the second time prints the message
 * alone, the third nothing.
 */
#include "arch/cpu.h"
#include "debug/backtrace.h"
#include "kern/cpu.h"
#include "kern/log.h"
#include "kern/thread.h"
#include "lib/assert.h"
#include "lib/printf.h"
#include "machine/dump.h"
#include "machine/peek.h"

enum { LOG_LINES = 32 };

static _Atomic uint32_t panic_cpu; /* id + 1 of the CPU that panics; 0: none */
static unsigned depth;             /* how often it came here */

static void print(const char *fmt, ...) PRINTF(1, 2);
static void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	format_to(dump_write, NULL, fmt, args);
	va_end(args);
}

static void print_thread(const struct cpu *c)
{
	const struct thread *t = c->current;

	print("CPU %u: ", c->id);
	if (t)
		print("thread %u \"%.*s\", ", t->tid, THREAD_NAME_MAX, t->name);
	print("preemption %u, interrupt depth %u\n", c->preempt, c->irq_depth);
}

#ifdef CONFIG_DEBUG
static void print_locks(const struct cpu *c)
{
	const struct thread *t = c->current;

	for (unsigned i = 0; i < c->nlocks && i < LOCKS_HELD_MAX; i++)
		print("  holds spinlock %s (rank %d) taken at %p\n", c->locks[i].name, c->locks[i].rank,
		    c->locks[i].where);
	for (unsigned i = 0; t && i < t->nlocks && i < THREAD_LOCKS_MAX; i++)
		print("  holds lock %s (rank %d) taken at %p\n", t->locks[i].name, t->locks[i].rank,
		    t->locks[i].where);
}
#else
static void print_locks(const struct cpu *c)
{
	(void)c;
}
#endif

static void print_others(void)
{
	for (unsigned i = 0; i < MAX_CPUS; i++) {
		if (i == cpu_id() || !(cpus_online() >> i & 1))
			continue;
		const struct trap_frame *f = dump_frame_of(i);
		print_thread(&cpus[i]);
		print_locks(&cpus[i]);
		if (!f)
			print("  does not answer\n");
		else
			backtrace_print(print, f->rip, trap_is_user(f) ? 0 : f->rbp);
	}
}

static void print_message(const char *fmt, va_list args)
{
	print("\npanic: ");
	format_to(dump_write, NULL, fmt, args);
	print("\n");
}

static void report(const struct trap_frame *f, vaddr_t fp, const char *fmt, va_list args)
{
	dump_stop_others();
	print_message(fmt, args);
	print_thread(this_cpu());
	print_locks(this_cpu());
	if (f)
		dump_frame(print, f);
	backtrace_print(print, f ? f->rip : 0, fp);
	dump_machine(print);
	print_others();
	print("last lines of the log:\n");
	log_replay(LOG_LINES);
	print("end of panic\n");
}

static NORETURN void panic_at(struct trap_frame *f, vaddr_t fp, const char *fmt, va_list args)
{
	uint32_t owner = 0;

	irq_disable();
	if (cas_acq_rel(&panic_cpu, &owner, cpu_id() + 1) || owner == cpu_id() + 1) {
		switch (depth++) {
		case 0:
			report(f, fp, fmt, args);
			break;
		case 1:
			print("\npanic inside panic:");
			print_message(fmt, args);
			break;
		}
		dump_exit(DUMP_EXIT_PANIC);
	}
	if (f)
		dump_answer(
		    f); /* two exceptions at a time: an NMI that everybody got, and NMIs are blocked now */
	for (;;)        /* the NMI of the one that panics takes us away */
		cpu_relax();
}

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	panic_at(NULL, (vaddr_t)__builtin_frame_address(0), fmt, args);
}

void trap_panic(struct trap_frame *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	panic_at(f, trap_is_user(f) ? 0 : f->rbp, fmt, args);
}
