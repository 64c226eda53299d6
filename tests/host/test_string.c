/*
 * test_string.c - the kernel's string.c, compiled here a second time under other names, against the host's C
 * library; and str.c.
 *
 * Memory functions are tried at every alignment and length around the word size, between guard bytes; buffers
 * end where malloc's do, so that AddressSanitizer sees loops that run over. (Its view ends at inline
 * assembly: the guard bytes do not.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define memcpy     k_memcpy
#define memmove    k_memmove
#define memset     k_memset
#define memcmp     k_memcmp
#define memchr     k_memchr
#define strlen     k_strlen
#define strnlen    k_strnlen
#define strcmp     k_strcmp
#define strncmp    k_strncmp
#define strchr     k_strchr
#define strrchr    k_strrchr
#define strstr     k_strstr
#define str_copy   k_str_copy
#define str_to_u64 k_str_to_u64
#include "../../kernel/lib/string.c"
#include "../../kernel/lib/str.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strrchr
#undef strstr
#undef str_copy
#undef str_to_u64

enum { ROOM = 160 };

static void fill(unsigned char *p, size_t n, unsigned salt)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(i * 37 + salt * 11 + 5);
}

static void copies(void **state)
{
	unsigned char src[ROOM], dst[ROOM], want[ROOM];

	(void)state;
	for (size_t from = 0; from < 9; from++)
		for (size_t to = 0; to < 9; to++)
			for (size_t n = 0; n < 100; n++) {
				fill(src, ROOM, (unsigned)n);
				memset(dst, 0xee, ROOM);
				memset(want, 0xee, ROOM);
				memcpy(want + 16 + to, src + from, n);
				assert_ptr_equal(k_memcpy(dst + 16 + to, src + from, n), dst + 16 + to);
				assert_memory_equal(dst, want, ROOM);
			}
}

static void overlapping_moves(void **state)
{
	unsigned char got[ROOM], want[ROOM];

	(void)state;
	for (size_t from = 20; from < 60; from++)
		for (size_t to = 20; to < 60; to++)
			for (size_t n = 0; n < 90; n += n < 20 ? 1 : 7) {
				fill(got, ROOM, (unsigned)n);
				fill(want, ROOM, (unsigned)n);
				memmove(want + to, want + from, n);
				assert_ptr_equal(k_memmove(got + to, got + from, n), got + to);
				assert_memory_equal(got, want, ROOM);
			}
}

static void sets(void **state)
{
	unsigned char got[ROOM], want[ROOM];

	(void)state;
	for (size_t at = 8; at < 17; at++)
		for (size_t n = 0; n < 120; n++) {
			fill(got, ROOM, 1);
			fill(want, ROOM, 1);
			memset(want + at, 0x5a, n);
			assert_ptr_equal(k_memset(got + at, 0x1235a, n), got + at);
			assert_memory_equal(got, want, ROOM);
		}
}

static void large_copy(void **state)
{
	size_t n = (1 << 20) + 3;
	unsigned char *a = malloc(n), *b = malloc(n);

	(void)state;
	fill(a, n, 3);
	k_memcpy(b, a, n);
	assert_memory_equal(a, b, n);
	k_memmove(b + 1, b, n - 1);
	assert_memory_equal(a, b + 1, n - 1);
	k_memmove(b, b + 1, n - 1);
	assert_memory_equal(a, b, n - 1);
	k_memset(b, 0, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(b[i], 0);
	free(a);
	free(b);
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void compares(void **state)
{
	(void)state;
	for (size_t n = 0; n < 40; n++)
		for (size_t diff = 0; diff <= n; diff++) {
			unsigned char *a = malloc(n + 1), *b = malloc(n + 1);
			fill(a, n, 0);
			fill(b, n, 0);
			if (diff < n)
				b[diff] ^= 0x80;
			assert_int_equal(sign(k_memcmp(a, b, n)), sign(memcmp(a, b, n)));
			assert_int_equal(sign(k_memcmp(b, a, n)), sign(memcmp(b, a, n)));
			free(a);
			free(b);
		}
}

static void scans(void **state)
{
	char *exact = strdup("abcabc");

	(void)state;
	for (int c = -1; c < 256; c++) {
		assert_ptr_equal(k_strchr(exact, c), strchr(exact, c));
		assert_ptr_equal(k_strrchr(exact, c), strrchr(exact, c));
		assert_ptr_equal(k_memchr(exact, c, 6), memchr(exact, c, 6));
	}
	assert_null(k_memchr(exact, 'c', 2));
	assert_int_equal(k_strlen(exact), 6);
	assert_int_equal(k_strlen(""), 0);
	assert_int_equal(k_strnlen(exact, 3), 3);
	assert_int_equal(k_strnlen(exact, 100), 6);
	assert_ptr_equal(k_strstr(exact, "ca"), exact + 2);
	assert_ptr_equal(k_strstr(exact, "cabc"), exact + 2);
	assert_ptr_equal(k_strstr(exact, ""), exact);
	assert_null(k_strstr(exact, "abcabcd"));
	assert_ptr_equal(k_strstr(exact + 6, ""), exact + 6);
	assert_null(k_strstr("", "a"));
	free(exact);
}

static void string_compares(void **state)
{
	static const char *const words[] = {"", "a", "ab", "abc", "abd", "\xff", "a\x80", "b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (size_t j = 0; j < ARRAY_SIZE(words); j++) {
			assert_int_equal(
			    sign(k_strcmp(words[i], words[j])), sign(strcmp(words[i], words[j])));
			for (size_t n = 0; n < 5; n++)
				assert_int_equal(sign(k_strncmp(words[i], words[j], n)),
				    sign(strncmp(words[i], words[j], n)));
		}
}

static void bounded_copy(void **state)
{
	char buf[5];

	(void)state;
	assert_true(k_str_copy(buf, "four", sizeof(buf)));
	assert_string_equal(buf, "four");
	assert_false(k_str_copy(buf, "fives", sizeof(buf)));
	assert_string_equal(buf, "five");
	assert_false(k_str_copy(buf, "x", 1));
	assert_string_equal(buf, "");
	assert_true(k_str_copy(buf, "", 1));
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {{"0", 0}, {"7", 7}, {"1234567890", 1234567890}, {"0x1f", 31}, {"0XAb", 0xab}, {"017", 15},
	    {"4K", 4096}, {"3m", 3 << 20}, {"2G", 2ULL << 30}, {"0x10k", 16384},
	    {"18446744073709551615", UINT64_MAX}, {"00", 0}, {"0K", 0},
	    {"17179869183G", 17179869183ULL << 30}};
	static const char *const bad[] = {"", "x", "0x", "12a", "1KK", "K", " 1", "1 ", "-1",
	    "18446744073709551616", "17179869184G", "1T", "089", "0xK"};
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(k_str_to_u64(good[i].text, &v));
		assert_int_equal(v, good[i].value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		v = 42;
		if (k_str_to_u64(bad[i], &v))
			fail_msg("accepted \"%s\"", bad[i]);
		assert_int_equal(v, 42);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(copies),
	    cmocka_unit_test(overlapping_moves),
	    cmocka_unit_test(sets),
	    cmocka_unit_test(large_copy),
	    cmocka_unit_test(compares),
	    cmocka_unit_test(scans),
	    cmocka_unit_test(string_compares),
	    cmocka_unit_test(bounded_copy),
	    cmocka_unit_test(numbers),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
