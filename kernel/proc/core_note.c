/*
 * core_note.c - the notes of a core file: what is known of the process and of each thread but its memory.
 * Types and layouts: the ABI's <linux/elfcore.h>, <sys/procfs.h> and elf(5).
 *
 * The thread that ended the process comes first, with what is told once; then the others.
 */
#include "lib/string.h"
#include "proc/core_priv.h"
#include "proc/cred.h"
#include "vm/copy.h"
#include "mm/slab.h"

enum note_type {
	NT_PRSTATUS = 1,
	NT_FPREGSET = 2,
	NT_PRPSINFO = 3,
	NT_AUXV = 6,
	NT_X86_XSTATE = 0x202,
	NT_FILE = 0x46494c45,
	NT_SIGINFO = 0x53494749,
};

enum { NOTE_ALIGN = 4, ARGS_MAX = 80, NAME_FIELD = 16, SIGINFO_SIZE = 128, NICE_BIAS = 0 };

struct note_header {
	uint32_t namesz, descsz, type;
};

struct core_time {
	int64_t sec, usec;
};

/* struct elf_prstatus */
struct core_status {
	int32_t signo, code, err;
	int16_t cursig;
	uint64_t pending, held;
	uint32_t pid, ppid, pgrp, sid;
	struct core_time user, system, children_user, children_system;
	uint64_t registers[USER_REGISTERS];
	int32_t fpu_valid;
};

/* struct elf_prpsinfo */
struct core_process {
	char state, letter, zombie, nice;
	uint64_t flags;
	uint32_t uid, gid, pid, ppid, pgrp, sid;
	char name[NAME_FIELD], args[ARGS_MAX];
};
_Static_assert(sizeof(struct core_status) == 336 && sizeof(struct core_process) == 136, "the ABI");

static void emit_note(
    struct core_file *c, const char *owner, enum note_type type, const void *desc, size_t len)
{
	static const char padding[NOTE_ALIGN];
	size_t name = strlen(owner) + 1;
	const struct note_header h = {(uint32_t)name, (uint32_t)len, type};
	core_emit(c, &h, sizeof(h));
	core_emit(c, owner, name);
	core_emit(c, padding, ALIGN_UP(name, (size_t)NOTE_ALIGN) - name);
	core_emit(c, desc, len);
	core_emit(c, padding, ALIGN_UP(len, (size_t)NOTE_ALIGN) - len);
}

static struct core_time time_of(nsec_t ns)
{
	return (struct core_time){(int64_t)(ns / 1000000000), (int64_t)(ns % 1000000000 / 1000)};
}

/* The process's times stand with the thread that has its number, as on Linux. */
static void emit_status(struct core_file *c, struct user_thread *ut)
{
	struct process *p = c->process;
	struct core_status s = {.signo = c->info->signo,
	    .code = c->info->code,
	    .err = c->info->err,
	    .cursig = (int16_t)c->info->signo,
	    .pid = ut->thread.tid,
	    .fpu_valid = 1};
	spin_lock(&process_tree_lock);
	struct usage u = ut->thread.tid == p->pid ? process_usage_locked(p) : thread_usage(&ut->thread);
	s.pending = ut->signals.pending.set;
	s.held = ut->signals.mask;
	s.ppid = load_relaxed(&p->ppid);
	s.pgrp = p->pgid;
	s.sid = p->sid;
	s.children_user = time_of(p->children_usage.user);
	s.children_system = time_of(p->children_usage.system);
	spin_unlock(&process_tree_lock);
	s.user = time_of(u.user);
	s.system = time_of(u.system);
	user_registers(&ut->thread, s.registers);
	emit_note(c, "CORE", NT_PRSTATUS, &s, sizeof(s));
}

/* The arguments as one line, as far as there is room. */
static void describe_args(struct process *p, char args[ARGS_MAX])
{
	const struct space_layout *l = &p->space->layout;
	size_t done = 0, n = MIN(l->arg_end - l->arg_start, (uint64_t)ARGS_MAX - 1);
	if (space_read(p->space, args, l->arg_start, n, &done))
		n = done;
	for (size_t i = 0; i < n; i++)
		args[i] = args[i] ? args[i] : ' ';
}

static void emit_process(struct core_file *c)
{
	struct process *p = c->process;
	struct cred *cred = process_cred(p);
	struct core_process info = {.letter = 'R',
	    .nice = (char)current_thread()->nice,
	    .uid = cred->uid,
	    .gid = cred->gid,
	    .pid = p->pid,
	    .ppid = load_relaxed(&p->ppid)};
	cred_put(cred);
	spin_lock(&process_tree_lock);
	info.pgrp = p->pgid;
	info.sid = p->sid;
	memcpy(info.name, p->name, MIN(sizeof(info.name), sizeof(p->name)));
	spin_unlock(&process_tree_lock);
	describe_args(p, info.args);
	emit_note(c, "CORE", NT_PRPSINFO, &info, sizeof(info));
}

static void emit_once(struct core_file *c)
{
	const struct space_layout *l = &c->process->space->layout;
	uint8_t info[SIGINFO_SIZE] = {0};
	memcpy(info, c->info, sizeof(*c->info));
	emit_process(c);
	emit_note(c, "CORE", NT_SIGINFO, info, sizeof(info));
	emit_note(c, "CORE", NT_AUXV, l->aux, l->aux_count * sizeof(l->aux[0]));
	emit_note(c, "CORE", NT_FILE, c->mapped.buf, c->mapped.used);
}

static void emit_fpu(struct core_file *c, const struct user_thread *ut)
{
	size_t extended = user_extended_size();
	user_fpu_state(&ut->thread, c->scratch, USER_FPU_BYTES);
	emit_note(c, "CORE", NT_FPREGSET, c->scratch, USER_FPU_BYTES);
	if (!extended)
		return;
	user_fpu_state(&ut->thread, c->scratch, extended);
	emit_note(c, "LINUX", NT_X86_XSTATE, c->scratch, extended);
}

void core_emit_notes(struct core_file *c)
{
	struct user_thread *self = current_user_thread();
	emit_status(c, self);
	emit_once(c);
	emit_fpu(c, self);
	/* Nobody leaves the list, and nobody joins it, before the file is done. */
	list_for_each (it, &c->process->core.parked) {
		struct user_thread *ut = list_entry(it, struct core_thread, link)->thread;
		emit_status(c, ut);
		emit_fpu(c, ut);
	}
}
