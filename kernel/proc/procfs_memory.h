#pragma once
/* procfs_memory.h - the files of /proc/PID that tell of its memory. */
#include "fs/text.h"
#include "vm/space.h"

struct process;
struct proc_node;

/* In pages, but brk_start and regions. All 0: it has no memory any more. */
struct memory_summary {
	uint64_t size, size_peak, resident_peak;
	struct vm_resident resident;
	uint64_t text, data, stack, regions;
	uaddr_t brk_start;
};
static inline uint64_t memory_resident(const struct memory_summary *m)
{
	return m->resident.anon + m->resident.file + m->resident.shmem;
}
void memory_summary_take(struct memory_summary *m, struct process *p);
/* The lines Vm... of status. */
void memory_show_status(struct text *t, struct process *p);

void memory_show_maps(struct text *t, struct vnode *v);
void memory_show_smaps(struct text *t, struct vnode *v);
void memory_show_rollup(struct text *t, struct vnode *v);
/* clear_refs: which pages were used is forgotten, of all windows (1), those of private memory only (2), the
 * others (3); 4: nothing is; 5: what is in memory now becomes the most that there was. Others: -EINVAL. */
int64_t memory_store_clear_refs(struct vnode *v, char *text, size_t n);
void memory_show_statm(struct text *t, struct vnode *v);
void memory_show_vm(struct text *t, struct vnode *v);
/* The open operation of pagemap. -EACCES. */
struct proc_node;
MUST_CHECK err_t memory_open_pagemap(const struct proc_node *n, struct file *f);
void memory_show_cmdline(struct text *t, struct vnode *v);
void memory_show_environ(struct text *t, struct vnode *v);
/* `mem`: gives f, which is being opened, its operations. -EACCES, -ESRCH. See procfs_mem.c. */
MUST_CHECK err_t memory_open(const struct proc_node *n, struct file *f);
void memory_show_auxv(struct text *t, struct vnode *v);
