#pragma once
/*
 * exec.h - the program that a process is to run: its file, its arguments, and the memory that it starts with.
 */
#include "lib/err.h"
#include "lib/types.h"

struct vm_space;
struct process;
struct user_thread;
struct file;
struct cred;
struct fs_context;
struct path;
struct place;

enum {
	EXEC_STRING_MAX = 128 << 10, /* bytes of one string: MAX_ARG_STRLEN of the ABI */
	EXEC_ARGS_MIN = 128 << 10,   /* what strings and pointers may take at least, and at most, whatever */
	EXEC_ARGS_MAX = 6 << 20,     /* the limit of the stack is; between, it is a quarter of that */
	EXEC_SCRIPT_DEPTH = 5,       /* scripts that run scripts */
};

/* Strings, one behind the other, each terminated. */
struct exec_strings {
	char *bytes;
	size_t used, capacity;
	unsigned count;
};

/*
 * What to start. Kept in the kernel, because the memory the strings come from is what exec replaces.
 */
struct exec_args {
	struct file *file; /* opened by vfs_open_exec, or NULL; an interpreter's, once scripts are followed */
	char *path;        /* what the program is told that it is */
	char *
	    interp; /* what scripts are told that they are: the path, or the interpreter before; NULL: the path */
	bool
	    unreachable; /* the path leads through a descriptor that closes on exec: no script can be run by it */
	struct exec_strings args, env;
	uint64_t aux_type, aux_value; /* one more entry of the auxiliary vector; type 0: none */
	uint64_t limit;               /* bytes that path, strings and pointers may take together */
	uint64_t pointers;            /* bytes of the pointers */
};

/* stack_limit: RLIMIT_STACK. */
void exec_args_init(struct exec_args *a, uint64_t stack_limit);
void exec_args_fini(struct exec_args *a);
/* Set the path; add arguments and environment strings. -ENOMEM, -E2BIG. */
MUST_CHECK err_t exec_args_set_path(struct exec_args *a, const char *path);
MUST_CHECK err_t exec_args_add_arg(struct exec_args *a, const char *s);
MUST_CHECK err_t exec_args_add_env(struct exec_args *a, const char *s);
/* Both from arrays of string addresses in the current space, which end with 0 (address 0 for the array:
 * none). No argument at all becomes one empty argument, as on Linux. Also -EFAULT. */
MUST_CHECK err_t exec_args_fetch(struct exec_args *a, uaddr_t argv, uaddr_t envp);
/* The path turned out to be a script: its interpreter (and its argument, or NULL) come before, in place of
 * argument 0. -ENOMEM, -E2BIG. */
MUST_CHECK err_t exec_args_enter_script(struct exec_args *a, const char *interp, const char *arg);
/* Open the file that a->file shall be, where `name` leads. Errors of vfs_lookup and vfs_open_exec. */
MUST_CHECK err_t exec_args_open(struct exec_args *a, const struct fs_context *c, const struct path *base,
    const char *name, unsigned walk_flags);

/* What exec makes before it changes anything. */
struct exec_image {
	struct vm_space *space; /* complete: segments, stack with everything on it, layout */
	uaddr_t entry, sp;
	struct file *program; /* counted, writing denied */
	struct cred *cred;    /* counted: what the program runs with */
	bool secure;          /* it has rights that its user has not */
	struct place *frozen; /* to be thawed; NULL: none */
	uint32_t personality;
	const char *name; /* last part of the path, in args */
};
/* Build the memory of args' program for ut, the current thread or one that does not run yet: its ids and
 * place, and its process's limits and personality count; names of interpreters are walked as c says. Takes
 * args->file. Errors are Linux's where Linux tells them, and -ENOEXEC (-ELIBBAD for the ELF interpreter)
 * where it would kill the caller: -ENOENT, -EACCES, ... (an interpreter), -ENOEXEC, -ELIBBAD, -ELOOP
 * (scripts), -EIO, -E2BIG, -ENOMEM. The image is either run or dropped: its place is frozen until then. */
MUST_CHECK err_t exec_load(
    struct user_thread *ut, const struct fs_context *c, struct exec_args *args, struct exec_image *out);
/* May others look into what the program does (enum dumpable)? Not if they may not even read it. */
uint32_t exec_dumpable(const struct fs_context *c, const struct exec_image *image);
void exec_image_drop(struct exec_image *image);
