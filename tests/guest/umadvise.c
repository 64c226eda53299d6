/* umadvise.c - madvise and process_vm_readv by the Linux ABI. The same binary passes on Linux. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "utap.h"

enum {
	PAGE = 4096,
	ADV_FREE = 8,
	ADV_REMOVE = 9,
	ADV_DONTDUMP = 16,
	ADV_DODUMP = 17,
	ADV_WIPEONFORK = 18,
	ADV_KEEPONFORK = 19,
	ADV_COLD = 20,
	ADV_PAGEOUT = 21,
	ADV_POPULATE_READ = 22,
	ADV_POPULATE_WRITE = 23,
};

#define RW   (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static int advise(void *p, size_t len, int advice)
{
	return (int)syscall(SYS_madvise, p, len, advice);
}

static char *fresh(int n, int flags)
{
	char *p = mmap(NULL, (size_t)n * PAGE, RW, MAP_ANONYMOUS | flags, -1, 0);
	for (int i = 0; i < n; i++)
		p[i * PAGE] = (char)(i + 1);
	return p;
}

static bool errors(void)
{
	char *p = fresh(4, MAP_PRIVATE), *s = fresh(1, MAP_SHARED);
	CHECK(FAILS_WITH(advise(p, PAGE, 5), EINVAL) && FAILS_WITH(advise(p, PAGE, 9999), EINVAL));
	CHECK(FAILS_WITH(advise(p + 1, PAGE, MADV_NORMAL), EINVAL));
	CHECK(FAILS_WITH(advise(p, (size_t)-1, MADV_NORMAL), EINVAL));
	CHECK(FAILS_WITH(advise(p, (size_t)-PAGE, MADV_NORMAL), EINVAL));
	CHECK(advise(p, 0, MADV_DONTNEED) == 0 && advise((void *)PAGE, 0, MADV_NORMAL) == 0);
	CHECK(FAILS_WITH(advise(s, PAGE, ADV_FREE), EINVAL) &&
	      FAILS_WITH(advise(s, PAGE, ADV_WIPEONFORK), EINVAL));
	CHECK(FAILS_WITH(advise(p, PAGE, ADV_REMOVE), EINVAL));
	for (int a = MADV_NORMAL; a <= MADV_WILLNEED; a++)
		CHECK(advise(p, 4 * PAGE, a) == 0);
	CHECK(advise(p, PAGE, ADV_DONTDUMP) == 0 && advise(p, PAGE, ADV_DODUMP) == 0);
	CHECK(advise(p, PAGE, ADV_COLD) == 0 && advise(p, PAGE, ADV_PAGEOUT) == 0 && p[0] == 1);
	munmap(p, 4 * PAGE), munmap(s, PAGE);
	return true;
}

static bool holes_are_skipped(void)
{
	char *p = fresh(5, MAP_PRIVATE);
	CHECK(munmap(p + 2 * PAGE, PAGE) == 0);
	CHECK(FAILS_WITH(advise(p, 5 * PAGE, MADV_DONTNEED), ENOMEM));
	CHECK(p[0] == 0 && p[PAGE] == 0 && p[3 * PAGE] == 0 && p[4 * PAGE] == 0); /* done on both sides */
	p[0] = 1;
	CHECK(FAILS_WITH(advise(p, 3 * PAGE, MADV_DONTNEED), ENOMEM) && p[0] == 0);
	CHECK(advise(p, 2 * PAGE, ADV_FREE) == 0);
	munmap(p, 5 * PAGE);
	return true;
}

static bool locked_stays(void)
{
	char *p = fresh(2, MAP_PRIVATE);
	CHECK(mlock(p, PAGE) == 0);
	CHECK(FAILS_WITH(advise(p, PAGE, MADV_DONTNEED), EINVAL) && p[0] == 1);
	CHECK(FAILS_WITH(advise(p, PAGE, ADV_FREE), EINVAL) && FAILS_WITH(advise(p, PAGE, ADV_COLD), EINVAL));
	CHECK(munlock(p, PAGE) == 0 && advise(p, PAGE, MADV_DONTNEED) == 0 && p[0] == 0);
	munmap(p, 2 * PAGE);
	return true;
}

static bool populate(void)
{
	unsigned char vec[3];
	char *p = mmap(NULL, 3 * PAGE, RW, ANON, -1, 0), *r = mmap(NULL, PAGE, PROT_READ, ANON, -1, 0),
	     *n = mmap(NULL, PAGE, PROT_NONE, ANON, -1, 0);
	CHECK(p != MAP_FAILED && r != MAP_FAILED && n != MAP_FAILED);
	CHECK(advise(p, 2 * PAGE, ADV_POPULATE_WRITE) == 0 && mincore(p, 3 * PAGE, vec) == 0);
	CHECK((vec[0] & 1) && (vec[1] & 1) && !(vec[2] & 1));
	CHECK(advise(r, PAGE, ADV_POPULATE_READ) == 0 && mincore(r, PAGE, vec) == 0 && (vec[0] & 1));
	CHECK(FAILS_WITH(advise(r, PAGE, ADV_POPULATE_WRITE), EINVAL));
	CHECK(FAILS_WITH(advise(n, PAGE, ADV_POPULATE_READ), EINVAL));
	CHECK(munmap(p + PAGE, PAGE) == 0 && FAILS_WITH(advise(p, 3 * PAGE, ADV_POPULATE_READ), ENOMEM));
	munmap(p, 3 * PAGE), munmap(r, PAGE), munmap(n, PAGE);
	return true;
}

