/*
 * linux_mmap.c - mmap(2): checks and errors in Linux's order, then vm/.
 *
 * On this processor a page that can be written or executed can be read too, and programs rely on it:
 * PROT_WRITE and PROT_EXEC imply PROT_READ here, as on Linux.
 */
#include "sys/files.h"
#include "sys/memory.h"
#include "vm/commit.h"

enum map_bits {
	MAP_SHARED = 0x01,
	MAP_PRIVATE = 0x02,
	MAP_SHARED_VALIDATE = 0x03,
	MAP_TYPE = 0x0f,
	MAP_FIXED = 0x10,
	MAP_ANONYMOUS = 0x20,
	MAP_32BIT = 0x40,
	MAP_ABOVE4G = 0x80,
	MAP_GROWSDOWN = 0x100,
	MAP_DENYWRITE = 0x800,
	MAP_EXECUTABLE = 0x1000,
	MAP_LOCKED = 0x2000,
	MAP_NORESERVE = 0x4000,
	MAP_POPULATE = 0x8000,
	MAP_NONBLOCK = 0x10000,
	MAP_STACK = 0x20000,
	MAP_HUGETLB = 0x40000,
	MAP_FIXED_NOREPLACE = 0x100000,
	MAP_PURGEABLE = 0x2000000, /* ours: abi/quire.h */
	MAP_UNINITIALIZED = 0x4000000,
	MAP_HUGE_SHIFT = 26,
	MAP_HUGE_MASK = 0x3f,
	HUGE_2M = 21,
	HUGE_1G = 30,
};
/* What MAP_SHARED_VALIDATE lets pass: the flags that kernels knew before it. */
#define MAP_KNOWN                                                                                            \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_32BIT | MAP_ABOVE4G | MAP_GROWSDOWN |    \
	    MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK |      \
	    MAP_STACK | MAP_HUGETLB | MAP_UNINITIALIZED | HUGE_2M << MAP_HUGE_SHIFT |                        \
	    HUGE_1G << MAP_HUGE_SHIFT)

#define MAP_32BIT_FLOOR   GIB(1) /* the range that Linux takes */
#define MAP_32BIT_CEILING GIB(2)

/* One mmap, made explicit: filled by the stages below. */
struct mmap_call {
	uaddr_t addr;
	uint64_t len;
	unsigned prot, max_prot; /* enum vm_prot */
	uint32_t flags;          /* enum map_bits */
	uint64_t offset;
	struct file *file;        /* counted; NULL: anonymous */
	uint32_t rights;          /* of its descriptor */
	struct vm_object *object; /* counted; NULL: anonymous private memory */
	struct vm_limits limits;
};

unsigned vm_prot_of(int32_t prot)
{
	unsigned p = (unsigned)prot & VM_RWX;
	return p & (VM_WRITE | VM_EXEC) ? p | VM_READ : p;
}

static bool is_fixed(const struct mmap_call *m)
{
	return m->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
}

/* There are no huge pages: the pool is empty, and no file is made of them. */
static err_t no_huge_pages(const struct mmap_call *m)
{
	unsigned size = m->flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
	bool known = size == 0 || size == HUGE_2M || size == HUGE_1G;
	return !(m->flags & MAP_ANONYMOUS) || !known ? -EINVAL : -ENOMEM;
}

/* Length and address; what is there already if it may not be replaced. */
static err_t check_place(struct mmap_call *m)
{
	if (!m->len)
		return -EINVAL;
	m->len = ALIGN_UP(m->len, (uint64_t)PAGE_SIZE);
	if (!m->len || m->len > USER_END)
		return -ENOMEM;
	if (!is_fixed(m)) {
		m->addr = ALIGN_DOWN(m->addr, (uaddr_t)PAGE_SIZE);
		if (m->addr && m->addr < MMAP_MIN_ADDR)
			m->addr = MMAP_MIN_ADDR;
		return 0;
	}
	if (m->addr > USER_END - m->len)
		return -ENOMEM;
	if (m->addr & (PAGE_SIZE - 1))
		return -EINVAL;
	if (m->addr < USER_START || (m->addr < MMAP_MIN_ADDR && !current_can(CAP_SYS_RAWIO)))
		return -EPERM;
	return (m->flags & MAP_FIXED_NOREPLACE) && range_is_used(m->addr, m->len) ? -EEXIST : 0;
}

static err_t check_locked(const struct mmap_call *m)
{
	return (m->flags & MAP_LOCKED) && !current_may_lock() ? -EPERM : 0;
}

static bool on_noexec_mount(const struct file *f)
{
	return f->mount && (load_relaxed(&f->mount->flags) & MOUNT_NOEXEC);
}

