#pragma once
/*
 * unix_priv.h - what unix_socket.c, unix_io.c, unix_flight.c and unix_list.c share.
 */
#include "fs/async.h"
#include "fs/unix_socket.h"

enum {
	SOCKET_BUFFER = 212992, /* bytes that wait at one socket: Linux's default */
	SOCKET_DATAGRAMS = 10,  /* datagrams that wait, one more than this at most */
	SIGNAL_ROOM = 1 << 17,  /* ours: whoever wants to send or connect to it may try */
	SOCKET_LEVELS = SIGNAL_READABLE | SIGNAL_WRITABLE | SIGNAL_PEER_CLOSED | SIGNAL_ERROR |
			SIGNAL_READ_CLOSED | SIGNAL_ROOM,
};
enum socket_state { SOCKET_IDLE, SOCKET_LISTENING, SOCKET_CONNECTED };

struct message {
	struct list link;
	size_t len, offset; /* (U) offset: what was read of it already */
	struct socket_ids ids;
	struct socket_name from;
	unsigned nfiles;
	struct parcel *files;
	uint8_t data[];
};

/* (U) unix_lock; (C) constant; (I) iolock */
struct unix_socket {
	struct refcount refs;     /* its file or its place in a queue; each socket whose peer it is; walks */
	enum socket_type type;    /* (C) */
	struct file *file;        /* (U) NULL: not accepted yet, or closed */
	enum socket_state state;  /* (U) */
	bool dead;                /* (U) its file is gone */
	bool closing;             /* (U) no descriptor is left: nobody waits for it to take something */
	bool shut_in, shut_out;   /* (U) */
	bool pass_ids;            /* (U) */
	int error;                /* (U) errno that the next call tells */
	struct unix_socket *peer; /* (U) counted */
	struct socket_name name;  /* (U) set once */
	struct path node;         /* (U) counted: the name's file; dentry NULL: none */
	struct list name_link;    /* (U) in the list of those with a name */
	struct list all_link;     /* (U) in the list of all, until it is dead: unix_list.c */
	struct list queue;        /* (U) messages to be read */
	size_t queued;            /* (U) their bytes */
	unsigned nmessages;       /* (U) */
	struct list embryos;      /* (U) connected, not accepted yet: by link */
	struct list link;         /* (U) */
	unsigned nembryos;        /* (U) */
	unsigned backlog;         /* (U) */
	struct socket_ids ids;    /* (U) of who made it, or made it listen */
	struct socket_ids peer_ids;           /* (U) */
	nsec_t receive_timeout, send_timeout; /* (U) */
	struct mutex iolock;                  /* one reader at a time; RANK_CHANNEL */
	unsigned flights;                     /* (U) messages in queues that carry its file: unix_flight.c */
	struct list flight_link;              /* (U) if there are any */
	unsigned outside;                     /* (U) the search's own: those in queues that can be reached */
	bool candidate;                       /* (U) the search's own */
};

extern struct spinlock unix_lock; /* (U) */
extern const struct file_ops socket_file_ops;

static inline struct unix_socket *socket_of(struct file *f)
{
	return f->priv;
}
static inline bool is_connected_type(const struct unix_socket *s)
{
	return s->type != SOCKET_DGRAM;
}
/* Bring the signals of s up to date. Locked. */
void socket_tell_locked(struct unix_socket *s);
/* Something happened to it that O_ASYNC tells. */
void socket_news_locked(struct unix_socket *s, enum async_reason reason);
void socket_put(struct unix_socket *s);
/* The socket with this name, with a reference. -ECONNREFUSED, -EPROTOTYPE, and those of the path. */
MUST_CHECK err_t socket_find(const struct fs_context *c, const struct socket_name *name,
    enum socket_type type, struct unix_socket **out);
/* Free the messages of a list that nobody else knows. */
void messages_free(struct list *messages);
/* Sleep until one of these signals of f is set. -EAGAIN: it may not wait, or no longer; -EINTR. */
MUST_CHECK err_t socket_wait(
    struct file *f, struct file *wait_at, uint64_t signals, bool nonblock, nsec_t deadline);
/* timeout 0: never. */
nsec_t socket_deadline(nsec_t timeout);
/* Is there no room for another message? Locked. */
bool socket_is_full_locked(const struct unix_socket *s);
/* The file of s, to wait at, with a reference; NULL: it is closed. Locked. */
struct file *socket_file_locked(struct unix_socket *s);
/* --- unix_list.c --- */

/* s, new, is seen by socket_snapshot from now on; and no longer. */
void socket_list_add(struct unix_socket *s);
void socket_list_remove_locked(struct unix_socket *s);

/* --- unix_flight.c --- */

/* m is in a queue from now on, or no longer. Locked. */
void flight_begin_locked(const struct message *m);
void flight_end_locked(const struct message *m);
/* Move the queue of s to `messages`. Locked. */
void flight_empty_locked(struct unix_socket *s, struct list *messages);
/* Let go of sockets that only messages hold which nobody can receive. flight_limit: if there may be many. May
 * sleep. */
void flight_collect(void);
void flight_limit(void);

int64_t socket_ioctl(struct file *f, uint32_t request, uint64_t arg);
