/* test_inotify.c - watches: what they hold is counted, they end with the file, the file system or the
 * watcher, and every allocation may fail. */
#include "fs/notify.h"
#include "fs_env.h"
#include "lib/printf.h"

/* An event without a name. */
struct told {
	int32_t number;
	uint32_t mask, cookie, len;
};

static struct file *watcher(void)
{
	struct file *f;
	MUST(inotify_create(1000, FILE_NONBLOCK, &f));
	return f;
}

static int64_t watch(struct file *in, const char *name, uint32_t mask)
{
	struct path p;
	MUST(vfs_lookup(&fs_me, NULL, name, 0, &p));
	int64_t number = inotify_add(in, path_vnode(&p), mask);
	path_put(&p);
	return number;
}

/* The next event's mask; 0: there is none. */
static uint32_t next(struct file *in)
{
	struct told t;
	int64_t n = fs_read(in, &t, sizeof(t));
	return n > 0 ? t.mask : 0;
}

HOST_TEST(a_watch_keeps_no_deleted_file)
{
	fs_env_begin();
	struct file *in = watcher();
	file_put(fs_open("f", FILE_CREAT | FILE_RDWR, 0644));
	CHECK_EQ(watch(in, "f", NOTIFY_OPEN), 1);
	dentry_shrink(100);
	CHECK_EQ(fs_recount(fs_env_roots, &fs_me), 0);
	file_put(fs_open("f", FILE_RDONLY, 0));
	CHECK_EQ(next(in), NOTIFY_OPEN);
	MUST(vfs_unlink(&fs_me, NULL, "f"));
	CHECK_EQ(next(in), NOTIFY_IGNORED);
	CHECK_EQ(next(in), 0);
	CHECK_EQ(inotify_remove(in, 1), -EINVAL);
	file_put(in);
	fs_env_end();
}

HOST_TEST(a_watcher_that_goes_takes_its_watches)
{
	fs_env_begin();
	struct file *in = watcher();
	for (unsigned i = 0; i < 200; i++) {
		char name[8];
		(void)format(name, sizeof(name), "f%u", i);
		file_put(fs_open(name, FILE_CREAT | FILE_RDWR, 0644));
		CHECK_EQ(watch(in, name, NOTIFY_ALL), i + 1);
	}
	CHECK_EQ(fs_recount(fs_env_roots, &fs_me), 0);
	file_put(fs_open("f7", FILE_RDONLY, 0)); /* events that nobody reads */
	CHECK_EQ(inotify_remove(in, 100), 0);
	CHECK_EQ(inotify_remove(in, 100), -EINVAL);
	file_put(in);
	fs_env_end();
}

HOST_TEST(a_watch_does_not_keep_a_file_system)
{
	fs_env_begin();
	struct file *in = watcher();
	MUST(vfs_mkdir(&fs_me, NULL, "m", 0755));
	MUST(vfs_mount(&fs_me, "none", "m", "tmpfs", 0, ""));
	file_put(fs_open("m/f", FILE_CREAT | FILE_RDWR, 0644));
	CHECK_EQ(watch(in, "m/f", NOTIFY_OPEN), 1);
	struct file *f = fs_open("m/f", FILE_RDONLY, 0);
	CHECK_EQ(vfs_umount(&fs_me, "m", 0), -EBUSY);
	file_put(f);
	MUST(vfs_umount(&fs_me, "m", 0));
	CHECK_EQ(next(in), NOTIFY_OPEN);
	CHECK_EQ(next(in), NOTIFY_UNMOUNT);
	CHECK_EQ(next(in), NOTIFY_IGNORED);
	CHECK_EQ(next(in), 0);
	file_put(in);
	fs_env_end();
}

HOST_TEST(limits_of_a_user)
{
	fs_env_begin();
	struct file *f[3], *more;
	store_relaxed(&inotify_max_instances, 3);
	store_relaxed(&inotify_max_watches, 2);
	for (unsigned i = 0; i < 3; i++)
		f[i] = watcher();
	CHECK_EQ(inotify_create(1000, 0, &more), -EMFILE);
	MUST(inotify_create(1001, 0, &more)); /* another user's */
	file_put(more);
	CHECK_EQ(watch(f[0], "/", NOTIFY_OPEN), 1);
	CHECK_EQ(watch(f[1], "/", NOTIFY_OPEN), 1);
	CHECK_EQ(watch(f[2], "/", NOTIFY_OPEN), -ENOSPC);
	CHECK_EQ(watch(f[1], "/", NOTIFY_CREATE), 1); /* a change is no new one */
	file_put(f[1]);
	CHECK_EQ(watch(f[2], "/", NOTIFY_OPEN), 1);
	file_put(f[0]);
	file_put(f[2]);
	store_relaxed(&inotify_max_instances, 128);
	store_relaxed(&inotify_max_watches, 8192);
	fs_env_end();
}

HOST_TEST(every_allocation_may_fail)
{
	bool fired = true;
	uint64_t n = 1;
	fs_env_begin();
	for (; fired; n++) {
		struct vnode *root = dentry_vnode(fs_me.root.dentry);
		struct file *in;
		inject_arm(n);
		err_t err = inotify_create(1000, FILE_NONBLOCK, &in);
		int64_t number = err ? err : inotify_add(in, root, NOTIFY_ALL);
		if (number > 0)
			notify_vnode(root, NOTIFY_OPEN);
		fired = inject_fired();
		inject_arm(0);
		CHECK(number == 1 || (fired && number == -ENOMEM));
		if (err)
			continue;
		uint32_t told = next(in);
		CHECK(number < 0
			  ? !told
			  : told == (NOTIFY_OPEN | NOTIFY_IS_DIR) || (fired && told == NOTIFY_OVERFLOW));
		file_put(in);
		CHECK_EQ(fs_recount(fs_env_roots, &fs_me), 0);
	}
	CHECK(n > 5);
	fs_env_end();
}

int main(int argc, char **argv)
{
	fs_env_init(65536);
	store_relaxed(&inotify_max_watches, 8192);
	return host_test_main_started(argc, argv);
}
