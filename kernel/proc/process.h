#pragma once
/*
 * process.h - processes and their threads.
 *
 *	process ──threads──▶ user_thread (embeds struct thread)
 *	   │ │                  own kernel stack, trap frame at its end
 *	   │ └─children──▶ process ...
 *	   └─space──▶ vm_space
 *
 * A process is alive, then dead (all threads gone, memory given back, status kept), then forgiven (waited
 * for). An orphan's death is forgiven at once: nobody will ask. The decision to exit (`exiting`, with the
 * status that wait will tell) comes first and is made once; every thread of the process then dies at its next
 * return to user mode.
 *
 * References: one for being in the tree, until forgiven; one for each thread; one for each finder.
 *
 * Letters: (T) the tree's lock; (L) process.lock; (A) atomic; (C) constant after creation; (O) the process's
 * own threads only.
 * Two letters: either to read, both to write.
 */
#include "arch/user.h"
#include "kern/mutex.h"
#include "kern/thread.h"
#include "lib/list.h"
#include "proc/core.h"
#include "proc/guard.h"
#include "proc/signal.h"
#include "proc/timers.h"

struct vm_space;
struct exec_args;
struct desc_table;
struct place;
struct cred;
struct file;
struct fs_context;
struct tty;

enum process_state { PROCESS_ALIVE, PROCESS_DEAD, PROCESS_FORGIVEN };

enum {
	PID_INIT = 1,
	PID_MAX = 32768, /* first number not used */
};

/* Limits, as getrlimit(2) numbers them. */
enum rlimit_resource {
	RLIMIT_CPU,
	RLIMIT_FSIZE,
	RLIMIT_DATA,
	RLIMIT_STACK,
	RLIMIT_CORE,
	RLIMIT_RSS,
	RLIMIT_NPROC,
	RLIMIT_NOFILE,
	RLIMIT_MEMLOCK,
	RLIMIT_AS,
	RLIMIT_LOCKS,
	RLIMIT_SIGPENDING,
	RLIMIT_MSGQUEUE,
	RLIMIT_NICE,
	RLIMIT_RTPRIO,
	RLIMIT_RTTIME,
	RLIMIT_COUNT
};
#define RLIMIT_INFINITY UINT64_MAX
struct rlimit64 {
	uint64_t soft, hard;
};

/* What threads have used. */
#define LOGIN_UNSET UINT32_MAX
struct usage {
	nsec_t user, system;             /* CPU time */
	uint64_t minor, major;           /* page faults without and with reading a file */
	uint64_t voluntary, involuntary; /* switches to other threads: to wait, and because others waited */
	uint64_t io[IO_KINDS];           /* by enum thread_io */
	uint64_t
	    resident_peak; /* pages: the most in memory at a time, of the one that had most; of threads 0 */
};

