#pragma once
/*
 * ext2_priv.h - what the files of ext2 share: the layout on the disk (little-endian, as this machine) and
 * what is kept in memory.
 *
 * Locks, outermost first: vnode.lock (of the generic layer); (X) node.index_lock, RANK_FS; (M) node.lock,
 * RANK_FS_MAP; (E) ext2.lock, RANK_BLOCK. (C) constant while it is reachable; (V) vnode.lock; (A) atomic.
 */
#include "dev/block.h"
#include "fs/block_io.h"
#include "fs/ext2/ext2.h"
#include "vm/fault.h"
#include "vm/object.h"

enum {
	EXT2_MAGIC = 0xef53,
	EXT2_SUPER_POS = 1024,
	EXT2_ROOT_INO = 2,
	EXT2_FIRST_INO_OLD = 11,
	EXT2_INODE_SIZE_OLD = 128,
	EXT2_EXTRA_SIZE = 32, /* of new inodes of 256 bytes */
	EXT2_NDIRECT = 12,
	EXT2_NBLOCKS = 15,
	EXT2_LEVELS = 4, /* steps of the longest way to a block */
	EXT2_FAST_LINK_MAX = EXT2_NBLOCKS * 4,
	EXT2_LINK_MAX = 32000,
	EXT2_STATE_VALID = 1,
	EXT2_STATE_ERROR = 2,
	EXT2_COMPAT_XATTR = 8,
	EXT2_INCOMPAT_FILETYPE = 2,
	EXT2_RO_SPARSE_SUPER = 1,
	EXT2_RO_LARGE_FILE = 2,
	EXT2_RO_BTREE_DIR = 4, /* never came to be: means nothing */
	EXT2_FLAG_SYNC = 0x8,
	EXT2_FLAG_IMMUTABLE = 0x10,
	EXT2_FLAG_APPEND = 0x20,
	EXT2_FLAG_INDEX = 0x1000,
	EXT2_FLAG_INHERITED =
	    0x2ffff & ~0x1830, /* by new files: neither index, immutable, append nor topdir */
	EXT2_HIGH_BITS = 2,    /* of seconds, in the extra times */
	EXT2_XATTR_MAGIC = (int)0xea020000,
	EXT2_SECTORS_MAX = 0xffffffff, /* what an inode can count */
	EXT2_NSHARED = 64,
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
	char label[16], last_mounted[64];
	uint32_t algorithms;
	uint8_t prealloc, prealloc_dir;
	uint16_t reserved_descs;
	uint8_t journal_uuid[16];
	uint32_t journal_ino, journal_dev, last_orphan;
};
_Static_assert(offsetof(struct ext2_super, uuid) == 104, "the disk's layout");
_Static_assert(offsetof(struct ext2_super, last_orphan) == 232, "the disk's layout");

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

/* A metadata block held in memory. */
struct ext2_buffer {
	struct vm_pin pin;
	void *data; /* block_size bytes; NULL: holds nothing */
};

enum ext2_on_error { EXT2_CONTINUE = 1, EXT2_REMOUNT_RO = 2, EXT2_PANIC = 3 }; /* as the superblock says */

/* A block of extended attributes that was written lately. */
struct ext2_shared {
	uint32_t hash, block; /* block 0: none */
};

struct ext2 {
	struct fs *fs;             /* (C) */
	struct block_device *disk; /* (C) */
	struct vm_object *meta;    /* (C) metadata blocks: page n holds block n at its start */
	uint32_t block_size, block_shift, ngroups, inode_size, overhead, gdt_blocks; /* (C) */
	uint32_t first_ino, resuid, resgid;                                          /* (C) but by remount */
	bool has_types;                                                              /* (C) */
	struct ext2_buffer super_buffer;   /* (C) held while mounted */
	struct ext2_buffer *gdt;           /* (C) held while mounted: gdt_blocks of them; contents (E) */
	struct mutex lock;                 /* bitmaps, descriptors, counters, orphans, inodes on the disk */
	struct ext2_super super;           /* (E) what the disk's superblock will say */
	uint32_t old_state;                /* (E) of the volume before it was mounted for writing */
	uint64_t free_blocks, free_inodes; /* (E) */
	uint32_t dir_group;                /* (E) where the last directory below the root went */
	struct ext2_shared shared[EXT2_NSHARED]; /* (E) by hash; what is here is such a block still */
	struct list orphans;                     /* (E) ext2_node.orphan, as on the disk: the newest first */
	_Atomic uint32_t failed;                 /* (A) an error was met: nothing is written any more */
	_Atomic uint32_t no_user_xattrs;         /* (A) option nouser_xattr */
	_Atomic uint32_t writable;               /* (A) mounted for writing: the disk says so */
};

