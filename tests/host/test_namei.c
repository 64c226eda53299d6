/*
 * test_namei.c - names: the walk, symbolic links, permissions, making, removing, renaming, mounts, paths as
 * text; each error where Linux gives it; failed allocations; threads that race. After each test every
 * reference is accounted for.
 */
#include "fs_env.h"

static char long_name[NAME_LEN_MAX + 2];

static int64_t text_of(const char *name, enum path_style style, char *buf)
{
	struct path p;
	MUST(vfs_lookup(&fs_me, NULL, name, WALK_NOFOLLOW, &p));
	int64_t n = path_to_text(&p, &fs_me.root, style, buf, PATH_LEN_MAX);
	path_put(&p);
	return n;
}

HOST_TEST(walk_and_its_errors)
{
	char buf[PATH_LEN_MAX];
	struct vfs_stat st;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "/a", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "a/b/", 0777), 0);
	fs_make("a/b/f");
	CHECK_EQ(fs_exists("a/./b//../b/f"), 0);
	CHECK_EQ(fs_exists("/../../a/b/f"), 0);
	CHECK_EQ(fs_exists("a/x/f"), -ENOENT);
	CHECK_EQ(fs_exists("a/b/f/"), -ENOTDIR);
	CHECK_EQ(fs_exists("a/b/f/."), -ENOTDIR);
	CHECK_EQ(fs_exists("a/b/f/x"), -ENOTDIR);
	CHECK_EQ(fs_exists(""), -ENOENT);
	CHECK_EQ(fs_exists("a/b/"), 0);
	CHECK_EQ(fs_exists("/"), 0);
	CHECK_EQ(fs_exists(long_name), -ENAMETOOLONG);
	long_name[NAME_LEN_MAX] = 0;
	CHECK_EQ(fs_exists(long_name), -ENOENT);
	fs_make(long_name);
	CHECK_EQ(fs_exists(long_name), 0);
	long_name[NAME_LEN_MAX] = 'x';
	CHECK_EQ(fs_stat("", WALK_EMPTY, &st), 0);
	CHECK_EQ(st.mode, MODE_DIR | 0755);
	CHECK_EQ(fs_stat("a", WALK_DIRECTORY, &st), 0);
	CHECK_EQ(st.nlink, 3);
	CHECK_EQ(fs_stat("a/b/f", WALK_DIRECTORY, &st), -ENOTDIR);
	CHECK_EQ(text_of("a/b/f", PATH_CWD, buf), 6);
	CHECK(!strcmp(buf, "/a/b/f"));
	CHECK_EQ(text_of("/", PATH_CWD, buf), 1);
	CHECK(!strcmp(buf, "/"));
	fs_env_end();
}

HOST_TEST(symbolic_links)
{
	char buf[PATH_LEN_MAX], name[16], target[16];
	struct vfs_stat st;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d", 0777), 0);
	fs_make("d/f");
	CHECK_EQ(vfs_symlink(&fs_me, "d", NULL, "l"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "/d/f", NULL, "abs"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "../l/f", NULL, "d/up"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "nowhere", NULL, "dangling"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "d/f/", NULL, "slashed"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "l/", NULL, "dirslash"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "", NULL, "empty"), -ENOENT);
	CHECK_EQ(fs_stat("l/f", 0, &st), 0);
	CHECK_EQ(fs_stat("abs", 0, &st), 0);
	CHECK_EQ(st.mode, MODE_REG | 0644);
	CHECK_EQ(fs_stat("l/up", 0, &st), 0);
	CHECK_EQ(fs_stat("l", WALK_NOFOLLOW, &st), 0);
	CHECK_EQ(st.mode, MODE_LINK | 0777);
	CHECK_EQ(st.size, 1);
	CHECK_EQ(fs_stat("l/", WALK_NOFOLLOW, &st), 0);
	CHECK_EQ(st.mode & MODE_TYPE, MODE_DIR);
	CHECK_EQ(fs_stat("dangling", 0, &st), -ENOENT);
	CHECK_EQ(fs_stat("dangling/", WALK_NOFOLLOW, &st), -ENOENT);
	CHECK_EQ(fs_stat("abs/", WALK_NOFOLLOW, &st), -ENOTDIR);
	CHECK_EQ(fs_stat("slashed", 0, &st), -ENOTDIR);
	CHECK_EQ(fs_stat("dirslash/f", 0, &st), 0);
	CHECK_EQ(vfs_readlink(&fs_me, NULL, "abs", buf, sizeof(buf)), 4);
	CHECK_EQ(vfs_readlink(&fs_me, NULL, "abs", buf, 2), 2);
	CHECK(!memcmp(buf, "/d", 2));
	CHECK_EQ(vfs_readlink(&fs_me, NULL, "d", buf, sizeof(buf)), -EINVAL);
	CHECK_EQ(vfs_symlink(&fs_me, "loop2", NULL, "loop1"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "loop1", NULL, "loop2"), 0);
	CHECK_EQ(fs_stat("loop1", 0, &st), -ELOOP);
	CHECK_EQ(fs_stat("loop1/x", 0, &st), -ELOOP);
	CHECK_EQ(vfs_symlink(&fs_me, "d", NULL, "c0"), 0);
	for (int i = 1; i <= 40; i++) { /* c39 is 40 links long */
		snprintf(name, sizeof(name), "c%d", i);
		snprintf(target, sizeof(target), "c%d", i - 1);
		CHECK_EQ(vfs_symlink(&fs_me, target, NULL, name), 0);
	}
	CHECK_EQ(fs_stat("c39/f", 0, &st), 0);
	CHECK_EQ(fs_stat("c40", 0, &st), -ELOOP);
	CHECK_EQ(vfs_symlink(&fs_me, "f/x", NULL, "d/through"), 0);
	CHECK_EQ(fs_stat("d/through", 0, &st), -ENOTDIR);
	fs_env_end();
}

