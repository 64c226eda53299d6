/* procfs_system.c - what /proc tells of the system as a whole. Forms: proc(5). */
#include "arch/bootinfo.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/irq.h"
#include "fs/bdev.h"
#include "fs/devfs.h"
#include "fs/flock.h"
#include "fs/mount.h"
#include "kern/sched.h"
#include "kern/uts.h"
#include "kern/wall.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/slab.h"
#include "proc/load.h"
#include "proc/oom.h"
#include "proc/place.h"
#include "proc/procfs_mm.h"
#include "proc/procfs_priv.h"
#include "proc/sysfs.h"
#include "proc/totals.h"
#include "vm/commit.h"
#include "vm/fault.h"

enum { TICKS_PER_SEC = 100, KIB_PER_PAGE = PAGE_SIZE / 1024 };

static uint64_t ticks(nsec_t time)
{
	return time / (NSEC_PER_SEC / TICKS_PER_SEC);
}

/* --- time and load --- */

static nsec_t idle_time(void)
{
	nsec_t sum = 0;
	struct cpu_times times;
	for (unsigned cpu = 0; cpu < cpus_count(); cpu++) {
		sched_cpu_times(cpu, &times);
		sum += times.idle;
	}
	return sum;
}

static void show_uptime(struct text *t, UNUSED struct vnode *v)
{
	nsec_t now = clock_now(), idle = idle_time();
	text_printf(t, "%llu.%02llu %llu.%02llu\n", (unsigned long long)(now / NSEC_PER_SEC),
	    (unsigned long long)(ticks(now) % TICKS_PER_SEC), (unsigned long long)(idle / NSEC_PER_SEC),
	    (unsigned long long)(ticks(idle) % TICKS_PER_SEC));
}

static void show_loadavg(struct text *t, UNUSED struct vnode *v)
{
	uint64_t load[3];
	load_averages(load);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t hundredths = (load[i] * 100 + (1 << (LOAD_SHIFT - 1))) >> LOAD_SHIFT;
		text_printf(t, "%llu.%02llu ", (unsigned long long)(hundredths / 100),
		    (unsigned long long)(hundredths % 100));
	}
	text_printf(t, "%u/%u %u\n", sched_runnable_count(), user_thread_count(), process_last_pid());
}

static void show_cpu_times(struct text *t, const char *name, const struct cpu_times *times)
{
	text_printf(t, "%s %llu %llu %llu %llu 0 0 0 0 0 0\n", name, (unsigned long long)ticks(times->user),
	    (unsigned long long)ticks(times->nice), (unsigned long long)ticks(times->system),
	    (unsigned long long)ticks(times->idle));
}

/* Of all CPUs, and of each. */
static void show_all_cpu_times(struct text *t)
{
	struct cpu_times one, sum = {0};
	char name[16];
	for (unsigned cpu = 0; cpu < cpus_count(); cpu++) {
		sched_cpu_times(cpu, &one);
		sum.user += one.user;
		sum.nice += one.nice;
		sum.system += one.system;
		sum.idle += one.idle;
	}
	show_cpu_times(t, "cpu ", &sum);
	for (unsigned cpu = 0; cpu < cpus_count(); cpu++) {
		format(name, sizeof(name), "cpu%u", cpu);
		sched_cpu_times(cpu, &one);
		show_cpu_times(t, name, &one);
	}
}

/* --- interrupts --- */

static void show_interrupts(struct text *t, UNUSED struct vnode *v)
{
	struct irq_kind kind;
	text_printf(t, "    ");
	for (unsigned cpu = 0; cpu < cpus_count(); cpu++)
		text_printf(t, "       CPU%-*u", cpu < 10 ? 1 : 2, cpu);
	text_printf(t, "\n");
	for (unsigned n = 0; irq_kind_at(n, &kind); n++) {
		text_printf(t, "%3s:", kind.label);
		for (unsigned cpu = 0; cpu < cpus_count(); cpu++)
			text_printf(t, " %10llu", (unsigned long long)irq_count(&kind, cpu));
		text_printf(t, "  %s\n", kind.what);
	}
}

