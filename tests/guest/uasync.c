/* uasync.c - O_ASYNC: signals for what happens at files, to whom, and what they tell. Runs as root. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include "utap.h"

enum { PATIENCE = 10, NOBODY = 60001 };
#define RT (SIGRTMIN + 3)

/* Signals are blocked and taken one by one. */
static sigset_t taken;

static void begin(void)
{
	sigemptyset(&taken);
	sigaddset(&taken, SIGIO);
	sigaddset(&taken, SIGUSR1);
	sigaddset(&taken, SIGCHLD);
	sigaddset(&taken, RT);
	sigprocmask(SIG_BLOCK, &taken, NULL);
	while (sigtimedwait(&taken, NULL, &(struct timespec){0, 0}) > 0)
		;
}

/* The next signal that waits already. */
static int next_now(siginfo_t *info)
{
	int signal = sigtimedwait(&taken, info, &(struct timespec){0, 0});
	return signal < 0 ? 0 : signal;
}

/* The next one; 0: none for long. */
static int next(siginfo_t *info)
{
	int signal = sigtimedwait(&taken, info, &(struct timespec){PATIENCE, 0});
	return signal < 0 ? 0 : signal;
}

static bool add_flags(int fd, int flags)
{
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | flags) == 0;
}

/* Tell this process about fd by RT. */
static bool listen_to(int fd)
{
	return fcntl(fd, F_SETOWN, getpid()) == 0 && fcntl(fd, F_SETSIG, RT) == 0 && add_flags(fd, O_ASYNC);
}

static bool tells(const siginfo_t *i, int fd, int code, long band)
{
	if (i->si_fd == fd && i->si_code == code && i->si_band == band && i->si_errno == 0)
		return true;
	printf("# fd %d instead of %d, code %d, band %lx\n", i->si_fd, fd, i->si_code, i->si_band);
	return false;
}

static bool pipes(void)
{
	siginfo_t i;
	int p[2];
	char byte;
	begin();
	CHECK(pipe(p) == 0 && fcntl(p[0], F_SETOWN, getpid()) == 0 && add_flags(p[0], O_ASYNC));
	CHECK(fcntl(p[0], F_GETFL) & O_ASYNC);
	CHECK(write(p[1], "a", 1) == 1 && next_now(&i) == SIGIO && i.si_code == SI_KERNEL && i.si_fd == 0);
	CHECK(write(p[1], "b", 1) == 1 && next_now(&i) == SIGIO); /* readable before, news all the same */
	CHECK(read(p[0], &byte, 1) == 1 && next_now(&i) == 0);
	CHECK(fcntl(p[0], F_SETSIG, RT) == 0 && write(p[1], "c", 1) == 1);
	CHECK(next_now(&i) == RT && tells(&i, p[0], POLL_IN, POLLIN | POLLRDNORM));
	CHECK(listen_to(p[1]) && read(p[0], &byte, 1) == 1 && next_now(&i) == RT);
	CHECK(tells(&i, p[1], POLL_OUT, POLLOUT | POLLWRNORM | POLLWRBAND));
	int copy = dup(p[0]);
	CHECK(copy >= 0 && (fcntl(copy, F_GETFL) & O_ASYNC) && close(copy) == 0);
	CHECK(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0 && !(fcntl(p[0], F_GETFL) & O_ASYNC));
	CHECK(write(p[1], "d", 1) == 1 && next_now(&i) == 0);
	CHECK(add_flags(p[0], O_ASYNC) && close(p[1]) == 0 && next_now(&i) == RT);
	CHECK(tells(&i, p[0], POLL_IN, POLLIN | POLLRDNORM) && close(p[0]) == 0);
	return true;
}

