/* core_segments.c - which memory goes into a core file. The rules are Linux's (core(5)); where it asks
 * whether a private window was ever written to, this asks whether it has pages of its own now. */
#include "arch/usercopy.h"
#include "fs/mount.h"
#include "lib/string.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "proc/core_priv.h"
#include "proc/vdso.h"
#include "vm/copy.h"

enum { MODE_EXECUTES = 0111, ELF_MAGIC_SIZE = 4 };

/* The note on mapped files: three words for each window, and its path, with the numbers of windows and of
 * bytes in a page in front. */
struct mapped_files {
	struct text entries, names;
	uint64_t count;
	char *path; /* PATH_LEN_MAX bytes */
};

/* The first page of a program or library says what was mapped. */
static bool shows_elf_header(const struct vm_space *s, const struct region_info *i, const struct vfs_stat *st)
{
	char magic[ELF_MAGIC_SIZE];
	if (i->offset || !(i->prot & VM_READ))
		return false;
	if (st->mode & MODE_EXECUTES)
		return true;
	return s == current_thread()->space && !copy_from_user(magic, i->start, sizeof(magic)) &&
	       !memcmp(magic, "\177ELF", sizeof(magic));
}

/* Bytes from i->start on that go into the file. f: the file that is mapped, or NULL. */
static uint64_t bytes_wanted(
    const struct vm_space *s, const struct region_info *i, struct file *f, uint32_t filter)
{
	uint64_t whole = i->end - i->start;
	struct vfs_stat st = {0};
	if (f)
		file_stat(f, &st);
	if (i->start == vdso_address(s))
		return whole;
	if ((i->flags & REGION_DONTDUMP) || i->kind == VM_PHYS)
		return 0;
	if (i->flags & REGION_SHARED)
		return filter & (f && st.nlink ? CORE_FILE_SHARED : CORE_ANON_SHARED) ? whole : 0;
	if (i->kind == VM_ANON && i->resident && (filter & CORE_ANON_PRIVATE))
		return whole;
	if (!f)
		return 0;
	if (filter & CORE_FILE_PRIVATE)
		return whole;
	return (filter & CORE_ELF_HEADERS) && shows_elf_header(s, i, &st) ? PAGE_SIZE : 0;
}

static void add_mapped(struct mapped_files *m, const struct region_info *i, struct file *f)
{
	const uint64_t entry[] = {i->start, i->end, i->offset};
	struct path root;
	mount_get_root(&root);
	int64_t len = file_describe(f, &root, m->path, PATH_LEN_MAX);
	path_put(&root);
	if (len < 0)
		return;
	text_add(&m->entries, (const char *)entry, sizeof(entry));
	text_add(&m->names, m->path, (size_t)len + 1);
	m->count++;
}

static void join_mapped(struct core_file *c, struct mapped_files *m)
{
	const uint64_t head[] = {m->count, PAGE_SIZE};
	text_add(&c->mapped, (const char *)head, sizeof(head));
	text_add(&c->mapped, m->entries.buf, m->entries.used);
	text_add(&c->mapped, m->names.buf, m->names.used);
	if (m->entries.err || m->names.err)
		c->mapped.err = -ENOMEM;
}

static void take_region(struct core_file *c, struct mapped_files *m, const struct region_view *r)
{
	struct vm_space *s = c->process->space;
	struct file *f = file_of_vm_name(&r->name);
	uint32_t filter = load_relaxed(&c->process->core.filter);
	struct region_info i;
	if (!space_query(s, r->info.start, &i) || i.start != r->info.start)
		return; /* another process that shares the memory has unmapped it */
	c->segments[c->nsegments++] = (struct core_segment){.start = i.start,
	    .end = i.end,
	    .prot = i.prot,
	    .filesz = bytes_wanted(s, &i, f, filter),
	    .by_copy = i.kind == VM_PHYS};
	if (f)
		add_mapped(m, &i, f);
}

static unsigned count_regions(struct vm_space *s)
{
	rwlock_read(&s->lock);
	uint64_t n = s->regions.count;
	rwlock_read_unlock(&s->lock);
	return (unsigned)n; /* <= REGIONS_MAX */
}

err_t core_segments_take(struct core_file *c)
{
	struct vm_space *s = c->process->space;
	struct mapped_files m = {.path = kmalloc(PATH_LEN_MAX)};
	struct region_view r;
	unsigned room = count_regions(s);
	c->segments = kva_alloc_buffer(room * sizeof(c->segments[0]));
	err_t err = m.path && c->segments ? 0 : -ENOMEM;
	for (uaddr_t at = 0; !err && c->nsegments < room && space_view(s, at, &r); at = r.info.end) {
		take_region(c, &m, &r);
		region_view_end(&r);
	}
	if (!err)
		join_mapped(c, &m);
	text_fini(&m.entries);
	text_fini(&m.names);
	kfree(m.path);
	return err ? err : c->mapped.err;
}
