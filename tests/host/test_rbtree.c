/* test_rbtree.c - random insertions, removals and replacements against a sorted array, with an augmented tree
 * checked at every step. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/rbtree.h"

enum { KEYS = 512 };

struct item {
	struct rb_node node;
	unsigned key;
	unsigned weight;
	uint64_t sum;    /* augmented: weights in the subtree */
	unsigned height; /* augmented, and dependent on shape: notices a missed update after a rotation */
	bool present;
};

static struct item items[KEYS];
static uint64_t seed = 0x9e3779b97f4a7c15;

static unsigned random_below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static struct item *item_of(struct rb_node *n)
{
	return n ? rb_entry(n, struct item, node) : NULL;
}

static bool update(struct rb_node *n)
{
	struct item *it = item_of(n), *l = item_of(n->left), *r = item_of(n->right);
	uint64_t sum = it->weight + (l ? l->sum : 0) + (r ? r->sum : 0);
	unsigned height = 1 + MAX(l ? l->height : 0, r ? r->height : 0);
	bool changed = sum != it->sum || height != it->height;
	it->sum = sum;
	it->height = height;
	return changed;
}

static void insert(struct rb_tree *tree, struct item *it)
{
	struct rb_node **link = &tree->root, *parent = NULL;
	while (*link) {
		parent = *link;
		link = it->key < item_of(parent)->key ? &parent->left : &parent->right;
	}
	rb_insert(tree, &it->node, parent, link);
	it->present = true;
}

/* The tree holds exactly the present items, in order, both ways; sums are right. */
static void check_against_model(struct rb_tree *tree)
{
	struct rb_node *n = rb_first(tree), *last = NULL;
	uint64_t sum = 0;
	size_t count = 0;

	for (unsigned k = 0; k < KEYS; k++) {
		if (!items[k].present)
			continue;
		assert_ptr_equal(n, &items[k].node);
		assert_ptr_equal(rb_prev(n), last);
		last = n;
		n = rb_next(n);
		sum += items[k].weight;
		count++;
	}
	assert_null(n);
	assert_ptr_equal(rb_last(tree), last);
	assert_int_equal(rb_validate(tree), count);
	if (tree->root && tree->update)
		assert_int_equal(item_of(tree->root)->sum, sum);
}

static void start(struct rb_tree *tree, bool (*fn)(struct rb_node *))
{
	rb_init(tree, fn);
	for (unsigned k = 0; k < KEYS; k++)
		items[k] = (struct item){.key = k, .weight = random_below(1000), .sum = 77, .height = 99};
}

static void random_steps(bool (*fn)(struct rb_node *), unsigned universe, unsigned steps)
{
	struct rb_tree tree;

	start(&tree, fn);
	for (unsigned i = 0; i < steps; i++) {
		struct item *it = &items[random_below(universe)];
		if (!it->present) {
			insert(&tree, it);
		} else if (fn && random_below(4) == 0) {
			it->weight = random_below(1000);
			rb_augment(&tree, &it->node);
		} else {
			rb_remove(&tree, &it->node);
			it->present = false;
		}
		check_against_model(&tree);
	}
}

static void augmented_random(void **state)
{
	(void)state;
	for (unsigned universe = 1; universe <= 12; universe++)
		random_steps(update, universe, 400);
	random_steps(update, 60, 3000);
	random_steps(update, KEYS, 3000);
}

static void plain_random(void **state)
{
	(void)state;
	random_steps(NULL, KEYS, 2000);
}

static void ascending_and_descending(void **state)
{
	struct rb_tree tree;

	(void)state;
	start(&tree, update);
	for (unsigned k = 0; k < KEYS; k++)
		insert(&tree, &items[k]);
	check_against_model(&tree);
	assert_in_range(item_of(tree.root)->height, 9, 18); /* 2 log2(513) */
	for (unsigned k = KEYS; k-- > 0;) {
		rb_remove(&tree, &items[k].node);
		items[k].present = false;
		check_against_model(&tree);
	}
	assert_null(tree.root);
}

static void replace_keeps_order(void **state)
{
	struct rb_tree tree;
	struct item fresh[64];

	(void)state;
	start(&tree, update);
	for (unsigned k = 0; k < 64; k++)
		insert(&tree, &items[k]);
	for (unsigned k = 0; k < 64; k++) {
		fresh[k] = (struct item){.key = k, .weight = items[k].weight + k};
		rb_replace(&tree, &items[k].node, &fresh[k].node);
		assert_int_equal(rb_validate(&tree), 64);
	}
	unsigned k = 0;
	for (struct rb_node *n = rb_first(&tree); n; n = rb_next(n), k++)
		assert_ptr_equal(n, &fresh[k].node);
	assert_int_equal(k, 64);
}

/* rb_validate must notice: run it in a child and expect the abort of a panic. */
static void expect_panic(struct rb_tree *tree)
{
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fclose(stderr);
		fclose(stdout);
		signal(SIGABRT, SIG_DFL);
		rb_validate(tree);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void validate_catches_damage(void **state)
{
	struct rb_tree tree;

	(void)state;
	start(&tree, update);
	for (unsigned k = 0; k < 100; k++)
		insert(&tree, &items[k]);
	struct rb_node *n = tree.root->left->right;

	n->red = !n->red;
	expect_panic(&tree);
	n->red = !n->red;

	struct rb_node *parent = n->parent;
	n->parent = tree.root;
	expect_panic(&tree);
	n->parent = parent;

	item_of(n)->weight++;
	expect_panic(&tree);
	item_of(n)->weight--;

	tree.root->red = true;
	expect_panic(&tree);
	tree.root->red = false;
	assert_int_equal(rb_validate(&tree), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(augmented_random),
	    cmocka_unit_test(plain_random),
	    cmocka_unit_test(ascending_and_descending),
	    cmocka_unit_test(replace_keeps_order),
	    cmocka_unit_test(validate_catches_damage),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
