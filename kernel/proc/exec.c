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

uint32_t exec_dumpable(const struct fs_context *c, const struct exec_image *image)
{
	bool readable = image->program && !vnode_permission(&c->cred, image->program->vnode, MAY_READ);
	return readable ? DUMP_USER : core_suid_dumpable();
}

/* Nothing fails from here on. */
static void commit(struct process *p, const struct fs_context *c, struct exec_image *image)
{
	uint32_t dumpable = exec_dumpable(c, image);
	user_thread_release_memory();
	desc_close_on_exec(current_descs());
	if (image->secure || dumpable != DUMP_USER)
		fetch_add_relaxed(&p->gains, 1); /* the tree's lock, where space is set, orders it */
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
	process_end_exec(p, true);
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
		if (err)
			process_end_exec(p, false);
	}
	if (err) {
		exec_image_drop(&image);
		return err;
	}
	commit(p, c, &image);
	user_frame_start(frame, image.entry, image.sp);
	return 0;
}