struct process {
	struct refcount refs;
	uint32_t pid;      /* (C) */
	uint64_t serial;   /* (C) never used again */
	nsec_t start_time; /* (C) monotonic */
	_Atomic uint32_t
	    ppid; /* (A) written with (T): parent's pid, PID_INIT for an orphan, 0 for the first process */
	uint32_t pgid, sid; /* (T) process group, session */
	struct tty *tty;    /* (T) controlling terminal, counted; NULL: none */
	uint32_t
	    tty_old_group; /* (T) of a leader whose terminal was hung up: the group that was in front; 0: none */
	bool has_exec;     /* (T) it runs a program of its own */
	char name[THREAD_NAME_MAX];  /* (T) last part of the program's path */
	struct list pid_link;        /* (T) in the table of pids */
	struct process *parent;      /* (T) NULL: nobody waits for it */
	struct list children;        /* (T) by sibling_link, alive and dead */
	struct list pidfds;          /* (T) files that stand for it: pidfd.c */
	struct list sibling_link;    /* (T) */
	struct list threads;         /* (T) struct user_thread by link */
	unsigned nthreads;           /* (T) */
	enum process_state state;    /* (T) */
	bool exiting;                /* (T) wait_status is decided */
	int wait_status;             /* (T) as wait4 tells it */
	struct usage usage;          /* (T) of threads that are gone */
	struct usage children_usage; /* (T) of children that were waited for, and theirs */
	struct process_signals signals;
	struct process_timers timers;
	struct waitq child_wait; /* a child died; predicate under (T) */
	struct waitq dead_wait;  /* it died itself; predicate under (T) */
	struct vm_space *space;  /* (T) to change, (O) to read; counted; NULL once dead */
	struct user_thread
	    *exec_thread;       /* (T) it is, or waits to be, the only one, to replace the program; no other
				   may start */
	struct waitq exec_wait; /* the last but one thread is gone; predicate under (T) */
	bool
	    has_memory_of_parent; /* (T) made by vfork: the parent waits until this process runs a program of its own or is dead */
	struct waitq vfork_wait; /* predicate under (T) */
	struct spinlock lock;    /* RANK_PROCESS: for a few loads and stores */
	struct cred *cred; /* (T,L) counted, never NULL: of its first thread, which stay when that is gone */
	struct file *program; /* (L) what it runs, counted, denies writing; NULL: dead, or not known */
	_Atomic uint32_t personality; /* (A) changed by its own threads: enum personality_bits */
	_Atomic int32_t oom_adjust,
	    oom_adjust_min; /* (A) oom_score_adj, and the least that somebody privileged has set */
	_Atomic uint32_t login_uid,
	    login_session; /* (A) set by its own threads, inherited: who logged in, which time; LOGIN_UNSET: nobody */
	struct rlimit64 limits[RLIMIT_COUNT]; /* (L) by enum rlimit_resource; .soft read alone: (A) */
	uint8_t
	    exit_signal; /* (T) what its parent gets when it is dead; others than SIGNAL_CHLD hide it from plain waits */
	struct user_thread
	    *creator; /* (T) of parent's threads the one that made it, or that took over; NULL: none */
	struct list sem_undos; /* ipc_lock: what is undone when it ends: ipc_sem.c */
	bool child_subreaper;  /* (T) takes over the children of its dying descendants */
	struct core_state core;
	_Atomic uint32_t gains; /* (A) programs that it ran with rights that who could reach into it had not:
				   counted before their memory is its */
	_Atomic uint32_t
	    guards; /* (A) enum space_guard of the memory of programs that it runs; only ever more */
};

struct user_thread {
	struct thread thread;  /* first */
	struct list link;      /* (T) in process->threads; then in the reaper's list */
	vaddr_t stack;         /* (C) kernel stack */
	struct list tid_link;  /* (T) in the table of thread ids, until it exits */
	struct list threadfds; /* (T) files that stand for it: threadfd.c */
	struct thread_signals signals;
	int parent_death_signal; /* (T) sent to its process when the thread that made that ends; 0: none */
	struct cred *cred;       /* (T,L) to change, its own to read without; counted, never NULL */
	struct desc_table
	    *descs;          /* (L) to change, its own to read without; counted; NULL: not yet, no more */
	struct place *place; /* the same */
	_Atomic bool
	    too_many; /* (A) its user had too many tasks when it became that user's: exec fails as long as that is so */
	_Atomic bool
	    no_new_privs; /* (A) set by itself: programs that it runs gain no rights; never cleared */
	_Atomic uint64_t timer_slack; /* (A) ns, as prctl tells it: timers are exact */
	uint64_t timer_slack_default; /* (C) */
	bool policy_resets;           /* (T) SCHED_RESET_ON_FORK: its children are ordinary threads */
	uint16_t io_priority;         /* (T) as ioprio_set tells it; inherited */
	uaddr_t clear_tid;            /* (O) set_tid_address */
	uaddr_t robust_list;          /* (O) head; its owner writes, finders read */
	struct {
		uaddr_t addr; /* 0: none */
		uint32_t len, sig;
	} rseq;                    /* (O) as the call rseq says */
	struct trap_frame start;   /* (O) registers that it starts with */
	struct thread_guard guard; /* (O) */
};

static inline struct process *current_process(void)
{
	return current_thread()->process;
}
static inline struct user_thread *current_user_thread(void)
{
	return container_of(current_thread(), struct user_thread, thread);
}
/* Has ut the number of its process: is it the first thread, or one that took its place in exec? */
static inline bool user_thread_is_first(const struct user_thread *ut)
{
	return ut->thread.tid == ut->thread.process->pid;
}

/* process.c */
/* Caches and the reaper. Once at boot, after the scheduler runs. */
void proc_init(void);
/* What of its maker's a new process or thread shares instead of getting a copy: the first two are threads'.
 * SHARE_PARENT: a process is no child of its maker, but of that one's parent. */
