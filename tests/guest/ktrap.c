/*
 * ktrap.c - faults on purpose: that every protection holds, and that user copies survive whatever address
 * they are given.
 *
 * User memory is a small address space of the test's own, made directly of page tables: the thread has no
 * vm_space, so nothing is faulted in and what is not mapped stays so.
 */
#include "ktest.h"
#include "arch/mmu.h"
#include "arch/usercopy.h"
#include "arch/x86_64/extable.h"
#include "arch/x86_64/trap_expect.h"
#include "kern/cpu.h"
#include "kern/thread.h"
#include "lib/bits.h"
#include "machine/boot.h"
#include "machine/cpu.h"
#include "machine/peek.h"
#include "machine/smp.h"
#include "mm/frame.h"
#include "mm/kva.h"

enum {
	RET = 0xc3, /* the instruction */
	BUF = 64,
};

/* Pages at BASE, BASE + 1 page (then a hole), a read-only one at RO, and the last page of user space. */
#define BASE ((uaddr_t)0x400000)
#define HOLE (BASE + 2 * PAGE_SIZE)
#define RO   ((uaddr_t)0x600000)
#define LAST (USER_END - PAGE_SIZE)

struct borrowed {
	struct mmu_context ctx;
	struct page *pages[4];
};

static bool enter_page(struct borrowed *b, unsigned i, uaddr_t va, unsigned flags)
{
	b->pages[i] = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	return b->pages[i] && mmu_enter(&b->ctx, va, page_to_phys(b->pages[i]), flags) == 0;
}

static void use_context(struct mmu_context *ctx)
{
	uint64_t irq = irq_save();
	current_thread()->mmu = ctx;
	mmu_switch(ctx ? ctx : &kernel_mmu);
	irq_restore(irq);
}

static void borrow_end(struct borrowed *b)
{
	use_context(NULL);
	mmu_destroy(&b->ctx);
	for (unsigned i = 0; i < ARRAY_SIZE(b->pages); i++)
		if (b->pages[i])
			frame_free(b->pages[i]);
}

static bool borrow_begin(struct borrowed *b)
{
	unsigned rw = MMU_READ | MMU_WRITE | MMU_USER;

	*b = (struct borrowed){0};
	if (mmu_init(&b->ctx))
		return false;
	use_context(&b->ctx);
	if (enter_page(b, 0, BASE, rw | MMU_EXEC) && enter_page(b, 1, BASE + PAGE_SIZE, rw) &&
	    enter_page(b, 2, RO, MMU_READ | MMU_USER) && enter_page(b, 3, LAST, rw))
		return true;
	borrow_end(b);
	return false;
}

/* The byte of user memory at va, by way of the direct map. */
static uint8_t *byte_at(struct borrowed *b, uaddr_t va)
{
	struct page *p = va >= LAST ? b->pages[3]
			 : va >= RO ? b->pages[2]
				    : b->pages[(va - BASE) / PAGE_SIZE];

	return (uint8_t *)page_to_virt(p) + va % PAGE_SIZE;
}

/* -- protection of the kernel's own memory --------------------------------------------------------------- */

static ANY_POINTER void do_read(void *arg)
{
	(void)*(volatile uint64_t *)arg;
}
static ANY_POINTER void do_write(void *arg)
{
	*(volatile uint64_t *)arg = 0;
}
static ANY_POINTER void do_call(void *arg)
{
	((void (*)(void))arg)();
}
static void do_nothing(void *arg)
{
	(void)arg;
}

static void check_fault(void (*fn)(void *), vaddr_t va, uint64_t error)
{
	struct trap_info info = {0};

	KT_CHECK(trap_expect(fn, (void *)va, &info));
	KT_CHECK_EQ(info.vector, VECTOR_PAGE_FAULT);
	KT_CHECK_EQ(info.error, error);
	KT_CHECK_EQ(info.addr, va);
}

KTEST(trap_expect_itself)
{
	struct trap_info info = {.vector = 99};

	KT_CHECK(!trap_expect(do_nothing, NULL, &info));
	KT_CHECK_EQ(info.vector, 99);
	KT_CHECK(irq_is_enabled());
	KT_CHECK(trap_expect(do_read, NULL, &info));
	KT_CHECK(irq_is_enabled());
	KT_CHECK_EQ(preempt_count(), 0);
}

