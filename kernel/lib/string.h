#pragma once
/* string.h - the memory and string functions that the compiler and the kernel use, with C's contracts. */
#include "lib/types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int byte, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *s, const char *needle);

/* Copy at most size - 1 bytes and always terminate (size > 0). True if all of src fitted. */
bool str_copy(char *dst, const char *src, size_t size);
/* Parse an unsigned number that is the whole of s: decimal, 0x hexadecimal or 0 octal, one suffix K, M or G
 * (powers of 1024) allowed. False, and *out unchanged, on garbage or overflow. */
bool str_to_u64(const char *s, uint64_t *out);
