#pragma once
/* tlb.h - which context each CPU has loaded, and requests between CPUs about it. See tlb.c. */
#include "lib/types.h"

struct mmu_context;

/* Answer what other CPUs ask of this one. Called by the request interrupt; spin loops come through
 * cpu_poll_requests(). */
void tlb_answer_requests(void);
/* Every CPU that has ctx loaded loads the kernel's own root instead; ctx->cpus is empty afterwards. */
void tlb_leave_everywhere(struct mmu_context *ctx);
/* Drop everything that this CPU's TLB holds, global translations included. */
void tlb_flush_all_here(void);

/* For tests: shootdowns sent, requests answered, by this CPU. */
struct tlb_stats {
	uint64_t flushes;   /* gathers flushed that had something to flush */
	uint64_t local;     /* of these, no other CPU was concerned */
	uint64_t requests;  /* other CPUs asked */
	uint64_t answers;   /* requests of others answered */
	uint64_t left_lazy; /* of these, by leaving a context that was only borrowed */
};
void tlb_get_stats(uint32_t cpu, struct tlb_stats *out);
/* The context that the CPU has loaded. For tests and panic. */
struct mmu_context *tlb_loaded(uint32_t cpu);
