/*
 * end.c - the end of the machine, in order: processes are asked to end and get time for it, are killed, all
 * is written back, what is mounted is unmounted, and the kernel does the rest. Nothing waits for a time: only
 * for those who are still there.
 */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	ASK_MS = 5000,  /* between SIGTERM and SIGKILL */
	KILL_MS = 5000, /* that a killed process may take */
};

static volatile sig_atomic_t asked;

static void on_request(int number)
{
	asked = number;
}

void end_listen(void)
{
	static const int requests[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
	struct sigaction action = {.sa_handler = on_request};
	sigset_t blocked;
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		sigaddset(&blocked, requests[i]);
		sigaction(requests[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &blocked, NULL); /* but where we wait */
}

int end_asked(void)
{
	return asked;
}

/* Every process is a child of ours, or becomes one. True: there is none left. */
static bool wait_for_all(uint32_t ms)
{
	uint64_t end = now_ms() + ms;
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD); /* which is blocked */
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		uint64_t now = now_ms();
		if (pid < 0 && errno == ECHILD)
			return true;
		if (pid == 0 && now >= end)
			return false;
		struct timespec rest = {(time_t)((end - now) / 1000), (long)((end - now) % 1000) * 1000000};
		if (pid == 0)
			sigtimedwait(&child, NULL, &rest);
	}
}

bool end_processes(void)
{
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	gettys_hang_up();
	if (wait_for_all(ASK_MS))
		return true;
	sync(); /* what they wrote, while they may still be told of errors */
	kill(-1, SIGKILL);
	return wait_for_all(KILL_MS);
}

/* busybox's poweroff, halt and reboot ask the first program in this way. */
static int way_to_end(void)
{
	if (asked == SIGTERM || asked == SIGINT)
		return RB_AUTOBOOT;
	return asked == SIGUSR1 ? RB_HALT_SYSTEM : RB_POWER_OFF;
}

void end_machine(void)
{
	if (!end_processes())
		say(SAY_WARNING, "cannot kill all processes");
	sync();
	unmount_all();
	sync();
	reboot(way_to_end());
	say(SAY_ERROR, "cannot end the machine: %s", strerror(errno));
	for (;;)
		pause();
}
