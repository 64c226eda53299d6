#pragma once
/*
 * system.h - system objects: see system.c; docs/objects.md has what programs see. What is made here is an
 * open file with one reference. All may sleep, but for what is said otherwise.
 */
#include "fs/file.h"
#include "quire/system.h"
#include "vm/space.h"

/* --- system.c --- */

/* The object that is good for everything. -ENOMEM. */
MUST_CHECK err_t system_create(struct file **out);
/* One for `scope` alone. -EACCES: `system` is not good for all of that. -ENOMEM. */
MUST_CHECK err_t system_carve(struct file *system, const struct quire_scope *scope, struct file **out);
/* Is it good for this interrupt? */
bool system_has_irq(struct file *system, unsigned gsi);
/* A VM object, to be mapped, of [start, start + len) of device memory. -EINVAL: not of whole pages, or beyond
 * what there can be; -EACCES: outside the scope; -EPERM: it is RAM; -EBUSY: the kernel uses it; -ENOMEM. */
MUST_CHECK err_t system_memory(
    struct file *system, paddr_t start, uint64_t len, unsigned flags, struct file **out);
/* Open ports to the current process. -EINVAL: no such ports; -EACCES: outside the scope; -EBUSY: the kernel
 * uses one; -ENOMEM. */
MUST_CHECK err_t system_ports(struct file *system, unsigned first, unsigned count);
/* The next record of the log, to `to` in the current thread's memory. -EAGAIN: there is none yet; -EFAULT,
 * and it is still the next. */
MUST_CHECK err_t system_log_read(struct file *system, uaddr_t to);

/* --- irq_line.c --- */

/* Take a line: nothing comes before it is acknowledged. -EINVAL: there is none; -EACCES: outside the scope;
 * -EBUSY: somebody has it; -ENOSPC: no free vector; -ENOMEM. */
MUST_CHECK err_t irq_line_create(struct file *system, unsigned line, unsigned flags, struct file **out);
/* From now on an interrupt notifies `to`, the sending end of an endpoint, of the bits `tag`, at once if it
 * has come already. -EBUSY: it notifies one; -EPIPE: nobody can receive; -EBADF: it has been closed
 * meanwhile. */
MUST_CHECK err_t irq_line_bind(struct file *irq, struct file *to, uint64_t tag);
/* It notifies nobody any more. */
void irq_line_unbind(struct file *irq);
/* The interrupt was seen to: the next may come. Does not sleep. -EBADF: it has been closed meanwhile. */
MUST_CHECK err_t irq_line_acknowledge(struct file *irq);
