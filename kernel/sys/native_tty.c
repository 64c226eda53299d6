/* native_tty.c - native calls on terminals that a process drives. */
#include "fs/tty_port.h"
#include "sys/files.h"
#include "sys/native.h"

enum {
	PORT_RIGHTS = RIGHT_READ | RIGHT_WRITE | RIGHT_MANAGE | RIGHT_SIGNAL | RIGHT_WAIT | RIGHT_DUPLICATE |
		      RIGHT_TRANSFER | RIGHT_INSPECT
};

int64_t sys_ttyport_create(UNUSED struct file *system, uint32_t number)
{
	struct file *f;
	err_t err = tty_port_create(number, &f);
	if (err)
		return err;
	int fd = desc_install(current_descs(), &f->object, PORT_RIGHTS, true, 0, fd_limit());
	file_put(f);
	return fd;
}

/* What the driver says is good even if it cannot hear the answer: it only has to ask again. */
int64_t sys_ttyport_exchange(struct file *port, uaddr_t at)
{
	struct quire_ttyport x;
	if (copy_from_user(&x, at, sizeof(x)))
		return -EFAULT;
	tty_port_exchange(port, &x);
	return copy_to_user(at, &x, sizeof(x));
}

int64_t sys_ttyport_fault(struct file *port, uint32_t fault, uint32_t byte)
{
	return byte > UINT8_MAX ? -EINVAL : tty_port_fault(port, (enum quire_tty_fault)fault, (uint8_t)byte);
}
