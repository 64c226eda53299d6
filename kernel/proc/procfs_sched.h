#pragma once
/* procfs_sched.h - what /proc/sys/kernel says about the scheduler's shares of time. */
#include "proc/procfs_priv.h"

#define SCHED_SETTINGS(setting)                                                                              \
	setting(sched_rr_timeslice_ms) setting(sched_rt_period_us) setting(sched_rt_runtime_us)

#define SCHED_SETTING_DECLARE(ident)                                                                         \
	void sched_show_##ident(struct text *t, struct vnode *v);                                            \
	int64_t sched_store_##ident(struct vnode *v, char *s, size_t n);
SCHED_SETTINGS(SCHED_SETTING_DECLARE)
