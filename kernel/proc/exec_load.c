/*
 * exec_load.c - builds the memory of a program in a space of its own, which nobody runs in yet: a failure at
 * any point just drops it.
 *
 *	follow     scripts, until the file is none; a->file and the arguments change on the way
 *	read       headers of the program, and of its interpreter, if it names one
 *	choose     ids, and with them whether and where to place things at random
 *	map        program, interpreter, stack
 *
 * A program with an interpreter starts in the interpreter, which finds the program by the auxiliary vector.
 * Linux finds out about some defects of a file only when the caller's memory is gone already, and kills it;
 * here they are found before, and are errors.
 */
#include "fs/file.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/exec_priv.h"
#include "proc/place.h"
#include "proc/process.h"
#include "vm/space.h"

/* --- files --- */

static uint64_t size_of(struct file *f)
{
	rwlock_read(&f->vnode->lock);
	uint64_t size = f->vnode->size;
	rwlock_read_unlock(&f->vnode->lock);
	return size;
}

/* The first bytes of f, with zeros behind the end of the file. */
static err_t read_head(struct file *f, char head[SCRIPT_HEAD_SIZE])
{
	memset(head, 0, SCRIPT_HEAD_SIZE);
	return file_read_all(f, head, MIN(size_of(f), (uint64_t)SCRIPT_HEAD_SIZE), 0);
}

static err_t open_by_name(struct exec_load *l, const char *name, struct file **out)
{
	struct path path;
	unsigned flags = name[0] ? 0 : WALK_EMPTY; /* "#!" alone names the working directory, as on Linux */
	err_t err = vfs_lookup(l->context, NULL, name, flags, &path);
	if (err)
		return err;
	err = vfs_open_exec(l->context, &path, out);
	path_put(&path);
	return err;
}

/* l->head is a script's: go on with its interpreter. */
static err_t enter_script(struct exec_load *l, const struct script_line *line)
{
	struct exec_args *a = l->args;
	struct file *f;
	if (a->unreachable)
		return -ENOENT;
	err_t err = exec_args_enter_script(a, line->interp, line->arg);
	if (!err)
		err = open_by_name(l, line->interp, &f);
	if (err)
		return err;
	file_put_exec(a->file);
	a->file = f;
	return 0;
}

static err_t follow_scripts(struct exec_load *l)
{
	struct script_line line;
	for (unsigned depth = 0; depth <= EXEC_SCRIPT_DEPTH; depth++) {
		err_t err = read_head(l->args->file, l->head);
		if (err)
			return err;
		if (script_parse(
			l->head, &line)) /* it was none, or is a bad one, which is no ELF file either */
			return 0;
		err = enter_script(l, &line);
		if (err)
			return err;
	}
	return -ELOOP;
}

/* --- headers --- */

static err_t read_headers(struct exec_file *x, const char *header)
{
	uint64_t phoff, file_size = size_of(x->file);
	unsigned phnum;
	err_t err = elf_check_header(header, file_size, &phoff, &phnum);
	if (!err && !x->file->vnode->pages)
		err = -ENOEXEC;
	if (err)
		return err;
	size_t size = (size_t)phnum * ELF_PHDR_SIZE;
	uint8_t *phdrs = kmalloc(size);
	if (!phdrs)
		return -ENOMEM;
	err = file_read_all(x->file, phdrs, size, phoff);
	if (!err)
		err = elf_parse(header, phdrs, file_size, USER_START, USER_END, &x->elf);
	kfree(phdrs);
	return err;
}

/* The rules that the program wants to be under; what cannot be read says nothing. */
static uint32_t read_guards(struct exec_file *x)
{
	uint8_t notes[ELF_MAX_NOTE_SIZE];
	uint32_t guards = 0;
	for (unsigned i = 0; i < x->elf.nnotes; i++) {
		const struct elf_note_segment *n = &x->elf.notes[i];
		if (!file_read_all(x->file, notes, n->size, n->offset))
			guards |= elf_find_guards(notes, n->size);
	}
	return guards & GUARD_ALL;
}

/* The interpreter that the program names. */
static err_t open_interp(struct exec_load *l)
{
	const struct elf_image *elf = &l->program.elf;
	char *name = kmalloc(elf->interp_size);
	if (!name)
		return -ENOMEM;
	err_t err = file_read_all(l->program.file, name, elf->interp_size, elf->interp_offset);
	if (!err && name[elf->interp_size - 1])
		err = -ENOEXEC;
	if (!err)
		err = open_by_name(l, name, &l->interp.file);
	kfree(name);
	return err;
}

