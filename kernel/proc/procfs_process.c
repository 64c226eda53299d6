/* procfs_process.c - what /proc/PID tells of a process and of each of its threads. Forms: proc(5). */
#include "fs/devfs.h"
#include "fs/mount.h"
#include "fs/notify.h"
#include "fs/tty.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "object/desc.h"
#include "mm/slab.h"
#include "proc/cred.h"
#include "proc/place.h"
#include "proc/procfs_adjust.h"
#include "proc/procfs_memory.h"
#include "proc/procfs_priv.h"
#include "proc/procfs_sched.h"
#include "proc/procfs_stack.h"

enum { TICKS_PER_SEC = 100, PRIORITY_BASE = 20 };
#define NSEC_PER_TICK (1000000000ULL / TICKS_PER_SEC)

/* What the process and the thread say about themselves, taken with the tree locked. */
struct snapshot {
	char name[THREAD_NAME_MAX], state;
	uint32_t pid, tid, ppid, pgid, sid;
	unsigned nthreads;
	int exit_signal, wait_status;
	struct thread_policy policy;
	struct usage usage, children;
	nsec_t start_time;
	uint64_t tty;
	int64_t tty_group;
	uint64_t pending, shared_pending, blocked, ignored, caught;
	uint64_t queued, queue_limit; /* signals of the whole user */
	uint64_t affinity;
	uint32_t cpu;
	bool no_new_privs;
};

struct user_thread *proc_thread_locked(const struct proc_node *n)
{
	ASSERT_HELD(&process_tree_lock);
	if (n->tid) {
		struct user_thread *ut = user_thread_find_locked(n->tid);
		return ut && ut->thread.process == n->process ? ut : NULL;
	}
	if (list_is_empty(&n->process->threads))
		return NULL;
	return list_first(&n->process->threads, struct user_thread, link);
}

/* A first thread that is gone is as dead as its process will be: its number is kept as long. */
static char thread_state(const struct process *p, uint32_t tid, const struct user_thread *ut)
{
	if (p->state != PROCESS_ALIVE || (tid == p->pid && !user_thread_find_locked(tid)))
		return 'Z';
	if (p->signals.stop_complete)
		return 'T';
	switch (ut ? load_relaxed(&ut->thread.state) : THREAD_DEAD) {
	case THREAD_READY:
	case THREAD_RUNNING:
		return 'R';
	case THREAD_BLOCKED:
		return ut->thread.wait_flags & WAIT_INTERRUPTIBLE ? 'S' : 'D';
	default:
		return 'X';
	}
}

static void snapshot_signals(struct snapshot *s, struct process *p, const struct user_thread *ut)
{
	s->shared_pending = p->signals.pending.set;
	s->queued = signals_queued_locked(p, &s->queue_limit);
	for (int i = 0; i < SIGNAL_MAX; i++) {
		uaddr_t handler = p->signals.table->actions[i].handler;
		s->ignored |= handler == SIGNAL_IGNORE ? SIGNAL_BIT(i + 1) : 0;
		s->caught |= handler != SIGNAL_IGNORE && handler != SIGNAL_DEFAULT ? SIGNAL_BIT(i + 1) : 0;
	}
	if (ut) {
		s->pending = ut->signals.pending.set;
		s->blocked = ut->signals.mask;
	}
}

static void snapshot_take(struct snapshot *s, const struct proc_node *n)
{
	struct process *p = n->process;
	*s = (struct snapshot){.affinity = UINT64_MAX, .tty_group = -1};
	spin_lock(&process_tree_lock);
	struct user_thread *ut = proc_thread_locked(n);
	memcpy(s->name, ut ? ut->thread.name : p->name, sizeof(s->name));
	s->name[sizeof(s->name) - 1] = 0;
	s->pid = p->pid;
	s->tid = n->tid ? n->tid : p->pid;
	s->state = thread_state(p, s->tid, ut);
	s->ppid = load_relaxed(&p->ppid);
	s->pgid = p->pgid;
	s->sid = p->sid;
	s->nthreads = p->nthreads;
	s->children = p->children_usage;
	s->usage = n->tid && ut ? thread_usage(&ut->thread) : process_usage_locked(p);
	s->start_time = p->start_time;
	s->exit_signal = p->exit_signal;
	s->wait_status = p->state == PROCESS_DEAD ? p->wait_status : 0;
	if (ut) {
		s->policy = thread_policy(&ut->thread);
		s->affinity = ut->thread.affinity;
		s->no_new_privs = load_relaxed(&ut->no_new_privs);
		s->cpu = load_relaxed(&ut->thread.cpu);
	}
	if (p->tty) {
		s->tty = p->tty->rdev;
		s->tty_group = p->tty->group ? (int64_t)p->tty->group : -1;
	}
	snapshot_signals(s, p, ut);
	spin_unlock(&process_tree_lock);
}

