#pragma once
/*
 * rbtree.h - intrusive red-black tree with an optional augmentation: a value each node keeps about its
 * subtree.
 *
 * The caller does the descent (it knows the key), links the new node, then calls rb_insert to rebalance:
 *
 *	struct rb_node **link = &tree->root, *parent = NULL;
 *	while (*link) { parent = *link; link = less(key, parent) ? &parent->left : &parent->right; }
 *	rb_insert(tree, node, parent, link);
 *
 * `tree->update(node)`, if not NULL, recomputes the augmented value of one node from itself and its two
 * children and returns true if the value changed. The tree calls it bottom-up wherever the shape changed. A
 * caller that changes what the value depends on calls rb_augment(tree, node) to carry it to the root. No
 * locking: the owner of the tree locks.
 */
#include "lib/types.h"

struct rb_node {
	struct rb_node *parent; /* low bit of parent is not used for colour: clarity before 8 bytes */
	struct rb_node *left, *right;
	bool red;
};

struct rb_tree {
	struct rb_node *root;
	bool (*update)(struct rb_node *node); /* NULL: not augmented */
};

#define rb_entry(p, t, m) container_of(p, t, m)

void rb_init(struct rb_tree *tree, bool (*update)(struct rb_node *node));
/* Link `node` (its fields need no initialisation) at *link under parent, and rebalance. O(log n). */
void rb_insert(struct rb_tree *tree, struct rb_node *node, struct rb_node *parent, struct rb_node **link);
void rb_remove(struct rb_tree *tree, struct rb_node *node);
/* Put `fresh` in the place of `old`, which is no longer in the tree; the order must not change. */
void rb_replace(struct rb_tree *tree, struct rb_node *old, struct rb_node *fresh);
/* Recompute augmented values from `node` up to the root; stops early where nothing changes. */
void rb_augment(struct rb_tree *tree, struct rb_node *node);
struct rb_node *rb_first(const struct rb_tree *tree);
struct rb_node *rb_last(const struct rb_tree *tree);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);
/* Check shape, colours, parent links and augmented values; panic on a violation. Returns the number of nodes.
 */
size_t rb_validate(const struct rb_tree *tree);
