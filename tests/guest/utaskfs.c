/*
 * utaskfs.c - a thread may have descriptors of its own, and a place among the files: made so by clone, or by
 * unshare and close_range, after which others neither see nor keep what it has. Runs as root.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include "upartner.h"

enum { USER = 5001, LOW = 50, HIGH = 60 }; /* a user; descriptors that nobody else uses */
enum { KCMP_FILE, KCMP_VM, KCMP_FILES, KCMP_FS };
#define UNSHARE_CLOSED 2U /* close_range: CLOSE_RANGE_UNSHARE */
enum { FUTEX_WAIT = 0 };

static char *self;

static long unshare_files(void *arg)
{
	(void)arg;
	return result_of(unshare(CLONE_FILES));
}

static long unshare_place(void *arg)
{
	(void)arg;
	return result_of(unshare(CLONE_FS));
}

static long open_at(void *fd)
{
	return result_of(sc(dup2, 0, *(int *)fd));
}

static long close_at(void *fd)
{
	return result_of(sc(close, *(int *)fd));
}

static long flags_of(void *fd)
{
	return result_of(sc(fcntl, *(int *)fd, F_GETFD));
}

static bool is_open(int fd)
{
	return flags_of(&fd) >= 0;
}

static bool in(const char *path)
{
	char cwd[128];
	return sc(getcwd, cwd, sizeof(cwd)) > 0 && !strcmp(cwd, path);
}

static long go_to_root(void *arg)
{
	(void)arg;
	sc(umask, 0);
	return result_of(sc(chdir, "/"));
}

static long in_root(void *arg)
{
	(void)arg;
	return in("/");
}

static bool same(int kind, pid_t tid)
{
	return sc(kcmp, getpid(), tid, kind, 0, 0) == 0;
}

static const int low = LOW, high = HIGH;

/* --- descriptors --- */

static int tables_apart(void *arg)
{
	struct partner p;
	(void)arg;
	UCHECK(dup2(0, LOW) == LOW && partner_start(&p) && same(KCMP_FILES, p.tid));
	UCHECK(by(&p, open_at, &high) == HIGH && is_open(HIGH) && close(HIGH) == 0);
	UCHECK(by(&p, unshare_files, NULL) == 0 && !same(KCMP_FILES, p.tid) && same(KCMP_FS, p.tid));
	UCHECK(by(&p, unshare_files, NULL) == 0);
	UCHECK(by(&p, open_at, &high) == HIGH && !is_open(HIGH));
	UCHECK(close(LOW) == 0 && by(&p, flags_of, &low) == 0 && by(&p, close_at, &high) == 0);
	UCHECK(dup2(0, HIGH) == HIGH && by(&p, flags_of, &high) == -EBADF);
	return partner_end(&p) && is_open(HIGH) ? 0 : 1;
}

static bool tables(void)
{
	return child_exits(tables_apart, NULL, 0);
}

static long close_many(void *arg)
{
	(void)arg;
	return result_of(sc(close_range, LOW, HIGH, UNSHARE_CLOSED));
}

static int close_apart(void *arg)
{
	struct partner p;
	(void)arg;
	UCHECK(dup2(0, LOW) == LOW && dup2(0, HIGH) == HIGH && partner_start(&p));
	UCHECK(by(&p, close_many, NULL) == 0 && by(&p, flags_of, &low) == -EBADF);
	UCHECK(is_open(LOW) && is_open(HIGH) && !same(KCMP_FILES, p.tid));
	return partner_end(&p) ? 0 : 1;
}

static bool closing(void)
{
	return child_exits(close_apart, NULL, 0);
}

static long close_both(void *ends)
{
	return sc(close, ((int *)ends)[0]) || sc(close, ((int *)ends)[1]);
}

/* A pipe's last writer is a thread's table: it goes with the thread, not with the process. */
static int end_of_table(void *arg)
{
	struct partner p, q;
	int ends[2];
	char c;
	(void)arg;
	UCHECK(pipe(ends) == 0 && partner_start(&p) && partner_start(&q));
	UCHECK(by(&q, unshare_files, NULL) == 0 && by(&p, unshare_files, NULL) == 0);
	UCHECK(by(&q, close_both, ends) == 0 && close(ends[1]) == 0);
	UCHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 && FAILS_WITH(read(ends[0], &c, 1), EAGAIN));
	UCHECK(fcntl(ends[0], F_SETFL, 0) == 0 && partner_end(&p) && read(ends[0], &c, 1) == 0);
	UCHECK(partner_end(&q) && is_open(ends[0]));
	return 0;
}