static err_t read_interp(struct exec_load *l)
{
	uint8_t header[ELF_HEADER_SIZE];
	struct exec_file *x = &l->interp;
	err_t err = open_interp(l);
	if (!err)
		err = file_read_all(x->file, header, sizeof(header), 0);
	if (err)
		return err;
	err = read_headers(x, (const char *)header);
	if (!err && !elf_entry_is_inside(&x->elf))
		err = -ENOEXEC;
	return err == -ENOEXEC ? -ELIBBAD : err;
}

/* --- segments --- */

static uint64_t page_down(uint64_t x)
{
	return ALIGN_DOWN(x, (uint64_t)PAGE_SIZE);
}
static uint64_t page_up(uint64_t x)
{
	return ALIGN_UP(x, (uint64_t)PAGE_SIZE);
}

/* Map [start, end) of the new space, in place of what is there: pages of f, or (NULL) zeros. */
static err_t map_fixed(struct exec_load *l, uaddr_t start, uaddr_t end, unsigned prot, struct file *f,
    struct vm_object *object, pgidx_t offset)
{
	struct vm_map_args m = {.addr = start,
	    .len = end - start,
	    .prot = prot,
	    .flags = VM_MAP_FIXED,
	    .object = object,
	    .offset = offset};
	uaddr_t where;
	if (f)
		m.name = file_vm_name(f);
	return start == end ? 0 : space_map(l->space, &m, &where);
}

static const uint8_t zeros[PAGE_SIZE];

/* What can be written or executed can be read, as for mmap. */
static unsigned segment_prot(const struct elf_segment *s)
{
	return s->prot & (ELF_WRITE | ELF_EXEC) ? s->prot | ELF_READ : s->prot;
}

/* The file part of a segment, by whole pages, and zeros behind it. Where the file part ends inside a page
 * whose rest must read as zero, that page is written, so it is mapped writable until that is done. */
static err_t map_segment(
    struct exec_load *l, const struct exec_file *x, struct vm_object *pages, const struct elf_segment *s)
{
	uaddr_t start = x->bias + s->vaddr, file_end = start + s->filesz, page = page_down(start);
	uaddr_t zeros_from = s->filesz ? page_up(file_end) : page;
	bool cut = s->filesz && s->memsz > s->filesz && file_end != zeros_from;
	unsigned wanted = segment_prot(s), prot = cut ? wanted | VM_WRITE | VM_READ : wanted;
	err_t err = map_fixed(l, page, zeros_from, prot, x->file, pages, s->offset >> PAGE_SHIFT);
	if (!err)
		err = map_fixed(l, zeros_from, page_up(start + s->memsz), wanted, NULL, NULL, 0);
	if (!err && cut)
		err = exec_put(l->space, file_end, zeros, zeros_from - file_end);
	if (!err && prot != wanted)
		err = space_protect(l->space, page, zeros_from - page, wanted);
	return err;
}

static err_t map_segments(struct exec_load *l, const struct exec_file *x)
{
	struct vm_object *pages;
	err_t err = file_mmap(x->file, 0, PAGE_SIZE, VM_READ | VM_EXEC, 0, &pages);
	if (err)
		return err;
	for (unsigned i = 0; i < x->elf.nsegments && !err; i++)
		err = map_segment(l, x, pages, &x->elf.segments[i]);
	object_put(pages);
	return err;
}

/* Find room for an image: at `start`, or (0) where mappings go. */
static err_t find_room(struct exec_load *l, uaddr_t start, uint64_t len, uaddr_t *where)
{
	struct vm_map_args m = {
	    .addr = start, .len = len, .flags = start ? VM_MAP_FIXED | VM_MAP_NOREPLACE : 0};
	err_t err = space_map(l->space, &m, where);
	return err ? err : space_unmap(l->space, *where, len);
}

/* Choose the place of an image, where there is a choice. wish 0: among the mappings. */
static err_t place_image(struct exec_load *l, struct exec_file *x, uaddr_t wish)
{
	const struct elf_image *elf = &x->elf;
	uaddr_t start = elf->relocatable ? wish : elf->low, at;
	err_t err = find_room(l, start, elf->high - elf->low, &at);
	if (!err)
		x->bias = at - elf->low;
	return err == -EEXIST || err == -EPERM ? -ENOMEM : err;
}