/* --- stat, status, comm --- */

/* Faults, then times in ticks, each of itself and of children. */
static void show_usage(struct text *t, const struct snapshot *s)
{
	const struct usage *own = &s->usage, *c = &s->children;
	text_printf(t, " %llu %llu %llu %llu", (unsigned long long)own->minor, (unsigned long long)c->minor,
	    (unsigned long long)own->major, (unsigned long long)c->major);
	text_printf(t, " %llu %llu %llu %llu", (unsigned long long)(own->user / NSEC_PER_TICK),
	    (unsigned long long)(own->system / NSEC_PER_TICK), (unsigned long long)(c->user / NSEC_PER_TICK),
	    (unsigned long long)(c->system / NSEC_PER_TICK));
}

static void show_stat(struct text *t, struct vnode *v)
{
	const struct proc_node *n = proc_node_of(v);
	struct snapshot s;
	struct memory_summary m;
	snapshot_take(&s, n);
	memory_summary_take(&m, n->process);
	text_printf(t, "%u (%s) %c %u %u %u %llu %lld 4194304", s.tid, s.name, s.state, s.ppid, s.pgid, s.sid,
	    (unsigned long long)s.tty, (long long)s.tty_group);
	show_usage(t, &s);
	int priority = s.policy.rt_priority ? -1 - (int)s.policy.rt_priority : PRIORITY_BASE + s.policy.nice;
	text_printf(t, " %d %d %u 0 %llu", priority, s.policy.nice, s.nthreads,
	    (unsigned long long)(s.start_time / NSEC_PER_TICK));
	text_printf(t, " %llu %llu %llu", (unsigned long long)m.size * PAGE_SIZE,
	    (unsigned long long)memory_resident(&m), (unsigned long long)RLIMIT_INFINITY);
	text_printf(t, " 0 0 0 0 0 %llu %llu %llu %llu 0 0 0", (unsigned long long)(s.pending & 0x7fffffff),
	    (unsigned long long)(s.blocked & 0x7fffffff), (unsigned long long)(s.ignored & 0x7fffffff),
	    (unsigned long long)(s.caught & 0x7fffffff));
	text_printf(t, " %d %u %u %u 0 0 0 0 0 %llu 0 0 0 0 %d\n", s.exit_signal, s.cpu, s.policy.rt_priority,
	    s.policy.policy, (unsigned long long)m.brk_start, s.wait_status);
}

static const char *state_name(char state)
{
	switch (state) {
	case 'R':
		return "R (running)";
	case 'S':
		return "S (sleeping)";
	case 'D':
		return "D (disk sleep)";
	case 'T':
		return "T (stopped)";
	case 'Z':
		return "Z (zombie)";
	default:
		return "X (dead)";
	}
}

static void show_ids(struct text *t, const struct proc_node *n, const struct cred *c)
{
	text_printf(t, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid,
	    c->gid, c->egid, c->sgid, c->fsgid);
	struct desc_table *d = task_descs(n->process, n->tid);
	unsigned used = d ? (unsigned)(desc_highest(d) + 1) : 0;
	if (d)
		desc_table_put(d);
	text_printf(t, "FDSize:\t%u\nGroups:\t", MAX(ALIGN_UP(used, 64u), d ? 64u : 0u));
	for (unsigned i = 0; i < c->ngroups; i++)
		text_printf(t, i ? " %u" : "%u", c->groups[i]);
	text_printf(t, " \n");
}

static void show_capabilities(struct text *t, const struct cred *c)
{
	text_printf(t,
	    "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\nCapBnd:\t%016llx\nCapAmb:\t%016llx\n",
	    (unsigned long long)c->inheritable, (unsigned long long)c->permitted,
	    (unsigned long long)c->effective, (unsigned long long)c->bounding,
	    (unsigned long long)c->ambient);
}

