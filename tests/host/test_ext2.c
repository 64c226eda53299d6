/*
 * test_ext2.c - ext2 images made by mke2fs, mounted as root: contents, names, links, attributes and sizes;
 * indexed directories, sparse files past 4 GiB; refused features; failing allocations and disks; images with
 * wrong bytes.
 */
#include "ext2_env.h"

enum { NAMES = 2000, BIG = 700000, SUPER = 1024 };

static char buf[BIG + 1];

static void run(const char *format, const char *arg)
{
	char cmd[512];
	snprintf(cmd, sizeof(cmd), format, work, work, arg);
	if (system(cmd))
		panic("failed: %s", cmd);
}

/* The files that every image holds. */
static void make_tree(void)
{
	run("mkdir -p %s/t/d %s/t/many%s", "");
}

static uint8_t byte_of(uint32_t i)
{
	return (uint8_t)(i * 2654435761U >> 13);
}

static void fill_tree(void)
{
	char name[200];
	for (uint32_t i = 0; i < BIG; i++)
		buf[i] = (char)byte_of(i);
	snprintf(name, sizeof(name), "%s/t/big", work);
	int fd = open(name, O_CREAT | O_WRONLY, 0640);
	if (fd < 0 || write(fd, buf, BIG) != BIG || pwrite(fd, "far", 3, 5LL << 30) != 3)
		panic("cannot write %s", name);
	close(fd);
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "%s/t/many/a-name-of-some-length-%d", work, i);
		close(open(name, O_CREAT | O_WRONLY, 0600));
	}
	memset(name, 'x', 100);
	strcpy(name + 100, "end");
	run("cd %s/t && ln -s big short && cd %s/t && ln -s %s long", name);
	run("cd %s/t && ln big d/hard && mkfifo fifo && cd %s/t && printf hello > d/small%s", "");
}

static void make_full_image(const char *options)
{
	char tree[100];
	snprintf(tree, sizeof(tree), "%s/t", work);
	make_image(options, "24M", tree);
}

static err_t begin(void)
{
	return ext2_begin(MOUNT_RDONLY, "");
}

static bool count_entry(void *ctx, const char *name UNUSED, size_t len UNUSED, uint64_t ino UNUSED,
    unsigned type UNUSED, uint64_t next UNUSED)
{
	++*(unsigned *)ctx;
	return true;
}

/* Read what there is; the first error. Right contents are asked for only where `exact`. */
static err_t use_everything(bool exact)
{
	struct file *f;
	struct vfs_stat st;
	unsigned n = 0;
	char link[300];
	err_t err = vfs_open(&fs_me, NULL, "many", FILE_RDONLY | FILE_DIRECTORY, 0, &f);
	if (!err) {
		err = file_readdir(f, count_entry, &n);
		file_put(f);
	}
	if (err)
		return err;
	CHECK(!exact || n == NAMES + 2);
	err = fs_stat("many/a-name-of-some-length-1999", 0, &st);
	if (err)
		return err;
	int64_t got = vfs_readlink(&fs_me, NULL, "long", link, sizeof(link));
	if (got < 0)
		return (err_t)got;
	CHECK(!exact || (got == 103 && !memcmp(link + 100, "end", 3)));
	err = vfs_open(&fs_me, NULL, "short", FILE_RDONLY, 0, &f);
	if (err)
		return err;
	got = fs_pread(f, buf, BIG, 0);
	for (uint32_t i = 0; exact && got == BIG && i < BIG; i++)
		if ((uint8_t)buf[i] != byte_of(i)) {
			CHECK_EQ(i, BIG);
			break;
		}
	int64_t far = got < 0 ? got : fs_pread(f, buf, 100, (5LL << 30) - 10);
	file_put(f);
	if (exact && far >= 0)
		CHECK(got == BIG && far == 13 && !buf[0] && !memcmp(buf + 10, "far", 3));
	return far < 0 ? (err_t)far : 0;
}

