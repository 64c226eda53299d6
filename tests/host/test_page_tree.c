/*
 * test_page_tree.c - the page tree in one thread: directed cases, permutations, many sharers, failed
 * allocations, random histories against the model, costs.
 *
 * PT_SEED and PT_STEPS set the random test's seed and length; what was used is printed.
 */
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "kern/log.h"
#include "page_tree_env.h"
#include "page_tree_model.h"

static struct model m;
static uint64_t rng_state = 1;

static uint64_t rnd(uint64_t n)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return (rng_state * 0x2545f4914f6cdd1dULL >> 11) % n;
}

static const pgidx_t boundaries[] = {0, 64, 4096, 1ULL << 18, 1ULL << 24, 1ULL << 30, 1ULL << 35, 1ULL << 36,
    1ULL << 42, 1ULL << 48, PT_INDEX_MAX, 12345, 0x7fffffffeULL};

/* An index near a boundary; what would be negative or too large wraps to the other end. */
static pgidx_t rnd_index(unsigned nboundaries)
{
	pgidx_t at = boundaries[rnd(nboundaries)];
	return (at + rnd(rnd(4) ? 5 : 150) - rnd(rnd(4) ? 5 : 150)) & PT_INDEX_MAX;
}

static void must(err_t err)
{
	MCHECK(err == 0);
}

/* Tree k gets pages in [first, end). */
static void populate(unsigned k, pgidx_t first, pgidx_t end)
{
	for (pgidx_t i = first; i < end; i++)
		must(model_write(&m, k, i, false));
}

/* ---- Directed cases ---- */

static void test_empty(void)
{
	struct page_tree t;
	pgidx_t found;
	uint64_t freed = 7, shared = 7;
	page_tree_init(&t);
	MCHECK(page_tree_is_empty(&t) && !page_tree_lookup(&t, 0) && !page_tree_lookup(&t, PT_INDEX_MAX));
	MCHECK(!page_tree_next(&t, 0, PT_INDEX_MAX + 1, &found));
	MCHECK(page_tree_count(&t, 0, PT_INDEX_MAX + 1, &shared) == 0 && shared == 0);
	must(page_tree_remove(&t, 0, PT_INDEX_MAX + 1, NULL, NULL, &freed));
	MCHECK(freed == 0 && page_tree_destroy(&t, NULL) == 0);
	MCHECK(page_tree_remove_need(&t, 0, 100) == 0 && page_tree_own_need(&t, PT_INDEX_MAX) == 1);
	page_tree_validate(&t);
}

/* The height is what the span of the indices needs, wherever they are. */
static void test_height(void)
{
	static const struct {
		pgidx_t a, b;
		unsigned level;
	} cases[] = {{0, 63, 0}, {0, 64, 1}, {4095, 0, 1}, {4095, 4096, 2}, {(1ULL << 18) - 1, 1ULL << 18, 3},
	    {(1ULL << 35) + 1, (1ULL << 35) + 62, 0}, {(1ULL << 35) - 1, 1ULL << 35, 5}, {0, PT_INDEX_MAX, 8},
	    {PT_INDEX_MAX - 1, PT_INDEX_MAX, 0}};
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		model_start(&m);
		model_create(&m, 0, false);
		must(model_write(&m, 0, cases[i].a, true));
		MCHECK(m.t[0].tree.root->level == 0);
		must(model_write(&m, 0, cases[i].b, true));
		MCHECK(m.t[0].tree.root->level == cases[i].level);
		model_compare(&m.t[0]);
		must(model_remove(&m, 0, cases[i].b, cases[i].b + 1, true));
		MCHECK(m.t[0].tree.root->level == 0); /* lowered again */
		model_compare(&m.t[0]);
		model_end(&m);
	}
}

/* A tree grown or lowered while its root is shared leaves the other tree as it was. */
static void test_shared_root_moves(void)
{
	model_start(&m);
	model_create(&m, 0, false);
	populate(0, 10, 20);
	model_clone(&m, 1, 0);
	must(model_write(&m, 1, 1ULL << 35, true));
	MCHECK(m.t[0].tree.root->level == 0 && m.t[1].tree.root->level == 5);
	model_clone(&m, 2, 1);
	must(model_remove(&m, 2, 20, PT_INDEX_MAX + 1, true));
	MCHECK(m.t[2].tree.root == m.t[0].tree.root && load_relaxed(&m.t[0].tree.root->refs) == 3);
	model_compare_all(&m);
	model_destroy(&m, 1);
	model_destroy(&m, 0);
	model_compare_all(&m);
	model_end(&m);
}

