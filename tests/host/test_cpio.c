/* test_cpio.c - the archive reader against archives made here, whole, cut at every byte, and damaged in every
 * header byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fs/cpio.c"

static char archive[4096];
static size_t length;

static void pad(void)
{
	while (length % 4)
		archive[length++] = 0;
}

static void add(const char *name, unsigned mode, const char *data)
{
	size_t n = strlen(data);
	length +=
	    (size_t)sprintf(archive + length, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		1u, mode, 0u, 0u, 1u, 0u, (unsigned)n, 0u, 0u, 0u, 0u, (unsigned)strlen(name) + 1, 0u);
	strcpy(archive + length, name);
	length += strlen(name) + 1;
	pad();
	memcpy(archive + length, data, n);
	length += n;
	pad();
}

static int make(void **state)
{
	(void)state;
	memset(archive, 0, sizeof(archive));
	length = 0;
	add(".", 0040755, "");
	add("./bin/x", 0100755, "hello");
	add("empty", 0100644, "");
	add("TRAILER!!!", 0, "");
	return 0;
}

static void test_whole(void **state)
{
	(void)state;
	struct cpio_entry e;
	uint64_t pos = 0;
	assert_int_equal(cpio_next(archive, length, &pos, &e), 0);
	assert_string_equal(e.name, ".");
	assert_int_equal(cpio_next(archive, length, &pos, &e), 0);
	assert_string_equal(e.name, "./bin/x");
	assert_int_equal(e.size, 5);
	assert_int_equal(e.mode, 0100755);
	assert_memory_equal(e.data, "hello", 5);
	assert_int_equal(cpio_next(archive, length, &pos, &e), 0);
	assert_int_equal(e.size, 0);
	assert_int_equal(cpio_next(archive, length, &pos, &e), -ENOENT);
}

/* Read to the end of a copy of exactly len bytes, so that the sanitizer sees a read beyond. */
static err_t read_all(const char *bytes, size_t len)
{
	char *copy = malloc(len ? len : 1);
	memcpy(copy, bytes, len);
	struct cpio_entry e;
	uint64_t pos = 0, last = 0;
	err_t err;
	while (!(err = cpio_next(copy, len, &pos, &e))) {
		assert_true(pos > last);
		last = pos;
		assert_true((const char *)e.data + e.size <= copy + len);
		assert_true(e.name + strlen(e.name) < copy + len);
	}
	free(copy);
	return err;
}

static void test_cut(void **state)
{
	(void)state;
	assert_int_equal(read_all(archive, length), -ENOENT);
	for (size_t n = 0; n < length - 3; n++) /* the last bytes are padding */
		assert_int_equal(read_all(archive, n), -EINVAL);
}

static void test_damage(void **state)
{
	(void)state;
	static const char junk[] = {0, -1, 'F', 'z', '7', '/', 'G'};
	for (size_t i = 0; i < length; i++)
		for (size_t j = 0; j < sizeof(junk); j++) {
			char saved = archive[i];
			archive[i] = junk[j];
			err_t err = read_all(archive, length);
			assert_true(err == -EINVAL || err == -ENOENT);
			archive[i] = saved;
		}
	memcpy(archive + 6 + 11 * 8, "00000000", 8);
	assert_int_equal(read_all(archive, length), -EINVAL);
	memcpy(archive + 6 + 11 * 8, "FFFFFFFF", 8);
	assert_int_equal(read_all(archive, length), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_whole, make),
	    cmocka_unit_test_setup(test_cut, make),
	    cmocka_unit_test_setup(test_damage, make),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
