/*
 * dir.c - directories: blocks full of entries, each with its length, none across the end of a block. An index (dir_index) hides in entries that look unused, so an
 * indexed directory is read as a linear one.
 *
 * A position is the byte offset of the next entry. Any offset is accepted: its block is walked from the start, so a position that somebody made up never reads an entry from its middle.
 */
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"

/* One walk over a directory's entries. */
struct walk {
	struct vnode *dir;
	uint64_t block; /* index in the directory */
	uint32_t offset;
	struct ext2_buffer buffer;
	bool held;
};

static void walk_end(struct walk *w)
{
	if (w->held)
		ext2_buffer_put(&w->buffer);
	w->held = false;
}

static err_t enter_block(struct walk *w)
{
	struct ext2 *e = ext2_of(w->dir);
	uint32_t at;
	err_t err = ext2_map(e, ext2_node_of(w->dir), w->block, &at);
	if (err)
		return err;
	if (!at)
		return ext2_corrupt("hole in directory", w->dir->ino);
	err = ext2_buffer_get(e, at, &w->buffer);
	w->held = !err;
	return err;
}

/* Is the entry at `offset` one that lies in its block, with a name that can be? */
static bool is_sound(const struct ext2 *e, const struct ext2_entry *d, uint32_t offset)
{
	if (d->rec_len < sizeof(*d) || d->rec_len % 4 || d->rec_len > e->block_size - offset)
		return false;
	if (!d->ino)
		return true;
	return d->name_len && sizeof(*d) + d->name_len <= d->rec_len && d->ino <= e->super.inodes &&
	       (e->has_types || !d->type) && !memchr(d->name, '/', d->name_len) &&
	       !memchr(d->name, 0, d->name_len);
}

/* The next entry, in use or not; NULL in *out: no more. w->offset is behind it then. */
static err_t walk_next(struct walk *w, const struct ext2_entry **out)
{
	struct ext2 *e = ext2_of(w->dir);
	*out = NULL;
	if (w->offset == e->block_size) {
		walk_end(w);
		w->block++;
		w->offset = 0;
	}
	if (w->block >= w->dir->size >> e->block_shift)
		return 0;
	if (!w->held) {
		err_t err = enter_block(w);
		if (err)
			return err;
	}
	const struct ext2_entry *d = (const void *)((const char *)w->buffer.data + w->offset);
	if (!is_sound(e, d, w->offset))
		return ext2_corrupt("entry of directory", w->dir->ino);
	w->offset += d->rec_len;
	*out = d;
	return 0;
}

err_t ext2_lookup(struct vnode *dir, const char *name, size_t len, struct vnode **out)
{
	struct walk w = {.dir = dir};
	const struct ext2_entry *d;
	uint32_t ino = 0;
	err_t err;
	while (!(err = walk_next(&w, &d)) && d && !ino)
		if (d->ino && d->name_len == len && !memcmp(d->name, name, len))
			ino = d->ino;
	walk_end(&w);
	if (ino)
		err = 0;
	else
		return err ? err : -ENOENT;
	if (ino == dir->ino || ino == EXT2_ROOT_INO) /* a directory in itself */
		return ext2_corrupt("loop in directory", dir->ino);
	return ext2_vnode_get(dir->fs, ino, out);
}

static bool is_dot(const struct ext2_entry *d)
{
	return d->name[0] == '.' && (d->name_len == 1 || (d->name_len == 2 && d->name[1] == '.'));
}

/* The type bits of the mode; 0: not known. */
static unsigned type_of(const struct ext2 *e, const struct ext2_entry *d)
{
	static const uint8_t types[] = {0, 8, 4, 2, 6, 1, 12, 10};
	return e->has_types && d->type < sizeof(types) ? (unsigned)types[d->type] << 12 : 0;
}

err_t ext2_readdir(struct vnode *dir, uint64_t pos, dir_emit *emit, void *ctx)
{
	struct ext2 *e = ext2_of(dir);
	struct walk w = {.dir = dir, .block = pos >> e->block_shift};
	const struct ext2_entry *d;
	err_t err;
	if (pos <= DIR_POS_FIRST)
		pos = 0;
	while (!(err = walk_next(&w, &d)) && d) {
		uint64_t next = (w.block << e->block_shift) + w.offset;
		if (next - d->rec_len < pos || !d->ino || is_dot(d))
			continue;
		if (!emit(ctx, d->name, d->name_len, d->ino, type_of(e, d), next))
			break;
	}
	walk_end(&w);
	return err;
}
