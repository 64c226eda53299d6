#pragma once
/* vdso.h - the code that the port offers to user space for telling the time, and the page of data that it
 * reads. */
#include "lib/types.h"

struct vdso_image {
	paddr_t code, data; /* page aligned. The code goes to one page behind the data, which is one page */
	uint64_t code_len;  /* bytes; the rest of its last page is 0 */
};

void arch_vdso_image(struct vdso_image *out);
/* The time of day is `offset` ahead of the monotonic clock, and international atomic time so many seconds
 * ahead of that. One caller at a time, interrupts disabled: user space waits for the end of it. */
void arch_vdso_update(nsec_t offset, int32_t tai_seconds);
