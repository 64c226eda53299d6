/*
 * rename.c - rename and exchange. All places are found and held before the first change: both entries, room
 * for a new one, and "..", if a directory gets another parent.
 */
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"

struct rename {
	struct vnode *from_dir, *to_dir, *v, *target;
	const char *from, *to;
	size_t from_len, to_len;
	struct ext2_place source, dest, v_parent, target_parent;
};

static bool changes_parent(const struct rename *r, const struct vnode *v)
{
	return v && vnode_is(v, MODE_DIR) && r->from_dir != r->to_dir;
}

static err_t hold_inodes(struct rename *r)
{
	struct vnode *all[] = {r->from_dir, r->to_dir, r->v, r->target};
	err_t err = ext2_may_change(ext2_of(r->v));
	for (unsigned i = 0; !err && i < ARRAY_SIZE(all); i++)
		if (all[i])
			err = ext2_inode_hold(all[i]);
	return err;
}

static err_t find(
    struct vnode *dir, const char *name, size_t len, const struct vnode *v, struct ext2_place *p)
{
	err_t err = ext2_dir_find(dir, name, len, p);
	if (!err && ext2_place_entry(p)->ino != v->ino) {
		ext2_place_put(p);
		err = -ENOENT;
	}
	return err == -ENOENT ? ext2_corrupt(ext2_of(dir), "name changed in directory", dir->ino) : err;
}

static err_t hold_places(struct rename *r, bool exchange)
{
	err_t err = hold_inodes(r);
	if (!err && r->target && !exchange && vnode_is(r->target, MODE_DIR))
		err = ext2_dir_is_empty(r->target);
	if (!err && changes_parent(r, r->v))
		err = ext2_dir_dotdot(r->v, &r->v_parent);
	if (!err && exchange && changes_parent(r, r->target))
		err = ext2_dir_dotdot(r->target, &r->target_parent);
	if (!err && r->target)
		err = find(r->to_dir, r->to, r->to_len, r->target, &r->dest);
	else if (!err)
		err = ext2_dir_make_room(r->to_dir, r->to, r->to_len, &r->dest);
	if (!err)
		err = find(r->from_dir, r->from, r->from_len, r->v, &r->source);
	return err;
}

static void put_places(struct rename *r)
{
	ext2_place_put(&r->source);
	ext2_place_put(&r->dest);
	ext2_place_put(&r->v_parent);
	ext2_place_put(&r->target_parent);
}

/* Would a directory have too many subdirectories? */
static err_t check_links(const struct rename *r, bool exchange)
{
	bool v_dir = changes_parent(r, r->v), target_dir = changes_parent(r, r->target);
	if (v_dir && !(r->target && target_dir) && r->to_dir->nlink >= EXT2_LINK_MAX)
		return -EMLINK;
	return exchange && target_dir && !v_dir && r->from_dir->nlink >= EXT2_LINK_MAX ? -EMLINK : 0;
}

/* A directory has another parent now. */
static void move_dir(struct vnode *v, struct ext2_place *dotdot, struct vnode *from, struct vnode *to)
{
	ext2_place_entry(dotdot)->ino = (uint32_t)to->ino;
	ext2_buffer_dirty(&dotdot->buffer);
	ext2_node_of(v)->flags &= ~(uint32_t)EXT2_FLAG_INDEX;
	from->nlink -= from->nlink > 2;
	to->nlink++;
}

static void lose_target(struct rename *r)
{
	struct vnode *t = r->target;
	bool is_dir = vnode_is(t, MODE_DIR);
	if (is_dir)
		r->to_dir->nlink -= r->to_dir->nlink > 2;
	t->nlink = is_dir ? 0 : t->nlink - 1;
}

static void store_all(struct rename *r)
{
	r->v->ctime = r->to_dir->ctime;
	ext2_inode_store(r->v);
	if (r->target) {
		r->target->ctime = r->to_dir->ctime;
		ext2_inode_store(r->target);
		if (!r->target->nlink)
			ext2_orphan_add(r->target);
	}
	ext2_inode_store(r->from_dir);
	ext2_inode_store(r->to_dir);
}

static void commit(struct rename *r, bool exchange)
{
	if (r->target)
		ext2_dir_set(r->to_dir, &r->dest, r->v);
	else
		ext2_dir_insert(r->to_dir, &r->dest, r->to, r->to_len, r->v);
	if (exchange)
		ext2_dir_set(r->from_dir, &r->source, r->target);
	else
		ext2_dir_remove(r->from_dir, &r->source);
	if (r->target && !exchange)
		lose_target(r);
	if (changes_parent(r, r->v))
		move_dir(r->v, &r->v_parent, r->from_dir, r->to_dir);
	if (exchange && changes_parent(r, r->target))
		move_dir(r->target, &r->target_parent, r->to_dir, r->from_dir);
	store_all(r);
}

err_t ext2_rename(struct vnode *from_dir, const char *from, size_t from_len, struct vnode *v,
    struct vnode *to_dir, const char *to, size_t to_len, struct vnode *target, bool exchange)
{
	struct rename r = {.from_dir = from_dir,
	    .to_dir = to_dir,
	    .v = v,
	    .target = target,
	    .from = from,
	    .to = to,
	    .from_len = from_len,
	    .to_len = to_len};
	err_t err = check_links(&r, exchange);
	if (!err)
		err = hold_places(&r, exchange);
	if (!err)
		commit(&r, exchange);
	put_places(&r);
	return err;
}
