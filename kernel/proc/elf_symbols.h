#pragma once
/*
 * elf_symbols.h - names of functions in an ELF file. Reads the file by a function of the caller and believes
 * nothing in it: a file that is no ELF file, or a broken one, has no names.
 *
 * Format: System V ABI, "Object Files".
 */
#include "lib/err.h"

enum { ELF_SYMBOL_NAME = 64 }; /* longer names are cut */

struct elf_source {
	/* Read len bytes at pos, all or an error. */
	err_t (*read)(void *ctx, void *buf, size_t len, uint64_t pos);
	void *ctx;
};

/* The function that contains the byte at `where` of the file: its name, and how far in that is. False: none
 * is known. */
bool elf_symbol_find(
    const struct elf_source *s, uint64_t where, char name[ELF_SYMBOL_NAME], uint64_t *offset);
