/*
 * inode.c - inodes and vnodes. Everything that an inode says is checked before a vnode shows it.
 *
 * A vnode that is about to change holds its block of the inode table (`slot`) from then on, so that storing
 * what it says is a copy in memory that cannot fail; each change is stored at once. So all that is dirty of
 * an inode is dirty in the cache of metadata, and a vnode may go without a word.
 */
#include "fs/ext2/ext2_priv.h"
#include "fs/file.h"
#include "lib/string.h"
#include "mm/slab.h"

enum {
	NEVER_INHERITED_BY_FILES = 0x10000, /* dirsync */
	INHERITED_BY_OTHERS = 0x40 | 0x80,  /* nodump, noatime */
	INHERITED =
	    0xf | 0x40 | 0x80 | 0x600 | 0x1c000, /* secrm ... sync, compression, journal, notail, dirsync */
	CHATTR_SEEN = 0x3dfff, /* of all flags: what chattr(1) is told, and what it may change */
	CHATTR_CHANGED = 0x380ff,
	OLD_DEVICE_MAX = 0xff,
};

/* --- the table --- */

/* Hold the block of the table where the inode is. */
static err_t hold_table(struct ext2 *e, uint64_t ino, struct ext2_buffer *b)
{
	const struct ext2_super *s = &e->super;
	b->data = NULL;
	if (ino == 0 || ino > s->inodes || (ino != EXT2_ROOT_INO && ino < e->first_ino))
		return ext2_corrupt(e, "inode number", ino);
	uint64_t at = (ino - 1) % s->inodes_per_group * e->inode_size;
	uint64_t table = ext2_group(e, (uint32_t)((ino - 1) / s->inodes_per_group))->inode_table;
	return ext2_buffer_get(e, table + (at >> e->block_shift), b);
}

static struct ext2_inode *inode_in(const struct ext2 *e, const struct ext2_buffer *b, uint64_t ino)
{
	uint64_t at = (ino - 1) % e->super.inodes_per_group * e->inode_size;
	return (void *)((char *)b->data + (at & (e->block_size - 1)));
}

struct ext2_inode *ext2_slot(const struct ext2 *e, const struct ext2_node *n)
{
	return inode_in(e, &n->slot, n->ino);
}

err_t ext2_inode_read(struct ext2 *e, uint64_t ino, void *out, size_t size)
{
	struct ext2_buffer b;
	err_t err = hold_table(e, ino, &b);
	if (err)
		return err;
	memset(out, 0, size);
	mutex_lock(&e->lock);
	memcpy(out, inode_in(e, &b, ino), MIN(size, e->inode_size));
	mutex_unlock(&e->lock);
	ext2_buffer_put(&b);
	return 0;
}

err_t ext2_inode_hold(struct vnode *v)
{
	struct ext2_node *n = ext2_node_of(v);
	struct ext2_buffer b;
	mutex_lock(&n->lock);
	bool held = n->slot.data;
	err_t err = held ? 0 : hold_table(ext2_of(v), v->ino, &b);
	if (!err && !held)
		n->slot = b; /* a pin for reading is on no list: it may move */
	mutex_unlock(&n->lock);
	return err;
}

/* --- checking --- */

static uint64_t size_of(const struct ext2_inode *i)
{
	bool large = (i->mode & MODE_TYPE) == MODE_REG;
	return i->size | (large ? (uint64_t)i->size_high << 32 : 0);
}

/* Is a symbolic link's target in the inode? It has no blocks then but that of its extended attributes. */
static bool is_fast_link(const struct ext2 *e, const struct ext2_inode *i)
{
	return (i->mode & MODE_TYPE) == MODE_LINK && i->sectors == (i->acl ? e->block_size / SECTOR_SIZE : 0);
}

static bool is_sound(const struct ext2 *e, const struct ext2_inode *i)
{
	switch (i->mode & MODE_TYPE) {
	case MODE_REG:
		return size_of(i) <= ext2_max_size(e);
	case MODE_DIR:
		return i->size && i->size % e->block_size == 0;
	case MODE_LINK:
		return i->size && i->size < (is_fast_link(e, i) ? EXT2_FAST_LINK_MAX : e->block_size);
	case MODE_FIFO:
	case MODE_SOCK:
	case MODE_CHAR:
	case MODE_BLOCK:
		return true;
	}
	return false;
}

/* --- times --- */

