/* native_endpoint.c - native calls that send and receive messages. */
#include "fs/endpoint.h"
#include "sys/files.h"

/* Read without the tree's lock: a thread that is blocked, or is making a call, starts no others; one that
 * ends meanwhile, or that another process starts here, is missed. */
static bool thread_is_alone(const struct thread *t)
{
	return __atomic_load_n(&t->process->nthreads, __ATOMIC_RELAXED) == 1;
}

void native_init(void)
{
	endpoint_init(thread_is_alone);
}

static struct endpoint_user current_user(void)
{
	return (struct endpoint_user){current_descs(), fd_limit};
}

/* Descriptors that the program was not told of. */
static void close_again(const struct endpoint_user *u, const int32_t *fds, struct file *const *ends)
{
	for (unsigned i = 0; i < 2; i++)
		desc_close_same(u->table, fds[i], &ends[i]->object);
}

int64_t sys_endpoint_create(uaddr_t to, uint32_t flags)
{
	struct endpoint_user u = current_user();
	struct file *ends[2];
	int32_t fds[2] = {-1, -1};
	if (flags)
		return -EINVAL;
	err_t err = endpoint_create(&ends[0], &ends[1]);
	if (err)
		return err;
	for (unsigned i = 0; i < 2 && !err; i++) {
		fds[i] = desc_install(u.table, &ends[i]->object, file_rights(load_relaxed(&ends[i]->flags)),
		    true, 0, fd_limit());
		err = fds[i] < 0 ? fds[i] : 0;
	}
	if (!err)
		err = copy_to_user(to, fds, sizeof(fds));
	if (err)
		close_again(&u, fds, ends);
	file_put(ends[0]);
	file_put(ends[1]);
	return err;
}

int64_t sys_endpoint_send(struct file *to, uaddr_t message, uint64_t deadline)
{
	struct endpoint_user u = current_user();
	return restartable(endpoint_send(to, &u, message, deadline));
}

int64_t sys_endpoint_receive(struct file *from, uaddr_t message, uint64_t deadline)
{
	struct endpoint_user u = current_user();
	return restartable(endpoint_receive(from, &u, message, deadline));
}

int64_t sys_endpoint_call(struct file *to, uaddr_t message, uint64_t deadline)
{
	struct endpoint_user u = current_user();
	bool received;
	err_t err = endpoint_call(to, &u, message, deadline, &received);
	return received ? err : restartable(err);
}

int64_t sys_endpoint_reply(struct file *reply, int32_t reply_fd, uaddr_t message)
{
	struct endpoint_user u = current_user();
	return endpoint_reply(reply, reply_fd, &u, message);
}

/* Only a message that was answered leads on: a server that is told of a bad answer still has the right to
 * give another. That the caller has gone is no business of its next. */
int64_t sys_endpoint_reply_receive(
    struct file *reply, int32_t reply_fd, struct file *from, uaddr_t message, uint64_t deadline)
{
	struct endpoint_user u = current_user();
	if (reply) /* -EINTR: the answer is not to be given again */
		return endpoint_reply_receive(reply, reply_fd, from, &u, message, deadline);
	return restartable(endpoint_receive(from, &u, message, deadline));
}

int64_t sys_endpoint_notify(struct file *to, uint64_t bits)
{
	return endpoint_notify(to, bits);
}
