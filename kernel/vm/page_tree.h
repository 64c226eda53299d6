#pragma once
/*
 * page_tree.h - the persistent 64-ary radix tree from page index to page. See docs/page_tree.md.
 *
 * A tree is a pointer to a root node. A node has 64 slots, which hold nodes (level > 0) or pages (level 0),
 * and a count of the slots and roots that name it. Clone is one more reference on the root. A node that is
 * reached through anything with more than one reference is immutable, and so is a page below it or a page
 * with more than one share. To write, walk down making the path exclusively owned: a shared node is copied.
 *
 * The root may sit anywhere: it covers [base, base + 64^(level+1)), base aligned to that size, and grows
 * upwards only as far as the indices in use need. An index outside is simply absent. So a tree whose indices
 * are all near 2^35 is as low as one that starts at 0.
 *
 * Locking: a tree is guarded by its owner's lock (vm_object.lock). Two trees may share nodes under different
 * locks: shared nodes are only read, reference counts are atomic, and whoever drops the last reference frees
 * the node and drops its children. Invariants PT1..PT9 are listed in docs/page_tree.md and checked by
 * page_tree_validate.
 */
#include "lib/bits.h"
#include "lib/err.h"
#include "mm/page.h"

enum {
	PT_BITS = 6,
	PT_SLOTS = 1 << PT_BITS,
	PT_MAX_LEVEL = 8, /* 9 levels x 6 bits = 54 bits of index: 2^66 bytes, more than any object */
	PT_MAX_PATH = PT_MAX_LEVEL + 1,
};
#define PT_INDEX_MAX ((1ULL << 52) - 1) /* largest index: 2^64 bytes */

enum page_mark { PT_DIRTY, PT_WRITEBACK, PT_NMARKS };

struct pt_node {
	union {
		struct pt_node *child; /* level > 0 */
		struct page *page;     /* level 0 */
	} slots[PT_SLOTS];
	uint64_t present;          /* bit i: slot i is used */
	uint64_t marks[PT_NMARKS]; /* bit i: slot i, or something below it, has the mark */
	pgidx_t base;              /* first index covered */
	_Atomic uint32_t refs;     /* slots and roots that name the node */
	uint16_t level;            /* 0: leaf */
	uint16_t
	    shift; /* level * PT_BITS: a slot covers 1 << shift pages. Walks count it down instead of reading each level */
};

struct page_tree {
	struct pt_node *root; /* NULL: empty */
};

/* Nodes set aside before the point of no return, so that what follows cannot fail. */
struct pt_reserve {
	struct pt_node *free; /* linked through slots[0].child */
	unsigned count;
};

/* A slot of an exclusively owned leaf; valid until the tree's lock is dropped. */
struct page_slot {
	struct pt_node *leaf;
	unsigned i;
};

/* Create the node cache. Once at boot. */
void page_tree_init_cache(void);

static inline void page_tree_init(struct page_tree *t)
{
	t->root = NULL;
}
static inline bool page_tree_is_empty(const struct page_tree *t)
{
	return !t->root;
}

/* Does `node` cover idx? */
static inline bool pt_covers(const struct pt_node *node, pgidx_t idx)
{
	return (idx ^ node->base) >> node->shift >> PT_BITS == 0;
}
static inline unsigned pt_slot_of(const struct pt_node *node, pgidx_t idx)
{
	return (unsigned)(idx >> node->shift) & (PT_SLOTS - 1);
}

/* The leaf that covers idx, or NULL. *exclusive: every node on the path has one reference. */
static inline struct pt_node *page_tree_leaf(const struct page_tree *t, pgidx_t idx, bool *exclusive)
{
	struct pt_node *node = t->root;
	if (!node || !pt_covers(node, idx))
		return NULL;
	bool alone = load_acquire(&node->refs) == 1;
	for (unsigned shift = node->shift; shift; shift -= PT_BITS) {
		node = node->slots[(idx >> shift) & (PT_SLOTS - 1)].child;
		if (!node)
			return NULL;
		alone &= load_acquire(&node->refs) == 1;
	}
	*exclusive = alone;
	return node;
}

/* The page at idx, or NULL. Tree locked. Empty slots hold NULL. */
static inline struct page *page_tree_lookup(const struct page_tree *t, pgidx_t idx)
{
	const struct pt_node *node = t->root;
	if (!node || !pt_covers(node, idx))
		return NULL;
	for (unsigned shift = node->shift; shift; shift -= PT_BITS) {
		node = node->slots[(idx >> shift) & (PT_SLOTS - 1)].child;
		if (!node)
			return NULL;
	}
	return node->slots[idx & (PT_SLOTS - 1)].page;
}

/* The first page at index >= from and < end; *found gets its index. NULL: none. Skips empty subtrees by the
 * masks. */