static void check_image(const char *options)
{
	struct vfs_stat st, other;
	make_full_image(options);
	MUST(begin());
	CHECK_EQ(use_everything(true), 0);
	MUST(fs_stat("big", 0, &st));
	MUST(fs_stat("d/hard", 0, &other));
	CHECK(st.ino == other.ino && st.nlink == 2 && st.mode == (MODE_REG | 0640));
	CHECK_EQ(st.size, (5LL << 30) + 3);
	MUST(fs_stat("fifo", 0, &st));
	CHECK_EQ(st.mode & MODE_TYPE, MODE_FIFO);
	CHECK_EQ(fs_exists("d/none"), -ENOENT);
	CHECK_EQ(fs_try_open("big", FILE_RDWR, 0), -EROFS);
	CHECK_EQ(fs_try_open("new", FILE_CREAT | FILE_WRONLY, 0644), -EROFS);
	fs_env_end();
}

HOST_TEST(blocks_of_1k)
{
	check_image("-b 1024 -I 128");
}
HOST_TEST(blocks_of_2k)
{
	check_image("-b 2048 -I 256");
}
HOST_TEST(blocks_of_4k)
{
	check_image("-b 4096 -I 256");
}
HOST_TEST(no_types_in_entries)
{
	check_image("-b 1024 -I 128 -O ^filetype,^dir_index,^resize_inode");
}

HOST_TEST(what_cannot_be_mounted)
{
	make_full_image("-b 1024");
	CHECK_EQ(ext2_begin(MOUNT_RDONLY, "nonsense"), -EINVAL);
	image[SUPER + 96] |= 0x40; /* extents */
	CHECK_EQ(begin(), -EINVAL);
	image[SUPER + 96] &= (uint8_t)~0x40;
	image[SUPER + 56] ^= 1;
	CHECK_EQ(begin(), -EINVAL);
	image[SUPER + 56] ^= 1;
	image[SUPER + 7] = 1; /* more blocks than the disk has */
	CHECK_EQ(begin(), -EUCLEAN);
}

static err_t mount_and_use(bool exact)
{
	err_t err = begin();
	if (err)
		return err;
	err = use_everything(exact);
	fs_env_end();
	return err;
}

HOST_TEST(failing_allocations)
{
	bool fired = true;
	make_full_image("-b 1024");
	for (uint64_t n = 1; fired && n < 3000; n += 1 + n / 16) {
		MUST(begin());
		inject_arm(n);
		err_t err = use_everything(false);
		fired = inject_fired();
		inject_arm(0);
		CHECK(err == 0 || (fired && err == -ENOMEM));
		fs_env_end();
	}
	CHECK(!fired);
}

HOST_TEST(failing_disk)
{
	make_full_image("-b 2048");
	fail_request = requests = 0;
	CHECK_EQ(mount_and_use(true), 0);
	uint64_t all = requests;
	for (uint64_t n = 1; n <= all; n += 1 + n / 8) {
		requests = 0;
		fail_request = n;
		err_t err = mount_and_use(false);
		CHECK(err == 0 || err == -EIO); /* 0: a short read, or one ahead of what was asked for */
	}
	fail_request = 0;
}

HOST_TEST(wrong_bytes)
{
	unsigned broken = 0;
	uint64_t random = 88172645463325252ULL;
	make_full_image("-b 1024");
	uint8_t *good = malloc(image_bytes);
	memcpy(good, image, 4 << 20);
	for (int round = 0; round < 60; round++) {
		for (int i = 0; i < 1 + round * 20; i++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			image[SUPER + (random >> 8) % ((i % 4 ? 1 << 20 : 8 << 10))] = (uint8_t)random;
		}
		broken += mount_and_use(false) != 0;
		memcpy(image, good, 4 << 20);
	}
	CHECK(broken > 10);
	CHECK_EQ(mount_and_use(true), 0);
	free(good);
}

int main(int argc, char **argv)
{
	ext2_env_init(65536);
	make_tree();
	fill_tree();
	int status = host_test_main_started(argc, argv);
	ext2_env_fini();
	return status;
}
