/* claim.c - what the kernel itself drives devices by. See claim.h. */
#include "dev/claim.h"
#include "arch/bootinfo.h"
#include "kern/log.h"
#include "lib/assert.h"

enum { MAX_CLAIMS = 256 };

struct claims {
	const char *what;
	unsigned n;
	bool overflown; /* what had no room is not known: everything is taken to be claimed */
	struct {
		uint64_t start, end;
	} ranges[MAX_CLAIMS];
};

static struct claims ports = {.what = "ports"}, memory = {.what = "memory"};

static void claim(struct claims *c, uint64_t start, uint64_t len)
{
	ASSERT(len);
	if (c->n < MAX_CLAIMS) {
		c->ranges[c->n].start = start;
		c->ranges[c->n++].end = start + len;
		return;
	}
	if (!c->overflown)
		log_warn("dev", "too many devices: no program gets any %s", c->what);
	c->overflown = true;
}

static bool is_claimed(const struct claims *c, uint64_t start, uint64_t len)
{
	for (unsigned i = 0; i < c->n; i++)
		if (start < c->ranges[i].end && c->ranges[i].start < start + len)
			return true;
	return c->overflown;
}

void claim_ports(unsigned first, unsigned count)
{
	claim(&ports, first, count);
}

void claim_memory(paddr_t start, uint64_t len)
{
	claim(&memory, start, len);
}

bool claim_has_ports(unsigned first, unsigned count)
{
	return is_claimed(&ports, first, count);
}

bool claim_has_memory(paddr_t start, uint64_t len)
{
	return is_claimed(&memory, start, len);
}

static bool is_named_ram(unsigned i)
{
	return i < bootinfo.nranges && bootinfo.ranges[i].type != BOOT_MEM_RESERVED;
}

/* What the map of memory does not name is no RAM. What it calls reserved may be either: firmware cuts pieces
 * for itself out of the RAM, and these border on the rest of it, but for the end of a page that is no use. */
static bool is_ram(unsigned i)
{
	const struct boot_range *r = &bootinfo.ranges[i];
	return is_named_ram(i) || (is_named_ram(i - 1) && r->start - r[-1].end < PAGE_SIZE) ||
	       (is_named_ram(i + 1) && r[1].start - r->end < PAGE_SIZE);
}

bool memory_has_ram(paddr_t start, uint64_t len)
{
	for (unsigned i = 0; i < bootinfo.nranges; i++) {
		const struct boot_range *r = &bootinfo.ranges[i];
		if (start < r->end && r->start < start + len && is_ram(i))
			return true;
	}
	return false;
}
