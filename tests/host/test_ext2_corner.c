/*
 * test_ext2_corner.c - ext2 at its edges: deleted files that are open, across a crash as well; full disks and
 * the part kept for the superuser; most links; large directories; files past 4 GiB; mapped holes; times;
 * remounts; features that are not known; memory and disks that fail at every place. e2fsck judges each image.
 */
#include "ext2_env.h"
#include "kern/mutex.h"
#include "vm_test.h"

enum { MANY = 20000 };

static char block[1 << 16];
static uint8_t *crashed; /* a copy of the image */

static void make(const char *options, const char *size)
{
	make_image(options, size, "");
	MUST(ext2_begin(0, ""));
}

static void end_clean(void)
{
	fs_env_end();
	CHECK(image_is_clean());
}

static uint64_t free_blocks(void)
{
	struct fs_stats st;
	MUST(vfs_statfs(&fs_me.root, &st));
	return st.free_blocks;
}

static uint64_t free_files(void)
{
	struct fs_stats st;
	MUST(vfs_statfs(&fs_me.root, &st));
	return st.free_files;
}

static void write_some(const char *name, size_t n)
{
	struct file *f = fs_open(name, FILE_CREAT | FILE_WRONLY, 0644);
	memset(block, 'x', sizeof(block));
	for (size_t at = 0; at < n; at += sizeof(block))
		CHECK_EQ(fs_write(f, block, MIN(sizeof(block), n - at)), MIN(sizeof(block), n - at));
	file_put(f);
}

HOST_TEST(deleted_while_open)
{
	make("-b 1024", "8M");
	uint64_t blocks = free_blocks(), files = free_files();
	write_some("a", 300000);
	write_some("b", 300000);
	struct file *a = fs_open("a", FILE_RDWR, 0), *b = fs_open("b", FILE_RDWR, 0), *c;
	MUST(vfs_open(&fs_me, NULL, ".", FILE_TMPFILE | FILE_RDWR, 0600, &c));
	MUST(vfs_unlink(&fs_me, NULL, "a"));
	MUST(vfs_unlink(&fs_me, NULL, "b"));
	CHECK_EQ(fs_pwrite(a, "still", 5, 400000), 5);
	CHECK_EQ(fs_pwrite(c, "here", 4, 0), 4);
	MUST(vfs_sync_all());
	crashed = malloc(image_bytes);
	memcpy(crashed, image, image_bytes);
	CHECK_EQ(fs_pread(a, block, 5, 400000), 5);
	file_put(b); /* from the middle of the list */
	file_put(a);
	file_put(c);
	CHECK_EQ(free_blocks(), blocks);
	CHECK_EQ(free_files(), files);
	end_clean();
	memcpy(image, crashed, image_bytes); /* the machine had stopped while they were open */
	MUST(ext2_begin(0, ""));
	CHECK_EQ(free_blocks(), blocks);
	CHECK_EQ(free_files(), files);
	end_clean();
	free(crashed);
}

HOST_TEST(a_name_for_a_nameless_file)
{
	struct file *f;
	make("-b 1024", "8M");
	MUST(vfs_open(&fs_me, NULL, ".", FILE_TMPFILE | FILE_RDWR, 0600, &f));
	CHECK_EQ(fs_write(f, "kept", 4), 4);
	struct path p = file_path(f);
	MUST(vfs_link(&fs_me, &p, "", WALK_EMPTY, NULL, "named"));
	file_put(f);
	end_clean();
	MUST(ext2_begin(0, ""));
	f = fs_open("named", FILE_RDONLY, 0);
	CHECK_EQ(fs_read(f, block, 10), 4);
	file_put(f);
	end_clean();
}

static bool nobody(uint32_t uid, uint32_t gid)
{
	return uid == 1000 || gid == 1000;
}

static int64_t fill_disk(const char *name)
{
	int64_t n, sum = 0;
	struct file *f = fs_open(name, FILE_CREAT | FILE_WRONLY, 0666);
	while ((n = fs_write(f, block, sizeof(block))) > 0)
		sum += n;
	CHECK_EQ(n, -ENOSPC);
	file_put(f);
	return sum;
}

