/*
 * native_vmo.c - native calls that make VM objects and map them, here and into other processes.
 *
 * A VM object is a file in memory without a name (fs/memfd.c): memfd_create(2) makes such objects as well,
 * and mmap, ftruncate, read, write, fstat, F_SNAPSHOT are what else is done with them.
 */
#include "fs/memfd.h"
#include "proc/cred.h"
#include "proc/pidfd.h"
#include "quire/object.h"
#include "sys/files.h"
#include "sys/memory.h"

#define SAME(ours, theirs) STATIC_ASSERT((unsigned)(ours) == (unsigned)(theirs))
SAME(KO_VMO, QUIRE_VMO);
SAME(KO_PROCESS, QUIRE_PROCESS);
SAME(RIGHT_MAP, QUIRE_RIGHT_MAP);
SAME(VM_READ, QUIRE_MAP_READ);
SAME(VM_WRITE, QUIRE_MAP_WRITE);
SAME(VM_EXEC, QUIRE_MAP_EXEC);
SAME(CONTIGUOUS_MAX *PAGE_SIZE, QUIRE_CONTIGUOUS_MAX);

/* --- making --- */

/* What each kind is to vm/; whether its size is fixed. */
static const struct {
	unsigned flags;
	bool fixed;
} kinds[] = {
    [QUIRE_VMO_OPEN] = {0, false},
    [QUIRE_VMO_FIXED] = {0, true},
    [QUIRE_VMO_GUARDED] = {VM_GUARDED, false},
    [QUIRE_VMO_RING] = {VM_RING, true},
    [QUIRE_VMO_CONTIGUOUS] = {VM_CONTIGUOUS, true},
};

int64_t sys_vmo_create(uint32_t kind, uint32_t flags, uint64_t size)
{
	struct file *f;
	if (kind >= sizeof(kinds) / sizeof(kinds[0]) || (flags & ~(uint32_t)QUIRE_VMO_WRITE_COMBINING))
		return -EINVAL;
	unsigned k = kinds[kind].flags | (flags & QUIRE_VMO_WRITE_COMBINING ? VM_WRITE_COMBINING : 0);
	if ((k & VM_WRITE_COMBINING) && !(k & VM_CONTIGUOUS))
		return -EINVAL;
	if (!IS_ALIGNED(size, (uint64_t)PAGE_SIZE) || (!size && kinds[kind].fixed))
		return -EINVAL;
	if ((k & VM_CONTIGUOUS) && !current_can(CAP_SYS_RAWIO))
		return -EPERM;
	struct cred *c = process_cred(current_process());
	err_t err = memfd_create_vmo(k, kinds[kind].fixed, size, c->fsuid, c->fsgid, &f);
	cred_put(c);
	return err ? err : fd_install(f, true);
}

/* A memfd has its pages where files have theirs; memory of a device (fs/system.c) is the open file's. */
static struct vm_object *pages_of(const struct file *vmo)
{
	return memfd_is(vmo) ? vmo->vnode->pages : vmo->priv;
}

int64_t sys_vmo_physical(struct file *vmo)
{
	struct vm_object *o = pages_of(vmo);
	if (!(o->flags & VM_CONTIGUOUS))
		return -EINVAL;
	return current_can(CAP_SYS_RAWIO) ? (int64_t)object_contiguous_at(o) : -EPERM;
}

/* --- mapping --- */

/* Whose memory: a process's, or our own. */
struct target {
	struct vm_space *space; /* counted */
	struct vm_limits limits;
};

static err_t target_get(struct target *t, const struct file *process)
{
	if (!process) {
		t->space = current_space();
		space_get(t->space);
		current_vm_limits(&t->limits);
		return 0;
	}
	struct process *p = pidfd_process(process);
	if (p) {
		struct cred *its = task_cred(p, 0);
		process_vm_limits(p, its, &t->limits);
		cred_put(its);
	} else {
		current_vm_limits(&t->limits); /* what it will have if the caller starts it */
	}
	return pidfd_space(process, &t->space);
}

