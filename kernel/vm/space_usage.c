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
 *
 * Who asks for all windows of a space, one after the other, remembers what he saw of a group (usage_memory),
 * so many windows on one file cost two looks for each of their groups, however many show the same pages;
 * besides, for each group the list of windows is walked once, where those elsewhere in the file cost a few
 * instructions. What changes meanwhile is seen or not, as everywhere in /proc. Rejected: a count in each page
 * of the windows that translate it, which each fault would pay for; an ordered tree of the windows on a file,
 * which each mapping would: as many windows as a space may have, side by side, cost less by the walk along
 * their list than by their lines.
 */
#include "vm/vm_priv.h"

enum {
	LOOKS_MAX = 256,   /* at groups of pages in windows, with the object locked */
	GROUPS_MAX = 4096, /* that are remembered: a gigabyte of what others show as well. More are looked at
			      each time */
};

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

/* Is there just one window on the locked file? */
static bool has_one_window(const struct vm_object *file)
{
	const struct list *all = list_is_empty(&file->backed) ? &file->viewers : &file->backed,
			  *others = all == &file->viewers ? &file->backed : &file->viewers;
	return list_is_empty(others) && all->next == all->prev;
}

/* --- what was seen of groups --- */

struct usage_group {
	struct rb_node node;
	struct vm_object *file; /* counted, so that no other has its address */
	pgidx_t base;
	unsigned windows[PT_SLOTS];
};

static struct usage_group *from_node(struct rb_node *n)
{
	return rb_entry(n, struct usage_group, node);
}

void usage_memory_init(struct usage_memory *m)
{
	*m = (struct usage_memory){0};
	rb_init(&m->groups, NULL);
}

void usage_memory_fini(struct usage_memory *m)
{
	struct rb_node *n;
	while ((n = rb_first(&m->groups))) {
		rb_remove(&m->groups, n);
		object_put(from_node(n)->file);
		kfree(from_node(n));
	}
	kfree(m->spare);
}

/* Have room for one group more, if that is possible. No spinlock held. */
static bool memory_reserve(struct usage_memory *m)
{
	if (!m->spare && m->ngroups < GROUPS_MAX)
		m->spare = kmalloc(sizeof(*m->spare));
	return m->spare;
}

/* The group of the locked file, counted now if it was not before. NULL: there is no room to remember it. */
static struct usage_group *recall(
    struct usage_memory *m, struct vm_object *file, pgidx_t base, unsigned *looks)
{
	struct rb_node **link = &m->groups.root, *parent = NULL;
	while (*link) {
		struct usage_group *g = from_node(*link);
		if (g->file == file && g->base == base)
			return g;
		parent = *link;
		bool before = file != g->file ? file < g->file : base < g->base;
		link = before ? &parent->left : &parent->right;
	}
	struct usage_group *g = m->spare;
	if (!g)
		return NULL;
	*g = (struct usage_group){.file = file, .base = base};
	object_get(file);
	*looks += count_windows(file, base, g->windows);
	rb_insert(&m->groups, &g->node, parent, link);
	m->spare = NULL;
	m->ngroups++;
	return g;
}

/* --- looking at a window --- */

/* Who looks, at what. */
struct look {
	const struct region *r;
	struct vm_object *file;
	struct usage_memory *memory;
	struct region_usage *usage;
	unsigned looks; /* since the file was locked */
};

/* Pages of one group of an object. */
struct group {
	pgidx_t base;
	uint64_t set, dirty; /* those that the window translates; of them, the dirty ones */
	bool cloned;         /* other trees may have some of them */
};

static enum usage_class class_of(const struct vm_object *file)
{
	return file->kind == VM_FILE ? USAGE_FILE : USAGE_SHMEM;
}

/* All of them are the window's alone. */
static void use_alone(const struct look *l, const struct group *g)
{
	unsigned all = bit_count(g->set), dirty = bit_count(g->dirty);
	add(l->usage, class_of(l->file), dirty, dirty * PT_WHOLE, false, true);
	add(l->usage, class_of(l->file), all - dirty, (all - dirty) * PT_WHOLE, false, false);
}

