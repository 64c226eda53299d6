#pragma once
/*
 * unix_socket.h - sockets of the local machine (AF_UNIX): streams, datagrams, and packets in order. See
 * unix_socket.c, unix_io.c.
 */
#include "fs/file.h"
#include "object/desc.h"

enum socket_type { SOCKET_STREAM = 1, SOCKET_DGRAM = 2, SOCKET_SEQPACKET = 5 }; /* the ABI's */
enum { SOCKET_PATH_MAX = 108, SOCKET_FILES_MAX = 253 };
enum socket_flags { /* the ABI's MSG_* */
	SOCKET_OOB = 1,
	SOCKET_PEEK = 2,
	SOCKET_CTRUNC = 8,
	SOCKET_TRUNC = 0x20,
	SOCKET_DONTWAIT = 0x40,
	SOCKET_EOR = 0x80,
	SOCKET_WAITALL = 0x100,
	SOCKET_NOSIGNAL = 0x4000,
};

/* A name: len bytes of path; path[0] 0: abstract. len 0: none. */
struct socket_name {
	unsigned len;
	char path[SOCKET_PATH_MAX + 1];
};

struct socket_ids {
	uint32_t pid, uid, gid;
};

/* What goes with the bytes of a message. */
struct socket_extra {
	struct socket_ids ids;   /* of the sender */
	bool has_ids;            /* received: the receiver asked for them */
	bool has_name;           /* sent: to `name` */
	struct socket_name name; /* sent: where to; received: from whom */
	unsigned nfiles;
	struct parcel
	    *files;     /* kmalloc'ed; sent: taken over on success and on failure; received: the caller's */
	unsigned flags; /* received: SOCKET_TRUNC, SOCKET_EOR */
};

/* A socket, as /proc/net/unix tells of it. */
struct socket_view {
	enum socket_type type;
	uint32_t refs;
	bool listening, connected;
	bool has_file; /* false: it is not accepted yet */
	uint64_t ino;  /* of its file */
	struct socket_name name;
};
/* All sockets, oldest first: as many as there is room for. Returns how many there are. */
size_t socket_snapshot(struct socket_view *out, size_t room);
/* Bytes that the kernel needs for one. */
size_t socket_size(void);

void socket_init(void);
/* socket(2), socketpair(2): flags of FILE_NONBLOCK; ids: of the caller. -ENOMEM. */
MUST_CHECK err_t socket_create(
    enum socket_type type, unsigned flags, const struct socket_ids *ids, struct file **out);
MUST_CHECK err_t socket_pair(
    enum socket_type type, unsigned flags, const struct socket_ids *ids, struct file *out[2]);
bool file_is_socket(const struct file *f);
/* All of these: f is a socket. May sleep. Errors as on Linux. */
/* len 0: a name that nobody has is chosen. */
MUST_CHECK err_t socket_bind(struct file *f, const struct fs_context *c, const struct socket_name *name);
MUST_CHECK err_t socket_listen(struct file *f, int backlog, const struct socket_ids *ids);
MUST_CHECK err_t socket_connect(
    struct file *f, const struct fs_context *c, const struct socket_name *name, const struct socket_ids *ids);
/* Datagrams: nobody any more. */
MUST_CHECK err_t socket_disconnect(struct file *f);
MUST_CHECK err_t socket_accept(struct file *f, unsigned flags, struct file **out);
MUST_CHECK err_t socket_shutdown(struct file *f, int how);
/* getsockname; peer: getpeername (-ENOTCONN). */
MUST_CHECK err_t socket_get_name(struct file *f, bool peer, struct socket_name *out);
/* e->files go to the message or are let go. Bytes or -errno; -EPIPE: the caller raises the signal. c: for
 * names that are paths. */
MUST_CHECK int64_t socket_send(
    struct file *f, const struct fs_context *c, struct uio *u, struct socket_extra *e, unsigned flags);
/* e (or NULL) is filled in. */
MUST_CHECK int64_t socket_receive(struct file *f, struct uio *u, struct socket_extra *e, unsigned flags);
/* Let go of files of a message. */
void socket_drop_files(struct parcel *files, unsigned n);

struct socket_options {
	enum socket_type type;
	bool pass_ids, listening;
	struct socket_ids peer_ids;           /* pid 0: none */
	nsec_t receive_timeout, send_timeout; /* 0: none */
};
void socket_get_options(struct file *f, struct socket_options *o);
/* pass_ids and the times are set. */
void socket_set_options(struct file *f, const struct socket_options *o);
/* SO_ERROR: told once. A positive errno or 0. */
int socket_take_error(struct file *f);
/* The next call tells this positive errno. */
void socket_note_error(struct file *f, int error);
