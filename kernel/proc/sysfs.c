/*
 * sysfs.c - /sys: what programs look up about the machine (lscpu, lsblk, the C library). Names and forms:
 * Linux's Documentation/ABI.
 *
 *	devices/system/cpu/cpuN     each CPU, how it stands to the others
 *	devices/system/node/node0   all memory is one node
 *	devices/virtioN/block/vdX   disks; block/vdX, class/block/vdX and dev/block/MAJOR:MINOR lead there
 *	devices/virtual/tty/NAME    terminals; class/tty/NAME and dev/char/MAJOR:MINOR lead there
 *	devices/pciDDDD:BB          what is on PCI, and what the firmware drew on: sysfs_pci.c
 *
 * Which files there are is settled at boot, as CPUs and disks do not come and go.
 */
#include "arch/cpu.h"
#include "dev/block.h"
#include "fs/bdev.h"
#include "fs/devfs.h"
#include "fs/mount.h"
#include "fs/text_tree.h"
#include "kern/cpu.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "proc/sysfs.h"
#include "vm/space.h"

enum { MASK_BITS = 32, NAME_SIZE = 64, READ_AHEAD_KIB = 128, QUEUE_REQUESTS = 128, DISK_MINORS_EACH = 16 };
#define NSEC_PER_MSEC 1000000ULL

static struct text_node *top;

/* --- CPUs --- */

/* A set of CPUs: "0-3". */
static void show_all_cpus(struct text *t, UNUSED const void *arg)
{
	unsigned n = cpus_count();
	text_printf(t, n > 1 ? "0-%u\n" : "0\n", n - 1);
}

/* The same in hexadecimal, in words of 32 bits, as long as the number of CPUs asks for. */
static void show_mask(struct text *t, uint64_t mask)
{
	unsigned n = cpus_count(), words = DIV_ROUND_UP(n, (unsigned)MASK_BITS);
	unsigned width = DIV_ROUND_UP(n - (words - 1) * MASK_BITS, 4u);
	if (words == 2)
		text_printf(t, "%0*x,", (int)width, (unsigned)(mask >> MASK_BITS));
	text_printf(t, "%0*x\n", words == 2 ? MASK_BITS / 4 : (int)width, (unsigned)mask);
}

static void show_all_mask(struct text *t, UNUSED const void *arg)
{
	show_mask(t, cpus_count() < 64 ? (1ULL << cpus_count()) - 1 : UINT64_MAX);
}

static void show_own_mask(struct text *t, const void *arg)
{
	show_mask(t, 1ULL << (uintptr_t)arg);
}

static void show_model(struct text *t, UNUSED const void *arg)
{
	struct cpu_description d;
	cpu_describe(&d);
	text_printf(t, "cpu:type:x86,ven0000fam%04Xmod%04X:feature:\n", d.family, d.model);
}

/* Each CPU is a core of its own, all in one package. */
static void add_topology(struct text_node *cpu, unsigned id)
{
	struct text_node *d = text_tree_dir(cpu, "topology");
	const void *self = (void *)(uintptr_t)id;
	static const char *const own[] = {"thread_siblings", "core_cpus"};
	static const char *const all[] = {"core_siblings", "package_cpus", "die_cpus"};
	char name[NAME_SIZE];
	text_tree_number(d, "physical_package_id", 0);
	text_tree_number(d, "die_id", 0);
	text_tree_number(d, "core_id", id);
	for (unsigned i = 0; i < ARRAY_SIZE(own); i++) {
		text_tree_file(d, own[i], show_own_mask, self);
		format(name, sizeof(name), "%s_list", own[i]);
		text_tree_number(d, name, id);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		text_tree_file(d, all[i], show_all_mask, NULL);
		format(name, sizeof(name), "%s_list", all[i]);
		text_tree_file(d, name, show_all_cpus, NULL);
	}
}

