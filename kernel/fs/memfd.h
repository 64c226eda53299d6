#pragma once
/* memfd.h - files in memory that have no name: memfd_create(2), copies of them, and their volatility. See
 * memfd.c. */
#include "fs/file.h"

/* fcntl commands, of abi/quire.h. */
enum {
	CONTROL_SNAPSHOT = 0x5110,
	CONTROL_SET_VOLATILE = 0x5111,
	CONTROL_SET_NONVOLATILE = 0x5112,
};

/* Make the place where they are. Once at boot, when tmpfs is registered; let go of it at shutdown, when none
 * is open any more. */
void memfd_init(void);
void memfd_fini(void);

enum memfd_flags {
	MEMFD_SEALABLE = 1 << 0,  /* seals may be added */
	MEMFD_PURGEABLE = 1 << 1, /* may be made volatile */
};
/* An empty memory file, open for reading and writing, with one reference; flags: enum memfd_flags. Shown as
 * "/memfd:NAME (deleted)". It belongs to uid and gid. -EINVAL: a name longer than 249. */
MUST_CHECK err_t memfd_create_file(
    const char *name, unsigned flags, uint32_t uid, uint32_t gid, struct file **out);
/* The same, as native programs make it: of `size` bytes, which nobody changes if it is fixed; kind: of
 * VM_KINDS; with VM_CONTIGUOUS it is fixed, and all pages are made. Shown as "/memfd:vmo (deleted)". -EFBIG,
 * -ENOMEM, -ENOSPC. */
MUST_CHECK err_t memfd_create_vmo(
    unsigned kind, bool fixed, uint64_t size, uint32_t uid, uint32_t gid, struct file **out);
/* Is f open on a file of these? */
bool memfd_is(const struct file *f);
/* A memory file that has what f, a file in memory, has now, without copying a page: sealable, purgeable if f
 * is. -EINVAL: f is not in memory; -EBADF: it is not open for reading; -ENOMEM. */
MUST_CHECK err_t memfd_snapshot(struct file *f, uint32_t uid, uint32_t gid, struct file **out);
/* f, a purgeable file (else -EINVAL), is not held as it is by this open file any more; or it is again:
 * *was_purged says whether pages were taken meanwhile. */
MUST_CHECK err_t memfd_set_volatile(struct file *f);
MUST_CHECK err_t memfd_set_nonvolatile(struct file *f, bool *was_purged);
/* The last reference to f goes: it holds nothing any more. */
void memfd_let_go(struct file *f);
