/* usysfs.c - /sys, and what /proc tells of disks and terminals: what lscpu, lsblk, vmstat and the C library
 * look up. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "utap.h"
#include "utext.h"

static long number(const char *path)
{
	char *end;
	long n = slurp(path) ? strtol(text, &end, 10) : -1;
	return n >= 0 && end > text && *end == '\n' ? n : -1;
}

/* The CPUs in a list of ranges; -1: it is not one. */
static int count_list(const char *path)
{
	int count = 0;
	char *s = slurp(path);
	while (s && *s && *s != '\n') {
		long first = strtol(s, &s, 10), last = first;
		if (*s == '-')
			last = strtol(s + 1, &s, 10);
		count += (int)(last - first + 1);
		if (*s == ',')
			s++;
		else if (*s != '\n')
			return -1;
	}
	return s ? count : -1;
}

static bool cpus(void)
{
	char path[128];
	int online = count_list("/sys/devices/system/cpu/online"), dirs = 0;
	CHECK(online > 0 && online == sysconf(_SC_NPROCESSORS_ONLN));
	CHECK(count_list("/sys/devices/system/cpu/possible") >= online);
	CHECK(count_list("/sys/devices/system/cpu/present") >= online);
	CHECK(sysconf(_SC_NPROCESSORS_CONF) >= online);
	DIR *d = opendir("/sys/devices/system/cpu");
	struct dirent *e;
	CHECK(d);
	while ((e = readdir(d))) {
		unsigned id;
		char rest;
		if (sscanf(e->d_name, "cpu%u%c", &id, &rest) != 1)
			continue;
		dirs++;
		CHECK(e->d_type == DT_DIR);
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/core_id", id);
		CHECK(number(path) >= 0);
		snprintf(
		    path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", id);
		CHECK(count_list(path) >= 1);
	}
	closedir(d);
	CHECK(dirs >= online);
	CHECK(count_list("/sys/devices/system/node/online") >= 1);
	CHECK(count_list("/sys/devices/system/node/node0/cpulist") == online);
	CHECK(slurp("/sys/devices/system/node/node0/meminfo") && !strncmp(text, "Node 0 MemTotal: ", 17));
	return true;
}

/* Each disk has its numbers everywhere the same. */
static bool disk(const char *name)
{
	char path[PATH_MAX], link[300], real[PATH_MAX];
	unsigned major, minor;
	struct stat st;
	snprintf(path, sizeof(path), "/sys/block/%s/dev", name);
	CHECK(slurp(path) && sscanf(text, "%u:%u", &major, &minor) == 2);
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (stat(path, &st) == 0)
		CHECK(S_ISBLK(st.st_mode) && st.st_rdev == makedev(major, minor));
	snprintf(path, sizeof(path), "/sys/block/%s/size", name);
	long size = number(path);
	CHECK(size >= 0);
	snprintf(path, sizeof(path), "/sys/block/%s", name);
	CHECK(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(realpath(path, real));
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major, minor);
	CHECK(realpath(link, path) && !strcmp(real, path));
	snprintf(link, sizeof(link), "/sys/class/block/%s", name);
	CHECK(realpath(link, path) && !strcmp(real, path));
	snprintf(path, sizeof(path), "/sys/block/%s/queue/logical_block_size", name);
	CHECK(number(path) >= 512);
	snprintf(path, sizeof(path), "/sys/block/%s/ro", name);
	CHECK(number(path) >= 0);
	snprintf(path, sizeof(path), "/sys/block/%s/stat", name);
	CHECK(slurp(path));
	int fields = 0;
	for (char *s = strtok(text, " \n"); s; s = strtok(NULL, " \n"))
		fields++;
	CHECK(fields == 17);
	snprintf(path, sizeof(path), "%4u %7u %s ", major, minor, name);
	CHECK(slurp("/proc/diskstats") && strstr(text, path));
	snprintf(path, sizeof(path), " %s\n", name);
	CHECK(slurp("/proc/partitions") && (size == 0 || strstr(text, path)));
	return true;
}

static bool disks(void)
{
	DIR *d = opendir("/sys/block");
	struct dirent *e;
	CHECK(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			CHECK(disk(e->d_name));
	closedir(d);
	CHECK(slurp("/proc/partitions") && !strncmp(text, "major minor  #blocks  name\n\n", 28));
	return true;
}

static bool the_tree(void)
{
	struct stat st;
	struct statfs fs;
	CHECK(statfs("/sys", &fs) == 0 && fs.f_type == 0x62656572);
	CHECK(stat("/sys/devices/system/cpu/online", &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 4096);
	CHECK((st.st_mode & 07777) == 0444);
	CHECK(stat("/sys/devices/system/cpu", &st) == 0 && (st.st_mode & 07777) == 0755);
	CHECK(FAILS_WITH(open("/sys/devices/nothing", O_RDONLY), ENOENT));
	CHECK(FAILS_WITH(mkdir("/sys/devices/made", 0755), EPERM) || errno == EACCES || errno == EROFS);
	CHECK(FAILS_WITH(open("/sys/devices/made", O_CREAT | O_WRONLY, 0644), EACCES) || errno == EPERM ||
	      errno == EROFS);
	CHECK(slurp("/proc/filesystems") && strstr(text, "nodev\tsysfs\n"));
	CHECK(slurp("/sys/class/tty/tty/dev") && !strcmp(text, "5:0\n"));
	return true;
}

static int inherits(void *arg)
{
	return number("/proc/self/oom_score_adj") == *(long *)arg ? 0 : 1;
}

static bool adjustments(void)
{
	long want = 321;
	int fd = open("/proc/self/oom_score_adj", O_RDWR);
	CHECK(number("/proc/self/oom_score_adj") >= 0);
	CHECK(fd >= 0 && write(fd, "321\n", 4) == 4);
	CHECK(number("/proc/self/oom_score_adj") == 321);
	CHECK(child_exits(inherits, &want, 0));
	CHECK(FAILS_WITH(write(fd, "1001", 4), EINVAL));
	CHECK(FAILS_WITH(write(fd, "-1001", 5), EINVAL));
	CHECK(FAILS_WITH(write(fd, "x", 1), EINVAL));
	CHECK(FAILS_WITH(write(fd, "5 5", 3), EINVAL));
	CHECK(write(fd, "1000", 4) == 4 && number("/proc/self/oom_adj") == 15);
	CHECK(number("/proc/self/oom_score") > 600);
	close(fd);
	CHECK(slurp("/proc/self/personality") && strlen(text) == 9);
	CHECK(number("/proc/self/timerslack_ns") == prctl(PR_GET_TIMERSLACK));
	fd = open("/proc/self/timerslack_ns", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "70000", 5) == 5 && prctl(PR_GET_TIMERSLACK) == 70000);
	CHECK(FAILS_WITH(write(fd, "-1", 2), EINVAL));
	close(fd);
	CHECK(slurp("/proc/tty/drivers") && strstr(text, "/dev/tty"));
	return true;
}

/* kB of this line of /proc/meminfo, or -1. */
static long meminfo(const char *name)
{
	char *at = slurp("/proc/meminfo") ? strstr(text, name) : NULL;
	return at && (at == text || at[-1] == '\n') ? strtol(at + strlen(name), NULL, 10) : -1;
}

static bool memory_once(void)
{
	enum { BYTES = 48 << 20, SLACK = 16 << 10 };
	long total = meminfo("MemTotal:"), parts = 0;
	static const char *const names[] = {
	    "MemFree:", "Buffers:", "Cached:", "AnonPages:", "Slab:", "PageTables:"};
	for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
		long n = meminfo(names[i]);
		CHECK(n >= 0 && n <= total);
		parts += n;
	}
	CHECK(parts <= total + total / 20); /* they are asked one after the other */
	CHECK(meminfo("Shmem:") >= 0 && meminfo("Mapped:") >= 0 && meminfo("Dirty:") >= 0);
	long before = meminfo("Committed_AS:"), anon = meminfo("AnonPages:");
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	CHECK(meminfo("Committed_AS:") > before + (BYTES >> 10) - SLACK);
	memset(p, 1, BYTES / 2);
	CHECK(meminfo("AnonPages:") > anon + (BYTES >> 11) - SLACK);
	CHECK(munmap(p, BYTES) == 0);
	long shared = meminfo("Shmem:");
	int fd = memfd_create("memory", 0);
	CHECK(fd >= 0 && ftruncate(fd, BYTES) == 0);
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	memset(p, 1, BYTES / 2);
	CHECK(meminfo("Shmem:") > shared + (BYTES >> 11) - SLACK);
	struct sysinfo info;
	CHECK(sysinfo(&info) == 0 && info.mem_unit > 0);
	CHECK(info.sharedram * info.mem_unit >> 10 >= (BYTES >> 11) && info.freeram < info.totalram);
	CHECK(info.totalram * info.mem_unit >> 10 == (unsigned long)total);
	close(fd);
	CHECK(munmap(p, BYTES) == 0);
	CHECK(slurp("/proc/vmstat") && strstr(text, "nr_dirty ") && strstr(text, "pgpgin "));
	return true;
}

/* Others may give back more at the same moment than is taken here. */
static bool memory(void)
{
	for (int tries = 0; tries < 20; tries++)
		if (memory_once())
			return true;
	return false;
}

/* --- PCI --- */

static unsigned long pci_number(const char *device, const char *file)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", device, file);
	return slurp(path) ? strtoul(text, NULL, 16) : 0;
}

