/*
 * display.c - keeps the console on a screen (user/fbcon), if it came along in the archive as
 * /service/fbcon: starts it with the devices that it may use and no others, asks it from time to time
 * whether it is well, and starts it again when it has ended or does not answer. It runs in a process of its
 * own.
 */
#define _GNU_SOURCE
#include "fbcon/place.h"
#include "init.h"
#include <fcntl.h>
#include <quire/calls.h>
#include <quire/spawn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SYSTEM_FD = 3, REGISTERS_FD, PING_FD, NGIFTS = 6, PING_TAG = 1 };
enum { KEYBOARD_LINE = 1, KEYBOARD_PORTS = 0x60, KEYBOARD_NPORTS = 5 };
enum { NS_PER_S = 1000000000, ASK_EVERY = 5, ANSWER_WITHIN = 60, BACK_OFF_MAX = 60 }; /* s */

static uint64_t in_seconds(unsigned s)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec + s) * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int carve(int system, const struct quire_scope *scope)
{
	int fd = (int)quire_system_carve(system, scope);
	if (fd >= 0 &&
	    quire_rights_limit(fd, QUIRE_RIGHT_MAP | QUIRE_RIGHT_TRANSFER | QUIRE_RIGHT_INSPECT) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Start it. Its process, or -1; *ping gets our end of the endpoint. */
static int spawn(int program, int system, const struct screen_place *place, int *ping)
{
	static char *const argv[] = {"fbcon", NULL};
	static char *const envp[] = {"QUIRE_SYSTEM=3", "QUIRE_REGISTERS=4", "QUIRE_PING=5", NULL};
	int ends[2] = {-1, -1}, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int devices = carve(system, &(struct quire_scope){.irqs = {KEYBOARD_LINE, 1},
					.ports = {KEYBOARD_PORTS, KEYBOARD_NPORTS},
					.memory = {place->memory, place->len}});
	int registers =
	    carve(system, &(struct quire_scope){.memory = {place->registers, place->registers_len}});
	int process = -1;
	if (null >= 0 && devices >= 0 && registers >= 0 && quire_endpoint_create(ends, 0) == 0) {
		struct quire_gift gifts[NGIFTS] = {
		    {devices, SYSTEM_FD, QUIRE_RIGHT_MAP},
		    {registers, REGISTERS_FD, QUIRE_RIGHT_MAP},
		    {ends[0], PING_FD, QUIRE_RIGHT_READ | QUIRE_RIGHT_WAIT},
		};
		for (int i = 0; i < 3; i++)
			gifts[SYSTEM_FD + i] =
			    (struct quire_gift){null, i, QUIRE_RIGHT_READ | QUIRE_RIGHT_WRITE};
		process = quire_spawn("fbcon", program, argv, envp, gifts, NGIFTS, NULL);
	}
	close(null);
	close(devices);
	close(registers);
	close(ends[0]);
	*ping = ends[1];
	return process;
}

static bool is_well(int ping)
{
	struct quire_message m = {.tag = PING_TAG};
	return quire_endpoint_call(ping, &m, in_seconds(ANSWER_WITHIN)) == 0;
}

/* Until it has ended, by itself or because it did not answer. False: it is done. */
static bool watch(int process, int ping)
{
	struct quire_wait dead = {.fd = process, .mask = QUIRE_SIGNAL_DEAD};
	siginfo_t info;
	while (quire_object_wait(&dead, 1, in_seconds(ASK_EVERY)) != 1)
		if (!is_well(ping))
			syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
	return waitid(P_PIDFD, (id_t)process, &info, WEXITED) || info.si_code != CLD_EXITED || info.si_status;
}

/* One that ends soon after it was started waits longer and longer before the next try. */
static void keep(int program, int system, const struct screen_place *place)
{
	unsigned pause = 0;
	bool again = true;
	while (again) {
		int ping, process = spawn(program, system, place, &ping);
		uint64_t settled = in_seconds(BACK_OFF_MAX);
		if (process < 0)
			quire_diag("init: cannot start fbcon");
		else if ((again = watch(process, ping)))
			quire_diag("init: fbcon has ended, and is started again");
		pause = in_seconds(0) > settled ? 0 : pause < BACK_OFF_MAX ? 2 * pause + 1 : BACK_OFF_MAX;
		close(process);
		close(ping);
		if (again && pause > 1)
			sleep(pause / 2);
	}
}

int display_find(void)
{
	return open("/service/fbcon", O_RDONLY | O_CLOEXEC);
}

void display_start(int program)
{
	struct screen_place place;
	int system = (int)getauxval(QUIRE_AT_SYSTEM);
	sigset_t none;
	if (program < 0)
		return;
	if (system <= 0 || !screen_place(&place)) {
		quire_diag("init: there is no screen for fbcon");
	} else if (fork() == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGCHLD, SIG_DFL);
		keep(program, system, &place);
		_exit(0);
	}
	close(program);
}
