/* model_map.c - the map operation: random arguments, the expected place and error, the effect on the model.
 */
#include <stdlib.h>
#include <string.h>

#include "machine/host.h"
#include "vm_model.h"

/* A request, and what should come of it. */
struct map_try {
	struct model_space *s;
	struct vm_map_args args;
	struct model_obj *obj; /* handle that is mapped, or NULL */
	unsigned npages;
	unsigned prot, max_prot;
	uint16_t region_flags;
	unsigned first; /* expected place */
	err_t err;      /* expected error */
};

static unsigned pick_prot(struct vm_model *m)
{
	static const uint8_t prots[] = {3, 3, 3, 3, 3, 3, 1, 1, 7, 5, 0, 2, 4};

	return prots[model_pick(m, ARRAY_SIZE(prots))];
}

static unsigned pick_npages(struct vm_model *m)
{
	unsigned max = m->opt.npages;

	if (!model_chance(m, 6))
		return 1 + (unsigned)model_pick(m, 12);
	if (max <= 1200 || model_chance(m, 50))
		return 1 + (unsigned)model_pick(m, 100);
	return 1100 + (unsigned)model_pick(m, 200); /* covers the whole range of a table */
}

static struct model_obj *pick_handle(struct vm_model *m, enum model_kind kind)
{
	unsigned at = (unsigned)model_pick(m, MODEL_HANDLES);

	for (unsigned i = 0; i < MODEL_HANDLES; i++) {
		struct model_obj *o = m->handles[(at + i) % MODEL_HANDLES];
		if (o && o->kind == kind)
			return o;
	}
	return NULL;
}

/* What is mapped. */
static void choose_object(struct vm_model *m, struct map_try *t)
{
	static const uint8_t kinds[] = {0, 0, 0, 0, 1, 2, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7};
	unsigned kind = kinds[model_pick(m, sizeof(kinds))];
	static const enum model_kind handle_kind[] = {
	    [4] = MODEL_SHARED, [5] = MODEL_FILE, [6] = MODEL_FILE, [7] = MODEL_PHYS};

	if (kind >= 4)
		t->obj = pick_handle(m, handle_kind[kind]);
	if (kind == 1)
		t->args.flags = VM_MAP_STACK;
	if (kind == 2)
		t->args.flags = VM_MAP_PURGEABLE;
	if (kind == 3 || (t->obj && kind != 6))
		t->args.flags = VM_MAP_SHARED;
	if (kind == 3)
		t->npages = MIN(t->npages,
		    (unsigned)
			MODEL_OBJ_PAGES); /* the object that the kernel makes is as large as the mapping */
	if (t->obj) {
		t->args.object = t->obj->real;
		t->args.offset = model_chance(m, 40) ? 0 : model_pick(m, MODEL_OBJ_PAGES);
		t->npages = MIN(t->npages, MODEL_OBJ_PAGES - (unsigned)t->args.offset);
	}
}

static bool is_free(const struct model_space *s, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++)
		if (s->pages[i].obj)
			return false;
	return true;
}

/* The highest free place, as the contract of region_find_gap says. */
static void expect_highest(struct vm_model *m, struct map_try *t)
{
	unsigned run = 0;

	t->err = -ENOMEM;
	for (unsigned i = m->opt.npages; i-- > 0;) {
		run = t->s->pages[i].obj ? 0 : run + 1;
		if (run < t->npages)
			continue;
		t->first = i;
		t->err = 0;
		return;
	}
}

static void expect_replace(struct map_try *t)
{
	for (unsigned i = t->first; i < t->first + t->npages; i++)
		if (t->s->pages[i].flags & REGION_IMMUTABLE)
			t->err = -EPERM;
}

