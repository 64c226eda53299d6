/*
 * xattr.c - extended attributes of files on ext2: in the inode, behind its fields, if it is large enough, and
 * in a block of their own that files with the same attributes share.
 *
 *	inode ── fields │ magic, entries ... values │
 *	  │ acl
 *	  ▼
 *	block ── magic, users, hash │ entries ... values │
 *
 * A set takes copies of both places, builds them anew with the new value where it fits (the inode first), has
 * the block that it then needs - one that says the same, its own, or a new one - and only then changes
 * anything. Blocks that were written lately are remembered by their hash, so that they are found to be
 * shared; what is remembered is looked at again before it is believed.
 *
 * Locking: which block an inode has, and what is behind its fields, is the vnode lock's. What a block says is
 * ext2.lock's, even where one file alone should have it: what the disk says about users may be wrong.
 */
#include "fs/ext2/xattr_area.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { USERS_MAX = 1024 }; /* of one block, as Linux has it: a block that goes bad hurts no more files */

struct block_header {
	uint32_t magic, users, blocks, hash, checksum, reserved[3];
};
_Static_assert(sizeof(struct block_header) == 32, "the disk's layout");

enum { IN_INODE, IN_BLOCK, NPLACES, INODE_ROOM = 128 };

/* Both places of a file, copied. */
struct places {
	struct xattr_area area[NPLACES];
	uint8_t inode[INODE_ROOM];
	uint8_t block[];
};

/* --- copies --- */

/* Where the place behind the inode's fields begins: at the magic. 0: this inode has none. */
static uint32_t inode_place(const struct ext2 *e, const struct ext2_inode *i)
{
	if (e->inode_size <= EXT2_INODE_SIZE_OLD)
		return 0;
	uint32_t start = EXT2_INODE_SIZE_OLD + i->extra_size;
	bool fits = i->extra_size && i->extra_size % 4 == 0 &&
		    start + 2 * sizeof(uint32_t) + sizeof(struct ext2_attr) <= e->inode_size;
	return fits ? start : 0;
}

static struct places *places_alloc(const struct ext2 *e)
{
	struct places *p = kzalloc(sizeof(*p) + e->block_size);
	if (!p)
		return NULL;
	p->area[IN_INODE] = (struct xattr_area){.base = p->inode};
	p->area[IN_BLOCK] = (struct xattr_area){p->block, sizeof(struct block_header), e->block_size};
	return p;
}

/* Any magic but the right one: there are no attributes yet. */
static err_t copy_from_inode(struct ext2 *e, uint64_t ino, struct places *p)
{
	union {
		struct ext2_inode fields;
		uint8_t raw[EXT2_INODE_SIZE_OLD + INODE_ROOM];
	} i;
	uint32_t magic;
	err_t err = ext2_inode_read(e, ino, &i, sizeof(i));
	uint32_t start = err ? 0 : inode_place(e, &i.fields);
	if (!start)
		return err;
	p->area[IN_INODE].size = e->inode_size - start - (uint32_t)sizeof(magic);
	memcpy(&magic, i.raw + start, sizeof(magic));
	if (magic == (uint32_t)EXT2_XATTR_MAGIC)
		memcpy(p->inode, i.raw + start + sizeof(magic), p->area[IN_INODE].size);
	return 0;
}

static bool header_is_sound(const struct block_header *h)
{
	return h->magic == (uint32_t)EXT2_XATTR_MAGIC && h->blocks == 1 && h->users;
}

static err_t copy_from_block(struct ext2 *e, uint32_t block, struct places *p)
{
	struct ext2_buffer b;
	if (!block)
		return 0;
	if (ext2_block_is_valid(e, block) && ext2_is_system(e, block, 1))
		return ext2_corrupt(e, "block of extended attributes", block);
	err_t err = ext2_buffer_get(e, block, &b);
	if (err)
		return err;
	mutex_lock(&e->lock);
	memcpy(p->block, b.data, e->block_size);
	mutex_unlock(&e->lock);
	ext2_buffer_put(&b);
	return header_is_sound((void *)p->block) ? 0 : ext2_corrupt(e, "block of extended attributes", block);
}

/* What v has, checked. v is locked. Free it with kfree. */
static err_t places_of(struct vnode *v, struct places **out)
{
	struct ext2 *e = ext2_of(v);
	struct places *p = places_alloc(e);
	if (!p)
		return -ENOMEM;
	err_t err = copy_from_inode(e, v->ino, p);
	if (!err)
		err = copy_from_block(e, ext2_node_of(v)->acl, p);
	for (unsigned i = 0; !err && i < NPLACES; i++)
		if (xattr_area_check(&p->area[i]))
			err = ext2_corrupt(e, "extended attributes of inode", v->ino);
	if (err)
		kfree(p);
	else
		*out = p;
	return err;
}

/* --- reading --- */

