/*
 * root.c - the first file systems: a tmpfs as root, filled from the boot archive, and /dev.
 *
 * A system with a disk has a program in the archive that mounts it and moves there, as on Linux.
 */
#include "init/root.h"
#include "arch/bootinfo.h"
#include "arch/clock.h"
#include "kern/wall.h"
#include "proc/vdso.h"
#include "fs/anon.h"
#include "fs/cpio.h"
#include "fs/bdev.h"
#include "fs/devfs.h"
#include "fs/kmsg.h"
#include "fs/log_news.h"
#include "fs/ext2/ext2.h"
#include "fs/mount.h"
#include "fs/notify.h"
#include "fs/timerfd.h"
#include "fs/memfd.h"
#include "fs/tmpfs.h"
#include "fs/tty.h"
#include "fs/virtport.h"
#include "fs/writeback.h"
#include "kern/log.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "object/desc.h"
#include "proc/cred.h"
#include "proc/process.h"

static nsec_t wall_clock(void)
{
	return wall_now();
}

static void context_get(struct fs_context *c)
{
	mount_get_root(&c->root);
	c->cwd = c->root;
	path_get(&c->cwd);
	c->umask = 0;
	c->cred = (struct fs_cred){.caps = CAP_ALL};
}

static void context_put(struct fs_context *c)
{
	path_put(&c->cwd);
	path_put(&c->root);
}

/* --- the boot archive --- */

static err_t write_file(struct file *f, const struct cpio_entry *e)
{
	struct uio_segment seg;
	struct uio u;
	uio_init_kernel(&u, &seg, (void *)(uintptr_t)e->data, e->size);
	int64_t done = file_write(f, &u);
	if (done < 0)
		return (err_t)done;
	return (uint64_t)done == e->size ? 0 : -ENOSPC;
}

static err_t unpack_regular(const struct fs_context *c, const struct cpio_entry *e)
{
	struct file *f;
	err_t err = vfs_open(
	    c, NULL, e->name, FILE_CREAT | FILE_WRONLY | FILE_TRUNC | FILE_LARGEFILE, e->mode & 07777, &f);
	if (err)
		return err;
	err = write_file(f, e);
	file_put(f);
	return err;
}

static err_t unpack_link(const struct fs_context *c, const struct cpio_entry *e)
{
	char target[PATH_LEN_MAX / 16];
	if (e->size >= sizeof(target))
		return -ENAMETOOLONG;
	memcpy(target, e->data, e->size);
	target[e->size] = 0;
	return vfs_symlink(c, target, NULL, e->name);
}

/* "." stands for the root, which is there; a directory may have been made before. */
static err_t unpack_dir(const struct fs_context *c, const struct cpio_entry *e)
{
	err_t err = strcmp(e->name, ".") ? vfs_mkdir(c, NULL, e->name, e->mode & 07777) : 0;
	return err == -EEXIST ? 0 : err;
}

/* Directories on the way to a file, for archives that leave them out. */
static err_t make_parents(const struct fs_context *c, const char *name)
{
	char path[PATH_LEN_MAX / 8];
	err_t err = 0;
	for (size_t i = 0; i < sizeof(path) - 1 && name[i] && !err; i++) {
		path[i] = name[i];
		path[i + 1] = 0;
		if (name[i] != '/' || i == 0)
			continue;
		path[i] = 0;
		err = vfs_mkdir(c, NULL, path, 0755);
		if (err == -EEXIST)
			err = 0;
		path[i] = '/';
	}
	return err;
}

static err_t unpack_entry(const struct fs_context *c, const struct cpio_entry *e)
{
	err_t err = make_parents(c, e->name);
	if (err)
		return err;
	switch (e->mode & MODE_TYPE) {
	case MODE_DIR:
		return unpack_dir(c, e);
	case MODE_REG:
		return unpack_regular(c, e);
	case MODE_LINK:
		return unpack_link(c, e);
	default:
		log_info(
		    "root", "%s in the boot archive is neither file, directory nor link: left out", e->name);
		return 0;
	}
}

/* Nobody reads the archive any more: its memory is as good as any. What is not a whole page of it may be
 * somebody else's. */
static void free_archive(struct boot_module *m)
{
	uint64_t first = ALIGN_UP(m->start, (paddr_t)PAGE_SIZE) >> PAGE_SHIFT, end = m->end >> PAGE_SHIFT;
	if (first < end)
		frame_add_range(first, end);
	m->start = m->end;
}

static void unpack_archive(const struct fs_context *c)
{
	if (bootinfo.nmodules == 0) {
		log_info("root", "no boot archive: no programs");
		return;
	}
	struct boot_module *m = &bootinfo.modules[0];
	struct cpio_entry e;
	uint64_t pos = 0;
	unsigned count = 0;
	err_t err;
	while (!(err = cpio_next(phys_to_virt(m->start), m->end - m->start, &pos, &e))) {
		err = unpack_entry(c, &e);
		if (err)
			log_err("root", "cannot unpack %s: error %d", e.name, err);
		else
			count++;
	}
	if (err != -ENOENT)
		log_err("root", "boot archive is damaged at byte %lu", (unsigned long)pos);
	log_info("root", "%u files from the boot archive, %lu KiB", count,
	    (unsigned long)((m->end - m->start) >> 10));
	free_archive(m);
}

