/* settings.c - the configuration's file: config.c reads its text. */
#include "config.h"
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static struct config settings;
static char text[CONFIG_BYTES + 1];
static const char *file; /* that is read */

static void complain(unsigned line, const char *what, const char *word)
{
	say(SAY_ERROR, *word ? "%s:%u: %s: %s" : "%s:%u: %s", file, line, what, word);
}

/* The whole file; -1: errno says why not. */
static ssize_t read_text(int fd)
{
	size_t have = 0;
	ssize_t n;
	while ((n = read(fd, text + have, sizeof(text) - have)) > 0 || (n < 0 && errno == EINTR))
		have += n > 0 ? (size_t)n : 0;
	if (n == 0 && have <= CONFIG_BYTES)
		return (ssize_t)have;
	errno = n ? errno : EFBIG;
	return -1;
}

const struct config *settings_read(int dir, const char *path)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read_text(fd);
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		if (fd >= 0 || error != ENOENT)
			say(SAY_ERROR, "cannot read %s: %s", path, strerror(error));
		errno = error;
		return NULL;
	}
	file = path;
	if (!config_parse(&settings, text, (size_t)n, complain))
		return &settings;
	errno = EINVAL;
	return NULL;
}
