/*
 * tmpfs.c - files in memory.
 *
 * A file's VM object is all there is of it: anonymous memory that can be mapped privately as any file can
 * (VM_RESIDENT). A page is made, zeroed, when it is first written to, and counted against the size limit
 * then; what leaves is counted back. A hole that is read makes no page. Memory files (memfd.c) are made here
 * too, and can be copied in O(1).
 *
 * A directory is two trees of its entries: by name (hash first) for look-ups, by cookie for reading. Cookies
 * are given out in ascending order and never again, so a reader's position stays right whatever is made or
 * removed meanwhile; 100,000 names cost no more each than ten.
 *
 * An entry holds its vnode: that is what keeps a file that nobody has open. A vnode's own count of these
 * (`names`) tells recount and unmount what the file system holds itself.
 *
 *	root vnode ──▶ entry ──▶ vnode (directory) ──▶ entry ──▶ vnode (file) ──pages──▶ VM object
 */
#include "fs/tmpfs.h"
#include "fs/file.h"
#include "fs/mount.h"
#include "fs/xattr.h"
#include "lib/printf.h"
#include "lib/rbtree.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "vm/commit.h"
#include "vm/fault.h"

#define TMPFS_MAGIC 0x01021994ULL
enum {
	ENTRY_SIZE = 20,   /* what each name adds to a directory's st_size, as on Linux */
	FILE_SPACE = 1024, /* bytes that a file counts, beside its pages, as on Linux */
};

struct tmpfs {
	uint64_t max_pages, max_space; /* (C); UINT64_MAX: no limit */
	_Atomic uint64_t pages, space; /* (A) space: of files and extended attributes, in bytes */
};

/* (V) the directory's lock */
struct entry {
	struct rb_node by_name, by_cookie;
	uint64_t hash, cookie;
	struct vnode *vnode; /* counted */
	size_t len;
	char name[];
};

struct node {
	_Atomic uint32_t names;     /* (A) entries that hold the vnode */
	_Atomic uint64_t pages;     /* (A) of its VM object; written with that locked */
	struct rb_tree by_name;     /* (V) directories */
	struct rb_tree by_cookie;   /* (V) */
	uint64_t next_cookie;       /* (V) */
	struct xattr_tree xattrs;   /* (V) */
	struct vnode *next_drained; /* of tmpfs_drain alone */
	char *target;               /* (C) symbolic links */
};

static const struct vnode_ops tmpfs_vnode_ops;

static struct tmpfs *tmpfs_of(const struct vnode *v)
{
	return v->fs->priv;
}

/* Count n more of something limited. -ENOSPC: it is not counted. */
static err_t charge(_Atomic uint64_t *used, uint64_t max, uint64_t n)
{
	if (fetch_add_relaxed(used, n) + n <= max)
		return 0;
	fetch_sub_relaxed(used, n);
	return -ENOSPC;
}

/* --- pages --- */

static err_t pages_charge(struct vm_object *o)
{
	struct vnode *v = vnode_of_pages(o);
	struct node *node = v->priv;
	struct tmpfs *t = tmpfs_of(v);
	if (commit_exchange(1, 0, 0))
		return -ENOSPC;
	err_t err = charge(&t->pages, t->max_pages, 1);
	if (err)
		commit_return(1);
	else
		fetch_add_relaxed(&node->pages, 1);
	return err;
}

static void pages_uncharge(struct vm_object *o, uint64_t npages)
{
	struct vnode *v = vnode_of_pages(o);
	struct node *node = v->priv;
	fetch_sub_relaxed(&node->pages, npages);
	fetch_sub_relaxed(&tmpfs_of(v)->pages, npages);
	commit_return(npages);
}

/* Copies are made where there is no limit. What they have is promised whatever the mode says: it is there. */
static void pages_cloned(struct vm_object *o, struct vm_object *clone)
{
	const struct node *from = vnode_of_pages(o)->priv;
	struct vnode *v = vnode_of_pages(clone);
	struct node *node = v->priv;
	uint64_t npages = load_relaxed(&from->pages);
	store_relaxed(&node->pages, npages);
	fetch_add_relaxed(&tmpfs_of(v)->pages, npages);
	commit_count_more(npages);
}

