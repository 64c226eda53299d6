/*
 * symbols.c - binary search in the symbol table. Format: tools/ksyms.py.
 */
#include "debug/symbols.h"

struct ksym {
	uint32_t address; /* low half; the high half is all ones */
	uint32_t name;    /* offset into ksyms_names */
};

extern const uint32_t ksyms_count;
extern const struct ksym ksyms[];
extern const char ksyms_names[];
extern const char text_start[], text_end[]; /* kernel.ld */

const char *symbol_find(vaddr_t pc, uint64_t *offset)
{
	uint64_t size;
	return symbol_find_sized(pc, offset, &size);
}

const char *symbol_find_sized(vaddr_t pc, uint64_t *offset, uint64_t *size)
{
	if (pc < (vaddr_t)text_start || pc >= (vaddr_t)text_end || ksyms_count == 0)
		return NULL;
	uint32_t low = 0, high = ksyms_count;
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;
		if (ksyms[mid].address <= (uint32_t)pc)
			low = mid;
		else
			high = mid;
	}
	if (ksyms[low].address > (uint32_t)pc)
		return NULL;
	*offset = (uint32_t)pc - ksyms[low].address;
	*size = (high < ksyms_count ? ksyms[high].address : (uint32_t)(vaddr_t)text_end) - ksyms[low].address;
	return ksyms_names + ksyms[low].name;
}