HOST_TEST(nested_links_go_on_after_themselves)
{
	struct vfs_stat st;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "a", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "a/b", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "a/b/c", 0777), 0);
	fs_make("a/b/c/f");
	CHECK_EQ(vfs_symlink(&fs_me, "a/l2/c", NULL, "l1"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "l3", NULL, "a/l2"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "./b/", NULL, "a/l3"), 0);
	CHECK_EQ(fs_stat("l1/f", 0, &st), 0);
	CHECK_EQ(fs_stat("l1/../c/f", 0, &st), 0);
	CHECK_EQ(fs_stat("l1", 0, &st), 0);
	CHECK_EQ(fs_stat("a/l2/c/f", 0, &st), 0);
	CHECK_EQ(fs_stat("l1/f/", 0, &st), -ENOTDIR);
	fs_env_end();
}

HOST_TEST(open_flags)
{
	struct file *f;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d", 0777), 0);
	CHECK_EQ(fs_try_open("f", FILE_RDONLY, 0), -ENOENT);
	CHECK_EQ(fs_try_open("f/", FILE_CREAT | FILE_RDWR, 0644), -EISDIR);
	CHECK_EQ(fs_try_open("f", FILE_CREAT | FILE_RDWR, 0644), 0);
	CHECK_EQ(fs_try_open("f", FILE_CREAT | FILE_EXCL | FILE_RDWR, 0644), -EEXIST);
	CHECK_EQ(fs_try_open("f", FILE_CREAT | FILE_RDWR, 0644), 0);
	CHECK_EQ(fs_try_open("d", FILE_RDWR, 0), -EISDIR);
	CHECK_EQ(fs_try_open("d", FILE_CREAT | FILE_RDONLY, 0), -EISDIR);
	CHECK_EQ(fs_try_open("d", FILE_DIRECTORY, 0), 0);
	CHECK_EQ(fs_try_open("d/", FILE_RDONLY, 0), 0);
	CHECK_EQ(fs_try_open(".", FILE_CREAT, 0), -EISDIR);
	CHECK_EQ(fs_try_open("f", FILE_DIRECTORY, 0), -ENOTDIR);
	CHECK_EQ(fs_try_open("f/", FILE_RDONLY, 0), -ENOTDIR);
	CHECK_EQ(vfs_symlink(&fs_me, "f", NULL, "l"), 0);
	CHECK_EQ(vfs_symlink(&fs_me, "made", NULL, "new"), 0);
	CHECK_EQ(fs_try_open("l", FILE_NOFOLLOW, 0), -ELOOP);
	CHECK_EQ(fs_try_open("l", FILE_NOFOLLOW | FILE_PATH, 0), 0);
	CHECK_EQ(fs_try_open("l", FILE_CREAT | FILE_EXCL, 0644), -EEXIST);
	CHECK_EQ(fs_try_open("new", FILE_CREAT | FILE_EXCL, 0644), -EEXIST);
	CHECK_EQ(fs_try_open("new", FILE_CREAT | FILE_WRONLY, 0644), 0);
	CHECK_EQ(fs_exists("made"), 0);
	CHECK_EQ(fs_try_open("d", FILE_TMPFILE | FILE_RDONLY, 0600), -EINVAL);
	CHECK_EQ(fs_try_open("f", FILE_TMPFILE | FILE_RDWR, 0600), -ENOTDIR);
	CHECK_EQ(fs_try_open("d", (FILE_TMPFILE & ~FILE_DIRECTORY) | FILE_RDWR, 0600), -EINVAL);
	CHECK_EQ(fs_try_open("d", FILE_TMPFILE | FILE_RDWR, 0600), 0);
	f = fs_open("f", FILE_PATH, 0);
	CHECK_EQ(fs_read(f, "", 0), -EBADF);
	CHECK_EQ(file_seek(f, 0, 0), -EBADF);
	file_put(f);
	f = fs_open("f", FILE_RDWR, 0);
	CHECK_EQ(fs_write(f, "hello", 5), 5);
	CHECK_EQ(fs_try_open("f", FILE_WRONLY | FILE_TRUNC, 0), 0);
	CHECK_EQ(file_seek(f, 0, FILE_SEEK_END), 0);
	CHECK_EQ(vnode_deny_write(f->vnode), -ETXTBSY);
	struct vnode *v = f->vnode;
	vnode_get(v);
	file_put(f);
	CHECK_EQ(vnode_deny_write(v), 0);
	CHECK_EQ(fs_try_open("f", FILE_WRONLY, 0), -ETXTBSY);
	CHECK_EQ(fs_try_open("f", FILE_RDONLY, 0), 0);
	vnode_allow_write(v);
	CHECK_EQ(fs_try_open("f", FILE_WRONLY, 0), 0);
	vnode_put(v);
	fs_env_end();
}

