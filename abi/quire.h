#pragma once
/*
 * quire.h - what Quire adds to Linux's calls, for programs. docs/vm.md says what it does.
 *
 * The numbers are ones that Linux does not use: its madvise and fcntl refuse them with EINVAL, its
 * memfd_create does so with the flag, its mmap does not look at the flag. So a program asks once and does
 * without where it is refused.
 */

/* mmap, with MAP_PRIVATE | MAP_ANONYMOUS: memory that may be made volatile, in a mapping of its own. */
#define MAP_PURGEABLE 0x2000000
/* memfd_create: a file that may be made volatile. */
#define MFD_PURGEABLE 0x2000000u

/* madvise, on exactly one purgeable mapping: the kernel may take its pages at any time; it may not any more
 * (1: it has, the memory reads as zeros; 0: all is there). */
#define MADV_SET_VOLATILE    0x5100
#define MADV_SET_NONVOLATILE 0x5101

/* fcntl, on a file in memory: a new descriptor of a new memory file that is a copy of this one as it is now.
 * The argument is 0 or O_CLOEXEC. */
#define F_SNAPSHOT 0x5110
/* fcntl, on a purgeable file: as madvise's, for this open file. */
#define F_SET_VOLATILE    0x5111
#define F_SET_NONVOLATILE 0x5112
