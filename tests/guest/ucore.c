/*
 * ucore.c - core files, on the ext2 volume /dev/vda (tools/scratch_disk.py, kind `core`). Only in the guest,
 * as init=/bin/ucore: on other machines core files go where their owner wants them. As `ucore threads` it is
 * the program that crashes with several threads; tools/core_files.py and gdb look at what it leaves.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "utap.h"

enum { PAGE = 4096, USER = 1000, THREADS = 4 };

volatile uint64_t ucore_marker = 0x5eed5eed5eed5eed;
volatile char ucore_text[] = "what the core file is to show";

static bool put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0644);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	if (fd >= 0)
		close(fd);
	return good;
}

static bool set_pattern(const char *text)
{
	return put("/proc/sys/kernel/core_pattern", text);
}

static void limit_core(rlim_t bytes)
{
	struct rlimit l = {bytes, RLIM_INFINITY};
	setrlimit(RLIMIT_CORE, &l);
}

/* --- the program that crashes with threads --- */

static _Atomic unsigned ready;
static volatile int *volatile nowhere = (volatile int *)16;

/* The call in the function itself: the C library's code has nothing by which gdb could find who called it. */
static inline long call(long number, const void *a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall"
			 : "+a"(number)
			 : "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return number;
}

__attribute__((noipa)) static void *wait_for_ever(void *arg)
{
	static const int word;
	ready++;
	while (arg)
		call(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, 0);
	return NULL;
}

__attribute__((noipa)) static void *run_for_ever(void *arg)
{
	uint64_t value = 0x0123456789abcdef;
	__asm__ volatile("movq %0, %%xmm9" : : "r"(value) : "xmm9");
	ready++;
	while (arg)
		__asm__ volatile("" : : : "memory");
	return NULL;
}

__attribute__((noipa)) static void *read_for_ever(void *arg)
{
	char c;
	ready++;
	while (call(SYS_read, (void *)(long)*(int *)arg, (long)&c, 1, 0) != 1)
		;
	return NULL;
}

__attribute__((noipa)) static int crash_inner(volatile int *where)
{
	*where = 1;
	return *where;
}

__attribute__((noipa)) static int crash_outer(volatile int *where)
{
	return crash_inner(where) + (int)ucore_marker;
}

static int crash_with_threads(void)
{
	int ends[2];
	pthread_t t;
	limit_core(RLIM_INFINITY);
	if (pipe(ends) || chdir("/mnt/threads"))
		return 1;
	if (pthread_create(&t, NULL, wait_for_ever, ends) || pthread_create(&t, NULL, run_for_ever, ends) ||
	    pthread_create(&t, NULL, read_for_ever, &ends[0]))
		return 1;
	while (ready < THREADS - 1)
		sched_yield();
	return crash_outer(nowhere);
}

static int run_threads(void *arg)
{
	char *argv[] = {"/bin/ucore", "threads", NULL};
	(void)arg;
	execv(argv[0], argv);
	return 1;
}

/* --- children that die, and what they leave --- */

static char *const spot = (char *)0x20000000; /* where children map what is looked for in their files */

struct death {
	const char *dir;
	rlim_t limit;
	int signal;
	bool (*prepare)(void); /* NULL: nothing */
	uid_t uid;
};

static int die(void *arg)
{
	const struct death *d = arg;
	limit_core(d->limit);
	if (chdir(d->dir) || (d->uid && setuid(d->uid)) || (d->prepare && !d->prepare()))
		return 1;
	kill(getpid(), d->signal);
	return 2;
}

/* The wait status of a death; what the parent learns by SIGCHLD's information must agree. */
static int status_of(const struct death *d)
{
	siginfo_t info;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(die((void *)d));
	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) && errno == EINTR)
		;
	int status = -1;
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || info.si_status != WTERMSIG(status))
		return -1;
	return (info.si_code == CLD_DUMPED) == !!WCOREDUMP(status) ? status : -1;
}

static bool leaves_core(const struct death *d)
{
	int status = status_of(d);
	return status != -1 && WTERMSIG(status) == d->signal && WCOREDUMP(status);
}

static bool leaves_none(const struct death *d)
{
	int status = status_of(d);
	return status != -1 && WTERMSIG(status) == d->signal && !WCOREDUMP(status);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static off_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) ? -1 : st.st_size;
}

