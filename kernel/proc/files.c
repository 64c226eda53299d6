/*
 * files.c - what a thread has of files: its descriptors, its place among the names; what its process has: the
 * program it runs, and limits.
 *
 * The pointers change under the process's lock, so that others (/proc) may look at any time; a thread reads
 * its own without, for only it changes them.
 */
#include "fs/file.h"
#include "object/desc.h"
#include "proc/cred.h"
#include "proc/place.h"
#include "proc/proc_priv.h"

enum {
	NOFILE_SOFT = 1024,
	NOFILE_HARD = 1 << 20,
	STACK_SOFT = 8 << 20,
	MEMLOCK = 8 << 20,
	SIGPENDING = 8192
};

/* Linux's, for the first process. */
static void limits_init(struct process *p)
{
	for (unsigned i = 0; i < RLIMIT_COUNT; i++)
		p->limits[i] = (struct rlimit64){RLIMIT_INFINITY, RLIMIT_INFINITY};
	p->limits[RLIMIT_NOFILE] = (struct rlimit64){NOFILE_SOFT, NOFILE_HARD};
	p->limits[RLIMIT_STACK].soft = STACK_SOFT;
	p->limits[RLIMIT_CORE].soft = 0;
	p->limits[RLIMIT_MEMLOCK] = (struct rlimit64){MEMLOCK, MEMLOCK};
	p->limits[RLIMIT_SIGPENDING] = (struct rlimit64){SIGPENDING, SIGPENDING};
	p->limits[RLIMIT_MSGQUEUE] = (struct rlimit64){819200, 819200};
	p->limits[RLIMIT_NICE] = (struct rlimit64){0, 0};
	p->limits[RLIMIT_RTPRIO] = (struct rlimit64){0, 0};
}

static err_t init_first(struct process *p)
{
	limits_init(p);
	store_relaxed(&p->login_uid, LOGIN_UNSET);
	store_relaxed(&p->login_session, LOGIN_UNSET);
	return cred_create_root(&p->cred);
}

/* The program stays protected from writing as long as somebody runs it. */
static err_t inherit_program(struct process *p, struct process *parent)
{
	struct file *f = process_program(parent);
	if (!f)
		return 0;
	err_t err = vnode_deny_write(f->vnode); /* cannot be refused: it is denied already */
	if (err)
		file_put(f);
	else
		p->program = f;
	return err;
}

err_t process_inherit(struct process *p, struct process *parent, const struct process_wish *w)
{
	if (!parent)
		return init_first(p);
	spin_lock(&parent->lock);
	for (unsigned i = 0; i < RLIMIT_COUNT; i++)
		p->limits[i] = parent->limits[i];
	spin_unlock(&parent->lock);
	store_relaxed(&p->personality, load_relaxed(&parent->personality));
	store_relaxed(&p->login_uid, load_relaxed(&parent->login_uid));
	store_relaxed(&p->login_session, load_relaxed(&parent->login_session));
	store_relaxed(&p->oom_adjust, load_relaxed(&parent->oom_adjust));
	store_relaxed(&p->oom_adjust_min, load_relaxed(&parent->oom_adjust_min));
	p->cred = task_cred(parent, current_thread()->tid);
	return w->fresh ? 0 : inherit_program(p, parent);
}

static void share_descs(struct user_thread *ut, struct desc_table *descs)
{
	desc_table_get(descs);
	ut->descs = descs;
}

err_t user_thread_copy_files(struct user_thread *ut, unsigned share)
{
	const struct user_thread *from = current_user_thread();
	err_t err = 0;
	if (!(share & SHARE_PLACE))
		err = place_clone(from->place, &ut->place);
	else if (place_share(from->place))
		ut->place = from->place;
	else
		err = -EAGAIN;
	if (err)
		return err;
	if (!(share & SHARE_DESCS))
		return desc_table_clone(from->descs, &ut->descs);
	share_descs(ut, from->descs);
	return 0;
}

err_t user_thread_take_files(struct user_thread *ut, struct desc_table *descs)
{
	err_t err = place_clone(current_user_thread()->place, &ut->place);
	if (err)
		return err;
	share_descs(ut, descs);
	return 0;
}

