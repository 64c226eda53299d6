/*
 * region.c - the ordered set of a space's windows.
 *
 * A red-black tree by start address. Every region also knows the gap of free addresses before it and the
 * largest such gap in its subtree, so that a free range is found in O(log n). Free addresses behind the last
 * region are not in any gap; region_find_gap looks there first.
 *
 *	low        gap(A)        A        gap(B)     B       tail      high
 *	|..........................[=====]............[===]..............|
 *
 * Everything here runs under the space's lock; no object and no page is touched.
 */
#include "vm/region.h"

static struct region *from_node(const struct rb_node *n)
{
	return n ? rb_entry(n, struct region, node) : NULL;
}

static uint64_t subtree_gap(const struct rb_node *n)
{
	return n ? from_node(n)->max_gap : 0;
}

static bool update_max_gap(struct rb_node *n)
{
	struct region *r = from_node(n);
	uint64_t below = MAX(subtree_gap(n->left), subtree_gap(n->right));
	uint64_t gap = MAX(r->gap, below);
	bool changed = gap != r->max_gap;
	r->max_gap = gap;
	return changed;
}

void region_set_init(struct region_set *s, uaddr_t low, uaddr_t high)
{
	rb_init(&s->tree, update_max_gap);
	s->low = low;
	s->high = high;
	s->count = 0;
}

struct region *region_find(const struct region_set *s, uaddr_t addr)
{
	const struct rb_node *n = s->tree.root;
	if (unlikely(!n))
		return NULL;
	do {
		struct region *r = from_node(n);
		if (addr >= r->end)
			n = n->right;
		else if (addr < r->start)
			n = n->left;
		else
			return r;
	} while (n);
	return NULL;
}

struct region *region_find_from(const struct region_set *s, uaddr_t addr)
{
	const struct rb_node *n = s->tree.root;
	struct region *best = NULL;
	while (n) {
		struct region *r = from_node(n);
		if (addr < r->end) {
			best = r;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}

struct region *region_next(const struct region *r)
{
	return from_node(rb_next(&r->node));
}

struct region *region_prev(const struct region *r)
{
	return from_node(rb_prev(&r->node));
}

/* Bytes between prev (NULL: none) and r that neither of them guards. */
static uint64_t gap_between(const struct region_set *s, const struct region *prev, const struct region *r)
{
	uaddr_t from = region_free_from(prev, s->low);
	return r->start > from + region_guard_below(r) ? r->start - region_guard_below(r) - from : 0;
}

/* Recompute the gap before r and carry it to the root. */
static void refresh_gap(struct region_set *s, struct region *r)
{
	struct region *prev = region_prev(r);
	r->gap = gap_between(s, prev, r);
	rb_augment(&s->tree, &r->node);
}

void region_update(struct region_set *s, struct region *r)
{
	struct region *next = region_next(r);
	refresh_gap(s, r);
	if (next)
		refresh_gap(s, next);
}

void region_insert(struct region_set *s, struct region *r)
{
	struct rb_node **link = &s->tree.root, *parent = NULL;
	ASSERT(s->low <= r->start && r->start < r->end && r->end <= s->high);
	while (*link) {
		struct region *at = from_node(*link);
		ASSERT(r->end <= at->start || at->end <= r->start);
		parent = *link;
		link = r->start < at->start ? &parent->left : &parent->right;
	}
	r->gap = r->max_gap = 0;
	rb_insert(&s->tree, &r->node, parent, link);
	s->count++;
	region_update(s, r);
}

void region_remove(struct region_set *s, struct region *r)
{
	struct region *next = region_next(r);
	rb_remove(&s->tree, &r->node);
	ASSERT(s->count > 0);
	s->count--;
	if (next)
		refresh_gap(s, next);
}

struct gap_request {
	uint64_t len, align;
	uaddr_t floor, limit;
};

/* The highest aligned range inside [start, end) that satisfies the request, or 0. */
static uaddr_t fit(const struct gap_request *q, uaddr_t start, uaddr_t end)
{
	start = MAX(start, q->floor);
	end = MIN(end, q->limit);
	if (end < start || end - start < q->len)
		return 0;
	uaddr_t at = ALIGN_DOWN(end - q->len, q->align);
	return at >= start ? at : 0;
}

/* Search the gaps of a subtree from the highest down. The depth is the height of a balanced tree. */
static uaddr_t search_gaps(const struct gap_request *q, const struct rb_node *n)
{
	if (subtree_gap(n) < q->len)
		return 0;
	const struct region *r = from_node(n);
	uaddr_t at = r->end < q->limit ? search_gaps(q, n->right) : 0;
	uaddr_t gap_end = r->start - region_guard_below(r);
	if (!at && r->gap)
		at = fit(q, gap_end - r->gap, gap_end);
	if (!at && r->start > q->floor)
		at = search_gaps(q, n->left);
	return at;
}

uaddr_t region_find_gap(
    const struct region_set *s, uint64_t len, uint64_t align, uaddr_t floor, uaddr_t limit)
{
	struct gap_request q = {len, align, MAX(floor, s->low), MIN(limit, s->high)};
	struct region *last = from_node(rb_last(&s->tree));
	ASSERT(len > 0 && is_power_of_two(align));
	uaddr_t at = fit(&q, region_free_from(last, s->low), s->high);
	return at ? at : search_gaps(&q, s->tree.root);
}

void region_set_validate(const struct region_set *s)
{
	const struct region *prev = NULL;
	uint64_t n = 0;
	ASSERT(rb_validate(&s->tree) == s->count);
	for (struct region *r = from_node(rb_first(&s->tree)); r; prev = r, r = region_next(r), n++) {
		ASSERT(r->start >= (prev ? prev->end : s->low) && r->start < r->end &&
		       r->end <= s->high);                                                /* R1 */
		ASSERT(IS_ALIGNED(r->start, PAGE_SIZE) && IS_ALIGNED(r->end, PAGE_SIZE)); /* R1 */
		ASSERT(r->gap == gap_between(s, prev, r));                                /* R2 */
		ASSERT(r->max_gap == MAX(r->gap, MAX(subtree_gap(r->node.left), subtree_gap(r->node.right))));
	}
	ASSERT(n == s->count);
}
