/*
 * uline.c - the driver of the second serial port, /service/serial, between programs of this side and a script
 * of the host (tests/run/serial.py) at the other end of the line. The first program of its guest; it stands
 * in for init: it starts the driver, asks it whether it is well, and starts it again.
 *
 * "# host: WORD" on standard output asks the script for its part. Lines of text with a number (LINE_SIZE
 * bytes) go both ways, and "END" behind them.
 */
#include <fcntl.h>
#include <pthread.h>
#include <quire/calls.h>
#include <quire/spawn.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

#include "utap.h"

enum { COM2 = 0x2f8, COM2_LINE = 3, COM_SIZE = 8, NOWHERE = 0x2e8, LCR = 3, MCR = 4 };
enum { LINES = 30000, LINE_SIZE = 18, KILLS = 100, HANDS = 16 /* bytes that a driver has in its hands */ };
#define TTY "/dev/ttyS1"

static int root, port, ping = -1, driver = -1;
static pid_t driver_pid;

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t soon(void)
{
	return now() + 60000000000;
}

/* --- what init does --- */

/* With no more than it needs, for the ports from `first` on. */
static bool start(unsigned first)
{
	static char system_is[] = "QUIRE_SYSTEM=3", keep_is[] = "QUIRE_KEEP=4", ping_is[] = "QUIRE_PING=5",
		    name[] = "serial", where[12];
	char *argv[] = {name, where, NULL}, *envp[] = {system_is, keep_is, ping_is, NULL};
	const struct quire_scope scope = {.irqs = {COM2_LINE, 1}, .ports = {first, COM_SIZE}};
	int ends[2], null = open("/dev/null", O_RDWR), program = open("/service/serial", O_RDONLY),
		     system = (int)quire_system_carve(root, &scope);
	snprintf(where, sizeof(where), "%#x", first);
	CHECK(null >= 0 && program >= 0 && system >= 0 && !quire_endpoint_create(ends, 0));
	const unsigned usual = QUIRE_RIGHT_READ | QUIRE_RIGHT_WRITE;
	const struct quire_gift gifts[] = {{null, 0, usual}, {null, 1, usual}, {null, 2, usual},
	    {system, 3, QUIRE_RIGHT_MAP}, {port, 4, usual | QUIRE_RIGHT_WAIT | QUIRE_RIGHT_MANAGE},
	    {ends[0], 5, QUIRE_RIGHT_READ | QUIRE_RIGHT_WAIT}};
	driver =
	    quire_spawn("serial", program, argv, envp, gifts, sizeof(gifts) / sizeof(gifts[0]), &driver_pid);
	close(null);
	close(program);
	close(system);
	close(ends[0]);
	ping = ends[1];
	return driver >= 0;
}

/* It has ended, by itself or not; its status. */
static int forget(void)
{
	int status = -1;
	while (waitpid(driver_pid, &status, 0) < 0 && errno == EINTR)
		;
	close(ping);
	close(driver);
	ping = -1;
	return status;
}

static bool is_well(void)
{
	struct quire_message m = {.tag = 1};
	return !quire_endpoint_call(ping, &m, soon()) && m.len == 0;
}

/* --- the terminal --- */

static int open_raw(void)
{
	struct termios s;
	int tty = open(TTY, O_RDWR | O_NOCTTY);
	if (tty < 0 || tcgetattr(tty, &s))
		return -1;
	cfmakeraw(&s);
	return tcsetattr(tty, TCSAFLUSH, &s) ? -1 : tty;
}

static void ask_host(const char *word)
{
	printf("# host: %s\n", word);
	fflush(stdout);
}

static bool write_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(fd, bytes, n);
		if (done <= 0)
			return false;
		bytes += done;
		n -= (size_t)done;
	}
	return true;
}

/* What comes, line by line. */
struct lines {
	char buffer[4096];
	size_t from, end;
};

