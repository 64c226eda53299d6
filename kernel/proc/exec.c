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

/* Descriptors close on exec in this process only, not where they are shared by CLONE_FILES. */
static err_t unshare_descs(struct process *p)
{
	struct desc_table *t;
	if (!desc_table_is_shared(p->descs))
		return 0;
	err_t err = desc_table_clone(p->descs, &t);
	if (!err)
		process_set_descs(t);
	return err;
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
	desc_close_on_exec(p->descs);
	if (image->secure || dumpable != DUMP_USER)
		fetch_add_relaxed(&p->gains, 1); /* the tree's lock, where space is set, orders it */
	process_replace_space(p, image->space, image->name);
	process_set_program(image->program);
	store_relaxed(&p->core.dumpable, dumpable);
	process_set_cred(image->cred);
	process_note_rights(image->secure);
	store_relaxed(&p->personality, image->personality);
	signal_exec();
	guard_attach(current_user_thread());
	user_state_reset();
}

err_t process_exec(struct exec_args *args, const struct fs_context *c, struct trap_frame *frame)
{
	struct process *p = current_process();
	struct exec_image image;
	err_t err = exec_load(p, c, args, &image);
	if (err)
		return err;
	bool alone = is_alone(p);
	err = process_become_single(p);
	if (!err) {
		err = signal_unshare();
		if (!err)
			err = unshare_descs(p);
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

/* p, new and without threads, gets what the image has. */
static void give_image(struct process *p, const struct exec_image *image)
{
	spin_lock(&process_tree_lock);
	p->space = image->space;
	spin_unlock(&process_tree_lock);
	spin_lock(&p->lock);
	struct cred *old = p->cred;
	p->program = image->program;
	p->cred = image->cred;
	spin_unlock(&p->lock);
	cred_put(old);
}

static err_t start_first_thread(struct process *p, const struct exec_image *image)
{
	struct user_thread *ut;
	err_t err = user_thread_create(p, image->name, 0, &ut);
	if (err)
		return err;
	user_frame_start(&ut->start, image->entry, image->sp);
	err = user_state_create(&ut->thread);
	if (!err)
		err = user_thread_launch(ut);
	if (err)
		user_thread_free(ut);
	return err;
}

/* Build the memory of args' program as p sees its path. */
static err_t load_for(struct process *p, struct exec_args *args, struct exec_image *image)
{
	struct fs_view view;
	fs_view_get(p, &view);
	err_t err = exec_args_open(args, &view.context, NULL, args->path, 0);
	if (!err)
		err = exec_load(p, &view.context, args, image);
	fs_view_put(&view);
	return err;
}

err_t process_spawn(struct process *parent, struct exec_args *args,
    err_t (*prepare)(struct process *p, void *arg), void *arg, struct process **out)
{
	struct exec_image image;
	struct process *p;
	const struct process_wish wish = {.exit_signal = SIGNAL_CHLD};
	const char *slash = strrchr(args->path, '/');
	err_t err = process_create(parent, NULL, slash ? slash + 1 : args->path, &wish, &p);
	if (err)
		return err;
	err = load_for(p, args, &image);
	if (!err) {
		give_image(p, &image);
		err = prepare ? prepare(p, arg) : 0;
	}
	if (!err)
		err = start_first_thread(p, &image);
	if (err)
		process_discard(p);
	else
		*out = p;
	return err;
}
