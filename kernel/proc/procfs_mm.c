/* procfs_mm.c - what /proc tells of frames: Linux's buddyinfo and zoneinfo, and our own mm, a JSON object a
 * line. */
#include "arch/mmu.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "proc/procfs_mm.h"
#include "proc/procfs_priv.h"

static const char *const zone_names[] = {"DMA32", "Normal"};
_Static_assert(ARRAY_SIZE(zone_names) == NZONES, "a name for each zone");

/* Call fn on each zone that has frames. */
static void each_zone(struct text *t, void (*fn)(struct text *t, unsigned zone, const struct zone_stats *z))
{
	struct zone_stats z;
	for (unsigned i = 0; i < NZONES; i++) {
		frame_zone_stats(i, &z);
		if (z.total)
			fn(t, i, &z);
	}
}

/* --- Linux's --- */

static void show_blocks(struct text *t, unsigned zone, const struct zone_stats *z)
{
	text_printf(t, "Node 0, zone %8s ", zone_names[zone]);
	for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++)
		text_printf(t, "%6llu ", (unsigned long long)z->free_by_order[order]);
	text_printf(t, "\n");
}

void mm_show_buddyinfo(struct text *t, UNUSED struct vnode *v)
{
	each_zone(t, show_blocks);
}

static void show_zone(struct text *t, unsigned zone, const struct zone_stats *z)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {{"  pages free    ", z->free}, {"        boost   ", 0}, {"        min     ", z->min},
	    {"        low     ", z->low}, {"        high    ", z->high}, {"        spanned ", z->total},
	    {"        present ", z->total}, {"        managed ", z->total}};
	text_printf(t, "Node 0, zone %8s\n", zone_names[zone]);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		text_printf(t, "%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
	text_printf(t, "      nr_free_pages %llu\n  pagesets\n    cpu: 0\n              count: %llu\n",
	    (unsigned long long)z->free, (unsigned long long)z->cached);
	text_printf(t, "  node_unreclaimable:  0\n");
}

/* What CPUs keep of a zone is told as one sum, with the first of them. */
void mm_show_zoneinfo(struct text *t, UNUSED struct vnode *v)
{
	each_zone(t, show_zone);
}

/* --- our own --- */

static void show_zone_object(struct text *t, unsigned zone, const struct zone_stats *z)
{
	text_printf(t, "{\"zone\":\"%s\",\"frames\":%llu,\"free\":%llu,\"cached\":%llu,", zone_names[zone],
	    (unsigned long long)z->total, (unsigned long long)z->free, (unsigned long long)z->cached);
	text_printf(t, "\"min\":%llu,\"low\":%llu,\"high\":%llu,\"free_by_order\":[",
	    (unsigned long long)z->min, (unsigned long long)z->low, (unsigned long long)z->high);
	for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++)
		text_printf(t, order ? ",%llu" : "%llu", (unsigned long long)z->free_by_order[order]);
	text_printf(t, "]}\n");
}

static void show_kinds(struct text *t)
{
	static const char *const names[PAGE_KINDS] = {
	    "virgin", "reserved", "free", "cached", "kernel", "slab", "table", "anonymous", "file", "shared"};
	uint64_t kinds[PAGE_KINDS];
	frame_count_kinds(kinds);
	for (unsigned i = 0; i < PAGE_KINDS; i++)
		text_printf(t, "{\"kind\":\"%s\",\"frames\":%llu}\n", names[i], (unsigned long long)kinds[i]);
}

static void show_cache(struct slab_cache *c, void *arg)
{
	struct slab_stats s;
	slab_cache_stats(c, &s);
	text_printf(arg, "{\"cache\":\"%s\",\"objects\":%llu,\"object_size\":%llu,\"frames\":%llu}\n", s.name,
	    (unsigned long long)s.objects_used, (unsigned long long)s.object_size,
	    (unsigned long long)s.frames);
}

/* Zones, kinds of frames, sums, caches. */
void mm_show(struct text *t, UNUSED struct vnode *v)
{
	each_zone(t, show_zone_object);
	show_kinds(t);
	text_printf(t, "{\"kernel_tables\":%llu}\n", (unsigned long long)mmu_table_count(&kernel_mmu));
	text_printf(t, "{\"frames\":%llu,\"free\":%llu}\n", (unsigned long long)frame_total_count(),
	    (unsigned long long)frame_free_count());
	slab_for_each_cache(show_cache, t);
}