/* Seconds are signed, with two more bits above and nanoseconds in `extra`. */
static struct timespec64 time_of(uint32_t seconds, uint32_t extra)
{
	struct timespec64 t = {
	    .sec = (int32_t)seconds + ((int64_t)(extra & ((1 << EXT2_HIGH_BITS) - 1)) << 32),
	    .nsec = extra >> EXT2_HIGH_BITS};
	if (t.nsec >= 1000000000)
		t.nsec = 0;
	return t;
}

static uint32_t extra_of(const struct timespec64 *t)
{
	uint64_t high = (uint64_t)(t->sec - (int32_t)(uint32_t)t->sec) >> 32;
	return (uint32_t)(high & ((1 << EXT2_HIGH_BITS) - 1)) | t->nsec << EXT2_HIGH_BITS;
}

/* The nearest time that the inode can tell. */
static struct timespec64 clamp_time(struct timespec64 t, bool extra)
{
	int64_t max = extra ? INT32_MAX + (3LL << 32) : INT32_MAX;
	struct timespec64 first = {.sec = INT32_MIN}, last = {.sec = max};
	if (t.sec < INT32_MIN)
		return first;
	return t.sec > max ? last : t;
}

/* Does a field of the extra part, ending at `end`, fit in what this inode says it has? */
static bool has_extra(const struct ext2 *e, const struct ext2_inode *i, size_t end)
{
	return e->inode_size >= end && i->extra_size % 4 == 0 &&
	       (size_t)EXT2_INODE_SIZE_OLD + i->extra_size >= end &&
	       (size_t)EXT2_INODE_SIZE_OLD + i->extra_size <= e->inode_size;
}

static void load_times(const struct ext2 *e, const struct ext2_inode *i, struct vnode *v)
{
	bool extra = has_extra(e, i, offsetof(struct ext2_inode, birth));
	v->atime = time_of(i->atime, extra ? i->atime_extra : 0);
	v->mtime = time_of(i->mtime, extra ? i->mtime_extra : 0);
	v->ctime = time_of(i->ctime, extra ? i->ctime_extra : 0);
	if (has_extra(e, i, sizeof(*i)))
		v->btime = time_of(i->birth, i->birth_extra);
}

static void store_times(const struct ext2 *e, const struct vnode *v, struct ext2_inode *i)
{
	bool extra = has_extra(e, i, offsetof(struct ext2_inode, birth));
	struct timespec64 a = clamp_time(v->atime, extra), m = clamp_time(v->mtime, extra),
			  c = clamp_time(v->ctime, extra);
	i->atime = (uint32_t)a.sec;
	i->mtime = (uint32_t)m.sec;
	i->ctime = (uint32_t)c.sec;
	if (extra) {
		i->atime_extra = extra_of(&a);
		i->mtime_extra = extra_of(&m);
		i->ctime_extra = extra_of(&c);
	}
	if (has_extra(e, i, sizeof(*i))) {
		i->birth = (uint32_t)v->btime.sec;
		i->birth_extra = extra_of(&v->btime);
	}
}

/* --- storing --- */

/* Devices: 8 bits each in the first word, or else 12 and 20 in the second. The latter is what stat tells, and
 * holds the former. */
static uint64_t device_of(const struct ext2_inode *i)
{
	unsigned type = i->mode & MODE_TYPE;
	if (type != MODE_CHAR && type != MODE_BLOCK)
		return 0;
	return i->block[0] ? i->block[0] & 0xffff : i->block[1];
}

static void store_attributes(const struct ext2 *e, const struct vnode *v, struct ext2_inode *i)
{
	const struct ext2_node *n = ext2_node_of(v);
	i->mode = (uint16_t)v->mode;
	i->links = (uint16_t)v->nlink;
	i->uid = (uint16_t)v->uid;
	i->uid_high = (uint16_t)(v->uid >> 16);
	i->gid = (uint16_t)v->gid;
	i->gid_high = (uint16_t)(v->gid >> 16);
	i->size = (uint32_t)v->size;
	if (vnode_is(v, MODE_REG))
		i->size_high = (uint32_t)(v->size >> 32);
	i->sectors = (uint32_t)n->sectors;
	i->acl = n->acl;
	i->flags = n->flags;
	i->generation = n->generation;
	memcpy(i->block, n->block, sizeof(i->block));
	store_times(e, v, i);
}

