/* model_ops.c - random operations, done by the kernel and by the model. */
#include <stdlib.h>
#include <string.h>

#include "lib/inject.h"
#include "machine/host.h"
#include "mm/frame.h"
#include "vm_model.h"

/* ---------------------------------------------------------------- the file behind FILE objects */

static bool covers_bad(const struct model_file *f, pgidx_t idx, unsigned n)
{
	return f->bad_page >= (int)idx && f->bad_page < (int)(idx + n);
}

static err_t test_file_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct model_file *f = o->priv;

	if (covers_bad(f, idx, n))
		return -EIO;
	for (unsigned i = 0; i < n; i++) {
		char *bytes = page_to_virt(pages[i]);
		memset(bytes, 0, PAGE_SIZE);
		for (unsigned w = 0; idx + i < MODEL_OBJ_PAGES && w < MODEL_WORDS; w++)
			memcpy(bytes + model_word_offset[w], &f->store[idx + i][w], 8);
	}
	return 0;
}

static err_t test_file_write(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct model_file *f = o->priv;

	f->writes += n;
	if (f->fail_write)
		return -EIO;
	for (unsigned i = 0; i < n; i++)
		for (unsigned w = 0; w < MODEL_WORDS; w++)
			memcpy(
			    &f->store[idx + i][w], (char *)page_to_virt(pages[i]) + model_word_offset[w], 8);
	return 0;
}

static const struct vm_file_ops file_ops = {.read = test_file_read, .write = test_file_write};
static const struct vm_file_ops read_only_ops = {.read = test_file_read};

/* ---------------------------------------------------------------- choices */

unsigned model_pick_page(struct vm_model *m)
{
	unsigned n = m->opt.npages, at;

	switch (model_pick(m, 8)) {
	case 0:
		return (unsigned)model_pick(m, n);
	case 1: /* around the edges of leaves and tables */
		at = (unsigned)(model_pick(m, n / 64 + 1) * 64 + model_pick(m, 3));
		return MIN(at, n - 1);
	default:
		return (unsigned)model_pick(m, 40) + (n > 1200 ? 600 : 56);
	}
}

void model_pick_range(struct vm_model *m, unsigned *first, unsigned *end)
{
	*first = model_pick_page(m);
	uint64_t len = model_chance(m, 4) ? model_pick(m, m->opt.npages) : model_pick(m, 12);
	*end = (unsigned)MIN(*first + 1 + len, (uint64_t)m->opt.npages);
}

struct model_space *model_pick_space(struct vm_model *m)
{
	unsigned at = (unsigned)model_pick(m, MODEL_SPACES);

	while (!m->spaces[at].real)
		at = (at + 1) % MODEL_SPACES;
	return &m->spaces[at];
}

static struct model_obj *pick_handle(struct vm_model *m)
{
	return m->handles[model_pick(m, MODEL_HANDLES)];
}

/* Bytes that are used up choose 0 for ever: then nothing fails any more, or who tries again would never be
 * done. */
void model_inject_arm(struct vm_model *m)
{
	bool used_up = m->src.bytes && !m->src.left;

	if (m->opt.inject && !used_up && model_pick(m, m->opt.inject) == 0)
		inject_arm(1 + model_pick(m, 12));
}

bool model_inject_struck(struct vm_model *m, err_t got)
{
	bool struck = m->opt.inject && inject_fired();

	inject_arm(0);
	m->injected += struck;
	return struck && got == -ENOMEM;
}

static void expect(struct vm_model *m, const char *what, err_t got, err_t want)
{
	if (got != want)
		model_fail(m, "%s: error %d, expected %d", what, got, want);
}

/* ---------------------------------------------------------------- unmap, protect, discard, flags */

/* Why the range cannot be unmapped or protected: a hole, or an immutable page, whichever comes first. */
static err_t range_error(
    struct model_space *s, unsigned first, unsigned end, bool holes_matter, unsigned prot)
{
	for (unsigned i = first; i < end; i++) {
		const struct model_page *p = &s->pages[i];
		if (!p->obj && holes_matter)
			return -ENOMEM;
		if (p->flags & REGION_IMMUTABLE)
			return -EPERM;
		if (p->obj && (prot & ~p->max_prot))
			return -EACCES;
	}
	return 0;
}

/* Why the pages of the range cannot be thrown away, or be missing in children. */
static err_t keep_error(struct model_space *s, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		const struct model_page *p = &s->pages[i];
		if (!p->obj)
			return -ENOMEM;
		if ((p->flags & REGION_IMMUTABLE) && !(p->flags & REGION_SHARED) && !(p->prot & VM_WRITE))
			return -EPERM;
	}
	return 0;
}

static err_t hole_error(struct model_space *s, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++)
		if (!s->pages[i].obj)
			return -ENOMEM;
	return 0;
}

