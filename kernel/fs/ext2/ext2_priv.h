#pragma once
/* ext2_priv.h - what the files of ext2 share: the layout on the disk (little-endian, as this machine) and what is kept in memory. */
#include "fs/ext2/ext2.h"
#include "vm/object.h"

enum {
	EXT2_MAGIC = 0xef53,
	EXT2_SUPER_POS = 1024,
	EXT2_ROOT_INO = 2,
	EXT2_FIRST_INO_OLD = 11,
	EXT2_INODE_SIZE_OLD = 128,
	EXT2_NDIRECT = 12,
	EXT2_NBLOCKS = 15,
	EXT2_FAST_LINK_MAX = EXT2_NBLOCKS * 4,
	EXT2_INCOMPAT_FILETYPE = 2,
	EXT2_RO_SPARSE_SUPER = 1,
	EXT2_HIGH_BITS = 2, /* of seconds, in the extra times */
};

struct ext2_super {
	uint32_t inodes, blocks, reserved_blocks, free_blocks, free_inodes, first_data_block, log_block_size,
	    log_frag_size, blocks_per_group, frags_per_group, inodes_per_group, mtime, wtime;
	uint16_t mounts, max_mounts, magic, state, errors, minor_rev;
	uint32_t last_check, check_interval, creator, revision;
	uint16_t reserved_uid, reserved_gid;
	uint32_t first_ino; /* revision 1 from here on */
	uint16_t inode_size, group;
	uint32_t compat, incompat, ro_compat;
	uint8_t uuid[16];
};
_Static_assert(offsetof(struct ext2_super, uuid) == 104, "the disk's layout");

struct ext2_group {
	uint32_t block_bitmap, inode_bitmap, inode_table;
	uint16_t free_blocks, free_inodes, directories, flags;
	uint32_t reserved[3];
};
_Static_assert(sizeof(struct ext2_group) == 32, "the disk's layout");

struct ext2_inode {
	uint16_t mode, uid;
	uint32_t size, atime, ctime, mtime, dtime;
	uint16_t gid, links;
	uint32_t sectors, flags, version, block[EXT2_NBLOCKS], generation, acl, size_high, fragment;
	uint16_t sectors_high, acl_high, uid_high, gid_high;
	uint32_t reserved;
	uint16_t extra_size, checksum; /* inodes of 256 bytes from here on */
	uint32_t ctime_extra, mtime_extra, atime_extra, birth, birth_extra;
};
_Static_assert(offsetof(struct ext2_inode, extra_size) == EXT2_INODE_SIZE_OLD, "the disk's layout");

struct ext2_entry {
	uint32_t ino;
	uint16_t rec_len;
	uint8_t name_len, type; /* without EXT2_INCOMPAT_FILETYPE `type` is the name's high byte: 0 */
	char name[];
};
_Static_assert(sizeof(struct ext2_entry) == 8, "the disk's layout");

/* All constant after mounting. */
struct ext2 {
	struct ext2_device *device;
	struct vm_object *meta; /* page cache of the disk: metadata is read through it */
	struct ext2_super super;
	uint32_t block_size, block_shift, ngroups, inode_size, first_ino, overhead;
	bool has_types;
};

/* (C): nothing is written. */
struct ext2_node {
	uint32_t block[EXT2_NBLOCKS];
	bool fast_link; /* the target is in `block` */
};

/* A metadata block held in memory. */
struct ext2_buffer {
	struct vm_pin pin;
	const void *data; /* block_size bytes */
};

static inline struct ext2 *ext2_of(const struct vnode *v)
{
	return v->fs->priv;
}
static inline struct ext2_node *ext2_node_of(const struct vnode *v)
{
	return v->priv;
}
static inline bool ext2_block_is_valid(const struct ext2 *e, uint64_t block)
{
	return block > e->super.first_data_block && block < e->super.blocks;
}

/* super.c: hold a block of metadata until ext2_buffer_put. -EUCLEAN: no such block; -EIO, -ENOMEM, -EINTR. May sleep. */
MUST_CHECK err_t ext2_buffer_get(struct ext2 *e, uint64_t block, struct ext2_buffer *b);
void ext2_buffer_put(struct ext2_buffer *b);
/* Say in the log that the disk's structure is wrong; -EUCLEAN. */
err_t ext2_corrupt(const char *what, uint64_t number);

/* map.c: the disk's block where the file's block `index` lies; 0: a hole. Errors as ext2_buffer_get; -EFBIG beyond what the map can name. */
MUST_CHECK err_t ext2_map(struct ext2 *e, const struct ext2_node *n, uint64_t index, uint32_t *out);
/* Bytes that the map of a file can reach. */
uint64_t ext2_max_size(const struct ext2 *e);
extern const struct vm_file_ops ext2_pages_ops;

/* inode.c: the file with this number, with a reference. -EUCLEAN: its inode is nonsense. */
MUST_CHECK err_t ext2_vnode_get(struct fs *fs, uint64_t ino, struct vnode **out);

/* dir.c */
err_t ext2_lookup(struct vnode *dir, const char *name, size_t len, struct vnode **out);
err_t ext2_readdir(struct vnode *dir, uint64_t pos, dir_emit *emit, void *ctx);
