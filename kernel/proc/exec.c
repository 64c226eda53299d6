/*
 * exec.c - gives a process the memory that exec_load has built. Nothing after exec_load can fail but, for a
 * new process, the process and the thread themselves.
 */
#include "object/desc.h"
#include "proc/exec.h"
#include "proc/process.h"
#include "vm/space.h"

static void set_brk(struct vm_space *s, uaddr_t start)
{
	mutex_lock(&s->brk_lock);
	s->brk_start = s->brk = start;
	mutex_unlock(&s->brk_lock);
}

err_t process_exec(struct exec_args *args, struct trap_frame *frame)
{
	struct exec_image image;
	err_t err = exec_load(args, &image);
	if (err)
		return err;
	struct process *p = current_process();
	set_brk(image.space, image.brk_start);
	err = process_become_single(p);
	if (err) {
		space_put(image.space);
		return err;
	}
	user_thread_release_memory();
	desc_close_on_exec(p->descs);
	process_replace_space(p, image.space, image.name);
	signal_exec();
	user_state_reset();
	user_frame_start(frame, image.entry, image.sp);
	return 0;
}

static err_t start_first_thread(struct process *p, const struct exec_image *image)
{
	struct user_thread *ut;
	err_t err = user_thread_create(p, image->name, &ut);
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

err_t process_spawn(
    struct process *parent, struct exec_args *args, err_t (*prepare)(struct process *p), struct process **out)
{
	struct exec_image image;
	err_t err = exec_load(args, &image);
	if (err)
		return err;
	struct process *p;
	err = process_create(parent, image.space, image.name, 0, &p);
	if (err) {
		space_put(image.space);
		return err;
	}
	set_brk(image.space, image.brk_start);
	err = prepare ? prepare(p) : 0;
	if (!err)
		err = start_first_thread(p, &image);
	if (err)
		process_discard(p);
	else
		*out = p;
	return err;
}
