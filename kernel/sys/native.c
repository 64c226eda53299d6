/* native.c - Quire's own calls. */
#include "sys/native.h"
#include "proc/process.h"
#include "proc/trace.h"
#include "sys/sys.h"
#include "vm/space.h"

int64_t native_log(enum log_level level, uaddr_t text)
{
	char line[200];
	int64_t len = copy_string_from_user(line, text, sizeof(line));
	if (len == -ENAMETOOLONG) {
		len = sizeof(line) - 1;
		line[len] = 0;
	}
	if (len < 0)
		return len;
	for (int64_t i = 0; i < len; i++)
		if ((uint8_t)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '.';
	log_print(level, "diag", "%s[%u]: %s", current_process()->name, current_process()->pid, line);
	return 0;
}

int64_t sys_diag(uaddr_t text)
{
	return native_log(LOG_INFO, text);
}

int64_t sys_harden(uint32_t guards)
{
	return guards & ~(uint32_t)GUARD_ALL ? -EINVAL : (int64_t)guard_add(guards);
}

int64_t sys_trace(int32_t pid, uint32_t on)
{
	return pid < 0 ? -ESRCH : trace_set((uint32_t)pid, on);
}