static bool ends_of_threads(void)
{
	return child_exits(end_of_table, NULL, 0);
}

static long lock_whole(void *fd)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	return result_of(fcntl(*(int *)fd, F_SETLK, &l));
}

static int is_locked(void *fd)
{
	return lock_whole(fd) == -EAGAIN ? 0 : 1;
}

/* Locks on files belong to the table. */
static int locks_apart(void *arg)
{
	struct partner p;
	int fd = open(arg, O_RDWR);
	UCHECK(fd >= 0 && partner_start(&p));
	UCHECK(lock_whole(&fd) == 0 && by(&p, lock_whole, &fd) == 0);
	UCHECK(by(&p, unshare_files, NULL) == 0 && by(&p, lock_whole, &fd) == -EAGAIN);
	UCHECK(by(&p, close_at, &fd) == 0); /* drops none of the other table's */
	UCHECK(child_exits(is_locked, &fd, 0));
	return partner_end(&p) ? 0 : 1;
}

static bool locks(void)
{
	char path[64];
	int fd = open(utest_file(path, "locked"), O_CREAT | O_RDWR, 0600);
	CHECK(fd >= 0 && close(fd) == 0);
	return child_exits(locks_apart, path, 0);
}

/* --- the place --- */

static int places_apart(void *arg)
{
	struct partner p;
	const char *dir = arg;
	umask(022);
	UCHECK(chdir(dir) == 0 && umask(027) == 022 && partner_start(&p) && same(KCMP_FS, p.tid));
	UCHECK(by(&p, unshare_place, NULL) == 0 && !same(KCMP_FS, p.tid) && same(KCMP_FILES, p.tid));
	UCHECK(by(&p, go_to_root, NULL) == 0 && in(dir) && by(&p, in_root, NULL) && umask(027) == 027);
	UCHECK(partner_end(&p) && partner_start(&p));
	UCHECK(by(&p, go_to_root, NULL) == 0 && in("/") && umask(0) == 0);
	return partner_end(&p) ? 0 : 1;
}

static bool places(void)
{
	return child_exits(places_apart, (void *)utest_dir(), 0);
}

/* --- clone --- */