static void show_cpu_list(struct text *t, uint64_t mask)
{
	const char *between = "";
	for (unsigned cpu = 0; cpu < 64; cpu++) {
		unsigned last = cpu;
		if (!(mask >> cpu & 1))
			continue;
		while (last + 1 < 64 && mask >> (last + 1) & 1)
			last++;
		text_printf(t, last > cpu ? "%s%u-%u" : "%s%u", between, cpu, last);
		between = ",";
		cpu = last;
	}
	text_printf(t, "\n");
}

static void show_status(struct text *t, struct vnode *v)
{
	const struct proc_node *n = proc_node_of(v);
	struct process *p = n->process;
	struct snapshot s;
	snapshot_take(&s, n);
	struct cred *c = task_cred(p, n->tid);
	uint32_t umask;
	text_printf(t, "Name:\t%s\n", s.name);
	if (!task_umask(p, n->tid, &umask))
		text_printf(t, "Umask:\t%04o\n", umask);
	text_printf(t, "State:\t%s\nTgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t%u\nTracerPid:\t0\n",
	    state_name(s.state), s.pid, s.tid, s.ppid);
	show_ids(t, n, c);
	text_printf(t, "NStgid:\t%u\nNSpid:\t%u\nNSpgid:\t%u\nNSsid:\t%u\n", s.pid, s.tid, s.pgid, s.sid);
	memory_show_status(t, p);
	text_printf(t, "Threads:\t%u\nSigQ:\t%llu/%llu\nSigPnd:\t%016llx\nShdPnd:\t%016llx\n", s.nthreads,
	    (unsigned long long)s.queued, (unsigned long long)s.queue_limit, (unsigned long long)s.pending,
	    (unsigned long long)s.shared_pending);
	text_printf(t, "SigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
	    (unsigned long long)s.blocked, (unsigned long long)s.ignored, (unsigned long long)s.caught);
	show_capabilities(t, c);
	cred_put(c);
	text_printf(t, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", s.no_new_privs);
	uint64_t mask = s.affinity & cpus_online();
	text_printf(t, "Cpus_allowed:\t%llx\nCpus_allowed_list:\t", (unsigned long long)mask);
	show_cpu_list(t, mask);
	text_printf(t,
	    "Mems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
	    (unsigned long long)s.usage.voluntary, (unsigned long long)s.usage.involuntary);
}

static void show_comm(struct text *t, struct vnode *v)
{
	struct snapshot s;
	snapshot_take(&s, proc_node_of(v));
	text_printf(t, "%s\n", s.name);
}

static int64_t store_comm(struct vnode *v, char *text, size_t n)
{
	const struct proc_node *node = proc_node_of(v);
	char name[THREAD_NAME_MAX];
	if (node->process != current_process())
		return -EINVAL;
	str_copy(name, text, sizeof(name));
	spin_lock(&process_tree_lock);
	struct user_thread *ut = proc_thread_locked(node);
	if (ut)
		memcpy(ut->thread.name, name, sizeof(name));
	spin_unlock(&process_tree_lock);
	return ut ? (int64_t)n : -ESRCH;
}

/* --- limits, oom, others --- */

static void show_limit(struct text *t, uint64_t limit)
{
	if (limit == RLIMIT_INFINITY)
		text_printf(t, "%-20s ", "unlimited");
	else
		text_printf(t, "%-20llu ", (unsigned long long)limit);
}

static void show_limits(struct text *t, struct vnode *v)
{
	static const struct {
		const char *name, *unit;
	} rows[RLIMIT_COUNT] = {{"Max cpu time", "seconds"}, {"Max file size", "bytes"},
	    {"Max data size", "bytes"}, {"Max stack size", "bytes"}, {"Max core file size", "bytes"},
	    {"Max resident set", "bytes"}, {"Max processes", "processes"}, {"Max open files", "files"},
	    {"Max locked memory", "bytes"}, {"Max address space", "bytes"}, {"Max file locks", "locks"},
	    {"Max pending signals", "signals"}, {"Max msgqueue size", "bytes"}, {"Max nice priority", ""},
	    {"Max realtime priority", ""}, {"Max realtime timeout", "us"}};
	struct process *p = proc_node_of(v)->process;
	struct rlimit64 limits[RLIMIT_COUNT];
	spin_lock(&p->lock);
	memcpy(limits, p->limits, sizeof(limits));
	spin_unlock(&p->lock);
	text_printf(t, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (unsigned i = 0; i < RLIMIT_COUNT; i++) {
		text_printf(t, "%-25s ", rows[i].name);
		show_limit(t, limits[i].soft);
		show_limit(t, limits[i].hard);
		text_printf(t, "%-10s\n", rows[i].unit);
	}
}

static void show_io(struct text *t, struct vnode *v)
{
	static const char *const names[IO_KINDS] = {
	    "rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"};
	const struct proc_node *n = proc_node_of(v);
	struct snapshot s;
	if (!current_may_access(n->process, n->tid)) {
		t->err = -EACCES;
		return;
	}
	snapshot_take(&s, n);
	if (!n->tid)
		usage_add(&s.usage, &s.children);
	for (unsigned i = 0; i < IO_KINDS; i++)
		text_printf(t, "%s: %llu\n", names[i], (unsigned long long)s.usage.io[i]);
}

static void show_wchan(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "0");
}

static void show_cgroup(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "0::/\n");
}

