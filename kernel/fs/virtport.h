#pragma once
/* virtport.h - ports of virtio consoles as device files: see virtport.c. */

/* Make device files of the ports that are there and that will come. Once at boot, after devfs_init. */
void virtport_init(void);
/* Make none any more: at shutdown, before devfs_fini. */
void virtport_fini(void);
