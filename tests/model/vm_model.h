#pragma once
/*
 * vm_model.h - a naive model of spaces and objects, and random operations that compare the kernel with it.
 *
 * The model knows nothing of trees, tables and clones: a space is an array of pages, each with its object,
 * index, rights and (private memory) a pointer to its contents. Contents are counted, so that the model also
 * knows which pages the kernel must be sharing and how many frames must exist. A page's contents are
 * MODEL_WORDS words at fixed places, all its other bytes are zero.
 *
 * Everything happens in one window of addresses, so that spaces stay small and collisions are frequent.
 */
#include <stdio.h>

#include "lib/list.h"
#include "vm/copy.h"

enum {
	MODEL_WORDS = 4,
	MODEL_SPACES = 6,
	MODEL_HANDLES = 8,
	MODEL_OBJ_PAGES = 160, /* largest object */
	MODEL_DEVICE_PAGES = 8,
};

/* Where choices come from: a generator, or the bytes of a fuzzer. */
struct model_source {
	uint64_t state;
	const uint8_t *bytes; /* NULL: generator */
	size_t left;
};

struct model_options {
	uint64_t base;    /* first address of the window */
	unsigned npages;  /* pages of the window */
	bool no_volatile; /* never make anything volatile: injected failures then have no side effect */
	unsigned inject;  /* let about one in `inject` operations meet a failed allocation; 0: none */
};

struct content {
	uint32_t refs;
	uint64_t words[MODEL_WORDS];
	struct content *next_free;
};

enum model_kind { MODEL_PRIVATE, MODEL_SHARED, MODEL_FILE, MODEL_PHYS };

struct model_file {
	uint64_t cur[MODEL_OBJ_PAGES][MODEL_WORDS];   /* what readers must see */
	uint64_t store[MODEL_OBJ_PAGES][MODEL_WORDS]; /* what is on the medium */
	bool dirty[MODEL_OBJ_PAGES];
	bool read_only, fail_write;
	int bad_page; /* cannot be read; -1: none */
	uint64_t writes;
};

struct model_obj {
	enum model_kind kind;
	unsigned refs;             /* pages that show it, backed objects, and the handle */
	struct vm_object *real;    /* handle, or NULL */
	struct model_obj *backing; /* PRIVATE: the FILE behind it */
	uint64_t npages;
	bool purgeable, was_purged, trim_pending;
	enum volatile_state vol;
	struct list purge_link;
	struct model_obj *clone; /* while a fork runs */
	struct content **pages;  /* SHARED */
	struct model_file *file; /* FILE, PHYS (cur only) */
};

struct model_page {
	struct model_obj *obj; /* NULL: not mapped */
	uint64_t idx;
	struct content *own; /* PRIVATE: its own contents; NULL: what is behind */
	uint8_t prot, max_prot;
	uint16_t flags;
};

struct model_space {
	struct vm_space *real; /* NULL: free slot */
	struct model_page *pages;
	uint64_t resident_peak; /* most pages in memory that were seen */
};

struct vm_model {
	struct model_source src;
	struct model_options opt;
	struct model_space spaces[MODEL_SPACES];
	struct model_obj *handles[MODEL_HANDLES];
	struct list purge_list;
	uint64_t steps, stamp, total_weight;
	uint64_t live_contents;
	uint64_t forks, faults_checked, purged_frames, injected;
	uint64_t large; /* translations of 2 MiB that were seen to be made */
	struct content *free_contents;
	struct model_obj *device;
};

/* --- model_state.c: what the operations mean */
uint64_t model_pick(struct vm_model *m, uint64_t n); /* 0 ... n - 1 */
static inline bool model_chance(struct vm_model *m, unsigned percent)
{
	return model_pick(m, 100) < percent;
}
extern const unsigned model_word_offset[MODEL_WORDS];

