/* native_object.c - native calls on descriptors of any kind: rights, information, signals, waiting. */
#include "fs/object_wait.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "quire/object.h"
#include "sys/files.h"

#define SAME(ours, theirs) STATIC_ASSERT((uint64_t)(ours) == (uint64_t)(theirs))
SAME(KO_REPLY, QUIRE_REPLY);
SAME(KO_ENDPOINT, QUIRE_ENDPOINT);
SAME(KO_TYPES, QUIRE_ANY);
SAME(RIGHT_READ, QUIRE_RIGHT_READ);
SAME(RIGHT_WAIT, QUIRE_RIGHT_WAIT);
SAME(RIGHT_MANAGE, QUIRE_RIGHT_MANAGE);
SAME(RIGHTS_ALL, QUIRE_RIGHTS_ALL);
SAME(SIGNAL_READ_CLOSED, QUIRE_SIGNAL_READ_CLOSED);
SAME(SIGNAL_DEAD, QUIRE_SIGNAL_DEAD);
SAME(SIGNALS_USER, QUIRE_SIGNALS_USER);

/* --- rights --- */

int64_t sys_rights_get(int32_t fd)
{
	struct kobject *o;
	uint32_t rights;
	err_t err = desc_lookup(current_descs(), fd, &o, &rights);
	if (err)
		return err;
	kobject_put(o);
	return rights;
}

int64_t sys_rights_limit(int32_t fd, uint32_t rights)
{
	return rights & ~(uint32_t)RIGHTS_ALL ? -EINVAL : desc_limit(current_descs(), fd, rights);
}

/* --- information --- */

enum { INFO_FIRST_SIZE = sizeof(struct quire_object_info) }; /* of the first version */

int64_t sys_object_info(struct file *f, int32_t fd, uaddr_t to, uint64_t size)
{
	struct kobject *o = &f->object;
	struct quire_object_info info = {.koid = o->koid,
	    .signals = file_signals(f),
	    .type = fd_object_type(f),
	    .descriptors = load_relaxed(&o->descs),
	    .references = ref_count(&o->refs) - 1 /* this call's */};
	err_t err = fd_rights_of(fd, f, &info.rights);
	if (!err && size < INFO_FIRST_SIZE)
		err = -EINVAL;
	size = MIN(size, sizeof(info));
	if (!err)
		err = copy_to_user(to, &info, size);
	return err ? err : (int64_t)size;
}

/* --- signals --- */

int64_t sys_object_signal(struct file *f, uint64_t set, uint64_t clear)
{
	if ((set | clear) & ~SIGNALS_USER)
		return -EINVAL;
	kobject_signal(&f->object, set, clear);
	return 0;
}

static void items_put(struct wait_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		file_put(items[i].file);
}

static err_t items_get(struct wait_item *items, const struct quire_wait *asked, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct wait_item *it = &items[i];
		err_t err = fd_object(asked[i].fd, KO_TYPES, RIGHT_WAIT, &it->file);
		if (err) {
			items_put(items, i);
			return err;
		}
		it->fd = asked[i].fd;
		it->mask = asked[i].mask;
	}
	return 0;
}

/* Room for both: what the caller gave, and what waiting needs. */
struct wait_call {
	struct quire_wait asked[QUIRE_WAIT_MAX];
	struct wait_item items[QUIRE_WAIT_MAX];
};

static int64_t wait_call(struct wait_call *w, uaddr_t at, unsigned n, nsec_t deadline)
{
	size_t size = n * sizeof(w->asked[0]);
	err_t err = copy_from_user(w->asked, at, size);
	if (!err)
		err = items_get(w->items, w->asked, n);
	if (err)
		return err;
	int64_t found = object_wait_any(w->items, n, current_descs(), deadline);
	for (unsigned i = 0; i < n; i++) {
		w->asked[i].signals = w->items[i].signals;
		w->asked[i].error = -w->items[i].error;
	}
	items_put(w->items, n);
	err = copy_to_user(at, w->asked, size);
	return err ? err : restartable(found);
}

int64_t sys_object_wait(uaddr_t items, uint32_t count, uint64_t deadline)
{
	if (count == 0 || count > QUIRE_WAIT_MAX)
		return -EINVAL;
	struct wait_call *w = kmalloc(sizeof(*w));
	if (!w)
		return -ENOMEM;
	int64_t found = wait_call(w, items, count, deadline);
	kfree(w);
	return found;
}