err_t user_thread_share_locked(struct user_thread *ut, struct user_thread *from, struct cred **old)
{
	struct process *p = from->thread.process;
	err_t err = 0;
	ASSERT_HELD(&process_tree_lock);
	spin_lock(&p->lock);
	if (!from->descs || !from->place) {
		err = -EINTR;
	} else if (!place_share(from->place)) {
		err = -EAGAIN;
	} else {
		ut->place = from->place;
		share_descs(ut, from->descs);
		*old = ut->cred;
		ut->cred = from->cred;
		cred_get(ut->cred);
	}
	spin_unlock(&p->lock);
	return err;
}

err_t user_thread_first_files(struct user_thread *ut)
{
	err_t err = place_create(&ut->place);
	return err ? err : desc_table_create(&ut->descs);
}

/* Returns the old one. */
static struct desc_table *set_descs(struct user_thread *ut, struct desc_table *t)
{
	struct process *p = ut->thread.process;
	spin_lock(&p->lock);
	struct desc_table *old = ut->descs;
	ut->descs = t;
	spin_unlock(&p->lock);
	return old;
}

void user_thread_release_files(struct user_thread *ut)
{
	struct desc_table *descs = set_descs(ut, NULL);
	if (descs)
		desc_table_put(descs);
	user_thread_set_place(ut, NULL);
}

static void release_program(struct file *f)
{
	if (!f)
		return;
	vnode_allow_write(f->vnode);
	file_put(f);
}

void process_release_program(struct process *p)
{
	spin_lock(&p->lock);
	struct file *program = p->program;
	p->program = NULL;
	spin_unlock(&p->lock);
	release_program(program);
}

uint64_t current_limit(enum rlimit_resource r)
{
	return __atomic_load_n(&current_process()->limits[r].soft, __ATOMIC_RELAXED);
}

err_t process_limit(
    struct process *p, enum rlimit_resource r, const struct rlimit64 *new, struct rlimit64 *old)
{
	bool may_raise = current_can(CAP_SYS_RESOURCE);
	err_t err = 0;
	spin_lock(&p->lock);
	*old = p->limits[r];
	if (new &&new->hard > old->hard && !may_raise)
		err = -EPERM;
	else if (new) {
		__atomic_store_n(&p->limits[r].soft, new->soft, __ATOMIC_RELAXED);
		p->limits[r].hard = new->hard;
	}
	spin_unlock(&p->lock);
	if (new && !err && r == RLIMIT_CPU)
		process_timers_limit(p);
	if (new && !err && r == RLIMIT_RTTIME)
		process_watch_rt_time(p);
	return err;
}

void current_write_rights(uint64_t *limit, bool *keep_suid)
{
	*limit = current_limit(RLIMIT_FSIZE);
	*keep_suid = current_can(CAP_FSETID);
}

struct desc_table *task_descs(struct process *p, uint32_t tid)
{
	struct desc_table *t = NULL;
	spin_lock(&process_tree_lock);
	const struct user_thread *ut = process_thread_locked(p, tid);
	spin_lock(&p->lock);
	if (ut)
		t = ut->descs;
	if (t)
		desc_table_get(t);
	spin_unlock(&p->lock);
	spin_unlock(&process_tree_lock);
	return t;
}

struct file *process_program(struct process *p)
{
	spin_lock(&p->lock);
	struct file *f = p->program;
	if (f)
		file_get(f);
	spin_unlock(&p->lock);
	return f;
}

err_t current_unshare_descs(void)
{
	struct desc_table *t;
	if (!desc_table_is_shared(current_descs()))
		return 0;
	err_t err = desc_table_clone(current_descs(), &t);
	if (!err)
		desc_table_put(set_descs(current_user_thread(), t));
	return err;
}

void process_set_program(struct file *f)
{
	struct process *p = current_process();
	spin_lock(&p->lock);
	struct file *old = p->program;
	p->program = f;
	spin_unlock(&p->lock);
	release_program(old);
}
