/* signal_name.c - the names of signals: the ABI's. */
#include "proc/signal_name.h"
#include "lib/types.h"

const char *signal_name(int signal)
{
	static const char *const names[] = {"", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT",
	    "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
	    "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG",
	    "SIGXCPU", "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS"};
	unsigned n = (unsigned)signal;
	return n > 0 && n < ARRAY_SIZE(names) ? names[n] : "signal";
}
