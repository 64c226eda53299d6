#pragma once
/*
 * page_tree_priv.h - what the files of the page tree share: life of nodes, clipping of a range to a node.
 * Nobody else includes it.
 */
#include "lib/assert.h"
#include "lib/atomic.h"
#include "vm/page_tree.h"

/* Pages that one slot of a node of this level covers. */
static inline pgidx_t pt_slot_span(unsigned level)
{
	return 1ULL << (PT_BITS * level);
}

/* First index beyond the node. */
static inline pgidx_t pt_node_end(const struct pt_node *node)
{
	return node->base + pt_slot_span(node->level + 1);
}

/* More than one slot or root names the node. Acquire: if not, the reads and the new references of those who
 * named it are visible (PT9). */
static inline bool pt_is_shared(const struct pt_node *node)
{
	return load_acquire(&node->refs) > 1;
}

/* One more slot or root names the node. The caller holds the lock of a tree that reaches it. */
static inline void pt_node_get(struct pt_node *node)
{
	uint32_t old = fetch_add_relaxed(&node->refs, 1);
	ASSERT(old != 0 && old < UINT32_MAX / 2);
}

/* A range of pages seen from one node. */
struct pt_clip {
	uint64_t touched; /* slots that the range meets */
	uint64_t whole;   /* slots that lie in it entirely; at most two touched ones do not */
};

/* False: the range [first, end) misses the node. */
static inline bool pt_clip(const struct pt_node *node, pgidx_t first, pgidx_t end, struct pt_clip *c)
{
	pgidx_t lo = MAX(first, node->base);
	pgidx_t hi = MIN(end, pt_node_end(node));
	pgidx_t within = pt_slot_span(node->level) - 1;
	if (lo >= hi)
		return false;
	c->touched = bit_range(pt_slot_of(node, lo), pt_slot_of(node, hi - 1));
	c->whole = c->touched;
	if (lo & within)
		c->whole &= ~BIT(pt_slot_of(node, lo));
	if (hi & within)
		c->whole &= ~BIT(pt_slot_of(node, hi - 1));
	return true;
}

/* Give an exclusive node's memory back; its slots are not looked at. */
void pt_node_free(struct pt_node *node);
/* One slot or root less names the node. The last one frees it and drops what it names, pages with drop().
 * Returns frames freed. */
uint64_t pt_node_put(struct pt_node *node, unsigned (*drop)(struct page *p));
/* Put an exclusive copy of the shared node *link in its place, with the slots in `keep` only, and drop the
 * node. Takes one node of r; returns frames freed. */
uint64_t pt_node_unshare(
    struct pt_node **link, uint64_t keep, struct pt_reserve *r, unsigned (*drop)(struct page *p));
/* A root with one child gives way to it, down to the lowest node that covers all pages. */
void pt_lower_root(struct page_tree *t);