/* --- mounts --- */

struct mounts_show {
	struct text *t;
	struct path root;
	char *buf, *root_buf; /* of PATH_LEN_MAX each */
	enum mounts_form { MOUNTS_TABLE, MOUNTS_INFO, MOUNTS_STATS } form;
};

static const char *read_write(bool read_only)
{
	return read_only ? "ro" : "rw";
}

/* What the mount says, behind what its file system says, if that is not told elsewhere. */
static void show_flags(struct text *t, const struct mount *m, bool with_fs)
{
	static const struct {
		unsigned flag;
		const char *name;
	} names[] = {{MOUNT_NOSUID, ",nosuid"}, {MOUNT_NODEV, ",nodev"}, {MOUNT_NOEXEC, ",noexec"},
	    {MOUNT_NOATIME, ",noatime"}, {MOUNT_NODIRATIME, ",nodiratime"}};
	unsigned flags = load_relaxed(&m->flags);
	text_printf(t, "%s", read_write(flags & MOUNT_RDONLY || (with_fs && m->fs->read_only)));
	if (with_fs && (flags & MOUNT_SYNCHRONOUS))
		text_printf(t, ",sync");
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (flags & names[i].flag)
			text_printf(t, "%s", names[i].name);
	if (!(flags & (MOUNT_NOATIME | MOUNT_STRICTATIME)))
		text_printf(t, ",relatime");
	if (flags & MOUNT_NOSYMFOLLOW)
		text_printf(t, ",nosymfollow");
}

static const char *mount_source(const struct mount *m)
{
	return m->source[0] ? m->source : "none";
}

static void show_mount_stats(const struct mounts_show *s, const struct mount *m)
{
	text_printf(s->t, "device ");
	text_add_escaped(s->t, mount_source(m), " \t\n\\");
	text_printf(s->t, " mounted on ");
	text_add_escaped(s->t, s->buf, " \t\n\\");
	text_printf(s->t, " with fstype %s\n", m->fs->ops->name);
}

static void show_mount_line(const struct mounts_show *s, const struct mount *m)
{
	text_add_escaped(s->t, mount_source(m), " \t\n\\");
	text_printf(s->t, " ");
	text_add_escaped(s->t, s->buf, " \t\n\\");
	text_printf(s->t, " %s ", m->fs->ops->name);
	show_flags(s->t, m, true);
	text_printf(s->t, " 0 0\n");
}

