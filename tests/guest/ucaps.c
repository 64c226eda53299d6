/*
 * ucaps.c - capabilities: how sets change by capset and prctl, by changes of ids and by running programs, and
 * that each privilege asks for its own. Runs as root; what it calls "all" is what it was started with.
 * Programs that it runs are itself: "ucaps show" tells its sets by a pipe on descriptor 3.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include "utap.h"

enum { CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, IPC_LOCK = 14 };
enum { SYS_CHROOT_ = 18, SYS_ADMIN_ = 21, SYS_NICE_ = 23, SYS_TIME_ = 25, MKNOD_ = 27, LAST = 40 };
#define BIT(cap) (1ULL << (cap))
#define FS_SET                                                                                               \
	(BIT(CHOWN) | BIT(DAC_OVERRIDE) | BIT(DAC_READ_SEARCH) | BIT(FOWNER) | BIT(FSETID) | BIT(9) |        \
	    BIT(27) | BIT(32))

struct header {
	unsigned version;
	int pid;
};
struct sets {
	uint64_t effective, permitted, inheritable, bounding, ambient;
};
static uint64_t all;
static const char *self;

static long cap_get(struct sets *s)
{
	struct header h = {0x20080522, 0};
	unsigned w[6];
	long result = sc(capget, &h, w);
	s->effective = (uint64_t)w[3] << 32 | w[0];
	s->permitted = (uint64_t)w[4] << 32 | w[1];
	s->inheritable = (uint64_t)w[5] << 32 | w[2];
	s->bounding = s->ambient = 0;
	for (unsigned i = 0; i <= LAST; i++) {
		s->bounding |= prctl(PR_CAPBSET_READ, i) == 1 ? BIT(i) : 0;
		s->ambient |= prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1 ? BIT(i) : 0;
	}
	return result;
}

static long cap_set(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct header h = {0x20080522, 0};
	unsigned w[6] = {(unsigned)effective, (unsigned)permitted, (unsigned)inheritable,
	    (unsigned)(effective >> 32), (unsigned)(permitted >> 32), (unsigned)(inheritable >> 32)};
	return sc(capset, &h, w);
}

static bool sets_are(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct sets s;
	return cap_get(&s) == 0 && s.effective == effective && s.permitted == permitted &&
	       s.inheritable == inheritable;
}

/* A line of /proc/self/status, as a number in base 16. */
static uint64_t status_field(const char *name)
{
	char line[256];
	uint64_t value = UINT64_MAX;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			value = strtoull(line + strlen(name), NULL, 16);
	if (f)
		fclose(f);
	return value;
}

/* --- capset --- */

static int change_sets(void *arg)
{
	(void)arg;
	UCHECK(sets_are(all, all, 0));
	UCHECK(cap_set(BIT(KILL), all, BIT(CHOWN)) == 0 && sets_are(BIT(KILL), all, BIT(CHOWN)));
	UCHECK(status_field("CapEff:") == BIT(KILL) && status_field("CapPrm:") == all);
	UCHECK(status_field("CapInh:") == BIT(CHOWN) && status_field("CapAmb:") == 0);
	UCHECK(cap_set(all, all, all) == 0 && cap_set(all, all & ~BIT(KILL), all) == -1 && errno == EPERM);
	UCHECK(cap_set(0, all & ~BIT(KILL), all) == 0 && FAILS_WITH(cap_set(BIT(KILL), all, all), EPERM));
	UCHECK(FAILS_WITH(cap_set(0, all, all), EPERM));
	/* without SETPCAP nothing new becomes inheritable but what is permitted */
	UCHECK(cap_set(0, all & ~BIT(KILL), 0) == 0 && FAILS_WITH(cap_set(0, 0, BIT(KILL)), EPERM));
	UCHECK(cap_set(0, BIT(CHOWN), BIT(CHOWN)) == 0 && cap_set(0, 0, BIT(CHOWN)) == 0);
	UCHECK(
	    cap_set(0, 0, BIT(CHOWN)) == 0 && cap_set(0, 0, 0) == 0 && FAILS_WITH(cap_set(0, 0, 1), EPERM));
	return 0;
}

