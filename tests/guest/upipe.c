/*
 * upipe.c - pipes as channels between processes: what part of a read or write is done, what is there after
 * the writer has gone, and who is woken by what. Linux's calls only, so it runs there as well.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>

#include "utap.h"

enum { CAPACITY = 65536, ALL = 100000, TRIES = 50 };
enum { OUT, IN }; /* ends: to read from, to write to */
static int ends[2];
static char bytes[ALL], got[2 * ALL];

static bool make(int flags)
{
	for (unsigned i = 0; i < ALL; i++)
		bytes[i] = (char)(i ^ i >> 8);
	return pipe2(ends, flags) == 0;
}

static int end_of(pid_t pid)
{
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static pid_t start(int (*fn)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn());
	return pid;
}

/* --- parts --- */

static bool test_short_read(void)
{
	CHECK(make(O_NONBLOCK) && FAILS_WITH(read(ends[OUT], got, 1), EAGAIN));
	CHECK(write(ends[IN], bytes, 10) == 10 && write(ends[IN], bytes + 10, 5) == 5);
	CHECK(read(ends[OUT], got, 3) == 3 && read(ends[OUT], got + 3, ALL) == 12);
	CHECK(!memcmp(got, bytes, 15) && FAILS_WITH(read(ends[OUT], got, 1), EAGAIN));
	CHECK(read(ends[OUT], got, 0) == 0 && write(ends[IN], bytes, 0) == 0);
	close(ends[OUT]);
	close(ends[IN]);
	return true;
}

static bool test_short_write(void)
{
	CHECK(make(O_NONBLOCK) && write(ends[IN], bytes, ALL) == CAPACITY);
	CHECK(FAILS_WITH(write(ends[IN], bytes, 1), EAGAIN));
	CHECK(
	    read(ends[OUT], got, 4096) == 4096 && write(ends[IN], bytes + CAPACITY, ALL - CAPACITY) == 4096);
	CHECK(read(ends[OUT], got + 4096, ALL) == CAPACITY);
	CHECK(!memcmp(got, bytes, CAPACITY + 4096));
	close(ends[OUT]);
	close(ends[IN]);
	return true;
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* A write that sleeps, and is ended by a signal, tells how much is in the pipe. */
static bool test_interrupted_write(void)
{
	struct sigaction sa = {.sa_handler = on_alarm}, old;
	const struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
	CHECK(make(0));
	sigaction(SIGALRM, &sa, &old);
	setitimer(ITIMER_REAL, &often, NULL);
	ssize_t n = write(ends[IN], bytes, ALL);
	bool none = FAILS_WITH(write(ends[IN], bytes, 1), EINTR);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	CHECK(n == CAPACITY && none && read(ends[OUT], got, ALL) == CAPACITY);
	CHECK(!memcmp(got, bytes, CAPACITY));
	close(ends[OUT]);
	close(ends[IN]);
	return true;
}

static int child_writes_all(void)
{
	close(ends[OUT]);
	UCHECK(write(ends[IN], bytes, ALL) == ALL);
	return 0;
}

/* One write that does not fit, and the reads that make room for it. */
static bool test_large_write(void)
{
	size_t have = 0;
	CHECK(make(0));
	pid_t pid = start(child_writes_all);
	close(ends[IN]);
	for (ssize_t n; (n = read(ends[OUT], got + have, 777)) != 0; have += (size_t)n)
		CHECK(n > 0 && have + (size_t)n <= ALL);
	CHECK(have == ALL && !memcmp(got, bytes, ALL) && end_of(pid) == 0);
	close(ends[OUT]);
	return true;
}

/* --- the other side goes --- */

static bool test_writer_gone(void)
{
	struct pollfd p = {.events = POLLIN};
	CHECK(make(0) && write(ends[IN], bytes, 5000) == 5000);
	close(ends[IN]);
	p.fd = ends[OUT];
	CHECK(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLHUP));
	CHECK(read(ends[OUT], got, 4999) == 4999 && read(ends[OUT], got + 4999, 10) == 1);
	CHECK(!memcmp(got, bytes, 5000) && poll(&p, 1, 0) == 1 && p.revents == POLLHUP);
	CHECK(read(ends[OUT], got, 1) == 0 && read(ends[OUT], got, 1) == 0);
	close(ends[OUT]);
	return true;
}