static bool signals(void)
{
	siginfo_t i;
	int p[2];
	begin();
	CHECK(pipe(p) == 0 && listen_to(p[0]));
	CHECK(fcntl(p[0], F_SETSIG, SIGUSR1) == 0 && write(p[1], "a", 1) == 1 && next_now(&i) == SIGUSR1);
	CHECK(tells(&i, p[0], POLL_IN, POLLIN | POLLRDNORM));
	CHECK(fcntl(p[0], F_SETSIG, SIGCHLD) == 0 && write(p[1], "a", 1) == 1 && next_now(&i) == SIGCHLD);
	CHECK(i.si_code == SI_SIGIO);
	CHECK(fcntl(p[0], F_SETSIG, SIGIO) == 0 && write(p[1], "a", 1) == 1 && next_now(&i) == SIGIO);
	CHECK(tells(&i, p[0], POLL_IN, POLLIN | POLLRDNORM));
	CHECK(FAILS_WITH(fcntl(p[0], F_SETSIG, 65), EINVAL) && fcntl(p[0], F_GETSIG) == SIGIO);
	struct signalfd_siginfo s;
	int fd = signalfd(-1, &taken, SFD_NONBLOCK);
	CHECK(fd >= 0 && write(p[1], "a", 1) == 1 && read(fd, &s, sizeof(s)) == sizeof(s));
	CHECK(s.ssi_signo == SIGIO && s.ssi_fd == p[0] && s.ssi_band == (POLLIN | POLLRDNORM) &&
	      s.ssi_pid == 0);
	CHECK(close(fd) == 0 && fcntl(p[0], F_SETOWN, 0) == 0 && write(p[1], "a", 1) == 1 && !next_now(&i));
	CHECK(close(p[0]) == 0 && close(p[1]) == 0);
	return true;
}

static int no_room(void *arg)
{
	siginfo_t i;
	int p[2];
	(void)arg;
	begin();
	UCHECK(pipe(p) == 0 && listen_to(p[0]));
	UCHECK(sc(setrlimit, RLIMIT_SIGPENDING, &(struct rlimit){0, 0}) == 0);
	UCHECK(sc(setresuid, NOBODY, NOBODY, NOBODY) == 0 && fcntl(p[0], F_SETOWN, getpid()) == 0);
	UCHECK(write(p[1], "a", 1) == 1 && next_now(&i) == SIGIO && i.si_code == SI_KERNEL);
	return 0;
}

static bool overflow(void)
{
	return child_exits(no_room, NULL, 0);
}

static bool sockets(void)
{
	siginfo_t i;
	int s[2];
	char byte;
	begin();
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && listen_to(s[0]));
	CHECK(
	    write(s[1], "a", 1) == 1 && next_now(&i) == RT && tells(&i, s[0], POLL_IN, POLLIN | POLLRDNORM));
	CHECK(read(s[0], &byte, 1) == 1 && next_now(&i) == 0);
	CHECK(write(s[0], "b", 1) == 1 && next_now(&i) == 0);
	CHECK(shutdown(s[1], SHUT_WR) == 0 && next_now(&i) == RT &&
	      tells(&i, s[0], POLL_IN, POLLIN | POLLRDNORM));
	CHECK(read(s[1], &byte, 1) == 1 && close(s[1]) == 0 && next_now(&i) == RT);
	CHECK(tells(&i, s[0], POLL_HUP, POLLHUP | POLLERR) && close(s[0]) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0 && listen_to(s[0]));
	CHECK(
	    write(s[1], "a", 1) == 1 && next_now(&i) == RT && tells(&i, s[0], POLL_IN, POLLIN | POLLRDNORM));
	CHECK(close(s[0]) == 0 && close(s[1]) == 0);
	return true;
}

static bool listeners(void)
{
	siginfo_t i;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "uasync-%d", getpid());
	begin();
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(l >= 0 && c >= 0 && bind(l, (void *)&a, sizeof(a)) == 0 && listen(l, 4) == 0 && listen_to(l));
	CHECK(connect(c, (void *)&a, sizeof(a)) == 0 && next_now(&i) == RT);
	CHECK(tells(&i, l, POLL_IN, POLLIN | POLLRDNORM) && close(c) == 0 && close(l) == 0);
	return true;
}

