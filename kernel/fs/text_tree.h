#pragma once
/*
 * text_tree.h - a fixed tree of generated files, which is made once at boot: what /sys is. See text_tree.c.
 */
#include "fs/text.h"

struct text_node;
/* Make the contents of a file: `arg` is what it was made with. */
typedef void text_show(struct text *t, const void *arg);

/* All of this at boot, when nobody looks yet, with memory to spare. Names and targets are copied. */
struct text_node *text_tree_root(void);
/* The directory with this name in `in`; made, if it is not there. */
struct text_node *text_tree_dir(struct text_node *in, const char *name);
/* The same with a path of several names, from `in`. */
struct text_node *text_tree_path(struct text_node *in, const char *path);
void text_tree_file(struct text_node *in, const char *name, text_show *show, const void *arg);
/* The same for a setting, which root writes: n bytes, terminated. Bytes taken or an error. */
typedef int64_t text_store(const void *arg, char *s, size_t n);
void text_tree_setting(
    struct text_node *in, const char *name, text_show *show, text_store *store, const void *arg);
/* A file that says one line. */
void text_tree_line(struct text_node *in, const char *name, const char *line);
void text_tree_number(struct text_node *in, const char *name, uint64_t number);
/* A symbolic link to another node, by the relative path. */
void text_tree_link(struct text_node *in, const char *name, const struct text_node *to);

/* The mount operation of a kind of file system that shows the tree; and the rest of its operations. */
MUST_CHECK err_t text_tree_mount(struct fs *fs, const struct text_node *top, struct vnode **root);
void text_tree_unmount(struct fs *fs);
