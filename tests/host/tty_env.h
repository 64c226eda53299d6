#pragma once
/* tty_env.h - for host tests of terminals: devices and devpts mounted, ptys without system calls. */
#include "arch/usercopy.h"
#include "fs/tty.h"
#include "fs_env.h"
#include "vm_test.h"

#define TTY_USER_AT GIB(1)

static struct vm_space *tty_user;

static inline void tty_env_init(uint64_t nframes)
{
	fs_env_init(nframes);
	MUST(tty_init_devices());
	MUST(pty_init());
	while (dentry_shrink(100))
		;
}

static inline void tty_env_begin(void)
{
	fs_env_begin();
	MUST(vfs_mkdir(&fs_me, NULL, "/dev", 0755));
	MUST(vfs_mount(&fs_me, "none", "/dev", "devtmpfs", 0, ""));
	MUST(vfs_mount(&fs_me, "none", "/dev/pts", "devpts", 0, ""));
	tty_user = new_space();
	map_fixed(tty_user, TTY_USER_AT, 1, 0, NULL);
}

static inline void tty_env_end(void)
{
	CHECK_EQ(pty_count(), 0);
	done_with(tty_user);
	MUST(vfs_umount(&fs_me, "/dev/pts", 0));
	MUST(vfs_umount(&fs_me, "/dev", 0));
	fs_env_end();
}

static inline void tty_env_fini(void)
{
	pty_fini();
	devfs_fini();
}

/* A request with an int behind its argument. Each CPU has its own place in the user's memory. */
static inline int64_t tty_request(struct file *f, uint32_t request, int32_t *value)
{
	uaddr_t at = TTY_USER_AT + cpu_id() * 64;
	host_use_space(tty_user);
	MUST(copy_to_user(at, value, sizeof(*value)));
	int64_t result = file_ioctl(f, request, at);
	MUST(copy_from_user(value, at, sizeof(*value)));
	host_use_space(NULL);
	return result;
}

/* A master whose slave is unlocked, and the slave's name. */
static inline err_t tty_open_master(unsigned flags, struct file **master, char name[32])
{
	int32_t number, zero = 0;
	err_t err = vfs_open(&fs_me, NULL, "/dev/ptmx", FILE_RDWR | flags, 0, master);
	if (err)
		return err;
	CHECK_EQ(tty_request(*master, 0x80045430, &number), 0); /* TIOCGPTN */
	CHECK_EQ(tty_request(*master, 0x40045431, &zero), 0);   /* TIOCSPTLCK */
	snprintf(name, 32, "/dev/pts/%d", number);
	return 0;
}
