/* uprocmem.c - /proc/PID/mem: the memory of a process as a file, for those who may debug it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "utap.h"

enum { PAGE = 4096, NOBODY = 65534 };

static int open_mem(pid_t pid, int flags)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	return open(path, flags);
}

static char *map(int prot, int flags, int fd)
{
	char *p = mmap(NULL, 2 * PAGE, prot, flags, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

static off_t at(const void *p)
{
	return (off_t)(uintptr_t)p;
}

static bool positions_are_addresses(void)
{
	char data[] = "some bytes", buf[16] = "";
	int fd = open_mem(getpid(), O_RDWR);
	CHECK(fd >= 0);
	CHECK(lseek(fd, at(data), SEEK_SET) == at(data));
	CHECK(read(fd, buf, 5) == 5 && !memcmp(buf, "some ", 5));
	CHECK(lseek(fd, 0, SEEK_CUR) == at(data + 5));
	CHECK(read(fd, buf, 5) == 5 && !memcmp(buf, "bytes", 5));
	CHECK(pwrite(fd, "ANY", 3, at(data)) == 3 && !strcmp(data, "ANYe bytes"));
	CHECK(FAILS_WITH(lseek(fd, 0, SEEK_END), EINVAL));
	CHECK(FAILS_WITH(pread(fd, buf, 1, -1), EINVAL));
	close(fd);
	return true;
}

static bool holes_cannot_be_read(void)
{
	char *p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1), buf[2 * PAGE];
	int fd = open_mem(getpid(), O_RDWR);
	CHECK(p && fd >= 0 && munmap(p + PAGE, PAGE) == 0);
	memset(p, 7, PAGE);
	CHECK(pread(fd, buf, 2 * PAGE, at(p)) == PAGE && buf[0] == 7 && buf[PAGE - 1] == 7);
	CHECK(pread(fd, buf, 10, at(p + PAGE - 4)) == 4);
	CHECK(FAILS_WITH(pread(fd, buf, 1, at(p + PAGE)), EIO));
	CHECK(FAILS_WITH(pwrite(fd, buf, 1, at(p + PAGE)), EIO));
	CHECK(FAILS_WITH(read(fd, buf, 1), EIO)); /* address 0 */
	CHECK(FAILS_WITH(pread(fd, (char *)BAD, 1, at(p)), EFAULT));
	CHECK(pread(fd, buf, 0, at(p + PAGE)) == 0);
	munmap(p, PAGE);
	close(fd);
	return true;
}

/* What the program forbade itself. */
static bool rights_are_overridden(void)
{
	char *p = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1), buf[4];
	int fd = open_mem(getpid(), O_RDWR);
	CHECK(p && fd >= 0);
	strcpy(p, "old");
	CHECK(mprotect(p, PAGE, PROT_NONE) == 0);
	CHECK(pread(fd, buf, 4, at(p)) == 4 && !strcmp(buf, "old"));
	CHECK(mprotect(p, PAGE, PROT_READ) == 0);
	CHECK(pwrite(fd, "new", 4, at(p)) == 4 && !strcmp(p, "new"));
	munmap(p, 2 * PAGE);
	close(fd);
	return true;
}

/* Private memory of a file becomes a copy, the file stays what it is; what is shared cannot be written
 * against its rights. */
static bool files_stay(void)
{
	char name[] = "/tmp/uprocmem.XXXXXX", buf[4];
	int file, fd = open_mem(getpid(), O_RDWR);
	mkdir("/tmp", 01777);
	file = mkstemp(name);
	CHECK(file >= 0 && fd >= 0 && unlink(name) == 0);
	CHECK(ftruncate(file, 2 * PAGE) == 0 && pwrite(file, "abc", 3, 0) == 3);
	char *private = map(PROT_READ, MAP_PRIVATE, file), *shared = map(PROT_READ, MAP_SHARED, file);
	CHECK(private && shared && private[0] == 'a');
	CHECK(pwrite(fd, "x", 1, at(private)) == 1 && private[0] == 'x' && shared[0] == 'a');
	CHECK(FAILS_WITH(pwrite(fd, "x", 1, at(shared)), EIO));
	CHECK(pread(file, buf, 3, 0) == 3 && !memcmp(buf, "abc", 3));
	CHECK(mprotect(shared, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(pwrite(fd, "y", 1, at(shared)) == 1 && pread(file, buf, 1, 0) == 1 && buf[0] == 'y');
	munmap(private, 2 * PAGE);
	munmap(shared, 2 * PAGE);
	close(file);
	close(fd);
	return true;
}

static int as_nobody(void *arg)
{
	(void)arg;
	UCHECK(sc(setresgid, NOBODY, NOBODY, NOBODY) == 0 && sc(setresuid, NOBODY, NOBODY, NOBODY) == 0);
	UCHECK(FAILS_WITH(open_mem(getppid(), O_RDONLY), EACCES));
	return 0;
}

static bool others_have_no_right(void)
{
	CHECK(child_exits(as_nobody, NULL, 0));
	return true;
}

/* A child that waits until it is told what to do: to run another program, or to end. */
static pid_t start_child(int fds[2])
{
	pid_t pid = pipe(fds) ? -1 : fork();
	if (pid == 0) {
		char what = 0;
		close(fds[1]);
		if (read(fds[0], &what, 1) == 1 && what == 'x')
			execl("/proc/self/exe", "uprocmem", "wait", NULL);
		_exit(0);
	}
	return pid;
}

/* Who has it open has the memory of then, and does not keep it. */
static bool memory_of_then(void)
{
	static char here[] = "here";
	char buf[8];
	int fds[2], status;
	pid_t pid = start_child(fds);
	CHECK(pid > 0);
	int fd = open_mem(pid, O_RDONLY);
	CHECK(fd >= 0 && pread(fd, buf, 5, at(here)) == 5 && !strcmp(buf, "here"));
	CHECK(write(fds[1], "x", 1) == 1);
	for (int tries = 0; pread(fd, buf, 5, at(here)) == 5 && tries < 1000; tries++)
		usleep(10000);
	CHECK(pread(fd, buf, 5, at(here)) == 0); /* that program is gone */
	int second = open_mem(pid, O_RDONLY);
	CHECK(second >= 0);
	close(fds[0]);
	close(fds[1]);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	CHECK(pread(second, buf, 5, at(here)) == 0);
	CHECK(FAILS_WITH(open_mem(pid, O_RDONLY), ENOENT));
	close(second);
	close(fd);
	return true;
}

static bool the_dead_have_none(void)
{
	siginfo_t info;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
	CHECK(FAILS_WITH(open_mem(pid, O_RDONLY), ESRCH));
	CHECK(waitpid(pid, NULL, 0) == pid);
	return true;
}

static const struct utest tests[] = {{"positions are addresses", positions_are_addresses},
    {"holes cannot be read", holes_cannot_be_read}, {"rights are overridden", rights_are_overridden},
    {"files stay", files_stay}, {"others have no right", others_have_no_right},
    {"memory of then", memory_of_then}, {"the dead have none", the_dead_have_none}};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "wait"))
		for (;;)
			pause();
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
