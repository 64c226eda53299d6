#pragma once
/* vt.h - a virtual terminal: libtsm's emulation, a pseudo-terminal, and a login shell on it. See vt.c. */
#include "keyboard.h"
#include "screen.h"
#include <libtsm.h>
#include <poll.h>
#include <sys/types.h>

enum { VT_TYPED = 4096 }; /* bytes that the shell has not taken yet */

struct vt {
	struct tsm_screen *screen;
	struct tsm_vte *vte;
	unsigned columns, rows;
	int master; /* -1: no shell is wanted, or none could be made */
	int slave;  /* kept open, so that the master is not hung up while the shell has closed it */
	pid_t shell;
	int shell_fd;     /* readable when the shell has ended; -1: there is none */
	uint64_t started; /* when, in ms of CLOCK_MONOTONIC */
	bool wanted;      /* it has been looked at, so there is to be a shell */
	bool dirty;       /* something has changed since it was drawn */
	char typed[VT_TYPED];
	size_t ntyped;
};

/* Make the emulation. False: there is no memory. */
bool vt_create(struct vt *vt, unsigned columns, unsigned rows);
/* Have a shell, if one is wanted and there is none, and the last one was not started just now. Returns the
 * milliseconds until the next try; -1: there is nothing to try. */
int vt_keep_shell(struct vt *vt, uint64_t now);
/* What to wait for, and what to do about it. */
void vt_fill_poll(const struct vt *vt, struct pollfd p[2]);
void vt_turn(struct vt *vt, const struct pollfd p[2]);
void vt_key(struct vt *vt, const struct key *key);
void vt_draw(struct vt *vt, struct screen *s);
