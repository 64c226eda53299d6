#pragma once
/* sysfs.h - the machine as files, in Linux's forms: CPUs, memory nodes, disks, terminals. See sysfs.c. */
#include "fs/text_tree.h"

struct block_device;

/* Make it known to mount(2). Once at boot, after the CPUs and disks are there. */
void sysfs_init(void);
/* The numbers of /sys/block/NAME/stat and /proc/diskstats, from the first on, with a space between two. */
void sysfs_show_disk_stats(struct text *t, const struct block_device *b);
/* sysfs_pci.c, called by sysfs_init: PCI functions; and the screen that the boot loader left, whose form is
 * Quire's own (docs/console.md). */
void sysfs_add_pci(struct text_node *top);
void sysfs_add_framebuffer(struct text_node *top);
