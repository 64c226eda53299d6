/*
 * test_inject.c - every operation meets every failed allocation.
 *
 * A scenario sets up a state and names one operation. It is run with the n-th allocation failing, n = 1, 2,
 * ... until a run needs fewer. The operation must either say -ENOMEM, and then layout and bytes of all spaces
 * are what they were (but see digest_of_failure), and the same operation succeeds when tried again; or
 * succeed, and then the outcome is that of a run without failures. Invariants are validated after each, and
 * when all is dropped nothing may be missing.
 */
#include "host_test.h"
#include "lib/inject.h"
#include "mm/frame.h"

enum { FILE_PAGES = 40, OBJ_PAGES = 200 };
#define BASE    (GIB(1) - 8 * PAGE_SIZE)
#define ADDR(i) (BASE + (uaddr_t)(i)*PAGE_SIZE)
#define LEN(n)  ((uint64_t)(n)*PAGE_SIZE)
#define RW      (VM_READ | VM_WRITE)

enum {
	AT_ANON = 0,
	AT_SHARED = 100,
	AT_FILE = 320,
	AT_PRIVATE = 400,
	AT_PURGEABLE = 480,
	AT_BIG = 600,
	AT_FREE = 2000,
	AT_END = 2400
};

struct state {
	struct vm_space *s, *other;
	struct vm_object *shared, *file, *extra;
	struct vm_pin pin;
	bool pinned;
	uaddr_t at;
};

struct scenario {
	const char *name;
	void (*setup)(struct state *t);
	err_t (*op)(struct state *t);
};

/* ---------------------------------------------------------------- building states */

static err_t test_read(struct vm_object *o UNUSED, pgidx_t idx, struct page **pages, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		memset(page_to_virt(pages[i]), (int)(idx + i) + 1, PAGE_SIZE);
	return 0;
}

static err_t test_write(
    struct vm_object *o UNUSED, pgidx_t idx UNUSED, struct page **pages UNUSED, unsigned n UNUSED)
{
	return 0;
}

static const struct vm_file_ops ops = {.read = test_read, .write = test_write};

static void map(struct state *t, unsigned at, unsigned npages, struct vm_object *o, unsigned flags)
{
	struct vm_map_args args = {
	    .addr = ADDR(at), .len = LEN(npages), .prot = RW, .flags = flags | VM_MAP_FIXED, .object = o};
	uaddr_t got;

	MUST(space_map(t->s, &args, &got));
}

static void fill(struct vm_space *s, unsigned at, unsigned npages, uint64_t value)
{
	err_t err;

	for (unsigned i = 0; i < npages; i++, value++) {
		mock_access(s, ADDR(at + i) + 24, &value, 8, true, &err);
		MUST(err);
	}
}

/* All kinds of memory, part of it touched; the anonymous part lies across the ends of a leaf and of a table.
 */
static void setup_all(struct state *t)
{
	*t = (struct state){0};
	MUST(space_create(&t->s));
	MUST(object_create_anon(0, OBJ_PAGES, NULL, &t->shared));
	MUST(object_create_file(&ops, NULL, FILE_PAGES, &t->file));
	map(t, AT_ANON, 20, NULL, 0);
	map(t, AT_ANON + 30, 20, NULL, 0);
	map(t, AT_SHARED, OBJ_PAGES, t->shared, VM_MAP_SHARED);
	map(t, AT_FILE, FILE_PAGES, t->file, VM_MAP_SHARED);
	map(t, AT_PRIVATE, FILE_PAGES, t->file, 0);
	map(t, AT_PURGEABLE, 20, NULL, VM_MAP_PURGEABLE);
	map(t, AT_BIG, 1200, NULL, 0);
	fill(t->s, AT_ANON, 12, 100);
	fill(t->s, AT_ANON + 32, 4, 200);
	fill(t->s, AT_SHARED, 3, 300);
	fill(t->s, AT_SHARED + 64, 3, 310);
	fill(t->s, AT_FILE, 2, 400);
	fill(t->s, AT_PRIVATE + 1, 2, 500);
	fill(t->s, AT_PURGEABLE, 5, 600);
	fill(t->s, AT_BIG, 3, 700);
	fill(t->s, AT_BIG + 600, 3, 710);
}