static void add_cpus(void)
{
	struct text_node *d = text_tree_path(top, "devices/system/cpu");
	static const char *const sets[] = {"online", "possible", "present"};
	for (unsigned i = 0; i < ARRAY_SIZE(sets); i++)
		text_tree_file(d, sets[i], show_all_cpus, NULL);
	text_tree_line(d, "offline", "");
	text_tree_line(d, "isolated", "");
	text_tree_line(d, "nohz_full", "");
	text_tree_number(d, "kernel_max", MAX_CPUS - 1);
	text_tree_file(d, "modalias", show_model, NULL);
	for (unsigned id = 0; id < cpus_count(); id++) {
		char name[NAME_SIZE];
		format(name, sizeof(name), "cpu%u", id);
		struct text_node *cpu = text_tree_dir(d, name);
		add_topology(cpu, id);
		if (id)
			text_tree_number(cpu, "online", 1);
		text_tree_link(cpu, "node0", text_tree_path(top, "devices/system/node/node0"));
		text_tree_link(text_tree_path(top, "bus/cpu/devices"), name, cpu);
	}
}

/* --- memory --- */

static void show_node_memory(struct text *t, UNUSED const void *arg)
{
	uint64_t total = frame_total_count() * (PAGE_SIZE / 1024),
		 free = frame_free_count() * (PAGE_SIZE / 1024);
	text_printf(t, "Node 0 MemTotal:       %8llu kB\nNode 0 MemFree:        %8llu kB\n",
	    (unsigned long long)total, (unsigned long long)free);
	text_printf(t, "Node 0 MemUsed:        %8llu kB\n", (unsigned long long)(total - free));
}

static void add_nodes(void)
{
	struct text_node *d = text_tree_path(top, "devices/system/node"), *node = text_tree_dir(d, "node0");
	static const char *const sets[] = {
	    "online", "possible", "has_cpu", "has_memory", "has_normal_memory"};
	for (unsigned i = 0; i < ARRAY_SIZE(sets); i++)
		text_tree_number(d, sets[i], 0);
	text_tree_file(node, "cpumap", show_all_mask, NULL);
	text_tree_file(node, "cpulist", show_all_cpus, NULL);
	text_tree_number(node, "distance", 10);
	text_tree_file(node, "meminfo", show_node_memory, NULL);
}

static const char *const large_modes[] = {
    [LARGE_ALWAYS] = "always", [LARGE_ADVISED] = "madvise", [LARGE_NEVER] = "never"};

static void show_large_mode(struct text *t, UNUSED const void *arg)
{
	for (unsigned i = 0; i < ARRAY_SIZE(large_modes); i++)
		text_printf(t, i == vm_large_mode() ? "%s[%s]" : "%s%s", i ? " " : "", large_modes[i]);
	text_printf(t, "\n");
}

static int64_t store_large_mode(UNUSED const void *arg, char *s, size_t n)
{
	size_t len = strlen(s);
	if (len && s[len - 1] == '\n')
		s[len - 1] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(large_modes); i++) {
		if (strcmp(s, large_modes[i]))
			continue;
		vm_set_large_mode((enum large_mode)i);
		return (int64_t)n;
	}
	return -EINVAL;
}

/* Translations of 2 MiB are made of memory as it is: nothing is moved for them (defrag). Files have none. */
static void add_memory_settings(void)
{
	struct text_node *d = text_tree_path(top, "kernel/mm/transparent_hugepage");
	text_tree_setting(d, "enabled", show_large_mode, store_large_mode, NULL);
	text_tree_line(d, "defrag", "always defer defer+madvise madvise [never]");
	text_tree_line(d, "shmem_enabled", "always within_size advise [never] deny force");
	text_tree_number(d, "use_zero_page", 0);
	text_tree_number(d, "hpage_pmd_size", 2 << 20);
	(void)text_tree_path(top, "kernel/mm/hugepages");
}

/* --- disks --- */

static uint64_t ms_of(const _Atomic uint64_t *ns)
{
	return load_relaxed(ns) / NSEC_PER_MSEC;
}

