/*
 * dir_index.c - what is remembered of a large directory: for each name a hash and the block it is in, for
 * each block the room it has. It is made when a name is first looked for in a directory of more than a few
 * blocks, follows each change, and goes with the vnode. It costs 11 bytes or so a name; where memory does not
 * allow it the directory is searched from the start.
 *
 * Names: an open-addressing table on single pages, so that no large piece of memory is asked for. Two names
 * with one hash cost a look at one block more. Room: 16 bits a block, and the largest of each 64 blocks
 * beside it, so that a place is found in a few steps whatever is full.
 *
 * Changes come with the directory's vnode lock held for writing, uses at least for reading.
 */
#include "fs/ext2/ext2_priv.h"
#include "lib/string.h"
#include "mm/slab.h"

enum {
	WORTH_BLOCKS = 2, /* a directory of no more blocks is searched as it is */
	FIRST_SLOTS = 1024,
	CHUNK = 64,
};

struct slot {
	uint32_t hash, block; /* one more than the block; 0: free, UINT32_MAX: was used */
};
enum { PAGE_SLOTS = PAGE_SIZE / sizeof(struct slot) };

struct ext2_index {
	struct slot **pages;
	uint64_t nslots, used, live; /* a power of two; slots not free; those that name an entry */
	uint16_t *room, *chunk_room; /* of each block; the largest of each CHUNK blocks */
	uint64_t nblocks, max_blocks;
};

uint32_t ext2_name_hash(const char *name, size_t len)
{
	uint64_t h = len;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3ULL;
	return (uint32_t)(h ^ h >> 32);
}

static struct slot *slot_at(const struct ext2_index *x, uint64_t i)
{
	i &= x->nslots - 1;
	return &x->pages[i / PAGE_SLOTS][i % PAGE_SLOTS];
}

static void free_pages(struct slot **pages, uint64_t n)
{
	for (uint64_t i = 0; pages && i < n; i++)
		kfree(pages[i]);
	kfree(pages);
}

static struct slot **alloc_pages(uint64_t n)
{
	struct slot **pages = kcalloc(n, sizeof(*pages));
	for (uint64_t i = 0; pages && i < n; i++) {
		pages[i] = kzalloc(PAGE_SIZE);
		if (!pages[i]) {
			free_pages(pages, i);
			return NULL;
		}
	}
	return pages;
}

static void destroy(struct ext2_index *x)
{
	if (!x)
		return;
	free_pages(x->pages, x->nslots / PAGE_SLOTS);
	kfree(x->room);
	kfree(x->chunk_room);
	kfree(x);
}

void ext2_index_drop(struct ext2_node *n)
{
	destroy(n->index);
	store_relaxed(&n->index, NULL);
}

/* --- names --- */

static void put_slot(struct ext2_index *x, uint32_t hash, uint32_t block)
{
	uint64_t i = hash;
	while (slot_at(x, i)->block)
		i++;
	*slot_at(x, i) = (struct slot){hash, block};
	x->used++;
	x->live++;
}

static bool resize_slots(struct ext2_index *x, uint64_t nslots)
{
	struct ext2_index old = *x;
	x->pages = alloc_pages(nslots / PAGE_SLOTS);
	if (!x->pages) {
		x->pages = old.pages;
		return false;
	}
	x->nslots = nslots;
	x->used = x->live = 0;
	for (uint64_t i = 0; i < old.nslots; i++) {
		const struct slot *s = slot_at(&old, i);
		if (s->block && s->block != UINT32_MAX)
			put_slot(x, s->hash, s->block);
	}
	free_pages(old.pages, old.nslots / PAGE_SLOTS);
	return true;
}

static bool add_name(struct ext2_index *x, uint32_t hash, uint64_t block)
{
	if (x->used * 4 >= x->nslots * 3 &&
	    !resize_slots(x, x->live * 2 > x->nslots ? x->nslots * 2 : x->nslots))
		return false;
	put_slot(x, hash, (uint32_t)block + 1);
	return true;
}

void ext2_index_add(struct ext2_node *n, uint32_t hash, uint64_t block)
{
	if (n->index && !add_name(n->index, hash, block))
		ext2_index_drop(n);
}

bool ext2_index_find(const struct ext2_index *x, uint32_t hash, uint64_t *step, uint64_t *block)
{
	for (;; ++*step) {
		const struct slot *s = slot_at(x, hash + *step);
		if (!s->block)
			return false;
		if (s->hash == hash && s->block != UINT32_MAX) {
			*block = s->block - 1;
			++*step;
			return true;
		}
	}
}