static bool files(void)
{
	unsigned char vec[4];
	char c = 0;
	char path[64];
	int fd = open(utest_file(path, "file"), O_CREAT | O_TRUNC | O_RDWR, 0600);
	CHECK(fd >= 0 && ftruncate(fd, 3 * PAGE) == 0 && pwrite(fd, "abc", 3, PAGE) == 3);
	char *s = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0),
	     *p = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, fd, 0);
	CHECK(s != MAP_FAILED && p != MAP_FAILED);
	CHECK(FAILS_WITH(advise(p, PAGE, ADV_WIPEONFORK), EINVAL) &&
	      FAILS_WITH(advise(p, PAGE, ADV_FREE), EINVAL));
	CHECK(FAILS_WITH(advise(p, PAGE, ADV_REMOVE), EACCES));
	p[PAGE] = 'x';
	s[PAGE + 1] = 'y';
	CHECK(advise(p, 3 * PAGE, MADV_DONTNEED) == 0 && p[PAGE] == 'a' && p[PAGE + 1] == 'y');
	CHECK(advise(s, 3 * PAGE, MADV_DONTNEED) == 0 && s[PAGE + 1] == 'y'); /* it is in the file */
	CHECK(advise(s, 4 * PAGE, MADV_WILLNEED) == 0);
	CHECK(mincore(s, 2 * PAGE, vec) == 0 && (vec[1] & 1));
	CHECK(FAILS_WITH(advise(s + 3 * PAGE, PAGE, ADV_POPULATE_READ), EFAULT)); /* beyond the end */
	munmap(s, 4 * PAGE), munmap(p, 3 * PAGE);
	CHECK(pread(fd, &c, 1, PAGE + 1) == 1 && c == 'y');
	close(fd);
	unlink(path);
	return true;
}

static bool shared_memory_is_removed(void)
{
	char *s = fresh(3, MAP_SHARED);
	CHECK(advise(s + PAGE, PAGE, ADV_REMOVE) == 0 && s[0] == 1 && s[PAGE] == 0 && s[2 * PAGE] == 3);
	munmap(s, 3 * PAGE);
	return true;
}

static int look(void *arg)
{
	char *p = arg;
	return p[0] == 1 && p[PAGE] == 0 && p[2 * PAGE] == 3 ? 0 : 1;
}

static bool wiped(void)
{
	char *p = fresh(3, MAP_PRIVATE);
	CHECK(advise(p + PAGE, 2 * PAGE, ADV_WIPEONFORK) == 0 &&
	      advise(p + 2 * PAGE, PAGE, ADV_KEEPONFORK) == 0);
	CHECK(child_exits(look, p, 0) && p[PAGE] == 2);
	munmap(p, 3 * PAGE);
	return true;
}

static bool other_process(void)
{
	int tell[2], go[2];
	char c, buf[8] = "";
	char *p = fresh(2, MAP_PRIVATE);
	CHECK(pipe(tell) == 0 && pipe(go) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		memcpy(p + PAGE - 2, "abcd", 4);
		munmap(p + 4096L * 2, 0);
		c = write(tell[1], "x", 1) == 1 && read(go[0], &c, 1) == 1;
		_exit(memcmp(p, "new", 3) == 0 && c ? 0 : 1);
	}
	CHECK(pid > 0 && read(tell[0], &c, 1) == 1);
	struct iovec mine[2] = {{buf, 3}, {buf + 3, 5}}, its[2] = {{p + PAGE - 2, 4}, {p + 100 * PAGE, 4}};
	CHECK(process_vm_readv(pid, mine, 2, its, 1, 0) == 4 && memcmp(buf, "abcd", 4) == 0);
	CHECK(FAILS_WITH(process_vm_readv(pid, mine, 1, its, 1, 1), EINVAL));
	CHECK(FAILS_WITH(process_vm_readv(pid, mine, 1025, its, 1, 0), EINVAL));
	CHECK(process_vm_readv(pid, mine, 0, its, 1, 0) == 0);
	CHECK(FAILS_WITH(process_vm_readv(0x3ffffff, mine, 1, its, 1, 0), ESRCH));
	its[1].iov_base = NULL;
	CHECK(FAILS_WITH(process_vm_readv(pid, mine, 1, its + 1, 1, 0), EFAULT));
	CHECK(process_vm_readv(pid, mine, 2, its, 2, 0) == 4); /* as far as it goes */
	its[0] = (struct iovec){p, 3};
	mine[0] = (struct iovec){"new", 3};
	CHECK(process_vm_writev(pid, mine, 1, its, 1, 0) == 3 && p[0] == 1);
	int status;
	CHECK(write(go[1], "x", 1) == 1 && waitpid(pid, &status, 0) == pid && status == 0);
	for (int i = 0; i < 2; i++)
		close(tell[i]), close(go[i]);
	munmap(p, 2 * PAGE);
	return true;
}

int main(void)
{
	static const struct utest tests[] = {
	    {"what is refused", errors},
	    {"holes are skipped and told", holes_are_skipped},
	    {"locked memory is not thrown away", locked_stays},
	    {"POPULATE_READ, POPULATE_WRITE", populate},
	    {"files", files},
	    {"REMOVE makes holes in shared memory", shared_memory_is_removed},
	    {"WIPEONFORK, KEEPONFORK", wiped},
	    {"process_vm_readv, process_vm_writev", other_process},
	};
	return UTEST_RUN(tests);
}
