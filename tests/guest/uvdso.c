/*
 * uvdso.c - the shared object that the kernel maps: its format, as a dynamic linker reads it, and that its
 * clocks tell what the system calls tell. Holds on Linux as well.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <elf.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include "utap.h"

static const unsigned char *base;
static const Elf64_Sym *symbols;
static const char *strings;
static const Elf64_Versym *versions;
static const Elf64_Verdef *definitions;
static const Elf64_Word *hash;
static uint64_t mapped;

static const Elf64_Phdr *find_segment(uint32_t type)
{
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)base;
	const Elf64_Phdr *p = (const Elf64_Phdr *)(base + e->e_phoff);
	for (unsigned i = 0; i < e->e_phnum; i++)
		if (p[i].p_type == type)
			return &p[i];
	return NULL;
}

static bool test_headers(void)
{
	base = (const unsigned char *)getauxval(AT_SYSINFO_EHDR);
	CHECK(base && (uintptr_t)base % 4096 == 0);
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)base;
	CHECK(!memcmp(e->e_ident, ELFMAG, SELFMAG) && e->e_type == ET_DYN && e->e_machine == EM_X86_64);
	const Elf64_Phdr *load = find_segment(PT_LOAD), *dynamic = find_segment(PT_DYNAMIC);
	CHECK(load && load->p_offset == 0 && load->p_flags == (PF_R | PF_X) && dynamic);
	CHECK(find_segment(PT_GNU_EH_FRAME));
	mapped = load->p_memsz;
	const Elf64_Dyn *d = (const Elf64_Dyn *)(base + dynamic->p_vaddr - load->p_vaddr);
	for (; d->d_tag != DT_NULL; d++) {
		const void *at = base + d->d_un.d_ptr - load->p_vaddr;
		switch (d->d_tag) {
		case DT_SYMTAB:
			symbols = at;
			break;
		case DT_STRTAB:
			strings = at;
			break;
		case DT_VERSYM:
			versions = at;
			break;
		case DT_VERDEF:
			definitions = at;
			break;
		case DT_HASH:
			hash = at;
			break;
		case DT_REL:
		case DT_RELA:
			CHECK(!"relocations");
		}
	}
	CHECK(symbols && strings && versions && definitions);
	return true;
}

static bool is_linux_2_6(unsigned version)
{
	const Elf64_Verdef *v = definitions;
	for (;;) {
		const Elf64_Verdaux *a = (const Elf64_Verdaux *)((const char *)v + v->vd_aux);
		if (v->vd_ndx == (version & 0x7fff) && !(v->vd_flags & VER_FLG_BASE))
			return !strcmp(strings + a->vda_name, "LINUX_2.6");
		if (!v->vd_next)
			return false;
		v = (const Elf64_Verdef *)((const char *)v + v->vd_next);
	}
}

/* Linux builds with either table of hashes; symbols end where strings begin if there is no old one. */
static void *find(const char *name)
{
	size_t n =
	    hash ? hash[1] : (size_t)((const char *)strings - (const char *)symbols) / sizeof(*symbols);
	for (size_t i = 0; i < n; i++)
		if (symbols[i].st_shndx && !strcmp(strings + symbols[i].st_name, name) &&
		    is_linux_2_6(versions[i]))
			return (void *)(base + symbols[i].st_value);
	return NULL;
}

static bool test_symbols(void)
{
	static const char *const names[] = {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time",
	    "__vdso_getcpu", "__vdso_clock_getres"};
	for (int i = 0; i < 5; i++)
		CHECK(find(names[i]));
	CHECK(!find("__vdso_no_such"));
	return true;
}

