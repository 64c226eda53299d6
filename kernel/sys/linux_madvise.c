/*
 * linux_madvise.c - madvise(2): region by region, holes are skipped and told in the end, as on Linux.
 *
 * This kernel is as one that was built without merging of equal pages: its advice is not known.
 */
#include "fs/memfd.h"
#include "mm/slab.h"
#include "proc/pidfd.h"
#include "sys/files.h"
#include "sys/memory.h"

enum advice {
	MADV_NORMAL = 0,
	MADV_RANDOM = 1,
	MADV_SEQUENTIAL = 2,
	MADV_WILLNEED = 3,
	MADV_DONTNEED = 4,
	MADV_FREE = 8,
	MADV_REMOVE = 9,
	MADV_DONTFORK = 10,
	MADV_DOFORK = 11,
	MADV_HUGEPAGE = 14,
	MADV_NOHUGEPAGE = 15,
	MADV_DONTDUMP = 16,
	MADV_DODUMP = 17,
	MADV_WIPEONFORK = 18,
	MADV_KEEPONFORK = 19,
	MADV_COLD = 20,
	MADV_PAGEOUT = 21,
	MADV_POPULATE_READ = 22,
	MADV_POPULATE_WRITE = 23,
	MADV_DONTNEED_LOCKED = 24,
	MADV_HWPOISON = 100,
	MADV_SOFT_OFFLINE = 101,
	MADV_SET_VOLATILE = 0x5100, /* these two are ours: abi/quire.h */
	MADV_SET_NONVOLATILE = 0x5101,
};

enum {
	READ_AHEAD_MAX = 512, /* pages that one piece of advice reads at most */
	PUNCH_HOLE = 3,       /* FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE */
};

/* A region, or the part of it that is asked about. */
struct advised {
	const struct region_view *v;
	uaddr_t start, end;
};

static bool is_volatility(int32_t advice)
{
	return advice == MADV_SET_VOLATILE || advice == MADV_SET_NONVOLATILE;
}

static bool is_known(int32_t advice)
{
	return (advice >= MADV_NORMAL && advice <= MADV_DONTNEED) ||
	       (advice >= MADV_FREE && advice <= MADV_DOFORK) ||
	       (advice >= MADV_HUGEPAGE && advice <= MADV_DONTNEED_LOCKED) || advice == MADV_HWPOISON ||
	       advice == MADV_SOFT_OFFLINE || is_volatility(advice);
}

static bool is_device(const struct advised *a)
{
	return a->v->info.kind == VM_PHYS;
}

static bool is_locked(const struct advised *a)
{
	return a->v->info.flags & REGION_LOCKED;
}

static bool is_anonymous(const struct advised *a)
{
	return !a->v->file && !(a->v->info.flags & REGION_SHARED) && !is_device(a);
}

static err_t set_flags(const struct advised *a, unsigned set, unsigned clear)
{
	return space_set_flags(current_space(), a->start, a->end - a->start, set, clear);
}

static pgidx_t index_at(const struct advised *a, uaddr_t addr)
{
	return a->v->info.offset + ((addr - a->v->info.start) >> PAGE_SHIFT);
}

/* Read the file's pages in. What cannot be read is nobody's error here. */
static err_t will_need(const struct advised *a)
{
	pgidx_t idx = index_at(a, a->start), end = index_at(a, a->end);
	struct vm_pin pin;
	if (!a->v->file)
		return 0;
	for (end = MIN(end, idx + READ_AHEAD_MAX); idx < end && !object_pin(a->v->file, idx, false, &pin);
	     idx++)
		vm_unpin(&pin);
	return 0;
}

static err_t discard(const struct advised *a, int32_t advice)
{
	if (is_device(a) || (is_locked(a) && advice != MADV_DONTNEED_LOCKED))
		return -EINVAL;
	if (advice == MADV_FREE && !is_anonymous(a))
		return -EINVAL;
	return space_discard(current_space(), a->start, a->end - a->start);
}

