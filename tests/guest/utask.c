/*
 * utask.c - what a thread has of its own, past what the C library makes of it: ids, groups and capabilities.
 * Each test is a child that has a second thread, which runs what the first one tells it. Runs as root.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "upartner.h"

enum { ALICE = 5001, BOB = 5002, CAROL = 5003 }; /* users */

static long become(void *arg)
{
	uid_t uid = *(const uid_t *)arg;
	return result_of(sc(setresuid, uid, uid, uid));
}

static long become_group(void *arg)
{
	gid_t gid = *(const gid_t *)arg;
	return result_of(sc(setresgid, gid, gid, gid));
}

static long own_uid(void *arg)
{
	(void)arg;
	return sc(getuid);
}

static long open_file(void *arg)
{
	long fd = result_of(sc(openat, AT_FDCWD, arg, O_RDONLY));
	if (fd >= 0)
		sc(close, fd);
	return fd < 0 ? fd : 0;
}

static const uid_t alice = ALICE, bob = BOB, carol = CAROL;

/* --- ids --- */

static char secret[64];

static long groups_of_one(void *arg)
{
	gid_t group = ALICE;
	(void)arg;
	return result_of(sc(setgroups, 1, &group));
}

static int ids_apart(void *arg)
{
	struct partner p;
	gid_t groups[8];
	(void)arg;
	UCHECK(sc(setgroups, 0, NULL) == 0 && partner_start(&p));
	UCHECK(by(&p, open_file, secret) == 0);
	UCHECK(by(&p, groups_of_one, NULL) == 0 && sc(getgroups, 8, groups) == 0);
	UCHECK(by(&p, become_group, &alice) == 0 && sc(getgid) == 0 && sc(getegid) == 0);
	UCHECK(by(&p, become, &alice) == 0 && by(&p, own_uid, NULL) == ALICE);
	UCHECK(sc(getuid) == 0 && sc(geteuid) == 0);
	UCHECK(by(&p, open_file, secret) == -EACCES && open_file(secret) == 0);
	UCHECK(by(&p, become, &bob) == -EPERM && by(&p, groups_of_one, NULL) == -EPERM);
	UCHECK(sc(setfsuid, BOB) == 0 && by(&p, own_uid, NULL) == ALICE && open_file(secret) == -EACCES);
	UCHECK(sc(setfsuid, 0) == BOB && open_file(secret) == 0);
	return partner_end(&p) ? 0 : 1;
}

static bool ids(void)
{
	utest_file(secret, "secret");
	int fd = open(secret, O_CREAT | O_WRONLY, 0600);
	CHECK(fd >= 0 && close(fd) == 0);
	return child_exits(ids_apart, NULL, 0);
}

static long make_thread(void *arg)
{
	struct partner child;
	(void)arg;
	if (!partner_start(&child))
		return -1;
	long uid = by(&child, own_uid, NULL);
	return partner_end(&child) ? uid : -1;
}

static int tell_uid(void *arg)
{
	(void)arg;
	return (uid_t)sc(getuid) == ALICE ? 0 : 1;
}

static long make_child(void *arg)
{
	return child_exits(tell_uid, arg, 0) ? 0 : 1;
}

static int inherit(void *arg)
{
	struct partner p;
	(void)arg;
	UCHECK(partner_start(&p) && by(&p, become, &alice) == 0);
	UCHECK(by(&p, make_thread, NULL) == ALICE && make_thread(NULL) == 0);
	UCHECK(by(&p, make_child, NULL) == 0);
	return partner_end(&p) ? 0 : 1;
}

static bool inheritance(void)
{
	return child_exits(inherit, NULL, 0);
}

static char *self;

static long run_self(void *arg)
{
	char *const args[] = {self, arg, NULL};
	return result_of(execv(self, args));
}

static int exec_by_second(void *arg)
{
	struct partner p;
	UCHECK(partner_start(&p) && by(&p, become, &alice) == 0);
	p.fn = run_self;
	p.arg = arg;
	sem_post(&p.todo);
	for (;;)
		pause(); /* until the other thread's program takes this one's place */
}