enum process_share { SHARE_DESCS = 1, SHARE_PLACE = 2, SHARE_HANDLERS = 4, SHARE_PARENT = 8 };
struct process_wish {
	unsigned share;      /* enum process_share */
	uint32_t number;     /* 0: any */
	uint8_t exit_signal; /* unless SHARE_PARENT: then as its sibling's */
	bool fresh;          /* it runs no copy of its parent's program */
};
/* A new process without threads, in the tree under `parent` (NULL: it is nobody's child, and the
 * superuser's), with one reference for the caller. Takes over the reference to `space` on
 * success. -ENOMEM, -EAGAIN (no number free), -EEXIST (the one wished for is not). May sleep. */
MUST_CHECK err_t process_create(struct process *parent, struct vm_space *space, const char *name,
    const struct process_wish *w, struct process **out);
/* Take a process that never had a thread out of the tree again, and drop the caller's reference. */
void process_discard(struct process *p);
static inline void process_get(struct process *p)
{
	ref_get(&p->refs);
}
void process_put(struct process *p);
/* The process with this number, alive or dead, with a reference. -ESRCH. */
MUST_CHECK err_t process_find(uint32_t pid, struct process **out);
/* All processes one after the other, in no order that means anything: the one that follows `after`, which the
 * caller holds (NULL: the first), with a reference; NULL: none. */
struct process *process_next(const struct process *after);
/* The process of the thread with this id; of a dead one, its own number counts too. With a reference. -ESRCH.
 */
MUST_CHECK err_t process_find_by_thread(uint32_t tid, struct process **out);
/* A NEW thread of p, whose first one gets p's number as its id. p's space and *start must be complete when it
 * is started. wish: the id of another one; 0: any. -ENOMEM, -EAGAIN (no id free), -EEXIST (the one wished for
 * is not). */
MUST_CHECK err_t user_thread_create(
    struct process *p, const char *name, uint32_t wish, struct user_thread **out);
/* The thread with this id, which stays as long as the tree is locked. NULL: none, or it has exited. */
struct user_thread *user_thread_find_locked(uint32_t tid);
/* Give a new thread descriptors and a place: copies of the current thread's, or what `share` (enum
 * process_share) says itself. -ENOMEM; -EAGAIN: the place belongs to one that is about to run a program with
 * rights of its own. */
MUST_CHECK err_t user_thread_copy_files(struct user_thread *ut, unsigned share);
/* The table and the place of `from`, shared, and its credentials, as they are at this moment; *old gets what
 * ut had as such until now. Tree locked. -EINTR: it ends; -EAGAIN as above. */
MUST_CHECK err_t user_thread_share_locked(
    struct user_thread *ut, struct user_thread *from, struct cred **old);
/* ... or none, at the root. -ENOMEM. */
MUST_CHECK err_t user_thread_first_files(struct user_thread *ut);
/* The place of the current thread, copied, and these descriptors, of which a reference is taken. -ENOMEM. */
MUST_CHECK err_t user_thread_take_files(struct user_thread *ut, struct desc_table *descs);
/* Free a thread that was never started, or that has exited and been joined. May sleep. */
void user_thread_free(struct user_thread *ut);
/* Add ut to its process and start it. -EINTR: the process is exiting, -EAGAIN: RLIMIT_NPROC; ut is as it was.
 */
MUST_CHECK err_t user_thread_launch(struct user_thread *ut);
/* The same with the tree locked, for who knows what the process's memory is, and the thread (NULL: none) that
 * is its maker, so that it is traced too. -EINTR as well: the process has other memory by now. */
MUST_CHECK err_t user_thread_launch_locked(
    struct user_thread *ut, struct vm_space *space, const struct user_thread *maker);
/* End all other threads of the current process and wait until they are gone; the current one takes over the
 * id of the process. It stays alone until process_end_exec: nobody else starts one either. -EINTR: somebody
 * else ends the process, or replaces its program, at the same time. */
MUST_CHECK err_t process_become_single(struct process *p);
/* The program is replaced (done), or could not be. */
void process_end_exec(struct process *p, bool done);
/* Make p the current thread's process's memory: the thread runs in `space` from here on, and the old one
 * loses its reference. Only thread of its process. */
void process_replace_space(struct process *p, struct vm_space *space, const char *name);
/* Soft limit of the current process. */
uint64_t current_limit(enum rlimit_resource r);
/* What counts for a write: RLIMIT_FSIZE of the current process, and whether set-user-id bits may stay as they
 * are (CAP_FSETID). */