/* --- coming and going --- */

static void must(err_t err, const char *what)
{
	if (err)
		panic("cannot set up %s: error %d", what, err);
}

/* For file systems that keep their last blocks for somebody. */
static bool current_user_is(uint32_t uid, uint32_t gid)
{
	struct process *p = current_thread()->process;
	if (!p)
		return true; /* the kernel's own work */
	const struct cred *c = current_cred();
	struct fs_cred ids = {.uid = c->fsuid, .gid = c->fsgid, .groups = c->groups, .ngroups = c->ngroups};
	bool is = ids.uid == uid || (gid && fs_cred_in_group(&ids, gid)) ||
		  cap_set_has(c->effective, CAP_SYS_RESOURCE);
	return is;
}

static void current_ids(uint32_t *uid, uint32_t *gid)
{
	struct process *p = current_thread()->process;
	if (!p)
		return;
	const struct cred *c = current_cred();
	*uid = c->fsuid;
	*gid = c->fsgid;
}

void root_init(void)
{
	struct fs_context c;
	vfs_init(wall_clock);
	fs_register(&tmpfs_ops);
	memfd_init();
	fs_current_ids = current_ids;
	file_anon_init();
	timerfd_init();
	inotify_init();
	vdso_init();
	must(devfs_init(), "devices");
	log_news_init();
	must(kmsg_init(current_may_read_log), "kmsg");
	must(tty_init_devices(), "terminals");
	must(pty_init(), "ptys");
	must(console_tty_init(), "the console");
	virtport_init();
	must(bdev_init(), "disks");
	fs_current_user = current_user_is;
	fs_register(&ext2_fs_ops);
	writeback_init();
	must(mount_root("rootfs", &tmpfs_ops, 0, "mode=755"), "the root");
	context_get(&c);
	unpack_archive(&c);
	err_t err = vfs_mkdir(&c, NULL, "/dev", 0755);
	must(err == -EEXIST ? 0 : err, "/dev");
	must(vfs_mount(&c, "devtmpfs", "/dev", "devtmpfs", MOUNT_NOSUID, ""), "/dev");
	must(vfs_mount(&c, "devpts", "/dev/pts", "devpts", MOUNT_NOSUID | MOUNT_NOEXEC, ""), "/dev/pts");
	context_put(&c);
}

err_t root_open_console(struct user_thread *ut, UNUSED void *arg)
{
	struct fs_context c;
	struct file *f;
	context_get(&c);
	err_t err = vfs_open(&c, NULL, "/dev/console", FILE_RDWR | FILE_NOCTTY, 0, &f);
	context_put(&c);
	for (int fd = 0; fd < 3 && !err; fd++) {
		int got = desc_install(ut->descs, &f->object, file_rights(FILE_RDWR), false, fd, 3);
		err = got < 0 ? got : 0;
		if (err || fd == 2)
			file_put(f);
	}
	return err;
}

/* No process is left: no file is open, and every reference on what there is comes from a mount. Returns what
 * is wrong, each logged. */
static unsigned check_references(void)
{
	uint64_t files = file_count();
	unsigned wrong = fs_recount(NULL, NULL);
	if (files)
		log_err("root", "%llu files are open, though no process is left", (unsigned long long)files);
	return wrong + (files != 0);
}

/* All is unmounted: of what file systems are made of, nothing is left. Adds what is wrong to *arg. */
static void check_cache(struct slab_cache *c, void *arg)
{
	static const char *const of_files[] = {"vnode", "dentry", "file", "pipe", "pipe_end", "socket"};
	unsigned *wrong = arg;
	struct slab_stats s;
	slab_cache_stats(c, &s);
	for (unsigned i = 0; i < ARRAY_SIZE(of_files); i++) {
		if (!s.objects_used || strcmp(s.name, of_files[i]))
			continue;
		log_err(
		    "root", "%llu objects '%s' are left behind", (unsigned long long)s.objects_used, s.name);
		++*wrong;
	}
}

unsigned root_shutdown(void)
{
	writeback_fini();
	unsigned wrong = check_references() + vfs_shutdown();
	pty_fini();
	virtport_fini();
	devfs_fini();
	bdev_fini();
	file_anon_fini();
	memfd_fini();
	slab_for_each_cache(check_cache, &wrong);
	if (wrong)
		log_err("root", "shutdown: %u things are not accounted for", wrong);
	else
		log_info("root", "shutdown: all is unmounted, every reference is accounted for");
	return wrong;
}
