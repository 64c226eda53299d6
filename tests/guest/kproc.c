/*
 * kproc.c - processes made by hand: a few bytes of machine code in a space, a thread, and the wait status
 * that comes back. For what no program can bring about by itself, and for counting what a process leaves
 * behind.
 */
#include "kspace.h"
#include "kern/wall.h"
#include "lib/inject.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "proc/exec.h"
#include "proc/proc_priv.h"

enum { RW = VM_READ | VM_WRITE };
#define CODE_AT  0x400000ULL
#define STACK_AT 0x7f0000000000ULL

/* A space with the code at CODE_AT and a stack. NULL without memory. */
static struct vm_space *make_space(const void *code, size_t size)
{
	struct vm_space *s;
	size_t done;
	if (space_create(&s))
		return NULL;
	if (map_anon(s, CODE_AT, 1, RW, 0) && map_anon(s, STACK_AT, 4, RW, 0) &&
	    !space_write(s, CODE_AT, code, size, &done) &&
	    !space_protect(s, CODE_AT, PAGE_SIZE, VM_READ | VM_EXEC))
		return s;
	space_put(s);
	return NULL;
}

/* Start a process in s (taken over) with rdi = argument. NULL without memory. */
static struct process *start(struct vm_space *s, uint64_t argument)
{
	struct process *p;
	struct user_thread *ut;
	if (process_create(NULL, s, "kproc", &(struct process_wish){.exit_signal = SIGNAL_CHLD}, &p)) {
		space_put(s);
		return NULL;
	}
	if (user_thread_create(p, "kproc", 0, &ut)) {
		process_discard(p);
		return NULL;
	}
	user_frame_start(&ut->start, CODE_AT, STACK_AT + 4 * PAGE_SIZE);
	ut->start.rdi = argument;
	if (user_thread_first_files(ut) || user_state_create(&ut->thread) || user_thread_launch(ut)) {
		user_thread_free(ut);
		process_discard(p);
		return NULL;
	}
	return p;
}

/* Run it to its end; the wait status, or -1. */
static int run(struct vm_space *s, uint64_t argument)
{
	struct process *p = s ? start(s, argument) : NULL;
	if (!p)
		return -1;
	int status = process_wait_dead(p);
	process_put(p);
	return status;
}

/* What the reaper still has to free arrives soon. */
static void settle(void)
{
	for (unsigned i = 0; i < 1000 && user_thread_count(); i++)
		(void)thread_sleep_until(clock_now() + 1000000);
}

static const uint8_t exit_with_argument[] = {
    0xb8, 231, 0, 0, 0, 0x0f, 0x05, 0xf4}; /* mov $exit_group, %eax; syscall; hlt */
static const uint8_t load_argument[] = {
    0x48, 0x8b, 0x07, 0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05}; /* mov (%rdi), %rax; exit_group(0) */
static const uint8_t store_argument[] = {0x48, 0x89, 0x07, 0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05};
static const uint8_t spin[] = {0xeb, 0xfe};
static const uint8_t touch_for_ever[] = {0xc6, 0x07, 0x01, 0x48, 0x81, 0xc7, 0, 0x10, 0, 0, 0xeb,
    0xf4}; /* 1: movb $1, (%rdi); add $4096, %rdi; jmp 1b */
/* 1: mov $fork, %eax; syscall; test %eax, %eax; jns 1b; xor %edi, %edi; mov $exit_group, %eax; syscall */
static const uint8_t fork_for_ever[] = {
    0xb8, 57, 0, 0, 0, 0x0f, 0x05, 0x85, 0xc0, 0x79, 0xf5, 0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05};

KTEST(proc_exit_status)
{
	KT_CHECK_EQ(run(make_space(exit_with_argument, sizeof(exit_with_argument)), 0), 0);
	KT_CHECK_EQ(run(make_space(exit_with_argument, sizeof(exit_with_argument)), 3), 3 << 8);
	KT_CHECK_EQ(run(make_space(exit_with_argument, sizeof(exit_with_argument)), 0x1ff), 0xff00);
	KT_CHECK_EQ(run(make_space(load_argument, sizeof(load_argument)), STACK_AT), 0);
	KT_CHECK_EQ(run(make_space(load_argument, sizeof(load_argument)), 0), SIGNAL_SEGV);
	KT_CHECK_EQ(run(make_space(store_argument, sizeof(store_argument)), CODE_AT), SIGNAL_SEGV);
	settle();
	process_validate();
	KT_CHECK_EQ(process_count(), 0);
}

static err_t zero_file_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	(void)o;
	for (unsigned i = 0; i < n; i++) {
		if (idx + i == 1)
			return -EIO; /* a bad block */
		memset(page_to_virt(pages[i]), 0, PAGE_SIZE);
	}
	return 0;
}
static const struct vm_file_ops zero_file_ops = {.read = zero_file_read};