static bool terminals(void)
{
	siginfo_t i;
	int unlock = 0, number;
	char name[32];
	begin();
	int m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	CHECK(m >= 0 && ioctl(m, TIOCSPTLCK, &unlock) == 0 && ioctl(m, TIOCGPTN, &number) == 0);
	snprintf(name, sizeof(name), "/dev/pts/%d", number);
	int t = open(name, O_RDWR | O_NOCTTY);
	CHECK(t >= 0 && fcntl(t, F_SETSIG, RT) == 0 && add_flags(t, O_ASYNC));
	CHECK(fcntl(t, F_GETOWN) == getpid()); /* without a group in front, the caller */
	CHECK(write(m, "a", 1) == 1 && write(m, "\n", 1) == 1 && next(&i) == RT);
	CHECK(tells(&i, t, POLL_IN, POLLIN | POLLRDNORM) && next_now(&i) == 0);
	CHECK(close(t) == 0 && close(m) == 0);
	return true;
}

static bool watches(void)
{
	siginfo_t i;
	char path[64];
	begin();
	int in = inotify_init1(IN_NONBLOCK);
	CHECK(in >= 0 && inotify_add_watch(in, utest_dir(), IN_CREATE) > 0 && listen_to(in));
	int fd = open(utest_file(path, "new"), O_CREAT | O_WRONLY, 0644);
	CHECK(fd >= 0 && next_now(&i) == RT && tells(&i, in, POLL_IN, POLLIN | POLLRDNORM));
	CHECK(close(fd) == 0 && close(in) == 0);
	return true;
}

/* Of types that never have anything to tell, F_SETFL leaves the flag out and the request is refused. */
static bool others(void)
{
	char path[64];
	int on = 1, off = 0, p[2];
	siginfo_t i;
	begin();
	int fd = open(utest_file(path, "file"), O_CREAT | O_RDWR, 0644), event = eventfd(0, 0);
	CHECK(fd >= 0 && event >= 0 && add_flags(fd, O_ASYNC) && !(fcntl(fd, F_GETFL) & O_ASYNC));
	CHECK(add_flags(event, O_ASYNC) && !(fcntl(event, F_GETFL) & O_ASYNC));
	CHECK(FAILS_WITH(ioctl(fd, FIOASYNC, &on), ENOTTY) && ioctl(fd, FIOASYNC, &off) == 0);
	CHECK(FAILS_WITH(ioctl(event, FIOASYNC, &on), ENOTTY));
	CHECK(close(fd) == 0 && close(event) == 0 && pipe(p) == 0);
	CHECK(FAILS_WITH(ioctl(p[0], FIOASYNC, BAD), EFAULT) && ioctl(p[0], FIOASYNC, &on) == 0);
	CHECK((fcntl(p[0], F_GETFL) & O_ASYNC) && fcntl(p[0], F_SETOWN, getpid()) == 0);
	CHECK(write(p[1], "a", 1) == 1 && next_now(&i) == SIGIO && ioctl(p[0], FIOASYNC, &off) == 0);
	CHECK(write(p[1], "a", 1) == 1 && next_now(&i) == 0 && !(fcntl(p[0], F_GETFL) & O_ASYNC));
	CHECK(close(p[0]) == 0 && close(p[1]) == 0);
	return true;
}

/* --- owners --- */

static int watched[2];
static atomic_int other_tid, other_got;

static void *wait_here(void *arg)
{
	(void)arg;
	atomic_store(&other_tid, (int)sc(gettid));
	atomic_store(&other_got, next(NULL));
	return NULL;
}

static bool threads(void)
{
	pthread_t t;
	siginfo_t i;
	struct {
		int type, pid;
	} owner = {0, 0}, seen;
	begin();
	atomic_store(&other_tid, 0);
	CHECK(pipe(watched) == 0 && pthread_create(&t, NULL, wait_here, NULL) == 0);
	while (!atomic_load(&other_tid))
		sched_yield();
	owner.pid = atomic_load(&other_tid);
	CHECK(fcntl(watched[0], F_SETOWN_EX, &owner) == 0 && add_flags(watched[0], O_ASYNC));
	CHECK(fcntl(watched[0], F_GETOWN_EX, &seen) == 0 && !memcmp(&seen, &owner, sizeof(seen)));
	CHECK(write(watched[1], "a", 1) == 1 && next_now(&i) == 0); /* that thread's alone */
	CHECK(pthread_join(t, NULL) == 0 && atomic_load(&other_got) == SIGIO);
	CHECK(write(watched[1], "a", 1) == 1 && next_now(&i) == 0); /* and it is gone */
	CHECK(close(watched[0]) == 0 && close(watched[1]) == 0);
	return true;
}

