#pragma once
/* vm_test.h - short words for the named tests of spaces, faults, copies and purgeable memory. */
#include "host_test.h"
#include "mm/frame.h"

#define RW     (VM_READ | VM_WRITE)
#define LEN(n) ((uint64_t)(n)*PAGE_SIZE)

static inline struct vm_space *new_space(void)
{
	struct vm_space *s;

	MUST(space_create(&s));
	return s;
}

static inline struct vm_space *fork_of(struct vm_space *s)
{
	struct vm_space *child;

	MUST(space_fork(s, &child));
	return child;
}

static inline err_t try_map(
    struct vm_space *s, uaddr_t addr, uint64_t len, unsigned prot, unsigned flags, struct vm_object *o)
{
	struct vm_map_args args = {.addr = addr, .len = len, .prot = prot, .flags = flags, .object = o};
	uaddr_t got;

	return space_map(s, &args, &got);
}

/* Map npages at addr, read-write. */
static inline void map_fixed(
    struct vm_space *s, uaddr_t addr, uint64_t npages, unsigned flags, struct vm_object *o)
{
	MUST(try_map(s, addr, LEN(npages), RW, flags | VM_MAP_FIXED, o));
}

static inline uaddr_t map_anywhere(struct vm_space *s, uint64_t npages, unsigned flags, struct vm_object *o)
{
	struct vm_map_args args = {.len = LEN(npages), .prot = RW, .flags = flags, .object = o};
	uaddr_t got;

	MUST(space_map(s, &args, &got));
	return got;
}

/* A store and a load as a program makes them. */
static inline err_t store(struct vm_space *s, uaddr_t addr, uint64_t value)
{
	err_t err;

	mock_access(s, addr, &value, 8, true, &err);
	return err;
}

static inline err_t load(struct vm_space *s, uaddr_t addr, uint64_t *value)
{
	err_t err;

	*value = 0xdeadbeef;
	mock_access(s, addr, value, 8, false, &err);
	return err;
}

/* The word at addr; an error is a failed check and gives a value that no test stores. */
static inline uint64_t word_at(struct vm_space *s, uaddr_t addr)
{
	uint64_t value;
	err_t err = load(s, addr, &value);

	CHECK_EQ(err, 0);
	return err ? 0xbadbadbad : value;
}

/* Store first, first + 1, ... into the pages of [addr, addr + npages). */
static inline void fill(struct vm_space *s, uaddr_t addr, uint64_t npages, uint64_t first)
{
	for (uint64_t i = 0; i < npages; i++)
		CHECK_EQ(store(s, addr + LEN(i), first + i), 0);
}

static inline bool holds(struct vm_space *s, uaddr_t addr, uint64_t npages, uint64_t first)
{
	uint64_t value;

	for (uint64_t i = 0; i < npages; i++)
		if (load(s, addr + LEN(i), &value) || value != first + i)
			return false;
	return true;
}

static inline bool is_zero(struct vm_space *s, uaddr_t addr, uint64_t npages)
{
	uint64_t value;

	for (uint64_t i = 0; i < npages; i++)
		if (load(s, addr + LEN(i), &value) || value != 0)
			return false;
	return true;
}

/* Anonymous frames in use by everybody. */
static inline uint64_t anon_frames(void)
{
	uint64_t counts[PAGE_KINDS];

	frame_count_kinds(counts);
	return counts[PAGE_ANON] + counts[PAGE_SHMEM];
}

static inline unsigned count_regions(struct vm_space *s)
{
	struct region_info info;
	unsigned n = 0;

	for (uaddr_t at = 0; space_query(s, at, &info); at = info.end)
		n++;
	return n;
}

static inline struct region_info region_at(struct vm_space *s, uaddr_t addr)
{
	struct region_info info = {0};

	CHECK(space_query(s, addr, &info) && info.start <= addr && addr < info.end);
	return info;
}

/* A file in memory: word 0 of page i is first + i, unless something else was stored. */
enum { TEST_FILE_PAGES = 128 };
struct test_file {
	uint64_t words[TEST_FILE_PAGES];
	unsigned reads, writes; /* pages */
	int bad;                /* page that cannot be read, -1: none */
	bool fail_write;
};

static inline err_t test_file_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct test_file *f = o->priv;

	if (f->bad >= (int)idx && f->bad < (int)(idx + n))
		return -EIO;
	f->reads += n;
	for (unsigned i = 0; i < n; i++) {
		memset(page_to_virt(pages[i]), 0, PAGE_SIZE);
		memcpy(page_to_virt(pages[i]), &f->words[idx + i], 8);
	}
	return 0;
}

static inline err_t test_file_write(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct test_file *f = o->priv;

	f->writes += n;
	for (unsigned i = 0; i < n && !f->fail_write; i++)
		memcpy(&f->words[idx + i], page_to_virt(pages[i]), 8);
	return f->fail_write ? -EIO : 0;
}

static const struct vm_file_ops test_file_ops UNUSED = {.read = test_file_read, .write = test_file_write};

static inline struct vm_object *new_file(struct test_file *f, pgidx_t npages, uint64_t first)
{
	struct vm_object *o;

	*f = (struct test_file){.bad = -1};
	for (unsigned i = 0; i < TEST_FILE_PAGES; i++)
		f->words[i] = first + i;
	MUST(object_create_file(&test_file_ops, f, npages, &o));
	return o;
}

static inline struct vm_object *new_shared(unsigned flags, pgidx_t npages)
{
	struct vm_object *o;

	MUST(object_create_anon(flags, npages, NULL, &o));
	return o;
}

/* Validate and drop. */
static inline void done_with(struct vm_space *s)
{
	vm_validate(s);
	mock_tlb_validate(&s->mmu);
	space_put(s);
}
