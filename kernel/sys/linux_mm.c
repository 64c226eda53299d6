/*
 * linux_mm.c - the memory calls of the Linux ABI: checks and errors in Linux's order, then vm/.
 *
 * On this processor a page that can be written or executed can be read too, and programs rely on it:
 * PROT_WRITE and PROT_EXEC imply PROT_READ here, as on Linux.
 */
#include "proc/process.h"
#include "sys/files.h"
#include "vm/space.h"

enum prot_bits { PROT_MASK = VM_RWX, PROT_SEM = 8 };

enum map_bits {
	MAP_SHARED = 0x01,
	MAP_PRIVATE = 0x02,
	MAP_SHARED_VALIDATE = 0x03,
	MAP_TYPE = 0x0f,
	MAP_FIXED = 0x10,
	MAP_ANONYMOUS = 0x20,
	MAP_32BIT = 0x40,
	MAP_GROWSDOWN = 0x100,
	MAP_LOCKED = 0x2000,
	MAP_POPULATE = 0x8000,
	MAP_STACK = 0x20000,
	MAP_HUGETLB = 0x40000,
	MAP_FIXED_NOREPLACE = 0x100000,
	/* What MAP_SHARED_VALIDATE lets pass: all above, and what never did anything (DENYWRITE, EXECUTABLE, NORESERVE, NONBLOCK). */
	MAP_KNOWN = MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_32BIT | MAP_GROWSDOWN | MAP_LOCKED | MAP_POPULATE |
		    MAP_STACK | MAP_HUGETLB | 0x800 | 0x1000 | 0x4000 | 0x10000,
};

#define MAP_32BIT_FLOOR   GIB(1) /* the range that Linux takes */
#define MAP_32BIT_CEILING GIB(2)

enum advice {
	MADV_NORMAL = 0,
	MADV_RANDOM = 1,
	MADV_SEQUENTIAL = 2,
	MADV_WILLNEED = 3,
	MADV_DONTNEED = 4,
	MADV_DONTFORK = 10,
	MADV_DOFORK = 11,
	MADV_WIPEONFORK = 18,
	MADV_KEEPONFORK = 19,
};

static struct vm_space *current_space(void)
{
	return current_thread()->space;
}

static unsigned vm_prot_of(int32_t prot)
{
	unsigned p = (unsigned)prot & PROT_MASK;
	return p & (VM_WRITE | VM_EXEC) ? p | VM_READ : p;
}

static unsigned vm_flags_of(int32_t flags)
{
	unsigned f = 0;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))
		f |= VM_MAP_FIXED;
	if (flags & MAP_FIXED_NOREPLACE)
		f |= VM_MAP_NOREPLACE;
	if ((flags & MAP_TYPE) != MAP_PRIVATE)
		f |= VM_MAP_SHARED;
	if (flags & MAP_STACK)
		f |= VM_MAP_STACK;
	if (flags & (MAP_POPULATE | MAP_LOCKED))
		f |= VM_MAP_POPULATE;
	return f;
}

/* The checks of mmap(2) that need neither the space nor the file. *len is rounded up. */
static err_t check_mmap(uaddr_t addr, uint64_t *len, int32_t flags, uint64_t offset)
{
	if (*len == 0)
		return -EINVAL;
	if (*len > USER_END)
		return -ENOMEM;
	*len = ALIGN_UP(*len, (uint64_t)PAGE_SIZE);
	if (offset > UINT64_MAX - *len)
		return -EOVERFLOW;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
		if (addr > USER_END || *len > USER_END - addr)
			return -ENOMEM;
		if (addr & (PAGE_SIZE - 1))
			return -EINVAL;
		if (addr < USER_START)
			return -EPERM;
	}
	int32_t type = flags & MAP_TYPE;
	bool validate = type == MAP_SHARED_VALIDATE && !(flags & MAP_ANONYMOUS);
	if (type != MAP_SHARED && type != MAP_PRIVATE && !validate)
		return -EINVAL;
	if (validate && (flags & ~MAP_KNOWN))
		return -ENOTSUP;
	/* What would have to work in another way than asked for is refused, not ignored. */
	return flags & (MAP_GROWSDOWN | MAP_HUGETLB) ? -ENOTSUP : 0;
}

/* What a file may be mapped for, by how it was opened and where it is. */
static err_t check_file(const struct file *f, struct vm_map_args *args)
{
	bool shared = args->flags & VM_MAP_SHARED, writable = file_may_write(f);
	if (shared && (args->prot & VM_WRITE) && !writable)
		return -EACCES;
	if (!file_may_read(f))
		return -EACCES;
	args->max_prot = shared && !writable ? VM_RWX & ~(unsigned)VM_WRITE : VM_RWX;
	if (f->mount && (load_relaxed(&f->mount->flags) & MOUNT_NOEXEC)) {
		if (args->prot & VM_EXEC)
			return -EPERM;
		args->max_prot &= ~(unsigned)VM_EXEC;
	}
	return 0;
}

/* The object to map, with a reference; NULL: fresh private memory. f NULL: none is asked for. */
static err_t find_object(struct file *f, struct vm_map_args *args, uint64_t offset)
{
	if (!f)
		return args->flags & VM_MAP_SHARED
			   ? object_create_anon(0, args->len >> PAGE_SHIFT, NULL, &args->object)
			   : 0;
	err_t err = check_file(f, args);
	if (!err)
		err = file_mmap(f, offset, args->len, args->prot, args->flags, &args->object);
	if (!err && args->object)
		args->offset = offset >> PAGE_SHIFT;
	return err;
}

