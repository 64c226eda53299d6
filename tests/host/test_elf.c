/*
 * test_elf.c - the ELF reader accepts what linkers make and refuses each way in which a header can lie.
 *
 * Each refusal is a good file with one field changed, so a check that is dropped makes exactly one case fail.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "proc/elf.c"

#define LOW  0x1000ULL
#define HIGH 0x7ffffffff000ULL

struct file {
	Elf64_Ehdr e;
	Elf64_Phdr p[4];
	char rest[0x5000];
};
static struct file good;
enum { FILE_SIZE = sizeof(struct file) };

static int make_good(void **state)
{
	(void)state;
	memset(&good, 0, sizeof(good));
	memcpy(good.e.e_ident, "\177ELF\2\1\1", 7);
	good.e.e_type = 2;
	good.e.e_machine = 62;
	good.e.e_version = 1;
	good.e.e_entry = 0x401010;
	good.e.e_phoff = sizeof(Elf64_Ehdr);
	good.e.e_phentsize = sizeof(Elf64_Phdr);
	good.e.e_phnum = 4;
	good.p[0] = (Elf64_Phdr){1, 4, 0, 0x400000, 0, 0x200, 0x200, 0x1000};
	good.p[1] = (Elf64_Phdr){1, 5, 0x1000, 0x401000, 0, 0x800, 0x800, 0x1000};
	good.p[2] = (Elf64_Phdr){1, 6, 0x2010, 0x402010, 0, 0x100, 0x4000, 0x1000};
	good.p[3] = (Elf64_Phdr){0x6474e551, 6, 0, 0, 0, 0, 0, 16};
	return 0;
}

static err_t parse(const struct file *f, struct elf_image *im)
{
	uint64_t phoff;
	unsigned phnum;
	err_t err = elf_check_header(&f->e, FILE_SIZE, &phoff, &phnum);
	if (err)
		return err;
	return elf_parse(&f->e, (const char *)f + phoff, FILE_SIZE, LOW, HIGH, im);
}

static void test_good(void **state)
{
	(void)state;
	struct elf_image im;
	assert_int_equal(parse(&good, &im), 0);
	assert_false(im.relocatable || im.interp_size || im.exec_stack);
	assert_int_equal(im.nsegments, 3);
	assert_int_equal(im.low, 0x400000);
	assert_int_equal(im.high, 0x407000);
	assert_int_equal(im.phdr_vaddr, 0x400040);
	assert_int_equal(im.segments[1].prot, ELF_READ | ELF_EXEC);
	assert_int_equal(im.segments[2].prot, ELF_READ | ELF_WRITE);
	assert_int_equal(im.segments[2].filesz, 0x100);
	assert_int_equal(im.segments[2].memsz, 0x4000);
	assert_int_equal(im.code_start, 0x401000);
	assert_int_equal(im.code_end, 0x401800);
	assert_int_equal(im.data_start, 0x402010);
	assert_int_equal(im.data_end, 0x402110);
}

static void test_pie(void **state)
{
	(void)state;
	struct elf_image im;
	good.e.e_type = 3;
	for (int i = 0; i < 3; i++)
		good.p[i].p_vaddr -= 0x400000;
	good.e.e_entry -= 0x400000;
	good.p[1].p_align = 0x200000;
	good.p[2].p_align = 1ULL << 40;
	assert_int_equal(parse(&good, &im), 0);
	assert_true(im.relocatable);
	assert_int_equal(im.low, 0);
	assert_int_equal(im.phdr_vaddr, 0x40);
	assert_int_equal(im.align, 0x200000);
	good.p[2].p_memsz = HIGH - LOW - 0x2010;
	assert_int_equal(parse(&good, &im), 0);
	good.p[2].p_memsz += 1;
	assert_int_equal(parse(&good, &im), -ENOEXEC);
}

static void test_flags(void **state)
{
	(void)state;
	struct elf_image im;
	good.p[3].p_flags = 7;
	assert_int_equal(parse(&good, &im), 0);
	assert_true(im.exec_stack);
	good.p[0].p_type = 4; /* a note: the headers are in no segment any more */
	assert_int_equal(parse(&good, &im), 0);
	assert_int_equal(im.phdr_vaddr, 0);
}