KTEST(trap_nx)
{
	static uint8_t in_data[16] ALIGNED(16) = {RET};

	if (!cpu_features.nx) {
		kt_skip("no NX");
		return;
	}
	check_fault(do_call, (vaddr_t)in_data, PF_PRESENT | PF_FETCH);
	struct page *p = frame_alloc(PAGE_KERNEL, FRAME_ZERO);
	KT_REQUIRE(p);
	*(uint8_t *)page_to_virt(p) = RET;
	check_fault(do_call, (vaddr_t)page_to_virt(p), PF_PRESENT | PF_FETCH);
	frame_free(p);
	void *buffer = kva_alloc_buffer(PAGE_SIZE);
	KT_REQUIRE(buffer);
	*(uint8_t *)buffer = RET;
	check_fault(do_call, (vaddr_t)buffer, PF_PRESENT | PF_FETCH);
	kva_free_buffer(buffer);
	check_fault(do_call, (vaddr_t)rodata_start, PF_PRESENT | PF_FETCH);
	check_fault(do_call, (vaddr_t)page_records, PF_PRESENT | PF_FETCH);
}

KTEST(trap_write_protect)
{
	static const uint64_t constant ALIGNED(8) = 1;

	check_fault(do_write, (vaddr_t)text_start, PF_PRESENT | PF_WRITE);
	check_fault(do_write, ALIGN_DOWN((vaddr_t)&frame_alloc, 8), PF_PRESENT | PF_WRITE);
	check_fault(do_write, (vaddr_t)rodata_start, PF_PRESENT | PF_WRITE);
	check_fault(do_write, (vaddr_t)&constant, PF_PRESENT | PF_WRITE);
	/* The same frames under their other address. */
	check_fault(do_write, (vaddr_t)phys_to_virt(image_to_phys(text_start)), PF_PRESENT | PF_WRITE);
	check_fault(do_write, (vaddr_t)phys_to_virt(image_to_phys(data_start) - 8), PF_PRESENT | PF_WRITE);
}

KTEST(trap_unmapped_kernel)
{
	check_fault(do_read, 0, 0);
	check_fault(do_write, 8, PF_WRITE);
	check_fault(do_read, BASE, 0); /* user space of nobody, and not by usercopy */
	check_fault(do_read, (vaddr_t)phys_to_virt(0xa0000), 0);
	check_fault(do_write, KVA_BASE, PF_WRITE);
	check_fault(do_read, 0xffffffffffffe000, 0);
}

KTEST(trap_non_canonical)
{
	struct trap_info info = {0};

	KT_CHECK(trap_expect(do_read, (void *)0x0000800000000000, &info));
	KT_CHECK_EQ(info.vector, VECTOR_GP);
	KT_CHECK_EQ(info.error, 0);
	KT_CHECK(trap_expect(do_write, (void *)0xffff7ffffffffff8, &info));
	KT_CHECK_EQ(info.vector, VECTOR_GP);
}

static void do_invalid(void *arg)
{
	(void)arg;
	__asm__ volatile("ud2");
}
static void do_divide(void *arg)
{
	__asm__ volatile("xorl %%edx, %%edx; movl $1, %%eax; divl %0"
			 :
			 : "r"((uint32_t)(uint64_t)arg)
			 : "eax", "edx");
}
KTEST(trap_other_exceptions)
{
	struct trap_info info = {0};

	KT_CHECK(trap_expect(do_invalid, NULL, &info));
	KT_CHECK_EQ(info.vector, VECTOR_INVALID);
	KT_CHECK(trap_expect(do_divide, NULL, &info));
	KT_CHECK_EQ(info.vector, 0);
}

KTEST(trap_stack_guards)
{
	vaddr_t stack = kva_alloc_stack(), size = KSTACK_PAGES * PAGE_SIZE;

	KT_REQUIRE(stack);
	check_fault(do_write, stack - 8, PF_WRITE);
	check_fault(do_write, stack - PAGE_SIZE, PF_WRITE);
	check_fault(do_write, stack + size, PF_WRITE);
	check_fault(do_write, stack + size + PAGE_SIZE - 8, PF_WRITE);
	*(volatile uint64_t *)stack = 1;
	*(volatile uint64_t *)(stack + size - 8) = 1;
	kva_free_stack(stack);
	/* The test's own stack. */
	check_fault(do_write, current_thread()->stack - 8, PF_WRITE);
	check_fault(do_write, current_thread()->stack_end, PF_WRITE);
}