/* A line of mountinfo. The tree may change between two lines, but not while numbers are read for one. */
static void show_mount_info(const struct mounts_show *s, struct mount *m)
{
	struct text *t = s->t;
	spin_lock(&mount_lock);
	unsigned parent = m->parent ? m->parent->id : m->id, group = m->group, master = m->master;
	bool unbindable = m->unbindable;
	spin_unlock(&mount_lock);
	text_printf(t, "%u %u %llu:%llu ", m->id, parent, (unsigned long long)DEV_MAJOR(m->fs->dev),
	    (unsigned long long)DEV_MINOR(m->fs->dev));
	text_add_escaped(t, s->root_buf, " \t\n\\");
	text_printf(t, " ");
	text_add_escaped(t, s->buf, " \t\n\\");
	text_printf(t, " ");
	show_flags(t, m, false);
	if (group)
		text_printf(t, " shared:%u", group);
	if (master)
		text_printf(t, " master:%u", master);
	text_printf(t, "%s - %s ", unbindable ? " unbindable" : "", m->fs->ops->name);
	text_add_escaped(t, mount_source(m), " \t\n\\");
	text_printf(t, " %s%s\n", read_write(m->fs->read_only),
	    load_relaxed(&m->flags) & MOUNT_SYNCHRONOUS ? ",sync" : "");
}

static bool show_mount(struct mount *m, void *arg)
{
	struct mounts_show *s = arg;
	if (mount_point_path(m, &s->root, s->buf, PATH_LEN_MAX) < 0)
		return true; /* cannot be reached from this root */
	if (s->form == MOUNTS_STATS)
		show_mount_stats(s, m);
	else if (s->form == MOUNTS_TABLE)
		show_mount_line(s, m);
	else if (mount_root_path(m, s->root_buf, PATH_LEN_MAX) >= 0)
		show_mount_info(s, m);
	return true;
}

static void show_mount_list(struct text *t, struct vnode *v, enum mounts_form form)
{
	const struct proc_node *n = proc_node_of(v);
	char *buf = kmalloc((size_t)2 * PATH_LEN_MAX);
	struct mounts_show s = {
	    .t = t, .form = form, .buf = buf, .root_buf = buf ? buf + PATH_LEN_MAX : NULL};
	if (!s.buf) {
		t->err = -ENOMEM;
	} else if (!task_root(n->process, n->tid, &s.root)) {
		mount_for_each(show_mount, &s);
		path_put(&s.root);
	}
	kfree(s.buf);
}

static void show_mounts(struct text *t, struct vnode *v)
{
	show_mount_list(t, v, MOUNTS_TABLE);
}

static void show_mountinfo(struct text *t, struct vnode *v)
{
	show_mount_list(t, v, MOUNTS_INFO);
}

static void show_mountstats(struct text *t, struct vnode *v)
{
	show_mount_list(t, v, MOUNTS_STATS);
}

/* --- links: exe, cwd, root, fd --- */

static err_t follow_cwd(struct proc_node *n, struct path *out)
{
	return task_cwd(n->process, n->tid, out);
}

static err_t follow_root(struct proc_node *n, struct path *out)
{
	return task_root(n->process, n->tid, out);
}

static err_t follow_exe(struct proc_node *n, struct path *out)
{
	struct file *f = process_program(n->process);
	if (!f)
		return -ENOENT;
	err_t err = file_get_path(f, out);
	file_put(f);
	return err;
}

static err_t node_file(const struct proc_node *n, struct file **out, uint32_t *rights)
{
	struct desc_table *t = task_descs(n->process, n->tid);
	struct kobject *o;
	if (!t)
		return -ENOENT;
	err_t err = desc_lookup(t, n->fd, &o, rights);
	desc_table_put(t);
	if (err)
		return -ENOENT;
	*out = file_of(o);
	if (!*out)
		kobject_put(o);
	return *out ? 0 : -ENOENT;
}

/* What has less rights than when it was opened is not opened anew: that would give them back. */
static err_t follow_fd(struct proc_node *n, struct path *out)
{
	struct file *f;
	uint32_t rights;
	err_t err = node_file(n, &f, &rights);
	if (err)
		return err;
	err = rights == file_rights(load_relaxed(&f->flags)) ? file_get_path(f, out) : -EACCES;
	file_put(f);
	return err;
}

static int64_t link_fd(struct proc_node *n, char *buf, size_t size)
{
	struct path root;
	struct file *f;
	err_t err = node_file(n, &f, NULL);
	if (err)
		return err;
	mount_get_root(&root);
	int64_t len = file_describe(f, &root, buf, size);
	path_put(&root);
	file_put(f);
	return len;
}

