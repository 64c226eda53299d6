/*
 * logview.c - shows the kernel's log as it is written: a service.
 *
 *	logview [-n] [-l LEVEL]
 *
 * QUIRE_SYSTEM names a system object that it reads the log by (rights read and wait), QUIRE_PING, if it is
 * there, the receiving end of an endpoint by which its manager asks whether it is well (read and wait).
 * Records go to descriptor 1 (write and wait; manage, so that it learns whether this is a terminal), a line
 * each:
 *
 *	    1.234567 warning vm: what happened
 *
 * in colours, by level, if that is a terminal. Less urgent ones than LEVEL (0-7 or a name) are left out.
 * Where records were overwritten before they could be shown a line says how many.
 *
 * The position in the log is the system object's. Whoever starts it with a fresh object has it begin with the
 * oldest record that there is; whoever starts it with the one that it had before has it go on there, less the
 * one record that it may have been about to show. -n: with what is written from now on.
 *
 * There is one wait, for the manager and for the next thing to do: a record to be read, or room for the rest
 * of a line. So a terminal that is stopped does not keep it from answering; and what it does not read does
 * not keep anybody from writing to the log, who overwrites the oldest.
 *
 * It ends with 0 if its manager or its reader is gone, with 2 if it was started wrongly, else with 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <quire/guard.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <quire/calls.h>

QUIRE_GUARDED(15); /* QUIRE_GUARD_ALL */

enum { OUTPUT = 1, PING = 1, LEVELS = 8, EXIT_USAGE = 2, DO_NOT_WAIT = 8 /* RWF_NOWAIT, which musl lacks */ };
static const char *const level_names[LEVELS] = {
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};
static const char *const colours[LEVELS] = {
    "\033[1;31m", "\033[1;31m", "\033[1;31m", "\033[31m", "\033[33m", "\033[1m", "", "\033[2m"};

static int log_from, manager;
static int level_max = LEVELS - 1;
static bool coloured;

/* What is not written yet of the line, and of the one before it about records that were lost. */
static struct {
	char text[128 + 4 * sizeof(((struct quire_log_record *)0)->text)];
	size_t at, end;
} line;

static void fail(const char *what)
{
	char text[96];
	snprintf(text, sizeof(text), "logview: %s: %s", what, strerror(errno));
	quire_diag(text);
	exit(1);
}

/* --- lines --- */

static void add(const char *text)
{
	size_t n = strlen(text), room = sizeof(line.text) - line.end;
	n = n < room ? n : room;
	memcpy(line.text + line.end, text, n);
	line.end += n;
}

/* Anybody may write to the log, but not to this terminal. */
static void add_escaped(const char *text)
{
	char c[5];
	for (; *text; text++) {
		bool plain = *text >= ' ' && *text < 127 && *text != '\\';
		snprintf(c, sizeof(c), plain ? "%c" : "\\x%02x", (unsigned char)*text);
		add(c);
	}
}

static void add_record(const struct quire_log_record *r)
{
	char head[64];
	unsigned level = r->level < LEVELS ? r->level : LEVELS - 1;
	unsigned long long us = r->time / 1000;
	snprintf(head, sizeof(head), "%5llu.%06llu %s ", us / 1000000, us % 1000000, level_names[level]);
	add(coloured ? colours[level] : "");
	add(head);
	add_escaped(r->subsystem);
	add(": ");
	add_escaped(r->text);
	add(coloured && *colours[level] ? "\033[0m\n" : "\n");
}

/* Make a line of the next record, or none if it is left out. */
static void next_line(void)
{
	struct quire_log_record r;
	char lost[64];
	line.at = line.end = 0;
	if (quire_system_log_read(log_from, &r)) {
		if (errno != EAGAIN)
			fail("cannot read the log");
		return;
	}
	if (r.lost) {
		snprintf(lost, sizeof(lost), "-- %llu records lost --\n", (unsigned long long)r.lost);
		add(lost);
	}
	if (r.level <= level_max)
		add_record(&r);
}

