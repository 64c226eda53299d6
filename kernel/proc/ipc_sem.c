/*
 * ipc_sem.c - arrays of semaphores: counters, several of which are changed in one step or not at all.
 *
 * An operation that cannot be done now waits in the array's list. Whoever changes a value goes through the
 * list from the oldest on, does for the waiters what can be done, and wakes them; and starts over when one of
 * them has changed values in turn. A sleeper thus wakes up with its result, and there is no race between what
 * it was told and what it finds.
 *
 * With SEM_UNDO a process has for each array what would undo its changes, and it is undone when it ends. It
 * is the process's: all its threads share it.
 */
#include "arch/clock.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/ipc.h"

struct sem {
	uint16_t value;
	uint32_t pid; /* who changed it last, or tried */
};

struct sem_array {
	struct ipc_object ipc; /* first */
	unsigned nsems;        /* (C) */
	struct sem *sems;      /* (I) */
	int64_t otime, ctime;  /* (I) */
	struct list waiters;   /* (I) struct sem_wait, oldest first */
	struct list undos;     /* (I) struct sem_undo by array_link */
};

/* What the end of a process adds to the semaphores of an array. */
struct sem_undo {
	struct list process_link; /* (I) process->sem_undos */
	struct list array_link;   /* (I) */
	struct sem_array *array;  /* (C) it goes with that */
	int16_t adjust[];         /* (I) */
};

struct sem_wait {
	struct list link; /* (I) */
	struct waitq wake;
	const struct sem_op *ops;
	unsigned n;
	uint32_t pid;
	struct sem_undo *undo; /* NULL: nothing is undone */
	unsigned blocked_by;   /* the operation that it waits for */
	bool alters, done;
	err_t result; /* once done */
};

static unsigned sems_in_use; /* ipc_lock */

static struct sem_array *array_of(struct ipc_object *o)
{
	return container_of(o, struct sem_array, ipc);
}

/* --- the kind --- */

static err_t sem_check(const struct ipc_object *o, uint64_t nsems)
{
	return nsems > container_of(o, const struct sem_array, ipc)->nsems ? -EINVAL : 0;
}

