/* totals.c - see totals.h. Kinds of frames are counted as they are handed out (mm/frame.c); what a frame of a
 * file is used for only the files know. */
#include "proc/totals.h"
#include "fs/bdev.h"
#include "fs/mount.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "proc/process.h"
#include "proc/procfs_memory.h"

static void add_object(struct memory_totals *m, struct vm_object *o)
{
	struct object_counts c;
	object_count(o, &c);
	m->dirty += c.dirty;
	m->writeback += c.writeback;
	m->mapped += c.mapped;
}

static err_t add_vnode(struct vnode *v, void *arg)
{
	if (v->pages)
		add_object(arg, v->pages);
	return 0;
}

static bool add_mount(struct mount *mount, void *arg)
{
	struct memory_totals *m = arg;
	struct fs *fs = mount->fs;
	if (!mount_is_first(mount))
		return true;
	err_t err = vnode_for_each(fs, add_vnode, m);
	ASSERT(!err); /* add_vnode goes on whatever happens */
	struct vm_object *own = fs->ops->metadata ? fs->ops->metadata(fs) : NULL;
	if (own) {
		add_object(m, own);
		m->buffers += object_page_count(own);
	}
	return true;
}

/* Caches of what is read again when it is needed. */
static void add_cache(struct slab_cache *c, void *arg)
{
	static const char *const names[] = {"dentry", "vnode", "ext2 node"};
	struct memory_totals *m = arg;
	struct slab_stats s;
	slab_cache_stats(c, &s);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(s.name, names[i]))
			m->reclaimable += s.frames;
}

void memory_totals_take(struct memory_totals *m)
{
	uint64_t kinds[PAGE_KINDS];
	*m = (struct memory_totals){.total = frame_total_count(), .buffers = bdev_page_count()};
	mount_for_each(add_mount, m);
	slab_for_each_cache(add_cache, m);
	frame_count_used(kinds);
	m->free = frame_free_count();
	m->anon = kinds[PAGE_ANON];
	m->buffers = MIN(m->buffers, kinds[PAGE_FILE]);
	m->shmem = kinds[PAGE_SHMEM];
	m->cached = kinds[PAGE_FILE] - m->buffers + m->shmem;
	m->mapped = MIN(m->mapped, m->cached);
	m->slab = kinds[PAGE_SLAB];
	m->reclaimable = MIN(m->reclaimable, m->slab);
	m->tables = kinds[PAGE_TABLE];
	m->kernel = kinds[PAGE_KERNEL];
	struct vm_purge_stats purge;
	vm_purge_stats(&purge);
	m->volatile_pages = MIN(purge.pages, m->anon + m->shmem);
	m->stacks = MIN((uint64_t)user_thread_count() * KSTACK_PAGES, m->kernel);
	m->available = m->free + m->buffers + m->cached - m->shmem + m->reclaimable / 2;
}
