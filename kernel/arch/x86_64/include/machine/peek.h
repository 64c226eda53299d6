#pragma once
/* peek.h - looking at memory that may not be there. */
#include "lib/types.h"

/* Read the word at kernel address va; false if nothing is mapped there. Any context. */
bool kernel_peek(vaddr_t va, uint64_t *out);