static void test_interpreter(void **state)
{
	(void)state;
	struct elf_image im;
	good.p[3] = (Elf64_Phdr){3, 4, 0x180, 0x400180, 0, 28, 28, 1};
	assert_int_equal(parse(&good, &im), 0);
	assert_int_equal(im.interp_offset, 0x180);
	assert_int_equal(im.interp_size, 28);
	good.p[3].p_filesz = 4096;
	assert_int_equal(parse(&good, &im), 0);
	good.p[3].p_filesz = 4097;
	assert_int_equal(parse(&good, &im), -ENOEXEC);
	good.p[3].p_filesz = 1;
	assert_int_equal(parse(&good, &im), -ENOEXEC);
	good.p[3].p_filesz = 28;
	good.p[3].p_offset = UINT64_MAX; /* nothing is there: reading it fails */
	assert_int_equal(parse(&good, &im), 0);
	good.e.e_entry = 0; /* the interpreter's affair */
	assert_int_equal(parse(&good, &im), 0);
	assert_false(elf_entry_is_inside(&im));
	good.p[0] = good.p[3];
	good.p[0].p_offset = 77; /* two of them: the first counts */
	assert_int_equal(parse(&good, &im), 0);
	assert_int_equal(im.interp_offset, 77);
}

static void test_any_order(void **state)
{
	(void)state;
	struct elf_image im;
	good.p[1].p_vaddr = 0x400000; /* shares a page with the one before */
	good.e.e_entry = 0x400010;
	assert_int_equal(parse(&good, &im), 0);
	assert_int_equal(im.nsegments, 3);
	good.p[2].p_vaddr = 0x3ff010; /* descending, and over the first */
	assert_int_equal(parse(&good, &im), 0);
	assert_int_equal(im.low, 0x3ff000);
	assert_int_equal(im.high, 0x404000);
	good.p[1].p_align = 0x1001; /* no power of two: does not count */
	assert_int_equal(parse(&good, &im), 0);
	assert_int_equal(im.align, 0x1000);
}

