/*
 * namei.c - the path walk.
 *
 * A path is walked component by component. A component is looked up in the cache of names, and if that does
 * not know, in the directory, whose lock is held for reading then: so what the file system says is in the
 * cache before anybody can change it. Between components nothing is locked; references keep what the walk
 * stands on.
 *
 *	"a/../link/x"    at ──a──▶ at ──..──▶ at ──link──▶ symbolic: push "x", go on with the link's text
 *
 * A link's text is a string of its own on a stack of at most 40, so no path is ever put together and limits
 * hold for each string alone. A link that ends its string needs no entry. Directories are checked for search
 * permission as they are stepped from. ".." stops at the context's root, and leaves a mounted root by the
 * directory it is mounted on.
 *
 * After sleeping in a look-up, outcomes of a race: the directory was removed (nothing is found in it,
 * -ENOENT), the name was made or removed meanwhile (either answer is right), the directory was moved (the
 * walk stands on it still, and ".." leads to where it is now).
 */
#include "fs/file.h"
#include "fs/namei_walk.h"
#include "lib/string.h"
#include "mm/slab.h"

void path_get(const struct path *p)
{
	mount_get(p->mount);
	dentry_get(p->dentry);
}

void path_put(const struct path *p)
{
	dentry_put(p->dentry);
	mount_put(p->mount);
}

/* --- permissions --- */

bool fs_cred_in_group(const struct fs_cred *cred, uint32_t gid)
{
	bool in = cred->gid == gid;
	for (unsigned i = 0; !in && i < cred->ngroups; i++)
		in = cred->groups[i] == gid;
	return in;
}

/* What capabilities allow where the mode does not: everything, or only to read and to search; but nobody
 * executes what nobody may. */
static bool may_despite_mode(const struct fs_cred *cred, const struct vnode *v, unsigned mask)
{
	uint32_t mode = vnode_mode(v);
	bool dir = (mode & MODE_TYPE) == MODE_DIR, reads = dir ? !(mask & MAY_WRITE) : mask == MAY_READ;
	if (reads && fs_cred_can(cred, CAP_DAC_READ_SEARCH))
		return true;
	return (dir || !(mask & MAY_EXEC) || (mode & 0111)) && fs_cred_can(cred, CAP_DAC_OVERRIDE);
}

err_t vnode_permission(const struct fs_cred *cred, const struct vnode *v, unsigned mask)
{
	uint32_t mode = vnode_mode(v);
	if ((mask & MAY_WRITE) && vnode_has(v, INODE_IMMUTABLE))
		return -EPERM;
	if (__atomic_load_n(&v->uid, __ATOMIC_RELAXED) == cred->uid)
		mode >>= 6;
	else if (fs_cred_in_group(cred, __atomic_load_n(&v->gid, __ATOMIC_RELAXED)))
		mode >>= 3;
	return mask & ~mode & 7 && !may_despite_mode(cred, v, mask) ? -EACCES : 0;
}

err_t dir_may_change(const struct fs_cred *cred, const struct vnode *dir)
{
	if (dir->dead)
		return -ENOENT;
	return vnode_permission(cred, dir, MAY_WRITE | MAY_EXEC);
}

void init_attributes(const struct fs_context *c, const struct vnode *dir, uint32_t mode, struct attr *a)
{
	uint32_t type = mode & MODE_TYPE, dir_mode = vnode_mode(dir);
	*a = (struct attr){.mask = ~0u, .uid = c->cred.uid, .gid = c->cred.gid};
	if (type != MODE_LINK)
		mode &= ~(c->umask & 0777);
	if (dir_mode & 02000) {
		a->gid = dir->gid;
		if (type == MODE_DIR)
			mode |= 02000;
		else if ((mode & 02010) == 02010 && !fs_cred_can(&c->cred, CAP_FSETID) &&
			 !fs_cred_in_group(&c->cred, dir->gid))
			mode &= ~02000u;
	}
	a->mode = mode;
	fs_now(&a->mtime);
	a->atime = a->ctime = a->mtime;
}

/* --- one component --- */

/* Ask the file system; the directory is locked. */
static err_t lookup_in_fs(struct dentry *dir, const char *name, size_t len, struct dentry **out)
{
	struct vnode *dv = dentry_vnode(dir), *v = NULL;
	err_t err = dv->dead ? -ENOENT : dv->ops->lookup(dv, name, len, &v);
	if (err && (err != -ENOENT || dv->dead))
		return err;
	err = dentry_add(dir, name, len, v, out);
	if (err && v)
		vnode_put(v);
	return err;
}

