/* linux_mount.c - calls on file systems as such: mounting, and what they tell of themselves. */
#include "lib/string.h"
#include "mm/slab.h"
#include "sys/files.h"

/* --- mounting --- */

#define MS_MAGIC      0xc0ed0000u /* in the upper half of the flags, from the old days: means nothing */
#define MS_MAGIC_MASK 0xffff0000u

/* A string of mount's; address 0 is none. As on Linux one without an end is -EINVAL. */
static err_t fetch_text(uaddr_t from, char **out)
{
	*out = NULL;
	if (!from)
		return 0;
	err_t err = path_fetch(from, out);
	return err == -ENAMETOOLONG ? -EINVAL : err;
}

/* Options are a page of bytes, of which what can be read counts; -EFAULT if that is nothing. */
static err_t fetch_options(uaddr_t from, char **out)
{
	*out = NULL;
	if (!from)
		return 0;
	char *text = kzalloc(PAGE_SIZE);
	if (!text)
		return -ENOMEM;
	size_t left = copy_from_user_partial(text, from, PAGE_SIZE);
	if (left == PAGE_SIZE) {
		kfree(text);
		return -EFAULT;
	}
	text[PAGE_SIZE - 1] = 0;
	*out = text;
	return 0;
}

struct mount_call {
	char *type, *source, *options; /* NULL: not given */
};

static void mount_call_end(struct mount_call *m)
{
	kfree(m->options);
	kfree(m->source);
	kfree(m->type);
}

static err_t mount_call_begin(struct mount_call *m, uaddr_t source, uaddr_t type, uaddr_t data)
{
	*m = (struct mount_call){0};
	err_t err = fetch_text(type, &m->type);
	if (!err)
		err = fetch_text(source, &m->source);
	if (!err)
		err = fetch_options(data, &m->options);
	if (err)
		mount_call_end(m);
	return err;
}

int64_t sys_mount(uaddr_t source, uaddr_t target, uaddr_t type, uint64_t flags, uaddr_t data)
{
	struct mount_call m;
	struct at_call a;
	if ((flags & MS_MAGIC_MASK) == MS_MAGIC)
		flags &= ~(uint64_t)MS_MAGIC_MASK;
	err_t err = mount_call_begin(&m, source, type, data);
	if (err)
		return err;
	err = at_begin_named(&a, AT_FDCWD, target);
	if (!err) {
		err = vfs_mount(a.c, m.source, a.name, m.type, (unsigned)flags, m.options ? m.options : "");
		at_end(&a);
	}
	mount_call_end(&m);
	return err;
}

int64_t sys_umount2(uaddr_t target, int32_t flags)
{
	struct at_call a;
	if (flags & ~(UMOUNT_FORCE | UMOUNT_DETACH | UMOUNT_EXPIRE | UMOUNT_NOFOLLOW))
		return -EINVAL;
	err_t err = at_begin_named(&a, AT_FDCWD, target);
	if (err)
		return err;
	err = vfs_umount(a.c, a.name, (unsigned)flags);
	at_end(&a);
	return err;
}

int64_t sys_pivot_root(uaddr_t new_root, uaddr_t put_old)
{
	struct at_call a;
	struct path from, to;
	char *old;
	err_t err = path_fetch(put_old, &old);
	if (err)
		return err;
	err = at_begin_named(&a, AT_FDCWD, new_root);
	if (!err) {
		err = vfs_pivot_root(a.c, a.name, old, &from, &to);
		at_end(&a);
	}
	kfree(old);
	if (err)
		return err;
	places_move(&from, &to);
	path_put(&from);
	path_put(&to);
	return 0;
}

/* --- what file systems tell --- */

enum statfs_flags {
	ST_VALID = 0x20,
	ST_RELATIME = 0x1000,
	ST_NOSYMFOLLOW = 0x2000,
	ST_SAME = MOUNT_RDONLY | MOUNT_NOSUID | MOUNT_NODEV | MOUNT_NOEXEC | MOUNT_SYNCHRONOUS |
		  MOUNT_NOATIME | MOUNT_NODIRATIME,
};

/* struct statfs of the ABI. */
struct sys_statfs {
	int64_t type, block_size;
	uint64_t blocks, free_blocks, available_blocks, files, free_files;
	uint32_t fsid[2];
	int64_t name_max, fragment_size, flags, spare[4];
};

static int64_t mount_statfs_flags(const struct mount *m)
{
	unsigned flags = load_relaxed(&m->flags);
	bool relatime = !(flags & (MOUNT_NOATIME | MOUNT_STRICTATIME));
	bool read_only = mount_want_write(m) == -EROFS;
	return ST_VALID | (flags & ST_SAME) | (relatime ? ST_RELATIME : 0) |
	       (flags & MOUNT_NOSYMFOLLOW ? ST_NOSYMFOLLOW : 0) | (read_only ? MOUNT_RDONLY : 0);
}

static err_t put_statfs(uaddr_t to, const struct fs_stats *s, int64_t flags)
{
	struct sys_statfs out = {
	    .type = (int64_t)s->type,
	    .block_size = (int64_t)s->block_size,
	    .blocks = s->blocks,
	    .free_blocks = s->free_blocks,
	    .available_blocks = s->available_blocks,
	    .files = s->files,
	    .free_files = s->free_files,
	    .fsid = {(uint32_t)s->fsid, (uint32_t)(s->fsid >> 32)},
	    .name_max = s->name_max,
	    .fragment_size = (int64_t)s->block_size,
	    .flags = flags,
	};
	return copy_to_user(to, &out, sizeof(out));
}

static err_t statfs_path(const struct path *p, uaddr_t to)
{
	struct fs_stats s;
	err_t err = vfs_statfs(p, &s);
	return err ? err : put_statfs(to, &s, mount_statfs_flags(p->mount));
}

int64_t sys_statfs(uaddr_t name, uaddr_t to)
{
	struct at_call a;
	struct path p;
	err_t err = at_begin_path(&a, AT_FDCWD, name, 0, &p);
	if (err)
		return err;
	err = statfs_path(&p, to);
	at_end_path(&a, &p);
	return err;
}

int64_t sys_fstatfs(int32_t fd, uaddr_t to)
{
	struct fd_call f;
	err_t err = fd_begin_any(&f, fd, RIGHT_INSPECT);
	if (err)
		return err;
	err = statfs_path(&f.path, to);
	fd_end(&f);
	return err;
}
