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

/* ut, the first thread of a new process, and its process get what the image has. */
static void give_image(struct user_thread *ut, const struct fs_context *c, const struct exec_image *image)
{
	struct process *p = ut->thread.process;
	struct cred *old = p->cred; /* which both have */
	bool other = image->cred->euid != image->cred->uid || image->cred->egid != image->cred->gid;
	uint32_t dumpable = other ? core_suid_dumpable() : exec_dumpable(c, image);
	store_relaxed(&p->core.dumpable, dumpable);
	store_relaxed(&p->gains, image->secure || dumpable != DUMP_USER); /* before its memory is there */
	store_relaxed(&p->personality, image->personality);
	cred_get(image->cred);
	spin_lock(&process_tree_lock);
	p->space = image->space;
	spin_lock(&p->lock);
	p->program = image->program;
	p->cred = ut->cred = image->cred;
	spin_unlock(&p->lock);
	spin_unlock(&process_tree_lock);
	cred_put(old);
	cred_put(old);
	if (image->frozen)
		place_thaw(image->frozen);
}

/* The first thread of p, complete but for what it runs. descs: p is a child of the current process, and
 * these are its descriptors; NULL: it is nobody's. */
static err_t make_first_thread(struct process *p, struct desc_table *descs, struct user_thread **out)
{
	struct user_thread *ut;
	err_t err = user_thread_create(p, p->name, 0, &ut);
	if (err)
		return err;
	if (descs) {
		user_thread_inherit(ut, current_user_thread());
		err = user_thread_take_files(ut, descs);
	} else {
		err = user_thread_first_files(ut);
	}
	if (!err)
		err = user_state_create(&ut->thread);
	if (err)
		user_thread_free(ut);
	else
		*out = ut;
	return err;
}

static err_t start_thread(struct user_thread *ut, const struct embryo_start *s)
{
	user_frame_start(&ut->start, s->entry, s->sp);
	user_frame_set_arguments(&ut->start, s->arguments[0], s->arguments[1]);
	return user_thread_launch(ut);
}

/* Build the memory of args' program, opened as ut sees its path if it is not open yet, and give it to ut. */
static err_t load_into(struct user_thread *ut, struct exec_args *args, struct embryo_start *s)
{
	struct exec_image image;
	struct fs_view view;
	fs_view_get(ut, &view);
	err_t err = args->file ? 0 : exec_args_open(args, &view.context, NULL, args->path, 0);
	if (!err)
		err = exec_load(ut, &view.context, args, &image);
	if (!err) {
		give_image(ut, &view.context, &image);
		*s = (struct embryo_start){.entry = image.entry, .sp = image.sp};
	}
	fs_view_put(&view);
	return err;
}

static err_t start_program(
    struct process *p, struct exec_args *args, err_t (*prepare)(struct user_thread *ut, void *arg), void *arg)
{
	struct embryo_start start;
	struct user_thread *ut;
	err_t err = make_first_thread(p, NULL, &ut);
	if (err)
		return err;
	err = load_into(ut, args, &start);
	if (!err && prepare)
		err = prepare(ut, arg);
	if (!err)
		err = start_thread(ut, &start);
	if (err)
		user_thread_free(ut);
	return err;
}

err_t process_spawn(struct exec_args *args, err_t (*prepare)(struct user_thread *ut, void *arg), void *arg,
    struct process **out)
{
	struct process *p;
	const struct process_wish wish = {.exit_signal = SIGNAL_CHLD};
	const char *slash = strrchr(args->path, '/');
	err_t err = process_create(NULL, NULL, slash ? slash + 1 : args->path, &wish, &p);
	if (err)
		return err;
	err = start_program(p, args, prepare, arg);
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
	const struct process_wish wish = {.exit_signal = SIGNAL_CHLD, .fresh = true};
	err_t err = process_create(current_process(), NULL, e->name, &wish, out);
	if (!err)
		process_inherit_rules(*out);
	return err;
}

static void give_space(struct process *p, struct vm_space *space)
{
	space_get(space);
	spin_lock(&process_tree_lock);
	p->space = space;
	spin_unlock(&process_tree_lock);
}

static err_t launch(struct user_thread *ut, const struct embryo_start *s)
{
	struct process *p = ut->thread.process;
	spin_lock(&process_tree_lock);
	p->has_exec = true;
	spin_unlock(&process_tree_lock);
	err_t err = start_thread(ut, s);
	if (!err && p->limits[RLIMIT_CPU].soft != RLIMIT_INFINITY) /* who sets it meanwhile watches it */
		process_timers_limit(p);
	return err;
}

/* args NULL: p runs what is in the memory of e, from *s on. */
static err_t start_embryo(
    struct process *p, const struct embryo *e, struct exec_args *args, struct embryo_start s)
{
	struct user_thread *ut;
	err_t err = make_first_thread(p, e->descs, &ut);
	if (err)
		return err;
	if (args)
		err = load_into(ut, args, &s);
	else
		give_space(p, e->space);
	if (!err)
		err = launch(ut, &s);
	if (err)
		user_thread_free(ut);
	else
		store_relaxed(&current_user_thread()->too_many, false); /* by now its user has not */
	return err;
}

static err_t make_and_start(
    const struct embryo *e, struct exec_args *args, const struct embryo_start *s, struct process **out)
{
	struct process *p;
	err_t err = make_child(e, &p);
	if (err)
		return err;
	err = start_embryo(p, e, args, *s);
	if (err)
		process_discard(p);
	else
		*out = p;
	return err;
}

err_t embryo_start(const struct embryo *e, const struct embryo_start *s, struct process **out)
{
	return make_and_start(e, NULL, s, out);
}

err_t embryo_exec(const struct embryo *e, struct exec_args *args, struct process **out)
{
	return make_and_start(e, args, &(struct embryo_start){0}, out);
}
