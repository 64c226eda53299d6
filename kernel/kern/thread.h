#pragma once
/*
 * thread.h - threads and the scheduler's view of them.
 *
 * States: NEW -> (thread_start) READY <-> RUNNING -> BLOCKED -> READY ... RUNNING -> DEAD. Blocking and
 * yielding happen inside kern/, never at call sites. A dead thread's stack is freed by whoever joins it
 * (thread_join), never by itself; so is what the port keeps for it (arch_thread_fini).
 *
 * (C) constant after thread_init; (R) run queue lock of t->cpu; (W) lock of the wait queue it sleeps on; (A)
 * atomic; (T) the thread itself
 */
#include "arch/thread.h"
#include "kern/waitq.h"
#include "lib/rbtree.h"
#include "lib/refcount.h"

struct mmu_context;
struct trap_frame;
struct vm_space;
struct process;

enum thread_state {
	THREAD_NEW,
	THREAD_READY,
	THREAD_RUNNING,
	THREAD_BLOCKED,
	THREAD_DEAD,
};

enum {
	THREAD_NAME_MAX = 16,
	NICE_MIN = -20,
	NICE_MAX = 19,
	THREAD_LOCKS_MAX = 8,
	RT_PRIORITY_MAX = 99,
	WEIGHT_NORMAL = 1024, /* of nice level 0 */
};

/* As the ABI numbers them. */
enum sched_policy { POLICY_OTHER, POLICY_FIFO, POLICY_RR, POLICY_BATCH, POLICY_IDLE = 5 };

/* What a thread has had files do, in Linux's terms: bytes that its calls moved, the calls, bytes that devices
 * had to read, bytes of files that it made dirty, and of these, the ones that were dropped before they were
 * written. */
enum thread_io {
	IO_CHARS_READ,
	IO_CHARS_WRITTEN,
	IO_CALLS_READ,
	IO_CALLS_WRITE,
	IO_READ,
	IO_DIRTIED,
	IO_CANCELLED,
	IO_KINDS
};

enum thread_flags {
	THREAD_KILLED = 1 << 0,                               /* die at the next return to user space */
	THREAD_SIGNALLED = 1 << 1,                            /* exit work: a signal is pending */
	THREAD_INTERRUPTS = THREAD_KILLED | THREAD_SIGNALLED, /* what ends a sleep */
	THREAD_RSEQ_WORK = 1 << 2, /* exit work: it gave the CPU up since it told its memory where it runs */
	THREAD_OVERRUN = 1 << 3,   /* exit work: a real-time thread ran for as long as its limit says */
	THREAD_ASYNC = 1 << 4,     /* exit work: it made news of a file with O_ASYNC: proc/sigio.c */
	THREAD_EXIT_WORK = THREAD_INTERRUPTS | THREAD_RSEQ_WORK | THREAD_OVERRUN | THREAD_ASYNC,
	THREAD_RESERVE = 1 << 7,  /* may take the last frames: it cleans pages, or is about to die */
	THREAD_NOFAULT = 1 << 8,  /* usercopy_atomic: faults are not resolved */
	THREAD_RSEQ = 1 << 9,     /* giving up the CPU leaves THREAD_RSEQ_WORK: proc/rseq.c */
	THREAD_GUARDED = 1 << 10, /* page faults in user mode are looked at: proc/guard.c */
};

/* The thread flags that end a sleep with these wait flags. */
static inline uint32_t thread_flags_of_wait(unsigned wait_flags)
{
	STATIC_ASSERT(THREAD_KILLED == (int)WAIT_KILLABLE && THREAD_SIGNALLED == (int)WAIT_INTERRUPTIBLE &&
		      THREAD_SIGNALLED >> 1 == (int)THREAD_KILLED);
	return wait_flags | wait_flags >> 1; /* who heeds signals heeds kills */
}

