/* model_check.c - comparison of kernel and model: layout, sharing, frames, bytes. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "vm/commit.h"
#include "machine/host.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "vm_model.h"

/* ---------------------------------------------------------------- log of the last operations */

enum { LOG_LINES = 40, LOG_WIDTH = 160 };
static char lines[LOG_LINES][LOG_WIDTH];
static uint64_t nlines;
bool model_verbose;

void model_note(struct vm_model *m, const char *fmt, ...)
{
	char *line = lines[nlines++ % LOG_LINES];
	va_list args;

	if (!model_verbose) /* formatting is dearer than the operations: a failing run is repeated with -v */
		return;
	int n = snprintf(line, LOG_WIDTH, "%llu: ", (unsigned long long)m->steps);
	va_start(args, fmt);
	vsnprintf(line + n, (size_t)(LOG_WIDTH - n), fmt, args);
	va_end(args);
}

void model_print_log(void)
{
	if (!model_verbose)
		return;
	for (uint64_t i = nlines > LOG_LINES ? nlines - LOG_LINES : 0; i < nlines; i++)
		fprintf(stderr, "#   %s\n", lines[i % LOG_LINES]);
}

void model_fail(struct vm_model *m, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "# step %llu: ", (unsigned long long)m->steps);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	panic("kernel and model differ");
}

/* ---------------------------------------------------------------- layout */

/* Pages of [first, end) with contents, and how many of these somebody else shares. */
static void count_contents(
    const struct model_space *s, unsigned first, unsigned end, uint64_t *resident, uint64_t *shared)
{
	*resident = *shared = 0;
	for (unsigned i = first; i < end; i++) {
		const struct model_page *p = &s->pages[i];
		const struct content *c = p->obj->kind == MODEL_SHARED
					      ? (p->idx < MODEL_OBJ_PAGES ? p->obj->pages[p->idx] : NULL)
					      : p->own;
		*resident += c != NULL;
		*shared += c && c->refs > 1;
	}
}

static const enum vm_kind real_kind[] = {VM_ANON, VM_ANON, VM_FILE, VM_PHYS};

static void check_region(struct vm_model *m, const struct model_space *s, unsigned first, unsigned end,
    const struct region_info *info)
{
	const struct model_page *p = &s->pages[first];
	uint64_t resident, shared;
	bool same = info->start == model_addr(m, first) && info->end == model_addr(m, end) &&
		    info->prot == p->prot && info->max_prot == p->max_prot && info->flags == p->flags &&
		    info->offset == p->idx && info->kind == real_kind[p->obj->kind] &&
		    info->has_backing == (p->obj->backing != NULL) && info->purgeable == p->obj->purgeable &&
		    info->vol_state == p->obj->vol;

	if (!same)
		model_fail(m,
		    "space %d: region [%#llx, %#llx) prot %u max %u flags %#x offset %llu vol %d, expected pages [%u, %u) [%#llx, %#llx) prot %u "
		    "max %u flags %#x offset %llu vol %d",
		    (int)(s - m->spaces), (unsigned long long)info->start, (unsigned long long)info->end,
		    info->prot, info->max_prot, info->flags, (unsigned long long)info->offset,
		    info->vol_state, first, end, (unsigned long long)model_addr(m, first),
		    (unsigned long long)model_addr(m, end), p->prot, p->max_prot, p->flags,
		    (unsigned long long)p->idx, p->obj->vol);
	if (p->obj->kind > MODEL_SHARED || p->obj->trim_pending)
		return;
	count_contents(s, first, end, &resident, &shared);
	if (info->resident != resident || info->shared != shared)
		model_fail(m, "space %d pages [%u, %u): %llu resident, %llu shared; expected %llu, %llu",
		    (int)(s - m->spaces), first, end, (unsigned long long)info->resident,
		    (unsigned long long)info->shared, (unsigned long long)resident,
		    (unsigned long long)shared);
}

/* What the space counts as pages come and go is what a walk of its regions finds; the peak is never less. */
static void check_resident(struct vm_model *m, struct model_space *s, const struct vm_resident *found)
{
	struct vm_resident now = space_resident_now(s->real);
	uint64_t sum = now.anon + now.file + now.shmem;

	if (now.anon != found->anon || now.file + now.shmem != found->file)
		model_fail(m, "space %d: %llu, %llu, %llu pages are counted, %llu, %llu found",
		    (int)(s - m->spaces), (unsigned long long)now.anon, (unsigned long long)now.file,
		    (unsigned long long)now.shmem, (unsigned long long)found->anon,
		    (unsigned long long)found->file);
	s->resident_peak = MAX(s->resident_peak, sum);
	if (space_resident_peak(s->real) < s->resident_peak)
		model_fail(m, "space %d: a peak of %llu pages, there were %llu", (int)(s - m->spaces),
		    (unsigned long long)space_resident_peak(s->real), (unsigned long long)s->resident_peak);
}

static void check_layout(struct vm_model *m, struct model_space *s)
{
	struct vm_resident found = {0};
	struct region_info info;
	uaddr_t at = 0;

	for (unsigned i = 0; i < m->opt.npages;) {
		unsigned end = i + 1;
		if (!s->pages[i].obj) {
			i++;
			continue;
		}
		while (end < m->opt.npages && model_joined(s, end))
			end++;
		if (!space_query(s->real, at, &info))
			model_fail(m, "space %d: no region at page %u", (int)(s - m->spaces), i);
		check_region(m, s, i, end, &info);
		found.anon += info.flags & REGION_SHARED ? 0 : info.resident;
		found.file += info.translated;
		at = info.end;
		i = end;
	}
	if (space_query(s->real, at, &info))
		model_fail(m, "space %d: a region too many at %#llx", (int)(s - m->spaces),
		    (unsigned long long)info.start);
	check_resident(m, s, &found);
}

