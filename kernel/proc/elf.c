/*
 * elf.c - reads the headers of an ELF program; see elf.h.
 *
 * Fields are fetched with memcpy from wherever the bytes lie, little-endian like the processor, so alignment
 * of the buffer never matters. Sums are made with overflow checks; what could not be represented is -ENOEXEC
 * like everything else that is wrong with a file.
 */
#include "proc/elf.h"
#include "lib/string.h"
#include "proc/elf_format.h"

#define ELF_MAX_ALIGN MIB(2) /* a larger wish is a wish: 2 MiB is what large translations need */

_Static_assert(sizeof(struct elf_header) == ELF_HEADER_SIZE, "format");
_Static_assert(sizeof(struct elf_phdr) == ELF_PHDR_SIZE, "format");

static bool range_fits(uint64_t start, uint64_t len, uint64_t limit)
{
	return start <= limit && len <= limit - start;
}

err_t elf_check_header(const void *header, uint64_t file_size, uint64_t *phoff, unsigned *phnum)
{
	/* magic, 64-bit, little-endian, version 1; the ABI byte may be System V (0) or GNU (3) and is not
	 * looked at */
	static const uint8_t ident[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
	struct elf_header h;
	if (file_size < sizeof(h))
		return -ENOEXEC;
	memcpy(&h, header, sizeof(h));
	if (memcmp(h.ident, ident, sizeof(ident)) || h.version != 1)
		return -ENOEXEC;
	if ((h.type != ELF_TYPE_EXEC && h.type != ELF_TYPE_DYN) || h.machine != ELF_MACHINE_X86_64)
		return -ENOEXEC;
	if (h.phentsize != sizeof(struct elf_phdr) || h.phnum == 0 || h.phnum > ELF_MAX_PHDRS)
		return -ENOEXEC;
	if (!range_fits(h.phoff, (uint64_t)h.phnum * sizeof(struct elf_phdr), file_size))
		return -ENOEXEC;
	*phoff = h.phoff;
	*phnum = h.phnum;
	return 0;
}

static unsigned prot_of(uint32_t flags)
{
	return (flags & ELF_SEG_R ? ELF_READ : 0) | (flags & ELF_SEG_W ? ELF_WRITE : 0) |
	       (flags & ELF_SEG_X ? ELF_EXEC : 0);
}

/* Where the program headers appear in memory, if this segment loads them. */
static void find_phdrs(struct elf_image *im, const struct elf_segment *s)
{
	uint64_t size = (uint64_t)im->phnum * sizeof(struct elf_phdr);
	if (!im->phdr_vaddr && im->phoff >= s->offset && range_fits(im->phoff - s->offset, size, s->filesz))
		im->phdr_vaddr = s->vaddr + (im->phoff - s->offset);
}

/* Which addresses are code, which are data, by Linux's rule: code is what can be executed, data starts where
 * the highest segment does. */
static void note_use(struct elf_image *im, const struct elf_segment *s)
{
	uint64_t end = s->vaddr + s->filesz;
	if ((s->prot & ELF_EXEC) && s->vaddr < im->code_start)
		im->code_start = s->vaddr;
	if ((s->prot & ELF_EXEC) && end > im->code_end)
		im->code_end = end;
	im->data_start = MAX(im->data_start, s->vaddr);
	im->data_end = MAX(im->data_end, end);
}

/* Check one loaded segment and add it to the image. limit: no byte at or above it. */
static err_t add_segment(
    struct elf_image *im, const struct elf_phdr *p, uint64_t file_size, uint64_t low_limit, uint64_t limit)
{
	struct elf_segment s = {p->vaddr, p->memsz, p->filesz, p->offset, prot_of(p->flags)};
	if (s.memsz == 0)
		return s.filesz ? -ENOEXEC : 0;
	if (s.filesz > s.memsz || !range_fits(s.offset, s.filesz, file_size))
		return -ENOEXEC;
	if ((s.vaddr ^ s.offset) & (PAGE_SIZE - 1))
		return -ENOEXEC;
	if (s.vaddr < low_limit || !range_fits(s.vaddr, s.memsz, limit))
		return -ENOEXEC;
	uint64_t start = ALIGN_DOWN(s.vaddr, (uint64_t)PAGE_SIZE);
	uint64_t end = ALIGN_UP(s.vaddr + s.memsz, (uint64_t)PAGE_SIZE);
	im->low = im->nsegments ? MIN(im->low, start) : start;
	im->high = MAX(im->high, end);
	if (p->align > im->align && !(p->align & (p->align - 1)))
		im->align = MIN(p->align, ELF_MAX_ALIGN);
	im->segments[im->nsegments++] = s;
	find_phdrs(im, &s);
	note_use(im, &s);
	return 0;
}

/* Notes are for whoever wants to know something: those that are too long or too many nobody reads. */
static void add_notes(struct elf_image *im, const struct elf_phdr *p)
{
	if (p->filesz && p->filesz <= ELF_MAX_NOTE_SIZE && im->nnotes < ELF_MAX_NOTES)
		im->notes[im->nnotes++] = (struct elf_note_segment){p->offset, p->filesz};
}

uint32_t elf_find_guards(const void *notes, size_t size)
{
	enum { GUARDS = 1, ALIGN = 4 };
	static const char owner[8] = "Quire"; /* six bytes, padded */
	const uint8_t *at = notes, *end = at + size;
	struct elf_note n;
	uint32_t guards = 0;
	while ((size_t)(end - at) >= sizeof(n)) {
		memcpy(&n, at, sizeof(n));
		at += sizeof(n);
		uint64_t name = ALIGN_UP((uint64_t)n.namesz, ALIGN),
			 desc = ALIGN_UP((uint64_t)n.descsz, ALIGN);
		if (name + desc > (size_t)(end - at))
			break;
		if (n.type == GUARDS && n.namesz == sizeof("Quire") && n.descsz == sizeof(guards) &&
		    !memcmp(at, owner, sizeof(owner)))
			memcpy(&guards, at + name, sizeof(guards));
		at += name + desc;
	}
	return guards;
}

static err_t add_phdr(
    struct elf_image *im, const struct elf_phdr *p, uint64_t file_size, uint64_t low_limit, uint64_t limit)
{
	switch (p->type) {
	case ELF_SEG_LOAD:
		return add_segment(im, p, file_size, low_limit, limit);
	case ELF_SEG_INTERP:
		if (im->interp_size)
			return 0; /* the first counts */
		if (p->filesz < 2 || p->filesz > ELF_MAX_INTERP)
			return -ENOEXEC;
		im->interp_offset = p->offset;
		im->interp_size = p->filesz;
		return 0;
	case ELF_SEG_NOTE:
		add_notes(im, p);
		return 0;
	case ELF_SEG_GNU_STACK:
		im->exec_stack = p->flags & ELF_SEG_X;
		return 0;
	default:
		return 0;
	}
}

err_t elf_parse(const void *header, const void *phdrs, uint64_t file_size, uint64_t low_limit,
    uint64_t high_limit, struct elf_image *out)
{
	struct elf_header h;
	memcpy(&h, header, sizeof(h));
	*out = (struct elf_image){.relocatable = h.type == ELF_TYPE_DYN,
	    .entry = h.entry,
	    .align = PAGE_SIZE,
	    .code_start = UINT64_MAX};
	err_t err = elf_check_header(header, file_size, &out->phoff, &out->phnum);
	/* A relocatable image is linked from 0 on and has the whole room to be moved into. */
	uint64_t low = out->relocatable ? 0 : low_limit;
	uint64_t limit = out->relocatable ? high_limit - low_limit : high_limit;
	for (unsigned i = 0; !err && i < out->phnum; i++) {
		struct elf_phdr p;
		memcpy(&p, (const uint8_t *)phdrs + i * sizeof(p), sizeof(p));
		err = add_phdr(out, &p, file_size, low, limit);
	}
	if (err)
		return err;
	if (out->nsegments == 0 || (!out->interp_size && !elf_entry_is_inside(out)))
		return -ENOEXEC;
	return 0;
}