static err_t check_how(uint32_t how)
{
	if (how & ~(uint32_t)QUIRE_MAP_ALL)
		return -EINVAL;
	return (how & QUIRE_MAP_NOREPLACE) && !(how & QUIRE_MAP_FIXED) ? -EINVAL : 0;
}

/* The range of the object, and whether one of its kind is mapped so. */
static err_t check_part(const struct vm_object *o, uint64_t offset, uint64_t len, uint32_t how)
{
	if (!len || !IS_ALIGNED(offset | len, (uint64_t)PAGE_SIZE))
		return -EINVAL;
	if (offset > (uint64_t)INT64_MAX || len > (uint64_t)INT64_MAX - offset)
		return -EOVERFLOW;
	if (!(o->flags & VM_RING))
		return 0;
	bool whole = !offset && len >> PAGE_SHIFT == o->npages; /* its size is fixed: no lock is needed */
	return whole && !(how & QUIRE_MAP_PRIVATE) ? 0 : -EINVAL;
}

static err_t check_address(uaddr_t at, uint32_t how)
{
	if (!(how & QUIRE_MAP_FIXED))
		return 0;
	if (at & (PAGE_SIZE - 1))
		return -EINVAL;
	return at < USER_START || (at < MMAP_MIN_ADDR && !current_can(CAP_SYS_RAWIO)) ? -EPERM : 0;
}

static unsigned flags_of(const struct vm_object *o, uint32_t how)
{
	return (how & QUIRE_MAP_FIXED ? VM_MAP_FIXED : 0) |
	       (how & QUIRE_MAP_NOREPLACE ? VM_MAP_NOREPLACE : 0) |
	       (how & QUIRE_MAP_PRIVATE ? 0 : VM_MAP_SHARED) | (o->flags & VM_GUARDED ? VM_MAP_GUARDED : 0) |
	       (o->flags & VM_RING ? VM_MAP_TWICE : 0);
}

/* args: checked. */
static int64_t map_into(const struct file *process, const struct vm_map_args *args)
{
	struct target t;
	struct vm_map_args whole = *args;
	uaddr_t where;
	err_t err = target_get(&t, process);
	if (err)
		return err;
	whole.limits = &t.limits;
	err = space_map(t.space, &whole, &where);
	space_put(t.space);
	return err ? err : (int64_t)where;
}

int64_t sys_vma_map(struct file *process, struct file *vmo, int32_t vmo_fd, uaddr_t at, uint64_t offset,
    uint64_t length, uint32_t how)
{
	struct vm_object *o = pages_of(vmo);
	struct vm_map_args args = {.addr = at,
	    .len = length,
	    .prot = vm_prot_of((int32_t)(how & VM_RWX)),
	    .max_prot = VM_RWX,
	    .flags = flags_of(o, how),
	    .offset = offset >> PAGE_SHIFT,
	    .floor = MMAP_MIN_ADDR,
	    .name = file_vm_name(vmo)};
	uint32_t rights;
	err_t err = fd_rights_of(vmo_fd, vmo, &rights);
	if (!err)
		err = check_how(how);
	if (!err)
		err = check_part(o, offset, length, how);
	if (!err)
		err = check_address(at, how);
	if (!err)
		err = map_check_rights(vmo, rights, args.flags & VM_MAP_SHARED, args.prot, &args.max_prot);
	if (!err)
		err = file_mmap(vmo, offset, length, args.prot, args.flags & VM_MAP_SHARED, &args.object);
	if (err)
		return err;
	int64_t where = map_into(process, &args);
	object_put(args.object);
	return where;
}

int64_t sys_vma_unmap(struct file *process, uaddr_t at, uint64_t length)
{
	struct target t;
	err_t err = target_get(&t, process);
	if (err)
		return err;
	err = space_unmap(t.space, at, length);
	space_put(t.space);
	return err;
}
