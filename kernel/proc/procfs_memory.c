/*
 * procfs_memory.c - the files of /proc/PID that tell of its memory: Linux's maps, smaps, statm, and our own
 * vm.
 *
 * A space is walked region by region, by address, without holding its lock in between: a map operation that
 * runs at the same time is seen or not, as on Linux.
 */
#include "proc/procfs_memory.h"
#include "fs/mount.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/ipc.h"
#include "proc/procfs_priv.h"
#include "proc/vdso.h"
#include "vm/copy.h"
#include "vm/space.h"

enum { KIB_PER_PAGE = PAGE_SIZE / 1024, NAME_COLUMN = 73 };

/* --- names of regions --- */

/* What a line of maps says last. `buf` has PATH_LEN_MAX bytes; "": nothing. */
static const char *region_label(const struct region_view *r, const struct vm_space *s, char *buf)
{
	struct file *f = file_of_vm_name(&r->name);
	struct path root;
	const struct space_layout *l = &s->layout;
	if (f) {
		mount_get_root(&root);
		int64_t n = file_describe(f, &root, buf, PATH_LEN_MAX);
		path_put(&root);
		return n < 0 ? "" : buf;
	}
	int32_t key;
	uint32_t id;
	if (shm_of_vm_name(&r->name, &key, &id)) {
		(void)format(buf, PATH_LEN_MAX, "/SYSV%08x (deleted)", (unsigned)key);
		return buf;
	}
	uaddr_t vdso = vdso_address(s);
	if (vdso && r->info.start == vdso)
		return "[vdso]";
	if (vdso && r->info.end == vdso)
		return "[vvar]";
	if (r->info.start <= l->stack_start && l->stack_start < r->info.end)
		return "[stack]";
	return r->info.start < s->brk && r->info.end > s->brk_start ? "[heap]" : "";
}

static void show_head(struct text *t, const struct region_view *r, const char *label)
{
	struct file *f = file_of_vm_name(&r->name);
	struct vfs_stat st = {0};
	size_t from = t->used;
	const struct region_info *i = &r->info;
	int32_t key;
	uint32_t id;
	bool shm = shm_of_vm_name(&r->name, &key, &id);
	if (f) {
		file_stat(f, &st);
	} else if (shm) {
		st.dev = SHM_DEVICE;
		st.ino = id;
	}
	text_printf(t, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu ", (unsigned long long)i->start,
	    (unsigned long long)i->end, i->prot & VM_READ ? 'r' : '-', i->prot & VM_WRITE ? 'w' : '-',
	    i->prot & VM_EXEC ? 'x' : '-', i->flags & REGION_SHARED ? 's' : 'p',
	    (unsigned long long)(f || shm ? i->offset << PAGE_SHIFT : 0), (unsigned)(st.dev >> 8 & 0xfff),
	    (unsigned)(st.dev & 0xff), (unsigned long long)st.ino);
	if (*label) {
		while (!t->err && t->used - from < NAME_COLUMN)
			text_add(t, " ", 1);
		text_add_escaped(t, label, "\n");
	}
	text_add(t, "\n", 1);
}

/* --- counting pages --- */

/* Pages of a window that are in memory, as Linux counts them: its own, and those of its file or of shared
 * memory that are translated. */
static uint64_t pages_resident(const struct region_info *i)
{
	return (i->flags & REGION_SHARED ? 0 : i->resident) + i->translated;
}

/* Of these, the ones that others may see as well: shared with a clone, the file's, or shared memory. */
static uint64_t pages_shared(const struct region_info *i)
{
	return (i->flags & REGION_SHARED ? 0 : i->shared) + i->translated;
}

/* --- walking --- */

struct memory_walk {
	struct text *t;
	struct vm_space *space;
	char *label;       /* PATH_LEN_MAX bytes */
	bool may_be_large; /* the region that was added last */
	struct usage_memory seen;
	struct region_sum {
		struct region_usage usage; /* of all regions so far */
		uint64_t locked;
	} sum;
};

/* The space of v's process, if the reader may see what is in it, with a reference; NULL: none, or the error
 * is in the text. */
static struct vm_space *space_to_read(struct text *t, const struct vnode *v)
{
	const struct proc_node *n = proc_node_of(v);
	if (current_may_access(n->process, n->tid))
		return process_space(n->process);
	t->err = -EACCES;
	return NULL;
}