static err_t sem_create(UNUSED int32_t key, uint64_t nsems, UNUSED uint32_t flags, struct ipc_object **out)
{
	if (nsems == 0)
		return -EINVAL;
	struct sem_array *a = kzalloc(sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->sems = kcalloc(nsems, sizeof(a->sems[0]));
	if (!a->sems) {
		kfree(a);
		return -ENOMEM;
	}
	ref_init(&a->ipc.refs);
	a->nsems = (unsigned)nsems;
	a->ctime = ipc_time();
	list_init(&a->waiters);
	list_init(&a->undos);
	*out = &a->ipc;
	return 0;
}

static err_t sem_tally(const struct ipc_object *o, int delta)
{
	unsigned nsems = container_of(o, const struct sem_array, ipc)->nsems;
	unsigned most = load_relaxed(&ipc_limits.sem_total);
	if (delta > 0 && (sems_in_use > most || nsems > most - sems_in_use))
		return -ENOSPC;
	sems_in_use += delta > 0 ? nsems : 0 - nsems;
	return 0;
}

static void sem_destroy(struct ipc_object *o)
{
	struct sem_array *a = array_of(o);
	ASSERT(list_is_empty(&a->waiters) && list_is_empty(&a->undos));
	kfree(a->sems);
	kfree(a);
}

static const struct ipc_kind sem_kind = {
    .check = sem_check, .create = sem_create, .count = sem_tally, .destroy = sem_destroy};
struct ipc_ids ipc_sems = {.kind = &sem_kind, .max = &ipc_limits.sem_count};

/* --- operating --- */

enum { MUST_WAIT = 1 };

/* One step of it. MUST_WAIT, or -ERANGE. */
static err_t do_op_locked(struct sem_array *a, const struct sem_op *op, struct sem_undo *undo)
{
	int value = a->sems[op->number].value, result = value + op->op;
	if ((op->op == 0 && value != 0) || result < 0)
		return MUST_WAIT;
	if (result > SEM_VALUE_MAX)
		return -ERANGE;
	if (op->flags & SEM_UNDO) {
		int adjust = undo->adjust[op->number] - op->op;
		if (adjust < -SEM_VALUE_MAX - 1 || adjust > SEM_VALUE_MAX)
			return -ERANGE;
		undo->adjust[op->number] = (int16_t)adjust;
	}
	a->sems[op->number].value = (uint16_t)result;
	return 0;
}

static void undo_op_locked(struct sem_array *a, const struct sem_op *op, struct sem_undo *undo)
{
	a->sems[op->number].value = (uint16_t)(a->sems[op->number].value - op->op);
	if (op->flags & SEM_UNDO)
		undo->adjust[op->number] = (int16_t)(undo->adjust[op->number] + op->op);
}

/* All of it or nothing. MUST_WAIT; -EAGAIN: it must, and will not; -ERANGE. */
static err_t try_locked(struct sem_array *a, struct sem_wait *w)
{
	unsigned i;
	err_t err = 0;
	for (i = 0; i < w->n && !err; i++)
		err = do_op_locked(a, &w->ops[i], w->undo);
	if (!err) {
		for (i = 0; i < w->n; i++)
			a->sems[w->ops[i].number].pid = w->pid;
		return 0;
	}
	w->blocked_by = --i;
	while (i-- > 0)
		undo_op_locked(a, &w->ops[i], w->undo);
	return err == MUST_WAIT && (w->ops[w->blocked_by].flags & IPC_NOWAIT) ? -EAGAIN : err;
}

static void finish_locked(struct sem_wait *w, err_t result)
{
	list_remove(&w->link);
	w->result = result;
	w->done = true;
	waitq_wake_all(&w->wake);
}

/* Values have changed: do what can be done now. True: something was. */
static bool serve_locked(struct sem_array *a)
{
	bool any = false, again = true;
	while (again) {
		again = false;
		list_for_each (it, &a->waiters) {
			struct sem_wait *w = list_entry(it, struct sem_wait, link);
			err_t err = try_locked(a, w);
			if (err == MUST_WAIT)
				continue;
			finish_locked(w, err);
			any = true;
			again = true;
			break;
		}
	}
	return any;
}

/* Values were set, not operated on. */
static void changed_locked(struct sem_array *a, int64_t now)
{
	a->ctime = now;
	if (serve_locked(a))
		a->otime = now;
}

/* --- what is undone --- */

static struct sem_undo *find_undo_locked(const struct process *p, const struct sem_array *a)
{
	list_for_each (it, &p->sem_undos) {
		struct sem_undo *u = list_entry(it, struct sem_undo, process_link);
		if (u->array == a)
			return u;
	}
	return NULL;
}

/* The current process's for a, which the caller holds a reference on; the lock is dropped if it has to be
 * made. */
static err_t get_undo_locked(struct sem_array *a, struct sem_undo **out)
{
	struct process *p = current_process();
	*out = find_undo_locked(p, a);
	if (*out)
		return 0;
	spin_unlock(&ipc_lock);
	struct sem_undo *u = kzalloc(sizeof(*u) + a->nsems * sizeof(u->adjust[0]));
	spin_lock(&ipc_lock);
	struct sem_undo *other = find_undo_locked(p, a);
	*out = other ? other : u;
	if (u && !other && !a->ipc.gone) {
		u->array = a;
		list_push_back(&p->sem_undos, &u->process_link);
		list_push_back(&a->undos, &u->array_link);
		return 0;
	}
	spin_unlock(&ipc_lock);
	kfree(u);
	spin_lock(&ipc_lock);
	return a->ipc.gone ? -EIDRM : other ? 0 : -ENOMEM;
}

static void apply_undo_locked(const struct sem_undo *u, uint32_t pid)
{
	struct sem_array *a = u->array;
	for (unsigned i = 0; i < a->nsems; i++) {
		if (!u->adjust[i])
			continue;
		int value = a->sems[i].value + u->adjust[i];
		a->sems[i].value = (uint16_t)MAX(0, MIN(value, SEM_VALUE_MAX));
		a->sems[i].pid = pid;
	}
	a->otime = ipc_time();
	serve_locked(a);
}

bool sem_undoes(const struct process *p)
{
	spin_lock(&ipc_lock);
	bool undoes = !list_is_empty(&p->sem_undos);
	spin_unlock(&ipc_lock);
	return undoes;
}

static void free_undos(struct list *dead)
{
	while (!list_is_empty(dead)) {
		struct sem_undo *u = list_first(dead, struct sem_undo, process_link);
		list_remove(&u->process_link);
		kfree(u);
	}
}

void sem_exit(struct process *p)
{
	struct list dead = LIST_INIT(dead);
	spin_lock(&ipc_lock);
	while (!list_is_empty(&p->sem_undos)) {
		struct sem_undo *u = list_first(&p->sem_undos, struct sem_undo, process_link);
		list_remove(&u->process_link);
		list_remove(&u->array_link);
		apply_undo_locked(u, p->pid);
		list_push_back(&dead, &u->process_link);
	}
	spin_unlock(&ipc_lock);
	free_undos(&dead);
}

/* Values that were set are nobody's to undo: that of one semaphore, or of all (number -1). */
static void clear_undos_locked(struct sem_array *a, int number)
{
	list_for_each (it, &a->undos) {
		struct sem_undo *u = list_entry(it, struct sem_undo, array_link);
		if (number >= 0)
			u->adjust[number] = 0;
		else
			memset(u->adjust, 0, a->nsems * sizeof(u->adjust[0]));
	}
}

/* --- semop --- */

static err_t wait_locked(struct sem_array *a, struct sem_wait *w, nsec_t deadline)
{
	err_t err = 0;
	waitq_init(&w->wake);
	list_push_back(&a->waiters, &w->link);
	while (!w->done && !err)
		err = waitq_sleep(&w->wake, &ipc_lock, deadline, WAIT_INTERRUPTIBLE);
	if (w->done)
		return w->result;
	list_remove(&w->link);
	return err == -ETIMEDOUT ? -EAGAIN : err;
}

static err_t operate_locked(struct sem_array *a, struct sem_wait *w, bool undoes, nsec_t deadline)
{
	err_t err = undoes ? get_undo_locked(a, &w->undo) : 0;
	if (err)
		return err;
	err = try_locked(a, w);
	if (err == MUST_WAIT)
		return wait_locked(a, w, deadline);
	if (!err)
		a->otime = ipc_time();
	if (!err && w->alters)
		serve_locked(a);
	return err;
}

err_t sem_operate(int32_t id, struct sem_op *ops, unsigned n, nsec_t deadline)
{
	struct ipc_object *o;
	struct sem_wait w = {.ops = ops, .n = n, .pid = current_process()->pid};
	bool undoes = false;
	unsigned highest = 0;
	for (unsigned i = 0; i < n; i++) {
		undoes |= ops[i].flags & SEM_UNDO;
		w.alters |= ops[i].op != 0;
		highest = MAX(highest, (unsigned)ops[i].number);
	}
	list_init(&w.link);
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_sems, id, &o);
	if (!err && highest >= array_of(o)->nsems)
		err = -EFBIG;
	else if (!err)
		err = ipc_may_locked(o, w.alters ? IPC_WRITE : IPC_READ);
	bool found = !err;
	if (found) {
		ref_get(&o->refs);
		err = operate_locked(array_of(o), &w, undoes, deadline);
	}
	spin_unlock(&ipc_lock);
	if (found)
		ipc_put(&ipc_sems, o);
	return err;
}

