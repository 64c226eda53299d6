/*
 * cache.c - an image cache that does not know how much memory there is.
 *
 * Its pictures come to twice the memory of the machine, and it never gives one back. In purgeable memory that
 * works: a picture that nobody looks at is volatile, and the kernel takes the least recently used ones when
 * it needs memory. On a kernel without purgeable memory the same cache grows until it is killed.
 * docs/purgeable.md says how a cache is built on this.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "demo.h"
#include "quire.h"

enum { PICTURE = 1 << 20, REQUESTS = 2000, PAGE = 4096 };

struct picture {
	uint8_t *pixels;
	int known; /* it was made once */
};

struct cache {
	struct picture *pictures;
	unsigned npictures;
	unsigned hits, made,
	    taken; /* requests that found the picture, that made it, that made it because it had been taken */
};

/* What takes long in a real cache: the value of each byte follows from the picture's number. Only some of
 * them are made, so that the demo does not take long. */
static void decode(uint8_t *pixels, unsigned number)
{
	for (unsigned at = 0; at < PICTURE; at += PAGE)
		memset(pixels + at, (uint8_t)(number * 31 + at / PAGE), 64);
}

static int is_right(const uint8_t *pixels, unsigned number)
{
	for (unsigned at = 0; at < PICTURE; at += PAGE)
		if (pixels[at] != (uint8_t)(number * 31 + at / PAGE) || pixels[at + 63] != pixels[at])
			return 0;
	return 1;
}

/* The picture, to be looked at until picture_release. */
static const uint8_t *picture_get(struct cache *c, unsigned number)
{
	struct picture *p = &c->pictures[number];
	int lost = madvise(p->pixels, PICTURE, MADV_SET_NONVOLATILE) == 1;
	c->taken += lost;
	lost |= !p->known;
	p->known = 1;
	if (lost)
		decode(p->pixels, number);
	c->made += lost;
	c->hits += !lost;
	return p->pixels;
}

static void picture_release(struct cache *c, unsigned number)
{
	madvise(c->pictures[number].pixels, PICTURE, MADV_SET_VOLATILE); /* refused: then it stays for ever */
}

/* Half of the requests are for a sixteenth of the pictures. */
static unsigned next_request(unsigned npictures)
{
	static uint32_t seed = 1;
	seed = seed * 1664525 + 1013904223;
	unsigned range = seed >> 31 ? npictures : npictures / 16;
	return (seed >> 8) % range;
}

/* A place for each picture; places take no memory. */
static void make_places(struct cache *c)
{
	c->pictures = calloc(c->npictures, sizeof(c->pictures[0]));
	for (unsigned i = 0; i < c->npictures; i++) {
		void *p = mmap(NULL, PICTURE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_PURGEABLE, -1, 0);
		if (p == MAP_FAILED)
			give_up("mmap");
		c->pictures[i].pixels = p;
	}
}

static int run(void)
{
	struct sysinfo si;
	if (sysinfo(&si))
		give_up("sysinfo");
	uint64_t memory = (uint64_t)si.totalram * si.mem_unit;
	struct cache c = {.npictures = (unsigned)(2 * memory / PICTURE)};
	make_places(&c);
	printf("cache: %u pictures of 1 MiB in a machine with %llu MiB\n", c.npictures,
	    (unsigned long long)(memory >> 20));
	for (unsigned i = 1; i <= REQUESTS; i++) {
		unsigned number = next_request(c.npictures);
		if (!is_right(picture_get(&c, number), number)) {
			printf("cache: picture %u is wrong\n", number);
			return 1;
		}
		picture_release(&c, number);
		if (i % 250 == 0) {
			printf(
			    "cache: %4u requests: %4u found, %4u made, of these %4u again after the kernel took them\n",
			    i, c.hits, c.made, c.taken);
			fflush(stdout);
		}
	}
	return 0;
}

int main(void)
{
	return demo_main("cache", run);
}
