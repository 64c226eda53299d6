#pragma once
/*
 * elf_format.h - the structures of a 64-bit ELF file, and those of its numbers that the kernel reads or
 * writes: elf.c (programs), elf_symbols.c (names for backtraces), core_file.c (core files).
 *
 * Format: System V ABI, "Object Files" and its AMD64 supplement; elf(5).
 */
#include "lib/types.h"

enum {
	ELF_TYPE_EXEC = 2,
	ELF_TYPE_DYN = 3,
	ELF_TYPE_CORE = 4,
	ELF_MACHINE_X86_64 = 62,
	ELF_VERSION = 1,
	ELF_SEG_LOAD = 1,
	ELF_SEG_INTERP = 3,
	ELF_SEG_NOTE = 4,
	ELF_SEG_GNU_STACK = 0x6474e551,
	ELF_SEG_X = 1,
	ELF_SEG_W = 2,
	ELF_SEG_R = 4,
	ELF_SECTION_SYMTAB = 2,
	ELF_SECTION_DYNSYM = 11,
	ELF_SYMBOL_FUNC = 2,
	ELF_SYMBOL_IFUNC = 10,
	ELF_SYMBOL_TYPE = 15, /* of symbol.info */
	ELF_CLASS_64 = 2,
};

struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
/* Behind it the owner's name and the contents, each padded to four bytes. */
struct elf_note {
	uint32_t namesz, descsz, type;
};
struct elf_shdr {
	uint32_t name, type;
	uint64_t flags, addr, offset, size;
	uint32_t link, info;
	uint64_t align, entsize;
};
struct elf_symbol {
	uint32_t name;
	uint8_t info, other;
	uint16_t section;
	uint64_t value, size;
};
_Static_assert(sizeof(struct elf_header) == 64 && sizeof(struct elf_phdr) == 56, "ELF");
_Static_assert(sizeof(struct elf_shdr) == 64 && sizeof(struct elf_symbol) == 24, "ELF");
