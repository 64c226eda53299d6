/*
 * kasan.c - the run time of the kernel address sanitizer (VARIANT=kasan): what the compiler's instrumentation
 * calls.
 *
 * The byte at KASAN_OFFSET + address / 8 is the shadow of 8 bytes; its values are in lib/kasan.h and below.
 * The compiler puts a call before each access
 * (__asan_load8_noabort ...), poisons around variables on the stack by itself, writing to the shadow
 * directly, and describes globals to
 * __asan_register_globals. Allocators poison and unpoison by lib/kasan.h; copies are checked in wrappers
 * around memcpy and its like (the linker's --wrap).
 *
 * The port maps the shadow (arch/x86_64/early_kasan.c): first one page of zeros everywhere, so that code may
 * run, then memory of its own for all that can be poisoned. Nothing is checked or poisoned before
 * kasan_start().
 *
 * This file is compiled without instrumentation. What it finds is a panic: the kernel's own memory is wrong,
 * nothing it does later counts.
 */
#include "lib/assert.h"
#include "lib/kasan.h"
#include "lib/string.h"

void *__real_memcpy(void *dst, const void *src, size_t n);
void *__real_memmove(void *dst, const void *src, size_t n);
void *__real_memset(void *dst, int byte, size_t n);
int __real_memcmp(const void *a, const void *b, size_t n);

enum {
	GRANULE = 8,
	STACK_LEFT = 0xf1, /* the compiler's own codes */
	STACK_MID = 0xf2,
	STACK_RIGHT = 0xf3,
	STACK_SCOPE = 0xf8,
	ALLOCA_LEFT = 0xca,
	ALLOCA_RIGHT = 0xcb,
	GLOBAL_REDZONE = 0xf9,
};

/* How both compilers describe a global variable (libsanitizer, asan_interface_internal.h). */
struct asan_global {
	const void *start;
	size_t size, size_with_redzone;
	const char *name, *module;
	size_t has_dynamic_init;
	const void *location, *odr_indicator;
};

typedef void constructor(void);
extern constructor *const init_array_start[], *const init_array_end[];

static bool started;  /* set once, before other CPUs run */
static bool reported; /* a report is being printed: what it does is not checked */

static int8_t *shadow_of(const void *p)
{
	return (int8_t *)(KASAN_OFFSET + ((uintptr_t)p >> 3));
}

/* User addresses have no shadow; nothing but usercopy touches them, and that is assembly. */
static bool has_shadow(const void *p)
{
	return (uintptr_t)p >= KASAN_FIRST;
}

static bool byte_is_accessible(const char *p)
{
	int8_t s = *shadow_of(p);
	return s == 0 || (s > 0 && (int8_t)((uintptr_t)p & (GRANULE - 1)) < s);
}

/* The first byte of [p, p + n) that may not be accessed, or NULL. */
static const char *first_bad_byte(const char *p, size_t n)
{
	const char *end = p + n;
	while (p < end) {
		if (((uintptr_t)p & (GRANULE - 1)) == 0 && end - p >= GRANULE && *shadow_of(p) == 0) {
			p += GRANULE;
			continue;
		}
		if (!byte_is_accessible(p))
			return p;
		p++;
	}
	return NULL;
}

unsigned kasan_shadow_at(const void *p)
{
	return (uint8_t)*shadow_of(p);
}

static const char *describe(uint8_t code)
{
	switch (code) {
	case STACK_LEFT:
	case STACK_MID:
	case STACK_RIGHT:
	case ALLOCA_LEFT:
	case ALLOCA_RIGHT:
		return "beside a variable on the stack";
	case STACK_SCOPE:
		return "a variable on the stack whose scope was left";
	case GLOBAL_REDZONE:
		return "beside a global variable";
	case KASAN_SLAB_REDZONE:
		return "beside an object of a slab cache";
	case KASAN_SLAB_FREE:
		return "a freed object of a slab cache";
	case KASAN_FRAME_FREE:
		return "a freed frame";
	default:
		return code < GRANULE ? "behind the end of an object" : "poisoned memory";
	}
}

static NOINLINE void report(const char *bad, const void *p, size_t n, bool write, void *where)
{
	reported = true;
	uint8_t code = (uint8_t)*shadow_of(bad);
	if (code &&
	    code < GRANULE) /* the first bytes of the granule are fine: the next granule tells what follows */
		code = (uint8_t)*shadow_of(bad + GRANULE) ? (uint8_t)*shadow_of(bad + GRANULE) : code;
	panic("kasan: %s of %zu bytes at %p from %p: byte %p is %s (shadow 0x%02x)", write ? "store" : "load",
	    n, p, where, bad, describe(code), (unsigned)(uint8_t)*shadow_of(bad));
}