KTEST(trap_freed_buffer)
{
	void *buffer = kva_alloc_buffer(2 * PAGE_SIZE);

	KT_REQUIRE(buffer);
	*(volatile uint64_t *)buffer = 1;
	check_fault(do_write, (vaddr_t)buffer - 8, PF_WRITE);
	check_fault(do_write, (vaddr_t)buffer + 2 * PAGE_SIZE, PF_WRITE);
	kva_free_buffer(buffer);
	check_fault(do_read, (vaddr_t)buffer, 0);
}

KTEST(trap_static_stack_guards)
{
	check_fault(do_write, (vaddr_t)boot_stack - 8, PF_WRITE);
	check_fault(do_write, (vaddr_t)boot_stack_end, PF_WRITE);
	for (char *s = boot_ist_stacks; s < boot_guarded_end; s += IST_STACK_SIZE + PAGE_SIZE) {
		check_fault(do_write, (vaddr_t)s - 8, PF_WRITE);
		check_fault(do_write, (vaddr_t)s + IST_STACK_SIZE, PF_WRITE);
	}
}

KTEST(trap_kernel_peek)
{
	static uint64_t word = 0x123456789abcdef0;
	uint64_t out = 0;

	KT_CHECK(kernel_peek((vaddr_t)&word, &out));
	KT_CHECK_EQ(out, word);
	KT_CHECK(!kernel_peek(0, &out));
	KT_CHECK(!kernel_peek(KVA_BASE, &out));
	KT_CHECK(!kernel_peek(0x8000000000000000, &out));
	KT_CHECK_EQ(out, word);
}

/* -- the kernel and user memory -------------------------------------------------------------------------- */

KTEST(trap_smap)
{
	struct borrowed b;
	uint64_t seen;

	if (!cpu_features.smap) {
		kt_skip("no SMAP");
		return;
	}
	KT_REQUIRE(borrow_begin(&b));
	check_fault(do_read, BASE, PF_PRESENT);
	check_fault(do_write, BASE, PF_PRESENT | PF_WRITE);
	*(uint64_t *)(void *)byte_at(&b, BASE) = 0x1234;
	__asm__ volatile("stac; movq (%1), %0; clac" : "=r"(seen) : "r"(BASE) : "memory");
	KT_CHECK_EQ(seen, 0x1234);
	check_fault(do_read, BASE, PF_PRESENT);
	borrow_end(&b);
}

KTEST(trap_smep)
{
	struct borrowed b;

	if (!cpu_features.smep) {
		kt_skip("no SMEP");
		return;
	}
	KT_REQUIRE(borrow_begin(&b));
	*byte_at(&b, BASE) = RET;
	check_fault(do_call, BASE, PF_PRESENT | PF_FETCH);
	borrow_end(&b);
}

static bool smap_is_open(void)
{
	return read_rflags() & RFLAGS_AC;
}

/* Each call with n bytes at a user address, of which `good` can be accessed. */
static void check_copies(struct borrowed *b, uaddr_t va, size_t n, size_t good)
{
	static uint8_t buf[BUF];

	for (size_t i = 0; i < good; i++)
		*byte_at(b, va + i) = (uint8_t)(i + 1);
	memset(buf, 0xee, sizeof(buf));
	KT_CHECK_EQ(copy_from_user_partial(buf, va, n), n - good);
	for (size_t i = 0; i < MIN(n, sizeof(buf)); i++)
		KT_CHECK_EQ(buf[i], i < good ? i + 1 : 0xee);

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(0x80 + i);
	KT_CHECK_EQ(copy_to_user_partial(va, buf, n), n - good);
	for (size_t i = 0; i < good; i++)
		KT_CHECK_EQ(*byte_at(b, va + i), 0x80 + i);

	KT_CHECK_EQ(zero_user_partial(va, n), n - good);
	for (size_t i = 0; i < good; i++)
		KT_CHECK_EQ(*byte_at(b, va + i), 0);
	KT_CHECK(!smap_is_open());
	KT_CHECK_EQ(copy_from_user(buf, va, n), good == n ? 0 : -EFAULT);
}