HOST_TEST(full_disk)
{
	make("-b 1024 -m 10", "8M");
	uint64_t all = free_blocks();
	fs_current_user = nobody;
	int64_t most = fill_disk("user");
	CHECK(free_blocks() >= 8192 / 10 && free_blocks() < 8192 / 10 + 20);
	CHECK_EQ(fs_try_open("more", FILE_CREAT | FILE_WRONLY, 0644), 0); /* no block is needed for it */
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "dir", 0755), -ENOSPC);
	fs_current_user = NULL;
	int64_t rest = fill_disk("root");
	CHECK(rest > 8192 / 10 * 1024 - 20000 && most + rest < (int64_t)all * 1024);
	CHECK_EQ(free_blocks(), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "dir", 0755), -ENOSPC);
	MUST(vfs_sync_all());
	CHECK(image_is_clean());
	MUST(vfs_unlink(&fs_me, NULL, "user"));
	MUST(vfs_unlink(&fs_me, NULL, "root"));
	CHECK_EQ(free_blocks(), all);
	end_clean();
	MUST(ext2_begin(0, "resuid=1000"));
	fs_current_user = nobody;
	CHECK(fill_disk("user") > most);
	fs_current_user = NULL;
	end_clean();
}

HOST_TEST(no_inodes_left)
{
	char name[20];
	err_t err = 0;
	make("-b 1024 -N 64", "4M");
	for (int i = 0; !err; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		err = fs_try_open(name, FILE_CREAT | FILE_WRONLY, 0644);
	}
	CHECK_EQ(err, -ENOSPC);
	CHECK_EQ(free_files(), 0);
	end_clean();
}

HOST_TEST(most_links)
{
	char name[64];
	unsigned failed = 0;
	struct vfs_stat st;
	make("-b 4096", "32M");
	fs_make("file");
	for (int i = 1; i < 32000; i++) {
		snprintf(name, sizeof(name), "link-number-%d", i);
		failed += vfs_link(&fs_me, NULL, "file", 0, NULL, name) != 0;
	}
	CHECK_EQ(failed, 0);
	CHECK_EQ(vfs_link(&fs_me, NULL, "file", 0, NULL, "one-more"), -EMLINK);
	MUST(fs_stat("link-number-31999", 0, &st));
	CHECK_EQ(st.nlink, 32000);
	MUST(vfs_sync_all());
	CHECK(image_is_clean());
	for (int i = 1; i < 32000; i++) {
		snprintf(name, sizeof(name), "link-number-%d", i);
		failed += vfs_unlink(&fs_me, NULL, name) != 0;
	}
	CHECK_EQ(failed, 0);
	end_clean();
}

HOST_TEST(large_directory)
{
	char name[64];
	unsigned failed = 0;
	make("-b 1024 -N 24000", "48M");
	MUST(vfs_mkdir(&fs_me, NULL, "d", 0755));
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "d/name-of-a-file-%d", i);
		failed += fs_try_open(name, FILE_CREAT | FILE_EXCL | FILE_WRONLY, 0644) != 0;
	}
	while (dentry_shrink(1000))
		;
	for (int i = 0; i < MANY; i += 2) {
		snprintf(name, sizeof(name), "d/name-of-a-file-%d", (int)((uint64_t)i * 7919 % MANY));
		failed += vfs_unlink(&fs_me, NULL, name) != 0;
	}
	struct vfs_stat before, after;
	MUST(fs_stat("d", 0, &before));
	for (int i = 0; i < MANY; i += 2) { /* what was freed is used again */
		snprintf(name, sizeof(name), "d/name-of-b-file-%d", i);
		failed += fs_try_open(name, FILE_CREAT | FILE_EXCL | FILE_WRONLY, 0644) != 0;
	}
	MUST(fs_stat("d", 0, &after));
	CHECK(after.size <= before.size + before.size / 8);
	CHECK_EQ(failed, 0);
	end_clean();
}

