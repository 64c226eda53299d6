/* vdso.c - the kernel's side of the vDSO: see machine/vdso.h and vdso/vdso.c. */
#include "arch/vdso.h"
#include "lib/assert.h"
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

struct vdso_data *vdso_change_begin(void)
{
	volatile struct vdso_data *d = &vvar.data;
	ASSERT(!irq_is_enabled() && !(d->sequence & 1));
	d->sequence = d->sequence + 1;
	fence_seq_cst();
	return &vvar.data;
}

void vdso_change_end(void)
{
	volatile struct vdso_data *d = &vvar.data;
	fence_seq_cst();
	d->sequence = d->sequence + 1;
}

void arch_vdso_update(nsec_t offset, int32_t tai_seconds)
{
	struct vdso_data *d = vdso_change_begin();
	clock_tell(d);
	d->has_cpu = cpu_features.rdtscp;
	d->wall_offset = offset;
	d->tai_seconds = tai_seconds;
	vdso_change_end();
}
