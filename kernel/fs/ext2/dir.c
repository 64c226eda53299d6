/*
 * dir.c - reading directories: blocks full of entries, each with its length, none across the end of a block.
 * An index (dir_index) hides in entries that look unused, so an indexed directory is read as a linear one.
 *
 * A position is the byte offset of the next entry. Any offset is accepted: its block is walked from the
 * start, so a position that somebody made up never reads an entry from its middle.
 *
 * A directory has one parent and says so in "..": a look-up checks it, so that whatever a disk says, what can
 * be reached is a tree.
 */
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"

/* One walk over a directory's entries. */
struct walk {
	struct vnode *dir;
	uint64_t block; /* index in the directory */
	uint32_t offset;
	struct ext2_buffer buffer;
};

err_t ext2_dir_block(struct vnode *dir, uint64_t index, struct ext2_buffer *b)
{
	struct ext2 *e = ext2_of(dir);
	uint32_t at;
	b->data = NULL;
	err_t err = ext2_map(e, ext2_node_of(dir), index, &at);
	if (err)
		return err;
	return at ? ext2_buffer_get(e, at, b) : ext2_corrupt(e, "hole in directory", dir->ino);
}

/* Is the entry at `offset` one that lies in its block, with a name that can be? */
bool ext2_entry_is_sound(const struct ext2 *e, const struct ext2_entry *d, uint32_t offset)
{
	if (offset > e->block_size - sizeof(*d))
		return false;
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
		ext2_buffer_put(&w->buffer);
		w->block++;
		w->offset = 0;
	}
	if (w->block >= w->dir->size >> e->block_shift)
		return 0;
	if (!w->buffer.data) {
		err_t err = ext2_dir_block(w->dir, w->block, &w->buffer);
		if (err)
			return err;
	}
	const struct ext2_entry *d = (const void *)((const char *)w->buffer.data + w->offset);
	if (!ext2_entry_is_sound(e, d, w->offset))
		return ext2_corrupt(e, "entry of directory", w->dir->ino);
	w->offset += d->rec_len;
	*out = d;
	return 0;
}

struct ext2_entry *ext2_place_entry(const struct ext2_place *p)
{
	return (void *)((char *)p->buffer.data + p->offset);
}

static bool is_named(const struct ext2_entry *d, const char *name, size_t len)
{
	return d->ino && d->name_len == len && !memcmp(d->name, name, len);
}

/* Search blocks [w->block, end); on success the place takes the buffer over. */
static err_t find_linear(struct walk *w, uint64_t end, const char *name, size_t len, struct ext2_place *p)
{
	const struct ext2_entry *d;
	err_t err;
	while (!(err = walk_next(w, &d)) && d && w->block < end) {
		if (!is_named(d, name, len))
			continue;
		*p = (struct ext2_place){w->buffer, w->block, w->offset - d->rec_len};
		return 0;
	}
	ext2_buffer_put(&w->buffer);
	return err ? err : -ENOENT;
}

err_t ext2_dir_find(struct vnode *dir, const char *name, size_t len, struct ext2_place *p)
{
	struct walk w = {.dir = dir};
	uint64_t step = 0;
	p->buffer.data = NULL;
	err_t err = ext2_index_make(dir);
	if (err)
		return err;
	const struct ext2_index *x = load_acquire(&ext2_node_of(dir)->index);
	if (!x)
		return find_linear(&w, UINT64_MAX, name, len, p);
	err = -ENOENT;
	while (err == -ENOENT && ext2_index_find(x, ext2_name_hash(name, len), &step, &w.block)) {
		w.offset = 0;
		err = find_linear(&w, w.block + 1, name, len, p);
	}
	return err;
}

err_t ext2_dir_dotdot(struct vnode *dir, struct ext2_place *p)
{
	struct ext2 *e = ext2_of(dir);
	err_t err = ext2_dir_block(dir, 0, &p->buffer);
	if (err)
		return err;
	p->block = p->offset = 0;
	const struct ext2_entry *d = ext2_place_entry(p);
	bool good = ext2_entry_is_sound(e, d, 0) && is_named(d, ".", 1);
	if (good) {
		p->offset = d->rec_len;
		d = ext2_place_entry(p);
		good = ext2_entry_is_sound(e, d, p->offset) && is_named(d, "..", 2);
	}
	if (good)
		return 0;
	ext2_place_put(p);
	return ext2_corrupt(e, "first entries of directory", dir->ino);
}

static err_t check_parent_locked(struct vnode *v, const struct vnode *dir)
{
	struct ext2_place p;
	err_t err = ext2_dir_dotdot(v, &p);
	if (err)
		return err;
	bool good = ext2_place_entry(&p)->ino == dir->ino;
	ext2_place_put(&p);
	return good ? 0 : ext2_corrupt(ext2_of(dir), "parent of directory", v->ino);
}

/* Does v, a directory found in dir, know dir as its parent? Where somebody is changing v it has been found
 * before, and was looked at then: its lock cannot be waited for under that of dir. */
static err_t check_parent(struct vnode *v, const struct vnode *dir)
{
	if (!rwlock_try_read(&v->lock))
		return 0;
	err_t err = check_parent_locked(v, dir);
	rwlock_read_unlock(&v->lock);
	return err;
}

err_t ext2_lookup(struct vnode *dir, const char *name, size_t len, struct vnode **out)
{
	struct ext2_place p;
	err_t err = ext2_dir_find(dir, name, len, &p);
	if (err)
		return err;
	uint32_t ino = ext2_place_entry(&p)->ino;
	ext2_place_put(&p);
	if (ino == dir->ino || ino == EXT2_ROOT_INO) /* a directory in itself */
		return ext2_corrupt(ext2_of(dir), "loop in directory", dir->ino);
	err = ext2_vnode_get(dir->fs, ino, out);
	if (err || !vnode_is(*out, MODE_DIR))
		return err;
	err = check_parent(*out, dir);
	if (err)
		vnode_put(*out);
	return err;
}

static bool is_dot(const struct ext2_entry *d)
{
	return d->name[0] == '.' && (d->name_len == 1 || (d->name_len == 2 && d->name[1] == '.'));
}

err_t ext2_dir_is_empty(struct vnode *dir)
{
	struct walk w = {.dir = dir};
	const struct ext2_entry *d;
	err_t err;
	while (!(err = walk_next(&w, &d)) && d)
		if (d->ino && !is_dot(d)) {
			err = -ENOTEMPTY;
			break;
		}
	ext2_buffer_put(&w.buffer);
	return err;
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
	if (pos <= DIR_POS_FIRST)
		pos = 0;
	struct walk w = {.dir = dir, .block = pos >> e->block_shift};
	const struct ext2_entry *d;
	err_t err;
	while (!(err = walk_next(&w, &d)) && d) {
		uint64_t next = (w.block << e->block_shift) + w.offset;
		if (next - d->rec_len < pos || !d->ino || is_dot(d))
			continue;
		if (!emit(ctx, d->name, d->name_len, d->ino, type_of(e, d), next))
			break;
	}
	ext2_buffer_put(&w.buffer);
	return err;
}