/* Make a hole in the file, or in shared memory. */
static err_t punch(const struct advised *a)
{
	struct file *f = file_of_vm_name(&a->v->name);
	struct vm_object *o;
	pgidx_t idx = index_at(a, a->start);
	if (is_locked(a) || is_device(a) || (!f && !(a->v->info.flags & REGION_SHARED)))
		return -EINVAL;
	if (!(a->v->info.flags & REGION_SHARED) || !(a->v->info.prot & VM_WRITE))
		return -EACCES;
	if (f)
		return file_allocate(f, PUNCH_HOLE, (int64_t)(idx << PAGE_SHIFT),
		    (int64_t)(a->end - a->start), UINT64_MAX, current_can(CAP_FSETID));
	err_t err = space_find_shared(current_space(), a->start, &o, &idx);
	if (err || !o)
		return err;
	err = object_discard(o, idx, idx + ((a->end - a->start) >> PAGE_SHIFT));
	object_put(o);
	return err;
}

/* Would somebody afterwards not find what is there now? */
static bool is_discard(int32_t advice)
{
	return advice == MADV_FREE || advice == MADV_REMOVE || advice == MADV_DONTNEED ||
	       advice == MADV_DONTNEED_LOCKED || advice == MADV_DONTFORK || advice == MADV_WIPEONFORK;
}

static err_t advise_region(const struct advised *a, int32_t advice)
{
	if (is_discard(advice) && region_keeps_contents(a->v->info.flags, a->v->info.prot))
		return -EPERM;
	switch (advice) {
	case MADV_WILLNEED:
		return will_need(a);
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
		return discard(a, advice);
	case MADV_REMOVE:
		return punch(a);
	case MADV_COLD: /* nothing here is swapped, and clean pages of files go by their age alone */
	case MADV_PAGEOUT:
		return is_locked(a) || is_device(a) ? -EINVAL : 0;
	case MADV_DONTFORK:
		return set_flags(a, REGION_DONTFORK, 0);
	case MADV_DOFORK:
		return is_device(a) ? -EINVAL : set_flags(a, 0, REGION_DONTFORK);
	case MADV_WIPEONFORK:
		return is_anonymous(a) ? set_flags(a, REGION_WIPEONFORK, 0) : -EINVAL;
	case MADV_KEEPONFORK:
		return set_flags(a, 0, REGION_WIPEONFORK);
	case MADV_DONTDUMP:
		return set_flags(a, REGION_DONTDUMP, 0);
	case MADV_DODUMP:
		return is_device(a) ? -EINVAL : set_flags(a, 0, REGION_DONTDUMP);
	case MADV_HUGEPAGE:
		return set_flags(a, REGION_LARGE, REGION_NO_LARGE);
	case MADV_NOHUGEPAGE:
		return set_flags(a, REGION_NO_LARGE, REGION_LARGE);
	case MADV_RANDOM:
		return set_flags(a, REGION_RANDOM, 0);
	case MADV_NORMAL: /* what is used in order is seen to be: MADV_SEQUENTIAL says nothing more */
	case MADV_SEQUENTIAL:
		return set_flags(a, 0, REGION_RANDOM);
	default: /* HWPOISON, SOFT_OFFLINE: told before */
		return 0;
	}
}

static err_t advise(struct vm_space *space, uaddr_t at, uaddr_t end, int32_t advice)
{
	err_t err = 0, hole = 0;
	while (!err && at < end) {
		struct region_view v;
		if (!space_view(space, at, &v))
			return -ENOMEM;
		if (v.info.start > at)
			hole = -ENOMEM;
		struct advised a = {&v, MAX(at, v.info.start), MIN(end, v.info.end)};
		if (a.start < end)
			err = advise_region(&a, advice);
		at = MAX(a.end, a.start);
		region_view_end(&v);
	}
	return err ? err : hole;
}

/* Holes end it, and errors are told. */
static err_t populate(uaddr_t at, uaddr_t end, bool writing)
{
	enum populate_mode mode = writing ? POPULATE_WRITE : POPULATE_READ;
	err_t err = 0;
	while (!err && at < end) {
		struct region_view v;
		bool there = space_view(current_space(), at, &v) && v.info.start <= at;
		uaddr_t stop = MIN(end, v.info.end);
		bool device = v.info.kind == VM_PHYS;
		region_view_end(&v);
		if (!there)
			return -ENOMEM;
		err = device ? -EINVAL : space_populate(current_space(), at, stop, mode);
		at = stop;
	}
	if (err == -EACCES)
		return -EINVAL;
	return err == -EIO ? -EFAULT : err;
}

