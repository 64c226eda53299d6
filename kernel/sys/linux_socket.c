/*
 * linux_socket.c - sockets. The machine has no network: the one family is AF_UNIX.
 */
#include "arch/clock.h"
#include "fs/unix_socket.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "sys/files.h"
#include "sys/times.h"

enum { /* the ABI's */
	AF_UNSPEC = 0,
	AF_UNIX = 1,
	SOCKET_RAW = 3,
	SOCKET_TYPES = 11, /* first number that is none */
	SOCKET_TYPE_MASK = 15,
	NAME_SIZE_MAX = 128,
	NO_SUCH_PROTOCOL = 93, /* EPROTONOSUPPORT, ESOCKTNOSUPPORT */
	NO_SUCH_TYPE = 94,
};

struct sys_address {
	uint16_t family;
	char path[SOCKET_PATH_MAX];
};

static void own_ids(struct socket_ids *ids)
{
	const struct cred *c = current_cred();
	*ids = (struct socket_ids){current_process()->pid, c->euid, c->egid};
}

static err_t fd_socket(int fd, uint32_t rights, struct file **out)
{
	err_t err = fd_file_for(fd, rights, out);
	if (err || file_is_socket(*out))
		return err;
	file_put(*out);
	return -ENOTSOCK;
}

/* --- names --- */

/* What the program gave as a name. *family: AF_UNSPEC (connect: nobody) is no error. len 2: no name. */
static err_t fetch_name(uaddr_t from, int32_t len, struct socket_name *name, uint16_t *family)
{
	struct {
		struct sys_address a;
		char rest[NAME_SIZE_MAX];
	} in = {.rest = ""};
	if (len < 0 || len > NAME_SIZE_MAX)
		return -EINVAL;
	if (copy_from_user(&in, from, (size_t)len))
		return -EFAULT;
	*name = (struct socket_name){.len = 0};
	*family = in.a.family;
	if (len < (int32_t)sizeof(in.a.family) || len > (int32_t)sizeof(in.a))
		return -EINVAL;
	name->len = (unsigned)len - sizeof(in.a.family);
	memcpy(name->path, in.a.path, name->len);
	if (name->len && name->path[0])
		name->len = (unsigned)strlen(name->path) + 1;
	return 0;
}

/* A name that is one, of the family. */
static err_t fetch_target(uaddr_t from, int32_t len, struct socket_name *name)
{
	uint16_t family;
	err_t err = fetch_name(from, len, name, &family);
	return err ? err : family != AF_UNIX || !name->len ? -EINVAL : 0;
}

/* Tell a name of `whole` bytes, cut to what the program has room for; that length goes to *len_at. to 0:
 * nobody wants it. */
static err_t put_address(uaddr_t to, uaddr_t len_at, const struct socket_name *name, int32_t whole)
{
	struct sys_address a = {.family = AF_UNIX};
	int32_t room;
	if (!to)
		return 0;
	if (copy_from_user(&room, len_at, sizeof(room)))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	memcpy(a.path, name->path, MIN(name->len, (unsigned)SOCKET_PATH_MAX));
	size_t n = (size_t)MIN(room, MIN(whole, (int32_t)sizeof(a)));
	if (copy_to_user(to, &a, n))
		return -EFAULT;
	return copy_to_user(len_at, &whole, sizeof(whole));
}

static err_t put_name(uaddr_t to, uaddr_t len_at, const struct socket_name *name)
{
	return put_address(to, len_at, name, (int32_t)(sizeof(uint16_t) + name->len));
}

/* Who sent a message: one without a name has not even a family. */
static err_t put_sender(uaddr_t to, uaddr_t len_at, const struct socket_name *name)
{
	return name->len ? put_name(to, len_at, name) : put_address(to, len_at, name, 0);
}

/* --- making --- */