static ALWAYS_INLINE void check(const void *p, size_t n, bool write, void *where)
{
	if (!started || reported || n == 0 || !has_shadow(p))
		return;
	const char *bad = first_bad_byte(p, n);
	if (unlikely(bad))
		report(bad, p, n, write, where);
}

/* Poisoning ---------------------------------------------------------------------------------------------- */

void kasan_poison(const void *p, size_t n, enum kasan_code why)
{
	if (started)
		__real_memset(shadow_of(p), why, (n + GRANULE - 1) / GRANULE);
}

void kasan_unpoison(const void *p, size_t n)
{
	if (!started)
		return;
	__real_memset(shadow_of(p), 0, n / GRANULE);
	if (n % GRANULE)
		*shadow_of((const char *)p + n) = (int8_t)(n % GRANULE);
}

void kasan_start(void)
{
	started = true;
	for (constructor *const *c = init_array_start; c < init_array_end; c++)
		(*c)();
}

/* What the compilers call -------------------------------------------------------------------------------- */

#define ACCESS(size)                                                                                         \
	void __asan_load##size##_noabort(const void *p);                                                     \
	void __asan_load##size##_noabort(const void *p)                                                      \
	{                                                                                                    \
		check(p, size, false, __builtin_return_address(0));                                          \
	}                                                                                                    \
	void __asan_store##size##_noabort(const void *p);                                                    \
	void __asan_store##size##_noabort(const void *p)                                                     \
	{                                                                                                    \
		check(p, size, true, __builtin_return_address(0));                                           \
	}
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __asan_loadN_noabort(const void *p, size_t n);
void __asan_loadN_noabort(const void *p, size_t n)
{
	check(p, n, false, __builtin_return_address(0));
}

void __asan_storeN_noabort(const void *p, size_t n);
void __asan_storeN_noabort(const void *p, size_t n)
{
	check(p, n, true, __builtin_return_address(0));
}

void __asan_register_globals(const struct asan_global *globals, size_t n);
void __asan_register_globals(const struct asan_global *globals, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct asan_global *g = &globals[i];
		size_t whole = ALIGN_UP(g->size, (size_t)GRANULE);
		kasan_unpoison(g->start, g->size);
		__real_memset(shadow_of((const char *)g->start + whole), GLOBAL_REDZONE,
		    (g->size_with_redzone - whole) / GRANULE);
	}
}

void __asan_unregister_globals(const struct asan_global *globals, size_t n);
void __asan_unregister_globals(const struct asan_global *globals, size_t n)
{
	(void)globals, (void)n; /* the kernel is never unloaded */
}

/* A stack is unpoisoned as a whole when it is handed out again (kva), so what a function that never returns
 * leaves behind is harmless. */
void __asan_handle_no_return(void);
void __asan_handle_no_return(void)
{
}

void __asan_poison_stack_memory(const void *p, size_t n);
void __asan_poison_stack_memory(const void *p, size_t n)
{
	if (started)
		__real_memset(shadow_of(p), STACK_SCOPE, (n + GRANULE - 1) / GRANULE);
}

void __asan_unpoison_stack_memory(const void *p, size_t n);
void __asan_unpoison_stack_memory(const void *p, size_t n)
{
	kasan_unpoison(p, n);
}

/* clang writes long runs of stack shadow through these. */
#define SET_SHADOW(code)                                                                                     \
	void __asan_set_shadow_##code(uintptr_t shadow, size_t n);                                           \
	void __asan_set_shadow_##code(uintptr_t shadow, size_t n)                                            \
	{                                                                                                    \
		__real_memset((void *)shadow, 0x##code, n);                                                  \
	}
SET_SHADOW(00)
SET_SHADOW(f1)
SET_SHADOW(f2)
SET_SHADOW(f3)
SET_SHADOW(f5)
SET_SHADOW(f8)

/* Copies: the linker's --wrap sends every call here ------------------------------------------------------ */

void *__wrap_memcpy(void *dst, const void *src, size_t n);
void *__wrap_memmove(void *dst, const void *src, size_t n);
void *__wrap_memset(void *dst, int byte, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);

void *__wrap_memcpy(void *dst, const void *src, size_t n)
{
	check(src, n, false, __builtin_return_address(0));
	check(dst, n, true, __builtin_return_address(0));
	return __real_memcpy(dst, src, n);
}

void *__wrap_memmove(void *dst, const void *src, size_t n)
{
	check(src, n, false, __builtin_return_address(0));
	check(dst, n, true, __builtin_return_address(0));
	return __real_memmove(dst, src, n);
}

void *__wrap_memset(void *dst, int byte, size_t n)
{
	check(dst, n, true, __builtin_return_address(0));
	return __real_memset(dst, byte, n);
}

int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	check(a, n, false, __builtin_return_address(0));
	check(b, n, false, __builtin_return_address(0));
	return __real_memcmp(a, b, n);
}
