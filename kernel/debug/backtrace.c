/*
 * backtrace.c - the kernel is compiled with frame pointers: at [fp] lies the caller's fp, at [fp + 8] the
 * return address. Entries from user mode start the chain with 0. Frames lie higher and higher on one stack,
 * except where an exception came on a stack of its own; that chain is printed from the saved registers
 * instead.
 */
#include "debug/backtrace.h"
#include "debug/symbols.h"
#include "kern/stack.h"
#include "kern/thread.h"
#include "machine/peek.h"

enum { FRAME_SIZE_MAX = 64 << 10 }; /* a caller's frame is not further away than a stack is large */

static bool is_plausible(vaddr_t fp)
{
	return fp % sizeof(uint64_t) == 0 && fp >> 63;
}

unsigned backtrace_collect(vaddr_t fp, vaddr_t *pcs, unsigned max)
{
	unsigned n = 0;

	while (n < max && is_plausible(fp)) {
		uint64_t next, pc;
		if (!kernel_peek(fp, &next) || !kernel_peek(fp + 8, &pc) || pc == 0)
			break;
		pcs[n++] = pc;
		if (next <= fp || next - fp > FRAME_SIZE_MAX)
			break;
		fp = next;
	}
	return n;
}

static void print_line(void (*print)(const char *fmt, ...), vaddr_t pc, bool is_return)
{
	uint64_t offset;
	/* A call may be the last instruction of its function: look up the byte before the return address. */
	const char *name = symbol_find(pc - is_return, &offset);

	if (name)
		print("  %#018lx %s+%#lx\n", pc, name, offset + is_return);
	else
		print("  %#018lx ?\n", pc);
}

void backtrace_print(void (*print)(const char *fmt, ...), vaddr_t pc, vaddr_t fp)
{
	vaddr_t pcs[BACKTRACE_MAX];
	unsigned n = backtrace_collect(fp, pcs, BACKTRACE_MAX);

	if (pc)
		print_line(print, pc, false);
	for (unsigned i = 0; i < n; i++)
		print_line(print, pcs[i], true);
}

unsigned thread_backtrace(const struct thread *t, vaddr_t *pcs, unsigned max)
{
	vaddr_t fp = t == current_thread() ? (vaddr_t)__builtin_frame_address(0) : arch_thread_frame(t);

	return backtrace_collect(fp, pcs, max);
}

const char *kernel_function(vaddr_t pc, uint64_t *offset, uint64_t *size)
{
	const char *name = symbol_find_sized(pc - 1, offset, size); /* a call may be the last instruction */

	*offset += name != NULL;
	return name;
}
