/* linux_power.c - reboot(2). */
#include "proc/cred.h"
#include "proc/power.h"
#include "sys/sys.h"

enum { RESTART_TEXT_MAX = 256 };
enum reboot_magic {
	MAGIC_1 = 0xfee1dead,
	MAGIC_2 = 672274793,
	MAGIC_2A = 85072278,
	MAGIC_2B = 369367448,
	MAGIC_2C = 537993216,
};
enum reboot_command {
	REBOOT_CAD_OFF = 0,
	REBOOT_RESTART = 0x01234567,
	REBOOT_POWER_OFF = 0x4321fedc,
	REBOOT_CAD_ON = 0x89abcdef,
	REBOOT_RESTART2 = 0xa1b2c3d4,
	REBOOT_HALT = 0xcdef0123,
};

/* Linux's order: rights before arguments. Ctrl-Alt-Del, for which CAD decides what it does, reaches no kernel
 * that has no keyboard. */
int64_t sys_reboot(uint32_t magic1, uint32_t magic2, uint32_t command, uaddr_t arg)
{
	char text[RESTART_TEXT_MAX];
	if (!current_can(CAP_SYS_BOOT))
		return -EPERM;
	if (magic1 != MAGIC_1 ||
	    (magic2 != MAGIC_2 && magic2 != MAGIC_2A && magic2 != MAGIC_2B && magic2 != MAGIC_2C))
		return -EINVAL;
	switch (command) {
	case REBOOT_CAD_OFF:
	case REBOOT_CAD_ON:
		return 0;
	case REBOOT_HALT:
		power_request(POWER_HALT);
	case REBOOT_POWER_OFF:
		power_request(POWER_OFF);
	case REBOOT_RESTART2:
		if (copy_string_from_user(text, arg, sizeof(text)) == -EFAULT)
			return -EFAULT;
		power_request(POWER_RESTART);
	case REBOOT_RESTART:
		power_request(POWER_RESTART);
	default:
		return -EINVAL;
	}
}