static int old_versions(void *arg)
{
	struct header h = {0x19980330, 0}, other = {0x20071026, 0};
	unsigned w[6], v[6];
	(void)arg;
	UCHECK(sc(capget, &h, w) == 0 && sc(capget, &other, v) == 0 && w[0] == v[0] && w[1] == v[1]);
	UCHECK(sc(capset, &other, v) == 0 && sets_are(all, all, 0));
	UCHECK(sc(capset, &h, w) == 0 && sets_are((uint32_t)all, (uint32_t)all, 0));
	h.version = 7;
	UCHECK(FAILS_WITH(sc(capset, &h, w), EINVAL) && h.version == 0x20080522);
	UCHECK(FAILS_WITH(sc(capset, &h, BAD), EFAULT) && FAILS_WITH(sc(capset, BAD, w), EFAULT));
	h.pid = getppid();
	UCHECK(FAILS_WITH(sc(capset, &h, BAD), EPERM) && sc(capget, &h, w) == 0);
	return 0;
}

static bool capset_rules(void)
{
	return child_exits(change_sets, NULL, 0) && child_exits(old_versions, NULL, 0);
}

/* --- prctl --- */

static int bounding_set(void *arg)
{
	(void)arg;
	UCHECK(FAILS_WITH(prctl(PR_CAPBSET_READ, LAST + 1), EINVAL) &&
	       FAILS_WITH(prctl(PR_CAPBSET_DROP, LAST + 1), EINVAL));
	UCHECK(prctl(PR_CAPBSET_READ, KILL) == 1 && prctl(PR_CAPBSET_DROP, KILL) == 0 &&
	       prctl(PR_CAPBSET_READ, KILL) == 0 && prctl(PR_CAPBSET_DROP, KILL) == 0);
	UCHECK(status_field("CapBnd:") == (all & ~BIT(KILL)) && sets_are(all, all, 0));
	UCHECK(FAILS_WITH(cap_set(all, all, BIT(KILL)), EPERM) && cap_set(all, all, BIT(CHOWN)) == 0);
	UCHECK(cap_set(0, all, 0) == 0 && FAILS_WITH(prctl(PR_CAPBSET_DROP, CHOWN), EPERM) &&
	       FAILS_WITH(prctl(PR_CAPBSET_DROP, LAST + 1), EPERM));
	return 0;
}

static long ambient(long command, long cap)
{
	return prctl(PR_CAP_AMBIENT, command, cap, 0, 0);
}

static int ambient_set(void *arg)
{
	(void)arg;
	UCHECK(FAILS_WITH(ambient(PR_CAP_AMBIENT_RAISE, KILL), EPERM)); /* not inheritable */
	UCHECK(FAILS_WITH(ambient(PR_CAP_AMBIENT_RAISE, LAST + 1), EINVAL) &&
	       FAILS_WITH(ambient(9, KILL), EINVAL));
	UCHECK(FAILS_WITH(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, KILL, 1, 0), EINVAL));
	UCHECK(FAILS_WITH(ambient(PR_CAP_AMBIENT_CLEAR_ALL, 1), EINVAL));
	UCHECK(cap_set(all, all, BIT(KILL) | BIT(CHOWN)) == 0 && ambient(PR_CAP_AMBIENT_RAISE, KILL) == 0 &&
	       ambient(PR_CAP_AMBIENT_RAISE, CHOWN) == 0);
	UCHECK(
	    ambient(PR_CAP_AMBIENT_IS_SET, KILL) == 1 && status_field("CapAmb:") == (BIT(KILL) | BIT(CHOWN)));
	UCHECK(cap_set(all, all, BIT(CHOWN)) == 0 && status_field("CapAmb:") == BIT(CHOWN));
	UCHECK(ambient(PR_CAP_AMBIENT_LOWER, CHOWN) == 0 && status_field("CapAmb:") == 0);
	UCHECK(ambient(PR_CAP_AMBIENT_RAISE, CHOWN) == 0 && ambient(PR_CAP_AMBIENT_CLEAR_ALL, 0) == 0 &&
	       ambient(PR_CAP_AMBIENT_IS_SET, CHOWN) == 0);
	UCHECK(
	    prctl(PR_SET_SECUREBITS, 1 << 6) == 0 && FAILS_WITH(ambient(PR_CAP_AMBIENT_RAISE, CHOWN), EPERM));
	return 0;
}