HOST_TEST(permissions)
{
	static const uint32_t groups[] = {7, 50};
	struct path p;
	struct vfs_stat st;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "tmp", 0777), 0);
	MUST(vfs_lookup(&fs_me, NULL, "tmp", 0, &p));
	CHECK_EQ(vfs_chmod(&fs_me, &p, 01777), 0);
	path_put(&p);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "secret", 0700), 0);
	fs_make("secret/f");
	file_put(fs_open("script", FILE_CREAT | FILE_WRONLY, 0644));
	MUST(vfs_lookup(&fs_me, NULL, "script", 0, &p));
	CHECK_EQ(vnode_permission(&fs_me.cred, path_vnode(&p), MAY_EXEC), -EACCES); /* root needs an x bit */
	CHECK_EQ(vfs_chmod(&fs_me, &p, 0010), 0);
	CHECK_EQ(vnode_permission(&fs_me.cred, path_vnode(&p), MAY_EXEC | MAY_WRITE), 0);
	CHECK_EQ(vfs_chown(&fs_me, &p, 100, 50), 0);
	fs_as(100, 50);
	CHECK_EQ(vnode_permission(&fs_me.cred, path_vnode(&p), MAY_EXEC),
	    -EACCES); /* the owner's bits count alone */
	fs_as(101, 1);
	fs_me.cred.groups = groups;
	fs_me.cred.ngroups = 2;
	CHECK_EQ(vnode_permission(&fs_me.cred, path_vnode(&p), MAY_EXEC), 0);
	CHECK_EQ(vfs_chmod(&fs_me, &p, 0777), -EPERM);
	CHECK_EQ(vfs_chown(&fs_me, &p, 101, OWNER_KEEP), -EPERM);
	path_put(&p);
	CHECK_EQ(fs_exists("secret/f"), -EACCES);
	CHECK_EQ(fs_exists("secret"), 0);
	CHECK_EQ(fs_try_open("x", FILE_CREAT | FILE_WRONLY, 0644), -EACCES);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "x", 0777), -EACCES);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "script"), -EACCES);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "none"), -ENOENT);
	fs_make("tmp/mine");
	CHECK_EQ(fs_try_open("tmp/readonly", FILE_CREAT | FILE_RDWR, 0444),
	    0); /* just made: rights do not count */
	CHECK_EQ(fs_try_open("tmp/readonly", FILE_RDWR, 0), -EACCES);
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "tmp/dev", MODE_CHAR | 0666, DEV_MAKE(1, 3), NULL), -EPERM);
	fs_as(102, 2);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "tmp/mine"), -EPERM); /* sticky */
	CHECK_EQ(vfs_rename(&fs_me, NULL, "tmp/mine", NULL, "tmp/x", 0), -EPERM);
	CHECK_EQ(vfs_link(&fs_me, NULL, "tmp/mine", 0, NULL, "tmp/y"), -EPERM); /* protected */
	fs_as(101, 1);
	MUST(vfs_lookup(&fs_me, NULL, "tmp/mine", 0, &p));
	CHECK_EQ(vfs_chmod(&fs_me, &p, 04755), 0);
	CHECK_EQ(vfs_chown(&fs_me, &p, OWNER_KEEP, 1), 0); /* clears set-user-id */
	path_put(&p);
	CHECK_EQ(fs_stat("tmp/mine", 0, &st), 0);
	CHECK_EQ(st.mode, MODE_REG | 0755);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "tmp/mine"), 0);
	fs_as(0, 0);
	fs_env_end();
}