/* --- asking and setting --- */

/* An array that the caller may access. */
static err_t find_array_locked(int32_t id, unsigned access, struct sem_array **out)
{
	struct ipc_object *o;
	err_t err = ipc_find_locked(&ipc_sems, id, &o);
	*out = err ? NULL : array_of(o);
	return err ? err : ipc_may_locked(o, access);
}

/* How many operations wait for this semaphore to become 0, or to grow. */
static int64_t count_waiters_locked(const struct sem_array *a, int32_t number, bool zero)
{
	int64_t count = 0;
	list_for_each (it, &a->waiters) {
		const struct sem_wait *w = list_entry(it, struct sem_wait, link);
		const struct sem_op *op = &w->ops[w->blocked_by];
		count += op->number == number && (op->op == 0) == zero;
	}
	return count;
}

static int64_t answer_locked(const struct sem_array *a, int32_t number, enum sem_question q)
{
	if (number < 0 || (unsigned)number >= a->nsems)
		return -EINVAL;
	switch (q) {
	case SEM_VALUE:
		return a->sems[number].value;
	case SEM_PID:
		return a->sems[number].pid;
	default:
		return count_waiters_locked(a, number, q == SEM_WAIT_ZERO);
	}
}

int64_t sem_ask(int32_t id, int32_t number, enum sem_question q)
{
	struct sem_array *a;
	spin_lock(&ipc_lock);
	int64_t result = find_array_locked(id, IPC_READ, &a);
	if (!result)
		result = answer_locked(a, number, q);
	spin_unlock(&ipc_lock);
	return result;
}

