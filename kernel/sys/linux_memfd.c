/* linux_memfd.c - files in memory without names: memfd_create(2), and what Quire adds to fcntl for them
 * (abi/quire.h). */
#include "fs/memfd.h"
#include "proc/cred.h"
#include "sys/files.h"

enum {
	MFD_CLOEXEC = 1,
	MFD_ALLOW_SEALING = 2,
	MFD_HUGETLB = 4,
	MFD_PURGEABLE = 0x2000000, /* ours */
	MFD_NAME_MAX = 249,
};
#define MFD_HUGE_SIZES (0x3fu << 26) /* log2 of the page size, with MFD_HUGETLB */

int64_t sys_memfd_create(uaddr_t name, uint32_t flags)
{
	char text[MFD_NAME_MAX + 1];
	struct file *f;
	uint32_t known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_PURGEABLE;
	if (flags & MFD_HUGETLB)
		known |= (uint32_t)MFD_HUGE_SIZES;
	if (flags & ~known)
		return -EINVAL;
	int64_t len = copy_string_from_user(text, name, sizeof(text));
	if (len < 0)
		return len == -ENAMETOOLONG ? -EINVAL : len;
	if (flags & MFD_HUGETLB)
		return -ENOSYS;
	unsigned kind =
	    (flags & MFD_ALLOW_SEALING ? MEMFD_SEALABLE : 0) | (flags & MFD_PURGEABLE ? MEMFD_PURGEABLE : 0);
	const struct cred *c = current_cred();
	err_t err = memfd_create_file(text, kind, c->fsuid, c->fsgid, &f);
	return err ? err : fd_install(f, flags & MFD_CLOEXEC);
}

static int64_t snapshot(struct file *f, uint64_t flags)
{
	struct file *copy;
	if (flags & ~(uint64_t)FILE_CLOEXEC)
		return -EINVAL;
	const struct cred *c = current_cred();
	err_t err = memfd_snapshot(f, c->fsuid, c->fsgid, &copy);
	return err ? err : fd_install(copy, flags & FILE_CLOEXEC);
}

int64_t fcntl_memory(struct file *f, uint32_t command, uint64_t arg)
{
	bool was_purged = false;
	if (command == CONTROL_SNAPSHOT)
		return snapshot(f, arg);
	if (arg)
		return -EINVAL;
	err_t err =
	    command == CONTROL_SET_VOLATILE ? memfd_set_volatile(f) : memfd_set_nonvolatile(f, &was_purged);
	return err ? err : was_purged;
}
