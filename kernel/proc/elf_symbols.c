/* elf_symbols.c - see elf_symbols.h. The symbol table is searched from end to end: it is not sorted, and
 * nobody is in a hurry who asks. */
#include "proc/elf_symbols.h"
#include "lib/string.h"
#include "proc/elf_format.h"

enum {
	SEGMENTS_MAX = 256,
	SECTIONS_MAX = 4096,
	SYMBOLS_MAX = 1 << 20,
	SYMBOLS_AT_ONCE = 32,
};

static bool read_at(const struct elf_source *s, void *buf, size_t len, uint64_t pos)
{
	return s->read(s->ctx, buf, len, pos) == 0;
}

static bool read_header(const struct elf_source *s, struct elf_header *h)
{
	return read_at(s, h, sizeof(*h), 0) && !memcmp(h->ident, "\177ELF", 4) &&
	       h->ident[4] == ELF_CLASS_64 && h->phentsize == sizeof(struct elf_phdr) &&
	       h->shentsize == sizeof(struct elf_shdr);
}

/* The address, as linked, of the byte at `where` of the file. */
static bool find_address(
    const struct elf_source *s, const struct elf_header *h, uint64_t where, uint64_t *address)
{
	struct elf_phdr p;
	for (unsigned i = 0; i < MIN(h->phnum, SEGMENTS_MAX); i++) {
		if (!read_at(s, &p, sizeof(p), h->phoff + i * sizeof(p)))
			return false;
		if (p.type == ELF_SEG_LOAD && where >= p.offset && where - p.offset < p.filesz) {
			*address = where - p.offset + p.vaddr;
			return true;
		}
	}
	return false;
}

/* The table of all symbols, or, in a file without, that of those that the dynamic linker needs; and its
 * strings. */
static bool find_table(const struct elf_source *s, const struct elf_header *h, struct elf_shdr *symbols,
    struct elf_shdr *strings)
{
	struct elf_shdr one;
	bool found = false;
	unsigned count = MIN(h->shnum, SECTIONS_MAX);
	for (unsigned i = 0; i < count; i++) {
		if (!read_at(s, &one, sizeof(one), h->shoff + i * sizeof(one)))
			return false;
		if (one.type != ELF_SECTION_SYMTAB && (one.type != ELF_SECTION_DYNSYM || found))
			continue;
		*symbols = one;
		found = true;
		if (one.type == ELF_SECTION_SYMTAB)
			break;
	}
	return found && symbols->link < count && symbols->entsize == sizeof(struct elf_symbol) &&
	       read_at(s, strings, sizeof(*strings), h->shoff + symbols->link * sizeof(*strings));
}

/* Does sym, a function, contain address, and begin behind what was found before? One without a size goes on
 * to the next. */
static bool is_better(const struct elf_symbol *sym, uint64_t address, const struct elf_symbol *best)
{
	unsigned type = sym->info & ELF_SYMBOL_TYPE;
	if ((type != ELF_SYMBOL_FUNC && type != ELF_SYMBOL_IFUNC) || !sym->section || sym->value > address)
		return false;
	if (sym->size && address - sym->value >= sym->size)
		return false;
	return !best->name || sym->value > best->value;
}

static bool find_symbol(
    const struct elf_source *s, const struct elf_shdr *table, uint64_t address, struct elf_symbol *best)
{
	struct elf_symbol some[SYMBOLS_AT_ONCE];
	uint64_t count = MIN(table->size / sizeof(some[0]), (uint64_t)SYMBOLS_MAX);
	*best = (struct elf_symbol){0};
	for (uint64_t i = 0; i < count; i += SYMBOLS_AT_ONCE) {
		uint64_t n = MIN(count - i, (uint64_t)SYMBOLS_AT_ONCE);
		if (!read_at(s, some, n * sizeof(some[0]), table->offset + i * sizeof(some[0])))
			return false;
		for (uint64_t k = 0; k < n; k++)
			if (is_better(&some[k], address, best))
				*best = some[k];
	}
	return best->name != 0;
}

bool elf_symbol_find(const struct elf_source *s, uint64_t where, char name[ELF_SYMBOL_NAME], uint64_t *offset)
{
	struct elf_header h;
	struct elf_shdr symbols = {0}, strings;
	struct elf_symbol found;
	uint64_t address;
	if (!read_header(s, &h) || !find_address(s, &h, where, &address) ||
	    !find_table(s, &h, &symbols, &strings) || !find_symbol(s, &symbols, address, &found) ||
	    found.name >= strings.size)
		return false;
	size_t len = MIN((uint64_t)ELF_SYMBOL_NAME - 1, strings.size - found.name);
	if (!read_at(s, name, len, strings.offset + found.name))
		return false;
	name[len] = 0;
	*offset = address - found.value;
	return name[0];
}
