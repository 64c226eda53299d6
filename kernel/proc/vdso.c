/* vdso.c - see vdso.h. One object for the code and one for the page of data, which all processes share;
 * neither can be made writable. */
#include "proc/vdso.h"
#include "arch/vdso.h"
#include "kern/random.h"
#include "kern/wall.h"
#include "lib/assert.h"
#include "vm/space.h"

enum { PLACE_BITS = 24 }; /* pages below what mmap gives out first */

static struct vm_object *code, *data; /* constant after boot */
static uint64_t code_pages;

static void tell_wall(void)
{
	arch_vdso_update(wall_offset(), wall_tai_seconds());
}

void vdso_init(void)
{
	struct vdso_image image;
	arch_vdso_image(&image);
	code_pages = (image.code_len + PAGE_SIZE - 1) >> PAGE_SHIFT;
	err_t err = object_create_phys(image.code, code_pages, MMU_WB, &code);
	if (!err)
		err = object_create_phys(image.data, 1, MMU_WB, &data);
	ASSERT(!err); /* at boot */
	wall_changed = tell_wall;
	wall_set_tai_seconds(wall_tai_seconds()); /* tells it for the first time */
}

/* Replace a part of the room by what belongs there. */
static err_t show(
    struct vm_space *space, uaddr_t at, uint64_t npages, struct vm_object *object, unsigned prot)
{
	struct vm_map_args m = {.addr = at,
	    .len = npages << PAGE_SHIFT,
	    .prot = prot,
	    .max_prot = prot,
	    .flags = VM_MAP_FIXED | VM_MAP_SHARED,
	    .object = object};
	return space_map(space, &m, &at);
}

err_t vdso_map(struct vm_space *space, uaddr_t ceiling, bool randomize, uaddr_t *ehdr)
{
	uint64_t random = 0;
	struct vm_map_args room = {.len = (code_pages + 1) << PAGE_SHIFT, .ceiling = ceiling};
	uaddr_t at;
	if (randomize) {
		random_bytes(&random, sizeof(random));
		room.addr = ceiling - room.len - ((random & ((1ULL << PLACE_BITS) - 1)) << PAGE_SHIFT);
	}
	err_t err = space_map(space, &room, &at);
	if (!err)
		err = show(space, at, 1, data, VM_READ);
	if (!err)
		err = show(space, at + PAGE_SIZE, code_pages, code, VM_READ | VM_EXEC);
	*ehdr = at + PAGE_SIZE;
	return err;
}

uaddr_t vdso_address(const struct vm_space *space)
{
	enum { AUX_SYSINFO_EHDR = 33 };
	const struct space_layout *l = &space->layout;
	for (unsigned i = 0; i + 1 < l->aux_count; i += 2)
		if (l->aux[i] == AUX_SYSINFO_EHDR)
			return l->aux[i + 1];
	return 0;
}
