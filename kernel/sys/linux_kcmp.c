/* linux_kcmp.c - kcmp: are two processes' resources one and the same? */
#include "kern/random.h"
#include "object/desc.h"
#include "proc/ipc.h"
#include "sys/sys.h"

enum kcmp_type { KCMP_FILE, KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_IO, KCMP_SYSVSEM };

/* One of the two. */
struct task {
	struct process *process; /* counted */
	uint32_t tid;
};

/* What the pair is compared by: never used as addresses. 0: there is none. */
struct pair {
	uintptr_t a, b;
};

static err_t file_behind(const struct task *task, uint64_t fd, uintptr_t *out)
{
	struct kobject *o;
	struct desc_table *t = task_descs(task->process, task->tid);
	if (!t)
		return -EBADF;
	err_t err = fd <= INT32_MAX ? desc_lookup(t, (int)fd, &o, NULL) : -EBADF;
	desc_table_put(t);
	if (err)
		return -EBADF;
	*out = (uintptr_t)o;
	kobject_put(o);
	return 0;
}

/* Tree and process locked. */
static uintptr_t part_of_locked(const struct task *task, int32_t type)
{
	const struct process *p = task->process;
	const struct user_thread *ut = process_thread_locked(p, task->tid);
	switch (type) {
	case KCMP_VM:
		return (uintptr_t)p->space;
	case KCMP_FILES:
		return ut ? (uintptr_t)ut->descs : 0;
	case KCMP_FS:
		return ut ? (uintptr_t)ut->place : 0;
	case KCMP_SIGHAND:
		return (uintptr_t)p->signals.table;
	default:
		return 0; /* no I/O contexts */
	}
}

static uintptr_t part_of(const struct task *task, int32_t type)
{
	struct process *p = task->process;
	if (type == KCMP_SYSVSEM)
		return sem_undoes(p) ? (uintptr_t)&p->sem_undos : 0;
	spin_lock(&process_tree_lock);
	spin_lock(&p->lock);
	uintptr_t part = part_of_locked(task, type);
	spin_unlock(&p->lock);
	spin_unlock(&process_tree_lock);
	return part;
}

static err_t find_pair(
    const struct task *a, const struct task *b, int32_t type, const uint64_t index[2], struct pair *out)
{
	if (type < KCMP_FILE || type > KCMP_SYSVSEM)
		return -EINVAL;
	if (type == KCMP_FILE) {
		err_t err = file_behind(a, index[0], &out->a);
		return err ? err : file_behind(b, index[1], &out->b);
	}
	*out = (struct pair){part_of(a, type), part_of(b, type)};
	return 0;
}

/* Equal, or in an order that stays the same and tells nothing of where things are. */
static int64_t compare(const struct pair *x)
{
	static _Atomic uint64_t secret;
	uint64_t fresh, none = 0;
	if (!load_relaxed(&secret)) {
		random_bytes(&fresh, sizeof(fresh));
		(void)cas_acq_rel(&secret, &none, fresh | 1);
	}
	uint64_t a = (x->a ^ load_relaxed(&secret)) * load_relaxed(&secret);
	uint64_t b = (x->b ^ load_relaxed(&secret)) * load_relaxed(&secret);
	return a == b ? 0 : a < b ? 1 : 2;
}

int64_t sys_kcmp(int32_t pid1, int32_t pid2, int32_t type, uint64_t index1, uint64_t index2)
{
	struct task a = {.tid = (uint32_t)pid1}, b = {.tid = (uint32_t)pid2};
	struct pair pair;
	const uint64_t index[2] = {index1, index2};
	err_t err = process_find_by_thread(a.tid, &a.process);
	if (err)
		return err;
	err = process_find_by_thread(b.tid, &b.process);
	if (!err) {
		bool may = current_may_access(a.process, a.tid) && current_may_access(b.process, b.tid);
		err = may ? find_pair(&a, &b, type, index, &pair) : -EPERM;
		process_put(b.process);
	}
	process_put(a.process);
	return err ? err : compare(&pair);
}
