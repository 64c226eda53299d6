/*
 * procfs_pagemap.c - /proc/PID/pagemap: a word for each page of a process's memory. Format: Linux's
 * Documentation/admin-guide/mm/pagemap.rst.
 *
 * Frame numbers are for the privileged only, and told to nobody who was not when he opened the file. Nothing
 * here clears the mark that a page was written to, so everything that is mapped has it, as on Linux before
 * anybody clears it. Who may look is asked again at each read: the process may run another program by then.
 */
#include "fs/text.h"
#include "fs/uio.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/procfs_memory.h"
#include "proc/procfs_priv.h"
#include "vm/page_view.h"

#define ENTRY_PRESENT   (1ULL << 63)
#define ENTRY_FILE      (1ULL << 61)
#define ENTRY_EXCLUSIVE (1ULL << 56)
#define ENTRY_WRITTEN   (1ULL << 55)
#define ENTRY_FRAME     ((1ULL << 55) - 1)

enum { AT_ONCE = 64, ENTRY_SIZE = sizeof(uint64_t) };

static uint64_t entry_of(const struct page_view *v, bool tell_frame)
{
	uint64_t e = v->mapped ? ENTRY_WRITTEN : 0;
	if (!v->present)
		return e;
	e |= ENTRY_PRESENT | (v->of_file ? ENTRY_FILE : 0) | (v->exclusive ? ENTRY_EXCLUSIVE : 0);
	return tell_frame ? e | (v->paddr >> PAGE_SHIFT & ENTRY_FRAME) : e;
}

/* The entries of the next pages. Bytes or an error. */
static int64_t read_some(struct vm_space *s, struct uio *u, uint64_t page, bool tell_frame)
{
	struct page_view views[AT_ONCE];
	uint64_t entries[AT_ONCE];
	size_t n = MIN(MIN(u->left / ENTRY_SIZE, (size_t)AT_ONCE), (USER_END >> PAGE_SHIFT) - page), done = 0;
	space_view_pages(s, page << PAGE_SHIFT, views, (unsigned)n);
	for (size_t i = 0; i < n; i++)
		entries[i] = entry_of(&views[i], tell_frame);
	err_t err = uio_write(u, entries, n * ENTRY_SIZE, &done);
	return err ? err : (int64_t)done;
}

static int64_t pagemap_read(struct file *f, struct uio *u, uint64_t *pos)
{
	const struct proc_node *n = proc_node_of(f->vnode);
	int64_t total = 0, done = 1;
	if (*pos % ENTRY_SIZE || u->left % ENTRY_SIZE)
		return -EINVAL;
	struct vm_space *s = current_may_access(n->process, n->tid) ? process_space(n->process) : NULL;
	if (!s)
		return 0;
	while (u->left && done > 0 && *pos / ENTRY_SIZE < USER_END >> PAGE_SHIFT) {
		done = read_some(s, u, *pos / ENTRY_SIZE, f->priv != NULL);
		if (done > 0) {
			total += done;
			*pos += (uint64_t)done;
		}
	}
	space_put(s);
	return total ? total : done < 0 ? done : 0;
}

static const struct file_ops pagemap_file_ops = {.read = pagemap_read, .seek = text_seek};

err_t memory_open_pagemap(const struct proc_node *n, struct file *f)
{
	static char tells_frames;
	if (!current_may_access(n->process, n->tid))
		return -EACCES;
	f->priv = current_can(CAP_SYS_ADMIN) ? &tells_frames : NULL;
	f->ops = &pagemap_file_ops;
	return 0;
}