static void op_unmap(struct vm_model *m)
{
	struct model_space *s = model_pick_space(m);
	unsigned first, end;

	model_pick_range(m, &first, &end);
	err_t want = range_error(s, first, end, false, 0);
	model_note(m, "unmap space %d pages [%u, %u) -> %d", (int)(s - m->spaces), first, end, want);
	model_inject_arm(m);
	err_t err = space_unmap(s->real, model_addr(m, first), (uint64_t)(end - first) * PAGE_SIZE);
	if (model_inject_struck(m, err))
		return;
	expect(m, "unmap", err, want);
	if (!err)
		model_unmap(m, s, first, end);
}

static void op_protect(struct vm_model *m)
{
	static const uint8_t prots[] = {0, 1, 1, 3, 3, 3, 5, 7};
	struct model_space *s = model_pick_space(m);
	unsigned first, end, prot = prots[model_pick(m, sizeof(prots))];

	model_pick_range(m, &first, &end);
	err_t want = range_error(s, first, end, true, prot);
	model_note(
	    m, "protect space %d pages [%u, %u) prot %u -> %d", (int)(s - m->spaces), first, end, prot, want);
	model_inject_arm(m);
	err_t err = space_protect(s->real, model_addr(m, first), (uint64_t)(end - first) * PAGE_SIZE, prot);
	if (model_inject_struck(m, err))
		return;
	expect(m, "protect", err, want);
	for (unsigned i = first; !err && i < end; i++) {
		if ((prot & VM_WRITE) && !(s->pages[i].flags & REGION_SHARED))
			s->pages[i].flags |= REGION_ACCOUNT;
		s->pages[i].prot = (uint8_t)prot;
	}
}

static void op_discard(struct vm_model *m)
{
	struct model_space *s = model_pick_space(m);
	unsigned first, end;

	model_pick_range(m, &first, &end);
	err_t want = keep_error(s, first, end);
	model_note(m, "discard space %d pages [%u, %u) -> %d", (int)(s - m->spaces), first, end, want);
	model_inject_arm(m);
	err_t err = space_discard(s->real, model_addr(m, first), (uint64_t)(end - first) * PAGE_SIZE);
	if (model_inject_struck(m, err))
		return;
	expect(m, "discard", err, want);
	if (!err)
		model_discard(m, s, first, end);
}

/* Only anonymous private memory can be wiped; what comes first counts. */
static err_t wipe_error(struct model_space *s, unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		err_t err = keep_error(s, i, i + 1);
		if (err)
			return err;
		if (s->pages[i].obj->kind != MODEL_PRIVATE || s->pages[i].obj->backing)
			return -EINVAL;
	}
	return 0;
}

static void op_set_flags(struct vm_model *m)
{
	static const uint16_t settable[] = {REGION_DONTFORK, REGION_DONTFORK, REGION_WIPEONFORK,
	    REGION_WIPEONFORK, REGION_RANDOM, REGION_NO_LARGE, 0};
	struct model_space *s = model_pick_space(m);
	unsigned first, end;
	unsigned set = model_chance(m, 3) ? REGION_IMMUTABLE : settable[model_pick(m, ARRAY_SIZE(settable))];
	unsigned clear = set == REGION_IMMUTABLE ? 0 : settable[model_pick(m, ARRAY_SIZE(settable))] & ~set;

	model_pick_range(m, &first, &end);
	err_t want = set & REGION_WIPEONFORK ? wipe_error(s, first, end)
		     : set & REGION_DONTFORK ? keep_error(s, first, end)
					     : hole_error(s, first, end);
	model_note(m, "flags space %d pages [%u, %u) set %#x clear %#x -> %d", (int)(s - m->spaces), first,
	    end, set, clear, want);
	model_inject_arm(m);
	err_t err =
	    space_set_flags(s->real, model_addr(m, first), (uint64_t)(end - first) * PAGE_SIZE, set, clear);
	if (model_inject_struck(m, err))
		return;
	expect(m, "flags", err, want);
	for (unsigned i = first; !err && i < end; i++)
		s->pages[i].flags = (uint16_t)((s->pages[i].flags & ~clear) | set);
}

/* ---------------------------------------------------------------- accesses */

/* Up to two words, the second the first of the next page: an access that straddles. */
struct word_access {
	struct model_space *s;
	unsigned page, word;
	size_t n; /* 8 or 16 */
	uaddr_t addr;
};

static struct word_access pick_access(struct vm_model *m)
{
	struct word_access a = {.s = model_pick_space(m),
	    .page = model_pick_page(m),
	    .word = (unsigned)model_pick(m, MODEL_WORDS)};
	bool straddles = a.word == MODEL_WORDS - 1 && a.page + 1 < m->opt.npages && model_chance(m, 50);

