/*
 * space_guard.c - the rules about memory that a space may be under: docs/guard.md. What may never become
 * executable, or writable again, loses that right of max_prot, so that no other path has to know.
 */
#include "vm/vm_priv.h"

static bool is_text(const struct vm_map_args *a)
{
	return (a->prot & VM_EXEC) && !(a->prot & VM_WRITE) && a->object &&
	       (a->object->kind == VM_PHYS || object_is_file(a->object));
}

err_t guard_new_region(
    const struct vm_space *s, const struct vm_map_args *a, uint32_t *flags, unsigned *max_prot)
{
	uint32_t guards = load_relaxed(&s->guards);
	if (!guards)
		return 0;
	if ((guards & GUARD_WX) && (a->prot & VM_WRITE)) {
		if (a->prot & VM_EXEC)
			return -EACCES;
		*max_prot &= ~(unsigned)VM_EXEC;
	}
	if (!is_text(a))
		return 0;
	if (guards & (GUARD_WX | GUARD_TEXT | GUARD_CALLS))
		*max_prot &= ~(unsigned)VM_WRITE;
	if (guards & GUARD_TEXT)
		*flags |= REGION_IMMUTABLE;
	/* The pages of a shared window on a file are written by others; those of the vDSO by nobody. */
	if (!(*flags & REGION_SHARED) || a->object->kind == VM_PHYS)
		*flags |= REGION_CALLS;
	return 0;
}

err_t guard_check_protect(const struct region *r, unsigned prot)
{
	const unsigned both = VM_WRITE | VM_EXEC;
	return (load_relaxed(&r->space->guards) & GUARD_WX) && (prot & both) == both ? -EACCES : 0;
}

void guard_note_protect(struct region *r, unsigned prot)
{
	if (!(prot & VM_WRITE) || !load_relaxed(&r->space->guards))
		return;
	if (load_relaxed(&r->space->guards) & GUARD_WX)
		r->max_prot &= (uint8_t)~VM_EXEC;
	if (r->flags & REGION_CALLS)
		region_set_flags(r, r->flags & ~(uint32_t)REGION_CALLS);
}

bool space_find_marked(struct vm_space *s, uaddr_t addr, uint32_t mark, struct marked_region *out)
{
	rwlock_read(&s->lock);
	const struct region *r = region_find(&s->regions, addr);
	bool found = r && (r->flags & mark);
	if (found)
		*out = (struct marked_region){r->start, r->end, load_relaxed(&s->serial)};
	rwlock_read_unlock(&s->lock);
	return found;
}