struct ext2_index; /* dir_index.c */

struct ext2_node {
	uint64_t ino;                 /* (C) */
	struct mutex lock;            /* the map of a file */
	uint32_t block[EXT2_NBLOCKS]; /* (M); fast links: the target */
	uint64_t sectors;             /* (M) */
	uint64_t goal_index;          /* (M) where in the file the next block is expected ... */
	uint32_t goal;                /* (M) ... and on the disk; 0: no idea */
	bool fast_link;               /* (C) the target is in `block` */
	bool has_map;                 /* (C) `block` is a map: regular files, directories, long links */
	bool is_metadata;        /* (C) what the map leads to is held in buffers: directories, long links */
	uint32_t flags;          /* (V) */
	uint32_t generation;     /* (V) */
	uint32_t acl;            /* (V) block of extended attributes, 0: none */
	struct ext2_buffer slot; /* (M) to fill in: its block of the inode table, held once it was changed */
	struct list orphan;      /* (E) on the list of files without names */
	struct mutex index_lock; /* to make the index */
	struct ext2_index *_Atomic index; /* (X) to make it, (V) to change it; directories; NULL: none yet */
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
static inline uint32_t ext2_group_of_block(const struct ext2 *e, uint32_t block)
{
	return (block - e->super.first_data_block) / e->super.blocks_per_group;
}
static inline uint32_t ext2_group_start(const struct ext2 *e, uint32_t group)
{
	return e->super.first_data_block + group * e->super.blocks_per_group;
}
static inline uint64_t ext2_blocks_of(const struct ext2 *e, uint64_t size)
{
	return (size + e->block_size - 1) >> e->block_shift;
}

/* super.c: say in the log that the disk's structure is wrong; a volume mounted for writing takes no more
 * changes. -EUCLEAN. */
err_t ext2_corrupt(struct ext2 *e, const char *what, uint64_t number);
/* The disk failed under metadata: the same, with its error. */
err_t ext2_fail(struct ext2 *e, const char *what, err_t err);
/* May something be changed now? -EROFS after an error. */
static inline err_t ext2_may_change(const struct ext2 *e)
{
	return load_relaxed(&e->failed) ? -EROFS : 0;
}
/* Everything changed so far is on the disk when it returns. */
MUST_CHECK err_t ext2_sync(struct ext2 *e);
/* Descriptor of a group; contents (E). */
struct ext2_group *ext2_group(const struct ext2 *e, uint32_t group);
void ext2_group_dirty(struct ext2 *e, uint32_t group);
/* Does a group have a copy of the superblock? */
bool ext2_has_copy(const struct ext2_super *s, uint32_t group);
/* Some file is larger than 2 GiB, or has a block of extended attributes, from now on: the superblock has to
 * say so. (E) is held. */
void ext2_note_large_file(struct ext2 *e);
void ext2_note_xattrs(struct ext2 *e);

/* buffer.c: metadata blocks. All may sleep. */
MUST_CHECK err_t ext2_buffers_create(struct ext2 *e);
/* Hold a block of metadata until ext2_buffer_put. -EUCLEAN: no such block; -EIO, -ENOMEM, -EINTR. */
MUST_CHECK err_t ext2_buffer_get(struct ext2 *e, uint64_t block, struct ext2_buffer *b);
/* The same for a block that was just allocated: all zeros, and to be written. */
MUST_CHECK err_t ext2_buffer_new(struct ext2 *e, uint32_t block, struct ext2_buffer *b);
/* What was changed in it has to reach the disk. Never fails. */
void ext2_buffer_dirty(struct ext2_buffer *b);
/* Does nothing if b holds nothing. */
void ext2_buffer_put(struct ext2_buffer *b);
/* The block is about to be freed: what is cached of it is not written any more. Nobody holds it. */
void ext2_buffer_forget(struct ext2 *e, uint32_t block);

/* alloc_block.c: take `want` blocks, or fewer that lie together, as near to `goal` as can be. -ENOSPC, -EIO
 * ... */
MUST_CHECK err_t ext2_blocks_alloc(
    struct ext2 *e, uint32_t goal, uint32_t want, uint32_t *start, uint32_t *got);
/* Give [start, start + count) back. -EUCLEAN: they are not what can be freed. Nobody uses them any more. */
err_t ext2_blocks_free(struct ext2 *e, uint32_t start, uint32_t count);
/* Does metadata of the volume lie in [start, start + count), all in one group? */
bool ext2_is_system(const struct ext2 *e, uint32_t start, uint32_t count);

/* alloc_inode.c */
MUST_CHECK err_t ext2_inode_alloc(struct ext2 *e, uint64_t dir_ino, bool is_dir, uint64_t *ino);
err_t ext2_inode_free(struct ext2 *e, uint64_t ino, bool is_dir);

/* map.c: the disk's block where the file's block `index` lies; 0: a hole. Errors as ext2_buffer_get; -EFBIG
 * beyond what the map can name. (M) is held. */
MUST_CHECK err_t ext2_map_locked(struct ext2 *e, const struct ext2_node *n, uint64_t index, uint32_t *out);
MUST_CHECK err_t ext2_map(struct ext2 *e, struct ext2_node *n, uint64_t index, uint32_t *out);
/* Have blocks for up to `max` of the file's blocks from `index` on, a hole; *out: the first, *got: how many.
 * The slot is held, (M) is. */
MUST_CHECK err_t ext2_map_fill(
    struct ext2 *e, struct ext2_node *n, uint64_t index, uint32_t max, uint32_t *out, uint32_t *got);
/* Bytes of the largest file. */
uint64_t ext2_max_size(const struct ext2 *e);
/* Where the blocks after `index` are for: way[0] in the inode, the others in the blocks below it. 0: -EFBIG.
 */
unsigned ext2_way(const struct ext2 *e, uint64_t index, uint32_t way[EXT2_LEVELS]);

/* truncate.c: free all blocks of the file from `first` on. The slot is held, (M) is. */
err_t ext2_cut(struct ext2 *e, struct ext2_node *n, uint64_t first);

/* pages.c */
extern const struct vm_file_ops ext2_pages_ops;
MUST_CHECK err_t ext2_reserve(struct vnode *v, uint64_t pos, uint64_t *len);
MUST_CHECK err_t ext2_truncate(struct vnode *v, uint64_t size);

/* inode.c: the file with this number, with a reference. -EUCLEAN: its inode is nonsense. */
MUST_CHECK err_t ext2_vnode_get(struct fs *fs, uint64_t ino, struct vnode **out);
/* The same for a file that has no name any more. -EUCLEAN: it has. */
MUST_CHECK err_t ext2_vnode_get_dead(struct fs *fs, uint64_t ino, struct vnode **out);
/* A vnode for a new inode, alone, its slot held and cleared; type and attributes from `init`. vnode_publish
 * or ext2_vnode_drop. */
MUST_CHECK err_t ext2_vnode_make(
    struct vnode *dir, uint64_t ino, const struct attr *init, uint64_t rdev, struct vnode **out);
void ext2_vnode_drop(struct vnode *v);
/* Before anything of v is changed: hold its part of the inode table, so that ext2_inode_store cannot fail. */
MUST_CHECK err_t ext2_inode_hold(struct vnode *v);
/* Copy what the table says of an inode, `size` bytes of it; what a small inode has not is 0. */
MUST_CHECK err_t ext2_inode_read(struct ext2 *e, uint64_t ino, void *out, size_t size);
/* What v says goes to the inode table (ext2_sync writes that). (M) may be held, or `locked` says that (E) is.
 */
void ext2_inode_store(struct vnode *v);
void ext2_touch(struct vnode *v);
struct ext2_inode *ext2_slot(const struct ext2 *e, const struct ext2_node *n);

/* xattr.c */
struct xattr_name;
struct xattr_value;
err_t ext2_xattr_get(struct vnode *v, const struct xattr_name *name, void *buf, size_t size, size_t *len);
err_t ext2_xattr_list(struct vnode *v, xattr_emit *emit, void *ctx);
err_t ext2_xattr_set(
    struct vnode *v, const struct xattr_name *name, const struct xattr_value *value, unsigned how);
/* One user of a block of attributes less; the last one frees it. -EUCLEAN: it is no such block. */
err_t ext2_xattr_drop(struct ext2 *e, uint32_t block);

/* orphan.c: files without names that somebody has open. Slots are held. */
void ext2_orphan_add(struct vnode *v);
void ext2_orphan_remove(struct vnode *v);
/* Free the files that were open when the machine stopped. */
void ext2_orphans_clean(struct ext2 *e);

/* dir.c */
struct ext2_place { /* an entry, or room for one, in a block that is held */
	struct ext2_buffer buffer;
	uint64_t block; /* index in the directory */
	uint32_t offset;
};
err_t ext2_lookup(struct vnode *dir, const char *name, size_t len, struct vnode **out);
err_t ext2_readdir(struct vnode *dir, uint64_t pos, dir_emit *emit, void *ctx);
/* -ENOENT. The place is held: ext2_place_put. */
MUST_CHECK err_t ext2_dir_find(struct vnode *dir, const char *name, size_t len, struct ext2_place *p);
MUST_CHECK err_t ext2_dir_is_empty(struct vnode *dir);
/* Hold a block of the directory. */
MUST_CHECK err_t ext2_dir_block(struct vnode *dir, uint64_t index, struct ext2_buffer *b);
bool ext2_entry_is_sound(const struct ext2 *e, const struct ext2_entry *d, uint32_t offset);
struct ext2_entry *ext2_place_entry(const struct ext2_place *p);
static inline void ext2_place_put(struct ext2_place *p)
{
	ext2_buffer_put(&p->buffer);
}
static inline uint32_t ext2_entry_len(size_t name_len)
{
	return (uint32_t)(sizeof(struct ext2_entry) + name_len + 3) & ~3u;
}

/* dir_edit.c: changes. First a place is found (what can fail), then it is used (what cannot). */
MUST_CHECK err_t ext2_dir_make_room(struct vnode *dir, const char *name, size_t len, struct ext2_place *p);
void ext2_dir_insert(
    struct vnode *dir, struct ext2_place *p, const char *name, size_t len, const struct vnode *v);
void ext2_dir_remove(struct vnode *dir, struct ext2_place *p);
void ext2_dir_set(struct vnode *dir, struct ext2_place *p, const struct vnode *v);
/* The entry ".." of a directory. -EUCLEAN: it has none. */
MUST_CHECK err_t ext2_dir_dotdot(struct vnode *dir, struct ext2_place *p);
/* Give an empty directory its first block. */
MUST_CHECK err_t ext2_dir_start(struct vnode *dir, const struct vnode *parent);

/* dir_index.c: what is known of a large directory, to find names and room without reading all of it. */
/* Make it if the directory is worth one; without memory there is none, and that is no error. -EIO ... */
MUST_CHECK err_t ext2_index_make(struct vnode *dir);
void ext2_index_drop(struct ext2_node *n);
/* The next block at which a name with this hash may be, after *step; false: no more. *step is 0 at first. */
bool ext2_index_find(const struct ext2_index *x, uint32_t hash, uint64_t *step, uint64_t *block);
void ext2_index_add(struct ext2_node *n, uint32_t hash, uint64_t block);
void ext2_index_remove(struct ext2_node *n, uint32_t hash, uint64_t block);
/* The first block with `need` bytes of room; UINT64_MAX: none. And what is known of a block's room from now
 * on. */
uint64_t ext2_index_room(const struct ext2_index *x, uint32_t need);
void ext2_index_set_room(struct ext2_node *n, uint64_t block, uint32_t room);
uint32_t ext2_name_hash(const char *name, size_t len);

/* names.c */
extern const struct vnode_ops ext2_vnode_ops;
err_t ext2_readlink(struct vnode *v, char *buf, size_t size, size_t *len);
err_t ext2_create(struct vnode *dir, const char *name, size_t len, const struct attr *init, uint64_t rdev,
    const char *target, struct vnode **out);
err_t ext2_link(struct vnode *dir, const char *name, size_t len, struct vnode *v);
err_t ext2_unlink(struct vnode *dir, const char *name, size_t len, struct vnode *v);
err_t ext2_rmdir(struct vnode *dir, const char *name, size_t len, struct vnode *v);
err_t ext2_tmpfile(struct vnode *dir, const struct attr *init, struct vnode **out);

/* rename.c */
err_t ext2_rename(struct vnode *from_dir, const char *from, size_t from_len, struct vnode *v,
    struct vnode *to_dir, const char *to, size_t to_len, struct vnode *target, bool exchange);
