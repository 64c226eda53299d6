#pragma once
/* race.h - what the race tests share: a random source for each thread, addresses of areas, a file in memory,
 * and their main. */
#include <pthread.h>

#include "arch/clock.h"
#include "host_test.h"
#include "mm/frame.h"

enum area { AREA_PRIVATE, AREA_SHARED, AREA_LOOSE, AREA_FILE, AREA_FILE_PRIVATE, AREA_PURGEABLE, AREAS };

enum { THREADS = 5, PAGES = 80, STAMP_WORDS = 8 };
#define BASE (GIB(1) - 16 * PAGE_SIZE)

static unsigned factor UNUSED = 1; /* more iterations: test_race... -n FACTOR */

/* Pages are copied by the kernel while programs write to them in these places, by design: I/O and copies see
 * what is there at that moment. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:spare_copy\nrace:copy_pages\nrace:copy_chunk\nrace:copy_pinned\nrace:store_write\n";
}

static _Thread_local uint64_t rng;
static inline uint64_t pick(uint64_t n)
{
	rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
	return rng % n;
}

static inline uaddr_t page_addr(unsigned area, unsigned page)
{
	return BASE + area * MIB(4) + (uaddr_t)page * PAGE_SIZE;
}

/* ---------------------------------------------------------------- a file kept in memory */

struct store {
	pthread_mutex_t lock;
	char bytes[PAGES][PAGE_SIZE];
};

static inline err_t store_read(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct store *f = o->priv;

	for (unsigned i = 0; i < n; i++) {
		pthread_mutex_lock(&f->lock);
		memcpy(page_to_virt(pages[i]), f->bytes[idx + i], PAGE_SIZE);
		pthread_mutex_unlock(&f->lock);
		if (pick(4) == 0)
			cpu_relax();
	}
	return 0;
}

static inline err_t store_write(struct vm_object *o, pgidx_t idx, struct page **pages, unsigned n)
{
	struct store *f = o->priv;

	for (unsigned i = 0; i < n; i++) {
		pthread_mutex_lock(&f->lock);
		memcpy(f->bytes[idx + i], page_to_virt(pages[i]), PAGE_SIZE);
		pthread_mutex_unlock(&f->lock);
		if (pick(4) == 0)
			cpu_relax();
	}
	return 0;
}

static const struct vm_file_ops store_ops UNUSED = {.read = store_read, .write = store_write};
static struct store store UNUSED = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void map_at(struct vm_space *s, unsigned area, struct vm_object *o, unsigned flags)
{
	struct vm_map_args args = {.addr = page_addr(area, 0),
	    .len = PAGES * PAGE_SIZE,
	    .prot = VM_READ | VM_WRITE,
	    .flags = flags | VM_MAP_FIXED,
	    .object = o};
	uaddr_t at;

	MUST(space_map(s, &args, &at));
}

static inline int race_main(int argc, char **argv)
{
	rng = 1;
	host_chaos = 24;
	if (argc > 2 && strcmp(argv[1], "-n") == 0) {
		factor = (unsigned)atoi(argv[2]);
		argc -= 2, argv += 2;
	}
	return host_test_main(argc, argv, 1 << 15);
}