HOST_TEST(set_group_id_directories)
{
	struct vfs_stat st;
	struct path p;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "g", 0777), 0);
	MUST(vfs_lookup(&fs_me, NULL, "g", 0, &p));
	CHECK_EQ(vfs_chown(&fs_me, &p, 0, 77), 0);
	CHECK_EQ(vfs_chmod(&fs_me, &p, 02777), 0);
	path_put(&p);
	fs_as(5, 5);
	fs_make("g/f");
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "g/d", 0777), 0);
	CHECK_EQ(fs_stat("g/f", 0, &st), 0);
	CHECK_EQ(st.gid, 77);
	CHECK_EQ(fs_stat("g/d", 0, &st), 0);
	CHECK_EQ(st.mode, MODE_DIR | 02755);
	fs_as(0, 0);
	fs_env_end();
}

HOST_TEST(making_and_removing)
{
	struct vfs_stat st;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d", 0777), -EEXIST);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "/", 0777), -EEXIST);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d/..", 0777), -EEXIST);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "x/y", 0777), -ENOENT);
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "fifo/", MODE_FIFO | 0600, 0, NULL), -ENOENT);
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "dir", MODE_DIR | 0600, 0, NULL), -EPERM);
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "odd", MODE_LINK | 0600, 0, NULL), -EINVAL);
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "plain", 0600, 0, NULL), 0);
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "nul", MODE_CHAR | 0666, DEV_MAKE(1, 3), NULL), 0);
	CHECK_EQ(fs_stat("nul", 0, &st), 0);
	CHECK_EQ(st.rdev, 0x103);
	fs_make("d/f");
	CHECK_EQ(vfs_link(&fs_me, NULL, "d/f", 0, NULL, "g"), 0);
	CHECK_EQ(vfs_link(&fs_me, NULL, "d", 0, NULL, "h"), -EPERM);
	CHECK_EQ(vfs_link(&fs_me, NULL, "d/f", 0, NULL, "g"), -EEXIST);
	CHECK_EQ(fs_stat("g", 0, &st), 0);
	CHECK_EQ(st.nlink, 2);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "d"), -ENOTEMPTY);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "d/."), -EINVAL);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "d/.."), -ENOTEMPTY);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "/"), -EBUSY);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "g"), -ENOTDIR);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "d"), -EISDIR);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "d/"), -EISDIR);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "g/"), -ENOTDIR);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "d/."), -EISDIR);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "d/f"), 0);
	CHECK_EQ(fs_stat("g", 0, &st), 0);
	CHECK_EQ(st.nlink, 1);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "d/"), 0);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "d"), -ENOENT);
	fs_env_end();
}

HOST_TEST(removed_directories_are_dead)
{
	char buf[PATH_LEN_MAX];
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d", 0777), 0);
	struct path d, old = fs_me.cwd;
	MUST(vfs_lookup(&fs_me, NULL, "d", 0, &d));
	CHECK_EQ(fs_exists("d/none"), -ENOENT); /* a negative name in the cache */
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "d"), 0);
	fs_me.cwd = d;
	CHECK_EQ(fs_try_open("x", FILE_CREAT | FILE_WRONLY, 0644), -ENOENT);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "x", 0777), -ENOENT);
	CHECK_EQ(fs_exists("none"), -ENOENT);
	CHECK_EQ(fs_exists("."), 0);
	CHECK_EQ(fs_exists(".."), 0);
	CHECK_EQ(path_to_text(&d, &fs_me.root, PATH_CWD, buf, sizeof(buf)), -ENOENT);
	CHECK_EQ(path_to_text(&d, &fs_me.root, PATH_FD, buf, sizeof(buf)), 12);
	CHECK(!strcmp(buf, "/d (deleted)"));
	fs_me.cwd = old;
	path_put(&d);
	fs_env_end();
}

