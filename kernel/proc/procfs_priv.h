#pragma once
/* procfs_priv.h - what the files of /proc share. */
#include "proc/process.h"
#include "proc/procfs.h"

struct proc_dir;
struct proc_node;

/* One name of a directory of /proc. */
struct proc_entry {
	const char *name; /* NULL: a number */
	uint32_t mode;    /* type and permissions */
	struct text_ops text;
	/* A file that is no text: f, which is being opened, gets its operations. */
	err_t (*open)(const struct proc_node *n, struct file *f);
	const struct proc_dir *dir;
	/* Symbolic links: where it leads if that is not by name, and the text (bytes written to buf or an
	 * error); NULL: the path of that. */
	int64_t (*readlink)(struct proc_node *n, char *buf, size_t size);
	err_t (*follow)(struct proc_node *n, struct path *out);
};

/* A directory: fixed names, and perhaps numbers. */
struct proc_dir {
	unsigned class; /* unique, below PROC_CLASSES */
	const struct proc_entry *entries;
	unsigned count;
	/* Fill in what the number's node has more than the directory's. -ENOENT. */
	err_t (*find)(const struct proc_node *dir, uint64_t number, struct proc_node *child);
	/* The least number >= from; -1: there is none. */
	int64_t (*next)(const struct proc_node *dir, uint64_t from);
};

enum proc_class {
	CLASS_ROOT,
	CLASS_PROCESS,
	CLASS_TASK,
	CLASS_THREAD,
	CLASS_FD,
	CLASS_FDINFO,
	CLASS_SYS,
	CLASS_SYS_KERNEL,
	CLASS_SYS_RANDOM,
	CLASS_SYS_VM,
	CLASS_SYS_FS,
	CLASS_SYS_INOTIFY,
	CLASS_TTY,
	CLASS_SYSVIPC,
	CLASS_NET,
	PROC_CLASSES = 16
};

/* What a vnode of /proc is: vnode.priv. */
struct proc_node {
	const struct proc_entry *entry; /* (C) */
	struct process *process;        /* (C) counted; NULL: of the system */
	uint32_t tid;                   /* (C) thread; 0: of the whole process */
	int fd;                         /* (C) */
};

static inline struct proc_node *proc_node_of(const struct vnode *v)
{
	return v->priv;
}

extern const struct proc_entry proc_root_entries[];
extern const unsigned proc_root_count;
extern const struct proc_entry proc_process_entry, proc_thread_entry;
extern const struct proc_dir proc_sys_dir, proc_sysvipc_dir, proc_net_dir;
/* Once at boot, after random_init. */
void procfs_sys_init(void);

/* procfs_validate.c, in debug kernels. */
int64_t procfs_store_validate(struct vnode *v, char *s, size_t n);
/* A decimal number with white space around it, and nothing else. -EINVAL. */
MUST_CHECK err_t proc_parse_number(const char *s, int64_t *out);

/* Is the process, or its thread, there still? */
bool proc_node_is_alive(const struct proc_node *n);
/* The thread of the node, or the first of the process; tree locked; NULL: none. */
struct user_thread *proc_thread_locked(const struct proc_node *n);
