/* model_state.c - the oracle: what map operations, writes, forks and purges mean, in the most naive way. */
#include <stdlib.h>
#include <string.h>

#include "vm_model.h"

const unsigned model_word_offset[MODEL_WORDS] = {0, 1000, 2048, PAGE_SIZE - 8};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

uint64_t model_pick(struct vm_model *m, uint64_t n)
{
	struct model_source *s = &m->src;
	uint64_t v = 0;

	if (!s->bytes)
		return next_random(&s->state) % n;
	for (uint64_t range = 1; range < n && s->left; range <<= 8) {
		v = v << 8 | *s->bytes++;
		s->left--;
	}
	return v % n;
}

/* ---------------------------------------------------------------- contents */

static struct content *content_new(struct vm_model *m)
{
	struct content *c = m->free_contents;

	if (c)
		m->free_contents = c->next_free;
	else
		c = malloc(sizeof(*c));
	memset(c, 0, sizeof(*c));
	c->refs = 1;
	m->live_contents++;
	return c;
}

/* Returns 1 if it exists no more. */
static unsigned content_put(struct vm_model *m, struct content *c)
{
	if (!c || --c->refs)
		return 0;
	c->next_free = m->free_contents;
	m->free_contents = c;
	m->live_contents--;
	return 1;
}

/* Make *slot the caller's alone. */
static uint64_t *content_own(struct vm_model *m, struct content **slot, const uint64_t *behind)
{
	struct content *old = *slot;

	if (old && old->refs == 1)
		return old->words;
	struct content *c = *slot = content_new(m);
	if (old || behind)
		memcpy(c->words, old ? old->words : behind, sizeof(c->words));
	content_put(m, old);
	return c->words;
}

/* ---------------------------------------------------------------- objects */

struct model_obj *model_obj_new(enum model_kind kind, uint64_t npages)
{
	struct model_obj *o = calloc(1, sizeof(*o));

	o->kind = kind;
	o->npages = npages;
	o->refs = 1;
	list_init(&o->purge_link);
	if (kind == MODEL_SHARED)
		o->pages = calloc(MODEL_OBJ_PAGES, sizeof(*o->pages));
	if (kind == MODEL_FILE || kind == MODEL_PHYS) {
		o->file = calloc(1, sizeof(*o->file));
		o->file->bad_page = -1;
	}
	return o;
}

void model_obj_put(struct vm_model *m, struct model_obj *o)
{
	if (--o->refs)
		return;
	if (o->pages)
		model_obj_drop(m, o, 0, MODEL_OBJ_PAGES);
	list_remove(&o->purge_link);
	if (o->backing)
		model_obj_put(m, o->backing);
	free(o->pages);
	free(o->file);
	free(o);
}

uint64_t model_obj_drop(struct vm_model *m, struct model_obj *o, uint64_t first, uint64_t end)
{
	uint64_t gone = 0;

	for (uint64_t i = first; i < MIN(end, MODEL_OBJ_PAGES); i++) {
		gone += content_put(m, o->pages[i]);
		o->pages[i] = NULL;
	}
	return gone;
}

static void copy_volatile_state(struct vm_model *m, const struct model_obj *from, struct model_obj *to)
{
	to->purgeable = from->purgeable;
	to->vol = from->vol;
	to->was_purged = from->was_purged;
	if (to->vol == VOLATILE_YES)
		list_push_back(&m->purge_list, &to->purge_link);
}

struct model_obj *model_obj_clone(struct vm_model *m, struct model_obj *o)
{
	struct model_obj *c = model_obj_new(o->kind, o->npages);

	copy_volatile_state(m, o, c);
	for (uint64_t i = 0; o->pages && i < MODEL_OBJ_PAGES; i++) {
		c->pages[i] = o->pages[i];
		if (c->pages[i])
			c->pages[i]->refs++;
	}
	if (o->backing)
		c->backing = model_obj_get(o->backing);
	c->trim_pending = o->trim_pending;
	return c;
}

