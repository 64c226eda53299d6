/*
 * procfs.c - the tree of /proc: which names there are, and what stands behind each.
 *
 * A directory has fixed names, from tables, and numbers: processes, threads, descriptors. A vnode is made
 * when a name is looked up and lives as long as somebody uses it; it holds the process's record, so that it
 * can tell whether that process is there still. Names that come and go by themselves are not kept in the
 * cache of names, and are asked again whether they are true.
 *
 * The number of a vnode is put together from the process's serial number, the thread, the directory's class
 * and the place in it; so the same name is the same vnode while it is in use.
 */
#include "fs/mount.h"
#include "kern/log.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "object/desc.h"
#include "proc/cred.h"
#include "proc/proc_priv.h"
#include "proc/procfs_priv.h"

enum {
	INDEX_BITS = 20,
	CLASS_BITS = 4,
	TID_BITS = 15,
	ROOT_INO = 1,
	FD_LINK_SIZE = 64
}; /* the size is what Linux tells of any such link */

static const struct vnode_ops proc_vnode_ops, proc_magic_ops;
static const struct proc_entry root_entry = {.mode = MODE_DIR | 0555};

static const struct proc_dir *dir_of(const struct proc_node *n);

/* --- nodes --- */

bool proc_node_is_alive(const struct proc_node *n)
{
	bool alive = true;
	if (!n->process)
		return true;
	spin_lock(&process_tree_lock);
	if (n->process->state == PROCESS_FORGIVEN)
		alive = false;
	else if (n->tid && n->tid != n->process->pid) {
		struct user_thread *ut = user_thread_find_locked(n->tid);
		alive = ut && ut->thread.process == n->process;
	}
	spin_unlock(&process_tree_lock);
	return alive;
}

static uint64_t node_ino(const struct proc_node *n, const struct proc_dir *in, unsigned index)
{
	uint64_t ino = n->process ? n->process->serial : 0;
	ino = ino << TID_BITS | n->tid;
	ino = ino << CLASS_BITS | in->class;
	return (ino << INDEX_BITS | index) + ROOT_INO + 1;
}

/* Permissions of a descriptor's link say what it is good for: how it was opened, unless it has fewer rights.
 */
static uint32_t node_mode(const struct proc_node *n, const struct proc_dir *in)
{
	struct desc_table *t = in->class == CLASS_FD ? task_descs(n->process, n->tid) : NULL;
	struct kobject *o;
	uint32_t mode = n->entry->mode, rights;
	if (t && !desc_lookup(t, n->fd, &o, &rights)) {
		mode |= (rights & RIGHT_READ ? 0500 : 0) | (rights & RIGHT_WRITE ? 0300 : 0);
		kobject_put(o);
	}
	if (t)
		desc_table_put(t);
	return mode;
}

/* What is of a process is its user's; its files are the superuser's if its user may not look into it. It
 * always finds its own descriptors. v->lock held for writing, or v is new. */
static void set_owner(struct vnode *v, const struct proc_node *n)
{
	if (!n->process)
		return;
	struct cred *c = task_cred(n->process, n->tid);
	bool open =
	    (n->entry->mode & MODE_TYPE) != MODE_REG || load_relaxed(&n->process->core.dumpable) == DUMP_USER;
	v->uid = open ? c->euid : 0;
	v->gid = open ? c->egid : 0;
	cred_put(c);
}

/* The vnode of node *n, which stands at `index` in the directory `in`. Takes over n's process reference. */
static err_t node_vnode(
    struct fs *fs, struct proc_node *n, const struct proc_dir *in, unsigned index, struct vnode **out)
{
	bool fresh;
	struct proc_node *copy = kmalloc(sizeof(*copy));
	const struct vnode_ops *ops = n->entry->follow ? &proc_magic_ops : &proc_vnode_ops;
	err_t err = copy ? vnode_acquire(fs, node_ino(n, in, index), ops, out, &fresh) : -ENOMEM;
	if (err || !fresh) {
		if (n->process)
			process_put(n->process);
		kfree(copy);
		return err;
	}
	struct vnode *v = *out;
	*copy = *n;
	v->priv = copy;
	v->mode = node_mode(n, in);
	v->nlink = n->entry->dir ? 2 : 1;
	v->size = in->class == CLASS_FD ? FD_LINK_SIZE : 0;
	set_owner(v, n);
	fs_now(&v->mtime);
	v->atime = v->ctime = v->mtime;
	vnode_publish(v);
	return 0;
}

