/*
 * files.c - what a process has of files: its descriptors, its place among the names, the program it runs; and
 * its limits.
 *
 * The pointers change under the process's lock, so that others (/proc) may look at any time; the process's
 * own threads read them without, for only they change them, and those that make calls do so one at a time:
 * exec when no other thread is left, the end when none is.
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
	err_t err = cred_create_root(&p->cred);
	if (!err)
		err = place_create(&p->place);
	return err ? err : desc_table_create(&p->descs);
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

err_t process_init_files(struct process *p, struct process *parent, const struct process_wish *w)
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
	p->cred = process_cred(parent);
	err_t err = w->descs ? 0 : inherit_program(p, parent);
	if (err)
		return err;
	if (w->share & SHARE_PLACE) {
		place_get(parent->place);
		p->place = parent->place;
	} else {
		err = place_clone(parent->place, &p->place);
	}
	if (err)
		return err;
	struct desc_table *descs = w->share & SHARE_DESCS ? parent->descs : w->descs;
	if (!descs)
		return desc_table_clone(parent->descs, &p->descs);
	desc_table_get(descs);
	p->descs = descs;
	return 0;
}

static void release_program(struct file *f)
{
	if (!f)
		return;
	vnode_allow_write(f->vnode);
	file_put(f);
}

void process_release_files(struct process *p)
{
	spin_lock(&p->lock);
	struct desc_table *descs = p->descs;
	struct place *place = p->place;
	struct file *program = p->program;
	p->descs = NULL;
	p->place = NULL;
	p->program = NULL;
	spin_unlock(&p->lock);
	if (descs)
		desc_table_put(descs);
	if (place)
		place_put(place);
	release_program(program);
}

uint64_t current_limit(enum rlimit_resource r)
{
	struct process *p = current_process();
	spin_lock(&p->lock);
	uint64_t limit = p->limits[r].soft;
	spin_unlock(&p->lock);
	return limit;
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
	else if (new)
		p->limits[r] = *new;
	spin_unlock(&p->lock);
	if (new && !err && r == RLIMIT_CPU)
		process_timers_limit(p);
	if (new && !err && r == RLIMIT_RTTIME)
		process_watch_rt_time(p);
	return err;
}

void current_write_rights(uint64_t *limit, bool *keep_suid)
{
	struct process *p = current_process();
	spin_lock(&p->lock);
	*limit = p->limits[RLIMIT_FSIZE].soft;
	*keep_suid = cap_set_has(p->cred->effective, CAP_FSETID);
	spin_unlock(&p->lock);
}

struct desc_table *process_descs(struct process *p)
{
	spin_lock(&p->lock);
	struct desc_table *t = p->descs;
	if (t)
		desc_table_get(t);
	spin_unlock(&p->lock);
	return t;
}

struct place *process_place(struct process *p)
{
	spin_lock(&p->lock);
	struct place *place = p->place;
	if (place)
		place_get(place);
	spin_unlock(&p->lock);
	return place;
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

void process_set_descs(struct desc_table *t)
{
	struct process *p = current_process();
	spin_lock(&p->lock);
	struct desc_table *old = p->descs;
	p->descs = t;
	spin_unlock(&p->lock);
	desc_table_put(old);
}

void process_set_place(struct place *place)
{
	struct process *p = current_process();
	spin_lock(&p->lock);
	struct place *old = p->place;
	p->place = place;
	spin_unlock(&p->lock);
	place_put(old);
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