static err_t check_type(int family, int type, int protocol, enum socket_type *out)
{
	if (type & ~(SOCKET_TYPE_MASK | FILE_CLOEXEC | FILE_NONBLOCK))
		return -EINVAL;
	if (family != AF_UNIX)
		return -EAFNOSUPPORT;
	if ((type & SOCKET_TYPE_MASK) >= SOCKET_TYPES)
		return -EINVAL;
	if (protocol && protocol != AF_UNIX)
		return -NO_SUCH_PROTOCOL;
	*out = type & SOCKET_TYPE_MASK;
	if ((type & SOCKET_TYPE_MASK) == SOCKET_RAW)
		*out = SOCKET_DGRAM;
	return *out == SOCKET_STREAM || *out == SOCKET_DGRAM || *out == SOCKET_SEQPACKET ? 0 : -NO_SUCH_TYPE;
}

int64_t sys_socket(int32_t family, int32_t type, int32_t protocol)
{
	enum socket_type kind;
	struct socket_ids ids;
	struct file *f;
	err_t err = check_type(family, type, protocol, &kind);
	if (err)
		return err;
	own_ids(&ids);
	err = socket_create(kind, (unsigned)type, &ids, &f);
	return err ? err : fd_install(f, type & FILE_CLOEXEC);
}

static void close_again(int64_t fd)
{
	if (fd >= 0)
		(void)!desc_close(current_descs(), (int)fd);
}

int64_t sys_socketpair(int32_t family, int32_t type, int32_t protocol, uaddr_t fds)
{
	enum socket_type kind;
	struct socket_ids ids;
	struct file *f[2];
	err_t err = check_type(family, type, protocol, &kind);
	if (err)
		return err;
	own_ids(&ids);
	err = socket_pair(kind, (unsigned)type, &ids, f);
	if (err)
		return err;
	int64_t first = fd_install(f[0], type & FILE_CLOEXEC), second = fd_install(f[1], type & FILE_CLOEXEC);
	int32_t both[2] = {(int32_t)first, (int32_t)second};
	err = first < 0 ? (err_t)first : second < 0 ? (err_t)second : copy_to_user(fds, both, sizeof(both));
	if (err) {
		close_again(first);
		close_again(second);
	}
	return err;
}

/* --- connecting --- */

int64_t sys_bind(int32_t fd, uaddr_t at, int32_t len)
{
	struct socket_name name;
	struct fs_view view;
	struct file *f;
	uint16_t family;
	err_t err = fd_socket(fd, RIGHT_MANAGE, &f);
	if (err)
		return err;
	err = fetch_name(at, len, &name, &family);
	if (!err && family != AF_UNIX)
		err = -EINVAL;
	if (!err) {
		fs_view_get(current_user_thread(), &view);
		err = socket_bind(f, &view.context, &name);
		fs_view_put(&view);
	}
	file_put(f);
	return err;
}

int64_t sys_listen(int32_t fd, int32_t backlog)
{
	struct socket_ids ids;
	struct file *f;
	err_t err = fd_socket(fd, RIGHT_MANAGE, &f);
	if (err)
		return err;
	own_ids(&ids);
	err = socket_listen(f, backlog, &ids);
	file_put(f);
	return err;
}

static err_t connect_to(struct file *f, const struct socket_name *name, uint16_t family)
{
	struct socket_ids ids;
	struct fs_view view;
	if (family == AF_UNSPEC)
		return socket_disconnect(f);
	if (family != AF_UNIX || !name->len)
		return -EINVAL;
	own_ids(&ids);
	fs_view_get(current_user_thread(), &view);
	err_t err = socket_connect(f, &view.context, name, &ids);
	fs_view_put(&view);
	return err;
}

int64_t sys_connect(int32_t fd, uaddr_t at, int32_t len)
{
	struct socket_name name;
	struct file *f;
	uint16_t family;
	err_t err = fd_socket(fd, RIGHT_MANAGE, &f);
	if (err)
		return err;
	err = fetch_name(at, len, &name, &family);
	if (!err)
		err = connect_to(f, &name, family);
	file_put(f);
	return restartable(err);
}

