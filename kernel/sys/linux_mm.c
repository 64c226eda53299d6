/*
 * linux_mm.c - the memory calls of the Linux ABI but mmap, madvise and the locking ones: checks and errors in
 * Linux's order, then vm/.
 */
#include "lib/string.h"
#include "sys/files.h"
#include "sys/memory.h"

enum prot_bits { PROT_SEM = 8, PROT_GROWSDOWN = 0x1000000, PROT_GROWSUP = 0x2000000 };
enum msync_bits { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };
enum remap_bits { MREMAP_ALL = VM_REMAP_MAYMOVE | VM_REMAP_FIXED | VM_REMAP_DONTUNMAP };

bool range_is_used(uaddr_t addr, uint64_t len)
{
	struct region_view v;
	bool used = space_view(current_space(), addr, &v) && v.info.start < addr + len;
	region_view_end(&v);
	return used;
}

err_t check_range(uaddr_t addr, uint64_t *len, err_t wraps)
{
	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	uint64_t rounded = ALIGN_UP(*len, (uint64_t)PAGE_SIZE);
	if (*len && (!rounded || addr + rounded < addr))
		return wraps;
	*len = rounded;
	return 0;
}

int64_t sys_munmap(uaddr_t addr, uint64_t len)
{
	if (len > USER_END || addr > USER_END - len)
		return -EINVAL;
	if (addr < USER_START && !(addr & (PAGE_SIZE - 1)) && len) { /* nothing is ever mapped there */
		uint64_t below = USER_START - addr;
		if (ALIGN_UP(len, (uint64_t)PAGE_SIZE) <= below)
			return 0;
		len -= below;
		addr = USER_START;
	}
	return space_unmap(current_space(), addr, len);
}

/* --- mprotect --- */

/* Region by region, up to the first that cannot be changed: what is done in parts has the effects of its
 * parts. */
static err_t protect_regions(uaddr_t addr, uaddr_t end, unsigned prot)
{
	err_t err = 0;
	while (!err && addr < end) {
		struct region_view v;
		bool there = space_view(current_space(), addr, &v) && v.info.start <= addr;
		uaddr_t stop = MIN(end, v.info.end);
		region_view_end(&v);
		err = there ? space_protect(current_space(), addr, stop - addr, prot) : -ENOMEM;
		addr = stop;
	}
	return err;
}

/* With PROT_GROWSDOWN the range begins where the region that grows does. */
static err_t grow_range_down(uaddr_t *addr, uaddr_t end)
{
	struct region_view v;
	err_t err = space_view(current_space(), *addr, &v) && v.info.start < end ? 0 : -ENOMEM;
	if (!err && !(v.info.flags & REGION_GROWSDOWN))
		err = -EINVAL;
	*addr = v.info.start;
	region_view_end(&v);
	return err;
}

int64_t sys_mprotect(uaddr_t addr, uint64_t len, int32_t prot)
{
	unsigned grows = (unsigned)prot & (PROT_GROWSDOWN | PROT_GROWSUP);
	prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
	if (grows == (PROT_GROWSDOWN | PROT_GROWSUP))
		return -EINVAL;
	err_t err = check_range(addr, &len, -ENOMEM);
	if (err || !len)
		return err;
	if (prot & ~(VM_RWX | PROT_SEM))
		return -EINVAL;
	uaddr_t end = addr + len;
	if (grows & PROT_GROWSUP) /* no region grows up on this machine */
		return range_is_used(addr, 1) ? -EINVAL : -ENOMEM;
	if (grows)
		err = grow_range_down(&addr, end);
	if (!err)
		err = space_protect(current_space(), addr, end - addr, vm_prot_of(prot));
	if (err == -ENOMEM || err == -EACCES)
		err = protect_regions(addr, end, vm_prot_of(prot));
	if (err == -EACCES && (prot & VM_EXEC) && guard_is_on(GUARD_WX))
		guard_break("memory that is or was writable is to be executable");
	return err;
}

