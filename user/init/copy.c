/* copy.c - files that the launcher brings along. */
#include "launcher.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char target[PATH_MAX]; /* what COPY_TO named: the other paths begin here */
static int file = -1;

static const char *failure(const char *what, const char *path)
{
	static char text[PATH_MAX + 128];
	snprintf(text, sizeof(text), "cannot %s %s: %s", what, path, strerror(errno));
	return text;
}

/* Make all directories that lead to path. */
static void make_parents(const char *path)
{
	char part[PATH_MAX];
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = 0;
		mkdir(part, 0755); /* it may be there; if it cannot be made, what follows fails */
	}
}

const char *copy_to(const char *path, const char *name)
{
	struct stat st;
	size_t n = strlen(path);
	bool into = (n && path[n - 1] == '/') || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
	int len = snprintf(target, sizeof(target), into ? "%s/%s" : "%s", path, name);
	if (path[0] != '/' || len >= (int)sizeof(target)) {
		errno = path[0] == '/' ? ENAMETOOLONG : EINVAL;
		return failure("copy to", path);
	}
	make_parents(target);
	return NULL;
}

/* The guest's path of a path below the target; false: too long. */
static bool full_path(const char *path, char *out)
{
	errno = ENAMETOOLONG;
	return snprintf(out, PATH_MAX, *path ? "%s/%s" : "%s", target, path) < PATH_MAX;
}

const char *copy_dir(uint32_t mode, const char *path)
{
	char full[PATH_MAX];
	struct stat st;
	if (!full_path(path, full))
		return failure("make", path);
	if (mkdir(full, mode & 07777) && !(errno == EEXIST && stat(full, &st) == 0 && S_ISDIR(st.st_mode)))
		return failure("make", full);
	return NULL;
}

const char *copy_file(uint32_t mode, const char *path)
{
	char full[PATH_MAX];
	if (file >= 0)
		close(file);
	if (!full_path(path, full))
		return failure("make", path);
	unlink(full); /* it may be running, or a link to elsewhere */
	file = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || fchmod(file, mode & 07777))
		return failure("make", full);
	return NULL;
}

const char *copy_data(const void *data, size_t n)
{
	for (const char *s = data; n;) {
		ssize_t done = write(file, s, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return failure("write to", target);
		s += done;
		n -= (size_t)done;
	}
	return NULL;
}

const char *copy_end(void)
{
	int err = close(file);
	file = -1;
	return err ? failure("write to", target) : NULL;
}

const char *copy_link(const char *path, const char *to)
{
	char full[PATH_MAX];
	if (!full_path(path, full))
		return failure("make", path);
	unlink(full);
	return symlink(to, full) ? failure("make", full) : NULL;
}
