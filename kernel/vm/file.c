/*
 * file.c - the page cache of one file: reading pages in, writing dirty ones back.
 *
 * I/O runs with no lock held. A page that is being read is in the tree with PAGE_BUSY and must not be looked
 * into; a page that is being written back has the mark PT_WRITEBACK and may be used. Both are pinned
 * meanwhile. Whoever needs such a page sleeps on io_wait and then looks everything up again; these are the
 * possible outcomes of a read that another thread had begun:
 *	- the page is there and valid: use it;
 *	- the read failed: the page is gone, the waiter starts a read of its own and gets the error itself;
 *	- the file was cut meanwhile: the index does not exist any more.
 *
 * The dirty mark is cleared, and the viewers' write access taken away, before the write begins: a store
 * during the write makes the page dirty again. A page whose write failed is dirty again, and the first error
 * waits in write_error for whoever syncs next.
 */
#include "kern/thread.h"
#include "vm/vm_priv.h"

enum { READ_CLUSTER = 16 }; /* pages read ahead with the one that was asked for: 64 KiB */

static _Atomic uint64_t ndirty, nwriteback; /* pages of all objects together */
static _Atomic uint64_t nwritten;           /* pages written back, ever */

/* --- marks --- */

/* Count n more pages with the mark, or fewer. */
static void count_mark(struct vm_object *o, enum page_mark m, int64_t n)
{
	*(m == PT_DIRTY ? &o->ndirty : &o->nwriteback) += (uint64_t)n;
	fetch_add_relaxed(m == PT_DIRTY ? &ndirty : &nwriteback, (uint64_t)n);
}

void file_set_mark(struct vm_object *o, pgidx_t idx, enum page_mark m)
{
	ASSERT_HELD(&o->lock);
	if (page_tree_test_mark(&o->tree, idx, m))
		return;
	page_tree_set_mark(&o->tree, idx, m);
	count_mark(o, m, 1);
}

void file_clear_mark(struct vm_object *o, pgidx_t idx, enum page_mark m)
{
	ASSERT_HELD(&o->lock);
	if (!page_tree_test_mark(&o->tree, idx, m))
		return;
	page_tree_clear_mark(&o->tree, idx, m);
	count_mark(o, m, -1);
}

void file_forget_marks(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	ASSERT_HELD(&o->lock);
	if (o->kind != VM_FILE)
		return;
	for (pgidx_t at = first; page_tree_next_marked(&o->tree, PT_DIRTY, at, end, &at); at++)
		file_clear_mark(o, at, PT_DIRTY);
}

void file_marks_end(struct vm_object *o)
{
	count_mark(o, PT_DIRTY, -(int64_t)o->ndirty);
}

void vm_dirty_counts(uint64_t *dirty, uint64_t *writeback)
{
	*dirty = load_relaxed(&ndirty);
	*writeback = load_relaxed(&nwriteback);
}

uint64_t vm_written_count(void)
{
	return load_relaxed(&nwritten);
}

/* --- reading --- */

unsigned file_drop_page(struct page *p)
{
	lru_remove(p);
	return page_unshare(p);
}

/* Put a fresh BUSY page at idx of the locked object. 0, -EEXIST or -ENOMEM. */
static err_t insert_busy(struct vm_object *o, pgidx_t idx, struct page *p)
{
	struct page_slot slot;
	err_t err = page_tree_own(&o->tree, idx, NULL, &slot);
	if (err)
		return err;
	if (page_slot_get(slot))
		return -EEXIST;
	page_set_flag(p, PAGE_BUSY);
	p->object = o;
	p->index = idx;
	page_slot_fill(slot, p);
	bool pinned = page_pin(p);
	ASSERT(pinned);
	lru_add(p);
	return 0;
}

/* Claim up to `max` absent pages from idx on; returns how many, or an error if not even the first could be
 * had. 0: the first is there already. */
static int claim_pages(struct vm_object *o, pgidx_t idx, struct page **pages, int max)
{
	int n;
	for (n = 0; n < max; n++) {
		struct page *p = frame_alloc(PAGE_FILE, n ? FRAME_NOWAIT : 0);
		if (!p)
			return n ? n : -ENOMEM;
		spin_lock(&o->lock);
		err_t err = idx + n < o->npages ? insert_busy(o, idx + n, p) : -EIO;
		spin_unlock(&o->lock);
		if (err) {
			frame_free(p);
			return n || err == -EEXIST ? n : err;
		}
		pages[n] = p;
	}
	return n;
}