/*
 * Attributes are the vnode lock's, which write-back does not have: it may see a mixture while somebody
 * changes them. But each change is followed by a store of its own, and stores come one after the other: the
 * last one tells the truth. The map is only read where nobody changes it, by whoever has (M) or the vnode's
 * lock.
 */
void ext2_inode_store(struct vnode *v)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	bool large = vnode_is(v, MODE_REG) && __atomic_load_n(&v->size, __ATOMIC_RELAXED) > INT32_MAX;
	mutex_lock(&n->lock);
	mutex_lock(&e->lock);
	ASSERT(n->slot.data);
	store_attributes(e, v, ext2_slot(e, n));
	ext2_buffer_dirty(&n->slot);
	if (large)
		ext2_note_large_file(e);
	mutex_unlock(&e->lock);
	mutex_unlock(&n->lock);
}

void ext2_touch(struct vnode *v)
{
	fs_now(&v->mtime);
	v->ctime = v->mtime;
}

static void put_attributes(struct vnode *v, const struct attr *a)
{
	if (a->mask & ATTR_MODE)
		__atomic_store_n(&v->mode, (v->mode & MODE_TYPE) | (a->mode & 07777), __ATOMIC_RELAXED);
	if (a->mask & ATTR_UID)
		__atomic_store_n(&v->uid, a->uid, __ATOMIC_RELAXED);
	if (a->mask & ATTR_GID)
		__atomic_store_n(&v->gid, a->gid, __ATOMIC_RELAXED);
	if (a->mask & ATTR_ATIME)
		v->atime = a->atime;
	if (a->mask & ATTR_MTIME)
		v->mtime = a->mtime;
	if (a->mask & ATTR_CTIME)
		v->ctime = a->ctime;
}

/* Has the inode the higher bits of seconds? */
static bool slot_has_extra(struct vnode *v)
{
	struct ext2 *e = ext2_of(v);
	mutex_lock(&e->lock);
	bool extra = has_extra(e, ext2_slot(e, ext2_node_of(v)), offsetof(struct ext2_inode, birth));
	mutex_unlock(&e->lock);
	return extra;
}

/* The caller puts the same into v afterwards; it has to be there when somebody else stores v in between. */
static err_t set_attributes(struct vnode *v, struct attr *a)
{
	err_t err = ext2_may_change(ext2_of(v));
	if (!err)
		err = ext2_inode_hold(v);
	if (err)
		return err;
	bool extra = slot_has_extra(v);
	a->atime = clamp_time(a->atime, extra);
	a->mtime = clamp_time(a->mtime, extra);
	put_attributes(v, a);
	ext2_inode_store(v);
	return 0;
}

static uint32_t get_flags(struct vnode *v)
{
	return ext2_node_of(v)->flags & CHATTR_SEEN;
}

static err_t set_flags(struct vnode *v, uint32_t flags)
{
	struct ext2_node *n = ext2_node_of(v);
	err_t err = flags & ~(uint32_t)CHATTR_SEEN ? -ENOTSUP : ext2_may_change(ext2_of(v));
	if (!err)
		err = ext2_inode_hold(v);
	if (err)
		return err;
	n->flags = (n->flags & ~(uint32_t)CHATTR_CHANGED) | (flags & CHATTR_CHANGED);
	fs_now(&v->ctime);
	ext2_inode_store(v);
	return 0;
}

static uint32_t get_generation(struct vnode *v)
{
	return ext2_node_of(v)->generation;
}

static err_t set_generation(struct vnode *v, uint32_t generation)
{
	err_t err = ext2_may_change(ext2_of(v));
	if (!err)
		err = ext2_inode_hold(v);
	if (err)
		return err;
	ext2_node_of(v)->generation = generation;
	fs_now(&v->ctime);
	ext2_inode_store(v);
	return 0;
}

static void get_attributes(struct vnode *v, struct vfs_stat *st)
{
	struct ext2_node *n = ext2_node_of(v);
	st->block_size = ext2_of(v)->block_size;
	st->blocks = __atomic_load_n(&n->sectors, __ATOMIC_RELAXED);
	st->flags_known = INODE_FIXED | INODE_NODUMP | INODE_COMPRESSED | INODE_ENCRYPTED;
	st->flags = n->flags & st->flags_known;
}

static void written(struct vnode *v)
{
	if (ext2_node_of(v)->slot.data)
		ext2_inode_store(v);
}

static err_t sync_vnode(struct vnode *v, UNUSED bool data_only)
{
	return ext2_sync(ext2_of(v));
}

