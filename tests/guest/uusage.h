#pragma once
/* uusage.h - what the kernel has in use, for programs that check that they leave nothing behind. A kernel
 * without /proc/mm does not tell. */
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "utap.h"
#include "utext.h"

enum { USAGE_SETTLE_TRIES = 500 }; /* of 20 ms */

struct usage {
	/* With the tables of the kernel's own addresses, which it keeps, and the frames of slabs: how many
	 * objects there are is compared for each cache, how well they are packed is not. */
	unsigned long long free_frames;
	unsigned long long files;
	unsigned ncaches;
	struct cache {
		char name[32];
		unsigned long long used;
	} caches[128];
};

/* Have the kernel give back what it only keeps because it may be of use again. */
static inline void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
	if (fd >= 0 && write(fd, "3\n", 2) != 2)
		printf("# drop_caches: errno %d\n", errno);
	if (fd >= 0)
		close(fd);
}

static struct usage usage_now;

/* The program's own pages count as well: those that looking takes are touched once, before the first look. */
static __attribute__((noinline)) void usage_touch(void)
{
	static bool done;
	volatile char stack[65536];
	for (size_t i = 0; !done && i < sizeof(stack); i += 1024)
		stack[i] = 0;
	if (!done) {
		memset(text, 0, sizeof(text));
		usage_now = (struct usage){0};
	}
	done = true;
}

/* False: this kernel does not tell. */
static inline bool usage_take(struct usage *u)
{
	struct cache c;
	usage_touch();
	*u = (struct usage){0};
	if (access("/proc/mm", F_OK))
		return false;
	drop_caches();
	if (!slurp("/proc/sys/fs/file-nr") || sscanf(text, "%llu", &u->files) != 1 || !slurp("/proc/mm"))
		return false;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		unsigned long long number, frames;
		if (sscanf(line, "{\"kernel_tables\":%llu}", &number) == 1 ||
		    sscanf(line, "{\"kind\":\"slab\",\"frames\":%llu}", &number) == 1)
			u->free_frames += number;
		if (sscanf(line, "{\"frames\":%llu,\"free\":%llu}", &number, &frames) == 2)
			u->free_frames += frames;
		int end = 0;
		(void)sscanf(line, "{\"cache\":\"%31[^\"]\",\"objects\":%llu,%n", c.name, &c.used, &end);
		if (end && u->ncaches < 128)
			u->caches[u->ncaches++] = c;
	}
	return true;
}

static inline bool usage_is_same(const struct usage *a, const struct usage *b, bool tell)
{
	bool same = a->free_frames <= b->free_frames && a->files == b->files && a->ncaches == b->ncaches;
	if (tell && !same)
		printf("# free frames %llu, then %llu; open files %llu, then %llu\n", a->free_frames,
		    b->free_frames, a->files, b->files);
	for (unsigned i = 0; i < a->ncaches && i < b->ncaches; i++) {
		if (b->caches[i].used <= a->caches[i].used)
			continue;
		same = false;
		if (tell)
			printf("# %s: %llu objects, then %llu\n", a->caches[i].name, a->caches[i].used,
			    b->caches[i].used);
	}
	return same;
}

static inline void pause_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* What died a moment ago may still be on its way out. */
static inline bool nothing_is_left(const struct usage *before)
{
	if (!before->ncaches)
		return true;
	for (int tries = 0; tries < USAGE_SETTLE_TRIES; tries++) {
		if (usage_take(&usage_now) && usage_is_same(before, &usage_now, false))
			return true;
		pause_ms(20);
	}
	return usage_is_same(before, &usage_now, true);
}