/* The read of these pages is over: make them valid, or take them out again. Resizing waits for BUSY pages, so
 * they are still where they were put. */
static void finish_read(struct vm_object *o, pgidx_t idx, struct page **pages, int n, err_t err)
{
	spin_lock(&o->lock);
	for (int i = 0; i < n; i++) {
		ASSERT(page_tree_lookup(&o->tree, idx + i) == pages[i]);
		page_clear_flag(pages[i], PAGE_BUSY);
	}
	if (err) {
		uint64_t freed; /* a file's nodes are never shared: removing needs no memory */
		err_t cannot = page_tree_remove(&o->tree, idx, idx + n, NULL, file_drop_page, &freed);
		ASSERT(!cannot);
	}
	waitq_wake_all(&o->io_wait);
	spin_unlock(&o->lock);
	for (int i = 0; i < n; i++)
		page_unpin(pages[i]);
}

/* Read up to `max` absent pages from idx on. *n gets how many were tried. */
static err_t read_cluster(struct vm_object *o, pgidx_t idx, int max, int *n)
{
	struct page *pages[READ_CLUSTER];
	*n = claim_pages(o, idx, pages, max);
	if (*n <= 0)
		return *n;
	err_t err = o->ops->read(o, idx, pages, (unsigned)*n);
	finish_read(o, idx, pages, *n, err);
	return err;
}

err_t file_bring_in(struct vm_object *o, pgidx_t idx)
{
	int n;
	err_t err = read_cluster(o, idx, READ_CLUSTER, &n);
	if (err && n > 1) /* perhaps only a page read ahead is bad: ask for the one page alone */
		err = read_cluster(o, idx, 1, &n);
	return err;
}

err_t file_wait(struct vm_object *o, pgidx_t idx)
{
	err_t err = 0;
	spin_lock(&o->lock);
	for (;;) {
		struct page *p = page_tree_lookup(&o->tree, idx);
		if (err || !p || !page_test_flag(p, PAGE_BUSY))
			break;
		err = waitq_sleep(&o->io_wait, &o->lock, NSEC_NEVER, WAIT_KILLABLE);
	}
	spin_unlock(&o->lock);
	return err;
}

/* Is any page of the range BUSY? Pages are only BUSY while a read runs, which is rare enough to look at each.
 */
static bool range_is_busy(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	pgidx_t at;
	if (page_tree_next_marked(&o->tree, PT_WRITEBACK, first, end, &at))
		return true;
	for (struct page *p = page_tree_next(&o->tree, first, end, &at); p;
	     p = page_tree_next(&o->tree, at + 1, end, &at))
		if (page_test_flag(p, PAGE_BUSY))
			return true;
	return false;
}

void file_wait_range_locked(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	if (o->kind != VM_FILE)
		return;
	while (range_is_busy(o, first, end)) {
		err_t err = waitq_sleep(&o->io_wait, &o->lock, NSEC_NEVER, 0);
		ASSERT(!err); /* neither deadline nor interruption was asked for */
	}
}

/* --- writing back --- */

/* Is idx dirty and nobody writing it now? A page that became dirty again while it is written back has to
 * wait: a mark can only tell of one write. */
static bool can_write_back(const struct vm_object *o, pgidx_t idx)
{
	return page_tree_test_mark(&o->tree, idx, PT_DIRTY) &&
	       !page_tree_test_mark(&o->tree, idx, PT_WRITEBACK);
}

/* Take the run of dirty pages at `at`, clean them and mark them as under way. Called with o locked; returns
 * how many. 0: the first is being written by somebody else, or pinned too often. */
