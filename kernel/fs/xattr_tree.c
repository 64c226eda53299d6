/*
 * xattr_tree.c - extended attributes in memory: a tree by name, so that a file with very many costs no more
 * for each.
 */
#include "fs/xattr.h"
#include "lib/string.h"
#include "mm/slab.h"

enum { BASE_SPACE = 40 }; /* what each takes beside its name and value, whatever the structure's size */

struct attribute {
	struct rb_node node;
	struct xattr_name name; /* its text lies behind the value */
	size_t value_len;
	uint8_t value[];
};

void xattr_tree_init(struct xattr_tree *t)
{
	rb_init(&t->by_name, NULL);
}

void xattr_tree_fini(struct xattr_tree *t)
{
	struct rb_node *n;
	while ((n = rb_first(&t->by_name))) {
		rb_remove(&t->by_name, n);
		kfree(rb_entry(n, struct attribute, node));
	}
}

uint64_t xattr_space_of(const struct xattr_name *name, size_t value_len)
{
	static const uint8_t prefix_len[] = {[XATTR_USER] = 5, [XATTR_TRUSTED] = 8, [XATTR_SECURITY] = 9};
	return BASE_SPACE + prefix_len[name->space] + name->len + value_len;
}

/* By space, then backwards: the order in which Linux lists those of files in memory. */
static int compare(const struct xattr_name *a, const struct xattr_name *b)
{
	if (a->space != b->space)
		return a->space < b->space ? -1 : 1;
	int order = memcmp(b->name, a->name, MIN(a->len, b->len));
	return order ? order : a->len > b->len ? -1 : a->len < b->len;
}

/* The attribute, or NULL and where it belongs. */
static struct attribute *find(
    const struct xattr_tree *t, const struct xattr_name *name, struct rb_node **parent, bool *left)
{
	struct rb_node *n = t->by_name.root;
	*parent = NULL;
	while (n) {
		struct attribute *a = rb_entry(n, struct attribute, node);
		int order = compare(name, &a->name);
		if (!order)
			return a;
		*parent = n;
		*left = order < 0;
		n = *left ? n->left : n->right;
	}
	return NULL;
}

static struct attribute *attribute_alloc(const struct xattr_name *name, const struct xattr_value *value)
{
	struct attribute *a = kmalloc(sizeof(*a) + value->len + name->len);
	if (!a)
		return NULL;
	char *text = (char *)a->value + value->len;
	memcpy(a->value, value->data, value->len);
	memcpy(text, name->name, name->len);
	a->name = (struct xattr_name){name->space, text, name->len};
	a->value_len = value->len;
	return a;
}

err_t xattr_tree_get(
    const struct xattr_tree *t, const struct xattr_name *name, void *buf, size_t size, size_t *len)
{
	struct rb_node *parent;
	bool left;
	const struct attribute *a = find(t, name, &parent, &left);
	return a ? xattr_answer(a->value, a->value_len, buf, size, len) : -ENODATA;
}

err_t xattr_tree_set(struct xattr_tree *t, const struct xattr_name *name, const struct xattr_value *value,
    unsigned how, uint64_t *old_space)
{
	struct rb_node *parent;
	bool left = false;
	struct attribute *old = find(t, name, &parent, &left), *fresh = NULL;
	*old_space = 0;
	err_t err = xattr_check_how(old, !value, how);
	if (err)
		return err;
	if (value && !(fresh = attribute_alloc(name, value)))
		return -ENOMEM;
	if (!old)
		rb_insert(&t->by_name, &fresh->node, parent,
		    !parent ? &t->by_name.root
		    : left  ? &parent->left
			    : &parent->right);
	else if (fresh)
		rb_replace(&t->by_name, &old->node, &fresh->node);
	else
		rb_remove(&t->by_name, &old->node);
	if (old)
		*old_space = xattr_space_of(&old->name, old->value_len);
	kfree(old);
	return 0;
}

void xattr_tree_list(const struct xattr_tree *t, xattr_emit *emit, void *ctx)
{
	for (struct rb_node *n = rb_first(&t->by_name); n; n = rb_next(n))
		if (!emit(ctx, &rb_entry(n, struct attribute, node)->name))
			return;
}

uint64_t xattr_tree_space(const struct xattr_tree *t)
{
	uint64_t space = 0;
	for (struct rb_node *n = rb_first(&t->by_name); n; n = rb_next(n)) {
		const struct attribute *a = rb_entry(n, struct attribute, node);
		space += xattr_space_of(&a->name, a->value_len);
	}
	return space;
}
