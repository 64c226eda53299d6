#pragma once
/*
 * xattr_area.h - the format of extended attributes on the disk: a place with entries from its start and
 * values from its end.
 *
 *	base          first                                 size
 *	  │ (header)    │ entry entry entry 0 │ ... │ value value │
 *
 * An inode has such a place behind its fields, if it is larger than they are, and may have a block of them.
 * All that is here works on copies in memory; whatever they hold, nothing beside them is touched.
 */
#include "fs/ext2/ext2_priv.h"
#include "fs/xattr.h"

struct ext2_attr { /* an entry on the disk; its name follows, up to a multiple of 4 bytes */
	uint8_t name_len, space;
	uint16_t value_at;  /* from base */
	uint32_t value_ino; /* 0: the value is here */
	uint32_t value_len, hash;
	char name[];
};
_Static_assert(sizeof(struct ext2_attr) == 16, "the disk's layout");

struct xattr_area {
	uint8_t *base;        /* what value_at counts from */
	uint32_t first, size; /* bytes from base; first == size: there is no such place */
};

/* Are entries and values where they may be? -EUCLEAN. All other functions need this. */
MUST_CHECK err_t xattr_area_check(const struct xattr_area *a);
/* The next entry from *at (a.first to begin with) on, which moves behind it; NULL: no more. */
const struct ext2_attr *xattr_area_next(const struct xattr_area *a, uint32_t *at);
/* NULL: it is not here. */
const struct ext2_attr *xattr_area_find(const struct xattr_area *a, const struct xattr_name *name);
struct xattr_name xattr_area_name(const struct ext2_attr *d);
bool xattr_area_is_empty(const struct xattr_area *a);
/* Fill `to`, of the same shape, anew with what `from` has, without `name`; with it if value is not NULL, in
 * its place by order. hashed: the entry gets a hash of what it is. -ENOSPC: `to` is nonsense then. */
MUST_CHECK err_t xattr_area_rebuild(const struct xattr_area *from, const struct xattr_area *to,
    const struct xattr_name *name, const struct xattr_value *value, bool hashed);
/* Of all entries, by which blocks with the same attributes are found; 0: one has none. */
uint32_t xattr_area_hash(const struct xattr_area *a);
