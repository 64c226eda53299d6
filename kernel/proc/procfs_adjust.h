#pragma once
/* procfs_adjust.h - files of /proc/PID that set how a process is treated. */
#include "fs/text.h"

/* oom_score_adj, and oom_adj on the scale of old; oom_score. */
void adjust_show_oom(struct text *t, struct vnode *v);
int64_t adjust_store_oom(struct vnode *v, char *s, size_t n);
void adjust_show_oom_old(struct text *t, struct vnode *v);
int64_t adjust_store_oom_old(struct vnode *v, char *s, size_t n);
void adjust_show_oom_score(struct text *t, struct vnode *v);
void adjust_show_personality(struct text *t, struct vnode *v);
/* loginuid, sessionid; uid_map, gid_map and setgroups, of which there is one user namespace's. */
void adjust_show_login(struct text *t, struct vnode *v);
int64_t adjust_store_login(struct vnode *v, char *s, size_t n);
void adjust_show_session(struct text *t, struct vnode *v);
void adjust_show_id_map(struct text *t, struct vnode *v);
void adjust_show_setgroups(struct text *t, struct vnode *v);
int64_t adjust_store_namespace(struct vnode *v, char *s, size_t n);
/* timerslack_ns */
void adjust_show_slack(struct text *t, struct vnode *v);
int64_t adjust_store_slack(struct vnode *v, char *s, size_t n);
/* coredump_filter: what of its memory goes into its core file. */
void adjust_show_core_filter(struct text *t, struct vnode *v);
int64_t adjust_store_core_filter(struct vnode *v, char *s, size_t n);