/* Call fn on each region of v's process. Errors go to the text. */
static void walk_memory(struct text *t, struct vnode *v,
    void (*fn)(struct memory_walk *, const struct region_view *), struct memory_walk *w)
{
	struct region_view r;
	*w = (struct memory_walk){.t = t};
	w->space = space_to_read(t, v);
	if (!w->space)
		return;
	usage_memory_init(&w->seen);
	w->label = kmalloc(PATH_LEN_MAX);
	if (!w->label)
		t->err = -ENOMEM;
	for (uaddr_t at = 0; !t->err && space_view(w->space, at, &r); at = r.info.end) {
		fn(w, &r);
		region_view_end(&r);
	}
	kfree(w->label);
	usage_memory_fini(&w->seen);
	space_put(w->space);
}

static void add_region(struct memory_walk *w, const struct region_view *r)
{
	struct region_usage *sum = &w->sum.usage, u;
	if (!space_usage(w->space, r->info.start, &w->seen, &u))
		return;
	sum->pages += u.pages;
	sum->private_clean += u.private_clean;
	sum->private_dirty += u.private_dirty;
	sum->shared_clean += u.shared_clean;
	sum->shared_dirty += u.shared_dirty;
	for (unsigned i = 0; i < USAGE_CLASSES; i++)
		sum->parts[i] += u.parts[i];
	sum->parts_dirty += u.parts_dirty;
	sum->anonymous += u.anonymous;
	sum->large += u.large;
	sum->referenced += u.referenced;
	w->may_be_large = u.may_be_large;
	w->sum.locked += r->info.flags & REGION_LOCKED ? u.pages : 0;
}

/* --- maps, smaps --- */

static void show_map(struct memory_walk *w, const struct region_view *r)
{
	show_head(w->t, r, region_label(r, w->space, w->label));
}

void memory_show_maps(struct text *t, struct vnode *v)
{
	struct memory_walk w;
	walk_memory(t, v, show_map, &w);
}

static void show_kib(struct text *t, const char *name, uint64_t pages)
{
	text_printf(t, "%-16s%8llu kB\n", name, (unsigned long long)(pages * KIB_PER_PAGE));
}

/* A sum of parts of pages. */
static void show_parts(struct text *t, const char *name, uint64_t parts)
{
	text_printf(t, "%-16s%8llu kB\n", name, (unsigned long long)(parts / (PT_WHOLE / KIB_PER_PAGE)));
}

/* What both files say. */
static void show_sum(struct text *t, const struct region_sum *s, bool rollup)
{
	const struct region_usage *u = &s->usage;
	uint64_t resident = u->private_clean + u->private_dirty + u->shared_clean + u->shared_dirty;
	show_kib(t, "Rss:", resident);
	show_parts(t, "Pss:", u->parts[USAGE_ANON] + u->parts[USAGE_FILE] + u->parts[USAGE_SHMEM]);
	show_parts(t, "Pss_Dirty:", u->parts_dirty);
	if (rollup) {
		show_parts(t, "Pss_Anon:", u->parts[USAGE_ANON]);
		show_parts(t, "Pss_File:", u->parts[USAGE_FILE]);
		show_parts(t, "Pss_Shmem:", u->parts[USAGE_SHMEM]);
	}
	const struct {
		const char *name;
		uint64_t pages;
	} rows[] = {{"Shared_Clean:", u->shared_clean}, {"Shared_Dirty:", u->shared_dirty},
	    {"Private_Clean:", u->private_clean}, {"Private_Dirty:", u->private_dirty},
	    {"Referenced:", u->referenced}, {"Anonymous:", u->anonymous}, {"KSM:", 0}, {"LazyFree:", 0},
	    {"AnonHugePages:", u->large}, {"ShmemPmdMapped:", 0}, {"FilePmdMapped:", 0},
	    {"Shared_Hugetlb:", 0}, {"Private_Hugetlb:", 0}, {"Swap:", 0}, {"SwapPss:", 0},
	    {"Locked:", s->locked}};
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		show_kib(t, rows[i].name, rows[i].pages);
}

/* Linux's two letters for what a window is and may. */
static void show_vm_flags(struct text *t, const struct region_info *i)
{
	const struct {
		bool set;
		const char *letters;
	} flags[] = {{i->prot & VM_READ, "rd"}, {i->prot & VM_WRITE, "wr"}, {i->prot & VM_EXEC, "ex"},
	    {i->flags & REGION_SHARED, "sh"}, {i->max_prot & VM_READ, "mr"}, {i->max_prot & VM_WRITE, "mw"},
	    {i->max_prot & VM_EXEC, "me"}, {i->flags & REGION_SHARED, "ms"},
	    {i->flags & REGION_GROWSDOWN, "gd"}, {i->kind == VM_PHYS, "pf"}, {i->flags & REGION_LOCKED, "lo"},
	    {i->kind == VM_PHYS, "io"}, {i->flags & REGION_DONTFORK, "dc"},
	    {i->flags & REGION_WIPEONFORK, "wf"}, {i->flags & REGION_DONTDUMP, "dd"},
	    {i->flags & REGION_LARGE, "hg"}, {i->flags & REGION_NO_LARGE, "nh"},
	    {i->flags & REGION_IMMUTABLE, "sl"}};
	text_printf(t, "VmFlags: ");
	for (unsigned k = 0; k < ARRAY_SIZE(flags); k++)
		if (flags[k].set)
			text_printf(t, "%s ", flags[k].letters);
	text_printf(t, "\n");
}

