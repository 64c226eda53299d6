#pragma once
/*
 * system.h - the system object: the right to the log, to devices, and to turn the machine off.
 * docs/objects.md says what it means.
 */
#include <stdint.h>

/* Types of entries of the auxiliary vector: this + the type of an object (enum quire_object_type). The value
 * is a descriptor of one, which the program is given. The first program finds QUIRE_AT_SYSTEM. */
#define QUIRE_AT_OBJECT 0x51750000
#define QUIRE_AT_SYSTEM (QUIRE_AT_OBJECT + 7) /* QUIRE_SYSTEM */

/* [first, first + count) */
struct quire_range {
	uint64_t first, count;
};

/* The devices that a system object is good for. */
struct quire_scope {
	struct quire_range irqs;   /* global system interrupts, as ACPI numbers them */
	struct quire_range ports;  /* I/O ports */
	struct quire_range memory; /* physical addresses */
};

enum quire_irq_flags {
	QUIRE_IRQ_ISA =
	    1, /* the number is an ISA line's: the firmware knows where it leads, and its trigger */
	QUIRE_IRQ_LEVEL = 2, /* level triggered, else edge */
	QUIRE_IRQ_LOW = 4,   /* active low, else high */
};

enum quire_memory_flags {
	QUIRE_MEMORY_UNCACHED = 0,
	QUIRE_MEMORY_COMBINE = 1, /* writes may be combined: frame buffers */
};

enum quire_power { QUIRE_POWER_HALT, QUIRE_POWER_OFF, QUIRE_POWER_RESTART };

/* There is something to be read of the log. */
#define QUIRE_SIGNAL_HAS_LOG (1ULL << 0) /* QUIRE_SIGNAL_READABLE */

/* Something that was logged. */
struct quire_log_record {
	uint64_t seq;  /* its number: the next has the next */
	uint64_t time; /* of CLOCK_MONOTONIC, nanoseconds */
	uint64_t lost; /* how many before it were overwritten before they were read */
	uint32_t cpu;
	uint16_t level; /* 0 ... 7, as syslog(3) has them */
	uint16_t len;   /* of the text */
	char subsystem[16];
	char text[256]; /* terminated */
};
