#pragma once
/* guard.h - the rules of the native call harden: docs/guard.md. */

enum quire_guard {
	QUIRE_GUARD_STACK = 1,
	QUIRE_GUARD_WX = 2,
	QUIRE_GUARD_TEXT = 4,
	QUIRE_GUARD_CALLS = 8,
	QUIRE_GUARD_ALL = 15,
};
