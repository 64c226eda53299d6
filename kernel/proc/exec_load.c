/*
 * exec_load.c - builds the memory of a program in a space of its own, which nobody runs in yet: a failure at
 * any point just drops it.
 *
 * The stack, from its end downwards, as the System V ABI (AMD64 supplement, "Process Initialization") wants
 * it:
 *
 *	EXEC_STACK_TOP  8 zero bytes
 *	                strings: path, arguments, environment; one block, as collected
 *	                "x86_64", 16 random bytes
 *	                padding, so that sp is a multiple of 16
 *	                auxiliary vector, pairs of words up to AT_NULL
 *	                0, environment pointers, in ascending addresses
 *	                0, argument pointers
 *	sp ->           argument count
 */
#include "fs/initrd.h"
#include "kern/log.h"
#include "kern/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/elf.h"
#include "proc/exec.h"
#include "proc/process.h"
#include "vm/copy.h"
#include "vm/space.h"

#define EXEC_STACK_TOP USER_END
#define IMAGE_LIMIT    (EXEC_STACK_TOP - EXEC_STACK_SIZE - EXEC_STACK_GUARD)
#define PIE_BASE       0x555555554000ULL /* where Linux puts them, far from both ends */

enum aux_type {
	AT_NULL = 0,
	AT_PHDR = 3,
	AT_PHENT = 4,
	AT_PHNUM = 5,
	AT_PAGESZ = 6,
	AT_BASE = 7,
	AT_FLAGS = 8,
	AT_ENTRY = 9,
	AT_UID = 11,
	AT_EUID = 12,
	AT_GID = 13,
	AT_EGID = 14,
	AT_PLATFORM = 15,
	AT_HWCAP = 16,
	AT_CLKTCK = 17,
	AT_SECURE = 23,
	AT_RANDOM = 25,
	AT_EXECFN = 31,
};

enum { MODE_EXECUTE = 0111, RANDOM_SIZE = 16, CLOCK_TICKS = 100 };

/* The state that the stages share. */
struct load {
	const struct exec_args *args;
	struct initrd_file *file;
	struct elf_image elf;
	struct vm_space *space;
	uint64_t bias; /* what is added to every linked address */
};

/* Write into the space that is being built: its pages are ours alone, so only memory can run out. */
static err_t put(struct vm_space *space, uaddr_t dst, const void *src, size_t n)
{
	size_t done;
	return space_write(space, dst, src, n, &done);
}

static err_t read_headers(struct load *l)
{
	uint8_t header[ELF_HEADER_SIZE];
	uint64_t phoff;
	unsigned phnum;
	if (initrd_read(l->file, 0, header, sizeof(header)) != sizeof(header))
		return -ENOEXEC;
	err_t err = elf_check_header(header, l->file->size, &phoff, &phnum);
	if (err)
		return err;
	size_t size = (size_t)phnum * ELF_PHDR_SIZE;
	uint8_t *phdrs = kmalloc(size);
	if (!phdrs)
		return -ENOMEM;
	if (initrd_read(l->file, phoff, phdrs, size) == size)
		err = elf_parse(header, phdrs, l->file->size, USER_START, IMAGE_LIMIT, &l->elf);
	else
		err = -ENOEXEC;
	kfree(phdrs);
	if (!err && l->elf.wants_interp)
		err = -ENOEXEC;
	if (!err && l->elf.relocatable) {
		uint64_t base = ALIGN_UP(PIE_BASE, l->elf.align);
		if (l->elf.high - l->elf.low > IMAGE_LIMIT - base)
			return -ENOMEM;
		l->bias = base - l->elf.low;
	}
	return err;
}

/* Map [start, end) at a fixed place of the new space; object NULL: zeros. */
static err_t map_fixed(struct load *l, uaddr_t start, uaddr_t end, unsigned prot, unsigned flags,
    struct vm_object *object, pgidx_t offset)
{
	struct vm_map_args m = {
	    .addr = start, .len = end - start, .prot = prot, .object = object, .offset = offset};
	uaddr_t where;
	m.flags = VM_MAP_FIXED | VM_MAP_NOREPLACE | flags;
	return start == end ? 0 : space_map(l->space, &m, &where);
}

static uint64_t page_down(uint64_t x)
{
	return ALIGN_DOWN(x, (uint64_t)PAGE_SIZE);
}
static uint64_t page_up(uint64_t x)
{
	return ALIGN_UP(x, (uint64_t)PAGE_SIZE);
}

static const uint8_t zeros[PAGE_SIZE];

/* What can be written or executed can be read, as for mmap. */
static unsigned segment_prot(const struct elf_segment *s)
{
	return s->prot & (ELF_WRITE | ELF_EXEC) ? s->prot | ELF_READ : s->prot;
}

/* The file part of a segment, by whole pages, and zeros behind it. Where the file part ends inside a page
 * whose rest must read as zero, that page is written, so it is mapped writable until that is done. */
static err_t map_segment(struct load *l, const struct elf_segment *s)
{
	uaddr_t start = l->bias + s->vaddr, file_end = start + s->filesz, page = page_down(start);
	uaddr_t zeros_from = s->filesz ? page_up(file_end) : page;
	bool cut = s->filesz && s->memsz > s->filesz && file_end != zeros_from;
	unsigned wanted = segment_prot(s), prot = cut ? wanted | VM_WRITE | VM_READ : wanted;
	err_t err = map_fixed(l, page, zeros_from, prot, 0, l->file->object, s->offset >> PAGE_SHIFT);
	if (!err)
		err = map_fixed(l, zeros_from, page_up(start + s->memsz), wanted, 0, NULL, 0);
	if (!err && cut)
		err = put(l->space, file_end, zeros, zeros_from - file_end);
	if (!err && prot != wanted)
		err = space_protect(l->space, page, zeros_from - page, wanted);
	return err;
}