int64_t sys_accept4(int32_t fd, uaddr_t at, uaddr_t len, int32_t flags)
{
	struct socket_name name = {.len = 0};
	struct file *f, *new;
	if (flags & ~(FILE_CLOEXEC | FILE_NONBLOCK))
		return -EINVAL;
	err_t err = fd_socket(fd, RIGHT_READ, &f);
	if (err)
		return err;
	err = socket_accept(f, (unsigned)flags, &new);
	file_put(f);
	if (err)
		return restartable(err);
	err = at ? socket_get_name(new, true, &name) : 0;
	if (err == -ENOTCONN) /* its peer is gone */
		err = 0;
	if (!err)
		err = put_name(at, len, &name);
	if (err) {
		file_put(new);
		return err;
	}
	return fd_install(new, flags & FILE_CLOEXEC);
}

int64_t sys_accept(int32_t fd, uaddr_t at, uaddr_t len)
{
	return sys_accept4(fd, at, len, 0);
}

int64_t sys_shutdown(int32_t fd, int32_t how)
{
	struct file *f;
	err_t err = fd_socket(fd, RIGHT_MANAGE, &f);
	if (err)
		return err;
	err = socket_shutdown(f, how);
	file_put(f);
	return err;
}

static int64_t tell_name(int fd, bool peer, uaddr_t at, uaddr_t len)
{
	struct socket_name name;
	struct file *f;
	err_t err = fd_socket(fd, RIGHT_INSPECT, &f);
	if (err)
		return err;
	err = socket_get_name(f, peer, &name);
	file_put(f);
	if (!err && !at)
		err = -EFAULT;
	return err ? err : put_name(at, len, &name);
}

int64_t sys_getsockname(int32_t fd, uaddr_t at, uaddr_t len)
{
	return tell_name(fd, false, at, len);
}

int64_t sys_getpeername(int32_t fd, uaddr_t at, uaddr_t len)
{
	return tell_name(fd, true, at, len);
}

/* --- messages --- */

enum { SOL_SOCKET = 1, SCM_RIGHTS = 1, SCM_CREDENTIALS = 2, CONTROL_MAX = 20480 };

enum { SOCKET_WAITFORONE = 0x10000, SOCKET_CMSG_CLOEXEC = 0x40000000 };
#define SOCKET_CMSG_COMPAT 0x80000000U

struct sys_message {
	uaddr_t name;
	int32_t name_len, pad;
	uaddr_t iov;
	uint64_t iov_len;
	uaddr_t control;
	uint64_t control_len;
	uint32_t flags, pad2;
};

struct sys_control {
	uint64_t len; /* with this head */
	int32_t level, type;
};

static size_t control_space(size_t len)
{
	return ALIGN_UP(len, (size_t)8);
}

static err_t take_files(struct socket_extra *e, const int32_t *fds, size_t n)
{
	if (n > SOCKET_FILES_MAX || e->nfiles + n > SOCKET_FILES_MAX)
		return -EINVAL;
	if (!n)
		return 0;
	if (!e->files)
		e->files = kmalloc(SOCKET_FILES_MAX * sizeof(*e->files));
	if (!e->files)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		int32_t fd;
		memcpy(&fd, fds + i, sizeof(fd));
		err_t err = parcel_make(current_descs(), fd, &e->files[e->nfiles]);
		if (err)
			return err;
		e->nfiles++;
	}
	return 0;
}

/* Nobody passes for somebody else without the right to become that. */
static bool may_pass_for(const struct cred *c, const struct socket_ids *ids)
{
	bool pid = ids->pid == current_process()->pid || cap_set_has(c->effective, CAP_SYS_ADMIN);
	bool uid = ids->uid == c->uid || ids->uid == c->euid || ids->uid == c->suid ||
		   cap_set_has(c->effective, CAP_SETUID);
	bool gid = ids->gid == c->gid || ids->gid == c->egid || ids->gid == c->sgid ||
		   cap_set_has(c->effective, CAP_SETGID);
	return pid && uid && gid;
}