static void show_watch(void *arg, int number, const struct vnode *v, uint32_t mask)
{
	text_printf(arg, "inotify wd:%x ino:%llx sdev:%llx mask:%x ignored_mask:0\n", (unsigned)number,
	    (unsigned long long)v->ino, (unsigned long long)v->fs->dev, mask & NOTIFY_ALL);
}

static void show_fdinfo(struct text *t, struct vnode *v)
{
	struct file *f;
	uint32_t rights;
	t->err = node_file(proc_node_of(v), &f, &rights);
	if (t->err)
		return;
	struct vfs_stat st;
	file_stat(f, &st);
	text_printf(t, "pos:\t%llu\nflags:\t0%o\nmnt_id:\t%llu\nino:\t%llu\n",
	    (unsigned long long)*(volatile uint64_t *)&f->pos, load_relaxed(&f->flags) & ~(unsigned)FILE_OURS,
	    (unsigned long long)st.mount_id, (unsigned long long)st.ino);
	if (f->ops->type == KO_ENDPOINT || f->ops->type == KO_REPLY)
		text_printf(t, "koid:\t%llu\n", (unsigned long long)f->object.koid);
	if (rights != file_rights(load_relaxed(&f->flags)))
		text_printf(t, "rights:\t%#x\n", rights);
	if (file_is_inotify(f))
		inotify_for_each(f, show_watch, t);
	file_put(f);
}

/* --- directories of numbers --- */

static const struct proc_entry fd_entry = {.mode = MODE_LINK, .readlink = link_fd, .follow = follow_fd};
static const struct proc_entry fdinfo_entry = {.mode = MODE_REG | 0444, .text = {.show = show_fdinfo}};

static err_t find_desc(const struct proc_node *dir, uint64_t number, struct proc_node *child)
{
	struct desc_table *t = task_descs(dir->process, dir->tid);
	bool open = t && number < DESC_LIMIT_MAX && desc_next(t, (int)number) == (int)number;
	if (t)
		desc_table_put(t);
	child->fd = (int)number;
	return open ? 0 : -ENOENT;
}

static err_t fd_find(const struct proc_node *dir, uint64_t number, struct proc_node *child)
{
	child->entry = &fd_entry;
	return find_desc(dir, number, child);
}

static err_t fdinfo_find(const struct proc_node *dir, uint64_t number, struct proc_node *child)
{
	child->entry = &fdinfo_entry;
	return find_desc(dir, number, child);
}

static int64_t fd_next(const struct proc_node *dir, uint64_t from)
{
	struct desc_table *t = task_descs(dir->process, dir->tid);
	int64_t next = t && from < DESC_LIMIT_MAX ? desc_next(t, (int)from) : -1;
	if (t)
		desc_table_put(t);
	return next;
}

static err_t task_find(const struct proc_node *dir, uint64_t number, struct proc_node *child)
{
	spin_lock(&process_tree_lock);
	struct user_thread *ut = user_thread_find_locked((uint32_t)number);
	bool found = ut && ut->thread.process == dir->process;
	spin_unlock(&process_tree_lock);
	child->entry = &proc_thread_entry;
	child->tid = (uint32_t)number;
	return found ? 0 : -ENOENT;
}

static int64_t task_next(const struct proc_node *dir, uint64_t from)
{
	int64_t found = -1;
	spin_lock(&process_tree_lock);
	list_for_each (it, &dir->process->threads) {
		uint32_t tid = list_entry(it, struct user_thread, link)->thread.tid;
		if (tid >= from && (found < 0 || tid < found))
			found = tid;
	}
	spin_unlock(&process_tree_lock);
	return found;
}

static const struct proc_dir fd_dir = {.class = CLASS_FD, .find = fd_find, .next = fd_next};
static const struct proc_dir fdinfo_dir = {.class = CLASS_FDINFO, .find = fdinfo_find, .next = fd_next};
static const struct proc_dir task_dir = {.class = CLASS_TASK, .find = task_find, .next = task_next};

static int64_t store_nothing(UNUSED struct vnode *v, UNUSED char *s, UNUSED size_t n)
{
	return -EINVAL; /* unlike the files of the system, which say -EIO */
}

#define SHOW(n, m, fn)                                                                                       \
	{                                                                                                    \
		.name = n, .mode = MODE_REG | (m), .text = { fn, store_nothing }                             \
	}
