/*
 * klog.c - who waits for the log hears also of what is written where nobody can be woken.
 */
#include "arch/clock.h"
#include "arch/cpu.h"
#include "fs/log_news.h"
#include "fs/system.h"
#include "kern/log.h"
#include "kern/thread.h"
#include "ktest.h"

static _Atomic bool told;

static void note(UNUSED struct observer *ob, UNUSED uint64_t now)
{
	store_release(&told, true);
}

static bool is_told(void)
{
	nsec_t end = clock_now() + 10000000000ULL;
	while (!load_acquire(&told) && clock_now() < end)
		(void)thread_sleep_until(clock_now() + 1000000);
	return load_acquire(&told);
}

KTEST(klog_news)
{
	struct observer ob = {.notify = note};
	struct log_record r;
	struct log_reader reader;
	struct file *f;
	uint64_t lost;
	KT_REQUIRE(system_create(&f) == 0);
	log_reader_init(&reader, &f->object);
	kobject_observe(&f->object, &ob, SIGNAL_READABLE);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t seq = reader.next;
		while (!log_read(&seq, &r, &lost))
			;
		store_release(&told, false);
		log_reader_move(&reader, seq);
		uint64_t state = irq_save();
		log_info("klog", "with interrupts disabled");
		irq_restore(state);
		KT_CHECK(is_told());
		KT_CHECK(kobject_signals(&f->object) & SIGNAL_READABLE);
	}
	kobject_unobserve(&ob);
	log_reader_fini(&reader);
	file_put(f);
}