struct page *page_tree_next(const struct page_tree *t, pgidx_t from, pgidx_t end, pgidx_t *found);
/* The same for pages that have the mark. */
struct page *page_tree_next_marked(
    const struct page_tree *t, enum page_mark m, pgidx_t from, pgidx_t end, pgidx_t *found);

/* Allocate nodes until r holds at least n. -ENOMEM (what was got stays in r). Needs no lock. */
MUST_CHECK err_t page_tree_reserve(struct pt_reserve *r, unsigned n);
/* Give back what is left. */
void page_tree_unreserve(struct pt_reserve *r);
/* Upper bound of the nodes that page_tree_own(idx) / page_tree_remove(first, end) can need now: for
 * page_tree_reserve. Tree locked. */
unsigned page_tree_own_need(const struct page_tree *t, pgidx_t idx);
unsigned page_tree_remove_need(const struct page_tree *t, pgidx_t first, pgidx_t end);

/* Make the path to idx exclusively owned, growing the tree if idx is not covered yet; *out names its slot
 * (empty or not; an empty one is filled before the lock is dropped: PT4). Takes nodes from r first, if r is
 * not NULL, then allocates (never sleeps). -ENOMEM: the tree's contents are unchanged (paths may have been
 * copied). Tree locked. */
MUST_CHECK err_t page_tree_own(struct page_tree *t, pgidx_t idx, struct pt_reserve *r, struct page_slot *out);

static inline struct page *page_slot_get(struct page_slot s)
{
	return s.leaf->slots[s.i].page;
}
/* Put a page into an empty slot; the tree takes a share of its own. */
static inline void page_slot_fill(struct page_slot s, struct page *p)
{
	DEBUG_ASSERT(s.leaf->level == 0 && load_relaxed(&s.leaf->refs) == 1);
	DEBUG_ASSERT(!s.leaf->slots[s.i].page);
	page_share(p);
	s.leaf->slots[s.i].page = p;
	s.leaf->present |= BIT(s.i);
}
/* Put `fresh` into a used slot and return the old page, whose share passes to the caller (page_unshare it
 * once no translation is left). */
struct page *page_slot_replace(struct page_slot s, struct page *fresh);

/* Remove [first, end). Every translation of these pages by this tree's owner must be flushed already. Each
 * page is dropped with drop(page) (NULL: page_unshare), which returns the frames it freed; returns the sum.
 * Shared subtrees that lie wholly in the range cost one reference. Nodes that edges need copied come from r,
 * then from the allocator; -ENOMEM only without enough in r, and then nothing was removed. Empty nodes are
 * freed, the root is lowered where it can be. */
MUST_CHECK err_t page_tree_remove(struct page_tree *t, pgidx_t first, pgidx_t end, struct pt_reserve *r,
    unsigned (*drop)(struct page *p), uint64_t *freed);

/* dst (empty) becomes a copy of src in O(1). Marks must be clear in src (only file objects have any, and they
 * are never cloned). src locked. */
void page_tree_clone(struct page_tree *dst, struct page_tree *src);
/* Drop the whole tree; returns frames freed. Needs no lock once nobody else can reach t. */
uint64_t page_tree_destroy(struct page_tree *t, unsigned (*drop)(struct page *p));

/* Marks. The page at idx must be there and the path is exclusive by the file-object rule. Tree locked. */
void page_tree_set_mark(struct page_tree *t, pgidx_t idx, enum page_mark m);
void page_tree_clear_mark(struct page_tree *t, pgidx_t idx, enum page_mark m);
bool page_tree_test_mark(const struct page_tree *t, pgidx_t idx, enum page_mark m);
static inline bool page_tree_has_mark(const struct page_tree *t, enum page_mark m)
{
	return t->root && t->root->marks[m];
}

/* Number of pages in [first, end); counted by masks, O(leaves). *shared, if not NULL, gets how many of them
 * another tree shares. Tree locked. */
uint64_t page_tree_count(const struct page_tree *t, pgidx_t first, pgidx_t end, uint64_t *shared);
/* The same, and how much of them is t's: a page is a whole, and each node that is named by n others passes a
 * n-th of what it holds to each of them. So a page's parts in all trees are one page, and trees that were
 * cloned from one another and have not changed since have equal parts. Tree locked; trees that share nodes
 * with it may change meanwhile. */
#define PT_WHOLE (1ULL << 24) /* a page: a byte is 4096, the unit that Linux adds Pss up in */
struct pt_usage {
	uint64_t pages, shared;
	uint64_t parts; /* in PT_WHOLEs */
};
void page_tree_usage(const struct page_tree *t, pgidx_t first, pgidx_t end, struct pt_usage *out);
/* Nodes in use by all trees, for /proc/mm and tests. */
uint64_t page_tree_nodes(void);
/* Check every invariant of the tree; panics on a violation. Tree locked. */
void page_tree_validate(const struct page_tree *t);
/* Write the shape to the log. */
void page_tree_dump(const struct page_tree *t);
