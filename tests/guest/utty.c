/* utty.c - terminals as programs see them: ptys, sessions, job control, hang-ups. The line discipline itself
 * has tests/host/test_ldisc.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "utap.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

/* In a child: report and end. */
#define NEED(cond)                                                                                           \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			printf("# %s:%d: failed in a child: %s (errno %d)\n", __FILE__, __LINE__, #cond,     \
			    errno);                                                                          \
			fflush(stdout);                                                                      \
			_exit(1);                                                                            \
		}                                                                                            \
	} while (0)

struct term {
	int master, slave, number;
	char name[32];
};

static bool term_open(struct term *t)
{
	int zero = 0;
	t->slave = -1;
	t->master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->master < 0 || ioctl(t->master, TIOCGPTN, &t->number) || ioctl(t->master, TIOCSPTLCK, &zero))
		return false;
	snprintf(t->name, sizeof(t->name), "/dev/pts/%d", t->number);
	return true;
}

static bool term_open_both(struct term *t)
{
	if (!term_open(t))
		return false;
	t->slave = open(t->name, O_RDWR | O_NOCTTY);
	return t->slave >= 0;
}

static void term_close(struct term *t)
{
	close(t->slave);
	close(t->master);
}

static short polled(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};
	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static bool set_local(int fd, tcflag_t set, tcflag_t clear, int min, int time)
{
	struct termios s;
	if (tcgetattr(fd, &s))
		return false;
	s.c_lflag = (s.c_lflag & ~clear) | set;
	s.c_cc[VMIN] = (cc_t)min;
	s.c_cc[VTIME] = (cc_t)time;
	return tcsetattr(fd, TCSANOW, &s) == 0;
}

static bool reads(int fd, const char *expected)
{
	char buf[256];
	size_t n = strlen(expected), got = 0;
	while (got < n) {
		ssize_t part = read(fd, buf + got, n - got);
		if (part <= 0)
			return false;
		got += (size_t)part;
	}
	return memcmp(buf, expected, n) == 0;
}

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void nap(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&ts, NULL);
}

/* ------------------------------------------------------------------ pairs */

static bool test_names(void)
{
	struct term t;
	struct stat st;
	int value = 0, one = 1;
	t.master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	CHECK(t.master >= 0);
	CHECK(!ioctl(t.master, TIOCGPTN, &t.number));
	snprintf(t.name, sizeof(t.name), "/dev/pts/%d", t.number);
	CHECK(!stat(t.name, &st));
	CHECK(S_ISCHR(st.st_mode));
	/* As devpts is usually mounted; a bare one has neither mode nor group. */
	CHECK(((st.st_mode & 0777) == 0620 && st.st_gid == 5) || (st.st_mode & 0777) == 0600);
	CHECK(st.st_rdev == (dev_t)(136 << 8 | t.number));
	CHECK(st.st_uid == geteuid());
	CHECK(!ioctl(t.master, TIOCGPTLCK, &value) && value == 1);
	CHECK(FAILS_WITH(open(t.name, O_RDWR | O_NOCTTY), EIO));
	value = 0;
	CHECK(!ioctl(t.master, TIOCSPTLCK, &value));
	CHECK(!ioctl(t.master, TIOCGPTLCK, &value) && value == 0);
	t.slave = open(t.name, O_RDWR | O_NOCTTY);
	CHECK(t.slave >= 0);
	CHECK(isatty(t.slave) && isatty(t.master));
	CHECK(!fstat(t.slave, &st) && st.st_rdev == (dev_t)(136 << 8 | t.number));
	CHECK(!fstat(t.master, &st) && st.st_rdev == (5 << 8 | 2));
	CHECK(FAILS_WITH(ioctl(t.slave, TIOCGPTN, &value), ENOTTY));
	CHECK(FAILS_WITH(ioctl(t.slave, TIOCSPTLCK, &one), ENOTTY));
	CHECK(FAILS_WITH(lseek(t.slave, 0, SEEK_SET), ESPIPE));
	CHECK(FAILS_WITH(pread(t.slave, &value, 1, 0), ESPIPE));
	CHECK(fcntl(t.slave, F_GETFL) == (O_RDWR | 0100000) || fcntl(t.slave, F_GETFL) == O_RDWR);
	close(t.slave);
	close(t.master);
	CHECK(FAILS_WITH(stat(t.name, &st), ENOENT));
	return true;
}