HOST_TEST(renames)
{
	char buf[PATH_LEN_MAX];
	struct vfs_stat st, before;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "a", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "b", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "a/sub", 0777), 0);
	fs_make("a/f");
	fs_make("b/g");
	struct file *f = fs_open("a/f", FILE_RDONLY, 0);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a/f", NULL, "b/f", 0), 0);
	CHECK(file_describe(f, &fs_me.root, buf, sizeof(buf)) > 0 && !strcmp(buf, "/b/f"));
	CHECK_EQ(fs_exists("a/f"), -ENOENT);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "b/f", NULL, "b/g", RENAME_NOREPLACE), -EEXIST);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "b/f", NULL, "b/g", 0), 0);
	CHECK(file_describe(f, &fs_me.root, buf, sizeof(buf)) > 0 && !strcmp(buf, "/b/g"));
	CHECK_EQ(vfs_rename(&fs_me, NULL, "b/f", NULL, "b/h", 0), -ENOENT);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a", NULL, "a/sub/x", 0), -EINVAL);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a", NULL, "a/x", 0), -EINVAL);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a/sub", NULL, "a", 0), -ENOTEMPTY);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a", NULL, "b", 0), -ENOTEMPTY);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "b/g", NULL, "a", 0), -EISDIR);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a", NULL, "b/g", 0), -ENOTDIR);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "b/g", NULL, "b/new/", 0), -ENOTDIR);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a/.", NULL, "c", 0), -EBUSY);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a", NULL, "c", RENAME_NOREPLACE | RENAME_EXCHANGE), -EINVAL);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a", NULL, "c", RENAME_EXCHANGE), -ENOENT);
	CHECK_EQ(fs_stat("a", 0, &before), 0);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a/sub", NULL, "b/g", RENAME_EXCHANGE), 0);
	CHECK(file_describe(f, &fs_me.root, buf, sizeof(buf)) > 0 && !strcmp(buf, "/a/sub"));
	CHECK_EQ(fs_stat("a", 0, &st), 0);
	CHECK_EQ(st.nlink, 2);
	CHECK_EQ(fs_stat("b", 0, &st), 0);
	CHECK_EQ(st.nlink, 3);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "empty", 0777), 0);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "b", NULL, "empty/", 0), 0);
	CHECK_EQ(fs_exists("empty/g"), 0);
	CHECK_EQ(fs_exists("b"), -ENOENT);
	CHECK_EQ(vfs_link(&fs_me, NULL, "a/sub", 0, NULL, "same"), 0);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "same", NULL, "a/sub", 0),
	    0); /* two names of one file: nothing happens */
	CHECK_EQ(fs_exists("same"), 0);
	file_put(f);
	fs_env_end();
}

HOST_TEST(long_names_are_renamed)
{
	char a[100], b[120], buf[PATH_LEN_MAX];
	fs_env_begin();
	memset(a, 'a', sizeof(a) - 1);
	memset(b, 'b', sizeof(b) - 1);
	a[sizeof(a) - 1] = b[sizeof(b) - 1] = 0;
	fs_make(a);
	fs_make("short");
	struct file *f = fs_open(a, FILE_RDONLY, 0);
	CHECK_EQ(vfs_rename(&fs_me, NULL, a, NULL, "short", RENAME_EXCHANGE), 0);
	CHECK_EQ(file_describe(f, &fs_me.root, buf, sizeof(buf)), 6);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "short", NULL, b, 0), 0);
	CHECK_EQ(file_describe(f, &fs_me.root, buf, sizeof(buf)), 120);
	CHECK_EQ(vfs_rename(&fs_me, NULL, b, NULL, a, RENAME_EXCHANGE), 0);
	CHECK_EQ(vfs_rename(&fs_me, NULL, a, NULL, b, 0), 0);
	CHECK(file_describe(f, &fs_me.root, buf, sizeof(buf)) > 0 && !strcmp(buf + 1, b));
	CHECK_EQ(vfs_unlink(&fs_me, NULL, b), 0);
	CHECK(file_describe(f, &fs_me.root, buf, sizeof(buf)) > 0 && strstr(buf, " (deleted)"));
	file_put(f);
	fs_env_end();
}