void current_write_rights(uint64_t *limit, bool *keep_suid);
/* Read a limit of p, and set it if `new` is given. -EPERM: hard limits are raised only with CAP_SYS_RESOURCE.
 */
MUST_CHECK err_t process_limit(
    struct process *p, enum rlimit_resource r, const struct rlimit64 *new, struct rlimit64 *old);
/* The current thread's table of descriptors. */
static inline struct desc_table *current_descs(void)
{
	return current_user_thread()->descs;
}
static inline struct place *current_place(void)
{
	return current_user_thread()->place;
}
/* The thread of p with this id, 0: its first one; NULL: it is gone. Tree locked. */
struct user_thread *process_thread_locked(const struct process *p, uint32_t tid);
/* The table of p's thread (as above), with a reference; NULL once that is gone. */
struct desc_table *task_descs(struct process *p, uint32_t tid);
/* p's program, with a reference; NULL once it is dead. */
struct file *process_program(struct process *p);
/* The current process gets another program (NULL: none): the old one is let go. Takes over the reference.
 * May sleep. */
void process_set_program(struct file *f);
/* The current thread shares its table of descriptors with nobody any more. -ENOMEM. */
MUST_CHECK err_t current_unshare_descs(void);
/* ut, which ends or was never started, lets its files go. May sleep. */
void user_thread_release_files(struct user_thread *ut);
/* who.c: call fn on each thread that `who` names, tree locked: fn may not sleep. 0: the current thread, its
 * process's group; user 0 is user 0. Kinds in the order in which the ABI numbers them. */
enum who_kind { WHO_THREAD, WHO_GROUP, WHO_USER };
typedef void user_thread_visit(struct process *p, struct user_thread *ut, void *arg);
void user_threads_visit(enum who_kind kind, uint32_t who, user_thread_visit *fn, void *arg);
/* Call fn on each process but forgiven ones, tree locked: fn may not sleep. */
void process_for_each(void (*fn)(struct process *p, void *arg), void *arg);
/* The number that was given to somebody last. */
uint32_t process_last_pid(void);
/* Processes that were ever created. */
uint64_t process_created_count(void);
/* Number of processes that are not forgiven, of user threads that are not freed: for tests and statistics. */
unsigned process_count(void);
unsigned user_thread_count(void);
/* Check every rule above on all processes; panics on a violation. */
void process_validate(void);

extern struct spinlock process_tree_lock; /* (T) */

/* memory.c */
struct vm_limits;
/* Limits of p's memory for a thread with these credentials, and for the current one in its own; of locked
 * pages there is none with CAP_IPC_LOCK. */
void process_vm_limits(struct process *p, const struct cred *cred, struct vm_limits *out);
void current_vm_limits(struct vm_limits *out);
/* p's memory, with a reference; NULL once it is dead. */
struct vm_space *process_space(struct process *p);
/* May the current thread look into the memory of p's thread tid (as task_cred takes it) and change it
 * (PTRACE_MODE_ATTACH_REALCREDS)? Not with the tree locked. */
bool current_may_access(struct process *p, uint32_t tid);
/* May it see what that memory tells (PTRACE_MODE_READ_FSCREDS)? */
bool current_may_look(struct process *p, uint32_t tid);

/* rseq.c: restartable sequences of the current thread. */
enum { RSEQ_FEATURE_SIZE = 28, RSEQ_ALIGN = 32 }; /* what programs find in their auxiliary vector */
/* rseq(2): register, unregister. -EINVAL, -EPERM, -EBUSY, -EFAULT. */
MUST_CHECK err_t rseq_register(uaddr_t addr, uint32_t len, uint32_t sig);
MUST_CHECK err_t rseq_unregister(uaddr_t addr, uint32_t len, uint32_t sig);
/* Exit work: abort the sequence that *f stands in, tell the thread's memory where it runs. */
void rseq_return(struct trap_frame *f);
/* The same before the thread enters a handler of `signal`, so that the handler's frame has what the sequence
 * aborts to. */
void rseq_interrupt(struct trap_frame *f, int signal);
/* A child that is a copy of the current thread, with memory of its own, has the same. */
void rseq_fork(struct user_thread *child);
/* The thread is done with its memory. */
void rseq_forget(void);

