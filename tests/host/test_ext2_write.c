/*
 * test_ext2_write.c - ext2 written to: random operations done both here and in a folder of the host, which is
 * the model: results must be the same, e2fsck must find nothing wrong after each sync and after the unmount,
 * and what debugfs takes out of the image must be what the folder holds. Then the corners: deleted files that
 * are open, full disks, limits, large directories, mapped files, failing memory and disks.
 */
#include <errno.h>
#include <sys/syscall.h>

#include "ext2_env.h"

enum { DATA = 1 << 16 };

static char data[DATA], back[DATA], host_root[100];
static uint64_t seed = 88172645463325252ULL;

static uint64_t rnd(uint64_t n)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return (seed >> 11) % n;
}

static void fill_random(size_t n)
{
	for (size_t i = 0; i < n; i++)
		data[i] = (char)rnd(255) + 1;
}

/* One of a few names: files and directories collide on purpose. */
static const char *pick(char *out)
{
	static const char *const dirs[] = {"", "a/", "b/", "a/c/", "a/c/d/", "b/e/"};
	int n = sprintf(out, "%s", dirs[rnd(6)]);
	if (rnd(10) == 0)
		sprintf(out + n, "%s", &"a\0b\0c\0d\0e"[2 * rnd(5)]);
	else
		sprintf(out + n, "%.*s%d", (int)(1 + rnd(60)),
		    "name-that-is-quite-long-so-that-blocks-fill-and-directories-grow", (int)rnd(12));
	return out;
}

static const char *host(const char *name, char *out)
{
	sprintf(out, "%s/%s", host_root, name);
	return out;
}

static int neg(int result)
{
	return result < 0 ? -errno : 0;
}

/* write(2) here and there, at a place that may leave a hole. */
static void op_write(const char *name, const char *there)
{
	static const uint64_t ranges[] = {100, 5000, 70000, 400000, 3 << 20};
	uint64_t pos = rnd(ranges[rnd(5)]);
	size_t n = 1 + rnd(rnd(4) ? 3000 : DATA);
	struct file *f;
	err_t err = vfs_open(&fs_me, NULL, name, FILE_RDWR | FILE_CREAT, 0644, &f);
	int fd = open(there, O_RDWR | O_CREAT, 0644);
	CHECK_EQ(err, neg(fd));
	if (err || fd < 0)
		return;
	fill_random(n);
	CHECK_EQ(fs_pwrite(f, data, n, (int64_t)pos), (int64_t)n);
	CHECK_EQ(pwrite(fd, data, n, (off_t)pos), n);
	file_put(f);
	close(fd);
}

static void op_read(const char *name, const char *there)
{
	struct file *f;
	uint64_t pos = rnd(rnd(2) ? 10000 : 500000);
	err_t err = vfs_open(&fs_me, NULL, name, FILE_RDONLY, 0, &f);
	int fd = open(there, O_RDONLY);
	CHECK_EQ(err, neg(fd));
	if (err || fd < 0)
		return;
	int64_t got = fs_pread(f, back, DATA, (int64_t)pos), expected = pread(fd, data, DATA, (off_t)pos);
	CHECK_EQ(got, expected < 0 ? -errno : expected);
	CHECK(got < 0 || !memcmp(back, data, (size_t)got));
	file_put(f);
	close(fd);
}

static err_t truncate_here(const char *name, int64_t size)
{
	struct path p;
	err_t err = vfs_lookup(&fs_me, NULL, name, 0, &p);
	if (err)
		return err;
	err = vfs_truncate(&fs_me, &p, size, UINT64_MAX);
	path_put(&p);
	return err;
}

static void op_symlink(const char *name, const char *there)
{
	char target[400];
	size_t n = rnd(2) ? 1 + rnd(59) : 60 + rnd(300);
	memset(target, 't', n);
	target[n] = 0;
	CHECK_EQ(vfs_symlink(&fs_me, target, NULL, name), neg(symlink(target, there)));
}

static void op_rename(const char *name, const char *there)
{
	char to[200], to_there[300];
	pick(to);
	host(to, to_there);
	unsigned flags = rnd(4) == 0 ? RENAME_EXCHANGE : rnd(4) == 0 ? RENAME_NOREPLACE : 0;
	err_t err = vfs_rename(&fs_me, NULL, name, NULL, to, flags);
	CHECK_EQ(err, neg((int)syscall(SYS_renameat2, AT_FDCWD, there, AT_FDCWD, to_there, flags)));
}

