#pragma once
/* percpu.h (host) - nothing beyond the common record: the TLB of a CPU lives in mock_tlb.c. */
#include <stdbool.h>

struct arch_cpu {
	bool irqs_disabled; /* only books: there are no interrupts */
};
