#pragma once
/*
 * page_tree_model.h - the oracle of the page tree: beside each tree a sorted array of (index, value, marks),
 * copied in whole by a clone. Operations do to both what the kernel does to a tree, and compare. A page's
 * first word is its value; a write changes it in place exactly when the tree says that the page is exclusive,
 * so a page wrongly taken for exclusive shows as a changed value in another tree.
 *
 * A broken comparison prints itself and aborts: as good for a fuzzer as for prove.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/inject.h"
#include "mm/frame.h"
#include "vm/page_tree.h"

#define MCHECK(cond)                                                                                         \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			fprintf(stderr, "%s:%d: %s: model disagrees: %s\n", __FILE__, __LINE__, __func__,    \
			    #cond);                                                                          \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

enum { MODEL_TREES = 12, MODEL_ENTRIES = 512 };

#define PLACE (1ULL << 48) /* values stay below */

struct model_entry {
	pgidx_t idx;
	uint64_t value;
	struct page *page;
	uint8_t marks; /* bit m: has mark m */
};

struct model_tree {
	struct page_tree tree;
	bool live;
	bool file; /* has marks, is never cloned */
	unsigned n;
	struct model_entry e[MODEL_ENTRIES]; /* ascending by idx */
};

struct model {
	struct model_tree t[MODEL_TREES];
	uint64_t next_value;
	uint64_t pages; /* frames taken and not reported as freed */
	uint64_t nodes_before;
};

static inline uint64_t *page_word(struct page *p)
{
	return page_to_virt(p);
}

static inline struct page *model_page(struct model *m)
{
	struct page *p = frame_alloc(PAGE_ANON, 0);
	if (!p)
		return NULL;
	*page_word(p) = ++m->next_value;
	m->pages++;
	return p;
}

static inline void model_page_free(struct model *m, struct page *p)
{
	frame_free(p);
	m->pages--;
}