static void show_smap(struct memory_walk *w, const struct region_view *r)
{
	w->sum = (struct region_sum){0};
	w->may_be_large = false;
	add_region(w, r);
	show_head(w->t, r, region_label(r, w->space, w->label));
	show_kib(w->t, "Size:", w->sum.usage.pages);
	show_kib(w->t, "KernelPageSize:", 1);
	show_kib(w->t, "MMUPageSize:", 1);
	show_sum(w->t, &w->sum, false);
	text_printf(w->t, "THPeligible:    %d\n", w->may_be_large);
	show_vm_flags(w->t, &r->info);
}

void memory_show_smaps(struct text *t, struct vnode *v)
{
	struct memory_walk w;
	walk_memory(t, v, show_smap, &w);
}

void memory_show_rollup(struct text *t, struct vnode *v)
{
	struct memory_walk w;
	walk_memory(t, v, add_region, &w);
	if (t->err)
		return;
	text_printf(t, "%08llx-%08llx ---p 00000000 00:00 0                          [rollup]\n",
	    (unsigned long long)USER_START, (unsigned long long)USER_END);
	show_sum(t, &w.sum, true);
}

/* --- our own: a JSON object a line, for each region --- */

static const char *json_bool(bool b)
{
	return b ? "true" : "false";
}

/* A path as the inside of a JSON string. */
static void add_json(struct text *t, const char *s)
{
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			text_printf(t, "\\%c", *s);
		else if ((unsigned char)*s < ' ')
			text_printf(t, "\\u%04x", (unsigned char)*s);
		else
			text_add(t, s, 1);
}

/* What a process can reach is all there is here: what the kernel keeps for it is in no region. */
static void show_vm_region(struct memory_walk *w, const struct region_view *r)
{
	static const char *const kinds[] = {
	    [VM_ANON] = "anonymous", [VM_FILE] = "file", [VM_PHYS] = "physical"};
	struct region_info i;
	if (!space_query(w->space, r->info.start, &i) || i.start != r->info.start)
		return;
	text_printf(w->t, "{\"start\":\"%#llx\",\"end\":\"%#llx\",\"protection\":\"%c%c%c\",\"user\":true,",
	    (unsigned long long)i.start, (unsigned long long)i.end, i.prot & VM_READ ? 'r' : '-',
	    i.prot & VM_WRITE ? 'w' : '-', i.prot & VM_EXEC ? 'x' : '-');
	text_printf(w->t, "\"shared\":%s,\"kind\":\"%s\",\"backed\":%s,\"stack\":%s,\"immutable\":%s,",
	    json_bool(i.flags & REGION_SHARED), kinds[i.kind], json_bool(i.has_backing),
	    json_bool(i.flags & REGION_STACK), json_bool(i.flags & REGION_IMMUTABLE));
	text_printf(w->t, "\"pages\":%llu,\"resident\":%llu,\"shared_pages\":%llu,\"committed\":%llu,",
	    (unsigned long long)((i.end - i.start) >> PAGE_SHIFT), (unsigned long long)pages_resident(&i),
	    (unsigned long long)pages_shared(&i), (unsigned long long)(i.kind == VM_ANON ? i.resident : 0));
	text_printf(w->t, "\"purgeable\":%s,\"volatile\":%s,\"purged\":%s,\"name\":\"",
	    json_bool(i.purgeable), json_bool(i.purgeable && i.vol_state != VOLATILE_NO),
	    json_bool(i.purgeable && i.vol_state == VOLATILE_PURGED));
	add_json(w->t, region_label(r, w->space, w->label));
	text_printf(w->t, "\"}\n");
}

void memory_show_vm(struct text *t, struct vnode *v)
{
	struct memory_walk w;
	walk_memory(t, v, show_vm_region, &w);
}

/* --- sums --- */

static void classify(struct memory_summary *m, const struct region_info *i, const struct vm_space *s)
{
	uint64_t pages = (i->end - i->start) >> PAGE_SHIFT;
	bool stack = i->start <= s->layout.stack_start && s->layout.stack_start < i->end;
	m->size += pages;
	m->regions++;
	if (stack)
		m->stack += pages;
	else if (i->start < s->layout.code_end && i->end > s->layout.code_start)
		m->text += pages;
	else if ((i->prot & VM_WRITE) && !(i->flags & REGION_SHARED))
		m->data += pages;
}

