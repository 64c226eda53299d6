/*
 * spawn.c - processes that are no copies of others: the first one, helpers of the kernel's, and those that
 * native programs make.
 *
 * Before it starts, a native process is an *embryo*: memory and a table of descriptors, which whoever holds
 * its descriptor fills. It is in no tree and has no number; nobody can see, signal or wait for it, and if its
 * descriptors go it goes. Starting it makes a child of whoever does that, with his rights, limits, place and
 * terminal, as fork would; but nothing of his memory, of his descriptors and of what he does with signals.
 *
 * Everything is made before the thread is let go; a failure takes the process out of the tree again, and the
 * embryo is as it was.
 */
#include "fs/file.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "object/desc.h"
#include "proc/cred.h"
#include "proc/exec.h"
#include "proc/place.h"
#include "proc/proc_priv.h"
#include "vm/space.h"

/* p is new and without threads. */
static void give_space(struct process *p, struct vm_space *space)
{
	spin_lock(&process_tree_lock);
	p->space = space;
	spin_unlock(&process_tree_lock);
}

/* The same: it gets what the image has. */
static void give_image(struct process *p, const struct fs_context *c, const struct exec_image *image)
{
	bool other = image->cred->euid != image->cred->uid || image->cred->egid != image->cred->gid;
	uint32_t dumpable = other ? core_suid_dumpable() : exec_dumpable(c, image);
	store_relaxed(&p->core.dumpable, dumpable);
	store_relaxed(&p->gains, image->secure || dumpable != DUMP_USER); /* before its memory is there */
	store_relaxed(&p->personality, image->personality);
	spin_lock(&p->lock);
	struct cred *old = p->cred;
	p->program = image->program;
	p->cred = image->cred;
	spin_unlock(&p->lock);
	cred_put(old);
	give_space(p, image->space);
}

/* The first thread of p, which is a child of the current process, or nobody's. */
static err_t start_first_thread(struct process *p, const char *name, const struct embryo_start *s)
{
	struct user_thread *ut;
	err_t err = user_thread_create(p, name, 0, &ut);
	if (err)
		return err;
	user_frame_start(&ut->start, s->entry, s->sp);
	user_frame_set_arguments(&ut->start, s->arguments[0], s->arguments[1]);
	if (p->parent)
		user_thread_inherit(ut);
	err = user_state_create(&ut->thread);
	if (!err)
		err = user_thread_launch(ut);
	if (err)
		user_thread_free(ut);
	return err;
}

/* Build the memory of args' program, opened as p sees its path if it is not open yet, and give it to p. */
static err_t load_into(struct process *p, struct exec_args *args, struct embryo_start *s)
{
	struct exec_image image;
	struct fs_view view;
	fs_view_get(p, &view);
	err_t err = args->file ? 0 : exec_args_open(args, &view.context, NULL, args->path, 0);
	if (!err)
		err = exec_load(p, &view.context, args, &image);
	if (!err) {
		give_image(p, &view.context, &image);
		*s = (struct embryo_start){.entry = image.entry, .sp = image.sp};
	}
	fs_view_put(&view);
	return err;
}

err_t process_spawn(
    struct exec_args *args, err_t (*prepare)(struct process *p, void *arg), void *arg, struct process **out)
{
	struct embryo_start start;
	struct process *p;
	const struct process_wish wish = {.exit_signal = SIGNAL_CHLD};
	const char *slash = strrchr(args->path, '/');
	err_t err = process_create(NULL, NULL, slash ? slash + 1 : args->path, &wish, &p);
	if (err)
		return err;
	err = load_into(p, args, &start);
	if (!err)
		err = prepare ? prepare(p, arg) : 0;
	if (!err)
		err = start_first_thread(p, p->name, &start);
	if (err)
		process_discard(p);
	else
		*out = p;
	return err;
}

/* --- embryos --- */

err_t embryo_create(const char *name, struct embryo **out)
{
	struct embryo *e = kzalloc(sizeof(*e));
	if (!e)
		return -ENOMEM;
	err_t err = space_create(&e->space);
	if (!err) {
		store_relaxed(&e->space->guards, load_relaxed(&current_process()->guards));
		store_relaxed(&e->space->no_large, load_relaxed(&current_thread()->space->no_large));
		err = desc_table_create(&e->descs);
	}
	if (err) {
		embryo_destroy(e);
		return err;
	}
	str_copy(e->name, name, sizeof(e->name));
	*out = e;
	return 0;
}

void embryo_destroy(struct embryo *e)
{
	if (e->descs)
		desc_table_put(e->descs);
	if (e->space)
		space_put(e->space);
	kfree(e);
}

/* A child without memory and threads. */
static err_t make_child(const struct embryo *e, struct process **out)
{
	const struct process_wish wish = {.exit_signal = SIGNAL_CHLD, .descs = e->descs};
	err_t err = process_create(current_process(), NULL, e->name, &wish, out);
	if (!err)
		process_inherit_rules(*out);
	return err;
}

static err_t launch(struct process *p, const struct embryo *e, const struct embryo_start *s)
{
	spin_lock(&process_tree_lock);
	p->has_exec = true;
	spin_unlock(&process_tree_lock);
	err_t err = start_first_thread(p, e->name, s);
	if (!err && p->limits[RLIMIT_CPU].soft != RLIMIT_INFINITY) /* who sets it meanwhile watches it */
		process_timers_limit(p);
	return err;
}

err_t embryo_start(const struct embryo *e, const struct embryo_start *s, struct process **out)
{
	struct process *p;
	err_t err = make_child(e, &p);
	if (err)
		return err;
	space_get(e->space);
	give_space(p, e->space);
	err = launch(p, e, s);
	if (err)
		process_discard(p);
	else
		*out = p;
	return err;
}

err_t embryo_exec(const struct embryo *e, struct exec_args *args, struct process **out)
{
	struct embryo_start start;
	struct process *p;
	err_t err = make_child(e, &p);
	if (err)
		return err;
	err = load_into(p, args, &start);
	if (!err)
		err = launch(p, e, &start);
	if (err)
		process_discard(p);
	else
		*out = p;
	return err;
}