static bool is_hidden(const struct ext2 *e, enum xattr_space space)
{
	return space == XATTR_USER && load_relaxed(&e->no_user_xattrs);
}

err_t ext2_xattr_get(struct vnode *v, const struct xattr_name *name, void *buf, size_t size, size_t *len)
{
	struct places *p;
	if (is_hidden(ext2_of(v), name->space))
		return -ENOTSUP;
	err_t err = places_of(v, &p);
	if (err)
		return err;
	err = -ENODATA;
	for (unsigned i = 0; err == -ENODATA && i < NPLACES; i++) {
		const struct ext2_attr *d = xattr_area_find(&p->area[i], name);
		if (d)
			err = xattr_answer(p->area[i].base + d->value_at, d->value_len, buf, size, len);
	}
	kfree(p);
	return err;
}

static bool list_place(const struct ext2 *e, const struct xattr_area *a, xattr_emit *emit, void *ctx)
{
	const struct ext2_attr *d;
	for (uint32_t at = a->first; (d = xattr_area_next(a, &at));) {
		struct xattr_name n = xattr_area_name(d);
		if (!is_hidden(e, n.space) && !emit(ctx, &n))
			return false;
	}
	return true;
}

err_t ext2_xattr_list(struct vnode *v, xattr_emit *emit, void *ctx)
{
	struct places *p;
	err_t err = places_of(v, &p);
	if (err)
		return err;
	if (list_place(ext2_of(v), &p->area[IN_INODE], emit, ctx))
		(void)list_place(ext2_of(v), &p->area[IN_BLOCK], emit, ctx);
	kfree(p);
	return 0;
}

/* --- blocks that are shared --- */

static struct ext2_shared *shared_slot(struct ext2 *e, uint32_t hash)
{
	return &e->shared[hash % EXT2_NSHARED];
}

/* (E) is held. */
static void remember_locked(struct ext2 *e, uint32_t hash, uint32_t block)
{
	if (hash)
		*shared_slot(e, hash) = (struct ext2_shared){hash, block};
}

static void forget_locked(struct ext2 *e, uint32_t hash, uint32_t block)
{
	if (shared_slot(e, hash)->block == block)
		shared_slot(e, hash)->block = 0;
}

/* One user more of the block that says what p's does. 0: none is known. */
static uint32_t share_block(struct ext2 *e, const struct places *p)
{
	const struct block_header *want = (const void *)p->block;
	struct ext2_buffer b;
	mutex_lock(&e->lock);
	struct ext2_shared s = *shared_slot(e, want->hash);
	mutex_unlock(&e->lock);
	if (!want->hash || s.hash != want->hash || !s.block || ext2_buffer_get(e, s.block, &b))
		return 0;
	mutex_lock(&e->lock);
	struct block_header *h = b.data;
	/* it may have become anything since: if it is remembered still, it is a block of attributes */
	bool same = shared_slot(e, want->hash)->block == s.block && header_is_sound(h) &&
		    h->users < USERS_MAX && !memcmp(h + 1, want + 1, e->block_size - sizeof(*h));
	if (same) {
		h->users++;
		ext2_buffer_dirty(&b);
	}
	mutex_unlock(&e->lock);
	ext2_buffer_put(&b);
	return same ? s.block : 0;
}

err_t ext2_xattr_drop(struct ext2 *e, uint32_t block)
{
	struct ext2_buffer b;
	err_t err = ext2_buffer_get(e, block, &b);
	if (err)
		return err;
	mutex_lock(&e->lock);
	struct block_header *h = b.data;
	bool sound = header_is_sound(h) && !ext2_is_system(e, block, 1), last = sound && h->users == 1;
	if (last) {
		forget_locked(e, h->hash, block);
	} else if (sound) {
		h->users--;
		ext2_buffer_dirty(&b);
	}
	mutex_unlock(&e->lock);
	ext2_buffer_put(&b);
	if (!sound)
		return ext2_corrupt(e, "block of extended attributes", block);
	if (!last)
		return 0;
	ext2_buffer_forget(e, block);
	return ext2_blocks_free(e, block, 1);
}

/* --- writing --- */

/* Put p's block where the file alone has its old one. False: others have it too. */
static err_t overwrite_block(struct ext2 *e, uint32_t block, const struct places *p, bool *done)
{
	struct ext2_buffer b;
	err_t err = ext2_buffer_get(e, block, &b);
	if (err)
		return err;
	mutex_lock(&e->lock);
	const struct block_header *h = b.data;
	*done = header_is_sound(h) && h->users == 1;
	if (*done) {
		forget_locked(e, h->hash, block);
		memcpy(b.data, p->block, e->block_size);
		remember_locked(e, h->hash, block);
		ext2_buffer_dirty(&b);
	}
	mutex_unlock(&e->lock);
	ext2_buffer_put(&b);
	return 0;
}