/* The header of the segment that has `address` in the core file. */
static bool find_segment(const char *path, uint64_t address, Elf64_Phdr *out)
{
	Elf64_Ehdr h;
	bool found = false;
	int fd = open(path, O_RDONLY);
	if (read(fd, &h, sizeof(h)) == sizeof(h))
		for (unsigned i = 0; !found && i < h.e_phnum; i++)
			found = pread(fd, out, sizeof(*out), (off_t)(h.e_phoff + i * sizeof(*out))) ==
				    sizeof(*out) &&
				out->p_type == PT_LOAD && out->p_vaddr <= address &&
				address < out->p_vaddr + out->p_memsz;
	close(fd);
	return found;
}

/* --- tests --- */

static bool volume(void)
{
	static const char *const dirs[] = {
	    "/mnt/threads", "/mnt/named", "/mnt/plain", "/mnt/small", "/mnt/tmp"};
	mkdir("/mnt", 0755);
	CHECK(utest_proc());
	CHECK(mount("/dev/vda", "/mnt", "ext2", 0, NULL) == 0);
	for (unsigned i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		CHECK(mkdir(dirs[i], 0777) == 0 && chmod(dirs[i], 01777) == 0);
	return true;
}

static bool threads(void)
{
	int status = child_status(run_threads, NULL);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && WCOREDUMP(status));
	return exists("/mnt/threads/core");
}

static bool signals(void)
{
	static const int dumping[] = {
	    SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};
	static const int others[] = {SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1, SIGALRM, SIGPIPE};
	struct death d = {.dir = "/mnt/plain", .limit = RLIM_INFINITY};
	for (unsigned i = 0; i < sizeof(dumping) / sizeof(dumping[0]); i++) {
		d.signal = dumping[i];
		CHECK(leaves_core(&d) && exists("/mnt/plain/core") && unlink("/mnt/plain/core") == 0);
	}
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		d.signal = others[i];
		CHECK(leaves_none(&d) && !exists("/mnt/plain/core"));
	}
	return true;
}

static bool limits(void)
{
	struct death d = {.dir = "/mnt/plain", .limit = 0, .signal = SIGABRT};
	CHECK(leaves_none(&d));
	d.limit = PAGE - 1;
	CHECK(leaves_none(&d) && !exists("/mnt/plain/core"));
	d.limit = 3 * PAGE;
	CHECK(leaves_core(&d));
	CHECK(size_of("/mnt/plain/core") > 0 && size_of("/mnt/plain/core") <= 16 * PAGE);
	return unlink("/mnt/plain/core") == 0;
}

static bool names(void)
{
	struct death d = {.dir = "/", .limit = RLIM_INFINITY, .signal = SIGABRT};
	CHECK(set_pattern("/mnt/named/%e.%s.%u.%g.%c.%%.%q%"));
	CHECK(leaves_core(&d) && exists("/mnt/named/ucore.6.0.0.18446744073709551615.%."));
	CHECK(set_pattern("/mnt/named/x\n") && put("/proc/sys/kernel/core_uses_pid", "1"));
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(die(&d));
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && WCOREDUMP(status));
	char path[64];
	snprintf(path, sizeof(path), "/mnt/named/x.%d", pid);
	CHECK(exists(path));
	CHECK(put("/proc/sys/kernel/core_uses_pid", "0"));
	return set_pattern("core");
}

/* --- a program that gets the file --- */

