/*
 * fuzz_elf.c - any bytes as a program file: the ELF reader may refuse or accept, but what it accepts keeps
 * every promise of elf.h.
 */
#include <stdlib.h>
#include <string.h>
#include "proc/elf.c"

#define LOW  0x1000ULL
#define HIGH 0x7ffffffff000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_image(const struct elf_image *im, uint64_t file_size)
{
	uint64_t low = im->relocatable ? 0 : LOW, high = im->relocatable ? HIGH - LOW : HIGH;
	uint64_t first = UINT64_MAX, last = 0;
	check(im->nsegments > 0 && im->nsegments <= ELF_MAX_SEGMENTS);
	check(im->align >= PAGE_SIZE && !(im->align & (im->align - 1)) && im->align <= MIB(2));
	for (unsigned i = 0; i < im->nsegments; i++) {
		const struct elf_segment *s = &im->segments[i];
		check(s->memsz > 0 && s->filesz <= s->memsz);
		check(s->offset <= file_size && s->filesz <= file_size - s->offset);
		check(s->vaddr >= low && s->vaddr + s->memsz > s->vaddr && s->vaddr + s->memsz <= high);
		check(((s->vaddr ^ s->offset) & (PAGE_SIZE - 1)) == 0);
		first = MIN(first, s->vaddr & PAGE_MASK);
		last = MAX(last, ALIGN_UP(s->vaddr + s->memsz, (uint64_t)PAGE_SIZE));
	}
	check(im->low == first && im->high == last && last <= ALIGN_UP(high, (uint64_t)PAGE_SIZE));
	check(im->interp_size ? im->interp_size >= 2 && im->interp_size <= ELF_MAX_INTERP
			      : elf_entry_is_inside(im));
	if (im->phdr_vaddr)
		check(im->phdr_vaddr >= im->low && im->phdr_vaddr + im->phnum * ELF_PHDR_SIZE <= im->high);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A file is longer than its headers: the first byte says how much of it is not in `data`. */
	(void)elf_find_guards(data, size);
	if (size < 1 + ELF_HEADER_SIZE)
		return 0;
	uint64_t file_size = size - 1 + (uint64_t)data[0] * 4096;
	uint8_t *head = malloc(ELF_HEADER_SIZE);
	memcpy(head, data + 1, ELF_HEADER_SIZE);
	uint64_t phoff;
	unsigned phnum;
	if (elf_check_header(head, file_size, &phoff, &phnum) == 0) {
		check(phoff + phnum * ELF_PHDR_SIZE <= file_size && phnum <= ELF_MAX_PHDRS);
		uint8_t *phdrs =
		    calloc(phnum, ELF_PHDR_SIZE); /* exactly as long as promised: a read beyond is caught */
		if (phoff < size - 1)
			memcpy(
			    phdrs, data + 1 + phoff, MIN(size - 1 - phoff, (uint64_t)phnum * ELF_PHDR_SIZE));
		struct elf_image im;
		if (elf_parse(head, phdrs, file_size, LOW, HIGH, &im) == 0)
			check_image(&im, file_size);
		free(phdrs);
	}
	free(head);
	return 0;
}