struct thread {
	struct arch_thread arch; /* saved context; first, so that assembly finds it */
	_Atomic uint32_t flags;  /* (A) enum thread_flags */
	_Atomic uint32_t state;  /* (R) enum thread_state; RUNNING -> BLOCKED or DEAD by itself */
	/* (T) cycles in user mode, less the cycle counter when it went there: negative until it comes back.
	 * The port's entry code counts. */
	_Atomic int64_t user_cycles;
	/* (A) user threads: what the port's entry code calls for a system call, instead of looking at a flag
	 */
	int64_t (*_Atomic system_call)(struct trap_frame *f);
	struct rb_node run_node;  /* (R) in a run queue, while `queued` */
	bool queued;              /* (R) exactly while READY */
	_Atomic uint32_t cpu;     /* (R) CPU whose run queue it is or was on last */
	uint64_t affinity;        /* (R) CPUs it may run on */
	int nice;                 /* (R) -20 ... 19 */
	enum sched_policy policy; /* (R) */
	uint32_t rt_priority;     /* (R) of FIFO and RR 1 ... 99, of others 0 */
	uint64_t weight; /* (R) its share of a CPU, in terms of WEIGHT_NORMAL: follows from these three */
	int64_t rt_turn; /* (R) real-time, on a queue: the least of its priority runs first */
	nsec_t rr_used;  /* (R) of its quantum */
	nsec_t rt_time, rt_limit; /* (R) what it ran since it slept last; when that should be noticed */
	uint64_t
	    vruntime; /* (R) weighted virtual run time, ns; while it is on no CPU: relative to its queue's least */
	nsec_t run_started;  /* (R) when it got the CPU */
	nsec_t cpu_time;     /* (R) total time run */
	nsec_t ready_since;  /* (R) it waits for a CPU; 0: it does not */
	nsec_t ready_time;   /* (R) total time that it waited so */
	uint64_t turns;      /* (R) how often it got a CPU */
	nsec_t user_charged; /* (R) of that in user mode, what its CPUs' times have */
	_Atomic uint64_t
	    switches[2];         /* (R) given up the CPU: to wait (0), or to others that wait for it (1) */
	_Atomic uint64_t faults; /* (T) page faults resolved */
	_Atomic uint64_t file_reads;   /* (T) of these, the ones that had a file read */
	_Atomic uint64_t io[IO_KINDS]; /* (T) by enum thread_io */
	struct list wait_link;         /* (W) in waitq.sleepers */
	struct waitq *waiting_on;      /* (W) NULL: nobody has to wake it */
	unsigned wait_flags;           /* (T) enum wait_flags; read under (R) while BLOCKED */
	struct mmu_context *mmu;       /* (T) address space to run on; NULL: kernel thread, borrows */
	struct vm_space *space;        /* (T) space that usercopy goes to; NULL for kernel threads */
	struct process *process;       /* (C) NULL for kernel threads */
	/* (T) with THREAD_RSEQ: which slots the threads that run in its memory have (a bit for each), and its
	 * own bit; 0: none, as when it is on no CPU */
	_Atomic uint64_t *slots;
	uint64_t slot;
	vaddr_t stack, stack_end; /* (C) kernel stack [stack, stack_end) */
	void (*fn)(void *arg);    /* (C) kernel threads: what it runs */
	void *arg;
	char name[THREAD_NAME_MAX]; /* (T) a user thread may rename itself; others may see a mixture */
	uint32_t
	    tid; /* (C) but that a user thread that execs takes its process's, with the process tree locked */
	uint64_t serial; /* (C) never used again */
	struct refcount refs;
	struct waitq exit_waiters; /* woken when it is DEAD and off its stack */
	struct spinlock exit_lock; /* guards `gone` */
	bool gone;
	struct list
	    all_link; /* list of threads that have started and not exited, guarded by the list's lock */
#ifdef CONFIG_DEBUG
	unsigned nlocks; /* (T) sleeping locks held, for the rank checker */
	struct {
		const void *lock;
		const char *name;
		int rank;
		void *where;
	} locks[THREAD_LOCKS_MAX];
#endif
};

/* Fill in *t for a thread that will run fn(arg) in the kernel on [stack, stack + size). State NEW, one
 * reference. */
void thread_init(
    struct thread *t, const char *name, vaddr_t stack, uint64_t size, void (*fn)(void *), void *arg);
/* What a thread has used of the CPUs, up to now. In user mode, the rest is the kernel's. */
struct thread_times {
	nsec_t total, user;
};
struct thread_times thread_times(struct thread *t);
/* Is the current thread about to die, so that what it does matters to nobody? */
static inline bool thread_is_killed(void)
{
	return load_relaxed(&current_thread()->flags) & THREAD_KILLED;
}
/* Of the current thread. */
static inline void thread_count_io(enum thread_io kind, uint64_t n)
{
	_Atomic uint64_t *count = &current_thread()->io[kind];
	store_relaxed(count, load_relaxed(count) + n);
}
/* Make a NEW thread READY. */
void thread_start(struct thread *t);
/* Allow it on the CPUs of mask only (at least one online). Takes effect at its next switch at the latest. */
void thread_set_affinity(struct thread *t, uint64_t mask);
/* How it is scheduled. Callers take turns in setting that of one thread: the process tree's lock. */
struct thread_policy {
	enum sched_policy policy;
	uint32_t rt_priority; /* 1 ... RT_PRIORITY_MAX of FIFO and RR, else 0 */
	int nice;             /* kept by all, of use to SCHED_OTHER and SCHED_BATCH */
};
struct thread_policy thread_policy(struct thread *t);
void thread_set_policy(struct thread *t, const struct thread_policy *to);
void thread_set_nice(struct thread *t, int nice);
/* When a real-time thread has run for that long without sleeping, it finds THREAD_OVERRUN in its exit work.
 * NSEC_NEVER: never. And that time, up to now. */
void thread_set_rt_limit(struct thread *t, nsec_t limit);
nsec_t thread_rt_time(struct thread *t);
/* End the current thread. */
NORETURN void thread_exit(void);
/* Sleep until t is DEAD and no CPU uses its stack. */
void thread_join(struct thread *t);
/* Run others that are ready; the current thread stays READY. */
void thread_yield(void);
/* Sleep until the monotonic time `deadline`; 0 or -EINTR (killed or signalled). */
err_t thread_sleep_until(nsec_t deadline);
/* Set flags and wake the thread if it sleeps in a way that these flags interrupt. From any context. */
void thread_interrupt(struct thread *t, uint32_t flags);
/* Call fn on each thread that has started and not exited, with the list locked (RANK_THREADS): fn may not
 * sleep. */
void thread_for_each(void (*fn)(struct thread *t, void *arg), void *arg);
