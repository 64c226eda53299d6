#pragma once
/*
 * exec.h - the program that a process is to run: its arguments, and the memory that it starts with.
 */
#include "lib/err.h"
#include "lib/types.h"

struct vm_space;

enum {
	EXEC_PATH_MAX = 4096,        /* bytes of the path, with the terminator */
	EXEC_STRING_MAX = 128 << 10, /* bytes of one string: MAX_ARG_STRLEN of Linux */
	EXEC_ARGS_MAX = 2 << 20, /* bytes of all strings and pointers: a quarter of the stack, as on Linux */
	EXEC_STACK_SIZE = 8 << 20,
	EXEC_STACK_GUARD = 1 << 20,
};

/*
 * The strings of a program to start, one behind the other, each terminated: the path, arguments, environment.
 * Kept in the kernel, because the memory they come from is what exec replaces.
 */
struct exec_args {
	char *strings;
	size_t used, capacity;
	unsigned argc, envc;
};

void exec_args_init(struct exec_args *a);
void exec_args_fini(struct exec_args *a);
/* Set the path, then add arguments, then environment strings: in this order. -ENOMEM, -E2BIG. The forms with
 * _user read the current space: one string, or arrays of string addresses that end with 0 (address 0 for the
 * array: none): also -EFAULT; path -ENAMETOOLONG, and -ENOENT for "". */
MUST_CHECK err_t exec_args_set_path(struct exec_args *a, const char *path);
MUST_CHECK err_t exec_args_add_arg(struct exec_args *a, const char *s);
MUST_CHECK err_t exec_args_add_env(struct exec_args *a, const char *s);
MUST_CHECK err_t exec_args_set_path_user(struct exec_args *a, uaddr_t path);
MUST_CHECK err_t exec_args_add_user(struct exec_args *a, uaddr_t argv, uaddr_t envp);

/* What exec makes before it changes anything. */
struct exec_image {
	struct vm_space *space; /* complete: segments, stack with everything on it */
	uaddr_t entry, sp;
	uaddr_t brk_start;
	const char *name; /* last part of the path, in args */
};
/* Build the memory of args' program. -ENOENT, -EACCES (not executable), -ENOEXEC (not a static 64-bit ELF
 * program), -E2BIG, -ENOMEM. */
MUST_CHECK err_t exec_load(const struct exec_args *args, struct exec_image *out);