/* Ranges have whole sizes, are where a multiple of them is, and say of what kind they are. */
static bool pci_ranges(const char *device)
{
	char path[PATH_MAX];
	unsigned long long first, last, flags;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource", device);
	char *line = slurp(path);
	int lines = 0;
	for (; line && *line; line = strchr(line, '\n') + 1, lines++) {
		CHECK(sscanf(line, "0x%16llx 0x%16llx 0x%16llx\n", &first, &last, &flags) == 3);
		CHECK(strchr(line, '\n') == line + 3 * 18 + 2);
		if (!flags || lines >= 6)
			continue;
		unsigned long long size = last - first + 1;
		CHECK(last > first && !(size & (size - 1)) && !(first & (size - 1)));
		CHECK(!(flags & 0x100) != !(flags & 0x200)); /* ports or memory */
	}
	CHECK(lines >= 7);
	return true;
}

static bool pci_device(const char *device)
{
	char path[PATH_MAX];
	unsigned char config[256];
	unsigned long vendor = pci_number(device, "vendor"), product = pci_number(device, "device");
	CHECK(vendor && vendor < 0xffff && product <= 0xffff && pci_number(device, "class") <= 0xffffff);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", device);
	int fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && pread(fd, config, sizeof(config), 0) >= 64);
	CHECK(close(fd) == 0);
	CHECK((config[0] | config[1] << 8) == (int)vendor && (config[2] | config[3] << 8) == (int)product);
	unsigned long class = pci_number(device, "class");
	CHECK(config[11] == class >> 16 && config[10] == (class >> 8 & 255) && config[9] == (class & 255));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/uevent", device);
	CHECK(slurp(path) && strstr(text, "PCI_SLOT_NAME=") && strstr(text, device));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/modalias", device);
	char alias[64];
	snprintf(alias, sizeof(alias), "pci:v%08lXd%08lXsv", vendor, product);
	CHECK(slurp(path) && !strncmp(text, alias, strlen(alias)));
	return pci_ranges(device);
}

/* Machines without PCI have no such directory. */
static bool pci(void)
{
	DIR *d = opendir("/sys/bus/pci/devices");
	struct dirent *e;
	bool all_good = true;
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.' && !pci_device(e->d_name)) {
			printf("# %s\n", e->d_name);
			all_good = false;
		}
	if (d)
		closedir(d);
	return all_good;
}

static const struct utest tests[] = {
    {"cpus", cpus},
    {"disks", disks},
    {"the_tree", the_tree},
    {"adjustments", adjustments},
    {"memory", memory},
    {"pci", pci},
};

int main(void)
{
	return utest_proc() && utest_sys() ? UTEST_RUN(tests) : 1;
}
