/* page_view.c - what a space has at each of its pages: for /proc/PID/pagemap. */
#include "vm/page_view.h"
#include "vm/vm_priv.h"

/* A page of the region's private object. */
static void view_own(struct page_view *v, const struct page *p, bool exclusive)
{
	v->present = true;
	v->paddr = page_to_phys(p);
	v->exclusive = exclusive && page_shares(p) == 1;
}

/* Called with the space locked. */
static void view_page(struct page_view *v, const struct region *r, uaddr_t addr)
{
	struct vm_object *o = r->object;
	pgidx_t idx = region_index(r, addr);
	struct mmu_translation t;
	bool exclusive = false;
	*v = (struct page_view){.mapped = true};
	object_lock_both(o);
	struct pt_node *leaf = region_is_private(r) ? page_tree_leaf(&o->tree, idx, &exclusive) : NULL;
	const struct page *own = leaf ? leaf->slots[idx & (PT_SLOTS - 1)].page : NULL;
	if (own) {
		view_own(v, own, exclusive);
	} else if (mmu_query(&r->space->mmu, addr, &t) && ((t.flags & MMU_MARKS) || o->kind == VM_PHYS)) {
		v->present = v->of_file = true;
		v->paddr = t.paddr;
	}
	object_unlock_both(o);
}

void space_view_pages(struct vm_space *s, uaddr_t addr, struct page_view *out, unsigned n)
{
	rwlock_read(&s->lock);
	const struct region *r = NULL;
	for (unsigned i = 0; i < n; i++, addr += PAGE_SIZE) {
		out[i] = (struct page_view){0};
		if (!r || addr >= r->end)
			r = region_find_from(&s->regions, addr);
		if (!r)
			continue;
		if (addr >= r->start)
			view_page(&out[i], r, addr);
	}
	rwlock_read_unlock(&s->lock);
}