/* Purgeable memory of the program's own: 1 if it was taken, 0, or an error. */
static int64_t set_volatility_private(uaddr_t addr, uint64_t len, bool make_volatile)
{
	bool was_purged = false;
	err_t err = make_volatile ? space_set_volatile(current_space(), addr, len)
				  : space_set_nonvolatile(current_space(), addr, len, &was_purged);
	return err ? err : was_purged;
}

/* The same for exactly one window on a purgeable file: what fcntl does for the open file that was mapped. */
static int64_t set_volatility(uaddr_t addr, uint64_t len, bool make_volatile)
{
	struct region_view v;
	bool was_purged = false;
	int64_t result = -EINVAL;
	if (!space_view(current_space(), addr, &v))
		return -EINVAL;
	struct file *f = file_of_vm_name(&v.name);
	const struct region_info *i = &v.info;
	if (!f)
		result = set_volatility_private(addr, len, make_volatile);
	else if (i->start == addr && i->end == addr + len && (i->flags & REGION_SHARED) &&
		 !(make_volatile && (i->flags & REGION_LOCKED)))
		result = make_volatile ? memfd_set_volatile(f) : memfd_set_nonvolatile(f, &was_purged);
	region_view_end(&v);
	return result ? result : was_purged;
}

int64_t sys_madvise(uaddr_t addr, uint64_t len, int32_t advice)
{
	err_t err = is_known(advice) ? check_range(addr, &len, -EINVAL) : -EINVAL;
	if (err || !len)
		return err;
	if (advice == MADV_HWPOISON || advice == MADV_SOFT_OFFLINE)
		return current_can(CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
	if (is_volatility(advice))
		return set_volatility(addr, len, advice == MADV_SET_VOLATILE);
	if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
		return populate(addr, addr + len, advice == MADV_POPULATE_WRITE);
	return advise(current_space(), addr, addr + len, advice);
}

/* --- of another process --- */

/* What one process may advise about another's memory: nothing that changes what it finds there. None of it
 * looks at the current space. */
static bool is_known_for_others(int32_t advice)
{
	return advice == MADV_WILLNEED || advice == MADV_COLD || advice == MADV_PAGEOUT;
}

/* The memory behind a descriptor of a process, with a reference. -EBADF, -EINVAL (advice), -EPERM, -ESRCH. */
static err_t find_advised(int32_t fd, int32_t advice, struct vm_space **out)
{
	struct file *f;
	err_t err = fd_file_for(fd, RIGHT_MANAGE, &f);
	if (err)
		return err;
	struct process *p;
	err = pidfd_find(f, &p);
	if (!err && !is_known_for_others(advice))
		err = -EINVAL;
	if (!err && (!current_may_look(p, 0) || !current_can(CAP_SYS_NICE)))
		err = -EPERM;
	*out = err ? NULL : process_space(p);
	if (!err && !*out)
		err = -ESRCH;
	file_put(f);
	return err;
}

static err_t advise_segment(struct vm_space *space, const struct uio_segment *s, int32_t advice)
{
	uint64_t len = s->len;
	err_t err = check_range(s->base, &len, -EINVAL);
	return err || !len ? err : advise(space, s->base, s->base + len, advice);
}

int64_t sys_process_madvise(int32_t fd, uaddr_t iov, uint64_t count, int32_t advice, uint32_t flags)
{
	struct uio_segment few[UIO_FEW], *segs;
	struct vm_space *space = NULL;
	struct uio u;
	if (flags)
		return -EINVAL;
	err_t err = iov_fetch(iov, count, few, &segs, &u);
	if (err)
		return err;
	int64_t done = 0;
	err = find_advised(fd, advice, &space);
	for (uint64_t i = 0; !err && i < count; i++) {
		err = advise_segment(space, &segs[i], advice);
		done += err ? 0 : (int64_t)segs[i].len;
	}
	if (segs != few)
		kfree(segs);
	if (space)
		space_put(space);
	return done ? done : err;
}
