#pragma once
/*
 * endpoint.h - messages between threads: endpoints with two ends, and one-shot replies. See endpoint.c;
 * docs/objects.md has what programs see, and what becomes of whom when somebody dies.
 *
 * All calls are for the current thread and may sleep. `message` is the address of a struct quire_message in
 * its memory. Deadlines are monotonic; 0: only with somebody who waits already.
 */
#include "fs/file.h"
#include "object/desc.h"

/* Who calls: its descriptors, and the number that new ones stay below, which is asked for when it is
 * needed. */
struct endpoint_user {
	struct desc_table *table;
	int (*limit)(void);
};

/* Once at boot. is_alone: is t the only thread of its process, t being blocked or current? */
void endpoint_init(bool (*is_alone)(const struct thread *t));
/* The two ends, with a reference each. -ENOMEM. */
MUST_CHECK err_t endpoint_create(struct file **receiver, struct file **sender);
/* Answer the call that `reply`, which fd names, came with; fd is closed if that worked. -EPIPE: nobody
 * waits for the answer, and fd is closed as well. */
MUST_CHECK err_t endpoint_reply(struct file *reply, int fd, const struct endpoint_user *u, uaddr_t message);
/* The same, taking over the reference of `reply`, then endpoint_receive, unless the answer could not be
 * given; the caller gets the CPU if there is nothing to receive. */
MUST_CHECK err_t endpoint_reply_receive(struct file *reply, int fd, struct file *from,
    const struct endpoint_user *u, uaddr_t message, nsec_t deadline);
MUST_CHECK err_t endpoint_send(
    struct file *to, const struct endpoint_user *u, uaddr_t message, nsec_t deadline);
/* *received: somebody has received the message, so it must not be sent once more. */
MUST_CHECK err_t endpoint_call(
    struct file *to, const struct endpoint_user *u, uaddr_t message, nsec_t deadline, bool *received);
MUST_CHECK err_t endpoint_receive(
    struct file *from, const struct endpoint_user *u, uaddr_t message, nsec_t deadline);
/* Add bits to the word of notifications. -EPIPE: nobody will receive it. Does not sleep; from any context. */
MUST_CHECK err_t endpoint_notify(struct file *to, uint64_t bits);
