/*
 * log.c - the kernel log.
 *
 * A ring of SLOTS slots. A record's sequence number says its slot: seq % SLOTS. Whoever writes takes the next
 * number with one atomic addition, so writers never wait: not for each other, not for readers, not when an
 * NMI interrupts a writer half way, not when a CPU was stopped while it wrote.
 *
 *	slot.state   2 * seq + 2   record seq is complete
 *	             2 * seq + 1   record seq is being written
 *	             0             nothing yet
 *
 * The state of a slot only grows. A writer claims its slot by moving the state from an even value to its own
 * odd one. If it finds an odd one, somebody who is a whole ring behind still writes there (interrupted by us,
 * or stopped): the new record is given up, and slot.skipped tells the readers not to wait for it.
 *
 * A reader copies the record and then looks at the state again: if it is still the same even value, nobody
 * wrote in between (a seqlock). The bytes travel as atomic words, stores with release and loads with acquire
 * order, which puts each between the two looks at the state on every processor and for every checker; on x86
 * they are plain moves.
 *
 * The console. Records are echoed in order by draining the ring: `echo.next` is the next record to show. One
 * CPU at a time drains, whoever finds the console free; all others leave their records to it and go on. After
 * letting go, the drainer looks again, so no record stays behind. Nobody ever waits, with one exception: in
 * an emergency (LOG_EMERG, which panic uses) a CPU that finds the console taken waits for a bounded time and
 * then takes it over, since the owner may be stopped, or be the very context that was interrupted. The old
 * owner notices at its next record that it has been replaced.
 *
 * Rejected: a lock around the ring (an NMI or a panic would need a second, special way in), and one ring for
 * each CPU (readers would have to merge by time stamps of unsynchronised clocks).
 */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "kern/log.h"
#include "kern/spinlock.h"
#include "lib/string.h"

enum {
	SLOTS = 512, /* a power of two */
	RECORD_WORDS = sizeof(struct log_record) / sizeof(uint64_t),
	EMERGENCY_POLLS = 1 << 18, /* looks at a taken console before a panic takes it by force */
};
STATIC_ASSERT(sizeof(struct log_record) % sizeof(uint64_t) == 0);
STATIC_ASSERT((SLOTS & (SLOTS - 1)) == 0);

struct slot {
	_Atomic uint64_t state;
	_Atomic uint64_t skipped; /* 1 + the newest record of this slot that was given up */
	_Atomic uint64_t words[RECORD_WORDS];
};

static struct {
	_Atomic uint64_t next; /* sequence number of the next record */
	struct slot slots[SLOTS];
} ring;

static struct {
	void (*_Atomic write)(const char *s, size_t n);
	_Atomic uint32_t max_level;
	_Atomic uint64_t next;  /* next record to show */
	_Atomic uint32_t owner; /* who drains, by echo_owner_new(); 0: nobody */
	_Atomic uint32_t attempts;
} echo = {.max_level = LOG_INFO};

static void (*_Atomic listener)(void);

static uint64_t state_writing(uint64_t seq)
{
	return 2 * seq + 1;
}

static uint64_t state_complete(uint64_t seq)
{
	return 2 * seq + 2;
}

static struct slot *slot_of(uint64_t seq)
{
	return &ring.slots[seq % SLOTS];
}

/* Tell readers that record seq will never come. */
static void slot_skip(struct slot *s, uint64_t seq)
{
	uint64_t old = load_relaxed(&s->skipped);
	while (old < seq + 1 && !cas_seq_cst(&s->skipped, &old, seq + 1))
		;
}

static void ring_put(struct log_record *r)
{
	struct slot *s = slot_of(r->seq);
	uint64_t old = load_relaxed(&s->state);
	uint64_t words[RECORD_WORDS];

	do {
		if ((old & 1) || old > state_writing(r->seq)) {
			slot_skip(s, r->seq);
			return;
		}
	} while (!cas_acq_rel(&s->state, &old, state_writing(r->seq)));
	memcpy(words, r, sizeof(words));
	for (unsigned i = 0; i < RECORD_WORDS; i++)
		store_release(&s->words[i], words[i]);
	store_seq_cst(&s->state, state_complete(r->seq)); /* before the look at the console: see echo_run */
}

