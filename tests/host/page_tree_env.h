#pragma once
#include "mm/frame.h"
#include "vm/page_tree.h"
void standin_init(void);
static inline void page_tree_env_init(void)
{
	standin_init();
	page_tree_init_cache();
}
static inline uint64_t page_tree_env_anon_frames(void)
{
	return frame_free_count();
}
