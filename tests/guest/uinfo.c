/* uinfo.c - what the system tells of itself: names, memory, the log. Runs as root. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include "utap.h"

static bool is_quire(void)
{
	struct utsname u;
	return uname(&u) == 0 && strstr(u.release, "quire");
}

/* kernel.dmesg_restrict, which Quire has as Debian has it. */
static bool log_is_restricted(void)
{
	char digit = 0;
	int fd = open("/proc/sys/kernel/dmesg_restrict", O_RDONLY);
	bool read_it = fd >= 0 && read(fd, &digit, 1) == 1;
	close(fd);
	return read_it ? digit == '1' : is_quire();
}

static int ordinary_user(void *arg)
{
	char buf[64];
	(void)arg;
	UCHECK(sc(setresuid, 5, 5, 5) == 0);
	UCHECK(FAILS_WITH(sc(sethostname, "x", 1), EPERM) && FAILS_WITH(sc(setdomainname, BAD, -1), EPERM));
	UCHECK(FAILS_WITH(sc(syslog, 2, buf, 64), EPERM) && FAILS_WITH(sc(syslog, 5, NULL, 0), EPERM));
	UCHECK(!log_is_restricted() ||
	       (FAILS_WITH(sc(syslog, 3, buf, 64), EPERM) && FAILS_WITH(sc(syslog, 10, NULL, 0), EPERM) &&
		   FAILS_WITH(open("/dev/kmsg", O_RDONLY), EPERM)));
	return 0;
}

/* The names are changed only where they are the test's own: in a namespace, or in a guest. */
static int change_names(void *arg)
{
	struct utsname was, u;
	(void)arg;
	if (unshare(CLONE_NEWUTS) && !is_quire())
		return 0;
	UCHECK(uname(&was) == 0);
	UCHECK(sc(sethostname, "some-name-and-more", 9) == 0 && uname(&u) == 0 &&
	       !strcmp(u.nodename, "some-name"));
	UCHECK(sc(setdomainname, "domain", 6) == 0 && uname(&u) == 0 && !strcmp(u.domainname, "domain"));
	UCHECK(sc(sethostname, was.nodename, strlen(was.nodename)) == 0);
	UCHECK(sc(setdomainname, was.domainname, strlen(was.domainname)) == 0);
	return 0;
}

static bool names(void)
{
	struct utsname was, u;
	CHECK(uname(&was) == 0 && !strcmp(was.sysname, "Linux") && !strcmp(was.machine, "x86_64"));
	CHECK(was.release[0] >= '6' && strstr(was.version, "SMP") && FAILS_WITH(sc(uname, BAD), EFAULT));
	CHECK(child_exits(change_names, NULL, 0));
	CHECK(FAILS_WITH(sc(sethostname, "x", 65), EINVAL) && FAILS_WITH(sc(sethostname, "x", -1), EINVAL));
	CHECK(FAILS_WITH(sc(sethostname, BAD, 5), EFAULT));
	CHECK(uname(&u) == 0 && !strcmp(u.nodename, was.nodename) && !strcmp(u.domainname, was.domainname));
	return child_exits(ordinary_user, NULL, 0);
}

static bool memory(void)
{
	struct sysinfo s;
	CHECK(sysinfo(&s) == 0 && s.mem_unit >= 1 && s.totalram > s.freeram && s.freeram > 0 && s.procs > 0);
	CHECK(FAILS_WITH(sc(sysinfo, BAD), EFAULT));
	return true;
}

static bool kernel_log(void)
{
	static char buf[1 << 20];
	long size = sc(syslog, 10, NULL, 0), n;
	CHECK(size > 0 && sc(syslog, 0, NULL, 0) == 0 && sc(syslog, 1, NULL, 0) == 0);
	CHECK(FAILS_WITH(sc(syslog, 3, NULL, 10), EINVAL) && FAILS_WITH(sc(syslog, 3, buf, -1), EINVAL));
	CHECK(sc(syslog, 3, buf, 0) == 0 && FAILS_WITH(sc(syslog, 11, NULL, 0), EINVAL));
	CHECK(FAILS_WITH(sc(syslog, 8, NULL, 0), EINVAL) && FAILS_WITH(sc(syslog, 8, NULL, 9), EINVAL));
	n = sc(syslog, 3, buf, sizeof(buf));
	CHECK(n >= 0 && n <= (long)sizeof(buf) && sc(syslog, 9, NULL, 0) >= 0);
	if (n > 0) {
		CHECK(buf[0] == '<' && buf[n - 1] == '\n');
		CHECK(sc(syslog, 3, buf, 200) <= 200 && FAILS_WITH(sc(syslog, 3, BAD, sizeof(buf)), EFAULT));
	}
	return true;
}

static const struct utest tests[] = {
    {"uname, sethostname, setdomainname", names},
    {"sysinfo", memory},
    {"syslog", kernel_log},
};

int main(void)
{
	return UTEST_RUN(tests);
}