static long long ns(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static bool test_clocks(void)
{
	static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
	    CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI,
	    CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
	int (*gettime)(int, struct timespec *) =
	    (int (*)(int, struct timespec *))find("__vdso_clock_gettime");
	int (*getres)(int, struct timespec *) = (int (*)(int, struct timespec *))find("__vdso_clock_getres");
	CHECK(gettime && getres);
	for (unsigned c = 0; c < sizeof(clocks) / sizeof(clocks[0]); c++) {
		struct timespec a, b, t;
		for (int i = 0; i < 1000; i++) {
			CHECK(syscall(SYS_clock_gettime, clocks[c], &a) == 0);
			CHECK(gettime(clocks[c], &t) == 0 && t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
			CHECK(syscall(SYS_clock_gettime, clocks[c], &b) == 0);
			CHECK(ns(a) <= ns(t) && ns(t) <= ns(b));
		}
		CHECK(syscall(SYS_clock_getres, clocks[c], &a) == 0 && getres(clocks[c], &b) == 0 &&
		      ns(a) == ns(b));
	}
	struct timespec t;
	CHECK(gettime(77, &t) == -EINVAL && gettime(-1, &t) == -EINVAL);
	return true;
}

static bool test_time_of_day(void)
{
	int (*day)(struct timeval *, struct timezone *) =
	    (int (*)(struct timeval *, struct timezone *))find("__vdso_gettimeofday");
	time_t (*seconds)(time_t *) = (time_t(*)(time_t *))find("__vdso_time");
	CHECK(day && seconds);
	for (int i = 0; i < 1000; i++) {
		struct timeval a, t, b;
		struct timezone zone = {1, 1};
		CHECK(syscall(SYS_gettimeofday, &a, NULL) == 0 && day(&t, i & 1 ? &zone : NULL) == 0);
		CHECK(syscall(SYS_gettimeofday, &b, NULL) == 0);
		CHECK(!timercmp(&t, &a, <) && !timercmp(&b, &t, <));
	}
	time_t stored, before = syscall(SYS_time, NULL), t = seconds(&stored);
	CHECK(before <= t && t <= syscall(SYS_time, NULL) && stored == t && seconds(NULL) >= t);
	return true;
}

static bool test_forward(void)
{
	int (*gettime)(int, struct timespec *) =
	    (int (*)(int, struct timespec *))find("__vdso_clock_gettime");
	struct timespec last = {0, 0}, t;
	for (int i = 0; i < 200000; i++) {
		CHECK(gettime(CLOCK_MONOTONIC, &t) == 0 && ns(t) >= ns(last));
		last = t;
	}
	return true;
}

static bool test_cpu(void)
{
	int (*getcpu)(unsigned *, unsigned *, void *) =
	    (int (*)(unsigned *, unsigned *, void *))find("__vdso_getcpu");
	cpu_set_t all;
	CHECK(getcpu && !sched_getaffinity(0, sizeof(all), &all));
	for (int c = 0; c < 64; c++) {
		cpu_set_t one;
		unsigned cpu = 999, node = 999;
		if (!CPU_ISSET(c, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(c, &one);
		CHECK(!sched_setaffinity(0, sizeof(one), &one));
		CHECK(getcpu(&cpu, &node, NULL) == 0 && cpu == (unsigned)c && node != 999 &&
		      getcpu(NULL, NULL, NULL) == 0);
	}
	CHECK(!sched_setaffinity(0, sizeof(all), &all));
	return true;
}

static int reads_time(void *arg)
{
	(void)arg;
	struct timespec t;
	int (*gettime)(int, struct timespec *) =
	    (int (*)(int, struct timespec *))find("__vdso_clock_gettime");
	return gettime(CLOCK_MONOTONIC, &t) || ns(t) <= 0;
}
static int writes_code(void *arg)
{
	(void)arg;
	*(volatile unsigned char *)base = 0;
	return 0;
}
static int writes_data(void *arg)
{
	(void)arg;
	*(volatile unsigned char *)(base - 4096) = 0;
	return 0;
}
static bool test_protection(void)
{
	CHECK(child_exits(reads_time, NULL, 0)); /* fork keeps it */
	CHECK(child_dies(writes_code, NULL, 11));
	CHECK(child_dies(writes_data, NULL, 11));
	CHECK(mprotect((void *)(base - 4096), 4096, PROT_READ | PROT_WRITE) == -1);
	return true;
}

static const struct utest tests[] = {
    {"an ELF shared object", test_headers},
    {"its symbols and their version", test_symbols},
    {"clocks as the system calls tell them", test_clocks},
    {"time of day", test_time_of_day},
    {"time goes forward", test_forward},
    {"the CPU", test_cpu},
    {"it cannot be written", test_protection},
};

int main(void)
{
	return UTEST_RUN(tests);
}
