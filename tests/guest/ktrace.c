/* ktrace.c - lines of the trace in the kernel: what the formatter makes with the kernel's own printf, and
 * several threads that write to the log at once. */
#include "kern/log.h"
#include "kern/thread.h"
#include "ktest.h"
#include "lib/string.h"
#include "mm/kva.h"
#include "proc/trace.h"

static const char program_memory[] = "/etc/passwd";

static size_t read_kernel(void *dst, uaddr_t src, size_t n)
{
	if (src < 0x1000 || src - 0x1000 >= sizeof(program_memory))
		return 0;
	n = MIN(n, sizeof(program_memory) - (size_t)(src - 0x1000));
	memcpy(dst, program_memory + (src - 0x1000), n);
	return n;
}

KTEST(trace_format)
{
	static const struct trace_call call = {
	    "openat", 4, TRACE_RESULT_LONG, {TRACE_DIRFD, TRACE_STR, TRACE_OPEN, TRACE_OMODE}};
	const uint64_t args[TRACE_ARGS] = {(uint32_t)-100, 0x1000, 0x80042, 0600};
	struct trace_line l;
	trace_format_call(&l, &call, args, read_kernel);
	trace_format_result(&l, &call, args, -ENOENT);
	KT_CHECK(
	    !strcmp(l.text, "openat(AT_FDCWD, \"/etc/passwd\", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = -1 ENOENT"));
	trace_format_exit(&l, 9);
	KT_CHECK(!strcmp(l.text, "+++ killed by SIGKILL +++"));
}

enum { WRITERS = 4, LINES = 40 };

static void write_lines(UNUSED void *arg)
{
	struct trace_line l;
	for (unsigned i = 0; i < LINES; i++) {
		trace_format_signal(&l, 10);
		trace_emit(&l);
	}
}

/* Each line was shown when its writer went on, and none of them is broken or gone. */
KTEST(trace_writers_at_once)
{
	static struct thread threads[WRITERS];
	vaddr_t stacks[WRITERS];
	uint64_t seq = log_end(), lost = 0, lines = 0, lost_now;
	struct log_record r;
	for (unsigned i = 0; i < WRITERS; i++) {
		stacks[i] = kva_alloc_stack();
		KT_CHECK(stacks[i]);
		thread_init(&threads[i], "tracer", stacks[i], KSTACK_PAGES * PAGE_SIZE, write_lines, NULL);
		thread_start(&threads[i]);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		thread_join(&threads[i]);
		kva_free_stack(stacks[i]);
	}
	KT_CHECK(log_is_shown(log_end()));
	while (!log_read(&seq, &r, &lost_now)) {
		lost += lost_now;
		lines += !strcmp(r.subsystem, "trace") && strstr(r.text, "] --- SIGUSR1 ---");
	}
	KT_CHECK_EQ(lost, 0);
	KT_CHECK_EQ(lines, WRITERS * LINES);
}