#define THREAD_FLAGS                                                                                         \
	(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

static int raw_body(void *arg)
{
	(void)arg;
	return sc(chdir, "/") || sc(close, LOW);
}

static bool run_raw(int flags)
{
	static char stack[65536] __attribute__((aligned(16)));
	static _Atomic pid_t tid;
	tid = -1;
	if (clone(raw_body, stack + sizeof(stack), THREAD_FLAGS | flags, NULL, &tid, NULL, &tid) <= 0)
		return false;
	for (pid_t seen; (seen = tid) != 0;)
		sc(futex, &tid, FUTEX_WAIT, seen, NULL, NULL, 0);
	return true;
}

/* With any of the two shared, the other one not. */
static int raw_threads(void *arg)
{
	const char *dir = arg;
	UCHECK(dup2(0, LOW) == LOW && chdir(dir) == 0 && run_raw(0) && is_open(LOW) && in(dir));
	UCHECK(run_raw(CLONE_FILES) && !is_open(LOW) && in(dir));
	UCHECK(dup2(0, LOW) == LOW && run_raw(CLONE_FS) && is_open(LOW) && in("/"));
	UCHECK(chdir(dir) == 0 && run_raw(CLONE_FS | CLONE_FILES) && !is_open(LOW) && in("/"));
	return 0;
}

static bool clones(void)
{
	return child_exits(raw_threads, (void *)utest_dir(), 0);
}

static int open_in_child(void *arg)
{
	return open_at(arg) == *(int *)arg ? 0 : 1;
}

/* A process that shares with a thread shares what that has. */
static long share_child(void *arg)
{
	static char stack[65536] __attribute__((aligned(16)));
	int status;
	pid_t pid = clone(open_in_child, stack + sizeof(stack), CLONE_FILES | SIGCHLD, arg);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int processes_share(void *arg)
{
	struct partner p;
	(void)arg;
	UCHECK(partner_start(&p) && by(&p, unshare_files, NULL) == 0 && by(&p, share_child, &high) == 1);
	UCHECK(by(&p, flags_of, &high) == 0 && !is_open(HIGH));
	return partner_end(&p) ? 0 : 1;
}

static bool processes(void)
{
	return child_exits(processes_share, NULL, 0);
}

/* --- unshare --- */

static long unshare_all(void *flags)
{
	return result_of(unshare(*(int *)flags));
}

static int refusals(void *arg)
{
	struct partner p;
	static const int cases[] = {CLONE_THREAD, CLONE_SIGHAND, CLONE_VM, CLONE_FILES | CLONE_VM};
	(void)arg;
	UCHECK(dup2(0, LOW) == LOW && partner_start(&p));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		UCHECK(
		    by(&p, unshare_all, &cases[i]) == -EINVAL && unshare_all((void *)&cases[i]) == -EINVAL);
	UCHECK(same(KCMP_FILES, p.tid) && same(KCMP_FS, p.tid));
	UCHECK(by(&p, unshare_all, &(int){CLONE_FS | CLONE_FILES | CLONE_SYSVSEM}) == 0);
	UCHECK(!same(KCMP_FILES, p.tid) && !same(KCMP_FS, p.tid) && partner_end(&p));
	return 0;
}

static bool unsharing(void)
{
	return child_exits(refusals, NULL, 0);
}

/* --- /proc --- */

static bool link_is(const char *path, const char *to)
{
	char got[128];
	ssize_t n = readlink(path, got, sizeof(got) - 1);
	if (n < 0)
		return false;
	got[n] = 0;
	return !strcmp(got, to);
}

static long look_at_self(void *arg)
{
	(void)arg;
	return link_is("/proc/thread-self/cwd", "/") && !access("/proc/thread-self/fd/60", F_OK) &&
	       access("/proc/self/fd/60", F_OK) && !access("/proc/thread-self/fdinfo/60", F_OK);
}

static int proc_apart(void *arg)
{
	struct partner p;
	char path[64];
	const char *dir = arg;
	UCHECK(chdir(dir) == 0 && partner_start(&p));
	UCHECK(by(&p, unshare_all, &(int){CLONE_FS | CLONE_FILES}) == 0);
	UCHECK(by(&p, go_to_root, NULL) == 0 && by(&p, open_at, &high) == HIGH && by(&p, look_at_self, NULL));
	UCHECK(link_is("/proc/self/cwd", dir));
	snprintf(path, sizeof(path), "/proc/self/task/%d/cwd", p.tid);
	UCHECK(link_is(path, "/"));
	snprintf(path, sizeof(path), "/proc/self/task/%d/fd/%d", p.tid, HIGH);
	UCHECK(access(path, F_OK) == 0 && access("/proc/self/fd/60", F_OK));
	return partner_end(&p) && access(path, F_OK) ? 0 : 1;
}

static bool proc_files(void)
{
	return utest_proc() && child_exits(proc_apart, (void *)utest_dir(), 0);
}

/* --- exec --- */

static long run_self(void *arg)
{
	char *const args[] = {self, arg, NULL};
	return result_of(execv(self, args));
}

static void pause_for_ever(void)
{
	for (;;)
		pause();
}

/* The program of a thread has its descriptors and its place, not those of the first one. */
static int exec_by_second(void *arg)
{
	struct partner p;
	UCHECK(chdir(arg) == 0 && partner_start(&p));
	UCHECK(by(&p, unshare_all, &(int){CLONE_FS | CLONE_FILES}) == 0);
	UCHECK(by(&p, go_to_root, NULL) == 0 && by(&p, open_at, &high) == HIGH && dup2(0, LOW) == LOW);
	p.fn = run_self;
	p.arg = (void *)"files";
	sem_post(&p.todo);
	pause_for_ever();
	return 1;
}

static bool programs(void)
{
	return child_exits(exec_by_second, (void *)utest_dir(), 0);
}

/* A copy of this program that is run as root by whoever runs it. */
static bool make_suid(char path[static 64])
{
	char buf[16384];
	int in = open(self, O_RDONLY), out = open(utest_file(path, "suid"), O_CREAT | O_WRONLY, 0755);
	ssize_t n;
	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, (size_t)n) != n)
			return false;
	return n == 0 && fchmod(out, 04755) == 0 && close(in) == 0 && close(out) == 0;
}