	a.n = straddles ? 16 : 8;
	a.addr = model_addr(m, a.page) + model_word_offset[a.word];
	return a;
}

/* What must happen: *done bytes, and the error that stops it. */
static err_t expect_access(const struct word_access *a, unsigned access, size_t *done)
{
	const struct model_page *p = &a->s->pages[a->page];
	err_t err = model_access_error(p, access);

	*done = err ? 0 : 8;
	if (!err && a->n == 16) {
		err = model_access_error(p + 1, access);
		*done = err ? 8 : 16;
	}
	return err;
}

/* By the processor, by the kernel's copy to the current space, or by a copy into another space. */
static size_t do_access(
    struct vm_model *m, const struct word_access *a, uint64_t *buf, bool write, err_t *err)
{
	unsigned how = (unsigned)model_pick(m, 8);
	size_t done;

	model_note(m, "%s space %d page %u word %u n %zu by %s", write ? "write" : "read",
	    (int)(a->s - m->spaces), a->page, a->word, a->n, how == 0 ? "space copy" : "access");
	model_inject_arm(m);
	if (how == 0)
		*err = write ? space_write(a->s->real, a->addr, buf, a->n, &done)
			     : space_read(a->s->real, buf, a->addr, a->n, &done);
	else
		done = mock_copy(a->s->real, a->addr, buf, a->n, write, err);
	return done;
}

/* The device cannot be reached by space copies. */
static bool reaches_device(const struct word_access *a)
{
	const struct model_obj *o = a->s->pages[a->page].obj,
			       *next = a->n == 16 ? a->s->pages[a->page + 1].obj : NULL;

	return (o && o->kind == MODEL_PHYS) || (next && next->kind == MODEL_PHYS);
}

static void check_done(
    struct vm_model *m, const char *what, err_t err, size_t done, err_t want, size_t want_done)
{
	m->faults_checked++;
	if (err != want || done != want_done)
		model_fail(m, "%s: error %d after %zu bytes, expected %d after %zu", what, err, done, want,
		    want_done);
}

static void op_read(struct vm_model *m)
{
	struct word_access a = pick_access(m);
	uint64_t got[2], words[MODEL_WORDS];
	size_t want_done;
	err_t err, want = expect_access(&a, FAULT_READ, &want_done);

	if (reaches_device(&a))
		return;
	size_t done = do_access(m, &a, got, false, &err);
	if (model_inject_struck(m, err))
		return;
	check_done(m, "read", err, done, want, want_done);
	for (unsigned i = 0; i < done / 8; i++) {
		model_page_words(&a.s->pages[a.page + i], words);
		uint64_t expected = words[i ? 0 : a.word];
		if (got[i] != expected)
			model_fail(m, "read: %#llx, expected %#llx", (unsigned long long)got[i],
			    (unsigned long long)expected);
	}
}

static void write_words(struct vm_model *m, struct word_access a)
{
	uint64_t buf[2] = {++m->stamp << 8 | 1, ++m->stamp << 8 | 2};
	size_t want_done;
	err_t err, want = expect_access(&a, FAULT_WRITE, &want_done);

	if (reaches_device(&a))
		return;
	size_t done = do_access(m, &a, buf, true, &err);
	while (
	    model_inject_struck(m, err)) /* the page may be there already: do as a program would, try again */
		done = do_access(m, &a, buf, true, &err);
	check_done(m, "write", err, done, want, want_done);
	for (unsigned i = 0; i < done / 8; i++) {
		bool goes_on = model_goes_on(a.s, a.page + i);
		model_page_write(m, &a.s->pages[a.page + i])[i ? 0 : a.word] = buf[i];
		if (goes_on)
			model_served_ahead(m, a.s, a.page + i);
	}
}

static void op_write(struct vm_model *m)
{
	write_words(m, pick_access(m));
}

/* One page after the other. */
static void op_fill(struct vm_model *m)
{
	struct word_access a = {
	    .s = model_pick_space(m), .word = (unsigned)model_pick(m, MODEL_WORDS), .n = 8};
	unsigned end;

	for (model_pick_range(m, &a.page, &end); a.page < end; a.page++) {
		a.addr = model_addr(m, a.page) + model_word_offset[a.word];
		write_words(m, a);
	}
}