static const struct vm_file_ops pages_ops = {
    .charge = pages_charge,
    .uncharge = pages_uncharge,
    .cloned = pages_cloned,
    .closing = vnode_pages_closing,
    .release = vnode_pages_release,
};

/* --- entries --- */

static uint64_t hash_name(const char *name, size_t len)
{
	uint64_t h = len;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3ULL;
	return h ^ h >> 32;
}

static int compare(uint64_t hash, const char *name, size_t len, const struct entry *e)
{
	if (hash != e->hash)
		return hash < e->hash ? -1 : 1;
	if (len != e->len)
		return len < e->len ? -1 : 1;
	return memcmp(name, e->name, len);
}

static struct entry *find_entry(const struct node *dir, const char *name, size_t len)
{
	uint64_t hash = hash_name(name, len);
	struct rb_node *n = dir->by_name.root;
	while (n) {
		struct entry *e = rb_entry(n, struct entry, by_name);
		int order = compare(hash, name, len, e);
		if (order == 0)
			return e;
		n = order < 0 ? n->left : n->right;
	}
	return NULL;
}

static void insert_by_name(struct node *dir, struct entry *e)
{
	struct rb_node **link = &dir->by_name.root, *parent = NULL;
	while (*link) {
		parent = *link;
		struct entry *other = rb_entry(parent, struct entry, by_name);
		link = compare(e->hash, e->name, e->len, other) < 0 ? &parent->left : &parent->right;
	}
	rb_insert(&dir->by_name, &e->by_name, parent, link);
}

/* The cookie is larger than all before: the rightmost place. */
static void insert_by_cookie(struct node *dir, struct entry *e)
{
	struct rb_node **link = &dir->by_cookie.root, *parent = NULL;
	while (*link) {
		parent = *link;
		link = &parent->right;
	}
	rb_insert(&dir->by_cookie, &e->by_cookie, parent, link);
}

static struct entry *entry_alloc(const char *name, size_t len)
{
	struct entry *e = kmalloc(sizeof(*e) + len);
	if (!e)
		return NULL;
	e->hash = hash_name(name, len);
	e->len = len;
	memcpy(e->name, name, len);
	return e;
}

static void touch(struct vnode *v)
{
	fs_now(&v->mtime);
	v->ctime = v->mtime;
}

/* Point an entry at v, with a reference. */
static void entry_set(struct entry *e, struct vnode *v)
{
	vnode_get(v);
	fetch_add_relaxed(&((struct node *)v->priv)->names, 1);
	e->vnode = v;
}

/* Let go of an entry's vnode; the reference is dropped too: somebody else has one, or it goes now. */
static void entry_clear(struct entry *e)
{
	struct vnode *v = e->vnode;
	fetch_sub_relaxed(&((struct node *)v->priv)->names, 1);
	vnode_put(v);
}

static void add_entry(struct vnode *dir, struct entry *e, struct vnode *v)
{
	struct node *node = dir->priv;
	entry_set(e, v);
	e->cookie = node->next_cookie++;
	insert_by_name(node, e);
	insert_by_cookie(node, e);
	dir->size += ENTRY_SIZE;
	touch(dir);
}

static void remove_entry(struct vnode *dir, struct entry *e)
{
	struct node *node = dir->priv;
	rb_remove(&node->by_name, &e->by_name);
	rb_remove(&node->by_cookie, &e->by_cookie);
	dir->size -= ENTRY_SIZE;
	touch(dir);
	entry_clear(e);
	kfree(e);
}

/* --- nodes --- */

static void node_free(struct node *node)
{
	xattr_tree_fini(&node->xattrs);
	kfree(node->target);
	kfree(node);
}