/* Removing a shared subtree costs one reference and no node. */
static void test_remove_shared_whole(void)
{
	model_start(&m);
	model_create(&m, 0, false);
	populate(0, 0, 256);
	model_clone(&m, 1, 0);
	uint64_t nodes = page_tree_nodes();
	MCHECK(page_tree_remove_need(&m.t[1].tree, 0, 1000) == 0);
	must(model_remove(&m, 1, 0, 1000, true));
	MCHECK(page_tree_nodes() == nodes && load_relaxed(&m.t[0].tree.root->refs) == 1);
	model_clone(&m, 2, 0);
	MCHECK(page_tree_remove_need(&m.t[2].tree, 64, 192) ==
	       1); /* the root only: both leaves lie in the range */
	must(model_remove(&m, 2, 64, 192, true));
	MCHECK(page_tree_nodes() == nodes + 1);
	model_clone(&m, 3, 0);
	MCHECK(page_tree_remove_need(&m.t[3].tree, 63, 193) == 3); /* the root and a leaf at each edge */
	must(model_remove(&m, 3, 63, 193, true));
	MCHECK(page_tree_nodes() == nodes + 4);
	model_compare_all(&m);
	model_end(&m);
}

static unsigned dropped;
static unsigned count_drop(struct page *p)
{
	dropped++;
	return page_unshare(p);
}

/* Pages are dropped through the caller's function, each once, and only when their last node goes. */
static void test_drop_function(void)
{
	uint64_t freed;
	model_start(&m);
	model_create(&m, 0, false);
	populate(0, 0, 130);
	model_clone(&m, 1, 0);
	dropped = 0;
	MCHECK(page_tree_destroy(&m.t[1].tree, count_drop) == 0 && dropped == 0);
	must(page_tree_remove(&m.t[0].tree, 60, 70, NULL, count_drop, &freed));
	MCHECK(freed == 10 && dropped == 10);
	MCHECK(page_tree_destroy(&m.t[0].tree, count_drop) == 120 && dropped == 130);
	m.t[0].live = m.t[1].live = false;
	m.pages -= 130;
	model_end(&m);
}

static void test_marks(void)
{
	model_start(&m);
	model_create(&m, 0, true);
	populate(0, 62, 66);
	populate(0, 1ULL << 24, (1ULL << 24) + 2);
	for (unsigned i = 0; i < m.t[0].n; i++) {
		model_mark(&m, 0, i, PT_DIRTY, true);
		model_mark(&m, 0, i, PT_WRITEBACK, i & 1);
	}
	model_compare(&m.t[0]);
	model_query(&m, 0, 63, 1ULL << 25);
	must(model_remove(&m, 0, 1ULL << 24, 1ULL << 25, false)); /* the marks go with the pages */
	model_compare(&m.t[0]);
	model_query(&m, 0, 0, 1ULL << 25);
	for (unsigned i = 0; i < m.t[0].n; i++)
		for (unsigned mk = 0; mk < PT_NMARKS; mk++)
			model_mark(&m, 0, i, (enum page_mark)mk, false);
	MCHECK(
	    !page_tree_has_mark(&m.t[0].tree, PT_DIRTY) && !page_tree_has_mark(&m.t[0].tree, PT_WRITEBACK));
	model_clone(&m, 1, 0); /* allowed now */
	model_compare_all(&m);
	model_end(&m);
}

/* ---- The self-check and the picture ---- */