void ext2_index_remove(struct ext2_node *n, uint32_t hash, uint64_t block)
{
	struct ext2_index *x = n->index;
	for (uint64_t i = hash; x && slot_at(x, i)->block; i++) {
		struct slot *s = slot_at(x, i);
		if (s->hash == hash && s->block == block + 1) {
			s->block = UINT32_MAX;
			x->live--;
			return;
		}
	}
}

/* --- room --- */

static bool grow_room(struct ext2_index *x, uint64_t blocks)
{
	uint64_t max = 2 * x->max_blocks;
	if (max < blocks)
		max = ALIGN_UP(blocks, (uint64_t)CHUNK);
	uint16_t *room = kcalloc(max, sizeof(*room)), *chunks = kcalloc(max / CHUNK, sizeof(*chunks));
	if (!room || !chunks) {
		kfree(room);
		kfree(chunks);
		return false;
	}
	if (x->room) {
		memcpy(room, x->room, x->max_blocks * sizeof(*room));
		memcpy(chunks, x->chunk_room, x->max_blocks / CHUNK * sizeof(*chunks));
	}
	kfree(x->room);
	kfree(x->chunk_room);
	x->room = room;
	x->chunk_room = chunks;
	x->max_blocks = max;
	return true;
}

static bool set_room(struct ext2_index *x, uint64_t block, uint32_t room)
{
	if (block >= x->max_blocks && !grow_room(x, block + 1))
		return false;
	uint64_t chunk = block / CHUNK;
	x->nblocks = MAX(x->nblocks, block + 1);
	x->room[block] = (uint16_t)room;
	x->chunk_room[chunk] = 0;
	for (uint64_t i = chunk * CHUNK; i < (chunk + 1) * CHUNK; i++)
		x->chunk_room[chunk] = MAX(x->chunk_room[chunk], x->room[i]);
	return true;
}

void ext2_index_set_room(struct ext2_node *n, uint64_t block, uint32_t room)
{
	if (n->index && !set_room(n->index, block, room))
		ext2_index_drop(n);
}

uint64_t ext2_index_room(const struct ext2_index *x, uint32_t need)
{
	for (uint64_t chunk = 0; chunk * CHUNK < x->nblocks; chunk++) {
		if (x->chunk_room[chunk] < need)
			continue;
		for (uint64_t i = chunk * CHUNK; i < (chunk + 1) * CHUNK; i++)
			if (x->room[i] >= need)
				return i;
	}
	return UINT64_MAX;
}

/* --- making --- */

/* -ENOMEM, -EUCLEAN */
static err_t add_block(struct vnode *dir, struct ext2_index *x, uint64_t block, const struct ext2_buffer *b)
{
	struct ext2 *e = ext2_of(dir);
	uint32_t room = 0;
	for (uint32_t at = 0; at < e->block_size;) {
		const struct ext2_entry *d = (const void *)((const char *)b->data + at);
		if (!ext2_entry_is_sound(e, d, at))
			return ext2_corrupt(e, "entry of directory", dir->ino);
		if (d->ino && !add_name(x, ext2_name_hash(d->name, d->name_len), block))
			return -ENOMEM;
		uint32_t used = d->ino ? ext2_entry_len(d->name_len) : 0;
		room = MAX(room, d->rec_len - MIN(used, d->rec_len));
		at += d->rec_len;
	}
	return set_room(x, block, room) ? 0 : -ENOMEM;
}

static err_t read_all(struct vnode *dir, struct ext2_index *x)
{
	uint64_t blocks = dir->size >> ext2_of(dir)->block_shift;
	struct ext2_buffer b;
	err_t err = 0;
	for (uint64_t i = 0; !err && i < blocks; i++) {
		err = ext2_dir_block(dir, i, &b);
		if (!err)
			err = add_block(dir, x, i, &b);
		ext2_buffer_put(&b);
	}
	return err;
}

static err_t make_locked(struct vnode *dir)
{
	struct ext2_index *x = kzalloc(sizeof(*x));
	if (!x || !resize_slots(x, FIRST_SLOTS)) {
		kfree(x);
		return 0;
	}
	err_t err = read_all(dir, x);
	if (err)
		destroy(x);
	else
		store_release(&ext2_node_of(dir)->index, x);
	return err == -ENOMEM ? 0 : err;
}

err_t ext2_index_make(struct vnode *dir)
{
	struct ext2_node *n = ext2_node_of(dir);
	err_t err = 0;
	if (dir->size >> ext2_of(dir)->block_shift <= WORTH_BLOCKS || load_acquire(&n->index))
		return 0;
	mutex_lock(&n->index_lock);
	if (!n->index)
		err = make_locked(dir);
	mutex_unlock(&n->index_lock);
	return err;
}