struct model_obj *model_obj_new(enum model_kind kind, uint64_t npages);
static inline struct model_obj *model_obj_get(struct model_obj *o)
{
	o->refs++;
	return o;
}
void model_obj_put(struct vm_model *m, struct model_obj *o);
/* Drop the contents of [first, end) of a SHARED object; returns how many exist no more. */
uint64_t model_obj_drop(struct vm_model *m, struct model_obj *o, uint64_t first, uint64_t end);
struct model_obj *model_obj_clone(struct vm_model *m, struct model_obj *o);
void model_obj_resize(struct vm_model *m, struct model_obj *o, uint64_t npages);
void model_set_volatile(struct vm_model *m, struct model_obj *o);
bool model_set_nonvolatile(struct vm_model *m, struct model_obj *o);
/* Purge the oldest volatile object; false: there is none. *freed: frames. */
bool model_purge_one(struct vm_model *m, uint64_t *freed);

/* The error that an access of kind enum fault_access to a page gives. */
err_t model_access_error(const struct model_page *p, unsigned access);
/* What the page shows. */
void model_page_words(const struct model_page *p, uint64_t words[MODEL_WORDS]);
/* The words of the page, to be changed: the effect of a successful write access. */
uint64_t *model_page_write(struct vm_model *m, struct model_page *p);

/* Give the slot contents of its own: what a clone does with a page that is pinned for writing. */
void model_unshare(struct vm_model *m, struct content **slot);

void model_unmap(struct vm_model *m, struct model_space *s, unsigned first, unsigned end);
void model_discard(struct vm_model *m, struct model_space *s, unsigned first, unsigned end);
void model_fork(struct vm_model *m, const struct model_space *parent, struct model_space *child);
/* Do pages i - 1 and i of the space belong to one region? */
bool model_joined(const struct model_space *s, unsigned i);

/* Does a write to page i, where nothing is, go on where another one ended, as far as the model can tell? Then
 * pages behind it may have come along. */
bool model_goes_on(const struct model_space *s, unsigned i);
/* How many did, and when, depends on the past: take over what the kernel says, where it may. */
void model_served_ahead(struct vm_model *m, struct model_space *s, unsigned i);

/* --- model_ops.c: random operations on kernel and model */
void model_init(struct vm_model *m, const struct model_options *opt, struct model_source src);
/* One operation; false: the fuzzer's bytes are used up. */
bool model_step(struct vm_model *m);
void model_fini(struct vm_model *m);

/* --- model_map.c: the map operation */
void model_op_map(struct vm_model *m);
/* Map fresh private memory for reading and writing at [first, first + n); true: it is there. */
bool model_map_plain(struct vm_model *m, struct model_space *s, unsigned first, unsigned n);
/* A random range of the window: [*first, *end). */
void model_pick_range(struct vm_model *m, unsigned *first, unsigned *end);
unsigned model_pick_page(struct vm_model *m);
struct model_space *model_pick_space(struct vm_model *m);
static inline uaddr_t model_addr(const struct vm_model *m, unsigned page)
{
	return m->opt.base + (uaddr_t)page * PAGE_SIZE;
}
/* Arm a failure for the next kernel call, now and then; tell whether it struck (the result must then be
 * -ENOMEM, or right). */
void model_inject_arm(struct vm_model *m);
bool model_inject_struck(struct vm_model *m, err_t got);

/* --- model_check.c: comparisons */
/* Layout and counts of every space, frames, TLB, vm_validate. */
void model_check(struct vm_model *m);
/* Every byte of every page. */
void model_check_contents(struct vm_model *m);
extern bool model_verbose;
void model_note(struct vm_model *m, const char *fmt, ...) PRINTF(2, 3);
NORETURN void model_fail(struct vm_model *m, const char *fmt, ...) PRINTF(2, 3);
/* Print the last operations (for panic hooks). */
void model_print_log(void);

/* Frames and slab objects in use, caches drained: equal before and after whatever leaks nothing. */
struct model_usage {
	uint64_t frames, objects, nodes;
	uint64_t promised; /* pages: commit.c */
};
void model_usage_get(struct model_usage *out);