/* Ways to break the tree of test_validate: [0, 70) and one page at 2^18, so a root of level 3. */
static struct pt_node *node_at(unsigned level, pgidx_t idx)
{
	struct pt_node *node = m.t[0].tree.root;
	while (node->level > level)
		node = node->slots[pt_slot_of(node, idx)].child;
	return node;
}
static void break_base(void)
{
	node_at(3, 0)->base = 64;
}
static void break_shift(void)
{
	node_at(3, 0)->shift = 12;
}
static void break_child_level(void)
{
	node_at(1, 0)->level = 0;
	node_at(1, 0)->shift = 0;
}
static void break_child_place(void)
{
	struct pt_node *n = node_at(1, 0);
	n->slots[2] = n->slots[1];
	n->present |= BIT(2);
}
static void break_presence(void)
{
	node_at(1, 0)->present |= BIT(9);
}
static void break_leaf_presence(void)
{
	node_at(0, 5)->present &= ~BIT(5);
}
static void break_by_empty_node(void)
{
	struct pt_node *leaf = node_at(0, 1ULL << 18);
	leaf->slots[0].page = NULL;
	leaf->present = 0;
}
static void break_root(void)
{
	struct pt_node *root = node_at(3, 0);
	root->slots[1].child = NULL;
	root->present = BIT(0);
}
static void break_refs(void)
{
	store_relaxed(&node_at(1, 0)->refs, 0);
}
static void break_page(void)
{
	page_set_kind(m.t[0].e[3].page, PAGE_ANON, 0); /* no shares */
}
static void break_page_kind(void)
{
	store_relaxed(&m.t[0].e[3].page->state, (uint64_t)PAGE_FREE << PAGE_KIND_SHIFT | 1);
}
static void break_mark(void)
{
	node_at(0, 5)->marks[PT_DIRTY] = BIT(5);
}
static void break_mark_of_nothing(void)
{
	node_at(0, 64)->marks[PT_WRITEBACK] = BIT(63);
}
static void break_shared_mark(void)
{
	page_tree_set_mark(&m.t[0].tree, 5, PT_DIRTY);
	store_relaxed(&node_at(3, 0)->refs, 2);
}

static void break_and_validate(void *how)
{
	void (*const *fn)(void) = how;
	(*fn)();
	page_tree_validate(&m.t[0].tree);
}

static void test_validate(void)
{
	static const struct {
		void (*fn)(void);
		const char *needle;
	} ways[] = {{break_base, "IS_ALIGNED(node->base"}, {break_shift, "node->shift == node->level"},
	    {break_child_level, "child->level + 1 == node->level"},
	    {break_child_place, "child->base == node->base +"},
	    {break_presence, "!child == !(node->present & "},
	    {break_leaf_presence, "!p == !(leaf->present & "},
	    {break_by_empty_node, "assertion failed: node->present"},
	    {break_root, "is_power_of_two(t->root->present)"}, {break_refs, "refs) >= 1"},
	    {break_page, "page_shares(p) >= 1"}, {break_page_kind, "page_kind(p) >= PAGE_KERNEL"},
	    {break_mark, "!child->marks[m] == "},
	    {break_mark_of_nothing, "!(node->marks[m] & ~node->present)"},
	    {break_shared_mark, "!pt_is_shared(node)"}};
	model_start(&m);
	model_create(&m, 0, true);
	populate(0, 0, 70);
	populate(0, 1ULL << 18, (1ULL << 18) + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		void (*fn)(void) = ways[i].fn;
		MCHECK(host_panics(break_and_validate, &fn, ways[i].needle));
	}
	model_compare_all(&m); /* each was broken in a child process only */
	model_end(&m);
}

/* One line for each node, children under their parents. */
static void test_dump(void)
{
	static const char *const expected[] = {"[0x0, 0x1000) level 1 refs 2 present 0000000000000003",
	    "  [0x0, 0x40) level 0 refs 1", "  [0x40, 0x80) level 0 refs 1 present 000000000000003f"};
	char line[512];
	FILE *out = tmpfile();
	int saved = dup(STDERR_FILENO);
	MCHECK(out && saved >= 0);
	model_start(&m);
	model_create(&m, 0, false);
	populate(0, 0, 70);
	model_clone(&m, 1, 0);
	model_create(&m, 2, false);
	dup2(fileno(out), STDERR_FILENO);
	host_log_level = LOG_INFO;
	page_tree_dump(&m.t[0].tree);
	page_tree_dump(&m.t[2].tree);
	host_log_level = -1;
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(out);
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++)
		MCHECK(fgets(line, sizeof(line), out) && strstr(line, expected[i]));
	MCHECK(fgets(line, sizeof(line), out) && strstr(line, "empty") && !fgets(line, sizeof(line), out));
	fclose(out);
	model_end(&m);
}

/* ---- Permutations ---- */

