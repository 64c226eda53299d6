/* mounts.c - what is mounted, and how it is unmounted at the end. */
#define _GNU_SOURCE
#include "init.h"
#include "config.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK     "/dev/vda"
#define NEW_ROOT "/newroot"
#define MOUNTS   "/proc/self/mountinfo"

/* --- the beginning --- */

/* Options that are not the file system's own: mount(8). */
static const struct {
	const char *name;
	unsigned long set, clear;
} flags[] = {
    {"defaults", 0, 0},
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"noatime", MS_NOATIME, 0},
    {"nodiratime", MS_NODIRATIME, 0},
    {"relatime", MS_RELATIME, 0},
    {"strictatime", MS_STRICTATIME, 0},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"bind", MS_BIND, 0},
    {"rbind", MS_BIND | MS_REC, 0},
};

static bool take_flag(const char *word, unsigned long *how)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(flags[i].name, word)) {
			*how = (*how & ~flags[i].clear) | flags[i].set;
			return true;
		}
	return false;
}

/* Flags from the options; what the file system is to see stays in `rest`, which has room for all. */
static unsigned long split_options(const char *options, char *rest)
{
	unsigned long how = 0;
	*rest = 0;
	for (const char *next; *options; options = next) {
		char word[16];
		size_t n = strcspn(options, ",");
		next = options + n + (options[n] == ',');
		snprintf(word, sizeof(word), "%.*s", (int)n, options);
		if (n == 0 || (n < sizeof(word) && take_flag(word, &how)))
			continue;
		if (*rest)
			strcat(rest, ",");
		strncat(rest, options, n);
	}
	return how;
}

/* A directory to mount on may be missing, and what is mounted already stays. */
void mount_at(const struct mount_config *m)
{
	const char *options = m->options ? m->options : "";
	char *rest = malloc(strlen(options) + 1);
	if (!rest) {
		say(SAY_ERROR, "no memory to mount %s", m->directory);
		return;
	}
	unsigned long how = split_options(options, rest);
	mkdir(m->directory, 0755);
	if (mount(m->device, m->directory, m->type, how, *rest ? rest : NULL) && errno != EBUSY)
		say(SAY_WARNING, "cannot mount %s: %s", m->directory, strerror(errno));
	free(rest);
}

/* A volume that cannot be written is better than none. */
static bool mount_disk(void)
{
	mkdir(NEW_ROOT, 0755);
	if (!mount(DISK, NEW_ROOT, "ext2", 0, NULL))
		return true;
	say(SAY_WARNING, "cannot mount for writing %s: %s", DISK, strerror(errno));
	if (!mount(DISK, NEW_ROOT, "ext2", MS_RDONLY, NULL))
		return true;
	say(SAY_WARNING, "cannot mount %s: %s", DISK, strerror(errno));
	return false;
}

void change_root(void)
{
	struct stat disk, root;
	if (stat(DISK, &disk) || stat("/", &root) || root.st_dev == disk.st_rdev || !mount_disk())
		return;
	umount2("/dev", MNT_DETACH);
	if (chdir(NEW_ROOT)) {
		say(SAY_WARNING, "cannot enter %s: %s", NEW_ROOT, strerror(errno));
		return;
	}
	if (mount(".", "/", NULL, MS_MOVE, NULL) && errno != EINVAL)
		say(SAY_WARNING, "cannot move %s: %s", NEW_ROOT, strerror(errno));
	if (chroot(".") || chdir("/"))
		say(SAY_WARNING, "cannot change the root to %s: %s", DISK, strerror(errno));
}

/* --- the end --- */

/* The list of mounts, whatever its length; NULL: it cannot be read. */
static char *read_mounts(void)
{
	enum { STEP = 4096 };
	char *list = NULL, *more;
	size_t have = 0;
	ssize_t n = -1;
	int fd = open(MOUNTS, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (more = realloc(list, have + STEP + 1))) {
		list = more;
		n = read(fd, list + have, STEP);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	if (n) {
		free(list);
		return NULL;
	}
	list[have] = 0;
	return list;
}

/* The fifth word of a line, where it is mounted; blanks in it are written \040. The line is changed. */
static char *mount_point(char *line)
{
	for (int i = 0; i < 4 && line; i++) {
		line = strchr(line, ' ');
		line += line != NULL;
	}
	if (!line)
		return NULL;
	char *out = line;
	for (const char *in = line; *in && *in != ' '; out++) {
		if (in[0] == '\\' && in[1] && in[2] && in[3]) {
			*out = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 4;
		} else {
			*out = *in++;
		}
	}
	*out = 0;
	return line;
}

/* What is in use though nobody runs any more goes when the kernel lets go of it. */
static void unmount(const char *where)
{
	if (!strcmp(where, "/") || !umount2(where, 0) || errno == EINVAL || errno == ENOENT)
		return;
	say(SAY_WARNING, "cannot unmount %s: %s", where, strerror(errno));
	umount2(where, MNT_DETACH);
}

void unmount_all(void)
{
	char *list = read_mounts();
	if (!list) {
		mkdir("/proc", 0555);
		mount("proc", "/proc", "proc", 0, NULL);
		list = read_mounts();
	}
	if (!list)
		say(SAY_WARNING, "cannot read %s: %s", MOUNTS, strerror(errno));
	for (char *line;
	     list && (line = strrchr(list, '\n'));) { /* later mounts are on top of earlier ones */
		*line = 0;
		char *before = strrchr(list, '\n');
		char *where = mount_point(before ? before + 1 : list);
		if (where)
			unmount(where);
		if (!before)
			break;
	}
	free(list);
	mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL); /* it cannot be unmounted, but be clean */
}
