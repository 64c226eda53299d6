/* procfs_sys.c - /proc/sys: what can be asked, and in part set, about how the system works. Names and forms:
 * proc(5). */
#include "kern/random.h"
#include "kern/uts.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "object/desc.h"
#include "fs/dentry.h"
#include "fs/file.h"
#include "fs/notify.h"
#include "fs/pipe.h"
#include "proc/cred.h"
#include "proc/procfs_limits.h"
#include "proc/procfs_priv.h"
#include "proc/procfs_sched.h"
#include "proc/procfs_vm.h"
#include "vm/fault.h"

enum { UUID_BYTES = 16 };

static void show_uuid(struct text *t, const uint8_t *id)
{
	for (unsigned i = 0; i < UUID_BYTES; i++)
		text_printf(t, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", id[i]);
	text_printf(t, "\n");
}

/* Random, version 4 (RFC 9562). */
static void make_uuid(uint8_t *id)
{
	random_bytes(id, UUID_BYTES);
	id[6] = (id[6] & 0x0f) | 0x40;
	id[8] = (id[8] & 0x3f) | 0x80;
}

static void show_new_uuid(struct text *t, UNUSED struct vnode *v)
{
	uint8_t id[UUID_BYTES];
	make_uuid(id);
	show_uuid(t, id);
}

static uint8_t boot_id[UUID_BYTES]; /* made at boot */

static void show_boot_id(struct text *t, UNUSED struct vnode *v)
{
	show_uuid(t, boot_id);
}

void procfs_sys_init(void)
{
	make_uuid(boot_id);
}

/* Files that say one part of the system's name. */
#define UTS(ident, part)                                                                                     \
	static void show_##ident(struct text *t, UNUSED struct vnode *v)                                     \
	{                                                                                                    \
		struct uts_name u;                                                                           \
		uts_get(&u);                                                                                 \
		text_printf(t, "%s\n", u.part);                                                              \
	}
UTS(hostname, nodename)
UTS(domainname, domainname)
UTS(ostype, sysname)
UTS(osrelease, release)
UTS(version, version)

static int64_t store_hostname(UNUSED struct vnode *v, char *s, size_t n)
{
	size_t len = 0;
	while (len < n && s[len] && s[len] != '\n')
		len++;
	if (current_cred()->euid != 0)
		return -EPERM;
	if (len >= UTS_LENGTH)
		return -EINVAL;
	uts_set_nodename(s, len);
	return (int64_t)n;
}

static void show_file_nr(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%llu\t0\t%llu\n", (unsigned long long)file_count(), (unsigned long long)INT64_MAX);
}

static void show_threads_max(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%u\n", (unsigned)MIN(frame_total_count() / 8, (uint64_t)PID_MAX));
}

enum { DROP_PAGES = 1, DROP_OBJECTS = 2, DROP_QUIETLY = 4, DENTRIES_AT_ONCE = 1000 };

/* Give back what is only kept because it may be of use again: 1 clean pages of files, 2 names and all that
 * allocators keep, 3 both. */
static int64_t store_drop_caches(UNUSED struct vnode *v, char *s, size_t n)
{
	size_t digit = 0;
	while (s[digit] == ' ' || s[digit] == '\t')
		digit++;
	size_t after = digit + 1;
	unsigned what = (unsigned)(s[digit] - '0');
	if (current_cred()->euid != 0)
		return -EPERM;
	if (what < DROP_PAGES || what > DROP_QUIETLY || (s[after] && s[after] != '\n' && s[after] != ' '))
		return -EINVAL;
	if (what & DROP_OBJECTS)
		while (dentry_shrink(DENTRIES_AT_ONCE))
			;
	if (what & DROP_PAGES)
		(void)vm_reclaim(frame_total_count());
	if (what & DROP_OBJECTS) {
		(void)kva_shrink();
		frame_drain_all();
		(void)slab_shrink_all();
		frame_drain_all();
	}
	return (int64_t)n;
}

static int64_t store_limit(_Atomic uint32_t *limit, const char *s, size_t n)
{
	int64_t value;
	if (current_cred()->euid != 0) /* whoever opened the file */
		return -EPERM;
	if (proc_parse_number(s, &value) || value < 0 || value > INT32_MAX)
		return -EINVAL;
	store_relaxed(limit, (uint32_t)value);
	return (int64_t)n;
}

/* Take the pages of volatile objects, the least recently volatile first, until that many frames are free. */
static int64_t store_purge(UNUSED struct vnode *v, char *s, size_t n)
{
	uint64_t frames, freed = 0;
	bool more = true;
	size_t len = n;
	while (len && (s[len - 1] == '\n' || s[len - 1] == ' '))
		len--;
	s[len] = 0;
	if (!current_can(CAP_SYS_ADMIN))
		return -EPERM;
	if (!str_to_u64(s, &frames))
		return -EINVAL;
	while (freed < frames && more)
		freed += vm_purge_one(&more);
	return (int64_t)n;
}

static void show_purge(struct text *t, UNUSED struct vnode *v)
{
	struct vm_purge_stats p;
	vm_purge_stats(&p);
	text_printf(t, "%llu volatile objects\n%llu pages in them\n%llu frames purged\n",
	    (unsigned long long)p.objects, (unsigned long long)p.pages, (unsigned long long)p.freed);
}

static void show_dmesg_restrict(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%u\n", load_relaxed(&log_is_restricted));
}

static int64_t store_dmesg_restrict(UNUSED struct vnode *v, char *s, size_t n)
{
	int64_t value;
	if (!current_can(CAP_SYS_ADMIN))
		return -EPERM;
	if (proc_parse_number(s, &value) || value < 0 || value > 1)
		return -EINVAL;
	store_relaxed(&log_is_restricted, (uint32_t)value);
	return (int64_t)n;
}

static void show_nothing(struct text *t, UNUSED struct vnode *v)
{
	t->err = -EACCES; /* the superuser cannot read it either */
}

/* Files that say one number that never changes. */
#define NUMBER(ident, value)                                                                                 \
	static void show_##ident(struct text *t, UNUSED struct vnode *v)                                     \
	{                                                                                                    \
		text_printf(t, "%lld\n", (long long)(value));                                                \
	}
NUMBER(pid_max, PID_MAX)
NUMBER(ngroups_max, CRED_GROUPS_MAX)
NUMBER(cap_last_cap, CAP_COUNT - 1)
NUMBER(overflow_id, 65534)
NUMBER(randomize, 2)
NUMBER(entropy, 256)
NUMBER(nr_open, DESC_LIMIT_MAX)
NUMBER(file_max, INT64_MAX)
NUMBER(pipe_max, PIPE_MAX_SIZE)
NUMBER(map_count, 65530)
NUMBER(mmap_min, 65536)
NUMBER(swappiness, 0)
NUMBER(shm_rmid_forced, 0)

#define SHOW(n, fn)                                                                                          \
	{                                                                                                    \
		.name = n, .mode = MODE_REG | 0444, .text = {.show = show_##fn }                             \
	}
#define DIR(n, d)                                                                                            \
	{                                                                                                    \
		.name = n, .mode = MODE_DIR | 0555, .dir = &d                                                \
	}

static const struct proc_entry random_entries[] = {SHOW("boot_id", boot_id), SHOW("entropy_avail", entropy),
    SHOW("poolsize", entropy), SHOW("uuid", new_uuid)};
static const struct proc_dir random_dir = {
    .class = CLASS_SYS_RANDOM, .entries = random_entries, .count = ARRAY_SIZE(random_entries)};

#define IPC_SETTING(n)   {.name = #n, .mode = MODE_REG | 0644, .text = {ipc_show_##n, ipc_store_##n}},
#define SCHED_SETTING(n) {.name = #n, .mode = MODE_REG | 0644, .text = {sched_show_##n, sched_store_##n}},
static const struct proc_entry kernel_entries[] = {SHOW("cap_last_cap", cap_last_cap),
    {.name = "core_pattern", .mode = MODE_REG | 0644, .text = {core_show_pattern, core_store_pattern}},
    {.name = "core_pipe_limit",
	.mode = MODE_REG | 0644,
	.text = {core_show_pipe_limit, core_store_pipe_limit}},
    {.name = "core_uses_pid", .mode = MODE_REG | 0644, .text = {core_show_uses_pid, core_store_uses_pid}},
    {.name = "dmesg_restrict", .mode = MODE_REG | 0644, .text = {show_dmesg_restrict, store_dmesg_restrict}},
    SHOW("domainname", domainname),
    {.name = "hostname", .mode = MODE_REG | 0644, .text = {show_hostname, store_hostname}},
    IPC_SETTINGS_NUMBER(IPC_SETTING) SHOW("ngroups_max", ngroups_max), SHOW("osrelease", osrelease),
    SHOW("ostype", ostype), SHOW("overflowgid", overflow_id), SHOW("overflowuid", overflow_id),
    SHOW("pid_max", pid_max), DIR("random", random_dir), SHOW("randomize_va_space", randomize),
    SCHED_SETTINGS(SCHED_SETTING) IPC_SETTINGS_SEM(IPC_SETTING) SHOW("shm_rmid_forced", shm_rmid_forced),
    IPC_SETTINGS_SHM(IPC_SETTING) SHOW("threads-max", threads_max), SHOW("version", version)};
static const struct proc_dir kernel_dir = {
    .class = CLASS_SYS_KERNEL, .entries = kernel_entries, .count = ARRAY_SIZE(kernel_entries)};

#define VM_SETTING(n) {.name = #n, .mode = MODE_REG | 0644, .text = {vm_show_##n, vm_store_##n}},
static const struct proc_entry vm_entries[] = {
    VM_SETTINGS(VM_SETTING){
	.name = "drop_caches", .mode = MODE_REG | 0200, .text = {show_nothing, store_drop_caches}},
    SHOW("max_map_count", map_count), SHOW("mmap_min_addr", mmap_min),
    {.name = "purge", .mode = MODE_REG | 0644, .text = {show_purge, store_purge}},
#ifdef CONFIG_DEBUG
    {.name = "validate", .mode = MODE_REG | 0200, .text = {show_nothing, procfs_store_validate}},
#endif
    SHOW("swappiness", swappiness)};
static const struct proc_dir vm_dir = {
    .class = CLASS_SYS_VM, .entries = vm_entries, .count = ARRAY_SIZE(vm_entries)};

/* Files that say one number which the superuser may set, from 0 on. */
#define LIMIT(ident, variable)                                                                               \
	static void show_##ident(struct text *t, UNUSED struct vnode *v)                                     \
	{                                                                                                    \
		text_printf(t, "%u\n", load_relaxed(&(variable)));                                           \
	}                                                                                                    \
	static int64_t store_##ident(UNUSED struct vnode *v, char *s, size_t n)                              \
	{                                                                                                    \
		return store_limit(&(variable), s, n);                                                       \
	}
LIMIT(queued_events, inotify_max_events)
LIMIT(user_instances, inotify_max_instances)
LIMIT(user_watches, inotify_max_watches)

static const struct proc_entry inotify_entries[] = {
    {.name = "max_queued_events", .mode = MODE_REG | 0644, .text = {show_queued_events, store_queued_events}},
    {.name = "max_user_instances",
	.mode = MODE_REG | 0644,
	.text = {show_user_instances, store_user_instances}},
    {.name = "max_user_watches", .mode = MODE_REG | 0644, .text = {show_user_watches, store_user_watches}}};
static const struct proc_dir inotify_dir = {
    .class = CLASS_SYS_INOTIFY, .entries = inotify_entries, .count = ARRAY_SIZE(inotify_entries)};

static const struct proc_entry fs_entries[] = {SHOW("file-max", file_max), SHOW("file-nr", file_nr),
    DIR("inotify", inotify_dir), SHOW("nr_open", nr_open), SHOW("pipe-max-size", pipe_max),
    {.name = "suid_dumpable", .mode = MODE_REG | 0644, .text = {core_show_suid, core_store_suid}}};
static const struct proc_dir fs_dir = {
    .class = CLASS_SYS_FS, .entries = fs_entries, .count = ARRAY_SIZE(fs_entries)};

static const struct proc_entry sys_entries[] = {
    DIR("fs", fs_dir), DIR("kernel", kernel_dir), DIR("vm", vm_dir)};
const struct proc_dir proc_sys_dir = {
    .class = CLASS_SYS, .entries = sys_entries, .count = ARRAY_SIZE(sys_entries)};
