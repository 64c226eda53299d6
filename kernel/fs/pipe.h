#pragma once
/* pipe.h - pipes, fifos and eventfd. See pipe.c, pipe_event.c. */
#include "fs/file.h"

enum { PIPE_ATOMIC = 4096, PIPE_DEFAULT_SIZE = 65536, PIPE_MAX_SIZE = 1 << 20 };
enum {
	CONTROL_SETPIPE_SZ = 1031,
	CONTROL_GETPIPE_SZ = 1032,
	CONTROL_ADD_SEALS = 1033,
	CONTROL_GET_SEALS = 1034
}; /* the ABI's F_* */

void pipe_init(void);
/* pipe2(2): flags of FILE_NONBLOCK, FILE_DIRECT. Both with one reference. -ENOMEM. */
MUST_CHECK err_t pipe_create(unsigned flags, struct file **reader, struct file **writer);
/* A fifo is opened: waits for the other side as POSIX says. -EINTR, -ENXIO (writing, O_NONBLOCK, no reader).
 * For file_open.c. */
MUST_CHECK err_t fifo_open(struct file *f);
/* f, opened on the vnode of a pipe, becomes one more end of it, by its flags. -ENOMEM. */
MUST_CHECK err_t pipe_open_again(struct file *f);
/* Bytes that can be read now (FIONREAD); -EINVAL: no pipe. */
MUST_CHECK int64_t pipe_available(struct file *f);

/* eventfd2(2): flags of FILE_NONBLOCK; semaphore: EFD_SEMAPHORE. */
MUST_CHECK err_t eventfd_create(uint32_t value, bool semaphore, unsigned flags, struct file **out);
