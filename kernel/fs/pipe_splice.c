/*
 * pipe_splice.c - splicing: bytes go between a pipe and a file, or between two pipes, without a buffer of the
 * user's.
 *
 * Into a pipe: the write side is held and free slots are reserved; fresh pages are filled by the file's read,
 * then pushed. Out of a pipe: the read side is held, the file's write takes the bytes where they lie, then
 * what it took is consumed. Between pipes: full slots change rings, the rest is copied. So whatever fails, no
 * byte is lost and none is seen twice.
 *
 * Nobody waits for bytes or room while holding a side, except for the file in question. Who holds two sides
 * holds the read side of one pipe and took it first, so there is no cycle.
 *
 * Pages of the page cache and of the user are copied, not lent: what is in a pipe does not change any more.
 */
#include "fs/splice.h"
#include "fs/pipe_priv.h"
#include "fs/unix_socket.h"
#include "kern/thread.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { BATCH = 16, COPY_BUFFER = 32768 };

bool file_is_pipe(const struct file *f)
{
	return f->ops == &pipe_file_ops;
}

bool pipes_are_same(struct file *a, struct file *b)
{
	return pipe_of(a) == pipe_of(b);
}

static bool is_interrupted(void)
{
	return load_relaxed(&current_thread()->flags) & THREAD_INTERRUPTS;
}

static bool is_stream(const struct file *f)
{
	return load_relaxed(&f->flags) & FILE_STREAM;
}

/* --- waiting and holding --- */

static err_t wait_end(struct file *end, uint64_t signals, bool nonblock)
{
	uint64_t seen;
	return nonblock ? -EAGAIN
			: kobject_wait(&end->object, signals, NSEC_NEVER, WAIT_INTERRUPTIBLE, &seen);
}

/* Wait until something is in the pipe, or cannot come. 0: the mutex is held; the caller looks whether there
 * is something. */
static err_t lock_filled(struct file *end, bool nonblock)
{
	struct pipe *p = pipe_of(end);
	for (;;) {
		err_t err = pipe_lock_side(p, PIPE_READ_SIDE);
		if (err || p->used || !p->writers)
			return err;
		mutex_unlock(&p->lock);
		err = wait_end(end, SIGNAL_READABLE | SIGNAL_PEER_CLOSED, nonblock);
		if (err)
			return err;
	}
}

/* Wait for a free slot. 0: the mutex is held, and there is one. */
static err_t lock_roomy(struct file *end, bool nonblock)
{
	struct pipe *p = pipe_of(end);
	for (;;) {
		err_t err = pipe_lock_side(p, PIPE_WRITE_SIDE);
		if (err || (p->readers && p->used < p->nslots))
			return err;
		bool deaf = !p->readers;
		mutex_unlock(&p->lock);
		err = deaf ? -EPIPE : wait_end(end, SIGNAL_WRITABLE | SIGNAL_ERROR, nonblock);
		if (err)
			return err;
	}
}

static void let_go(struct pipe *p, enum pipe_side side)
{
	mutex_lock(&p->lock);
	pipe_hold(p, side, false);
	if (side == PIPE_WRITE_SIDE)
		p->reserved = 0;
	mutex_unlock(&p->lock);
}

/* Reserve up to n free slots, (M) and the write side held. Returns how many. */
static unsigned reserve(struct pipe *p, unsigned n)
{
	p->reserved = MIN(n, p->nslots - p->used);
	return p->reserved;
}

static void push(struct pipe *p, const struct pipe_slot *slots, unsigned n)
{
	mutex_lock(&p->lock);
	ASSERT(n <= p->reserved && p->used + p->reserved <= p->nslots);
	for (unsigned i = 0; i < n; i++)
		*pipe_slot(p, p->used++) = slots[i];
	p->reserved -= n;
	if (n)
		pipe_tell(p, true, p->used == p->nslots);
	mutex_unlock(&p->lock);
}

/* --- out of a pipe into a file --- */

/* Where the first bytes lie, up to len of them. (M) held. */
static unsigned gather(struct pipe *p, size_t len, struct uio_segment *segs)
{
	unsigned n = 0;
	for (; n < MIN(p->used, (unsigned)BATCH) && len; n++) {
		const struct pipe_slot *s = pipe_slot(p, n);
		segs[n] = (struct uio_segment){(uintptr_t)pipe_slot_bytes(s), MIN(len, (size_t)s->len)};
		len -= segs[n].len;
	}
	return n;
}

