#pragma once
/*
 * desc.h - descriptor tables. A Linux fd is a descriptor. A table belongs to a process or is shared by
 * several (CLONE_FILES).
 *
 * Each slot: object, rights, close-on-exec. Look-ups take a reference, so an object outlives a concurrent
 * close. Order of errors: bad descriptor (-EBADF), wrong type (as the caller says), missing right (-EACCES,
 * or -EBADF where Linux says so: read on a descriptor that is open for writing only).
 */
#include "object/kobject.h"

enum { DESC_LIMIT_MAX = 1 << 20 }; /* Linux's nr_open */

struct desc_table;

MUST_CHECK err_t desc_table_create(struct desc_table **out);
/* A copy with the same descriptors (fork), but for those that may not be duplicated. -ENOMEM. */
MUST_CHECK err_t desc_table_clone(struct desc_table *t, struct desc_table **out);
void desc_table_get(struct desc_table *t);
/* Has it users besides the one that asks? */
bool desc_table_is_shared(struct desc_table *t);
/* The last put closes everything. May sleep. */
void desc_table_put(struct desc_table *t);

/* Put an object into the lowest free slot >= min and < limit; the caller keeps its own reference. Returns the
 * descriptor, -EMFILE, -ENOMEM. */
MUST_CHECK int desc_install(
    struct desc_table *t, struct kobject *o, uint32_t rights, bool cloexec, int min, int limit);
/* Put it at exactly `fd` (dup2, dup3), closing what is there. -EBADF (out of range), -ENOMEM. */
MUST_CHECK err_t desc_install_at(
    struct desc_table *t, int fd, struct kobject *o, uint32_t rights, bool cloexec, int limit);
/* Keep the lowest free descriptor for what is about to be made: nobody sees it, nobody gets it, until
 * desc_fill puts an object there (with a reference of its own), which cannot fail, or desc_unreserve gives
 * it back. -EMFILE, -ENOMEM. Tables that go have none left. */
MUST_CHECK int desc_reserve(struct desc_table *t, int limit);
void desc_unreserve(struct desc_table *t, int fd);
void desc_fill(struct desc_table *t, int fd, struct kobject *o, uint32_t rights, bool cloexec);
struct desc_entry {
	struct kobject *object;
	uint32_t rights;
};
/* What fd names, with a reference; object NULL: nothing. */
MUST_CHECK struct desc_entry desc_get(struct desc_table *t, int fd);
/* The same; *rights may be NULL. -EBADF. */
static inline MUST_CHECK err_t desc_lookup(
    struct desc_table *t, int fd, struct kobject **out, uint32_t *rights)
{
	struct desc_entry e = desc_get(t, fd);
	if (unlikely(!e.object))
		return -EBADF;
	*out = e.object;
	if (rights)
		*rights = e.rights;
	return 0;
}
/* The descriptor keeps `rights` and no others. -EBADF; -EACCES: it has not got them all. */
MUST_CHECK err_t desc_limit(struct desc_table *t, int fd, uint32_t rights);
/* Does fd still name o? It may not a moment later. */
bool desc_names(struct desc_table *t, int fd, const struct kobject *o);
/* Close fd if it still names o. May sleep. */
void desc_close_same(struct desc_table *t, int fd, const struct kobject *o);

/* A descriptor on its way from one table to another, which keeps the object open. */
struct parcel {
	struct kobject *object;
	uint32_t rights;
};
/* A copy of the descriptor. -EBADF; -EACCES: it may not be transferred. */
MUST_CHECK err_t parcel_make(struct desc_table *t, int fd, struct parcel *out);
/* One more like it. */
void parcel_copy(const struct parcel *from, struct parcel *out);
/* A descriptor like it; the parcel stays. As desc_install. */
MUST_CHECK int parcel_install(const struct parcel *p, struct desc_table *t, bool cloexec, int limit);
/* May sleep. */
void parcel_drop(struct parcel *p);

/* -EBADF: nothing is there. Any other error is what the object's end told (on_no_descriptors); the descriptor
 * is closed. */
MUST_CHECK err_t desc_close(struct desc_table *t, int fd);
/* Close every descriptor of [first, last]; set_cloexec: only mark them. */
void desc_close_range(struct desc_table *t, unsigned first, unsigned last, bool set_cloexec);
void desc_close_on_exec(struct desc_table *t);
MUST_CHECK err_t desc_get_cloexec(struct desc_table *t, int fd, bool *cloexec);
MUST_CHECK err_t desc_set_cloexec(struct desc_table *t, int fd, bool cloexec);
/* The lowest used descriptor >= from, or -1: for /proc/PID/fd. */
int desc_next(struct desc_table *t, int from);
unsigned desc_count(struct desc_table *t);
/* No descriptor beyond this one is in use; -1: none is. */
int desc_highest(struct desc_table *t);