int64_t sys_pkey_mprotect(uaddr_t addr, uint64_t len, int32_t prot, int32_t pkey)
{
	return pkey == -1 ? sys_mprotect(addr, len, prot) : -EINVAL;
}

/* The processor has no keys to give. */
int64_t sys_pkey_alloc(uint32_t flags, uint64_t rights)
{
	return flags || (rights & ~3ULL) ? -EINVAL : -ENOSPC;
}

int64_t sys_pkey_free(UNUSED int32_t pkey)
{
	return -EINVAL;
}

/* For ever; there are no flags yet. Sealing again is no change. */
int64_t sys_mseal(uaddr_t addr, uint64_t len, uint64_t flags)
{
	err_t err = flags ? -EINVAL : check_range(addr, &len, -EINVAL);
	return err || !len ? err : space_set_flags(current_space(), addr, len, REGION_IMMUTABLE, 0);
}

/* --- mremap --- */

int64_t sys_mremap(uaddr_t addr, uint64_t old_len, uint64_t new_len, uint64_t flags, uaddr_t new_addr)
{
	struct vm_limits limits;
	struct vm_remap_args args = {.addr = addr,
	    .old_len = ALIGN_UP(old_len, (uint64_t)PAGE_SIZE),
	    .new_len = ALIGN_UP(new_len, (uint64_t)PAGE_SIZE),
	    .flags = (unsigned)flags,
	    .floor = MMAP_MIN_ADDR,
	    .limits = &limits};
	uaddr_t where;
	if (flags & ~(uint64_t)MREMAP_ALL)
		return -EINVAL;
	if ((flags & (VM_REMAP_FIXED | VM_REMAP_DONTUNMAP)) && !(flags & VM_REMAP_MAYMOVE))
		return -EINVAL;
	if ((flags & VM_REMAP_DONTUNMAP) && old_len != new_len)
		return -EINVAL;
	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	if (flags & (VM_REMAP_FIXED | VM_REMAP_DONTUNMAP))
		args.new_addr = new_addr;
	if ((flags & VM_REMAP_FIXED) && !(new_addr & (PAGE_SIZE - 1)) && new_addr < MMAP_MIN_ADDR &&
	    !current_can(CAP_SYS_RAWIO))
		return -EPERM;
	current_vm_limits(&limits);
	err_t err = space_remap(current_space(), &args, &where);
	return err ? err : (int64_t)where;
}

/* --- brk --- */

/* Is [addr, addr + a page) free, which is always left between the heap and what is above? */
static bool heap_has_room(uaddr_t end)
{
	struct region_view v;
	bool there = space_view(current_space(), end, &v);
	uint64_t apart = PAGE_SIZE + (v.info.flags & REGION_GROWSDOWN ? (uint64_t)REGION_GUARD : 0);
	bool room = !there || v.info.start >= end + apart;
	region_view_end(&v);
	return room;
}

/* Move the end of the heap from old to end, both page aligned. */
static err_t move_brk(uaddr_t old, uaddr_t end)
{
	struct vm_limits limits;
	uaddr_t where;
	if (end <= old)
		return end < old ? space_unmap(current_space(), end, old - end) : 0;
	if (!heap_has_room(end))
		return -ENOMEM;
	current_vm_limits(&limits);
	struct vm_map_args args = {.addr = old,
	    .len = end - old,
	    .prot = VM_READ | VM_WRITE,
	    .flags = VM_MAP_FIXED | VM_MAP_NOREPLACE,
	    .limits = &limits};
	return space_map(current_space(), &args, &where);
}