HOST_TEST(indexed_directory)
{
	char name[64], tree[100];
	snprintf(tree, sizeof(tree), "%s/indexed", work);
	shell("mkdir -p %s/d && cd %s/d && seq -f name-of-a-file-%%g 1 3000 | xargs touch", tree, tree);
	make_image("-b 1024 -O dir_index", "16M", tree);
	msync(image, image_bytes, MS_SYNC);
	shell("PATH=$PATH:/sbin:/usr/sbin e2fsck -fyD %s/img >/dev/null 2>&1 || [ $? = 1 ]", work);
	load_image();
	shell(
	    "PATH=$PATH:/sbin:/usr/sbin debugfs -R 'htree_dump /d' %s/img 2>&1 | grep -q 'Root node'", work);
	MUST(ext2_begin(0, ""));
	for (int i = 1; i < 3000; i += 3) {
		snprintf(name, sizeof(name), "d/name-of-a-file-%d", i);
		CHECK_EQ(vfs_unlink(&fs_me, NULL, name), 0);
		snprintf(name, sizeof(name), "d/another-name-%d", i);
		fs_make(name);
	}
	end_clean();
}

HOST_TEST(past_4_gib)
{
	struct vfs_stat st;
	make("-b 1024 -I 256", "16M");
	struct file *f = fs_open("big", FILE_CREAT | FILE_RDWR, 0644);
	CHECK_EQ(fs_pwrite(f, "far", 3, 9LL << 30), 3);
	CHECK_EQ(fs_pread(f, block, 6, (9LL << 30) - 3), 6);
	CHECK(!block[0] && block[3] == 'f');
	uint64_t max = f->vnode->fs->max_size;
	CHECK_EQ(max, 1024ULL * (12 + 256 + 65536 + 16777216));
	CHECK_EQ(fs_pwrite(f, "ends", 4, (int64_t)max - 2), 2);
	CHECK_EQ(fs_pwrite(f, "x", 1, (int64_t)max), -EFBIG);
	MUST(fs_stat("big", 0, &st));
	CHECK_EQ(st.blocks,
	    2 * (1 + 3 + 3)); /* the third tree's root; two blocks, each with two of its own on the way */
	CHECK_EQ(file_truncate(f, (5LL << 30) + 1, UINT64_MAX, true), 0);
	CHECK_EQ(file_truncate(f, (int64_t)max + 1, UINT64_MAX, true), -EFBIG);
	file_put(f);
	end_clean();
	shell("PATH=$PATH:/sbin:/usr/sbin dumpe2fs -h %s/img 2>/dev/null | grep -q large_file", work);
}

HOST_TEST(mapped_holes)
{
	uint64_t value = 0;
	make("-b 1024 -m 0", "4M");
	struct file *f = fs_open("mapped", FILE_CREAT | FILE_RDWR, 0644);
	MUST(file_truncate(f, 8 << 20, UINT64_MAX, true)); /* twice the disk */
	struct vm_space *s = new_space();
	MUST(try_map(s, 1 << 20, 8 << 20, RW, VM_MAP_FIXED | VM_MAP_SHARED, f->vnode->pages));
	CHECK_EQ(store(s, (1 << 20) + 5 * PAGE_SIZE, 77), 0);
	struct vfs_stat st;
	MUST(fs_stat("mapped", 0, &st));
	CHECK_EQ(st.blocks,
	    2 * (4 +
		    1)); /* four blocks under the page and the one that names them: no write-back was needed */
	fill_disk("full");
	CHECK_EQ(store(s, (1 << 20) + 100 * PAGE_SIZE, 78), -EIO); /* told to whoever writes */
	CHECK_EQ(store(s, (1 << 20) + 5 * PAGE_SIZE, 79), 0);
	MUST(file_sync(f, false));
	space_put(s);
	CHECK_EQ(fs_pread(f, &value, 8, 5 * PAGE_SIZE), 8);
	CHECK_EQ(value, 79);
	file_put(f);
	end_clean();
}

HOST_TEST(mapped_writes_change_times)
{
	struct vfs_stat st;
	struct path p;
	struct time_change past = {TIME_SET, {1, 0}};
	make("-b 1024", "4M");
	struct file *f = fs_open("mapped", FILE_CREAT | FILE_RDWR, 0644);
	MUST(file_truncate(f, PAGE_SIZE, UINT64_MAX, true));
	MUST(vfs_lookup(&fs_me, NULL, "mapped", 0, &p));
	MUST(vfs_utimens(&fs_me, &p, &past, &past));
	path_put(&p);
	struct vm_space *s = new_space();
	MUST(try_map(s, 1 << 20, PAGE_SIZE, RW, VM_MAP_FIXED | VM_MAP_SHARED, f->vnode->pages));
	file_put(f);
	CHECK_EQ(store(s, 1 << 20, 77), 0);
	while (dentry_shrink(1000))
		;
	space_put(s); /* the last that held the file */
	end_clean();
	MUST(ext2_begin(0, ""));
	MUST(fs_stat("mapped", 0, &st));
	CHECK(st.mtime.sec > 1);
	end_clean();
}