/* Beyond the end of a file, and where it cannot be read: SIGBUS. */
KTEST(proc_bus_error)
{
	static const struct {
		unsigned page;
		int status;
	} cases[] = {{0, 0}, {1, SIGNAL_BUS}, {2, SIGNAL_BUS}, {3, SIGNAL_BUS}, {4, SIGNAL_SEGV}};
	struct vm_object *file;
	KT_REQUIRE(!object_create_file(&zero_file_ops, NULL, 2, &file));
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_space *s = make_space(load_argument, sizeof(load_argument));
		struct vm_map_args args = {.addr = 0x10000000,
		    .len = 4 * PAGE_SIZE,
		    .prot = VM_READ,
		    .flags = VM_MAP_FIXED,
		    .object = file};
		uaddr_t at;
		KT_REQUIRE(s && !space_map(s, &args, &at));
		KT_CHECK_EQ(run(s, at + cases[i].page * PAGE_SIZE), cases[i].status);
	}
	object_put(file);
	settle();
}

KTEST(proc_kill_a_spinner)
{
	struct vm_space *s = make_space(spin, sizeof(spin));
	struct process *p = s ? start(s, 0) : NULL;
	KT_REQUIRE(p);
	(void)thread_sleep_until(clock_now() + 5000000);
	process_begin_exit(p, wait_status_killed(15));
	process_begin_exit(p, wait_status_killed(9)); /* the first decision counts */
	KT_CHECK_EQ(process_wait_dead(p), 15);
	process_put(p);
	settle();
}

/* A program that wants all memory gets it, to nearly the last frame, and is killed then; the machine goes on.
 */
KTEST(proc_out_of_memory)
{
	if (frame_free_count() > GIB(1) / PAGE_SIZE) {
		kt_skip("too much memory to fill under emulation");
		return;
	}
	struct vm_space *s = make_space(touch_for_ever, sizeof(touch_for_ever));
	KT_REQUIRE(s && map_anon(s, 0x100000000000, GIB(64) / PAGE_SIZE, RW, VM_MAP_NORESERVE));
	KT_CHECK_EQ(run(s, 0x100000000000), SIGNAL_KILL);
	KT_CHECK_EQ(run(make_space(exit_with_argument, sizeof(exit_with_argument)), 4), 4 << 8);
	settle();
}

static void kill_locked(struct process *p, UNUSED void *arg)
{
	process_begin_exit_locked(p, wait_status_killed(SIGNAL_KILL));
}

static bool all_end_within(nsec_t time)
{
	for (nsec_t until = clock_now() + time; process_count() && clock_now() < until;)
		(void)thread_sleep_until(clock_now() + 10000000);
	return process_count() == 0;
}

/* Every process forks until it cannot, and nobody waits for anybody: neither the lack of memory nor the dying
 * takes the machine with it. Who ends makes room for another fork, so whether it ever is over by itself is
 * for luck to say; everything comes back in the end. */
KTEST_LONG(proc_fork_until_it_fails, 300)
{
	if (frame_free_count() > MIB(100) / PAGE_SIZE) {
		kt_skip("too much memory to fill under emulation");
		return;
	}
	struct vm_space *s = make_space(fork_for_ever, sizeof(fork_for_ever));
	struct process *p = s ? start(s, 0) : NULL;
	KT_REQUIRE(p);
	process_put(p);
	if (!all_end_within(10 * NSEC_PER_SEC)) {
		kt_note("%u processes are ended", (unsigned)process_count());
		spin_lock(&process_tree_lock);
		process_for_each_locked(kill_locked, NULL);
		spin_unlock(&process_tree_lock);
	}
	KT_CHECK(all_end_within(200 * NSEC_PER_SEC));
	settle();
}

static void spawn_thread(void *arg, unsigned i)
{
	_Atomic uint32_t *failures = arg;
	nsec_t began = clock_now();
	for (unsigned round = 0; another_round(round, 500, began); round++)
		if (run(make_space(exit_with_argument, sizeof(exit_with_argument)), i) != (int)i << 8)
			fetch_add_relaxed(failures, 1);
}

/* Many short lives on all CPUs; the runner compares the free frames. */
KTEST(proc_spawn_storm)
{
	_Atomic uint32_t failures = 0;
	KT_CHECK(kt_run_threads(MIN(2 * cpus_count(), 8u), spawn_thread, &failures));
	KT_CHECK_EQ(failures, 0);
	settle();
	KT_CHECK_EQ(user_thread_count(), 0);
	KT_CHECK_EQ(process_count(), 0);
}