void memory_summary_take(struct memory_summary *m, struct process *p)
{
	struct region_info i;
	*m = (struct memory_summary){0};
	struct vm_space *s = process_space(p);
	if (!s)
		return;
	m->brk_start = s->brk_start;
	m->resident = space_resident_now(s);
	m->resident_peak = space_resident_peak(s);
	m->size_peak = space_size_peak(s);
	for (uaddr_t at = 0; space_look(s, at, &i); at = i.end)
		classify(m, &i, s);
	space_put(s);
}

/* Linux's numbers. Whether a page was written is told nowhere (pagemap), so there is no mark to clear. */
enum clear_refs { CLEAR_ALL = 1, CLEAR_ANON, CLEAR_MAPPED, CLEAR_SOFT_DIRTY, CLEAR_PEAK };

int64_t memory_store_clear_refs(struct vnode *v, char *text, size_t n)
{
	int64_t what;
	if (proc_parse_number(text, &what) || what < CLEAR_ALL || what > CLEAR_PEAK)
		return -EINVAL;
	struct vm_space *s = process_space(proc_node_of(v)->process);
	if (!s)
		return (int64_t)n;
	if (what == CLEAR_PEAK)
		space_reset_resident_peak(s);
	else if (what != CLEAR_SOFT_DIRTY)
		space_clear_accessed(s, what != CLEAR_MAPPED, what != CLEAR_ANON);
	space_put(s);
	return (int64_t)n;
}

void memory_show_statm(struct text *t, struct vnode *v)
{
	struct memory_summary m;
	memory_summary_take(&m, proc_node_of(v)->process);
	text_printf(t, "%llu %llu %llu %llu 0 %llu 0\n", (unsigned long long)m.size,
	    (unsigned long long)memory_resident(&m), (unsigned long long)(m.resident.file + m.resident.shmem),
	    (unsigned long long)m.text, (unsigned long long)(m.data + m.stack));
}

void memory_show_status(struct text *t, struct process *p)
{
	struct memory_summary m;
	memory_summary_take(&m, p);
	if (!m.regions)
		return;
	struct vm_space *s = process_space(p);
	uint64_t locked = s ? space_locked_pages(s) : 0;
	bool large = s && !load_relaxed(&s->no_large);
	if (s)
		space_put(s);
	const struct {
		const char *name;
		uint64_t pages;
	} rows[] = {{"VmPeak:", m.size_peak}, {"VmSize:", m.size}, {"VmLck:", locked}, {"VmPin:", 0},
	    {"VmHWM:", m.resident_peak}, {"VmRSS:", memory_resident(&m)}, {"RssAnon:", m.resident.anon},
	    {"RssFile:", m.resident.file}, {"RssShmem:", m.resident.shmem}, {"VmData:", m.data},
	    {"VmStk:", m.stack}, {"VmExe:", m.text}, {"VmLib:", 0}, {"VmPTE:", 0}, {"VmSwap:", 0}};
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		text_printf(
		    t, "%s\t%8llu kB\n", rows[i].name, (unsigned long long)(rows[i].pages * KIB_PER_PAGE));
	text_printf(t, "THP_enabled:\t%d\n", large);
}

/* --- what exec left on the stack --- */

/* Copy [start, end) of the process's memory, as far as it is there. */
static void show_bytes(struct text *t, struct vm_space *s, uaddr_t start, uaddr_t end)
{
	char chunk[512];
	while (start < end && !t->err) {
		size_t n = MIN(end - start, sizeof(chunk)), done = 0;
		err_t err = space_read(s, chunk, start, n, &done);
		text_add(t, chunk, done);
		if (err)
			return;
		start += done;
	}
}

void memory_show_cmdline(struct text *t, struct vnode *v)
{
	struct vm_space *s = process_space(proc_node_of(v)->process);
	if (!s)
		return;
	show_bytes(t, s, s->layout.arg_start, s->layout.arg_end);
	space_put(s);
}

void memory_show_environ(struct text *t, struct vnode *v)
{
	struct vm_space *s = space_to_read(t, v);
	if (!s)
		return;
	show_bytes(t, s, s->layout.env_start, s->layout.env_end);
	space_put(s);
}

void memory_show_auxv(struct text *t, struct vnode *v)
{
	struct vm_space *s = space_to_read(t, v);
	if (!s)
		return;
	text_add(t, (const char *)s->layout.aux, s->layout.aux_count * sizeof(s->layout.aux[0]));
	space_put(s);
}