HOST_TEST(zeros_where_nobody_wrote)
{
	make("-b 1024 -m 0", "2M");
	write_some("old", 1 << 20); /* what blocks held before */
	MUST(vfs_sync_all());
	MUST(vfs_unlink(&fs_me, NULL, "old"));
	struct file *f = fs_open("new", FILE_CREAT | FILE_RDWR, 0644);
	MUST(file_truncate(f, 600000, UINT64_MAX, true));
	for (int64_t at = 100; at < 500000; at += 10240 + 300)
		CHECK_EQ(fs_pwrite(f, "y", 1, at), 1);
	MUST(file_sync(f, false));
	(void)vm_reclaim(10000);
	uint64_t wrong = 0;
	for (int64_t at = 0; at < 600000; at += sizeof(block)) {
		int64_t n = fs_pread(f, block, sizeof(block), at);
		for (int64_t i = 0; i < n; i++)
			wrong += block[i] && block[i] != 'y';
	}
	CHECK_EQ(wrong, 0);
	file_put(f);
	end_clean();
}

HOST_TEST(times_and_owners)
{
	struct path p;
	struct vfs_stat st;
	struct time_change a = {TIME_SET, {5000000000, 123456789}}, m = {TIME_SET, {-5, 7}};
	make("-b 1024 -I 256", "4M");
	fs_make("f");
	MUST(vfs_lookup(&fs_me, NULL, "f", 0, &p));
	MUST(vfs_utimens(&fs_me, &p, &a, &m));
	MUST(vfs_chown(&fs_me, &p, 70000, 80000));
	path_put(&p);
	MUST(vfs_mknod(&fs_me, NULL, "dev", MODE_CHAR | 0600, DEV_MAKE(5, 1), NULL));
	MUST(vfs_mknod(&fs_me, NULL, "dev2", MODE_BLOCK | 0600, DEV_MAKE(300, 100000), NULL));
	end_clean();
	MUST(ext2_begin(0, ""));
	MUST(fs_stat("f", 0, &st));
	CHECK(st.uid == 70000 && st.gid == 80000 && st.atime.sec == 5000000000 &&
	      st.atime.nsec == 123456789 && st.mtime.sec == -5 && st.mtime.nsec == 7);
	MUST(fs_stat("dev", 0, &st));
	CHECK_EQ(st.rdev, DEV_MAKE(5, 1));
	MUST(fs_stat("dev2", 0, &st));
	CHECK_EQ(st.rdev, DEV_MAKE(300, 100000));
	end_clean();
}

static bool says_clean(void)
{
	char cmd[300];
	msync(image, image_bytes, MS_SYNC);
	snprintf(cmd, sizeof(cmd),
	    "PATH=$PATH:/sbin:/usr/sbin dumpe2fs -h %s/img 2>/dev/null | grep -q 'state: *clean'", work);
	return !system(cmd);
}

HOST_TEST(state_and_remount)
{
	make("-b 1024", "4M");
	CHECK(!says_clean());
	MUST(vfs_mount(&fs_me, "", "/", "", MOUNT_REMOUNT | MOUNT_RDONLY, ""));
	CHECK(says_clean());
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d", 0755), -EROFS);
	MUST(vfs_mount(&fs_me, "", "/", "", MOUNT_REMOUNT, ""));
	CHECK(!says_clean());
	MUST(vfs_mkdir(&fs_me, NULL, "d", 0755));
	flushes = 0;
	struct file *f = fs_open("d/f", FILE_CREAT | FILE_WRONLY, 0644);
	CHECK_EQ(fs_write(f, "x", 1), 1);
	CHECK_EQ(file_sync(f, true), 0);
	CHECK(flushes > 0);
	file_put(f);
	end_clean();
	CHECK(says_clean());
}