static bool test_both_ways(void)
{
	struct term t;
	CHECK(term_open_both(&t));
	CHECK(polled(t.master, POLLIN | POLLOUT) == POLLOUT);
	CHECK(polled(t.slave, POLLIN | POLLOUT) == POLLOUT);
	CHECK(write(t.master, "hel", 3) == 3);
	CHECK(reads(t.master, "hel"));
	CHECK(polled(t.slave, POLLIN) == 0);
	CHECK(write(t.master, "lo\n", 3) == 3);
	CHECK(polled(t.slave, POLLIN) == POLLIN);
	CHECK(reads(t.slave, "hello\n") && reads(t.master, "lo\r\n"));
	CHECK(write(t.slave, "a\nb\n", 4) == 4);
	CHECK(reads(t.master, "a\r\nb\r\n"));
	CHECK(write(t.slave, "", 0) == 0);
	term_close(&t);
	return true;
}

static bool test_slave_closes(void)
{
	struct term t;
	char c;
	CHECK(term_open_both(&t));
	CHECK(write(t.slave, "last", 4) == 4);
	close(t.slave);
	nap(20);
	CHECK(polled(t.master, POLLIN) == (POLLIN | POLLHUP));
	CHECK(reads(t.master, "last"));
	CHECK(FAILS_WITH(read(t.master, &c, 1), EIO));
	CHECK(polled(t.master, POLLIN | POLLOUT) == (POLLHUP | POLLOUT));
	CHECK(write(t.master, "kept\n", 5) == 5);
	t.slave = open(t.name, O_RDWR | O_NOCTTY);
	CHECK(t.slave >= 0);
	CHECK(!(polled(t.master, POLLIN) & POLLHUP));
	CHECK(reads(t.slave, "kept\n"));
	CHECK(write(t.slave, "x", 1) == 1);
	CHECK(reads(t.master, "kept\r\nx"));
	int second = open(t.name, O_RDWR | O_NOCTTY);
	close(t.slave);
	CHECK(second >= 0 && !(polled(t.master, POLLIN) & POLLHUP));
	close(second);
	CHECK(polled(t.master, POLLIN) & POLLHUP);
	close(t.master);
	return true;
}

static bool test_master_closes(void)
{
	struct term t;
	struct termios s;
	int group;
	char c;
	CHECK(term_open_both(&t));
	CHECK(write(t.master, "lost\n", 5) == 5);
	close(t.master);
	CHECK(read(t.slave, &c, 1) == 0);
	CHECK(FAILS_WITH(write(t.slave, "x", 1), EIO));
	CHECK(polled(t.slave, POLLIN | POLLOUT) == (POLLIN | POLLOUT | POLLHUP | POLLERR));
	CHECK(FAILS_WITH(tcgetattr(t.slave, &s), EIO));
	CHECK(FAILS_WITH(ioctl(t.slave, TIOCSPGRP, &group), ENOTTY));
	CHECK(FAILS_WITH(open(t.name, O_RDWR | O_NOCTTY), ENOENT));
	close(t.slave);
	return true;
}

static int read_to_end(void *arg)
{
	struct term *t = arg;
	char c;
	close(t->master);
	if (!FAILS_WITH(read(t->slave, &c, 1), EIO)) /* who slept then is told so */
		return 31;
	return read(t->slave, &c, 1) == 0 ? 30 : 32;
}

static int write_to_end(void *arg)
{
	static char many[65536];
	struct term *t = arg;
	close(t->master);
	memset(many, 'x', sizeof(many));
	ssize_t n = 1;
	while (n > 0)
		n = write(t->slave, many, sizeof(many));
	return errno == EIO ? 20 : 21;
}

