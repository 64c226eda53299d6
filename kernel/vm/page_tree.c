/*
 * page_tree.c - the persistent page tree: nodes, clone, exclusive ownership of a path, destroy. Ranges are in
 * page_tree_range.c, checks in page_tree_debug.c.
 *
 * The theory is in docs/page_tree.md; in short:
 *
 *	tree A ─▶ root ──▶ node ──▶ leaf ──▶ page        A and B were cloned: both name the root, which has
 * two references. tree B ─▶  "
 *
 * A write through B makes B's path its own. Each shared node on it is copied from the top down; the copy
 * takes a reference on every child, so what was shared at level L becomes shared at level L - 1:
 *
 *	tree A ─▶ root  ──▶ node  ──▶ leaf ──▶ page
 *	               ╲      ╱╲        ╱╲
 *	tree B ─▶ root' ──▶ node' ──▶ leaf' ──▶ page'
 *
 * Exclusive is what is reached through single references only. It can't become shared behind the owner's
 * back: a new reference needs the lock of a tree that reaches the node, and only the owner's does. The
 * reverse, shared becoming exclusive, may happen at any moment, when another tree drops its part. So a count
 * of what must be copied is an upper bound, and what is set aside for it (struct pt_reserve) is enough.
 *
 * Memory order: a tree drops a reference with release; whoever finds the count at one (acquire), or drops the
 * last one (acquire), sees all that the other did with the node before: its reads, and the references that it
 * took on the node's children when it copied it. That is why a walk must look at the counts from the top
 * down: the child's count is exact only after the parent was seen to be exclusive.
 */
#include "lib/string.h"
#include "mm/slab.h"
#include "vm/page_tree_priv.h"

STATIC_ASSERT(PT_SLOTS == 64); /* one mask word for each property */
STATIC_ASSERT(PT_BITS *PT_MAX_PATH >= 52 && PT_BITS * PT_MAX_PATH < 64);

static struct slab_cache *node_cache;

void page_tree_init_cache(void)
{
	ASSERT(!node_cache);
	node_cache = slab_cache_create("pt_node", sizeof(struct pt_node), CACHE_LINE);
	ASSERT(node_cache);
}

uint64_t page_tree_nodes(void)
{
	struct slab_stats stats;
	slab_cache_stats(node_cache, &stats);
	return stats.objects_used;
}

/* ---- Life of a node ---- */

static struct pt_node *reserve_pop(struct pt_reserve *r)
{
	struct pt_node *node = r->free;
	ASSERT(r->count > 0 && node);
	r->free = node->slots[0].child;
	r->count--;
	return node;
}

/* An empty node of the given level that covers idx, from r. */
static struct pt_node *node_new(struct pt_reserve *r, unsigned level, pgidx_t idx)
{
	ASSERT(level <= PT_MAX_LEVEL);
	struct pt_node *node = reserve_pop(r);
	memset(node, 0, sizeof(*node));
	node->base = ALIGN_DOWN(idx, pt_slot_span(level + 1));
	node->level = (uint16_t)level;
	node->shift = (uint16_t)(level * PT_BITS);
	store_relaxed(&node->refs, 1);
	return node;
}

void pt_node_free(struct pt_node *node)
{
	slab_free(node_cache, node);
}

/* The node has no reference left: drop what it names. Recursion is as deep as the tree is high: PT_MAX_PATH.
 */
static uint64_t node_destroy(struct pt_node *node, unsigned (*drop)(struct page *p))
{
	uint64_t freed = 0;
	for (uint64_t left = node->present; left; left &= left - 1) {
		unsigned i = bit_lowest(left);
		freed += node->level ? pt_node_put(node->slots[i].child, drop) : drop(node->slots[i].page);
	}
	pt_node_free(node);
	return freed;
}

uint64_t pt_node_put(struct pt_node *node, unsigned (*drop)(struct page *p))
{
	uint32_t old = fetch_sub_acq_rel(&node->refs, 1);
	ASSERT(old != 0);
	return old == 1 ? node_destroy(node, drop) : 0;
}

uint64_t pt_node_unshare(
    struct pt_node **link, uint64_t keep, struct pt_reserve *r, unsigned (*drop)(struct page *p))
{
	struct pt_node *node = *link;
	struct pt_node *copy = node_new(r, node->level, node->base);
	ASSERT(!(keep & ~node->present));
	ASSERT(!node->marks[PT_DIRTY] && !node->marks[PT_WRITEBACK]);
	for (uint64_t left = keep; left; left &= left - 1) {
		unsigned i = bit_lowest(left);
		copy->slots[i] = node->slots[i];
		if (node->level)
			pt_node_get(node->slots[i].child);
		else
			page_share(node->slots[i].page);
	}
	copy->present = keep;
	*link = copy;
	return pt_node_put(node, drop);
}

/* ---- Reserve ---- */

err_t page_tree_reserve(struct pt_reserve *r, unsigned n)
{
	while (r->count < n) {
		struct pt_node *node = slab_alloc(node_cache);
		if (!node)
			return -ENOMEM;
		node->slots[0].child = r->free;
		r->free = node;
		r->count++;
	}
	return 0;
}

void page_tree_unreserve(struct pt_reserve *r)
{
	while (r->count)
		pt_node_free(reserve_pop(r));
	ASSERT(!r->free);
}