static void permute(unsigned n, void (*fn)(const unsigned *order, unsigned n))
{
	unsigned order[8] = {0}, c[8] = {0};
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	fn(order, n);
	for (unsigned i = 1; i < n;) { /* Heap's algorithm */
		if (c[i] >= i) {
			c[i++] = 0;
			continue;
		}
		unsigned j = i & 1 ? c[i] : 0, tmp = order[j];
		order[j] = order[i];
		order[i] = tmp;
		fn(order, n);
		c[i]++;
		i = 1;
	}
}

static const unsigned *write_order;

static void family(unsigned n)
{
	model_start(&m);
	model_create(&m, 0, false);
	populate(0, 60, 68);
	populate(0, 4094, 4098);
	for (unsigned k = 1; k < n; k++)
		model_clone(&m, k, k - 1);
}

/* Each tree writes a page that all have, one that its predecessor wrote, and one of its own. */
static void family_write(unsigned k)
{
	must(model_write(&m, k, 61, false));
	must(model_write(&m, k, 4094 + k % 4, false));
	must(model_write(&m, k, (1ULL << 20) + k, false));
	model_compare_all(&m);
}

static void destroy_in_order(const unsigned *order, unsigned n)
{
	family(n);
	for (unsigned i = 0; i < n && write_order; i++)
		family_write(write_order[i]);
	for (unsigned i = 0; i < n; i++) {
		model_destroy(&m, order[i]);
		model_compare_all(&m);
	}
	model_end(&m);
}

static void write_in_order(const unsigned *order, unsigned n)
{
	write_order = order;
	permute(n, destroy_in_order);
	write_order = NULL;
}

static void test_permutations(void)
{
	permute(4, destroy_in_order);
	permute(4, write_in_order);
}

/* More sharers of one page, and of one node, than small counters hold. */
static void test_many_sharers(void)
{
	enum { SHARERS = 66000 };
	struct page_tree *t = calloc(SHARERS, sizeof(*t));
	struct page_slot s;
	uint64_t nodes = page_tree_nodes(), freed = 0;
	model_start(&m);
	struct page *p = model_page(&m), *q = model_page(&m);
	must(page_tree_own(&t[0], 5, NULL, &s));
	page_slot_fill(s, p);
	for (unsigned i = 1; i < SHARERS; i++)
		page_tree_clone(&t[i], &t[0]);
	MCHECK(load_relaxed(&t[0].root->refs) == SHARERS && page_shares(p) == 1);
	for (unsigned i = 0; i < SHARERS; i++) { /* each gets a leaf of its own */
		must(page_tree_own(&t[i], 6, NULL, &s));
		page_slot_fill(s, q);
	}
	MCHECK(
	    page_shares(p) == SHARERS && page_shares(q) == SHARERS && page_tree_nodes() == nodes + SHARERS);
	for (unsigned i = 0; i < SHARERS; i++)
		freed += page_tree_destroy(&t[(i * 7919ULL) % SHARERS], NULL);
	MCHECK(freed == 2 && page_tree_nodes() == nodes);
	free(t);
}

/* ---- Failed allocations ---- */

typedef err_t (*scenario_fn)(void);
static err_t write_empty(void)
{
	return model_write(&m, 3, PT_INDEX_MAX, false);
}
static err_t write_far(void)
{
	return model_write(&m, 1, PT_INDEX_MAX, false);
}
static err_t write_shared(void)
{
	return model_write(&m, 1, 4094, false);
}
static err_t write_shared_reserved(void)
{
	return model_write(&m, 1, 4094, true);
}
static err_t write_hole(void)
{
	return model_write(&m, 1, 1ULL << 20, false);
}
static err_t remove_edges(void)
{
	return model_remove(&m, 1, 61, 4096, false);
}
static err_t remove_edges_reserved(void)
{
	return model_remove(&m, 1, 61, 4096, true);
}
static void test_each_allocation_fails(void)
{
	static const scenario_fn scenarios[] = {write_empty, write_far, write_shared, write_shared_reserved,
	    write_hole, remove_edges, remove_edges_reserved};
	for (unsigned i = 0; i < ARRAY_SIZE(scenarios); i++) {
		unsigned failures = 0;
		for (uint64_t n = 1;; n++) {
			family(3);
			model_create(&m, 3, false);
			uint64_t nodes = page_tree_nodes();
			inject_arm(n);
			err_t err = scenarios[i]();
			bool fired = inject_fired();
			inject_arm(0);
			MCHECK(err == 0 || err == -ENOMEM);
			model_compare_all(&m); /* the shadows are changed by a success only */
			if (err) {
				failures++;
				MCHECK(page_tree_nodes() <= nodes + 2 * PT_MAX_PATH);
				must(scenarios[i]()); /* and it works once there is memory */
				model_compare_all(&m);
			}
			model_end(&m);
			if (!err && !fired)
				break;
			MCHECK(n < 100);
		}
		MCHECK(failures >= 1);
	}
}

