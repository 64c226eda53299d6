/*
 * log_news.c - waking who waits for the kernel log.
 *
 * A reader - a system object, an open /dev/kmsg - has a position, and the signals of its object say whether
 * there is a record behind it. Readers that have been looked at and have none are in a list.
 *
 * The log is written from any context, an NMI included, so a writer cannot always wake. It does where it can
 * (kern/log.h says where), by calling us; for the rest a timer looks, as long as the list is not empty. So
 * nearly all records are told at once, the others after PERIOD, and while nobody waits nothing runs.
 *
 * Rejected: a bit that the scheduler looks at before each switch. All would pay for what next to nobody does.
 */
#include "fs/log_news.h"
#include "arch/clock.h"
#include "kern/log.h"
#include "kern/timer.h"
#include "object/bell.h"

enum { PERIOD = 20 * 1000 * 1000, LEVELS = SIGNAL_READABLE | SIGNAL_ERROR | SIGNAL_PRIORITY };

/* (N) news_lock */
static struct spinlock news_lock = SPINLOCK_INIT("log news", RANK_WAIT);
static struct list waiting; /* (N) of struct log_reader */
static struct timer look;   /* set by whoever sets `looking`, then by itself */
static bool looking;        /* (N) the timer is set, or its callback runs and will set it */

/* What r's signals should be, now. */
static bool update_locked(struct log_reader *r)
{
	bool lost = false, has = log_has(r->next, &lost);
	uint64_t now = has ? SIGNAL_READABLE | (lost ? SIGNAL_ERROR | SIGNAL_PRIORITY : 0) : 0;
	if ((kobject_signals(r->object) & LEVELS) != now)
		kobject_signal(r->object, now, LEVELS & ~now);
	return has;
}

static void look_locked(void)
{
	list_for_each_safe (it, &waiting) {
		struct log_reader *r = list_entry(it, struct log_reader, link);
		if (update_locked(r) || list_is_empty(&r->object->observers))
			list_remove(&r->link);
	}
}

/* A record was written. The list is empty nearly always; a reader that is on its way into it looks at the log
 * afterwards. */
static void news(void)
{
	fence_seq_cst();
	if (list_is_empty(&waiting))
		return;
	uint64_t state = spin_lock_irqsave(&news_lock);
	look_locked();
	spin_unlock_irqrestore(&news_lock, state);
}

static void look_again(UNUSED void *arg)
{
	uint64_t state = spin_lock_irqsave(&news_lock);
	look_locked();
	looking = !list_is_empty(&waiting);
	bool again = looking;
	spin_unlock_irqrestore(&news_lock, state);
	if (again)
		timer_set(&look, clock_now() + PERIOD);
}

void log_news_init(void)
{
	list_init(&waiting);
	timer_init(&look, look_again, NULL);
	log_set_listener(news);
}

void log_reader_init(struct log_reader *r, struct kobject *object)
{
	list_init(&r->link);
	r->object = object;
	r->next = 0;
	kobject_signal(object, 0, LEVELS | SIGNAL_WRITABLE);
}

void log_reader_fini(struct log_reader *r)
{
	uint64_t state = spin_lock_irqsave(&news_lock);
	list_remove(&r->link);
	spin_unlock_irqrestore(&news_lock, state);
}

/* r is in the list before the log is looked at: a record that is written meanwhile is seen by one side. The
 * result: the timer is to be set. */
static bool place_locked(struct log_reader *r)
{
	list_remove(&r->link);
	list_push_back(&waiting, &r->link);
	fence_seq_cst();
	if (update_locked(r) || list_is_empty(&r->object->observers))
		list_remove(&r->link);
	bool set = !looking && !list_is_empty(&waiting);
	looking = looking || set;
	return set;
}

static void place(struct log_reader *r, const uint64_t *next)
{
	uint64_t state = spin_lock_irqsave(&news_lock);
	if (next)
		r->next = *next;
	bool set = place_locked(r);
	spin_unlock_irqrestore(&news_lock, state);
	if (set)
		timer_set(&look, clock_now() + PERIOD);
}

void log_reader_move(struct log_reader *r, uint64_t next)
{
	place(r, &next);
}

void log_reader_look(struct log_reader *r)
{
	place(r, NULL);
}

struct sleeper {
	struct observer observer;
	struct bell bell;
};

static void sleeper_notify(struct observer *ob, UNUSED uint64_t now)
{
	bell_ring(&container_of(ob, struct sleeper, observer)->bell);
}

err_t log_reader_wait(struct log_reader *r)
{
	struct sleeper s = {.observer.notify = sleeper_notify};
	bell_init(&s.bell, "log reader");
	kobject_observe(r->object, &s.observer, SIGNAL_READABLE);
	log_reader_look(r);
	err_t err = bell_wait(&s.bell, NSEC_NEVER);
	kobject_unobserve(&s.observer);
	return err;
}