static err_t take_ids(struct socket_extra *e, const struct socket_ids *ids)
{
	const struct cred *c = current_cred();
	bool may = may_pass_for(c, ids);
	e->ids = *ids;
	return may ? 0 : -EPERM;
}

static err_t take_control(struct socket_extra *e, const uint8_t *at, const struct sys_control *head)
{
	struct socket_ids ids;
	size_t n = head->len - sizeof(*head);
	if (head->level != SOL_SOCKET)
		return 0;
	if (head->type == SCM_RIGHTS)
		return take_files(e, (const int32_t *)(at + sizeof(*head)), n / sizeof(int32_t));
	if (head->type != SCM_CREDENTIALS || n != sizeof(ids))
		return -EINVAL;
	memcpy(&ids, at + sizeof(*head), sizeof(ids));
	return take_ids(e, &ids);
}

static err_t parse_control(struct socket_extra *e, const uint8_t *buf, size_t len)
{
	struct sys_control head;
	err_t err = 0;
	for (size_t at = 0; !err && at + sizeof(head) <= len; at += control_space(head.len)) {
		memcpy(&head, buf + at, sizeof(head));
		if (head.len < sizeof(head) || head.len > len - at)
			return -EINVAL;
		err = take_control(e, buf + at, &head);
	}
	return err;
}

static err_t fetch_control(struct socket_extra *e, uaddr_t from, uint64_t len)
{
	if (!len)
		return 0;
	if (len > CONTROL_MAX)
		return -ENOBUFS;
	uint8_t *buf = kmalloc(len);
	if (!buf)
		return -ENOMEM;
	err_t err = copy_from_user(buf, from, len);
	if (!err)
		err = parse_control(e, buf, len);
	kfree(buf);
	return err;
}

/* The name that a message goes to. Only datagrams look at it: others fail because there is one, or do not
 * care. */
static err_t fetch_receiver(struct file *f, uaddr_t at, int32_t len, struct socket_extra *e)
{
	struct socket_options o;
	uint16_t family;
	e->has_name = true;
	socket_get_options(f, &o);
	if (o.type == SOCKET_DGRAM)
		return fetch_target(at, len, &e->name);
	err_t err = fetch_name(at, len, &e->name, &family);
	return err == -EINVAL && len >= 0 && len <= NAME_SIZE_MAX ? 0 : err;
}

static int64_t send_with(struct file *f, struct uio *u, struct socket_extra *e, uint32_t flags)
{
	struct fs_view view;
	fs_view_get(current_user_thread(), &view);
	int64_t done = socket_send(f, &view.context, u, e, flags);
	fs_view_put(&view);
	if (done == -EPIPE && !(flags & SOCKET_NOSIGNAL))
		signal_raise(SIGNAL_PIPE);
	return restartable(done);
}

int64_t sys_sendto(int32_t fd, uaddr_t buf, uint64_t count, uint32_t flags, uaddr_t name, int32_t len)
{
	struct socket_extra e = {.nfiles = 0};
	struct uio_segment seg = {buf, MIN(count, (uint64_t)UIO_MAX_BYTES)};
	struct uio u;
	struct file *f;
	if (!user_range_is_valid(buf, seg.len))
		return -EFAULT;
	err_t err = fd_socket(fd, RIGHT_WRITE, &f);
	if (err)
		return err;
	own_ids(&e.ids);
	if (name)
		err = fetch_receiver(f, name, len, &e);
	int64_t done = err;
	if (!err) {
		uio_init_user(&u, &seg, 1);
		done = send_with(f, &u, &e, flags);
	}
	file_put(f);
	return done;
}