static int run_suid(void *path)
{
	struct partner p;
	char *const args[] = {path, "euid", NULL};
	if (!partner_start(&p) || sc(setresuid, USER, USER, USER))
		return 100;
	execv(path, args);
	return 101;
}

static int wait_for_end(void *arg)
{
	(void)arg;
	pause_for_ever();
	return 0;
}

/* Another process stands where the program would. */
static int run_suid_watched(void *path)
{
	static char stack[65536] __attribute__((aligned(16)));
	fflush(stdout);
	pid_t pid = clone(wait_for_end, stack + sizeof(stack), CLONE_FS | SIGCHLD, NULL);
	pid_t runner = pid > 0 ? clone(run_suid, stack + sizeof(stack) / 2, CLONE_FS | SIGCHLD, path) : -1;
	int status = -1;
	if (runner > 0)
		waitpid(runner, &status, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 102;
}

/* Threads in one place do not keep a set-user-ID program from its rights; another process does. */
static bool set_user_id(void)
{
	char path[64];
	CHECK(make_suid(path));
	CHECK(child_exits(run_suid, path, 0) && child_exits(run_suid_watched, path, 1));
	return child_exits(run_suid, path, 0);
}

/* --- all at once --- */

enum { THREADS = 4, ROUNDS = 50 };

/* It leaves descriptors behind, in a table of its own. */
static void *leave_open(void *arg)
{
	(void)arg;
	if (unshare(CLONE_FILES | CLONE_FS))
		return (void *)1;
	for (int fd = LOW; fd < HIGH; fd++)
		if (sc(dup2, 0, fd) != fd)
			return (void *)1;
	return chdir("/") ? (void *)1 : NULL;
}

static void look_at_all(void)
{
	char path[64], target[64];
	DIR *d = opendir("/proc/self/task");
	for (struct dirent *e; d && (e = readdir(d));) {
		snprintf(path, sizeof(path), "/proc/self/task/%.12s/fd/55", e->d_name);
		(void)!readlink(path, target, sizeof(target)); /* it may be gone */
		snprintf(path, sizeof(path), "/proc/self/task/%.12s/cwd", e->d_name);
		(void)!readlink(path, target, sizeof(target));
	}
	if (d)
		closedir(d);
}

static int storm(void *arg)
{
	pthread_t threads[THREADS];
	void *failed;
	(void)arg;
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < THREADS; i++)
			UCHECK(pthread_create(&threads[i], NULL, leave_open, NULL) == 0);
		look_at_all();
		for (int i = 0; i < THREADS; i++)
			UCHECK(pthread_join(threads[i], &failed) == 0 && !failed);
	}
	return is_open(LOW) || is_open(55) ? 1 : 0;
}

static void *leave_open_for_ever(void *arg)
{
	while (!leave_open(arg))
		;
	return (void *)1;
}

static int exec_in_storm(void *arg)
{
	pthread_t t;
	(void)arg;
	if (chdir("/"))
		return 1;
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t, NULL, leave_open_for_ever, NULL))
			return 1;
	return (int)run_self("clean");
}

static bool races(void)
{
	CHECK(utest_proc() && child_exits(storm, NULL, 0));
	for (int i = 0; i < 10; i++)
		CHECK(child_exits(exec_in_storm, NULL, 0));
	return true;
}

/* What the tests run. */
static int as_program(const char *what)
{
	if (!strcmp(what, "files"))
		return is_open(HIGH) && !is_open(LOW) && in("/") ? 0 : 1;
	if (!strcmp(what, "clean"))
		return is_open(55) ? 1 : 0;
	return sc(geteuid) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct utest tests[] = {
	    {"a table of one's own", tables},
	    {"made by close_range", closing},
	    {"ends with its thread", ends_of_threads},
	    {"and has the locks", locks},
	    {"a place of one's own", places},
	    {"clone shares each or none", clones},
	    {"processes share a thread's", processes},
	    {"what can and cannot be had alone", unsharing},
	    {"/proc shows each thread's", proc_files},
	    {"a program has those of its thread", programs},
	    {"set-user-ID programs among threads", set_user_id},
	    {"many threads at once", races},
	};
	self = argv[0];
	return argc > 1 ? as_program(argv[1]) : utest_run(tests, sizeof(tests) / sizeof(tests[0]));
}
