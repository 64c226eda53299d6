/*
 * linux_poll.c - poll, select and epoll.
 *
 * An interrupted poll or select starts again unless a handler runs; epoll_wait never does. See signal(7).
 */
#include "arch/clock.h"
#include "fs/epoll.h"
#include "kern/wall.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "sys/files.h"
#include "sys/times.h"

enum { POLL_FEW = 16, SELECT_MAX = 1 << 20, WORD_BITS = 64 };
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_USEC 1000ULL

struct sys_pollfd {
	int32_t fd;
	uint16_t events, revents;
};

/* A time from now on, as a deadline; 0 stays 0: do not wait. */
static nsec_t deadline_after(nsec_t time)
{
	nsec_t now = clock_now();
	if (time == 0)
		return 0;
	return time >= NSEC_NEVER - now ? NSEC_NEVER : now + time;
}

static nsec_t deadline_of_msec(int32_t timeout)
{
	return timeout < 0 ? NSEC_NEVER : deadline_after((nsec_t)timeout * NSEC_PER_MSEC);
}

/* Seconds and a part in units of `unit` ns. Address 0: for ever. */
static err_t get_deadline(uaddr_t from, uint64_t unit, nsec_t *out)
{
	struct sys_timespec ts;
	*out = NSEC_NEVER;
	if (!from)
		return 0;
	err_t err = copy_from_user(&ts, from, sizeof(ts));
	if (err)
		return err;
	if (unit == NSEC_PER_USEC && ts.nsec >= 0) { /* select takes more microseconds than a second has */
		if (ts.sec > INT64_MAX - ts.nsec / 1000000)
			return -EINVAL;
		ts.sec += ts.nsec / 1000000;
		ts.nsec = ts.nsec % 1000000 * 1000;
	}
	nsec_t time;
	err = timespec_to_time(&ts, &time);
	if (!err)
		*out = deadline_after(time);
	return err;
}

/* Tell what is left of the time. That it cannot be told is no failure. */
static void put_remaining(uaddr_t to, nsec_t deadline, uint64_t unit)
{
	if (!to)
		return;
	nsec_t now = clock_now(), left = deadline > now ? deadline - now : 0;
	struct sys_timespec ts = {(int64_t)(left / NSEC_PER_SEC), (int64_t)(left % NSEC_PER_SEC / unit)};
	size_t missed = deadline == NSEC_NEVER ? 0 : copy_to_user_partial(to, &ts, sizeof(ts));
	(void)missed;
}

/* --- poll --- */

static void items_put(struct poll_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (items[i].file)
			file_put(items[i].file);
}

static void item_get(struct poll_item *it, int32_t fd, unsigned events)
{
	it->file = NULL; /* the rest is poll_wait's */
	it->events = events;
	it->result = 0;
	if (fd >= 0 && fd_file_for(fd, RIGHT_WAIT, &it->file))
		it->result = POLL_NVAL;
}

static err_t poll_tell(const struct poll_item *items, unsigned n, uaddr_t fds)
{
	err_t err = 0;
	for (unsigned i = 0; i < n && !err; i++) {
		uint16_t result = (uint16_t)items[i].result;
		err = copy_to_user(fds + i * sizeof(struct sys_pollfd) + offsetof(struct sys_pollfd, revents),
		    &result, sizeof(result));
	}
	return err;
}

static err_t poll_fetch(struct poll_item *items, unsigned n, uaddr_t fds)
{
	struct sys_pollfd some[POLL_FEW];
	for (unsigned i = 0; i < n; i++) {
		unsigned at = i % POLL_FEW;
		if (at == 0 && copy_from_user(some, fds + i * sizeof(*some),
				   MIN(n - i, (unsigned)POLL_FEW) * sizeof(*some))) {
			items_put(items, i);
			return -EFAULT;
		}
		item_get(&items[i], some[at].fd, some[at].events | POLL_ALWAYS);
	}
	return 0;
}

static int64_t do_poll(uaddr_t fds, uint32_t n, nsec_t deadline)
{
	struct poll_item few[POLL_FEW], *items = few;
	if (n > (uint32_t)fd_limit())
		return -EINVAL;
	if (n > POLL_FEW)
		items = kmalloc(n * sizeof(*items));
	if (!items)
		return -ENOMEM;
	int64_t found = poll_fetch(items, n, fds);
	if (!found) {
		found = poll_wait(items, n, deadline);
		err_t err = found >= 0 ? poll_tell(items, n, fds) : 0;
		items_put(items, n);
		found = err ? err : found;
	}
	if (items != few)
		kfree(items);
	return found;
}