/* ---- Random histories ---- */

static unsigned rnd_live(void)
{
	unsigned k;
	do
		k = (unsigned)rnd(MODEL_TREES);
	while (!m.t[k].live);
	return k;
}

static void random_range(pgidx_t *first, pgidx_t *end)
{
	pgidx_t a = rnd_index(ARRAY_SIZE(boundaries)),
		b = rnd(3) ? a + rnd(200) : rnd_index(ARRAY_SIZE(boundaries));
	b = MIN(b, PT_INDEX_MAX + 1);
	*first = MIN(a, b);
	*end = MAX(a, b) + (rnd(50) == 0 && MAX(a, b) == PT_INDEX_MAX);
}

static void random_life(unsigned k)
{
	unsigned other = (unsigned)rnd(MODEL_TREES);
	if (m.t[other].live && other > 1) { /* trees 0 and 1 stay: there is always something */
		model_destroy(&m, other);
	} else if (!m.t[other].live) {
		if (m.t[k].file || rnd(8) == 0)
			model_create(&m, other, false);
		else
			model_clone(&m, other, k);
	}
}

/* One operation; a failed allocation, if one was armed, must have changed nothing. */
static void random_step(void)
{
	unsigned k = rnd_live();
	pgidx_t idx = rnd_index(ARRAY_SIZE(boundaries)), first, end;
	err_t err = 0;
	random_range(&first, &end);
	if (rnd(6) == 0)
		inject_arm(1 + rnd(5));
	switch (rnd(12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		err = model_write(&m, k, idx, rnd(2));
		break;
	case 4: /* write to a page that is there */
		if (m.t[k].n)
			err = model_write(&m, k, m.t[k].e[rnd(m.t[k].n)].idx, rnd(2));
		break;
	case 5:
		err = model_share_page(&m, k, idx, rnd_live(), (unsigned)rnd(MODEL_ENTRIES));
		break;
	case 6:
	case 7:
		err = model_remove(&m, k, first, end, rnd(2));
		break;
	case 8:
	case 9:
		random_life(k);
		break;
	case 10:
		model_mark(&m, 1, (unsigned)rnd(MODEL_ENTRIES), (enum page_mark)rnd(PT_NMARKS), rnd(3));
		k = 1;
		break;
	default:
		model_query(&m, k, first, end);
		break;
	}
	bool fired = inject_fired();
	inject_arm(0);
	MCHECK(err == 0 || err == -ENOSPC || (err == -ENOMEM && fired));
	if (m.t[k].live)
		model_compare(&m.t[k]);
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);
	return s ? strtoull(s, NULL, 0) : otherwise;
}

static void test_random(void)
{
	uint64_t steps = from_env("PT_STEPS", 60000);
	rng_state = from_env("PT_SEED", (uint64_t)time(NULL) << 20 | (uint64_t)getpid());
	printf("# PT_SEED=%llu PT_STEPS=%llu\n", (unsigned long long)rng_state, (unsigned long long)steps);
	fflush(stdout);
	rng_state |= !rng_state;
	model_start(&m);
	model_create(&m, 0, false);
	model_create(&m, 1, true);
	for (uint64_t i = 0; i < steps; i++) {
		random_step();
		if (i % 50 == 0)
			model_compare_all(&m);
	}
	for (unsigned k = 0; k < MODEL_TREES; k++)
		if (m.t[k].live) {
			model_destroy(&m, k);
			model_compare_all(&m);
		}
	model_end(&m);
}

/* ---- Costs: instructions counted one by one, by stepping a child through the operation ---- */

static struct page_tree small, large, dst;
static volatile uintptr_t sink;

static void op_nothing(void)
{
	sink = 1;
}
static void op_lookup_3(void) /* large has four levels */
{
	sink = (uintptr_t)page_tree_lookup(&large, 777777);
}
static void op_clone_small(void)
{
	page_tree_clone(&dst, &small);
}
static void op_clone_large(void)
{
	page_tree_clone(&dst, &large);
}
static void op_destroy(void)
{
	page_tree_destroy(&dst, NULL);
}
static void op_own_exclusive(void)
{
	struct page_slot s;
	sink = (uintptr_t)page_tree_own(&large, 777777, NULL, &s);
}

