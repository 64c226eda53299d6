#pragma once
/*
 * signal.h - signals of processes and threads, as POSIX and the Linux ABI define them.
 *
 * Actions belong to the process; the mask belongs to the thread; what is pending belongs to the one that it
 * was sent to. A standard signal is pending once, with the first sender's information; a real-time signal is
 * queued as often as it was sent.
 *
 * Everything here is guarded by the process tree's lock (T). Sending to a standard signal allocates nothing
 * and cannot fail: the room for its information is part of the pending set.
 */
#include "arch/user.h"
#include "kern/waitq.h"
#include "lib/bits.h"
#include "lib/list.h"
#include "lib/refcount.h"
#include "proc/signal_name.h"

struct process;
struct user_thread;

enum signal_number { /* the ABI's numbers of those that the kernel names */
	SIGNAL_HUP = 1,
	SIGNAL_QUIT = 3,
	SIGNAL_ILL = 4,
	SIGNAL_TRAP = 5,
	SIGNAL_ABRT = 6,
	SIGNAL_BUS = 7,
	SIGNAL_FPE = 8,
	SIGNAL_KILL = 9,
	SIGNAL_SEGV = 11,
	SIGNAL_PIPE = 13,
	SIGNAL_ALRM = 14,
	SIGNAL_CHLD = 17,
	SIGNAL_CONT = 18,
	SIGNAL_STOP = 19,
	SIGNAL_TSTP = 20,
	SIGNAL_TTIN = 21,
	SIGNAL_TTOU = 22,
	SIGNAL_URG = 23,
	SIGNAL_XFSZ = 25,
	SIGNAL_XCPU = 24,
	SIGNAL_VTALRM = 26,
	SIGNAL_PROF = 27,
	SIGNAL_WINCH = 28,
	SIGNAL_IO = 29,
	SIGNAL_SYS = 31,
	SIGNAL_RT_MIN = 32, /* first that is queued */
	SIGNAL_MAX = 64,
	SIGNAL_STANDARD = SIGNAL_RT_MIN - 1,
};

/* Sets of signals: signal n is bit n - 1, as in the ABI. */
#define SIGNAL_BIT(n)       (1ULL << ((n)-1))
#define SIGNALS_UNBLOCKABLE (SIGNAL_BIT(SIGNAL_KILL) | SIGNAL_BIT(SIGNAL_STOP))
#define SIGNALS_JOB_STOP    (SIGNAL_BIT(SIGNAL_TSTP) | SIGNAL_BIT(SIGNAL_TTIN) | SIGNAL_BIT(SIGNAL_TTOU))
#define SIGNALS_STOP        (SIGNALS_JOB_STOP | SIGNAL_BIT(SIGNAL_STOP))
#define SIGNALS_CORE                                                                                         \
	(SIGNAL_BIT(SIGNAL_QUIT) | SIGNAL_BIT(SIGNAL_ILL) | SIGNAL_BIT(SIGNAL_TRAP) |                        \
	    SIGNAL_BIT(SIGNAL_ABRT) | SIGNAL_BIT(SIGNAL_BUS) | SIGNAL_BIT(SIGNAL_FPE) |                      \
	    SIGNAL_BIT(SIGNAL_SEGV) | SIGNAL_BIT(SIGNAL_XCPU) | SIGNAL_BIT(SIGNAL_XFSZ) |                    \
	    SIGNAL_BIT(SIGNAL_SYS)) /* whose default action leaves a core file */
/* Signals whose codes say something of their own. */
#define SIGNALS_WITH_CODES                                                                                   \
	(SIGNAL_BIT(SIGNAL_ILL) | SIGNAL_BIT(SIGNAL_FPE) | SIGNAL_BIT(SIGNAL_SEGV) |                         \
	    SIGNAL_BIT(SIGNAL_BUS) | SIGNAL_BIT(SIGNAL_TRAP) | SIGNAL_BIT(SIGNAL_CHLD) |                     \
	    SIGNAL_BIT(SIGNAL_SYS))
#define SIGNALS_NO_ACTION                                                                                    \
	(SIGNAL_BIT(SIGNAL_CHLD) | SIGNAL_BIT(SIGNAL_CONT) | SIGNAL_BIT(SIGNAL_URG) |                        \
	    SIGNAL_BIT(SIGNAL_WINCH))

enum signal_code { /* who sent it: si_code of the ABI */
	SI_USER = 0,
	SI_KERNEL = 0x80,
	SI_QUEUE = -1,
	SI_TIMER = -2,
	SI_SIGIO = -5,
	SI_TKILL = -6,
	CLD_EXITED = 1,
	CLD_KILLED = 2,
	CLD_DUMPED = 3,
	CLD_STOPPED = 5,
	CLD_CONTINUED = 6,
};