static err_t node_alloc(uint32_t mode, const char *target, struct node **out)
{
	struct node *node = kzalloc(sizeof(*node));
	if (!node)
		return -ENOMEM;
	rb_init(&node->by_name, NULL);
	rb_init(&node->by_cookie, NULL);
	xattr_tree_init(&node->xattrs);
	node->next_cookie = DIR_POS_FIRST;
	if ((mode & MODE_TYPE) == MODE_LINK) {
		size_t len = strlen(target);
		node->target = kmalloc(len + 1);
		if (!node->target) {
			kfree(node);
			return -ENOMEM;
		}
		memcpy(node->target, target, len + 1);
	}
	*out = node;
	return 0;
}

static void fill_vnode(struct vnode *v, struct node *node, const struct attr *init, uint64_t rdev)
{
	uint32_t type = init->mode & MODE_TYPE;
	v->priv = node;
	v->mode = init->mode;
	v->uid = init->uid;
	v->gid = init->gid;
	v->nlink = type == MODE_DIR ? 2 : 1;
	v->rdev = rdev;
	v->size = type == MODE_LINK ? strlen(node->target) : type == MODE_DIR ? 2 * ENTRY_SIZE : 0;
	v->atime = v->mtime = v->ctime = v->btime = init->mtime;
}

/* What a file of any type is made from. */
struct recipe {
	const struct attr *init;
	uint64_t rdev;      /* of a device */
	const char *target; /* of a symbolic link; NULL: none */
	unsigned flags;     /* of the VM object of a file's memory: VM_PURGEABLE, of VM_KINDS */
};

/* A file in nobody's directory yet, one reference. */
static err_t make_vnode(struct fs *fs, const struct recipe *r, struct vnode **out)
{
	struct tmpfs *t = fs->priv;
	struct node *node;
	struct vnode *v;
	err_t err = charge(&t->space, t->max_space, FILE_SPACE);
	if (err)
		return err;
	err = node_alloc(r->init->mode, r->target, &node);
	if (err)
		goto uncharge;
	err = vnode_create(fs, fetch_add_relaxed(&fs->next_ino, 1) + 1, &tmpfs_vnode_ops, &v);
	if (err)
		goto free_node;
	fill_vnode(v, node, r->init, r->rdev);
	err = vnode_is(v, MODE_REG) ? vnode_make_pages(v, &pages_ops, VM_RESIDENT | r->flags) : 0;
	if (err)
		goto abandon;
	vnode_publish(v);
	*out = v;
	return 0;

abandon:
	vnode_abandon(v);
free_node:
	node_free(node);
uncharge:
	fetch_sub_relaxed(&t->space, FILE_SPACE);
	return err;
}

static void tmpfs_release(struct vnode *v)
{
	struct node *node = v->priv;
	ASSERT(!node->by_name.root && load_relaxed(&node->names) == 0);
	uint64_t npages = load_relaxed(&node->pages); /* they went with the object */
	fetch_sub_relaxed(&tmpfs_of(v)->pages, npages);
	commit_return(npages);
	fetch_sub_relaxed(&tmpfs_of(v)->space, FILE_SPACE + xattr_tree_space(&node->xattrs));
	node_free(node);
}

/* --- operations on names --- */

static err_t tmpfs_lookup(struct vnode *dir, const char *name, size_t len, struct vnode **out)
{
	struct entry *e = find_entry(dir->priv, name, len);
	if (!e)
		return -ENOENT;
	vnode_get(e->vnode);
	*out = e->vnode;
	return 0;
}

static err_t tmpfs_create(struct vnode *dir, const char *name, size_t len, const struct attr *init,
    uint64_t rdev, const char *target, struct vnode **out)
{
	struct entry *e = entry_alloc(name, len);
	if (!e)
		return -ENOMEM;
	err_t err = make_vnode(dir->fs, &(struct recipe){.init = init, .rdev = rdev, .target = target}, out);
	if (err) {
		kfree(e);
		return err;
	}
	store_relaxed(&(*out)->flags, load_relaxed(&dir->flags) & (INODE_NODUMP | INODE_NOATIME));
	add_entry(dir, e, *out);
	if (vnode_is(*out, MODE_DIR))
		dir->nlink++;
	return 0;
}

