#pragma once
/*
 * elf.h - what a 64-bit ELF program asks for, taken from its headers. Pure: reads only the bytes it is given,
 * allocates nothing, touches no memory map; runs on the host, where a fuzzer feeds it.
 *
 * Everything that later steps rely on is checked here, before anything is changed: after elf_parse succeeds,
 * no sum of fields overflows, each segment lies inside the file and inside the room of user space, and no two
 * of them share a page.
 *
 * Format: System V ABI, "Object Files" and its AMD64 supplement.
 */
#include "lib/err.h"

enum {
	ELF_HEADER_SIZE = 64,
	ELF_PHDR_SIZE = 56,
	ELF_MAX_PHDRS = 128,
	ELF_MAX_SEGMENTS = 32,
};

enum elf_prot { ELF_READ = 1, ELF_WRITE = 2, ELF_EXEC = 4 }; /* the numbers of enum vm_prot */

struct elf_segment {
	uint64_t
	    vaddr; /* first byte, as linked; not page aligned, but congruent to offset modulo PAGE_SIZE */
	uint64_t memsz;  /* bytes in memory, > 0 */
	uint64_t filesz; /* bytes from the file, <= memsz; the rest is zero */
	uint64_t offset; /* in the file */
	unsigned prot;   /* enum elf_prot */
};

struct elf_image {
	bool relocatable;  /* ET_DYN: may be loaded anywhere (static PIE) */
	bool wants_interp; /* PT_INTERP: a dynamic program */
	bool exec_stack;   /* PT_GNU_STACK asks for an executable stack */
	uint64_t entry;    /* as linked */
	uint64_t phoff;    /* program headers in the file */
	unsigned phnum;
	uint64_t phdr_vaddr; /* where a segment puts them, as linked; 0: nowhere */
	uint64_t low, high;  /* pages that the segments span: [low, high), page aligned */
	uint64_t align;      /* alignment that a relocatable image wants, a power of two >= PAGE_SIZE */
	unsigned nsegments;
	struct elf_segment segments[ELF_MAX_SEGMENTS]; /* ascending, no shared page */
};

/* Check the ELF header (ELF_HEADER_SIZE bytes at `header`) of a file of file_size bytes, and tell where the
 * program headers are. 0 or -ENOEXEC. */
MUST_CHECK err_t elf_check_header(const void *header, uint64_t file_size, uint64_t *phoff, unsigned *phnum);
/* Read the program headers (phnum * ELF_PHDR_SIZE bytes at `phdrs`) of the file that has this checked header.
 * Segments must fit in [low_limit, high_limit), where a relocatable image may be moved to. 0 or -ENOEXEC. */
MUST_CHECK err_t elf_parse(const void *header, const void *phdrs, uint64_t file_size, uint64_t low_limit,
    uint64_t high_limit, struct elf_image *out);
