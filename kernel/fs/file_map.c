/* file_map.c - an open file as the name of what a window shows: it stays open while it is mapped, and /proc
 * can tell. */
#include "fs/file.h"

static void name_get(void *what)
{
	file_get(what);
}

static void name_put(void *what)
{
	struct file *f = what;
	if (f->vnode)
		vnode_note_mapped_writes(f->vnode);
	file_put(f);
}

static const struct vm_name_ops file_name_ops = {.get = name_get, .put = name_put};

struct vm_name file_vm_name(struct file *f)
{
	return (struct vm_name){&file_name_ops, f};
}

struct file *file_of_vm_name(const struct vm_name *name)
{
	return name->ops == &file_name_ops ? name->what : NULL;
}
