/*
 * ports.c - I/O ports for user code.
 *
 * They belong to an address space, as device memory does that is mapped there: all threads of it have them,
 * a fork or an exec makes a space without. mmu_context.ports is a map of all 65536, which only ever opens.
 *
 * The processor wants the map behind the task state segment, of which each CPU has its own. So a CPU that
 * enters a space with ports (tlb.c) copies the map there, unless it is what it has copied last, and points
 * the segment at it; a CPU that leaves points the segment beyond its end, which closes all ports. Spaces
 * without ports cost a look at a pointer where the space changes, and nothing where only the thread does.
 *
 * When a space gets ports while it runs on other CPUs, nobody tells them: user code that is refused an
 * instruction (#GP) has its CPU compare the serial number of the map with that of its copy. A copy that was
 * made while the map was being changed has the number from before, so it is made again.
 *
 * Rejected: doing the instruction for user code in the trap. The emulator would take as long for one as for a
 * thousand.
 */
#include "arch/ports.h"
#include "arch/mmu.h"
#include "kern/cpu.h"
#include "kern/thread.h"
#include "lib/assert.h"
#include "lib/string.h"
#include "machine/cpu.h"
#include "machine/ports.h"
#include "mm/slab.h"

struct port_map {
	_Atomic uint64_t serial;             /* (L) of the context to change; never the same for two states */
	_Atomic uint64_t closed[PORT_WORDS]; /* (L) to change; a bit for each port */
};

/* Beyond the limit of the segment. */
enum { PORTS_NOWHERE = sizeof(struct task_state) };

static _Atomic uint64_t last_serial;

void ports_init(struct cpu *c)
{
	c->arch.task->end = 0xff;
	c->arch.task->tss.iomap_base = PORTS_NOWHERE;
	c->arch.ports = 0;
	c->arch.ports_open = false;
}

void ports_load(struct cpu *c, const struct port_map *map)
{
	struct task_state *task = c->arch.task;
	uint64_t serial = map ? load_acquire(&map->serial) : 0;
	if (map && serial != c->arch.ports)
		for (unsigned i = 0; i < PORT_WORDS; i++)
			task->closed[i] = load_relaxed(&map->closed[i]);
	if (map)
		c->arch.ports = serial;
	c->arch.ports_open = map;
	task->tss.iomap_base = map ? offsetof(struct task_state, closed) : PORTS_NOWHERE;
}

bool ports_catch_up(void)
{
	struct cpu *c = this_cpu();
	const struct port_map *map = load_acquire(&current_thread()->mmu->ports);
	if (!map || (c->arch.ports_open && c->arch.ports == load_acquire(&map->serial)))
		return false;
	ports_load(c, map);
	return true;
}

void ports_destroy(struct mmu_context *ctx)
{
	kfree(load_relaxed(&ctx->ports));
}

static struct port_map *map_create(void)
{
	struct port_map *map = kmalloc(sizeof(*map));
	if (map)
		memset(map, 0xff, sizeof(*map));
	return map;
}

static void open_locked(struct port_map *map, unsigned first, unsigned count)
{
	for (unsigned port = first; port < first + count; port++)
		fetch_and_acq_rel(&map->closed[port / 64], ~(1ULL << port % 64));
	store_release(&map->serial, fetch_add_relaxed(&last_serial, 1) + 1);
}

err_t ports_open(struct mmu_context *ctx, unsigned first, unsigned count)
{
	struct port_map *map = load_acquire(&ctx->ports), *fresh = NULL;
	ASSERT(first <= PORTS_END && count <= PORTS_END - first);
	if (!map) {
		fresh = map_create();
		if (!fresh)
			return -ENOMEM;
	}
	spin_lock(&ctx->lock);
	map = load_relaxed(&ctx->ports);
	if (!map) {
		map = fresh;
		fresh = NULL;
	}
	open_locked(map, first, count);
	store_release(&ctx->ports, map);
	spin_unlock(&ctx->lock);
	kfree(fresh);
	return 0;
}