enum slot_answer { SLOT_READ, SLOT_NOT_YET, SLOT_LOST };

static enum slot_answer slot_look(uint64_t seq)
{
	struct slot *s = slot_of(seq);
	uint64_t state = load_acquire(&s->state);

	if (state < state_complete(seq))
		return load_acquire(&s->skipped) > seq ? SLOT_LOST : SLOT_NOT_YET;
	return state > state_complete(seq) ? SLOT_LOST : SLOT_READ;
}

static enum slot_answer slot_get(uint64_t seq, struct log_record *out)
{
	struct slot *s = slot_of(seq);
	uint64_t words[RECORD_WORDS];
	enum slot_answer answer = slot_look(seq);

	if (answer != SLOT_READ)
		return answer;
	for (unsigned i = 0; i < RECORD_WORDS; i++)
		words[i] = load_acquire(&s->words[i]);
	if (load_relaxed(&s->state) != state_complete(seq))
		return SLOT_LOST;
	memcpy(out, words, sizeof(*out));
	return SLOT_READ;
}

/* Go on to the first record that can be read, counting those that are lost. False: there is none yet. */
static bool find_record(uint64_t *seq, uint64_t *lost)
{
	for (;;) {
		uint64_t next = load_acquire(&ring.next);
		if (*seq >= next)
			return false;
		if (next - *seq > SLOTS) {
			*lost += next - SLOTS - *seq;
			*seq = next - SLOTS;
		}
		enum slot_answer answer = slot_look(*seq);
		if (answer != SLOT_LOST)
			return answer == SLOT_READ;
		(*seq)++;
		(*lost)++;
	}
}

err_t log_read(uint64_t *seq, struct log_record *out, uint64_t *lost)
{
	*lost = 0;
	while (find_record(seq, lost)) {
		enum slot_answer answer = slot_get(*seq, out);
		(*seq)++;
		if (answer == SLOT_READ)
			return 0;
		(*lost)++;
	}
	return -EAGAIN;
}

bool log_has(uint64_t seq, bool *lost)
{
	uint64_t n = 0;
	bool found = find_record(&seq, &n);
	*lost = n;
	return found;
}

static void echo_record(void (*write)(const char *, size_t), const struct log_record *r)
{
	char line[sizeof(r->text) + 48];
	uint64_t us = r->time / 1000;
	int n = format(line, sizeof(line), "[%5llu.%06llu] %s: %s\n", (unsigned long long)(us / 1000000),
	    (unsigned long long)(us % 1000000), r->subsystem, r->text);

	write(line, (size_t)n);
}

static void echo_lost(void (*write)(const char *, size_t), uint64_t lost)
{
	char line[64];

	write(
	    line, (size_t)format(line, sizeof(line), "[log] %llu records lost\n", (unsigned long long)lost));
}

/*
 * Show what has not been shown, as long as `owner` has the console. In an emergency, records that are not
 * complete are passed over: who was writing them may be stopped.
 */
static void echo_drain(uint32_t owner, bool emergency)
{
	void (*write)(const char *, size_t) = load_acquire(&echo.write);
	struct log_record r;
	uint64_t lost;

	while (write && load_acquire(&echo.owner) == owner) {
		uint64_t from = load_relaxed(&echo.next), seq = from;
		err_t err = log_read(&seq, &r, &lost);
		bool pass_over = err && emergency && seq < load_acquire(&ring.next);
		seq += pass_over;
		lost += pass_over;
		/* Whoever took the console over has moved on from here: leave the position to it. */
		if (seq != from && !cas_acq_rel(&echo.next, &from, seq))
			continue;
		if (lost)
			echo_lost(write, lost);
		if (err && !pass_over)
			break;
		if (!err && r.level <= load_relaxed(&echo.max_level))
			echo_record(write, &r);
	}
}

/* A name for this attempt to own the console: never 0, different from the last few million, and its low byte
 * says which CPU. */
static uint32_t echo_owner_new(void)
{
	return (fetch_add_relaxed(&echo.attempts, 1) << 8) | (cpu_id() + 1);
}