static err_t tmpfs_tmpfile(struct vnode *dir, const struct attr *init, struct vnode **out)
{
	err_t err = make_vnode(dir->fs, &(struct recipe){.init = init}, out);
	if (!err)
		(*out)->nlink = 0;
	return err;
}

static err_t tmpfs_link(struct vnode *dir, const char *name, size_t len, struct vnode *v)
{
	struct entry *e = entry_alloc(name, len);
	if (!e)
		return -ENOMEM;
	add_entry(dir, e, v);
	v->nlink++;
	v->ctime = dir->ctime;
	return 0;
}

static err_t tmpfs_unlink(struct vnode *dir, const char *name, size_t len, struct vnode *v)
{
	remove_entry(dir, find_entry(dir->priv, name, len));
	v->nlink--;
	v->ctime = dir->ctime;
	return 0;
}

static err_t tmpfs_rmdir(struct vnode *dir, const char *name, size_t len, struct vnode *v)
{
	if (((struct node *)v->priv)->by_name.root)
		return -ENOTEMPTY;
	remove_entry(dir, find_entry(dir->priv, name, len));
	v->nlink = 0;
	dir->nlink--;
	v->ctime = dir->ctime;
	return 0;
}

static void swap_entries(struct entry *a, struct entry *b)
{
	struct vnode *v = a->vnode; /* each keeps one entry: counts stay */
	a->vnode = b->vnode;
	b->vnode = v;
}

/* A directory moves from one parent to another. */
static void move_dir_link(const struct vnode *v, struct vnode *from, struct vnode *to)
{
	if (!vnode_is(v, MODE_DIR))
		return;
	from->nlink--;
	to->nlink++;
}

/* What is replaced loses its name; the entry stays and leads to v then. */
static void replace(struct vnode *to_dir, struct entry *over, struct vnode *v, struct vnode *target)
{
	if (vnode_is(target, MODE_DIR)) {
		target->nlink = 0;
		to_dir->nlink--;
	} else {
		target->nlink--;
	}
	entry_clear(over);
	entry_set(over, v);
}

static err_t tmpfs_rename(struct vnode *from_dir, const char *from, size_t from_len, struct vnode *v,
    struct vnode *to_dir, const char *to, size_t to_len, struct vnode *target, bool exchange)
{
	struct entry *e = find_entry(from_dir->priv, from, from_len),
		     *over = find_entry(to_dir->priv, to, to_len);
	if (!target && !(over = entry_alloc(to, to_len)))
		return -ENOMEM;
	if (target && !exchange && vnode_is(target, MODE_DIR) && ((struct node *)target->priv)->by_name.root)
		return -ENOTEMPTY;
	if (exchange) {
		swap_entries(e, over);
		move_dir_link(target, to_dir, from_dir);
	} else {
		if (target)
			replace(to_dir, over, v, target);
		else
			add_entry(to_dir, over, v);
		remove_entry(from_dir, e);
	}
	move_dir_link(v, from_dir, to_dir);
	touch(from_dir);
	touch(to_dir);
	v->ctime = to_dir->ctime;
	if (target)
		target->ctime = to_dir->ctime;
	return 0;
}

/* The entry with the lowest cookie >= pos. */
static struct entry *entry_from(const struct node *dir, uint64_t pos)
{
	struct entry *best = NULL;
	for (struct rb_node *n = dir->by_cookie.root; n;) {
		struct entry *e = rb_entry(n, struct entry, by_cookie);
		if (e->cookie >= pos)
			best = e;
		n = e->cookie >= pos ? n->left : n->right;
	}
	return best;
}