int64_t sys_poll(uaddr_t fds, uint32_t n, int32_t timeout)
{
	int64_t found = do_poll(fds, n, deadline_of_msec(timeout));
	return found == -EINTR ? -ERESTARTNOHAND : found;
}

int64_t sys_ppoll(uaddr_t fds, uint32_t n, uaddr_t timeout, uaddr_t mask, uint64_t mask_size)
{
	nsec_t deadline;
	struct call_mask m;
	err_t err = get_deadline(timeout, 1, &deadline);
	if (!err)
		err = call_mask_set(&m, mask, mask_size);
	if (err)
		return err;
	int64_t found = do_poll(fds, n, deadline);
	put_remaining(timeout, deadline, 1);
	return call_mask_end(&m, found == -EINTR ? -ERESTARTNOHAND : found);
}

/* --- select --- */

enum { SETS = 3 };
#define SELECT_IN  (POLL_RDNORM | POLL_RDBAND | POLL_IN | POLL_HUP | POLL_ERR)
#define SELECT_OUT (POLL_WRBAND | POLL_WRNORM | POLL_OUT | POLL_ERR)
static const unsigned select_means[SETS] = {SELECT_IN, SELECT_OUT, POLL_PRI};

struct select_call {
	unsigned nfds, words;
	uaddr_t sets[SETS]; /* 0: none */
	uint64_t *bits;     /* SETS * words */
	struct poll_item *items;
	int32_t *fds;
	unsigned nitems;
};

static uint64_t *select_word(const struct select_call *s, unsigned set, unsigned fd)
{
	return &s->bits[set * s->words + fd / WORD_BITS];
}

static bool select_asks(const struct select_call *s, unsigned set, unsigned fd)
{
	return *select_word(s, set, fd) >> fd % WORD_BITS & 1;
}

static unsigned select_events(const struct select_call *s, unsigned fd)
{
	unsigned events = 0;
	for (unsigned set = 0; set < SETS; set++)
		if (select_asks(s, set, fd))
			events |= select_means[set];
	return events;
}

static err_t select_fetch(struct select_call *s)
{
	for (unsigned set = 0; set < SETS; set++)
		if (s->sets[set] && copy_from_user(select_word(s, set, 0), s->sets[set], s->words * 8))
			return -EFAULT;
	for (unsigned fd = 0; fd < s->nfds; fd++) {
		unsigned events = select_events(s, fd);
		if (!events)
			continue;
		struct poll_item *it = &s->items[s->nitems];
		item_get(it, (int32_t)fd, events);
		if (!it->file)
			return -EBADF;
		s->fds[s->nitems++] = (int32_t)fd;
	}
	return 0;
}

/* Put the results into the sets; returns how many bits are set. */
static int64_t select_result(struct select_call *s)
{
	int64_t count = 0;
	for (unsigned i = 0; i < s->nitems; i++)
		for (unsigned set = 0; set < SETS; set++) {
			unsigned fd = (unsigned)s->fds[i];
			bool asked = select_asks(s, set, fd);
			bool found = asked && (s->items[i].result & select_means[set]);
			if (asked && !found)
				*select_word(s, set, fd) &= ~(1ULL << fd % WORD_BITS);
			count += found;
		}
	return count;
}

static err_t select_tell(const struct select_call *s)
{
	for (unsigned set = 0; set < SETS; set++)
		if (s->sets[set] && copy_to_user(s->sets[set], select_word(s, set, 0), s->words * 8))
			return -EFAULT;
	return 0;
}

static err_t select_alloc(struct select_call *s)
{
	s->words = DIV_ROUND_UP(s->nfds, WORD_BITS);
	s->bits = kcalloc(SETS * (size_t)s->words + 1, sizeof(*s->bits));
	s->items = kcalloc((size_t)s->nfds + 1, sizeof(*s->items));
	s->fds = kcalloc((size_t)s->nfds + 1, sizeof(*s->fds));
	return s->bits && s->items && s->fds ? 0 : -ENOMEM;
}

static int64_t select_wait(struct select_call *s, nsec_t deadline)
{
	int64_t found = poll_wait(s->items, s->nitems, deadline);
	if (found < 0)
		return found;
	found = select_result(s);
	err_t err = select_tell(s);
	return err ? err : found;
}

