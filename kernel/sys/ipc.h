#pragma once
/* ipc.h - what the calls on System V objects share. */
#include "proc/ipc.h"
#include "sys/sys.h"

enum ipc_command { /* the ABI's; the kinds have more */
	IPC_CMD_RMID = 0,
	IPC_CMD_SET = 1,
	IPC_CMD_STAT = 2,
	IPC_CMD_INFO = 3,
};

/* struct ipc64_perm of the ABI. */
struct sys_ipc_perm {
	int32_t key;
	uint32_t uid, gid, cuid, cgid, mode;
	uint16_t seq, pad;
	uint64_t unused[2];
};
_Static_assert(sizeof(struct sys_ipc_perm) == 48, "the ABI");

static inline struct sys_ipc_perm ipc_perm_out(const struct ipc_perm *p)
{
	return (struct sys_ipc_perm){.key = p->key,
	    .uid = p->uid,
	    .gid = p->gid,
	    .cuid = p->cuid,
	    .cgid = p->cgid,
	    .mode = p->mode,
	    .seq = (uint16_t)p->seq};
}
static inline struct ipc_perm ipc_perm_in(const struct sys_ipc_perm *p)
{
	return (struct ipc_perm){.uid = p->uid, .gid = p->gid, .mode = p->mode};
}
