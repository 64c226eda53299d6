/*
 * text_tree.c - a tree of names that is made at boot and never changes; what its files say is made when they
 * are read.
 *
 * A node is its own vnode's priv, and its number is the vnode's. Nodes are never freed and never change once
 * somebody can mount the tree, so looking at them needs no lock.
 */
#include "fs/text_tree.h"
#include "fs/mount.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { PATH_MAX_HERE = 256, FILE_SIZE = PAGE_SIZE };

struct text_node {
	const char *name;
	uint32_t mode; /* type and permissions */
	uint64_t ino;
	struct text_node *parent; /* NULL: the root */
	struct list children;     /* by sibling, in the order of making */
	struct list sibling;
	unsigned ndirs;    /* among the children */
	text_show *show;   /* NULL: the text itself */
	text_store *store; /* NULL: not writable */
	const void *arg;   /* for show */
	const char *text;  /* what a file says, where a link leads */
};

static uint64_t last_ino;

static const char *copy_text(const char *s)
{
	char *copy = kmalloc(strlen(s) + 1);
	ASSERT(copy); /* at boot */
	memcpy(copy, s, strlen(s) + 1);
	return copy;
}

static struct text_node *add(struct text_node *in, const char *name, uint32_t mode)
{
	struct text_node *n = kzalloc(sizeof(*n));
	ASSERT(n); /* at boot */
	n->name = copy_text(name);
	n->mode = mode;
	n->ino = ++last_ino;
	n->parent = in;
	list_init(&n->children);
	list_init(&n->sibling);
	if (in) {
		list_push_back(&in->children, &n->sibling);
		in->ndirs += (mode & MODE_TYPE) == MODE_DIR;
	}
	return n;
}

static struct text_node *find(const struct text_node *in, const char *name, size_t len)
{
	list_for_each (it, &in->children) {
		struct text_node *n = list_entry(it, struct text_node, sibling);
		if (strlen(n->name) == len && !memcmp(n->name, name, len))
			return n;
	}
	return NULL;
}

struct text_node *text_tree_root(void)
{
	return add(NULL, "", MODE_DIR | 0555);
}

struct text_node *text_tree_dir(struct text_node *in, const char *name)
{
	struct text_node *n = find(in, name, strlen(name));
	return n ? n : add(in, name, MODE_DIR | 0755);
}

struct text_node *text_tree_path(struct text_node *in, const char *path)
{
	char name[PATH_MAX_HERE];
	while (*path) {
		const char *slash = strchr(path, '/');
		size_t len = slash ? (size_t)(slash - path) : strlen(path);
		ASSERT(len < sizeof(name));
		(void)str_copy(name, path, len + 1);
		in = text_tree_dir(in, name);
		path += len + (slash ? 1 : 0);
	}
	return in;
}

void text_tree_file(struct text_node *in, const char *name, text_show *show, const void *arg)
{
	struct text_node *n = add(in, name, MODE_REG | 0444);
	n->show = show;
	n->arg = arg;
}

void text_tree_setting(
    struct text_node *in, const char *name, text_show *show, text_store *store, const void *arg)
{
	struct text_node *n = add(in, name, MODE_REG | 0644);
	n->show = show;
	n->store = store;
	n->arg = arg;
}

void text_tree_line(struct text_node *in, const char *name, const char *line)
{
	add(in, name, MODE_REG | 0444)->text = copy_text(line);
}

void text_tree_number(struct text_node *in, const char *name, uint64_t number)
{
	char line[24];
	format(line, sizeof(line), "%llu", (unsigned long long)number);
	text_tree_line(in, name, line);
}

/* Append the names from the root, which is not told, to n. */
static size_t put_path(const struct text_node *n, char *buf, size_t size)
{
	if (!n->parent)
		return 0;
	size_t used = put_path(n->parent, buf, size);
	used += (size_t)format(buf + used, size - used, used ? "/%s" : "%s", n->name);
	ASSERT(used < size);
	return used;
}

void text_tree_link(struct text_node *in, const char *name, const struct text_node *to)
{
	char path[PATH_MAX_HERE];
	size_t used = 0;
	for (const struct text_node *n = in; n->parent; n = n->parent)
		used += (size_t)format(path + used, sizeof(path) - used, "../");
	(void)put_path(to, path + used, sizeof(path) - used);
	add(in, name, MODE_LINK | 0777)->text = copy_text(path);
}

/* --- vnodes --- */

static const struct vnode_ops tree_vnode_ops;

static err_t node_vnode(struct fs *fs, const struct text_node *n, struct vnode **out)
{
	bool fresh;
	err_t err = vnode_acquire(fs, n->ino, &tree_vnode_ops, out, &fresh);
	if (err || !fresh)
		return err;
	struct vnode *v = *out;
	v->priv = (void *)(uintptr_t)n;
	v->mode = n->mode;
	v->nlink = (n->mode & MODE_TYPE) == MODE_DIR ? 2 + n->ndirs : 1;
	v->size = (n->mode & MODE_TYPE) == MODE_REG ? FILE_SIZE : 0;
	fs_now(&v->mtime);
	v->atime = v->ctime = v->mtime;
	vnode_publish(v);
	return 0;
}

static err_t tree_lookup(struct vnode *dir, const char *name, size_t len, struct vnode **out)
{
	const struct text_node *n = find(dir->priv, name, len);
	return n ? node_vnode(dir->fs, n, out) : -ENOENT;
}

static err_t tree_readdir(struct vnode *v, uint64_t pos, dir_emit *emit, void *ctx)
{
	const struct text_node *dir = v->priv;
	uint64_t at = DIR_POS_FIRST;
	list_for_each (it, &dir->children) {
		const struct text_node *n = list_entry(it, struct text_node, sibling);
		if (at++ < pos)
			continue;
		if (!emit(ctx, n->name, strlen(n->name), n->ino, n->mode & MODE_TYPE, at))
			return 0;
	}
	return 0;
}

static err_t tree_readlink(struct vnode *v, char *buf, size_t size, size_t *len)
{
	const struct text_node *n = v->priv;
	*len = MIN(strlen(n->text), size);
	memcpy(buf, n->text, *len);
	return 0;
}

static void show_node(struct text *t, struct vnode *v)
{
	const struct text_node *n = v->priv;
	if (n->show)
		n->show(t, n->arg);
	else
		text_printf(t, "%s\n", n->text);
}

static int64_t store_node(struct vnode *v, char *s, size_t n)
{
	const struct text_node *node = v->priv;
	return node->store ? node->store(node->arg, s, n) : -EIO;
}

static const struct text_ops node_text_ops = {.show = show_node, .store = store_node};

static err_t tree_open(struct vnode *v, struct file *f)
{
	if (!vnode_is(v, MODE_DIR))
		return text_open(f, &node_text_ops);
	f->ops = &directory_file_ops;
	return 0;
}

static const struct vnode_ops tree_vnode_ops = {
    .lookup = tree_lookup,
    .readdir = tree_readdir,
    .readlink = tree_readlink,
    .open = tree_open,
};

err_t text_tree_mount(struct fs *fs, const struct text_node *top, struct vnode **root)
{
	return node_vnode(fs, top, root);
}

void text_tree_unmount(UNUSED struct fs *fs)
{
}
