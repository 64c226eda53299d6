#pragma once
/* procfs_vm.h - what of /proc/sys/vm can be set: how much is promised, how much may be dirty. Names, ranges
 * and meanings are Linux's. */
#include "proc/procfs_priv.h"

#define VM_SETTINGS(X)                                                                                       \
	X(overcommit_memory)                                                                                 \
	X(overcommit_ratio)                                                                                  \
	X(overcommit_kbytes)                                                                                 \
	X(dirty_background_ratio)                                                                            \
	X(dirty_ratio)

#define VM_DECLARE(name)                                                                                     \
	void vm_show_##name(struct text *t, struct vnode *v);                                                \
	int64_t vm_store_##name(struct vnode *v, char *s, size_t n);
VM_SETTINGS(VM_DECLARE)