static void choose_place(struct vm_model *m, struct map_try *t)
{
	unsigned at = model_pick_page(m);

	at = MIN(at, m->opt.npages - t->npages);
	t->args.floor = m->opt.base;
	t->args.ceiling = model_addr(m, m->opt.npages);
	if (model_chance(m, 60)) {
		t->args.flags |= VM_MAP_FIXED | (model_chance(m, 20) ? VM_MAP_NOREPLACE : 0);
		t->args.addr = model_addr(m, at);
		t->first = at;
		if ((t->args.flags & VM_MAP_NOREPLACE) && !is_free(t->s, at, t->npages))
			t->err = -EEXIST;
		else
			expect_replace(t);
		return;
	}
	if (model_chance(m, 50)) {
		t->args.addr = model_addr(m, at) + model_pick(m, PAGE_SIZE);
		t->first = at;
		if (t->args.addr >= USER_START && is_free(t->s, at, t->npages))
			return;
	}
	expect_highest(m, t);
}

/* Now and then, one thing is wrong with the arguments. */
static void spoil(struct vm_model *m, struct map_try *t)
{
	struct vm_map_args *a = &t->args;

	switch (model_pick(m, 9)) {
	case 0:
		a->len = 0, t->err = -EINVAL;
		break;
	case 1:
		a->flags |= VM_MAP_FIXED, a->addr |= 1 + model_pick(m, 4095), t->err = -EINVAL;
		break;
	case 2:
		a->flags = (a->flags & ~VM_MAP_FIXED) | VM_MAP_NOREPLACE, t->err = -EINVAL;
		break;
	case 3:
		a->flags |= VM_MAP_STACK | VM_MAP_SHARED, t->err = -EINVAL;
		break;
	case 4:
		a->prot = VM_WRITE | VM_READ, a->max_prot = VM_READ, t->err = -EACCES;
		break;
	case 5:
		a->len = UINT64_MAX - model_pick(m, PAGE_SIZE), t->err = -ENOMEM;
		break;
	case 6:
		a->flags = (a->flags | VM_MAP_FIXED) & ~VM_MAP_NOREPLACE, a->addr = 0, t->err = -EPERM;
		break;
	case 7:
		a->flags = (a->flags | VM_MAP_FIXED) & ~VM_MAP_NOREPLACE, a->addr = USER_END - PAGE_SIZE,
		a->len = 2 * PAGE_SIZE, t->err = -ENOMEM;
		break;
	case 8:
		a->offset = PT_INDEX_MAX, t->err = -EOVERFLOW;
		break;
	}
}

static bool is_plain(const struct map_try *t)
{
	return !t->args.object && !(t->args.flags & (VM_MAP_SHARED | VM_MAP_STACK | VM_MAP_PURGEABLE));
}

static bool is_like(const struct map_try *t, const struct model_page *p)
{
	return p->obj && p->obj->kind == MODEL_PRIVATE && !p->obj->backing && !p->obj->purgeable &&
	       p->prot == t->prot && p->max_prot == t->max_prot && p->flags == t->region_flags;
}

/* The object that the new pages belong to, with a reference. */
static struct model_obj *object_for(struct vm_model *m, struct map_try *t)
{
	struct model_obj *o;

	if (is_plain(t) && t->first > 0 && is_like(t, &t->s->pages[t->first - 1]))
		return model_obj_get(t->s->pages[t->first - 1].obj);
	if (is_plain(t) && t->first + t->npages < m->opt.npages &&
	    is_like(t, &t->s->pages[t->first + t->npages]))
		return model_obj_get(t->s->pages[t->first + t->npages].obj);
	if (t->obj && (t->args.flags & VM_MAP_SHARED))
		return model_obj_get(t->obj);
	o = model_obj_new(t->args.flags & VM_MAP_SHARED ? MODEL_SHARED : MODEL_PRIVATE, t->npages);
	o->purgeable = t->args.flags & VM_MAP_PURGEABLE;
	if (t->obj)
		o->backing = model_obj_get(t->obj);
	return o;
}

static void populate(struct vm_model *m, struct map_try *t)
{
	bool writes = (t->prot & VM_WRITE) && !(t->args.flags & VM_MAP_SHARED);
	unsigned access = writes ? FAULT_WRITE : FAULT_READ;

	for (unsigned i = t->first; t->prot && i < t->first + t->npages; i++) {
		struct model_page *p = &t->s->pages[i];
		if (model_access_error(p, access))
			return;
		if (access == FAULT_WRITE && p->obj->kind != MODEL_PHYS)
			(void)model_page_write(m, p);
	}
}

