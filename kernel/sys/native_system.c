/* native_system.c - native calls on system objects and interrupts. */
#include "fs/system.h"
#include "proc/power.h"
#include "sys/files.h"
#include "sys/native.h"

enum {
	OBJECT_RIGHTS = RIGHT_SIGNAL | RIGHT_WAIT | RIGHT_DUPLICATE | RIGHT_TRANSFER | RIGHT_INSPECT,
	IRQ_RIGHTS = OBJECT_RIGHTS | RIGHT_WRITE | RIGHT_MANAGE,
	MEMORY_RIGHTS = OBJECT_RIGHTS | RIGHT_READ | RIGHT_WRITE | RIGHT_MAP,
};

/* A descriptor of f, whose reference is taken over; f is NULL after the error err. */
static int64_t install(err_t err, struct file *f, uint32_t rights)
{
	if (err)
		return err;
	int fd = desc_install(current_descs(), &f->object, rights, true, 0, fd_limit());
	file_put(f);
	return fd;
}

int64_t sys_system_carve(struct file *system, int32_t fd, uaddr_t from)
{
	struct quire_scope scope;
	struct file *made = NULL;
	uint32_t rights;
	if (copy_from_user(&scope, from, sizeof(scope)))
		return -EFAULT;
	err_t err = fd_rights_of(fd, system, &rights);
	if (!err)
		err = system_carve(system, &scope, &made);
	return install(err, made, rights);
}

int64_t sys_system_irq(struct file *system, uint32_t line, uint32_t flags)
{
	struct file *irq = NULL;
	err_t err = irq_line_create(system, line, flags, &irq);
	return install(err, irq, IRQ_RIGHTS);
}

int64_t sys_system_memory(struct file *system, uint64_t start, uint64_t len, uint32_t flags)
{
	struct file *memory = NULL;
	err_t err = system_memory(system, start, len, flags, &memory);
	return install(err, memory, MEMORY_RIGHTS);
}

int64_t sys_system_ports(struct file *system, uint32_t first, uint32_t count)
{
	return system_ports(system, first, count);
}

/* Nobody comes back to let go of the object. */
int64_t sys_system_power(struct file *system, uint32_t how)
{
	static const enum power_action actions[] = {[QUIRE_POWER_HALT] = POWER_HALT,
	    [QUIRE_POWER_OFF] = POWER_OFF,
	    [QUIRE_POWER_RESTART] = POWER_RESTART};
	file_put(system);
	if (how >= ARRAY_SIZE(actions))
		return -EINVAL;
	power_request(actions[how]);
}

int64_t sys_system_log_read(struct file *system, uaddr_t record)
{
	return system_log_read(system, record);
}

int64_t sys_system_log_write(UNUSED struct file *system, uint32_t level, uaddr_t text)
{
	return level > LOG_DEBUG ? -EINVAL : native_log((enum log_level)level, text);
}

int64_t sys_irq_bind(struct file *irq, struct file *to, uint64_t tag)
{
	if (!to) {
		irq_line_unbind(irq);
		return 0;
	}
	return tag ? irq_line_bind(irq, to, tag) : -EINVAL;
}

int64_t sys_irq_acknowledge(struct file *irq)
{
	return irq_line_acknowledge(irq);
}
