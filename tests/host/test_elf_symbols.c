/*
 * test_elf_symbols.c - names of functions in ELF files: those of this program and of the C library, where the
 * dynamic linker is the oracle, and of files that somebody has damaged.
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proc/elf_symbols.c"

struct image {
	char *bytes;
	size_t size;
};

static err_t read_image(void *ctx, void *buf, size_t len, uint64_t pos)
{
	const struct image *im = ctx;
	if (pos > im->size || len > im->size - pos)
		return -EIO;
	memcpy(buf, im->bytes + pos, len);
	return 0;
}

static struct image load(const char *path)
{
	struct image im = {0};
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	im.size = (size_t)ftell(f);
	rewind(f);
	im.bytes = malloc(im.size);
	assert_int_equal(fread(im.bytes, 1, im.size, f), im.size);
	assert_int_equal(fclose(f), 0);
	return im;
}

/* Where in its file is this address of the process? */
static uint64_t file_offset(uintptr_t address)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long start, end, offset, found = 0;
	while (!found && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 && address >= start &&
		    address < end)
			found = offset + (address - start);
	assert_int_equal(fclose(f), 0);
	assert_true(found);
	return found;
}

static int a_function_of_this_program(int x)
{
	return x * 3 + 1;
}
static int (*volatile function)(int) = a_function_of_this_program;

static void own_functions(void **state)
{
	struct image im = load("/proc/self/exe");
	const struct elf_source s = {read_image, &im};
	char name[ELF_SYMBOL_NAME];
	uint64_t offset;
	(void)state;
	for (unsigned in = 0; in < 4; in++) {
		assert_true(elf_symbol_find(&s, file_offset((uintptr_t)function) + in, name, &offset));
		assert_string_equal(name, "a_function_of_this_program");
		assert_int_equal(offset, in);
	}
	assert_false(elf_symbol_find(&s, im.size + 100, name, &offset)); /* in no segment */
	assert_false(elf_symbol_find(&s, 0, name, &offset));             /* in no function */
	free(im.bytes);
}

/* A library has the names that others use, perhaps several for one function. */
static void library_functions(void **state)
{
	static const char *const names[] = {"qsort", "getaddrinfo", "strtol", "fopen", "tdelete", "regcomp"};
	Dl_info info;
	(void)state;
	assert_true(dladdr(dlsym(RTLD_DEFAULT, "tdelete"), &info));
	struct image im = load(info.dli_fname);
	const struct elf_source s = {read_image, &im};
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char name[ELF_SYMBOL_NAME];
		uint64_t offset;
		void *libc = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
		char *address = dlsym(libc, names[i]);
		assert_true(elf_symbol_find(&s, file_offset((uintptr_t)address) + 2, name, &offset));
		assert_int_equal(offset, 2);
		assert_ptr_equal(dlsym(libc, name), address);
		assert_int_equal(dlclose(libc), 0);
	}
	free(im.bytes);
}

/* Whatever a file says, the search ends and stays inside its own memory. */
static void damaged_files(void **state)
{
	enum { ROUNDS = 2000, HEADERS = 64 + 20 * 56 };
	struct image im = load("/proc/self/exe");
	const struct elf_source s = {read_image, &im};
	uint64_t where = file_offset((uintptr_t)function), offset, shoff, names = 0;
	char name[ELF_SYMBOL_NAME];
	(void)state;
	memcpy(&shoff, im.bytes + 40, sizeof(shoff));
	srand(1);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t at = round & 1 ? shoff + (size_t)rand() % (im.size - shoff) : (size_t)rand() % HEADERS;
		char old = im.bytes[at];
		im.bytes[at] = (char)rand();
		bool found = elf_symbol_find(&s, where, name, &offset);
		assert_true(!found || strlen(name) < ELF_SYMBOL_NAME);
		names += found;
		im.bytes[at] = old;
	}
	assert_true(names > 0);
	im.size = 70;
	assert_false(elf_symbol_find(&s, where, name, &offset));
	free(im.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(own_functions),
	    cmocka_unit_test(library_functions),
	    cmocka_unit_test(damaged_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