/* What the cache knows, if it is still true. */
static struct dentry *find_valid(struct dentry *dir, const char *name, size_t len)
{
	struct dentry *d = dentry_find(dir, name, len);
	struct vnode *v = d ? dentry_vnode(d) : NULL;
	if (!d || !(v ? v->ops->revalidate && !v->ops->revalidate(v) : d->fs->volatile_names))
		return d;
	dentry_forget(d);
	dentry_put(d);
	return NULL;
}

err_t lookup_child(struct dentry *dir, const char *name, size_t len, bool dir_locked, struct dentry **out)
{
	struct vnode *dv = dentry_vnode(dir);
	err_t err = 0;
	if (len > NAME_LEN_MAX)
		return -ENAMETOOLONG;
	*out = find_valid(dir, name, len);
	if (*out)
		return 0;
	if (!dir_locked)
		rwlock_read(&dv->lock);
	*out = dir_locked ? NULL : find_valid(dir, name, len); /* somebody may have asked while we waited */
	if (!*out)
		err = lookup_in_fs(dir, name, len, out);
	if (!dir_locked)
		rwlock_read_unlock(&dv->lock);
	return err;
}

err_t walk_cross_down(const struct walk *w, struct path *p)
{
	const struct mount *m = p->mount;
	mount_cross_down(p);
	if (p->mount == m || !(w->resolve & RESOLVE_NO_XDEV))
		return 0;
	path_put(p);
	return -EXDEV;
}

/* Replace where the walk stands; takes over the reference on d. */
static err_t step_to(struct walk *w, struct dentry *d)
{
	const struct mount *m = w->at.mount;
	struct dentry *old = w->at.dentry;
	w->at.dentry = d;
	mount_cross_down(&w->at);
	dentry_put(old);
	return w->at.mount != m && (w->resolve & RESOLVE_NO_XDEV) ? -EXDEV : 0;
}

/* Nothing is above the root. */
static err_t stay_at_root(const struct walk *w)
{
	return w->resolve & RESOLVE_BENEATH ? -EXDEV : 0;
}

static err_t step_up(struct walk *w)
{
	for (;;) {
		if (w->at.dentry == w->root->dentry && w->at.mount == w->root->mount)
			return stay_at_root(w);
		if (w->at.dentry != w->at.mount->root)
			break;
		if (!mount_cross_up(&w->at))
			return stay_at_root(w);
		if (w->resolve & RESOLVE_NO_XDEV)
			return -EXDEV;
	}
	struct dentry *parent = dentry_parent(w->at.dentry);
	err_t err = parent ? step_to(w, parent) : 0;
	if (!err && (w->resolve & RESOLVE_SCOPED) && !path_is_below(&w->at, w->root))
		err = -EAGAIN; /* it was moved out of the root while we stood below it */
	return err;
}

/* --- symbolic links --- */

static err_t read_link_text(struct vnode *v, char **out)
{
	size_t len = 0;
	char *text = kmalloc(PATH_LEN_MAX);
	if (!text)
		return -ENOMEM;
	err_t err = v->ops->readlink ? v->ops->readlink(v, text, PATH_LEN_MAX - 1, &len) : -EINVAL;
	if (!err && len == 0)
		err = -ENOENT;
	if (err) {
		kfree(text);
		return err;
	}
	text[len] = 0;
	*out = text;
	return 0;
}

static void pop_string(struct walk *w)
{
	w->depth--;
	w->rest = w->stack[w->depth].rest;
	kfree(w->stack[w->depth].target);
}

/* The text of a link becomes what is walked; `w->rest` goes on after it. */
static err_t push_string(struct walk *w, char *text)
{
	if (!*w->rest && w->depth > 0)
		pop_string(w); /* the link ended its string: that one is done with */
	if (w->depth == SYMLINK_DEPTH_MAX) {
		kfree(text);
		return -ELOOP;
	}
	w->stack[w->depth].target = text;
	w->stack[w->depth++].rest = w->rest;
	w->rest = text;
	return 0;
}