/* rttime.c: RLIMIT_RTTIME, how long a real-time thread may run without sleeping. */
/* p's limit was set: its threads are watched for it. */
void process_watch_rt_time(struct process *p);
/* ut is about to start. */
void rt_time_inherit_locked(struct user_thread *ut);
/* Exit work of THREAD_OVERRUN. */
void rt_time_check(void);

/* usage.c: up to now. */
struct usage thread_usage(struct thread *t);
/* Of all threads that p has or had. */
/* This includes the peak of the memory that p has now. */
struct usage process_usage_locked(struct process *p);
struct usage process_usage(struct process *p);
/* u, of a process, has used s, which may be NULL: the peak of its memory. */
void usage_note_memory(struct usage *u, const struct vm_space *s);
/* Peaks are not added: the larger one remains. */
void usage_add(struct usage *to, const struct usage *more);

enum personality_bits { /* the ABI's; others are kept and told, and mean nothing here */
	PERSONALITY_NO_RANDOMIZE = 0x0040000,
	PERSONALITY_CLEARED_ON_SETID = 0x0740000, /* what a program with further rights does not inherit */
};

/* spawn.c */
/* Start the program at args' path in a new process without a parent, as the first one or another that nobody
 * waits for. `prepare` (or NULL) gives its thread what it should have before it runs. *out gets a reference.
 */
MUST_CHECK err_t process_spawn(struct exec_args *args, err_t (*prepare)(struct user_thread *ut, void *arg),
    void *arg, struct process **out);
/* What a process that is no copy begins with. */
struct embryo {
	struct vm_space *space;   /* counted */
	struct desc_table *descs; /* counted */
	char name[THREAD_NAME_MAX];
};
/* An empty one, under the rules of the current process. -ENOMEM. */
MUST_CHECK err_t embryo_create(const char *name, struct embryo **out);
void embryo_destroy(struct embryo *e);
/* Make a child of the current process of it, which goes from `entry` on with this stack pointer and these
 * arguments in the memory of e; or runs the program of args, which is open. e stays the caller's, with its
 * memory and descriptors, which are the child's as well on success. *out gets a reference. -ENOMEM, -EAGAIN
 * (too many), -EINTR (somebody ended it, or the caller, meanwhile), what exec_load says. May sleep. */
struct embryo_start {
	uaddr_t entry, sp;
	uint64_t arguments[2];
};
MUST_CHECK err_t embryo_start(const struct embryo *e, const struct embryo_start *s, struct process **out);
MUST_CHECK err_t embryo_exec(const struct embryo *e, struct exec_args *args, struct process **out);

/* exec.c */
/* Replace the current process's program; all or nothing. args->file is open, names of interpreters are walked
 * as c says. On success *frame is the new program's start. */
MUST_CHECK err_t process_exec(struct exec_args *args, const struct fs_context *c, struct trap_frame *frame);

/* Does RLIMIT_NPROC, exceeded when the current thread's user changed, keep it from running a program?
 * -EAGAIN. */
MUST_CHECK err_t nproc_check_exec(void);

/* fork.c */
/* What a new thread or process shares with the one that makes it, and how it starts. */
struct clone_request {
	bool thread;        /* of the same process */
	bool share_memory;  /* without `thread`: two processes, one space */
	unsigned share;     /* enum process_share */
	bool wait_for_exec; /* return when the child has its own program, or is dead */
	bool set_tls;
	bool give_pidfd;     /* the maker gets a descriptor for the new process */
	bool clear_handlers; /* of a process: those that are not ignored take their default action */
	uint8_t exit_signal; /* of a process */
	uint32_t number;     /* the id it gets; 0: any */
	uaddr_t sp;          /* 0: as the caller's */
	uaddr_t tls;
	uaddr_t
	    parent_tid; /* where the child's id is written: in the caller's memory (0: nowhere; faults are ignored) */
	uaddr_t child_tid; /* ... in the child's */
	uaddr_t clear_tid; /* the child's set_tid_address */
	uaddr_t pidfd;     /* with give_pidfd: where it is written */
};
/* A child that continues from *frame with result 0. *id: its thread id, which is its process's number.
 * -ENOMEM, -EAGAIN, -EPERM (tls), -EINTR (the process is exiting), -EEXIST (number), -EMFILE and -EFAULT
 * (pidfd). */