static err_t tmpfs_readdir(struct vnode *dir, uint64_t pos, dir_emit *emit, void *ctx)
{
	struct entry *e = entry_from(dir->priv, pos);
	while (e) {
		struct vnode *v = e->vnode;
		if (!emit(ctx, e->name, e->len, v->ino, v->mode & MODE_TYPE, e->cookie + 1))
			break;
		struct rb_node *n = rb_next(&e->by_cookie);
		e = n ? rb_entry(n, struct entry, by_cookie) : NULL;
	}
	return 0;
}

/* --- operations on files --- */

static err_t tmpfs_readlink(struct vnode *v, char *buf, size_t size, size_t *len)
{
	const struct node *node = v->priv;
	*len = MIN(size, strlen(node->target));
	memcpy(buf, node->target, *len);
	return 0;
}

static void tmpfs_getattr(struct vnode *v, struct vfs_stat *st)
{
	struct node *node = v->priv;
	st->blocks = load_relaxed(&node->pages) * (PAGE_SIZE / 512);
	st->flags = load_relaxed(&v->flags) & (INODE_FIXED | INODE_NODUMP);
	st->flags_known = INODE_FIXED | INODE_NODUMP;
}

enum { ALLOC_KEEP_SIZE = 1, ALLOC_PUNCH_HOLE = 2, ALLOC_ZERO_RANGE = 16 }; /* the ABI's FALLOC_FL_* */

/* Zero the pages of [pos, end) that are there in part, drop those that are inside in whole. */
static err_t punch(struct vnode *v, uint64_t pos, uint64_t end)
{
	uint64_t first = ALIGN_UP(pos, (uint64_t)PAGE_SIZE), last = ALIGN_DOWN(end, (uint64_t)PAGE_SIZE);
	err_t err = 0;
	if (v->pages->flags & VM_CONTIGUOUS)
		return -EPERM; /* its pages stay */
	if (first > last)      /* inside one page */
		return vnode_zero_part(v, pos, end);
	if (pos < first)
		err = vnode_zero_part(v, pos, first);
	if (!err && last < end)
		err = vnode_zero_part(v, last, end);
	return err ? err : object_discard(v->pages, first / PAGE_SIZE, last / PAGE_SIZE);
}

/* Make every page of the range; pages made by a call that fails stay, as they do on Linux' disk file systems.
 */
static err_t fill(struct vnode *v, uint64_t pos, uint64_t end)
{
	struct vm_pin pin;
	err_t err = 0;
	for (pgidx_t i = pos / PAGE_SIZE; !err && i < DIV_ROUND_UP(end, (uint64_t)PAGE_SIZE); i++) {
		err = object_pin(v->pages, i, true, &pin);
		if (!err)
			vm_unpin(&pin);
	}
	return err;
}

static err_t tmpfs_allocate(struct vnode *v, int mode, uint64_t pos, uint64_t len)
{
	uint64_t end = pos + len, size = v->size;
	if (mode == (ALLOC_PUNCH_HOLE | ALLOC_KEEP_SIZE))
		return pos < size ? punch(v, pos, MIN(end, size)) : 0;
	if (mode & ~ALLOC_KEEP_SIZE)
		return -ENOTSUP;
	if ((len - 1) / PAGE_SIZE >= tmpfs_of(v)->max_pages)
		return -ENOSPC;
	if (end > size && mode == 0) {
		err_t err = vnode_set_size_locked(v, end);
		if (err)
			return err;
	}
	err_t err = fill(v, pos, MIN(end, v->size));
	if (err && v->size != size) {
		err_t undone = vnode_set_size_locked(v, size);
		err = undone ? undone : err;
	}
	return err;
}

static uint32_t tmpfs_get_flags(struct vnode *v)
{
	return load_relaxed(&v->flags);
}

static err_t tmpfs_set_flags(struct vnode *v, uint32_t flags)
{
	if (flags & ~(uint32_t)INODE_HONOURED)
		return -ENOTSUP;
	store_relaxed(&v->flags, flags);
	fs_now(&v->ctime);
	return 0;
}