static void setup_empty(struct state *t)
{
	*t = (struct state){0};
	MUST(space_create(&t->s));
}

static void setup_forked(struct state *t)
{
	setup_all(t);
	MUST(space_fork(t->s, &t->other));
}

/* The parent wrote on since, so that trees share some nodes and not others. */
static void setup_forked_apart(struct state *t)
{
	setup_forked(t);
	fill(t->s, AT_ANON + 2, 2, 800);
	fill(t->other, AT_ANON + 5, 2, 900);
	fill(t->other, AT_BIG + 601, 1, 910);
}

static void setup_pinned(struct state *t)
{
	setup_all(t);
	MUST(vm_fault_pin(t->s, ADDR(AT_ANON + 3), FAULT_WRITE, &t->pin));
	t->pinned = true;
}

static void setup_shared_pinned(struct state *t)
{
	setup_all(t);
	MUST(vm_fault_pin(t->s, ADDR(AT_SHARED + 1), FAULT_WRITE, &t->pin));
	t->pinned = true;
}

static void setup_snapshot(struct state *t)
{
	setup_all(t);
	MUST(object_clone(t->shared, &t->extra));
}

static void setup_flagged(struct state *t)
{
	setup_all(t);
	MUST(space_set_flags(t->s, ADDR(AT_ANON + 4), LEN(4), REGION_DONTFORK, 0));
	MUST(space_set_flags(t->s, ADDR(AT_BIG + 590), LEN(20), REGION_WIPEONFORK, 0));
}

static void setup_growing(struct state *t)
{
	setup_all(t);
	map(t, AT_FREE + 310, 2, NULL, VM_MAP_GROWSDOWN);
}

static void setup_cut(struct state *t)
{
	setup_all(t);
	fill(t->s, AT_PRIVATE + 20, 4, 950);
	MUST(space_fork(t->s, &t->other));
	MUST(object_resize(t->file, 10));
	MUST(object_resize(t->file, FILE_PAGES));
}

static void teardown(struct state *t)
{
	if (t->pinned)
		vm_unpin(&t->pin);
	if (t->other)
		space_put(t->other);
	space_put(t->s);
	if (t->extra)
		object_put(t->extra);
	if (t->shared)
		object_put(t->shared);
	if (t->file)
		object_put(t->file);
}

/* ---------------------------------------------------------------- a state as a number */

static uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3ULL;
	return h;
}

static uint64_t digest_space(struct vm_space *s, uint64_t h)
{
	struct region_info info;
	uint64_t word;
	size_t done;

	for (uaddr_t at = 0; space_query(s, at, &info); at = info.end) {
		uint64_t fields[] = {info.start, info.end, info.prot, info.max_prot, info.flags, info.offset,
		    info.kind, info.has_backing, info.purgeable, info.vol_state};
		h = mix(h, fields, sizeof(fields));
		for (uaddr_t a = info.start; a < info.end; a += PAGE_SIZE) {
			err_t err = space_read(s, &word, a + 24, 8, &done);
			h = mix(h, err ? (void *)&err : &word, err ? sizeof(err) : 8);
		}
	}
	return h;
}

static uint64_t digest(const struct state *t)
{
	uint64_t h = digest_space(t->s, 0xcbf29ce484222325ULL);

	if (t->other)
		h = digest_space(t->other, h);
	if (t->shared)
		h = mix(h, &t->shared->npages, 8);
	if (t->file)
		h = mix(h, &t->file->npages, 8);
	return h;
}

static void validate(const struct state *t)
{
	vm_validate(t->s);
	mock_tlb_validate(&t->s->mmu);
	if (t->other)
		vm_validate(t->other);
	if (t->shared)
		object_validate(t->shared);
	if (t->extra)
		object_validate(t->extra);
	frame_validate();
}

/* ---------------------------------------------------------------- operations */