/* Stand on the root of the context if the string begins with a slash. */
static err_t restart_if_absolute(struct walk *w)
{
	if (*w->rest != '/')
		return 0;
	if ((w->resolve & RESOLVE_BENEATH) ||
	    ((w->resolve & RESOLVE_NO_XDEV) && w->at.mount != w->root->mount))
		return -EXDEV;
	struct path old = w->at;
	w->at = *w->root;
	path_get(&w->at);
	path_put(&old);
	return 0;
}

static err_t follow_magic(struct walk *w, struct vnode *v)
{
	struct path to, old = w->at;
	if (w->resolve & RESOLVE_NO_MAGICLINKS)
		return -ELOOP;
	err_t err = v->ops->follow(v, &to);
	if (err)
		return err;
	if ((w->resolve & RESOLVE_SCOPED) || ((w->resolve & RESOLVE_NO_XDEV) && to.mount != w->at.mount)) {
		path_put(&to);
		return -EXDEV;
	}
	w->at = to;
	path_put(&old);
	return 0;
}

/* May the walk follow one link more, which is on m? */
static err_t check_link(struct walk *w, const struct mount *m)
{
	bool never = (w->resolve & RESOLVE_NO_SYMLINKS) || (load_relaxed(&m->flags) & MOUNT_NOSYMFOLLOW);
	return ++w->links > SYMLINK_DEPTH_MAX || never ? -ELOOP : 0;
}

err_t walk_into_link(struct walk *w, const struct path *p, bool *arrived)
{
	struct vnode *v = path_vnode(p);
	char *text = NULL;
	err_t err = check_link(w, p->mount);
	if (!err && (w->resolve & RESOLVE_CACHED) && v->fs->device)
		err = -EAGAIN; /* its text may have to be read */
	*arrived = v->ops->follow;
	if (!err && *arrived)
		err = follow_magic(w, v);
	else if (!err)
		err = read_link_text(v, &text);
	if (!err && !*arrived) {
		file_touch_atime(p->mount, v);
		err = push_string(w, text);
		if (!err)
			err = restart_if_absolute(w);
	}
	path_put(p);
	return err;
}

/* --- the walk --- */

err_t walk_begin(struct walk *w, const struct fs_context *c, const struct path *base, const char *name)
{
	return walk_begin_resolve(w, c, base, name, 0);
}

err_t walk_begin_resolve(
    struct walk *w, const struct fs_context *c, const struct path *base, const char *name, unsigned resolve)
{
	const struct path *start = base ? base : &c->cwd;
	w->context = c;
	w->resolve = resolve;
	w->root = resolve & RESOLVE_SCOPED ? start : &c->root;
	w->links = w->depth = 0;
	w->trailing_slash = w->must_be_dir = false;
	w->rest = name;
	if (!*name)
		return -ENOENT;
	if (*name == '/' && (resolve & RESOLVE_BENEATH))
		return -EXDEV;
	w->at = *name == '/' ? *w->root : *start;
	path_get(&w->at);
	return 0;
}

void walk_end(struct walk *w)
{
	while (w->depth > 0)
		pop_string(w);
	path_put(&w->at);
}

/* Read the next component of w->rest into last. True: more components follow it, in this string or below. */
static bool take_component(struct walk *w)
{
	const char *s = w->rest;
	while (*s == '/')
		s++;
	w->last = s;
	while (*s && *s != '/')
		s++;
	w->last_len = (size_t)(s - w->last);
	w->trailing_slash = *s == '/';
	while (*s == '/')
		s++;
	w->rest = s;
	w->last_kind = w->last_len == 0                                ? LAST_NONE
		       : w->last_len == 1 && w->last[0] == '.'         ? LAST_DOT
		       : w->last_len == 2 && !memcmp(w->last, "..", 2) ? LAST_DOTDOT
								       : LAST_NAME;
	return *s;
}

/* The string is at its end, its last component taken but not looked up; a string below may go on. True: it
 * does. `last` stays valid, as the string is freed only when the walk goes on from what it led to. */
static bool strings_follow(const struct walk *w)
{
	for (unsigned i = w->depth; i > 0; i--)
		if (*w->stack[i - 1].rest)
			return true;
	return false;
}

static err_t may_search(const struct walk *w)
{
	struct vnode *v = path_vnode(&w->at);
	if (!vnode_is(v, MODE_DIR))
		return -ENOTDIR;
	return vnode_permission(&w->context->cred, v, MAY_EXEC);
}

