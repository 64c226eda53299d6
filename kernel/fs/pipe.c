/*
 * pipe.c - byte streams over kernel buffers: pipes, and fifos, which are pipes that a name leads to.
 *
 *	file (end) ──▶ pipe ◀── file (end)       any number of ends on either side; a fifo's vnode finds its pipe while it is open
 *	                 │
 *	                 └ ring of slots, a page each: [tail, tail + used)
 *
 * A slot is a page with some bytes. A write of up to PIPE_ATOMIC bytes goes in whole, behind the bytes of the
 * last slot if it fits there, else into a fresh one; so what fits when is exactly as on Linux (a pipe is
 * writable while it has a free slot). In packet mode (O_DIRECT) each write has slots of its own and a read
 * takes one.
 *
 * The pipe's mutex guards everything and is held while bytes are copied from or to user space, never while
 * waiting. Each end's object signals say what a poll of it would, and are brought up to date before the mutex
 * is dropped: READABLE, and PEER_CLOSED once no writer is left, for a reader; WRITABLE, and ERROR once no
 * reader is left, for a writer. Blocked calls wait for those of their own end and look again. News are
 * signalled even when the level stays, for edge-triggered polls.
 *
 * A splice moves bytes between a pipe and a file, whose locks come before the mutex. So it holds one side of
 * the pipe without the mutex: while the read side is held nobody else takes anything out, so the slots at the
 * tail stay; while the write side is held nobody else puts anything in, so the free slots stay free. See
 * splice.c.
 *
 * Ends are counted by files, not by descriptors: a read that is under way keeps its end open though its
 * descriptor is closed.
 */
#include "arch/clock.h"
#include "arch/usercopy.h"
#include "fs/anon.h"
#include "fs/async.h"
#include "fs/pipe_priv.h"
#include "lib/bits.h"
#include "mm/frame.h"
#include "mm/slab.h"

enum {
	SIGNAL_PIPE_MET =
	    1 << 16, /* the other side of a fifo was opened, now or earlier: what its open waits for */
	REQUEST_FIONREAD = 0x541b,
	PIPE_SLOTS_MAX = 1 << 19, /* 2 GiB */
};

static struct slab_cache *pipe_cache, *end_cache;

void pipe_init(void)
{
	pipe_cache = slab_cache_create("pipe", sizeof(struct pipe), 0);
	end_cache = slab_cache_create("pipe_end", sizeof(struct pipe_end), 0);
	ASSERT(pipe_cache && end_cache);
}

/* --- signals --- */

static uint64_t level_of(const struct pipe *p, const struct pipe_end *e)
{
	uint64_t now = 0;
	if (e->reads) {
		now |= p->used ? SIGNAL_READABLE : 0;
		now |= p->writers == 0 && p->writer_opens != e->opens_seen ? SIGNAL_PEER_CLOSED : 0;
		now |= p->writers ? SIGNAL_PIPE_MET : 0;
	}
	if (e->writes) {
		now |= p->used < p->nslots ? SIGNAL_WRITABLE : 0;
		now |= p->readers == 0 ? SIGNAL_ERROR : 0;
		now |= p->readers ? SIGNAL_PIPE_MET : 0;
	}
	return now;
}

enum { LEVELS = SIGNAL_READABLE | SIGNAL_WRITABLE | SIGNAL_PEER_CLOSED | SIGNAL_ERROR };

/* Tell all ends on that side (or both) how things are. */
void pipe_tell(struct pipe *p, bool readers, bool writers)
{
	list_for_each (it, &p->ends) {
		struct pipe_end *e = list_entry(it, struct pipe_end, link);
		if ((readers && e->reads) || (writers && e->writes)) {
			uint64_t now = level_of(p, e);
			kobject_signal(&e->file->object, now, LEVELS & ~now);
			if (e->reads && (now & (SIGNAL_READABLE | SIGNAL_PEER_CLOSED)))
				file_news(e->file, ASYNC_IN);
			if (e->writes && (now & (SIGNAL_WRITABLE | SIGNAL_ERROR)))
				file_news(e->file, ASYNC_OUT);
		}
	}
}

