#pragma once
/* sysfs.h - the machine as files, in Linux's forms: CPUs, memory nodes, disks, terminals. See sysfs.c. */
#include "fs/text.h"

struct block_device;

/* Make it known to mount(2). Once at boot, after the CPUs and disks are there. */
void sysfs_init(void);
/* The numbers of /sys/block/NAME/stat and /proc/diskstats, from the first on, with a space between two. */
void sysfs_show_disk_stats(struct text *t, const struct block_device *b);