/* All that arrived, and of these, each kind of device's. */
static void show_interrupt_sums(struct text *t)
{
	struct irq_kind kind;
	uint64_t all = 0, sum;
	for (unsigned n = 0; irq_kind_at(n, &kind); n++)
		for (unsigned cpu = 0; cpu < cpus_count(); cpu++)
			all += irq_count(&kind, cpu);
	text_printf(t, "intr %llu", (unsigned long long)all);
	for (unsigned n = 0; irq_kind_at(n, &kind) && kind.label[0] <= '9'; n++) {
		sum = 0;
		for (unsigned cpu = 0; cpu < cpus_count(); cpu++)
			sum += irq_count(&kind, cpu);
		text_printf(t, " %llu", (unsigned long long)sum);
	}
	text_printf(t, "\n");
}

/* What Linux puts off until after an interrupt: nothing is put off here, so none of it ever happened. */
static void show_softirqs(struct text *t, UNUSED struct vnode *v)
{
	static const char *const names[] = {
	    "HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"};
	text_printf(t, "%20s", "");
	for (unsigned cpu = 0; cpu < cpus_count(); cpu++)
		text_printf(t, "CPU%-8u", cpu);
	text_printf(t, "\n");
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		text_printf(t, "%12s:", names[i]);
		for (unsigned cpu = 0; cpu < cpus_count(); cpu++)
			text_printf(t, " %10u", 0);
		text_printf(t, "\n");
	}
}

static unsigned running_count(void)
{
	return MAX(sched_runnable_count(), 1u);
}

static void show_stat(struct text *t, UNUSED struct vnode *v)
{
	show_all_cpu_times(t);
	show_interrupt_sums(t);
	text_printf(t,
	    "ctxt %llu\nbtime %llu\nprocesses %llu\nprocs_running %u\nprocs_blocked 0\nsoftirq 0\n",
	    (unsigned long long)sched_switches(), (unsigned long long)(wall_offset() / NSEC_PER_SEC),
	    (unsigned long long)process_created_count(), running_count());
}

/* --- memory --- */

static void show_kib(struct text *t, const char *name, uint64_t pages)
{
	text_printf(t, "%-15s %8llu kB\n", name, (unsigned long long)(pages * KIB_PER_PAGE));
}

static void show_meminfo(struct text *t, UNUSED struct vnode *v)
{
	struct memory_totals m;
	struct pressure_stats p;
	struct mmu_large_stats large;
	mmu_large_stats(&large);
	memory_totals_take(&m);
	vm_pressure_stats(&p);
	show_kib(t, "MemTotal:", m.total);
	show_kib(t, "MemFree:", m.free);
	show_kib(t, "MemAvailable:", m.available);
	show_kib(t, "Buffers:", m.buffers);
	show_kib(t, "Cached:", m.cached);
	show_kib(t, "SwapCached:", 0);
	show_kib(t, "Active:", m.anon + p.active);
	show_kib(t, "Inactive:", p.inactive);
	show_kib(t, "Active(anon):", m.anon);
	show_kib(t, "Inactive(anon):", 0);
	show_kib(t, "Active(file):", p.active);
	show_kib(t, "Inactive(file):", p.inactive);
	show_kib(t, "Unevictable:", 0); /* pages of locked memory stay on their lists */
	show_kib(t, "SwapTotal:", 0);
	show_kib(t, "SwapFree:", 0);
	show_kib(t, "Dirty:", m.dirty);
	show_kib(t, "Writeback:", m.writeback);
	show_kib(t, "AnonPages:", m.anon);
	show_kib(t, "Mapped:", m.mapped);
	show_kib(t, "Shmem:", m.shmem);
	show_kib(t, "KReclaimable:", m.reclaimable);
	show_kib(t, "Slab:", m.slab);
	show_kib(t, "SReclaimable:", m.reclaimable);
	show_kib(t, "SUnreclaim:", m.slab - m.reclaimable);
	show_kib(t, "KernelStack:", m.stacks);
	show_kib(t, "PageTables:", m.tables);
	show_kib(t, "CommitLimit:", commit_limit());
	show_kib(t, "Committed_AS:", commit_count());
	show_kib(t, "AnonHugePages:", MIN(large.now * MMU_LARGE_PAGES, m.anon));
	show_kib(t, "Volatile:", m.volatile_pages); /* ours */
	text_printf(
	    t, "VmallocTotal:   536870912 kB\nVmallocUsed:           0 kB\nVmallocChunk:          0 kB\n");
}

/* Sectors that disks have read or written. */
static uint64_t disk_sectors(enum block_op op)
{
	const struct block_device *b;
	uint64_t sum = 0, rdev;
	for (unsigned i = 0; (b = bdev_at(i, &rdev)); i++)
		sum += load_relaxed(&b->stats.sectors[op]);
	return sum;
}

