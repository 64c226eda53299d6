/* linux_handle.c - names of files that outlive a mount. No file system here offers them, so the calls check
 * what they are given and say so. */
#include "proc/cred.h"
#include "sys/files.h"

enum { HANDLE_MAX = 128 }; /* bytes: MAX_HANDLE_SZ */

/* Head of struct file_handle of the ABI. */
struct sys_handle {
	uint32_t bytes;
	int32_t type;
};

int64_t sys_name_to_handle_at(
    int32_t dirfd, uaddr_t name, UNUSED uaddr_t handle, UNUSED uaddr_t mount_id, int32_t flags)
{
	struct at_call a;
	struct path p;
	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int walk = (flags & AT_EMPTY_PATH) | (flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW);
	err_t err = at_begin_path(&a, dirfd, name, walk, &p);
	if (err)
		return err;
	at_end_path(&a, &p);
	return -EOPNOTSUPP;
}

int64_t sys_open_by_handle_at(int32_t mount_fd, uaddr_t handle, UNUSED int32_t flags)
{
	struct sys_handle h;
	uint8_t data[HANDLE_MAX];
	struct file *f;
	if (!current_can(CAP_DAC_READ_SEARCH))
		return -EPERM;
	if (copy_from_user(&h, handle, sizeof(h)))
		return -EFAULT;
	if (h.bytes > HANDLE_MAX || h.bytes == 0)
		return -EINVAL;
	if (copy_from_user(data, handle + sizeof(h), h.bytes))
		return -EFAULT;
	if (mount_fd != AT_FDCWD) {
		err_t err = fd_file(mount_fd, &f);
		if (err)
			return err;
		file_put(f);
	}
	return -ESTALE;
}
