#pragma once
/* utext.h - for test programs that read generated files: a whole file as a string. */
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

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
