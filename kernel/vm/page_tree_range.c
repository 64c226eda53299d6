/*
 * page_tree_range.c - the page tree's operations on ranges: search, count, remove; and marks. See
 * page_tree.c.
 *
 * Every one of them looks at a node through its masks: which slots the range meets, which lie in it entirely
 * (struct pt_clip), which are used, which are marked. So the cost goes with what is there, never with the
 * length of the range.
 */
#include "vm/page_tree_priv.h"

/* ---- Search ---- */

enum { ANY_PAGE = -1 };

static ALWAYS_INLINE uint64_t slots_with(const struct pt_node *node, int mark)
{
	return mark == ANY_PAGE ? node->present : node->marks[mark];
}

/* Descend to idx, moving it forward to the first candidate at each level. A node without one sends us back to
 * the root with the index behind it; the next walk then gets at least one level further before it can fail,
 * so a search costs at most height squared and usually twice the height. */
static ALWAYS_INLINE struct page *search(
    const struct page_tree *t, int mark, pgidx_t idx, pgidx_t end, pgidx_t *found)
{
	const struct pt_node *node = t->root;
	if (!node)
		return NULL;
	idx = MAX(idx, node->base);
	while (idx < end && pt_covers(t->root, idx)) {
		unsigned i = pt_slot_of(node, idx);
		uint64_t ahead = slots_with(node, mark) & (~0ULL << i);
		if (!ahead) {
			idx = pt_node_end(node);
			node = t->root;
			continue;
		}
		if (bit_lowest(ahead) != i) {
			i = bit_lowest(ahead);
			idx = node->base + i * pt_slot_span(node->level);
			if (idx >= end)
				return NULL;
		}
		if (node->level == 0) {
			*found = idx;
			return node->slots[i].page;
		}
		node = node->slots[i].child;
	}
	return NULL;
}

struct page *page_tree_next(const struct page_tree *t, pgidx_t from, pgidx_t end, pgidx_t *found)
{
	return search(t, ANY_PAGE, from, end, found);
}

struct page *page_tree_next_marked(
    const struct page_tree *t, enum page_mark m, pgidx_t from, pgidx_t end, pgidx_t *found)
{
	ASSERT(m < PT_NMARKS);
	return search(t, (int)m, from, end, found);
}

/* ---- Count ---- */

/* The pages of a leaf that `mask` names, of each of which a `among`-th is the tree's. */
static void use_leaf(const struct pt_node *leaf, uint64_t mask, uint64_t among, struct pt_usage *u)
{
	uint64_t shared = 0, parts = 0, alone = 0;
	for (; mask; mask &= mask - 1) {
		uint64_t n = among * page_shares(leaf->slots[bit_lowest(mask)].page);
		if (likely(n == 1)) {
			alone++; /* most are: no division */
			continue;
		}
		shared++;
		parts += PT_WHOLE / n;
	}
	u->shared += shared;
	u->parts += parts + alone * PT_WHOLE;
}

/* Recursion is as deep as the tree is high. Of what the node holds an `among`-th is the tree's. u may be
 * NULL. */
static uint64_t count_in(
    const struct pt_node *node, pgidx_t first, pgidx_t end, uint64_t among, struct pt_usage *u)
{
	struct pt_clip c;
	uint64_t n = 0;
	if (!pt_clip(node, first, end, &c))
		return 0;
	among = MIN(among * load_acquire(&node->refs), PT_WHOLE);
	uint64_t mask = node->present & c.touched;
	if (node->level == 0) {
		if (u)
			use_leaf(node, mask, among, u);
		return bit_count(mask);
	}
	for (; mask; mask &= mask - 1)
		n += count_in(node->slots[bit_lowest(mask)].child, first, end, among, u);
	return n;
}

void page_tree_usage(const struct page_tree *t, pgidx_t first, pgidx_t end, struct pt_usage *out)
{
	*out = (struct pt_usage){0};
	out->pages = t->root ? count_in(t->root, first, end, 1, out) : 0;
	ASSERT(out->shared <= out->pages);
}

uint64_t page_tree_count(const struct page_tree *t, pgidx_t first, pgidx_t end, uint64_t *shared)
{
	struct pt_usage u;
	if (!shared)
		return t->root ? count_in(t->root, first, end, 1, NULL) : 0;
	page_tree_usage(t, first, end, &u);
	*shared = u.shared;
	return u.pages;
}

/* ---- Remove ---- */

/* Copies that remove_in will need below `node`. Only the two edges of the range are walked. */
static unsigned remove_need_in(const struct pt_node *node, pgidx_t first, pgidx_t end, bool shared_above)
{
	struct pt_clip c;
	if (!pt_clip(node, first, end, &c) || !(node->present & c.touched) || !(node->present & ~c.whole))
		return 0;
	shared_above |= pt_is_shared(node);
	unsigned n = shared_above;
	if (node->level)
		for (uint64_t edge = node->present & c.touched & ~c.whole; edge; edge &= edge - 1)
			n += remove_need_in(node->slots[bit_lowest(edge)].child, first, end, shared_above);
	return n;
}

