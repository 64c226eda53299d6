/*
 * procfs_stack.c - /proc/PID/stack and /proc/PID/syscall: what a thread is doing, in the kernel and in its
 * program.
 *
 * A thread that runs on another CPU has no kernel stack to be shown, and its registers are those with which
 * it entered the kernel last, not longer ago than a tick of the timer.
 */
#include "kern/stack.h"
#include "lib/string.h"
#include "proc/procfs_priv.h"
#include "proc/procfs_stack.h"
#include "proc/user_stack.h"
#include "vm/space.h"

/* What is known of the thread, taken with the tree locked, which keeps it. */
struct thread_trace {
	bool there, running;
	unsigned depth;
	vaddr_t kernel[STACK_DEPTH_MAX];
	struct trap_frame frame;
};

static void take_trace(struct thread_trace *k, const struct proc_node *n)
{
	*k = (struct thread_trace){0};
	spin_lock(&process_tree_lock);
	const struct user_thread *ut = proc_thread_locked(n);
	if (ut) {
		const struct thread *t = &ut->thread;
		k->there = true;
		k->frame = *user_frame(t);
		k->running = t != current_thread() && load_relaxed(&t->state) == THREAD_RUNNING;
		k->depth = k->running ? 0 : thread_backtrace(t, k->kernel, STACK_DEPTH_MAX);
	}
	spin_unlock(&process_tree_lock);
}

static void show_kernel_stack(struct text *t, const struct thread_trace *k)
{
	for (unsigned i = 0; i < k->depth; i++) {
		uint64_t offset, size;
		const char *name = kernel_function(k->kernel[i], &offset, &size);
		if (name)
			text_printf(t, "[<0>] %s+%#llx/%#llx\n", name, (unsigned long long)offset,
			    (unsigned long long)size);
	}
}

static void show_user_stack(struct text *t, struct vm_space *s, const struct trap_frame *f)
{
	uaddr_t pcs[USER_STACK_MAX];
	char place[USER_PLACE_MAX];
	unsigned depth = user_backtrace(s, user_position_of(f), pcs, USER_STACK_MAX);
	for (unsigned i = 0; i < depth; i++)
		text_printf(t, "[<%llx>] %s\n", (unsigned long long)pcs[i],
		    user_describe_pc(s, pcs[i], i > 0, place));
}

void stack_show(struct text *t, struct vnode *v)
{
	const struct proc_node *n = proc_node_of(v);
	struct thread_trace k;
	if (!current_may_access(n->process, n->tid)) {
		t->err = -EPERM;
		return;
	}
	struct vm_space *s = process_space(n->process);
	if (!s)
		return;
	take_trace(&k, n);
	show_kernel_stack(t, &k);
	if (k.there)
		show_user_stack(t, s, &k.frame);
	space_put(s);
}

void stack_show_syscall(struct text *t, struct vnode *v)
{
	const struct proc_node *n = proc_node_of(v);
	uint64_t args[6];
	int64_t number;
	struct thread_trace k;
	if (!current_may_access(n->process, n->tid)) {
		t->err = -EPERM;
		return;
	}
	take_trace(&k, n);
	if (!k.there)
		return;
	if (k.running) {
		text_printf(t, "running\n");
		return;
	}
	if (user_frame_call(&k.frame, &number, args)) {
		text_printf(t, "%lld", (long long)number);
		for (unsigned i = 0; i < ARRAY_SIZE(args); i++)
			text_printf(t, " %#llx", (unsigned long long)args[i]);
	} else {
		text_printf(t, "-1");
	}
	text_printf(t, " %#llx %#llx\n", (unsigned long long)user_frame_sp(&k.frame),
	    (unsigned long long)user_frame_pc(&k.frame));
}
