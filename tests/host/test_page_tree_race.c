/*
 * test_page_tree_race.c - four threads, 24 trees under independent locks, cloned from one another all the
 * time, so that nodes and pages are shared under different locks.
 *
 * Each tree has a shadow: the value of each page, guarded by the tree's lock. A page's first word is its
 * value, written in place exactly when the tree says that the page is exclusive. The word is a plain variable
 * on purpose: the only order between one tree's last read of a page and another's write to it in place is
 * what the reference counts give, and ThreadSanitizer sees whether that is enough. The same goes for the
 * slots of nodes.
 *
 * PT_RACE_OPS: operations for each thread.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "page_tree_env.h"

#define CHECK(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, __func__, #cond);             \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

enum { THREADS = 4, TREES = 24, PAGES = 160 };

/* The indices in use: five clusters on boundaries, 32 pages each. */
static pgidx_t index_of(unsigned i)
{
	static const pgidx_t at[] = {48, 4080, (1ULL << 18) - 16, (1ULL << 35) - 16, PT_INDEX_MAX - 31};
	return at[i / 32] + i % 32;
}

static struct racing_tree {
	pthread_mutex_t lock;
	struct page_tree tree;  /* lock */
	uint64_t shadow[PAGES]; /* lock; 0: no page */
} trees[TREES];

struct racer {
	pthread_t thread;
	unsigned id;
	uint64_t rng, stamp, ops, clones, writes, in_place, copies, lookups, drops;
};

static uint64_t rnd(struct racer *w, uint64_t n)
{
	w->rng ^= w->rng << 13;
	w->rng ^= w->rng >> 7;
	w->rng ^= w->rng << 17;
	return (w->rng * 0x2545f4914f6cdd1dULL >> 33) % n;
}

static uint64_t *word(struct page *p)
{
	return page_to_virt(p);
}

static struct page *stamped_page(struct racer *w)
{
	struct page *p = frame_alloc(PAGE_ANON, 0);
	CHECK(p);
	*word(p) = ++w->stamp << 8 | w->id;
	return p;
}

static void write_page(struct racer *w, struct racing_tree *t, unsigned i)
{
	struct page_slot s;
	CHECK(page_tree_own(&t->tree, index_of(i), NULL, &s) == 0);
	struct page *p = page_slot_get(s);
	CHECK(!p == !t->shadow[i]);
	w->writes++;
	if (!p) {
		page_slot_fill(s, p = stamped_page(w));
	} else if (page_shares(p) == 1) {
		CHECK(*word(p) == t->shadow[i]);
		*word(p) = ++w->stamp << 8 | w->id;
	} else {
		struct page *fresh = stamped_page(w);
		CHECK(*word(p) == t->shadow[i]); /* what a copy reads */
		CHECK(page_slot_replace(s, fresh) == p);
		page_unshare(p);
		w->copies++;
		p = fresh;
	}
	t->shadow[i] = *word(p);
}

/* As a write fault on a page that is writable already: no path to copy. */
static void write_exclusive(struct racer *w, struct racing_tree *t)
{
	unsigned i = (unsigned)rnd(w, PAGES);
	bool exclusive = false;
	struct pt_node *leaf = page_tree_leaf(&t->tree, index_of(i), &exclusive);
	struct page *p = leaf ? leaf->slots[index_of(i) % PT_SLOTS].page : NULL;
	if (!p || !exclusive || page_shares(p) > 1)
		return;
	CHECK(*word(p) == t->shadow[i]);
	t->shadow[i] = *word(p) = ++w->stamp << 8 | w->id;
	w->in_place++;
}

static void look_up(struct racer *w, struct racing_tree *t)
{
	for (unsigned n = 0; n < 8; n++) {
		unsigned i = (unsigned)rnd(w, PAGES);
		struct page *p = page_tree_lookup(&t->tree, index_of(i));
		CHECK(!p == !t->shadow[i]);
		CHECK(!p || *word(p) == t->shadow[i]);
		w->lookups++;
	}
}

static void scan(struct racing_tree *t)
{
	pgidx_t found = 0, from = 0;
	uint64_t shared, n = 0;
	for (unsigned i = 0; i < PAGES; i++) {
		if (!t->shadow[i])
			continue;
		struct page *p = page_tree_next(&t->tree, from, PT_INDEX_MAX + 1, &found);
		CHECK(p && found == index_of(i) && *word(p) == t->shadow[i]);
		from = found + 1;
		n++;
	}
	CHECK(!page_tree_next(&t->tree, from, PT_INDEX_MAX + 1, &found));
	CHECK(page_tree_count(&t->tree, 0, PT_INDEX_MAX + 1, &shared) == n && shared <= n);
	page_tree_validate(&t->tree);
}

