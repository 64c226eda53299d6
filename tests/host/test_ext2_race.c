/*
 * test_ext2_race.c - several threads on one ext2 volume: each has files of its own and all share a directory,
 * while one syncs and one takes clean pages away. At the end every file holds what its thread wrote last, and
 * e2fsck finds nothing wrong.
 */
#include "ext2_env.h"
#include "fs/xattr.h"

enum { THREADS = 4, FILES = 6, STEPS = 250, BYTES = 60000 };

/* By design an inode is stored while its attributes change, and a page is looked at while somebody writes to
 * it (is a block needed for it?), and both then once more. To see whose access it was, ThreadSanitizer has to
 * remember for long. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:store_attributes\nrace:store_times\nrace:is_zero\n";
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "history_size=7";
}

static _Thread_local uint64_t rng;

static uint64_t pick(uint64_t n)
{
	rng ^= rng << 13, rng ^= rng >> 7, rng ^= rng << 17;
	return (rng >> 9) % n;
}

static void name_of(char *out, unsigned thread, unsigned file)
{
	sprintf(out, "%s/thread-%u-file-%u", file % 2 ? "shared" : "other", thread, file);
}

/* One of few values, so that files come to share blocks, and leave them, at once. */
static void mark_file(const char *name)
{
	struct path p;
	char value[300];
	memset(value, (int)('a' + pick(3)), sizeof(value));
	CHECK_EQ(vfs_lookup(&fs_me, NULL, name, 0, &p), 0);
	if (pick(4))
		CHECK_EQ(
		    vfs_xattr_set(&fs_me, &p, "user.mark", &(struct xattr_value){value, sizeof(value)}, 0),
		    0);
	else
		(void)!vfs_xattr_set(&fs_me, &p, "user.mark", NULL, 0); /* perhaps there is none */
	path_put(&p);
}

/* What thread and file number say that the file holds, in each byte. */
static void write_file(unsigned thread, unsigned file, char *buf)
{
	char name[64];
	struct file *f;
	name_of(name, thread, file);
	CHECK_EQ(vfs_open(&fs_me, NULL, name, FILE_CREAT | FILE_RDWR, 0644, &f), 0);
	memset(buf, (int)('a' + thread * FILES + file), BYTES);
	for (unsigned i = 0; i < 4; i++)
		CHECK(fs_pwrite(f, buf, 1 + pick(BYTES / 4), (int64_t)pick(BYTES)) > 0);
	if (pick(5) == 0)
		CHECK_EQ(file_sync(f, false), 0);
	if (pick(4) == 0)
		CHECK_EQ(file_truncate(f, (int64_t)pick(BYTES), UINT64_MAX, true), 0);
	mark_file(name);
	file_put(f);
}

static void check_file(unsigned thread, unsigned file, char *buf)
{
	char name[64];
	struct file *f;
	unsigned wrong = 0;
	name_of(name, thread, file);
	if (vfs_open(&fs_me, NULL, name, FILE_RDONLY, 0, &f))
		return;
	int64_t n = fs_pread(f, buf, BYTES, 0);
	CHECK(n >= 0);
	for (int64_t i = 0; i < n; i++)
		wrong += buf[i] && buf[i] != (char)('a' + thread * FILES + file);
	CHECK_EQ(wrong, 0);
	file_put(f);
}

static void work_thread(unsigned thread)
{
	char *buf = malloc(BYTES), name[64], to[64];
	for (unsigned i = 0; i < STEPS; i++) {
		unsigned file = (unsigned)pick(FILES);
		name_of(name, thread, file);
		sprintf(to, "shared/d%u/moved", thread);
		switch (pick(8)) {
		case 0:
			(void)(vfs_unlink(&fs_me, NULL, name) == 0);
			break;
		case 1:
			sprintf(to, "shared/d%u", thread);
			(void)(vfs_mkdir(&fs_me, NULL, to, 0755) == 0);
			break;
		case 2:
			if (vfs_rename(&fs_me, NULL, name, NULL, to, 0) == 0)
				CHECK_EQ(vfs_rename(&fs_me, NULL, to, NULL, name, 0), 0);
			break;
		case 3:
		case 4:
			check_file(thread, file, buf);
			break;
		default:
			write_file(thread, file, buf);
		}
	}
	free(buf);
}

static void thread_main(void *arg UNUSED, unsigned i)
{
	rng = 88172645463325252ULL + i * 77777;
	slab_init_cpu();
	if (i < THREADS)
		work_thread(i);
	for (unsigned n = 0; i == THREADS && n < 20; n++)
		CHECK_EQ(vfs_sync_all(), 0);
	for (unsigned n = 0; i == THREADS + 1 && n < 60; n++) {
		(void)vm_reclaim(200);
		dentry_shrink(20);
	}
}

static void race(const char *options)
{
	char *buf = malloc(BYTES);
	make_image(options, "16M", "");
	MUST(ext2_begin(0, ""));
	MUST(vfs_mkdir(&fs_me, NULL, "shared", 0755));
	MUST(vfs_mkdir(&fs_me, NULL, "other", 0755));
	host_run_cpus(THREADS + 2, thread_main, NULL);
	for (unsigned t = 0; t < THREADS; t++)
		for (unsigned f = 0; f < FILES; f++)
			check_file(t, f, buf);
	free(buf);
	fs_env_end();
	CHECK(image_is_clean());
}

HOST_TEST(race_1k)
{
	race("-b 1024");
}
HOST_TEST(race_4k)
{
	race("-b 4096");
}

int main(int argc, char **argv)
{
	ext2_env_init(65536);
	int status = host_test_main_started(argc, argv);
	ext2_env_fini();
	return status;
}