#ifdef CONFIG_INJECT
/* mov $fork, %eax; syscall; xor %edi, %edi; mov $exit_group, %eax; syscall */
static const uint8_t fork_once[] = {
    0xb8, 57, 0, 0, 0, 0x0f, 0x05, 0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05};

/* process_create(this code, 0); process_start(what came of it, this code, a stack there), which has no such
 * memory; exit_group(0) */
static const uint8_t start_once[] = {0xbf, 0, 0, 0x40, 0, 0x31, 0xf6, 0xb8, 0x70, 0x10, 0, 0, 0x0f, 0x05,
    0x89, 0xc7, 0xbe, 0, 0, 0x40, 0, 0x89, 0xf2, 0xb8, 0x72, 0x10, 0, 0, 0x0f, 0x05, 0x31, 0xff, 0xb8, 231, 0,
    0, 0, 0x0f, 0x05};

/* thread_start(-1, the address of its own exit(0), 0, 0, 0, 0); exit(0) */
static const uint8_t thread_once[] = {0x48, 0xc7, 0xc7, 0xff, 0xff, 0xff, 0xff, 0xbe, 0x1e, 0, 0x40, 0, 0x31,
    0xd2, 0x45, 0x31, 0xd2, 0x45, 0x31, 0xc0, 0x45, 0x31, 0xc9, 0xb8, 0x75, 0x10, 0, 0, 0x0f, 0x05, 0x31,
    0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05};

static err_t spawn_file(struct process **out)
{
	struct exec_args args;
	exec_args_init(&args, 0);
	err_t err = exec_args_set_path(&args, "/bin/uproc");
	if (!err)
		err = exec_args_add_arg(&args, "uproc");
	if (!err)
		err = exec_args_add_arg(&args, "count"); /* with too few arguments: it exits with 1 */
	if (!err)
		err = process_spawn(&args, NULL, NULL, out);
	exec_args_fini(&args);
	return err;
}

static void wait_all_gone(void)
{
	for (unsigned i = 0; i < 1000 && process_count(); i++)
		(void)thread_sleep_until(clock_now() + 1000000);
	settle();
}

/* Every allocation on the way from a file to a program's exit fails once. Either the spawn fails, or the
 * program is killed, or memory is found in another way. */
KTEST(proc_injected_failures_of_exec)
{
	unsigned failed = 0;
	bool fired = true;
	struct process *first;
	err_t found = spawn_file(&first); /* also: names are in the cache from here on */
	if (found == -ENOENT) {
		kt_skip("no initrd");
		return;
	}
	KT_REQUIRE(!found);
	KT_CHECK_EQ(process_wait_dead(first), 1 << 8);
	process_put(first);
	wait_all_gone();
	for (uint64_t n = 1; fired; n++) {
		struct process *p;
		inject_arm(n);
		err_t err = spawn_file(&p);
		int status = err ? 0 : process_wait_dead(p);
		fired = inject_fired();
		inject_arm(0);
		KT_CHECK(err == 0 || (err == -ENOMEM && fired));
		KT_CHECK(err || status == 1 << 8 || (status == SIGNAL_KILL && fired));
		failed += err != 0;
		if (!err)
			process_put(p);
		wait_all_gone();
		process_validate();
	}
	kt_note("%u spawns failed", failed);
	KT_CHECK(failed > 10);
}

/* Every allocation of a process that runs this code, which makes another and exits with 0, fails once. */
static void fail_each(const uint8_t *code, size_t size)
{
	bool fired = true;
	unsigned failed = 0, rounds = 0;
	for (uint64_t n = 1; fired; n++, rounds++) {
		struct vm_space *s = make_space(code, size);
		KT_REQUIRE(s);
		inject_arm(n);
		struct process *p = start(s, 0);
		int status = p ? process_wait_dead(p) : 0;
		wait_all_gone(); /* the child too */
		fired = inject_fired();
		inject_arm(0);
		KT_CHECK(p || fired);
		KT_CHECK(status == 0 || (status == SIGNAL_KILL && fired));
		failed += !p;
		if (p)
			process_put(p);
		KT_CHECK_EQ(process_count(), 0);
	}
	kt_note("%u rounds, %u starts failed", rounds, failed);
	KT_CHECK(failed > 0 && rounds > failed + 5); /* how many is up to the caches */
}

KTEST(proc_injected_failures_of_fork)
{
	fail_each(fork_once, sizeof(fork_once));
}

KTEST(proc_injected_failures_of_process_start)
{
	fail_each(start_once, sizeof(start_once));
}

KTEST(proc_injected_failures_of_thread_start)
{
	fail_each(thread_once, sizeof(thread_once));
}
#endif
