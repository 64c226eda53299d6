#pragma once
/*
 * trace_format.h - system calls as text: `openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3`.
 *
 * Nothing here knows processes or locks: the caller's memory is read through a function. The table of calls
 * is made from abi/ by tools/gen_abi.py, whose types of arguments are those of enum trace_type.
 */
#include "lib/types.h"

enum trace_type {
	/* Numbers. */
	TRACE_INT,
	TRACE_UINT,
	TRACE_LONG,
	TRACE_SIZE,
	TRACE_HEX,
	TRACE_HEXINT,
	TRACE_FD,
	TRACE_DIRFD,
	TRACE_PID,
	TRACE_SIGNAL,
	TRACE_MODE,
	TRACE_OMODE, /* only if the argument before says that a file is made */
	TRACE_EXIT,  /* the call does not return */
	/* Names: trace_words_of. */
	TRACE_OPEN,
	TRACE_FDFLAGS, /* of those of open, such as make descriptors too */
	TRACE_PROT,
	TRACE_MAP,
	TRACE_CLONE,
	TRACE_ATFLAGS,
	TRACE_ACCESS,
	TRACE_WAIT,
	TRACE_SOCKTYPE,
	TRACE_FUTEX,
	TRACE_WHENCE,
	TRACE_HOW,
	TRACE_FCNTL,
	TRACE_CLOCK,
	TRACE_ADVICE,
	TRACE_FAMILY,
	TRACE_INMASK, /* of inotify_add_watch */
	/* Addresses. */
	TRACE_ADDR,
	TRACE_IN,
	TRACE_OUT,
	TRACE_INOUT,
	TRACE_STR,
	TRACE_INBUF,  /* as many bytes as the next argument says */
	TRACE_OUTBUF, /* as many as the result says */
	TRACE_ARGV,
	TRACE_ENVP,
	TRACE_SIGSET,
	TRACE_TIMESPEC,
	TRACE_OUTINT,
	TRACE_OUTINTS,
	TRACE_TYPES
};

enum trace_result { TRACE_RESULT_LONG, TRACE_RESULT_HEX, TRACE_RESULT_OCTAL };

enum {
	TRACE_ARGS = 6,
	TRACE_NOT_OFFERED = 0xff, /* nargs of a number that only has a name */
	TRACE_LINE = 640,         /* bytes of a line, terminator included; what is longer is cut */
	TRACE_STRING = 64,        /* bytes that are shown of a name, */
	TRACE_DATA = 32,          /* of data, of one of many strings, */
	TRACE_STRINGS = 8,        /* and how many of these */
};

struct trace_call {
	const char *name;
	uint8_t nargs;
	uint8_t result;            /* enum trace_result */
	uint8_t types[TRACE_ARGS]; /* enum trace_type */
};

/* A line that is being made. It belongs to one thread. */
struct trace_line {
	size_t len;
	unsigned next; /* argument that comes next */
	bool full;     /* something was cut */
	size_t (*read)(
	    void *dst, uaddr_t src, size_t n); /* read memory of the process: how many bytes could be */
	char text[TRACE_LINE];
};

/* Begin a line: the name, and the arguments up to the first one that the call fills in. May sleep if `read`
 * may. */
void trace_format_call(struct trace_line *l, const struct trace_call *c, const uint64_t args[TRACE_ARGS],
    size_t (*read)(void *dst, uaddr_t src, size_t n));
/* Complete it: the other arguments, and the result. */
void trace_format_result(
    struct trace_line *l, const struct trace_call *c, const uint64_t args[TRACE_ARGS], int64_t result);
/* ... of a call that will not return. */
void trace_format_no_result(struct trace_line *l);
static inline bool trace_call_returns(const struct trace_call *c)
{
	return c->nargs != 1 || c->types[0] != TRACE_EXIT;
}
/* `--- SIGCHLD ---` */
void trace_format_signal(struct trace_line *l, int signal);
/* `+++ exited with 1 +++`, `+++ killed by SIGKILL +++` */
void trace_format_exit(struct trace_line *l, int wait_status);

/* trace_names.c */
struct trace_name {
	uint64_t value;
	const char *name;
};
struct trace_words {
	const struct trace_name *values, *flags;
	unsigned nvalues, nflags;
	uint64_t mask;    /* bits that hold one of `values` */
	const char *none; /* if no bit is set; NULL: there is a value for that */
	bool low_signal;  /* the lowest byte is a signal */
};
/* How arguments of this type are written; NULL: not in words. */
const struct trace_words *trace_words_of(enum trace_type type);
/* NULL: there is none with this number. */
const char *trace_error_name(int error);
/* Results that never reach the program: the call starts again, or fails with EINTR. */
const char *trace_restart_name(int error);
