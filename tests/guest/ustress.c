/*
 * ustress.c - many processes, threads and descriptors, which all go away again: in the guest /proc/mm and
 * /proc/sys/fs/file-nr must say afterwards what they said before.
 *
 * `ustress N` spawns N programs; without N it is 1,000. `ustress N WORD` only does what has WORD in its name.
 * On the host's Linux, which has no /proc/mm, only the work itself is tested.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "utap.h"
#include "uusage.h"

enum {
	SPAWNS = 1000,
	THREADS = 1000,
	THREAD_STACK = 16 << 10,
	ROUNDS = 8,         /* processes that open thousands of things, one after another */
	DESCRIPTORS = 1000, /* each of them opens so many of a kind */
	ORPHANS = 200,
	DEPTH = 40,   /* shells in shells */
	FORKERS = 24, /* processes that the bomb's user may have */
	BOMB_UID = 1000,
	WARM_UP = 60,
};

static int nspawns = SPAWNS;
static const char *self; /* absolute path of this program */
extern char **environ;

/* Do the work once or more, so that caches hold what they will hold, then again; the second time has to leave
 * nothing behind. */
static bool leaves_nothing(bool (*work)(int n), int warm_up, int n)
{
	struct usage before;
	CHECK(work(warm_up));
	pause_ms(100);
	(void)usage_take(&before); /* so that this program's own memory is there as well */
	(void)usage_take(&before);
	CHECK(work(n));
	return nothing_is_left(&before);
}

/* --- spawning --- */

static char *const exit_args[] = {"ustress", "exit", NULL};

static bool ended_well(pid_t pid)
{
	int status;
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool by_fork(int n)
{
	while (n--) {
		pid_t pid = fork();
		if (pid == 0) {
			execve(self, exit_args, environ);
			_exit(127);
		}
		CHECK(ended_well(pid));
	}
	return true;
}

static bool by_vfork(int n)
{
	while (n--) {
		pid_t pid = vfork();
		if (pid == 0) {
			execve(self, exit_args, environ);
			_exit(127);
		}
		CHECK(ended_well(pid));
	}
	return true;
}

static bool by_posix_spawn(int n)
{
	while (n--) {
		pid_t pid;
		CHECK(posix_spawn(&pid, self, NULL, NULL, exit_args, environ) == 0);
		CHECK(ended_well(pid));
	}
	return true;
}

static bool spawn_by_fork(void)
{
	return leaves_nothing(by_fork, WARM_UP, nspawns / 2);
}

static bool spawn_by_vfork(void)
{
	return leaves_nothing(by_vfork, WARM_UP, nspawns / 4);
}

static bool spawn_by_posix_spawn(void)
{
	return leaves_nothing(by_posix_spawn, WARM_UP, nspawns / 4);
}

/* --- orphans, nests --- */

/* A child whose own children outlive it: nobody but the first process, or who stands in for it, forgets them.
 */
static bool make_orphans(int n)
{
	while (n--) {
		int fds[2];
		char c;
		CHECK(pipe(fds) == 0);
		pid_t pid = fork();
		if (pid == 0) {
			if (fork() == 0)
				pause_ms(1);
			_exit(0);
		}
		close(fds[1]);
		CHECK(ended_well(pid));
		CHECK(read(fds[0], &c, 1) == 0); /* the orphan is gone as well */
		close(fds[0]);
	}
	return true;
}

static bool orphans(void)
{
	return leaves_nothing(make_orphans, ORPHANS / 4, ORPHANS);
}

/* They come to a subreaper instead, if there is one, which has to wait for each. */
static int adopt(void *arg)
{
	int n = 0;
	(void)arg;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return 1;
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 10; i++)
			if (fork() == 0)
				_exit(getppid() == 0);
		_exit(0);
	}
	while (wait(NULL) > 0)
		n++;
	return n != 11;
}

static bool subreaper(void)
{
	return child_exits(adopt, NULL, 0);
}

static bool nest(int depth)
{
	char arg[16];
	char *const args[] = {"ustress", "nest", arg, NULL};
	pid_t pid;
	snprintf(arg, sizeof(arg), "%d", depth);
	CHECK(posix_spawn(&pid, self, NULL, NULL, args, environ) == 0);
	return ended_well(pid);
}

static bool nested(void)
{
	return leaves_nothing(nest, DEPTH, DEPTH);
}

/* --- a fork bomb --- */

static void bomb(void)
{
	struct rlimit few = {FORKERS, FORKERS};
	if (setpgid(0, 0) || setrlimit(RLIMIT_NPROC, &few) || setgid(BOMB_UID) || setuid(BOMB_UID))
		_exit(1);
	for (;;)
		if (fork() < 0)
			sched_yield();
}

/* The bomb's user is at the limit; the superuser is not. Then the bomb is killed as a whole. */
static bool explode(int rounds)
{
	while (rounds--) {
		pid_t pid = fork();
		if (pid == 0)
			bomb();
		setpgid(pid, pid);
		pause_ms(300);
		CHECK(by_fork(3));
		CHECK(kill(-pid, SIGSTOP) == 0); /* so that none forks while the others are killed */
		CHECK(kill(-pid, SIGKILL) == 0);
		int status;
		CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		for (int tries = 0; kill(-pid, 0) == 0 && tries < 500; tries++) {
			kill(-pid, SIGKILL);
			pause_ms(10);
		}
		CHECK(FAILS_WITH(kill(-pid, 0), ESRCH));
	}
	return true;
}

static bool fork_bomb(void)
{
	if (geteuid())
		return true;
	return leaves_nothing(explode, 1, 1);
}

/* --- threads --- */

static pthread_barrier_t all_there;

