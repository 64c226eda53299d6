/*
 * page.c - the last reference to a frame, and what a panic says about one.
 */
#include "mm/frame_priv.h"

struct page *zero_page;

unsigned page_unshare(struct page *p)
{
	uint64_t old = fetch_sub_acq_rel(&p->state, 1);
	if (unlikely(!(uint32_t)old))
		page_panic(p, "a share is dropped that nobody had");
	if ((old & PAGE_COUNTS) != 1)
		return 0;
	frame_free(p);
	return 1;
}

unsigned page_unpin(struct page *p)
{
	uint64_t old = fetch_sub_acq_rel(&p->state, PAGE_PIN_ONE);
	if (unlikely(!(old >> 32 & 0xffff)))
		page_panic(p, "a pin is dropped that nobody had");
	if ((old & PAGE_COUNTS) != PAGE_PIN_ONE)
		return 0;
	frame_free(p);
	return 1;
}

void page_panic(const struct page *p, const char *why)
{
	static const char *const kinds[PAGE_KINDS] = {
	    "virgin", "reserved", "free", "cached", "kernel", "slab", "table", "anon", "file", "shmem"};
	unsigned kind = page_kind(p);
	panic(
	    "%s: frame %#llx kind %s (%u) order %u flags %#x shares %u pins %u links %u %u owner %p index %#llx",
	    why, (unsigned long long)page_to_pfn(p), kind < PAGE_KINDS ? kinds[kind] : "?", kind,
	    page_order(p), (unsigned)(load_relaxed(&p->state) >> PAGE_FLAG_SHIFT & 0xf), page_shares(p),
	    page_pins(p), p->link_next, p->link_prev, p->owner, (unsigned long long)p->index);
}

void frame_bad_free(struct page *p)
{
	page_panic(p, "a frame is freed that is not in use, or that somebody still uses");
}
