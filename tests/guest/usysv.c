/*
 * usysv.c - System V objects: shared memory, semaphores and messages; ids, keys, permissions, what /proc
 * tells of them. Runs as root. Other objects may exist, so nothing is said of totals.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include "utap.h"

#define KEY  0x51e50001
#define PAGE 4096L
#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
union semun_ {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	void *other;
};

static unsigned long attached(int id)
{
	struct shmid_ds ds;
	return shmctl(id, IPC_STAT, &ds) ? ULONG_MAX : ds.shm_nattch;
}

/* The line of a file that has this number in this field, 0: the first; "" if there is none. */
static bool line_with(const char *file, int field, long number, char line[512])
{
	FILE *f = fopen(file, "r");
	bool found = false;
	while (f && !found && fgets(line, 512, f)) {
		char *at = line, *end = line;
		long value = -1;
		for (int i = 0; i <= field; i++, at = end)
			value = strtol(at, &end, 10);
		found = value == number && end != line;
	}
	if (f)
		fclose(f);
	return found;
}

/* --- shared memory --- */

static bool shm_ids(void)
{
	struct shmid_ds ds;
	CHECK(
	    FAILS_WITH(shmget(KEY, 0, 0600), ENOENT) && FAILS_WITH(shmget(KEY, 0, IPC_CREAT | 0600), EINVAL));
	CHECK(FAILS_WITH(shmget(IPC_PRIVATE, SIZE_MAX, 0600), EINVAL));
	int id = shmget(KEY, 5000, IPC_CREAT | IPC_EXCL | 0640), other;
	CHECK(id >= 0 && shmget(KEY, 0, 0) == id && shmget(KEY, 5000, IPC_CREAT | 0600) == id);
	CHECK(FAILS_WITH(shmget(KEY, 5001, 0), EINVAL) &&
	      FAILS_WITH(shmget(KEY, 1, IPC_CREAT | IPC_EXCL), EEXIST));
	CHECK(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_segsz == 5000 && ds.shm_nattch == 0 &&
	      ds.shm_cpid == getpid());
	CHECK(ds.shm_lpid == 0 && ds.shm_atime == 0 && ds.shm_dtime == 0 && ds.shm_ctime > 0);
	CHECK(ds.shm_perm.mode == 0640 && ds.shm_perm.uid == 0 && ds.shm_perm.cuid == 0 &&
	      ds.shm_perm.__ipc_perm_key == KEY);
	CHECK(
	    (other = shmget(IPC_PRIVATE, 1, 0600)) >= 0 && other != id && shmctl(other, IPC_RMID, NULL) == 0);
	CHECK(FAILS_WITH(shmctl(other, IPC_STAT, &ds), EINVAL) &&
	      FAILS_WITH(shmctl(other, IPC_RMID, NULL), EINVAL));
	ds.shm_perm.mode = 0777666;
	ds.shm_perm.uid = 7;
	ds.shm_perm.gid = 8;
	CHECK(shmctl(id, IPC_SET, &ds) == 0 && shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_perm.uid == 7 &&
	      ds.shm_perm.gid == 8 && ds.shm_perm.cuid == 0 && ds.shm_perm.mode == 0666);
	ds.shm_perm.uid = (uid_t)-1;
	CHECK(FAILS_WITH(shmctl(id, IPC_SET, &ds), EINVAL) && FAILS_WITH(shmctl(id, IPC_SET, BAD), EFAULT));
	CHECK(shmctl(id, SHM_LOCK, NULL) == 0 && shmctl(id, IPC_STAT, &ds) == 0 &&
	      ds.shm_perm.mode == (0666 | SHM_LOCKED));
	CHECK(shmctl(id, SHM_UNLOCK, NULL) == 0 && FAILS_WITH(shmctl(id, 99, &ds), EINVAL) &&
	      FAILS_WITH(shmctl(-1, IPC_STAT, &ds), EINVAL));
	CHECK(FAILS_WITH(shmctl(id, IPC_STAT, BAD), EFAULT));
	return shmctl(id, IPC_RMID, NULL) == 0;
}

static bool ids_change(void)
{
	int first = shmget(IPC_PRIVATE, 1, 0600);
	CHECK(first >= 0 && shmctl(first, IPC_RMID, NULL) == 0);
	for (int i = 0; i < 200; i++) {
		int id = shmget(IPC_PRIVATE, 1, 0600);
		CHECK(id >= 0 && id != first && shmctl(id, IPC_RMID, NULL) == 0);
	}
	return true;
}

static int use_and_exit(void *arg)
{
	int *words = *(int **)arg;
	return words[0] == 11 && (words[1] = 12) ? 0 : 1;
}