static void remove_pages(struct racer *w, struct racing_tree *t)
{
	unsigned a = (unsigned)rnd(w, PAGES), b = a + 1 + (unsigned)rnd(w, PAGES - a);
	struct pt_reserve r = {0};
	uint64_t freed;
	CHECK(page_tree_reserve(&r, page_tree_remove_need(&t->tree, index_of(a), index_of(b - 1) + 1)) == 0);
	inject_arm(1); /* the bound counted before must do, although others drop their shares meanwhile */
	CHECK(page_tree_remove(&t->tree, index_of(a), index_of(b - 1) + 1, &r, NULL, &freed) == 0 &&
	      !inject_fired());
	inject_arm(0);
	page_tree_unreserve(&r);
	memset(&t->shadow[a], 0, (b - a) * sizeof(t->shadow[0]));
}

static void clone_tree(struct racer *w, unsigned from, unsigned to)
{
	struct page_tree old;
	if (from == to)
		return;
	pthread_mutex_lock(&trees[MIN(from, to)].lock);
	pthread_mutex_lock(&trees[MAX(from, to)].lock);
	old = trees[to].tree;
	page_tree_init(&trees[to].tree);
	page_tree_clone(&trees[to].tree, &trees[from].tree);
	memcpy(trees[to].shadow, trees[from].shadow, sizeof(trees[to].shadow));
	pthread_mutex_unlock(&trees[from].lock);
	pthread_mutex_unlock(&trees[to].lock);
	page_tree_destroy(
	    &old, NULL); /* under no lock: nobody else reaches it, but its nodes may be shared */
	w->clones++;
	w->drops++;
}

static void step(struct racer *w)
{
	unsigned k = (unsigned)rnd(w, TREES), op = (unsigned)rnd(w, 16);
	struct racing_tree *t = &trees[k];
	if (op < 4) {
		clone_tree(w, k, (unsigned)rnd(w, TREES));
		return;
	}
	pthread_mutex_lock(&t->lock);
	if (op < 10) {
		unsigned i = (unsigned)rnd(w, PAGES);
		for (unsigned n = 0; n < 3; n++)
			write_page(w, t, (i + n) % PAGES);
	} else if (op < 13) {
		look_up(w, t);
		for (unsigned n = 0; n < 16; n++)
			write_exclusive(w, t);
	} else if (op < 14) {
		scan(t);
	} else if (op < 15) {
		remove_pages(w, t);
	} else if (rnd(w, 4) == 0) {
		page_tree_destroy(&t->tree, NULL);
		memset(t->shadow, 0, sizeof(t->shadow));
		w->drops++;
	}
	pthread_mutex_unlock(&t->lock);
}

static void *race(void *arg)
{
	struct racer *w = arg;
	for (uint64_t i = 0; i < w->ops; i++)
		step(w);
	return NULL;
}

static void run_race(uint64_t ops)
{
	static struct racer w[THREADS];
	uint64_t anon = page_tree_env_anon_frames(), nodes = page_tree_nodes();
	struct racer sum = {0};
	for (unsigned k = 0; k < TREES; k++)
		pthread_mutex_init(&trees[k].lock, NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct racer){.id = i, .rng = 0x9e3779b97f4a7c15ULL * (i + 1), .ops = ops};
		CHECK(pthread_create(&w[i].thread, NULL, race, &w[i]) == 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		sum.clones += w[i].clones;
		sum.writes += w[i].writes;
		sum.copies += w[i].copies;
		sum.in_place += w[i].in_place;
		sum.lookups += w[i].lookups;
		sum.drops += w[i].drops;
	}
	printf("# %llu clones, %llu writes (%llu by copy), %llu in place, %llu lookups, %llu drops\n",
	    (unsigned long long)sum.clones, (unsigned long long)sum.writes, (unsigned long long)sum.copies,
	    (unsigned long long)sum.in_place, (unsigned long long)sum.lookups, (unsigned long long)sum.drops);
	CHECK(sum.clones && sum.in_place && sum.copies && sum.copies < sum.writes);
	for (unsigned k = 0; k < TREES; k++) {
		scan(&trees[k]);
		page_tree_destroy(&trees[k].tree, NULL);
	}
	CHECK(page_tree_nodes() == nodes);
	CHECK(page_tree_env_anon_frames() == anon);
}

int main(void)
{
	const char *ops = getenv("PT_RACE_OPS");
	page_tree_env_init();
	printf("1..1\n");
	run_race(ops ? strtoull(ops, NULL, 0) : 40000);
	printf("ok 1 - four threads, 24 trees that share nodes under independent locks\n");
	return 0;
}