static int child_writes_and_is_killed(void)
{
	if (write(ends[IN], bytes, 1000) == 1000)
		kill(getpid(), SIGKILL);
	return 1;
}

/* What a process wrote before it was killed is there, and then it is the end. */
static bool test_writer_killed(void)
{
	for (unsigned i = 0; i < TRIES; i++) {
		CHECK(make(0));
		pid_t pid = start(child_writes_and_is_killed);
		close(ends[IN]);
		CHECK(read(ends[OUT], got, ALL) == 1000 && read(ends[OUT], got, ALL) == 0);
		CHECK(WIFSIGNALED(end_of(pid)));
		close(ends[OUT]);
	}
	return true;
}

/* It is no end while anybody could still write. */
static bool test_other_writer(void)
{
	CHECK(make(O_NONBLOCK));
	int other = dup(ends[IN]);
	close(ends[IN]);
	CHECK(FAILS_WITH(read(ends[OUT], got, 1), EAGAIN) && write(other, bytes, 1) == 1);
	close(other);
	CHECK(read(ends[OUT], got, 2) == 1 && read(ends[OUT], got, 1) == 0);
	close(ends[OUT]);
	return true;
}

static int child_reads_one(void)
{
	close(ends[IN]);
	UCHECK(read(ends[OUT], got, 1) == 0);
	return 0;
}

/* In either order: the reader sleeps already, or finds the end. */
static bool test_reader_woken(void)
{
	for (unsigned i = 0; i < TRIES; i++) {
		CHECK(make(0));
		pid_t pid = start(child_reads_one);
		close(ends[OUT]);
		if (i % 2)
			usleep(1000);
		close(ends[IN]);
		CHECK(end_of(pid) == 0);
	}
	return true;
}

static int child_writes_too_much(void)
{
	signal(SIGPIPE, SIG_IGN);
	close(ends[OUT]);
	ssize_t n = write(ends[IN], bytes, ALL);
	UCHECK(n == CAPACITY || (n == -1 && errno == EPIPE)); /* told what was taken, if anything was */
	UCHECK(FAILS_WITH(write(ends[IN], bytes, 1), EPIPE));
	signal(SIGPIPE, SIG_DFL);
	n = write(ends[IN], bytes, 1);
	return 1;
}

static bool test_writer_woken(void)
{
	for (unsigned i = 0; i < TRIES; i++) {
		CHECK(make(0));
		pid_t pid = start(child_writes_too_much);
		close(ends[IN]);
		if (i % 2)
			usleep(1000);
		close(ends[OUT]);
		int status = end_of(pid);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
	}
	return true;
}

/* --- standard input and output --- */

static int back[2];

static int child_is_a_filter(void)
{
	dup2(ends[OUT], 0);
	dup2(back[IN], 1);
	for (unsigned i = 0; i < 2; i++) {
		close(ends[i]);
		close(back[i]);
	}
	for (int c; (c = getchar()) != EOF;)
		putchar(toupper(c));
	return fflush(stdout) || ferror(stdin);
}

static bool test_standard(void)
{
	const char *text = "what goes in\ncomes out";
	size_t have = 0;
	CHECK(make(0) && pipe(back) == 0);
	pid_t pid = start(child_is_a_filter);
	close(ends[OUT]);
	close(back[IN]);
	CHECK(write(ends[IN], text, strlen(text)) == (ssize_t)strlen(text));
	close(ends[IN]);
	for (ssize_t n; (n = read(back[OUT], got + have, 100)) > 0;)
		have += (size_t)n;
	got[have] = 0;
	CHECK(!strcmp(got, "WHAT GOES IN\nCOMES OUT") && end_of(pid) == 0);
	close(back[OUT]);
	return true;
}

static const struct utest tests[] = {
    {"a read gets what there is", test_short_read},
    {"a write puts what fits", test_short_write},
    {"a write that a signal ends", test_interrupted_write},
    {"a write that does not fit", test_large_write},
    {"what was written is there when the writer has gone", test_writer_gone},
    {"and when it was killed", test_writer_killed},
    {"while there is another writer it is no end", test_other_writer},
    {"a reader is woken by the end", test_reader_woken},
    {"a writer is woken when nobody reads", test_writer_woken},
    {"standard input and output", test_standard},
};

int main(void)
{
	return UTEST_RUN(tests);
}