static void consume(struct pipe *p, size_t n)
{
	mutex_lock(&p->lock);
	bool was_full = p->used == p->nslots;
	while (n) {
		struct pipe_slot *s = pipe_slot(p, 0);
		size_t part = MIN(n, (size_t)s->len);
		s->offset += (uint16_t)part;
		s->len -= (uint16_t)part;
		n -= part;
		if (!s->len)
			pipe_pop(p);
	}
	pipe_hold(p, PIPE_READ_SIDE, false);
	pipe_tell(p, !p->used, was_full && p->used < p->nslots);
	mutex_unlock(&p->lock);
}

static int64_t write_segments(struct file *out, uint64_t *pos, const struct uio_segment *segs, unsigned n,
    bool nonblock, struct uio *how)
{
	struct uio u;
	uio_init_user(&u, segs, n);
	u.user = false;
	u.limit = how->limit;
	u.keep_suid = how->keep_suid;
	u.nonblock = nonblock && file_is_socket(out);
	int64_t done = out->ops->write(out, &u, is_stream(out) ? NULL : pos);
	how->limit_hit = u.limit_hit;
	return done;
}

int64_t splice_from_pipe(
    struct file *pipe, struct file *out, uint64_t *pos, size_t len, bool nonblock, struct uio *how)
{
	struct pipe *p = pipe_of(pipe);
	struct uio_segment segs[BATCH];
	int64_t total = 0, done = 0;
	while (len && !(total && is_interrupted())) {
		done = lock_filled(pipe, nonblock || total);
		if (done)
			break;
		unsigned n = gather(p, len, segs);
		if (n)
			pipe_hold(p, PIPE_READ_SIDE, true);
		mutex_unlock(&p->lock);
		if (!n)
			break;
		done = write_segments(out, pos, segs, n, nonblock, how);
		consume(p, done > 0 ? (size_t)done : 0);
		if (done <= 0)
			break;
		total += done;
		len -= (size_t)done;
	}
	return total ? total : done;
}

int64_t splice_pipe_to_user(struct file *pipe, struct uio *u, bool nonblock)
{
	struct pipe *p = pipe_of(pipe);
	int64_t total = 0;
	while (u->left) {
		size_t done = 0;
		err_t err = lock_filled(pipe, nonblock || total);
		if (err)
			return total ? total : err;
		bool was_full = p->used == p->nslots, any = p->used;
		if (any) {
			struct pipe_slot *s = pipe_slot(p, 0);
			err = uio_write(u, pipe_slot_bytes(s), MIN(u->left, (size_t)s->len), &done);
			s->offset += (uint16_t)done;
			s->len -= (uint16_t)done;
			if (!s->len)
				pipe_pop(p);
			pipe_tell(p, !p->used, was_full && p->used < p->nslots);
		}
		mutex_unlock(&p->lock);
		total += (int64_t)done;
		if (err || !any)
			return total ? total : err;
	}
	return total;
}

/* --- out of a file into a pipe --- */

/* Pages for len bytes, at most n of them, `offset` into the first. Returns how many slots there are; fewer
 * than needed: no memory. */
static unsigned make_slots(struct pipe_slot *slots, unsigned n, size_t len, unsigned offset)
{
	unsigned i = 0;
	for (; i < n && len; i++) {
		struct page *page = pipe_page_alloc();
		if (!page)
			break;
		slots[i] = (struct pipe_slot){.page = page, .offset = (uint16_t)offset, .closed = true};
		slots[i].len = (uint16_t)MIN(len, (size_t)PAGE_SIZE - offset);
		len -= slots[i].len;
		offset = 0;
	}
	return i;
}

/* `len` bytes of the slots are of use: free the rest. Returns how many slots are left. */
static unsigned trim_slots(struct pipe_slot *slots, unsigned n, size_t len)
{
	unsigned used = 0;
	for (unsigned i = 0; i < n; i++) {
		slots[i].len = (uint16_t)MIN(len, (size_t)slots[i].len);
		len -= slots[i].len;
		if (slots[i].len)
			used++;
		else
			frame_free(slots[i].page);
	}
	return used;
}

