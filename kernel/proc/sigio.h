#pragma once
/* sigio.h - the signals of O_ASYNC: whom a file's owner names. See sigio.c. */
#include "lib/types.h"

enum sigio_type { SIGIO_THREAD, SIGIO_PROCESS, SIGIO_GROUP }; /* the ABI's F_OWNER_TID ... */
struct sigio_owner {
	int32_t type;    /* enum sigio_type */
	uint32_t number; /* 0: nobody */
};
/* As async_owner.who keeps it. */
static inline uint64_t sigio_pack(struct sigio_owner o)
{
	return (uint64_t)(uint32_t)o.type << 32 | o.number;
}
static inline struct sigio_owner sigio_owner_of(uint64_t packed)
{
	return (struct sigio_owner){(int32_t)(packed >> 32), (uint32_t)packed};
}

/* The thread that sends. Once at boot. */
void sigio_init(void);
/* Exit work of THREAD_ASYNC: send what there is to tell. May sleep. */
void sigio_flush(void);