static bool shm_counts(void)
{
	struct shmid_ds ds;
	int id = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
	int *words = shmat(id, NULL, 0);
	CHECK(id >= 0 && words != BAD && attached(id) == 1);
	words[0] = 11;
	CHECK(child_exits(use_and_exit, &words, 0) && words[1] == 12 && attached(id) == 1);
	CHECK(shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_atime > 0 && ds.shm_dtime > 0 && ds.shm_lpid != 0 &&
	      ds.shm_lpid != getpid());
	int *again = shmat(id, NULL, SHM_RDONLY);
	CHECK(again != BAD && again != words && again[1] == 12 && attached(id) == 2);
	CHECK(FAILS_WITH(mprotect(again, PAGE, PROT_READ | PROT_WRITE), EACCES));
	CHECK(
	    munmap((char *)again + PAGE, PAGE) == 0 && attached(id) == 3); /* two parts of one, and another */
	CHECK(shmdt(again) == 0 && attached(id) == 1 && FAILS_WITH(shmdt(again), EINVAL));
	CHECK(
	    FAILS_WITH(shmdt((char *)words + PAGE), EINVAL) && FAILS_WITH(shmdt((char *)words + 1), EINVAL));
	CHECK(shmctl(id, IPC_RMID, NULL) == 0 && shmctl(id, IPC_STAT, &ds) == 0 &&
	      ds.shm_perm.mode == (0600 | SHM_DEST));
	CHECK(ds.shm_perm.__ipc_perm_key == 0 && (again = shmat(id, NULL, 0)) != BAD && again[0] == 11 &&
	      attached(id) == 2);
	CHECK(shmdt(again) == 0 && words[1] == 12 && shmdt(words) == 0 &&
	      FAILS_WITH(shmctl(id, IPC_STAT, &ds), EINVAL));
	return FAILS_WITH(shmat(id, NULL, 0), EINVAL);
}

static int attach_and_wait(void *arg)
{
	const int *a = arg; /* id, a pipe's ends */
	char c;
	void *p = shmat(a[0], NULL, 0);
	UCHECK(p != BAD && write(a[2], "x", 1) == 1);
	execl("/nonexistent", "x", NULL); /* fails, and leaves what is there */
	return read(a[1], &c, 1) == 1 ? 0 : 1;
}

static bool killed_ones_let_go(void)
{
	int id = shmget(IPC_PRIVATE, 1, 0600), to[2], from[2], status;
	char c;
	CHECK(id >= 0 && pipe(to) == 0 && pipe(from) == 0);
	int a[3] = {id, to[0], from[1]};
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(attach_and_wait(a));
	CHECK(pid > 0 && read(from[0], &c, 1) == 1 && attached(id) == 1);
	CHECK(shmctl(id, IPC_RMID, NULL) == 0 && attached(id) == 1);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	close(to[0]), close(to[1]), close(from[0]), close(from[1]);
	return attached(id) == ULONG_MAX;
}

static bool shm_places(void)
{
	int id = shmget(IPC_PRIVATE, 2 * PAGE, 0700);
	char *room = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(id >= 0 && room != BAD && munmap(room, 3 * PAGE) == 0);
	CHECK(FAILS_WITH((long)shmat(id, room + 1, 0), EINVAL));
	CHECK(shmat(id, room + 1, SHM_RND) == room && attached(id) == 1);
	CHECK(FAILS_WITH((long)shmat(id, room, 0), EINVAL) &&
	      FAILS_WITH((long)shmat(id, room + 2 * PAGE, 0), EINVAL));
	strcpy(room, "one");
	CHECK(
	    shmat(id, room + 2 * PAGE, SHM_REMAP) == room + 2 * PAGE && strcmp(room + 2 * PAGE, "one") == 0);
	CHECK(FAILS_WITH((long)shmat(id, NULL, SHM_REMAP), EINVAL) &&
	      FAILS_WITH((long)shmat(id, (void *)1, SHM_REMAP | SHM_RND), EINVAL));
	CHECK(FAILS_WITH((long)shmat(-1, NULL, 0), EINVAL) && attached(id) == 2);
	CHECK(FAILS_WITH((long)shmat(id, (void *)-PAGE, 0), EINVAL));
	CHECK(shmdt(room) == 0 && shmdt(room + 2 * PAGE) == 0);
	char *code = shmat(id, NULL, SHM_EXEC);
	CHECK(code != BAD);
	code[0] = (char)0xc3; /* ret */
	((void (*)(void))(uintptr_t)code)();
	return shmdt(code) == 0 && shmctl(id, IPC_RMID, NULL) == 0;
}