/* What one translation may span, mapped anew and filled in order. */
static void op_fill_large(struct vm_model *m)
{
	struct word_access a = {
	    .s = model_pick_space(m), .word = (unsigned)model_pick(m, MODEL_WORDS), .n = 8};
	unsigned first = (unsigned)((ALIGN_UP(m->opt.base, MMU_LARGE_SIZE) - m->opt.base) >> PAGE_SHIFT);
	struct mmu_translation t;

	if (first + MMU_LARGE_PAGES > m->opt.npages)
		return;
	first += (unsigned)model_pick(m, (m->opt.npages - first) / MMU_LARGE_PAGES) * MMU_LARGE_PAGES;
	if (!model_map_plain(m, a.s, first, MMU_LARGE_PAGES))
		return;
	for (a.page = first; a.page < first + MMU_LARGE_PAGES; a.page++) {
		a.addr = model_addr(m, a.page) + model_word_offset[a.word];
		write_words(m, a);
	}
	m->large += mmu_query(&a.s->real->mmu, model_addr(m, first), &t) && t.size == MMU_LARGE_SIZE;
}

static void op_device(struct vm_model *m)
{
	struct model_space *s = model_pick_space(m);
	unsigned page = model_pick_page(m);
	struct model_page *p = &s->pages[page];
	bool write = model_chance(m, 50);
	uint64_t value = write ? ++m->stamp << 8 | 3 : 0;
	err_t err;

	if (!p->obj || p->obj->kind != MODEL_PHYS)
		return;
	model_note(m, "device %s space %d page %u", write ? "write" : "read", (int)(s - m->spaces), page);
	err_t want = model_access_error(p, write ? FAULT_WRITE : FAULT_READ);
	size_t done = mock_copy(s->real, model_addr(m, page), &value, 8, write, &err);
	check_done(m, "device", err, done, want, want ? 0 : 8);
	if (!err && write)
		p->obj->file->cur[p->idx][0] = value;
	else if (!err && value != p->obj->file->cur[p->idx][0])
		model_fail(m, "device: read %#llx", (unsigned long long)value);
	expect(m, "pin device", space_read(s->real, &value, model_addr(m, page), 8, &done),
	    model_access_error(p, FAULT_READ) ? model_access_error(p, FAULT_READ) : -EFAULT);
}

static void op_execute(struct vm_model *m)
{
	struct model_space *s = model_pick_space(m);
	unsigned page = model_pick_page(m);
	err_t want = model_access_error(&s->pages[page], FAULT_EXEC);

	model_note(m, "execute space %d page %u -> %d", (int)(s - m->spaces), page, want);
	expect(m, "execute", mock_execute(s->real, model_addr(m, page)), want);
}

/* ---------------------------------------------------------------- whole pages between spaces */

static void op_copy(struct vm_model *m)
{
	struct model_space *ss = model_pick_space(m), *ds = model_pick_space(m);
	unsigned src = model_pick_page(m), dst = model_pick_page(m), n = 1 + (unsigned)model_pick(m, 4), i;
	enum copy_side side, want_side = COPY_OK;
	uint64_t words[MODEL_WORDS];
	size_t done;
	err_t want = 0;

	n = MIN(n, m->opt.npages - MAX(src, dst));
	for (i = 0; i < n; i++)
		if ((ss->pages[src + i].obj && ss->pages[src + i].obj->kind == MODEL_PHYS) ||
		    (ds->pages[dst + i].obj && ds->pages[dst + i].obj->kind == MODEL_PHYS))
			return;
	model_note(m, "copy space %d page %u -> space %d page %u, %u pages", (int)(ss - m->spaces), src,
	    (int)(ds - m->spaces), dst, n);
	model_inject_arm(m);
	err_t err = space_copy(
	    ds->real, model_addr(m, dst), ss->real, model_addr(m, src), (size_t)n * PAGE_SIZE, &done, &side);
	if (model_inject_struck(
		m, err)) { /* go on, without failures: what was copied may be a source by now */
		size_t before = done;
		err = space_copy(ds->real, model_addr(m, dst) + before, ss->real, model_addr(m, src) + before,
		    (size_t)n * PAGE_SIZE - before, &done, &side);
		done += before;
	}
	for (i = 0; i < n; i++) {
		want = model_access_error(&ss->pages[src + i], FAULT_READ);
		want_side = want ? COPY_SRC_FAULT : COPY_OK;
		if (!want) {
			want = model_access_error(&ds->pages[dst + i], FAULT_WRITE);
			want_side = want ? COPY_DST_FAULT : COPY_OK;
		}
		if (want)
			break;
		model_page_words(&ss->pages[src + i], words);
		memcpy(model_page_write(m, &ds->pages[dst + i]), words, sizeof(words));
	}
	if (err != want || side != want_side || done != (size_t)i * PAGE_SIZE)
		model_fail(m, "copy: error %d side %d after %zu bytes, expected %d side %d after %zu", err,
		    side, done, want, want_side, (size_t)i * PAGE_SIZE);
}

/* ---------------------------------------------------------------- fork and exit */

static struct model_space *free_space(struct vm_model *m)
{
	for (unsigned i = 0; i < MODEL_SPACES; i++)
		if (!m->spaces[i].real)
			return &m->spaces[i];
	return NULL;
}