/* Sleepers on the slave wake when the master goes. */
static bool test_wake_by_hang_up(void)
{
	int (*const fns[])(void *) = {read_to_end, write_to_end};
	for (int i = 0; i < 2; i++) {
		struct term t;
		int status;
		CHECK(term_open_both(&t));
		pid_t pid = fork();
		if (pid == 0)
			_exit(fns[i](&t));
		nap(50);
		CHECK(waitpid(pid, &status, WNOHANG) == 0);
		close(t.master);
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
		CHECK(WEXITSTATUS(status) == (i ? 20 : 30));
		close(t.slave);
	}
	return true;
}

static bool test_many(void)
{
	enum { MANY = 40 };
	struct term t[MANY], again;
	for (int i = 0; i < MANY; i++)
		CHECK(term_open_both(&t[i]));
	for (int i = 0; i < MANY; i++)
		for (int k = 0; k < i; k++)
			CHECK(t[i].number != t[k].number);
	int freed = t[7].number;
	term_close(&t[7]);
	CHECK(term_open_both(&again));
	CHECK(again.number == freed);
	term_close(&again);
	for (int i = 0; i < MANY; i++)
		if (i != 7)
			term_close(&t[i]);
	return true;
}

static bool test_peer(void)
{
	struct term t;
	CHECK(term_open(&t));
	int peer = ioctl(t.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(peer >= 0);
	CHECK(fcntl(peer, F_GETFD) == FD_CLOEXEC);
	CHECK(write(peer, "x", 1) == 1 && reads(t.master, "x"));
	CHECK(FAILS_WITH(ioctl(peer, TIOCGPTPEER, O_RDWR), ENOTTY) || errno == EIO);
	close(peer);
	close(t.master);
	return true;
}

static bool test_packets(void)
{
	struct term t;
	char buf[16];
	int on = 1;
	CHECK(term_open_both(&t));
	CHECK(!ioctl(t.master, TIOCPKT, &on));
	CHECK(write(t.slave, "ab", 2) == 2);
	CHECK(read(t.master, buf, 16) == 3 && !memcmp(buf, "\0ab", 3));
	CHECK(!tcflow(t.slave, TCOOFF));
	CHECK(polled(t.master, POLLIN | POLLPRI) == (POLLIN | POLLPRI));
	CHECK(read(t.master, buf, 16) == 1 && buf[0] == TIOCPKT_STOP);
	CHECK(!tcflow(t.slave, TCOON));
	CHECK(read(t.master, buf, 16) == 1 && buf[0] == TIOCPKT_START);
	CHECK(!tcflush(t.slave, TCIOFLUSH));
	CHECK(read(t.master, buf, 16) == 1 && buf[0] == (TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE));
	struct termios s;
	CHECK(!tcgetattr(t.slave, &s));
	s.c_iflag &= (tcflag_t)~IXON;
	CHECK(!tcsetattr(t.slave, TCSANOW, &s));
	CHECK(read(t.master, buf, 16) == 1 && buf[0] == TIOCPKT_NOSTOP);
	on = 0;
	CHECK(!ioctl(t.master, TIOCPKT, &on));
	CHECK(write(t.slave, "c", 1) == 1);
	CHECK(read(t.master, buf, 16) == 1 && buf[0] == 'c');
	term_close(&t);
	return true;
}

/* ------------------------------------------------------------------ settings */

static bool test_settings(void)
{
	struct term t;
	struct termios s, m;
	CHECK(term_open_both(&t));
	CHECK(!tcgetattr(t.slave, &s));
	CHECK(s.c_iflag == (ICRNL | IXON));
	CHECK(s.c_oflag == (OPOST | ONLCR));
	CHECK(s.c_cflag == (B38400 | CS8 | CREAD));
	CHECK(s.c_lflag == (ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN));
	CHECK(s.c_cc[VINTR] == 3 && s.c_cc[VEOF] == 4 && s.c_cc[VERASE] == 127 && s.c_cc[VMIN] == 1);
	s.c_lflag &= (tcflag_t)~ECHO;
	s.c_cflag = B115200 | CS5 | PARENB;
	CHECK(!tcsetattr(t.master, TCSADRAIN, &s)); /* is the slave's */
	CHECK(!tcgetattr(t.slave, &m));
	CHECK(m.c_lflag == s.c_lflag && m.c_cflag == (B115200 | CS8 | CREAD));
	CHECK(cfgetospeed(&m) == B115200);
	CHECK(write(t.master, "gone\n", 5) == 5);
	nap(20);
	CHECK(!tcsetattr(t.slave, TCSAFLUSH, &s));
	int n = -1;
	CHECK(!ioctl(t.slave, FIONREAD, &n) && n == 0);
	CHECK(!ioctl(t.slave, TIOCOUTQ, &n) && n == 0);
	CHECK(!ioctl(t.slave, TIOCGETD, &n) && n == 0);
	CHECK(FAILS_WITH(ioctl(t.slave, 0x4b33, &n), ENOTTY)); /* KDGKBTYPE */
	CHECK(FAILS_WITH(ioctl(t.slave, TIOCMGET, &n), ENOTTY) || errno == EINVAL);
	CHECK(FAILS_WITH(ioctl(t.slave, TCFLSH, 7), EINVAL));
	CHECK(FAILS_WITH(ioctl(t.slave, TCXONC, 7), EINVAL));
	CHECK(!tcsendbreak(t.slave, 0));
	CHECK(!tcdrain(t.slave));
	term_close(&t);
	return true;
}

static volatile sig_atomic_t got_signal;
static void note_signal(int signo)
{
	got_signal = signo;
}

static bool test_timed_reads(void)
{
	struct term t;
	char buf[16];
	CHECK(term_open_both(&t));
	CHECK(set_local(t.slave, 0, ICANON | ECHO, 0, 2));
	double start = now();
	CHECK(read(t.slave, buf, 16) == 0);
	CHECK(now() - start > 0.15 && now() - start < 3);
	CHECK(write(t.master, "ab", 2) == 2);
	CHECK(read(t.slave, buf, 16) == 2);
	CHECK(set_local(t.slave, 0, 0, 4, 2));
	CHECK(write(t.master, "abc", 3) == 3);
	start = now();
	CHECK(read(t.slave, buf, 16) == 3);
	CHECK(now() - start > 0.15 && now() - start < 3);
	CHECK(set_local(t.slave, 0, 0, 0, 0));
	CHECK(read(t.slave, buf, 16) == 0);
	CHECK(set_local(t.slave, 0, 0, 3, 0));
	CHECK(write(t.master, "ab", 2) == 2);
	nap(20);
	CHECK(polled(t.slave, POLLIN) == 0);
	CHECK(write(t.master, "c", 1) == 1);
	nap(20);
	CHECK(polled(t.slave, POLLIN) == POLLIN);
	CHECK(read(t.slave, buf, 16) == 3);
	CHECK(fcntl(t.slave, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
	CHECK(FAILS_WITH(read(t.slave, buf, 16), EAGAIN));
	CHECK(write(t.master, "ab", 2) == 2);
	nap(20);
	CHECK(read(t.slave, buf, 16) == 2);
	term_close(&t);
	return true;
}

/* Until nothing goes any more, and on when the other side reads. */
static bool test_full(void)
{
	static char many[65536];
	struct term t;
	size_t total = 0;
	ssize_t n;
	CHECK(term_open_both(&t));
	CHECK(fcntl(t.slave, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
	memset(many, 'x', sizeof(many));
	for (int quiet = 0; quiet < 3;) {
		n = write(t.slave, many, sizeof(many));
		if (n > 0)
			total += (size_t)n, quiet = 0;
		else
			quiet++, nap(20);
	}
	CHECK(errno == EAGAIN && total >= 4096 && total < 65536);
	CHECK(!(polled(t.slave, POLLOUT) & POLLOUT));
	while (total) {
		n = read(t.master, many, sizeof(many));
		CHECK(n > 0 && (size_t)n <= total);
		total -= (size_t)n;
	}
	nap(20);
	CHECK(polled(t.slave, POLLOUT) == POLLOUT);
	term_close(&t);
	return true;
}

/* ------------------------------------------------------------------ sessions */

/* Run fn in the leader of a new session whose controlling terminal is t's slave. */
static bool in_session(int (*fn)(struct term *t))
{
	struct term t;
	int status;
	CHECK(term_open(&t));
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		NEED(setsid() == getpid());
		t.slave = open(t.name, O_RDWR);
		NEED(t.slave >= 0);
		signal(SIGTTOU, SIG_IGN);
		_exit(fn(&t));
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	close(t.master);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return true;
}

/* A child in a group of its own, in the foreground or not. It starts when its parent has set that up. */
static pid_t start_job(struct term *t, bool foreground, void (*fn)(struct term *t))
{
	int go[2];
	char c;
	NEED(!pipe(go));
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGTTOU, SIG_DFL);
		close(go[1]);
		NEED(read(go[0], &c, 1) == 1);
		close(go[0]);
		fn(t);
		_exit(0);
	}
	NEED(pid > 0 && !setpgid(pid, pid));
	if (foreground)
		NEED(!tcsetpgrp(t->slave, pid));
	NEED(write(go[1], "g", 1) == 1);
	close(go[0]);
	close(go[1]);
	return pid;
}

static void wait_stopped(pid_t pid, int signo)
{
	int status;
	NEED(waitpid(pid, &status, WUNTRACED) == pid);
	NEED(WIFSTOPPED(status) && WSTOPSIG(status) == signo);
}

static void wait_exited(pid_t pid, int code)
{
	int status;
	NEED(waitpid(pid, &status, WUNTRACED) == pid);
	NEED(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static void wait_killed(pid_t pid, int signo)
{
	int status;
	NEED(waitpid(pid, &status, WUNTRACED) == pid);
	NEED(WIFSIGNALED(status) && WTERMSIG(status) == signo);
}

static int session_basics(struct term *t)
{
	int id = 0;
	NEED(tcgetsid(t->slave) == getpid());
	NEED(tcgetpgrp(t->slave) == getpgrp());
	NEED(tcgetpgrp(t->master) == getpgrp());
	int fd = open("/dev/tty", O_RDWR);
	struct stat st;
	NEED(fd >= 0 && !fstat(fd, &st) && st.st_rdev == (5 << 8 | 0));
	NEED(write(fd, "x", 1) == 1 && reads(t->master, "x"));
	id = 1 << 22;
	NEED(FAILS_WITH(ioctl(t->slave, TIOCSPGRP, &id), ESRCH));
	id = -1;
	NEED(FAILS_WITH(ioctl(t->slave, TIOCSPGRP, &id), EINVAL));
	id = getppid();
	NEED(FAILS_WITH(ioctl(t->slave, TIOCSPGRP, &id), EPERM));
	NEED(ioctl(t->slave, TIOCSCTTY, 0) == 0); /* it is already */
	struct term other;
	NEED(term_open_both(&other));
	NEED(FAILS_WITH(tcgetpgrp(other.slave), ENOTTY));
	NEED(FAILS_WITH(ioctl(other.slave, TIOCGSID, &id), ENOTTY));
	NEED(FAILS_WITH(tcsetpgrp(other.slave, getpgrp()), ENOTTY));
	NEED(FAILS_WITH(ioctl(other.slave, TIOCSCTTY, 0), EPERM));
	NEED(FAILS_WITH(ioctl(other.slave, TIOCNOTTY, 0), ENOTTY));
	NEED(ioctl(other.master, TIOCGPGRP, &id) == 0 && id == 0);
	NEED(FAILS_WITH(ioctl(other.master, TIOCGSID, &id), ENOTTY));
	term_close(&other);
	/* Giving it up: SIGHUP and SIGCONT come to the group. */
	signal(SIGHUP, note_signal);
	NEED(!ioctl(fd, TIOCNOTTY, 0));
	NEED(got_signal == SIGHUP);
	NEED(FAILS_WITH(open("/dev/tty", O_RDWR), ENXIO));
	NEED(FAILS_WITH(tcgetpgrp(t->slave), ENOTTY));
	close(fd);
	/* And taking it again, by opening and by asking. */
	fd = open(t->name, O_RDWR | O_NOCTTY);
	NEED(fd >= 0 && FAILS_WITH(open("/dev/tty", O_RDWR), ENXIO));
	int w = open(t->name, O_WRONLY);
	NEED(w >= 0 && FAILS_WITH(open("/dev/tty", O_RDWR), ENXIO)); /* cannot read from it */
	NEED(!ioctl(fd, TIOCSCTTY, 0));
	NEED(tcgetsid(fd) == getpid());
	return 0;
}

static bool test_session(void)
{
	return in_session(session_basics);
}

static void sleeper(struct term *t)
{
	(void)t;
	for (;;)
		pause();
}

static int session_keys(struct term *t)
{
	pid_t front = start_job(t, true, sleeper), back = start_job(t, false, sleeper);
	int status;
	NEED(write(t->master, "\003", 1) == 1);
	wait_killed(front, SIGINT);
	front = start_job(t, true, sleeper);
	NEED(write(t->master, "\034", 1) == 1);
	wait_killed(front, SIGQUIT);
	front = start_job(t, true, sleeper);
	NEED(write(t->master, "\032", 1) == 1);
	wait_stopped(front, SIGTSTP);
	NEED(!kill(front, SIGCONT));
	NEED(waitpid(front, &status, WCONTINUED) == front && WIFCONTINUED(status));
	NEED(!kill(front, SIGKILL));
	wait_killed(front, SIGKILL);
	NEED(waitpid(back, &status, WNOHANG) == 0);
	NEED(!kill(back, SIGKILL));
	wait_killed(back, SIGKILL);
	return 0;
}

static bool test_keys(void)
{
	return in_session(session_keys);
}

static void resize_and_wait(struct term *t)
{
	struct winsize w = {24, 80, 0, 0}, got;
	signal(SIGWINCH, note_signal);
	NEED(!ioctl(t->master, TIOCSWINSZ, &w));
	NEED(got_signal == SIGWINCH);
	NEED(!ioctl(t->slave, TIOCGWINSZ, &got) && !memcmp(&w, &got, sizeof(w)));
	got_signal = 0;
	NEED(!ioctl(t->slave, TIOCSWINSZ, &w)); /* the same: no news */
	NEED(got_signal == 0);
}

static int session_window(struct term *t)
{
	wait_exited(start_job(t, true, resize_and_wait), 0);
	return 0;
}

static bool test_window(void)
{
	return in_session(session_window);
}

static void read_line(struct term *t)
{
	NEED(reads(t->slave, "x\n"));
}

static void read_blocked(struct term *t)
{
	sigset_t set;
	char c;
	sigemptyset(&set);
	sigaddset(&set, SIGTTIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	NEED(FAILS_WITH(read(t->slave, &c, 1), EIO));
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGTTIN, SIG_IGN);
	NEED(FAILS_WITH(read(t->slave, &c, 1), EIO));
}

static void read_with_handler(struct term *t)
{
	struct sigaction sa = {.sa_handler = note_signal};
	char c;
	sigaction(SIGTTIN, &sa, NULL);
	NEED(FAILS_WITH(read(t->slave, &c, 1), EINTR));
	NEED(got_signal == SIGTTIN);
}

static int session_background_read(struct term *t)
{
	pid_t job = start_job(t, false, read_line);
	wait_stopped(job, SIGTTIN);
	NEED(!tcsetpgrp(t->slave, job));
	NEED(!kill(job, SIGCONT));
	NEED(write(t->master, "x\n", 2) == 2);
	wait_exited(job, 0);
	NEED(!tcsetpgrp(t->slave, getpgrp()));
	wait_exited(start_job(t, false, read_blocked), 0);
	wait_exited(start_job(t, false, read_with_handler), 0);
	return 0;
}

static bool test_background_read(void)
{
	return in_session(session_background_read);
}

static void write_byte(struct term *t)
{
	NEED(write(t->slave, "w", 1) == 1);
}

static void change_settings(struct term *t)
{
	NEED(set_local(t->slave, 0, 0, 1, 0));
}

static void change_ignoring(struct term *t)
{
	signal(SIGTTOU, SIG_IGN);
	NEED(set_local(t->slave, 0, 0, 1, 0));
	NEED(!tcsetpgrp(t->slave, getpgrp()));
}

static int session_background_write(struct term *t)
{
	wait_exited(start_job(t, false, write_byte), 0);
	NEED(reads(t->master, "w"));
	NEED(set_local(t->slave, TOSTOP, 0, 1, 0));
	pid_t job = start_job(t, false, write_byte);
	wait_stopped(job, SIGTTOU);
	NEED(set_local(t->slave, 0, TOSTOP, 1, 0));
	NEED(!kill(job, SIGCONT));
	wait_exited(job, 0);
	job = start_job(t, false, change_settings);
	wait_stopped(job, SIGTTOU);
	NEED(!tcsetpgrp(t->slave, job));
	NEED(!kill(job, SIGCONT));
	wait_exited(job, 0);
	NEED(!tcsetpgrp(t->slave, getpgrp()));
	wait_exited(start_job(t, false, change_ignoring), 0);
	return 0;
}

static bool test_background_write(void)
{
	return in_session(session_background_write);
}

static int results[2];

/* The group of a process whose parent is gone is an orphan: it is not stopped, it fails. */
static void leave_orphan(struct term *t)
{
	char c;
	if (fork())
		return;
	while (getppid() == getpgrp())
		nap(5);
	bool failed = FAILS_WITH(read(t->slave, &c, 1), EIO);
	bool held = !set_local(t->slave, 0, 0, 1, 0) && errno == EIO;
	NEED(write(results[1], failed && held ? "y" : "n", 1) == 1);
}

static int session_orphan(struct term *t)
{
	char c;
	NEED(!pipe(results));
	wait_exited(start_job(t, false, leave_orphan), 0);
	NEED(read(results[0], &c, 1) == 1 && c == 'y');
	return 0;
}

static bool test_orphan(void)
{
	return in_session(session_orphan);
}

static void tell_signal(int signo)
{
	(void)!write(results[1], signo == SIGHUP ? "H" : signo == SIGCONT ? "C" : "?", 1);
}

/* A stopped job whose shell ends is hung up and continued. */
static void leave_stopped(struct term *t)
{
	(void)t;
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		signal(SIGHUP, tell_signal);
		signal(SIGCONT, tell_signal);
		raise(SIGSTOP);
		nap(50);
		_exit(0);
	}
	NEED(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

static int session_stopped_orphan(struct term *t)
{
	char both[2];
	NEED(!pipe(results));
	wait_exited(start_job(t, false, leave_stopped), 0);
	NEED(read(results[0], &both[0], 1) == 1 && read(results[0], &both[1], 1) == 1);
	NEED((both[0] == 'H' && both[1] == 'C') || (both[0] == 'C' && both[1] == 'H'));
	return 0;
}

static bool test_stopped_orphan(void)
{
	return in_session(session_stopped_orphan);
}

/* When the leader ends, the foreground is hung up, the rest only loses its terminal. */
static void wait_for_hup(struct term *t)
{
	(void)t;
	signal(SIGHUP, tell_signal);
	(void)!write(results[1], "r", 1);
	pause();
	NEED(FAILS_WITH(open("/dev/tty", O_RDWR), ENXIO));
	(void)!write(results[1], "f", 1);
}

static void wait_for_nothing(struct term *t)
{
	(void)t;
	signal(SIGHUP, tell_signal);
	(void)!write(results[1], "r", 1);
	while (open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0)
		nap(10);
	(void)!write(results[1], errno == ENXIO ? "b" : "?", 1);
}

static int leader_with_jobs(struct term *t)
{
	(void)start_job(t, false, wait_for_nothing);
	(void)start_job(t, true, wait_for_hup);
	nap(100); /* they have said r, and then sleep */
	return 0;
}

static bool test_leader_exits(void)
{
	char said[6] = "";
	CHECK(!pipe(results));
	CHECK(in_session(leader_with_jobs));
	for (int i = 0; i < 5; i++)
		CHECK(read(results[0], said + i, 1) == 1);
	unsigned count[128] = {0};
	for (int i = 0; i < 5; i++)
		count[(unsigned char)said[i] & 127]++;
	CHECK(count['r'] == 2 && count['H'] == 1 && count['f'] == 1 && count['b'] == 1);
	close(results[0]);
	close(results[1]);
	return true;
}

/* The master goes: SIGHUP to the leader, whose terminal is gone then. */
static int session_hung_up(struct term *t)
{
	signal(SIGHUP, note_signal);
	struct term own;
	NEED(!ioctl(t->slave, TIOCNOTTY, 0) && got_signal == SIGHUP);
	got_signal = 0;
	NEED(term_open(&own));
	own.slave = open(own.name, O_RDWR);
	NEED(tcgetsid(own.slave) == getpid());
	close(own.master);
	NEED(got_signal == SIGHUP);
	NEED(FAILS_WITH(open("/dev/tty", O_RDWR), ENXIO));
	NEED(FAILS_WITH(write(own.slave, "x", 1), EIO));
	return 0;
}

static bool test_hung_up(void)
{
	return in_session(session_hung_up);
}

static int session_vhangup(struct term *t)
{
	char c;
	signal(SIGHUP, note_signal);
	got_signal = 0;
	if (geteuid()) {
		NEED(FAILS_WITH(syscall(SYS_vhangup), EPERM));
		return 0;
	}
	NEED(!syscall(SYS_vhangup) && got_signal == SIGHUP);
	NEED(read(t->slave, &c, 1) == 0 && FAILS_WITH(write(t->slave, "x", 1), EIO));
	NEED(FAILS_WITH(open("/dev/tty", O_RDWR), ENXIO));
	close(t->slave);
	t->slave = open(t->name, O_RDWR); /* the line itself is as good as new */
	NEED(t->slave >= 0 && tcgetsid(t->slave) == getpid());
	NEED(write(t->slave, "x", 1) == 1 && reads(t->master, "x"));
	return 0;
}

static bool test_vhangup(void)
{
	return in_session(session_vhangup);
}

static int session_exclusive(struct term *t)
{
	NEED(!ioctl(t->slave, TIOCEXCL, 0));
	int fd = open(t->name, O_RDWR | O_NOCTTY);
	NEED(geteuid() == 0 ? fd >= 0 : fd < 0 && errno == EBUSY);
	NEED(!ioctl(t->slave, TIOCNXCL, 0));
	int byte = open(t->name, O_RDWR | O_NOCTTY);
	NEED(byte >= 0);
	NEED(!ioctl(t->slave, TIOCSTI, "s") || errno == EIO); /* a Linux may be set up to refuse it */
	return 0;
}

static bool test_exclusive(void)
{
	return in_session(session_exclusive);
}

static const struct utest tests[] = {
    {"names, locks and numbers of ptys", test_names},
    {"bytes both ways", test_both_ways},
    {"the slave is closed and opened again", test_slave_closes},
    {"the master is closed", test_master_closes},
    {"a hang-up wakes sleepers", test_wake_by_hang_up},
    {"forty ptys", test_many},
    {"TIOCGPTPEER", test_peer},
    {"packet mode", test_packets},
    {"settings", test_settings},
    {"VMIN and VTIME", test_timed_reads},
    {"a full line", test_full},
    {"sessions and their terminal", test_session},
    {"keys signal the foreground", test_keys},
    {"window size", test_window},
    {"reading in the background", test_background_read},
    {"writing and setting in the background", test_background_write},
    {"orphans are not stopped", test_orphan},
    {"stopped orphans are hung up", test_stopped_orphan},
    {"the leader ends", test_leader_exits},
    {"the line goes", test_hung_up},
    {"vhangup", test_vhangup},
    {"TIOCEXCL, TIOCSTI", test_exclusive},
};

int main(void)
{
	return UTEST_RUN(tests);
}
