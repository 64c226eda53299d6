/* linux_tty.c - calls about terminals; all others are requests of ioctl (fs/tty_ioctl.c). */
#include "fs/tty.h"
#include "proc/cred.h"
#include "sys/sys.h"

/* Hang up the caller's controlling terminal, if it has one. */
int64_t sys_vhangup(void)
{
	if (!current_can(CAP_SYS_TTY_CONFIG))
		return -EPERM;
	struct tty *t = tty_proc->current();
	if (t) {
		tty_hang_up(t, false);
		tty_put(t);
	}
	return 0;
}
