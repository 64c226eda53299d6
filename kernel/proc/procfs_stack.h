#pragma once
/* procfs_stack.h - the files of /proc/PID that tell what a thread is doing. */
#include "fs/text.h"

void stack_show(struct text *t, struct vnode *v);
void stack_show_syscall(struct text *t, struct vnode *v);
