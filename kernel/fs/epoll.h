#pragma once
/* epoll.h - a file that watches many files. See epoll.c. */
#include "fs/poll.h"

#define EPOLL_EXCLUSIVE (1U << 28)
#define EPOLL_WAKEUP    (1U << 29)
#define EPOLL_ONESHOT   (1U << 30)
#define EPOLL_EDGE      (1U << 31)
#define EPOLL_FLAGS     (EPOLL_EXCLUSIVE | EPOLL_WAKEUP | EPOLL_ONESHOT | EPOLL_EDGE)

enum epoll_operation { EPOLL_ADD = 1, EPOLL_DELETE = 2, EPOLL_MODIFY = 3 };

/* struct epoll_event of the ABI. */
struct epoll_event {
	uint32_t events;
	uint64_t data;
} PACKED;

/* epoll_create1(2). -ENOMEM. */
MUST_CHECK err_t epoll_create_file(struct file **out);
static inline bool file_is_epoll(const struct file *f);
/* epoll_ctl(2): `f` is what descriptor fd names. -EEXIST, -ENOENT, -EPERM (cannot be waited for), -EINVAL,
 * -ELOOP, -ENOMEM. May sleep. */
MUST_CHECK err_t epoll_change(
    struct file *f, enum epoll_operation op, struct file *target, int fd, const struct epoll_event *event);
/* epoll_wait(2) into user memory: number of events, 0 at the monotonic deadline (0: do not sleep), -EINTR,
 * -EFAULT. */
MUST_CHECK int64_t epoll_wait_events(struct file *ep, uaddr_t events, int max, nsec_t deadline);

extern const struct file_ops epoll_file_ops;
static inline bool file_is_epoll(const struct file *f)
{
	return f->ops == &epoll_file_ops;
}