static int shm_as_other(void *arg)
{
	const int *ids = arg; /* for all to read, for the owner alone */
	struct shmid_ds ds;
	UCHECK(sc(setresgid, 5, 5, 5) == 0 && sc(setgroups, 0, NULL) == 0 && sc(setresuid, 5, 5, 5) == 0);
	void *p = shmat(ids[0], NULL, SHM_RDONLY);
	UCHECK(p != BAD && shmdt(p) == 0 && FAILS_WITH((long)shmat(ids[0], NULL, 0), EACCES));
	UCHECK(FAILS_WITH((long)shmat(ids[0], NULL, SHM_RDONLY | SHM_EXEC), EACCES));
	UCHECK(shmctl(ids[0], IPC_STAT, &ds) == 0 && FAILS_WITH(shmctl(ids[1], IPC_STAT, &ds), EACCES));
	UCHECK(FAILS_WITH(shmctl(ids[0], IPC_SET, &ds), EPERM) &&
	       FAILS_WITH(shmctl(ids[0], IPC_RMID, NULL), EPERM));
	UCHECK(FAILS_WITH(shmctl(ids[0], SHM_LOCK, NULL), EPERM));
	UCHECK(shmget(KEY, 1, 0444) == ids[0] && FAILS_WITH(shmget(KEY, 1, 0666), EACCES));
	UCHECK(shmctl(ids[1] & 0x7fff, SHM_STAT_ANY, &ds) == ids[1] &&
	       FAILS_WITH(shmctl(ids[1] & 0x7fff, SHM_STAT, &ds), EACCES));
	return 0;
}

static bool shm_permissions(void)
{
	int ids[2] = {shmget(KEY, 100, IPC_CREAT | IPC_EXCL | 0644), shmget(IPC_PRIVATE, 100, 0600)};
	CHECK(ids[0] >= 0 && ids[1] >= 0 && child_exits(shm_as_other, ids, 0));
	return shmctl(ids[0], IPC_RMID, NULL) == 0 && shmctl(ids[1], IPC_RMID, NULL) == 0;
}

static bool shm_in_proc(void)
{
	char line[512], want[64];
	struct shminfo info;
	struct shm_info now;
	int id = shmget(KEY, 5000, IPC_CREAT | IPC_EXCL | 0604), key, its, perms;
	unsigned long size, count;
	unsigned cpid, lpid;
	char *p = shmat(id, NULL, 0);
	CHECK(id >= 0 && p != BAD && line_with("/proc/sysvipc/shm", 1, id, line));
	CHECK(sscanf(line, "%d %d %o %lu %u %u %lu", &key, &its, (unsigned *)&perms, &size, &cpid, &lpid,
		  &count) == 7);
	CHECK(key == KEY && its == id && perms == 0604 && size == 5000 && cpid == (unsigned)getpid() &&
	      count == 1);
	snprintf(want, sizeof(want), "/SYSV%08x (deleted)", KEY);
	FILE *f = fopen("/proc/self/maps", "r");
	bool found = false;
	while (f && fgets(line, sizeof(line), f))
		found |= strstr(line, want) && strtoul(line, NULL, 16) == (unsigned long)p &&
			 strstr(line, "rw-s 00000000 00:01 ");
	CHECK(f && fclose(f) == 0 && found);
	CHECK(shmctl(0, IPC_INFO, (struct shmid_ds *)&info) >= 0 && info.shmmax == ULONG_MAX - (1UL << 24) &&
	      info.shmmni == 4096 && info.shmmin == 1);
	CHECK(shmctl(0, SHM_INFO, (struct shmid_ds *)&now) >= (id & 0x7fff) && now.used_ids >= 1 &&
	      now.shm_tot >= 2);
	return shmdt(p) == 0 && shmctl(id, IPC_RMID, NULL) == 0 &&
	       !line_with("/proc/sysvipc/shm", 1, id, line);
}

/* --- semaphores --- */

static int sem_do(int id, unsigned short number, short op, short flags)
{
	struct sembuf b = {number, op, flags};
	return semop(id, &b, 1);
}
static int sem_get(int id, int number, int command)
{
	return semctl(id, number, command, (union semun_){0});
}
static int sem_put(int id, int number, int value)
{
	return semctl(id, number, SETVAL, (union semun_){.val = value});
}
static int sem_rm(int id)
{
	return semctl(id, 0, IPC_RMID, (union semun_){0});
}

