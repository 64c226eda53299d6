/*
 * vt.c - a virtual terminal. See vt.h.
 *
 *	keys ──▶ libtsm ──▶ typed ──▶ master ══ pty ══ slave: the shell, its session's terminal
 *	screen ◀── libtsm's cells ◀──────┘
 *
 * A shell that ends is followed by another on a fresh pty; whoever still has the old one is hung up.
 */
#define _GNU_SOURCE
#include "vt.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { SCROLLBACK = 1000, READ_AT_ONCE = 16384, RETRY_MS = 1000 };

/* --- input of the shell --- */

/* What does not fit because nobody reads is lost, as on Linux's terminals. */
static void type(struct vt *vt, const char *bytes, size_t n)
{
	size_t room = sizeof(vt->typed) - vt->ntyped;
	n = n < room ? n : room;
	memcpy(vt->typed + vt->ntyped, bytes, n);
	vt->ntyped += n;
}

static void on_vte_write(struct tsm_vte *vte, const char *bytes, size_t n, void *data)
{
	(void)vte;
	type(data, bytes, n);
}

static void send_typed(struct vt *vt)
{
	ssize_t n = write(vt->master, vt->typed, vt->ntyped);
	if (n <= 0)
		return;
	vt->ntyped -= (size_t)n;
	memmove(vt->typed, vt->typed + n, vt->ntyped);
}

bool vt_create(struct vt *vt, unsigned columns, unsigned rows)
{
	*vt = (struct vt){
	    .master = -1, .slave = -1, .shell_fd = -1, .columns = columns, .rows = rows, .dirty = true};
	if (tsm_screen_new(&vt->screen, NULL, NULL) || tsm_screen_resize(vt->screen, columns, rows))
		return false;
	tsm_screen_set_max_sb(vt->screen, SCROLLBACK);
	return !tsm_vte_new(&vt->vte, vt->screen, on_vte_write, vt, NULL, NULL);
}

static bool scrolls(struct vt *vt, const struct key *key)
{
	if (!(key->modifiers & MOD_SHIFT) || (key->symbol != KEY_PAGE_UP && key->symbol != KEY_PAGE_DOWN))
		return false;
	if (key->symbol == KEY_PAGE_UP)
		tsm_screen_sb_page_up(vt->screen, 1);
	else
		tsm_screen_sb_page_down(vt->screen, 1);
	return true;
}

void vt_key(struct vt *vt, const struct key *key)
{
	vt->dirty = true;
	if (scrolls(vt, key))
		return;
	tsm_screen_sb_reset(vt->screen);
	if (key->symbol == KEY_BACKSPACE) /* what terminals of this name send, and the tty takes for it */
		type(vt, "\033\177" + !(key->modifiers & MOD_ALT), key->modifiers & MOD_ALT ? 2 : 1);
	else
		tsm_vte_handle_keyboard(vt->vte, key->symbol,
		    key->character ? key->character : TSM_VTE_INVALID, key->modifiers,
		    key->character ? key->character : TSM_VTE_INVALID);
}

/* --- the shell --- */