/* The next line, without its end; its length, or -1: the read failed. */
static ssize_t next_line(int tty, struct lines *l, char *line, size_t size)
{
	size_t n = 0;
	for (;;) {
		if (l->from == l->end) {
			ssize_t got = read(tty, l->buffer, sizeof(l->buffer));
			if (got <= 0)
				return -1;
			l->from = 0;
			l->end = (size_t)got;
		}
		char c = l->buffer[l->from++];
		if (c == '\n')
			break;
		if (n < size - 1)
			line[n++] = c;
	}
	line[n] = 0;
	return (ssize_t)n;
}

/* A number, and what follows from it: of two lines that have lost something between them nobody makes one. */
static void make_line(char line[LINE_SIZE + 1], uint32_t n)
{
	snprintf(line, LINE_SIZE + 1, "%08x %08x\n", n, n * 2654435761U);
}

/* The number of a whole line; -1: it is none. */
static long number_of(const char *line)
{
	char whole[LINE_SIZE + 1];
	uint32_t n = (uint32_t)strtoul(line, NULL, 16);
	make_line(whole, n);
	whole[LINE_SIZE - 1] = 0;
	return strcmp(line, whole) ? -1 : (long)n;
}

/* --- traffic --- */

struct traffic {
	int tty;
	_Atomic unsigned long sent, received; /* lines */
	_Atomic bool stop;                    /* enough was sent */
	unsigned long last, damaged; /* number of the last line that came whole; lines that did not */
	bool ended, ascending;
};

static void *thread_sends(void *arg)
{
	struct traffic *t = arg;
	char line[LINE_SIZE + 1];
	while (!t->stop) {
		make_line(line, (uint32_t)t->sent);
		if (!write_all(t->tty, line, LINE_SIZE))
			return arg;
		t->sent++;
	}
	return write_all(t->tty, "\nEND\n", 5) ? NULL : arg;
}

static void *thread_receives(void *arg)
{
	static struct lines l;
	struct traffic *t = arg;
	char line[64] = "";
	l.from = l.end = 0;
	t->ascending = true;
	while (next_line(t->tty, &l, line, sizeof(line)) >= 0 && strcmp(line, "END")) {
		long n = number_of(line);
		t->damaged += n < 0;
		if (n >= 0) {
			t->ascending &= t->received == 0 || (unsigned long)n > t->last;
			t->last = (unsigned long)n;
			t->received++;
		}
	}
	t->ended = !strcmp(line, "END");
	return NULL;
}

static bool begin_traffic(struct traffic *t, pthread_t threads[2])
{
	CHECK((t->tty = open_raw()) >= 0);
	ask_host("lines");
	CHECK(!pthread_create(&threads[0], NULL, thread_sends, t));
	CHECK(!pthread_create(&threads[1], NULL, thread_receives, t));
	return true;
}

static bool end_traffic(struct traffic *t, pthread_t threads[2])
{
	void *failed;
	t->stop = true;
	CHECK(!pthread_join(threads[0], &failed) && !failed);
	CHECK(!pthread_join(threads[1], NULL) && t->ended && t->ascending);
	close(t->tty);
	return true;
}

/* --- tests --- */

static bool test_start(void)
{
	CHECK((port = (int)quire_ttyport_create(root, 1)) >= 0);
	CHECK(start(COM2) && is_well() && is_well());
	return true;
}

/* A megabyte in all, both ways at once: nothing is missing. */
static bool test_duplex(void)
{
	struct traffic t = {0};
	pthread_t threads[2];
	CHECK(begin_traffic(&t, threads));
	while (t.sent < LINES)
		usleep(10000);
	CHECK(end_traffic(&t, threads));
	CHECK(t.received >= LINES && t.damaged == 1 &&
	      t.last == t.received - 1); /* the empty line before END */
	return true;
}

static uint8_t in(unsigned at)
{
	uint8_t value;
	__asm__ volatile("inb %w1, %0" : "=a"(value) : "Nd"(at));
	return value;
}