/* Fill up to n reserved slots. Bytes or an error; 0: the end. */
static int64_t fill_slots(
    struct file *in, uint64_t *pos, struct pipe *p, unsigned n, size_t len, bool nonblock)
{
	struct pipe_slot slots[BATCH];
	struct uio_segment segs[BATCH];
	struct uio u;
	unsigned offset = in->ops == &regular_file_ops ? *pos % PAGE_SIZE : 0;
	n = make_slots(slots, n, len, offset);
	if (!n)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		segs[i] = (struct uio_segment){(uintptr_t)pipe_slot_bytes(&slots[i]), slots[i].len};
	uio_init_user(&u, segs, n);
	u.user = false;
	u.nonblock = nonblock && file_is_socket(in);
	int64_t done = in->ops->read(in, &u, is_stream(in) ? NULL : pos);
	push(p, slots, trim_slots(slots, n, done > 0 ? (size_t)done : 0));
	return done;
}

int64_t splice_to_pipe(struct file *in, uint64_t *pos, struct file *pipe, size_t len, bool nonblock)
{
	struct pipe *p = pipe_of(pipe);
	int64_t total = 0, done;
	err_t err = lock_roomy(pipe, nonblock);
	if (err)
		return err;
	unsigned n = reserve(p, DIV_ROUND_UP(len, (size_t)PAGE_SIZE) + 1 > p->nslots
				    ? p->nslots
				    : (unsigned)DIV_ROUND_UP(len, (size_t)PAGE_SIZE) + 1);
	pipe_hold(p, PIPE_WRITE_SIDE, true);
	mutex_unlock(&p->lock);
	len = MIN(len, (size_t)n * PAGE_SIZE);
	do {
		unsigned before = p->reserved; /* nobody else changes it */
		done = len ? fill_slots(in, pos, p, MIN(before, (unsigned)BATCH), len, nonblock) : 0;
		if (done > 0) {
			total += done;
			len -= (size_t)done;
		}
	} while (done > 0 && len && p->reserved && !is_stream(in) && !is_interrupted());
	let_go(p, PIPE_WRITE_SIDE);
	return total ? total : done;
}

/* The part of the uio's position that lies in one page of the user's, into one slot. (M) held. */
static err_t fill_user_slot(struct pipe *p, struct uio *u, int64_t *total)
{
	size_t done;
	while (u->offset == u->segments[u->index].len) { /* empty ones */
		u->index++;
		u->offset = 0;
	}
	const struct uio_segment *s = &u->segments[u->index];
	size_t room = PAGE_SIZE - (s->base + u->offset) % PAGE_SIZE;
	size_t n = MIN(u->left, MIN(room, s->len - u->offset));
	struct page *page = pipe_page_alloc();
	if (!page)
		return -ENOMEM;
	err_t err = uio_read(u, page_to_virt(page), n, &done);
	if (err) {
		frame_free(page);
		return err;
	}
	*pipe_slot(p, p->used++) = (struct pipe_slot){.page = page, .len = (uint16_t)n, .closed = true};
	*total += (int64_t)n;
	return 0;
}

int64_t splice_user_to_pipe(struct uio *u, struct file *pipe, bool nonblock)
{
	struct pipe *p = pipe_of(pipe);
	int64_t total = 0;
	err_t err = lock_roomy(pipe, nonblock);
	if (err)
		return err;
	while (!err && u->left && p->used < p->nslots)
		err = fill_user_slot(p, u, &total);
	if (total)
		pipe_tell(p, true, p->used == p->nslots);
	mutex_unlock(&p->lock);
	return total ? total : err;
}

/* --- between pipes --- */

/* The first `len` bytes of s, copied. -ENOMEM. */
static err_t copy_slot(const struct pipe_slot *s, size_t len, struct pipe_slot *out)
{
	*out = *s;
	out->page = pipe_page_alloc();
	if (!out->page)
		return -ENOMEM;
	out->len = (uint16_t)len;
	out->closed = true;
	memcpy(pipe_slot_bytes(out), pipe_slot_bytes(s), len);
	return 0;
}

/* Take up to n slots with up to len bytes out of p, or copy those from the one numbered `skip` on. Their
 * number; *err tells why it stopped early. The read side is held. */
static unsigned take_slots(
    struct pipe *p, struct pipe_slot *to, unsigned n, size_t len, bool keep, unsigned skip, err_t *err)
{
	unsigned i = 0;
	mutex_lock(&p->lock);
	bool was_full = p->used == p->nslots;
	for (; i < n && len && (keep ? skip + i : 0) < p->used; i++) {
		struct pipe_slot *s = pipe_slot(p, keep ? skip + i : 0);
		if (!keep && len >= s->len) {
			to[i] = *s;
			p->tail = (p->tail + 1) & (p->nslots - 1);
			p->used--;
		} else {
			*err = copy_slot(s, MIN(len, (size_t)s->len), &to[i]);
			if (*err)
				break;
			s->offset += keep ? 0 : to[i].len;
			s->len -= keep ? 0 : to[i].len;
		}
		len -= to[i].len;
	}
	if (!keep)
		pipe_tell(p, !p->used, was_full && p->used < p->nslots);
	mutex_unlock(&p->lock);
	return i;
}

