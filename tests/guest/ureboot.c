/* ureboot.c - reboot(2) as far as a test survives it: who may call, and what is refused. */
#include "utap.h"
#include <unistd.h>

enum {
	LINUX_REBOOT_MAGIC1 = (int)0xfee1dead,
	LINUX_REBOOT_MAGIC2 = 672274793,
	LINUX_REBOOT_MAGIC2A = 85072278,
	LINUX_REBOOT_MAGIC2B = 369367448,
	LINUX_REBOOT_MAGIC2C = 537993216,
	LINUX_REBOOT_CMD_CAD_OFF = 0,
	LINUX_REBOOT_CMD_RESTART2 = (int)0xa1b2c3d4,
};

static long call_reboot(int magic1, int magic2, int command, const void *arg)
{
	return syscall(SYS_reboot, magic1, magic2, command, arg);
}

/* Rights come first; a process that has been stripped of them by its surroundings cannot see the rest. */
static bool may_reboot(void)
{
	return !FAILS_WITH(call_reboot(0, 0, 0, NULL), EPERM);
}

static bool magic_numbers(void)
{
	if (!may_reboot())
		return true;
	CHECK(FAILS_WITH(call_reboot(0, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL), EINVAL));
	CHECK(FAILS_WITH(call_reboot(LINUX_REBOOT_MAGIC1, 0, LINUX_REBOOT_CMD_CAD_OFF, NULL), EINVAL));
	CHECK(FAILS_WITH(call_reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC1, 0, NULL), EINVAL));
	return true;
}

static bool commands(void)
{
	static const int magic2[] = {
	    LINUX_REBOOT_MAGIC2, LINUX_REBOOT_MAGIC2A, LINUX_REBOOT_MAGIC2B, LINUX_REBOOT_MAGIC2C};
	if (!may_reboot())
		return true;
	for (size_t i = 0; i < sizeof(magic2) / sizeof(magic2[0]); i++)
		CHECK(FAILS_WITH(call_reboot(LINUX_REBOOT_MAGIC1, magic2[i], 1, NULL), EINVAL));
	CHECK(FAILS_WITH(
	    call_reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART2, (void *)8),
	    EFAULT));
	return true;
}

static int as_nobody(void *arg)
{
	(void)arg;
	if (setuid(65534))
		return 2;
	return !FAILS_WITH(call_reboot(0, 0, 0, NULL), EPERM) ||
	       !FAILS_WITH(
		   call_reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL),
		   EPERM);
}

static bool rights(void)
{
	if (geteuid() == 0)
		CHECK(child_exits(as_nobody, NULL, 0));
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"reboot: wrong magic numbers", magic_numbers},
	    {"reboot: wrong commands", commands},
	    {"reboot: only the superuser", rights},
	};
	return UTEST_RUN(tests);
}
