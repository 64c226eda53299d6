#pragma once
/*
 * page_tree_env.h - what the page tree's tests and fuzzer stand on: the real frames and slabs over the host
 * port, without the rest of the VM.
 */
#include "lib/inject.h"
#include "machine/host.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "vm/page_tree.h"

static inline void page_tree_env_init(void)
{
	enum { FRAMES = 1 << 16 };
	host_memory_init(FRAMES);
	host_cpu_enter(0);
	frame_add_range(HOST_RESERVED_FRAMES, FRAMES);
	slab_init();
	page_tree_init_cache();
}

/* Frames of kind ANON in use. */
static inline uint64_t page_tree_env_anon_frames(void)
{
	uint64_t counts[PAGE_KINDS];
	frame_count_kinds(counts);
	return counts[PAGE_ANON];
}