/* --- life --- */

static struct ext2_node *node_create(uint64_t ino)
{
	struct ext2_node *n = kzalloc(sizeof(*n));
	if (!n)
		return NULL;
	n->ino = ino;
	mutex_init(&n->lock, "ext2 map", RANK_FS_MAP);
	mutex_init(&n->index_lock, "ext2 index", RANK_FS);
	list_init(&n->orphan);
	return n;
}

static void set_kind(struct ext2_node *n, unsigned type)
{
	bool is_long_link = type == MODE_LINK && !n->fast_link;
	n->has_map = type == MODE_REG || type == MODE_DIR || is_long_link;
	n->is_metadata = type == MODE_DIR || is_long_link;
}

static err_t fill(struct ext2 *e, const struct ext2_inode *i, struct vnode *v)
{
	struct ext2_node *n = node_create(v->ino);
	if (!n)
		return -ENOMEM;
	memcpy(n->block, i->block, sizeof(n->block));
	n->fast_link = is_fast_link(e, i);
	n->sectors = i->sectors;
	n->flags = i->flags;
	n->generation = i->generation;
	store_relaxed(&v->flags, i->flags & INODE_HONOURED);
	n->acl = i->acl;
	set_kind(n, i->mode & MODE_TYPE);
	v->priv = n;
	v->mode = i->mode;
	v->nlink = i->links;
	v->uid = i->uid | (uint32_t)i->uid_high << 16;
	v->gid = i->gid | (uint32_t)i->gid_high << 16;
	v->size = size_of(i);
	v->rdev = device_of(i);
	load_times(e, i, v);
	err_t err = vnode_is(v, MODE_REG) ? vnode_make_pages(v, &ext2_pages_ops, 0) : 0;
	if (err) {
		v->priv = NULL;
		kfree(n);
	}
	return err;
}

static err_t get_vnode(struct fs *fs, uint64_t ino, bool dead, struct vnode **out)
{
	struct ext2_inode i;
	bool fresh;
	err_t err = vnode_acquire(fs, ino, &ext2_vnode_ops, out, &fresh);
	if (err || !fresh)
		return err;
	err = ext2_inode_read(fs->priv, ino, &i, sizeof(i));
	if (!err && (!is_sound(fs->priv, &i) || !i.links != dead))
		err = ext2_corrupt(fs->priv, "inode", ino);
	if (!err)
		err = fill(fs->priv, &i, *out);
	if (err)
		vnode_abandon(*out);
	else
		vnode_publish(*out);
	return err;
}

err_t ext2_vnode_get(struct fs *fs, uint64_t ino, struct vnode **out)
{
	return get_vnode(fs, ino, false, out);
}

err_t ext2_vnode_get_dead(struct fs *fs, uint64_t ino, struct vnode **out)
{
	return get_vnode(fs, ino, true, out);
}

/* --- making --- */

static void put_device(struct ext2_node *n, uint64_t rdev)
{
	bool is_old = (rdev >> 8 & 0xfff) <= OLD_DEVICE_MAX && !(rdev >> 20);
	n->block[is_old ? 0 : 1] = (uint32_t)rdev;
}

static uint32_t inherited_flags(const struct vnode *dir, unsigned type)
{
	uint32_t flags = ext2_node_of(dir)->flags & INHERITED;
	if (type == MODE_REG)
		return flags & ~(uint32_t)NEVER_INHERITED_BY_FILES;
	return type == MODE_DIR ? flags : flags & INHERITED_BY_OTHERS;
}

/* The inode's place in the table as a new one has it. */
static void clear_slot(struct ext2 *e, struct ext2_node *n)
{
	struct timespec64 now;
	fs_now(&now);
	mutex_lock(&e->lock);
	struct ext2_inode *i = ext2_slot(e, n);
	memset(i, 0, e->inode_size);
	n->generation = now.nsec ^ (uint32_t)now.sec ^ (uint32_t)n->ino;
	if (e->inode_size > EXT2_INODE_SIZE_OLD)
		i->extra_size = EXT2_EXTRA_SIZE;
	mutex_unlock(&e->lock);
}

