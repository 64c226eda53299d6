#pragma once
/*
 * object.h - descriptors as capabilities: what the native calls on objects speak of. docs/objects.md says
 * what it means.
 */
#include <stdint.h>

enum quire_object_type {
	QUIRE_FILE,
	QUIRE_CHANNEL,
	QUIRE_VMO,
	QUIRE_PROCESS,
	QUIRE_THREAD,
	QUIRE_ENDPOINT,
	QUIRE_IRQ,
	QUIRE_SYSTEM,
	QUIRE_EVENT,
	QUIRE_REPLY,
	QUIRE_TTYPORT,
	QUIRE_ANY, /* of the table of calls: an object of any type */
};

enum quire_rights {
	QUIRE_RIGHT_READ = 1 << 0,  /* take bytes or messages out of it */
	QUIRE_RIGHT_WRITE = 1 << 1, /* put bytes or messages into it */
	QUIRE_RIGHT_EXEC = 1 << 2,  /* run it, map it executable, walk from it */
	QUIRE_RIGHT_MAP = 1 << 3,
	QUIRE_RIGHT_WAIT = 1 << 4,
	QUIRE_RIGHT_SIGNAL = 1 << 5,    /* change its user signals */
	QUIRE_RIGHT_DUPLICATE = 1 << 6, /* dup, and inherit by fork */
	QUIRE_RIGHT_TRANSFER = 1 << 7,  /* send it along with a message */
	QUIRE_RIGHT_INSPECT = 1 << 8,
	QUIRE_RIGHT_MANAGE = 1 << 9, /* change the object itself */
	QUIRE_RIGHTS_ALL = (1 << 10) - 1,
};

/* Signals of an object, level state. */
#define QUIRE_SIGNAL_READABLE    (1ULL << 0)
#define QUIRE_SIGNAL_WRITABLE    (1ULL << 1)
#define QUIRE_SIGNAL_PEER_CLOSED (1ULL << 2)
#define QUIRE_SIGNAL_ERROR       (1ULL << 3)
#define QUIRE_SIGNAL_PRIORITY    (1ULL << 4)
#define QUIRE_SIGNAL_READ_CLOSED (1ULL << 5)
#define QUIRE_SIGNAL_DEAD        (1ULL << 15)
#define QUIRE_SIGNALS_USER       0xffff000000000000ULL

/* The caller itself, or its process, where a call takes that in the place of a descriptor: no descriptor, so
 * that nobody holds himself. */
#define QUIRE_SELF (-1)

/* Deadlines are points of CLOCK_MONOTONIC in nanoseconds. */
#define QUIRE_NOW   0ULL
#define QUIRE_NEVER UINT64_MAX

struct quire_object_info {
	uint64_t koid;        /* no other object ever has it */
	uint64_t signals;     /* as they are */
	uint32_t type;        /* enum quire_object_type */
	uint32_t rights;      /* of the descriptor */
	uint32_t descriptors; /* that name the object, in tables and in messages */
	uint32_t references;  /* that keep it in memory */
};

struct quire_wait {
	int32_t fd;
	int32_t error;    /* out: 0, or the errno of this one */
	uint64_t mask;    /* any of these */
	uint64_t signals; /* out: as they are */
};

enum { QUIRE_WAIT_MAX = 64 };

enum quire_vmo_kind {
	QUIRE_VMO_OPEN,    /* its size may be changed: what memfd_create makes */
	QUIRE_VMO_FIXED,   /* it may not */
	QUIRE_VMO_GUARDED, /* vma_map leaves a page free before and behind each mapping */
	QUIRE_VMO_RING, /* fixed; vma_map shows it twice in a row, so that what goes over its end is whole */
	QUIRE_VMO_CONTIGUOUS, /* fixed; all its pages lie one behind the other in memory */
};
enum quire_vmo_flags {
	QUIRE_VMO_WRITE_COMBINING = 1, /* CONTIGUOUS only: stores are gathered, nothing is cached */
};
#define QUIRE_CONTIGUOUS_MAX 0x400000 /* bytes */

enum quire_map { /* how vma_map maps */
	QUIRE_MAP_READ = 1,
	QUIRE_MAP_WRITE = 2,
	QUIRE_MAP_EXEC = 4,
	QUIRE_MAP_FIXED = 0x10,     /* at just this address, in the place of what is there */
	QUIRE_MAP_NOREPLACE = 0x20, /* with FIXED: EEXIST if anything is there */
	QUIRE_MAP_PRIVATE = 0x40,   /* what is written stays with the process: copy on write */
	QUIRE_MAP_ALL = 0x77,
};

enum quire_message_limits {
	QUIRE_INLINE = 64,         /* bytes of a message that lie in struct quire_message */
	QUIRE_MESSAGE_MAX = 65536, /* bytes of one that do not */
	QUIRE_MESSAGE_FDS = 8,
};

/* A message. Sent: `len` bytes, in `bytes` if they fit there, else at `data`; and `nfds` descriptors, which
 * leave the sender. Received: the same, where `capacity` says how much room there is at `data` for more than
 * fits `bytes`; `reply` is a descriptor to answer with, or -1. */
struct quire_message {
	uint64_t tag;
	uint64_t data; /* address */
	uint32_t len;
	uint32_t capacity;
	uint32_t nfds;
	int32_t reply;
	int32_t fds[QUIRE_MESSAGE_FDS];
	uint8_t bytes[QUIRE_INLINE];
};

enum quire_reply_kind { QUIRE_NO_REPLY = -1, QUIRE_NOTIFICATION = -2 }; /* values of `reply` */
