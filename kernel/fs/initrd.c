/* initrd.c - see initrd.h. */
#include "fs/initrd.h"
#include "arch/bootinfo.h"
#include "fs/cpio.h"
#include "kern/log.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { MODE_TYPE = 0170000, MODE_REGULAR = 0100000 };

static struct list files = LIST_INIT(files);

size_t initrd_read(const struct initrd_file *f, uint64_t offset, void *buf, size_t n)
{
	if (offset >= f->size)
		return 0;
	n = MIN(n, f->size - offset);
	memcpy(buf, f->data + offset, n);
	return n;
}

static err_t initrd_fill(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint8_t *bytes = page_to_virt(pages[i]);
		size_t got = initrd_read(o->priv, (idx + i) << PAGE_SHIFT, bytes, PAGE_SIZE);
		memset(bytes + got, 0, PAGE_SIZE - got);
	}
	return 0;
}

/* No write: the archive is read-only, a shared mapping cannot be written. No release: files stay. */
static const struct vm_file_ops initrd_ops = {.read = initrd_fill};

/* Skip what may stand before a path's first name or between two of its names. */
static const char *skip_slashes(const char *path)
{
	while (*path == '/' || (path[0] == '.' && path[1] == '/'))
		path++;
	return path;
}

/* Do two normal or sloppy spellings name the same path? */
static bool same_path(const char *a, const char *b)
{
	a = skip_slashes(a);
	b = skip_slashes(b);
	while (*a && *a == *b) {
		bool slash = *a == '/';
		a = slash ? skip_slashes(a) : a + 1;
		b = slash ? skip_slashes(b) : b + 1;
	}
	return !*a && !*b;
}

err_t initrd_lookup(const char *path, struct initrd_file **out)
{
	list_for_each (it, &files) {
		struct initrd_file *f = list_entry(it, struct initrd_file, link);
		if (same_path(f->path, path)) {
			*out = f;
			return 0;
		}
	}
	return -ENOENT;
}

static err_t add_file(const struct cpio_entry *e)
{
	struct initrd_file *f = kzalloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	*f = (struct initrd_file){
	    .path = skip_slashes(e->name), .data = e->data, .size = e->size, .mode = e->mode};
	err_t err = object_create_file(&initrd_ops, f, DIV_ROUND_UP(e->size, PAGE_SIZE), &f->object);
	if (err) {
		kfree(f);
		return err;
	}
	list_push_back(&files, &f->link);
	return 0;
}

void initrd_init(void)
{
	if (bootinfo.nmodules == 0) {
		log_info("initrd", "no boot module: no programs");
		return;
	}
	const struct boot_module *m = &bootinfo.modules[0];
	const void *archive = phys_to_virt(m->start);
	struct cpio_entry e;
	uint64_t pos = 0;
	unsigned count = 0;
	err_t err;
	while (!(err = cpio_next(archive, m->end - m->start, &pos, &e))) {
		if ((e.mode & MODE_TYPE) != MODE_REGULAR)
			continue;
		err = add_file(&e);
		if (err)
			break;
		count++;
	}
	if (err != -ENOENT)
		log_err("initrd", "damaged or not loaded at byte %lu: error %d", (unsigned long)pos, err);
	log_info("initrd", "%u files in %lu KiB", count, (unsigned long)((m->end - m->start) >> 10));
}