/* Instructions of `op` from a SIGSTOP to the end; 0: this host doesn't let us step. */
static long count_steps(void (*op)(void))
{
	long n = 0;
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(1);
		raise(SIGSTOP);
		op();
		raise(SIGUSR1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	while (WIFSTOPPED(status) && WSTOPSIG(status) != SIGUSR1) {
		n++;
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
			break;
		waitpid(pid, &status, 0);
	}
	bool ok = WIFSTOPPED(status) && WSTOPSIG(status) == SIGUSR1;
	kill(pid, SIGKILL);
	if (WIFSTOPPED(status))
		waitpid(pid, &status, 0);
	return ok ? n : 0;
}

static long cost(const char *what, void (*op)(void))
{
	long base = count_steps(op_nothing);
	long n = count_steps(op);
	if (!base || !n)
		return 0;
	printf("# %-40s %ld instructions\n", what, n - base);
	return n - base;
}

static void fill_with(struct page_tree *t, pgidx_t n, struct page *p)
{
	struct page_slot s;
	for (pgidx_t i = 0; i < n; i++) {
		must(page_tree_own(t, i, NULL, &s));
		page_slot_fill(s, p);
	}
}

static void test_costs(void)
{
	enum { MILLION = 1 << 20 };
	uint64_t nodes = page_tree_nodes();
	model_start(&m);
	struct page *p = model_page(&m);
	fill_with(&small, 1, p);
	fill_with(&large, MILLION, p);
	uint64_t used = page_tree_nodes() - nodes - 1;
	printf("# %u pages: %llu nodes of %zu bytes, %.2f bytes a page\n", MILLION, (unsigned long long)used,
	    sizeof(struct pt_node), (double)(used * sizeof(struct pt_node)) / MILLION);
	MCHECK(used == MILLION / 64 + MILLION / 4096 + MILLION / 262144 + 1);
	long lookup = cost("lookup at height 3", op_lookup_3);
	cost("own of an exclusive path, 4 levels", op_own_exclusive);
	long clone_small = cost("clone of 1 page", op_clone_small);
	long clone_large = cost("clone of 1 million pages", op_clone_large);
	page_tree_clone(&dst, &small);
	long destroy_small = cost("destroy of an unmodified clone of 1 page", op_destroy);
	page_tree_destroy(&dst, NULL);
	page_tree_clone(&dst, &large);
	long destroy_large = cost("destroy of one of 1 million pages", op_destroy);
	page_tree_destroy(&dst, NULL);
	MCHECK(page_tree_nodes() == nodes + 1 + used);
	MCHECK(clone_small == clone_large && destroy_small == destroy_large);
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	MCHECK(lookup <= 40);
#endif
	if (!lookup)
		printf("# no single steps on this host: instructions not compared\n");
	MCHECK(page_tree_destroy(&large, NULL) == 0 && page_tree_destroy(&small, NULL) == 1);
	MCHECK(page_tree_nodes() == nodes);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} tests[] = {
	    {"empty tree", test_empty},
	    {"height follows the span of the indices", test_height},
	    {"growing and lowering a shared root", test_shared_root_moves},
	    {"removal of shared subtrees", test_remove_shared_whole},
	    {"pages are dropped through the caller's function", test_drop_function},
	    {"marks", test_marks},
	    {"validate notices each broken invariant", test_validate},
	    {"dump", test_dump},
	    {"every order of writing and destroying four clones", test_permutations},
	    {"66000 sharers of a page and of a node", test_many_sharers},
	    {"every allocation fails in turn", test_each_allocation_fails},
	    {"random histories against the model", test_random},
	    {"costs", test_costs},
	};
	page_tree_env_init();
	printf("1..%zu\n", ARRAY_SIZE(tests));
	for (unsigned i = 0; i < ARRAY_SIZE(tests); i++) {
		uint64_t anon = page_tree_env_anon_frames();
		tests[i].fn();
		MCHECK(page_tree_env_anon_frames() == anon);
		printf("ok %u - %s\n", i + 1, tests[i].name);
		fflush(stdout);
	}
	return 0;
}
