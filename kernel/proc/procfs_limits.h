#pragma once
/* procfs_limits.h - the limits of System V objects in /proc/sys/kernel: proc(5). */
#include "proc/procfs_priv.h"

#define IPC_SETTINGS_NUMBER(setting) setting(msgmax) setting(msgmnb) setting(msgmni)
#define IPC_SETTINGS_SEM(setting)    setting(sem)
#define IPC_SETTINGS_SHM(setting)    setting(shmall) setting(shmmax) setting(shmmni)

#define IPC_SETTING_DECLARE(ident)                                                                           \
	void ipc_show_##ident(struct text *t, struct vnode *v);                                              \
	int64_t ipc_store_##ident(struct vnode *v, char *s, size_t n);
IPC_SETTINGS_NUMBER(IPC_SETTING_DECLARE)
IPC_SETTINGS_SEM(IPC_SETTING_DECLARE)
IPC_SETTINGS_SHM(IPC_SETTING_DECLARE)
