#pragma once
/* symbols.h - names of kernel functions, from the table that the second link puts behind the code
 * (tools/ksyms.py). */
#include "lib/types.h"

/* The function that pc lies in, and how far in; NULL if it lies in no code of the kernel. Any context. */
const char *symbol_find(vaddr_t pc, uint64_t *offset);
/* The same, and the bytes from the function to the next one. */
const char *symbol_find_sized(vaddr_t pc, uint64_t *offset, uint64_t *size);
