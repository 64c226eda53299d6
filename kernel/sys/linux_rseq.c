/* linux_rseq.c - the call rseq: proc/rseq.c says what it is. */
#include "sys/sys.h"

enum { RSEQ_FLAG_UNREGISTER = 1 };

int64_t sys_rseq(uaddr_t area, uint32_t len, uint32_t flags, uint32_t sig)
{
	if (flags & ~(uint32_t)RSEQ_FLAG_UNREGISTER)
		return -EINVAL;
	return flags ? rseq_unregister(area, len, sig) : rseq_register(area, len, sig);
}
