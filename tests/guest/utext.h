#pragma once
/* utext.h - for test programs that read generated files: a whole file as a string. */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Have `dir`, a file system of generated files of this type, mounted: it is if `name` is there. */
static inline bool have_mounted(const char *dir, const char *type, const char *name)
{
	if (!access(name, F_OK))
		return true;
	mkdir(dir, 0755);
	return mount(type, dir, type, 0, NULL) == 0;
}
static inline bool have_proc_and_sys(void)
{
	return have_mounted("/proc", "proc", "/proc/self") && have_mounted("/sys", "sysfs", "/sys/devices");
}

static char text[65536]; /* of the last slurp */

/* The whole file as a string, in `text`; NULL: it cannot be read. */
static char *slurp(const char *path)
{
	int fd = open(path, O_RDONLY);
	size_t used = 0;
	ssize_t n = -1;
	while (fd >= 0 && (n = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	if (fd >= 0)
		close(fd);
	text[used] = 0;
	return n == 0 ? text : NULL;
}