static void show_vmstat(struct text *t, UNUSED struct vnode *v)
{
	struct memory_totals m;
	struct pressure_stats p;
	memory_totals_take(&m);
	vm_pressure_stats(&p);
	struct mmu_large_stats large;
	mmu_large_stats(&large);
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {{"nr_free_pages", m.free}, {"nr_anon_pages", m.anon}, {"nr_mapped", m.mapped},
	    {"nr_anon_transparent_hugepages", large.now}, {"thp_collapse_alloc", large.made},
	    {"thp_split_pmd", large.cut}, {"nr_file_pages", m.cached + m.buffers}, {"nr_dirty", m.dirty},
	    {"nr_writeback", m.writeback}, {"nr_shmem", m.shmem}, {"nr_slab_reclaimable", m.reclaimable},
	    {"nr_slab_unreclaimable", m.slab - m.reclaimable}, {"nr_page_table_pages", m.tables},
	    {"nr_kernel_stack", m.stacks * KIB_PER_PAGE}, {"pgpgin", disk_sectors(BLOCK_READ) / 2},
	    {"pgpgout", disk_sectors(BLOCK_WRITE) / 2}, {"pswpin", 0}, {"pswpout", 0},
	    {"nr_inactive_file", p.inactive}, {"nr_active_file", p.active}, {"nr_unevictable", 0},
	    {"workingset_refault_file", p.refaults}, {"nr_written", vm_written_count()},
	    {"pgsteal_kswapd", p.reclaimed}, {"pgsteal_direct", p.direct}, {"allocstall", p.waits},
	    {"balance_dirty_pages", dirty_throttled_count()}, {"oom_kill", oom_killings()}};
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		text_printf(t, "%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
}

/* --- the machine --- */

static void show_cpuinfo(struct text *t, UNUSED struct vnode *v)
{
	struct cpu_description d;
	cpu_describe(&d);
	for (unsigned cpu = 0; cpu < cpus_count(); cpu++)
		text_printf(t,
		    "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\nstepping\t: %u\n"
		    "cpu MHz\t\t: %u.000\nphysical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\nflags\t\t: %s\n\n",
		    cpu, d.vendor, d.family, d.model, d.name, d.stepping, d.mhz, cpus_count(), cpu,
		    cpus_count(), d.flags);
}

static void show_cmdline(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%s\n", bootinfo.cmdline);
}

static void show_filesystems(struct text *t, UNUSED struct vnode *v)
{
	const struct fs_ops *ops;
	for (unsigned n = 0; (ops = fs_type_at(n)); n++)
		text_printf(t, "%s\t%s\n", ops->needs_device ? "" : "nodev", ops->name);
}

static void show_devices(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t,
	    "Character devices:\n  1 mem\n  4 ttyS\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n254 virtblk\n");
}

static void show_partitions(struct text *t, UNUSED struct vnode *v)
{
	const struct block_device *b;
	uint64_t rdev;
	text_printf(t, "major minor  #blocks  name\n\n");
	for (unsigned i = 0; (b = bdev_at(i, &rdev)); i++)
		text_printf(t, "%4u  %7u %10llu %s\n", DEV_MAJOR(rdev), DEV_MINOR(rdev),
		    (unsigned long long)(b->nsectors / 2), b->name);
}

static void show_diskstats(struct text *t, UNUSED struct vnode *v)
{
	const struct block_device *b;
	uint64_t rdev;
	for (unsigned i = 0; (b = bdev_at(i, &rdev)); i++) {
		text_printf(t, "%4u %7u %s ", DEV_MAJOR(rdev), DEV_MINOR(rdev), b->name);
		sysfs_show_disk_stats(t, b);
	}
}

static void show_tty_drivers(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
		       "/dev/console         /dev/console    5       1 system:console\n"
		       "/dev/ptmx            /dev/ptmx       5       2 system\n"
		       "serial               /dev/ttyS       4 64-64 serial\n"
		       "pty_slave            /dev/pts      136 0-1048575 pty:slave\n"
		       "pty_master           /dev/ptm      128 0-1048575 pty:master\n");
}

/* --- locks of files --- */

