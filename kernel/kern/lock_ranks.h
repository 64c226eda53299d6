#pragma once
/*
 * lock_ranks.h - THE lock order. A thread may take a lock only if its rank is greater than that of every lock
 * it holds; equal ranks only where the lock says so (spin_lock_nested, rwlock_write_nested). Sleeping locks
 * (below RANK_SPIN_FIRST) cannot be taken under any spinlock; from RANK_IRQ on interrupts must be disabled.
 * docs/locking.md gives an example path for each edge.
 */
enum lock_rank {
	/* Not checked: only for locks that are taken alone, in tests. */
	RANK_NONE = 0,

	/* --- sleeping locks --- */
	RANK_MOUNTS = 1,  /* one mount or unmount at a time */
	RANK_FILE = 2,    /* position of an open file */
	RANK_TEXT = 3,    /* the text of a file that is made when read */
	RANK_RENAME = 4,  /* one rename in a file system at a time */
	RANK_VNODE = 5,   /* a directory before its entries: nested */
	RANK_CHANNEL = 6, /* buffer of a pipe */
	RANK_PROC = 7,    /* process tree */
	RANK_EPOLLS = 8,  /* ends of objects that an epoll watches */
	RANK_EPOLL = 9,   /* what one epoll watches */
	RANK_SPACE = 10,  /* space.lock */
	RANK_FS = 11,     /* what a file system knows of a directory; the cache of a disk */
	RANK_FS_MAP = 12, /* map of one file: write-back and reads that a page fault starts take it */
	RANK_BLOCK = 13,  /* bitmaps, counters and inodes of a file system */
	RANK_TRACE = 14,  /* one line of the trace after the other: taken alone */

	/* --- spinlocks --- */
	RANK_SPIN_FIRST = 16,
	RANK_MOUNT = 16,     /* the tree of mounts */
	RANK_DENTRY = 17,    /* cache of names */
	RANK_VNODES = 18,    /* table of vnodes; lists of files and devices */
	RANK_DESC = 19,      /* descriptor table */
	RANK_OBJECT = 20,    /* vm_object.lock of anonymous objects */
	RANK_BACKING = 22,   /* of file and physical ones, which may stand behind an anonymous one */
	RANK_PURGE = 26,     /* list of volatile objects; list of page cache pages */
	RANK_MMU = 30,       /* mmu_context lock */
	RANK_KVA = 34,       /* kernel VA arena */
	RANK_SLAB_LIST = 38, /* list of slab caches: walked with each cache's lock inside */
	RANK_SLAB = 40,      /* slab cache */
	RANK_ZONE = 44,      /* buddy zone */
	RANK_SERVICE = 48,   /* predicate of a wait queue that only threads use */
	RANK_PROCESS = 49, /* what a process and its threads have: tables, ids, limits: in the process tree */
	RANK_PLACE = 50,   /* a place among the files: of a thread that is looked at */

	/* --- spinlocks taken with interrupts disabled --- */
	RANK_IRQ = 51,     /* device interrupt state */
	RANK_IOAPIC = 52,  /* registers of the IOAPICs: under the interrupt tables */
	RANK_WAIT = 54,    /* predicate of a wait queue that interrupt handlers use too */
	RANK_THREADS = 56, /* list of all threads */
	RANK_KOBJECT =
	    57, /* state of a kernel object and its observers: nested from what is watched to who watches */
	RANK_WAITQ = 58, /* waitq.lock itself */
	RANK_TIMER = 62, /* per-CPU timer queue */
	RANK_SCHED = 66, /* run queue */
	RANK_CLOCK = 70, /* the clock's offsets and its rate */
	RANK_UART = 76,  /* serial port output */
};
