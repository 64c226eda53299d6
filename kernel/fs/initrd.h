#pragma once
/*
 * initrd.h - the files of boot module 0, a cpio archive: where programs come from before there is a
 * filesystem.
 *
 * Each regular file has a VM object of kind FILE whose pages are filled from the archive, so that programs
 * map it as they map any file. Files and objects stay for ever; pages are clean and can be reclaimed.
 */
#include "lib/list.h"
#include "vm/object.h"

struct initrd_file {
	struct list link; /* constant after boot, like the rest */
	const char *path; /* absolute, in the archive's own bytes: without the leading slash */
	const uint8_t *data;
	uint64_t size;            /* bytes */
	uint32_t mode;            /* as in struct stat */
	struct vm_object *object; /* npages = size rounded up */
};

/* Read the archive. Without a module, or from where it is damaged on, there are no files; the log says so.
 * Once at boot, after vm_init. */
void initrd_init(void);
/* The regular file with this absolute path (leading and doubled slashes and "./" do not count). -ENOENT. */
MUST_CHECK err_t initrd_lookup(const char *path, struct initrd_file **out);
/* Copy up to n bytes from offset on; returns how many there were. */
size_t initrd_read(const struct initrd_file *f, uint64_t offset, void *buf, size_t n);
