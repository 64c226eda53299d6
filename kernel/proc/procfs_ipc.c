/* procfs_ipc.c - /proc/sysvipc: the System V objects there are, one a line, whoever may use them. Formats are
 * Linux's. */
#include "fs/text.h"
#include "proc/ipc.h"
#include "proc/procfs_priv.h"

/* Objects are looked at one at a time, for text is memory and the lock forbids that: the list is what it was
 * at some moment for each line, as on Linux. */
#define EACH_INDEX(i, highest) for (int32_t i = 0; i <= (int32_t)(highest); i++)

static void show_shm(struct text *t, UNUSED struct vnode *v)
{
	struct shm_totals totals;
	struct shm_stat s;
	shm_totals(&totals);
	text_printf(t,
	    "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid "
	    "     atime      dtime      ctime                   rss                  swap\n");
	EACH_INDEX(i, totals.highest)
	{
		if (shm_stat(i, IPC_STAT_ANY, &s))
			continue;
		text_printf(t,
		    "%10d %10u  %4o %21llu %5u %5u  %5llu %5u %5u %5u %5u %10lld %10lld %10lld %21llu %21u\n",
		    s.perm.key, s.id, s.perm.mode, (unsigned long long)s.size, s.cpid, s.lpid,
		    (unsigned long long)s.attached, s.perm.uid, s.perm.gid, s.perm.cuid, s.perm.cgid,
		    (long long)s.atime, (long long)s.dtime, (long long)s.ctime,
		    (unsigned long long)s.resident << PAGE_SHIFT, 0);
	}
}

static void show_sem(struct text *t, UNUSED struct vnode *v)
{
	struct sem_totals totals;
	struct sem_stat s;
	sem_totals(&totals);
	text_printf(
	    t, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
	EACH_INDEX(i, totals.highest)
	{
		if (sem_stat(i, IPC_STAT_ANY, &s))
			continue;
		text_printf(t, "%10d %10u  %4o %10u %5u %5u %5u %5u %10lld %10lld\n", s.perm.key, s.id,
		    s.perm.mode, s.nsems, s.perm.uid, s.perm.gid, s.perm.cuid, s.perm.cgid,
		    (long long)s.otime, (long long)s.ctime);
	}
}

static void show_msg(struct text *t, UNUSED struct vnode *v)
{
	struct msg_totals totals;
	struct msg_stat s;
	msg_totals(&totals);
	text_printf(t,
	    "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid "
	    "     stime      rtime      ctime\n");
	EACH_INDEX(i, totals.highest)
	{
		if (msg_stat(i, IPC_STAT_ANY, &s))
			continue;
		text_printf(t, "%10d %10u  %4o  %10llu %10llu %5u %5u %5u %5u %5u %5u %10lld %10lld %10lld\n",
		    s.perm.key, s.id, s.perm.mode, (unsigned long long)s.bytes, (unsigned long long)s.count,
		    s.lspid, s.lrpid, s.perm.uid, s.perm.gid, s.perm.cuid, s.perm.cgid, (long long)s.stime,
		    (long long)s.rtime, (long long)s.ctime);
	}
}

#define FILE_ENTRY(n)                                                                                        \
	{                                                                                                    \
		.name = #n, .mode = MODE_REG | 0444, .text = {.show = show_##n }                             \
	}
static const struct proc_entry entries[] = {FILE_ENTRY(msg), FILE_ENTRY(sem), FILE_ENTRY(shm)};
const struct proc_dir proc_sysvipc_dir = {
    .class = CLASS_SYSVIPC, .entries = entries, .count = ARRAY_SIZE(entries)};