HOST_TEST(mounts)
{
	struct vfs_stat st, outer;
	char buf[PATH_LEN_MAX];
	struct path p;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "mnt", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "mnt/covered", 0777), 0);
	fs_make("plain");
	CHECK_EQ(fs_stat("mnt", 0, &outer), 0);
	CHECK_EQ(vfs_mount(&fs_me, "none", "mnt", "nofs", 0, ""), -ENODEV);
	CHECK_EQ(vfs_mount(&fs_me, "none", "plain", "tmpfs", 0, ""), -ENOTDIR);
	CHECK_EQ(vfs_mount(&fs_me, "none", "mnt", "tmpfs", 0, "size=zz"), -EINVAL);
	CHECK_EQ(vfs_mount(&fs_me, "none", "mnt", "tmpfs", 0, "size=1M,mode=700"), 0);
	CHECK_EQ(fs_exists("mnt/covered"), -ENOENT);
	CHECK_EQ(fs_stat("mnt", 0, &st), 0);
	CHECK(st.dev != outer.dev && st.mount_root);
	CHECK_EQ(st.mode, MODE_DIR | 0700);
	CHECK_EQ(fs_stat("mnt/..", 0, &st), 0);
	CHECK_EQ(st.dev, outer.dev);
	fs_make("mnt/f");
	CHECK_EQ(text_of("mnt/f", PATH_CWD, buf), 6);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "mnt/f", NULL, "f", 0), -EXDEV);
	CHECK_EQ(vfs_link(&fs_me, NULL, "mnt/f", 0, NULL, "f"), -EXDEV);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "mnt"), -EBUSY);
	CHECK_EQ(vfs_rename(&fs_me, NULL, "mnt", NULL, "m", 0), -EBUSY);
	struct file *f = fs_open("mnt/f", FILE_RDWR, 0);
	CHECK_EQ(vfs_umount(&fs_me, "mnt", 0), -EBUSY);
	CHECK_EQ(fs_write(f, "x", 1), 1);
	CHECK_EQ(vfs_mount(&fs_me, "", "mnt", "", MOUNT_REMOUNT | MOUNT_RDONLY, ""), -EBUSY);
	struct vm_object *o;
	CHECK_EQ(file_mmap(f, 0, PAGE_SIZE, VM_READ, VM_MAP_SHARED, &o), 0);
	file_put(f);
	CHECK_EQ(vfs_mount(&fs_me, "", "mnt", "", MOUNT_REMOUNT | MOUNT_RDONLY, ""), 0);
	CHECK_EQ(fs_try_open("mnt/f", FILE_RDWR, 0), -EROFS);
	CHECK_EQ(fs_try_open("mnt/g", FILE_CREAT | FILE_RDWR, 0), -EROFS);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "mnt/f", 0), -EEXIST);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "mnt/g", 0), -EROFS);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "mnt/f"), -EROFS);
	struct vm_space *s;
	uaddr_t at;
	MUST(space_create(&s));
	MUST(space_map(s,
	    &(struct vm_map_args){.len = PAGE_SIZE, .prot = VM_READ, .flags = VM_MAP_SHARED, .object = o},
	    &at));
	object_put(o);
	CHECK_EQ(vfs_umount(&fs_me, "mnt", 0), -EBUSY); /* mapped */
	CHECK_EQ(fs_exists("mnt/f"), 0);
	space_put(s);
	MUST(vfs_lookup(&fs_me, NULL, "mnt", 0, &p));
	CHECK_EQ(vfs_umount(&fs_me, "mnt", 0), -EBUSY); /* somebody's directory */
	path_put(&p);
	CHECK_EQ(vfs_mount(&fs_me, "none", "mnt", "tmpfs", 0, ""), 0); /* one on the other */
	CHECK_EQ(fs_exists("mnt/f"), -ENOENT);
	CHECK_EQ(fs_stat("mnt/..", 0, &st), 0);
	CHECK_EQ(st.dev, outer.dev);
	CHECK_EQ(vfs_umount(&fs_me, "mnt", 0), 0);
	CHECK_EQ(vfs_umount(&fs_me, "mnt", 0), 0);
	CHECK_EQ(vfs_umount(&fs_me, "mnt", 0), -EINVAL);
	CHECK_EQ(vfs_umount(&fs_me, "/", UMOUNT_DETACH), -EINVAL);
	CHECK_EQ(vfs_umount(&fs_me, "/", 0), 0); /* as much as can be: it is read-only now */
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "/no", 0755), -EROFS);
	CHECK_EQ(vfs_mount(&fs_me, NULL, "/", NULL, MOUNT_REMOUNT, ""), 0);
	CHECK_EQ(fs_exists("mnt/covered"), 0);
	fs_env_end();
}

