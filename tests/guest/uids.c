/*
 * uids.c - user and group ids: who may change them to what, capabilities, and whom a process may send signals
 * to. Runs as root.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include "utap.h"

static bool uids_are(uid_t r, uid_t e, uid_t s)
{
	uid_t got[3];
	return sc(getresuid, &got[0], &got[1], &got[2]) == 0 && got[0] == r && got[1] == e && got[2] == s &&
	       (uid_t)sc(getuid) == r && (uid_t)sc(geteuid) == e;
}

static bool gids_are(gid_t r, gid_t e, gid_t s)
{
	gid_t got[3];
	return sc(getresgid, &got[0], &got[1], &got[2]) == 0 && got[0] == r && got[1] == e && got[2] == s &&
	       (gid_t)sc(getgid) == r && (gid_t)sc(getegid) == e;
}

static int set_one(void *arg)
{
	(void)arg;
	UCHECK(uids_are(0, 0, 0) && FAILS_WITH(sc(setuid, -1), EINVAL));
	UCHECK(sc(setresuid, -1, -1, -1) == 0 && uids_are(0, 0, 0));
	UCHECK(FAILS_WITH(sc(getresuid, BAD, BAD, BAD), EFAULT));
	UCHECK(sc(setgid, 5) == 0 && gids_are(5, 5, 5) && sc(setuid, 7) == 0 && uids_are(7, 7, 7));
	UCHECK(FAILS_WITH(sc(setuid, 0), EPERM) && FAILS_WITH(sc(setgid, 0), EPERM) && sc(setuid, 7) == 0);
	UCHECK(FAILS_WITH(sc(setgroups, 0, NULL), EPERM) && FAILS_WITH(sc(setgid, -1), EINVAL));
	return 0;
}

static int set_two(void *arg)
{
	(void)arg;
	UCHECK(sc(setreuid, -1, 8) == 0 && uids_are(0, 8, 8));
	UCHECK(FAILS_WITH(sc(setreuid, 3, -1), EPERM) && FAILS_WITH(sc(setreuid, -1, 3), EPERM));
	UCHECK(sc(setreuid, 8, 0) == 0 && uids_are(8, 0, 0));
	UCHECK(sc(setreuid, 1, 2) == 0 && uids_are(1, 2, 2));
	UCHECK(sc(setreuid, 2, 1) == 0 && uids_are(2, 1, 1) && sc(setreuid, -1, 2) == 0 && uids_are(2, 2, 1));
	UCHECK(sc(setreuid, -1, 1) == 0 && uids_are(2, 1, 1));
	return 0;
}

static int set_three(void *arg)
{
	(void)arg;
	UCHECK(sc(setresgid, 1, 2, 3) == 0 && gids_are(1, 2, 3));
	UCHECK(sc(setresuid, 1, 2, 3) == 0 && uids_are(1, 2, 3));
	UCHECK(FAILS_WITH(sc(setresuid, 4, -1, -1), EPERM) && FAILS_WITH(sc(setresuid, -1, -1, 0), EPERM));
	UCHECK(sc(setresuid, 3, 1, 2) == 0 && uids_are(3, 1, 2) && sc(setresgid, -1, 3, -1) == 0);
	UCHECK(
	    gids_are(1, 3, 3) && sc(setuid, 2) == 0 && uids_are(3, 2, 2) && FAILS_WITH(sc(setuid, 1), EPERM));
	return 0;
}

static int set_fs(void *arg)
{
	(void)arg;
	UCHECK(sc(setfsuid, -1) == 0 && sc(setfsuid, 9) == 0 && sc(setfsuid, -1) == 9 && uids_are(0, 0, 0));
	UCHECK(sc(setfsgid, 9) == 0 && sc(setfsgid, -1) == 9);
	UCHECK(sc(setresuid, 1, 2, 3) == 0 && sc(setfsuid, 3) == 2 && sc(setfsuid, 0) == 3 &&
	       sc(setfsuid, -1) == 3);
	return 0;
}

static bool ids_change(void)
{
	CHECK(child_exits(set_one, NULL, 0) && child_exits(set_two, NULL, 0));
	CHECK(child_exits(set_three, NULL, 0) && child_exits(set_fs, NULL, 0));
	return true;
}

static int group_lists(void *arg)
{
	gid_t many[300], got[300];
	(void)arg;
	for (int i = 0; i < 300; i++)
		many[i] = (gid_t)((i * 7919) % 1009);
	UCHECK(sc(setgroups, 300, many) == 0 && sc(getgroups, 0, NULL) == 300);
	UCHECK(FAILS_WITH(sc(getgroups, 299, got), EINVAL) && FAILS_WITH(sc(getgroups, -1, got), EINVAL));
	UCHECK(FAILS_WITH(sc(getgroups, 300, BAD), EFAULT) && sc(getgroups, 300, got) == 300);
	for (int i = 1; i < 300; i++)
		UCHECK(got[i - 1] <= got[i]);
	UCHECK(FAILS_WITH(sc(setgroups, 65537, many), EINVAL) && FAILS_WITH(sc(setgroups, -1, many), EINVAL));
	UCHECK(FAILS_WITH(sc(setgroups, 3, BAD), EFAULT) && sc(getgroups, 0, NULL) == 300);
	many[5] = (gid_t)-1;
	UCHECK(FAILS_WITH(sc(setgroups, 10, many), EINVAL));
	UCHECK(sc(setgroups, 0, NULL) == 0 && sc(getgroups, 0, NULL) == 0);
	return 0;
}

static bool groups(void)
{
	return child_exits(group_lists, NULL, 0);
}

struct cap_header {
	unsigned version;
	int pid;
};

static int drop_and_look(void *arg)
{
	struct cap_header h = {0x20080522, 0};
	unsigned d[6];
	(void)arg;
	UCHECK(sc(setresuid, 5, 5, 0) == 0 && sc(capget, &h, d) == 0 && d[0] == 0 && d[1] != 0);
	UCHECK(sc(setresuid, 0, 0, 0) == 0 && sc(capget, &h, d) == 0 && d[0] != 0);
	UCHECK(sc(setresuid, 5, 5, 5) == 0 && sc(capget, &h, d) == 0);
	UCHECK(!d[0] && !d[1] && !d[2] && !d[3] && !d[4] && !d[5] && sc(capset, &h, d) == 0);
	d[1] = 1;
	UCHECK(FAILS_WITH(sc(capset, &h, d), EPERM));
	return 0;
}

static bool capabilities(void)
{
	struct cap_header h = {0, 0};
	unsigned d[6];
	CHECK(sc(capget, &h, NULL) == 0 && h.version == 0x20080522);
	h.version = 1;
	CHECK(FAILS_WITH(sc(capget, &h, d), EINVAL) && h.version == 0x20080522);
	CHECK(FAILS_WITH(sc(capget, BAD, d), EFAULT) && sc(capget, &h, d) == 0 && d[0] == d[1] && d[0] != 0);
	h.pid = -1;
	CHECK(FAILS_WITH(sc(capget, &h, d), EINVAL));
	h.pid = 1 << 22;
	CHECK(FAILS_WITH(sc(capget, &h, d), ESRCH) && FAILS_WITH(sc(capset, &h, d), EPERM));
	h = (struct cap_header){0x19980330, getpid()};
	CHECK(sc(capget, &h, d) == 0 && FAILS_WITH(sc(capset, &h, BAD), EFAULT));
	return child_exits(drop_and_look, NULL, 0);
}

static int kill_parent(void *arg)
{
	pid_t parent = getppid();
	siginfo_t info = {.si_code = SI_QUEUE};
	(void)arg;
	UCHECK(sc(setresuid, 6, 6, 6) == 0);
	UCHECK(FAILS_WITH(kill(parent, 0), EPERM) && FAILS_WITH(kill(parent, SIGUSR1), EPERM));
	UCHECK(FAILS_WITH(kill(parent, 65), EINVAL) && FAILS_WITH(kill(1 << 22, 0), ESRCH));
	UCHECK(FAILS_WITH(sc(tkill, parent, SIGUSR1), EPERM));
	UCHECK(FAILS_WITH(sc(rt_sigqueueinfo, parent, SIGUSR1, &info), EPERM));
	UCHECK(kill(parent, SIGCONT) == 0); /* the same session */
	UCHECK(kill(0, 0) == 0);            /* itself, at least */
	UCHECK(kill(getpid(), 0) == 0);
	return 0;
}

