#pragma once
/*
 * space.h - address spaces and the operations on them. All map operations are transactional: they reserve
 * everything first, then commit with steps that cannot fail; an error leaves the space as it was. All may
 * sleep; called with no lock held.
 *
 * Letters: (S) lock; (C) constant after creation; (A) atomic
 */
#include "kern/mutex.h"
#include "vm/region.h"

enum { AUX_WORDS = 2 * 24 }; /* of the auxiliary vector, at most */

/* Where the parts of a program are, as /proc tells. */
struct space_layout {
	uaddr_t code_start, code_end, data_start, data_end;
	uaddr_t stack_start; /* where the stack pointer was first */
	uaddr_t arg_start, arg_end, env_start, env_end;
	unsigned aux_count; /* words */
	uint64_t aux[AUX_WORDS];
};

struct vm_space {
	struct rwlock lock;        /* faults read, map operations write */
	struct region_set regions; /* (S) */
	uint64_t npages;           /* (S) pages of all regions */
	_Atomic uint64_t serial;   /* (A) changes whenever a stack region is removed or changed */
	struct mmu_context mmu;
	struct refcount refs;      /* (A) */
	struct mutex brk_lock;     /* processes that share the memory share its heap */
	struct space_layout layout; /* (C) set by exec before anybody else sees the space, copied by fork */
	uaddr_t mmap_top; /* (C) likewise: mappings without an address of their own go below it if there is room; 0: the end of user space */
	uaddr_t brk_start, brk;    /* brk_lock: heap of the brk call: [brk_start, brk) */
	_Atomic uint32_t barriers; /* (A) membarrier commands that its processes registered for */
};

enum vm_map_flags {
	VM_MAP_FIXED = 1 << 0,     /* exactly at addr, replacing what is there */
	VM_MAP_NOREPLACE = 1 << 1, /* with FIXED: -EEXIST if anything is there */
	VM_MAP_SHARED =
	    1
	    << 2, /* window on the object itself; without it and with a FILE object: private copy-on-write */
	VM_MAP_STACK = 1 << 3,
	VM_MAP_PURGEABLE =
	    1 << 4, /* anonymous memory that may be made volatile: always a region and object of its own */
	VM_MAP_POPULATE = 1 << 5, /* fault it in at once (best effort) */
};

struct vm_map_args {
	uaddr_t addr;             /* hint, or the address with VM_MAP_FIXED; page aligned if fixed */
	uint64_t len;             /* bytes, rounded up to pages; 0: -EINVAL */
	unsigned prot, max_prot;  /* enum vm_prot; max_prot 0 means VM_RWX */
	unsigned flags;           /* enum vm_map_flags */
	struct vm_object *object; /* NULL: anonymous memory. The region takes its own reference */
	pgidx_t offset;           /* object index of the first page */
	uaddr_t floor,
	    ceiling; /* without VM_MAP_FIXED and without room at the hint: look in [floor, ceiling) only; 0: no bound */
};

void vm_init(void);
/* An empty space for user addresses [USER_START, USER_END). -ENOMEM. */
MUST_CHECK err_t space_create(struct vm_space **out);
static inline void space_get(struct vm_space *s)
{
	ref_get(&s->refs);
}
/* The last put unmaps everything and frees all tables. No thread may run in it then. */
void space_put(struct vm_space *s);

/* Map. *out gets the address. -EINVAL (length 0, unaligned, flags that contradict), -ENOMEM (no memory, no
 * room), -EEXIST (NOREPLACE), -EPERM (an immutable region is in the way), -EACCES (prot beyond max_prot),
 * -EOVERFLOW (offset + len). Anonymous private memory next to a like region extends it. */
MUST_CHECK err_t space_map(struct vm_space *s, const struct vm_map_args *args, uaddr_t *out);
/* Unmap [addr, addr + len): holes are fine, as on Linux. -EINVAL (unaligned, 0, out of range), -EPERM,
 * -ENOMEM (a split could not be made: nothing changed). */
MUST_CHECK err_t space_unmap(struct vm_space *s, uaddr_t addr, uint64_t len);
/* Change protection. -ENOMEM for a hole (as Linux; but nothing is changed then) or no memory, -EACCES beyond
 * max_prot, -EPERM, -EINVAL. */
MUST_CHECK err_t space_protect(struct vm_space *s, uaddr_t addr, uint64_t len, unsigned prot);
/* Throw pages away (MADV_DONTNEED): private memory reads zeros or its file again; shared: only translations
 * go. -ENOMEM for a hole, -EINVAL. */
MUST_CHECK err_t space_discard(struct vm_space *s, uaddr_t addr, uint64_t len);
/* Set or clear region flags DONTFORK, WIPEONFORK, IMMUTABLE (set only) on [addr, addr + len). -ENOMEM,
 * -EINVAL, -EPERM. */
MUST_CHECK err_t space_set_flags(
    struct vm_space *s, uaddr_t addr, uint64_t len, unsigned set, unsigned clear);
/* MADV_SET_VOLATILE / SET_NONVOLATILE: [addr, addr + len) must be exactly one whole purgeable region: else
 * -EINVAL. */
MUST_CHECK err_t space_set_volatile(struct vm_space *s, uaddr_t addr, uint64_t len);
MUST_CHECK err_t space_set_nonvolatile(struct vm_space *s, uaddr_t addr, uint64_t len, bool *was_purged);
/* A copy of the space in time that does not depend on how many pages are resident. -ENOMEM: the parent is as
 * it was. */
MUST_CHECK err_t space_fork(struct vm_space *parent, struct vm_space **out);

/* What shared memory does addr show? *object gets the object with a reference and *idx the page of it; NULL if
 * the memory is private. -EFAULT: nothing is mapped. */
MUST_CHECK err_t space_find_shared(struct vm_space *s, uaddr_t addr, struct vm_object **object, pgidx_t *idx);
/* What is at addr or above: for /proc and tests. False: nothing. */
struct region_info {
	uaddr_t start, end;
	unsigned prot, max_prot, flags;
	pgidx_t offset;
	enum vm_kind kind;
	bool has_backing, purgeable;
	enum volatile_state vol_state;
	uint64_t resident, shared; /* pages of the window in its own object; of these, shared with a clone */
};
bool space_query(struct vm_space *s, uaddr_t addr, struct region_info *out);
/* Check every invariant of docs/invariants.md in the space, its regions, their objects and the MMU context;
 * panics on a violation. */
void vm_validate(struct vm_space *s);