static err_t map_any(struct state *t, unsigned at, unsigned npages, struct vm_object *o, unsigned flags)
{
	struct vm_map_args args = {
	    .addr = ADDR(at), .len = LEN(npages), .prot = RW, .flags = flags | VM_MAP_FIXED, .object = o};

	return space_map(t->s, &args, &t->at);
}

static err_t remap(struct state *t, unsigned at, unsigned old_n, unsigned new_n, unsigned flags, unsigned to)
{
	struct vm_remap_args args = {.addr = ADDR(at),
	    .old_len = LEN(old_n),
	    .new_len = LEN(new_n),
	    .flags = flags,
	    .new_addr = flags & VM_REMAP_FIXED ? ADDR(to) : 0};

	return space_remap(t->s, &args, &t->at);
}

static err_t access_word(struct vm_space *s, unsigned at, bool write)
{
	uint64_t value = 4242;
	err_t err;

	mock_access(s, ADDR(at) + 24, &value, 8, write, &err);
	return err;
}

/* clang-format off */
static err_t op_map_free(struct state *t) { return map_any(t, AT_FREE, 10, NULL, 0); }
static err_t op_map_middle(struct state *t) { return map_any(t, AT_ANON + 4, 4, NULL, VM_MAP_STACK); }
static err_t op_map_over_three(struct state *t) { return map_any(t, AT_ANON + 10, 200, NULL, VM_MAP_PURGEABLE); }
static err_t op_map_shared_over(struct state *t) { return map_any(t, AT_BIG + 1, 700, t->shared, VM_MAP_SHARED); }
static err_t op_map_file_private(struct state *t) { return map_any(t, AT_ANON + 11, 8, t->file, 0); }
static err_t op_map_anon_shared(struct state *t) { return map_any(t, AT_FREE, 4, NULL, VM_MAP_SHARED); }
static err_t op_map_extend(struct state *t) { return map_any(t, AT_ANON + 20, 10, NULL, 0); }
static err_t op_map_twice(struct state *t) { return map_any(t, AT_BIG + 1, OBJ_PAGES, t->shared, VM_MAP_SHARED | VM_MAP_TWICE); }
static err_t op_map_guarded(struct state *t) { return map_any(t, AT_FREE, 4, t->shared, VM_MAP_SHARED | VM_MAP_GUARDED); }
static err_t op_unmap_split(struct state *t) { return space_unmap(t->s, ADDR(AT_ANON + 3), LEN(5)); }
static err_t op_unmap_many(struct state *t) { return space_unmap(t->s, ADDR(AT_ANON + 3), LEN(800)); }
static err_t op_unmap_leaf_edge(struct state *t) { return space_unmap(t->s, ADDR(AT_BIG + 1), LEN(600)); }
static err_t op_protect_split(struct state *t) { return space_protect(t->s, ADDR(AT_ANON + 3), LEN(5), VM_READ); }
static err_t op_protect_many(struct state *t) { return space_protect(t->s, ADDR(AT_SHARED + 10), LEN(OBJ_PAGES - 20), VM_READ); }
static err_t op_flags(struct state *t) { return space_set_flags(t->s, ADDR(AT_BIG + 3), LEN(5), REGION_DONTFORK, 0); }
static err_t op_discard(struct state *t) { return space_discard(t->s, ADDR(AT_ANON + 1), LEN(8)); }
static err_t op_discard_big(struct state *t) { return space_discard(t->s, ADDR(AT_BIG + 1), LEN(601)); }
static err_t op_object_discard(struct state *t) { return object_discard(t->shared, 1, 66); }
static err_t op_shrink(struct state *t) { return object_resize(t->shared, 65); }
static err_t op_file_shrink(struct state *t) { return object_resize(t->file, 3); }
static err_t op_read_zero(struct state *t) { return access_word(t->s, AT_ANON + 15, false); }
static err_t op_read_far(struct state *t) { return access_word(t->s, AT_BIG + 1199, false); }
static err_t op_write_zero(struct state *t) { return access_word(t->s, AT_ANON + 15, true); }
static err_t op_write_next(struct state *t) { return access_word(t->s, AT_BIG + 603, true); }
static err_t op_write_far(struct state *t) { return access_word(t->s, AT_BIG + 1199, true); }
static err_t op_write_cow(struct state *t) { return access_word(t->s, AT_ANON + 3, true); }
static err_t op_child_write_cow(struct state *t) { return access_word(t->other, AT_ANON + 3, true); }
static err_t op_write_shared(struct state *t) { return access_word(t->s, AT_SHARED + 1, true); }
static err_t op_write_shared_new(struct state *t) { return access_word(t->s, AT_SHARED + 150, true); }
static err_t op_read_file(struct state *t) { return access_word(t->s, AT_FILE + 30, false); }
static err_t op_write_file(struct state *t) { return access_word(t->s, AT_FILE + 30, true); }
static err_t op_read_private(struct state *t) { return access_word(t->s, AT_PRIVATE + 30, false); }
static err_t op_write_private(struct state *t) { return access_word(t->s, AT_PRIVATE + 30, true); }
static err_t op_write_trimmed(struct state *t) { return access_word(t->s, AT_PRIVATE + 21, true); }
static err_t op_remap_whole(struct state *t) { return remap(t, AT_ANON, 20, 40, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, AT_FREE); }
static err_t op_remap_part(struct state *t) { return remap(t, AT_ANON + 2, 8, 8, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, AT_FREE); }
static err_t op_remap_onto(struct state *t) { return remap(t, AT_BIG + 590, 20, 20, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, AT_SHARED + 60); }
static err_t op_remap_within(struct state *t) { return remap(t, AT_BIG + 590, 20, 20, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, AT_BIG + 2); }
static err_t op_remap_cut(struct state *t) { return remap(t, AT_ANON + 1, 17, 6, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, AT_FREE); }
static err_t op_remap_keep(struct state *t) { return remap(t, AT_ANON + 2, 8, 8, VM_REMAP_MAYMOVE | VM_REMAP_FIXED | VM_REMAP_DONTUNMAP, AT_FREE); }
static err_t op_remap_keep_file(struct state *t) { return remap(t, AT_PRIVATE, 30, 30, VM_REMAP_MAYMOVE | VM_REMAP_FIXED | VM_REMAP_DONTUNMAP, AT_FREE); }
static err_t op_remap_shared_again(struct state *t) { return remap(t, AT_SHARED + 60, 0, 10, VM_REMAP_MAYMOVE | VM_REMAP_FIXED, AT_FREE); }
static err_t op_remap_shrink(struct state *t) { return remap(t, AT_BIG, 700, 2, 0, 0); }
static err_t op_remap_grow(struct state *t) { return remap(t, AT_ANON + 30, 20, 30, 0, 0); }
static err_t op_lock(struct state *t) { return space_lock_range(t->s, ADDR(AT_ANON + 3), LEN(5), REGION_LOCKED, UINT64_MAX); }
static err_t op_lock_all(struct state *t) { return space_lock_all(t->s, true, REGION_LOCKED, REGION_LOCKED, UINT64_MAX); }
static err_t op_populate(struct state *t) { return space_populate(t->s, ADDR(AT_ANON), ADDR(AT_ANON + 20), POPULATE_BY_RIGHTS); }
static err_t op_only_grow(struct state *t) { return space_grow(t->s, ADDR(AT_FREE + 300)); }
static err_t op_grow_down(struct state *t) { return access_word(t->s, AT_FREE + 300, true); }
/* clang-format on */