static void show_lock(struct text *t, const struct lock_view *l)
{
	const struct lock_range *r = &l->range;
	const char *kind = l->whole ? "FLOCK " : r->of_file ? "OFDLCK" : "POSIX ";
	text_printf(t, "%s%s ADVISORY  %s ", l->waits ? "-> " : "", kind,
	    r->type == LOCK_EXCLUSIVE ? "WRITE" : "READ");
	text_printf(t, "%d %02x:%02x:%llu %llu ", r->of_file && !l->whole ? -1 : (int)r->pid,
	    DEV_MAJOR(l->dev), DEV_MINOR(l->dev), (unsigned long long)l->ino, (unsigned long long)r->first);
	if (r->last == INT64_MAX)
		text_printf(t, "EOF\n");
	else
		text_printf(t, "%llu\n", (unsigned long long)r->last);
}

/* Who waits has the number of what he waits for. */
static void show_locks(struct text *t, UNUSED struct vnode *v)
{
	size_t room, n = lock_snapshot(NULL, 0), number = 0;
	struct lock_view *all = NULL;
	do {
		kfree(all);
		room = n;
		all = kmalloc(room * sizeof(*all));
		n = all ? lock_snapshot(all, room) : 0;
	} while (n > room);
	if (!all && room)
		t->err = -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		number += !all[i].waits;
		text_printf(t, "%llu: ", (unsigned long long)number);
		show_lock(t, &all[i]);
	}
	kfree(all);
}

static void show_swaps(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
}

static void show_version(struct text *t, UNUSED struct vnode *v)
{
	struct uts_name u;
	uts_get(&u);
	text_printf(t, "%s version %s (quire) %s\n", u.sysname, u.release, u.version);
}

static int64_t link_self(UNUSED struct proc_node *n, char *buf, size_t size)
{
	return format(buf, size, "%u", current_process()->pid);
}

static int64_t link_thread_self(UNUSED struct proc_node *n, char *buf, size_t size)
{
	return format(buf, size, "%u/task/%u", current_process()->pid, current_thread()->tid);
}

static int64_t link_mounts(UNUSED struct proc_node *n, char *buf, size_t size)
{
	return format(buf, size, "self/mounts");
}

static int64_t link_net(UNUSED struct proc_node *n, char *buf, size_t size)
{
	return format(buf, size, "self/net");
}

#define FILE_ENTRY(n, fn)                                                                                    \
	{                                                                                                    \
		.name = n, .mode = MODE_REG | 0444, .text = {.show = fn }                                    \
	}
#define LINK_ENTRY(n, fn)                                                                                    \
	{                                                                                                    \
		.name = n, .mode = MODE_LINK | 0777, .readlink = fn                                          \
	}

static const struct proc_entry tty_entries[] = {FILE_ENTRY("drivers", show_tty_drivers)};
static const struct proc_dir tty_dir = {
    .class = CLASS_TTY, .entries = tty_entries, .count = ARRAY_SIZE(tty_entries)};

const struct proc_entry proc_root_entries[] = {
    LINK_ENTRY("self", link_self),
    LINK_ENTRY("thread-self", link_thread_self),
    LINK_ENTRY("mounts", link_mounts),
    LINK_ENTRY("net", link_net),
    FILE_ENTRY("buddyinfo", mm_show_buddyinfo),
    FILE_ENTRY("cmdline", show_cmdline),
    FILE_ENTRY("cpuinfo", show_cpuinfo),
    FILE_ENTRY("devices", show_devices),
    FILE_ENTRY("diskstats", show_diskstats),
    FILE_ENTRY("filesystems", show_filesystems),
    FILE_ENTRY("interrupts", show_interrupts),
    FILE_ENTRY("loadavg", show_loadavg),
    FILE_ENTRY("locks", show_locks),
    FILE_ENTRY("meminfo", show_meminfo),
    FILE_ENTRY("mm", mm_show),
    FILE_ENTRY("partitions", show_partitions),
    FILE_ENTRY("softirqs", show_softirqs),
    FILE_ENTRY("stat", show_stat),
    FILE_ENTRY("swaps", show_swaps),
    FILE_ENTRY("uptime", show_uptime),
    FILE_ENTRY("version", show_version),
    FILE_ENTRY("vmstat", show_vmstat),
    FILE_ENTRY("zoneinfo", mm_show_zoneinfo),
    {.name = "tty", .mode = MODE_DIR | 0555, .dir = &tty_dir},
    {.name = "sys", .mode = MODE_DIR | 0555, .dir = &proc_sys_dir},
    {.name = "sysvipc", .mode = MODE_DIR | 0555, .dir = &proc_sysvipc_dir},
};
const unsigned proc_root_count = ARRAY_SIZE(proc_root_entries);
