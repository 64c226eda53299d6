#pragma once
/* guard.h - the rules of the native call harden, and how a program says that it is under some by itself:
 * docs/guard.md. */

enum quire_guard {
	QUIRE_GUARD_STACK = 1,
	QUIRE_GUARD_WX = 2,
	QUIRE_GUARD_TEXT = 4,
	QUIRE_GUARD_CALLS = 8,
	QUIRE_GUARD_ALL = 15,
};

/* In one source of a program: it runs under these rules (a number), whoever starts it. A note of owner
 * "Quire", type 1, whose contents are the number. */
#define QUIRE_GUARDED(guards)                                                                                \
	__asm__(".pushsection .note.quire, \"a\", @note\n\t"                                                 \
		".balign 4\n\t"                                                                              \
		".long 6, 4, 1\n\t"                                                                          \
		".asciz \"Quire\"\n\t"                                                                       \
		".balign 4\n\t"                                                                              \
		".long " #guards "\n\t"                                                                      \
		".popsection")