/* Position of the first entry with index >= idx. */
static inline unsigned model_find(const struct model_tree *t, pgidx_t idx)
{
	unsigned lo = 0, hi = t->n;
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		if (t->e[mid].idx < idx)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static inline struct model_entry *model_at(struct model_tree *t, pgidx_t idx)
{
	unsigned i = model_find(t, idx);
	return i < t->n && t->e[i].idx == idx ? &t->e[i] : NULL;
}

static inline void model_start(struct model *m)
{
	memset(m, 0, sizeof(*m));
	m->nodes_before = page_tree_nodes();
}

/* ---- Comparisons ---- */

/* The tree's contents, by a walk with page_tree_next and by lookups, are the shadow's. */
static inline void model_compare(struct model_tree *t)
{
	pgidx_t from = 0, found = 0;
	page_tree_validate(&t->tree);
	for (unsigned i = 0; i < t->n; i++) {
		struct page *p = page_tree_next(&t->tree, from, PT_INDEX_MAX + 1, &found);
		MCHECK(p && found == t->e[i].idx);
		MCHECK(p == t->e[i].page && p == page_tree_lookup(&t->tree, found));
		MCHECK(*page_word(p) == t->e[i].value);
		from = found + 1;
	}
	MCHECK(!page_tree_next(&t->tree, from, PT_INDEX_MAX + 1, &found));
	MCHECK(page_tree_count(&t->tree, 0, PT_INDEX_MAX + 1, NULL) == t->n);
	MCHECK(page_tree_is_empty(&t->tree) == (t->n == 0));
}

/* Frames in use are the distinct pages of all shadows; a page counts as shared exactly if it is in more than
 * one place; and the parts that trees have of pages add up to these, but for what divisions round down. */
static inline void model_compare_all(struct model *m)
{
	uint64_t distinct = 0, places = 0, parts = 0;
	for (unsigned k = 0; k < MODEL_TREES; k++)
		if (m->t[k].live)
			model_compare(&m->t[k]);
	for (unsigned k = 0; k < MODEL_TREES; k++) /* the upper bits of a page's word count its places */
		for (unsigned i = 0; i < m->t[k].n; i++) {
			uint64_t *word = page_word(m->t[k].e[i].page);
			distinct += *word < PLACE;
			*word += PLACE;
		}
	for (unsigned k = 0; k < MODEL_TREES; k++) {
		struct pt_usage u;
		uint64_t in_two_places = 0;
		for (unsigned i = 0; i < m->t[k].n; i++)
			in_two_places += *page_word(m->t[k].e[i].page) >= 2 * PLACE;
		page_tree_usage(&m->t[k].tree, 0, PT_INDEX_MAX + 1, &u);
		MCHECK(u.pages == m->t[k].n && u.shared == in_two_places);
		MCHECK(u.parts >= (u.pages - u.shared) * PT_WHOLE && u.parts <= u.pages * PT_WHOLE);
		places += m->t[k].n;
		parts += u.parts;
	}
	MCHECK(parts <= m->pages * PT_WHOLE && parts + places >= m->pages * PT_WHOLE);
	for (unsigned k = 0; k < MODEL_TREES; k++)
		for (unsigned i = 0; i < m->t[k].n; i++)
			*page_word(m->t[k].e[i].page) %= PLACE;
	MCHECK(distinct == m->pages);
}

/* ---- Operations: t is live ---- */

static inline void model_insert_entry(struct model_tree *t, struct model_entry e)
{
	unsigned i = model_find(t, e.idx);
	memmove(&t->e[i + 1], &t->e[i], (t->n - i) * sizeof(e));
	t->e[i] = e;
	t->n++;
}

/* Own the path to idx, with a reserve if asked for. In one thread the bound is exact and must be enough on
 * its own. */
static inline err_t model_own(struct model_tree *t, pgidx_t idx, bool reserve, struct page_slot *s)
{
	struct pt_reserve r = {0};
	if (!reserve)
		return page_tree_own(&t->tree, idx, NULL, s);
	err_t err = page_tree_reserve(&r, page_tree_own_need(&t->tree, idx));
	if (!err) {
		inject_arm(1); /* from here nothing may ask for memory */
		err = page_tree_own(&t->tree, idx, &r, s);
		MCHECK(!err && !inject_fired() && r.count == 0);
		inject_arm(0);
	}
	page_tree_unreserve(&r);
	return err;
}

/* Write to page idx as a write fault does: a new page, the page itself if it is exclusive, or a copy. */
static inline err_t model_write(struct model *m, unsigned k, pgidx_t idx, bool reserve)
{
	struct model_tree *t = &m->t[k];
	struct model_entry *e = model_at(t, idx);
	struct page_slot s;
	bool exclusive = false;
	if (!e && t->n == MODEL_ENTRIES)
		return -ENOSPC;
	struct page *fresh = model_page(m); /* first: a slot that is owned empty has to be filled */
	if (!fresh)
		return -ENOMEM;
	err_t err = model_own(t, idx, reserve, &s);
	if (err) {
		model_page_free(m, fresh);
		return err;
	}
	MCHECK(page_tree_leaf(&t->tree, idx, &exclusive) == s.leaf && exclusive);
	MCHECK(page_slot_get(s) == (e ? e->page : NULL));
	if (e && page_shares(e->page) == 1) {
		model_page_free(m, fresh);
		*page_word(e->page) = e->value = ++m->next_value;
		return 0;
	}
	if (e) {
		MCHECK(page_slot_replace(s, fresh) == e->page);
		m->pages -= page_unshare(e->page);
		e->page = fresh;
		e->value = *page_word(fresh);
	} else {
		page_slot_fill(s, fresh);
		model_insert_entry(t, (struct model_entry){idx, *page_word(fresh), fresh, 0});
	}
	return 0;
}

/* Put a page of another tree (or of this one) into an empty slot. */
static inline err_t model_share_page(struct model *m, unsigned k, pgidx_t idx, unsigned from, unsigned nth)
{
	struct model_tree *t = &m->t[k];
	struct page_slot s;
	if (model_at(t, idx) || t->n == MODEL_ENTRIES || !m->t[from].n)
		return 0;
	struct model_entry e = m->t[from].e[nth % m->t[from].n];
	err_t err = model_own(t, idx, false, &s);
	if (err)
		return err;
	page_slot_fill(s, e.page);
	model_insert_entry(t, (struct model_entry){idx, e.value, e.page, 0});
	return 0;
}

static inline err_t model_remove(struct model *m, unsigned k, pgidx_t first, pgidx_t end, bool reserve)
{
	struct model_tree *t = &m->t[k];
	struct pt_reserve r = {0};
	uint64_t freed = 0;
	err_t err = reserve ? page_tree_reserve(&r, page_tree_remove_need(&t->tree, first, end)) : 0;
	if (!err) {
		if (reserve)
			inject_arm(1);
		err = page_tree_remove(&t->tree, first, end, reserve ? &r : NULL, NULL, &freed);
		MCHECK(!reserve || (!err && !inject_fired() && r.count == 0));
		if (reserve)
			inject_arm(0);
		m->pages -= freed;
	}
	page_tree_unreserve(&r);
	if (err)
		return err;
	unsigned a = model_find(t, first), b = first < end ? model_find(t, end) : a;
	memmove(&t->e[a], &t->e[b], (t->n - b) * sizeof(t->e[0]));
	t->n -= b - a;
	return 0;
}

static inline void model_create(struct model *m, unsigned k, bool file)
{
	m->t[k].live = true;
	m->t[k].file = file;
	m->t[k].n = 0;
	page_tree_init(&m->t[k].tree);
}

static inline void model_clone(struct model *m, unsigned dst, unsigned src)
{
	model_create(m, dst, false);
	inject_arm(1); /* a clone asks for no memory */
	page_tree_clone(&m->t[dst].tree, &m->t[src].tree);
	MCHECK(!inject_fired());
	inject_arm(0);
	m->t[dst].n = m->t[src].n;
	memcpy(m->t[dst].e, m->t[src].e, m->t[src].n * sizeof(m->t[0].e[0]));
}

static inline void model_destroy(struct model *m, unsigned k)
{
	m->pages -= page_tree_destroy(&m->t[k].tree, NULL);
	MCHECK(page_tree_is_empty(&m->t[k].tree));
	m->t[k].live = false;
	m->t[k].n = 0;
}

/* Drop everything; what the model took is given back. */
static inline void model_end(struct model *m)
{
	for (unsigned k = 0; k < MODEL_TREES; k++)
		if (m->t[k].live)
			model_destroy(m, k);
	MCHECK(m->pages == 0);
	MCHECK(page_tree_nodes() == m->nodes_before);
}

/* Searches and counts from some index on. */
static inline void model_query(struct model *m, unsigned k, pgidx_t first, pgidx_t end)
{
	struct model_tree *t = &m->t[k];
	pgidx_t found = 0;
	uint64_t shared = 0;
	unsigned a = model_find(t, first), b = model_find(t, end);
	if (first >= end)
		b = a;
	MCHECK(page_tree_next(&t->tree, first, end, &found) == (a < b ? t->e[a].page : NULL));
	MCHECK(a >= b || found == t->e[a].idx);
	MCHECK(page_tree_count(&t->tree, first, end, &shared) == b - a && shared <= b - a);
	for (unsigned mk = 0; mk < PT_NMARKS; mk++) {
		unsigned i = a;
		while (i < b && !(t->e[i].marks >> mk & 1))
			i++;
		MCHECK(page_tree_next_marked(&t->tree, (enum page_mark)mk, first, end, &found) ==
		       (i < b ? t->e[i].page : NULL));
		MCHECK(i >= b || found == t->e[i].idx);
		MCHECK(page_tree_test_mark(&t->tree, first, (enum page_mark)mk) ==
		       (model_at(t, first) && (model_at(t, first)->marks >> mk & 1)));
	}
	MCHECK(page_tree_lookup(&t->tree, first) == (model_at(t, first) ? model_at(t, first)->page : NULL));
}

static inline void model_mark(struct model *m, unsigned k, unsigned nth, enum page_mark mark, bool set)
{
	struct model_tree *t = &m->t[k];
	bool any = false;
	if (!t->n || !t->file)
		return;
	struct model_entry *e = &t->e[nth % t->n];
	if (set) {
		page_tree_set_mark(&t->tree, e->idx, mark);
		e->marks |= (uint8_t)(1u << mark);
	} else {
		page_tree_clear_mark(&t->tree, e->idx, mark);
		e->marks &= (uint8_t) ~(1u << mark);
	}
	for (unsigned i = 0; i < t->n; i++)
		any |= t->e[i].marks >> mark & 1;
	MCHECK(page_tree_has_mark(&t->tree, mark) == any);
}
