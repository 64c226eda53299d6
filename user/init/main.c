/*
 * main.c - the guest's first program. A plain Linux program: static, started as PID 1 from the initial
 * archive. What of it is Quire's own needs the system object.
 *
 * It puts the disk under the root, reads its configuration (docs/init.md), mounts, starts services, and then
 * serves the launcher if there is one (serve.c), else keeps programs on terminals (getty.c). At the end all
 * processes are ended, everything is written back and unmounted, and the machine is turned off.
 *
 *	init [--port]                  as PID 1; with --port there is a launcher, and its port is waited for
 *	init --serve FD                only the conversation, over a descriptor: for tests on any Linux
 *	init --services FILE SOCKET    only the services of a configuration, until SIGTERM: for tests. The
 *	                               variable QUIRE_SYSTEM names the descriptor of a system object
 */
#define _GNU_SOURCE
#include "init.h"
#include "launcher.h"
#include "service.h"
#include <errno.h>
#include <fcntl.h>
#include <quire/guard.h>
#include <quire/system.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

QUIRE_GUARDED(15); /* QUIRE_GUARD_ALL */

#define SETTINGS "/etc/quire.conf"
enum { PORT_TRIES = 5000 /* of 2 ms */ };

static bool has_launcher;

/* --- the loop --- */

static void on_child(int number)
{
	(void)number; /* it only has to end a wait */
}

/* Orphans are nobody's. */
static void reap(void)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		uint64_t now = now_ms();
		if (!serve_reaped(pid, status) && !services_reaped(pid, status, now))
			gettys_reaped(pid, status, now);
	}
}

/* Wait for descriptors, a signal, or until something is due. */
static void wait_for_news(struct pollfd *p, nfds_t n)
{
	uint64_t due = services_due(), getty = gettys_due(), now = now_ms();
	sigset_t none;
	sigemptyset(&none);
	due = getty < due ? getty : due;
	uint64_t rest = due > now ? due - now : 0;
	const struct timespec time = {(time_t)(rest / 1000), (long)(rest % 1000) * 1000000};
	if (ppoll(p, n, due == NEVER ? NULL : &time, &none) < 0)
		for (nfds_t i = 0; i < n; i++)
			p[i].revents = 0;
}

/* Wait for what comes next, and do it. False: the launcher has no more wishes. */
static bool turn(void)
{
	struct pollfd p[SERVE_POLLS + CONTROL_POLLS];
	memset(p, -1, sizeof(p)); /* no descriptors */
	if (has_launcher)
		serve_fill(p);
	control_fill(p + SERVE_POLLS);
	wait_for_news(p, SERVE_POLLS + CONTROL_POLLS);
	reap();
	if (has_launcher && !serve_turn(p))
		return false;
	services_turn(now_ms());
	gettys_turn(now_ms());
	control_turn(p + SERVE_POLLS);
	return true;
}

/* --- the beginning --- */

/* Programs that come with init, from the archive, which nobody sees once the disk is the root, to where the
 * guest's programs find them. */
static void install(int archive, const char *name, const char *to)
{
	char buf[4096];
	ssize_t n = -1;
	int from = openat(archive, name, O_RDONLY | O_CLOEXEC);
	int fd = from < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	while (fd >= 0 && (n = read(from, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			break;
	if (n && errno != ENOENT)
		say(SAY_WARNING, "cannot install %s: %s", to, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (from >= 0)
		close(from);
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

/* The root's configuration, or that of the archive, which is good. */
static const struct config *find_settings(int archive)
{
	const struct config *c = settings_read(AT_FDCWD, SETTINGS);
	if (c)
		return c;
	if (errno != ENOENT)
		say(SAY_ERROR, "%s is not used", SETTINGS);
	return settings_read(archive, SETTINGS + 1);
}

static const struct config *set_up(int archive)
{
	static const struct mount_config dev = {"devtmpfs", "/dev", "devtmpfs", "nosuid,mode=0755"};
	umask(022);
	mount_at(&dev);
	change_root();
	mount_at(&dev); /* on the root that there is now; no configuration can do without */
	const struct config *c = find_settings(archive);
	if (!c)
		return NULL;
	for (unsigned i = 0; i < c->nmounts; i++)
		mount_at(&c->mounts[i]);
	if (c->hostname && sethostname(c->hostname, strlen(c->hostname)))
		say(SAY_WARNING, "cannot set the name of the host: %s", strerror(errno));
	install(archive, "harden", "/run/harden");
	return c;
}

static int run_machine(bool must_have_launcher)
{
	int archive = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* The kernel lets orphans go unless somebody wants them: end.c does. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	const struct config *c = set_up(archive);
	int port = open_port(must_have_launcher);
	has_launcher = port >= 0;
	if (has_launcher)
		serve_begin(port);
	else if (must_have_launcher)
		say(SAY_ERROR, "cannot open %s: %s", PORT_PATH, strerror(errno));
	if (c && c->nservices && (has_launcher || !must_have_launcher)) {
		install(archive, "bin/service", "/run/service");
		services_begin(c, archive);
		control_begin(CONTROL_PATH);
	}
	if (c && !must_have_launcher && !has_launcher) {
		end_listen();
		gettys_begin(c);
	}
	while (!end_asked() && (has_launcher || services_live() || gettys_live()) && turn())
		;
	control_end();
	close(port);
	close(archive);
	end_machine();
}

static int run_services(const char *file, const char *socket)
{
	const char *system = getenv("QUIRE_SYSTEM");
	system_object = system ? atoi(system) : -1;
	fcntl(system_object, F_SETFD, FD_CLOEXEC);
	const struct config *c = settings_read(AT_FDCWD, file);
	if (!c)
		return 1;
	end_listen();
	services_begin(c, AT_FDCWD);
	control_begin(socket);
	while (!end_asked())
		turn();
	services_stop();
	while (services_live())
		turn();
	return 0;
}

static int run_conversation(int port)
{
	fcntl(port, F_SETFD, FD_CLOEXEC);
	has_launcher = true;
	serve_begin(port);
	while (turn())
		;
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction child = {.sa_handler = on_child}, ignore = {.sa_handler = SIG_IGN};
	sigset_t blocked;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	sigaction(SIGCHLD, &child, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	if (argc == 3 && !strcmp(argv[1], "--serve"))
		return run_conversation(atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "--services"))
		return run_services(argv[2], argv[3]);
	if (getpid() != 1) {
		fprintf(stderr, "init: this is the first program of a machine\n");
		return 1;
	}
	unsigned long system = getauxval(QUIRE_AT_SYSTEM);
	system_object = system ? (int)system : -1;
	return run_machine(argc > 1 && !strcmp(argv[1], "--port"));
}