static err_t op_execute(struct state *t)
{
	err_t err = mock_execute(t->s, ADDR(AT_ANON));

	return err == -EACCES ? 0 : err;
}

static err_t op_remote_write(struct state *t)
{
	uint64_t word = 77;
	size_t done;

	return space_write(t->other, ADDR(AT_ANON + 3) + 24, &word, 8, &done);
}

static err_t op_copy_between(struct state *t)
{
	enum copy_side side;
	size_t done;

	return space_copy(t->other, ADDR(AT_ANON + 14), t->s, ADDR(AT_PRIVATE + 33), PAGE_SIZE, &done, &side);
}

static err_t op_fork(struct state *t)
{
	struct vm_space *child;
	err_t err = space_fork(t->s, &child);

	if (!err) {
		vm_validate(child);
		space_put(child);
	}
	return err;
}

static err_t op_clone(struct state *t)
{
	struct vm_object *copy;
	err_t err = object_clone(t->shared, &copy);

	if (!err) {
		object_validate(copy);
		object_put(copy);
	}
	return err;
}

static err_t op_space_create(struct state *t UNUSED)
{
	struct vm_space *s;
	err_t err = space_create(&s);

	if (!err)
		space_put(s);
	return err;
}

static const struct scenario scenarios[] = {
    {"create a space", setup_empty, op_space_create},
    {"map into an empty space", setup_empty, op_map_free},
    {"map free addresses", setup_all, op_map_free},
    {"map shared anonymous memory", setup_all, op_map_anon_shared},
    {"map over the middle of a region", setup_all, op_map_middle},
    {"map over three regions", setup_all, op_map_over_three},
    {"map over three regions of a forked space", setup_forked_apart, op_map_over_three},
    {"map an object over a large region", setup_all, op_map_shared_over},
    {"map an object over a large shared region", setup_forked_apart, op_map_shared_over},
    {"map an object twice over a large region", setup_all, op_map_twice},
    {"map an object with guards", setup_all, op_map_guarded},
    {"map a file privately over an edge", setup_forked, op_map_file_private},
    {"map between like regions", setup_all, op_map_extend},
    {"unmap the middle", setup_all, op_unmap_split},
    {"unmap the middle of a shared leaf", setup_forked, op_unmap_split},
    {"unmap the middle of a shared leaf, written since", setup_forked_apart, op_unmap_split},
    {"unmap across everything", setup_forked_apart, op_unmap_many},
    {"unmap up to the inside of leaves", setup_forked_apart, op_unmap_leaf_edge},
    {"protect the middle", setup_forked, op_protect_split},
    {"protect shared memory", setup_all, op_protect_many},
    {"set flags in the middle", setup_all, op_flags},
    {"move a region", setup_all, op_remap_whole},
    {"move a part", setup_all, op_remap_part},
    {"move a part of a forked space", setup_forked, op_remap_part},
    {"move a part, written since the fork", setup_forked_apart, op_remap_part},
    {"move a part with a page pinned", setup_pinned, op_remap_part},
    {"move onto shared memory", setup_forked_apart, op_remap_onto},
    {"move within a region", setup_forked_apart, op_remap_within},
    {"cut and move", setup_forked_apart, op_remap_cut},
    {"move and leave the window", setup_forked_apart, op_remap_keep},
    {"move a private window on a file and leave one", setup_cut, op_remap_keep_file},
    {"show shared memory twice", setup_all, op_remap_shared_again},
    {"shrink a window", setup_forked_apart, op_remap_shrink},
    {"grow a window", setup_all, op_remap_grow},
    {"lock in the middle", setup_all, op_lock},
    {"lock everything", setup_forked_apart, op_lock_all},
    {"bring in", setup_all, op_populate},
    {"grow down", setup_growing, op_grow_down},
    {"discard", setup_all, op_discard},
    {"discard in a shared leaf", setup_forked, op_discard},
    {"discard across leaves, forked", setup_forked_apart, op_discard_big},
    {"discard pages of an object", setup_all, op_object_discard},
    {"discard pages of an object with a snapshot", setup_snapshot, op_object_discard},
    {"shrink an object", setup_all, op_shrink},
    {"shrink an object with a snapshot", setup_snapshot, op_shrink},
    {"cut a file", setup_forked_apart, op_file_shrink},
    {"read untouched memory", setup_all, op_read_zero},
    {"read far from everything", setup_all, op_read_far},
    {"write untouched memory", setup_all, op_write_zero},
    {"write where others ended", setup_all, op_write_next},
    {"write where others ended, in a forked space", setup_forked, op_write_next},
    {"write far from everything", setup_all, op_write_far},
    {"write after a fork", setup_forked, op_write_cow},
    {"write in the child", setup_forked, op_child_write_cow},
    {"write in the child, both written before", setup_forked_apart, op_child_write_cow},
    {"write a shared object with a snapshot", setup_snapshot, op_write_shared},
    {"write a new page of a shared object with a snapshot", setup_snapshot, op_write_shared_new},
    {"read a file page", setup_all, op_read_file},
    {"write a file page", setup_all, op_write_file},
    {"read a private file page", setup_all, op_read_private},
    {"write a private file page", setup_all, op_write_private},
    {"write a private file page after a fork", setup_forked, op_write_private},
    {"write a private page that the file's cut made void", setup_cut, op_write_trimmed},
    {"execute", setup_forked, op_execute},
    {"write into another space", setup_forked, op_remote_write},
    {"copy between spaces", setup_forked_apart, op_copy_between},
    {"fork", setup_all, op_fork},
    {"fork again", setup_forked_apart, op_fork},
    {"fork with a page pinned", setup_pinned, op_fork},
    {"fork with flags that strip", setup_flagged, op_fork},
    {"fork after a cut", setup_cut, op_fork},
    {"snapshot", setup_all, op_clone},
    {"snapshot with a page pinned", setup_shared_pinned, op_clone},
};

