/*
 * procfs_validate.c - /proc/sys/vm/validate, in debug kernels: whoever writes to it has the invariants of
 * docs/invariants.md checked that hold at any moment, whatever else runs - those of every space, with its
 * regions, objects, trees and translations, of frames and of slabs. One that does not hold is a panic.
 */
#ifdef CONFIG_DEBUG
#include "mm/frame.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/procfs_priv.h"
#include "vm/space.h"

static void validate_cache(struct slab_cache *c, UNUSED void *arg)
{
	slab_validate(c);
}

static void validate_spaces(void)
{
	struct process *next;
	for (struct process *p = process_next(NULL); p; p = next) {
		struct vm_space *s = process_space(p);
		if (s) {
			vm_validate(s);
			space_put(s);
		}
		next = process_next(p);
		process_put(p);
	}
}

int64_t procfs_store_validate(UNUSED struct vnode *v, UNUSED char *s, size_t n)
{
	if (current_cred()->euid != 0)
		return -EPERM;
	validate_spaces();
	slab_for_each_cache(validate_cache, NULL);
	frame_validate();
	return (int64_t)n;
}
#endif