/* As `ucore helper WORD...`, started by the kernel: keeps what it reads, and notes how it was started. */
static int helper(int argc, char **argv, char **envp)
{
	static char buf[65536];
	struct rlimit core;
	char here[64] = "";
	ssize_t n;
	int out = fcntl(1, F_GETFD), err = fcntl(2, F_GETFD); /* none */
	int fd = open("/mnt/named/piped", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	while ((n = read(0, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			return 1;
	FILE *f = fopen("/mnt/named/note.new", "w");
	if (!f || n || getrlimit(RLIMIT_CORE, &core) || !getcwd(here, sizeof(here)))
		return 1;
	fprintf(f, "%d %s %s|uid %d cwd %s env %d core %d %d fds %d %d", argc, argv[2],
	    argc > 3 ? argv[3] : "-", getuid(), here, envp[0] != NULL, (int)core.rlim_cur, (int)core.rlim_max,
	    out, err);
	fclose(f);
	return rename("/mnt/named/note.new", "/mnt/named/note");
}

/* The helper ends when it likes, unless the kernel waits for it. */
static bool read_note(char *out, size_t size)
{
	int fd = -1;
	for (int tries = 0; fd < 0 && tries < 1000; tries++) {
		fd = open("/mnt/named/note", O_RDONLY);
		if (fd < 0)
			usleep(10000);
	}
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
	out[n > 0 ? n : 0] = 0;
	close(fd);
	return n > 0 && unlink("/mnt/named/note") == 0;
}

static bool map_spot(void)
{
	char *p =
	    mmap(spot, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (p == MAP_FAILED)
		return false;
	memset(p, 's', PAGE);
	memset(p + 63 * PAGE, 'e', PAGE); /* zeros between */
	return true;
}

static bool has_spot(const char *path)
{
	char first, middle, last;
	Elf64_Phdr h;
	if (!find_segment(path, (uint64_t)spot, &h) || h.p_filesz != 64 * PAGE)
		return false;
	int fd = open(path, O_RDONLY);
	bool good = pread(fd, &first, 1, (off_t)h.p_offset) == 1 &&
		    pread(fd, &middle, 1, (off_t)h.p_offset + 9 * PAGE) == 1 &&
		    pread(fd, &last, 1, (off_t)h.p_offset + 64 * PAGE - 1) == 1;
	close(fd);
	return good && first == 's' && middle == 0 && last == 'e';
}

static bool piped(void)
{
	/* Without a file the limit does not count; the process's user could not make one there. */
	struct death d = {.dir = "/", .limit = 0, .signal = SIGSEGV, .prepare = map_spot, .uid = USER};
	char note[256];
	CHECK(set_pattern("|/bin/ucore helper  %s-%e %u%%%p\n") && put("/proc/sys/fs/suid_dumpable", "1"));
	CHECK(leaves_core(&d) && read_note(note, sizeof(note)));
	CHECK(!strncmp(note, "4 11-ucore 1000%", 16) || !printf("# %s\n", note));
	CHECK(strstr(note, "|uid 0 cwd / env 0 core 1 1 fds -1 -1") || !printf("# %s\n", note));
	return true;
}

/* What the program got is what a file would have been, byte for byte but for holes. */
static bool piped_is_a_core_file(void)
{
	CHECK(has_spot("/mnt/named/piped"));
	return unlink("/mnt/named/piped") == 0;
}

static bool piped_and_refused(void)
{
	struct death d = {.dir = "/", .limit = 1, .signal = SIGSEGV};
	char note[256];
	CHECK(leaves_none(&d)); /* as one of these programs that crashes */
	d.limit = 0;
	CHECK(set_pattern("|/bin/nowhere %p") && leaves_none(&d));
	CHECK(set_pattern("|") && leaves_none(&d));
	CHECK(set_pattern("|relative") && leaves_none(&d));
	CHECK(set_pattern("|/bin/ucore helper %s") && put("/proc/sys/kernel/core_pipe_limit", "1"));
	CHECK(put("/proc/sys/kernel/core_uses_pid", "1")); /* nothing is appended to a command */
	CHECK(leaves_core(&d));
	CHECK(access("/mnt/named/note", F_OK) == 0 && read_note(note, sizeof(note))); /* it was waited for */
	CHECK(!strncmp(note, "3 11 -|", 7) || !printf("# %s\n", note));
	CHECK(put("/proc/sys/kernel/core_uses_pid", "0") && put("/proc/sys/kernel/core_pipe_limit", "0"));
	CHECK(put("/proc/sys/fs/suid_dumpable", "0"));
	return set_pattern("core") && unlink("/mnt/named/piped") == 0;
}

static bool zero_umask(void)
{
	umask(0);
	return true;
}

/* What stands under the name already is not written to, wherever it leads. */
static bool trust(void)
{
	struct death d = {
	    .dir = "/mnt/plain", .limit = RLIM_INFINITY, .signal = SIGABRT, .prepare = zero_umask};
	struct stat st;
	CHECK(put("/mnt/plain/victim", "text") && symlink("victim", "/mnt/plain/core") == 0);
	CHECK(leaves_core(&d) && size_of("/mnt/plain/victim") == 4);
	CHECK(lstat("/mnt/plain/core", &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600);
	CHECK(unlink("/mnt/plain/core") == 0 && link("/mnt/plain/victim", "/mnt/plain/core") == 0);
	CHECK(leaves_core(&d) && size_of("/mnt/plain/victim") == 4 && size_of("/mnt/plain/core") > PAGE);
	/* Somebody else's, in a directory where only owners may unlink. */
	CHECK(unlink("/mnt/plain/core") == 0 && put("/mnt/plain/core", "other"));
	d.prepare = NULL;
	d.uid = USER;
	CHECK(put("/proc/sys/fs/suid_dumpable", "1"));
	CHECK(leaves_none(&d) && size_of("/mnt/plain/core") == 5);
	CHECK(unlink("/mnt/plain/core") == 0 && leaves_core(&d) && stat("/mnt/plain/core", &st) == 0);
	CHECK(st.st_uid == USER);
	CHECK(put("/proc/sys/fs/suid_dumpable", "0"));
	return unlink("/mnt/plain/core") == 0;
}

static bool not_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 0) == 0 && prctl(PR_GET_DUMPABLE) == 0;
}

static bool was_suid(void)
{
	return prctl(PR_GET_DUMPABLE) == 2;
}

static bool rights(void)
{
	struct death d = {
	    .dir = "/mnt/plain", .limit = RLIM_INFINITY, .signal = SIGABRT, .prepare = not_dumpable};
	struct stat st;
	CHECK(leaves_none(&d) && !exists("/mnt/plain/core"));
	d.prepare = NULL;
	d.uid = USER; /* which takes the right to look into it away, as a set-user-ID program would */
	CHECK(leaves_none(&d));
	CHECK(put("/proc/sys/fs/suid_dumpable", "2"));
	d.prepare = was_suid;
	CHECK(leaves_none(&d)); /* the pattern does not begin at the root */
	CHECK(set_pattern("/mnt/plain/core"));
	CHECK(leaves_core(&d) && stat("/mnt/plain/core", &st) == 0 && st.st_uid == 0);
	int fd = open("/proc/sys/fs/suid_dumpable", O_WRONLY);
	CHECK(FAILS_WITH(write(fd, "3", 1), EINVAL));
	close(fd);
	CHECK(put("/proc/sys/fs/suid_dumpable", "0") && set_pattern("core"));
	return unlink("/mnt/plain/core") == 0;
}

/* Pages at `spot`: private, twice; shared; private but not wanted; not touched. With holes in the first. */
static bool map_kinds(void)
{
	static const int kinds[] = {MAP_PRIVATE, MAP_SHARED, MAP_PRIVATE, MAP_PRIVATE};
	for (unsigned i = 0; i < 4; i++) {
		char *p = mmap(spot + i * 0x100000, 64 * PAGE, PROT_READ | PROT_WRITE,
		    kinds[i] | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (p == MAP_FAILED)
			return false;
		if (i < 3)
			memset(p + 63 * PAGE, 'x', PAGE);
	}
	*(volatile char *)spot = 0; /* a page of zeros */
	return madvise(spot + 0x200000, 64 * PAGE, MADV_DONTDUMP) == 0 &&
	       mprotect(spot, 64 * PAGE, PROT_NONE) == 0;
}

static bool map_kinds_filtered(void)
{
	return map_kinds() && put("/proc/self/coredump_filter", "0x2\n");
}

static bool wanted(const char *path, unsigned kind)
{
	Elf64_Phdr h;
	return find_segment(path, (uint64_t)spot + kind * 0x100000, &h) && h.p_filesz == h.p_memsz;
}

static bool segments(void)
{
	static const char path[] = "/mnt/plain/core";
	struct death d = {
	    .dir = "/mnt/plain", .limit = RLIM_INFINITY, .signal = SIGABRT, .prepare = map_kinds};
	Elf64_Phdr h;
	struct stat st;
	char c = 0;
	CHECK(leaves_core(&d));
	CHECK(wanted(path, 0) && wanted(path, 1) && !wanted(path, 2) && !wanted(path, 3));
	CHECK(find_segment(path, (uint64_t)spot, &h) && h.p_flags == 0 && h.p_memsz == 64 * PAGE);
	int fd = open(path, O_RDONLY);
	CHECK(pread(fd, &c, 1, (off_t)h.p_offset + 63 * PAGE) == 1 && c == 'x');
	CHECK(pread(fd, &c, 1, (off_t)h.p_offset) == 1 && c == 0);
	CHECK(fstat(fd, &st) == 0 &&
	      st.st_blocks * 512 < st.st_size - 100 * PAGE); /* two windows with one page each */
	close(fd);
	CHECK(find_segment(path, (uint64_t)&segments & ~(PAGE - 1UL), &h) && (h.p_flags & PF_X) &&
	      h.p_filesz == 0);
	d.prepare = map_kinds_filtered;
	CHECK(leaves_core(&d));
	CHECK(!wanted(path, 0) && wanted(path, 1));
	return unlink(path) == 0;
}

static bool filter_text(void)
{
	char text[32] = "";
	int fd = open("/proc/self/coredump_filter", O_RDWR);
	CHECK(read(fd, text, sizeof(text)) == 9 && !strcmp(text, "00000033\n"));
	CHECK(FAILS_WITH(pwrite(fd, "x", 1, 0), EINVAL));
	CHECK(pwrite(fd, "0xfffff", 7, 0) == 7);
	CHECK(pread(fd, text, sizeof(text), 0) == 9 && !strcmp(text, "000001ff\n"));
	CHECK(pwrite(fd, "51", 2, 0) == 2);
	return close(fd) == 0;
}

static bool map_much(void)
{
	enum { SIZE = 4 << 20 };
	char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return false;
	memset(p, 'y', SIZE);
	return true;
}

/* No room: nothing is left of the file. */
static bool no_room(void)
{
	struct death d = {
	    .dir = "/mnt/small", .limit = RLIM_INFINITY, .signal = SIGABRT, .prepare = map_much};
	CHECK(mount("none", "/mnt/small", "tmpfs", 0, "size=1m") == 0);
	CHECK(leaves_none(&d) && !exists("/mnt/small/core"));
	d.prepare = NULL;
	CHECK(leaves_core(&d) && exists("/mnt/small/core"));
	return umount("/mnt/small") == 0;
}

static size_t many_bytes;

static bool map_many(void)
{
	char *p = mmap(NULL, many_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return false;
	for (size_t i = 0; i < many_bytes; i += PAGE)
		p[i] = 1;
	return true;
}

/* SIGKILL ends a dump under way. Should one be done too early to be caught, there is a longer one. */
static bool killed(void)
{
	struct death d = {.dir = "/mnt/tmp", .limit = RLIM_INFINITY, .signal = SIGABRT, .prepare = map_many};
	bool caught = false;
	CHECK(mount("none", "/mnt/tmp", "tmpfs", 0, NULL) == 0);
	for (many_bytes = 8 << 20; !caught && many_bytes <= 64 << 20; many_bytes *= 2) {
		int status;
		pid_t pid = fork();
		if (pid == 0)
			_exit(die(&d));
		while (!exists("/mnt/tmp/core") && !waitpid(pid, &status, WNOHANG))
			sched_yield();
		kill(pid, SIGKILL);
		CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
		caught = !WCOREDUMP(status);
		CHECK(unlink("/mnt/tmp/core") == 0);
	}
	CHECK(caught);
	return umount("/mnt/tmp") == 0;
}

static void *crash_soon(void *arg)
{
	ready++;
	while (ready < THREADS)
		;
	*(volatile int *)nowhere = arg != NULL;
	return NULL;
}

static int crash_together(void *arg)
{
	pthread_t t;
	limit_core(RLIM_INFINITY);
	if (chdir("/mnt/plain"))
		return 1;
	ready = 0;
	for (unsigned i = 1; i < THREADS; i++)
		if (pthread_create(&t, NULL, crash_soon, arg))
			return 1;
	crash_soon(arg);
	return 1;
}

/* One file, whoever was first, and an end in any case. */
static bool together(void)
{
	for (unsigned i = 0; i < 10; i++) {
		int status = child_status(crash_together, NULL);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && WCOREDUMP(status));
		CHECK(unlink("/mnt/plain/core") == 0);
	}
	return true;
}

static bool unmounted(void)
{
	return umount("/mnt") == 0;
}

int main(int argc, char **argv, char **envp)
{
	static const struct utest tests[] = {
	    {"a volume for core files", volume},
	    {"a program with threads leaves one", threads},
	    {"threads that crash together", together},
	    {"the signals that leave one, and the others", signals},
	    {"RLIMIT_CORE cuts it", limits},
	    {"the name is by the pattern", names},
	    {"a program gets it through a pipe", piped},
	    {"what it gets is the core file", piped_is_a_core_file},
	    {"and when there is none", piped_and_refused},
	    {"what stands under its name is left alone", trust},
	    {"whose program may leave one", rights},
	    {"what memory goes into it", segments},
	    {"the filter as text", filter_text},
	    {"a full disk keeps nothing of it", no_room},
	    {"SIGKILL ends the writing", killed},
	    {"nothing holds the volume", unmounted},
	};
	if (argc > 1 && !strcmp(argv[1], "threads"))
		return crash_with_threads();
	if (argc > 1 && !strcmp(argv[1], "helper"))
		return helper(argc, argv, envp);
	return UTEST_RUN(tests);
}
