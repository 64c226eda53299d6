/*
 * sigio.c - the signals of O_ASYNC.
 *
 * News of files are taken (fs/async.h) and sent to whom F_SETOWN named, if the one who named them could send
 * them signals: by the thread that made the news, before it goes back to user mode, so that its own signal
 * is there when the call returns; and by a thread of the kernel, for news that interrupts make, and for
 * threads that wait before they return. `sending` makes the first wait for what the second has begun.
 *
 * As on Linux: with F_SETSIG the signal tells the descriptor and what happened, and when no more can be
 * queued, SIGIO comes in its place.
 */
#include "proc/sigio.h"
#include "fs/async.h"
#include "kern/mutex.h"
#include "lib/bits.h"
#include "mm/kva.h"
#include "proc/cred.h"
#include "proc/proc_priv.h"

static struct thread sender;
static struct mutex sending;

/* What poll says when this is the reason. */
static int64_t band_of(enum async_reason reason)
{
	static const uint16_t bands[] = {
	    [ASYNC_IN] = 0x041,
	    [ASYNC_OUT] = 0x304,
	    [ASYNC_MSG] = 0x441,
	    [ASYNC_ERR] = 0x008,
	    [ASYNC_PRI] = 0x082,
	    [ASYNC_HUP] = 0x018,
	};
	return bands[reason];
}

/* One signal to one receiver, or to all of a group. */
struct telling {
	const struct async_news *news;
	struct sigio_owner to;
	struct signal_info info;
	struct signal_reserve *reserve; /* NULL: count only */
	unsigned matched;
};

static bool may_tell(const struct async_owner *by, const struct cred *c)
{
	return by->euid == 0 || by->euid == c->suid || by->euid == c->uid || by->uid == c->suid ||
	       by->uid == c->uid;
}

static void tell_locked(const struct telling *t, struct process *p, struct user_thread *ut)
{
	struct signal_info plain = {.signo = SIGNAL_IO, .code = SI_KERNEL};
	if (!may_tell(&t->news->owner, ut ? ut->cred : p->cred))
		return;
	if (t->news->signal && !signal_send_locked(p, ut, &t->info, t->reserve))
		return;
	err_t err = signal_send_locked(p, ut, &plain, t->reserve);
	ASSERT(!err); /* a standard signal */
}

static void tell_member_locked(struct process *p, void *arg)
{
	struct telling *t = arg;
	if (p->pgid != t->to.number)
		return;
	t->matched++;
	if (t->reserve)
		tell_locked(t, p, NULL);
}

static void tell_number_locked(const struct telling *t)
{
	struct user_thread *ut = user_thread_find_locked(t->to.number);
	struct process *p = t->to.type == SIGIO_THREAD ? NULL : process_find_locked(t->to.number);
	if (t->to.type == SIGIO_THREAD && ut)
		tell_locked(t, ut->thread.process, ut);
	else if (p)
		tell_locked(t, p, NULL);
}

static void tell(const struct async_news *n, enum async_reason reason)
{
	struct signal_reserve reserve;
	struct telling t = {.news = n, .to = sigio_owner_of(n->owner.who), .matched = 1};
	bool own_codes = n->signal && n->signal < SIGNAL_RT_MIN && signal_in(n->signal, SIGNALS_WITH_CODES);
	t.info = (struct signal_info){.signo = n->signal, .code = own_codes ? SI_SIGIO : (int)reason};
	t.info.band = band_of(reason);
	t.info.fd = n->fd;
	bool group = t.to.type == SIGIO_GROUP;
	if (!t.to.number)
		return;
	if (group && n->signal >= SIGNAL_RT_MIN) {
		t.matched = 0;
		process_for_each(tell_member_locked, &t);
	}
	signal_reserve(&reserve, n->signal, t.matched);
	t.reserve = &reserve;
	spin_lock(&process_tree_lock);
	if (group)
		process_for_each_locked(tell_member_locked, &t);
	else
		tell_number_locked(&t);
	spin_unlock(&process_tree_lock);
	signal_reserve_fini(&reserve);
}

static void send_all(void)
{
	struct async_news n;
	mutex_lock(&sending);
	while (async_take(&n))
		for (uint32_t rest = n.reasons; rest; rest &= rest - 1)
			tell(&n, (enum async_reason)bit_lowest(rest));
	mutex_unlock(&sending);
}

void sigio_flush(void)
{
	atomic_fetch_and_explicit(&current_thread()->flags, ~(uint32_t)THREAD_ASYNC, memory_order_relaxed);
	send_all();
}

static void run(UNUSED void *arg)
{
	for (;;) {
		async_wait();
		send_all();
	}
}

void sigio_init(void)
{
	vaddr_t stack = kva_alloc_stack();
	ASSERT(stack); /* at boot */
	async_init();
	mutex_init(&sending, "signals of files", RANK_FILE);
	thread_init(&sender, "sigio", stack, KSTACK_PAGES * PAGE_SIZE, run, NULL);
	thread_start(&sender);
}