/* Each page has its own sharers. */
static void use_each(struct look *l, const struct group *g)
{
	unsigned now[PT_SLOTS] = {0};
	const struct usage_group *seen = recall(l->memory, l->file, g->base, &l->looks);
	const unsigned *windows = seen ? seen->windows : now;
	if (!seen)
		l->looks += count_windows(l->file, g->base, now);
	for (uint64_t set = g->set; set; set &= set - 1) {
		unsigned i = bit_lowest(set), n = MAX(windows[i], 1U);
		struct pt_usage t = {.pages = 1, .parts = PT_WHOLE};
		if (g->cloned)
			page_tree_usage(&l->file->tree, g->base + i, g->base + i + 1, &t);
		add(l->usage, class_of(l->file), 1, t.parts / n, n > 1 || t.shared, g->dirty & BIT(i));
	}
}

/* The pages of the group from `base` on that the window translates. */
static void use_group(struct look *l, pgidx_t base)
{
	bool exclusive;
	const struct pt_node *leaf = page_tree_leaf(&l->file->tree, base, &exclusive);
	struct group g = {.base = base, .set = translated_in(l->r, base)};
	struct pt_usage t = {0};
	l->looks++;
	if (!leaf || !g.set)
		return;
	g.dirty = l->file->kind == VM_FILE ? g.set & leaf->marks[PT_DIRTY] : g.set;
	if (l->file->kind != VM_FILE)
		page_tree_usage(&l->file->tree, base, base + PT_SLOTS, &t);
	g.cloned = t.shared;
	if (has_one_window(l->file) && !g.cloned)
		use_alone(l, &g);
	else
		use_each(l, &g);
}

static void sum_group(struct look *l, pgidx_t base)
{
	l->usage->shared_clean += bit_count(translated_in(l->r, base));
	l->looks++;
}

/* Call fn on the groups of the file or of shared memory that the window shows, itself or from behind, and
 * that have pages. */
static void each_group(struct look *l, void (*fn)(struct look *, pgidx_t base))
{
	pgidx_t at = l->r->offset, end = at + region_npages(l->r), idx;
	while (at < end) {
		bool had_room = l->memory && memory_reserve(l->memory);
		spin_lock(&l->file->lock);
		for (l->looks = 0; at < end && l->looks < LOOKS_MAX && (!had_room || l->memory->spare);) {
			pgidx_t base = end;
			if (page_tree_next(&l->file->tree, at, end, &idx)) {
				base = idx & ~(pgidx_t)(PT_SLOTS - 1);
				fn(l, base);
			}
			at = base + PT_SLOTS;
		}
		spin_unlock(&l->file->lock);
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
	struct look l = {.r = r, .file = file_of(r), .usage = &u};
	if (l.file)
		each_group(&l, sum_group);
	return u.shared_clean;
}

/* Pages that were used by this window since the marks were cleared; reclaim clears those of files, too. With
 * `clear`: none from now on. */
static uint64_t region_accessed(const struct region *r, bool clear)
{
	if (r->object->kind == VM_PHYS)
		return 0;
	return mmu_count_accessed(&r->space->mmu, r->start, r->end, page_to_phys(zero_page), clear);
}

void space_clear_accessed(struct vm_space *s, bool anonymous, bool of_files)
{
	rwlock_read(&s->lock);
	for (struct region *r = region_find_from(&s->regions, 0); r; r = region_next(r))
		if (file_of(r) ? of_files : anonymous)
			(void)region_accessed(r, true);
	rwlock_read_unlock(&s->lock);
}

bool space_usage(struct vm_space *s, uaddr_t addr, struct usage_memory *m, struct region_usage *out)
{
	*out = (struct region_usage){0};
	rwlock_read(&s->lock);
	struct region *r = region_find(&s->regions, addr);
	if (r && r->start == addr) {
		struct vm_object *o = r->object;
		out->pages = region_npages(r);
		if (region_is_private(r))
			use_private(r, out);
		struct look l = {.r = r, .file = file_of(r), .memory = m, .usage = out};
		if (l.file)
			each_group(&l, use_group);
		spin_lock(&o->lock);
		out->large = large_count(r);
		spin_unlock(&o->lock);
		out->may_be_large = region_may_be_large(r);
		out->referenced = region_accessed(r, false);
	}
	rwlock_read_unlock(&s->lock);
	return out->pages > 0;
}