#define LINK(n)                                                                                              \
	{                                                                                                    \
		.name = #n, .mode = MODE_LINK | 0777, .follow = follow_##n                                   \
	}
#define ADJUST(n, fn)                                                                                        \
	{                                                                                                    \
		.name = n, .mode = MODE_REG | 0644, .text = { adjust_show_##fn, adjust_store_##fn }          \
	}
#define NAMESPACE(n, fn)                                                                                     \
	{                                                                                                    \
		.name = n, .mode = MODE_REG | 0644, .text = { adjust_show_##fn, adjust_store_namespace }     \
	}
/* What threads have as well. */
#define COMMON_ENTRIES                                                                                       \
	SHOW("cgroup", 0444, show_cgroup), SHOW("cmdline", 0444, memory_show_cmdline),                       \
	    {.name = "clear_refs", .mode = MODE_REG | 0200, .text = {NULL, memory_store_clear_refs}},        \
	    {.name = "comm", .mode = MODE_REG | 0644, .text = {show_comm, store_comm}}, LINK(cwd),           \
	    SHOW("environ", 0400, memory_show_environ), SHOW("auxv", 0400, memory_show_auxv), LINK(exe),     \
	    {.name = "fd", .mode = MODE_DIR | 0500, .dir = &fd_dir},                                         \
	    {.name = "fdinfo", .mode = MODE_DIR | 0555, .dir = &fdinfo_dir}, NAMESPACE("gid_map", id_map),   \
	    SHOW("io", 0400, show_io), SHOW("limits", 0444, show_limits), ADJUST("loginuid", login),         \
	    SHOW("maps", 0444, memory_show_maps),                                                            \
	    {.name = "mem", .mode = MODE_REG | 0600, .open = memory_open},                                   \
	    SHOW("mountinfo", 0444, show_mountinfo), SHOW("mounts", 0444, show_mounts),                      \
	    SHOW("mountstats", 0400, show_mountstats),                                                       \
	    {.name = "pagemap", .mode = MODE_REG | 0400, .open = memory_open_pagemap},                       \
	    {.name = "sched", .mode = MODE_REG | 0644, .text = {sched_show_thread, sched_store_thread}},     \
	    SHOW("schedstat", 0444, sched_show_stat), ADJUST("oom_adj", oom_old),                            \
	    ADJUST("oom_score_adj", oom), SHOW("oom_score", 0444, adjust_show_oom_score),                    \
	    SHOW("personality", 0400, adjust_show_personality), LINK(root),                                  \
	    {.name = "net", .mode = MODE_DIR | 0555, .dir = &proc_net_dir},                                  \
	    SHOW("sessionid", 0444, adjust_show_session), NAMESPACE("setgroups", setgroups),                 \
	    SHOW("smaps", 0444, memory_show_smaps), SHOW("smaps_rollup", 0444, memory_show_rollup),          \
	    SHOW("stack", 0400, stack_show), SHOW("stat", 0444, show_stat),                                  \
	    SHOW("statm", 0444, memory_show_statm), SHOW("status", 0444, show_status),                       \
	    SHOW("syscall", 0400, stack_show_syscall), NAMESPACE("uid_map", id_map),                         \
	    SHOW("vm", 0444, memory_show_vm), SHOW("wchan", 0444, show_wchan)

static const struct proc_entry thread_entries[] = {COMMON_ENTRIES};
static const struct proc_entry process_entries[] = {COMMON_ENTRIES, ADJUST("coredump_filter", core_filter),
    {.name = "timerslack_ns", .mode = MODE_REG | 0666, .text = {adjust_show_slack, adjust_store_slack}},
    {.name = "task", .mode = MODE_DIR | 0555, .dir = &task_dir}};

static const struct proc_dir thread_dir = {
    .class = CLASS_THREAD, .entries = thread_entries, .count = ARRAY_SIZE(thread_entries)};
static const struct proc_dir process_dir = {
    .class = CLASS_PROCESS, .entries = process_entries, .count = ARRAY_SIZE(process_entries)};

const struct proc_entry proc_process_entry = {.mode = MODE_DIR | 0555, .dir = &process_dir};
const struct proc_entry proc_thread_entry = {.mode = MODE_DIR | 0555, .dir = &thread_dir};