/* *all: whether nothing was left. */
static int64_t send_message(struct file *f, const struct sys_message *m, uint32_t flags, bool *all)
{
	struct socket_extra e = {.nfiles = 0};
	struct uio_segment few[UIO_FEW], *segs;
	struct uio u;
	if (m->iov_len > UIO_MAX_SEGMENTS)
		return -EMSGSIZE;
	err_t err = m->name && m->name_len ? fetch_receiver(f, m->name, m->name_len, &e) : 0;
	if (!err)
		err = iov_fetch(m->iov, m->iov_len, few, &segs, &u);
	if (err)
		return err;
	own_ids(&e.ids);
	err = fetch_control(&e, m->control, m->control_len);
	int64_t done = err;
	if (!err)
		done = send_with(f, &u, &e, flags);
	else if (e.files)
		socket_drop_files(e.files, e.nfiles);
	*all = !u.left;
	if (segs != few)
		kfree(segs);
	return done;
}

int64_t sys_sendmsg(int32_t fd, uaddr_t message, uint32_t flags)
{
	struct sys_message m;
	struct file *f;
	bool all;
	err_t err = fd_socket(fd, RIGHT_WRITE, &f);
	if (err)
		return err;
	int64_t done = copy_from_user(&m, message, sizeof(m)) ? -EFAULT : send_message(f, &m, flags, &all);
	file_put(f);
	return done;
}

/* struct mmsghdr of the ABI. */
struct sys_message_of_many {
	struct sys_message message;
	uint32_t len, pad;
};

/* One of many: `at` gets how much was sent. */
static int64_t send_one_of_many(struct file *f, uaddr_t at, uint32_t flags, bool *all)
{
	struct sys_message m;
	if (copy_from_user(&m, at, sizeof(m)))
		return -EFAULT;
	int64_t done = send_message(f, &m, flags, all);
	uint32_t len = (uint32_t)done;
	if (done >= 0 && copy_to_user(at + offsetof(struct sys_message_of_many, len), &len, sizeof(len)))
		return -EFAULT;
	return done;
}

int64_t sys_sendmmsg(int32_t fd, uaddr_t messages, uint32_t count, uint32_t flags)
{
	struct file *f;
	uint32_t n = 0;
	bool all = true;
	if (flags & SOCKET_CMSG_COMPAT)
		return -EINVAL;
	count = MIN(count, (uint32_t)UIO_MAX_SEGMENTS);
	err_t err = fd_socket(fd, RIGHT_WRITE, &f);
	if (err)
		return err;
	int64_t done = 0;
	while (n < count && all) {
		done = send_one_of_many(f, messages + n * sizeof(struct sys_message_of_many), flags, &all);
		if (done < 0)
			break;
		n++;
	}
	file_put(f);
	return n ? (int64_t)n : done;
}

int64_t sys_recvfrom(int32_t fd, uaddr_t buf, uint64_t count, uint32_t flags, uaddr_t name, uaddr_t len)
{
	struct socket_extra e = {.nfiles = 0};
	struct uio_segment seg = {buf, MIN(count, (uint64_t)UIO_MAX_BYTES)};
	struct uio u;
	struct file *f;
	if (!user_range_is_valid(buf, seg.len))
		return -EFAULT;
	err_t err = fd_socket(fd, RIGHT_READ, &f);
	if (err)
		return err;
	uio_init_user(&u, &seg, 1);
	int64_t done = socket_receive(f, &u, &e, flags);
	file_put(f);
	if (e.files)
		socket_drop_files(e.files, e.nfiles);
	err = done < 0 ? 0 : put_sender(name, len, &e.name);
	return err ? err : restartable(done);
}

/* --- what comes with a message --- */