/* ---- Owning a path ---- */

/* Levels that the root must be wrapped in until it covers idx. */
static unsigned levels_to_grow(const struct pt_node *root, pgidx_t idx)
{
	pgidx_t differ = (root->base ^ idx) >> root->shift >> PT_BITS;
	return differ ? bit_highest(differ) / PT_BITS + 1 : 0;
}

unsigned page_tree_own_need(const struct page_tree *t, pgidx_t idx)
{
	const struct pt_node *node = t->root;
	if (!node)
		return 1;
	unsigned grow = levels_to_grow(node, idx);
	if (grow) /* the wrapping nodes, and a new path below the highest of them */
		return grow + node->level + grow;
	while (!pt_is_shared(node)) {
		if (node->level == 0)
			return 0;
		const struct pt_node *child = node->slots[pt_slot_of(node, idx)].child;
		if (!child)
			return node->level;
		node = child;
	}
	return node->level + 1; /* from here down each level needs one: what is there is shared with it, what
				   is not is new */
}

/* Make the root cover idx. The old root, shared or not, becomes the one child of the node around it. */
static void tree_grow(struct page_tree *t, pgidx_t idx, struct pt_reserve *r)
{
	if (!t->root)
		t->root = node_new(r, 0, idx);
	while (!pt_covers(t->root, idx)) {
		struct pt_node *old = t->root;
		struct pt_node *up = node_new(r, old->level + 1, old->base);
		unsigned i = pt_slot_of(up, old->base);
		up->slots[i].child = old;
		up->present = BIT(i);
		for (unsigned m = 0; m < PT_NMARKS; m++)
			up->marks[m] = old->marks[m] ? BIT(i) : 0;
		t->root = up;
	}
}

/* Copy or create each node on the way to idx; returns the leaf. */
static struct pt_node *make_path(struct page_tree *t, pgidx_t idx, struct pt_reserve *r)
{
	for (struct pt_node **link = &t->root;;) {
		if (pt_is_shared(
			*link)) { /* nothing is freed: the copy has a reference on all that the node names */
			uint64_t freed = pt_node_unshare(link, (*link)->present, r, page_unshare);
			ASSERT(freed == 0);
		}
		struct pt_node *node = *link;
		if (node->level == 0)
			return node;
		unsigned i = pt_slot_of(node, idx);
		if (!node->slots[i].child) {
			node->slots[i].child = node_new(r, node->level - 1, idx);
			node->present |= BIT(i);
		}
		link = &node->slots[i].child;
	}
}

static NOINLINE err_t own_slow(struct page_tree *t, pgidx_t idx, struct pt_reserve *r, struct page_slot *out)
{
	struct pt_reserve local = {0};
	struct pt_reserve *from = r ? r : &local;
	err_t err = page_tree_reserve(from, page_tree_own_need(t, idx));
	if (!err) {
		tree_grow(t, idx, from);
		*out = (struct page_slot){make_path(t, idx, from), idx & (PT_SLOTS - 1)};
	}
	page_tree_unreserve(&local);
	return err;
}

err_t page_tree_own(struct page_tree *t, pgidx_t idx, struct pt_reserve *r, struct page_slot *out)
{
	struct pt_node *node = t->root;
	ASSERT(idx <= PT_INDEX_MAX);
	if (unlikely(!node || !pt_covers(node, idx)))
		return own_slow(t, idx, r, out);
	for (unsigned shift = node->shift; likely(!pt_is_shared(node)); shift -= PT_BITS) {
		if (!shift) {
			*out = (struct page_slot){node, idx & (PT_SLOTS - 1)};
			return 0;
		}
		node = node->slots[(idx >> shift) & (PT_SLOTS - 1)].child;
		if (!node)
			break;
	}
	return own_slow(t, idx, r, out);
}

void pt_lower_root(struct page_tree *t)
{
	struct pt_node *root;
	while ((root = t->root) && root->level && is_power_of_two(root->present)) {
		struct pt_node *child = root->slots[bit_lowest(root->present)].child;
		t->root = child;
		if (!pt_is_shared(root)) { /* its reference becomes the tree's */
			pt_node_free(root);
			continue;
		}
		pt_node_get(child);
		uint64_t freed = pt_node_put(root, page_unshare);
		ASSERT(freed == 0);
	}
}

/* ---- Slots ---- */

struct page *page_slot_replace(struct page_slot s, struct page *fresh)
{
	struct page *old = s.leaf->slots[s.i].page;
	ASSERT(s.leaf->level == 0 && load_relaxed(&s.leaf->refs) == 1);
	ASSERT(old && old != fresh);
	page_share(fresh);
	s.leaf->slots[s.i].page = fresh;
	return old;
}

/* ---- Whole trees ---- */

void page_tree_clone(struct page_tree *dst, struct page_tree *src)
{
	ASSERT(!dst->root);
	if (!src->root)
		return;
	for (unsigned m = 0; m < PT_NMARKS; m++)
		ASSERT(!src->root->marks[m]);
	pt_node_get(src->root);
	dst->root = src->root;
}

uint64_t page_tree_destroy(struct page_tree *t, unsigned (*drop)(struct page *p))
{
	struct pt_node *root = t->root;
	t->root = NULL;
	return root ? pt_node_put(root, drop ? drop : page_unshare) : 0;
}