/* Handlers that are none. */
#define SIGNAL_DEFAULT 0ULL
#define SIGNAL_IGNORE  1ULL

enum signal_action_flags {
	SA_NOCLDSTOP = 1,
	SA_NOCLDWAIT = 2,
	SA_SIGINFO = 4,
	SA_EXPOSE_TAGBITS = 0x800,
	SA_RESTORER = 0x04000000,
	SA_ONSTACK = 0x08000000,
	SA_RESTART = 0x10000000,
	SA_NODEFER = 0x40000000,
};
#define SA_RESETHAND 0x80000000U
#define SA_ALL                                                                                               \
	(SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_EXPOSE_TAGBITS | SA_RESTORER | SA_ONSTACK |           \
	    SA_RESTART | SA_NODEFER | SA_RESETHAND)

/* What an interrupted call returns instead of -EINTR; never seen by user space, for signal_deliver turns each
 * into -EINTR or a restart. */
enum restart_code {
	ERESTARTSYS = 512,    /* start again unless a handler without SA_RESTART runs */
	ERESTARTNOINTR = 513, /* start again in any case */
	ERESTARTNOHAND = 514, /* start again unless a handler runs */
	ERESTARTBLOCK =
	    516, /* the same, by restart_syscall, which goes on with what user_thread.restart says */
};

/* struct sigaction of the ABI. */
struct signal_action {
	uaddr_t handler;
	uint64_t flags;
	uaddr_t restorer;
	uint64_t mask;
};

/* The pending signals of a process or of a thread. */
struct signal_pending {
	uint64_t set;                             /* (T) */
	uint64_t slots;                           /* (T) standard signals whose information is in `info` */
	struct signal_info info[SIGNAL_STANDARD]; /* (T) of those in the set */
	struct list queue; /* (T) struct signal_entry, oldest first: real-time signals, and those of timers */
};

/* What processes do about signals: one each, or shared by those that were made with CLONE_SIGHAND, until one
 * of them runs a program. */
struct signal_table {
	struct refcount users;                    /* (A) */
	struct signal_action actions[SIGNAL_MAX]; /* (T) by number - 1 */
};

/* A process's half. */
struct process_signals {
	struct signal_table *table;    /* (T) counted, never NULL */
	struct signal_pending pending; /* (T) */
	unsigned queued;               /* (T) entries in its queue and in its threads' */
	int stop_signal;               /* (T) not 0: its threads stop, or have stopped */
	unsigned nstopped;             /* (T) threads that sleep in stop_wait */
	bool stop_complete;            /* (T) all have stopped, and the parent was told */
	int report; /* (T) wait status of a stop or continuation that wait has not told yet; 0: none */
	struct waitq stop_wait; /* continued or killed; predicate under (T) */
};

/* How restart_syscall goes on with a call that returned -ERESTARTBLOCK: by fn, which finds what it needs in
 * the rest. */
struct call_restart {
	int64_t (*fn)(const struct call_restart *r); /* NULL: there is none */
	nsec_t deadline;
	int32_t clock;
	uaddr_t addr, addr2;
	uint64_t value, flags;
};

/* A thread's half. */
struct thread_signals {
	struct signal_pending pending; /* (T) */
	uint64_t mask;                 /* (T) to change, (O) to read */
	uint64_t wait_set;             /* (T) what sigtimedwait waits for, blocked or not */
	uint64_t saved_mask;           /* (O) if restore_mask: the mask before sigsuspend */
	bool restore_mask;             /* (O) */
	struct user_altstack altstack; /* (O) */
	struct user_fault fault;       /* (O) the last trap, as frames tell it */
	struct call_restart restart;   /* (O) */
	struct waitq wait;             /* nobody wakes it: the thread sleeps here until it is interrupted */
};

static inline bool signal_in(int signal, uint64_t set)
{
	return set & SIGNAL_BIT(signal);
}

/* signal.c - state and sending */
/* Once at boot. */
void signal_init(void);
/* share: use this process's table; NULL: one of its own, where everything is the default. -ENOMEM. */
MUST_CHECK err_t process_signals_init(struct process_signals *s, struct process *share);
void process_signals_fini(struct process_signals *s);
/* Before exec: the current process's table is its own, with the same actions. -ENOMEM. */
MUST_CHECK err_t signal_unshare(void);
void thread_signals_init(struct thread_signals *s);
/* Free what is queued; nobody can send any more. */
void signal_pending_fini(struct signal_pending *q);
/* What a child process gets of the current one, unless the table is shared, and its first thread of the
 * current thread. */