/* One control record; false: there is no room for all of it. */
static err_t put_control(struct sys_message *m, size_t *used, int type, const void *data, size_t len)
{
	struct sys_control head = {sizeof(head) + len, SOL_SOCKET, type};
	size_t room = m->control_len - *used;
	if (room < sizeof(head)) {
		m->flags |= SOCKET_CTRUNC;
		return 0;
	}
	if (room < head.len) {
		m->flags |= SOCKET_CTRUNC;
		head.len = room;
	}
	if (copy_to_user(m->control + *used, &head, sizeof(head)) ||
	    copy_to_user(m->control + *used + sizeof(head), data, head.len - sizeof(head)))
		return -EFAULT;
	*used += MIN(control_space(head.len), room);
	return 0;
}

/* Descriptors for as many files as there is room for; the others are let go. */
static err_t put_files(struct sys_message *m, size_t *used, struct socket_extra *e, bool cloexec)
{
	int32_t fds[SOCKET_FILES_MAX];
	size_t room = m->control_len - *used, n = 0;
	size_t most =
	    room > sizeof(struct sys_control) ? (room - sizeof(struct sys_control)) / sizeof(fds[0]) : 0;
	while (n < MIN((size_t)e->nfiles, most)) {
		int fd = parcel_install(&e->files[n], current_descs(), cloexec, fd_limit());
		if (fd < 0)
			break;
		fds[n++] = fd;
	}
	if (n < e->nfiles)
		m->flags |= SOCKET_CTRUNC;
	return n ? put_control(m, used, SCM_RIGHTS, fds, n * sizeof(fds[0])) : 0;
}

static err_t put_extras(struct sys_message *m, struct socket_extra *e, uint32_t flags)
{
	size_t used = 0;
	err_t err = e->has_ids ? put_control(m, &used, SCM_CREDENTIALS, &e->ids, sizeof(e->ids)) : 0;
	if (!err && e->nfiles)
		err = put_files(m, &used, e, flags & SOCKET_CMSG_CLOEXEC);
	m->control_len = used;
	return err;
}

static int64_t receive_message(struct file *f, uaddr_t at, struct sys_message *m, uint32_t flags)
{
	struct socket_extra e = {.nfiles = 0};
	struct uio_segment few[UIO_FEW], *segs;
	struct uio u;
	if (m->iov_len > UIO_MAX_SEGMENTS)
		return -EMSGSIZE;
	err_t err = iov_fetch(m->iov, m->iov_len, few, &segs, &u);
	if (err)
		return err;
	int64_t done = socket_receive(f, &u, &e, flags);
	if (segs != few)
		kfree(segs);
	if (done >= 0) {
		m->flags = e.flags | (flags & SOCKET_CMSG_CLOEXEC);
		err = put_sender(m->name, at + offsetof(struct sys_message, name_len), &e.name);
		if (!err)
			err = put_extras(m, &e, flags);
	}
	if (e.files)
		socket_drop_files(e.files, e.nfiles);
	if (done >= 0 && !err &&
	    (copy_to_user(at + offsetof(struct sys_message, control_len), &m->control_len, 8) ||
		copy_to_user(at + offsetof(struct sys_message, flags), &m->flags, sizeof(m->flags))))
		err = -EFAULT;
	return err ? err : restartable(done);
}

int64_t sys_recvmsg(int32_t fd, uaddr_t message, uint32_t flags)
{
	struct sys_message m;
	struct file *f;
	err_t err = fd_socket(fd, RIGHT_READ, &f);
	if (err)
		return err;
	int64_t done =
	    copy_from_user(&m, message, sizeof(m)) ? -EFAULT : receive_message(f, message, &m, flags);
	file_put(f);
	return done;
}

static int64_t receive_one_of_many(struct file *f, uaddr_t at, uint32_t flags)
{
	struct sys_message m;
	if (copy_from_user(&m, at, sizeof(m)))
		return -EFAULT;
	int64_t done = receive_message(f, at, &m, flags);
	uint32_t len = (uint32_t)done;
	if (done >= 0 && copy_to_user(at + offsetof(struct sys_message_of_many, len), &len, sizeof(len)))
		return -EFAULT;
	return done;
}

