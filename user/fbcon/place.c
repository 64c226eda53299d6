/* place.c - where there is a screen to draw on. See place.h. */
#include "place.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOADER "/sys/firmware/framebuffer"
#define PCI    "/sys/bus/pci/devices"
enum { BOCHS_VENDOR = 0x1234, BOCHS_PRODUCT = 0x1111, BARS = 3, PAGE = 4096 };

/* The number that a file says. */
static bool read_number(const char *dir, const char *name, uint64_t *out)
{
	char path[512], text[64], *end = text;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	if (fgets(text, sizeof(text), f))
		*out = strtoull(text, &end, 0);
	fclose(f);
	return end > text;
}

static uint64_t whole_pages(uint64_t len)
{
	return (len + PAGE - 1) / PAGE * PAGE;
}

static bool find_loader(struct screen_place *out)
{
	static const char *const names[] = {
	    "address", "width", "height", "stride", "bits_per_pixel", "red", "green", "blue"};
	uint64_t v[8];
	for (unsigned i = 0; i < 8; i++)
		if (!read_number(LOADER, names[i], &v[i]))
			return false;
	*out = (struct screen_place){
	    .memory = v[0],
	    .len = whole_pages(v[3] * v[2]),
	    .width = (unsigned)v[1],
	    .height = (unsigned)v[2],
	    .stride = (unsigned)v[3],
	    .red = (unsigned)v[5],
	    .green = (unsigned)v[6],
	    .blue = (unsigned)v[7],
	};
	return v[4] == 32 && v[3] % 4 == 0 && v[0] % PAGE == 0;
}

/* The first three ranges of a function: pixels are the first, registers the third. */
static bool read_ranges(const char *dir, uint64_t start[BARS], uint64_t len[BARS])
{
	char path[512], line[64];
	unsigned n = 0;
	snprintf(path, sizeof(path), "%s/resource", dir);
	FILE *f = fopen(path, "re");
	for (; f && n < BARS && fgets(line, sizeof(line), f); n++) {
		char *rest;
		start[n] = strtoull(line, &rest, 16);
		uint64_t last = strtoull(rest, NULL, 16);
		len[n] = last ? last - start[n] + 1 : 0;
	}
	if (f)
		fclose(f);
	return n == BARS;
}

static bool is_bochs(const char *dir, struct screen_place *out)
{
	uint64_t vendor, product, start[BARS], len[BARS];
	if (!read_number(dir, "vendor", &vendor) || !read_number(dir, "device", &product))
		return false;
	if (vendor != BOCHS_VENDOR || product != BOCHS_PRODUCT || !read_ranges(dir, start, len))
		return false;
	*out = (struct screen_place){.memory = start[0],
	    .len = len[0],
	    .registers = start[2],
	    .registers_len = len[2],
	    .red = 16,
	    .green = 8};
	return len[0] && len[2] >= PAGE;
}

bool screen_place(struct screen_place *out)
{
	if (find_loader(out))
		return true;
	DIR *d = opendir(PCI);
	struct dirent *e;
	bool found = false;
	while (d && !found && (e = readdir(d))) {
		char dir[300];
		snprintf(dir, sizeof(dir), PCI "/%s", e->d_name);
		found = e->d_name[0] != '.' && is_bochs(dir, out);
	}
	if (d)
		closedir(d);
	return found;
}
