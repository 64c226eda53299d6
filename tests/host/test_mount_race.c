/*
 * test_mount_race.c - mounting disks: what may be mounted where, and unmounting while the kernel itself is at
 * work on the same file systems: sync, walks over the mounts, the cache of names giving up names, reclaim.
 * Nobody uses the volume, so umount must not once say that it is busy, and what was written is there at the
 * next mount.
 */
#include "ext2_env.h"
#include "fs/notify.h"

enum { ROUNDS = 150, WORKERS = 4, FILES = 12 };

static _Atomic uint32_t over;

/* By design the disk reads blocks that somebody changes, which are then written once more; and an inode is
 * stored while its attributes change, and then once more. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:disk_transfer\nrace:store_attributes\nrace:store_times\n";
}

/* A tree with a disk and its name in dev, and two places to mount. */
static void begin_with_disk(void)
{
	make_image("-b 1024", "4M", "");
	fs_env_begin();
	MUST(vfs_mkdir(&fs_me, NULL, "mnt", 0755));
	MUST(vfs_mkdir(&fs_me, NULL, "two", 0755));
	MUST(vfs_mkdir(&fs_me, NULL, "dev", 0755));
	MUST(vfs_mount(&fs_me, "none", "dev", "devtmpfs", 0, ""));
}

static void end_with_disk(void)
{
	MUST(vfs_umount(&fs_me, "dev", 0));
	fs_env_end();
	CHECK(image_is_clean());
}

static void name_of(char *out, unsigned i)
{
	sprintf(out, "mnt/d%u/f%u", i % 3, i);
}

static void make_files(unsigned round)
{
	for (unsigned d = 0; d < 3; d++) {
		char name[64];
		sprintf(name, "mnt/d%u", d);
		err_t err = vfs_mkdir(&fs_me, NULL, name, 0755);
		CHECK_EQ(err, round ? -EEXIST : 0);
	}
	for (unsigned i = 0; i < FILES; i++) {
		char name[64];
		name_of(name, i);
		struct file *f = fs_open(name, FILE_CREAT | FILE_RDWR, 0644);
		unsigned was = 0;
		if (round) {
			CHECK_EQ(fs_pread(f, &was, sizeof(was), 0), sizeof(was));
			CHECK_EQ(was, round - 1 + i);
		}
		was = round + i;
		CHECK_EQ(fs_pwrite(f, &was, sizeof(was), 0), sizeof(was));
		file_put(f);
	}
}

static void mount_and_unmount(void)
{
	unsigned busy = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		err_t err = vfs_mount(&fs_me, "/dev/vda", "mnt", "ext2", 0, "");
		CHECK_EQ(err, 0);
		if (err)
			break;
		make_files(round);
		err = vfs_umount(&fs_me, "mnt", 0);
		if (err == -EBUSY)
			busy++;
		while (err == -EBUSY)
			err = vfs_umount(&fs_me, "mnt", 0);
		CHECK_EQ(err, 0);
	}
	CHECK_EQ(busy, 0);
	store_release(&over, 1);
}

static bool look_at(struct mount *m, void *arg)
{
	char buf[256];
	struct path *root = arg;
	CHECK(mount_point_path(m, root, buf, sizeof(buf)) > 0);
	spin_lock(&mount_lock);
	bool there = m->attached && m->fs->mounts > 0;
	spin_unlock(&mount_lock);
	CHECK(there);
	return true;
}

static void thread_main(UNUSED void *arg, unsigned i)
{
	slab_init_cpu();
	if (i == 0) {
		mount_and_unmount();
		return;
	}
	while (!load_acquire(&over)) {
		switch (i) {
		case 1:
			CHECK_EQ(vfs_sync_all(), 0);
			break;
		case 2:
			mount_for_each(look_at, &fs_me.root);
			break;
		case 3:
			dentry_shrink(4);
			break;
		default:
			(void)vm_reclaim(20);
		}
		usleep(50);
	}
}

HOST_TEST(kernel_work_makes_nothing_busy)
{
	begin_with_disk();
	host_run_cpus(WORKERS + 1, thread_main, NULL);
	end_with_disk();
}

/* --- watches that end meanwhile --- */

static _Atomic uintptr_t watcher; /* an inotify file that is to be closed; 0: there is none */

/* Somebody watches every file, and nobody else has them: what a watch holds, it holds alone. */
static void watch_files(void)
{
	struct file *in;
	MUST(inotify_create(0, FILE_NONBLOCK, &in));
	for (unsigned i = 0; i < FILES; i++) {
		char name[64];
		struct path p;
		name_of(name, i);
		MUST(vfs_lookup(&fs_me, NULL, name, 0, &p));
		CHECK_EQ(inotify_add(in, path_vnode(&p), NOTIFY_OPEN), i + 1);
		path_put(&p);
	}
	store_release(&watcher, (uintptr_t)in);
}

static void unmount_while_watches_end(void)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		MUST(vfs_mount(&fs_me, "/dev/vda", "mnt", "ext2", 0, ""));
		make_files(round);
		watch_files();
		CHECK_EQ(vfs_umount(&fs_me, "mnt", 0), 0);
		while (load_acquire(&watcher))
			usleep(10);
	}
	store_release(&over, 1);
}