HOST_TEST(unknown_features)
{
	make_image("-b 1024", "4M", "");
	image[1024 + 100] |= 0x80; /* a read-only compatible one */
	CHECK_EQ(ext2_begin(0, ""), -EROFS);
	MUST(ext2_begin(MOUNT_RDONLY, ""));
	CHECK_EQ(vfs_mount(&fs_me, "", "/", "", MOUNT_REMOUNT, ""), -EROFS);
	fs_env_end();
	image[1024 + 96] |= 0x40;
	CHECK_EQ(ext2_begin(MOUNT_RDONLY, ""), -EINVAL);
	CHECK_EQ(mount_root("/dev/none", &ext2_fs_ops, 0, ""), -ENOENT);
	CHECK_EQ(mount_root("/etc", &ext2_fs_ops, 0, ""), -ENOTBLK);
}

/* Some of everything; the first error. */
static err_t some_of_everything(void)
{
	struct file *f;
	err_t err = vfs_mkdir(&fs_me, NULL, "dir", 0755), later;
	if (!err)
		err = vfs_open(&fs_me, NULL, "dir/file", FILE_CREAT | FILE_RDWR, 0644, &f);
	if (err)
		return err;
	int64_t n = fs_pwrite(f, block, 20000, 300000);
	err = n < 0 ? (err_t)n : file_truncate(f, 310000, UINT64_MAX, true);
	later = file_sync(f, false);
	file_put(f);
	err = err ? err : later;
	if (!err)
		err = vfs_symlink(&fs_me,
		    "a-target-of-a-length-that-does-not-fit-into-an-inode-so-that-it-takes-a-block", NULL,
		    "link");
	if (!err)
		err = vfs_link(&fs_me, NULL, "dir/file", 0, NULL, "hard");
	if (!err)
		err = vfs_mkdir(&fs_me, NULL, "dir/sub", 0755);
	if (!err)
		err = vfs_rename(&fs_me, NULL, "dir/sub", NULL, "sub", 0);
	if (!err)
		err = vfs_rename(&fs_me, NULL, "hard", NULL, "link", RENAME_EXCHANGE);
	if (!err)
		err = vfs_unlink(&fs_me, NULL, "link");
	if (!err)
		err = vfs_unlink(&fs_me, NULL, "dir/file");
	if (!err)
		err = vfs_rmdir(&fs_me, NULL, "sub");
	later = vfs_sync_all();
	return err ? err : later;
}

HOST_TEST(failing_memory)
{
	bool fired = true;
	for (uint64_t n = 1; fired && n < 2000; n += 1 + n / 24) {
		make("-b 1024", "2M");
		inject_arm(n);
		err_t err = some_of_everything();
		fired = inject_fired();
		inject_arm(0);
		CHECK(!err || (fired && err == -ENOMEM));
		MUST(vfs_sync_all());
		end_clean();
	}
	CHECK(!fired);
}

HOST_TEST(failing_reads)
{
	requests = 0;
	make("-b 1024", "2M");
	MUST(some_of_everything());
	uint64_t all = requests;
	fs_env_end();
	for (uint64_t n = 1; n <= all; n += 1 + n / 32) {
		make_image("-b 1024", "2M", "");
		requests = 0;
		fail_request = n;
		err_t err = ext2_begin(0, "");
		if (!err) {
			err = some_of_everything();
			fail_request = 0;
			fs_env_end();
		}
		fail_request = 0;
		CHECK(!err || err == -EIO || err == -EROFS);
		shell("PATH=$PATH:/sbin:/usr/sbin e2fsck -fp %s/img >/dev/null 2>&1 || [ $? = 1 ]",
		    work); /* what is left can be put right */
	}
}

HOST_TEST(dead_disk)
{
	make("-b 1024", "2M");
	struct file *f = fs_open("f", FILE_CREAT | FILE_RDWR, 0644);
	MUST(file_sync(f, false));
	CHECK_EQ(fs_write(f, block, 5000), 5000);
	fail_writes_from = 1;
	CHECK_EQ(file_sync(f, false), -EIO);
	struct file *g;
	CHECK_EQ(vfs_open(&fs_me, NULL, "f", FILE_RDONLY, 0, &g), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d", 0755), -EROFS);
	fail_writes_from = 0;
	file_put(g);
	file_put(f);
	fs_env_end();
	CHECK(!says_clean());
}

int main(int argc, char **argv)
{
	ext2_env_init(65536);
	int status = host_test_main_started(argc, argv);
	ext2_env_fini();
	return status;
}