static err_t map_program(struct load *l)
{
	for (unsigned i = 0; i < l->elf.nsegments; i++) {
		err_t err = map_segment(l, &l->elf.segments[i]);
		if (err)
			return err;
	}
	uaddr_t stack = EXEC_STACK_TOP - EXEC_STACK_SIZE;
	unsigned prot = VM_READ | VM_WRITE | (l->elf.exec_stack ? VM_EXEC : 0);
	err_t err = map_fixed(l, stack - EXEC_STACK_GUARD, stack, 0, 0, NULL, 0);
	return err ? err : map_fixed(l, stack, EXEC_STACK_TOP, prot, VM_MAP_STACK, NULL, 0);
}

/* Writes words to ascending addresses, a chunk at a time. */
struct word_writer {
	struct vm_space *space;
	uaddr_t at; /* where words[0] goes */
	unsigned n;
	err_t err; /* the first error; later words are dropped */
	uint64_t words[64];
};

static void words_flush(struct word_writer *w)
{
	if (!w->err)
		w->err = put(w->space, w->at, w->words, w->n * sizeof(w->words[0]));
	w->at += w->n * sizeof(w->words[0]);
	w->n = 0;
}

static void words_add(struct word_writer *w, uint64_t word)
{
	w->words[w->n++] = word;
	if (w->n == ARRAY_SIZE(w->words))
		words_flush(w);
}

static void words_add_aux(struct word_writer *w, enum aux_type type, uint64_t value)
{
	words_add(w, type);
	words_add(w, value);
}

/* Pointers to `count` strings of the block that starts at base; *s walks through the kernel's copy. */
static void words_add_strings(
    struct word_writer *w, const struct exec_args *a, const char **s, unsigned count, uaddr_t base)
{
	for (unsigned i = 0; i < count; i++) {
		words_add(w, base + (uint64_t)(*s - a->strings));
		*s += strlen(*s) + 1;
	}
	words_add(w, 0);
}

enum { AUX_COUNT = 18 };

static void words_add_vector(
    struct word_writer *w, const struct load *l, uaddr_t strings, uaddr_t platform, uaddr_t random)
{
	words_add_aux(w, AT_PHDR, l->elf.phdr_vaddr ? l->bias + l->elf.phdr_vaddr : 0);
	words_add_aux(w, AT_PHENT, ELF_PHDR_SIZE);
	words_add_aux(w, AT_PHNUM, l->elf.phnum);
	words_add_aux(w, AT_PAGESZ, PAGE_SIZE);
	words_add_aux(w, AT_BASE, 0); /* no interpreter */
	words_add_aux(w, AT_FLAGS, 0);
	words_add_aux(w, AT_ENTRY, l->bias + l->elf.entry);
	words_add_aux(w, AT_UID, 0);
	words_add_aux(w, AT_EUID, 0);
	words_add_aux(w, AT_GID, 0);
	words_add_aux(w, AT_EGID, 0);
	words_add_aux(w, AT_PLATFORM, platform);
	words_add_aux(w, AT_HWCAP, user_hwcap());
	words_add_aux(w, AT_CLKTCK, CLOCK_TICKS);
	words_add_aux(w, AT_SECURE, 0);
	words_add_aux(w, AT_RANDOM, random);
	words_add_aux(w, AT_EXECFN, strings);
	words_add_aux(w, AT_NULL, 0);
}

static err_t build_stack(struct load *l, uaddr_t *sp)
{
	const struct exec_args *a = l->args;
	uint8_t random[RANDOM_SIZE];
	const char *name = user_platform(), *s = a->strings + strlen(a->strings) + 1;
	uaddr_t strings = EXEC_STACK_TOP - sizeof(uint64_t) - a->used;
	uaddr_t platform = strings - (strlen(name) + 1), random_at = platform - RANDOM_SIZE;
	uint64_t words = 1 + (uint64_t)a->argc + 1 + a->envc + 1 + AUX_COUNT * 2;
	*sp = ALIGN_DOWN(random_at - words * sizeof(uint64_t), 16ULL);
	random_bytes(random, sizeof(random));
	err_t err = put(l->space, strings, a->strings, a->used);
	if (!err)
		err = put(l->space, platform, name, strlen(name) + 1);
	if (!err)
		err = put(l->space, random_at, random, sizeof(random));
	if (err)
		return err;
	struct word_writer w = {.space = l->space, .at = *sp};
	words_add(&w, a->argc);
	words_add_strings(&w, a, &s, a->argc, strings);
	words_add_strings(&w, a, &s, a->envc, strings);
	words_add_vector(&w, l, strings, platform, random_at);
	words_flush(&w);
	return w.err;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

err_t exec_load(const struct exec_args *args, struct exec_image *out)
{
	struct load *l = kzalloc(sizeof(*l)); /* the parsed headers are too large for a kernel stack */
	if (!l)
		return -ENOMEM;
	l->args = args;
	const char *path = args->strings;
	err_t err = initrd_lookup(path, &l->file);
	if (!err && !(l->file->mode & MODE_EXECUTE))
		err = -EACCES;
	if (!err)
		err = read_headers(l);
	if (!err)
		err = space_create(&l->space);
	if (!err)
		err = map_program(l);
	if (!err)
		err = build_stack(l, &out->sp);
	if (!err) {
		out->space = l->space;
		out->entry = l->bias + l->elf.entry;
		out->brk_start = l->bias + l->elf.high;
		out->name = last_part(path);
	} else if (l->space) {
		space_put(l->space);
	}
	kfree(l);
	return err;
}