MUST_CHECK err_t process_clone(const struct clone_request *c, const struct trap_frame *frame, uint32_t *id);
/* What a child of the current process has of it whatever it runs. */
void process_inherit_rules(struct process *child);
/* What a new thread has of the one that makes it: the current one, or any with the tree locked. */
void user_thread_inherit(struct user_thread *ut, struct user_thread *from);
/* p needs its parent's memory no more. */
void process_leave_parents_memory_locked(struct process *p);

/* exit.c */
/* The current thread is about to stop using its memory: tell who waits for it there. */
void user_thread_release_memory(void);
/* Decide that p ends with this wait status, unless that was decided before, and tell all its threads to die.
 * Any context that may take (T). */
void process_begin_exit(struct process *p, int wait_status);
void process_begin_exit_locked(struct process *p, int wait_status);
/* End the current process, or the current thread of it. */
NORETURN void process_exit(int wait_status);
NORETURN void user_thread_exit(int wait_status);
/* End every process and wait until none is left: the machine stops. */
void process_end_all(void);
/* Sleep until p is dead; returns its wait status. */
int process_wait_dead(struct process *p);
/* The same, as long as the current thread is not killed: -EINTR. */
MUST_CHECK err_t process_wait_gone(struct process *p);
void reaper_init(void);

enum wait_options {
	WAIT_NOHANG = 1,
	WAIT_UNTRACED = 2,
	WAIT_EXITED = 4,
	WAIT_CONTINUED = 8,
	WAIT_NOWAIT = 0x1000000, /* tell, but leave the child to be waited for again */
};
struct wait_request {
	int32_t pid;      /* as wait4's: > 0 that child, -1 any, 0 own group, < -1 that group */
	uint32_t pgid;    /* not 0: children of this group, instead of `pid` */
	unsigned options; /* WAIT_NOHANG, WAIT_NOWAIT, and what to wait for */
	bool any_signal,
	    other_signal; /* children whatever their exit signal; only those with another than SIGNAL_CHLD */
	bool own_only;    /* children that the current thread made, not others of its process */
	uint32_t found;   /* result: pid of the child, 0 with NOHANG if none is dead */
	int status;       /* result */
	uint32_t uid;     /* result: the child's */
	struct usage usage; /* result: of the child and those it waited for */
};
/* Wait for a child of the current process to die and forgive it, or to stop or go on. -ECHILD, -EINTR. */
MUST_CHECK err_t process_wait(struct wait_request *r);

/* The signal code (CLD_EXITED ...) that says what wait_status does; *status: exit code or signal. */
int wait_status_code(int wait_status, int32_t *status);
static inline int wait_status_exited(int code)
{
	return (code & 0xff) << 8;
}
#define WAIT_STATUS_STOPPED   0x7f /* | signal << 8 */
#define WAIT_STATUS_CONTINUED 0xffff
#define WAIT_STATUS_CORE      0x80 /* killed, and the memory was written to a file */
static inline int wait_status_killed(int signal)
{
	return signal & 0x7f;
}

/* kill.c */
/* What kill(2) does with this pid argument. -ESRCH, -EPERM, -EINVAL, -EAGAIN. */
MUST_CHECK err_t process_kill(int32_t pid, int signal);
/* Send info->signo (checked; 0: only look) to a process, or to a thread of the process tgid (0: of any).
 * -ESRCH, -EPERM, -EAGAIN. */
MUST_CHECK err_t process_queue_signal(uint32_t pid, const struct signal_info *info);
/* Send it to p itself, dead or alive: nobody who has its number by now is meant. -ESRCH, -EPERM, -EAGAIN. */
MUST_CHECK err_t process_send_signal(struct process *p, const struct signal_info *info);
MUST_CHECK err_t thread_queue_signal(uint32_t tgid, uint32_t tid, const struct signal_info *info);

/* Send a standard signal to the current thread, as if it did so itself: SIGPIPE, SIGXFSZ. */
void signal_raise(int signal);

/* stop.c: process groups and sessions. pid 0: the current process. */
/* setpgid(2); pgid 0: a group of its own. -ESRCH, -EPERM, -EACCES. */
MUST_CHECK err_t process_set_group(uint32_t pid, uint32_t pgid);
MUST_CHECK err_t process_get_group(uint32_t pid, uint32_t *pgid, uint32_t *sid);
/* setsid(2). -EPERM: there is a group with the process's number. */
MUST_CHECK err_t process_new_session(void);