static void proc_release(struct vnode *v)
{
	struct proc_node *n = proc_node_of(v);
	if (n->process)
		process_put(n->process);
	kfree(n);
}

static bool fd_is_open(const struct proc_node *n)
{
	struct desc_table *t = task_descs(n->process, n->tid);
	bool open = t && desc_next(t, n->fd) == n->fd;
	if (t)
		desc_table_put(t);
	return open;
}

static bool proc_revalidate(struct vnode *v)
{
	struct proc_node *n = proc_node_of(v);
	if (!n->process)
		return true;
	if (!proc_node_is_alive(n) || (n->fd >= 0 && !fd_is_open(n)))
		return false;
	rwlock_write(&v->lock);
	set_owner(v, n);
	rwlock_write_unlock(&v->lock);
	return true;
}

/* --- directories --- */

/* A number in its one form: no sign, no leading zeros. */
static bool parse_number(const char *s, size_t len, uint64_t *out)
{
	*out = 0;
	if (len == 0 || len > 9 || (s[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(s[i] - '0');
	}
	return true;
}

static err_t proc_lookup(struct vnode *dir, const char *name, size_t len, struct vnode **out)
{
	const struct proc_node *parent = proc_node_of(dir);
	const struct proc_dir *d = dir_of(parent);
	struct proc_node child = {.process = parent->process, .tid = parent->tid, .fd = -1};
	uint64_t number;
	unsigned index = 0;
	if (!proc_node_is_alive(parent))
		return -ENOENT;
	while (index < d->count &&
	       (strlen(d->entries[index].name) != len || memcmp(d->entries[index].name, name, len)))
		index++;
	if (index < d->count) {
		child.entry = &d->entries[index];
	} else {
		err_t err =
		    d->find && parse_number(name, len, &number) ? d->find(parent, number, &child) : -ENOENT;
		if (err)
			return err;
		index = child.fd >= 0 ? (unsigned)child.fd + d->count : d->count;
	}
	if (child.process && child.process == parent->process)
		process_get(child.process);
	return node_vnode(dir->fs, &child, d, index, out);
}

static unsigned dirent_type(const struct proc_entry *e)
{
	return e->mode & MODE_TYPE;
}

static err_t proc_readdir(struct vnode *v, uint64_t pos, dir_emit *emit, void *ctx)
{
	const struct proc_node *n = proc_node_of(v);
	const struct proc_dir *d = dir_of(n);
	uint64_t i = pos - DIR_POS_FIRST;
	if (!proc_node_is_alive(n))
		return -ENOENT;
	for (; i < d->count; i++) {
		const struct proc_entry *e = &d->entries[i];
		if (!emit(ctx, e->name, strlen(e->name), node_ino(n, d, (unsigned)i), dirent_type(e),
			DIR_POS_FIRST + i + 1))
			return 0;
	}
	if (!d->next)
		return 0;
	for (int64_t number = d->next(n, i - d->count); number >= 0;
	     number = d->next(n, (uint64_t)number + 1)) {
		char name[16];
		struct proc_node child = {.process = n->process, .tid = n->tid, .fd = -1};
		if (d->find(n, (uint64_t)number, &child))
			continue; /* gone meanwhile */
		int len = format(name, sizeof(name), "%u", (unsigned)number);
		unsigned index = child.fd >= 0 ? (unsigned)child.fd + d->count : d->count;
		bool more = emit(ctx, name, (size_t)len, node_ino(&child, d, index), dirent_type(child.entry),
		    DIR_POS_FIRST + d->count + (uint64_t)number + 1);
		if (child.process && child.process != n->process)
			process_put(child.process);
		if (!more)
			return 0;
	}
	return 0;
}

/* --- files and links --- */

static err_t proc_open(struct vnode *v, struct file *f)
{
	const struct proc_entry *e = proc_node_of(v)->entry;
	if (e->mode & MODE_DIR & ~MODE_LINK) {
		f->ops = &directory_file_ops;
		return 0;
	}
	if (e->open)
		return e->open(proc_node_of(v), f);
	return e->text.show || e->text.store ? text_open(f, &e->text) : -ENXIO;
}

/* What a process has open or runs is for those who may debug it. */
static err_t check_link(const struct proc_node *n)
{
	return n->process && !current_may_access(n->process, n->tid) ? -EACCES : 0;
}

/* What a link to something that is found by no name says: where that is. */
static int64_t describe_target(struct proc_node *n, char *buf, size_t size)
{
	struct path to, root;
	err_t err = n->entry->follow(n, &to);
	if (err)
		return err;
	mount_get_root(&root);
	int64_t len = path_to_text(&to, &root, PATH_FD, buf, size);
	path_put(&root);
	path_put(&to);
	return len;
}

static err_t proc_readlink(struct vnode *v, char *buf, size_t size, size_t *len)
{
	struct proc_node *n = proc_node_of(v);
	int64_t got = check_link(n);
	if (!got)
		got = n->entry->readlink ? n->entry->readlink(n, buf, size) : describe_target(n, buf, size);
	*len = got > 0 ? (size_t)got : 0;
	return got < 0 ? (err_t)got : 0;
}

static err_t proc_follow(struct vnode *v, struct path *out)
{
	struct proc_node *n = proc_node_of(v);
	err_t err = check_link(n);
	return err ? err : n->entry->follow(n, out);
}

static const struct vnode_ops proc_vnode_ops = {
    .lookup = proc_lookup,
    .readdir = proc_readdir,
    .readlink = proc_readlink,
    .revalidate = proc_revalidate,
    .open = proc_open,
    .release = proc_release,
};
/* A link that does not lead by name. */
static const struct vnode_ops proc_magic_ops = {.readlink = proc_readlink,
    .follow = proc_follow,
    .revalidate = proc_revalidate,
    .open = proc_open,
    .release = proc_release};

/* --- the root --- */

static err_t root_find(UNUSED const struct proc_node *dir, uint64_t number, struct proc_node *child)
{
	if (process_find_by_thread((uint32_t)number, &child->process))
		return -ENOENT;
	if (child->process->pid != number)
		child->tid = (uint32_t)number; /* found, though not listed */
	child->entry = &proc_process_entry;
	return 0;
}

struct pid_search {
	uint64_t from;
	int64_t found;
};

static void search_pid(struct process *p, void *arg)
{
	struct pid_search *s = arg;
	if (p->pid >= s->from && (s->found < 0 || p->pid < s->found))
		s->found = p->pid;
}

static int64_t root_next(UNUSED const struct proc_node *dir, uint64_t from)
{
	struct pid_search s = {from, -1};
	process_for_each(search_pid, &s);
	return s.found;
}

static struct proc_dir root_dir = {
    .class = CLASS_ROOT, .entries = proc_root_entries, .find = root_find, .next = root_next};

static const struct proc_dir *dir_of(const struct proc_node *n)
{
	return n->entry == &root_entry ? &root_dir : n->entry->dir;
}

/* --- the file system --- */

static err_t proc_mount(
    struct fs *fs, UNUSED const char *source, UNUSED const char *options, struct vnode **root)
{
	struct proc_node *n = kzalloc(sizeof(*n));
	if (!n)
		return -ENOMEM;
	err_t err = vnode_create(fs, ROOT_INO, &proc_vnode_ops, root);
	if (err) {
		kfree(n);
		return err;
	}
	n->entry = &root_entry;
	n->fd = -1;
	struct vnode *v = *root;
	v->priv = n;
	v->mode = root_entry.mode;
	v->nlink = 2;
	fs_now(&v->mtime);
	v->atime = v->ctime = v->mtime;
	fs->volatile_names = true;
	fs->io_size = 1024; /* as on Linux */
	vnode_publish(v);
	return 0;
}

static void proc_unmount(UNUSED struct fs *fs)
{
}

static err_t proc_statfs(UNUSED struct fs *fs, struct fs_stats *out)
{
	*out = (struct fs_stats){.type = 0x9fa0, .block_size = PAGE_SIZE, .name_max = NAME_LEN_MAX};
	return 0;
}

static const struct fs_ops procfs_ops = {
    .name = "proc", .mount = proc_mount, .unmount = proc_unmount, .statfs = proc_statfs};

void procfs_init(void)
{
	root_dir.count = proc_root_count;
	procfs_sys_init();
	fs_register(&procfs_ops);
}