static int64_t do_select(int32_t nfds, uaddr_t in, uaddr_t out, uaddr_t except, nsec_t deadline)
{
	struct select_call s = {.nfds = (unsigned)nfds, .sets = {in, out, except}};
	if (nfds < 0)
		return -EINVAL;
	s.nfds = MIN(s.nfds, (unsigned)SELECT_MAX);
	s.nfds = MIN(s.nfds, (unsigned)MAX(desc_highest(current_descs()) + 1, WORD_BITS));
	int64_t found = select_alloc(&s);
	if (!found)
		found = select_fetch(&s);
	if (!found)
		found = select_wait(&s, deadline);
	items_put(s.items, s.items ? s.nitems : 0);
	kfree(s.bits);
	kfree(s.items);
	kfree(s.fds);
	return found;
}

int64_t sys_select(int32_t nfds, uaddr_t in, uaddr_t out, uaddr_t except, uaddr_t timeout)
{
	nsec_t deadline;
	err_t err = get_deadline(timeout, NSEC_PER_USEC, &deadline);
	if (err)
		return err;
	int64_t found = do_select(nfds, in, out, except, deadline);
	put_remaining(timeout, deadline, NSEC_PER_USEC);
	return found == -EINTR ? -ERESTARTNOHAND : found;
}

struct sys_mask_arg {
	uaddr_t mask;
	uint64_t size;
};

int64_t sys_pselect6(int32_t nfds, uaddr_t in, uaddr_t out, uaddr_t except, uaddr_t timeout, uaddr_t mask_arg)
{
	struct sys_mask_arg arg = {0, 0};
	struct call_mask m;
	nsec_t deadline;
	err_t err = mask_arg ? copy_from_user(&arg, mask_arg, sizeof(arg)) : 0;
	if (!err)
		err = get_deadline(timeout, 1, &deadline);
	if (!err)
		err = call_mask_set(&m, arg.mask, arg.size);
	if (err)
		return err;
	int64_t found = do_select(nfds, in, out, except, deadline);
	put_remaining(timeout, deadline, 1);
	return call_mask_end(&m, found == -EINTR ? -ERESTARTNOHAND : found);
}

/* --- epoll --- */

int64_t sys_epoll_create1(int32_t flags)
{
	struct file *f;
	if (flags & ~FILE_CLOEXEC)
		return -EINVAL;
	err_t err = epoll_create_file(&f);
	return err ? err : fd_install(f, flags & FILE_CLOEXEC);
}

int64_t sys_epoll_create(int32_t size)
{
	return size <= 0 ? -EINVAL : sys_epoll_create1(0);
}

int64_t sys_epoll_ctl(int32_t epfd, int32_t op, int32_t fd, uaddr_t event)
{
	struct epoll_event e = {0};
	struct file *ep, *f;
	if (op != EPOLL_DELETE && copy_from_user(&e, event, sizeof(e)))
		return -EFAULT;
	err_t err = fd_file_for(epfd, RIGHT_MANAGE, &ep);
	if (err)
		return err;
	err = fd_file_for(fd, RIGHT_WAIT, &f);
	if (!err) {
		bool valid = file_is_epoll(ep) && op >= EPOLL_ADD && op <= EPOLL_MODIFY;
		err = valid ? epoll_change(ep, (enum epoll_operation)op, f, fd, &e) : -EINVAL;
		file_put(f);
	}
	file_put(ep);
	return err;
}

static int64_t do_epoll_wait(int32_t epfd, uaddr_t events, int32_t max, nsec_t deadline)
{
	struct file *ep;
	if (max <= 0 || (uint64_t)max > INT32_MAX / sizeof(struct epoll_event))
		return -EINVAL;
	err_t err = fd_file_for(epfd, RIGHT_WAIT, &ep);
	if (err)
		return err;
	int64_t n = file_is_epoll(ep) ? epoll_wait_events(ep, events, max, deadline) : -EINVAL;
	file_put(ep);
	return n;
}

int64_t sys_epoll_wait(int32_t epfd, uaddr_t events, int32_t max, int32_t timeout)
{
	return do_epoll_wait(epfd, events, max, deadline_of_msec(timeout));
}

int64_t sys_epoll_pwait(
    int32_t epfd, uaddr_t events, int32_t max, int32_t timeout, uaddr_t mask, uint64_t mask_size)
{
	struct call_mask m;
	err_t err = call_mask_set(&m, mask, mask_size);
	return err ? err : call_mask_end(&m, do_epoll_wait(epfd, events, max, deadline_of_msec(timeout)));
}

int64_t sys_epoll_pwait2(
    int32_t epfd, uaddr_t events, int32_t max, uaddr_t timeout, uaddr_t mask, uint64_t mask_size)
{
	struct call_mask m;
	nsec_t deadline;
	err_t err = get_deadline(timeout, 1, &deadline);
	if (!err)
		err = call_mask_set(&m, mask, mask_size);
	return err ? err : call_mask_end(&m, do_epoll_wait(epfd, events, max, deadline));
}