/* Bytes were taken. Who writes is told that there is room if there was none; with O_ASYNC, each time. */
static void tell_taken(struct pipe *p, bool was_full)
{
	bool room = p->used < p->nslots;
	pipe_tell(p, !p->used, room && (was_full || unlikely(load_relaxed(&async_files))));
}

/* --- sides --- */

err_t pipe_lock_side(struct pipe *p, enum pipe_side side)
{
	err_t err = 0;
	const bool *held = side == PIPE_READ_SIDE ? &p->read_held : &p->write_held;
	mutex_lock(&p->lock);
	while (unlikely(*held)) {
		mutex_unlock(&p->lock);
		spin_lock(&p->hold_lock);
		while (!err && *held)
			err = waitq_sleep(&p->unheld, &p->hold_lock, NSEC_NEVER, WAIT_INTERRUPTIBLE);
		spin_unlock(&p->hold_lock);
		if (err)
			return err;
		mutex_lock(&p->lock);
	}
	return 0;
}

void pipe_hold(struct pipe *p, enum pipe_side side, bool hold)
{
	bool *held = side == PIPE_READ_SIDE ? &p->read_held : &p->write_held;
	spin_lock(&p->hold_lock);
	*held = hold;
	if (!hold)
		waitq_wake_all(&p->unheld);
	spin_unlock(&p->hold_lock);
}

/* --- slots --- */

static void drop_page(struct pipe *p, struct page *page)
{
	if (p->spare)
		frame_free(page);
	else
		p->spare = page;
}

struct page *pipe_page_alloc(void)
{
	return frame_alloc(PAGE_KERNEL, 0);
}

static struct page *take_page(struct pipe *p)
{
	struct page *page = p->spare;
	p->spare = NULL;
	return page ? page : pipe_page_alloc();
}

void pipe_pop(struct pipe *p)
{
	drop_page(p, pipe_slot(p, 0)->page);
	p->tail = (p->tail + 1) & (p->nslots - 1);
	p->used--;
}

/* --- life --- */

static err_t pipe_alloc(struct pipe **out)
{
	struct pipe *p = slab_zalloc(pipe_cache);
	if (!p)
		return -ENOMEM;
	p->nslots = PIPE_DEFAULT_SIZE / PAGE_SIZE;
	p->ring = kcalloc(p->nslots, sizeof(*p->ring));
	if (!p->ring) {
		slab_free(pipe_cache, p);
		return -ENOMEM;
	}
	mutex_init(&p->lock, "pipe", RANK_CHANNEL);
	spin_init(&p->hold_lock, "pipe hold", RANK_SERVICE);
	waitq_init(&p->unheld);
	list_init(&p->ends);
	*out = p;
	return 0;
}

static void pipe_free(struct pipe *p)
{
	while (p->used)
		pipe_pop(p);
	if (p->spare)
		frame_free(p->spare);
	kfree(p->ring);
	slab_free(pipe_cache, p);
}

/* Make f an end of p. e was allocated before. */
static void join(struct pipe *p, struct pipe_end *e, struct file *f)
{
	*e = (struct pipe_end){.pipe = p, .file = f, .reads = file_may_read(f), .writes = file_may_write(f)};
	f->priv = e;
	fetch_or_acq_rel(&f->flags, FILE_STREAM);
	mutex_lock(&p->lock);
	p->readers += e->reads;
	p->writers += e->writes;
	p->writer_opens += e->writes;
	e->opens_seen = p->writers ? 0 : p->writer_opens;
	p->nends++;
	list_push_back(&p->ends, &e->link);
	kobject_signal(&f->object, 0, LEVELS);
	pipe_tell(p, true, true);
	mutex_unlock(&p->lock);
}

