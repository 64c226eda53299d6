/*
 * core.c - how a process comes to leave a core file.
 *
 *	signal with that default action ──▶ core_begin_locked: the exit is decided, the thread is
 *	                                     the writer, all others are told to die
 *	others, in user_thread_exit      ──▶ core_park: they save their registers and wait
 *	writer, when all are parked      ──▶ core_file_write
 *	                                 ──▶ everybody goes on to end; the parent learns of the process's death only then
 *
 * The parked threads are in the kernel, at the end of all they did there, and hold nothing: so the writer
 * alone uses the memory, unless another process shares it. Who waits for the process waits for the file too.
 * SIGKILL ends the writing: the writer is killed as any thread, what it waits for ends, and what was written
 * so far stays, as on Linux.
 *
 * Instead of to a file it may go to a program that the kernel starts (core_pipe.c).
 *
 * The file is made with the rights of the process, where nobody else can have put something: a name that
 * exists is unlinked, and the new file is given up if its owner or mode is not what it should be.
 */
#include "proc/core.h"
#include "fs/mount.h"
#include "kern/log.h"
#include "mm/slab.h"
#include "proc/core_priv.h"
#include "proc/cred.h"
#include "proc/place.h"

void core_state_init(struct core_state *s)
{
	list_init(&s->parked);
	waitq_init(&s->wait);
	store_relaxed(&s->filter, CORE_FILTER_DEFAULT);
	store_relaxed(&s->dumpable, DUMP_USER);
}

static uint64_t core_limit(struct process *p)
{
	struct rlimit64 limit;
	err_t err = process_limit(p, RLIMIT_CORE, NULL, &limit);
	ASSERT(!err); /* nothing is set */
	return limit.soft;
}

/* Too little for a file. For a program that gets it the limit has no meaning, but 1, which is what such
 * programs have themselves: if they crash, nothing more begins. */
static bool is_limited(struct process *p)
{
	return core_is_piped() ? core_limit(p) == 1 : core_limit(p) < PAGE_SIZE;
}

bool core_begin_locked(struct process *p, int signal)
{
	ASSERT_HELD(&process_tree_lock);
	if (p->exiting || p->exec_thread || is_limited(p) || load_relaxed(&p->core.dumpable) == DUMP_NOBODY)
		return false;
	p->core.writer = current_user_thread();
	process_begin_exit_locked(p, wait_status_killed(signal));
	return true;
}

bool core_is_writer(void)
{
	return current_process()->core.writer ==
	       current_user_thread(); /* only the thread itself makes it true */
}

void core_interrupt_locked(struct process *p)
{
	ASSERT_HELD(&process_tree_lock);
	if (p->core.writer)
		thread_interrupt(&p->core.writer->thread, THREAD_KILLED);
}

void core_thread_gone_locked(struct process *p)
{
	if (p->core.writer)
		waitq_wake_all(&p->core.wait);
}

void core_park(void)
{
	struct core_thread me = {.thread = current_user_thread()};
	struct process *p = current_process();
	spin_lock(&process_tree_lock);
	if (p->core.writer && p->core.writer != me.thread) {
		user_state_save();
		list_push_back(&p->core.parked, &me.link);
		p->core.nparked++;
		waitq_wake_all(&p->core.wait);
		while (p->core.writer)
			(void)waitq_sleep(&p->core.wait, &process_tree_lock, NSEC_NEVER, 0);
		p->core.nparked--;
		list_remove(&me.link);
	}
	spin_unlock(&process_tree_lock);
}

/* --- the file --- */

/* Is it the one that was meant: new, regular, with one name, its maker's alone? */
static bool is_trusted(struct file *f, const struct fs_cred *cred)
{
	struct vfs_stat st;
	file_stat(f, &st);
	return (st.mode & MODE_TYPE) == MODE_REG && st.nlink == 1 && st.uid == cred->uid &&
	       (st.mode & 0677) == 0600;
}