static int secure_bits(void *arg)
{
	(void)arg;
	UCHECK(prctl(PR_GET_SECUREBITS) == 0 && FAILS_WITH(prctl(PR_SET_SECUREBITS, 1 << 20), EPERM));
	UCHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && prctl(PR_GET_SECUREBITS) == 0x10 &&
	       prctl(PR_GET_KEEPCAPS) == 1);
	UCHECK(FAILS_WITH(prctl(PR_SET_KEEPCAPS, 2), EINVAL) && prctl(PR_SET_SECUREBITS, 0x25) == 0);
	UCHECK(prctl(PR_GET_KEEPCAPS) == 0 && prctl(PR_GET_SECUREBITS) == 0x25);
	UCHECK(FAILS_WITH(prctl(PR_SET_KEEPCAPS, 1), EPERM) && FAILS_WITH(prctl(PR_SET_KEEPCAPS, 0), EPERM) &&
	       FAILS_WITH(prctl(PR_SET_SECUREBITS, 0x05), EPERM) &&
	       FAILS_WITH(prctl(PR_SET_SECUREBITS, 0x35), EPERM));
	UCHECK(prctl(PR_SET_SECUREBITS, 0x20) == 0 && cap_set(0, all, 0) == 0 &&
	       FAILS_WITH(prctl(PR_SET_SECUREBITS, 0x20), EPERM));
	return 0;
}

static bool prctl_rules(void)
{
	return child_exits(bounding_set, NULL, 0) && child_exits(ambient_set, NULL, 0) &&
	       child_exits(secure_bits, NULL, 0);
}

/* --- changes of ids --- */

static int ids_drop(void *arg)
{
	(void)arg;
	UCHECK(cap_set(all, all, BIT(KILL)) == 0 && ambient(PR_CAP_AMBIENT_RAISE, KILL) == 0);
	UCHECK(sc(setresuid, -1, 5, -1) == 0 && sets_are(0, all, BIT(KILL)) &&
	       ambient(PR_CAP_AMBIENT_IS_SET, KILL) == 1);
	UCHECK(sc(setresuid, -1, 0, -1) == 0 && sets_are(all, all, BIT(KILL)));
	UCHECK(cap_set(BIT(SETUID), all, BIT(KILL)) == 0 && sc(setresuid, 5, 5, 5) == 0);
	UCHECK(sets_are(0, 0, BIT(KILL)) && ambient(PR_CAP_AMBIENT_IS_SET, KILL) == 0);
	return 0;
}

static int ids_keep(void *arg)
{
	(void)arg;
	UCHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && sc(setresuid, 5, 5, 5) == 0 && sets_are(0, all, 0));
	UCHECK(cap_set(BIT(SETUID), BIT(SETUID) | BIT(KILL), 0) == 0 && sc(setresuid, 7, 8, 9) == 0);
	UCHECK(sets_are(BIT(SETUID), BIT(SETUID) | BIT(KILL), 0)); /* no id was 0, none is */
	UCHECK(sc(setresuid, 0, 0, 0) == 0 && sets_are(BIT(SETUID) | BIT(KILL), BIT(SETUID) | BIT(KILL), 0));
	return 0;
}

static int ids_fixed(void *arg)
{
	(void)arg;
	UCHECK(prctl(PR_SET_SECUREBITS, 4) == 0 && sc(setresuid, 5, 5, 5) == 0 && sets_are(all, all, 0));
	UCHECK(sc(setfsuid, 6) == 5 && sets_are(all, all, 0));
	return 0;
}

static int ids_of_files(void *arg)
{
	(void)arg;
	UCHECK(sc(setfsuid, 5) == 0 && sets_are(all & ~FS_SET, all, 0));
	UCHECK(sc(setfsuid, 6) == 5 && sc(setfsuid, 0) == 6 && sets_are(all, all, 0));
	UCHECK(
	    cap_set(BIT(SETUID), all & ~BIT(CHOWN), 0) == 0 && sc(setfsuid, 5) == 0 && sc(setfsuid, 0) == 5);
	UCHECK(sets_are((all & FS_SET & ~BIT(CHOWN)) | BIT(SETUID), all & ~BIT(CHOWN), 0));
	return 0;
}

