/* log.c - what init says, and the clock. */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <quire/calls.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int system_object = -1;

static void say_to(const char *path, int level, const char *text)
{
	char line[300];
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int n = snprintf(line, sizeof(line), "<%d>init: %s\n", level, text);
	if (fd < 0)
		return;
	while (write(fd, line, (size_t)n) < 0 && errno == EINTR)
		;
	close(fd);
}

void say(int level, const char *format, ...)
{
	char text[256];
	int error = errno;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (system_object >= 0 && !quire_system_log_write(system_object, (unsigned)level, text))
		return;
	if (getpid() == 1)
		say_to("/dev/kmsg", level, text);
	else
		fprintf(stderr, "init: %s\n", text);
	errno = error;
}

uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
