/*
 * kfutex.c - the table of futexes under load, by programs of a few bytes of machine code in one space:
 * sleepers that never wake by themselves are gone when their process is, and the table is empty.
 */
#include "kspace.h"
#include "arch/clock.h"
#include "arch/user.h"
#include "kern/wall.h"
#include "lib/string.h"
#include "proc/futex.h"
#include "proc/process.h"

enum { RW = VM_READ | VM_WRITE, SLEEPERS = 24 };
#define CODE_AT  0x400000ULL
#define STACK_AT 0x7f0000000000ULL
#define WORDS_AT 0x7f0000100000ULL

/* mov $futex, %eax; mov $op, %esi; xor %edx, %edx; xor %r10d, %r10d; syscall; jmp to the start. rdi: the
 * word, which is 0. */
static const uint8_t sleep_for_ever[] = {
    0xb8, 202, 0, 0, 0, 0xbe, 128, 0, 0, 0, 0x31, 0xd2, 0x45, 0x31, 0xd2, 0x0f, 0x05, 0xeb, 0xed};

static bool add_thread(struct process *p, uint64_t rdi)
{
	struct user_thread *ut;
	if (user_thread_create(p, "kfutex", 0, &ut))
		return false;
	user_frame_start(&ut->start, CODE_AT, STACK_AT + PAGE_SIZE);
	ut->start.rdi = rdi;
	if (!user_thread_first_files(ut) && !user_state_create(&ut->thread) && !user_thread_launch(ut))
		return true;
	user_thread_free(ut);
	return false;
}

/* mov $futex, %eax; mov $(WAIT_BITSET | CLOCK_REALTIME | PRIVATE), %esi; xor %edx, %edx; mov %rdi, %r10; add
 * $0x800, %r10; or $-1, %r9d; syscall; then exit_group(-result). rdi: the word, which is 0; the time is 0x800
 * bytes further on. */
static const uint8_t sleep_until_then[] = {0xb8, 202, 0, 0, 0, 0xbe, 0x89, 1, 0, 0, 0x31, 0xd2, 0x49, 0x89,
    0xfa, 0x49, 0x81, 0xc2, 0, 8, 0, 0, 0x41, 0x83, 0xc9, 0xff, 0x0f, 0x05, 0x89, 0xc7, 0xf7, 0xdf, 0xb8, 231,
    0, 0, 0, 0x0f, 0x05};

static struct process *make_process(const void *code, size_t len)
{
	struct vm_space *s;
	struct process *p;
	size_t done;
	if (space_create(&s))
		return NULL;
	if (map_anon(s, CODE_AT, 1, RW, 0) && map_anon(s, STACK_AT, 1, RW, 0) &&
	    map_anon(s, WORDS_AT, 4, RW, 0) && !space_write(s, CODE_AT, code, len, &done) &&
	    !space_protect(s, CODE_AT, PAGE_SIZE, VM_READ | VM_EXEC) &&
	    !process_create(NULL, s, "kfutex", &(struct process_wish){.exit_signal = SIGNAL_CHLD}, &p))
		return p;
	space_put(s);
	return NULL;
}

static void settle(void)
{
	for (unsigned i = 0; i < 2000 && user_thread_count(); i++)
		(void)thread_sleep_until(clock_now() + 1000000);
}

static bool wait_for_sleepers(unsigned n)
{
	for (unsigned i = 0; i < 2000 && futex_sleepers() != n; i++)
		(void)thread_sleep_until(clock_now() + 1000000);
	return futex_sleepers() == n;
}

/* Sleepers on words of many buckets, in pages that are not there yet, die with their process. */
KTEST(futex_sleepers_of_the_dying)
{
	for (unsigned round = 0; round < 8; round++) {
		struct process *p = make_process(sleep_for_ever, sizeof(sleep_for_ever));
		unsigned n = 0;
		KT_REQUIRE(p);
		for (unsigned i = 0; i < SLEEPERS; i++)
			n += add_thread(p, WORDS_AT + (i % 4) * PAGE_SIZE + i / 4 * 4);
		KT_CHECK_EQ(n, SLEEPERS);
		KT_CHECK(round % 2 || wait_for_sleepers(SLEEPERS));
		process_begin_exit(p, wait_status_killed(SIGNAL_KILL));
		KT_CHECK_EQ(process_wait_dead(p), SIGNAL_KILL);
		process_put(p);
		KT_CHECK_EQ(futex_sleepers(), 0);
	}
	settle();
	process_validate();
	KT_CHECK_EQ(user_thread_count(), 0);
}

/* Ids: the first thread has its process's number, others have their own, none is used twice. */
KTEST(futex_thread_ids)
{
	struct process *p = make_process(sleep_for_ever, sizeof(sleep_for_ever));
	KT_REQUIRE(p);
	for (unsigned i = 0; i < 4; i++)
		KT_CHECK(add_thread(p, WORDS_AT));
	KT_CHECK(wait_for_sleepers(4));
	spin_lock(&process_tree_lock);
	KT_CHECK_EQ(p->nthreads, 4);
	list_for_each (it, &p->threads) {
		struct user_thread *ut = list_entry(it, struct user_thread, link);
		KT_CHECK(user_thread_find_locked(ut->thread.tid) == ut);
	}
	KT_CHECK(user_thread_find_locked(p->pid)->link.prev == &p->threads);
	spin_unlock(&process_tree_lock);
	process_begin_exit(p, wait_status_killed(SIGNAL_KILL));
	KT_CHECK_EQ(process_wait_dead(p), SIGNAL_KILL);
	process_put(p);
	settle();
}

/* Who waits until a time of day wakes when the clock is set beyond it, and not when it is set to before it.
 */
KTEST(futex_until_a_time_of_day_that_is_set)
{
	enum { HOUR = 3600 };
	struct process *p = make_process(sleep_until_then, sizeof(sleep_until_then));
	nsec_t offset = wall_offset();
	uint64_t then[2] = {wall_now() / NSEC_PER_SEC + HOUR, 0};
	size_t done;
	KT_REQUIRE(p);
	KT_CHECK_EQ(space_write(p->space, WORDS_AT + 0x800, then, sizeof(then), &done), 0);
	KT_CHECK(add_thread(p, WORDS_AT) && wait_for_sleepers(1));
	wall_set_offset(offset + HOUR / 2 * NSEC_PER_SEC);
	futex_wall_was_set();
	(void)thread_sleep_until(clock_now() + 20000000);
	KT_CHECK_EQ(futex_sleepers(), 1);
	wall_set_offset(offset + 2 * HOUR * NSEC_PER_SEC);
	futex_wall_was_set();
	bool woke = wait_for_sleepers(0);
	wall_set_offset(offset);
	KT_CHECK(woke);
	if (!woke)
		process_begin_exit(p, wait_status_killed(SIGNAL_KILL));
	KT_CHECK_EQ(process_wait_dead(p), wait_status_exited(ETIMEDOUT));
	process_put(p);
	settle();
}