err_t sem_set_value(int32_t id, int32_t number, int32_t value)
{
	struct ipc_object *o;
	struct sem_array *a = NULL;
	int64_t now = ipc_time();
	if (value < 0 || value > SEM_VALUE_MAX)
		return -ERANGE;
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_sems, id, &o);
	if (!err) {
		a = array_of(o);
		err = number < 0 || (unsigned)number >= a->nsems ? -EINVAL : ipc_may_locked(o, IPC_WRITE);
	}
	if (!err) {
		clear_undos_locked(a, number);
		a->sems[number] = (struct sem){(uint16_t)value, current_process()->pid};
		changed_locked(a, now);
	}
	spin_unlock(&ipc_lock);
	return err;
}

int64_t sem_count(int32_t id, unsigned access)
{
	struct sem_array *a;
	spin_lock(&ipc_lock);
	int64_t result = find_array_locked(id, access, &a);
	if (!result)
		result = a->nsems;
	spin_unlock(&ipc_lock);
	return result;
}

err_t sem_get_all(int32_t id, uint16_t *values, unsigned n)
{
	struct sem_array *a;
	spin_lock(&ipc_lock);
	err_t err = find_array_locked(id, IPC_READ, &a);
	if (!err && a->nsems != n)
		err = -EINVAL;
	for (unsigned i = 0; i < n && !err; i++)
		values[i] = a->sems[i].value;
	spin_unlock(&ipc_lock);
	return err;
}

err_t sem_set_all(int32_t id, const uint16_t *values, unsigned n)
{
	struct sem_array *a;
	int64_t now = ipc_time();
	for (unsigned i = 0; i < n; i++)
		if (values[i] > SEM_VALUE_MAX)
			return -ERANGE;
	spin_lock(&ipc_lock);
	err_t err = find_array_locked(id, IPC_WRITE, &a);
	if (!err && a->nsems != n)
		err = -EINVAL;
	if (!err) {
		for (unsigned i = 0; i < n; i++)
			a->sems[i] = (struct sem){values[i], current_process()->pid};
		clear_undos_locked(a, -1);
		changed_locked(a, now);
	}
	spin_unlock(&ipc_lock);
	return err;
}

err_t sem_stat(int32_t which, enum ipc_stat how, struct sem_stat *out)
{
	struct ipc_object *o;
	spin_lock(&ipc_lock);
	err_t err = ipc_stat_locked(&ipc_sems, which, how, &o);
	if (!err) {
		const struct sem_array *a = array_of(o);
		*out = (struct sem_stat){o->perm, o->id, a->nsems, a->otime, a->ctime};
	}
	spin_unlock(&ipc_lock);
	return err;
}

err_t sem_set(int32_t id, const struct ipc_perm *perm)
{
	struct ipc_object *o;
	int64_t now = ipc_time();
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_sems, id, &o);
	if (!err)
		err = ipc_set_locked(o, perm);
	if (!err)
		array_of(o)->ctime = now;
	spin_unlock(&ipc_lock);
	return err;
}

/* It was removed: who waits is told, and nobody has anything to undo. */
static void dissolve_locked(struct sem_array *a, struct list *dead)
{
	while (!list_is_empty(&a->waiters))
		finish_locked(list_first(&a->waiters, struct sem_wait, link), -EIDRM);
	while (!list_is_empty(&a->undos)) {
		struct sem_undo *u = list_first(&a->undos, struct sem_undo, array_link);
		list_remove(&u->array_link);
		list_remove(&u->process_link);
		list_push_back(dead, &u->process_link);
	}
}

err_t sem_remove(int32_t id)
{
	struct list dead = LIST_INIT(dead);
	struct ipc_object *o;
	spin_lock(&ipc_lock);
	err_t err = ipc_find_locked(&ipc_sems, id, &o);
	if (!err && !ipc_owns_locked(o, CAP_SYS_ADMIN))
		err = -EPERM;
	if (!err) {
		ipc_remove_locked(&ipc_sems, o);
		dissolve_locked(array_of(o), &dead);
	}
	spin_unlock(&ipc_lock);
	free_undos(&dead);
	if (!err)
		ipc_put(&ipc_sems, o);
	return err;
}

void sem_totals(struct sem_totals *out)
{
	spin_lock(&ipc_lock);
	*out = (struct sem_totals){ipc_sems.used, ipc_highest_locked(&ipc_sems), sems_in_use};
	spin_unlock(&ipc_lock);
}
