/*
 * exec.c - gives a process the memory that exec_load has built.
 *
 * What can fail comes first. Ending the other threads is the point of no return for them: what fails after it
 * (a copy of a shared descriptor table) ends the process, as on Linux, unless there were none.
 */
#include "fs/file.h"
#include "lib/string.h"
#include "object/desc.h"
#include "proc/cred.h"
#include "proc/exec.h"
#include "proc/place.h"
#include "proc/proc_priv.h"
#include "vm/space.h"

static bool is_alone(struct process *p)
{
	spin_lock(&process_tree_lock);
	bool alone = p->nthreads == 1;
	spin_unlock(&process_tree_lock);
	return alone;
}

/* May others look into what the program does? Not if they may not even read it. */
static uint32_t choose_dumpable(const struct fs_context *c, const struct exec_image *image)
{
	bool readable = image->program && !vnode_permission(&c->cred, image->program->vnode, MAY_READ);
	return readable ? DUMP_USER : core_suid_dumpable();
}

/* Nothing fails from here on. */
static void commit(struct process *p, const struct fs_context *c, struct exec_image *image)
{
	uint32_t dumpable = choose_dumpable(c, image);
	user_thread_release_memory();
	desc_close_on_exec(current_descs());
	process_replace_space(p, image->space, image->name);
	process_set_program(image->program);
	store_relaxed(&p->core.dumpable, dumpable);
	current_set_cred(image->cred);
	process_note_rights(image->secure);
	store_relaxed(&p->personality, image->personality);
	signal_exec();
	guard_attach(current_user_thread());
	user_state_reset();
	if (image->frozen)
		place_thaw(image->frozen);
}

err_t process_exec(struct exec_args *args, const struct fs_context *c, struct trap_frame *frame)
{
	struct process *p = current_process();
	struct exec_image image;
	err_t err = exec_load(current_user_thread(), c, args, &image);
	if (err)
		return err;
	bool alone = is_alone(p);
	err = process_become_single(p);
	if (!err) {
		err = signal_unshare();
		if (!err)
			err = current_unshare_descs(); /* which close on exec here, and nowhere else */
		if (err && !alone)
			process_begin_exit(p, wait_status_killed(SIGNAL_SEGV));
	}
	if (err) {
		exec_image_drop(&image);
		return err;
	}
	commit(p, c, &image);
	user_frame_start(frame, image.entry, image.sp);
	return 0;
}

/* --- the first process --- */

/* ut, the first thread of a new process, gets what the image has. */
static void give_image(struct user_thread *ut, const struct exec_image *image)
{
	struct process *p = ut->thread.process;
	struct cred *old = p->cred; /* which both have */
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

/* Build the memory of args' program as ut sees its path. */
static err_t load_for(struct user_thread *ut, struct exec_args *args, struct exec_image *image)
{
	struct fs_view view;
	fs_view_get(ut, &view);
	err_t err = exec_args_open(args, &view.context, NULL, args->path, 0);
	if (!err)
		err = exec_load(ut, &view.context, args, image);
	fs_view_put(&view);
	return err;
}

static err_t start_program(struct user_thread *ut, struct exec_args *args,
    err_t (*prepare)(struct user_thread *ut, void *arg), void *arg)
{
	struct exec_image image;
	err_t err = load_for(ut, args, &image);
	if (err)
		return err;
	give_image(ut, &image);
	err = prepare ? prepare(ut, arg) : 0;
	if (err)
		return err;
	user_frame_start(&ut->start, image.entry, image.sp);
	err = user_state_create(&ut->thread);
	return err ? err : user_thread_launch(ut);
}

err_t process_spawn(struct process *parent, struct exec_args *args,
    err_t (*prepare)(struct user_thread *ut, void *arg), void *arg, struct process **out)
{
	struct process *p;
	struct user_thread *ut;
	const struct process_wish wish = {.exit_signal = SIGNAL_CHLD};
	const char *slash = strrchr(args->path, '/');
	err_t err = process_create(parent, NULL, slash ? slash + 1 : args->path, &wish, &p);
	if (err)
		return err;
	err = user_thread_create(p, p->name, 0, &ut);
	if (!err) {
		err = user_thread_first_files(ut);
		if (!err)
			err = start_program(ut, args, prepare, arg);
		if (err)
			user_thread_free(ut);
	}
	if (err)
		process_discard(p);
	else
		*out = p;
	return err;
}