/* A little later from round to round, so that some end at the moment when umount looks who uses the files. */
static void end_watches(void)
{
	for (unsigned round = 0; !load_acquire(&over);) {
		struct file *in = (struct file *)load_acquire(&watcher);
		if (!in)
			continue;
		nsec_t begin = clock_now() + round++ * 2000;
		while (clock_now() < begin)
			;
		file_put(in);
		store_release(&watcher, 0);
	}
}

static void watch_main(UNUSED void *arg, unsigned i)
{
	slab_init_cpu();
	if (i == 0)
		unmount_while_watches_end();
	else
		end_watches();
}

HOST_TEST(a_watch_that_ends_makes_nothing_busy)
{
	begin_with_disk();
	store_relaxed(&inotify_max_watches, FILES);
	store_relaxed(&over, 0);
	host_run_cpus(2, watch_main, NULL);
	end_with_disk();
}

static err_t mount_disk(const char *source, const char *target, unsigned flags)
{
	return vfs_mount(&fs_me, source, target, "ext2", flags, "");
}

HOST_TEST(source_is_a_path)
{
	begin_with_disk();
	fs_make("file");
	MUST(vfs_symlink(&fs_me, "dev/vda", NULL, "disk"));
	MUST(vfs_mknod(&fs_me, NULL, "none", MODE_BLOCK | 0600, DEV_MAKE(99, 0), NULL));
	CHECK_EQ(mount_disk("dev/nothing", "mnt", 0), -ENOENT);
	CHECK_EQ(mount_disk("file/x", "mnt", 0), -ENOTDIR);
	CHECK_EQ(mount_disk("file", "mnt", 0), -ENOTBLK);
	CHECK_EQ(mount_disk("dev/null", "mnt", 0), -ENOTBLK);
	CHECK_EQ(mount_disk("none", "mnt", 0), -ENXIO);
	CHECK_EQ(mount_disk("", "mnt", 0), -EINVAL);
	CHECK_EQ(mount_disk(NULL, "mnt", 0), -EINVAL);
	MUST(mount_disk("disk", "mnt", 0)); /* a symbolic link */
	MUST(vfs_umount(&fs_me, "mnt", 0));
	MUST(vfs_mount(&fs_me, NULL, "dev", NULL, MOUNT_REMOUNT | MOUNT_BIND | MOUNT_NODEV, ""));
	CHECK_EQ(mount_disk("dev/vda", "mnt", 0), -EACCES);
	MUST(vfs_unlink(&fs_me, NULL, "none"));
	end_with_disk();
}

HOST_TEST(one_disk_one_file_system)
{
	struct vfs_stat a, b;
	begin_with_disk();
	MUST(mount_disk("/dev/vda", "mnt", 0));
	MUST(mount_disk("dev/vda", "two", 0));
	CHECK_EQ(mount_disk("/dev/vda", "dev", MOUNT_RDONLY), -EBUSY);
	CHECK_EQ(mount_disk("/dev/vda", "two", 0), -EBUSY); /* it is there already */
	fs_make("mnt/here");
	MUST(fs_stat("mnt/here", 0, &a));
	MUST(fs_stat("two/here", 0, &b));
	CHECK(a.ino == b.ino && a.dev == b.dev && a.mount_id != b.mount_id);
	MUST(fs_stat("dev/vda", 0, &b));
	CHECK_EQ(a.dev, b.rdev);
	MUST(vfs_umount(&fs_me, "mnt", 0));
	CHECK_EQ(fs_exists("two/here"), 0);
	MUST(vfs_umount(&fs_me, "two", 0));
	MUST(mount_disk("/dev/vda", "two", MOUNT_RDONLY));
	CHECK_EQ(fs_exists("two/here"), 0);
	MUST(vfs_umount(&fs_me, "two", 0));
	end_with_disk();
}

/* Number of free blocks that the superblock on the disk tells, read through the disk's file. */
static uint32_t free_blocks_on_disk(struct file *f)
{
	uint32_t n = 0;
	CHECK_EQ(fs_pread(f, &n, sizeof(n), 1024 + 12), sizeof(n));
	return n;
}

HOST_TEST(disk_shows_what_was_synced)
{
	char bytes[20000] = "x";
	begin_with_disk();
	MUST(mount_disk("/dev/vda", "mnt", 0));
	struct file *f = fs_open("dev/vda", FILE_RDONLY, 0);
	uint32_t before = free_blocks_on_disk(f);
	struct file *g = fs_open("mnt/new", FILE_CREAT | FILE_WRONLY, 0644);
	memset(bytes, 'x', sizeof(bytes));
	CHECK_EQ(fs_write(g, bytes, sizeof(bytes)), sizeof(bytes));
	file_put(g);
	CHECK_EQ(vfs_sync_all(), 0);
	CHECK(free_blocks_on_disk(f) <= before - 20);
	file_put(f);
	MUST(vfs_umount(&fs_me, "mnt", 0));
	end_with_disk();
}

int main(int argc, char **argv)
{
	ext2_env_init(65536);
	fs_register(&ext2_fs_ops);
	int status = host_test_main_started(argc, argv);
	ext2_env_fini();
	return status;
}