static void show_kind(struct text *t, const struct block_stats *s, enum block_op op)
{
	text_printf(t, "%llu 0 %llu %llu ", (unsigned long long)load_relaxed(&s->ended[op]),
	    (unsigned long long)load_relaxed(&s->sectors[op]), (unsigned long long)ms_of(&s->time[op]));
}

void sysfs_show_disk_stats(struct text *t, const struct block_device *b)
{
	const struct block_stats *s = &b->stats;
	uint64_t all = 0;
	for (unsigned op = 0; op < BLOCK_OPS; op++)
		all += ms_of(&s->time[op]);
	show_kind(t, s, BLOCK_READ);
	show_kind(t, s, BLOCK_WRITE);
	text_printf(t, "%llu %llu %llu ", (unsigned long long)load_relaxed(&s->under_way),
	    (unsigned long long)ms_of(&s->busy), (unsigned long long)all);
	show_kind(t, s, BLOCK_DISCARD);
	text_printf(t, "%llu %llu\n", (unsigned long long)load_relaxed(&s->ended[BLOCK_FLUSH]),
	    (unsigned long long)ms_of(&s->time[BLOCK_FLUSH]));
}

static void show_stats(struct text *t, const void *arg)
{
	sysfs_show_disk_stats(t, arg);
}

static void show_in_flight(struct text *t, const void *arg)
{
	const struct block_device *b = arg;
	text_printf(t, "%8u %8u\n", 0, (unsigned)load_relaxed(&b->stats.under_way));
}

static void add_queue(struct text_node *disk, const struct block_device *b)
{
	struct text_node *d = text_tree_dir(disk, "queue");
	static const char *const sizes[] = {
	    "hw_sector_size", "logical_block_size", "physical_block_size", "minimum_io_size"};
	static const char *const zeros[] = {"add_random", "chunk_sectors", "dax", "discard_zeroes_data",
	    "fua", "max_integrity_segments", "nomerges", "nr_zones", "optimal_io_size", "rotational",
	    "zone_append_max_bytes"};
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
		text_tree_number(d, sizes[i], b->block_size);
	for (unsigned i = 0; i < ARRAY_SIZE(zeros); i++)
		text_tree_number(d, zeros[i], 0);
	text_tree_number(d, "discard_granularity", b->max_discard ? b->block_size : 0);
	text_tree_number(d, "discard_max_bytes", (uint64_t)b->max_discard << SECTOR_SHIFT);
	text_tree_number(d, "discard_max_hw_bytes", (uint64_t)b->max_discard << SECTOR_SHIFT);
	text_tree_number(d, "write_zeroes_max_bytes", (uint64_t)b->max_zeroes << SECTOR_SHIFT);
	text_tree_number(d, "max_sectors_kb", b->max_sectors / 2);
	text_tree_number(d, "max_hw_sectors_kb", b->max_sectors / 2);
	text_tree_number(d, "max_segments", b->max_segments);
	text_tree_number(d, "max_segment_size", PAGE_SIZE);
	text_tree_number(d, "nr_requests", QUEUE_REQUESTS);
	text_tree_number(d, "read_ahead_kb", READ_AHEAD_KIB);
	text_tree_number(d, "iostats", 1);
	text_tree_line(d, "scheduler", "[none]");
	text_tree_line(d, "write_cache", b->has_cache ? "write back" : "write through");
	text_tree_line(d, "zoned", "none");
}

/* The names by which a device is found: in class/KIND, dev/TYPE and its own `subsystem`. */
static void add_device(
    struct text_node *d, const char *class, const char *type, const char *name, uint64_t rdev)
{
	char text[NAME_SIZE];
	struct text_node *all = text_tree_path(text_tree_dir(top, "class"), class);
	format(text, sizeof(text), "%u:%u", DEV_MAJOR(rdev), DEV_MINOR(rdev));
	text_tree_line(d, "dev", text);
	text_tree_link(text_tree_path(text_tree_dir(top, "dev"), type), text, d);
	text_tree_link(all, name, d);
	text_tree_link(d, "subsystem", all);
	format(text, sizeof(text), "MAJOR=%u\nMINOR=%u\nDEVNAME=%s%s", DEV_MAJOR(rdev), DEV_MINOR(rdev), name,
	    strcmp(type, "block") ? "" : "\nDEVTYPE=disk");
	text_tree_line(d, "uevent", text);
}

