/* vdso.c - see vdso.h. One object for the code and one for the page of data, which all processes share; neither can be made writable. */
#include "proc/vdso.h"
#include "arch/vdso.h"
#include "kern/random.h"
#include "kern/wall.h"
#include "lib/assert.h"
#include "vm/space.h"

/* Where it may be: between the stack, with room for that to be anywhere in 64 GiB, and what mmap gives out next. */
#define AREA_END  (USER_END - (1ULL << 36))
#define AREA_SIZE (1ULL << 37)
enum { TRIES = 16 };

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
	tell_wall();
}

static err_t map_at(struct vm_space *space, uaddr_t at)
{
	struct vm_map_args m = {.addr = at,
	    .len = PAGE_SIZE,
	    .prot = VM_READ,
	    .max_prot = VM_READ,
	    .flags = VM_MAP_FIXED | VM_MAP_NOREPLACE | VM_MAP_SHARED,
	    .object = data};
	uaddr_t where;
	err_t err = space_map(space, &m, &where);
	if (err)
		return err;
	m.addr = at + PAGE_SIZE;
	m.len = code_pages << PAGE_SHIFT;
	m.prot = m.max_prot = VM_READ | VM_EXEC;
	m.object = code;
	err = space_map(space, &m, &where);
	if (err && space_unmap(space, at, PAGE_SIZE))
		err = -ENOMEM;
	return err;
}

err_t vdso_map(struct vm_space *space, uaddr_t *ehdr)
{
	err_t err = -EEXIST;
	for (unsigned i = 0; i < TRIES && err == -EEXIST; i++) {
		uint64_t random;
		random_bytes(&random, sizeof(random));
		uaddr_t at = AREA_END - AREA_SIZE + (random % (AREA_SIZE >> PAGE_SHIFT) << PAGE_SHIFT);
		*ehdr = at + PAGE_SIZE;
		err = map_at(space, at);
	}
	return err == -EEXIST ? -ENOMEM : err;
}

const char *vdso_name(const struct vm_object *o)
{
	if (o == code)
		return "[vdso]";
	return o == data ? "[vvar]" : NULL;
}
