#pragma once
/* object_wait.h - waiting for signals of any of many objects. See object_wait.c. */
#include "fs/file.h"
#include "object/desc.h"

struct wait_item {
	struct file *file; /* counted by the caller */
	int fd;            /* that names it */
	uint64_t mask;     /* signals to wait for; that it is dead is always one */
	uint64_t signals;  /* result: as they are */
	err_t error;       /* result: 0, -ECANCELED */
	struct wait_set *set;
	struct observer observer;
};

/* Sleep until an object has a signal of its mask, and return how many have. t: the table of the descriptors.
 * -ETIMEDOUT at the monotonic deadline, which may have passed already; -ECANCELED: a descriptor was closed
 * meanwhile; -EINTR. Results are set in any case. */
MUST_CHECK int64_t object_wait_any(
    struct wait_item *items, unsigned n, struct desc_table *t, nsec_t deadline);
