#pragma once
/*
 * kasan.h - what allocators and the port tell the address sanitizer (debug/kasan.c). Empty in every variant
 * but kasan.
 *
 * One shadow byte describes 8 bytes: 0 all may be accessed, 1 ... 7 only that many, negative none (the value
 * says why). Allocators poison what nobody may touch and unpoison what they hand out; stacks and globals are
 * the compiler's business. Before the shadow is there these calls do nothing.
 */
#include "lib/types.h"

#define KASAN_OFFSET       0xdffffc0000000000ULL /* the compiler's -fasan-shadow-offset */
#define KASAN_FIRST        0xffff800000000000ULL /* the kernel half has a shadow */
#define KASAN_SHADOW_START 0xffffec0000000000ULL /* KASAN_OFFSET + KASAN_FIRST / 8 */
#define KASAN_SHADOW_END   0xfffffc0000000000ULL

enum kasan_code {
	KASAN_SLAB_REDZONE = 0xfa, /* beside an object */
	KASAN_SLAB_FREE = 0xfb,    /* an object that was freed, or not handed out yet */
	KASAN_FRAME_FREE = 0xff,   /* a frame that was freed */
};

#ifdef CONFIG_KASAN
/* [p, p + n) must not be accessed. p is 8-byte aligned; n is rounded up to 8. */
void kasan_poison(const void *p, size_t n, enum kasan_code why);
/* [p, p + n) may be accessed. p is 8-byte aligned. */
void kasan_unpoison(const void *p, size_t n);
/* What the shadow says about the byte at p: 0 ... 7, an enum kasan_code, or a code of the compiler's. */
unsigned kasan_shadow_at(const void *p);

/* The port: give the whole shadow one page of zeros, so that instrumented code may run. First thing in C. */
void kasan_early_init(void);
/* The port: give everything that can be poisoned a shadow of its own in the table `root`, the rest the page
 * of zeros. */
void kasan_map_shadow(paddr_t root);
/* Describe the globals, and check from now on. Once, on the boot CPU, on the tables that kasan_map_shadow
 * completed. */
void kasan_start(void);
#else
static inline void kasan_poison(const void *p, size_t n, enum kasan_code why)
{
	(void)p, (void)n, (void)why;
}
static inline void kasan_unpoison(const void *p, size_t n)
{
	(void)p, (void)n;
}
static inline void kasan_early_init(void)
{
}
static inline void kasan_map_shadow(paddr_t root)
{
	(void)root;
}
static inline void kasan_start(void)
{
}
#endif