static void op_exit(struct vm_model *m)
{
	struct model_space *s = model_pick_space(m);
	unsigned live = 0;

	for (unsigned i = 0; i < MODEL_SPACES; i++)
		live += m->spaces[i].real != NULL;
	if (live == 1)
		return;
	model_note(m, "exit space %d", (int)(s - m->spaces));
	model_unmap(m, s, 0, m->opt.npages);
	space_put(s->real);
	s->real = NULL;
	s->resident_peak = 0;
}

/* Fork into a free slot; NULL: there is none, or a failure was injected. */
static struct model_space *fork_space(struct vm_model *m, struct model_space *parent)
{
	struct model_space *child = free_space(m);
	struct vm_space *real = NULL;

	if (!child)
		return NULL;
	model_note(m, "fork space %d -> %d", (int)(parent - m->spaces), (int)(child - m->spaces));
	model_inject_arm(m);
	err_t err = space_fork(parent->real, &real);
	if (model_inject_struck(m, err))
		return NULL;
	expect(m, "fork", err, 0);
	m->forks++;
	child->real = real;
	model_fork(m, parent, child);
	return child;
}

static void op_fork(struct vm_model *m)
{
	if (free_space(m))
		(void)fork_space(m, model_pick_space(m));
	else
		op_exit(m);
}

/* A page of private memory is pinned, written through the direct map while a fork goes by, and unpinned: the
 * child has what was there before. */
static void op_pin(struct vm_model *m)
{
	struct model_space *s = model_pick_space(m), *child;
	unsigned page = model_pick_page(m), word = (unsigned)model_pick(m, MODEL_WORDS);
	struct model_page *p = &s->pages[page];
	uint64_t stamp = ++m->stamp << 8 | 5;
	struct vm_pin pin;

	if (!p->obj || p->obj->kind != MODEL_PRIVATE)
		return;
	err_t want = model_access_error(p, FAULT_WRITE);
	model_note(m, "pin space %d page %u -> %d", (int)(s - m->spaces), page, want);
	err_t err = vm_fault_pin(s->real, model_addr(m, page), FAULT_WRITE, &pin);
	expect(m, "pin", err, want);
	if (err)
		return;
	(void)model_page_write(m, p);
	child = fork_space(m, s);
	if (child && child->pages[page].own)
		model_unshare(m, &child->pages[page].own);
	memcpy((char *)page_to_virt(pin.page) + model_word_offset[word], &stamp, 8);
	model_page_write(m, p)[word] = stamp;
	vm_unpin(&pin);
}

/* ---------------------------------------------------------------- objects */

static void drop_handle(struct vm_model *m, unsigned i)
{
	struct model_obj *o = m->handles[i];

	m->handles[i] = NULL;
	if (!o)
		return;
	if (o->kind == MODEL_FILE && o->refs > 1) { /* it stays mapped: the test file must outlive it */
		m->handles[i] = o;
		return;
	}
	object_put(o->real);
	o->real = NULL;
	model_obj_put(m, o);
}

static void make_handle(struct vm_model *m, unsigned i, enum model_kind kind)
{
	uint64_t npages = kind == MODEL_PHYS ? MODEL_DEVICE_PAGES : model_pick(m, MODEL_OBJ_PAGES + 1);
	struct model_obj *o = model_obj_new(kind, npages);
	err_t err;

	o->purgeable = kind == MODEL_SHARED && model_chance(m, 40);
	if (kind == MODEL_SHARED) {
		err = object_create_anon(o->purgeable ? VM_PURGEABLE : 0, npages, NULL, &o->real);
	} else if (kind == MODEL_FILE) {
		o->file->read_only = model_chance(m, 20);
		for (unsigned k = 0; k < npages; k++)
			for (unsigned w = 0; w < MODEL_WORDS; w++)
				o->file->cur[k][w] = o->file->store[k][w] = ++m->stamp << 8 | 4;
		err = object_create_file(
		    o->file->read_only ? &read_only_ops : &file_ops, o->file, npages, &o->real);
	} else {
		err = object_create_phys((paddr_t)HOST_DEVICE_FRAME << PAGE_SHIFT, npages, MMU_UC, &o->real);
		memset(phys_to_virt((paddr_t)HOST_DEVICE_FRAME << PAGE_SHIFT), 0, npages << PAGE_SHIFT);
	}
	expect(m, "create object", err, 0);
	m->handles[i] = o;
}

/* Slot 0 is the device, 1 and 2 are files, the others shared memory. */
static enum model_kind kind_of_slot(unsigned i)
{
	return i == 0 ? MODEL_PHYS : i <= 2 ? MODEL_FILE : MODEL_SHARED;
}