static unsigned begin_writeback(struct vm_object *o, pgidx_t at, pgidx_t end, struct page **pages)
{
	unsigned n = 0;
	while (n < READ_CLUSTER && at + n < end && can_write_back(o, at + n)) {
		pages[n] = page_tree_lookup(&o->tree, at + n);
		if (!page_pin(pages[n]))
			break;
		file_clear_mark(o, at + n, PT_DIRTY);
		file_set_mark(o, at + n, PT_WRITEBACK);
		n++;
	}
	if (n)
		object_write_protect_locked(o, at, at + n);
	return n;
}

static void finish_writeback(struct vm_object *o, pgidx_t at, struct page **pages, unsigned n, err_t err)
{
	spin_lock(&o->lock);
	for (unsigned i = 0; i < n; i++) {
		file_clear_mark(o, at + i, PT_WRITEBACK);
		if (err)
			file_set_mark(o, at + i, PT_DIRTY);
	}
	if (!err)
		fetch_add_relaxed(&nwritten, n);
	else if (!o->write_error)
		o->write_error = err;
	waitq_wake_all(&o->io_wait);
	spin_unlock(&o->lock);
	for (unsigned i = 0; i < n; i++)
		page_unpin(pages[i]);
}

/* Called with o locked: let time pass until page idx, dirty, may be written back. */
static void wait_writeback(struct vm_object *o, pgidx_t idx)
{
	if (page_tree_test_mark(&o->tree, idx, PT_WRITEBACK)) {
		err_t err = waitq_sleep(&o->io_wait, &o->lock, NSEC_NEVER, 0);
		ASSERT(!err); /* neither deadline nor interruption was asked for */
		return;
	}
	spin_unlock(&o->lock);
	cpu_relax(); /* 65,535 pins: let some of them end */
	spin_lock(&o->lock);
}

err_t object_sync(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	struct page *pages[READ_CLUSTER];
	pgidx_t at = first;
	if (o->kind != VM_FILE || !o->ops->write)
		return 0;
	spin_lock(&o->lock);
	while (page_tree_next_marked(&o->tree, PT_DIRTY, at, end, &at)) {
		unsigned n = begin_writeback(o, at, end, pages);
		if (!n) {
			wait_writeback(o, at);
			continue;
		}
		spin_unlock(&o->lock);
		finish_writeback(o, at, pages, n, o->ops->write(o, at, pages, n));
		at += n;
		spin_lock(&o->lock);
	}
	file_wait_range_locked(o, first, end); /* what others had begun */
	err_t err = o->write_error;
	o->write_error = 0;
	spin_unlock(&o->lock);
	return err;
}

void object_wait(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	spin_lock(&o->lock);
	file_wait_range_locked(o, first, end);
	spin_unlock(&o->lock);
}

void object_forget(struct vm_object *o, pgidx_t first, pgidx_t end)
{
	uint64_t freed;
	ASSERT(o->kind == VM_FILE);
	spin_lock(&o->lock);
	file_wait_range_locked(o, first, end);
	object_unmap_locked(o, first, end);
	file_forget_marks(o, first, end);
	err_t err = page_tree_remove(&o->tree, first, end, NULL, file_drop_page, &freed);
	ASSERT(!err); /* a file's nodes are never shared: nothing to copy */
	spin_unlock(&o->lock);
}

void file_count_dirtied(const struct vm_object *o)
{
	if (!(o->flags & VM_RESIDENT))
		thread_count_io(IO_DIRTIED, PAGE_SIZE);
}

void object_mark_dirty(struct vm_object *o, pgidx_t idx, const struct page *p)
{
	spin_lock(&o->lock);
	if (page_tree_lookup(&o->tree, idx) == p && !page_tree_test_mark(&o->tree, idx, PT_DIRTY)) {
		file_set_mark(o, idx, PT_DIRTY);
		file_count_dirtied(o);
	}
	spin_unlock(&o->lock);
}

err_t object_fill_zero(struct vm_object *o, pgidx_t idx)
{
	struct page *p;
	int n = claim_pages(o, idx, &p, 1);
	while (n == -ENOMEM) { /* no node: a frame is waited for where it is asked for */
		err_t err = vm_find_memory(1);
		if (err)
			return err;
		n = claim_pages(o, idx, &p, 1);
	}
	if (n <= 0)
		return n;
	memset(page_to_virt(p), 0, PAGE_SIZE);
	finish_read(o, idx, &p, 1, 0);
	return 0;
}
