#pragma once
/* page_view.h - what a space has at each of its pages. */
#include "vm/space.h"

struct page_view {
	bool mapped; /* there is a region */
	bool
	    present; /* there is a page: a private or anonymous one that exists, or one of a file or device that is translated */
	bool of_file;   /* others may see it too: a file's, or shared memory's */
	bool exclusive; /* private, and nobody else has a share of it */
	paddr_t paddr;  /* of the page, if present */
};
/* Of the n pages from addr on, page aligned. May sleep. */
void space_view_pages(struct vm_space *s, uaddr_t addr, struct page_view *out, unsigned n);
