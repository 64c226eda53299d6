/*
 * space_usage.c - whose are the pages of a window? What Linux's smaps tells: Pss, and which pages are
 * private.
 *
 * A page is shared in two ways: trees name it that were cloned from one another, and windows translate it
 * that look at one object, as on Linux. Private memory has one window for each page. Of a file or of shared
 * memory a window's part of a page is the tree's part (page_tree_usage) divided by the number of windows
 * that have a translation to it. So the parts of all windows add up to the pages that somebody has. Where
 * Linux divides by the number of all who share, trees that took different ways from one another have
 * unequal parts: after two forks and a write between them, for example, the first child has one half of
 * what is still shared, and the other two a quarter each. Equal ones would need a way from a page to all
 * trees that have it, which nothing else wants (docs/vm.md).
 *
 * Nothing of this is counted when pages come and go. Whoever asks looks at the other windows on a file: at
 * the page tables of all spaces that show it, where each translation says by its mark that it is not of a
 * private page, at a cost of one look for each window and group of 64 pages. Locks are given up in between.
 */
#include "vm/vm_priv.h"

enum { LOOKS_MAX = 256 }; /* at groups of pages in windows, with the object locked */

/* Do a and b show some page both? */
static bool meets(const struct region *a, const struct region *b)
{
	return a->offset < b->offset + region_npages(b) && b->offset < a->offset + region_npages(a);
}

/* Part of n pages: `parts` of PT_WHOLE. */
static void add(
    struct region_usage *u, enum usage_class c, uint64_t n, uint64_t parts, bool shared, bool dirty)
{
	*(shared    ? dirty ? &u->shared_dirty : &u->shared_clean
	    : dirty ? &u->private_dirty
		    : &u->private_clean) += n;
	u->parts[c] += parts;
	u->parts_dirty += dirty ? parts : 0;
}

/* The pages of r's private object: what was written is there, and nothing else. */
static void use_private(const struct region *r, struct region_usage *u)
{
	struct vm_object *o = r->object;
	struct pt_usage t;
	spin_lock(&o->lock);
	page_tree_usage(&o->tree, r->offset, r->offset + region_npages(r), &t);
	spin_unlock(&o->lock);
	u->anonymous += t.pages;
	add(u, USAGE_ANON, t.shared, 0, true, true);
	add(u, USAGE_ANON, t.pages - t.shared, t.parts, false, true);
}

/* --- pages of files, shared memory --- */

/* What of the group of PT_SLOTS pages from `base` on r translates, but for copies of its own: bit i is page
 * base + i. */
static uint64_t translated_in(const struct region *r, pgidx_t base)
{
	pgidx_t lo = MAX(base, r->offset), hi = MIN(base + PT_SLOTS, r->offset + region_npages(r));
	if (lo >= hi)
		return 0;
	return mmu_marked_among(&r->space->mmu, region_addr(r, lo), (unsigned)(hi - lo)) << (lo - base);
}

/* One window more for each page in the set. */
static void count_set(uint64_t set, unsigned windows[PT_SLOTS])
{
	for (; set; set &= set - 1)
		windows[bit_lowest(set)]++;
}

/* Windows that translate each page of the group of the locked object. Returns how many were looked at. */
static unsigned count_windows(const struct vm_object *file, pgidx_t base, unsigned windows[PT_SLOTS])
{
	unsigned looks = 0;
	list_for_each (it, &file->viewers) {
		count_set(translated_in(list_entry(it, struct region, view_link), base), windows);
		looks++;
	}
	list_for_each (it, &file->backed) {
		count_set(translated_in(list_entry(it, struct region, backing_link), base), windows);
		looks++;
	}
	return looks;
}

/* Does no other window on the locked file meet r? */
static bool is_alone(const struct region *r, const struct vm_object *file)
{
	unsigned n = 0;
	list_for_each (it, &file->viewers)
		n += meets(list_entry(it, struct region, view_link), r);
	list_for_each (it, &file->backed)
		n += meets(list_entry(it, struct region, backing_link), r);
	return n == 1;
}