static err_t tmpfs_xattr_get(
    struct vnode *v, const struct xattr_name *name, void *buf, size_t size, size_t *len)
{
	return xattr_tree_get(&((struct node *)v->priv)->xattrs, name, buf, size, len);
}

static err_t tmpfs_xattr_list(struct vnode *v, xattr_emit *emit, void *ctx)
{
	xattr_tree_list(&((struct node *)v->priv)->xattrs, emit, ctx);
	return 0;
}

static err_t tmpfs_xattr_set(
    struct vnode *v, const struct xattr_name *name, const struct xattr_value *value, unsigned how)
{
	struct tmpfs *t = tmpfs_of(v);
	struct node *node = v->priv;
	uint64_t space = value ? xattr_space_of(name, value->len) : 0, freed;
	err_t err = charge(&t->space, t->max_space, space);
	if (err)
		return err;
	err = xattr_tree_set(&node->xattrs, name, value, how, &freed);
	if (!err)
		fs_now(&v->ctime);
	fetch_sub_relaxed(&t->space, err ? space : freed);
	return err;
}

static const struct vnode_ops tmpfs_vnode_ops = {
    .lookup = tmpfs_lookup,
    .create = tmpfs_create,
    .tmpfile = tmpfs_tmpfile,
    .link = tmpfs_link,
    .unlink = tmpfs_unlink,
    .rmdir = tmpfs_rmdir,
    .rename = tmpfs_rename,
    .readdir = tmpfs_readdir,
    .readlink = tmpfs_readlink,
    .getattr = tmpfs_getattr,
    .get_flags = tmpfs_get_flags,
    .set_flags = tmpfs_set_flags,
    .xattr_get = tmpfs_xattr_get,
    .xattr_list = tmpfs_xattr_list,
    .xattr_set = tmpfs_xattr_set,
    .allocate = tmpfs_allocate,
    .release = tmpfs_release,
};

/* --- the file system --- */

struct options {
	uint64_t max_pages, max_files; /* UINT64_MAX: no limit */
	struct attr root;
};

/* "50%", "64M", "4096". */
static bool parse_size(const char *text, uint64_t *pages)
{
	char number[24];
	size_t len = strlen(text);
	uint64_t n;
	bool percent = len > 0 && text[len - 1] == '%';
	if (len - percent >= sizeof(number))
		return false;
	(void)str_copy(number, text, len - percent + 1);
	if (!str_to_u64(number, &n))
		return false;
	*pages = percent ? n * frame_total_count() / 100 : n / PAGE_SIZE + (n % PAGE_SIZE != 0);
	if (n == 0)
		*pages = UINT64_MAX;
	return true;
}

static bool parse_octal(const char *s, uint32_t *out)
{
	uint32_t n = 0;
	for (; *s >= '0' && *s <= '7' && n <= 07777; s++)
		n = n * 8 + (uint32_t)(*s - '0');
	*out = n;
	return !*s && n <= 07777;
}

static bool parse_option(struct options *o, const char *key, const char *value)
{
	uint64_t n;
	if (!strcmp(key, "size"))
		return parse_size(value, &o->max_pages);
	if (!strcmp(key, "mode")) {
		bool fine = parse_octal(value, &o->root.mode);
		o->root.mode |= MODE_DIR;
		return fine;
	}
	if (!str_to_u64(value, &n))
		return false;
	if (!strcmp(key, "nr_inodes"))
		o->max_files = n ? n : UINT64_MAX;
	else if (!strcmp(key, "uid") && n < UINT32_MAX)
		o->root.uid = (uint32_t)n;
	else if (!strcmp(key, "gid") && n < UINT32_MAX)
		o->root.gid = (uint32_t)n;
	else
		return false;
	return true;
}

/* One "key=value" that ends at a comma; returns what follows, or NULL on garbage. */
static const char *next_option(struct options *o, const char *s)
{
	char word[64];
	size_t n = 0;
	while (s[n] && s[n] != ',')
		n++;
	if (n >= sizeof(word))
		return NULL;
	memcpy(word, s, n);
	word[n] = 0;
	char *value = strchr(word, '=');
	if (n) {
		if (!value)
			return NULL;
		*value = 0;
		if (!parse_option(o, word, value + 1))
			return NULL;
	}
	return s[n] ? s + n + 1 : s + n;
}