/* The end goes; true: it was the last and the pipe is the caller's to free. */
static bool leave(struct pipe *p, struct pipe_end *e)
{
	mutex_lock(&p->lock);
	list_remove(&e->link);
	p->readers -= e->reads;
	p->writers -= e->writes;
	bool last = --p->nends == 0;
	pipe_tell(p, e->writes && p->writers == 0, e->reads && p->readers == 0);
	mutex_unlock(&p->lock);
	slab_free(end_cache, e);
	return last;
}

static void pipe_release(struct file *f)
{
	struct pipe_end *e = f->priv;
	struct vnode *v = f->vnode;
	if (!e)
		return; /* its open failed before it had joined */
	struct pipe *p = e->pipe;
	rwlock_write(&v->lock);
	bool last = leave(p, e);
	if (last)
		store_relaxed(&v->channel, 0);
	rwlock_write_unlock(&v->lock);
	if (last)
		pipe_free(p);
}

/* --- times --- */

enum { TIME_GRAIN = 4000000 }; /* ns: as fine as times of Linux's pipes are, at 250 Hz */

/* Bytes were read, or written: of a fifo, which has a name, the times change, as those of other pipes do not
 * since Linux 6.15. Once in a while: others of this moment find it done. */
static void touch(const struct file *f, _Atomic uint64_t *last, bool written)
{
	if (!f->mount)
		return;
	uint64_t moment = clock_now() / TIME_GRAIN;
	if (load_relaxed(last) == moment)
		return;
	store_relaxed(last, moment);
	if (written)
		file_touch_mtime(f->mount, f->vnode);
	else
		file_touch_atime(f->mount, f->vnode);
}

/* --- reading --- */

/* Move what is there, up to the end of a packet. */
static err_t take_bytes(struct pipe *p, struct uio *u, size_t *total)
{
	err_t err = 0;
	bool stop = false;
	while (!err && !stop && u->left && p->used) {
		struct pipe_slot *s = pipe_slot(p, 0);
		size_t n = MIN(u->left, s->len), done;
		err = uio_write(u, pipe_slot_bytes(s), n, &done);
		s->offset += (uint16_t)done;
		s->len -= (uint16_t)done;
		*total += done;
		stop = s->packet;
		if (s->len == 0 || (s->packet && !err)) /* the rest of a packet is lost */
			pipe_pop(p);
	}
	return err;
}

