/*
 * dir_edit.c - changing directories. An entry is put into the slack behind another, or into an unused one;
 * one that goes is joined to the entry before it. Entries never move, so a reader's position stays good. The
 * directory's vnode lock is held for writing throughout.
 *
 * What can fail - finding the place, reading its block, a new block for the directory - comes first and ends
 * with a place that is held; using the place cannot fail.
 *
 * The index of a directory that was made elsewhere is not kept up: the flag that says it is there goes at the
 * first change, and what is left is a linear directory with some unused entries.
 */
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"

static uint32_t used_part(const struct ext2_entry *d)
{
	return d->ino ? ext2_entry_len(d->name_len) : 0;
}

/* The first entry of a block with `need` bytes of slack; *offset. *most: the largest slack there is, if none
 * is large enough. */
static err_t find_slack(
    struct vnode *dir, const struct ext2_buffer *b, uint32_t need, uint32_t *offset, uint32_t *most)
{
	struct ext2 *e = ext2_of(dir);
	*most = 0;
	for (uint32_t at = 0; at < e->block_size;) {
		const struct ext2_entry *d = (const void *)((const char *)b->data + at);
		if (!ext2_entry_is_sound(e, d, at) || d->rec_len < used_part(d))
			return ext2_corrupt(e, "entry of directory", dir->ino);
		uint32_t slack = d->rec_len - used_part(d);
		*most = MAX(*most, slack);
		*offset = at;
		if (slack >= need)
			return 0;
		at += d->rec_len;
	}
	return -ENOENT;
}

static err_t room_in_block(struct vnode *dir, uint64_t block, uint32_t need, struct ext2_place *p)
{
	uint32_t most;
	err_t err = ext2_dir_block(dir, block, &p->buffer);
	if (err)
		return err;
	p->block = block;
	err = find_slack(dir, &p->buffer, need, &p->offset, &most);
	if (err)
		ext2_place_put(p);
	if (err == -ENOENT)
		ext2_index_set_room(ext2_node_of(dir), block, most);
	return err;
}

/* Another block for the directory: one unused entry. */
static err_t append_block(struct vnode *dir, struct ext2_place *p)
{
	struct ext2 *e = ext2_of(dir);
	struct ext2_node *n = ext2_node_of(dir);
	uint32_t at = 0, got;
	uint64_t block = dir->size >> e->block_shift;
	if (dir->size + e->block_size > UINT32_MAX)
		return -ENOSPC;
	mutex_lock(&n->lock);
	err_t err = ext2_map_locked(e, n, block, &at);
	if (!err && at)
		err = ext2_corrupt(e, "block behind the end of directory", dir->ino);
	if (!err)
		err = ext2_map_fill(e, n, block, 1, &at, &got);
	if (!err) {
		err = ext2_buffer_new(e, at, &p->buffer);
		if (err)
			(void)ext2_cut(e, n, block);
	}
	mutex_unlock(&n->lock);
	if (err)
		return err;
	p->block = block;
	p->offset = 0;
	ext2_place_entry(p)->rec_len = (uint16_t)e->block_size;
	dir->size += e->block_size;
	ext2_inode_store(dir);
	ext2_index_set_room(n, block, e->block_size);
	return 0;
}

/* No index: every block may have room. */
static err_t room_linear(struct vnode *dir, uint32_t need, struct ext2_place *p)
{
	uint64_t blocks = dir->size >> ext2_of(dir)->block_shift;
	err_t err = -ENOENT;
	for (uint64_t i = 0; err == -ENOENT && i < blocks; i++)
		err = room_in_block(dir, i, need, p);
	return err;
}

err_t ext2_dir_make_room(struct vnode *dir, UNUSED const char *name, size_t len, struct ext2_place *p)
{
	uint32_t need = ext2_entry_len(len);
	p->buffer.data = NULL;
	err_t err = ext2_may_change(ext2_of(dir));
	if (!err)
		err = ext2_inode_hold(dir);
	if (!err)
		err = ext2_index_make(dir);
	if (err)
		return err;
	err = -ENOENT;
	uint64_t block = 0;
	while (err == -ENOENT && ext2_node_of(dir)->index && block != UINT64_MAX) {
		block = ext2_index_room(ext2_node_of(dir)->index, need);
		if (block != UINT64_MAX)
			err = room_in_block(dir, block, need, p);
	}
	if (err == -ENOENT && !ext2_node_of(dir)->index)
		err = room_linear(dir, need, p);
	return err == -ENOENT ? append_block(dir, p) : err;
}

static uint8_t type_code(const struct ext2 *e, const struct vnode *v)
{
	static const uint8_t codes[16] = {[1] = 5, [2] = 3, [4] = 2, [6] = 4, [8] = 1, [10] = 7, [12] = 6};
	return e->has_types ? codes[v->mode >> 12] : 0;
}

/* The block was changed: the times and the index with it. */
static void changed(struct vnode *dir, struct ext2_place *p)
{
	struct ext2_node *n = ext2_node_of(dir);
	uint32_t offset, most;
	ext2_buffer_dirty(&p->buffer);
	if (n->index && find_slack(dir, &p->buffer, UINT32_MAX, &offset, &most) == -ENOENT)
		ext2_index_set_room(n, p->block, most);
	n->flags &= ~(uint32_t)EXT2_FLAG_INDEX;
	ext2_touch(dir);
	ext2_inode_store(dir);
}

void ext2_dir_insert(
    struct vnode *dir, struct ext2_place *p, const char *name, size_t len, const struct vnode *v)
{
	struct ext2_entry *d = ext2_place_entry(p);
	uint32_t used = used_part(d);
	if (used) { /* behind that entry's name */
		struct ext2_entry *next = (void *)((char *)d + used);
		next->rec_len = (uint16_t)(d->rec_len - used);
		d->rec_len = (uint16_t)used;
		d = next;
		p->offset += used;
	}
	d->name_len = (uint8_t)len;
	d->type = type_code(ext2_of(dir), v);
	memcpy(d->name, name, len);
	d->ino = (uint32_t)v->ino;
	ext2_index_add(ext2_node_of(dir), ext2_name_hash(name, len), p->block);
	changed(dir, p);
}

void ext2_dir_set(struct vnode *dir, struct ext2_place *p, const struct vnode *v)
{
	struct ext2_entry *d = ext2_place_entry(p);
	d->ino = (uint32_t)v->ino;
	d->type = type_code(ext2_of(dir), v);
	changed(dir, p);
}

void ext2_dir_remove(struct vnode *dir, struct ext2_place *p)
{
	struct ext2_entry *gone = ext2_place_entry(p), *before = NULL;
	for (uint32_t at = 0; at < p->offset; at += before->rec_len)
		before = (void *)((char *)p->buffer.data + at);
	ext2_index_remove(ext2_node_of(dir), ext2_name_hash(gone->name, gone->name_len), p->block);
	gone->ino = 0;
	if (before)
		before->rec_len = (uint16_t)(before->rec_len + gone->rec_len);
	changed(dir, p);
}

err_t ext2_dir_start(struct vnode *dir, const struct vnode *parent)
{
	struct ext2 *e = ext2_of(dir);
	struct ext2_place p;
	err_t err = append_block(dir, &p);
	if (err)
		return err;
	ext2_dir_insert(dir, &p, ".", 1, dir);
	ext2_dir_insert(dir, &p, "..", 2, parent);
	ext2_place_put(&p);
	ASSERT(dir->size == e->block_size);
	return 0;
}
