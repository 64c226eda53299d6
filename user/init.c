/*
 * init.c - the guest's first program. A plain Linux program: static, started as PID 1 from the initial
 * archive.
 *
 * It puts the disk under the root, mounts what every Unix program expects, then serves the launcher if there
 * is one (serve.c), else keeps a shell on the console. At the end everything that still runs is killed,
 * everything is written back and unmounted, and the machine is turned off.
 *
 *	init [--port]       as PID 1; with --port there is a launcher, and its port is waited for if need be
 *	init --serve FD     only the conversation, over a descriptor: for tests on any Linux
 */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <quire/guard.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

QUIRE_GUARDED(15); /* QUIRE_GUARD_ALL */

#define DISK     "/dev/vda"
#define NEW_ROOT "/newroot"
enum {
	REAP_TRIES = 200,  /* of 5 ms */
	PORT_TRIES = 5000, /* of 2 ms */
};

static volatile sig_atomic_t asked_for; /* the signal that asked init to end the machine; 0: none */

static void on_child(int number)
{
	(void)number; /* it only has to end a wait */
}

static void on_request(int number)
{
	asked_for = number;
}

static void handle(int number, void (*fn)(int))
{
	struct sigaction action = {.sa_handler = fn};
	sigaction(number, &action, NULL);
}

/* Say something to whoever reads the kernel's log. */
static void say(const char *what, const char *which)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	char text[256];
	int n = snprintf(text, sizeof(text), "<4>init: %s %s: %s\n", what, which, strerror(errno));
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)n) < 0)
		errno = 0;
	close(fd);
}

/* --- mounting --- */

/* A directory to mount on may be missing, and what is mounted already stays. */
static void mount_at(const char *type, const char *where, unsigned long flags, const char *options)
{
	mkdir(where, 0755);
	if (mount(type, where, type, flags, options) && errno != EBUSY)
		say("cannot mount", where);
}

/* Make the disk the root, unless there is none, or the kernel has done so. A volume that cannot be written is
 * better than none. */
static void change_root(void)
{
	struct stat disk, root;
	if (stat(DISK, &disk) || stat("/", &root) || root.st_dev == disk.st_rdev)
		return;
	mkdir(NEW_ROOT, 0755);
	if (mount(DISK, NEW_ROOT, "ext2", 0, NULL)) {
		say("cannot mount for writing", DISK);
		if (mount(DISK, NEW_ROOT, "ext2", MS_RDONLY, NULL)) {
			say("cannot mount", DISK);
			return;
		}
	}
	umount2("/dev", MNT_DETACH);
	if (chdir(NEW_ROOT)) {
		say("cannot enter", NEW_ROOT);
		return;
	}
	if (mount(".", "/", NULL, MS_MOVE, NULL) && errno != EINVAL)
		say("cannot move", NEW_ROOT);
	if (chroot(".") || chdir("/"))
		say("cannot change the root to", DISK);
}

/* The programs that come with init, from the archive, which nobody sees once the disk is the root, to where
 * the guest's programs find them. */
static void install(int from, const char *to)
{
	char buf[4096];
	ssize_t n = -1;
	int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	while (fd >= 0 && (n = read(from, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			break;
	if (n)
		say("cannot install", to);
	if (fd >= 0)
		close(fd);
}

static void mount_all(void)
{
	int harden = open("/harden", O_RDONLY | O_CLOEXEC);
	mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	change_root();
	mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666");
	mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
	mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
	mount_at("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
	if (harden >= 0) {
		install(harden, "/run/harden");
		close(harden);
	}
}

/* --- the end --- */

static void kill_all(void)
{
	struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	sync(); /* what they wrote, while they may still be told of errors */
	kill(-1, SIGKILL);
	for (int tries = 0; tries < REAP_TRIES; tries++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0 && errno == ECHILD)
			return;
		if (pid == 0)
			nanosleep(&pause, NULL);
	}
	errno = ETIMEDOUT;
	say("cannot kill", "all processes");
}

/* Where something is mounted, the innermost last in the list of mounts, so from its end to its start. */
static void unmount_all(void)
{
	static const char *const inner[] = {"/tmp", "/run", "/dev/shm", "/dev/pts", "/sys", "/proc", "/dev"};
	for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++)
		umount2(inner[i], MNT_DETACH);
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY,
	    NULL); /* whatever cannot be unmounted is clean at least */
}

static void end_machine(int how)
{
	kill_all();
	sync();
	unmount_all();
	sync();
	reboot(how);
	say("cannot turn off", "the machine");
	for (;;)
		pause();
}

/* --- a shell on the console --- */

static void run_shell(void)
{
	static const char *const shells[] = {"/bin/bash", "/bin/sh", "/bin/busybox"};
	int fd;
	setsid();
	fd = open("/dev/console", O_RDWR);
	if (fd < 0)
		_exit(1);
	ioctl(fd, TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
	setenv("HOME", "/root", 1);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("TERM", "linux", 0);
	if (chdir("/root") && chdir("/"))
		_exit(1);
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		execl(shells[i], i == 2 ? "sh" : "-sh", (char *)NULL);
	_exit(127);
}

/* Run shells, one after the other, until a signal asks for the end. */
static void keep_shell(void)
{
	static const int requests[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		handle(requests[i], on_request);
	while (!asked_for) {
		int status = 0;
		sigset_t none;
		sigemptyset(&none);
		pid_t shell = fork(), pid = 0;
		if (shell == 0) {
			sigprocmask(SIG_SETMASK, &none, NULL);
			run_shell();
		}
		while (shell > 0 && !asked_for && pid != shell) {
			pid = waitpid(-1, &status, WNOHANG);
			if (pid <= 0)
				sigsuspend(&none);
		}
		if (shell < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) {
			say("cannot run", "a shell");
			return;
		}
	}
}

/* busybox's poweroff, halt and reboot ask the first program in this way. */
static int way_to_end(void)
{
	if (asked_for == SIGTERM || asked_for == SIGINT)
		return RB_AUTOBOOT;
	return asked_for == SIGUSR1 ? RB_HALT_SYSTEM : RB_POWER_OFF;
}

/* The launcher's port; -1: there is none. Ports are found while the system starts, so one that must come is
 * waited for. */
static int open_port(bool must_come)
{
	struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
	int port = open(PORT_PATH, O_RDWR | O_CLOEXEC);
	for (int tries = 0; port < 0 && must_come && tries < PORT_TRIES; tries++) {
		nanosleep(&pause, NULL);
		port = open(PORT_PATH, O_RDWR | O_CLOEXEC);
	}
	return port;
}

int main(int argc, char **argv)
{
	sigset_t blocked;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	handle(SIGCHLD, on_child);
	handle(SIGPIPE, SIG_IGN);
	if (argc == 3 && !strcmp(argv[1], "--serve")) {
		fcntl(atoi(argv[2]), F_SETFD, FD_CLOEXEC);
		serve(atoi(argv[2]));
		return 0;
	}
	if (getpid() != 1) {
		fprintf(stderr, "init: this is the first program of a machine\n");
		return 1;
	}
	umask(022);
	int display = display_find();
	mount_all();
	sethostname("quire", 5);
	display_start(display);
	bool has_launcher = argc > 1 && !strcmp(argv[1], "--port");
	int port = open_port(has_launcher);
	if (port >= 0) {
		serve(port);
		close(port);
	} else if (has_launcher) {
		say("cannot open", PORT_PATH);
	} else {
		keep_shell();
	}
	end_machine(way_to_end());
}