/* The file was cut: private copies beyond its end are void in every space. */
static void cut_private(struct vm_model *m, struct model_obj *file)
{
	for (unsigned k = 0; k < MODEL_SPACES; k++)
		for (unsigned i = 0; m->spaces[k].real && i < m->opt.npages; i++) {
			struct model_page *p = &m->spaces[k].pages[i];
			if (!p->obj || p->obj->backing != file || p->idx < file->npages || !p->own)
				continue;
			content_put(m, p->own);
			p->own = NULL;
			p->obj->trim_pending = true;
		}
}

void model_obj_resize(struct vm_model *m, struct model_obj *o, uint64_t npages)
{
	uint64_t old = o->npages;

	o->npages = npages;
	if (npages >= old)
		return;
	if (o->kind == MODEL_SHARED) {
		model_obj_drop(m, o, npages, MODEL_OBJ_PAGES);
		return;
	}
	memset(o->file->cur[npages], 0, (MODEL_OBJ_PAGES - npages) * sizeof(o->file->cur[0]));
	memset(&o->file->dirty[npages], 0, (MODEL_OBJ_PAGES - npages) * sizeof(o->file->dirty[0]));
	cut_private(m, o);
}

/* ---------------------------------------------------------------- volatile */

void model_set_volatile(struct vm_model *m, struct model_obj *o)
{
	if (o->vol == VOLATILE_PURGED)
		return;
	if (o->vol == VOLATILE_NO)
		o->was_purged = false;
	o->vol = VOLATILE_YES;
	list_remove(&o->purge_link);
	list_push_back(&m->purge_list, &o->purge_link);
}

bool model_set_nonvolatile(struct vm_model *m UNUSED, struct model_obj *o)
{
	bool was = o->was_purged;

	o->was_purged = false;
	o->vol = VOLATILE_NO;
	list_remove(&o->purge_link);
	return was;
}

static void note_filled(struct vm_model *m, struct model_obj *o)
{
	if (o->vol == VOLATILE_PURGED) {
		o->vol = VOLATILE_YES;
		list_push_back(&m->purge_list, &o->purge_link);
	}
}

/* Drop what spaces keep for a private object; *any: there was something. */
static uint64_t drop_private(struct vm_model *m, struct model_obj *o, bool *any)
{
	uint64_t gone = 0;

	for (unsigned k = 0; k < MODEL_SPACES; k++)
		for (unsigned i = 0; m->spaces[k].real && i < m->opt.npages; i++) {
			struct model_page *p = &m->spaces[k].pages[i];
			if (p->obj != o || !p->own)
				continue;
			*any = true;
			gone += content_put(m, p->own);
			p->own = NULL;
		}
	return gone;
}

bool model_purge_one(struct vm_model *m, uint64_t *freed)
{
	bool any = false;

	*freed = 0;
	if (list_is_empty(&m->purge_list))
		return false;
	struct model_obj *o = list_first(&m->purge_list, struct model_obj, purge_link);
	list_remove(&o->purge_link);
	o->vol = VOLATILE_PURGED;
	if (o->kind == MODEL_PRIVATE) {
		*freed = drop_private(m, o, &any);
	} else {
		for (unsigned i = 0; i < MODEL_OBJ_PAGES; i++)
			any |= o->pages[i] != NULL;
		*freed = model_obj_drop(m, o, 0, MODEL_OBJ_PAGES);
	}
	o->was_purged |= any;
	return true;
}

/* ---------------------------------------------------------------- pages */

err_t model_access_error(const struct model_page *p, unsigned access)
{
	const struct model_obj *o = p->obj;

	if (!o)
		return -EFAULT;
	if (!p->prot || ((access & FAULT_WRITE) && !(p->prot & VM_WRITE)) ||
	    ((access & FAULT_EXEC) && !(p->prot & VM_EXEC)))
		return -EACCES;
	const struct model_obj *file = o->kind == MODEL_FILE ? o : o->backing;
	if (o->kind != MODEL_PRIVATE && p->idx >= o->npages)
		return -EIO;
	if (file && (p->idx >= file->npages || (!p->own && (int)p->idx == file->file->bad_page)))
		return -EIO;
	if (o->kind == MODEL_FILE && (access & FAULT_WRITE) && o->file->read_only)
		return -EACCES;
	return 0;
}