/* Pages of one group of an object. */
struct group {
	const struct vm_object *file;
	pgidx_t base;
	uint64_t set, dirty; /* those that the window translates; of them, the dirty ones */
	bool cloned;         /* other trees may have some of them */
};

static enum usage_class class_of(const struct vm_object *file)
{
	return file->kind == VM_FILE ? USAGE_FILE : USAGE_SHMEM;
}

/* All of them are the window's alone. */
static void use_alone(const struct group *g, struct region_usage *u)
{
	unsigned all = bit_count(g->set), dirty = bit_count(g->dirty);
	add(u, class_of(g->file), dirty, dirty * PT_WHOLE, false, true);
	add(u, class_of(g->file), all - dirty, (all - dirty) * PT_WHOLE, false, false);
}

/* Each page has its own sharers. Returns looks. */
static unsigned use_each(const struct group *g, struct region_usage *u)
{
	unsigned windows[PT_SLOTS] = {0}, looks = count_windows(g->file, g->base, windows);
	for (uint64_t set = g->set; set; set &= set - 1) {
		unsigned i = bit_lowest(set), n = MAX(windows[i], 1U);
		struct pt_usage t = {.pages = 1, .parts = PT_WHOLE};
		if (g->cloned)
			page_tree_usage(&g->file->tree, g->base + i, g->base + i + 1, &t);
		add(u, class_of(g->file), 1, t.parts / n, n > 1 || t.shared, g->dirty & BIT(i));
	}
	return looks;
}

/* The pages of the group from `base` on that r translates. Returns looks. */
static unsigned use_group(
    const struct region *r, const struct vm_object *file, pgidx_t base, bool alone, struct region_usage *u)
{
	bool exclusive;
	const struct pt_node *leaf = page_tree_leaf(&file->tree, base, &exclusive);
	struct group g = {.file = file, .base = base, .set = translated_in(r, base)};
	struct pt_usage t = {0};
	if (!leaf || !g.set)
		return 1;
	g.dirty = file->kind == VM_FILE ? g.set & leaf->marks[PT_DIRTY] : g.set;
	if (file->kind != VM_FILE)
		page_tree_usage(&file->tree, base, base + PT_SLOTS, &t);
	g.cloned = t.shared;
	if (!alone || g.cloned)
		return 1 + use_each(&g, u);
	use_alone(&g, u);
	return 1;
}

/* The pages of the file or of shared memory that r translates, itself or from behind. */
static void use_file(const struct region *r, struct vm_object *file, struct region_usage *u)
{
	pgidx_t at = r->offset, end = r->offset + region_npages(r), idx;
	while (at < end) {
		spin_lock(&file->lock);
		bool alone = is_alone(r, file);
		for (unsigned looks = 0; at < end && looks < LOOKS_MAX;) {
			pgidx_t base = end;
			if (page_tree_next(&file->tree, at, end, &idx)) {
				base = idx & ~(pgidx_t)(PT_SLOTS - 1);
				looks += use_group(r, file, base, alone, u);
			}
			at = base + PT_SLOTS;
		}
		spin_unlock(&file->lock);
	}
}

/* What r shows that is not private memory; NULL: nothing. */
static struct vm_object *file_of(const struct region *r)
{
	return region_is_private(r) ? r->object->backing : r->object;
}

uint64_t region_translated(const struct region *r)
{
	struct region_usage u = {0};
	if (file_of(r))
		use_file(r, file_of(r), &u);
	return u.private_clean + u.private_dirty + u.shared_clean + u.shared_dirty;
}

bool space_usage(struct vm_space *s, uaddr_t addr, struct region_usage *out)
{
	*out = (struct region_usage){0};
	rwlock_read(&s->lock);
	struct region *r = region_find(&s->regions, addr);
	if (r && r->start == addr) {
		struct vm_object *o = r->object;
		out->pages = region_npages(r);
		if (region_is_private(r))
			use_private(r, out);
		if (file_of(r))
			use_file(r, file_of(r), out);
		spin_lock(&o->lock);
		out->large = large_count(r);
		spin_unlock(&o->lock);
		out->may_be_large = region_may_be_large(r);
	}
	rwlock_read_unlock(&s->lock);
	return out->pages > 0;
}