static void apply(struct vm_model *m, struct map_try *t)
{
	model_unmap(m, t->s, t->first, t->first + t->npages);
	struct model_obj *o = object_for(m, t);
	bool by_address = o->kind == MODEL_PRIVATE && !o->backing;

	for (unsigned i = 0; i < t->npages; i++) {
		unsigned at = t->first + i;
		t->s->pages[at] = (struct model_page){
		    .obj = model_obj_get(o),
		    .idx = by_address ? model_addr(m, at) >> PAGE_SHIFT : t->args.offset + i,
		    .prot = (uint8_t)t->prot,
		    .max_prot = (uint8_t)t->max_prot,
		    .flags = t->region_flags,
		};
	}
	model_obj_put(m, o);
	if (t->args.flags & VM_MAP_POPULATE)
		populate(m, t);
}

/* Do it and compare; true: it is mapped. */
static bool try_map(struct vm_model *m, struct map_try *t)
{
	uaddr_t got = 0;

	t->region_flags = (t->args.flags & VM_MAP_SHARED ? REGION_SHARED : 0) |
			  (t->args.flags & VM_MAP_STACK ? REGION_STACK : 0) |
			  ((t->prot & VM_WRITE) && !(t->args.flags & VM_MAP_SHARED) ? REGION_ACCOUNT : 0);
	model_note(m,
	    "map space %d addr %#llx len %#llx prot %u max %u flags %#x %s offset %llu -> %d at page %u",
	    (int)(t->s - m->spaces), (unsigned long long)t->args.addr, (unsigned long long)t->args.len,
	    t->args.prot, t->args.max_prot, t->args.flags, t->obj ? "object" : "-",
	    (unsigned long long)t->args.offset, t->err, t->first);
	model_inject_arm(m);
	err_t err = space_map(t->s->real, &t->args, &got);
	if (model_inject_struck(m, err))
		return false;
	if (err != t->err)
		model_fail(m, "map: error %d, expected %d", err, t->err);
	if (err)
		return false;
	if (got != model_addr(m, t->first))
		model_fail(m, "map: at %#llx, expected %#llx", (unsigned long long)got,
		    (unsigned long long)model_addr(m, t->first));
	apply(m, t);
	return true;
}

bool model_map_plain(struct vm_model *m, struct model_space *s, unsigned first, unsigned n)
{
	struct map_try t = {
	    .s = s, .npages = n, .first = first, .prot = VM_READ | VM_WRITE, .max_prot = VM_RWX};

	t.args = (struct vm_map_args){.addr = model_addr(m, first),
	    .len = (uint64_t)n * PAGE_SIZE,
	    .prot = t.prot,
	    .flags = VM_MAP_FIXED};
	expect_replace(&t);
	return try_map(m, &t);
}

void model_op_map(struct vm_model *m)
{
	struct map_try t = {.s = model_pick_space(m), .npages = pick_npages(m)};

	t.npages = MIN(t.npages, m->opt.npages);
	choose_object(m, &t);
	t.args.prot = t.prot = pick_prot(m);
	t.args.max_prot = model_chance(m, 15) ? t.prot | (unsigned)model_pick(m, 8) : 0;
	t.max_prot = t.args.max_prot ? t.args.max_prot : VM_RWX;
	t.args.len = (uint64_t)t.npages * PAGE_SIZE - (model_chance(m, 10) ? model_pick(m, PAGE_SIZE) : 0);
	choose_place(m, &t);
	if (!m->opt.inject &&
	    model_chance(m, 5)) /* what is populated before memory runs out is not predictable */
		t.args.flags |= VM_MAP_POPULATE;
	if (model_chance(m, 4))
		spoil(m, &t);
	(void)try_map(m, &t);
}
