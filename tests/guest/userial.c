/*
 * userial.c - terminals that a process drives: this program is the driver of /dev/ttyS1, and the programs
 * that use it. What the driver of a real port does is tests/run/serial.py's.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <quire/calls.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "uroot.h"
#include "utap.h"

enum { OUT_SIZE = 4096, BASE = 115200 };
#define TTY "/dev/ttyS1"
enum { GET_SERIAL = 0x541e, GET_STATUS = 0x5459, WAIT_LINES = 0x545c, GET_COUNTS = 0x545d };

struct serial_struct { /* of linux/serial.h, which not every host has for musl */
	int type, line;
	unsigned port;
	int irq, flags, xmit_fifo_size, divisor, baud_base;
	char rest[40];
};
struct serial_icounter_struct {
	int cts, dsr, rng, dcd, rx, tx, frame, overrun, parity, brk, buf_overrun, reserved[9];
};

static int root = -1;

static bool has(int port, uint64_t signals)
{
	struct quire_wait w = {.fd = port, .mask = signals};
	return quire_object_wait(&w, 1, QUIRE_NOW) == 1;
}

/* A port that does not block; what it said last, and heard. */
static struct quire_ttyport x;

static int new_port(void)
{
	int port = (int)quire_ttyport_create(root, 1);
	x = (struct quire_ttyport){.base = BASE, .kind = 4, .fifo = 16, .port = 0x2f8, .irq = 3};
	return port >= 0 && !fcntl(port, F_SETFL, O_NONBLOCK) && !quire_ttyport_exchange(port, &x) ? port
												   : -1;
}

/* Tell how things are, and do what is wished. */
static bool exchange(int port)
{
	if (quire_ttyport_exchange(port, &x))
		return false;
	x.followed = x.wish;
	return !quire_ttyport_exchange(port, &x);
}

static int open_tty(int flags)
{
	return open(TTY, O_RDWR | O_NOCTTY | flags);
}

/* Raw, and not waiting for anything. */
static bool set_raw(int tty, tcflag_t iflag)
{
	struct termios s;
	CHECK(!tcgetattr(tty, &s));
	s.c_iflag = iflag;
	s.c_oflag &= ~(tcflag_t)OPOST;
	s.c_lflag = 0;
	s.c_cc[VMIN] = 0;
	s.c_cc[VTIME] = 0;
	CHECK(!tcsetattr(tty, TCSANOW, &s));
	return true;
}

static bool reads(int fd, const char *text)
{
	char got[64];
	size_t n = strlen(text);
	return read(fd, got, sizeof(got)) == (ssize_t)n && !memcmp(got, text, n);
}

/* --- life --- */

