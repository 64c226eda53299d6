#pragma once
/*
 * init.h - the guest's first program, and the protocol by which it serves the launcher on the host.
 *
 * The two talk over the virtio-serial port named "quire.run", a stream of bytes in both directions. What is
 * said is cut into frames:
 *
 *	type (1 byte)   stream (1)   0 (2)   length of the payload (4, little-endian)   payload
 *
 *	launcher                              guest
 *	                               ◀──    HELLO
 *	ITEM ...  COPY ... START       ──▶
 *	DATA 0 ... END 0               ◀─▶    DATA 1, DATA 2 ... END 1, END 2
 *	SIZE, SIGNAL, SHUTDOWN         ──▶
 *	                               ◀──    EXIT, or ERROR before it
 *
 * Streams 0, 1 and 2 are the command's standard ones. Nobody sends more than WINDOW bytes of a stream before
 * the other has said with ACK that they have reached their reader; so neither side ever has to stop
 * listening, and a reader that does not read holds up its own stream only. CLOSED says that there is no
 * reader any more. A command with a terminal has just streams 0 and 1, both its terminal.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	PROTOCOL_VERSION = 1,
	FRAME_HEADER = 8,
	FRAME_MAX = 132 << 10, /* payload; room for the longest argument that execve takes */
	WINDOW = 256 << 10,
};
#define PORT_PATH "/dev/virtio-ports/quire.run"

enum frame_type {
	FRAME_HELLO = 1, /* guest: PROTOCOL_VERSION, 4 bytes */
	FRAME_ITEM = 2,  /* launcher: `stream` is an enum item, the payload its value */
	FRAME_COPY_TO =
	    3, /* launcher: files follow; payload: a path of the guest, 0, the name to have in it if it is a directory */
	FRAME_COPY_DIR = 4,  /* launcher: mode (4), path below COPY_TO's: make a directory */
	FRAME_COPY_FILE = 5, /* launcher: mode (4), path: begin a file; what was there is replaced */
	FRAME_COPY_DATA = 6, /* launcher: more of it */
	FRAME_COPY_END = 7,  /* launcher: it is complete */
	FRAME_COPY_LINK = 8, /* launcher: path, 0, target: make a symbolic link */
	FRAME_START = 9,     /* launcher: run it */
	FRAME_DATA = 10,     /* both */
	FRAME_END = 11,      /* both: no more will come on this stream */
	FRAME_ACK = 12,      /* both: so many bytes (4) have reached their reader */
	FRAME_CLOSED = 13,   /* both: nobody reads this stream any more */
	FRAME_SIZE = 14,     /* launcher: rows (2), columns (2) of the terminal */
	FRAME_SIGNAL = 15,   /* launcher: number (4), 1 to send it to the whole group (4) */
	FRAME_SHUTDOWN = 16, /* launcher: end everything now */
	FRAME_EXIT = 17,     /* guest: the command's wait status (4) */
	FRAME_ERROR = 18,    /* guest: exit status to use (4), why there is no command, as text */
};

enum item {
	ITEM_ARGUMENT = 'a',
	ITEM_VARIABLE = 'e',  /* NAME=value */
	ITEM_DIRECTORY = 'c', /* to start in */
	ITEM_USER = 'u',      /* decimal user and group id */
	ITEM_TERMINAL = 't',  /* it gets a terminal: rows (2), columns (2) */
};

/* job.c - the command and its streams. */
struct strings {
	char **list; /* ends with NULL */
	size_t n;
};

struct request {
	struct strings arguments, variables;
	char *directory; /* NULL: HOME */
	uid_t user;
	bool terminal;
	uint16_t rows, columns;
};

struct job {
	pid_t pid; /* 0: not started, or reaped */
	int fd
	    [3]; /* our end of each stream; -1: closed. With a terminal 0 and 1 are two descriptors of the master */
	bool terminal;
	bool exited;
	int status; /* of wait(2), once exited */
};

/* Start it. 0, or the exit status to report, with *why telling the reason. */
int job_start(struct job *j, const struct request *r, const char **why);
void job_resize(struct job *j, uint16_t rows, uint16_t columns);
void job_signal(struct job *j, int number, bool group);
/* Take in the children that have ended, orphans included. */
void job_reap(struct job *j);

/* copy.c - files from the host. Each answers NULL or what went wrong. */
const char *copy_to(const char *path, const char *name);
const char *copy_dir(uint32_t mode, const char *path);
const char *copy_file(uint32_t mode, const char *path);
const char *copy_data(const void *data, size_t n);
const char *copy_end(void);
const char *copy_link(const char *path, const char *target);

/* serve.c - the conversation. Returns when the command has ended and all was said, or the launcher is gone.
 * SIGCHLD is blocked and has a handler. */
void serve(int port);

/* display.c - the console on a screen. The program, which is found before the disk is the root (-1: it did
 * not come along); then, once /sys is mounted, starting it, which closes that. */
int display_find(void);
void display_start(int program);