/* Never an error: the break as it is afterwards. */
int64_t sys_brk(uaddr_t end)
{
	struct vm_space *s = current_space();
	mutex_lock(&s->brk_lock);
	if (end >= s->brk_start && end < USER_END && end - s->brk_start <= current_limit(RLIMIT_DATA)) {
		uaddr_t old_page = ALIGN_UP(s->brk, (uint64_t)PAGE_SIZE),
			page = ALIGN_UP(end, (uint64_t)PAGE_SIZE);
		if (!move_brk(old_page, page))
			s->brk = end;
	}
	uaddr_t now = s->brk;
	mutex_unlock(&s->brk_lock);
	return (int64_t)now;
}

/* --- msync, mincore --- */

/* The part from `at` on of one region; *at moves behind it. 1: go on. */
static err_t sync_region(const struct region_view *v, uaddr_t *at, int32_t flags)
{
	struct file *f = file_of_vm_name(&v->name);
	if ((flags & MS_INVALIDATE) && (v->info.flags & REGION_LOCKED))
		return -EBUSY;
	*at = v->info.end;
	if (!(flags & MS_SYNC) || !f || !(v->info.flags & REGION_SHARED))
		return 0;
	return file_sync(f, true);
}

int64_t sys_msync(uaddr_t addr, uint64_t len, int32_t flags)
{
	err_t err = 0, hole = 0;
	if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC))
		return -EINVAL;
	if ((addr & (PAGE_SIZE - 1)) || (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
		return -EINVAL;
	len = (len + PAGE_SIZE - 1) & PAGE_MASK; /* what wraps is nothing, as on Linux */
	if (addr > UINT64_MAX - len)
		return -ENOMEM;
	uaddr_t end = addr + len;
	while (!err && addr < end) {
		struct region_view v;
		bool there = space_view(current_space(), addr, &v);
		if (!there || (v.info.start > addr && (flags == MS_ASYNC || v.info.start >= end))) {
			err = -ENOMEM;
		} else {
			hole = v.info.start > addr ? -ENOMEM : hole;
			err = sync_region(&v, &addr, flags);
		}
		region_view_end(&v);
	}
	return err ? err : hole;
}

/* May the caller know which pages of the file are in memory? Its owner, and who may write it. */
static bool may_see_cache(const struct region_view *v)
{
	struct file *f = file_of_vm_name(&v->name);
	struct fs_view view;
	if (!f)
		return true;
	fs_view_get(current_user_thread(), &view);
	bool may = load_relaxed((_Atomic uint32_t *)&f->vnode->uid) == view.context.cred.uid ||
		   !vnode_permission(&view.context.cred, f->vnode, MAY_WRITE);
	fs_view_put(&view);
	return may;
}

/* Residency of at most n pages at addr, which one region shows. *done gets how many. */
static err_t resident_chunk(uaddr_t addr, uint64_t n, uint8_t *vec, uint64_t *done)
{
	struct region_view v;
	err_t err = space_view(current_space(), addr, &v) && v.info.start <= addr ? 0 : -ENOMEM;
	if (!err) {
		*done = MIN(n, (v.info.end - addr) >> PAGE_SHIFT);
		if (may_see_cache(&v))
			err = space_resident(current_space(), addr, *done, vec);
		else
			memset(vec, 1, *done);
	}
	region_view_end(&v);
	return err;
}

int64_t sys_mincore(uaddr_t addr, uint64_t len, uaddr_t vec)
{
	enum { CHUNK = 256 };
	uint8_t buf[CHUNK];
	if (addr & (PAGE_SIZE - 1))
		return -EINVAL;
	if (len > USER_END || addr > USER_END - len)
		return -ENOMEM;
	uint64_t left = ALIGN_UP(len, (uint64_t)PAGE_SIZE) >> PAGE_SHIFT, done;
	if (left > USER_END || vec > USER_END - left)
		return -EFAULT;
	for (; left; left -= done) {
		err_t err = resident_chunk(addr, MIN(left, (uint64_t)CHUNK), buf, &done);
		if (!err)
			err = copy_to_user(vec, buf, done);
		if (err)
			return err;
		addr += done << PAGE_SHIFT;
		vec += done;
	}
	return 0;
}
