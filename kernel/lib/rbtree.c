/*
 * rbtree.c - red-black trees with augmentation.
 *
 * The rules, which rb_validate checks:
 *   1. Keys are in order (the caller's business) and every child points back at its parent.
 *   2. The root is black; a red node has no red child.
 *   3. Every way from a node down to a missing child passes the same number of black nodes.
 *   4. With `update`: the value of every node is what update() computes from it and its children.
 * From 2 and 3: no path is longer than twice the shortest, so depth <= 2 log2(n + 1).
 *
 * Augmentation. A rotation exchanges two nodes x and y; only their own values and, for values that depend on
 * more than the set of nodes below, those of their ancestors change. Each change of shape therefore
 * recomputes the lowest node first and climbs. A climb may stop at the first node whose value stays the same
 * only if that node was right before about what lies below; where a node moved to another place (removal of a
 * node with two children) its old value says nothing, and the climb goes to the root.
 *
 * Missing children count as black; there is no sentinel node, so that a tree is its root pointer and nothing
 * else.
 */
#include "lib/assert.h"
#include "lib/rbtree.h"

void rb_init(struct rb_tree *tree, bool (*update)(struct rb_node *node))
{
	tree->root = NULL;
	tree->update = update;
}

void rb_augment(struct rb_tree *tree, struct rb_node *node)
{
	if (!tree->update)
		return;
	while (node && tree->update(node))
		node = node->parent;
}

/* Recompute from node to the root without stopping. */
static void augment_path(struct rb_tree *tree, struct rb_node *node)
{
	if (!tree->update)
		return;
	for (; node; node = node->parent)
		tree->update(node);
}

/* Recompute a node whose old value means nothing, then carry on upwards while values change. */
static void augment_fresh(struct rb_tree *tree, struct rb_node *node)
{
	if (!tree->update)
		return;
	tree->update(node);
	rb_augment(tree, node->parent);
}

static bool is_red(const struct rb_node *node)
{
	return node && node->red;
}

/* Make whatever points down at `old` point at `fresh` (which may be NULL). */
static void set_link(struct rb_tree *tree, struct rb_node *parent, struct rb_node *old, struct rb_node *fresh)
{
	if (!parent)
		tree->root = fresh;
	else if (parent->left == old)
		parent->left = fresh;
	else
		parent->right = fresh;
}

/* Lift the right (left) child of x into x's place; x becomes its left (right) child. */
static void rotate(struct rb_tree *tree, struct rb_node *x, bool left)
{
	struct rb_node *y = left ? x->right : x->left;
	struct rb_node *inner = left ? y->left : y->right;

	y->parent = x->parent;
	set_link(tree, x->parent, x, y);
	if (left) {
		x->right = inner;
		y->left = x;
	} else {
		x->left = inner;
		y->right = x;
	}
	x->parent = y;
	if (inner)
		inner->parent = x;
	if (tree->update)
		tree->update(x);
	augment_fresh(tree, y);
}

/* node is red and may have a red parent: recolour upwards, end with at most two rotations. */
static void insert_rebalance(struct rb_tree *tree, struct rb_node *node)
{
	while (is_red(node->parent)) {
		struct rb_node *parent = node->parent;
		struct rb_node *grand = parent->parent; /* exists: the root is black */
		bool on_left = grand->left == parent;
		struct rb_node *uncle = on_left ? grand->right : grand->left;

		if (is_red(uncle)) {
			parent->red = uncle->red = false;
			grand->red = true;
			node = grand;
			continue;
		}
		if (node == (on_left ? parent->right : parent->left)) {
			rotate(tree, parent, on_left);
			parent = node;
		}
		parent->red = false;
		grand->red = true;
		rotate(tree, grand, !on_left);
		break;
	}
	tree->root->red = false;
}

void rb_insert(struct rb_tree *tree, struct rb_node *node, struct rb_node *parent, struct rb_node **link)
{
	node->parent = parent;
	node->left = node->right = NULL;
	node->red = true;
	*link = node;
	augment_fresh(tree, node);
	insert_rebalance(tree, node);
}

/*
 * The side of `parent` where `node` hangs (NULL is possible) lacks one black node. The sibling exists, for
 * its side has at least one black more.
 */
