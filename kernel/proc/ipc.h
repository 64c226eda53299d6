#pragma once
/*
 * ipc.h - System V objects: segments of shared memory, arrays of semaphores, queues of messages, which
 * processes find by numbers instead of names. See ipc_ids.c.
 *
 * One spinlock, ipc_lock, guards everything about all of them: each step is short, and none of them is in
 * anybody's fast path. Memory is allocated and user memory touched before it is taken and after.
 *
 * Letters: (I) ipc_lock; (A) atomic; (C) constant after creation
 */
#include "kern/spinlock.h"
#include "lib/capability.h"
#include "lib/list.h"
#include "lib/refcount.h"
#include "proc/process.h"
#include "vm/region.h"

enum { IPC_PRIVATE = 0 };
enum ipc_flags { IPC_CREAT = 01000, IPC_EXCL = 02000, IPC_NOWAIT = 04000, IPC_MODE = 0777 };
enum ipc_access { IPC_READ = 0444, IPC_WRITE = 0222 };

/* Whose it is, as the ABI tells it. */
struct ipc_perm {
	int32_t key;
	uint32_t uid, gid, cuid, cgid;
	uint32_t mode; /* permissions, and flags of the kind */
	uint32_t seq;
};

struct ipc_object {
	struct refcount refs; /* (A) one for being in the table */
	struct ipc_perm perm; /* (I) */
	uint32_t id, index;   /* (C) once in the table */
	bool gone;            /* (I) removed: whoever waits for it is told -EIDRM */
};

/* What the kinds do differently. */
struct ipc_kind {
	/* May it be found by one who asks for `size`? Locked. */
	err_t (*check)(const struct ipc_object *o, uint64_t size);
	/* A new one with one reference; arguments as in the call. May sleep. */
	err_t (*create)(int32_t key, uint64_t size, uint32_t flags, struct ipc_object **out);
	/* It is about to come into the table (+1), or has left it (-1): keep totals. -ENOSPC. Locked. */
	err_t (*count)(const struct ipc_object *o, int delta);
	/* The last reference is gone. May sleep. */
	void (*destroy)(struct ipc_object *o);
};

/* What the superuser may set in /proc/sys/kernel, by Linux's names: SHMMAX, SHMALL (pages), SHMMNI; the four
 * of `sem`: semaphores of an array, of all, operations of a call, arrays; MSGMAX, MSGMNB, MSGMNI. (A) */
struct ipc_limits {
	_Atomic uint64_t shm_bytes, shm_pages;
	_Atomic uint32_t shm_count;
	_Atomic uint32_t sem_array, sem_total, sem_ops, sem_count;
	_Atomic uint32_t msg_size, msg_queue, msg_count;
};
extern struct ipc_limits ipc_limits;

enum { IPC_CHUNK = 1024, IPC_CHUNKS = 32, IPC_COUNT_MAX = IPC_CHUNK * IPC_CHUNKS }; /* IPCMNI */
struct ipc_ids {
	const struct ipc_kind *kind;            /* (C) */
	const _Atomic uint32_t *max;            /* (C) where it stands how many there may be */
	unsigned used;                          /* (I) */
	unsigned next;                          /* (I) where the search for a free index starts */
	uint32_t seq;                           /* (I) of the next id */
	struct ipc_object **chunks[IPC_CHUNKS]; /* (I) by index; never given back */
};
extern struct ipc_ids ipc_shms, ipc_sems, ipc_msgs;

/* What shmget, semget and msgget do: the id, or -ENOENT, -EEXIST, -EACCES, -EINVAL, -ENOSPC, -ENOMEM. */
MUST_CHECK int64_t ipc_get(struct ipc_ids *ids, int32_t key, uint64_t size, uint32_t flags);
/* The object with this id, or index. -EINVAL. */
MUST_CHECK err_t ipc_find_locked(struct ipc_ids *ids, int32_t id, struct ipc_object **out);
MUST_CHECK err_t ipc_at_locked(struct ipc_ids *ids, int32_t index, struct ipc_object **out);
/* The highest index in use; 0 if there is none. */
unsigned ipc_highest_locked(const struct ipc_ids *ids);
/* -EACCES: the caller may not; access: enum ipc_access. */
MUST_CHECK err_t ipc_may_locked(const struct ipc_object *o, unsigned access);
/* Is the caller owner or maker, or has he this capability? */
bool ipc_owns_locked(const struct ipc_object *o, enum capability cap);
/* IPC_SET: owner and permissions. -EPERM, -EINVAL. */
MUST_CHECK err_t ipc_set_locked(struct ipc_object *o, const struct ipc_perm *new);
/* Take it out of its table: the table's reference passes to the caller, who drops it without the lock. */
void ipc_remove_locked(struct ipc_ids *ids, struct ipc_object *o);
void ipc_put(struct ipc_ids *ids, struct ipc_object *o);
/* Seconds since 1970, for the times that objects tell. */
int64_t ipc_time(void);

extern struct spinlock ipc_lock;

/* Look `which` up as IPC_STAT (by id), *_STAT (by index) and *_STAT_ANY (by index, whatever the permissions)
 * do. */
enum ipc_stat { IPC_STAT_ID, IPC_STAT_INDEX, IPC_STAT_ANY };
MUST_CHECK err_t ipc_stat_locked(
    struct ipc_ids *ids, int32_t which, enum ipc_stat how, struct ipc_object **out);

/* --- ipc_shm.c: shared memory --- */

enum shm_mode {
	SHM_DEST = 01000,
	SHM_LOCKED = 02000
}; /* in perm.mode: goes with the last attachment; stays in memory */