/* Every length and every offset to the end of what is mapped. */
static void check_edge(struct borrowed *b, uaddr_t end)
{
	for (size_t before = 0; before <= 20; before++)
		for (size_t n = 0; n <= 40; n++)
			check_copies(b, end - before, n, MIN(before, n));
}

KTEST(trap_usercopy_edges)
{
	struct borrowed b;

	KT_REQUIRE(borrow_begin(&b));
	check_edge(&b, HOLE);
	check_edge(&b, USER_END);
	check_copies(&b, BASE, 0, 0);
	check_copies(&b, BASE + PAGE_SIZE - 13, 40, 40); /* across two pages */
	borrow_end(&b);
}

KTEST(trap_usercopy_bad_addresses)
{
	static const uaddr_t bad[] = {0, 1, PAGE_SIZE - 8, PAGE_SIZE, BASE - 8, HOLE, HOLE + 1, USER_END,
	    USER_END + PAGE_SIZE - 1, 0x0000800000000000, 0x7fffffffffffffff, 0x8000000000000000,
	    0xffff7fffffffffff, 0xffff800000000000, 0xffffc00000000000, 0xffffffff80100000, ~0ULL - 7, ~0ULL};
	static const size_t sizes[] = {0, 1, 7, 8, 16, 33};
	struct borrowed b;

	KT_REQUIRE(borrow_begin(&b));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		for (unsigned j = 0; j < ARRAY_SIZE(sizes); j++)
			check_copies(&b, bad[i], sizes[j], 0);
	borrow_end(&b);
}

/* Lengths that reach far beyond everything: what is there is done, the rest is counted exactly. */
KTEST(trap_usercopy_huge_lengths)
{
	static const size_t sizes[] = {
	    PAGE_SIZE, GIB(4), GIB(1) * 1024 * 128, SIZE_MAX / 2, SIZE_MAX - LAST, SIZE_MAX};
	struct borrowed b;

	KT_REQUIRE(borrow_begin(&b));
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		KT_CHECK_EQ(zero_user_partial(USER_END - 24, sizes[i]), sizes[i] - 24);
		KT_CHECK_EQ(zero_user_partial(HOLE - 9, sizes[i]), sizes[i] - 9);
		KT_CHECK_EQ(zero_user_partial(~0ULL - 3, sizes[i]), sizes[i]);
		KT_CHECK_EQ(zero_user_partial(0, sizes[i]), sizes[i]);
	}
	borrow_end(&b);
}

KTEST(trap_usercopy_read_only)
{
	static const char text[] = "not to be written";
	struct borrowed b;
	char back[sizeof(text)];
	uint32_t seen = 7;

	KT_REQUIRE(borrow_begin(&b));
	*byte_at(&b, RO) = 0x55;
	KT_CHECK_EQ(copy_to_user_partial(RO, text, sizeof(text)), sizeof(text));
	KT_CHECK_EQ(zero_user_partial(RO, 9), 9);
	KT_CHECK_EQ(cas_user_u32(RO, 0x55, 1, &seen), -EFAULT);
	KT_CHECK_EQ(seen, 7);
	KT_CHECK_EQ(*byte_at(&b, RO), 0x55);
	KT_CHECK_EQ(copy_from_user_partial(back, RO, sizeof(back)), 0);
	KT_CHECK_EQ(back[0], 0x55);
	borrow_end(&b);
}

static void put_string(struct borrowed *b, uaddr_t va, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*byte_at(b, va + i) = (uint8_t)s[i];
}

