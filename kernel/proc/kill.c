/*
 * kill.c - signals as far as their default actions go: a signal ends the process or does nothing. Process 1
 * is not ended by a signal that somebody sends.
 */
#include "lib/bits.h"
#include "proc/process.h"

#define IGNORED  (BIT(SIGNAL_CHLD) | BIT(SIGNAL_CONT) | BIT(SIGNAL_URG) | BIT(SIGNAL_WINCH))
#define STOPPING (BIT(SIGNAL_STOP) | BIT(SIGNAL_TSTP) | BIT(SIGNAL_TTIN) | BIT(SIGNAL_TTOU))

static bool signal_in(int signal, uint64_t set)
{
	return signal > 0 && signal < 64 && (set & BIT(signal));
}

const char *signal_name(int signal)
{
	static const char *const names[] = {[1] = "SIGHUP",
	    [2] = "SIGINT",
	    [3] = "SIGQUIT",
	    [SIGNAL_ILL] = "SIGILL",
	    [SIGNAL_TRAP] = "SIGTRAP",
	    [6] = "SIGABRT",
	    [SIGNAL_BUS] = "SIGBUS",
	    [SIGNAL_FPE] = "SIGFPE",
	    [SIGNAL_KILL] = "SIGKILL",
	    [10] = "SIGUSR1",
	    [SIGNAL_SEGV] = "SIGSEGV",
	    [12] = "SIGUSR2",
	    [13] = "SIGPIPE",
	    [14] = "SIGALRM",
	    [15] = "SIGTERM"};
	if (signal < 0 || (size_t)signal >= ARRAY_SIZE(names) || !names[signal])
		return "signal";
	return names[signal];
}

struct kill_request {
	int32_t pid;
	int signal;
	const struct process *sender;
	unsigned matched;
};

static bool kill_matches(const struct kill_request *k, const struct process *p)
{
	if (k->pid > 0)
		return p->pid == (uint32_t)k->pid;
	if (k->pid == -1)
		return p != k->sender && p->pid != PID_INIT;
	return p->pgid == (k->pid == 0 ? k->sender->pgid : -(uint32_t)k->pid);
}

static void kill_one_locked(struct process *p, void *arg)
{
	struct kill_request *k = arg;
	if (!kill_matches(k, p))
		return;
	k->matched++;
	if (k->signal == 0 || signal_in(k->signal, IGNORED) || p->pid == PID_INIT ||
	    p->state != PROCESS_ALIVE)
		return;
	process_begin_exit_locked(p, wait_status_killed(k->signal));
}

err_t process_kill(int32_t pid, int signal)
{
	struct kill_request k = {pid, signal, current_process(), 0};
	if (signal < 0 || signal > SIGNAL_MAX)
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	if (signal_in(signal, STOPPING))
		return -ENOSYS;
	process_for_each(kill_one_locked, &k);
	return k.matched ? 0 : -ESRCH;
}
