/* test_usage.c - whose the pages of a window are: compared with a count of every translation there is. */
#include "lib/inject.h"
#include "vm_test.h"

#define AT GIB(1)

enum { SPACES = 3, WINDOWS = 24, PAGES = 300, FILE_PAGES = 100, ROUNDS = 20, ROOM = 512 };
enum { SHARED, OF_FILE, OBJECTS };

static struct vm_object *objects[OBJECTS];
static struct vm_space *spaces[SPACES];
struct window {
	uaddr_t start;
	unsigned object, npages, offset;
};

static unsigned size_of(unsigned object)
{
	return object == SHARED ? PAGES : FILE_PAGES;
}

static uint64_t seed = 88172645463325252; /* any but 0 */

static uint64_t below(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % n;
}

static void map_window(struct vm_space *s, struct window *w, unsigned i)
{
	w->object = (unsigned)below(OBJECTS);
	w->npages = 1 + (unsigned)below(size_of(w->object) - 1);
	w->offset = (unsigned)below(size_of(w->object) - w->npages);
	w->start = AT + LEN(i * ROOM);
	struct vm_map_args args = {.addr = w->start,
	    .len = LEN(w->npages),
	    .prot = RW,
	    .flags = VM_MAP_FIXED | (w->object == SHARED || below(2) ? VM_MAP_SHARED : 0),
	    .object = objects[w->object],
	    .offset = w->offset};
	uaddr_t got;
	MUST(space_map(s, &args, &got));
	for (unsigned n = (unsigned)below(2 * w->npages); n; n--) {
		uaddr_t at = w->start + LEN(below(w->npages));
		uint64_t value;
		CHECK_EQ(below(2) ? store(s, at, n) : load(s, at, &value), 0);
	}
}

/* Does s translate this page of the window, and is it no copy of its own? */
static bool shows(struct vm_space *s, const struct window *w, unsigned page)
{
	struct mmu_translation t;
	return mmu_query(&s->mmu, w->start + LEN(page), &t) && (t.flags & MMU_MARKS);
}

static unsigned shown[OBJECTS][PAGES]; /* by so many windows */

static void count_all(struct window all[SPACES][WINDOWS])
{
	memset(shown, 0, sizeof(shown));
	for (unsigned s = 0; s < SPACES; s++)
		for (unsigned i = 0; i < WINDOWS; i++)
			for (unsigned k = 0; k < all[s][i].npages; k++)
				shown[all[s][i].object][all[s][i].offset + k] +=
				    shows(spaces[s], &all[s][i], k);
}

static void check_window(struct vm_space *s, const struct window *w, struct usage_memory *m)
{
	struct region_usage u;
	uint64_t parts = 0, alone = 0, others = 0;
	for (unsigned k = 0; k < w->npages; k++) {
		unsigned n = shown[w->object][w->offset + k];
		if (!shows(s, w, k))
			continue;
		parts += PT_WHOLE / n;
		alone += n == 1;
		others += n > 1;
	}
	CHECK(space_usage(s, w->start, m, &u));
	CHECK_EQ(u.parts[w->object == SHARED ? USAGE_SHMEM : USAGE_FILE], parts);
	CHECK_EQ(u.shared_clean + u.shared_dirty, others);
	CHECK_EQ(u.private_clean + u.private_dirty, alone + u.anonymous);
	CHECK_EQ(region_at(s, w->start).translated, alone + others);
	CHECK(u.referenced <= alone + others + u.anonymous);
}

/* One who remembers for a whole space, and finds no memory to do so at some point. */
static void check_space(unsigned s, struct window *own, unsigned fail_at)
{
	struct usage_memory m;
	usage_memory_init(&m);
	inject_arm(fail_at);
	for (unsigned i = 0; i < WINDOWS; i++)
		check_window(spaces[s], &own[i], &m);
	inject_arm(0);
	usage_memory_fini(&m);
}

static void one_round(void)
{
	static struct window all[SPACES][WINDOWS];
	for (unsigned s = 0; s < SPACES; s++) {
		spaces[s] = new_space();
		for (unsigned i = 0; i < WINDOWS; i++)
			map_window(spaces[s], &all[s][i], i);
	}
	count_all(all);
	for (unsigned s = 0; s < SPACES; s++) {
		check_space(s, all[s], 0);
		check_space(s, all[s], 1 + (unsigned)below(4));
	}
	for (unsigned s = 0; s < SPACES; s++)
		done_with(spaces[s]);
}

HOST_TEST(parts_are_those_of_all_translations)
{
	static struct test_file f;
	objects[SHARED] = new_shared(0, PAGES);
	objects[OF_FILE] = new_file(&f, FILE_PAGES, 1);
	for (unsigned i = 0; i < ROUNDS; i++)
		one_round();
	object_put(objects[SHARED]);
	object_put(objects[OF_FILE]);
}

static uint64_t referenced(struct vm_space *s, uaddr_t addr)
{
	struct usage_memory m;
	struct region_usage u;
	usage_memory_init(&m);
	CHECK(space_usage(s, addr, &m, &u));
	usage_memory_fini(&m);
	return u.referenced;
}

HOST_TEST(what_was_used_is_forgotten_by_kind)
{
	struct vm_object *o = new_shared(0, PAGES);
	struct vm_space *s = new_space();
	uint64_t value;
	map_fixed(s, AT, 20, 0, NULL);
	map_fixed(s, AT + GIB(1), 20, VM_MAP_SHARED, o);
	fill(s, AT, 10, 1);
	fill(s, AT + GIB(1), 12, 1);
	CHECK_EQ(load(s, AT + LEN(15), &value), 0); /* the page of zeros is none */
	CHECK(referenced(s, AT) == 10 && referenced(s, AT + GIB(1)) == 12);
	space_clear_accessed(s, true, false);
	CHECK(referenced(s, AT) == 0 && referenced(s, AT + GIB(1)) == 12);
	space_clear_accessed(s, false, true);
	CHECK(referenced(s, AT + GIB(1)) == 0);
	done_with(s);
	object_put(o);
}

int main(int argc, char **argv)
{
	return host_test_main(argc, argv, 1 << 14);
}