static void *stand(void *arg)
{
	pthread_barrier_wait(&all_there);
	return arg;
}

static int stand_all(void *arg)
{
	(void)arg;
	static pthread_t threads[THREADS];
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	pthread_barrier_init(&all_there, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], &attr, stand, (void *)(intptr_t)i))
			return 1;
	pthread_barrier_wait(&all_there);
	for (int i = 0; i < THREADS; i++) {
		void *result;
		if (pthread_join(threads[i], &result) || result != (void *)(intptr_t)i)
			return 2;
	}
	return 0;
}

/* Nobody joins them: the process just ends. */
static int leave_threads(void *arg)
{
	pthread_t t;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	pthread_barrier_init(&all_there, NULL, THREADS + 1);
	for (int i = 0; i < THREADS / 2; i++)
		if (pthread_create(&t, &attr, stand, arg))
			return 1;
	_exit(0);
}

static bool use_threads(int rounds)
{
	while (rounds--) {
		CHECK(child_exits(stand_all, NULL, 0));
		CHECK(child_exits(leave_threads, NULL, 0));
	}
	return true;
}

static bool threads(void)
{
	return leaves_nothing(use_threads, 1, 1);
}

/* --- descriptors --- */

static int open_pipes(void *arg)
{
	int fds[2];
	(void)arg;
	for (int i = 0; i < DESCRIPTORS / 2; i++)
		if (pipe(fds) || write(fds[1], &fds, sizeof(fds)) != sizeof(fds))
			return 1;
	return 0;
}

/* Pairs, each with a pair in flight. */
static int open_sockets(void *arg)
{
	int fds[2], last[2] = {-1, -1};
	(void)arg;
	for (int i = 0; i < DESCRIPTORS / 2; i++) {
		char c = 0;
		union {
			struct cmsghdr head;
			char bytes[CMSG_SPACE(sizeof(last))];
		} control = {.head = {CMSG_LEN(sizeof(last)), 0, SOL_SOCKET, SCM_RIGHTS}};
		struct iovec vec = {&c, 1};
		struct msghdr m = {.msg_iov = &vec,
		    .msg_iovlen = 1,
		    .msg_control = &control,
		    .msg_controllen = sizeof(control.bytes)};
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
			return 1;
		memcpy(CMSG_DATA(&control.head), last, sizeof(last));
		if (last[0] >= 0 && i % 8 == 1 && sendmsg(fds[0], &m, 0) != 1)
			return 2;
		memcpy(last, fds, sizeof(last));
	}
	return 0;
}

static int open_epolls(void *arg)
{
	(void)arg;
	for (int i = 0; i < DESCRIPTORS / 2; i++) {
		int events = eventfd(0, EFD_NONBLOCK), epoll = epoll_create1(0);
		struct epoll_event e = {.events = EPOLLIN};
		if (events < 0 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, events, &e))
			return 1;
	}
	return 0;
}

static int open_files(void *arg)
{
	char name[64];
	(void)arg;
	for (int i = 0; i < DESCRIPTORS / 2; i++) {
		snprintf(name, sizeof(name), "ustress-%d-%d", (int)getpid(), i);
		int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || unlink(name) || ftruncate(fd, 4096))
			return 1;
		char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			return 2;
		p[i] = 1;
	}
	for (int i = 0; i < DESCRIPTORS / 4; i++)
		if (syscall(SYS_memfd_create, "ustress", 0) < 0)
			return 3;
	return 0;
}

static int open_ptys(void *arg)
{
	(void)arg;
	for (int i = 0; i < 200; i++) {
		int master = posix_openpt(O_RDWR | O_NOCTTY);
		char *name = master < 0 || grantpt(master) || unlockpt(master) ? NULL : ptsname(master);
		int slave = name ? open(name, O_RDWR | O_NOCTTY) : -1;
		if (slave < 0 || write(slave, "bytes", 5) != 5 || write(master, "typed\n", 6) != 6)
			return 1;
	}
	return 0;
}

static bool open_all(int rounds)
{
	while (rounds--) {
		CHECK(child_exits(open_pipes, NULL, 0));
		CHECK(child_exits(open_sockets, NULL, 0));
		CHECK(child_exits(open_epolls, NULL, 0));
		CHECK(child_exits(open_files, NULL, 0));
		CHECK(child_exits(open_ptys, NULL, 0));
	}
	return true;
}

static bool descriptors(void)
{
	return leaves_nothing(open_all, 2, ROUNDS / 4);
}

int main(int argc, char **argv)
{
	static const struct utest tests[] = {
	    {"spawns by fork and exec", spawn_by_fork},
	    {"spawns by vfork and exec", spawn_by_vfork},
	    {"spawns by posix_spawn", spawn_by_posix_spawn},
	    {"orphans", orphans},
	    {"a subreaper", subreaper},
	    {"nested programs", nested},
	    {"a fork bomb", fork_bomb},
	    {"a thousand threads", threads},
	    {"thousands of descriptors", descriptors},
	};
	char path[256];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (argc > 1 && !strcmp(argv[1], "exit"))
		return 0;
	if (n < 0 && utest_proc())
		n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n < 0)
		return 2;
	path[n] = 0;
	self = path;
	if (argc > 2 && !strcmp(argv[1], "nest"))
		return atoi(argv[2]) > 0 ? !nest(atoi(argv[2]) - 1) : 0;
	if (argc > 1)
		nspawns = atoi(argv[1]);
	for (size_t i = 0; argc > 2 && i < sizeof(tests) / sizeof(tests[0]); i++)
		if (strstr(tests[i].name, argv[2]))
			return utest_run(&tests[i], 1);
	return UTEST_RUN(tests);
}