static void op_handle(struct vm_model *m)
{
	unsigned i = 1 + (unsigned)model_pick(m, MODEL_HANDLES - 1);

	model_note(m, "new object in slot %u", i);
	drop_handle(m, i);
	if (!m->handles[i])
		make_handle(m, i, kind_of_slot(i));
}

/* Clone o into slot i; NULL: a failure was injected. */
static struct model_obj *clone_object(struct vm_model *m, struct model_obj *o, unsigned i)
{
	struct vm_object *real = NULL;

	model_note(m, "clone object of %llu pages into slot %u", (unsigned long long)o->npages, i);
	model_inject_arm(m);
	err_t err = object_clone(o->real, &real);
	if (model_inject_struck(m, err))
		return NULL;
	expect(m, "clone", err, 0);
	struct model_obj *c = model_obj_clone(m, o);
	c->real = real;
	drop_handle(m, i);
	m->handles[i] = c;
	return c;
}

static unsigned shared_slot(struct vm_model *m)
{
	return 3 + (unsigned)model_pick(m, MODEL_HANDLES - 3);
}

static void op_clone(struct vm_model *m)
{
	struct model_obj *o = pick_handle(m);
	unsigned i = shared_slot(m);

	if (o->kind == MODEL_SHARED && m->handles[i] != o)
		(void)clone_object(m, o, i);
}

/* One word of an object as read(2) and write(2) reach it; now and then a clone is made while the page is
 * pinned. */
static void op_object_access(struct vm_model *m)
{
	struct model_obj *o = pick_handle(m);
	bool write = model_chance(m, 60);
	unsigned word = (unsigned)model_pick(m, MODEL_WORDS), i = shared_slot(m);
	struct model_page p = {.obj = o, .idx = model_pick(m, MODEL_OBJ_PAGES), .prot = VM_RWX};
	uint64_t words[MODEL_WORDS], value = ++m->stamp << 8 | 6;
	struct vm_pin pin;

	err_t want =
	    o->kind == MODEL_PHYS ? -EINVAL : model_access_error(&p, write ? FAULT_WRITE : FAULT_READ);
	model_note(m, "object %s kind %d page %llu -> %d", write ? "write" : "read", o->kind,
	    (unsigned long long)p.idx, want);
	err_t err = object_pin(o->real, p.idx, write, &pin);
	expect(m, "object pin", err, want);
	if (err)
		return;
	char *at = (char *)page_to_virt(pin.page) + model_word_offset[word];
	if (write) {
		(void)model_page_write(m, &p);
		struct model_obj *c = o->kind == MODEL_SHARED && m->handles[i] != o && model_chance(m, 20)
					  ? clone_object(m, o, i)
					  : NULL;
		if (c)
			model_unshare(m, &c->pages[p.idx]);
		memcpy(at, &value, 8);
		model_page_write(m, &p)[word] = value;
	} else {
		model_page_words(&p, words);
		if (memcmp(at, &words[word], 8))
			model_fail(
			    m, "object read: page %llu word %u differs", (unsigned long long)p.idx, word);
	}
	vm_unpin(&pin);
}

static void op_resize(struct vm_model *m)
{
	struct model_obj *o = pick_handle(m);
	uint64_t npages =
	    model_chance(m, 70) ? model_pick(m, MODEL_OBJ_PAGES + 1) : o->npages + model_pick(m, 3);

	npages = MIN(npages, (uint64_t)MODEL_OBJ_PAGES);
	model_note(m, "resize object kind %d from %llu to %llu pages", o->kind, (unsigned long long)o->npages,
	    (unsigned long long)npages);
	model_inject_arm(m);
	err_t err = object_resize(o->real, npages);
	if (model_inject_struck(m, err))
		return;
	expect(m, "resize", err, o->kind == MODEL_PHYS ? -EINVAL : 0);
	if (err)
		return;
	if (o->kind == MODEL_FILE && npages < o->npages) /* what a file system does */
		memset(o->file->store[npages], 0, (MODEL_OBJ_PAGES - npages) * sizeof(o->file->store[0]));
	model_obj_resize(m, o, npages);
}

static bool has_dirty(const struct model_obj *o, uint64_t first, uint64_t end)
{
	for (uint64_t i = first; i < MIN(end, (uint64_t)MODEL_OBJ_PAGES); i++)
		if (o->file->dirty[i])
			return true;
	return false;
}

