#pragma once
/*
 * spawn.h - run a program in a new process without a copy of the caller: what it costs does not depend on how
 * large the caller is. Part of libquire: made of the calls process_create, process_give and process_exec.
 */
#include <errno.h>
#include <quire/calls.h>
#include <sys/types.h>

/* A descriptor of the caller's that the new process has as `number`, with these rights. */
struct quire_gift {
	int fd, number;
	unsigned rights;
};

/* Start the program that `program` is open on as a child, which is called `name`, with these descriptors and
 * no others. *pid (or NULL) gets its number. Returns a descriptor of it, or -1: errno says why, and there is
 * no child. */
static inline int quire_spawn(const char *name, int program, char *const *argv, char *const *envp,
    const struct quire_gift *gifts, unsigned ngifts, pid_t *pid)
{
	int process = (int)quire_process_create(name, 0);
	long result = process;
	for (unsigned i = 0; result >= 0 && i < ngifts; i++)
		result = quire_process_give(process, gifts[i].fd, gifts[i].number, gifts[i].rights);
	if (result >= 0)
		result = quire_process_exec(process, program, argv, envp);
	if (result < 0) {
		int error = errno;
		if (process >= 0)
			close(process);
		errno = error;
		return -1;
	}
	if (pid)
		*pid = (pid_t)result;
	return process;
}
