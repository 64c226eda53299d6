/*
 * kext2.c - ext2 on a scratch disk (tools/scratch_disk.py, kind `ext2`): a tree is written, synced,
 * unmounted, mounted again and compared. The runner looks at the image afterwards with e2fsck and debugfs; it
 * knows the same names and patterns.
 */
#include "dev/block.h"
#include "fs/devfs.h"
#include "fs/file.h"
#include "fs/mount.h"
#include "fs/xattr.h"
#include "ktest.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "vm/fault.h"

enum { DISK_SECTORS = 65536, NAMES = 1500, BIG = 3 << 20, PIECE = 8192 };

#define FAR (5ULL << 30)

static struct fs_context me;

static bool has_volume(void)
{
	struct block_device *b = block_find("vda");
	if (!b || b->nsectors != DISK_SECTORS)
		kt_skip("no scratch disk with ext2");
	return b && b->nsectors == DISK_SECTORS;
}

static uint8_t byte_of(uint64_t i)
{
	return (uint8_t)(i * 2654435761U >> 13);
}

static int64_t move(struct file *f, void *buf, size_t n, uint64_t pos, bool write)
{
	struct uio_segment seg;
	struct uio u;
	uio_init_kernel(&u, &seg, buf, n);
	return write ? file_pwrite(f, &u, (int64_t)pos) : file_pread(f, &u, (int64_t)pos);
}

static void write_big(uint8_t *buf)
{
	struct file *f;
	KT_CHECK_EQ(vfs_open(&me, NULL, "/mnt/big", FILE_CREAT | FILE_RDWR, 0640, &f), 0);
	for (uint64_t pos = 0; pos < BIG; pos += PIECE) {
		for (unsigned i = 0; i < PIECE; i++)
			buf[i] = byte_of(pos + i);
		KT_CHECK_EQ(move(f, buf, PIECE, pos, true), PIECE);
	}
	KT_CHECK_EQ(file_sync(f, false), 0);
	file_put(f);
	KT_CHECK_EQ(vfs_open(&me, NULL, "/mnt/far", FILE_CREAT | FILE_RDWR, 0640, &f), 0);
	KT_CHECK_EQ(move(f, buf, 1, FAR, true), 1); /* behind a hole */
	file_put(f);
}

static void write_names(void)
{
	char name[64];
	unsigned failed = 0;
	KT_CHECK_EQ(vfs_mkdir(&me, NULL, "/mnt/many", 0755), 0);
	for (unsigned i = 0; i < NAMES; i++) {
		struct file *f;
		format(name, sizeof(name), "/mnt/many/a-name-of-some-length-%u", i);
		err_t err = vfs_open(&me, NULL, name, FILE_CREAT | FILE_EXCL | FILE_WRONLY, 0600, &f);
		failed += err != 0;
		if (!err)
			file_put(f);
	}
	for (unsigned i = 0; i < NAMES; i += 3) {
		format(name, sizeof(name), "/mnt/many/a-name-of-some-length-%u", i);
		failed += vfs_unlink(&me, NULL, name) != 0;
	}
	KT_CHECK_EQ(failed, 0);
	KT_CHECK_EQ(vfs_link(&me, NULL, "/mnt/big", 0, NULL, "/mnt/many/hard"), 0);
	KT_CHECK_EQ(vfs_symlink(&me, "many/hard", NULL, "/mnt/soft"), 0);
	KT_CHECK_EQ(vfs_rename(&me, NULL, "/mnt/many", NULL, "/mnt/lost+found/moved", 0), 0);
	KT_CHECK_EQ(vfs_rename(&me, NULL, "/mnt/lost+found/moved", NULL, "/mnt/names", 0), 0);
}

static void compare_big(uint8_t *buf)
{
	struct file *f;
	uint64_t wrong = 0;
	KT_CHECK_EQ(vfs_open(&me, NULL, "/mnt/names/hard", FILE_RDONLY, 0, &f), 0);
	for (uint64_t pos = 0; pos < BIG; pos += PIECE) {
		KT_CHECK_EQ(move(f, buf, PIECE, pos, false), PIECE);
		for (unsigned i = 0; i < PIECE; i++)
			wrong += buf[i] != byte_of(pos + i);
	}
	KT_CHECK_EQ(wrong, 0);
	file_put(f);
	KT_CHECK_EQ(vfs_open(&me, NULL, "/mnt/far", FILE_RDONLY, 0, &f), 0);
	KT_CHECK_EQ(move(f, buf, 2, FAR - 1, false), 2);
	KT_CHECK_EQ(buf[0], 0);
	file_put(f);
}

/* --- what files have beside their contents --- */

static const struct marked {
	const char *name;
	uint32_t flags; /* chattr's: as the runner knows them too */
} marked[] = {
    {"/mnt/marked-a", 0x10 | 0x80}, {"/mnt/marked-b", 0x20 | 0x8 | 0x40}, {"/mnt/marked-c", 0x10000}};