/* What is shown where a private page has no contents of its own; NULL: zeros. */
static const uint64_t *words_behind(const struct model_page *p)
{
	const struct model_obj *file = p->obj->backing;

	return file && p->idx < file->npages ? file->file->cur[p->idx] : NULL;
}

void model_page_words(const struct model_page *p, uint64_t words[MODEL_WORDS])
{
	const struct model_obj *o = p->obj;
	const uint64_t *from;

	if (o->kind == MODEL_PRIVATE)
		from = p->own ? p->own->words : words_behind(p);
	else if (o->kind == MODEL_SHARED)
		from = o->pages[p->idx] ? o->pages[p->idx]->words : NULL;
	else
		from = o->file->cur[p->idx];
	if (from)
		memcpy(words, from, MODEL_WORDS * sizeof(words[0]));
	else
		memset(words, 0, MODEL_WORDS * sizeof(words[0]));
}

uint64_t *model_page_write(struct vm_model *m, struct model_page *p)
{
	struct model_obj *o = p->obj;

	if (o->kind == MODEL_FILE || o->kind == MODEL_PHYS) {
		o->file->dirty[p->idx] = true;
		return o->file->cur[p->idx];
	}
	note_filled(m, o);
	if (o->kind == MODEL_SHARED)
		return content_own(m, &o->pages[p->idx], NULL);
	return content_own(m, &p->own, words_behind(p));
}

void model_unshare(struct vm_model *m, struct content **slot)
{
	if (*slot)
		(void)content_own(m, slot, NULL);
}

bool model_joined(const struct model_space *s, unsigned i)
{
	const struct model_page *a = &s->pages[i - 1], *b = &s->pages[i];

	return a->obj == b->obj && a->obj && a->idx + 1 == b->idx && a->prot == b->prot &&
	       a->max_prot == b->max_prot && a->flags == b->flags;
}

/* ---------------------------------------------------------------- spaces */

void model_unmap(struct vm_model *m, struct model_space *s, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		struct model_page *p = &s->pages[i];
		if (!p->obj)
			continue;
		content_put(m, p->own);
		model_obj_put(m, p->obj);
		*p = (struct model_page){0};
	}
}

void model_discard(struct vm_model *m, struct model_space *s, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		content_put(m, s->pages[i].own);
		s->pages[i].own = NULL;
	}
}

/* The object that the child's copy of a region looks at, with a reference. */
static struct model_obj *fork_obj(struct vm_model *m, const struct model_page *p)
{
	struct model_obj *o = p->obj;

	if (o->kind != MODEL_PRIVATE)
		return model_obj_get(o);
	if (p->flags & REGION_WIPEONFORK) {
		struct model_obj *fresh = model_obj_new(MODEL_PRIVATE, 0);
		fresh->purgeable = o->purgeable;
		fresh->backing = o->backing ? model_obj_get(o->backing) : NULL;
		return fresh;
	}
	if (!o->clone)
		o->clone = model_obj_clone(m, o);
	return model_obj_get(o->clone);
}

void model_fork(struct vm_model *m, const struct model_space *parent, struct model_space *child)
{
	struct model_obj *region_obj = NULL;

	for (unsigned i = 0; i < m->opt.npages; i++) {
		const struct model_page *p = &parent->pages[i];
		struct model_page *c = &child->pages[i];
		if (!p->obj || (p->flags & REGION_DONTFORK))
			continue;
		if (i == 0 || !model_joined(parent, i) || !region_obj)
			region_obj = fork_obj(m, p);
		else
			model_obj_get(region_obj);
		*c = *p;
		c->obj = region_obj;
		if (c->own && (p->flags & REGION_WIPEONFORK))
			c->own = NULL;
		if (c->own)
			c->own->refs++;
	}
	for (unsigned i = 0; i < m->opt.npages; i++) {
		struct model_obj *o = parent->pages[i].obj;
		if (o && o->clone) {
			model_obj_put(m, o->clone);
			o->clone = NULL;
		}
	}
}