void signal_fork(struct process *child, struct user_thread *child_thread, bool clear_handlers);
/* What a new thread of the same process gets of the current one: the mask. */
void signal_clone(struct user_thread *child_thread);
/* exec: handlers become the default action, the alternate stack is gone. */
void signal_exec(void);

/* What may be queued for a sender before it takes the lock: entries for real-time signals. */
struct signal_reserve {
	struct list entries;
};
/* Room for up to n sendings of `signal`; less if there is no memory. Nothing for standard signals. */
void signal_reserve(struct signal_reserve *r, int signal, unsigned n);
/* Free what was not used, and what was discarded. Without the lock. */
void signal_reserve_fini(struct signal_reserve *r);

/* Send info->signo to p, or to its thread ut if not NULL. A signal that is ignored is no failure. -EAGAIN: a
 * real-time signal whose information would be lost, and whose sender asked for it to be kept (sigqueue). */
MUST_CHECK err_t signal_send_locked(
    struct process *p, struct user_thread *ut, const struct signal_info *info, struct signal_reserve *r);
/* The same for a standard signal, which cannot fail. */
void signal_notify_locked(struct process *p, const struct signal_info *info);
/* A trap of the current thread. Blocked or ignored, the signal takes its default action. */
void signal_force(const struct signal_info *info);
/* SIGSEGV, because its stack or what it says about itself is of no use; fatal if `signal`, whose handler was
 * about to run, is SIGSEGV itself. */
void signal_force_segv(int signal);
/* Tell p's parent of p's end, stop or continuation. `wait_status` as wait tells it. An end is told by p's
 * exit_signal, whose entry, if it needs one, is in *r; NULL for the others. */
void signal_parent_locked(struct process *p, int wait_status, struct signal_reserve *r);
/* One signal that waits, with its information. A timer has one of its own. */
struct user_timer;
struct signal_entry {
	struct list link; /* (T) in signal_pending.queue or a reserve */
	struct signal_info info;
	struct user_timer *timer; /* (T) whose it is; NULL: it is freed when it was taken */
};
/* NULL: no memory. */
struct signal_entry *signal_entry_create(void);
void signal_entry_free(struct signal_entry *e);
/* Queue a timer's entry, which is in no queue, for p or its thread ut. False: the signal is ignored. */
bool signal_send_entry_locked(struct process *p, struct user_thread *ut, struct signal_entry *e);
/* What waits for the thread is dropped: it ends. */
void signal_thread_gone_locked(struct user_thread *ut, struct signal_reserve *r);
/* Send a signal without information, as the kernel does by itself. */
void signal_plain_locked(struct process *p, int signal);
/* Is p's parent such that p's end is forgiven at once? */
bool signal_parent_reaps_not_locked(const struct process *p);
/* Set the current thread's mask. */
void signal_set_mask(uint64_t mask);
/* Others get the signals of the process that the current thread does not want or live to take. */
void signal_retarget_locked(struct process *p);
/* Take a pending signal of the current thread or process that is in `set`; 0: none. Entries go to *r. */
int signal_take_locked(uint64_t set, struct signal_info *info, struct signal_reserve *r);
uint64_t signal_pending_locked(const struct user_thread *ut);
/* Set an action, drop what is ignored by it. */
void signal_set_action(int signal, const struct signal_action *new, struct signal_action *old);

/* stop.c - stopping and going on */
void signal_stop_locked(struct process *p, int signal);
void signal_continue_locked(struct process *p);
/* Signals that wait in the queues of all processes of p's user; *limit: how many may (RLIMIT_SIGPENDING of
 * p). */
uint64_t signals_queued_locked(struct process *p, uint64_t *limit);
/* The current thread's process is to stop: sleep until it goes on or dies. (T) is held on entry and exit. */
void signal_park_locked(struct process *p);
/* The number of p's threads has fallen: have all that are left stopped? */
void signal_stop_check_locked(struct process *p);
/* Does nobody outside p's process group care for it: no parent in the same session but in another group? */
bool process_group_is_orphaned_locked(uint32_t pgid, uint32_t sid, const struct process *without);

/* deliver.c */
/* The current thread takes the signal's default action, which ends the process, whatever its actions are. */
void signal_die(const struct signal_info *info);
/* Exit work of the current thread: let each signal that is neither blocked nor ignored take its action. Does
 * not return if that ends the thread. */
void signal_deliver(struct trap_frame *f);