/* Receive messages until `count`, an error or the deadline, which is looked at between messages only, as on
 * Linux. *n: how many. */
static int64_t receive_many(
    struct file *f, uaddr_t messages, uint32_t count, uint32_t flags, nsec_t deadline, uint32_t *n)
{
	int64_t done = -socket_take_error(f);
	*n = 0;
	while (done >= 0 && *n < count) {
		done = receive_one_of_many(f, messages + *n * sizeof(struct sys_message_of_many),
		    flags & ~(uint32_t)SOCKET_WAITFORONE);
		if (done < 0)
			break;
		(*n)++;
		if (flags & SOCKET_WAITFORONE)
			flags |= SOCKET_DONTWAIT;
		if (deadline != NSEC_NEVER && clock_now() >= deadline)
			break;
	}
	if (done < 0 && *n && done != -EAGAIN && done != -ERESTARTSYS)
		socket_note_error(f, (int)-done);
	return done;
}

int64_t sys_recvmmsg(int32_t fd, uaddr_t messages, uint32_t count, uint32_t flags, uaddr_t timeout)
{
	struct sys_timespec ts;
	struct file *f;
	uint32_t n;
	nsec_t span, deadline = NSEC_NEVER;
	if (flags & SOCKET_CMSG_COMPAT)
		return -EINVAL;
	if (timeout && copy_from_user(&ts, timeout, sizeof(ts)))
		return -EFAULT;
	if (timeout) {
		err_t bad = timespec_to_time(&ts, &span);
		if (bad)
			return bad;
		nsec_t now = clock_now();
		deadline = span < NSEC_NEVER - now ? now + span : NSEC_NEVER - 1;
	}
	err_t err = fd_socket(fd, RIGHT_READ, &f);
	if (err)
		return err;
	int64_t done = receive_many(f, messages, count, flags, deadline, &n);
	file_put(f);
	if (!n)
		return done;
	nsec_t now = clock_now();
	if (timeout && put_timespec(timeout, deadline > now ? deadline - now : 0))
		return -EFAULT;
	return n;
}

/* --- options --- */

enum socket_option { /* the ABI's SO_* */
	SO_DEBUG = 1,
	SO_REUSEADDR = 2,
	SO_TYPE = 3,
	SO_ERROR = 4,
	SO_BROADCAST = 6,
	SO_SNDBUF = 7,
	SO_RCVBUF = 8,
	SO_KEEPALIVE = 9,
	SO_LINGER = 13,
	SO_PASSCRED = 16,
	SO_PEERCRED = 17,
	SO_RCVTIMEO = 20,
	SO_SNDTIMEO = 21,
	SO_ACCEPTCONN = 30,
	SO_PROTOCOL = 38,
	SO_DOMAIN = 39,
	BUFFER_SIZE = 212992,
};

struct sys_timeval {
	int64_t sec, usec;
};

static err_t fetch_timeout(uaddr_t from, int32_t len, nsec_t *out)
{
	struct sys_timeval t;
	if (len < (int32_t)sizeof(t))
		return -EINVAL;
	if (copy_from_user(&t, from, sizeof(t)))
		return -EFAULT;
	if (t.usec < 0 || t.usec >= 1000000)
		return -EDOM;
	if (t.sec < 0) {
		*out = 1; /* no waiting at all */
		return 0;
	}
	*out = t.sec > INT32_MAX ? 0 : (nsec_t)t.sec * 1000000000 + (nsec_t)t.usec * 1000;
	return 0;
}

