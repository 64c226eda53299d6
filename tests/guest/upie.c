/*
 * upie.c - a static program that can be loaded anywhere: relocated pointers, thread-local storage and the
 * auxiliary vector of one that was moved. Linked as a static PIE.
 */
#include <elf.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include "utap.h"

extern const Elf64_Ehdr __ehdr_start;

static int values[4] = {1, 2, 3, 4};
static int *const constant_pointers[4] = {&values[3], &values[2], &values[1], &values[0]};
static int *pointers[4] = {&values[3], &values[2], &values[1], &values[0]};
static char bss[3 * 4096 + 100];
static __thread int local = 77;
static __thread int local_zero;

static bool pointers_are_relocated(void)
{
	for (int i = 0; i < 4; i++)
		CHECK(*constant_pointers[i] == 4 - i && pointers[i] == constant_pointers[i]);
	CHECK((uintptr_t)values > 1UL << 32); /* not where it was linked, near 0 */
	return true;
}

static bool vector_says_where(void)
{
	const Elf64_Ehdr *e = &__ehdr_start;
	CHECK(!memcmp(e->e_ident, ELFMAG, SELFMAG) && e->e_type == ET_DYN);
	CHECK(getauxval(AT_PHDR) == (unsigned long)e + e->e_phoff && getauxval(AT_PHNUM) == e->e_phnum);
	CHECK(getauxval(AT_ENTRY) == (unsigned long)e + e->e_entry && getauxval(AT_BASE) == 0);
	const Elf64_Phdr *ph = (const Elf64_Phdr *)getauxval(AT_PHDR);
	for (unsigned i = 0; i < e->e_phnum; i++) {
		CHECK(ph[i].p_type != PT_INTERP);
		CHECK(ph[i].p_type != PT_LOAD ||
		      ((unsigned long)e + ph[i].p_vaddr) % 4096 == ph[i].p_offset % 4096);
	}
	return true;
}

static bool zeros_and_locals(void)
{
	for (size_t i = 0; i < sizeof(bss); i++)
		CHECK(bss[i] == 0);
	bss[sizeof(bss) - 1] = 1;
	CHECK(local == 77 && local_zero == 0);
	local = local_zero = 5;
	CHECK(local + local_zero == 10);
	return true;
}

static int write_constant(void *arg)
{
	*(void *volatile *)(uintptr_t)&constant_pointers[1] = arg;
	return 0;
}

static int write_header(void *arg)
{
	*(volatile char *)(uintptr_t)&__ehdr_start = *(char *)arg;
	return 0;
}

/* Relocated constants become read-only: musl leaves that to the program if it is static. */
static bool protect_relocated(void)
{
	const char *base = (const char *)&__ehdr_start;
	const Elf64_Phdr *ph = (const Elf64_Phdr *)getauxval(AT_PHDR);
	for (unsigned i = 0; i < getauxval(AT_PHNUM); i++)
		if (ph[i].p_type == PT_GNU_RELRO) {
			uintptr_t start = (uintptr_t)base + ph[i].p_vaddr, end = start + ph[i].p_memsz;
			return mprotect((void *)(start & -4096UL), (end & -4096UL) - (start & -4096UL),
				   PROT_READ) == 0;
		}
	return false;
}

static bool read_only_parts(void)
{
	CHECK(child_exits(write_constant, values, 0));
	CHECK(protect_relocated());
	CHECK(child_dies(write_constant, values, SIGSEGV));
	CHECK(*constant_pointers[1] == 3 && local == 5); /* the rest of the segment is as it was */
	values[0] = 9;
	CHECK(child_dies(write_header, values, SIGSEGV));
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"pointers are relocated", pointers_are_relocated},
	    {"the auxiliary vector says where it is", vector_says_where},
	    {"bss and thread-local variables", zeros_and_locals},
	    {"read-only parts", read_only_parts},
	};
	return UTEST_RUN(tests);
}
