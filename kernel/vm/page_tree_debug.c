/* page_tree_debug.c - the page tree's self-check, by the numbers of docs/page_tree.md, and its picture for
 * the log. */
#include "kern/log.h"
#include "vm/page_tree_priv.h"

static void validate_leaf(const struct pt_node *leaf)
{
	for (unsigned i = 0; i < PT_SLOTS; i++) {
		const struct page *p = leaf->slots[i].page;
		ASSERT(!p == !(leaf->present & BIT(i)));   /* PT3 */
		ASSERT(!p || page_shares(p) >= 1);         /* PT6 */
		ASSERT(!p || page_kind(p) >= PAGE_KERNEL); /* PT6: in use, not free */
	}
}

/* Recursion is as deep as the tree is high. */
static void validate_node(const struct pt_node *node)
{
	ASSERT(node->level <= PT_MAX_LEVEL && node->shift == node->level * PT_BITS); /* PT1 */
	ASSERT(IS_ALIGNED(node->base, pt_slot_span(node->level + 1)));               /* PT1 */
	ASSERT(node->present);                                                       /* PT4 */
	ASSERT(load_relaxed(&node->refs) >= 1);                                      /* PT5 */
	for (unsigned m = 0; m < PT_NMARKS; m++) {
		ASSERT(!(node->marks[m] & ~node->present));     /* PT7 */
		ASSERT(!node->marks[m] || !pt_is_shared(node)); /* PT8 */
	}
	if (node->level == 0) {
		validate_leaf(node);
		return;
	}
	for (unsigned i = 0; i < PT_SLOTS; i++) {
		const struct pt_node *child = node->slots[i].child;
		ASSERT(!child == !(node->present & BIT(i))); /* PT3 */
		if (!child)
			continue;
		ASSERT(child->level + 1 == node->level);                           /* PT2 */
		ASSERT(child->base == node->base + i * pt_slot_span(node->level)); /* PT2 */
		validate_node(child);
		for (unsigned m = 0; m < PT_NMARKS; m++)
			ASSERT(!child->marks[m] == !(node->marks[m] & BIT(i))); /* PT7 */
	}
}

void page_tree_validate(const struct page_tree *t)
{
	if (!t->root)
		return;
	validate_node(t->root);
	ASSERT(t->root->level == 0 || !is_power_of_two(t->root->present)); /* PT4 */
}

static void dump_node(const struct pt_node *node, unsigned depth)
{
	log_info("tree",
	    "%*s[0x%llx, 0x%llx) level %u refs %u present %016llx dirty %016llx writeback %016llx",
	    (int)(depth * 2), "", (unsigned long long)node->base, (unsigned long long)pt_node_end(node),
	    node->level, load_relaxed(&node->refs), (unsigned long long)node->present,
	    (unsigned long long)node->marks[PT_DIRTY], (unsigned long long)node->marks[PT_WRITEBACK]);
	if (node->level == 0)
		return;
	for (uint64_t left = node->present; left; left &= left - 1)
		dump_node(node->slots[bit_lowest(left)].child, depth + 1);
}

void page_tree_dump(const struct page_tree *t)
{
	if (t->root)
		dump_node(t->root, 0);
	else
		log_info("tree", "empty");
}