/* ---------------------------------------------------------------- the sweep */

/* The state after op when nothing fails. */
static uint64_t digest_after(const struct scenario *sc, err_t (*op)(struct state *t))
{
	struct state t;

	sc->setup(&t);
	if (op)
		MUST(op(&t));
	uint64_t h = digest(&t);
	validate(&t);
	teardown(&t);
	return h;
}

/* The state after the operation failed: what it was before. But a region that grew stays so, where there is
 * no memory for the page that was touched; what it grew by reads as zeros. */
static uint64_t digest_of_failure(const struct scenario *sc)
{
	return digest_after(sc, sc->op == op_grow_down ? op_only_grow : NULL);
}

/* One run with the n-th allocation failing; false: fewer were made. */
static bool sweep_one(const struct scenario *sc, uint64_t n, uint64_t success, uint64_t failure)
{
	struct state t;

	sc->setup(&t);
	(void)digest(&t);
	(void)vm_reclaim(UINT64_MAX); /* looking has filled the page cache */
	inject_arm(n);
	err_t err = sc->op(&t);
	bool fired = inject_fired();
	inject_arm(0);
	validate(&t);
	CHECK(err == 0 || (fired && err == -ENOMEM));
	CHECK_EQ(digest(&t), err ? failure : success);
	if (err) {
		CHECK_EQ(sc->op(&t), 0);
		CHECK_EQ(digest(&t), success);
		validate(&t);
	}
	teardown(&t);
	return fired;
}

