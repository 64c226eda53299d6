#pragma once
/* ports.h (x86-64) - which I/O ports user code may use: see ports.c. Interrupts are disabled. */
#include "kern/cpu.h"
#include "machine/mmu.h"

/* c, whose task state is zeroed, keeps all ports closed. */
void ports_init(struct cpu *c);
/* This CPU runs user code in ctx from now on; NULL: in none. The slow half; NULL map: none. */
void ports_load(struct cpu *c, const struct port_map *map);
static inline void ports_switch(const struct mmu_context *ctx)
{
	struct cpu *c = this_cpu();
	const struct port_map *map = ctx ? load_acquire(&ctx->ports) : NULL;
	if (unlikely(map || c->arch.ports_open))
		ports_load(c, map);
}
/* User code was refused something: were it ports that its memory has got since this CPU looked last? Now they
 * are open. */
bool ports_catch_up(void);
/* ctx ends: no CPU has it loaded. Interrupts may be enabled. */
void ports_destroy(struct mmu_context *ctx);
