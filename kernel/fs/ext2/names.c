/*
 * names.c - operations on names. Each has two halves: find and hold what it needs, which may fail and leaves
 * no trace; then change, which cannot fail. Changes of an entry, an inode and a count are separate writes to
 * the disk; their order in memory is that a name never leads to an inode that is free.
 */
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"

static err_t begin(struct vnode *a, struct vnode *b)
{
	err_t err = ext2_may_change(ext2_of(a));
	if (!err)
		err = ext2_inode_hold(a);
	return err || !b ? err : ext2_inode_hold(b);
}

/* Put the target of a symbolic link where it belongs. */
static err_t put_target(struct vnode *v, const char *target)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	struct ext2_buffer b;
	uint32_t at, got;
	size_t len = strlen(target);
	v->size = len;
	if (len < EXT2_FAST_LINK_MAX) {
		n->fast_link = true;
		n->has_map = n->is_metadata = false;
		memcpy(n->block, target, len);
		return 0;
	}
	mutex_lock(&n->lock);
	err_t err = ext2_map_fill(e, n, 0, 1, &at, &got);
	if (!err) {
		err = ext2_buffer_new(e, at, &b);
		if (err)
			(void)ext2_cut(e, n, 0);
	}
	mutex_unlock(&n->lock);
	if (err)
		return err;
	memcpy(b.data, target, len);
	ext2_buffer_dirty(&b);
	ext2_buffer_put(&b);
	return 0;
}

err_t ext2_readlink(struct vnode *v, char *buf, size_t size, size_t *len)
{
	const struct ext2_node *n = ext2_node_of(v);
	struct ext2_buffer b;
	*len = MIN(size, v->size);
	if (n->fast_link) {
		memcpy(buf, n->block, *len);
		return 0;
	}
	err_t err = ext2_buffer_get(ext2_of(v), n->block[0], &b);
	if (err)
		return err;
	memcpy(buf, b.data, *len);
	ext2_buffer_put(&b);
	return 0;
}

/* A new file that nobody names; its vnode is not published. */
static err_t make_file(
    struct vnode *dir, const struct attr *init, uint64_t rdev, const char *target, struct vnode **out)
{
	struct ext2 *e = ext2_of(dir);
	unsigned type = init->mode & MODE_TYPE;
	uint64_t ino;
	struct vnode *v;
	err_t err = ext2_inode_alloc(e, dir->ino, type == MODE_DIR, &ino);
	if (err)
		return err;
	err = ext2_vnode_make(dir, ino, init, rdev, &v);
	if (err)
		goto free_inode;
	if (type == MODE_LINK)
		err = put_target(v, target);
	else if (type == MODE_DIR)
		err = ext2_dir_start(v, dir);
	if (err)
		goto drop_vnode;
	v->atime = v->mtime = v->ctime = v->btime;
	*out = v;
	return 0;

drop_vnode:
	ext2_vnode_drop(v);
free_inode:
	(void)ext2_inode_free(e, ino, type == MODE_DIR);
	return err;
}

err_t ext2_create(struct vnode *dir, const char *name, size_t len, const struct attr *init, uint64_t rdev,
    const char *target, struct vnode **out)
{
	bool is_dir = (init->mode & MODE_TYPE) == MODE_DIR;
	struct ext2_place p;
	struct vnode *v;
	if (is_dir && dir->nlink >= EXT2_LINK_MAX)
		return -EMLINK;
	if (target && strlen(target) >= ext2_of(dir)->block_size)
		return -ENAMETOOLONG;
	err_t err = begin(dir, NULL);
	if (!err)
		err = ext2_dir_make_room(dir, name, len, &p);
	if (err)
		return err;
	err = make_file(dir, init, rdev, target, &v);
	if (!err) {
		ext2_inode_store(v);
		dir->nlink += is_dir;
		ext2_dir_insert(dir, &p, name, len, v);
		vnode_publish(v);
		*out = v;
	}
	ext2_place_put(&p);
	return err;
}

err_t ext2_tmpfile(struct vnode *dir, const struct attr *init, struct vnode **out)
{
	struct vnode *v;
	err_t err = begin(dir, NULL);
	if (!err)
		err = make_file(dir, init, 0, NULL, &v);
	if (err)
		return err;
	v->nlink = 0;
	ext2_inode_store(v);
	ext2_orphan_add(v);
	vnode_publish(v);
	*out = v;
	return 0;
}

err_t ext2_link(struct vnode *dir, const char *name, size_t len, struct vnode *v)
{
	struct ext2_place p;
	if (v->nlink >= EXT2_LINK_MAX)
		return -EMLINK;
	err_t err = begin(dir, v);
	if (!err)
		err = ext2_dir_make_room(dir, name, len, &p);
	if (err)
		return err;
	if (!v->nlink)
		ext2_orphan_remove(v);
	v->nlink++;
	ext2_dir_insert(dir, &p, name, len, v);
	v->ctime = dir->ctime;
	ext2_inode_store(v);
	ext2_place_put(&p);
	return 0;
}

/* The entry of v. -EUCLEAN: the directory changed by itself. */
static err_t find_entry(
    struct vnode *dir, const char *name, size_t len, const struct vnode *v, struct ext2_place *p)
{
	err_t err = ext2_dir_find(dir, name, len, p);
	if (err)
		return err == -ENOENT ? ext2_corrupt(ext2_of(dir), "name vanished from directory", dir->ino)
				      : err;
	if (ext2_place_entry(p)->ino == v->ino)
		return 0;
	ext2_place_put(p);
	return ext2_corrupt(ext2_of(dir), "name changed in directory", dir->ino);
}

err_t ext2_unlink(struct vnode *dir, const char *name, size_t len, struct vnode *v)
{
	struct ext2_place p;
	err_t err = begin(dir, v);
	if (!err)
		err = find_entry(dir, name, len, v, &p);
	if (err)
		return err;
	ext2_dir_remove(dir, &p);
	ext2_place_put(&p);
	v->nlink--;
	v->ctime = dir->ctime;
	ext2_inode_store(v);
	if (!v->nlink)
		ext2_orphan_add(v);
	return 0;
}

err_t ext2_rmdir(struct vnode *dir, const char *name, size_t len, struct vnode *v)
{
	struct ext2_place p;
	err_t err = begin(dir, v);
	if (!err)
		err = ext2_dir_is_empty(v);
	if (!err)
		err = find_entry(dir, name, len, v, &p);
	if (err)
		return err;
	dir->nlink -= dir->nlink > 2;
	ext2_dir_remove(dir, &p);
	ext2_place_put(&p);
	v->nlink = 0;
	v->ctime = dir->ctime;
	ext2_inode_store(v);
	ext2_orphan_add(v);
	return 0;
}