/* In the child. */
static void run_shell(int terminal)
{
	static const char *const shells[] = {"/bin/bash", "/bin/sh", "/bin/busybox"};
	static char *const variables[] = {"TERM=xterm-256color", "HOME=/root", "USER=root", "LOGNAME=root",
	    "SHELL=/bin/bash", "LANG=C.UTF-8",
	    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	setsid();
	if (ioctl(terminal, TIOCSCTTY, 0))
		_exit(126);
	for (int i = 0; i < 3; i++)
		if (dup2(terminal, i) < 0)
			_exit(126);
	if (chdir("/root") && chdir("/"))
		_exit(126);
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		execle(shells[i], i == 2 ? "sh" : "-sh", (char *)NULL, variables);
	_exit(127);
}

static bool open_terminal(struct vt *vt)
{
	int n, unlocked = 0;
	char name[32];
	struct termios t;
	struct winsize window = {.ws_row = (unsigned short)vt->rows, .ws_col = (unsigned short)vt->columns};
	vt->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (vt->master < 0 || ioctl(vt->master, TIOCSPTLCK, &unlocked) || ioctl(vt->master, TIOCGPTN, &n) ||
	    ioctl(vt->master, TIOCSWINSZ, &window))
		return false;
	snprintf(name, sizeof(name), "/dev/pts/%d", n);
	vt->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (vt->slave < 0 || tcgetattr(vt->slave, &t))
		return false;
	t.c_iflag |= IUTF8;
	return !tcsetattr(vt->slave, TCSANOW, &t);
}

static void close_terminal(struct vt *vt)
{
	if (vt->slave >= 0)
		close(vt->slave);
	if (vt->master >= 0)
		close(vt->master);
	vt->slave = vt->master = -1;
	vt->ntyped = 0;
}

static void say(struct vt *vt, const char *text)
{
	tsm_vte_input(vt->vte, text, strlen(text));
	vt->dirty = true;
}

static bool start_shell(struct vt *vt)
{
	if (!open_terminal(vt))
		return false;
	vt->shell = fork();
	if (vt->shell == 0)
		run_shell(vt->slave);
	if (vt->shell < 0)
		return false;
	vt->shell_fd = (int)syscall(SYS_pidfd_open, vt->shell, 0);
	if (vt->shell_fd >= 0)
		return true;
	kill(vt->shell, SIGKILL);
	waitpid(vt->shell, NULL, 0);
	return false;
}

int vt_keep_shell(struct vt *vt, uint64_t now)
{
	if (!vt->wanted || vt->shell_fd >= 0)
		return -1;
	if (vt->started && now - vt->started < RETRY_MS)
		return (int)(vt->started + RETRY_MS - now);
	vt->started = now;
	if (start_shell(vt))
		return -1;
	say(vt, "\r\nThere is no terminal for a shell; the next try is in a second.\r\n");
	close_terminal(vt);
	return RETRY_MS;
}

/* --- output of the shell --- */

/* Take some of it. False: there is nothing now. */
static bool take_output(struct vt *vt)
{
	char bytes[READ_AT_ONCE];
	ssize_t n = read(vt->master, bytes, sizeof(bytes));
	if (n <= 0)
		return false;
	tsm_vte_input(vt->vte, bytes, (size_t)n);
	vt->dirty = true;
	return true;
}

/* What it has written by now is shown, and stays; how it has set up the terminal does not. */
static void end_shell(struct vt *vt)
{
	for (unsigned i = 0; i < 64 && take_output(vt); i++) /* others may still be writing */
		;
	waitpid(vt->shell, NULL, 0);
	close(vt->shell_fd);
	vt->shell_fd = -1;
	close_terminal(vt);
	say(vt, "\r\n");
	tsm_vte_reset(vt->vte);
}

void vt_fill_poll(const struct vt *vt, struct pollfd p[2])
{
	p[0] = (struct pollfd){.fd = vt->master, .events = (short)(POLLIN | (vt->ntyped ? POLLOUT : 0))};
	p[1] = (struct pollfd){.fd = vt->shell_fd, .events = POLLIN};
}

void vt_turn(struct vt *vt, const struct pollfd p[2])
{
	if (p[0].revents & POLLIN)
		take_output(vt);
	if (vt->master >= 0 && vt->ntyped)
		send_typed(vt);
	if (p[1].revents)
		end_shell(vt);
}

/* --- what is seen --- */

static uint32_t rgb(uint8_t r, uint8_t g, uint8_t b)
{
	return (uint32_t)r << 16 | (uint32_t)g << 8 | b;
}

static int on_cell(struct tsm_screen *con, uint64_t id, const uint32_t *ch, size_t n, unsigned width,
    unsigned x, unsigned y, const struct tsm_screen_attr *a, tsm_age_t age, void *data)
{
	struct cell c;
	(void)con, (void)id, (void)age;
	memset(&c, 0, sizeof(c));
	c.width = (uint8_t)width;
	if (width) {
		uint32_t fg = rgb(a->fr, a->fg, a->fb), bg = rgb(a->br, a->bg, a->bb);
		c.fg = a->inverse ? bg : fg;
		c.bg = a->inverse ? fg : bg;
		c.bold = a->bold;
		c.underline = a->underline;
		for (size_t i = 0; i < n && i < CELL_CHARACTERS; i++)
			c.ch[i] = ch[i];
	}
	screen_put(data, x, y, &c);
	return 0;
}

void vt_draw(struct vt *vt, struct screen *s)
{
	tsm_screen_draw(vt->screen, on_cell, s);
	screen_flush();
	vt->dirty = false;
}
