#pragma once
/*
 * cpio.h - reads a cpio archive of the "newc" form in memory, entry by entry. Pure: trusts nothing, allocates
 * nothing.
 *
 * Format: cpio(5). A header of 110 ASCII bytes, the name, padding to 4 bytes, the data, padding to 4 bytes;
 * the entry "TRAILER!!!" ends the archive.
 */
#include "lib/err.h"

struct cpio_entry {
	const char *name; /* terminated, in the archive */
	const uint8_t *data;
	uint64_t size;
	uint32_t mode; /* type and permissions, as in struct stat */
};

/* Read the entry at *pos and move *pos behind it. 0; -ENOENT: the archive ends here; -EINVAL: it is damaged.
 */
MUST_CHECK err_t cpio_next(const void *archive, uint64_t len, uint64_t *pos, struct cpio_entry *out);
