#pragma once
/* procfs_sched.h - what the scheduler gave a thread (/proc/PID/sched, schedstat), and what /proc/sys/kernel
 * says about its shares of time. */
#include "proc/procfs_priv.h"

void sched_show_thread(struct text *t, struct vnode *v);
/* On Linux this clears statistics of which none is kept here. */
int64_t sched_store_thread(struct vnode *v, char *s, size_t n);
void sched_show_stat(struct text *t, struct vnode *v);

#define SCHED_SETTINGS(setting)                                                                              \
	setting(sched_rr_timeslice_ms) setting(sched_rt_period_us) setting(sched_rt_runtime_us)

#define SCHED_SETTING_DECLARE(ident)                                                                         \
	void sched_show_##ident(struct text *t, struct vnode *v);                                            \
	int64_t sched_store_##ident(struct vnode *v, char *s, size_t n);
SCHED_SETTINGS(SCHED_SETTING_DECLARE)