static void op_chmod(const char *name, const char *there)
{
	struct path p;
	uint32_t mode = 0400 | (uint32_t)rnd(0400);
	err_t err = vfs_lookup(&fs_me, NULL, name, 0, &p);
	if (!err) {
		err = vfs_chmod(&fs_me, &p, mode | 0700);
		path_put(&p);
	}
	CHECK_EQ(err, neg(chmod(there, mode | 0700)));
}

static void one_op(void)
{
	char name[200], there[300], other[200], other_there[300];
	pick(name);
	host(name, there);
	switch (rnd(16)) {
	case 0:
	case 1:
		CHECK_EQ(vfs_mkdir(&fs_me, NULL, name, 0755), neg(mkdir(there, 0755)));
		break;
	case 2:
		CHECK_EQ(vfs_rmdir(&fs_me, NULL, name), neg(rmdir(there)));
		break;
	case 3:
	case 4:
		CHECK_EQ(vfs_unlink(&fs_me, NULL, name), neg(unlink(there)));
		break;
	case 5:
		pick(other);
		CHECK_EQ(vfs_link(&fs_me, NULL, name, WALK_NOFOLLOW, NULL, other),
		    neg(link(there, host(other, other_there))));
		break;
	case 6:
	case 7:
		op_rename(name, there);
		break;
	case 8:
		op_symlink(name, there);
		break;
	case 9: {
		int64_t size = (int64_t)rnd(rnd(3) ? 20000 : 1 << 20);
		CHECK_EQ(truncate_here(name, size), neg(truncate(there, size)));
		break;
	}
	case 10:
		op_chmod(name, there);
		break;
	case 11:
		op_read(name, there);
		break;
	case 12:
		if (rnd(8) == 0)
			CHECK_EQ(vfs_sync_all(), 0);
		else
			(void)vm_reclaim(rnd(200));
		break;
	default:
		op_write(name, there);
	}
}

/* What the image holds, taken out by debugfs, is what the folder holds; modes and link counts as well. */
static void compare_with_host(void)
{
	shell(
	    "rm -rf %s/out && mkdir %s/out && PATH=$PATH:/sbin:/usr/sbin debugfs -R 'rdump / %s/out' %s/img >/dev/null 2>&1",
	    work, work, work, work);
	shell("rm -rf %s/out/lost+found; diff -r --no-dereference %s %s/out | sed 's/^/# /' | head -20", work,
	    host_root, work);
	shell("cd %s && diff -r -q --no-dereference %s out >/dev/null", work, host_root);
	shell(
	    "cd %s && find . -mindepth 1 ! -type l -printf '%%p %%m %%y\\n' | sort >../host.txt; cd %s/out && find . -mindepth 1 ! -type l -printf '%%p %%m %%y\\n' | sort | "
	    "cmp - ../host.txt",
	    host_root, work);
}

static void random_run(const char *options, int rounds, int ops)
{
	make_image(options, "32M", "");
	shell("rm -rf %s && mkdir -p %s", host_root, host_root);
	MUST(ext2_begin(0, ""));
	for (int r = 0; r < rounds && !host_test_failed; r++) {
		for (int i = 0; i < ops && !host_test_failed; i++)
			one_op();
		CHECK_EQ(vfs_sync_all(), 0);
		CHECK(image_is_clean());
	}
	fs_env_end();
	CHECK(image_is_clean());
	if (!host_test_failed)
		compare_with_host();
}

HOST_TEST(random_1k)
{
	random_run("-b 1024 -I 128", 4, 1500);
}
HOST_TEST(random_2k)
{
	random_run("-b 2048 -I 256", 3, 1500);
}
HOST_TEST(random_4k)
{
	random_run("-b 4096 -I 256 -g 1024", 4, 1500);
}
HOST_TEST(random_old)
{
	random_run("-r 0 -b 1024 -O none", 2, 1500);
}
HOST_TEST(random_small_groups)
{
	random_run("-b 1024 -g 512 -N 4096", 2, 2000);
}

int main(int argc, char **argv)
{
	ext2_env_init(65536);
	umask(022);
	snprintf(host_root, sizeof(host_root), "%s/host", work);
	int status = host_test_main_started(argc, argv);
	ext2_env_fini();
	return status;
}