#define REFUSED(change)                                                                                      \
	do {                                                                                                 \
		struct file f = good;                                                                        \
		struct elf_image im_;                                                                        \
		change;                                                                                      \
		if (parse(&f, &im_) != -ENOEXEC)                                                             \
			fail_msg("accepted: %s", #change);                                                   \
	} while (0)

static void test_bad_header(void **state)
{
	(void)state;
	REFUSED(f.e.e_ident[0] = 0);
	REFUSED(f.e.e_ident[3] = 'f');
	REFUSED(f.e.e_ident[4] = 1);
	REFUSED(f.e.e_ident[5] = 2);
	REFUSED(f.e.e_ident[6] = 0);
	REFUSED(f.e.e_version = 2);
	REFUSED(f.e.e_type = 1);
	REFUSED(f.e.e_type = 4);
	REFUSED(f.e.e_machine = 3);
	REFUSED(f.e.e_phentsize = 32);
	REFUSED(f.e.e_phentsize = 57);
	REFUSED(f.e.e_phnum = 0);
	REFUSED(f.e.e_phnum = ELF_MAX_PHDRS + 1);
	REFUSED(f.e.e_phnum = 0xffff);
	REFUSED(f.e.e_phoff = FILE_SIZE - 4 * sizeof(Elf64_Phdr) + 1);
	REFUSED(f.e.e_phoff = UINT64_MAX);
	REFUSED(f.e.e_phoff = UINT64_MAX - 200);
	REFUSED(f.e.e_entry = 0);
	REFUSED(f.e.e_entry = 0x3fffff);
	REFUSED(f.e.e_entry = 0x407000);
	REFUSED(f.e.e_entry = 1ULL << 63);
	uint64_t phoff;
	unsigned phnum;
	assert_int_equal(elf_check_header(&good.e, 63, &phoff, &phnum), -ENOEXEC);
	assert_int_equal(elf_check_header(&good.e, 64, &phoff, &phnum), -ENOEXEC);
}

static void test_bad_segments(void **state)
{
	(void)state;
	REFUSED(f.p[1].p_filesz = 0x801);
	REFUSED(f.p[2].p_filesz = 0x4001);
	REFUSED(f.p[1].p_offset += 1);
	REFUSED(f.p[1].p_vaddr += 0x10);
	REFUSED(f.p[1].p_offset = FILE_SIZE & ~0xfffULL);
	REFUSED(f.p[1].p_offset = UINT64_MAX & ~0xfffULL);
	REFUSED(f.p[1].p_memsz = 0);
	REFUSED(f.p[0].p_vaddr = 0); /* page 0 */
	REFUSED(f.p[2].p_vaddr = HIGH - 0x4000 + 0x10);
	REFUSED(f.p[2].p_vaddr = 0xffffffff80000010);
	REFUSED(f.p[2].p_vaddr = UINT64_MAX - 0xfef);
	REFUSED(f.p[2].p_memsz = UINT64_MAX);
	REFUSED(f.p[2].p_memsz = UINT64_MAX - 0x402010 + 1);
	REFUSED(f.p[0].p_type = f.p[1].p_type = f.p[2].p_type = 0);
}

static void test_empty_segment(void **state)
{
	(void)state;
	struct elf_image im;
	good.p[0].p_filesz = good.p[0].p_memsz = 0;
	assert_int_equal(parse(&good, &im), 0);
	assert_int_equal(im.nsegments, 2);
	good.p[2].p_filesz = 0; /* all bss, its offset may be anywhere inside the file */
	assert_int_equal(parse(&good, &im), 0);
	assert_int_equal(im.segments[1].filesz, 0);
}

static void test_too_many(void **state)
{
	(void)state;
	static struct {
		Elf64_Ehdr e;
		Elf64_Phdr p[ELF_MAX_PHDRS + 1];
		char rest[4096];
	} f;
	struct elf_image im;
	uint64_t phoff;
	unsigned phnum;
	f.e = good.e;
	f.e.e_phnum = ELF_MAX_PHDRS;
	for (unsigned i = 0; i <= ELF_MAX_PHDRS; i++)
		f.p[i] = (Elf64_Phdr){1, 5, 0, 0x400000 + i * 0x1000, 0, 16, 16, 0x1000};
	assert_int_equal(elf_check_header(&f.e, sizeof(f), &phoff, &phnum), 0);
	assert_int_equal(elf_parse(&f.e, f.p, sizeof(f), LOW, HIGH, &im), 0);
	assert_int_equal(im.nsegments, ELF_MAX_PHDRS);
	f.e.e_phnum++;
	assert_int_equal(elf_check_header(&f.e, sizeof(f), &phoff, &phnum), -ENOEXEC);
}

static void test_notes(void **state)
{
	(void)state;
	struct elf_image im;
	good.p[3] = (Elf64_Phdr){4, 4, 0x300, 0, 0, 48, 48, 4};
	assert_int_equal(parse(&good, &im), 0);
	assert_true(im.nnotes == 1 && im.notes[0].offset == 0x300 && im.notes[0].size == 48);
	good.p[3].p_filesz = ELF_MAX_NOTE_SIZE + 1; /* nobody reads it, and that is all */
	assert_int_equal(parse(&good, &im), 0);
	assert_int_equal(im.nnotes, 0);
}

/* What programs are under is said by a note that is right in every part. */
static void test_guards(void **state)
{
	(void)state;
	struct {
		struct elf_note first;
		char gnu[4], contents[8];
		struct elf_note second;
		char quire[8];
		uint32_t guards;
	} n = {{4, 6, 1}, "GNU", "", {6, 4, 1}, "Quire", 15}, m;
	assert_int_equal(elf_find_guards(&n, sizeof(n)), 15);
	for (size_t size = 0; size < sizeof(n); size++)
		assert_int_equal(elf_find_guards(&n, size), 0);
	m = n;
	m.second.type = 2;
	assert_int_equal(elf_find_guards(&m, sizeof(m)), 0);
	m = n;
	m.second.descsz = 3;
	assert_int_equal(elf_find_guards(&m, sizeof(m)), 0);
	m = n;
	m.quire[4] = 'E';
	assert_int_equal(elf_find_guards(&m, sizeof(m)), 0);
	m = n;
	m.first.namesz = UINT32_MAX;
	assert_int_equal(elf_find_guards(&m, sizeof(m)), 0);
	m = n;
	m.first.descsz = UINT32_MAX;
	assert_int_equal(elf_find_guards(&m, sizeof(m)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_good, make_good),
	    cmocka_unit_test_setup(test_pie, make_good),
	    cmocka_unit_test_setup(test_flags, make_good),
	    cmocka_unit_test_setup(test_interpreter, make_good),
	    cmocka_unit_test_setup(test_any_order, make_good),
	    cmocka_unit_test_setup(test_bad_header, make_good),
	    cmocka_unit_test_setup(test_bad_segments, make_good),
	    cmocka_unit_test_setup(test_empty_segment, make_good),
	    cmocka_unit_test_setup(test_too_many, make_good),
	    cmocka_unit_test_setup(test_notes, make_good),
	    cmocka_unit_test(test_guards),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