static void fill_new(struct vnode *v, struct ext2_node *n, const struct attr *init, uint64_t rdev)
{
	unsigned type = init->mode & MODE_TYPE;
	v->priv = n;
	store_relaxed(&v->flags, n->flags & INODE_HONOURED);
	v->mode = init->mode;
	v->uid = init->uid;
	v->gid = init->gid;
	v->nlink = type == MODE_DIR ? 2 : 1;
	v->atime = v->mtime = v->ctime = v->btime = init->mtime;
	if (type == MODE_CHAR || type == MODE_BLOCK) {
		v->rdev = rdev;
		put_device(n, rdev);
	}
	set_kind(n, type);
}

err_t ext2_vnode_make(
    struct vnode *dir, uint64_t ino, const struct attr *init, uint64_t rdev, struct vnode **out)
{
	struct ext2 *e = ext2_of(dir);
	struct vnode *v;
	bool fresh;
	struct ext2_node *n = node_create(ino);
	if (!n)
		return -ENOMEM;
	err_t err = vnode_acquire(dir->fs, ino, &ext2_vnode_ops, &v, &fresh);
	if (err)
		goto free_node;
	if (!fresh) { /* in use, though the bitmap says that it is free */
		vnode_put(v);
		err = ext2_corrupt(e, "bitmap: free but in use, inode", ino);
		goto free_node;
	}
	n->flags = inherited_flags(dir, init->mode & MODE_TYPE);
	fill_new(v, n, init, rdev);
	err = ext2_inode_hold(v);
	if (!err && vnode_is(v, MODE_REG))
		err = vnode_make_pages(v, &ext2_pages_ops, 0);
	if (err) {
		ext2_vnode_drop(v);
		return err;
	}
	clear_slot(e, n);
	*out = v;
	return 0;

free_node:
	kfree(n);
	return err;
}

static void node_destroy(struct ext2_node *n)
{
	ext2_index_drop(n);
	ext2_buffer_put(&n->slot);
	kfree(n);
}

void ext2_vnode_drop(struct vnode *v)
{
	struct ext2_node *n = ext2_node_of(v);
	vnode_abandon(v);
	node_destroy(n);
}

/* --- the end of a file --- */

/* The inode is nobody's: that is what the table says of it. */
static void bury(struct vnode *v)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	struct timespec64 now;
	fs_now(&now);
	ext2_orphan_remove(v);
	v->size = 0;
	n->sectors = 0;
	n->acl = 0;
	if (!n->has_map)
		memset(n->block, 0, sizeof(n->block));
	ext2_inode_store(v);
	mutex_lock(&e->lock);
	struct ext2_inode *i = ext2_slot(e, n);
	i->dtime = now.sec ? (uint32_t)now.sec : 1;
	mutex_unlock(&e->lock);
}

static err_t delete_file(struct vnode *v)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	err_t err = ext2_may_change(e);
	mutex_lock(&n->lock);
	if (!err && n->has_map)
		err = ext2_cut(e, n, 0);
	mutex_unlock(&n->lock);
	if (!err && n->acl)
		err = ext2_xattr_drop(e, n->acl);
	if (err) {
		ext2_inode_store(v); /* it stays on the list: the next mount goes on */
		return err;
	}
	bury(v);
	return ext2_inode_free(e, v->ino, vnode_is(v, MODE_DIR));
}

static void release(struct vnode *v)
{
	struct ext2_node *n = ext2_node_of(v);
	if (v->nlink == 0 && n->slot.data) {
		err_t err = delete_file(v);
		if (err)
			(void)ext2_fail(ext2_of(v), "a deleted file keeps its blocks", err);
		mutex_lock(&ext2_of(v)->lock);
		list_remove(&n->orphan);
		mutex_unlock(&ext2_of(v)->lock);
	}
	node_destroy(n);
}

const struct vnode_ops ext2_vnode_ops = {
    .lookup = ext2_lookup,
    .create = ext2_create,
    .link = ext2_link,
    .unlink = ext2_unlink,
    .rmdir = ext2_rmdir,
    .tmpfile = ext2_tmpfile,
    .rename = ext2_rename,
    .readdir = ext2_readdir,
    .readlink = ext2_readlink,
    .getattr = get_attributes,
    .setattr = set_attributes,
    .get_flags = get_flags,
    .set_flags = set_flags,
    .get_generation = get_generation,
    .set_generation = set_generation,
    .xattr_get = ext2_xattr_get,
    .xattr_list = ext2_xattr_list,
    .xattr_set = ext2_xattr_set,
    .truncate = ext2_truncate,
    .reserve = ext2_reserve,
    .written = written,
    .sync = sync_vnode,
    .release = release,
};