HOST_TEST(binds_moves_and_detaching)
{
	char buf[PATH_LEN_MAX];
	struct path p;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "a", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "a/in", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "b", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "c", 0777), 0);
	fs_make("a/in/f");
	CHECK_EQ(vfs_mount(&fs_me, "/a", "/b", "", MOUNT_BIND, ""), 0);
	CHECK_EQ(fs_exists("b/in/f"), 0);
	CHECK_EQ(text_of("b/in/f", PATH_CWD, buf), 7);
	CHECK(!strcmp(buf, "/b/in/f"));
	CHECK_EQ(vfs_rename(&fs_me, NULL, "a/in/f", NULL, "b/f", 0), -EXDEV);
	CHECK_EQ(vfs_mount(&fs_me, "/b", "/c", "", MOUNT_MOVE, ""), 0);
	CHECK_EQ(fs_exists("b/in"), -ENOENT);
	CHECK_EQ(fs_exists("c/in/f"), 0);
	CHECK_EQ(vfs_mount(&fs_me, "/c", "/c/in", "", MOUNT_MOVE, ""), -ELOOP);
	CHECK_EQ(vfs_mount(&fs_me, "/b", "/c", "", MOUNT_MOVE, ""), -EINVAL);
	CHECK_EQ(vfs_umount(&fs_me, "c", 0), 0);
	CHECK_EQ(vfs_mount(&fs_me, "none", "/c", "tmpfs", 0, ""), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "c/deep", 0777), 0);
	CHECK_EQ(vfs_mount(&fs_me, "none", "/c/deep", "tmpfs", 0, ""), 0);
	CHECK_EQ(vfs_umount(&fs_me, "c", 0), -EBUSY); /* one below */
	MUST(vfs_lookup(&fs_me, NULL, "c/deep", 0, &p));
	CHECK_EQ(vfs_umount(&fs_me, "c", UMOUNT_DETACH), 0);
	CHECK_EQ(fs_exists("c/deep"), -ENOENT);
	CHECK_EQ(path_to_text(&p, &fs_me.root, PATH_CWD, buf, sizeof(buf)), 14);
	CHECK(!strcmp(buf, "(unreachable)/"));
	path_put(&p);
	fs_env_end();
}

HOST_TEST(roots_hold_the_walk)
{
	char buf[PATH_LEN_MAX];
	struct path jail, old = fs_me.root;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "jail", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "jail/in", 0777), 0);
	fs_make("out");
	CHECK_EQ(vfs_symlink(&fs_me, "/in", NULL, "jail/l"), 0);
	MUST(vfs_lookup(&fs_me, NULL, "jail", 0, &jail));
	old = fs_me.root;
	fs_me.root = jail;
	CHECK_EQ(fs_exists("/../out"), -ENOENT);
	CHECK_EQ(fs_exists("/l"), 0);
	CHECK_EQ(fs_exists("/l/../in"), 0);
	CHECK_EQ(text_of("/in", PATH_CWD, buf), 3);
	CHECK_EQ(path_to_text(&fs_me.cwd, &fs_me.root, PATH_CWD, buf, sizeof(buf)), 14);
	CHECK(!strcmp(buf, "(unreachable)/"));
	fs_me.root = old;
	path_put(&jail);
	fs_env_end();
}

HOST_TEST(texts_that_do_not_fit)
{
	char buf[8];
	struct path p;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "longer", 0777), 0);
	MUST(vfs_lookup(&fs_me, NULL, "longer", 0, &p));
	CHECK_EQ(path_to_text(&p, &fs_me.root, PATH_CWD, buf, 7), -ERANGE);
	CHECK_EQ(path_to_text(&p, &fs_me.root, PATH_FD, buf, 7), -ENAMETOOLONG);
	CHECK_EQ(path_to_text(&p, &fs_me.root, PATH_CWD, buf, 8), 7);
	path_put(&p);
	fs_env_end();
}

HOST_TEST(unused_names_are_dropped)
{
	uint64_t all, unused, all2;
	char name[32];
	fs_env_begin();
	while (dentry_shrink(100))
		;
	dentry_counts(&all, &unused);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "none%d", i);
		CHECK_EQ(fs_exists(name), -ENOENT);
	}
	dentry_counts(&all2, &unused);
	CHECK_EQ(all2 - all, 300);
	CHECK_EQ(dentry_shrink(100), 100);
	dentry_counts(&all2, &unused);
	CHECK_EQ(all2 - all, 200);
	while (dentry_shrink(100))
		;
	dentry_counts(&all2, &unused);
	CHECK_EQ(all2, all);
	fs_env_end();
}