static err_t new_block(struct ext2 *e, uint64_t ino, const struct places *p, uint32_t *out)
{
	struct ext2_buffer b;
	uint32_t got, goal = ext2_group_start(e, (uint32_t)((ino - 1) / e->super.inodes_per_group));
	err_t err = ext2_blocks_alloc(e, goal, 1, out, &got);
	if (err)
		return err;
	err = ext2_buffer_new(e, *out, &b);
	if (err) {
		(void)ext2_blocks_free(e, *out, 1);
		return err;
	}
	mutex_lock(&e->lock);
	memcpy(b.data, p->block, e->block_size);
	remember_locked(e, ((const struct block_header *)p->block)->hash, *out);
	ext2_note_xattrs(e);
	ext2_buffer_dirty(&b);
	mutex_unlock(&e->lock);
	ext2_buffer_put(&b);
	return 0;
}

/* Have a block that says what p's does: *block, the file's old one or 0, becomes it. */
static err_t have_block(struct ext2 *e, uint64_t ino, struct places *p, uint32_t *block)
{
	bool done = false;
	uint32_t old = *block;
	if (xattr_area_is_empty(&p->area[IN_BLOCK])) {
		*block = 0;
		return 0;
	}
	*(struct block_header *)p->block = (struct block_header){.magic = (uint32_t)EXT2_XATTR_MAGIC,
	    .users = 1,
	    .blocks = 1,
	    .hash = xattr_area_hash(&p->area[IN_BLOCK])};
	*block = share_block(e, p);
	if (*block)
		return 0;
	*block = old;
	err_t err = old ? overwrite_block(e, old, p, &done) : 0;
	return err || done ? err : new_block(e, ino, p, block);
}

/* The inode says what p does, and has this block. Nothing of it can fail. */
static void change_inode(struct vnode *v, const struct places *p, uint32_t block)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	uint32_t magic = (uint32_t)EXT2_XATTR_MAGIC;
	mutex_lock(&n->lock);
	n->sectors += ((uint64_t) !!block << (e->block_shift - SECTOR_SHIFT)) -
		      ((uint64_t) !!n->acl << (e->block_shift - SECTOR_SHIFT));
	n->acl = block;
	mutex_unlock(&n->lock);
	mutex_lock(&e->lock);
	uint8_t *raw = (void *)ext2_slot(e, n);
	uint32_t start = inode_place(e, ext2_slot(e, n));
	if (start) {
		memcpy(raw + start, &magic, sizeof(magic));
		memcpy(raw + start + sizeof(magic), p->inode, p->area[IN_INODE].size);
	}
	mutex_unlock(&e->lock);
	fs_now(&v->ctime);
	ext2_inode_store(v);
}

/* The new places: with the value in the inode if it fits there, else in the block. -ENOSPC. */
static err_t build(const struct places *old, struct places *new, const struct xattr_name *name,
    const struct xattr_value *value)
{
	const struct xattr_area *from = old->area, *to = new->area;
	new->area[IN_INODE].size = old->area[IN_INODE].size;
	err_t err = value ? xattr_area_rebuild(&from[IN_INODE], &to[IN_INODE], name, value, false) : -ENOSPC;
	if (!err)
		value = NULL;
	else
		err = xattr_area_rebuild(&from[IN_INODE], &to[IN_INODE], name, NULL, false);
	return err ? err : xattr_area_rebuild(&from[IN_BLOCK], &to[IN_BLOCK], name, value, true);
}

static err_t change(struct vnode *v, const struct places *old, struct places *new)
{
	struct ext2 *e = ext2_of(v);
	struct ext2_node *n = ext2_node_of(v);
	uint32_t was = n->acl, block = was, header = sizeof(struct block_header);
	bool changes = memcmp(old->block + header, new->block + header, e->block_size - header) != 0;
	err_t err = changes ? have_block(e, v->ino, new, &block) : 0;
	if (err)
		return err;
	change_inode(v, new, block);
	return was && was != block ? ext2_xattr_drop(e, was) : 0;
}

err_t ext2_xattr_set(
    struct vnode *v, const struct xattr_name *name, const struct xattr_value *value, unsigned how)
{
	struct ext2 *e = ext2_of(v);
	struct places *old, *new;
	err_t err = is_hidden(e, name->space) ? -ENOTSUP : ext2_may_change(e);
	if (!err)
		err = ext2_inode_hold(v);
	if (!err)
		err = places_of(v, &old);
	if (err)
		return err;
	new = places_alloc(e);
	err = new ? 0 : -ENOMEM;
	if (!err)
		err = xattr_check_how(xattr_area_find(&old->area[IN_INODE], name) ||
					  xattr_area_find(&old->area[IN_BLOCK], name),
		    !value, how);
	if (!err)
		err = build(old, new, name, value);
	if (!err)
		err = change(v, old, new);
	kfree(new);
	kfree(old);
	return err;
}