/* ---------------------------------------------------------------- frames */

/* Make private objects carry out the cuts that truncations noted; false: one of them cannot be reached. */
static bool settle_trims(struct vm_model *m)
{
	bool settled = true;

	for (unsigned k = 0; k < MODEL_SPACES; k++)
		for (unsigned i = 0; m->spaces[k].real && i < m->opt.npages; i++) {
			struct model_page *p = &m->spaces[k].pages[i];
			uint64_t word;
			size_t done;
			if (!p->obj || !p->obj->trim_pending)
				continue;
			if (p->prot) { /* any look at the object will do, also one that finds nothing */
				err_t err = space_read(m->spaces[k].real, &word, model_addr(m, i), 8, &done);
				if (err != model_access_error(p, FAULT_READ))
					model_fail(m, "trim: error %d", err);
				p->obj->trim_pending = false;
			} else {
				settled = false;
			}
		}
	for (unsigned k = 0; !settled && k < MODEL_SPACES; k++)
		for (unsigned i = 0; m->spaces[k].real && i < m->opt.npages; i++)
			if (m->spaces[k].pages[i].obj && m->spaces[k].pages[i].obj->trim_pending)
				return false;
	return true;
}

static void check_frames(struct vm_model *m)
{
	uint64_t counts[PAGE_KINDS], tables = mmu_table_count(&kernel_mmu);

	if (!settle_trims(m))
		return;
	frame_count_kinds(counts);
	for (unsigned k = 0; k < MODEL_SPACES; k++)
		if (m->spaces[k].real)
			tables += mmu_table_count(&m->spaces[k].real->mmu);
	counts[PAGE_ANON] += counts[PAGE_SHMEM];
	if (counts[PAGE_ANON] != m->live_contents)
		model_fail(m, "%llu anonymous frames, expected %llu", (unsigned long long)counts[PAGE_ANON],
		    (unsigned long long)m->live_contents);
	if (counts[PAGE_TABLE] != tables)
		model_fail(m, "%llu table frames, the contexts have %llu",
		    (unsigned long long)counts[PAGE_TABLE], (unsigned long long)tables);
}

/* ---------------------------------------------------------------- served ahead */

bool model_goes_on(const struct model_space *s, unsigned i)
{
	const struct model_page *p = &s->pages[i];

	return i && p->obj && p->obj->kind == MODEL_PRIVATE && !p->obj->backing && !p->own &&
	       !(p->flags & REGION_RANDOM) && model_joined(s, i) && s->pages[i - 1].own;
}

static bool is_there(const struct vm_model *m, const struct model_space *s, unsigned i)
{
	const struct region *r = region_find(&s->real->regions, model_addr(m, i));

	return r && page_tree_lookup(&r->object->tree, region_index(r, model_addr(m, i)));
}

void model_served_ahead(struct vm_model *m, struct model_space *s, unsigned i)
{
	while (++i < m->opt.npages && model_joined(s, i) && s->pages[i].idx % PT_SLOTS != 0 &&
	       !s->pages[i].own && is_there(m, s, i))
		(void)model_page_write(m, &s->pages[i]);
}

void model_check(struct vm_model *m)
{
	check_frames(m);
	for (unsigned k = 0; k < MODEL_SPACES; k++) {
		struct model_space *s = &m->spaces[k];
		if (!s->real)
			continue;
		check_layout(m, s);
		vm_validate(s->real);
		mock_tlb_validate(&s->real->mmu);
	}
	for (unsigned i = 0; i < MODEL_HANDLES; i++)
		object_validate(m->handles[i]->real);
}

void model_check_contents(struct vm_model *m)
{
	static uint8_t got[PAGE_SIZE], want[PAGE_SIZE];
	uint64_t words[MODEL_WORDS];
	size_t done;

	for (unsigned k = 0; k < MODEL_SPACES; k++)
		for (unsigned i = 0; m->spaces[k].real && i < m->opt.npages; i++) {
			struct model_page *p = &m->spaces[k].pages[i];
			if (p->obj && p->obj->kind == MODEL_PHYS)
				continue;
			err_t err = space_read(m->spaces[k].real, got, model_addr(m, i), PAGE_SIZE, &done);
			if (err != model_access_error(p, FAULT_READ))
				model_fail(m, "contents: error %d at space %u page %u", err, k, i);
			if (err)
				continue;
			memset(want, 0, PAGE_SIZE);
			model_page_words(p, words);
			for (unsigned w = 0; w < MODEL_WORDS; w++)
				memcpy(want + model_word_offset[w], &words[w], 8);
			if (memcmp(got, want, PAGE_SIZE))
				model_fail(m, "contents differ: space %u page %u", k, i);
		}
}

/* ---------------------------------------------------------------- leaks */

static void add_objects(struct slab_cache *c, void *arg)
{
	struct slab_stats stats;

	slab_cache_stats(c, &stats);
	*(uint64_t *)arg += stats.objects_used;
}

void model_usage_get(struct model_usage *out)
{
	*out = (struct model_usage){0};
	while (slab_shrink_all())
		;
	frame_drain_cpu();
	slab_for_each_cache(add_objects, &out->objects);
	out->frames = frame_free_count();
	out->nodes = page_tree_nodes();
	out->promised = commit_count();
}
