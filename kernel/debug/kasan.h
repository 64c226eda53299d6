#pragma once
/* kasan.h - where the address sanitizer's shadow lies, for the port that maps it. See kasan.c. */
#include "lib/types.h"

#define KASAN_OFFSET        0xdffffc0000000000ULL /* the compiler's -fasan-shadow-offset */
#define KASAN_FIRST_ADDRESS 0xffff800000000000ULL /* of what has a shadow: the kernel half */
#define KASAN_SHADOW_START  0xffffec0000000000ULL /* KASAN_OFFSET + KASAN_FIRST_ADDRESS / 8 */
#define KASAN_SHADOW_END    0xfffffc0000000000ULL

/* Run the constructors that describe the globals, and check from now on. The shadow of everything that can be poisoned is mapped and zero. Once, on the boot CPU. */
void kasan_start(void);
