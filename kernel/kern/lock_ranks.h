#pragma once
/*
 * lock_ranks.h - THE lock order. A thread may take a lock only if its rank is greater than that of every lock it holds; equal ranks only where the
 * lock says so (spin_lock_nested). Sleeping locks (below RANK_SPIN_FIRST) cannot be taken under any spinlock. docs/locking.md gives an example path for each edge.
 */
enum lock_rank {
	RANK_NONE = 0, /* not checked: only for locks that are taken alone (tests) */
	/* sleeping locks */
	RANK_MOUNTS = 1,  /* one mount or unmount at a time */
	RANK_FILE = 2,    /* file.lock: the position of an open file */
	RANK_RENAME = 3,  /* fs.rename_lock: one rename in a file system at a time */
	RANK_VNODE = 4,   /* vnode.lock: a directory before its entries (rwlock_write_nested) */
	RANK_CHANNEL = 5, /* buffer of a pipe */
	RANK_PROC = 6,    /* process tree */
	RANK_SPACE = 8,   /* space.lock */
	RANK_SPACE_2 = 9, /* the child's space during fork */
	RANK_FS = 10,     /* a file system's own maps and bitmaps: taken by reads that a page fault starts */
	RANK_BLOCK = 12,  /* cache of a file system's metadata blocks */
	/* spinlocks */
	RANK_SPIN_FIRST = 16,
	RANK_MOUNT = 16,  /* the tree of mounts */
	RANK_DENTRY = 17, /* cache of names */
	RANK_VNODES = 18, /* table of vnodes, lists of them */
	RANK_DESC = 19,   /* descriptor table */
	RANK_OBJECT = 20, /* vm_object.lock of anonymous objects */
	RANK_BACKING =
	    22, /* vm_object.lock of file and physical objects: under that of an anonymous object in front of it */
	RANK_PURGE = 26,     /* list of volatile objects */
	RANK_MMU = 30,       /* mmu_context lock */
	RANK_KVA = 34,       /* kernel VA arena */
	RANK_SLAB_LIST = 38, /* list of slab caches: taken to walk it, with each cache's lock inside */
	RANK_SLAB = 40,      /* slab cache */
	RANK_ZONE = 44,      /* buddy zone */
	RANK_SERVICE =
	    48, /* predicate of a wait queue that only threads use, never an interrupt handler: plain spin_lock */
	RANK_IRQ = 50,     /* device interrupt state; taken by interrupt handlers from here on: irqsave */
	RANK_IOAPIC = 51,  /* registers of the IOAPICs: under the interrupt tables */
	RANK_WAIT = 54,    /* predicate of a wait queue that interrupt handlers use too: irqsave */
	RANK_THREADS = 56, /* list of all threads */
	RANK_KOBJECT = 57, /* kobject.lock: state of a kernel object and its observers */
	RANK_WAITQ = 58,   /* waitq.lock itself */
	RANK_TIMER = 62,   /* per-CPU timer queue */
	RANK_SCHED = 66,   /* run queue */
	RANK_UART = 76,    /* serial port output */
};