static void op_object_discard(struct vm_model *m)
{
	struct model_obj *o = pick_handle(m);
	uint64_t first = model_pick(m, MODEL_OBJ_PAGES),
		 end = first + model_pick(m, model_chance(m, 80) ? 8 : MODEL_OBJ_PAGES);
	err_t want = o->kind == MODEL_PHYS                               ? -EINVAL
		     : o->kind == MODEL_FILE && has_dirty(o, first, end) ? -EBUSY
									 : 0;

	model_note(m, "object discard kind %d [%llu, %llu) -> %d", o->kind, (unsigned long long)first,
	    (unsigned long long)end, want);
	model_inject_arm(m);
	err_t err = object_discard(o->real, first, end);
	if (model_inject_struck(m, err))
		return;
	expect(m, "object discard", err, want);
	if (!err && o->kind == MODEL_SHARED)
		model_obj_drop(m, o, first, end);
}

static void op_sync(struct vm_model *m)
{
	struct model_obj *o = m->handles[1 + model_pick(m, 2)];
	uint64_t first = model_pick(m, 2) ? 0 : model_pick(m, MODEL_OBJ_PAGES),
		 end = first + 1 + model_pick(m, MODEL_OBJ_PAGES);
	uint64_t before = o->file->writes, dirty = 0;

	if (o->file->read_only)
		return;
	o->file->fail_write = model_chance(m, 20);
	for (uint64_t i = first; i < MIN(end, (uint64_t)MODEL_OBJ_PAGES); i++)
		dirty += o->file->dirty[i];
	err_t want = dirty && o->file->fail_write ? -EIO : 0;
	model_note(m, "sync [%llu, %llu) -> %d", (unsigned long long)first, (unsigned long long)end, want);
	expect(m, "sync", object_sync(o->real, first, end), want);
	o->file->fail_write = false;
	if (o->file->writes - before != dirty)
		model_fail(m, "sync wrote %llu pages, %llu were dirty",
		    (unsigned long long)(o->file->writes - before), (unsigned long long)dirty);
	for (uint64_t i = first; !want && i < MIN(end, (uint64_t)MODEL_OBJ_PAGES); i++) {
		if (memcmp(o->file->store[i], o->file->cur[i], sizeof(o->file->cur[i])))
			model_fail(m, "sync: page %llu differs on the medium", (unsigned long long)i);
		o->file->dirty[i] = false;
	}
}

/* A page that cannot be read: only where it is not in the page cache, so that every access must meet the
 * error. */
static void op_bad_page(struct vm_model *m)
{
	struct model_obj *o = m->handles[1 + model_pick(m, 2)];
	unsigned idx = (unsigned)model_pick(m, MODEL_OBJ_PAGES);

	model_note(m, "bad page %u (was %d)", idx, o->file->bad_page);
	if (o->file->bad_page >= 0) {
		o->file->bad_page = -1;
		return;
	}
	if (o->file->dirty[idx])
		return;
	expect(m, "discard", object_discard(o->real, idx, idx + 1), 0);
	o->file->bad_page = (int)idx;
}

/* ---------------------------------------------------------------- purgeable memory and reclaim */

/* Is [first, end) exactly one region? */
static bool is_one_region(struct vm_model *m, const struct model_space *s, unsigned first, unsigned end)
{
	if (!s->pages[first].obj || (first > 0 && model_joined(s, first)) ||
	    (end < m->opt.npages && model_joined(s, end)))
		return false;
	for (unsigned i = first + 1; i < end; i++)
		if (!model_joined(s, i))
			return false;
	return true;
}

/* Mostly a whole purgeable region, so that something happens. */
static void pick_purgeable(struct vm_model *m, struct model_space *s, unsigned *first, unsigned *end)
{
	model_pick_range(m, first, end);
	if (model_chance(m, 10))
		return;
	for (unsigned i = *first; i < m->opt.npages; i++) {
		if (!s->pages[i].obj || !s->pages[i].obj->purgeable)
			continue;
		for (*first = i; *first > 0 && model_joined(s, *first);)
			--*first;
		for (*end = i + 1; *end < m->opt.npages && model_joined(s, *end);)
			++*end;
		return;
	}
}

/* Does no other region show a private object that [first, end) shows? */
static bool is_whole(struct vm_model *m, struct model_space *s, unsigned first, unsigned end)
{
	struct model_obj *o = s->pages[first].obj;
	for (unsigned i = 0; o->kind == MODEL_PRIVATE && i < m->opt.npages; i++)
		if ((i < first || i >= end) && s->pages[i].obj == o)
			return false;
	return true;
}

/* What the owner of a purgeable object does, without looking for it in a space. */
static err_t set_by_object(struct vm_object *o, bool make, bool *was)
{
	if (!(o->flags & VM_PURGEABLE))
		return -EINVAL;
	if (make)
		object_let_go(o, &o->owner);
	else
		object_hold(o, &o->owner, was);
	return 0;
}