/* A relocatable program without interpreter (perhaps an interpreter that is called by its name) goes where
 * mappings go, so that it leaves the place of programs free; its heap, which needs room to grow, does not
 * follow it. */
static err_t map_program(struct exec_load *l)
{
	const struct elf_image *elf = &l->program.elf;
	bool among_mappings = elf->relocatable && !elf->interp_size;
	err_t err = place_image(l, &l->program, among_mappings ? 0 : exec_place_pie(&l->place, elf->align));
	if (!err)
		err = map_segments(l, &l->program);
	if (err)
		return err;
	uaddr_t end = among_mappings ? PIE_BASE : l->program.bias + elf->high;
	l->space->brk_start = l->space->brk = exec_place_brk(&l->place, end); /* nobody else sees it yet */
	return 0;
}

static void tell_layout(const struct exec_load *l)
{
	struct space_layout *layout = &l->space->layout;
	const struct elf_image *elf = &l->program.elf;
	uint64_t bias = l->program.bias;
	layout->code_start = bias + MIN(elf->code_start, elf->code_end);
	layout->code_end = bias + elf->code_end;
	layout->data_start = bias + elf->data_start;
	layout->data_end = bias + elf->data_end;
}

static err_t map_all(struct exec_load *l)
{
	err_t err = space_create(&l->space);
	if (err)
		return err;
	l->space->mmap_top = l->place.mmap_top;
	store_relaxed(
	    &l->space->guards, load_relaxed(&l->thread->thread.process->guards) | read_guards(&l->program));
	const struct vm_space *old = current_thread()->space; /* NULL: the first program */
	store_relaxed(&l->space->no_large, old && load_relaxed(&old->no_large));
	err = map_program(l);
	if (!err && l->interp.file)
		err = place_image(l, &l->interp, 0);
	if (!err && l->interp.file)
		err = map_segments(l, &l->interp);
	if (!err)
		err = exec_build_stack(l);
	if (!err)
		tell_layout(l);
	return err == -EEXIST ? -ENOMEM : err;
}

/* --- all of it --- */

static uint64_t stack_limit(struct process *p)
{
	spin_lock(&p->lock);
	uint64_t limit = p->limits[RLIMIT_STACK].soft;
	spin_unlock(&p->lock);
	return limit;
}

static err_t load_stages(struct exec_load *l)
{
	err_t err = follow_scripts(l);
	if (err)
		return err;
	l->program.file = l->args->file;
	err = read_headers(&l->program, l->head);
	if (!err && l->program.elf.interp_size)
		err = read_interp(l);
	if (!err)
		err = exec_choose_cred(l);
	if (err)
		return err;
	uint64_t limit = stack_limit(l->thread->thread.process);
	exec_place_choose(&l->place, !(l->personality & PERSONALITY_NO_RANDOMIZE),
	    l->secure ? MIN(limit, (uint64_t)SECURE_STACK_MAX) : limit);
	return map_all(l);
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Everything worked: what exec_load got goes to the image. */
static void hand_over(struct exec_load *l, struct exec_image *out)
{
	const struct exec_file *first = l->interp.file ? &l->interp : &l->program;
	*out = (struct exec_image){.space = l->space,
	    .entry = first->bias + first->elf.entry,
	    .sp = l->sp,
	    .program = l->program.file,
	    .cred = l->cred,
	    .secure = l->secure,
	    .frozen = l->frozen,
	    .personality = l->personality,
	    .name = last_part(l->args->path)};
	l->args->file = NULL;
	l->space = NULL;
	l->cred = NULL;
	l->frozen = NULL;
}

err_t exec_load(
    struct user_thread *ut, const struct fs_context *c, struct exec_args *args, struct exec_image *out)
{
	struct exec_load *l = kzalloc(sizeof(*l)); /* the parsed headers are too large for a kernel stack */
	if (!l)
		return -ENOMEM;
	l->thread = ut;
	l->context = c;
	l->args = args;
	err_t err = load_stages(l);
	if (!err)
		hand_over(l, out);
	if (l->interp.file)
		file_put_exec(l->interp.file);
	if (l->space)
		space_put(l->space);
	if (l->cred)
		cred_put(l->cred);
	if (l->frozen)
		place_thaw(l->frozen);
	kfree(l);
	return err;
}

void exec_image_drop(struct exec_image *image)
{
	space_put(image->space);
	file_put_exec(image->program);
	cred_put(image->cred);
	if (image->frozen)
		place_thaw(image->frozen);
}