static void remove_rebalance(struct rb_tree *tree, struct rb_node *parent, struct rb_node *node)
{
	while (parent && !is_red(node)) {
		bool on_left = parent->left == node;
		struct rb_node *sibling = on_left ? parent->right : parent->left;

		if (sibling->red) {
			sibling->red = false;
			parent->red = true;
			rotate(tree, parent, on_left);
			sibling = on_left ? parent->right : parent->left;
		}
		if (!is_red(sibling->left) && !is_red(sibling->right)) {
			sibling->red = true;
			node = parent;
			parent = node->parent;
			continue;
		}
		if (!is_red(on_left ? sibling->right : sibling->left)) {
			(on_left ? sibling->left : sibling->right)->red = false;
			sibling->red = true;
			rotate(tree, sibling, !on_left);
			sibling = on_left ? parent->right : parent->left;
		}
		sibling->red = parent->red;
		parent->red = false;
		(on_left ? sibling->right : sibling->left)->red = false;
		rotate(tree, parent, on_left);
		return;
	}
	if (node)
		node->red = false;
}

/* Give `heir` the place, children and colour of `node`. */
static void take_place(struct rb_tree *tree, struct rb_node *node, struct rb_node *heir)
{
	*heir = *node;
	set_link(tree, node->parent, node, heir);
	if (heir->left)
		heir->left->parent = heir;
	if (heir->right)
		heir->right->parent = heir;
}

/* Take out a node that has at most one child; remember where a black one went missing. */
static struct rb_node *unlink_single(struct rb_tree *tree, struct rb_node *node)
{
	struct rb_node *child = node->left ? node->left : node->right;

	set_link(tree, node->parent, node, child);
	if (child)
		child->parent = node->parent;
	return child;
}

void rb_remove(struct rb_tree *tree, struct rb_node *node)
{
	struct rb_node *gone = node; /* the node whose place in the shape disappears */
	if (node->left && node->right)
		gone = rb_next(node);

	bool lost_black = !gone->red;
	struct rb_node *parent = gone->parent;
	struct rb_node *child = unlink_single(tree, gone);
	if (gone != node) {
		if (parent == node)
			parent = gone;
		take_place(tree, node, gone);
	}
	augment_path(tree, parent);
	if (lost_black)
		remove_rebalance(tree, parent, child);
	node->parent = node->left = node->right = NULL;
}

void rb_replace(struct rb_tree *tree, struct rb_node *old, struct rb_node *fresh)
{
	take_place(tree, old, fresh);
	augment_fresh(tree, fresh);
	old->parent = old->left = old->right = NULL;
}

static struct rb_node *leftmost(struct rb_node *node)
{
	while (node && node->left)
		node = node->left;
	return node;
}

static struct rb_node *rightmost(struct rb_node *node)
{
	while (node && node->right)
		node = node->right;
	return node;
}

struct rb_node *rb_first(const struct rb_tree *tree)
{
	return leftmost(tree->root);
}

struct rb_node *rb_last(const struct rb_tree *tree)
{
	return rightmost(tree->root);
}

struct rb_node *rb_next(const struct rb_node *node)
{
	if (node->right)
		return leftmost(node->right);
	struct rb_node *parent = node->parent;
	while (parent && parent->right == node) {
		node = parent;
		parent = parent->parent;
	}
	return parent;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
	if (node->left)
		return rightmost(node->left);
	struct rb_node *parent = node->parent;
	while (parent && parent->left == node) {
		node = parent;
		parent = parent->parent;
	}
	return parent;
}

/* Check the subtree at node; its number of black levels goes to *black. Recursion is as deep as the tree: 2
 * log2(n + 1). */
static size_t validate_subtree(const struct rb_tree *tree, struct rb_node *node, unsigned *black)
{
	if (!node) {
		*black = 0;
		return 0;
	}
	ASSERT(!node->left || node->left->parent == node);
	ASSERT(!node->right || node->right->parent == node);
	ASSERT(!node->red || (!is_red(node->left) && !is_red(node->right)));

	unsigned left_black, right_black;
	size_t count = 1 + validate_subtree(tree, node->left, &left_black);
	count += validate_subtree(tree, node->right, &right_black);
	ASSERT(left_black == right_black);
	ASSERT(!tree->update || !tree->update(node));
	*black = left_black + !node->red;
	return count;
}

size_t rb_validate(const struct rb_tree *tree)
{
	unsigned black;
	ASSERT(!tree->root || (!tree->root->parent && !tree->root->red));
	return validate_subtree(tree, tree->root, &black);
}
