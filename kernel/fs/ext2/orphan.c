/*
 * orphan.c - files that have lost their last name, or never had one, while somebody has them open.
 *
 * The superblock names the newest, its inode's `dtime` the next, as with the journalling successors of this
 * format: a mount after a crash, or e2fsck, finds them and frees what nobody can reach any more. In memory
 * the same list is kept of nodes, so that one can be taken out of the middle.
 */
#include "fs/ext2/ext2_priv.h"
#include "kern/log.h"

/* Whoever comes before n on the list names `ino` now. */
static void set_before(struct ext2 *e, struct ext2_node *n, uint32_t ino)
{
	if (n->orphan.prev == &e->orphans) {
		e->super.last_orphan = ino;
		return;
	}
	struct ext2_node *before = list_entry(n->orphan.prev, struct ext2_node, orphan);
	ext2_slot(e, before)->dtime = ino;
	ext2_buffer_dirty(&before->slot);
}

void ext2_orphan_add(struct vnode *v)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	mutex_lock(&e->lock);
	ASSERT(n->slot.data && list_is_empty(&n->orphan));
	ext2_slot(e, n)->dtime = e->super.last_orphan;
	ext2_buffer_dirty(&n->slot);
	list_push_front(&e->orphans, &n->orphan);
	e->super.last_orphan = (uint32_t)v->ino;
	mutex_unlock(&e->lock);
}

void ext2_orphan_remove(struct vnode *v)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	mutex_lock(&e->lock);
	if (!list_is_empty(&n->orphan)) {
		struct ext2_inode *i = ext2_slot(e, n);
		set_before(e, n, i->dtime);
		i->dtime = 0;
		ext2_buffer_dirty(&n->slot);
		list_remove(&n->orphan);
	}
	mutex_unlock(&e->lock);
}

/* The newest on the list goes. False: something is wrong with it. */
static bool clean_one(struct ext2 *e, uint64_t ino)
{
	struct vnode *v;
	err_t err = ext2_vnode_get_dead(e->fs, ino, &v);
	if (err)
		return false;
	err = ext2_inode_hold(v);
	if (!err) {
		mutex_lock(&e->lock);
		list_push_front(&e->orphans, &ext2_node_of(v)->orphan);
		mutex_unlock(&e->lock);
	}
	vnode_put(v); /* its release frees the file and takes it off the list */
	return !err && e->super.last_orphan != ino;
}

void ext2_orphans_clean(struct ext2 *e)
{
	uint32_t n = 0;
	while (e->super.last_orphan && n < e->super.inodes && !ext2_may_change(e)) {
		if (!clean_one(e, e->super.last_orphan)) {
			log_warn("ext2", "%s: list of deleted files is broken at inode %u", e->disk->name,
			    e->super.last_orphan);
			e->super.state |= EXT2_STATE_ERROR;
			e->super.last_orphan = 0;
			return;
		}
		n++;
	}
	if (n)
		log_info("ext2", "%s: freed %u files that were deleted while open", e->disk->name, n);
}