static int kill_sibling(void *arg)
{
	pid_t pid = *(pid_t *)arg;
	UCHECK(sc(setresuid, 77, 6, 6) == 0 && kill(pid, 0) == 0); /* our effective is its saved id */
	UCHECK(sc(setresuid, 6, 6, 6) == 0 && kill(pid, SIGTERM) == 0);
	return 0;
}

static bool signals_are_for_ones_own(void)
{
	CHECK(child_exits(kill_parent, NULL, 0));
	fflush(stdout);
	int ready[2], status;
	CHECK(pipe(ready) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		_exit(sc(setresuid, 5, 5, 6) || write(ready[1], "r", 1) != 1 || pause());
	}
	CHECK(pid > 0 && read(ready[0], &status, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	CHECK(child_exits(kill_sibling, &pid, 0));
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	return true;
}

static int signal_and_exit(void *arg)
{
	(void)arg;
	return sc(setresuid, 44, 0, 0) || kill(getppid(), SIGUSR1) ? 1 : 0;
}

static bool signals_say_who_sent_them(void)
{
	sigset_t set, old;
	siginfo_t info;
	struct timespec ten = {10, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0 && child_exits(signal_and_exit, NULL, 0));
	sigdelset(&set, SIGCHLD);
	CHECK(sigtimedwait(&set, &info, &ten) == SIGUSR1 && info.si_code == SI_USER && info.si_uid == 44);
	sigaddset(&set, SIGCHLD);
	CHECK(sigtimedwait(&set, &info, &ten) == SIGCHLD && info.si_code == CLD_EXITED && info.si_uid == 44);
	return sigprocmask(SIG_SETMASK, &old, NULL) == 0;
}

static const struct utest tests[] = {
    {"set*id", ids_change},
    {"groups", groups},
    {"capabilities", capabilities},
    {"whom one may send signals to", signals_are_for_ones_own},
    {"signals say who sent them", signals_say_who_sent_them},
};

int main(void)
{
	return UTEST_RUN(tests);
}