/* A shared window: what was written through it would be in the file. */
static err_t check_shared(const struct file *f, uint32_t rights, unsigned prot, unsigned *max_prot)
{
	const struct vnode *v = f->vnode;
	bool may_write = rights & RIGHT_WRITE;
	if ((prot & VM_WRITE) && !may_write)
		return -EACCES;
	bool sealed = v && (load_relaxed(&v->seals) & (SEAL_WRITE | SEAL_FUTURE_WRITE));
	if (!may_write || (sealed && !(prot & VM_WRITE)))
		*max_prot &= ~(unsigned)VM_WRITE;
	return 0;
}

err_t map_check_rights(const struct file *f, uint32_t rights, bool shared, unsigned prot, unsigned *max_prot)
{
	err_t err = shared ? check_shared(f, rights, prot, max_prot) : 0;
	if (err)
		return err;
	if ((~rights & (RIGHT_READ | RIGHT_MAP)) || ((prot & VM_EXEC) && !(rights & RIGHT_EXEC)))
		return -EACCES;
	if (!(rights & RIGHT_EXEC))
		*max_prot &= ~(unsigned)VM_EXEC;
	if (!on_noexec_mount(f))
		return 0;
	*max_prot &= ~(unsigned)VM_EXEC;
	return prot & VM_EXEC ? -EPERM : 0;
}

/* Rights to the file, and the object to map. */
static err_t check_file(struct mmap_call *m)
{
	uint32_t type = m->flags & MAP_TYPE;
	if (m->offset > (uint64_t)INT64_MAX || m->len > (uint64_t)INT64_MAX - m->offset)
		return -EOVERFLOW;
	if (type != MAP_SHARED && type != MAP_SHARED_VALIDATE && type != MAP_PRIVATE)
		return -EINVAL;
	if (type == MAP_SHARED_VALIDATE && (m->flags & ~(uint32_t)MAP_KNOWN))
		return -ENOTSUP;
	err_t err = map_check_rights(m->file, m->rights, type != MAP_PRIVATE, m->prot, &m->max_prot);
	if (err)
		return err;
	if (!m->file->ops->mmap)
		return -ENODEV;
	if (m->flags & (MAP_GROWSDOWN | MAP_PURGEABLE))
		return -EINVAL;
	return file_mmap(
	    m->file, m->offset, m->len, m->prot, type == MAP_PRIVATE ? 0 : VM_MAP_SHARED, &m->object);
}

static bool is_unpromised(const struct mmap_call *m)
{
	return (m->flags & MAP_NORESERVE) && commit_mode() != COMMIT_NEVER;
}

static err_t check_anonymous(struct mmap_call *m)
{
	uint32_t type = m->flags & MAP_TYPE;
	m->offset = 0;
	if ((m->flags & MAP_PURGEABLE) && (type != MAP_PRIVATE || (m->flags & MAP_GROWSDOWN)))
		return -EINVAL; /* what is to be shared is a purgeable file */
	if (type == MAP_PRIVATE)
		return 0;
	if (type != MAP_SHARED || (m->flags & MAP_GROWSDOWN))
		return -EINVAL;
	return object_create_anon(
	    is_unpromised(m) ? VM_NORESERVE : 0, m->len >> PAGE_SHIFT, NULL, &m->object);
}