KTEST(trap_usercopy_strings)
{
	struct borrowed b;
	char buf[16];

	KT_REQUIRE(borrow_begin(&b));
	put_string(&b, BASE, "hello", 6);
	KT_CHECK_EQ(copy_string_from_user(buf, BASE, sizeof(buf)), 5);
	KT_CHECK(strcmp(buf, "hello") == 0);
	KT_CHECK_EQ(copy_string_from_user(buf, BASE, 6), 5);
	KT_CHECK_EQ(copy_string_from_user(buf, BASE, 5), -ENAMETOOLONG);
	KT_CHECK_EQ(copy_string_from_user(buf, BASE, 0), -ENAMETOOLONG);
	KT_CHECK_EQ(copy_string_from_user(buf, BASE + 5, 1), 0);
	/* The terminator in the last byte before a hole, before the end of user space; and none. */
	put_string(&b, HOLE - 4, "abc", 4);
	KT_CHECK_EQ(copy_string_from_user(buf, HOLE - 4, sizeof(buf)), 3);
	put_string(&b, USER_END - 4, "abc", 4);
	KT_CHECK_EQ(copy_string_from_user(buf, USER_END - 4, sizeof(buf)), 3);
	put_string(&b, HOLE - 4, "abcd", 4);
	KT_CHECK_EQ(copy_string_from_user(buf, HOLE - 4, sizeof(buf)), -EFAULT);
	KT_CHECK_EQ(copy_string_from_user(buf, HOLE - 4, 4), -ENAMETOOLONG);
	put_string(&b, USER_END - 4, "abcd", 4);
	KT_CHECK_EQ(copy_string_from_user(buf, USER_END - 4, sizeof(buf)), -EFAULT);
	KT_CHECK_EQ(copy_string_from_user(buf, USER_END - 4, 4), -ENAMETOOLONG);
	KT_CHECK_EQ(copy_string_from_user(buf, 0, sizeof(buf)), -EFAULT);
	KT_CHECK_EQ(copy_string_from_user(buf, ~0ULL, sizeof(buf)), -EFAULT);
	KT_CHECK_EQ(copy_string_from_user(buf, (uaddr_t) "kernel", sizeof(buf)), -EFAULT);
	KT_CHECK(!smap_is_open());
	borrow_end(&b);
}

KTEST(trap_usercopy_cas)
{
	struct borrowed b;
	uint32_t seen = 0;

	KT_REQUIRE(borrow_begin(&b));
	uint32_t *word = (uint32_t *)(void *)byte_at(&b, HOLE - 4);
	*word = 5;
	KT_CHECK_EQ(cas_user_u32(HOLE - 4, 5, 6, &seen), 0);
	KT_CHECK_EQ(seen, 5);
	KT_CHECK_EQ(*word, 6);
	KT_CHECK_EQ(cas_user_u32(HOLE - 4, 5, 7, &seen), 0);
	KT_CHECK_EQ(seen, 6);
	KT_CHECK_EQ(*word, 6);
	static const uaddr_t bad[] = {
	    0, HOLE, HOLE - 2, HOLE - 3, BASE + 1, USER_END, USER_END - 2, 0xffff800000000000, ~3ULL};
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		KT_CHECK_EQ(cas_user_u32(bad[i], 0, 1, &seen), -EFAULT);
	KT_CHECK_EQ(seen, 6);
	KT_CHECK(!smap_is_open());
	borrow_end(&b);
}

static void copy_to_bad_kernel_buffer(void *arg)
{
	KT_CHECK_EQ(copy_from_user_partial(arg, BASE, 8), 0); /* not reached */
}

/* A fault on the kernel's side of a copy is a bug of the kernel, not EFAULT. */
KTEST(trap_usercopy_kernel_side)
{
	struct borrowed b;
	struct trap_info info = {0};

	KT_REQUIRE(borrow_begin(&b));
	KT_CHECK(trap_expect(copy_to_bad_kernel_buffer, (void *)KVA_BASE, &info));
	KT_CHECK_EQ(info.vector, VECTOR_PAGE_FAULT);
	KT_CHECK_EQ(info.addr, KVA_BASE);
	KT_CHECK_EQ(info.error, PF_WRITE);
	borrow_end(&b);
}

extern const struct extable_entry extable_start[], extable_end[];

KTEST(trap_extable_sorted)
{
	vaddr_t last = 0;

	KT_CHECK(extable_end - extable_start >= 6);
	for (const struct extable_entry *e = extable_start; e < extable_end; e++) {
		vaddr_t insn = (vaddr_t)((int64_t)&e->insn + e->insn),
			fixup = (vaddr_t)((int64_t)&e->fixup + e->fixup);
		KT_CHECK(insn > last);
		KT_CHECK_EQ(extable_find(insn), fixup);
		KT_CHECK_EQ(extable_find(insn + 1), 0);
		KT_CHECK(fixup >= (vaddr_t)text_start && fixup < (vaddr_t)text_end);
		last = insn;
	}
	KT_CHECK_EQ(extable_find(0), 0);
	KT_CHECK_EQ(extable_find(~0ULL), 0);
}