static err_t set_option(struct file *f, int option, uaddr_t from, int32_t len)
{
	struct socket_options o;
	int32_t value;
	if (len < (int32_t)sizeof(value))
		return -EINVAL;
	if (copy_from_user(&value, from, sizeof(value)))
		return -EFAULT;
	socket_get_options(f, &o);
	err_t err = 0;
	switch (option) {
	case SO_PASSCRED:
		o.pass_ids = value;
		break;
	case SO_RCVTIMEO:
		err = fetch_timeout(from, len, &o.receive_timeout);
		break;
	case SO_SNDTIMEO:
		err = fetch_timeout(from, len, &o.send_timeout);
		break;
	case SO_REUSEADDR: /* those of the network, which local sockets take and leave alone; sizes are as they are */
	case SO_BROADCAST:
	case SO_KEEPALIVE:
	case SO_SNDBUF:
	case SO_RCVBUF:
	case SO_LINGER:
		return 0;
	default:
		return -ENOPROTOOPT;
	}
	if (!err)
		socket_set_options(f, &o);
	return err;
}

int64_t sys_setsockopt(int32_t fd, int32_t level, int32_t option, uaddr_t value, int32_t len)
{
	struct file *f;
	if (len < 0)
		return -EINVAL;
	err_t err = fd_socket(fd, RIGHT_MANAGE, &f);
	if (err)
		return err;
	err = level == SOL_SOCKET ? set_option(f, option, value, len) : -EOPNOTSUPP;
	file_put(f);
	return err;
}

union option_value {
	int32_t number;
	struct socket_ids ids;
	struct sys_timeval time;
	int32_t linger[2];
};

/* Its value; *len gets the size. */
static err_t get_option(struct file *f, int option, union option_value *v, int32_t *len)
{
	struct socket_options o;
	socket_get_options(f, &o);
	*v = (union option_value){.time = {0, 0}};
	*len = sizeof(v->number);
	nsec_t t = option == SO_RCVTIMEO ? o.receive_timeout : o.send_timeout;
	switch (option) {
	case SO_TYPE:
		v->number = (int32_t)o.type;
		return 0;
	case SO_ERROR:
		v->number = socket_take_error(f);
		return 0;
	case SO_SNDBUF:
	case SO_RCVBUF:
		v->number = BUFFER_SIZE;
		return 0;
	case SO_PASSCRED:
		v->number = o.pass_ids;
		return 0;
	case SO_ACCEPTCONN:
		v->number = o.listening;
		return 0;
	case SO_DOMAIN:
		v->number = AF_UNIX;
		return 0;
	case SO_DEBUG:
	case SO_REUSEADDR:
	case SO_BROADCAST:
	case SO_KEEPALIVE:
	case SO_PROTOCOL:
		return 0;
	case SO_LINGER:
		*len = sizeof(v->linger);
		return 0;
	case SO_PEERCRED:
		v->ids = o.peer_ids.pid ? o.peer_ids : (struct socket_ids){0, UINT32_MAX, UINT32_MAX};
		*len = sizeof(v->ids);
		return 0;
	case SO_RCVTIMEO:
	case SO_SNDTIMEO:
		v->time = (struct sys_timeval){(int64_t)(t / 1000000000), (int64_t)(t % 1000000000 / 1000)};
		*len = sizeof(v->time);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

int64_t sys_getsockopt(int32_t fd, int32_t level, int32_t option, uaddr_t value, uaddr_t len_at)
{
	union option_value v;
	struct file *f;
	int32_t room, len = 0;
	err_t err = fd_socket(fd, RIGHT_INSPECT, &f);
	if (err)
		return err;
	if (level != SOL_SOCKET)
		err = -EOPNOTSUPP;
	else if (copy_from_user(&room, len_at, sizeof(room)))
		err = -EFAULT;
	else if (room < 0)
		err = -EINVAL;
	if (!err)
		err = get_option(f, option, &v, &len);
	file_put(f);
	if (err)
		return err;
	len = MIN(len, room);
	if (copy_to_user(value, &v, (size_t)len) || copy_to_user(len_at, &len, sizeof(len)))
		return -EFAULT;
	return 0;
}