/* A new file of this name. */
static err_t open_new(const struct fs_context *c, const char *name, bool replace, struct file **out)
{
	if (replace && vfs_unlink(c, NULL, name))
		*out = NULL; /* there was none, or opening tells */
	err_t err = vfs_open(
	    c, NULL, name, FILE_CREAT | FILE_EXCL | FILE_NOFOLLOW | FILE_WRONLY | FILE_LARGEFILE, 0600, out);
	if (!err && !is_trusted(*out, &c->cred)) {
		file_put(*out);
		err = -EPERM;
	}
	return err;
}

/* The disk was full: take back what cannot be used, if the name still leads there. */
static void remove_file(const struct fs_context *c, const char *name, const struct file *f)
{
	struct path found;
	if (vfs_lookup(c, NULL, name, WALK_NOFOLLOW, &found))
		return;
	err_t err = path_vnode(&found) == f->vnode ? vfs_unlink(c, NULL, name) : 0;
	path_put(&found);
	if (err)
		log_warn("proc", "a part of a core file stays as %s", name);
}

static void tell(const struct process *p, const char *name, const struct core_file *c, err_t err)
{
	if (err && err != -EFBIG)
		log_warn("proc", "%s[%u] leaves no core file %s: error %d", p->name, p->pid, name, -err);
	else
		log_info("proc", "%s[%u] leaves a core file %s of %llu bytes%s", p->name, p->pid, name,
		    (unsigned long long)c->pos, err ? ", cut at its limit" : "");
}

/* True: there is a file. */
static bool write_as(const struct fs_context *context, const char *name, bool replace, struct core_file *c)
{
	err_t err = open_new(context, name, replace, &c->file);
	if (!err) {
		core_file_write(c);
		err = c->err;
		if (err && err != -EFBIG && err != -EINTR)
			remove_file(context, name, c->file);
		file_put(c->file);
	}
	tell(c->process, name, c, err);
	return !err || err == -EFBIG;
}

/* A process whose rights are not its user's own leaves its file with the superuser, by a path that the
 * process cannot influence. */
static bool use_root(struct fs_view *view, const char *name)
{
	struct path root;
	if (name[0] != '/')
		return false;
	mount_get_root(&root);
	path_put(&view->context.root);
	view->context.root = root;
	view->context.cred = (struct fs_cred){0};
	return true;
}

static bool write_file(struct process *p, const struct signal_info *info)
{
	struct fs_view view;
	char name[CORE_NAME_MAX];
	bool root = load_relaxed(&p->core.dumpable) == DUMP_ROOT, privileged, written = false;
	struct core_file c = {.process = p, .info = info, .limit = core_limit(p)};
	if (core_is_piped())
		return core_pipe(&c);
	if (is_limited(p)) /* the pattern was changed a moment ago */
		return false;
	current_write_rights(&c.limit_size, &privileged);
	if (core_name(p, info->signo, c.limit, name))
		return false;
	fs_view_get(current_user_thread(), &view);
	if (!root || use_root(&view, name))
		written = write_as(&view.context, name, !root, &c);
	else
		log_warn(
		    "proc", "%s[%u] leaves no core file: its name must start at the root", p->name, p->pid);
	fs_view_put(&view);
	return written;
}

/* Sleep until all other threads are parked. False: killed. */
static bool wait_for_others(struct process *p)
{
	err_t err = 0;
	spin_lock(&process_tree_lock);
	while (p->core.nparked + 1 < p->nthreads && !err)
		err = waitq_sleep(&p->core.wait, &process_tree_lock, NSEC_NEVER, WAIT_KILLABLE);
	spin_unlock(&process_tree_lock);
	return !err;
}

void core_write(const struct signal_info *info)
{
	struct user_thread *self = current_user_thread();
	struct process *p = self->thread.process;
	user_state_save();
	bool written = wait_for_others(p) && write_file(p, info);
	spin_lock(&process_tree_lock);
	if (written && !thread_is_killed())
		p->wait_status |= WAIT_STATUS_CORE;
	p->core.writer = NULL;
	waitq_wake_all(&p->core.wait);
	thread_interrupt(&self->thread, THREAD_KILLED);
	spin_unlock(&process_tree_lock);
}