/* The driver follows at its own pace. */
static bool becomes(unsigned at, uint8_t bits, uint8_t value)
{
	for (uint64_t end = soon(); now() < end; usleep(1000))
		if ((in(at)&bits) == value)
			return true;
	printf("# register %#x is %#x, not %#x\n", at, in(at), value);
	return false;
}

static bool has_divisor(unsigned divisor)
{
	uint8_t lcr = in(COM2 + LCR);
	__asm__ volatile("outb %b0, %w1" : : "a"(lcr | 0x80), "Nd"(COM2 + LCR));
	unsigned found = in(COM2) | (unsigned)in(COM2 + 1) << 8;
	__asm__ volatile("outb %b0, %w1" : : "a"(lcr), "Nd"(COM2 + LCR));
	return found == divisor;
}

static int sees_settings(void *arg)
{
	struct termios s;
	int n = TIOCM_RTS, tty = open_raw();
	(void)arg;
	UCHECK(!quire_system_ports(root, COM2, COM_SIZE) && !tcgetattr(tty, &s));
	UCHECK(becomes(COM2 + LCR, 0xff, 0x13) && has_divisor(1) && becomes(COM2 + MCR, 0x1f, 0x0b));
	s.c_cflag = CS7 | PARENB | CSTOPB | CREAD | CLOCAL | HUPCL;
	cfsetspeed(&s, B9600);
	UCHECK(!tcsetattr(tty, TCSADRAIN, &s) && becomes(COM2 + LCR, 0xff, 0x1e) && has_divisor(12));
	UCHECK(!ioctl(tty, TIOCMBIC, &n) && becomes(COM2 + MCR, 0x1f, 0x09));
	UCHECK(!ioctl(tty, TIOCSBRK) && becomes(COM2 + LCR, 0xff, 0x5e));
	UCHECK(!ioctl(tty, TIOCCBRK) && becomes(COM2 + LCR, 0xff, 0x1e));
	s.c_cflag = CS8 | CREAD | CLOCAL | HUPCL;
	cfsetspeed(&s, B115200);
	UCHECK(!tcsetattr(tty, TCSADRAIN, &s) && becomes(COM2 + LCR, 0xff, 0x13) && has_divisor(1));
	close(tty);
	UCHECK(becomes(COM2 + MCR, 0x1f, 0x08)); /* HUPCL */
	return 0;
}

static bool test_settings(void)
{
	CHECK(child_exits(sees_settings, NULL, 0) && is_well());
	return true;
}

/* The UART talks to itself: lines that are set are seen; and drain says when all was sent. */
static bool test_loop(void)
{
	int n = TIOCM_LOOP | TIOCM_RTS | TIOCM_DTR, tty = open_raw();
	char got[4] = "";
	CHECK(!ioctl(tty, TIOCMSET, &n));
	for (uint64_t end = soon(); now() < end && !ioctl(tty, TIOCMGET, &n) && !(n & TIOCM_CTS);)
		usleep(1000);
	CHECK((n & (TIOCM_CTS | TIOCM_DSR | TIOCM_RI)) == (TIOCM_CTS | TIOCM_DSR));
	CHECK(write(tty, "loop", 4) == 4 && !tcdrain(tty));
	for (size_t at = 0; at < 4; at++)
		CHECK(read(tty, got + at, 1) == 1);
	CHECK(!memcmp(got, "loop", 4));
	n = TIOCM_RTS | TIOCM_DTR;
	CHECK(!ioctl(tty, TIOCMSET, &n));
	close(tty);
	return true;
}

/* A hundred drivers are killed while lines go both ways. Programs see no error, what comes stays in order,
 * and a kill costs no more than what the driver had in its hands.
 */
