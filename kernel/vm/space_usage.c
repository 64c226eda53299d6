/*
 * space_usage.c - whose are the pages of a window? What Linux's smaps tells: Pss, and which pages are
 * private.
 *
 * A page is shared in two ways: trees name it that were cloned from one another, and windows translate it that
 * look at one object, as on Linux. Private memory has one window for each page. Of a file or of shared memory a
 * window's part of a page is the tree's part (page_tree_usage) divided by the number of windows that have a
 * translation to it. So the parts of all windows add up to the pages that somebody has. Where Linux divides by the number of all who share, trees that
 * took different ways from one another have unequal parts: after two forks and a write between them, for
 * example, the first child has one half of what is still shared, and the other two a quarter each. Equal ones
 * would need a way from a page to all trees that have it, which nothing else wants (docs/vm.md).
 *
 * Nothing is counted when pages come and go. Whoever asks looks at the other windows: for a file's page at
 * the page tables of all spaces that show it, at a cost of one look for each page and window. Locks are given
 * up in between.
 */
#include "vm/vm_priv.h"

enum { LOOKS_MAX = 1024 }; /* at windows and pages, with the objects locked */

static bool shows(const struct region *r, pgidx_t idx)
{
	return idx >= r->offset && idx - r->offset < region_npages(r);
}

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

/* Does r translate idx to this page (and not to a copy of its own)? */
static bool translates(const struct region *r, pgidx_t idx, const struct page *p)
{
	struct mmu_translation t;
	return shows(r, idx) && mmu_query(&r->space->mmu, region_addr(r, idx), &t) &&
	       t.paddr >> PAGE_SHIFT == page_to_pfn(p);
}

/* Windows that translate the page of the locked object. */
static unsigned translations_of(
    const struct vm_object *file, pgidx_t idx, const struct page *p, unsigned *looks)
{
	unsigned n = 0;
	list_for_each (it, &file->viewers) {
		n += translates(list_entry(it, struct region, view_link), idx, p);
		++*looks;
	}
	list_for_each (it, &file->backed) {
		n += translates(list_entry(it, struct region, backing_link), idx, p);
		++*looks;
	}
	return n;
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

static void use_file_page(const struct vm_object *file, pgidx_t idx, const struct page *p, bool alone,
    struct region_usage *u, unsigned *looks)
{
	bool in_memory = file->kind != VM_FILE;
	struct pt_usage t = {.pages = 1, .parts = PT_WHOLE};
	if (in_memory)
		page_tree_usage(&file->tree, idx, idx + 1, &t);
	unsigned n = alone ? 1 : MAX(translations_of(file, idx, p, looks), 1U);
	add(u, in_memory ? USAGE_SHMEM : USAGE_FILE, 1, t.parts / n, n > 1 || t.shared,
	    in_memory || page_tree_test_mark(&file->tree, idx, PT_DIRTY));
}

/* The pages of the file or of shared memory that r translates, itself or from behind. */
static void use_file(const struct region *r, struct vm_object *file, struct region_usage *u)
{
	pgidx_t at = r->offset, end = r->offset + region_npages(r), idx;
	while (at < end) {
		spin_lock(&file->lock);
		bool alone = is_alone(r, file);
		for (unsigned looks = 0; at < end && looks < LOOKS_MAX; looks++, at = idx + 1) {
			const struct page *p = page_tree_next(&file->tree, at, end, &idx);
			if (!p)
				idx = end;
			else if (translates(r, idx, p))
				use_file_page(file, idx, p, alone, u, &looks);
		}
		spin_unlock(&file->lock);
	}
}

bool space_usage(struct vm_space *s, uaddr_t addr, struct region_usage *out)
{
	*out = (struct region_usage){0};
	rwlock_read(&s->lock);
	struct region *r = region_find(&s->regions, addr);
	if (r && r->start == addr) {
		struct vm_object *o = r->object, *file = region_is_private(r) ? o->backing : o;
		out->pages = region_npages(r);
		if (region_is_private(r))
			use_private(r, out);
		if (file)
			use_file(r, file, out);
		spin_lock(&o->lock);
		out->large = large_count(r);
		spin_unlock(&o->lock);
		out->may_be_large = region_may_be_large(r);
	}
	rwlock_read_unlock(&s->lock);
	return out->pages > 0;
}