static int dumpable_goes(void *arg)
{
	(void)arg;
	UCHECK(prctl(PR_SET_DUMPABLE, 1) == 0 && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0);
	UCHECK(sc(setgroups, 0, NULL) == 0 && prctl(PR_GET_DUMPABLE) == 1 && sc(setresuid, 5, -1, -1) == 0);
	UCHECK(prctl(PR_GET_DUMPABLE) == 1 && sc(setresuid, -1, 5, -1) == 0 && prctl(PR_GET_DUMPABLE) == 0);
	int signal = -1;
	UCHECK(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
	UCHECK(prctl(PR_GET_DUMPABLE) == 1);
	return 0;
}

static bool id_changes(void)
{
	return child_exits(ids_drop, NULL, 0) && child_exits(ids_keep, NULL, 0) &&
	       child_exits(ids_fixed, NULL, 0) && child_exits(ids_of_files, NULL, 0) &&
	       child_exits(dumpable_goes, NULL, 0);
}

/* --- programs --- */

struct shown {
	struct sets sets;
	uid_t uid, euid;
	long securebits, dumpable, secure;
};

static int show(void)
{
	struct shown s = {.uid = getuid(), .euid = geteuid()};
	s.securebits = prctl(PR_GET_SECUREBITS);
	s.dumpable = prctl(PR_GET_DUMPABLE);
	s.secure = (long)getauxval(AT_SECURE);
	return cap_get(&s.sets) || write(3, &s, sizeof(s)) != sizeof(s);
}

struct run {
	int (*prepare)(void);
	int fd;
	const char *program;
};

static int prepare_and_run(void *arg)
{
	const struct run *r = arg;
	char *const argv[] = {(char *)(uintptr_t) "ucaps", (char *)(uintptr_t) "show", NULL};
	if (dup2(r->fd, 3) != 3 || r->prepare())
		return 1;
	execv(r->program, argv);
	return 2;
}

/* What a program has that a child runs which was prepared like this. */
static bool run_program(int (*prepare)(void), const char *program, struct shown *s)
{
	int ends[2];
	CHECK(pipe(ends) == 0);
	struct run r = {prepare, ends[1], program};
	bool done = child_exits(prepare_and_run, &r, 0) && read(ends[0], s, sizeof(*s)) == sizeof(*s);
	close(ends[0]);
	close(ends[1]);
	return done;
}

static int limit_root(void)
{
	return cap_set(BIT(KILL) | BIT(SETPCAP), BIT(KILL) | BIT(SETPCAP), BIT(CHOWN)) ||
	       prctl(PR_CAPBSET_DROP, SETUID) || prctl(PR_SET_KEEPCAPS, 1);
}
static int be_no_root(void)
{
	return prctl(PR_SET_SECUREBITS, 1) || cap_set(all, all, BIT(CHOWN) | BIT(KILL)) ||
	       ambient(PR_CAP_AMBIENT_RAISE, KILL);
}
static int become_five(void)
{
	return sc(setresgid, 5, 5, 5) || sc(setgroups, 0, NULL) || sc(setresuid, 5, 5, 5);
}
static int become_five_with_kill(void)
{
	return prctl(PR_SET_KEEPCAPS, 1) || become_five() || cap_set(all, all, BIT(KILL) | BIT(CHOWN)) ||
	       ambient(PR_CAP_AMBIENT_RAISE, KILL);
}
static int become_five_for_good(void)
{
	return become_five_with_kill() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static bool root_runs(void)
{
	struct shown s;
	CHECK(run_program(limit_root, self, &s));
	CHECK(
	    s.sets.permitted == ((all & ~BIT(SETUID)) | BIT(CHOWN)) && s.sets.effective == s.sets.permitted);
	CHECK(
	    s.sets.inheritable == BIT(CHOWN) && s.sets.bounding == (all & ~BIT(SETUID)) && s.securebits == 0);
	CHECK(run_program(be_no_root, self, &s) && s.uid == 0 && s.securebits == 1);
	CHECK(s.sets.permitted == BIT(KILL) && s.sets.effective == BIT(KILL) && s.sets.ambient == BIT(KILL));
	return true;
}

static bool others_run(void)
{
	struct shown s;
	CHECK(run_program(become_five, self, &s) && s.uid == 5 && s.euid == 5);
	CHECK(!s.sets.permitted && !s.sets.effective && !s.sets.ambient && s.sets.bounding == all &&
	      s.dumpable == 1);
	CHECK(run_program(become_five_with_kill, self, &s) && s.uid == 5 && s.securebits == 0);
	CHECK(s.sets.permitted == BIT(KILL) && s.sets.effective == BIT(KILL) && s.sets.ambient == BIT(KILL));
	CHECK(s.sets.inheritable == (BIT(KILL) | BIT(CHOWN)));
	return true;
}

static bool copy_self(const char *to, mode_t mode)
{
	char buf[65536];
	int in = open(self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	CHECK(in >= 0 && out >= 0);
	for (ssize_t n; (n = read(in, buf, sizeof(buf))) > 0;)
		CHECK(write(out, buf, (size_t)n) == n);
	close(in);
	CHECK(fchmod(out, mode) == 0 && close(out) == 0);
	return true;
}

static bool set_user_id_runs(void)
{
	char dir[] = "/tmp/ucaps-XXXXXX", path[64];
	struct shown s;
	mkdir("/tmp", 01777);
	CHECK(mkdtemp(dir) && chmod(dir, 0755) == 0);
	snprintf(path, sizeof(path), "%s/setuid", dir);
	CHECK(copy_self(path, 04755));
	CHECK(run_program(become_five, path, &s) && s.uid == 5 && s.euid == 0);
	CHECK(s.sets.permitted == all && s.sets.effective == all && s.dumpable == 0);
	CHECK(run_program(become_five_with_kill, path, &s) && s.euid == 0 && s.sets.ambient == 0);
	CHECK(s.sets.permitted == all && s.sets.effective == all);
	CHECK(run_program(become_five_for_good, path, &s) && s.euid == 5 && s.dumpable == 1);
	CHECK(s.sets.permitted == BIT(KILL) && s.sets.effective == BIT(KILL) && s.sets.ambient == BIT(KILL));
	CHECK(chown(path, 7, 7) == 0 && chmod(path, 04755) == 0);
	CHECK(run_program(become_five_with_kill, path, &s) && s.uid == 5 && s.euid == 7);
	CHECK(s.sets.permitted == 0 && s.sets.effective == 0 && s.sets.ambient == 0 && s.dumpable == 0);
	CHECK(unlink(path) == 0 && rmdir(dir) == 0);
	return true;
}

/* --- capabilities of files --- */

static int give(const char *path, uint64_t permitted, uint64_t inheritable, bool effective)
{
	uint32_t w[5] = {0x02000000 | effective, (uint32_t)permitted, (uint32_t)inheritable,
	    (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)};
	return setxattr(path, "security.capability", w, sizeof(w), 0);
}

static int become_five_without_kill(void)
{
	return prctl(PR_CAPBSET_DROP, KILL) || become_five();
}
static int become_five_inheriting(void)
{
	return cap_set(all, all, BIT(CHOWN) | BIT(FOWNER)) || become_five();
}
static int promise_as_five(void)
{
	return become_five() || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static bool files_give(const char *path)
{
	struct shown s;
	CHECK(give(path, BIT(KILL) | BIT(LAST), BIT(CHOWN), true) == 0);
	CHECK(run_program(become_five, path, &s) && s.euid == 5 && s.secure == 1 && s.dumpable == 0);
	CHECK(s.sets.permitted == (BIT(KILL) | (all & BIT(LAST))) && s.sets.effective == s.sets.permitted);
	CHECK(run_program(become_five_with_kill, path, &s) && s.sets.ambient == 0);
	CHECK(s.sets.permitted == (BIT(KILL) | BIT(LAST) | BIT(CHOWN))); /* inheritable on both sides */
	CHECK(run_program(promise_as_five, path, &s) && s.sets.permitted == 0 && s.secure == 1);
	CHECK(!run_program(become_five_without_kill, path, &s)); /* it would not know what it misses */
	CHECK(run_program(be_no_root, path, &s) && s.uid == 0 && s.secure == 0);
	CHECK(s.sets.permitted == (BIT(KILL) | BIT(LAST) | BIT(CHOWN)) && s.sets.ambient == 0);
	CHECK(run_program(limit_root, path, &s) && s.secure == 0);
	CHECK(
	    s.sets.permitted == ((all & ~BIT(SETUID)) | BIT(CHOWN)) && s.sets.effective == s.sets.permitted);
	return true;
}

static bool files_give_less(const char *path)
{
	struct shown s;
	CHECK(give(path, BIT(KILL) | BIT(SETUID), BIT(CHOWN), false) == 0);
	CHECK(run_program(become_five_without_kill, path, &s) && s.sets.permitted == BIT(SETUID));
	CHECK(s.sets.effective == 0 && s.secure == 1);
	CHECK(run_program(become_five_inheriting, path, &s) && s.sets.effective == 0);
	CHECK(s.sets.permitted == (BIT(KILL) | BIT(SETUID) | BIT(CHOWN)) && s.sets.ambient == 0);
	CHECK(give(path, 0, BIT(FOWNER), true) == 0 && run_program(become_five_inheriting, path, &s));
	CHECK(s.sets.permitted == BIT(FOWNER) && s.sets.effective == BIT(FOWNER));
	CHECK(give(path, 0, 0, false) == 0 && run_program(become_five_with_kill, path, &s));
	CHECK(s.sets.permitted == 0 && s.sets.ambient == 0 && s.secure == 0);
	return true;
}

static bool files_in_other_cases(const char *path)
{
	uint32_t w[6] = {0x03000001, BIT(KILL), 0, 0, 0, 1000};
	struct shown s;
	CHECK(setxattr(path, "security.capability", w, 24, 0) == 0); /* for another root */
	CHECK(run_program(become_five, path, &s) && s.sets.permitted == 0 && s.secure == 0);
	w[5] = 0;
	CHECK(setxattr(path, "security.capability", w, 24, 0) == 0);
	CHECK(run_program(become_five, path, &s) && s.sets.permitted == BIT(KILL) && s.secure == 1);
	CHECK(setxattr(path, "security.capability", "", 0, 0) == 0 && !run_program(become_five, path, &s));
	/* what says what it needs gets no more as set-user-ID program of the superuser */
	CHECK(give(path, BIT(KILL), 0, true) == 0 && chmod(path, 04755) == 0);
	CHECK(run_program(become_five, path, &s) && s.euid == 0 && s.sets.permitted == BIT(KILL));
	CHECK(run_program(limit_root, path, &s) && s.sets.permitted == ((all & ~BIT(SETUID)) | BIT(CHOWN)));
	return true;
}

static bool file_capabilities(void)
{
	char dir[] = "/tmp/ucaps-XXXXXX", path[64];
	mkdir("/tmp", 01777);
	CHECK(mkdtemp(dir) && chmod(dir, 0755) == 0);
	snprintf(path, sizeof(path), "%s/caps", dir);
	CHECK(copy_self(path, 0755));
	bool good = files_give(path) && files_give_less(path) && files_in_other_cases(path);
	return unlink(path) == 0 && rmdir(dir) == 0 && good;
}

/* --- each privilege asks for its own capability --- */

static int without(unsigned cap)
{
	return (int)cap_set(all & ~BIT(cap), all, 0);
}
static int with_only(unsigned cap)
{
	return (int)cap_set(BIT(cap), all, 0);
}

static int file_rights(void *arg)
{
	struct stat st;
	char *const dir = arg;
	UCHECK(chdir(dir) == 0 && close(open("f", O_CREAT | O_WRONLY, 0)) == 0 && mkdir("d", 0) == 0);
	UCHECK(chown("f", 5, 5) == 0 && chown("d", 5, 5) == 0);
	UCHECK(with_only(DAC_READ_SEARCH) == 0 && close(open("f", O_RDONLY)) == 0 && chdir("d") == 0 &&
	       chdir("..") == 0);
	UCHECK(FAILS_WITH(open("f", O_WRONLY), EACCES) && FAILS_WITH(open("f", O_RDWR), EACCES) &&
	       FAILS_WITH(mkdir("d/x", 0), EACCES));
	UCHECK(with_only(DAC_OVERRIDE) == 0 && close(open("f", O_RDWR)) == 0 && mkdir("d/x", 0) == 0 &&
	       rmdir("d/x") == 0);
	UCHECK(FAILS_WITH(chmod("f", 0600), EPERM) && FAILS_WITH(chown("f", 6, -1), EPERM) &&
	       FAILS_WITH(open("f", O_RDONLY | O_NOATIME), EPERM));
	UCHECK(with_only(FOWNER) == 0 && chmod("f", 02670) == 0 && stat("f", &st) == 0 &&
	       st.st_mode == (S_IFREG | 0670));
	UCHECK(cap_set(BIT(FOWNER) | BIT(FSETID), all, 0) == 0 && chmod("f", 06670) == 0 &&
	       stat("f", &st) == 0 && st.st_mode == (S_IFREG | 06670));
	UCHECK(cap_set(BIT(FSETID) | BIT(DAC_OVERRIDE), all, 0) == 0);
	int fd = open("f", O_WRONLY);
	UCHECK(fd >= 0 && write(fd, "x", 1) == 1 && fstat(fd, &st) == 0 && st.st_mode == (S_IFREG | 06670));
	UCHECK(with_only(KILL) == 0 && write(fd, "x", 1) == 1 && fstat(fd, &st) == 0 &&
	       st.st_mode == (S_IFREG | 0670));
	UCHECK(with_only(CHOWN) == 0 && chown("f", 6, 7) == 0 && close(fd) == 0);
	UCHECK(without(MKNOD_) == 0 && FAILS_WITH(mknod("n", S_IFCHR | 0600, 0x103), EPERM) &&
	       mkfifo("p", 0600) == 0);
	UCHECK(cap_set(all, all, 0) == 0 && unlink("p") == 0 && unlink("f") == 0 && rmdir("d") == 0);
	return 0;
}

static int access_asks_for_the_real_user(void *arg)
{
	char *const dir = arg;
	UCHECK(chdir(dir) == 0 && close(open("g", O_CREAT | O_WRONLY, 0)) == 0);
	UCHECK(cap_set(0, all, 0) == 0 && access("g", R_OK | W_OK) == 0 &&
	       FAILS_WITH(open("g", O_RDWR), EACCES));
	UCHECK(cap_set(all, all, 0) == 0 && setresuid(5, 0, 0) == 0 &&
	       FAILS_WITH(access("g", R_OK), EACCES) && close(open("g", O_RDWR)) == 0);
	UCHECK(unlink("g") == 0);
	return 0;
}

static int other_rights(void *arg)
{
	struct timespec ts = {1, 2000000000};
	struct rlimit limit;
	char host[65];
	(void)arg;
	UCHECK(without(SYS_ADMIN_) == 0 && FAILS_WITH(mount("none", "/", "tmpfs", 0, NULL), EPERM) &&
	       FAILS_WITH(sc(sethostname, host, -1), EPERM) && FAILS_WITH(umount("/dev"), EPERM));
	UCHECK(with_only(SYS_ADMIN_) == 0 && FAILS_WITH(sc(sethostname, host, -1), EINVAL));
	UCHECK(FAILS_WITH(chroot("/"), EPERM) && FAILS_WITH(sc(reboot, 0, 0, 0, NULL), EPERM));
	UCHECK(with_only(SYS_CHROOT_) == 0 && chroot("/") == 0);
	UCHECK(with_only(22) == 0 && FAILS_WITH(sc(reboot, 0, 0, 0, NULL), EINVAL));
	ts.tv_nsec = 0;
	UCHECK(without(SYS_TIME_) == 0 && FAILS_WITH(sc(clock_settime, 0, &ts), EPERM));
	UCHECK(without(SETUID) == 0 && FAILS_WITH(setresuid(5, -1, -1), EPERM) && setresuid(0, 0, 0) == 0);
	UCHECK(without(SETGID) == 0 && FAILS_WITH(setresgid(5, -1, -1), EPERM) &&
	       FAILS_WITH(sc(setgroups, 0, NULL), EPERM));
	UCHECK(without(SYS_NICE_) == 0 && FAILS_WITH(setpriority(PRIO_PROCESS, 0, -5), EACCES));
	UCHECK(with_only(SYS_NICE_) == 0 && setpriority(PRIO_PROCESS, 0, -5) == 0 &&
	       setpriority(PRIO_PROCESS, 0, 0) == 0);
	UCHECK(without(24) == 0 && getrlimit(RLIMIT_CORE, &limit) == 0);
	limit.rlim_cur = 0;
	limit.rlim_max = 4096;
	UCHECK(setrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max++ == 4096);
	UCHECK(FAILS_WITH(setrlimit(RLIMIT_CORE, &limit), EPERM));
	limit.rlim_cur = limit.rlim_max = 0;
	UCHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && with_only(IPC_LOCK) == 0 && mlock(host, 1) == 0);
	UCHECK(munlock(host, 1) == 0 && without(IPC_LOCK) == 0 && FAILS_WITH(mlock(host, 1), EPERM));
	return 0;
}

static int kill_asks(void *arg)
{
	pid_t pid = *(pid_t *)arg;
	UCHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && setresuid(6, 6, 6) == 0);
	UCHECK(without(KILL) == 0 && FAILS_WITH(kill(pid, 0), EPERM) && with_only(KILL) == 0 &&
	       kill(pid, 0) == 0);
	cpu_set_t set;
	UCHECK(sched_getaffinity(pid, sizeof(set), &set) == 0 && without(SYS_NICE_) == 0);
	UCHECK(FAILS_WITH(sched_setaffinity(pid, sizeof(set), &set), EPERM) && with_only(SYS_NICE_) == 0 &&
	       sched_setaffinity(pid, sizeof(set), &set) == 0);
	void *head;
	size_t size;
	UCHECK(with_only(KILL) == 0 && FAILS_WITH(sc(get_robust_list, pid, &head, &size), EPERM));
	UCHECK(with_only(19) == 0 && sc(get_robust_list, pid, &head, &size) == 0);
	return 0;
}

static int sender_asks(void *arg)
{
	int ends[2];
	struct ucred ids = {getpid(), 5, 0};
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(ids))];
	} control = {
	    .head = {
		.cmsg_len = CMSG_LEN(sizeof(ids)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS}};
	struct iovec data = {&ids, 1};
	struct msghdr m = {
	    .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	(void)arg;
	UCHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	memcpy(CMSG_DATA(&control.head), &ids, sizeof(ids));
	UCHECK(without(SETUID) == 0 && FAILS_WITH(sendmsg(ends[0], &m, 0), EPERM));
	UCHECK(with_only(SETUID) == 0 && sendmsg(ends[0], &m, 0) == 1);
	ids.gid = 5;
	memcpy(CMSG_DATA(&control.head), &ids, sizeof(ids));
	UCHECK(FAILS_WITH(sendmsg(ends[0], &m, 0), EPERM));
	return 0;
}

static bool privileges(void)
{
	char dir[] = "/tmp/ucaps-XXXXXX";
	pid_t pid = getpid();
	mkdir("/tmp", 01777);
	CHECK(mkdtemp(dir) && chmod(dir, 0755) == 0);
	CHECK(child_exits(file_rights, dir, 0) && child_exits(access_asks_for_the_real_user, dir, 0));
	CHECK(child_exits(other_rights, NULL, 0) && child_exits(kill_asks, &pid, 0) &&
	      child_exits(sender_asks, NULL, 0));
	return rmdir(dir) == 0;
}

static const struct utest tests[] = {
    {"capset takes what the sets allow", capset_rules},
    {"prctl: bounding and ambient sets, securebits", prctl_rules},
    {"changes of ids", id_changes},
    {"programs of the superuser", root_runs},
    {"programs of others", others_run},
    {"set-user-ID programs", set_user_id_runs},
    {"capabilities of files", file_capabilities},
    {"each privilege asks for its own", privileges},
};

int main(int argc, char **argv)
{
	struct sets s;
	char path[PATH_MAX];
	if (argc > 1 && !strcmp(argv[1], "show"))
		return show();
	if (!utest_proc())
		return 1;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = 0;
	self = n > 0 ? path : argv[0];
	cap_get(&s);
	all = s.permitted;
	return UTEST_RUN(tests);
}