/* -- what boot left behind ------------------------------------------------------------------------------- */

static void check_rights(const char *start, const char *end, unsigned rights)
{
	struct mmu_translation t;

	for (const char *p = start; p < end; p += PAGE_SIZE) {
		KT_REQUIRE(mmu_query(&kernel_mmu, (vaddr_t)p, &t));
		KT_CHECK_EQ(t.flags & (MMU_READ | MMU_WRITE | MMU_EXEC | MMU_USER), rights);
		KT_CHECK_EQ(t.paddr, image_to_phys(p));
	}
}

KTEST(boot_image_rights)
{
	unsigned exec = cpu_features.nx ? 0 : MMU_EXEC;

	check_rights(text_start, text_end, MMU_READ | MMU_EXEC);
	check_rights(rodata_start, rodata_end, MMU_READ | exec);
	check_rights(data_start, boot_guarded, MMU_READ | MMU_WRITE | exec);
	check_rights(boot_guarded_end, kernel_end, MMU_READ | MMU_WRITE | exec);
#ifndef CONFIG_KASAN /* the shadow is one page seen through terabytes of tables */
	mmu_validate(&kernel_mmu);
#endif
}

KTEST(boot_map_is_normal)
{
	for (unsigned i = 0; i < bootinfo.nranges; i++) {
		const struct boot_range *r = &bootinfo.ranges[i];
		KT_CHECK(r->start < r->end);
		KT_CHECK(i == 0 || bootinfo.ranges[i - 1].end <= r->start);
		if (r->type == BOOT_MEM_USABLE)
			KT_CHECK(
			    r->start >= PAGE_SIZE && r->start % PAGE_SIZE == 0 && r->end % PAGE_SIZE == 0);
		bool covers_text =
		    r->start <= image_to_phys(text_start) && image_to_phys(text_start) < r->end;
		KT_CHECK(!covers_text || r->type == BOOT_MEM_KERNEL);
	}
	KT_CHECK(ap_trampoline < MIB(1) && ap_trampoline % PAGE_SIZE == 0);
}

/* RAM is in the direct map, never executable; what lies between is not there. */
KTEST(boot_direct_map)
{
	struct mmu_translation t;
	paddr_t end = 0;

	for (unsigned i = 0; i < bootinfo.nranges; i++) {
		const struct boot_range *r = &bootinfo.ranges[i];
		paddr_t first = ALIGN_DOWN(r->start, PAGE_SIZE), last = ALIGN_DOWN(r->end - 1, PAGE_SIZE);
		if (!boot_range_is_memory(r))
			continue;
		for (unsigned j = 0; j < 2; j++) {
			paddr_t pa = j ? last : first;
			KT_REQUIRE(mmu_query(&kernel_mmu, (vaddr_t)phys_to_virt(pa), &t));
			KT_CHECK_EQ(t.paddr, pa);
			KT_CHECK(!(t.flags & MMU_USER) && (!(t.flags & MMU_EXEC) || !cpu_features.nx));
			if (r->type ==
			    BOOT_MEM_KERNEL) /* records of usable memory may never have been written */
				KT_CHECK_EQ(page_kind(phys_to_page(pa)), PAGE_RESERVED);
		}
		if (end && ALIGN_UP(end, PAGE_SIZE) < first)
			KT_CHECK(
			    !mmu_query(&kernel_mmu, (vaddr_t)phys_to_virt(ALIGN_UP(end, PAGE_SIZE)), &t));
		end = r->end;
	}
}

KTEST(boot_cmdline)
{
	static char saved[BOOT_CMDLINE_MAX];
	char v[8];

	memcpy(saved, bootinfo.cmdline, sizeof(saved));
	str_copy(bootinfo.cmdline, "  a=1 bb  c=  ddd=longer-than-it a=2", sizeof(bootinfo.cmdline));
	KT_CHECK(cmdline_get("a", v, sizeof(v)) && strcmp(v, "1") == 0);
	KT_CHECK(cmdline_get("bb", v, sizeof(v)) && strcmp(v, "") == 0);
	KT_CHECK(cmdline_get("c", v, sizeof(v)) && strcmp(v, "") == 0);
	KT_CHECK(cmdline_get("ddd", v, sizeof(v)) && strcmp(v, "longer-") == 0);
	KT_CHECK(!cmdline_get("b", v, sizeof(v)) && !cmdline_get("dd", v, sizeof(v)) &&
		 !cmdline_get("longer", v, sizeof(v)));
	memcpy(bootinfo.cmdline, saved, sizeof(saved));
}