/* What exec_by_second runs: the number is the first thread's, the ids are the second one's. */
static int after_exec(void)
{
	UCHECK((uid_t)sc(getuid) == ALICE && (uid_t)sc(geteuid) == ALICE && sc(gettid) == getpid());
	UCHECK(FAILS_WITH(sc(setuid, 0), EPERM));
	return 0;
}

static bool programs(void)
{
	return child_exits(exec_by_second, "ids", 0);
}

/* --- capabilities --- */

struct cap_header {
	uint32_t version;
	int pid;
};
struct cap_words {
	uint32_t effective, permitted, inheritable;
};
enum { CAP_VERSION_3 = 0x20080522, CAP_SETUID_BIT = 1 << 7 };

static bool caps_of(pid_t tid, struct cap_words w[2])
{
	struct cap_header h = {CAP_VERSION_3, tid};
	return sc(capget, &h, w) == 0;
}

static long drop_caps(void *arg)
{
	struct cap_header h = {CAP_VERSION_3, 0};
	struct cap_words none[2] = {{0}};
	(void)arg;
	return result_of(sc(capset, &h, none));
}

static long keep_caps(void *arg)
{
	(void)arg;
	return prctl(PR_SET_KEEPCAPS, 1);
}

static long promise(void *arg)
{
	(void)arg;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int caps_apart(void *arg)
{
	struct partner p, q;
	struct cap_words w[2];
	(void)arg;
	UCHECK(partner_start(&p) && partner_start(&q));
	UCHECK(by(&p, drop_caps, NULL) == 0 && caps_of(p.tid, w) && !w[0].permitted && !w[1].permitted);
	UCHECK(caps_of(0, w) && (w[0].effective & CAP_SETUID_BIT));
	UCHECK(caps_of(getpid(), w) && (w[0].effective & CAP_SETUID_BIT));
	UCHECK(by(&p, become, &alice) == -EPERM && by(&p, own_uid, NULL) == 0);
	UCHECK(by(&q, keep_caps, NULL) == 0 && prctl(PR_GET_KEEPCAPS) == 0);
	UCHECK(by(&q, become, &bob) == 0 && caps_of(q.tid, w));
	UCHECK((w[0].permitted & CAP_SETUID_BIT) && !w[0].effective);
	UCHECK(by(&q, promise, NULL) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
	UCHECK(partner_end(&p) && partner_end(&q));
	return 0;
}

static bool capabilities(void)
{
	return child_exits(caps_apart, NULL, 0);
}

/* --- what others see --- */

/* The line of /proc/WHO/status that begins with `name`. */
static bool status_line(const char *who, const char *name, char line[static 256])
{
	char path[64];
	bool found = false;
	snprintf(path, sizeof(path), "/proc/%s/status", who);
	FILE *f = fopen(path, "r");
	if (!f)
		return false;
	while (!found && fgets(line, 256, f))
		found = !strncmp(line, name, strlen(name));
	fclose(f);
	return found;
}

static bool status_says(const char *who, const char *line)
{
	char got[256];
	const char *colon = strchr(line, ':');
	char name[32] = "";
	memcpy(name, line, (size_t)(colon - line) + 1);
	return status_line(who, name, got) && !strcmp(got, line);
}

static bool owner_is(const char *path, uid_t uid)
{
	struct stat st;
	return !stat(path, &st) && st.st_uid == uid;
}

static long leader_is_root(void *arg)
{
	(void)arg;
	return status_says("self", "Uid:\t0\t0\t0\t0\n") &&
	       status_says("thread-self", "Uid:\t5001\t5001\t5001\t5001\n");
}

/* Is there a directory of that name in /proc for whoever lists it? */
static bool is_listed(const char *name)
{
	DIR *d = opendir("/proc");
	const struct dirent *e = NULL;
	while (d && (e = readdir(d)) && strcmp(e->d_name, name))
		;
	if (d)
		closedir(d);
	return e;
}

/* A thread's number finds it in /proc, but only its process is listed. */
static int by_number(void *arg)
{
	struct partner p;
	char number[16], self_number[16], line[64];
	(void)arg;
	UCHECK(partner_start(&p) && by(&p, become, &alice) == 0);
	snprintf(number, sizeof(number), "%d", p.tid);
	snprintf(self_number, sizeof(self_number), "%d", getpid());
	snprintf(line, sizeof(line), "Tgid:\t%d\n", getpid());
	UCHECK(status_says(number, line) && status_says(number, "Uid:\t5001\t5001\t5001\t5001\n"));
	UCHECK(status_says(self_number, "Uid:\t0\t0\t0\t0\n"));
	UCHECK(is_listed(self_number) && !is_listed(number));
	UCHECK(partner_end(&p));
	return status_says(number, line) ? 1 : 0;
}

static int statuses(void *arg)
{
	struct partner p;
	char task[64], path[96];
	(void)arg;
	UCHECK(partner_start(&p) && by(&p, become_group, &bob) == 0 && by(&p, become, &alice) == 0);
	snprintf(task, sizeof(task), "self/task/%d", p.tid);
	UCHECK(status_says("self", "Uid:\t0\t0\t0\t0\n") && status_says("self", "Gid:\t0\t0\t0\t0\n"));
	UCHECK(status_says(task, "Uid:\t5001\t5001\t5001\t5001\n"));
	UCHECK(status_says(task, "Gid:\t5002\t5002\t5002\t5002\n"));
	UCHECK(status_says(task, "CapEff:\t0000000000000000\n") &&
	       !status_says("self", "CapEff:\t0000000000000000\n"));
	snprintf(path, sizeof(path), "/proc/%s", task);
	UCHECK(owner_is(path, ALICE) && owner_is("/proc/self", 0));
	UCHECK(by(&p, leader_is_root, NULL));
	return partner_end(&p) ? 0 : 1;
}

static bool proc_files(void)
{
	return utest_proc() && child_exits(statuses, NULL, 0) && child_exits(by_number, NULL, 0);
}

static int first_leaves(void *arg)
{
	struct partner p; /* on a stack that stays */
	int fd = *(int *)arg;
	UCHECK(partner_start(&p) && become((void *)&alice) == 0 && sc(write, fd, "x", 1) == 1);
	sc(exit, 0);
	return 1;
}

/* A process whose first thread has become Alice and is gone, and whose second one is root. */
static pid_t headless(void)
{
	int ends[2];
	char c;
	fflush(stdout);
	if (pipe(ends))
		return -1;
	pid_t pid = fork();
	if (pid == 0)
		_exit(first_leaves(&ends[1]));
	bool told = read(ends[0], &c, 1) == 1;
	close(ends[0]);
	close(ends[1]);
	char who[16], line[256];
	snprintf(who, sizeof(who), "%d", pid);
	for (int i = 0; told && i < TRIES; i++) {
		if (status_line(who, "State:", line) && strstr(line, "zombie"))
			return pid;
		usleep(1000);
	}
	return -1;
}

static int signal_as_alice(void *arg)
{
	UCHECK(become((void *)&alice) == 0 && kill(*(pid_t *)arg, 0) == 0);
	return 0;
}

static bool first_gone(void)
{
	char who[16];
	int status;
	pid_t pid = utest_proc() ? headless() : -1;
	CHECK(pid > 0);
	snprintf(who, sizeof(who), "%d", pid);
	CHECK(status_says(who, "Uid:\t5001\t5001\t5001\t5001\n"));
	CHECK(child_exits(signal_as_alice, &pid, 0));
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	return true;
}

/* --- signals --- */

struct targets {
	pid_t pid, tid; /* first thread: Alice, second: Bob */
};

static int signal_as_bob(void *arg)
{
	const struct targets *t = arg;
	UCHECK(become((void *)&bob) == 0 && FAILS_WITH(kill(t->pid, 0), EPERM));
	UCHECK(FAILS_WITH(sc(tgkill, t->pid, t->pid, 0), EPERM) && sc(tgkill, t->pid, t->tid, 0) == 0);
	UCHECK(sc(tkill, t->tid, 0) == 0 && FAILS_WITH(sc(tkill, t->pid, 0), EPERM));
	return 0;
}

static int signal_as_first(void *arg)
{
	const struct targets *t = arg;
	UCHECK(become((void *)&alice) == 0 && kill(t->pid, 0) == 0 && sc(tgkill, t->pid, t->pid, 0) == 0);
	UCHECK(FAILS_WITH(sc(tgkill, t->pid, t->tid, 0), EPERM));
	return 0;
}

static long signal_process(void *arg)
{
	return result_of(sc(kill, *(pid_t *)arg, 0));
}

static int two_users(void *arg)
{
	struct partner p;
	int *ends = arg;
	struct targets t = {.pid = getpid()};
	UCHECK(partner_start(&p) && by(&p, become, &bob) == 0 && become((void *)&alice) == 0);
	t.tid = p.tid;
	UCHECK(by(&p, signal_process, &t.pid) == 0); /* one's own process, whoever one is */
	UCHECK(write(ends[1], &t, sizeof(t)) == sizeof(t));
	for (;;)
		pause();
}

static int signals_of_threads(void *arg)
{
	struct partner p;
	pid_t pid = ((struct targets *)arg)->pid;
	UCHECK(partner_start(&p) && by(&p, become, &carol) == 0);
	UCHECK(by(&p, signal_process, &pid) == -EPERM && kill(pid, 0) == 0);
	return partner_end(&p) ? 0 : 1;
}

static bool signals(void)
{
	int ends[2], status;
	struct targets t;
	CHECK(pipe(ends) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(two_users(ends));
	close(ends[1]);
	CHECK(pid > 0 && read(ends[0], &t, sizeof(t)) == sizeof(t) && close(ends[0]) == 0);
	CHECK(child_exits(signal_as_bob, &t, 0) && child_exits(signal_as_first, &t, 0));
	CHECK(child_exits(signals_of_threads, &t, 0));
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	return true;
}

/* --- scheduling, sockets --- */

static long nice_of_first(void *arg)
{
	(void)arg;
	return result_of(sc(setpriority, PRIO_PROCESS, getpid(), 5));
}

static long place_first(void *arg)
{
	return result_of(sc(sched_setaffinity, getpid(), sizeof(cpu_set_t), arg));
}

static int schedules(void *arg)
{
	struct partner p, q;
	cpu_set_t all;
	(void)arg;
	UCHECK(partner_start(&p) && partner_start(&q) && by(&p, become, &alice) == 0);
	UCHECK(sched_getaffinity(0, sizeof(all), &all) == 0 && by(&q, nice_of_first, NULL) == 0);
	UCHECK(by(&p, nice_of_first, NULL) == -EPERM && by(&p, place_first, &all) == -EPERM);
	UCHECK(sc(setpriority, PRIO_USER, ALICE, 7) == 0); /* the one thread of hers */
	UCHECK(getpriority(PRIO_PROCESS, (id_t)p.tid) == 7 && getpriority(PRIO_PROCESS, 0) == 5);
	UCHECK(partner_end(&p) && partner_end(&q));
	return 0;
}

static bool scheduling(void)
{
	return child_exits(schedules, NULL, 0);
}

static long make_pair(void *arg)
{
	return result_of(sc(socketpair, AF_UNIX, SOCK_STREAM, 0, arg));
}

/* One byte with these credentials. */
struct message {
	int fd;
	struct ucred ids;
};

static long send_ids(void *arg)
{
	struct message *m = arg;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control = {.head = {.cmsg_len = CMSG_LEN(sizeof(struct ucred)),
			 .cmsg_level = SOL_SOCKET,
			 .cmsg_type = SCM_CREDENTIALS}};
	struct iovec iov = {"x", 1};
	struct msghdr h = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	memcpy(CMSG_DATA(&control.head), &m->ids, sizeof(m->ids));
	return result_of(sendmsg(m->fd, &h, MSG_NOSIGNAL));
}

static int sends(void *arg)
{
	struct partner p;
	struct ucred ids;
	socklen_t len = sizeof(ids);
	int ends[2];
	(void)arg;
	UCHECK(partner_start(&p) && by(&p, become, &alice) == 0 && by(&p, make_pair, ends) == 0);
	UCHECK(getsockopt(ends[0], SOL_SOCKET, SO_PEERCRED, &ids, &len) == 0);
	UCHECK(ids.uid == ALICE && ids.pid == getpid());
	struct message m = {ends[0], {getpid(), BOB, 0}};
	UCHECK(by(&p, send_ids, &m) == -EPERM && send_ids(&m) == 1);
	m.ids.uid = ALICE;
	UCHECK(by(&p, send_ids, &m) == 1);
	return partner_end(&p) ? 0 : 1;
}

static bool sockets(void)
{
	return child_exits(sends, NULL, 0);
}

/* --- how many tasks a user has --- */

static int return_0(void *arg)
{
	(void)arg;
	return 0;
}

static int one_more(void *arg)
{
	const struct rlimit three = {3, 3};
	(void)arg;
	UCHECK(setrlimit(RLIMIT_NPROC, &three) == 0 && become((void *)&carol) == 0);
	return child_exits(return_0, NULL, 0) ? 0 : 2;
}

/* One that changed to a user with too many others runs no program; one that found as many as may be does. */
static int run_among(void *arg)
{
	const rlim_t others = *(rlim_t *)arg;
	const struct rlimit most = {others, others};
	UCHECK(setrlimit(RLIMIT_NPROC, &most) == 0 && become((void *)&carol) == 0);
	return run_self("nothing") == -EAGAIN ? 3 : 4;
}

static int count_tasks(void *arg)
{
	struct partner p, q, r;
	rlim_t one = 1, two = 2;
	(void)arg;
	UCHECK(partner_start(&p) && partner_start(&q) && partner_start(&r));
	UCHECK(by(&p, become, &carol) == 0 && by(&q, become, &carol) == 0);
	UCHECK(by(&r, become, &alice) == 0);
	UCHECK(child_exits(one_more, NULL, 2)); /* with two threads of ours it is the third */
	UCHECK(child_exits(run_among, &one, 3) && child_exits(run_among, &two, 0));
	UCHECK(partner_end(&p) && child_exits(one_more, NULL, 0));
	UCHECK(child_exits(run_among, &one, 0));
	UCHECK(partner_end(&q) && partner_end(&r));
	return 0;
}

static bool tasks(void)
{
	return utest_proc() && child_exits(count_tasks, NULL, 0);
}

/* --- all at once --- */

enum { ROUNDS = 200 };

static long change_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		uid_t uid = i % 2 ? 0 : ALICE;
		if (sc(setresuid, -1, uid, -1) || (uid_t)sc(geteuid) != uid)
			return 1;
	}
	return 0;
}

static void *change_in_thread(void *arg)
{
	return (void *)change_often(arg);
}

static int storm(void *arg)
{
	pthread_t threads[4];
	char line[256], who[32];
	void *failed, *any = NULL;
	(void)arg;
	for (int i = 0; i < 4; i++)
		UCHECK(pthread_create(&threads[i], NULL, change_in_thread, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		DIR *d = opendir("/proc/self/task");
		UCHECK(d && sc(getuid) == 0);
		for (struct dirent *e; (e = readdir(d));) {
			snprintf(who, sizeof(who), "self/task/%.12s", e->d_name);
			(void)status_line(who, "Uid:", line); /* it may be gone */
			(void)sc(tgkill, getpid(), atoi(e->d_name), 0);
		}
		closedir(d);
	}
	for (int i = 0; i < 4; i++) {
		UCHECK(pthread_join(threads[i], &failed) == 0);
		any = failed ? failed : any;
	}
	return any ? 1 : 0;
}

static bool races(void)
{
	return utest_proc() && child_exits(storm, NULL, 0);
}

int main(int argc, char **argv)
{
	static const struct utest tests[] = {
	    {"ids are the thread's", ids},
	    {"what it makes has its ids", inheritance},
	    {"its program has them", programs},
	    {"capabilities are the thread's", capabilities},
	    {"/proc tells each thread's", proc_files},
	    {"a process keeps those of its first thread", first_gone},
	    {"who may signal whom", signals},
	    {"who may schedule whom", scheduling},
	    {"who speaks in a socket", sockets},
	    {"tasks count for the user of each", tasks},
	    {"many change at once, many look", races},
	};
	self = argv[0];
	if (argc > 1)
		return strcmp(argv[1], "ids") ? 0 : after_exec();
	return utest_run(tests, sizeof(tests) / sizeof(tests[0]));
}