/* Own the console; 0 if somebody else does. In an emergency: take it, at once from the context that this one
 * interrupted, from other CPUs after a while. */
static uint32_t echo_acquire(bool emergency)
{
	uint32_t mine = echo_owner_new();
	uint32_t polls = emergency ? EMERGENCY_POLLS : 0;

	for (;;) {
		uint32_t owner = load_seq_cst(&echo.owner);
		if (owner == 0 && cas_seq_cst(&echo.owner, &owner, mine))
			return mine;
		if (!emergency)
			return 0;
		if (polls == 0 || (owner & 0xff) == (mine & 0xff)) {
			exchange_acq_rel(&echo.owner, mine);
			return mine;
		}
		polls--;
		cpu_relax();
	}
}

static void echo_release(uint32_t mine)
{
	cas_seq_cst(&echo.owner, &mine, 0);
}

/* Is there a record to show? */
static bool echo_is_behind(void)
{
	uint64_t seq = load_relaxed(&echo.next);
	struct slot *s = slot_of(seq);

	return load_acquire(&echo.write) && seq < load_seq_cst(&ring.next) &&
	       (load_seq_cst(&s->state) >= state_complete(seq) || load_seq_cst(&s->skipped) > seq);
}

/*
 * Show what is there, unless somebody else is at it. Why nothing stays behind: a writer that finds the
 * console taken has completed its record before it looked, and the owner looks for complete records after it
 * has let go; one of the two sees the other.
 */
static void echo_run(bool emergency)
{
	do {
		preempt_disable();
		uint32_t mine = echo_acquire(emergency);
		if (mine) {
			echo_drain(mine, emergency);
			echo_release(mine);
		}
		preempt_enable();
		if (!mine)
			return;
	} while (echo_is_behind());
}

void log_vprint(enum log_level level, const char *subsystem, const char *fmt, va_list args)
{
	struct log_record r;

	memset(&r, 0, sizeof(r));
	r.time = clock_now();
	r.cpu = cpu_id();
	r.level = (uint8_t)level;
	str_copy(r.subsystem, subsystem, sizeof(r.subsystem));
	int len = format_va(r.text, sizeof(r.text), fmt, args);
	r.len = (uint16_t)MIN((size_t)len, sizeof(r.text) - 1);
	/* A number is taken as late as possible: readers wait for it from here on. */
	r.seq = fetch_add_acq_rel(&ring.next, 1);
	ring_put(&r);
	echo_run(level == LOG_EMERG);
	void (*tell)(void) = load_acquire(&listener);
	if (tell && preempt_count() == 0 && irq_is_enabled())
		tell();
}

void log_set_listener(void (*tell)(void))
{
	store_release(&listener, tell);
}

void log_print(enum log_level level, const char *subsystem, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_vprint(level, subsystem, fmt, args);
	va_end(args);
}

uint64_t log_end(void)
{
	return load_acquire(&ring.next);
}

bool log_is_shown(uint64_t end)
{
	if (load_acquire(&echo.next) < end)
		echo_run(false);
	return !load_acquire(&echo.write) || load_acquire(&echo.next) >= end;
}

enum log_level log_console_level(enum log_level max)
{
	return (enum log_level)atomic_exchange_explicit(&echo.max_level, max, memory_order_relaxed);
}

size_t log_capacity(void)
{
	return SLOTS * sizeof(((struct log_record *)0)->text);
}

void log_set_console(void (*write)(const char *s, size_t n), enum log_level max)
{
	store_relaxed(&echo.max_level, max);
	store_release(&echo.write, write);
	echo_run(false);
}

void log_replay(unsigned max)
{
	void (*write)(const char *, size_t) = load_acquire(&echo.write);
	uint64_t end = load_acquire(&ring.next);
	struct log_record r;

	if (!write)
		return;
	preempt_disable();
	uint32_t mine = echo_acquire(true);
	for (uint64_t seq = end - MIN(end, MIN(max, (unsigned)SLOTS)); seq < end; seq++)
		if (slot_get(seq, &r) == SLOT_READ)
			echo_record(write, &r);
	echo_release(mine);
	preempt_enable();
}