static bool sem_values(void)
{
	unsigned short all[4] = {1, 2, 3, 4};
	struct semid_ds ds;
	CHECK(FAILS_WITH(semget(IPC_PRIVATE, 0, 0600), EINVAL) &&
	      FAILS_WITH(semget(IPC_PRIVATE, -1, 0600), EINVAL) &&
	      FAILS_WITH(semget(IPC_PRIVATE, 32001, 0600), EINVAL) && FAILS_WITH(semget(KEY, 1, 0), ENOENT));
	int id = semget(KEY, 4, IPC_CREAT | IPC_EXCL | 0600);
	CHECK(id >= 0 && semget(KEY, 0, 0) == id && semget(KEY, 4, 0) == id &&
	      FAILS_WITH(semget(KEY, 5, 0), EINVAL));
	CHECK(semctl(id, 0, SETALL, (union semun_){.array = all}) == 0 && sem_get(id, 2, GETVAL) == 3);
	CHECK(sem_do(id, 2, -3, 0) == 0 && sem_get(id, 2, GETVAL) == 0 && sem_get(id, 2, GETPID) == getpid());
	CHECK(sem_do(id, 2, 0, 0) == 0 && FAILS_WITH(sem_do(id, 1, 0, IPC_NOWAIT), EAGAIN));
	CHECK(FAILS_WITH(sem_do(id, 1, -3, IPC_NOWAIT), EAGAIN) && FAILS_WITH(sem_do(id, 4, 1, 0), EFBIG));
	CHECK(sem_put(id, 0, 32767) == 0 && FAILS_WITH(sem_do(id, 0, 1, 0), ERANGE) &&
	      FAILS_WITH(sem_put(id, 0, 32768), ERANGE) && FAILS_WITH(sem_put(id, 0, -1), ERANGE) &&
	      FAILS_WITH(sem_put(id, 4, 0), EINVAL) && FAILS_WITH(sem_get(id, -1, GETVAL), EINVAL));
	struct sembuf both[2] = {{1, -2, 0}, {3, -5, IPC_NOWAIT}};
	CHECK(FAILS_WITH(semop(id, both, 2), EAGAIN) && sem_get(id, 1, GETVAL) == 2); /* all or nothing */
	both[1].sem_op = -4;
	CHECK(semop(id, both, 2) == 0 && sem_get(id, 1, GETVAL) == 0 && sem_get(id, 3, GETVAL) == 0);
	memset(all, 9, sizeof(all));
	CHECK(semctl(id, 0, GETALL, (union semun_){.array = all}) == 0 && all[0] == 32767 && !all[1] &&
	      !all[2] && !all[3]);
	all[1] = 40000;
	CHECK(FAILS_WITH(semctl(id, 0, SETALL, (union semun_){.array = all}), ERANGE) &&
	      sem_get(id, 1, GETVAL) == 0);
	CHECK(FAILS_WITH(semop(id, both, 0), EINVAL) && FAILS_WITH(semop(id, both, 501), E2BIG) &&
	      FAILS_WITH(semop(id, BAD, 1), EFAULT) && FAILS_WITH(semop(-1, both, 1), EINVAL));
	CHECK(semctl(id, 0, IPC_STAT, (union semun_){.buf = &ds}) == 0 && ds.sem_nsems == 4 &&
	      ds.sem_otime > 0 && ds.sem_ctime > 0 && ds.sem_perm.mode == 0600);
	CHECK(sem_rm(id) == 0 && FAILS_WITH(sem_get(id, 0, GETVAL), EINVAL) &&
	      FAILS_WITH(semop(id, both, 1), EINVAL));
	return true;
}

struct sem_job {
	int id;
	struct sembuf ops[2];
	unsigned n;
	int err; /* 0: it succeeds */
};

static int sem_job(void *arg)
{
	struct sem_job *j = arg;
	int r = semop(j->id, j->ops, j->n);
	return j->err ? !(r == -1 && errno == j->err) : r != 0;
}

