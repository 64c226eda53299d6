#pragma once
/* fs_env.h - a small tree of files for host tests: a tmpfs as root, a context of somebody, and shorthand. */
#include "arch/clock.h"
#include "fs/anon.h"
#include "fs/devfs.h"
#include "fs/file.h"
#include "fs/mount.h"
#include "fs/pipe.h"
#include "fs/memfd.h"
#include "fs/tmpfs.h"
#include "kern/thread.h"
#include "lib/inject.h"
#include "mm/slab.h"
#include "object/desc.h"

#include "host_test.h"

static struct fs_context fs_me UNUSED;

static void fs_env_warm(void *arg UNUSED, unsigned i UNUSED)
{
	slab_init_cpu();
}

/* Once in a program, before its tests: every CPU gets the memory it keeps, so that tests find the same frames
 * before and after. */
static inline void fs_env_init(uint64_t nframes)
{
	host_init(nframes);
	host_run_cpus(8, fs_env_warm, NULL);
	vfs_init(NULL);
	fs_register(&tmpfs_ops);
	memfd_init();
	file_anon_init();
	MUST(devfs_init());
	while (dentry_shrink(100)) /* names of devices: a test must not find them gone */
		;
}

static inline void fs_env_begin(void)
{
	MUST(mount_root("none", &tmpfs_ops, 0, "mode=755"));
	fs_me = (struct fs_context){.umask = 022, .cred.caps = CAP_ALL};
	mount_get_root(&fs_me.root);
	fs_me.cwd = fs_me.root;
	path_get(&fs_me.cwd);
}

static inline void fs_env_roots(struct recount *r, void *arg)
{
	const struct fs_context *c = arg;
	recount_path(r, &c->root);
	recount_path(r, &c->cwd);
}

/* Everything is accounted for, and nothing is left. */
static inline void fs_env_end(void)
{
	CHECK_EQ(fs_recount(fs_env_roots, &fs_me), 0);
	path_put(&fs_me.cwd);
	path_put(&fs_me.root);
	CHECK_EQ(file_count(), 0);
	CHECK_EQ(fs_recount(NULL, NULL), 0);
	CHECK_EQ(vfs_shutdown(), 0);
}

static inline void fs_as(uint32_t uid, uint32_t gid)
{
	fs_me.cred = (struct fs_cred){.uid = uid, .gid = gid, .caps = uid ? 0 : CAP_ALL};
}

static inline struct file *fs_open(const char *name, unsigned flags, uint32_t mode)
{
	struct file *f;
	MUST(vfs_open(&fs_me, NULL, name, flags, mode, &f));
	return f;
}

/* 0 or the error of an open. */
static inline err_t fs_try_open(const char *name, unsigned flags, uint32_t mode)
{
	struct file *f;
	err_t err = vfs_open(&fs_me, NULL, name, flags, mode, &f);
	if (!err)
		file_put(f);
	return err;
}

static inline void fs_make(const char *name)
{
	file_put(fs_open(name, FILE_CREAT | FILE_EXCL | FILE_WRONLY, 0644));
}

static inline int64_t fs_read(struct file *f, void *buf, size_t n)
{
	struct uio_segment seg;
	struct uio u;
	uio_init_kernel(&u, &seg, buf, n);
	return file_read(f, &u);
}

static inline int64_t fs_write(struct file *f, const void *buf, size_t n)
{
	struct uio_segment seg;
	struct uio u;
	uio_init_kernel(&u, &seg, (void *)(uintptr_t)buf, n);
	return file_write(f, &u);
}

static inline int64_t fs_pread(struct file *f, void *buf, size_t n, int64_t pos)
{
	struct uio_segment seg;
	struct uio u;
	uio_init_kernel(&u, &seg, buf, n);
	return file_pread(f, &u, pos);
}

static inline int64_t fs_pwrite(struct file *f, const void *buf, size_t n, int64_t pos)
{
	struct uio_segment seg;
	struct uio u;
	uio_init_kernel(&u, &seg, (void *)(uintptr_t)buf, n);
	return file_pwrite(f, &u, pos);
}

static inline err_t fs_stat(const char *name, unsigned flags, struct vfs_stat *st)
{
	struct path p;
	err_t err = vfs_lookup(&fs_me, NULL, name, flags, &p);
	if (err)
		return err;
	vfs_stat_path(&p, st);
	path_put(&p);
	return 0;
}

/* What stat says of a name, 0 if it is there. */
static inline err_t fs_exists(const char *name)
{
	struct vfs_stat st;
	return fs_stat(name, WALK_NOFOLLOW, &st);
}
