/*
 * mount_recount.c - are all references accounted for? Counts them from the roots and compares.
 *
 *	a mount is held by      its place in the tree, each child, each open file, each path of a process
 *	a dentry is held by     each child, mounts (as root and as point), its file system (root), files, paths
 *	a vnode is held by      each dentry, each open file, each watch, its file system's own references
 *
 * Every dentry is found from the roots of the file systems, deleted ones too, as each hangs below its parent.
 */
#include "fs/file.h"
#include "fs/mount.h"
#include "kern/log.h"

struct recount {
	unsigned wrong;
};

void recount_vnode(UNUSED struct recount *r, struct vnode *v)
{
	v->counted++;
}

void recount_path(UNUSED struct recount *r, const struct path *p)
{
	p->mount->counted++;
	p->dentry->counted++;
}

/* The next dentry of a tree in preorder. */
static struct dentry *next_in_tree(struct dentry *d, const struct dentry *root)
{
	if (!list_is_empty(&d->children))
		return list_first(&d->children, struct dentry, sibling);
	while (d != root && d->sibling.next == &d->parent->children)
		d = d->parent;
	return d == root ? NULL : list_entry(d->sibling.next, struct dentry, sibling);
}

static void for_each_dentry(struct recount *r, struct fs *fs, void (*fn)(struct recount *r, struct dentry *d))
{
	for (struct dentry *d = fs->root; d; d = next_in_tree(d, fs->root))
		fn(r, d);
}

static void clear_dentry(UNUSED struct recount *r, struct dentry *d)
{
	d->counted = 0;
}

static void count_dentry(UNUSED struct recount *r, struct dentry *d)
{
	struct vnode *v = dentry_vnode(d);
	if (v)
		v->counted++;
	if (d->parent)
		d->parent->counted++;
}

static void check_dentry(struct recount *r, struct dentry *d)
{
	if (d->counted == load_relaxed(&d->refs))
		return;
	r->wrong++;
	log_err("fs", "recount: name '%s' has %u references, %u are known", d->name, load_relaxed(&d->refs),
	    d->counted);
}

static err_t clear_vnode(struct vnode *v, UNUSED void *arg)
{
	v->counted = vnode_own_refs(v);
	return 0;
}

static err_t check_vnode(struct vnode *v, void *arg)
{
	struct recount *r = arg;
	uint32_t refs = load_relaxed(&v->refs) - 1; /* ours, of this walk */
	if (v->counted == refs)
		return 0;
	r->wrong++;
	log_err("fs", "recount: file %llu of %s has %u references, %u are known", (unsigned long long)v->ino,
	    v->fs->ops->name, refs, v->counted);
	return 0;
}

static void count_mount(struct recount *r, struct mount *m)
{
	m->counted++; /* its place in the tree */
	m->root->counted++;
	if (m->parent)
		recount_path(r, &(struct path){m->parent, m->point});
}

static void check_mount(struct recount *r, struct mount *m)
{
	if (m->counted == load_relaxed(&m->refs))
		return;
	r->wrong++;
	log_err("fs", "recount: mount of %s has %u references, %u are known", m->source,
	    load_relaxed(&m->refs), m->counted);
}

static void clear_file(struct file *f, UNUSED void *arg)
{
	if (f->mount)
		f->mount->counted = 0; /* it may be detached, and on no list */
}

static void count_file(struct file *f, void *arg)
{
	struct recount *r = arg;
	if (f->mount)
		recount_path(r, &(struct path){f->mount, f->dentry});
	if (f->vnode)
		recount_vnode(r, f->vnode);
}

/* The lists need no lock: nobody uses files meanwhile. */
#define FOR_EACH_FS(fs)                                                                                      \
	for (struct fs *fs = list_entry(fs_all.next, struct fs, link); &fs->link != &fs_all;                 \
	     fs = list_entry(fs->link.next, struct fs, link))
#define FOR_EACH_MOUNT(m)                                                                                    \
	for (struct mount *m = list_entry(fs_all_mounts.next, struct mount, link);                           \
	     &m->link != &fs_all_mounts; m = list_entry(m->link.next, struct mount, link))

static void count_all(struct recount *r, recount_roots *roots, void *arg)
{
	FOR_EACH_MOUNT(m)
	m->counted = 0;
	FOR_EACH_FS(fs)
	{
		if (fs->internal)
			fs->internal->counted = 0;
		for_each_dentry(r, fs, clear_dentry);
		(void)vnode_for_each(fs, clear_vnode, NULL);
	}
	file_for_each(clear_file, r);
	FOR_EACH_FS(fs)
	{
		fs->root->counted++;
		if (fs->internal)
			count_mount(r, fs->internal);
		for_each_dentry(r, fs, count_dentry);
	}
	FOR_EACH_MOUNT(m)
	count_mount(r, m);
	file_for_each(count_file, r);
	if (roots)
		roots(r, arg);
}

unsigned fs_recount(recount_roots *roots, void *arg)
{
	struct recount r = {0};
	count_all(&r, roots, arg);
	FOR_EACH_MOUNT(m)
	check_mount(&r, m);
	FOR_EACH_FS(fs)
	{
		if (fs->internal)
			check_mount(&r, fs->internal);
		for_each_dentry(&r, fs, check_dentry);
		(void)vnode_for_each(fs, check_vnode, &r);
	}
	return r.wrong;
}