/* -- context that traps must keep ------------------------------------------------------------------------ */

/* Raise `vector` by INT at a moment when GS is the user's, as between SYSCALL and SWAPGS, and looks like a
 * kernel address. True: GS and a register came back. */
#define TRAP_UNDER_USER_GS(vector, ok)                                                                       \
	do {                                                                                                 \
		uint64_t irq = irq_save(), strange = 0xffff800000badbad, after = 0, r12 = 0;                 \
		wrmsr(MSR_KERNEL_GS_BASE, strange);                                                          \
		__asm__ volatile("swapgs\n\t"                                                                \
				 "movq %2, %%r12\n\t"                                                        \
				 "int %3\n\t"                                                                \
				 "movq %%r12, %1\n\t"                                                        \
				 "movl $0xc0000101, %%ecx\n\t"                                               \
				 "rdmsr\n\t"                                                                 \
				 "shlq $32, %%rdx\n\t"                                                       \
				 "orq %%rdx, %%rax\n\t"                                                      \
				 "movq %%rax, %0\n\t"                                                        \
				 "swapgs"                                                                    \
				 : "=&b"(after), "=&r"(r12)                                                  \
				 : "r"(strange), "i"(vector)                                                 \
				 : "rax", "rcx", "rdx", "r12", "memory", "cc");                              \
		wrmsr(MSR_KERNEL_GS_BASE, 0);                                                                \
		irq_restore(irq);                                                                            \
		(ok) = after == strange && r12 == strange && this_cpu()->self == this_cpu();                 \
	} while (0)

KTEST(trap_paranoid_gs)
{
	bool ok;

	for (unsigned i = 0; i < 10; i++) {
		store_relaxed(&trap_expected_nmis, 1);
		TRAP_UNDER_USER_GS(VECTOR_NMI, ok);
		KT_CHECK(ok);
		KT_CHECK_EQ(load_relaxed(&trap_expected_nmis), 0);
		TRAP_UNDER_USER_GS(VECTOR_DEBUG, ok);
		KT_CHECK(ok);
	}
}

/* NMIs from outside arrive between any two instructions of copies and switches. */
static void send_nmis(void *arg, unsigned i)
{
	(void)arg;
	for (unsigned n = 0; n < 200; n++) {
		if (i == 0 && n % 10 == 0) {
			store_seq_cst(&trap_expected_nmis, cpus_count() - 1);
			smp_nmi_others();
			while (load_acquire(&trap_expected_nmis))
				cpu_relax();
		}
		thread_yield();
	}
}

KTEST(trap_nmi_from_outside)
{
	if (cpus_count() < 2) {
		kt_skip("one CPU");
		return;
	}
	KT_REQUIRE(kt_run_threads(4, send_nmis, NULL));
	KT_CHECK_EQ(load_relaxed(&trap_expected_nmis), 0);
}

static void spin_with_registers(void *arg, unsigned i)
{
	uint64_t *sums = arg, value = i * 0x0101010101010101ULL + 1, sum = 0;

	/* Interrupted and preempted at any point, registers keep their values. */
	for (unsigned n = 0; n < 100; n++) {
		uint64_t r12 = value, r13 = value + 1, r14 = value + 2, r15 = value + 3;
		__asm__ volatile(
		    "movq %0, %%r12; movq %1, %%r13; movl $5000, %%ecx; 1: decl %%ecx; jnz 1b; movq %%r12, %0; movq %%r13, %1"
		    : "+r"(r14), "+r"(r15)
		    :
		    : "rcx", "r12", "r13", "cc");
		sum += (r12 + r13 + r14 + r15) - (4 * value + 6);
		thread_yield();
	}
	sums[i] = sum;
}

KTEST(trap_registers_survive)
{
	static uint64_t sums[8];

	memset(sums, 0xff, sizeof(sums));
	KT_REQUIRE(kt_run_threads(ARRAY_SIZE(sums), spin_with_registers, sums));
	for (unsigned i = 0; i < ARRAY_SIZE(sums); i++)
		KT_CHECK_EQ(sums[i], 0);
}
