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

/* Rules for all that is in a space, beyond what the ABI asks: docs/guard.md. */
enum space_guard {
	GUARD_STACK = 1 << 0, /* stack pointers point into stacks: proc/guard.c */
	GUARD_WX = 1 << 1,    /* nothing is writable and executable, or executable after it was writable */
	GUARD_TEXT = 1 << 2,  /* executable windows on files are immutable */
	GUARD_CALLS = 1 << 3, /* system calls come from such windows only: proc/guard.c */
	GUARD_ALL = (1 << 4) - 1,
};

enum { AUX_WORDS = 2 * 24 }; /* of the auxiliary vector, at most */

/* Where the parts of a program are, as /proc tells. */
struct space_layout {
	uaddr_t code_start, code_end, data_start, data_end;
	uaddr_t stack_start; /* where the stack pointer was first */
	uaddr_t arg_start, arg_end, env_start, env_end;
	unsigned aux_count; /* words */
	uint64_t aux[AUX_WORDS];
};

/* What the memory of a process may come to, in pages (RLIMIT_*); UINT64_MAX: no limit. */
struct vm_limits {
	uint64_t all;    /* all regions */
	uint64_t data;   /* private, writable, not growing down */
	uint64_t locked; /* locked in memory */
	uint64_t stack;  /* one region that grows down */
};

struct vm_space {
	struct rwlock lock; /* faults read, map operations write */
	_Atomic uint64_t
	    anon; /* (A) pages of its private objects: beside the lock, whose line each fault has anyway */
	_Atomic uint64_t resident_peak; /* (A) most resident pages that were seen: resident.c */
	struct region_set regions;      /* (S) */
	uint64_t npages;                /* (S) pages of all regions */
	uint64_t npages_peak;           /* (S) the most that they were before some went */
	uaddr_t
	    mmap_top; /* (S) regions without a place of their own go below it if there is room; 0: no bound. Set by exec, copied by fork */
	unsigned lock_future; /* (S) of REGION_LOCK_MASK: what new regions get */
	struct list
	    graves; /* (S) regions that left the set while it was locked, to be freed without the lock */
	_Atomic uint64_t
	    serial; /* (A) grows whenever a region with a mark of REGION_MARKS is removed or changed */
	_Atomic uint32_t guards; /* (A) enum space_guard: set before anything is mapped, copied by fork */
	_Atomic bool no_large;   /* (A) no large translations are made. Copied by fork, kept by exec */
	struct mmu_context mmu;
	struct refcount refs;    /* (A) of the memory */
	struct refcount records; /* (A) of this record: one for the memory, one for each who remembers it */
	struct mutex brk_lock;   /* processes that share the memory share its heap */
	struct space_layout layout; /* (C) set by exec before anybody else sees the space, copied by fork */
	uaddr_t brk_start, brk;     /* brk_lock: heap of the brk call: [brk_start, brk) */
	_Atomic uint64_t own_seen;  /* (A) what space_count_own said last */
	_Atomic uint32_t barriers;  /* (A) membarrier commands that its processes registered for */
	_Atomic uint64_t slots;     /* (A) taken by threads that run in it: proc/rseq.c */
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
	VM_MAP_POPULATE = 1 << 5,  /* fault it in at once (best effort) */
	VM_MAP_GROWSDOWN = 1 << 6, /* anonymous private memory that a fault below it extends */
	VM_MAP_LOCKED = 1 << 7,    /* its pages stay in memory; they are faulted in at once (best effort) */
	VM_MAP_DONTDUMP = 1 << 8,
	VM_MAP_NORESERVE = 1 << 9, /* its memory is not promised: it may turn out not to be there */
	VM_MAP_GUARDED = 1 << 10,  /* nothing is beside it: REGION_GUARDED */
	VM_MAP_TWICE = 1 << 11,    /* with SHARED: a second window on the same pages behind it */
};