static int64_t pipe_read(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct pipe_end *e = f->priv;
	struct pipe *p = e->pipe;
	uint64_t seen;
	if (!u->left)
		return 0;
	for (;;) {
		size_t total = 0;
		err_t err = pipe_lock_side(p, PIPE_READ_SIDE);
		if (err)
			return err;
		bool was_full = p->used == p->nslots, no_writer = p->writers == 0;
		err = take_bytes(p, u, &total);
		if (total)
			tell_taken(p, was_full);
		mutex_unlock(&p->lock);
		if (total) {
			touch(f, &p->read_at, false);
			return (int64_t)total;
		}
		if (err || no_writer)
			return err;
		if (file_is_nonblock(f, u))
			return -EAGAIN;
		err = kobject_wait(
		    &f->object, SIGNAL_READABLE | SIGNAL_PEER_CLOSED, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
		if (err)
			return err;
	}
}

/* --- writing --- */

/* Put n bytes (<= a page) behind those of the last slot, if they fit there. */
static err_t merge_bytes(struct pipe *p, struct uio *u, size_t n, size_t *total)
{
	size_t done;
	struct pipe_slot *last = p->used ? pipe_slot(p, p->used - 1) : NULL;
	if (!n || !last || last->packet || last->closed || last->offset + last->len + n > PAGE_SIZE)
		return 0;
	err_t err = uio_read(u, (uint8_t *)pipe_slot_bytes(last) + last->len, n, &done);
	last->len += (uint16_t)done;
	*total += done;
	return err;
}

/* Fill one free slot. */
static err_t fill_slot(struct pipe *p, struct uio *u, bool packet, size_t *total)
{
	struct pipe_slot *s = pipe_slot(p, p->used);
	size_t n = MIN(u->left, (size_t)PAGE_SIZE), done;
	struct page *page = take_page(p);
	if (!page)
		return -ENOMEM;
	err_t err = uio_read(u, page_to_virt(page), n, &done);
	if (!done) {
		drop_page(p, page);
		return err;
	}
	*s = (struct pipe_slot){.page = page, .len = (uint16_t)done, .packet = packet};
	p->used++;
	*total += done;
	return err;
}

/* As much as there is room for. */
static err_t put_bytes(struct pipe *p, struct uio *u, bool packet, bool first, size_t *total)
{
	err_t err = first && !packet ? merge_bytes(p, u, u->left % PAGE_SIZE, total) : 0;
	while (!err && u->left && p->used < p->nslots)
		err = fill_slot(p, u, packet, total);
	return err;
}

static err_t wait_for_room(struct file *f, const struct uio *u)
{
	uint64_t seen;
	if (file_is_nonblock(f, u))
		return -EAGAIN;
	return kobject_wait(
	    &f->object, SIGNAL_WRITABLE | SIGNAL_ERROR, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
}

static int64_t pipe_write(struct file *f, struct uio *u, UNUSED uint64_t *pos)
{
	struct pipe_end *e = f->priv;
	struct pipe *p = e->pipe;
	bool packet = load_relaxed(&f->flags) & FILE_DIRECT;
	size_t total = 0;
	err_t err = 0;
	for (bool first = true; !err && u->left; first = false) {
		size_t before = total;
		err = pipe_lock_side(p, PIPE_WRITE_SIDE);
		if (err)
			break;
		err = p->readers == 0 ? -EPIPE : put_bytes(p, u, packet, first, &total);
		if (total > before)
			pipe_tell(p, true, p->used == p->nslots);
		mutex_unlock(&p->lock);
		if (!err && u->left)
			err = wait_for_room(f, u);
	}
	if (total)
		touch(f, &p->written_at, true);
	return total ? (int64_t)total : err;
}

/* --- sizes --- */

static size_t count_bytes(struct pipe *p)
{
	size_t n = 0;
	for (unsigned i = 0; i < p->used; i++)
		n += pipe_slot(p, i)->len;
	return n;
}

extern const struct file_ops pipe_file_ops;

int64_t pipe_available(struct file *f)
{
	if (f->ops != &pipe_file_ops)
		return -EINVAL;
	struct pipe *p = ((struct pipe_end *)f->priv)->pipe;
	mutex_lock(&p->lock);
	size_t n = count_bytes(p);
	mutex_unlock(&p->lock);
	return (int64_t)n;
}

static int64_t pipe_ioctl(struct file *f, uint32_t request, uint64_t arg)
{
	if (request != REQUEST_FIONREAD)
		return -ENOTTY;
	int32_t n = (int32_t)pipe_available(f);
	return copy_to_user(arg, &n, sizeof(n));
}

/* Move the slots to a ring of another size. */
static err_t resize(struct pipe *p, unsigned nslots)
{
	struct pipe_slot *ring = kcalloc(nslots, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	mutex_lock(&p->lock);
	bool fits = p->used + p->reserved <= nslots;
	if (fits) {
		for (unsigned i = 0; i < p->used; i++)
			ring[i] = *pipe_slot(p, i);
		struct pipe_slot *old = p->ring;
		p->ring = ring;
		ring = old;
		p->tail = 0;
		p->nslots = nslots;
		pipe_tell(p, false, true);
	}
	mutex_unlock(&p->lock);
	kfree(ring);
	return fits ? 0 : -EBUSY;
}

static int64_t set_size(struct pipe *p, uint64_t size, bool privileged)
{
	if (size > (uint64_t)PIPE_SLOTS_MAX * PAGE_SIZE)
		return -EINVAL;
	unsigned nslots = 1u << order_of(DIV_ROUND_UP(MAX(size, 1ul), (uint64_t)PAGE_SIZE));
	if (nslots > p->nslots && (uint64_t)nslots * PAGE_SIZE > PIPE_MAX_SIZE && !privileged)
		return -EPERM;
	err_t err = resize(p, nslots);
	return err ? err : (int64_t)nslots * PAGE_SIZE;
}

static int64_t pipe_control(struct file *f, int command, uint64_t arg, bool privileged)
{
	struct pipe *p = ((struct pipe_end *)f->priv)->pipe;
	if (command == CONTROL_SETPIPE_SZ)
		return set_size(p, (uint32_t)arg, privileged);
	if (command != CONTROL_GETPIPE_SZ)
		return -EINVAL;
	mutex_lock(&p->lock);
	int64_t size = (int64_t)p->nslots * PAGE_SIZE;
	mutex_unlock(&p->lock);
	return size;
}

static uint32_t pipe_async(UNUSED struct file *f)
{
	return ASYNC_NOBODY;
}

const struct file_ops pipe_file_ops = {
    .type = KO_CHANNEL,
    .async = pipe_async,
    .read = pipe_read,
    .write = pipe_write,
    .ioctl = pipe_ioctl,
    .control = pipe_control,
    .release = pipe_release,
};

/* --- opening --- */

/* Join the pipe that v leads to, made if nobody has it open. A name waits for who reads: without anybody, and
 * without waiting, there is nothing to write to. */
static err_t join_pipe(struct file *f, bool named)
{
	struct vnode *v = f->vnode;
	err_t err = 0;
	struct pipe_end *e = slab_alloc(end_cache);
	if (!e)
		return -ENOMEM;
	rwlock_write(&v->lock);
	struct pipe *p = (struct pipe *)load_relaxed(&v->channel);
	if (!p)
		err = pipe_alloc(&p);
	if (!err && named && !load_relaxed(&v->channel) && file_may_write(f) && !file_may_read(f) &&
	    file_is_nonblock(f, NULL)) {
		pipe_free(p);
		err = -ENXIO;
	}
	if (!err) {
		store_relaxed(&v->channel, (uintptr_t)p);
		join(p, e, f);
	}
	rwlock_write_unlock(&v->lock);
	if (err)
		slab_free(end_cache, e);
	return err;
}

err_t pipe_open_again(struct file *f)
{
	f->ops = &pipe_file_ops;
	return join_pipe(f, false);
}

static err_t open_end(struct vnode *v, unsigned flags, struct file **out)
{
	err_t err = file_create_on(&pipe_file_ops, flags, v, "pipe", out);
	if (err)
		return err;
	err = join_pipe(*out, false);
	if (err)
		file_put(*out);
	return err;
}

err_t pipe_create(unsigned flags, struct file **reader, struct file **writer)
{
	struct vnode *v;
	err_t err = anon_vnode_create(ANON_PIPE, MODE_FIFO | 0600, &v);
	if (err)
		return err;
	flags &= FILE_NONBLOCK | FILE_DIRECT;
	err = open_end(v, flags | FILE_RDONLY, reader);
	if (!err) {
		err = open_end(v, flags | FILE_WRONLY, writer);
		if (err)
			file_put(*reader); /* the last end frees the pipe */
	}
	vnode_put(v); /* the ends have it */
	return err;
}

/* Nobody reads: an open for writing that may not wait fails. */
static bool lacks_reader(struct file *f)
{
	struct pipe_end *e = f->priv;
	mutex_lock(&e->pipe->lock);
	bool lacks = e->pipe->readers == 0;
	mutex_unlock(&e->pipe->lock);
	return lacks && e->writes && !e->reads;
}

err_t fifo_open(struct file *f)
{
	uint64_t seen;
	f->ops = &pipe_file_ops;
	err_t err = join_pipe(f, true);
	if (err)
		return err;
	if (file_is_nonblock(f, NULL))
		return lacks_reader(f) ? -ENXIO : 0;
	return kobject_wait(&f->object, SIGNAL_PIPE_MET, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
}