/* Step through the component that was taken, which is not the last. */
static err_t step_through(struct walk *w)
{
	struct dentry *d;
	bool arrived;
	if (w->last_kind == LAST_DOTDOT)
		return step_up(w);
	if (w->last_kind != LAST_NAME)
		return 0;
	err_t err = walk_last(w, false, &d);
	if (err)
		return err;
	struct vnode *v = dentry_vnode(d);
	if (!v) {
		dentry_put(d);
		return -ENOENT;
	}
	if (!vnode_is(v, MODE_LINK))
		return step_to(w, d);
	mount_get(w->at.mount);
	return walk_into_link(w, &(struct path){w->at.mount, d}, &arrived);
}

err_t walk_parent(struct walk *w)
{
	for (;;) {
		err_t err = may_search(w);
		if (err)
			return err;
		bool more = take_component(w);
		if (!more && !strings_follow(w))
			return 0;
		err = step_through(w);
		if (err)
			return err;
		while (!*w->rest && w->depth > 0) /* a link's text is done: go on after the link */
			pop_string(w);
	}
}

err_t walk_last(struct walk *w, bool dir_locked, struct dentry **out)
{
	ASSERT(w->last_kind == LAST_NAME);
	if (w->resolve & RESOLVE_CACHED) {
		*out = w->last_len > NAME_LEN_MAX ? NULL : find_valid(w->at.dentry, w->last, w->last_len);
		return *out ? 0 : -EAGAIN;
	}
	err_t err = lookup_child(w->at.dentry, w->last, w->last_len, dir_locked, out);
	if (err || dentry_vnode(*out) || !w->at.dentry->fs->volatile_names)
		return err;
	dentry_put(*out); /* there are only the names that come by themselves */
	return -ENOENT;
}

/* The end of the path is where the walk stands, or one step from it without a name. */
err_t walk_end_here(struct walk *w, struct path *out)
{
	err_t err = w->last_kind == LAST_DOTDOT ? step_up(w) : 0;
	if (err)
		return err;
	*out = w->at;
	path_get(out);
	return 0;
}

/* Look at the last component. *again: it was a link, the walk goes on. */
static err_t try_end(struct walk *w, unsigned flags, bool *again, struct path *out)
{
	struct dentry *d;
	bool arrived;
	*again = false;
	if (w->last_kind != LAST_NAME)
		return walk_end_here(w, out);
	err_t err = walk_last(w, false, &d);
	if (err)
		return err;
	struct path p = {w->at.mount, d};
	mount_get(p.mount);
	err = walk_cross_down(w, &p);
	if (err)
		return err;
	struct vnode *v = path_vnode(&p);
	if (v && vnode_is(v, MODE_LINK) && (w->trailing_slash || !(flags & WALK_NOFOLLOW))) {
		w->must_be_dir |= w->trailing_slash;
		err = walk_into_link(w, &p, &arrived);
		*again = !arrived;
		return !err && arrived ? walk_end_here(w, out) : err;
	}
	*out = p;
	return 0;
}

/* Is the result what the path and the flags ask for? On errors its references are dropped. */
static err_t check_end(const struct walk *w, unsigned flags, struct path *out)
{
	struct vnode *v = path_vnode(out);
	err_t err = 0;
	if (!v)
		err = -ENOENT;
	else if ((w->trailing_slash || w->must_be_dir || (flags & WALK_DIRECTORY)) && !vnode_is(v, MODE_DIR))
		err = -ENOTDIR;
	if (err)
		path_put(out);
	return err;
}

err_t walk_to_end(struct walk *w, unsigned flags, struct path *out)
{
	bool again = true;
	err_t err = 0;
	while (!err && again) {
		err = walk_parent(w);
		if (!err)
			err = try_end(w, flags, &again, out);
	}
	if (!err)
		err = check_end(w, flags, out);
	walk_end(w);
	return err;
}

err_t vfs_lookup(
    const struct fs_context *c, const struct path *base, const char *name, unsigned flags, struct path *out)
{
	struct walk w;
	if (!*name && (flags & WALK_EMPTY)) {
		*out = base ? *base : c->cwd;
		path_get(out);
		return 0;
	}
	err_t err = walk_begin(&w, c, base, name);
	return err ? err : walk_to_end(&w, flags, out);
}