struct shm_stat {
	struct ipc_perm perm;
	uint32_t id;
	uint64_t size;
	int64_t atime, dtime, ctime;
	uint32_t cpid, lpid;
	uint64_t attached, resident; /* windows; pages */
};
struct shm_totals {
	unsigned used, highest;
	uint64_t pages, resident;
};
struct vm_map_args;
/* Map it as *args says (place, rights, limits). access: what of it the caller wants. -EINVAL, -EACCES, and
 * space_map's. */
MUST_CHECK err_t shm_attach(int32_t id, unsigned access, struct vm_map_args *args, uaddr_t *out);
/* May it be attached? And the bytes that this takes, in whole pages. -EINVAL, -EACCES. */
MUST_CHECK err_t shm_may(int32_t id, unsigned access, uint64_t *out);
/* The first window of a segment that begins where addr says is unmapped, with what else there is of it.
 * -EINVAL: none. */
MUST_CHECK err_t shm_detach(uaddr_t addr);
MUST_CHECK err_t shm_stat(int32_t which, enum ipc_stat how, struct shm_stat *out);
MUST_CHECK err_t shm_set(int32_t id, const struct ipc_perm *perm);
MUST_CHECK err_t shm_remove(int32_t id);
MUST_CHECK err_t shm_lock(int32_t id, bool on);
void shm_totals(struct shm_totals *out);
enum { SHM_DEVICE = 1 }; /* number of the file system that /proc says segments are files of */
/* Does a window show a segment? Then what it is called (/SYSV and the key that it was made with), and its id.
 */
bool shm_of_vm_name(const struct vm_name *name, int32_t *key, uint32_t *id);

/* --- ipc_sem.c: semaphores --- */

enum {
	SEM_VALUE_MAX = 32767,
};
enum { SEM_UNDO = 0x1000 };
struct sem_op { /* struct sembuf of the ABI */
	uint16_t number;
	int16_t op;
	int16_t flags;
};
struct sem_stat {
	struct ipc_perm perm;
	uint32_t id, nsems;
	int64_t otime, ctime;
};
struct sem_totals {
	unsigned used, highest, sems;
};
/* All of ops or none, sleeping until that can be. -EAGAIN (IPC_NOWAIT, deadline), -EFBIG, -EACCES, -EINVAL,
 * -ERANGE, -EIDRM, -EINTR, -ENOMEM. */
MUST_CHECK err_t sem_operate(int32_t id, struct sem_op *ops, unsigned n, nsec_t deadline);
MUST_CHECK err_t sem_stat(int32_t which, enum ipc_stat how, struct sem_stat *out);
MUST_CHECK err_t sem_set(int32_t id, const struct ipc_perm *perm);
MUST_CHECK err_t sem_remove(int32_t id);
void sem_totals(struct sem_totals *out);
enum sem_question { SEM_VALUE, SEM_PID, SEM_WAIT_MORE, SEM_WAIT_ZERO };
MUST_CHECK int64_t sem_ask(int32_t id, int32_t number, enum sem_question q);
MUST_CHECK err_t sem_set_value(int32_t id, int32_t number, int32_t value);
/* All values of an array of n; -EINVAL also if it has another number. */
MUST_CHECK err_t sem_get_all(int32_t id, uint16_t *values, unsigned n);
MUST_CHECK err_t sem_set_all(int32_t id, const uint16_t *values, unsigned n);
/* The number of semaphores of an array that the caller may read, or write. -EINVAL, -EACCES. */
MUST_CHECK int64_t sem_count(int32_t id, unsigned access);
/* Has p done anything with SEM_UNDO? */
bool sem_undoes(const struct process *p);
/* p ends: what it did with SEM_UNDO is undone. */
void sem_exit(struct process *p);

/* --- ipc_msg.c: messages --- */

enum msg_flags { MSG_NOERROR = 010000, MSG_EXCEPT = 020000, MSG_COPY = 040000 };
struct message {
	struct list link; /* (I) in its queue */
	int64_t type;     /* (C) */
	uint64_t size;    /* (C) */
	uint8_t data[];   /* (C) */
};
struct msg_stat {
	struct ipc_perm perm;
	uint32_t id;
	int64_t stime, rtime, ctime;
	uint64_t bytes, count, bytes_max;
	uint32_t lspid, lrpid;
};
struct msg_totals {
	unsigned used, highest;
	uint64_t count, bytes;
};
/* Takes over m on success. -EAGAIN (IPC_NOWAIT), -EINVAL, -EACCES, -EIDRM, -EINTR. */
MUST_CHECK err_t msg_send(int32_t id, struct message *m, uint32_t flags);
/* The first message that type and flags ask for, if it is at most `size` bytes or may be cut; the caller
 * frees it. With MSG_COPY: into *out, which has room for (*out)->size bytes. -ENOMSG (IPC_NOWAIT), -E2BIG,
 * -EINVAL, -EACCES, -EIDRM, -EINTR. */
MUST_CHECK err_t msg_receive(int32_t id, int64_t type, uint64_t size, uint32_t flags, struct message **out);
MUST_CHECK err_t msg_stat(int32_t which, enum ipc_stat how, struct msg_stat *out);
/* bytes_max: above the limit of queues only with CAP_SYS_RESOURCE (-EPERM). */
MUST_CHECK err_t msg_set(int32_t id, const struct ipc_perm *perm, uint64_t bytes_max);
MUST_CHECK err_t msg_remove(int32_t id);
void msg_totals(struct msg_totals *out);