/* Both pipes have what is needed: hold both. -EAGAIN: not any more. */
static err_t hold_both(struct pipe *from, struct pipe *to)
{
	err_t err = pipe_lock_side(from, PIPE_READ_SIDE);
	if (err)
		return err;
	unsigned used = from->used;
	if (used)
		pipe_hold(from, PIPE_READ_SIDE, true);
	mutex_unlock(&from->lock);
	if (!used)
		return -EAGAIN;
	err = pipe_lock_side(to, PIPE_WRITE_SIDE);
	if (!err) {
		err = to->readers && reserve(to, to->nslots) ? 0 : -EAGAIN;
		if (!err)
			pipe_hold(to, PIPE_WRITE_SIDE, true);
		mutex_unlock(&to->lock);
	}
	if (err)
		let_go(from, PIPE_READ_SIDE);
	return err;
}

/* Move what is there and fits. Bytes, or -errno; -EAGAIN: somebody was faster. */
static int64_t move_slots(struct pipe *from, struct pipe *to, size_t len, bool keep)
{
	struct pipe_slot slots[BATCH];
	unsigned n, skip = 0;
	int64_t total = 0;
	err_t err = hold_both(from, to);
	if (err)
		return err;
	do {
		size_t left = len - (size_t)total;
		n = take_slots(from, slots, MIN(to->reserved, (unsigned)BATCH), left, keep, skip, &err);
		for (unsigned i = 0; i < n; i++)
			total += slots[i].len;
		push(to, slots, n);
		skip += n;
	} while (n && !err);
	let_go(to, PIPE_WRITE_SIDE);
	let_go(from, PIPE_READ_SIDE);
	return total ? total : err;
}

/* Wait until something can move. 1: it can; 0: the end. */
static int64_t wait_pipes(struct file *in, struct file *out, bool nonblock)
{
	err_t err = lock_filled(in, nonblock);
	if (err)
		return err;
	bool any = pipe_of(in)->used;
	mutex_unlock(&pipe_of(in)->lock);
	err = lock_roomy(out, nonblock);
	if (err)
		return err;
	mutex_unlock(&pipe_of(out)->lock);
	return any;
}

int64_t splice_pipes(struct file *in, struct file *out, size_t len, bool nonblock, bool keep)
{
	struct pipe *from = pipe_of(in), *to = pipe_of(out);
	int64_t total = 0, done;
	while (len) {
		done = wait_pipes(in, out, nonblock || total);
		if (done > 0)
			done = move_slots(from, to, len, keep);
		if (done == -EAGAIN && !nonblock && !total)
			continue;
		if (done <= 0)
			return total ? total : done;
		total += done;
		len -= (size_t)done;
		if (keep) /* what is there was copied: the same would come again */
			break;
	}
	return total;
}

/* --- files --- */

/* One buffer full. *in_pos is advanced by what was written. */
static int64_t copy_part(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos, void *buf,
    size_t len, struct uio *how)
{
	struct uio_segment seg;
	struct uio u;
	uint64_t at = *in_pos;
	int64_t written = 0, done = 0;
	uio_init_kernel(&u, &seg, buf, len);
	int64_t got = in->ops->read(in, &u, &at);
	if (got <= 0)
		return got;
	while (written < got) {
		seg = (struct uio_segment){(uintptr_t)buf + (uint64_t)written, (size_t)(got - written)};
		done = write_segments(out, out_pos, &seg, 1, false, how);
		if (done <= 0)
			break;
		written += done;
	}
	*in_pos += (uint64_t)written;
	return written ? written : done;
}

int64_t splice_files(
    struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos, size_t len, struct uio *how)
{
	int64_t total = 0, done = 0;
	void *buf = kmalloc(COPY_BUFFER);
	if (!buf)
		return -ENOMEM;
	while (len && !(total && is_interrupted())) {
		size_t part = MIN(len, (size_t)COPY_BUFFER);
		done = copy_part(in, in_pos, out, out_pos, buf, part, how);
		if (done <= 0)
			break;
		total += done;
		len -= (size_t)done;
	}
	kfree(buf);
	return total ? total : done;
}