static int64_t do_mmap(
    struct file *f, uaddr_t addr, uint64_t len, int32_t prot, int32_t flags, uint64_t offset)
{
	struct vm_map_args args = {.prot = vm_prot_of(prot), .flags = vm_flags_of(flags)};
	uaddr_t where;
	err_t err = check_mmap(addr, &len, flags, offset);
	if (err)
		return err;
	args.addr = args.flags & VM_MAP_FIXED ? addr : ALIGN_DOWN(addr, (uint64_t)PAGE_SIZE);
	args.len = len;
	if (flags & MAP_32BIT) {
		args.floor = MAP_32BIT_FLOOR;
		args.ceiling = MAP_32BIT_CEILING;
	}
	if (f)
		args.flags &= ~(unsigned)VM_MAP_STACK; /* a hint that counts for anonymous memory only */
	err = find_object(f, &args, offset);
	if (!err)
		err = space_map(current_space(), &args, &where);
	if (args.object)
		object_put(args.object);
	return err ? err : (int64_t)where;
}

int64_t sys_mmap(uaddr_t addr, uint64_t len, int32_t prot, int32_t flags, int32_t fd, int64_t offset)
{
	struct file *f = NULL;
	if (offset & (PAGE_SIZE - 1))
		return -EINVAL;
	err_t err = flags & MAP_ANONYMOUS ? 0 : fd_file(fd, &f);
	if (err)
		return err;
	int64_t result = do_mmap(f, addr, len, prot, flags, (uint64_t)offset);
	if (f)
		file_put(f);
	return result;
}

int64_t sys_munmap(uaddr_t addr, uint64_t len)
{
	if (len > USER_END || addr > USER_END - len)
		return -EINVAL;
	return space_unmap(current_space(), addr, len);
}

/* Round len up and check [addr, addr + len) as mprotect and madvise do. *len 0 on success: nothing to do. */
static err_t check_range(uaddr_t addr, uint64_t *len, err_t wraps)
{
	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	uint64_t rounded = ALIGN_UP(*len, (uint64_t)PAGE_SIZE);
	if (*len && (!rounded || addr + rounded < addr))
		return wraps;
	*len = rounded;
	return 0;
}

int64_t sys_mprotect(uaddr_t addr, uint64_t len, int32_t prot)
{
	err_t err = check_range(addr, &len, -ENOMEM);
	if (err || !len)
		return err;
	if (prot & ~(PROT_MASK | PROT_SEM))
		return -EINVAL;
	if (addr < USER_START || len > USER_END || addr > USER_END - len)
		return -ENOMEM;
	return space_protect(current_space(), addr, len, vm_prot_of(prot));
}

/* 0 if all of the range is mapped, else -ENOMEM: what hints tell. */
static err_t check_mapped(uaddr_t addr, uint64_t len)
{
	struct region_info info;
	uaddr_t end = addr + len;
	while (addr < end) {
		if (!space_query(current_space(), addr, &info) || info.start > addr)
			return -ENOMEM;
		addr = info.end;
	}
	return 0;
}

int64_t sys_madvise(uaddr_t addr, uint64_t len, int32_t advice)
{
	struct vm_space *space = current_space();
	bool known = (advice >= MADV_NORMAL && advice <= MADV_DONTNEED) || advice == MADV_DONTFORK ||
		     advice == MADV_DOFORK || advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK;
	err_t err = known ? check_range(addr, &len, -EINVAL) : -EINVAL;
	if (err || !len)
		return err;
	if (addr < USER_START || len > USER_END || addr > USER_END - len)
		return -ENOMEM;
	switch (advice) {
	case MADV_DONTNEED:
		return space_discard(space, addr, len);
	case MADV_DONTFORK:
		return space_set_flags(space, addr, len, REGION_DONTFORK, 0);
	case MADV_DOFORK:
		return space_set_flags(space, addr, len, 0, REGION_DONTFORK);
	case MADV_WIPEONFORK:
		return space_set_flags(space, addr, len, REGION_WIPEONFORK, 0);
	case MADV_KEEPONFORK:
		return space_set_flags(space, addr, len, 0, REGION_WIPEONFORK);
	default: /* a hint about order of access: nothing here depends on it */
		return check_mapped(addr, len);
	}
}

/* Move the end of the heap from old to end, both page aligned. */
static err_t move_brk(uaddr_t old, uaddr_t end)
{
	struct vm_map_args args = {.addr = old,
	    .len = end - old,
	    .prot = VM_READ | VM_WRITE,
	    .flags = VM_MAP_FIXED | VM_MAP_NOREPLACE};
	uaddr_t where;
	if (end > old)
		return space_map(current_space(), &args, &where);
	return end < old ? space_unmap(current_space(), end, old - end) : 0;
}

/* Never an error: the break as it is afterwards. */
int64_t sys_brk(uaddr_t end)
{
	struct vm_space *s = current_space();
	mutex_lock(&s->brk_lock);
	if (end >= s->brk_start && end < USER_END) {
		uaddr_t old_page = ALIGN_UP(s->brk, (uint64_t)PAGE_SIZE),
			page = ALIGN_UP(end, (uint64_t)PAGE_SIZE);
		if (!move_brk(old_page, page))
			s->brk = end;
	}
	uaddr_t now = s->brk;
	mutex_unlock(&s->brk_lock);
	return (int64_t)now;
}
