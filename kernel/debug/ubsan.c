/*
 * ubsan.c - the run time of the undefined-behaviour sanitizer (VARIANT=ubsan): what the compiler's checks
 * call when they fail.
 *
 * Each handler gets a record that begins with the place in the source, and the values concerned. All of them
 * panic: undefined behaviour in the kernel is a bug, whatever it happened to do. The records are laid out as
 * in libsanitizer's ubsan_handlers.h. Compiled without instrumentation. Alignment is not checked: tables of
 * firmware are packed, and x86 does not mind.
 */
#include "lib/assert.h"
#include "lib/types.h"

struct place {
	const char *file;
	uint32_t line, column;
};

struct type {
	uint16_t kind; /* 0 integer, 1 floating point, 0xffff other */
	uint16_t info; /* integers: bit 0 signed, the rest log2 of the width in bits */
	char name[];   /* in quotes */
};

struct overflow_data {
	struct place place;
	const struct type *type;
};
struct shift_data {
	struct place place;
	const struct type *left, *right;
};
struct bounds_data {
	struct place place;
	const struct type *array, *index;
};
struct mismatch_data {
	struct place place;
	const struct type *type;
	uint8_t log_alignment, kind;
};
struct nonnull_data {
	struct place place, attribute;
	int argument;
};

/* An integer as the compiler passes it: in the word itself, or (wider than 64 bits) behind a pointer, of
 * which the low half is shown. */
static long long value_of(const struct type *t, uintptr_t word)
{
	unsigned bits = 1u << (t->info >> 1);
	if (t->kind != 0)
		return 0;
	if (bits > 64)
		return *(const long long *)word;
	return t->info & 1 ? (long long)(word << (64 - bits)) >> (64 - bits) : (long long)word;
}

#define REPORT(place, fmt, ...)                                                                              \
	panic("ubsan: %s:%u:%u: " fmt, (place)->file, (place)->line, (place)->column, ##__VA_ARGS__)

/* Each handler has two names: with _abort where the compiler was told not to go on. */
#define HANDLER(handler, args, ...)                                                                          \
	void __ubsan_handle_##handler args;                                                                  \
	void __ubsan_handle_##handler##_abort args;                                                          \
	void __ubsan_handle_##handler args                                                                   \
	{                                                                                                    \
		__VA_ARGS__;                                                                                 \
	}                                                                                                    \
	void __ubsan_handle_##handler##_abort args                                                           \
	{                                                                                                    \
		__VA_ARGS__;                                                                                 \
	}

#define ARITHMETIC(handler, sign)                                                                            \
	HANDLER(handler, (const struct overflow_data *d, uintptr_t a, uintptr_t b),                          \
	    REPORT(&d->place, "overflow: %lld " sign " %lld in %s", value_of(d->type, a),                    \
		value_of(d->type, b), d->type->name))

ARITHMETIC(add_overflow, "+")
ARITHMETIC(sub_overflow, "-")
ARITHMETIC(mul_overflow, "*")
ARITHMETIC(divrem_overflow, "/")

HANDLER(negate_overflow, (const struct overflow_data *d, uintptr_t a),
    REPORT(&d->place, "overflow: -(%lld) in %s", value_of(d->type, a), d->type->name))
HANDLER(shift_out_of_bounds, (const struct shift_data *d, uintptr_t a, uintptr_t b),
    REPORT(
	&d->place, "shift of %lld (%s) by %lld", value_of(d->left, a), d->left->name, value_of(d->right, b)))
HANDLER(out_of_bounds, (const struct bounds_data *d, uintptr_t index),
    REPORT(&d->place, "index %lld is outside of %s", value_of(d->index, index), d->array->name))
HANDLER(type_mismatch_v1, (const struct mismatch_data *d, uintptr_t p),
    REPORT(&d->place, "access (kind %u) at %p as %s", d->kind, (void *)p, d->type->name))
HANDLER(pointer_overflow, (const struct overflow_data *d, uintptr_t base, uintptr_t result),
    REPORT(&d->place, "pointer %p became %p", (void *)base, (void *)result))
HANDLER(load_invalid_value, (const struct overflow_data *d, uintptr_t a),
    REPORT(&d->place, "%lld is no value of %s", value_of(d->type, a), d->type->name))
HANDLER(vla_bound_not_positive, (const struct overflow_data *d, uintptr_t a),
    REPORT(&d->place, "array bound %lld", value_of(d->type, a)))
HANDLER(nonnull_arg, (const struct nonnull_data *d), REPORT(&d->place, "argument %d is NULL", d->argument))
HANDLER(nonnull_return_v1, (const struct nonnull_data *d, const struct place *where), (void)d;
	REPORT(where, "NULL is returned"))
HANDLER(invalid_builtin, (const struct mismatch_data *d), REPORT(&d->place, "__builtin_ctz or clz of 0"))

/* These have no way on in any case. */
NORETURN void __ubsan_handle_builtin_unreachable(const struct place *where);
NORETURN void __ubsan_handle_builtin_unreachable(const struct place *where)
{
	REPORT(where, "unreachable code was reached");
}

NORETURN void __ubsan_handle_missing_return(const struct place *where);
NORETURN void __ubsan_handle_missing_return(const struct place *where)
{
	REPORT(where, "the end of a function that returns a value");
}
