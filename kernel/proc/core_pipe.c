/*
 * core_pipe.c - a core file for a program: a pattern that begins with '|' is a command line, and what it runs
 * reads the file from its standard input. See core(5).
 *
 * The program is started by the kernel as a process of nobody: as the superuser, at the root, with no other
 * descriptor and no environment, whatever rules and limits the one that crashed is under. Its RLIMIT_CORE is
 * 1, so that its own crash does not start another one. While it reads, the process that crashed is still
 * there, and /proc/PID tells of it. core_pipe_limit says how many such programs may run at a time, and makes
 * the process wait until its own has ended; 0: any number, and nobody waits.
 */
#include "fs/file.h"
#include "fs/pipe.h"
#include "kern/log.h"
#include "object/desc.h"
#include "proc/core_priv.h"
#include "proc/cred.h"
#include "proc/exec.h"
#include "proc/procfs_priv.h"

static _Atomic uint32_t pipe_limit; /* core_pipe_limit */
static _Atomic uint32_t running;

void core_show_pipe_limit(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%u\n", load_relaxed(&pipe_limit));
}

int64_t core_store_pipe_limit(UNUSED struct vnode *v, char *s, size_t n)
{
	int64_t value;
	if (!current_can(CAP_SYS_ADMIN))
		return -EPERM;
	if (proc_parse_number(s, &value) || value < 0 || value > UINT32_MAX)
		return -EINVAL;
	store_relaxed(&pipe_limit, (uint32_t)value);
	return (int64_t)n;
}

/* What the program has before it runs. */
static err_t prepare(struct user_thread *ut, void *arg)
{
	struct process *p = ut->thread.process;
	struct file *reader = arg;
	int fd = desc_install(ut->descs, &reader->object, file_rights(FILE_RDONLY), false, 0, 1);
	p->limits[RLIMIT_CORE] = (struct rlimit64){1, 1}; /* nobody else sees it yet */
	return fd < 0 ? fd : 0;
}

/* A word of the command line; the first is the program as well. */
static err_t add_word(void *arg, const char *word)
{
	struct exec_args *args = arg;
	err_t err = args->path ? 0 : exec_args_set_path(args, word);
	return err ? err : exec_args_add_arg(args, word);
}

static err_t start(const struct core_file *c, struct file *reader, struct process **out)
{
	struct exec_args args;
	exec_args_init(&args, 0);
	err_t err = core_words(c->process, c->info->signo, c->limit, add_word, &args);
	if (!err)
		err = process_spawn(&args, prepare, reader, out);
	exec_args_fini(&args);
	return err;
}

/* Write all of it, and take the end of the pipe away, which ends the program's input. */
static err_t feed(struct core_file *c, struct file *writer)
{
	c->file = writer;
	c->streams = true;
	c->limit = c->limit_size = UINT64_MAX;
	core_file_write(c);
	c->file = NULL;
	file_put(writer);
	return c->err;
}

static err_t run(struct core_file *c, bool wait)
{
	struct file *reader, *writer;
	struct process *helper;
	err_t err = pipe_create(0, &reader, &writer);
	if (err)
		return err;
	err = start(c, reader, &helper);
	file_put(reader);
	if (err) {
		file_put(writer);
		return err;
	}
	err = feed(c, writer);
	err_t killed = wait ? process_wait_gone(helper) : 0;
	process_put(helper);
	return err ? err : killed;
}

bool core_pipe(struct core_file *c)
{
	const struct process *p = c->process;
	uint32_t limit = load_relaxed(&pipe_limit);
	err_t err = -EAGAIN;
	if (fetch_add_relaxed(&running, 1) >= limit && limit)
		log_warn("proc",
		    "%s[%u] leaves no core file: %u programs are reading others (core_pipe_limit)", p->name,
		    p->pid, limit);
	else
		err = run(c, limit != 0);
	fetch_sub_relaxed(&running, 1);
	if (err && err != -EAGAIN)
		log_warn("proc", "%s[%u]: the program of core_pattern has no core file: error %d", p->name,
		    p->pid, -err);
	return !err;
}