static pid_t start(int (*fn)(void *), void *arg)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn(arg));
	return pid;
}
static bool ended_well(pid_t pid)
{
	int status;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Until so many wait like this; 10 s at most. */
static bool soon(int id, int number, int command, int count)
{
	struct timespec ts = {0, 1000000};
	for (int i = 0; i < 10000; i++) {
		if (sem_get(id, number, command) == count)
			return true;
		nanosleep(&ts, NULL);
	}
	return false;
}

static void ignore(int signal)
{
	(void)signal;
}

static int interrupted(void *arg)
{
	struct sem_job *j = arg;
	struct itimerval in = {{0, 5000}, {0, 5000}};
	struct sigaction a = {.sa_handler = ignore, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &in, NULL);
	return semop(j->id, j->ops, 1) == -1 && errno == EINTR ? 0 : 1;
}

static bool sem_waiting(void)
{
	int id = semget(IPC_PRIVATE, 2, 0600);
	CHECK(id >= 0);
	struct sem_job more = {id, {{0, -2, 0}}, 1, 0}, zero = {id, {{1, 0, 0}, {0, 1, 0}}, 2, 0},
		       gone = {id, {{0, -9, 0}}, 1, EIDRM};
	pid_t a = start(sem_job, &more), b, c;
	CHECK(a > 0 && soon(id, 0, GETNCNT, 1) && sem_put(id, 1, 1) == 0);
	b = start(sem_job, &zero);
	CHECK(b > 0 && soon(id, 1, GETZCNT, 1) && sem_get(id, 0, GETZCNT) == 0);
	CHECK(sem_do(id, 0, 1, 0) == 0 && sem_get(id, 0, GETNCNT) == 1); /* one is not enough for the first */
	CHECK(sem_do(id, 1, -1, 0) == 0); /* the second adds the other, and then the first can */
	CHECK(ended_well(a) && ended_well(b) && sem_get(id, 0, GETVAL) == 0 && sem_get(id, 0, GETPID) == a);
	struct timespec ts = {0, 2000000};
	struct sembuf never = {0, -1, 0};
	CHECK(FAILS_WITH(semtimedop(id, &never, 1, &ts), EAGAIN) && sem_get(id, 0, GETNCNT) == 0);
	ts.tv_nsec = -1;
	CHECK(FAILS_WITH(semtimedop(id, &never, 1, &ts), EINVAL) &&
	      FAILS_WITH(semtimedop(id, &never, 1, BAD), EFAULT));
	CHECK(child_exits(interrupted, &gone, 0) && sem_get(id, 0, GETNCNT) == 0);
	c = start(sem_job, &gone);
	CHECK(c > 0 && soon(id, 0, GETNCNT, 1) && sem_rm(id) == 0 && ended_well(c));
	return true;
}

static int undo(void *arg)
{
	int id = *(int *)arg;
	UCHECK(sem_do(id, 0, -3, SEM_UNDO) == 0 && sem_do(id, 1, 2, SEM_UNDO) == 0 &&
	       sem_do(id, 0, 1, SEM_UNDO) == 0);
	UCHECK(sem_get(id, 0, GETVAL) == 3 && sem_get(id, 1, GETVAL) == 2);
	return child_exits(sem_job, &(struct sem_job){id, {{0, 0, IPC_NOWAIT}}, 1, EAGAIN}, 0)
		   ? 0
		   : 1; /* a child has none of it */
}

static int undo_cleared(void *arg)
{
	int id = *(int *)arg;
	UCHECK(sem_do(id, 0, -5, SEM_UNDO) == 0 && sem_put(id, 0, 1) == 0);
	return 0;
}

static int undo_and_die(void *arg)
{
	int id = *(int *)arg;
	UCHECK(sem_do(id, 0, 1, SEM_UNDO) == 0 && sem_do(id, 0, -2, 0) == 0);
	raise(SIGKILL);
	return 0;
}

static int undo_removed(void *arg)
{
	(void)arg;
	int id = semget(IPC_PRIVATE, 1, 0600);
	UCHECK(id >= 0 && sem_do(id, 0, 1, SEM_UNDO) == 0 && sem_rm(id) == 0);
	return 0;
}

static bool sem_undoing(void)
{
	int id = semget(IPC_PRIVATE, 2, 0600);
	CHECK(id >= 0 && sem_put(id, 0, 5) == 0 && child_exits(undo, &id, 0));
	CHECK(sem_get(id, 0, GETVAL) == 5 && sem_get(id, 1, GETVAL) == 0);
	struct sem_job wants = {id, {{0, -5, 0}}, 1, 0};
	CHECK(child_exits(undo_cleared, &id, 0) && sem_get(id, 0, GETVAL) == 1);
	CHECK(child_dies(undo_and_die, &id, SIGKILL) && sem_get(id, 0, GETVAL) == 0); /* not below 0 */
	CHECK(child_exits(undo_removed, NULL, 0));
	pid_t waits = start(sem_job, &wants);
	CHECK(waits > 0 && soon(id, 0, GETNCNT, 1) && sem_put(id, 0, 6) == 0 && ended_well(waits) &&
	      sem_get(id, 0, GETVAL) == 1);
	return sem_rm(id) == 0;
}

static int sem_as_other(void *arg)
{
	int id = *(int *)arg;
	UCHECK(sc(setresgid, 5, 5, 5) == 0 && sc(setgroups, 0, NULL) == 0 && sc(setresuid, 5, 5, 5) == 0);
	UCHECK(sem_get(id, 0, GETVAL) == 0 && sem_do(id, 0, 0, 0) == 0 &&
	       FAILS_WITH(sem_do(id, 0, 1, 0), EACCES));
	UCHECK(FAILS_WITH(sem_put(id, 0, 1), EACCES) && FAILS_WITH(sem_rm(id), EPERM));
	return 0;
}

static bool sem_in_proc(void)
{
	char line[512];
	struct seminfo info;
	int id = semget(KEY, 3, IPC_CREAT | IPC_EXCL | 0644), key, its, perms, nsems;
	CHECK(id >= 0 && line_with("/proc/sysvipc/sem", 1, id, line));
	CHECK(sscanf(line, "%d %d %o %d", &key, &its, (unsigned *)&perms, &nsems) == 4);
	CHECK(key == KEY && its == id && perms == 0644 && nsems == 3);
	CHECK(semctl(0, 0, IPC_INFO, (union semun_){.other = &info}) >= 0 && info.semvmx == 32767 &&
	      info.semmsl == 32000 && info.semopm == 500);
	CHECK(semctl(0, 0, SEM_INFO, (union semun_){.other = &info}) >= (id & 0x7fff) && info.semusz >= 1 &&
	      info.semaem >= 3);
	return child_exits(sem_as_other, &id, 0) && sem_rm(id) == 0;
}

/* --- messages --- */

struct text_message {
	long type;
	char text[64];
};

static int msg_put(int id, long type, const char *text, int flags)
{
	struct text_message m = {.type = type};
	strcpy(m.text, text);
	return msgsnd(id, &m, strlen(text), flags);
}

/* The message that is received like this is this one. */
static bool msg_is(int id, long type, int flags, long its_type, const char *text)
{
	struct text_message m = {0};
	ssize_t n = msgrcv(id, &m, sizeof(m.text), type, flags | IPC_NOWAIT);
	return n == (ssize_t)strlen(text) && m.type == its_type && !memcmp(m.text, text, (size_t)n);
}

static bool msg_order(void)
{
	struct text_message m;
	struct msqid_ds ds;
	CHECK(FAILS_WITH(msgget(KEY, 0), ENOENT));
	int id = msgget(KEY, IPC_CREAT | IPC_EXCL | 0600);
	CHECK(id >= 0 && msgget(KEY, 0600) == id && FAILS_WITH(msgget(KEY, IPC_CREAT | IPC_EXCL), EEXIST));
	CHECK(FAILS_WITH(msg_put(id, 0, "x", 0), EINVAL) && FAILS_WITH(msg_put(id, -1, "x", 0), EINVAL) &&
	      FAILS_WITH(msgsnd(id, BAD, 1, 0), EFAULT));
	CHECK(FAILS_WITH(msgsnd(id, &m, 8193, 0), EINVAL) &&
	      FAILS_WITH(msgrcv(id, &m, (size_t)-1, 0, 0), EINVAL));
	CHECK(FAILS_WITH(msgrcv(id, &m, 64, 0, IPC_NOWAIT), ENOMSG));
	CHECK(!msg_put(id, 3, "three", 0) && !msg_put(id, 1, "one", 0) && !msg_put(id, 2, "two", 0) &&
	      !msg_put(id, 1, "uno", 0) && !msg_put(id, 9, "", 0));
	CHECK(msgctl(id, IPC_STAT, &ds) == 0 && ds.msg_qnum == 5 && ds.__msg_cbytes == 14 &&
	      ds.msg_qbytes == 16384 && ds.msg_lspid == getpid());
	CHECK(msg_is(id, 1, MSG_COPY, 1, "one") && msg_is(id, 0, MSG_COPY, 3, "three") &&
	      FAILS_WITH(msgrcv(id, &m, 64, 5, MSG_COPY | IPC_NOWAIT), ENOMSG));
	CHECK(FAILS_WITH(msgrcv(id, &m, 64, 0, MSG_COPY), EINVAL) &&
	      FAILS_WITH(msgrcv(id, &m, 64, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT), EINVAL));
	CHECK(msg_is(id, -2, 0, 1, "one") && msg_is(id, -2, 0, 1, "uno") && msg_is(id, -2, 0, 2, "two") &&
	      FAILS_WITH(msgrcv(id, &m, 64, -2, IPC_NOWAIT), ENOMSG));
	CHECK(FAILS_WITH(msgrcv(id, &m, 2, 0, IPC_NOWAIT), E2BIG) && msg_is(id, 3, MSG_EXCEPT, 9, ""));
	CHECK(msgrcv(id, &m, 2, 0, MSG_NOERROR) == 2 && m.type == 3 && !memcmp(m.text, "th", 2));
	CHECK(msgctl(id, IPC_STAT, &ds) == 0 && ds.msg_qnum == 0 && ds.__msg_cbytes == 0 &&
	      ds.msg_lrpid == getpid() && ds.msg_rtime > 0);
	CHECK(msgctl(id, IPC_RMID, NULL) == 0 && FAILS_WITH(msg_put(id, 1, "x", 0), EINVAL));
	return true;
}

static int sender(void *arg)
{
	return msg_put(*(int *)arg, 7, "late", 0);
}
static int receiver(void *arg)
{
	struct text_message m;
	return msgrcv(*(int *)arg, &m, 64, 7, 0) == 4 && !memcmp(m.text, "late", 4) ? 0 : 1;
}
static int told_of_removal(void *arg)
{
	struct text_message m;
	return msgrcv(*(int *)arg, &m, 64, 99, 0) == -1 && errno == EIDRM ? 0 : 1;
}
static int interrupted_receiver(void *arg)
{
	struct text_message m;
	struct itimerval in = {{0, 5000}, {0, 5000}};
	struct sigaction a = {.sa_handler = ignore, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &in, NULL);
	return msgrcv(*(int *)arg, &m, 64, 99, 0) == -1 && errno == EINTR ? 0 : 1;
}

/* Until the process sleeps; 10 s at most. */
static bool sleeps(pid_t pid)
{
	struct timespec ts = {0, 1000000};
	char name[64], line[256];
	snprintf(name, sizeof(name), "/proc/%d/stat", pid);
	for (int i = 0; i < 10000; i++) {
		FILE *f = fopen(name, "r");
		bool is = f && fgets(line, sizeof(line), f) && strstr(line, ") S ");
		if (f)
			fclose(f);
		if (is)
			return true;
		nanosleep(&ts, NULL);
	}
	return false;
}

static bool msg_waiting(void)
{
	struct msqid_ds ds;
	int id = msgget(IPC_PRIVATE, 0600);
	pid_t r = start(receiver, &id);
	CHECK(id >= 0 && r > 0 && sleeps(r) && msg_put(id, 6, "other", 0) == 0 &&
	      msg_put(id, 7, "late", 0) == 0 && ended_well(r));
	CHECK(msgctl(id, IPC_STAT, &ds) == 0);
	ds.msg_qbytes = 6;
	CHECK(msgctl(id, IPC_SET, &ds) == 0 && FAILS_WITH(msg_put(id, 1, "xx", IPC_NOWAIT), EAGAIN) &&
	      msg_put(id, 1, "x", IPC_NOWAIT) == 0);
	pid_t s = start(sender, &id);
	CHECK(s > 0 && sleeps(s) && msg_is(id, 6, 0, 6, "other") && ended_well(s) &&
	      msg_is(id, 7, 0, 7, "late"));
	CHECK(child_exits(interrupted_receiver, &id, 0));
	r = start(told_of_removal, &id);
	CHECK(r > 0 && sleeps(r) && msgctl(id, IPC_RMID, NULL) == 0 && ended_well(r));
	return true;
}

static int msg_as_other(void *arg)
{
	int id = *(int *)arg;
	struct msqid_ds ds;
	struct text_message m;
	UCHECK(sc(setresgid, 5, 5, 5) == 0 && sc(setgroups, 0, NULL) == 0 && sc(setresuid, 5, 5, 5) == 0);
	UCHECK(msg_put(id, 1, "x", 0) == 0 && FAILS_WITH(msgrcv(id, &m, 64, 0, IPC_NOWAIT), EACCES));
	UCHECK(
	    FAILS_WITH(msgctl(id, IPC_STAT, &ds), EACCES) && FAILS_WITH(msgctl(id, IPC_RMID, NULL), EPERM));
	return 0;
}

static bool msg_in_proc(void)
{
	char line[512];
	struct msginfo info;
	int id = msgget(KEY, IPC_CREAT | IPC_EXCL | 0622), key, its, perms;
	unsigned long bytes, count;
	CHECK(id >= 0 && child_exits(msg_as_other, &id, 0) && line_with("/proc/sysvipc/msg", 1, id, line));
	CHECK(sscanf(line, "%d %d %o %lu %lu", &key, &its, (unsigned *)&perms, &bytes, &count) == 5);
	CHECK(key == KEY && its == id && perms == 0622 && bytes == 1 && count == 1);
	CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0 && info.msgmax == 8192 &&
	      info.msgmnb == 16384 && info.msgmni == 32000);
	return msgctl(id, IPC_RMID, NULL) == 0;
}