static void add_disk(const struct block_device *b, unsigned index, uint64_t rdev)
{
	char path[NAME_SIZE];
	format(path, sizeof(path), "devices/virtio%u", index);
	struct text_node *device = text_tree_path(top, path);
	format(path, sizeof(path), "block/%s", b->name);
	struct text_node *d = text_tree_path(device, path);
	text_tree_line(device, "vendor", "0x554d4551");
	text_tree_line(device, "device", "0x0002");
	add_device(d, "block", "block", b->name, rdev);
	text_tree_link(text_tree_dir(top, "block"), b->name, d);
	text_tree_link(d, "device", device);
	text_tree_number(d, "size", b->nsectors);
	text_tree_number(d, "ro", b->read_only);
	static const char *const zeros[] = {
	    "alignment_offset", "capability", "discard_alignment", "hidden", "removable"};
	for (unsigned i = 0; i < ARRAY_SIZE(zeros); i++)
		text_tree_number(d, zeros[i], 0);
	text_tree_number(d, "range", DISK_MINORS_EACH);
	text_tree_number(d, "ext_range", DISK_MINORS_EACH);
	text_tree_file(d, "stat", show_stats, b);
	text_tree_file(d, "inflight", show_in_flight, b);
	(void)text_tree_dir(d, "holders");
	(void)text_tree_dir(d, "slaves");
	add_queue(d, b);
}

static void add_disks(void)
{
	const struct block_device *b;
	uint64_t rdev;
	(void)text_tree_dir(top, "block");
	(void)text_tree_path(top, "class/block");
	(void)text_tree_path(top, "dev/block");
	for (unsigned i = 0; (b = bdev_at(i, &rdev)); i++)
		add_disk(b, i, rdev);
}

/* --- terminals --- */

static void add_terminals(void)
{
	static const struct {
		const char *name;
		uint64_t rdev;
	} all[] = {{"console", DEV_MAKE(5, 1)}, {"ptmx", DEV_MAKE(5, 2)}, {"tty", DEV_MAKE(5, 0)},
	    {"ttyS0", DEV_MAKE(4, 64)}};
	struct text_node *ttys = text_tree_path(top, "devices/virtual/tty");
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		add_device(text_tree_dir(ttys, all[i].name), "tty", "char", all[i].name, all[i].rdev);
	text_tree_line(text_tree_dir(ttys, "console"), "active", "ttyS0");
}

/* --- the file system --- */

static err_t sys_mount(
    struct fs *fs, UNUSED const char *source, UNUSED const char *options, struct vnode **root)
{
	return text_tree_mount(fs, top, root);
}

static err_t sys_statfs(UNUSED struct fs *fs, struct fs_stats *out)
{
	*out = (struct fs_stats){.type = 0x62656572, .block_size = PAGE_SIZE, .name_max = NAME_LEN_MAX};
	return 0;
}

static const struct fs_ops sysfs_ops = {
    .name = "sysfs", .mount = sys_mount, .unmount = text_tree_unmount, .statfs = sys_statfs};

void sysfs_init(void)
{
	top = text_tree_root();
	(void)text_tree_path(top, "fs/cgroup"); /* where distributions mount things */
	(void)text_tree_path(top, "kernel/debug");
	(void)text_tree_path(top, "module");
	add_nodes();
	add_cpus();
	add_memory_settings();
	add_disks();
	add_terminals();
	sysfs_add_pci(top);
	sysfs_add_framebuffer(top);
	fs_register(&sysfs_ops);
}
