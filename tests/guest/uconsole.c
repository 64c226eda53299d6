/* uconsole.c - the terminal on the serial port, with somebody at the other end: tests/run/console.py types
 * what this program asks for. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "utap.h"

static int tty;

static bool test_devices(void)
{
	struct stat st;
	struct termios s;
	CHECK(isatty(0) && isatty(1) && isatty(2));
	CHECK(!fstat(0, &st) && st.st_rdev == (5 << 8 | 1));
	CHECK(!fstat(tty, &st) && st.st_rdev == (4 << 8 | 64));
	CHECK(!tcgetattr(tty, &s) && cfgetospeed(&s) == B115200);
	CHECK(tcgetsid(tty) == getpid() && tcgetpgrp(tty) == getpgrp());
	return true;
}

static bool test_line(void)
{
	char buf[64];
	printf("# type: hellx, erase, o, return\n");
	ssize_t n = read(tty, buf, sizeof(buf));
	CHECK(n == 6 && !memcmp(buf, "hello\n", 6));
	return true;
}

static bool test_raw(void)
{
	struct termios s, raw;
	char buf[4];
	CHECK(!tcgetattr(tty, &s));
	raw = s;
	cfmakeraw(&raw);
	CHECK(!tcsetattr(tty, TCSAFLUSH, &raw));
	(void)!write(tty, "# type: one key\r\n", 17);
	CHECK(read(tty, buf, sizeof(buf)) == 1 && buf[0] == '\r');
	CHECK(!tcsetattr(tty, TCSANOW, &s));
	return true;
}

static bool test_interrupt(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGTTOU, SIG_IGN);
		setpgid(0, 0);
		tcsetpgrp(tty, getpid());
		printf("# type: interrupt\n");
		for (;;)
			pause();
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	printf("\n"); /* behind ^C */
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
	signal(SIGTTOU, SIG_IGN);
	CHECK(!tcsetpgrp(tty, getpgrp()));
	return true;
}

static const struct utest tests[] = {
    {"console and ttyS0", test_devices},
    {"a line", test_line},
    {"a key", test_raw},
    {"interrupt", test_interrupt},
};

/* Whoever runs this may lead a session already: take one of our own. */
int main(void)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		tty = open("/dev/ttyS0", O_RDWR);
		exit(tty < 0 ? 2 : UTEST_RUN(tests));
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 1;
	char c; /* the session is over: what it had open would be dead, the console is not */
	tty = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	printf("# type: x, return\n");
	return !(read(0, &c, 1) == 1 && c == 'x' && write(tty, "# end\n", 6) == 6);
}
