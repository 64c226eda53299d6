#pragma once
/*
 * elf.h - what a 64-bit ELF program asks for, taken from its headers. Pure: reads only the bytes it is given,
 * allocates nothing, touches no memory map; runs on the host, where a fuzzer feeds it.
 *
 * Everything that later steps rely on is checked here, before anything is changed: after elf_parse succeeds,
 * no sum of fields overflows, and each segment lies inside the file and inside the room of user space.
 * Segments come in any order and may overlap, as on Linux: where they do, the later one counts.
 *
 * Format: System V ABI, "Object Files" and its AMD64 supplement.
 */
#include "lib/err.h"

enum {
	ELF_HEADER_SIZE = 64,
	ELF_PHDR_SIZE = 56,
	ELF_MAX_PHDRS = PAGE_SIZE / ELF_PHDR_SIZE, /* one page of them, as on Linux */
	ELF_MAX_INTERP = 4096,                     /* bytes of the interpreter's path, with the terminator */
	ELF_MAX_SEGMENTS = ELF_MAX_PHDRS,
	ELF_MAX_NOTES = 4,       /* segments of notes that are looked at */
	ELF_MAX_NOTE_SIZE = 512, /* bytes of one of them */
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
	bool relocatable; /* ET_DYN: may be loaded anywhere (static PIE) */
	bool exec_stack;  /* PT_GNU_STACK asks for an executable stack */
	uint64_t entry;   /* as linked; inside [low, high) unless there is an interpreter */
	uint64_t interp_offset,
	    interp_size; /* PT_INTERP: where the file has the path of the interpreter; size 0: none */
	uint64_t code_start, code_end, data_start,
	    data_end;   /* what /proc tells: executable segments, and the last of the others */
	uint64_t phoff; /* program headers in the file */
	unsigned phnum;
	uint64_t phdr_vaddr; /* where a segment puts them, as linked; 0: nowhere */
	uint64_t low, high;  /* pages that the segments span: [low, high), page aligned */
	uint64_t align;      /* alignment that a relocatable image wants, a power of two >= PAGE_SIZE */
	struct elf_note_segment {
		uint64_t offset; /* in the file, as it says: not checked */
		uint64_t size;   /* 1 to ELF_MAX_NOTE_SIZE */
	} notes[ELF_MAX_NOTES];
	unsigned nnotes;
	unsigned nsegments;
	struct elf_segment segments[ELF_MAX_SEGMENTS]; /* in the file's order */
};

/* Check the ELF header (ELF_HEADER_SIZE bytes at `header`) of a file of file_size bytes, and tell where the
 * program headers are. 0 or -ENOEXEC. */
MUST_CHECK err_t elf_check_header(const void *header, uint64_t file_size, uint64_t *phoff, unsigned *phnum);
/* Read the program headers (phnum * ELF_PHDR_SIZE bytes at `phdrs`) of the file that has this checked header.
 * Segments must fit in [low_limit, high_limit), where a relocatable image may be moved to. 0 or -ENOEXEC. */
MUST_CHECK err_t elf_parse(const void *header, const void *phdrs, uint64_t file_size, uint64_t low_limit,
    uint64_t high_limit, struct elf_image *out);
/* The rules that a program says it wants to be under: the word of a note of owner "Quire", type 1, in `size`
 * bytes of notes. 0: it says nothing. See abi/quire/guard.h. */
uint32_t elf_find_guards(const void *notes, size_t size);
/* Does the image begin to run inside itself? Programs without an interpreter, and interpreters, must. */
static inline bool elf_entry_is_inside(const struct elf_image *im)
{
	return im->entry >= im->low && im->entry < im->high;
}
