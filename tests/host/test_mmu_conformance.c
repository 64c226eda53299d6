/*
 * test_mmu_conformance.c - the mock MMU keeps the contract that the real one keeps: mmu_conformance.h.
 */
#include <stdio.h>
#include "machine/host.h"

static unsigned failures;
#define MC_CHECK(cond) ((void)((cond) ? 0 : (failures++, printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond))))
#include "../guest/mmu_conformance.h"

static bool mc_can(struct mmu_context *ctx, vaddr_t va, unsigned rights)
{
	paddr_t pa;
	return mock_probe(ctx, va, rights, &pa) == 0 || mock_probe(ctx, va, rights, &pa) == 0;
}

int main(void)
{
	static struct mc t;
	unsigned bad = 0;
	host_init(4096);
	printf("TAP version 13\n1..%zu\n", ARRAY_SIZE(mc_cases));
	for (unsigned i = 0; i < ARRAY_SIZE(mc_cases); i++) {
		failures = 0;
		frame_drain_all();
		uint64_t before = frame_free_count();
		if (!mc_begin(&t))
			return 1;
		mc_cases[i].fn(&t);
		mc_end(&t);
		frame_drain_all();
		MC_CHECK(frame_free_count() == before);
		printf("%sok %u - mmu conformance: %s\n", failures ? "not " : "", i + 1, mc_cases[i].name);
		bad += failures;
	}
	return bad != 0;
}
