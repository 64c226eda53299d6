/*
 * string.c - C's memory and string functions for the kernel. The host port uses its own C library's instead.
 *
 * Bulk work is `rep movsq` and `rep stosq`: real processors run them at full width, and an emulator counts
 * one instruction for every 8 bytes. The rest of fewer than 8 bytes is one more 8-byte access that overlaps
 * the bulk, not a loop. The direction flag is clear everywhere in the kernel, and memmove does not set it: an
 * NMI would have to know.
 */
#include "lib/string.h"

#if defined(__GNUC__) && !defined(__clang__)
/* Otherwise the compiler recognises the loops below and replaces them by calls to the functions they are in.
 */
#pragma GCC optimize("no-tree-loop-distribute-patterns")
#endif

/* Words at any address, aliasing anything. */
struct word64 {
	uint64_t v;
} __attribute__((packed, may_alias));
struct word32 {
	uint32_t v;
} __attribute__((packed, may_alias));
struct word16 {
	uint16_t v;
} __attribute__((packed, may_alias));

#define W64(p) (((struct word64 *)(p))->v)
#define W32(p) (((struct word32 *)(p))->v)
#define W16(p) (((struct word16 *)(p))->v)
#define R64(p) (((const struct word64 *)(p))->v)
#define R32(p) (((const struct word32 *)(p))->v)
#define R16(p) (((const struct word16 *)(p))->v)

/* n < 8. All loads come before all stores, so that source and destination may overlap. */
static ALWAYS_INLINE void copy_small(unsigned char *d, const unsigned char *s, size_t n)
{
	if (n >= 4) {
		uint32_t first = R32(s), last = R32(s + n - 4);
		W32(d) = first;
		W32(d + n - 4) = last;
	} else if (n >= 2) {
		uint16_t first = R16(s), last = R16(s + n - 2);
		W16(d) = first;
		W16(d + n - 2) = last;
	} else if (n) {
		*d = *s;
	}
}

/* Ascending copy, n >= 8, dst below src or apart from it. The last word is read first: an overlapping copy
 * may overwrite it. */
static ALWAYS_INLINE void copy_ascending(unsigned char *d, const unsigned char *s, size_t n)
{
	uint64_t last = R64(s + n - 8);
	unsigned char *end = d + n - 8;
	size_t words = n / 8;

	__asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words) : : "memory");
	W64(end) = last;
}

/* Descending copy, n >= 8, dst above src. */
static void copy_descending(unsigned char *d, const unsigned char *s, size_t n)
{
	uint64_t first = R64(s);
	size_t i = n;

	for (; i >= 8; i -= 8)
		W64(d + i - 8) = R64(s + i - 8);
	W64(d) = first;
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	if (n >= 8)
		copy_ascending(dst, src, n);
	else
		copy_small(dst, src, n);
	return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
	if (n < 8)
		copy_small(dst, src, n);
	else if ((uintptr_t)dst - (uintptr_t)src >= n) /* dst below src, or beyond its end */
		copy_ascending(dst, src, n);
	else
		copy_descending(dst, src, n);
	return dst;
}

void *memset(void *dst, int byte, size_t n)
{
	unsigned char *d = dst;
	uint64_t pattern = 0x0101010101010101ULL * (unsigned char)byte;

	if (n >= 8) {
		unsigned char *end = d + n - 8;
		size_t words = n / 8;
		__asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
		W64(end) = pattern;
	} else if (n >= 4) {
		W32(d) = (uint32_t)pattern;
		W32(d + n - 4) = (uint32_t)pattern;
	} else if (n >= 2) {
		W16(d) = (uint16_t)pattern;
		W16(d + n - 2) = (uint16_t)pattern;
	} else if (n) {
		*d = (unsigned char)byte;
	}
	return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *p = a, *q = b;

	for (; n >= 8 && R64(p) == R64(q); n -= 8) {
		p += 8;
		q += 8;
	}
	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p < *q ? -1 : 1;
	return 0;
}

void *memchr(const void *s, int byte, size_t n)
{
	for (const unsigned char *p = s; n; n--, p++)
		if (*p == (unsigned char)byte)
			return (void *)p;
	return NULL;
}

size_t strlen(const char *s)
{
	const char *p = s;
	while (*p)
		p++;
	return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max)
{
	size_t n = 0;
	while (n < max && s[n])
		n++;
	return n;
}

int strcmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++)
		b++;
	return (unsigned char)*a - (unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n && *a && *a == *b; a++, n--)
		b++;
	return n ? (unsigned char)*a - (unsigned char)*b : 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)s;
		if (!*s)
			return NULL;
	}
}

char *strrchr(const char *s, int c)
{
	const char *found = NULL;
	do {
		if (*s == (char)c)
			found = s;
	} while (*s++);
	return (char *)found;
}

char *strstr(const char *s, const char *needle)
{
	size_t n = strlen(needle);
	for (; *s || !n; s++)
		if (!n || !strncmp(s, needle, n))
			return (char *)s;
	return NULL;
}