unsigned page_tree_remove_need(const struct page_tree *t, pgidx_t first, pgidx_t end)
{
	return t->root ? remove_need_in(t->root, first, end, false) : 0;
}

/* After slot i's subtree changed: bring the masks up to date. */
static void refresh_slot(struct pt_node *node, unsigned i)
{
	const struct pt_node *child = node->slots[i].child;
	if (!child)
		node->present &= ~BIT(i);
	for (unsigned m = 0; m < PT_NMARKS; m++)
		if (!child || !child->marks[m])
			node->marks[m] &= ~BIT(i);
}

/* Empty the given slots of an exclusive node. */
static uint64_t drop_slots(struct pt_node *node, uint64_t slots, unsigned (*drop)(struct page *p))
{
	uint64_t freed = 0;
	ASSERT(!(slots & ~node->present));
	node->present &= ~slots;
	for (unsigned m = 0; m < PT_NMARKS; m++)
		node->marks[m] &= ~slots;
	for (; slots; slots &= slots - 1) {
		unsigned i = bit_lowest(slots);
		freed += node->level ? pt_node_put(node->slots[i].child, drop) : drop(node->slots[i].page);
		node->slots[i].child = NULL;
	}
	return freed;
}

/* Remove the range below *link, which becomes NULL if nothing is left. Cannot fail: r holds enough. Recursion
 * is as deep as the tree is high. */
static uint64_t remove_in(
    struct pt_node **link, pgidx_t first, pgidx_t end, struct pt_reserve *r, unsigned (*drop)(struct page *p))
{
	struct pt_clip c;
	struct pt_node *node = *link;
	if (!pt_clip(node, first, end, &c) || !(node->present & c.touched))
		return 0;
	if (!(node->present & ~c.whole)) { /* all of it goes: one reference, if it is shared */
		*link = NULL;
		return pt_node_put(node, drop);
	}
	uint64_t freed = pt_is_shared(node) ? pt_node_unshare(link, node->present & ~c.whole, r, drop)
					    : drop_slots(node, node->present & c.whole, drop);
	node = *link;
	for (uint64_t edge = node->present & c.touched & ~c.whole; edge; edge &= edge - 1) {
		unsigned i = bit_lowest(edge);
		freed += remove_in(&node->slots[i].child, first, end, r, drop);
		refresh_slot(node, i);
	}
	if (!node->present) {
		*link = NULL;
		pt_node_free(node);
	}
	return freed;
}

err_t page_tree_remove(struct page_tree *t, pgidx_t first, pgidx_t end, struct pt_reserve *r,
    unsigned (*drop)(struct page *p), uint64_t *freed)
{
	struct pt_reserve local = {0};
	struct pt_reserve *from = r ? r : &local;
	*freed = 0;
	if (!t->root)
		return 0;
	err_t err = page_tree_reserve(from, page_tree_remove_need(t, first, end));
	if (!err) {
		*freed = remove_in(&t->root, first, end, from, drop ? drop : page_unshare);
		pt_lower_root(t);
	}
	page_tree_unreserve(&local);
	return err;
}

/* ---- Marks ---- */

/* The nodes from the root to the leaf that holds idx, all exclusive; returns how many. The page must be
 * there. */
static unsigned marked_path(const struct page_tree *t, pgidx_t idx, struct pt_node *path[PT_MAX_PATH])
{
	unsigned depth = 0;
	ASSERT(t->root && pt_covers(t->root, idx));
	for (struct pt_node *node = t->root;; node = node->slots[pt_slot_of(node, idx)].child) {
		ASSERT(node && !pt_is_shared(node));
		path[depth++] = node;
		if (node->level == 0)
			break;
	}
	ASSERT(path[depth - 1]->present & BIT(idx & (PT_SLOTS - 1)));
	return depth;
}

void page_tree_set_mark(struct page_tree *t, pgidx_t idx, enum page_mark m)
{
	struct pt_node *path[PT_MAX_PATH];
	ASSERT(m < PT_NMARKS);
	for (unsigned depth = marked_path(t, idx, path); depth--;)
		path[depth]->marks[m] |= BIT(pt_slot_of(path[depth], idx));
}

void page_tree_clear_mark(struct page_tree *t, pgidx_t idx, enum page_mark m)
{
	struct pt_node *path[PT_MAX_PATH];
	ASSERT(m < PT_NMARKS);
	for (unsigned depth = marked_path(t, idx, path); depth--;) {
		path[depth]->marks[m] &= ~BIT(pt_slot_of(path[depth], idx));
		if (path[depth]->marks[m])
			break; /* something else below has the mark, so all above keep it */
	}
}

bool page_tree_test_mark(const struct page_tree *t, pgidx_t idx, enum page_mark m)
{
	bool exclusive;
	ASSERT(m < PT_NMARKS);
	const struct pt_node *leaf = page_tree_leaf(t, idx, &exclusive);
	return leaf && (leaf->marks[m] & BIT(idx & (PT_SLOTS - 1)));
}
