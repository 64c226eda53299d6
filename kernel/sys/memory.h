#pragma once
/* memory.h - what the files that serve memory calls share. */
#include "proc/cred.h"
#include "proc/process.h"
#include "sys/sys.h"
#include "vm/fault.h"

/* Below it only the superuser may map, and nobody finds a place: Linux's vm.mmap_min_addr. */
#define MMAP_MIN_ADDR ((uaddr_t)65536)

static inline struct vm_space *current_space(void)
{
	return current_thread()->space;
}
/* PROT_* of a call as enum vm_prot. */
unsigned vm_prot_of(int32_t prot);
/* May a descriptor of f with these rights give a window of this protection? *max_prot loses what it may never
 * have. -EACCES; -EPERM: the mount's files are not executed. */
MUST_CHECK err_t map_check_rights(
    const struct file *f, uint32_t rights, bool shared, unsigned prot, unsigned *max_prot);
/* Is anything mapped in [addr, addr + len)? */
bool range_is_used(uaddr_t addr, uint64_t len);
/* May the current process lock memory at all? */
bool current_may_lock(void);
/* Round len up and check [addr, addr + len); `wraps` is the error if it has no end. *len 0 on success:
 * nothing to do. -EINVAL: addr is in the middle of a page. */
MUST_CHECK err_t check_range(uaddr_t addr, uint64_t *len, err_t wraps);