static bool test_create(void)
{
	struct quire_object_info info;
	struct stat st;
	int less = dup(root), port = (int)quire_ttyport_create(root, 1);
	CHECK(port >= 0 && fcntl(port, F_GETFD) == FD_CLOEXEC);
	CHECK(quire_object_info(port, &info, sizeof(info)) == sizeof(info) && info.type == QUIRE_TTYPORT);
	CHECK(!stat(TTY, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(4, 65));
	CHECK(FAILS_WITH(quire_ttyport_create(root, 1), EBUSY));
	CHECK(FAILS_WITH(quire_ttyport_create(root, 0), EINVAL));
	CHECK(FAILS_WITH(quire_ttyport_create(root, 32), EINVAL));
	CHECK(!quire_rights_limit(less, QUIRE_RIGHTS_ALL & ~(QUIRE_RIGHT_EXEC | QUIRE_RIGHT_MANAGE)));
	CHECK(FAILS_WITH(quire_ttyport_create(less, 2), EACCES));
	int other = (int)quire_ttyport_create(root, 31);
	CHECK(other >= 0 && !stat("/dev/ttyS31", &st) && st.st_rdev == makedev(4, 95));
	close(less);
	close(other);
	close(port);
	CHECK(FAILS_WITH(open_tty(0), ENOENT) && FAILS_WITH(stat("/dev/ttyS31", &st), ENOENT));
	return true;
}

/* Where the device goes: by the end of the driver's last descriptor. Whoever keeps one keeps the terminal. */
static bool test_gone(void)
{
	char c;
	int port = new_port(), kept = dup(port), tty = open_tty(0);
	CHECK(tty >= 0 && write(tty, "x", 1) == 1);
	close(port);
	CHECK(write(tty, "y", 1) == 1 && reads(kept, "xy"));
	close(kept);
	struct pollfd p = {.fd = tty, .events = POLLIN};
	CHECK(poll(&p, 1, 0) == 1 && (p.revents & POLLHUP));
	CHECK(read(tty, &c, 1) == 0 && FAILS_WITH(write(tty, "z", 1), EIO));
	CHECK(FAILS_WITH(ioctl(tty, TIOCOUTQ, &c), EIO));
	port = new_port(); /* another device: nothing of the old one's */
	int again = open_tty(0);
	CHECK(again >= 0 && write(again, "new", 3) == 3 && reads(port, "new"));
	CHECK(FAILS_WITH(write(tty, "z", 1), EIO));
	close(tty);
	CHECK(write(again, "er", 2) == 2 && reads(port, "er"));
	close(again);
	close(port);
	return true;
}

static volatile sig_atomic_t hung_up;

static void on_hup(int number)
{
	(void)number;
	hung_up = 1;
}

/* The leader of a session is told, and has no terminal any more. */
static int leads(void *arg)
{
	int port = *(int *)arg;
	sigset_t hup, old;
	sigemptyset(&hup);
	sigaddset(&hup, SIGHUP);
	sigprocmask(SIG_BLOCK, &hup, &old);
	signal(SIGHUP, on_hup);
	UCHECK(setsid() == getpid());
	int tty = open(TTY, O_RDWR);
	UCHECK(tty >= 0 && tcgetsid(tty) == getpid() && tcgetpgrp(tty) == getpgrp());
	close(port); /* the last */
	while (!hung_up)
		sigsuspend(&old);
	UCHECK(FAILS_WITH(open("/dev/tty", O_RDWR), ENXIO));
	return 0;
}

static bool test_session(void)
{
	int status, port = new_port();
	CHECK(port >= 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(leads(&port));
	close(port);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	return true;
}

/* --- bytes --- */

static void *thread_writes(void *arg)
{
	return (void *)(intptr_t)write(*(int *)arg, "waits", 5);
}

static bool test_output(void)
{
	static char block[OUT_SIZE + 1], got[OUT_SIZE];
	pthread_t t;
	void *wrote;
	int n, port = new_port(), tty = open_tty(0), flags = fcntl(tty, F_GETFL);
	CHECK(!has(port, QUIRE_SIGNAL_READABLE) && FAILS_WITH(read(port, got, 1), EAGAIN));
	CHECK(write(tty, "a\nb", 3) == 3 && has(port, QUIRE_SIGNAL_READABLE));
	CHECK(!ioctl(tty, TIOCOUTQ, &n) && n == 4 && reads(port, "a\r\nb"));
	CHECK(!ioctl(tty, TIOCOUTQ, &n) && n == 0 && !has(port, QUIRE_SIGNAL_READABLE));
	memset(block, 'x', sizeof(block));
	fcntl(tty, F_SETFL, flags | O_NONBLOCK);
	CHECK(write(tty, block, sizeof(block)) == OUT_SIZE);
	CHECK(FAILS_WITH(write(tty, "y", 1), EAGAIN));
	fcntl(tty, F_SETFL, flags);
	CHECK(!pthread_create(&t, NULL, thread_writes, &tty));
	CHECK(read(port, got, OUT_SIZE - 1) == OUT_SIZE - 1 && got[OUT_SIZE - 2] == 'x');
	CHECK(!pthread_join(t, &wrote) && (intptr_t)wrote == 5 && reads(port, "xwaits"));
	CHECK(write(tty, "lost", 4) == 4 && !tcflush(tty, TCOFLUSH));
	CHECK(!has(port, QUIRE_SIGNAL_READABLE) && FAILS_WITH(read(port, got, 1), EAGAIN));
	close(tty);
	CHECK((tty = open_tty(0)) >= 0 && write(tty, "stays", 5) == 5);
	close(tty);
	CHECK(reads(port, "stays")); /* nobody waits for it, and it is sent */
	close(port);
	return true;
}

static bool test_input(void)
{
	static char block[256], got[256];
	size_t in = 0, out = 0;
	ssize_t n;
	int port = new_port();
	CHECK(write(port, "nobody", 6) == 6); /* has it open */
	int tty = open_tty(O_NONBLOCK);
	CHECK(FAILS_WITH(read(tty, got, 1), EAGAIN));
	CHECK(write(port, "helx\177lo\r", 8) == 8 && reads(tty, "hello\n"));
	CHECK(reads(port, "helx\b \blo\r\n")); /* the echo */
	CHECK(set_raw(tty, 0));
	for (unsigned i = 0; i < sizeof(block); i++)
		block[i] = (char)i;
	while ((n = write(port, block, sizeof(block))) > 0)
		in += (size_t)n;
	CHECK(errno == EAGAIN && in >= 8192 && !has(port, QUIRE_SIGNAL_WRITABLE));
	while ((n = read(tty, got, sizeof(got))) > 0)
		for (ssize_t i = 0; i < n; i++)
			CHECK((uint8_t)got[i] == (uint8_t)out++);
	CHECK(out == in && has(port, QUIRE_SIGNAL_WRITABLE));
	struct termios s;
	CHECK(!tcgetattr(tty, &s));
	s.c_cflag &= ~(tcflag_t)CREAD;
	CHECK(!tcsetattr(tty, TCSANOW, &s) && write(port, "deaf", 4) == 4 && read(tty, got, 4) == 0);
	close(tty);
	close(port);
	return true;
}

/* What is bad comes where it came. */
static bool test_faults(void)
{
	struct serial_icounter_struct c;
	int port = new_port(), tty = open_tty(0);
	CHECK(set_raw(tty, PARMRK | INPCK));
	CHECK(write(port, "a", 1) == 1 && !quire_ttyport_fault(port, QUIRE_TTY_PARITY, 'b'));
	CHECK(write(port, "c", 1) == 1 && !quire_ttyport_fault(port, QUIRE_TTY_BREAK, 0));
	CHECK(!quire_ttyport_fault(port, QUIRE_TTY_OVERRUN, 0) && write(port, "\377", 1) == 1);
	char got[16];
	CHECK(read(tty, got, 16) == 10 && !memcmp(got, "a\377\0bc\377\0\0\377\377", 10));
	CHECK(set_raw(tty, 0) && !quire_ttyport_fault(port, QUIRE_TTY_FRAME, 'f') && reads(tty, "f"));
	CHECK(set_raw(tty, IGNPAR | IGNBRK) && !quire_ttyport_fault(port, QUIRE_TTY_FRAME, 'f'));
	CHECK(!quire_ttyport_fault(port, QUIRE_TTY_BREAK, 0) && read(tty, got, 1) == 0);
	CHECK(FAILS_WITH(quire_ttyport_fault(port, 4, 0), EINVAL));
	CHECK(FAILS_WITH(quire_ttyport_fault(port, 0, 256), EINVAL));
	CHECK(!ioctl(tty, GET_COUNTS, &c) && c.parity == 1 && c.frame == 2 && c.brk == 2 && c.overrun == 1);
	CHECK(c.rx == 8 && c.buf_overrun == 0);
	close(tty);
	close(port);
	return true;
}

/* With room for none of it: a fault behind 8 KiB of good bytes stays behind them. */
static bool test_fault_waits(void)
{
	static char block[256], got[256];
	size_t in = 0, out = 0;
	ssize_t n;
	int port = new_port(), tty = open_tty(0);
	CHECK(set_raw(tty, PARMRK | INPCK));
	memset(block, 'x', sizeof(block));
	while ((n = write(port, block, sizeof(block))) > 0)
		in += (size_t)n;
	CHECK(!quire_ttyport_fault(port, QUIRE_TTY_BREAK, 0));
	while ((n = read(tty, got, sizeof(got))) > 0 && got[n - 1] == 'x')
		out += (size_t)n;
	CHECK(n >= 3 && out + (size_t)n - 3 == in && !memcmp(got + n - 3, "\377\0\0", 3));
	close(tty);
	close(port);
	return true;
}

static bool test_flow(void)
{
	int port = new_port(), tty = open_tty(0);
	CHECK(write(tty, "before", 6) == 6 && write(port, "\23", 1) == 1); /* ^S */
	CHECK(!has(port, QUIRE_SIGNAL_READABLE));
	CHECK(!tcflow(tty, TCIOFF) && reads(port, "\23")); /* passes what waits */
	CHECK(write(port, "\21", 1) == 1 && reads(port, "before"));
	CHECK(!tcflow(tty, TCION) && reads(port, "\21") && !has(port, QUIRE_SIGNAL_READABLE));
	close(tty);
	close(port);
	return true;
}

/* --- settings and lines --- */

static bool test_settings(void)
{
	struct termios s;
	int port = new_port(), tty = open_tty(0);
	CHECK(!tcgetattr(tty, &s) && cfgetospeed(&s) == B115200 && cfgetispeed(&s) == B115200);
	CHECK((s.c_cflag & ~(tcflag_t)CBAUD) == (CS8 | CREAD | HUPCL | CLOCAL) && s.c_lflag & ICANON);
	CHECK(has(port, QUIRE_SIGNAL_TTY_WISH) && exchange(port) && !has(port, QUIRE_SIGNAL_TTY_WISH));
	CHECK(x.open && x.speed == 115200 && x.set == (QUIRE_TTY_DTR | QUIRE_TTY_RTS));
	s.c_cflag = CS7 | CREAD | HUPCL | CLOCAL | PARENB | CSTOPB | CRTSCTS;
	CHECK(!cfsetspeed(&s, B9600) && !tcsetattr(tty, TCSANOW, &s));
	struct quire_ttyport told = x; /* by a driver that dies before it does anything */
	CHECK(!quire_ttyport_exchange(port, &told) && told.speed == 9600 && told.wish != x.wish);
	CHECK(has(port, QUIRE_SIGNAL_TTY_WISH) && exchange(port) && !has(port, QUIRE_SIGNAL_TTY_WISH));
	CHECK(x.speed == 9600 && (x.cflag & (CSIZE | PARENB | CSTOPB)) == (CS7 | PARENB | CSTOPB));
	CHECK(!cfsetspeed(&s, B230400) && !tcsetattr(tty, TCSANOW, &s)); /* the device has not */
	CHECK(!tcgetattr(tty, &s) && cfgetospeed(&s) == B9600 && exchange(port) && x.speed == 9600);
	CHECK(!cfsetspeed(&s, B0) && !tcsetattr(tty, TCSANOW, &s) && exchange(port) && x.set == 0);
	CHECK(!cfsetspeed(&s, B9600) && !tcsetattr(tty, TCSANOW, &s) && exchange(port) && x.set);
	close(tty);
	CHECK((tty = open_tty(0)) >= 0 && !tcgetattr(tty, &s) && cfgetospeed(&s) == B9600); /* they stay */
	close(tty);
	close(port);
	return true;
}

static bool test_lines(void)
{
	int n, port = new_port(), tty = open_tty(0);
	struct serial_struct info;
	struct serial_icounter_struct c;
	x.lines = QUIRE_TTY_CTS | QUIRE_TTY_CD | QUIRE_TTY_DTR; /* the last is not the driver's to say */
	CHECK(exchange(port) && !ioctl(tty, TIOCMGET, &n));
	CHECK(n == (TIOCM_CTS | TIOCM_CD | TIOCM_DTR | TIOCM_RTS));
	n = TIOCM_RTS | TIOCM_DSR;
	CHECK(!ioctl(tty, TIOCMBIC, &n) && exchange(port) && x.set == QUIRE_TTY_DTR);
	n = TIOCM_OUT1;
	CHECK(!ioctl(tty, TIOCMBIS, &n) && exchange(port) && x.set == (QUIRE_TTY_DTR | QUIRE_TTY_OUT1));
	n = TIOCM_RTS;
	CHECK(!ioctl(tty, TIOCMSET, &n) && exchange(port) && x.set == QUIRE_TTY_RTS);
	x.changed = QUIRE_TTY_RI; /* it rang, and rings no more */
	CHECK(!quire_ttyport_exchange(port, &x) && !ioctl(tty, GET_COUNTS, &c));
	CHECK(c.rng == 1 && c.cts == 1 && c.dcd == 1 && c.dsr == 0);
	CHECK(!ioctl(tty, GET_SERIAL, &info) && info.type == 4 && info.line == 1);
	CHECK(info.port == 0x2f8 && info.irq == 3 && info.baud_base == BASE && info.xmit_fifo_size == 16);
	CHECK(FAILS_WITH(ioctl(tty, TIOCMGET, BAD), EFAULT) && FAILS_WITH(ioctl(tty, TIOCMSET, BAD), EFAULT));
	close(tty);
	CHECK(exchange(port) && !x.open && x.set == 0); /* HUPCL */
	close(port);
	return true;
}

static _Atomic int running;

static void *thread_waits(void *arg)
{
	running = 1;
	int result = ioctl(*(int *)arg, WAIT_LINES, TIOCM_CTS | TIOCM_RNG);
	running = 2;
	return (void *)(intptr_t)result;
}

/* A change that comes before the wait has begun is not one: change until it ends. */
static bool test_wait_lines(void)
{
	pthread_t t;
	void *result;
	int port = new_port(), tty = open_tty(0);
	running = 0;
	CHECK(!pthread_create(&t, NULL, thread_waits, &tty));
	for (x.changed = QUIRE_TTY_DSR; running != 2; sched_yield()) {
		CHECK(!quire_ttyport_exchange(port, &x));
		x.changed = running ? QUIRE_TTY_CTS : QUIRE_TTY_DSR;
	}
	CHECK(!pthread_join(t, &result) && result == NULL);
	running = 0;
	CHECK(!pthread_create(&t, NULL, thread_waits, &tty));
	close(port);
	CHECK(!pthread_join(t, &result) && result == BAD); /* the device has gone */
	close(tty);
	return true;
}

/* --- waiting --- */

static void *thread_drains(void *arg)
{
	int result = tcdrain(*(int *)arg);
	running = 0;
	return (void *)(intptr_t)result;
}

static bool test_drain(void)
{
	pthread_t t;
	void *result;
	int n, port = new_port(), tty = open_tty(0);
	CHECK(!tcdrain(tty)); /* nothing was written */
	for (unsigned i = 0; i < 50; i++) {
		running = 1;
		CHECK(write(tty, "abc", 3) == 3 && !pthread_create(&t, NULL, thread_drains, &tty));
		x.idle = 1;
		CHECK(exchange(port) && running && reads(port, "abc"));
		x.idle = 0;
		CHECK(exchange(port) && running && !ioctl(tty, GET_STATUS, &n) && n == 0);
		x.idle = 1;
		CHECK(exchange(port) && !pthread_join(t, &result) && result == NULL);
		CHECK(!ioctl(tty, GET_STATUS, &n) && n == 1);
	}
	CHECK(write(tty, "abc", 3) == 3 && !pthread_create(&t, NULL, thread_drains, &tty));
	close(port);
	CHECK(!pthread_join(t, &result) && result == BAD);
	close(tty);
	return true;
}

static bool test_break(void)
{
	int port = new_port(), tty = open_tty(0);
	CHECK(exchange(port) && !ioctl(tty, TIOCSBRK) && has(port, QUIRE_SIGNAL_TTY_WISH));
	CHECK(exchange(port) && x.in_break && !ioctl(tty, TIOCCBRK) && exchange(port) && !x.in_break);
	uint32_t before = x.wish; /* whether we see it or not: one wish begins it, one ends it */
	CHECK(!tcsendbreak(tty, 0) && has(port, QUIRE_SIGNAL_TTY_WISH) && exchange(port));
	CHECK(x.wish == before + 2 && !x.in_break);
	close(tty);
	close(port);
	return true;
}

static void *thread_opens(void *arg)
{
	(void)arg;
	running = 1;
	return (void *)(intptr_t)open_tty(0);
}

/* Without CLOCAL open waits for a carrier, and its loss is a hang-up. */
static bool test_carrier(void)
{
	struct termios s;
	pthread_t t;
	void *opened;
	int n, port = new_port(), tty = open_tty(0);
	CHECK(!tcgetattr(tty, &s));
	s.c_cflag &= ~(tcflag_t)CLOCAL;
	CHECK(!tcsetattr(tty, TCSANOW, &s));
	int other = open_tty(O_NONBLOCK);
	CHECK(other >= 0);
	for (unsigned i = 0; i < 20; i++) {
		running = 0;
		CHECK(!pthread_create(&t, NULL, thread_opens, NULL));
		while (!running)
			usleep(100); /* either order must work */
		if (i % 2)
			usleep(500);
		x.lines = QUIRE_TTY_CD;
		CHECK(exchange(port) && !pthread_join(t, &opened) && (intptr_t)opened >= 0);
		CHECK(!ioctl((int)(intptr_t)opened, TIOCMGET, &n) && (n & TIOCM_CD));
		if (i < 19) {
			s.c_cflag |= CLOCAL; /* its loss is nothing then */
			CHECK(!tcsetattr(tty, TCSANOW, &s));
		}
		x.lines = 0;
		CHECK(exchange(port));
		s.c_cflag &= ~(tcflag_t)CLOCAL;
		CHECK((tcsetattr(tty, TCSANOW, &s) == 0) == (i < 19));
		close((int)(intptr_t)opened);
	}
	CHECK(FAILS_WITH(write(tty, "x", 1), EIO) && FAILS_WITH(write(other, "x", 1), EIO));
	close(other);
	close(tty);
	close(port);
	return true;
}

static const struct utest tests[] = {
    {"ports are made, once each", test_create},
    {"the device goes; it is kept", test_gone},
    {"the session of a device that goes", test_session},
    {"output", test_output},
    {"input", test_input},
    {"faults", test_faults},
    {"a fault waits behind good bytes", test_fault_waits},
    {"flow control", test_flow},
    {"settings", test_settings},
    {"lines", test_lines},
    {"waiting for a line", test_wait_lines},
    {"waiting for the last byte", test_drain},
    {"breaks", test_break},
    {"waiting for a carrier", test_carrier},
};

int main(void)
{
	root = system_given();
	if (root <= 0) {
		printf("1..0 # SKIP nobody gave us the system object\n");
		return 0;
	}
	fcntl(root, F_SETFD, FD_CLOEXEC);
	if (!utest_mounted("/dev", "devtmpfs", "/dev/null"))
		return 1;
	return UTEST_RUN(tests);
}