/* Write what there is room for. Only what may make a writer wait knows of not waiting. */
static void write_line(void)
{
	struct iovec rest = {.iov_base = line.text + line.at, .iov_len = line.end - line.at};
	ssize_t n = syscall(SYS_pwritev2, OUTPUT, &rest, 1, -1L, -1L, DO_NOT_WAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		n = writev(OUTPUT, &rest, 1);
	if (n < 0 && errno == EPIPE)
		exit(0);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail("cannot write");
	line.at += n > 0 ? (size_t)n : 0;
}

/* --- waiting --- */

/* "Are you well?" Whatever else is said here is not understood, which the sender learns. */
static void answer(void)
{
	struct quire_message m = {.reply = QUIRE_NO_REPLY};
	const struct quire_message yes = {.reply = QUIRE_NO_REPLY};
	if (quire_endpoint_receive(manager, &m, QUIRE_NOW)) {
		if (errno == EPIPE)
			exit(0);
		if (errno != ETIMEDOUT && errno != EINTR)
			fail("cannot hear the manager");
		return;
	}
	for (unsigned i = 0; i < m.nfds; i++)
		close(m.fds[i]);
	if (m.reply >= 0 && (m.tag != PING || quire_endpoint_reply(m.reply, &yes)))
		close(m.reply);
}

/* Sleep until there is something to do, and do it. */
static void step(void)
{
	bool writes = line.at < line.end;
	struct quire_wait items[2] = {
	    {.fd = writes ? OUTPUT : log_from,
		.mask = writes ? QUIRE_SIGNAL_WRITABLE | QUIRE_SIGNAL_PEER_CLOSED | QUIRE_SIGNAL_ERROR
			       : QUIRE_SIGNAL_HAS_LOG},
	    {.fd = manager, .mask = QUIRE_SIGNAL_READABLE | QUIRE_SIGNAL_PEER_CLOSED}};
	if (quire_object_wait(items, manager >= 0 ? 2 : 1, QUIRE_NEVER) < 0) {
		if (errno != EINTR)
			fail("cannot wait");
		return;
	}
	if (items[1].signals & items[1].mask)
		answer();
	if (!(items[0].signals & items[0].mask))
		return;
	if (!writes)
		next_line();
	if (line.at < line.end)
		write_line();
}

/* --- starting --- */

static int level_of(const char *text)
{
	for (int i = 0; i < LEVELS; i++)
		if (!strcmp(text, level_names[i]) || (text[0] == '0' + i && !text[1]))
			return i;
	return -1;
}

static int usage(void)
{
	static const char text[] =
	    "usage: logview [-n] [-l LEVEL]\n"
	    "  -n        begin with what is written from now on\n"
	    "  -l LEVEL  up to this: 0-7, or emerg, alert, crit, err, warning, notice, info, debug\n"
	    "QUIRE_SYSTEM names the descriptor of a system object, QUIRE_PING that of an endpoint.\n";
	fputs(text, stderr);
	return EXIT_USAGE;
}

static int descriptor(const char *variable)
{
	const char *number = getenv(variable);
	return number ? atoi(number) : -1;
}

int main(int argc, char **argv)
{
	bool from_now = false;
	int letter;
	while ((letter = getopt(argc, argv, "nl:")) != -1) {
		if (letter == '?' || (letter == 'l' && (level_max = level_of(optarg)) < 0))
			return usage();
		from_now |= letter == 'n';
	}
	log_from = descriptor("QUIRE_SYSTEM");
	manager = descriptor("QUIRE_PING");
	if (optind < argc || log_from < 0)
		return usage();
	signal(SIGPIPE, SIG_IGN);
	coloured = isatty(OUTPUT);
	for (struct quire_log_record r; from_now && !quire_system_log_read(log_from, &r);)
		;
	for (;;)
		step();
}
