/*
 * core_file.c - the ELF file: header, program headers, notes, and the contents of memory page by page, each
 * segment at a multiple of the page size.
 *
 * Pages that are not there, or hold only zeros, become holes of the file; a pipe gets zeros. Memory is read
 * whatever its protection; what cannot be read (beyond the end of a file, a disk that fails) is a hole too.
 * Format: System V ABI, "Object Files"; elf(5).
 */
#include "arch/usercopy.h"
#include "lib/string.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "proc/core_priv.h"
#include "proc/elf_format.h"
#include "vm/copy.h"

enum { NOTE_ALIGN = 4 };

/* One write to a pipe. Signals that came before, or come now, do not count any more: only death does. */
static int64_t stream_some(struct core_file *c, const void *buf, size_t n)
{
	struct uio_segment seg;
	struct uio u;
	int64_t done;
	do {
		fetch_and_acq_rel(&current_thread()->flags, ~(uint32_t)THREAD_SIGNALLED);
		uio_init_kernel(&u, &seg, (void *)(uintptr_t)buf, n);
		done = file_write(c->file, &u);
	} while ((done == -EINTR || done == -ERESTARTSYS) && !thread_is_killed());
	return done;
}

/* One write, as much as the limits allow. Returns what was written, > 0, or 0 with c->err. */
static size_t write_some(struct core_file *c, const void *buf, size_t n)
{
	struct uio_segment seg;
	struct uio u;
	uint64_t room = c->limit - c->written;
	if (thread_is_killed() || !room) {
		c->err = room ? -EINTR : -EFBIG;
		return 0;
	}
	uio_init_kernel(&u, &seg, (void *)(uintptr_t)buf, MIN(n, room));
	u.limit = c->limit_size;
	int64_t done = c->streams ? stream_some(c, buf, n) : file_pwrite(c->file, &u, (int64_t)c->pos);
	if (done <= 0)
		c->err = done ? (err_t)done : -ENOSPC;
	return done > 0 ? (size_t)done : 0;
}

void core_emit(struct core_file *c, const void *buf, size_t n)
{
	const char *from = buf;
	if (!c->file)
		c->pos += n;
	while (c->file && n && !c->err) {
		size_t done = write_some(c, from, n);
		from += done;
		n -= done;
		c->pos += done;
		c->written += done;
	}
}

/* Zeros up to this place. */
static void skip_to(struct core_file *c, uint64_t pos)
{
	while (c->streams && c->pos < pos && !c->err)
		core_emit(c, page_to_virt(zero_page), MIN(pos - c->pos, (uint64_t)PAGE_SIZE));
	c->pos = pos;
}

/* --- headers --- */

static void emit_header(struct core_file *c)
{
	const struct elf_header h = {
	    .ident = {0x7f, 'E', 'L', 'F', 2 /* 64 bits */, 1 /* little endian */, ELF_VERSION},
	    .type = ELF_TYPE_CORE,
	    .machine = ELF_MACHINE_X86_64,
	    .version = ELF_VERSION,
	    .phoff = sizeof(h),
	    .ehsize = sizeof(h),
	    .phentsize = sizeof(struct elf_phdr),
	    .phnum = (uint16_t)(c->nsegments + 1)}; /* REGIONS_MAX + 1 fits */
	core_emit(c, &h, sizeof(h));
}

static uint32_t flags_of(unsigned prot)
{
	return (prot & VM_READ ? ELF_SEG_R : 0) | (prot & VM_WRITE ? ELF_SEG_W : 0) |
	       (prot & VM_EXEC ? ELF_SEG_X : 0);
}

/* `offset`: of the contents of memory in the file. */
static void emit_program_headers(
    struct core_file *c, uint64_t notes_offset, uint64_t notes_size, uint64_t offset)
{
	struct elf_phdr h = {
	    .type = ELF_SEG_NOTE, .offset = notes_offset, .filesz = notes_size, .align = NOTE_ALIGN};
	core_emit(c, &h, sizeof(h));
	for (unsigned i = 0; i < c->nsegments; i++) {
		const struct core_segment *s = &c->segments[i];
		h = (struct elf_phdr){.type = ELF_SEG_LOAD,
		    .flags = flags_of(s->prot),
		    .offset = offset,
		    .vaddr = s->start,
		    .filesz = s->filesz,
		    .memsz = s->end - s->start,
		    .align = PAGE_SIZE};
		core_emit(c, &h, sizeof(h));
		offset += s->filesz;
	}
}

/* --- memory --- */

static bool is_zero(const uint64_t *page)
{
	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*page); i++)
		if (page[i])
			return false;
	return true;
}

static void emit_page(struct core_file *c, const void *page)
{
	if (is_zero(page))
		skip_to(c, c->pos + PAGE_SIZE);
	else
		core_emit(c, page, PAGE_SIZE);
}

static void emit_page_at(struct core_file *c, const struct core_segment *s, uaddr_t at)
{
	struct vm_pin pin;
	if (s->by_copy) {
		if (copy_from_user(c->scratch, at, PAGE_SIZE))
			skip_to(c, c->pos + PAGE_SIZE);
		else
			emit_page(c, c->scratch);
	} else if (!vm_fault_pin(c->process->space, at, FAULT_READ | FAULT_FORCE, &pin)) {
		emit_page(c, page_to_virt(pin.page));
		vm_unpin(&pin);
	} else {
		skip_to(c, c->pos + PAGE_SIZE);
	}
}

static void emit_memory(struct core_file *c)
{
	for (unsigned i = 0; i < c->nsegments; i++) {
		const struct core_segment *s = &c->segments[i];
		for (uint64_t at = 0; at < s->filesz && !c->err; at += PAGE_SIZE) {
			if (thread_is_killed())
				c->err = -EINTR;
			else
				emit_page_at(c, s, s->start + at);
		}
	}
	if (!c->err && !c->streams) /* a hole at the end */
		c->err = file_truncate(c->file, (int64_t)c->pos, c->limit_size, true);
}

/* --- the whole --- */

static void emit_all(struct core_file *c)
{
	uint64_t headers = sizeof(struct elf_header) + (c->nsegments + 1) * sizeof(struct elf_phdr);
	struct file *f = c->file;
	c->file = NULL;
	core_emit_notes(c);
	uint64_t notes = c->pos, memory = ALIGN_UP(headers + notes, (uint64_t)PAGE_SIZE);
	c->file = f;
	c->pos = 0;
	emit_header(c);
	emit_program_headers(c, headers, notes, memory);
	core_emit_notes(c);
	ASSERT(c->err || c->pos == headers + notes);
	skip_to(c, memory);
	emit_memory(c);
}

void core_file_write(struct core_file *c)
{
	c->scratch = kmalloc(PAGE_SIZE);
	c->err = c->scratch ? core_segments_take(c) : -ENOMEM;
	if (!c->err)
		emit_all(c);
	text_fini(&c->mapped);
	if (c->segments)
		kva_free_buffer(c->segments);
	kfree(c->scratch);
}