/* A run of operations that each may fail; what was there before is there after, whatever failed. */
static err_t many_operations(void)
{
	err_t err = vfs_mkdir(&fs_me, NULL, "d", 0777);
	if (!err)
		err = vfs_symlink(&fs_me, "d/f", NULL, "l");
	if (!err)
		err = fs_try_open("l", FILE_CREAT | FILE_WRONLY, 0644);
	if (!err)
		err =
		    vfs_link(&fs_me, NULL, "l", 0, NULL, "d/a-name-that-is-too-long-to-lie-inside-a-dentry");
	if (!err)
		err = vfs_rename(&fs_me, NULL, "d/a-name-that-is-too-long-to-lie-inside-a-dentry", NULL,
		    "another-name-that-is-too-long-to-lie-inside-a-dentry", 0);
	if (!err)
		err = vfs_mount(&fs_me, "none", "d", "tmpfs", 0, "");
	if (!err)
		err = vfs_umount(&fs_me, "d", 0);
	return err;
}

static void clean_up(void)
{
	(void)!vfs_umount(&fs_me, "d", 0);
	(void)!vfs_unlink(&fs_me, NULL, "l");
	(void)!vfs_unlink(&fs_me, NULL, "d/f");
	(void)!vfs_unlink(&fs_me, NULL, "d/a-name-that-is-too-long-to-lie-inside-a-dentry");
	(void)!vfs_unlink(&fs_me, NULL, "another-name-that-is-too-long-to-lie-inside-a-dentry");
	(void)!vfs_rmdir(&fs_me, NULL, "d");
}

HOST_TEST(every_allocation_may_fail)
{
	bool fired = true;
	fs_env_begin();
	for (uint64_t n = 1; fired; n++) {
		inject_arm(n);
		err_t err = many_operations();
		fired = inject_fired();
		inject_arm(0);
		CHECK(err == 0 || (fired && err == -ENOMEM));
		clean_up();
		CHECK_EQ(fs_exists("d"), -ENOENT);
		CHECK_EQ(fs_recount(fs_env_roots, &fs_me), 0);
		while (dentry_shrink(100))
			;
	}
	fs_env_end();
}

static void race_names(void *arg UNUSED, unsigned i)
{
	static const char *const names[] = {"x/a", "x/b", "y/a", "y/b", "x/d", "y/d", "x/d/f", "y/d/f"};
	struct fs_context c = fs_me;
	struct vfs_stat st UNUSED;
	uint32_t seed = i * 2654435761u + 12345;
	for (int n = 0; n < 3000; n++) {
		struct path p;
		struct file *f;
		seed = seed * 1664525 + 1013904223;
		const char *one = names[seed >> 20 & 7], *two = names[seed >> 24 & 7];
		switch (seed >> 28) {
		case 0 ... 2:
			if (!vfs_open(&c, NULL, one, FILE_CREAT | FILE_RDWR, 0644, &f))
				file_put(f);
			break;
		case 3 ... 4:
			(void)!vfs_unlink(&c, NULL, one);
			break;
		case 5:
			(void)!vfs_mkdir(&c, NULL, one, 0755);
			break;
		case 6:
			(void)!vfs_rmdir(&c, NULL, one);
			break;
		case 7 ... 9:
			(void)!vfs_rename(&c, NULL, one, NULL, two, 0);
			break;
		case 10:
			(void)!vfs_rename(&c, NULL, one, NULL, two, RENAME_EXCHANGE);
			break;
		case 11:
			(void)!vfs_link(&c, NULL, one, 0, NULL, two);
			break;
		case 12:
			dentry_shrink(3);
			break;
		default:
			if (!vfs_lookup(&c, NULL, one, 0, &p)) {
				char buf[256];
				(void)!path_to_text(&p, &c.root, PATH_FD, buf, sizeof(buf));
				path_put(&p);
			}
		}
	}
}

HOST_TEST(threads_race)
{
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "x", 0777), 0);
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "y", 0777), 0);
	host_run_cpus(4, race_names, NULL);
	fs_env_end();
}

int main(int argc, char **argv)
{
	memset(long_name, 'x', sizeof(long_name) - 1);
	fs_env_init(65536);
	return host_test_main_started(argc, argv);
}
