/* procfs_vm.c - see procfs_vm.h. A setting is one number that is read and written as text. */
#include "proc/procfs_vm.h"
#include "fs/vnode.h"
#include "mm/frame.h"
#include "vm/commit.h"

enum { PERCENT_MAX = 100 };

/* The two functions of a file that says `get` and sets by `set` what is at most `max`. */
#define SETTING(ident, max, get, set)                                                                        \
	void vm_show_##ident(struct text *t, UNUSED struct vnode *v)                                         \
	{                                                                                                    \
		text_printf(t, "%llu\n", (unsigned long long)(get));                                         \
	}                                                                                                    \
	int64_t vm_store_##ident(UNUSED struct vnode *v, char *s, size_t n)                                  \
	{                                                                                                    \
		int64_t value;                                                                               \
		if (proc_parse_number(s, &value) || value < 0 || value > (max))                              \
			return -EINVAL;                                                                      \
		set;                                                                                         \
		return (int64_t)n;                                                                           \
	}

static uint32_t background_ratio(void)
{
	uint32_t background, hard;
	dirty_get_ratios(&background, &hard);
	return background;
}

static uint32_t hard_ratio(void)
{
	uint32_t background, hard;
	dirty_get_ratios(&background, &hard);
	return hard;
}

SETTING(overcommit_memory, COMMIT_NEVER, commit_mode(), commit_set_mode((enum commit_mode)value))
SETTING(overcommit_ratio, INT32_MAX, commit_ratio(), commit_set_ratio((uint32_t)value))
SETTING(overcommit_kbytes, INT64_MAX, commit_kib(), commit_set_kib((uint64_t)value))
SETTING(dirty_background_ratio, PERCENT_MAX, background_ratio(), dirty_set_background_ratio((uint32_t)value))
SETTING(dirty_ratio, PERCENT_MAX, hard_ratio(), dirty_set_hard_ratio((uint32_t)value))