/* Each has a small attribute that differs and a large one that does not; the third is a directory. */
static void mark_file(const struct marked *m, uint8_t *buf)
{
	struct path p;
	uint32_t flags;
	for (unsigned i = 0; i < 700; i++)
		buf[i] = byte_of(i);
	KT_CHECK_EQ(vfs_lookup(&me, NULL, m->name, 0, &p), 0);
	KT_CHECK_EQ(vfs_xattr_set(&me, &p, "user.large", &(struct xattr_value){buf, 700}, XATTR_CREATE), 0);
	KT_CHECK_EQ(vfs_xattr_set(&me, &p, "trusted.name", &(struct xattr_value){m->name, 13}, 0), 0);
	KT_CHECK_EQ(vfs_xattr_set(&me, &p, "user.gone", &(struct xattr_value){buf, 20}, 0), 0);
	KT_CHECK_EQ(vfs_xattr_set(&me, &p, "user.gone", NULL, 0), 0);
	KT_CHECK_EQ(vfs_set_flags(&me, &p, m->flags), 0);
	KT_CHECK_EQ(vfs_get_flags(&p, &flags), 0);
	KT_CHECK_EQ(flags, m->flags);
	path_put(&p);
}

static void mark_files(uint8_t *buf)
{
	struct file *f;
	KT_CHECK_EQ(vfs_mkdir(&me, NULL, marked[2].name, 0755), 0);
	for (unsigned i = 0; i < 2; i++) {
		KT_CHECK_EQ(vfs_open(&me, NULL, marked[i].name, FILE_CREAT | FILE_WRONLY, 0644, &f), 0);
		file_put(f);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(marked); i++)
		mark_file(&marked[i], buf);
}

static void compare_marked(uint8_t *buf)
{
	for (unsigned i = 0; i < ARRAY_SIZE(marked); i++) {
		struct path p;
		uint32_t flags = 0;
		size_t len = 0;
		KT_CHECK_EQ(vfs_lookup(&me, NULL, marked[i].name, 0, &p), 0);
		KT_CHECK_EQ(vfs_get_flags(&p, &flags), 0);
		KT_CHECK_EQ(flags, marked[i].flags);
		KT_CHECK_EQ(vfs_xattr_get(&me, &p, "user.large", buf, PIECE, &len), 0);
		KT_CHECK(len == 700 && buf[699] == byte_of(699));
		KT_CHECK_EQ(vfs_xattr_get(&me, &p, "user.gone", buf, PIECE, &len), -ENODATA);
		path_put(&p);
	}
}

/* A file that is deleted while it is open is there until it is closed. */
static void use_deleted(uint8_t *buf)
{
	struct file *f;
	KT_CHECK_EQ(vfs_open(&me, NULL, "/mnt/gone", FILE_CREAT | FILE_RDWR, 0600, &f), 0);
	KT_CHECK_EQ(move(f, buf, PIECE, 0, true), PIECE);
	KT_CHECK_EQ(vfs_unlink(&me, NULL, "/mnt/gone"), 0);
	KT_CHECK_EQ(move(f, buf, PIECE, 100000, true), PIECE);
	KT_CHECK_EQ(vfs_umount(&me, "/mnt", 0), -EBUSY);
	file_put(f);
}

static void look_at_device(uint8_t *buf)
{
	struct file *f;
	KT_CHECK_EQ(vfs_open(&me, NULL, "/dev/vda", FILE_RDONLY, 0, &f), 0);
	KT_CHECK_EQ(file_seek(f, 0, FILE_SEEK_END), (int64_t)DISK_SECTORS * SECTOR_SIZE);
	KT_CHECK_EQ(move(f, buf, 2, 1024 + 56, false), 2);
	KT_CHECK_EQ(buf[0] | buf[1] << 8, 0xef53);
	file_put(f);
}

static void forget_caches(void)
{
	while (dentry_shrink(1000))
		;
	(void)vm_reclaim(frame_total_count());
	slab_shrink_all();
}

KTEST(ext2_tree)
{
	uint8_t *buf = kmalloc(PIECE);
	if (!buf || !has_volume()) {
		kfree(buf);
		return;
	}
	me = (struct fs_context){.umask = 022, .cred.caps = CAP_ALL};
	mount_get_root(&me.root);
	me.cwd = me.root;
	KT_CHECK_EQ(vfs_mkdir(&me, NULL, "/mnt", 0755), 0);
	look_at_device(buf);
	KT_CHECK_EQ(vfs_mount(&me, "/dev/vda", "/mnt", "ext2", 0, ""), 0);
	KT_CHECK_EQ(vfs_mount(&me, "/dev/vda", "/dev/shm", "ext2", MOUNT_RDONLY, ""), -EBUSY);
	KT_CHECK_EQ(vfs_mount(&me, "/dev/vda", "/dev/shm", "ext2", 0, ""), 0); /* one volume, seen twice */
	write_big(buf);
	write_names();
	use_deleted(buf);
	mark_files(buf);
	KT_CHECK_EQ(vfs_sync_all(), 0);
	KT_CHECK_EQ(vfs_umount(&me, "/dev/shm", 0), 0);
	KT_CHECK_EQ(vfs_umount(&me, "/mnt", 0), 0);
	KT_CHECK_EQ(vfs_mount(&me, "/dev/vda", "/mnt", "ext2", MOUNT_RDONLY, ""), 0);
	compare_big(buf);
	compare_marked(buf);
	KT_CHECK_EQ(vfs_mount(&me, "", "/mnt", "", MOUNT_REMOUNT, ""), 0);
	KT_CHECK_EQ(vfs_mkdir(&me, NULL, "/mnt/again", 0755), 0);
	KT_CHECK_EQ(vfs_umount(&me, "/mnt", 0), 0);
	KT_CHECK_EQ(vfs_rmdir(&me, NULL, "/mnt"), 0);
	path_put(&me.root);
	kfree(buf);
	forget_caches();
}
