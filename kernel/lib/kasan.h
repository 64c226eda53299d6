#pragma once
/*
 * kasan.h - what allocators tell the address sanitizer. Empty in every variant but kasan.
 *
 * One shadow byte describes 8 bytes: 0 all may be accessed, 1 ... 7 only that many, negative none (the value
 * says why). Allocators poison what nobody may touch and unpoison what they hand out; stacks and globals are
 * the compiler's business. Works before the shadow is there: such calls do nothing.
 */
#include "lib/types.h"

enum kasan_code {
	KASAN_SLAB_REDZONE = 0xfa, /* beside an object */
	KASAN_SLAB_FREE = 0xfb,    /* an object that was freed, or not handed out yet */
	KASAN_FRAME_FREE = 0xff,   /* a frame that was freed */
	KASAN_VA_FREE = 0xfe,      /* kernel VA that belongs to no area */
};

#ifdef CONFIG_KASAN
/* [p, p + n) must not be accessed. p is 8-byte aligned; n is rounded up to 8. */
void kasan_poison(const void *p, size_t n, enum kasan_code why);
/* [p, p + n) may be accessed. p is 8-byte aligned. */
void kasan_unpoison(const void *p, size_t n);
/* Does every byte of [p, p + n) allow access? For tests. */
bool kasan_is_accessible(const void *p, size_t n);
#else
static inline void kasan_poison(const void *p, size_t n, enum kasan_code why)
{
	(void)p, (void)n, (void)why;
}
static inline void kasan_unpoison(const void *p, size_t n)
{
	(void)p, (void)n;
}
#endif