/* --- limits --- */

/* Write `value` to a file of /proc/sys/kernel; what it said before is left in `old`. */
static bool set_limit(const char *name, const char *value, char old[64])
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/sys/kernel/%s", name);
	int fd = open(path, O_RDWR);
	ssize_t n = fd < 0 ? -1 : read(fd, old, 63);
	old[n > 0 ? n : 0] = 0;
	bool done = n > 0 && pwrite(fd, value, strlen(value), 0) == (ssize_t)strlen(value);
	int err = errno;
	close(fd);
	errno = err;
	return done;
}

static bool refuses(const char *name, const char *value, int err)
{
	char old[64];
	return !set_limit(name, value, old) && errno == err;
}

static int few_segments(void)
{
	char bytes[64], pages[64], back[64];
	UCHECK(set_limit("shmmax", "8192\n", bytes) && FAILS_WITH(shmget(IPC_PRIVATE, 8193, 0600), EINVAL));
	int id = shmget(IPC_PRIVATE, 8192, 0600);
	struct shminfo info;
	UCHECK(id >= 0 && shmctl(0, IPC_INFO, (void *)&info) >= 0 && info.shmmax == 8192);
	UCHECK(set_limit("shmall", "1", pages) && FAILS_WITH(shmget(IPC_PRIVATE, 4096, 0600), ENOSPC));
	UCHECK(shmctl(id, IPC_RMID, NULL) == 0 && set_limit("shmall", pages, back) && !strcmp(back, "1\n"));
	UCHECK(set_limit("shmmni", "0", pages) && FAILS_WITH(shmget(IPC_PRIVATE, 4096, 0600), ENOSPC));
	UCHECK(set_limit("shmmni", pages, back) && set_limit("shmmax", bytes, back));
	return refuses("shmmni", "32769", EINVAL) && refuses("shmmax", "x", EINVAL) ? 0 : 1;
}