static int member(void *arg)
{
	siginfo_t i;
	int *ready = arg;
	UCHECK(write(ready[1], "r", 1) == 1 && next(&i) == SIGIO);
	return 0;
}

static int leader(void *arg)
{
	int ready[2], status;
	siginfo_t i;
	char byte;
	(void)arg;
	begin();
	sigdelset(&taken, SIGCHLD);
	UCHECK(setpgid(0, 0) == 0 && pipe(ready) == 0 && pipe(watched) == 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(member(ready));
	UCHECK(read(ready[0], &byte, 1) == 1 && fcntl(watched[0], F_SETOWN, -getpid()) == 0);
	UCHECK(fcntl(watched[0], F_GETOWN) == -getpid() && add_flags(watched[0], O_ASYNC));
	UCHECK(write(watched[1], "a", 1) == 1 && next(&i) == SIGIO);
	UCHECK(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static bool groups(void)
{
	return child_exits(leader, NULL, 0);
}

/* Who named the owner must have the right to send it signals. */
static int as_nobody(void *arg)
{
	(void)arg;
	UCHECK(sc(setresuid, NOBODY, NOBODY, NOBODY) == 0);
	UCHECK(fcntl(watched[0], F_SETOWN, getppid()) == 0 && write(watched[1], "a", 1) == 1);
	return 0;
}

static bool rights(void)
{
	siginfo_t i;
	begin();
	sigdelset(&taken, SIGCHLD);
	CHECK(pipe(watched) == 0 && add_flags(watched[0], O_ASYNC) && child_exits(as_nobody, NULL, 0));
	CHECK(next_now(&i) == 0 && fcntl(watched[0], F_GETOWN) == getpid());
	CHECK(fcntl(watched[0], F_SETOWN, getpid()) == 0 && write(watched[1], "a", 1) == 1 &&
	      next_now(&i) == SIGIO);
	CHECK(FAILS_WITH(fcntl(watched[0], F_SETOWN, 1 << 22), ESRCH));
	CHECK(close(watched[0]) == 0 && close(watched[1]) == 0);
	return true;
}

/* A writer that must wait for a reader who waits for the signal. */
static void *write_much(void *arg)
{
	static char much[1 << 18];
	ssize_t n = write(watched[1], much, sizeof(much));
	return n == sizeof(much) ? arg : NULL;
}

static bool waiting_writer(void)
{
	static char much[1 << 18];
	pthread_t t;
	siginfo_t i;
	size_t got = 0;
	void *result;
	begin();
	CHECK(pipe(watched) == 0 && listen_to(watched[0]) && pthread_create(&t, NULL, write_much, &got) == 0);
	CHECK(next(&i) == RT);
	while (got < sizeof(much)) {
		ssize_t n = read(watched[0], much, sizeof(much));
		CHECK(n > 0);
		got += (size_t)n;
	}
	CHECK(pthread_join(t, &result) == 0 && result && close(watched[0]) == 0 && close(watched[1]) == 0);
	return true;
}

static const struct utest tests[] = {
    {"pipes", pipes},
    {"F_SETSIG and what signals tell", signals},
    {"no room for another signal", overflow},
    {"sockets", sockets},
    {"sockets that listen", listeners},
    {"terminals", terminals},
    {"inotify", watches},
    {"files with nothing to tell, FIOASYNC", others},
    {"a thread as the owner", threads},
    {"a group as the owner", groups},
    {"who may name an owner", rights},
    {"before the writer returns", waiting_writer},
};

int main(void)
{
	return UTEST_RUN(tests);
}