static bool test_kills(void)
{
	struct traffic t = {0};
	pthread_t threads[2];
	uint64_t slowest = 0;
	CHECK(begin_traffic(&t, threads));
	for (unsigned i = 0; i < KILLS; i++) {
		unsigned long sent = t.sent + 240 + i, received = t.received + i; /* more than waits */
		for (uint64_t end = soon(); t.sent < sent || t.received <= received; usleep(100))
			CHECK(now() < end);
		uint64_t killed = now();
		CHECK(!kill(driver_pid, SIGKILL) && WIFSIGNALED(forget()) && start(COM2) && is_well());
		slowest = now() - killed > slowest ? now() - killed : slowest;
	}
	printf("# %u drivers: the slowest was well again %u ms after the kill\n", KILLS,
	    (unsigned)(slowest / 1000000));
	CHECK(end_traffic(&t, threads));
	unsigned long lost = (t.last + 1 - t.received) * LINE_SIZE;
	printf("# of %lu lines %lu are missing, %lu came damaged\n", t.last + 1, t.last + 1 - t.received,
	    t.damaged - 1);
	CHECK(lost <= KILLS * (HANDS + 2 * (LINE_SIZE - 1))); /* a line that lost a byte is missing */
	return true;
}

/* Where no device is all reads are ones: the driver says so, and that there is no use in another one. */
static bool test_nowhere(void)
{
	close(ping);
	int status = -1;
	CHECK(waitpid(driver_pid, &status, 0) == driver_pid && status == 0); /* its manager had gone */
	close(driver);
	CHECK(start(NOWHERE) && forget() == ENXIO << 8);
	CHECK(start(COM2) && is_well());
	return true;
}

/* --- a session --- */

/* What a getty does: the tests before have left it raw. */
static bool make_sane(int tty)
{
	struct termios s;
	CHECK(!tcgetattr(tty, &s));
	s.c_iflag = ICRNL | IXON;
	s.c_oflag = OPOST | ONLCR;
	s.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
	CHECK(!tcsetattr(tty, TCSAFLUSH, &s));
	return true;
}

static int runs_bash(void *arg)
{
	char *argv[] = {"bash", "--norc", "--noprofile", "--noediting", "-i", NULL},
	     *envp[] = {"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "TERM=dumb", "PS1=ready$ ", "HOME=/", NULL};
	(void)arg;
	UCHECK(!chroot("/newroot") && !chdir("/") && setsid() == getpid());
	int tty = open(TTY, O_RDWR);
	UCHECK(tty >= 0 && tcgetsid(tty) == getpid() && make_sane(tty));
	for (int i = 0; i < 3; i++)
		dup2(tty, i);
	execve("/bin/bash", argv, envp);
	return 127;
}

static bool test_session(void)
{
	mkdir("/newroot", 0755);
	if (mount("/dev/vda", "/newroot", "ext2", MS_RDONLY, NULL)) {
		printf("# no disk with a root: no session\n");
		return true;
	}
	CHECK(!mount("devtmpfs", "/newroot/dev", "devtmpfs", 0, NULL));
	CHECK(!mount("proc", "/newroot/proc", "proc", 0, NULL));
	ask_host("session");
	CHECK(child_exits(runs_bash, NULL, 5));
	umount("/newroot/proc");
	umount("/newroot/dev");
	CHECK(!umount("/newroot"));
	return true;
}

static bool test_end(void)
{
	CHECK(is_well());
	close(ping);
	int status = -1;
	CHECK(waitpid(driver_pid, &status, 0) == driver_pid && status == 0);
	close(port);
	CHECK(FAILS_WITH(open(TTY, O_RDWR), ENOENT));
	return true;
}

static const struct utest tests[] = {
    {"the driver is started, and is well", test_start},
    {"a megabyte, both ways at once", test_duplex},
    {"what settings ask for is in the UART", test_settings},
    {"lines and drain", test_loop},
    {"a hundred kills", test_kills},
    {"its manager goes; no device is there", test_nowhere},
    {"a session of bash", test_session},
    {"the end", test_end},
};

int main(void)
{
	root = (int)getauxval(QUIRE_AT_SYSTEM);
	if (root <= 0 || !utest_mounted("/dev", "devtmpfs", "/dev/null"))
		return 1;
	return UTEST_RUN(tests);
}