static unsigned vm_flags_of(const struct mmap_call *m)
{
	unsigned f = 0;
	if (is_fixed(m))
		f |= VM_MAP_FIXED;
	if (m->flags & MAP_FIXED_NOREPLACE)
		f |= VM_MAP_NOREPLACE;
	if ((m->flags & MAP_TYPE) != MAP_PRIVATE)
		f |= VM_MAP_SHARED;
	if ((m->flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE)
		f |= VM_MAP_POPULATE;
	if (m->flags & MAP_GROWSDOWN)
		f |= VM_MAP_GROWSDOWN;
	if (m->flags & MAP_LOCKED)
		f |= VM_MAP_LOCKED;
	if (is_unpromised(m))
		f |= VM_MAP_NORESERVE;
	/* It means something only to those who have asked for it; others' memory is counted and merged as
	 * ever. */
	if ((m->flags & MAP_STACK) && !m->object && !m->file && guard_is_on(GUARD_STACK))
		f |= VM_MAP_STACK;
	if (m->flags & MAP_PURGEABLE)
		f |= VM_MAP_PURGEABLE;
	return f;
}

static int64_t do_map(struct mmap_call *m)
{
	uaddr_t where;
	struct vm_map_args args = {.addr = m->addr,
	    .len = m->len,
	    .prot = m->prot,
	    .max_prot = m->max_prot,
	    .flags = vm_flags_of(m),
	    .object = m->object,
	    .offset = m->offset >> PAGE_SHIFT,
	    .floor = MMAP_MIN_ADDR,
	    .limits = &m->limits};
	if (m->file && m->object)
		args.name = file_vm_name(m->file);
	if ((m->flags & MAP_32BIT) && !is_fixed(m)) {
		args.floor = MAP_32BIT_FLOOR;
		args.ceiling = MAP_32BIT_CEILING;
		if (m->len > MAP_32BIT_CEILING || m->addr > MAP_32BIT_CEILING - m->len)
			args.addr = 0;
	}
	err_t err = space_map(current_space(), &args, &where);
	return err ? err : (int64_t)where;
}

int64_t sys_mmap(uaddr_t addr, uint64_t len, int32_t prot, int32_t flags, int32_t fd, int64_t offset)
{
	struct mmap_call m = {.addr = addr,
	    .len = len,
	    .prot = vm_prot_of(prot),
	    .max_prot = VM_RWX,
	    .flags = (uint32_t)flags,
	    .offset = (uint64_t)offset};
	if (offset & (PAGE_SIZE - 1))
		return -EINVAL;
	if (guard_is_on(GUARD_WX) && (m.prot & VM_WRITE) && (m.prot & VM_EXEC)) {
		guard_break("a mapping that is writable and executable");
		return -EACCES;
	}
	int64_t err = flags & MAP_ANONYMOUS ? 0 : fd_file_rights(fd, &m.file, &m.rights);
	if (err)
		return err;
	current_vm_limits(&m.limits);
	if (flags & MAP_HUGETLB)
		err = no_huge_pages(&m);
	if (!err)
		err = check_place(&m);
	if (!err)
		err = check_locked(&m);
	if (!err)
		err = m.file ? check_file(&m) : check_anonymous(&m);
	if (!err)
		err = do_map(&m);
	if (m.object)
		object_put(m.object);
	if (m.file)
		file_put(m.file);
	return err;
}

/* --- remap_file_pages --- */

/* The pages of [start, end), which windows on one object show with the same rights, get other places in that
 * object. */
struct reorder {
	uaddr_t start, end;
	struct region_view first; /* counted */
	struct vm_object *object; /* counted */
};

/* Does the region at `at` go on with what the first one shows? *next gets its end. */
static bool goes_on(const struct reorder *r, uaddr_t at, uaddr_t *next)
{
	struct region_view v;
	struct vm_object *o = NULL;
	pgidx_t idx;
	bool same = space_view(current_space(), at, &v) && v.info.start <= at &&
		    v.info.flags == r->first.info.flags && v.info.prot == r->first.info.prot &&
		    v.name.ops == r->first.name.ops && v.name.what == r->first.name.what &&
		    !space_find_shared(current_space(), at, &o, &idx) && o == r->object;
	*next = v.info.end;
	if (o)
		object_put(o);
	region_view_end(&v);
	return same;
}

static err_t check_reorder(struct reorder *r)
{
	pgidx_t idx;
	const struct region_info *i = &r->first.info;
	if (!space_view(current_space(), r->start, &r->first) || i->start > r->start ||
	    !(i->flags & REGION_SHARED) || i->kind == VM_PHYS ||
	    space_find_shared(current_space(), r->start, &r->object, &idx) || !r->object)
		return -EINVAL;
	for (uaddr_t at = i->end; at < r->end;)
		if (!goes_on(r, at, &at))
			return -EINVAL;
	return 0;
}

static err_t reorder(const struct reorder *r, pgidx_t page, bool bring_in)
{
	struct vm_limits limits;
	uaddr_t where;
	current_vm_limits(&limits);
	const struct vm_map_args args = {.addr = r->start,
	    .len = r->end - r->start,
	    .prot = r->first.info.prot,
	    .max_prot = r->first.info.max_prot,
	    .flags = VM_MAP_FIXED | VM_MAP_SHARED | (bring_in ? VM_MAP_POPULATE : 0) |
		     (r->first.info.flags & REGION_LOCKED ? VM_MAP_LOCKED : 0),
	    .object = r->object,
	    .offset = page,
	    .name = r->first.name,
	    .limits = &limits};
	return space_map(current_space(), &args, &where);
}

/* A mapping over a part of another one of the same memory: what Linux does as well since it has no other way.
 */
int64_t sys_remap_file_pages(uaddr_t addr, uint64_t len, uint64_t prot, uint64_t page, int32_t flags)
{
	struct reorder r = {.start = ALIGN_DOWN(addr, (uaddr_t)PAGE_SIZE)};
	len = ALIGN_DOWN(len, (uint64_t)PAGE_SIZE);
	r.end = r.start + len;
	if (prot || r.end <= r.start || page + (len >> PAGE_SHIFT) < page)
		return -EINVAL;
	err_t err = check_reorder(&r);
	if (!err)
		err = reorder(&r, page, !(flags & MAP_NONBLOCK));
	if (r.object)
		object_put(r.object);
	region_view_end(&r.first);
	return err;
}