static err_t parse_options(struct options *o, const char *s)
{
	while (s && *s)
		s = next_option(o, s);
	return s ? 0 : -EINVAL;
}

err_t tmpfs_mount(struct fs *fs, UNUSED const char *source, const char *options, struct vnode **root)
{
	struct options o = {.max_pages = frame_total_count() / 2,
	    .max_files = frame_total_count() / 2,
	    .root.mode = MODE_DIR | 01777};
	err_t err = parse_options(&o, options);
	if (err)
		return err;
	struct tmpfs *t = kzalloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->max_pages = o.max_pages;
	t->max_space = o.max_files < UINT64_MAX / FILE_SPACE ? o.max_files * FILE_SPACE : UINT64_MAX;
	fs->priv = t;
	fs_now(&o.root.mtime);
	err = make_vnode(fs, &(struct recipe){.init = &o.root}, root);
	if (err)
		kfree(t);
	return err;
}

void tmpfs_unmount(struct fs *fs)
{
	struct tmpfs *t = fs->priv;
	ASSERT(load_relaxed(&t->pages) == 0 && load_relaxed(&t->space) == 0);
	kfree(t);
}

/* Hold a directory until all are empty: else one would go with its entries still in it. */
static err_t collect_dir(struct vnode *v, void *arg)
{
	struct vnode **first = arg;
	struct node *node = v->priv;
	if (!vnode_is(v, MODE_DIR))
		return 0;
	vnode_get(v);
	node->next_drained = *first;
	*first = v;
	return 0;
}

static void empty_dir(struct vnode *v)
{
	struct node *node = v->priv;
	struct rb_node *n;
	rwlock_write(&v->lock);
	while ((n = rb_first(&node->by_name)))
		remove_entry(v, rb_entry(n, struct entry, by_name));
	rwlock_write_unlock(&v->lock);
}

void tmpfs_drain(struct fs *fs)
{
	struct vnode *first = NULL;
	(void)vnode_for_each(fs, collect_dir, &first);
	for (struct vnode *v = first; v; v = ((struct node *)v->priv)->next_drained)
		empty_dir(v);
	while (first) {
		struct vnode *v = first;
		first = ((struct node *)v->priv)->next_drained;
		vnode_put(v);
	}
}

uint32_t tmpfs_own_refs(struct vnode *v)
{
	return v->priv ? load_relaxed(&((struct node *)v->priv)->names) : 0;
}

err_t tmpfs_statfs(struct fs *fs, struct fs_stats *out)
{
	struct tmpfs *t = fs->priv;
	out->type = TMPFS_MAGIC;
	if (t->max_pages != UINT64_MAX) {
		uint64_t used = load_relaxed(&t->pages);
		out->blocks = t->max_pages;
		out->free_blocks = out->available_blocks = used < t->max_pages ? t->max_pages - used : 0;
	}
	if (t->max_space != UINT64_MAX) {
		uint64_t used = load_relaxed(&t->space);
		out->files = t->max_space / FILE_SPACE;
		out->free_files = used < t->max_space ? (t->max_space - used) / FILE_SPACE : 0;
	}
	return 0;
}

const struct fs_ops tmpfs_ops = {
    .name = "tmpfs",
    .mount = tmpfs_mount,
    .unmount = tmpfs_unmount,
    .drain = tmpfs_drain,
    .own_refs = tmpfs_own_refs,
    .statfs = tmpfs_statfs,
};

err_t tmpfs_make_unnamed(struct fs *fs, const struct attr *init, unsigned flags, struct vnode **out)
{
	err_t err = make_vnode(fs, &(struct recipe){.init = init, .flags = flags}, out);
	if (!err)
		(*out)->nlink = 0;
	return err;
}
