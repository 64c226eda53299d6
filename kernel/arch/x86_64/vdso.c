/* vdso.c - the kernel's side of the vDSO: see machine/vdso.h and vdso/vdso.c. */
#include "arch/vdso.h"
#include "lib/atomic.h"
#include "machine/cpu.h"
#include "machine/mmu.h"
#include "machine/smp.h"
#include "machine/vdso.h"

extern const uint8_t vdso_image[], vdso_image_end[];

static union {
	struct vdso_data data;
	uint8_t page[VDSO_PAGE]; /* user space sees all of it */
} vvar ALIGNED(VDSO_PAGE);

void arch_vdso_image(struct vdso_image *out)
{
	*out = (struct vdso_image){.code = image_to_phys(vdso_image),
	    .data = image_to_phys(&vvar),
	    .code_len = (uint64_t)(vdso_image_end - vdso_image)};
}

void arch_vdso_update(nsec_t offset, int32_t tai_seconds)
{
	volatile struct vdso_data *d = &vvar.data;
	uint32_t sequence = d->sequence;
	d->sequence = sequence + 1;
	atomic_thread_fence(memory_order_seq_cst);
	d->has_clock = clock_counter_scale((uint64_t *)&d->tsc_base, (uint64_t *)&d->ns_per_tick);
	d->has_cpu = cpu_features.rdtscp;
	d->wall_offset = offset;
	d->tai_seconds = tai_seconds;
	atomic_thread_fence(memory_order_seq_cst);
	d->sequence = sequence + 2;
}
