/* linux_vmcopy.c - process_vm_readv and process_vm_writev: between the memory of two processes. */
#include "mm/slab.h"
#include "sys/memory.h"
#include "vm/copy.h"

enum { IOV_MAX = 1024 };
#define COPY_MAX (INT32_MAX & ~(uint64_t)(PAGE_SIZE - 1)) /* bytes of one call: MAX_RW_COUNT */

struct vec {
	uint64_t base, len;
};

/* One side of the copy. */
struct side {
	struct vm_space *space;
	struct vec *vecs;
	uint64_t count, at; /* vectors; the one that is being used */
	uint64_t done;      /* bytes of that one */
};

static err_t fetch(struct side *s, uaddr_t from, uint64_t count)
{
	s->count = count;
	if (count > IOV_MAX)
		return -EINVAL;
	if (!count)
		return 0;
	s->vecs = kmalloc(count * sizeof(*s->vecs));
	if (!s->vecs)
		return -ENOMEM;
	err_t err = copy_from_user(s->vecs, from, count * sizeof(*s->vecs));
	for (uint64_t i = 0; !err && i < count; i++)
		err = s->vecs[i].len > INT64_MAX ? -EINVAL : 0;
	return err;
}

/* Bytes that can be taken from where the side is, skipping what is used up; 0: the end. */
static uint64_t left(struct side *s)
{
	while (s->at < s->count && s->done == s->vecs[s->at].len) {
		s->at++;
		s->done = 0;
	}
	return s->at < s->count ? s->vecs[s->at].len - s->done : 0;
}

static int64_t copy_all(struct side *to, struct side *from)
{
	uint64_t total = 0, n;
	while (total < COPY_MAX && (n = MIN(left(to), left(from)))) {
		enum copy_side faulted;
		size_t done;
		n = MIN(n, COPY_MAX - total);
		err_t err = space_copy(to->space, to->vecs[to->at].base + to->done, from->space,
		    from->vecs[from->at].base + from->done, n, &done, &faulted);
		total += done;
		to->done += done;
		from->done += done;
		if (err)
			return total ? (int64_t)total : err == -ENOMEM || err == -EINTR ? err : -EFAULT;
	}
	return (int64_t)total;
}

/* The memory of a process that the caller may access, with a reference. */
static err_t find_space(int32_t pid, struct vm_space **out)
{
	struct process *p;
	err_t err = pid > 0 ? process_find_by_thread((uint32_t)pid, &p) : -ESRCH;
	if (err)
		return err;
	err = current_may_access(p, (uint32_t)pid) ? 0 : -EPERM;
	*out = err ? NULL : process_space(p);
	if (!err && !*out)
		err = -ESRCH;
	process_put(p);
	return err;
}

static int64_t vm_copy(
    int32_t pid, uaddr_t local, uint64_t nlocal, uaddr_t remote, uint64_t nremote, uint64_t flags, bool write)
{
	struct side mine = {.space = current_space()}, its = {0};
	if (flags)
		return -EINVAL;
	int64_t result = fetch(&mine, local, nlocal);
	if (!result && left(&mine)) {
		result = fetch(&its, remote, nremote);
		if (!result)
			result = find_space(pid, &its.space);
		if (!result) {
			result = write ? copy_all(&its, &mine) : copy_all(&mine, &its);
			space_put(its.space);
		}
	}
	kfree(mine.vecs);
	kfree(its.vecs);
	return result;
}

int64_t sys_process_vm_readv(
    int32_t pid, uaddr_t local, uint64_t nlocal, uaddr_t remote, uint64_t nremote, uint64_t flags)
{
	return vm_copy(pid, local, nlocal, remote, nremote, flags, false);
}

int64_t sys_process_vm_writev(
    int32_t pid, uaddr_t local, uint64_t nlocal, uaddr_t remote, uint64_t nremote, uint64_t flags)
{
	return vm_copy(pid, local, nlocal, remote, nremote, flags, true);
}