static int few_semaphores(void)
{
	char old[64], back[64];
	struct sembuf ops[3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}};
	UCHECK(set_limit("sem", "4 6\t2 1\n", old));
	UCHECK(FAILS_WITH(semget(IPC_PRIVATE, 5, 0600), EINVAL));
	int id = semget(IPC_PRIVATE, 4, 0600);
	UCHECK(id >= 0 && FAILS_WITH(semget(IPC_PRIVATE, 1, 0600), ENOSPC));
	UCHECK(semop(id, ops, 2) == 0 && FAILS_WITH(semop(id, ops, 3), E2BIG));
	UCHECK(set_limit("sem", "4 6 2 9", back) && !strcmp(back, "4\t6\t2\t1\n"));
	UCHECK(FAILS_WITH(semget(IPC_PRIVATE, 3, 0600), ENOSPC)); /* in all */
	UCHECK(semctl(id, 0, IPC_RMID) == 0 && set_limit("sem", old, back) && refuses("sem", "x", EINVAL));
	return 0;
}

static int few_messages(void)
{
	char old[64], queue[64], back[64];
	struct {
		long type;
		char text[64];
	} m = {1, ""};
	UCHECK(set_limit("msgmax", "8", old) && set_limit("msgmnb", "16", queue));
	int id = msgget(IPC_PRIVATE, 0600);
	UCHECK(id >= 0 && FAILS_WITH(msgsnd(id, &m, 9, IPC_NOWAIT), EINVAL));
	UCHECK(msgsnd(id, &m, 8, IPC_NOWAIT) == 0 && msgsnd(id, &m, 8, IPC_NOWAIT) == 0);
	UCHECK(FAILS_WITH(msgsnd(id, &m, 8, IPC_NOWAIT), EAGAIN));
	UCHECK(set_limit("msgmax", old, back) && set_limit("msgmnb", queue, back));
	UCHECK(set_limit("msgmni", "0", old) && FAILS_WITH(msgget(IPC_PRIVATE, 0600), ENOSPC));
	return msgctl(id, IPC_RMID, NULL) == 0 && set_limit("msgmni", old, back) ? 0 : 1;
}

/* On Linux, those of an own namespace. */
static int own_limits(void *arg)
{
	struct utsname u;
	(void)arg;
	UCHECK(uname(&u) == 0);
	if (!strstr(u.release, "quire") && unshare(CLONE_NEWIPC))
		return 0; /* a host that does not let us */
	return few_segments() || few_semaphores() || few_messages();
}

static bool limits(void)
{
	return child_exits(own_limits, NULL, 0);
}

static const struct utest tests[] = {
    {"segments: keys and ids", shm_ids},
    {"ids are not used again soon", ids_change},
    {"segments: attachments", shm_counts},
    {"segments: killed ones let go", killed_ones_let_go},
    {"segments: places", shm_places},
    {"segments: permissions", shm_permissions},
    {"segments: what is told", shm_in_proc},
    {"semaphores: values", sem_values},
    {"semaphores: waiting", sem_waiting},
    {"semaphores: undoing", sem_undoing},
    {"semaphores: permissions, what is told", sem_in_proc},
    {"messages: order", msg_order},
    {"messages: waiting", msg_waiting},
    {"messages: permissions, what is told", msg_in_proc},
    {"limits that are set", limits},
};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