struct vm_map_args {
	uaddr_t addr;             /* hint, or the address with VM_MAP_FIXED; page aligned if fixed */
	uint64_t len;             /* bytes of one window, rounded up to pages; 0: -EINVAL */
	unsigned prot, max_prot;  /* enum vm_prot; max_prot 0 means VM_RWX */
	unsigned flags;           /* enum vm_map_flags */
	struct vm_object *object; /* NULL: anonymous memory. The region takes its own reference */
	pgidx_t offset;           /* object index of the first page */
	uaddr_t floor,
	    ceiling; /* without VM_MAP_FIXED and without room at the hint: look in [floor, ceiling) only; 0: no bound */
	struct vm_name name;            /* of the object; the region takes its own reference */
	const struct vm_limits *limits; /* NULL: none */
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
/* Keep the record of s but not its memory, and let it go. A reference to the memory is had again as long as
 * somebody else has one: true. */
static inline void space_remember(struct vm_space *s)
{
	ref_get(&s->records);
}
void space_forget(struct vm_space *s);
static inline MUST_CHECK bool space_recall(struct vm_space *s)
{
	return ref_try_get(&s->refs);
}

/* Map. *out gets the address. -EINVAL (length 0, unaligned, flags that contradict), -ENOMEM (no memory, no
 * room), -EEXIST (NOREPLACE; what is beside a GUARDED one that is FIXED), -EPERM (an immutable region is in
 * the way), -EACCES (prot beyond max_prot), -EOVERFLOW (offset + len), -EAGAIN (limit of locked pages; other
 * limits and that of regions: -ENOMEM).
 * Anonymous private memory next to a like region extends it. */
MUST_CHECK err_t space_map(struct vm_space *s, const struct vm_map_args *args, uaddr_t *out);
/* Unmap [addr, addr + len): holes are fine, as on Linux. -EINVAL (unaligned, 0, out of range), -EPERM,
 * -ENOMEM (a split could not be made: nothing changed). */
MUST_CHECK err_t space_unmap(struct vm_space *s, uaddr_t addr, uint64_t len);
/* Change protection. -ENOMEM for a hole (as Linux; but nothing is changed then) or no memory, -EACCES beyond
 * max_prot, -EPERM, -EINVAL. */
MUST_CHECK err_t space_protect(struct vm_space *s, uaddr_t addr, uint64_t len, unsigned prot);
/* Throw pages away (MADV_DONTNEED): private memory reads zeros or its file again; shared: only translations
 * go. -ENOMEM for a hole, -EINVAL, -EPERM (region_keeps_contents). */
MUST_CHECK err_t space_discard(struct vm_space *s, uaddr_t addr, uint64_t len);
/* Set or clear region flags DONTFORK, WIPEONFORK (anonymous private memory only: -EINVAL), DONTDUMP, RANDOM,
 * LARGE, NO_LARGE, IMMUTABLE (set only) on [addr, addr + len). -ENOMEM (a hole, too many regions), -EINVAL,
 * -EPERM (DONTFORK, WIPEONFORK: region_keeps_contents). Nothing is changed then. */
MUST_CHECK err_t space_set_flags(
    struct vm_space *s, uaddr_t addr, uint64_t len, unsigned set, unsigned clear);
/* MADV_SET_VOLATILE / SET_NONVOLATILE: [addr, addr + len) must be exactly one purgeable region that was not
 * cut (and is no window on a file), and not be locked to be made volatile: else -EINVAL. */
MUST_CHECK err_t space_set_volatile(struct vm_space *s, uaddr_t addr, uint64_t len);
MUST_CHECK err_t space_set_nonvolatile(struct vm_space *s, uaddr_t addr, uint64_t len, bool *was_purged);
/* A copy of the space in time that does not depend on how many pages are resident. -ENOMEM: the parent is as
 * it was. */
MUST_CHECK err_t space_fork(struct vm_space *parent, struct vm_space **out);

/* What shared memory does addr show? *object gets the object with a reference and *idx the page of it; NULL
 * if the memory is private. -EFAULT: nothing is mapped. */
MUST_CHECK err_t space_find_shared(struct vm_space *s, uaddr_t addr, struct vm_object **object, pgidx_t *idx);
/* What is at addr or above: for /proc and tests. False: nothing. */
struct region_info {
	uaddr_t start, end;
	unsigned prot, max_prot, flags;
	pgidx_t offset;
	enum vm_kind kind; /* FILE: also for files in memory */
	bool has_backing, purgeable;
	enum volatile_state vol_state;
	uint64_t resident, shared; /* pages of the window in its own object; of these, shared with a clone */
	uint64_t
	    translated; /* pages of a file or of shared memory, not copies of its own, that the space has translations of */
};
bool space_query(struct vm_space *s, uaddr_t addr, struct region_info *out);
/* The same without counting pages: vol_state and what follows is 0. */
bool space_look(struct vm_space *s, uaddr_t addr, struct region_info *out);
/* What somebody remembers who asks for the usage of one region after the other: space_usage.c. His own. */
struct usage_memory {
	struct rb_tree groups;
	struct usage_group *spare;
	unsigned ngroups;
};
void usage_memory_init(struct usage_memory *m);
/* No lock held. May sleep. */
void usage_memory_fini(struct usage_memory *m);
/* Whose are the pages of the region that begins at addr? False: none does. See space_usage.c. */
enum usage_class { USAGE_ANON, USAGE_FILE, USAGE_SHMEM, USAGE_CLASSES };
struct region_usage {
	uint64_t pages; /* of the region */
	uint64_t private_clean, private_dirty, shared_clean,
	    shared_dirty;    /* resident ones: nobody else has it */
	uint64_t anonymous;  /* of these, private memory with contents of its own */
	uint64_t large;      /* of these, spanned by large translations */
	uint64_t referenced; /* used by this window since the marks were cleared */
	bool may_be_large;   /* has it room for one, and are they wanted? */
	uint64_t parts[USAGE_CLASSES],
	    parts_dirty; /* its parts of the resident ones, a page being PT_WHOLE */
};
bool space_usage(struct vm_space *s, uaddr_t addr, struct usage_memory *m, struct region_usage *out);
/* Clear the marks of pages that were used: of windows on nothing but private memory; of all others. What CPUs
 * have cached is not flushed: a page in use may seem unused for a while. */
void space_clear_accessed(struct vm_space *s, bool anonymous, bool of_files);
/* The same without counting, with references; false: nothing is at addr or above. */
struct region_view {
	struct region_info info;
	struct vm_name name;    /* counted */
	struct vm_object *file; /* FILE object that it shows, itself or from behind; counted; NULL: none */
};
bool space_view(struct vm_space *s, uaddr_t addr, struct region_view *out);
void region_view_end(struct region_view *v);

/* --- resident.c --- */
/* Pages in memory, by what they are: of private objects; of files, and shared, that s translates. No lock:
 * what comes or goes meanwhile is counted or not. */
struct vm_resident {
	uint64_t anon, file, shmem;
};
struct vm_resident space_resident_now(const struct vm_space *s);
/* The most that their sum ever was, since the space was made or the peak reset. No lock. */
uint64_t space_resident_peak(const struct vm_space *s);
void space_reset_resident_peak(struct vm_space *s);
/* The most pages that its regions ever had. May sleep. */
uint64_t space_size_peak(struct vm_space *s);

/* --- space_guard.c --- */
/* The region at addr, if it has this mark (of REGION_MARKS); what it said holds as long as the space's serial
 * is not above `serial`. */
struct marked_region {
	uaddr_t start, end;
	uint64_t serial;
};
bool space_find_marked(struct vm_space *s, uaddr_t addr, uint32_t mark, struct marked_region *out);

/* --- large.c --- */
/* Where large translations are made: in all regions that can have one, in those with REGION_LARGE, nowhere.
 * Those with REGION_NO_LARGE, and spaces with no_large, have none. */
enum large_mode { LARGE_ALWAYS, LARGE_ADVISED, LARGE_NEVER };
void vm_set_large_mode(enum large_mode m);
enum large_mode vm_large_mode(void);

/* --- space_move.c --- */
enum vm_remap_flags {
	VM_REMAP_MAYMOVE = 1,
	VM_REMAP_FIXED = 2,
	VM_REMAP_DONTUNMAP = 4
}; /* the numbers of Linux's MREMAP_* */
struct vm_remap_args {
	uaddr_t addr;              /* page aligned, like all of these */
	uint64_t old_len, new_len; /* old_len 0: another window on the same shared memory */
	unsigned
	    flags; /* enum vm_remap_flags; FIXED and DONTUNMAP come with MAYMOVE, DONTUNMAP with equal lengths */
	uaddr_t new_addr; /* with FIXED: replaces what is there; with DONTUNMAP alone: a hint */
	uaddr_t floor;    /* where a new place is looked for: at or above */
	const struct vm_limits *limits;
};
/* mremap: change the length of a window and perhaps its place; its pages go with it. *out gets the address.
 * -EFAULT (nothing there, more than one region, device memory grown), -EINVAL, -ENOMEM, -EAGAIN (limit of
 * locked pages), -EPERM (immutable). An error leaves the space as it was. */
MUST_CHECK err_t space_remap(struct vm_space *s, const struct vm_remap_args *args, uaddr_t *out);

/* --- space_lock.c --- */
/* Lock [addr, addr + len) in memory (flags: of REGION_LOCK_MASK) or unlock it (0). What comes before a hole
 * is done; then -ENOMEM. -ENOMEM also if more than `limit` pages would be locked. Pages are not brought in:
 * see space_populate. */
MUST_CHECK err_t space_lock_range(
    struct vm_space *s, uaddr_t addr, uint64_t len, unsigned flags, uint64_t limit);
/* The same for all regions (`now`), and for what is mapped later (`future`: flags of REGION_LOCK_MASK).
 * -ENOMEM: more than `limit` pages. */
MUST_CHECK err_t space_lock_all(
    struct vm_space *s, bool now, unsigned flags, unsigned future, uint64_t limit);
uint64_t space_locked_pages(struct vm_space *s);
/* Bring [start, end) in. BY_RIGHTS: for writing what is private and writable, else for reading; locked on
 * fault: not at all. -ENOMEM: a hole; else as vm_fault. */
enum populate_mode { POPULATE_BY_RIGHTS, POPULATE_READ, POPULATE_WRITE };
MUST_CHECK err_t space_populate(struct vm_space *s, uaddr_t start, uaddr_t end, enum populate_mode mode);
/* Which of the n pages from addr on are in memory: vec[i] = 1. -ENOMEM: a hole. */
MUST_CHECK err_t space_resident(struct vm_space *s, uaddr_t addr, uint64_t n, uint8_t *vec);
/* Extend the region above addr that grows down to it. 0: there is a region at addr now. -EFAULT: nothing
 * grows, no room, over a limit. */
MUST_CHECK err_t space_grow(struct vm_space *s, uaddr_t addr);
/* Who knows the limits of the current process: for regions that grow by faults. */
void vm_set_limits(void (*current_limits)(struct vm_limits *out));

/* Check every invariant of docs/invariants.md in the space, its regions, their objects and the MMU context;
 * panics on a violation. */
void vm_validate(struct vm_space *s);
