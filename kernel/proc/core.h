#pragma once
/*
 * core.h - core files: what is left of a program that a signal ended. See core.c.
 *
 * Letters: (T) the tree's lock; (A) atomic
 */
#include "kern/waitq.h"
#include "lib/list.h"

struct process;
struct user_thread;
struct signal_info;
struct text;
struct vnode;

/* What of its memory a process wants in the file: bits of /proc/PID/coredump_filter. */
enum core_filter {
	CORE_ANON_PRIVATE = 1 << 0,
	CORE_ANON_SHARED = 1 << 1,
	CORE_FILE_PRIVATE = 1 << 2,
	CORE_FILE_SHARED = 1 << 3,
	CORE_ELF_HEADERS = 1 << 4, /* the first page of mapped programs and libraries */
	CORE_HUGE_PRIVATE = 1 << 5,
	CORE_FILTER_DEFAULT = CORE_ANON_PRIVATE | CORE_ANON_SHARED | CORE_ELF_HEADERS | CORE_HUGE_PRIVATE,
	CORE_FILTER_ALL = 0x1ff, /* bits that are kept; those beyond are dropped, as on Linux */
};

/* May others look into a process: values of prctl(PR_GET_DUMPABLE) and of suid_dumpable. */
enum dumpable {
	DUMP_NOBODY = 0,
	DUMP_USER = 1, /* those with the same ids; its core file is its user's */
	DUMP_ROOT = 2, /* the superuser, whose file its core is */
};

/* A process's part. */
struct core_state {
	struct user_thread *writer; /* (T) it writes the file, the process is exiting; NULL: nobody does */
	struct list parked;      /* (T) struct core_thread by link: the others, which end when that is done */
	unsigned nparked;        /* (T) */
	struct waitq wait;       /* somebody parked or ended, or the file is done; predicate under (T) */
	_Atomic uint32_t filter; /* (A) enum core_filter */
	_Atomic uint32_t dumpable; /* (A) enum dumpable */
};

void core_state_init(struct core_state *s);
/* The current process p is to end by this signal: shall there be a core file? Then the current thread is the
 * writer from here on, the others are told to end, and core_write is due. Else nothing has changed. */
bool core_begin_locked(struct process *p, int signal);
/* The writer, without the lock: write the file when all others are parked, then let everybody end. May sleep.
 */
void core_write(const struct signal_info *info);
/* Is the current thread the one that core_begin_locked chose? */
bool core_is_writer(void);
/* The current thread ends: if a core file is being written, its registers go into it first. May sleep. */
void core_park(void);
/* The number of p's threads has fallen. */
void core_thread_gone_locked(struct process *p);
/* Give up the core file that p may be writing. */
void core_interrupt_locked(struct process *p);

/* core_name.c: where the files go, /proc/sys/kernel/core_pattern and core_uses_pid; core_pipe.c:
 * core_pipe_limit; and
 * /proc/sys/fs/suid_dumpable. Show and store as struct text_ops. */
void core_show_pattern(struct text *t, struct vnode *v);
int64_t core_store_pattern(struct vnode *v, char *s, size_t n);
void core_show_uses_pid(struct text *t, struct vnode *v);
int64_t core_store_uses_pid(struct vnode *v, char *s, size_t n);
void core_show_pipe_limit(struct text *t, struct vnode *v);
int64_t core_store_pipe_limit(struct vnode *v, char *s, size_t n);
void core_show_suid(struct text *t, struct vnode *v);
int64_t core_store_suid(struct vnode *v, char *s, size_t n);
/* enum dumpable of a process whose rights have changed. */
uint32_t core_suid_dumpable(void);