static void op_volatile(struct vm_model *m)
{
	struct model_space *s = model_pick_space(m);
	struct model_obj *o = pick_handle(m);
	bool make = !m->opt.no_volatile && model_chance(m, 50), by_object = model_chance(m, 30), was = false;
	unsigned first, end;
	err_t err;

	pick_purgeable(m, s, &first, &end);
	uint64_t len = (uint64_t)(end - first) * PAGE_SIZE;
	if (!by_object)
		o = is_one_region(m, s, first, end) && is_whole(m, s, first, end) ? s->pages[first].obj
										  : NULL;
	model_note(m, "%svolatile space %d pages [%u, %u) %s", make ? "" : "non", (int)(s - m->spaces), first,
	    end, by_object ? "by object" : "");
	if (by_object)
		err = set_by_object(o->real, make, &was);
	else
		err = make ? space_set_volatile(s->real, model_addr(m, first), len)
			   : space_set_nonvolatile(s->real, model_addr(m, first), len, &was);
	expect(m, "volatile", err, o && o->purgeable ? 0 : -EINVAL);
	if (err)
		return;
	if (make)
		model_set_volatile(m, o);
	else if (model_set_nonvolatile(m, o) != was)
		model_fail(m, "nonvolatile: was purged %d, expected %d", was, !was);
}

static void op_purge(struct vm_model *m)
{
	uint64_t want = 0;
	bool more = false;

	model_note(m, "purge");
	bool want_more = model_purge_one(m, &want);
	uint64_t freed = vm_purge_one(&more);
	m->purged_frames += freed;
	if (more != want_more || freed != want)
		model_fail(m, "purge: %llu frames (more %d), expected %llu (more %d)",
		    (unsigned long long)freed, more, (unsigned long long)want, want_more);
}

static void op_reclaim(struct vm_model *m)
{
	uint64_t before = frame_free_count(), want = 1 + model_pick(m, 40);

	if (!list_is_empty(&m->purge_list))
		return;
	model_note(m, "reclaim %llu", (unsigned long long)want);
	uint64_t freed = vm_reclaim(want);
	if (frame_free_count() < before + freed)
		model_fail(m, "reclaim says %llu frames, free grew by %lld", (unsigned long long)freed,
		    (long long)(frame_free_count() - before));
}

static void op_forget(struct vm_model *m UNUSED)
{
	mock_tlb_forget();
}

/* ---------------------------------------------------------------- one step */

static const struct {
	void (*fn)(struct vm_model *m);
	unsigned weight;
} ops[] = {
    {model_op_map, 14},
    {op_unmap, 8},
    {op_protect, 8},
    {op_discard, 4},
    {op_set_flags, 3},
    {op_read, 24},
    {op_write, 30},
    {op_fill, 2},
    {op_fill_large, 1},
    {op_device, 2},
    {op_execute, 2},
    {op_copy, 5},
    {op_fork, 5},
    {op_exit, 3},
    {op_handle, 1},
    {op_clone, 2},
    {op_object_access, 4},
    {op_pin, 3},
    {op_resize, 2},
    {op_object_discard, 2},
    {op_sync, 2},
    {op_bad_page, 1},
    {op_volatile, 6},
    {op_purge, 2},
    {op_reclaim, 1},
    {op_forget, 1},
};

bool model_step(struct vm_model *m)
{
	if (m->src.bytes && !m->src.left)
		return false;
	uint64_t at = model_pick(m, m->total_weight);
	m->steps++;
	for (unsigned i = 0;; at -= ops[i++].weight)
		if (at < ops[i].weight) {
			ops[i].fn(m);
			return true;
		}
}

void model_init(struct vm_model *m, const struct model_options *opt, struct model_source src)
{
	memset(m, 0, sizeof(*m));
	m->opt = *opt;
	m->src = src;
	list_init(&m->purge_list);
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
		m->total_weight += ops[i].weight;
	for (unsigned i = 0; i < MODEL_SPACES; i++)
		m->spaces[i].pages = calloc(opt->npages, sizeof(struct model_page));
	expect(m, "space", space_create(&m->spaces[0].real), 0);
	for (unsigned i = 0; i < MODEL_HANDLES; i++)
		make_handle(m, i, kind_of_slot(i));
}

void model_fini(struct vm_model *m)
{
	inject_arm(0);
	for (unsigned i = 0; i < MODEL_SPACES; i++) {
		model_unmap(m, &m->spaces[i], 0, m->opt.npages);
		if (m->spaces[i].real)
			space_put(m->spaces[i].real);
		free(m->spaces[i].pages);
	}
	for (unsigned i = 0; i < MODEL_HANDLES; i++)
		drop_handle(m, i);
	if (m->live_contents)
		model_fail(m, "the model itself leaks %llu contents", (unsigned long long)m->live_contents);
	while (m->free_contents) {
		struct content *c = m->free_contents;
		m->free_contents = c->next_free;
		free(c);
	}
}