static void sweep(const struct scenario *sc)
{
	uint64_t success = digest_after(sc, sc->op), failure = digest_of_failure(sc), n = 1;
	struct model_usage before, after;

	for (;; n++) {
		model_usage_get(&before);
		bool fired = sweep_one(sc, n, success, failure);
		model_usage_get(&after);
		CHECK_EQ(after.frames, before.frames);
		CHECK_EQ(after.objects, before.objects);
		CHECK_EQ(after.nodes, before.nodes);
		if (!fired || host_test_failed || n > 1000)
			break;
	}
	if (host_test_failed)
		printf("# with failure %llu\n", (unsigned long long)n);
	CHECK(n <= 1000);
	printf("# %llu allocations\n", (unsigned long long)n - 1);
}

int main(int argc, char **argv)
{
	unsigned failed = 0, number = 0;

	host_init(1 << 14);
	host_panic_hook = host_test_in_panic;
	for (unsigned i = 0; i < ARRAY_SIZE(scenarios); i++) {
		if (argc > 1 && !strstr(scenarios[i].name, argv[1]))
			continue;
		host_test_failed = false;
		host_test_running = scenarios[i].name;
		sweep(&scenarios[i]);
		failed += host_test_failed;
		printf("%sok %u - %s\n", host_test_failed ? "not " : "", ++number, scenarios[i].name);
	}
	printf("1..%u\n", number);
	return failed != 0;
}
