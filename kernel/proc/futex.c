/*
 * futex.c - a hash table of sleepers, by the key of the word they sleep on.
 *
 *	bucket: lock, list of struct futex_waiter (each on its sleeper's stack), oldest first
 *
 * No wake-up is lost: the sleeper compares the word and goes on the list under the bucket's lock; a waker
 * changes the word first and takes that lock afterwards. So the waker either finds the sleeper, or changed
 * the word before the sleeper looked. The word is read by an access that cannot sleep; if its page is not
 * there the lock is dropped, the page brought in, and all starts over, key included.
 *
 * Each sleeper has a wait queue of its own, so a wake-up reaches just the one that was chosen. Requeueing
 * changes a sleeper's bucket under the locks of both buckets; who wants the lock of a sleeper's bucket
 * therefore takes it and looks whether it still is the one. A sleeper leaves (woken, timed out, interrupted
 * or killed) only under the lock of the bucket that it is in: what wakes it has let go of it then. If it was
 * woken that counts, whatever else happened.
 *
 * Two buckets are locked in the order of their addresses. Bucket locks are of rank RANK_SERVICE: no interrupt
 * handler wakes a futex.
 *
 * Keys hold a reference to the object of shared memory; a space needs none, as whoever uses its key runs in
 * it.
 */
#include "proc/futex.h"
#include "arch/usercopy.h"
#include "kern/random.h"
#include "kern/wall.h"
#include "proc/process.h"
#include "vm/space.h"

enum { BUCKETS = 256, ROBUST_MAX = 2048 };

enum futex_word { WORD_WAITERS = (int)0x80000000, WORD_OWNER_DIED = 0x40000000, WORD_TID = 0x3fffffff };

struct futex_key {
	uintptr_t place; /* space or object; bits 0-1: enum key_class, so that the classes never meet */
	uint64_t offset; /* address or byte of the object */
	struct vm_object *object; /* counted, or NULL */
};

enum key_class { KEY_PRIVATE, KEY_SHARED_PRIVATE_MEMORY, KEY_SHARED };

struct futex_waiter {
	struct list link;                    /* bucket's lock */
	struct futex_key key;                /* bucket's lock; its reference belongs to the waiter */
	struct futex_bucket *_Atomic bucket; /* changes with both locks held */
	uint32_t bitset;                     /* constant */
	nsec_t deadline;                     /* constant */
	bool wall;                           /* constant: it is a time of day */
	bool woken;                          /* bucket's lock: off the list */
	struct waitq wait;
};

struct futex_bucket {
	struct spinlock lock;
	struct list waiters; /* lock; by link */
} ALIGNED(CACHE_LINE);

static struct futex_bucket buckets[BUCKETS];
static uint64_t hash_secret; /* constant after boot: nobody can aim at a bucket */

void futex_init(void)
{
	random_bytes(&hash_secret, sizeof(hash_secret));
	for (unsigned i = 0; i < BUCKETS; i++) {
		spin_init(&buckets[i].lock, "futex bucket", RANK_SERVICE);
		list_init(&buckets[i].waiters);
	}
}

/* --- keys --- */

static err_t key_get(uaddr_t addr, bool shared, struct futex_key *key)
{
	struct vm_space *space = current_thread()->space;
	pgidx_t idx;
	*key = (struct futex_key){.place = (uintptr_t)space | KEY_PRIVATE, .offset = addr};
	if (!IS_ALIGNED(addr, sizeof(uint32_t)))
		return -EINVAL;
	if (addr >= USER_END)
		return -EFAULT;
	if (!shared)
		return 0;
	uint32_t value;
	err_t err = read_user_u32(addr, &value); /* there must be memory */
	if (!err)
		err = space_find_shared(space, addr, &key->object, &idx);
	if (err)
		return err;
	key->place = (uintptr_t)space | KEY_SHARED_PRIVATE_MEMORY;
	if (key->object) {
		key->place = (uintptr_t)key->object | KEY_SHARED;
		key->offset = (idx << PAGE_SHIFT) | (addr & (PAGE_SIZE - 1));
	}
	return 0;
}

static void key_put(struct futex_key *key)
{
	if (key->object)
		object_put(key->object);
	key->object = NULL;
}

static err_t keys_get(uaddr_t a, uaddr_t b, bool shared, struct futex_key *ka, struct futex_key *kb)
{
	err_t err = key_get(a, shared, ka);
	if (err)
		return err;
	err = key_get(b, shared, kb);
	if (err)
		key_put(ka);
	return err;
}

static bool key_equal(const struct futex_key *a, const struct futex_key *b)
{
	return a->place == b->place && a->offset == b->offset;
}

static struct futex_bucket *bucket_of(const struct futex_key *key)
{
	uint64_t h = (key->place ^ hash_secret) * 0x9e3779b97f4a7c15ULL;
	h = (h ^ (h >> 29) ^ key->offset) * 0xbf58476d1ce4e5b9ULL;
	return &buckets[(h >> 32) % BUCKETS];
}

/* --- locks --- */

static void lock_two(struct futex_bucket *a, struct futex_bucket *b)
{
	spin_lock(&MIN(a, b)->lock);
	if (a != b)
		spin_lock_nested(&MAX(a, b)->lock); /* everybody takes the lower address first */
}

static void unlock_two(struct futex_bucket *a, struct futex_bucket *b)
{
	if (a != b)
		spin_unlock(&MAX(a, b)->lock);
	spin_unlock(&MIN(a, b)->lock);
}

/* Read, or compare and exchange, with bucket locks held: -EFAULT if that cannot be done without sleeping. */
static err_t read_locked(uaddr_t addr, uint32_t *out)
{
	usercopy_atomic_begin(current_thread());
	err_t err = read_user_u32(addr, out);
	usercopy_atomic_end(current_thread());
	return err;
}

static err_t cas_locked(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *seen)
{
	usercopy_atomic_begin(current_thread());
	err_t err = cas_user_u32(addr, expected, desired, seen);
	usercopy_atomic_end(current_thread());
	return err;
}

/* --- sleepers --- */

static struct futex_bucket *lock_bucket_of(struct futex_waiter *w)
{
	for (;;) {
		struct futex_bucket *b = load_acquire(&w->bucket);
		spin_lock(&b->lock);
		if (load_relaxed(&w->bucket) == b)
			return b;
		spin_unlock(&b->lock);
	}
}

static void wake_locked(struct futex_waiter *w)
{
	list_remove(&w->link);
	w->woken = true;
	waitq_wake_one(&w->wait);
}

/* Wake sleepers of b on key, at least one, until *count reaches max. */
static void wake_key_locked(
    struct futex_bucket *b, const struct futex_key *key, uint32_t bitset, int32_t max, int32_t *count)
{
	list_for_each_safe (it, &b->waiters) {
		struct futex_waiter *w = list_entry(it, struct futex_waiter, link);
		if (!key_equal(&w->key, key) || !(w->bitset & bitset))
			continue;
		wake_locked(w);
		if (++*count >= max)
			break;
	}
}

/* Put w on its list if the word is as expected: 0 with the bucket locked. Else nothing is locked. */
static err_t enqueue(struct futex_waiter *w, uaddr_t addr, uint32_t expected)
{
	struct futex_bucket *b = bucket_of(&w->key);
	uint32_t value;
	spin_lock(&b->lock);
	err_t err = read_locked(addr, &value);
	if (!err && value != expected)
		err = -EAGAIN;
	if (err) {
		spin_unlock(&b->lock);
		return err;
	}
	store_relaxed(&w->bucket, b);
	list_push_back(&b->waiters, &w->link);
	return 0;
}

/* When w's deadline is by the monotonic clock, as things are. Who sets the time of day wakes w afterwards,
 * under the lock that is held here. */
static nsec_t monotonic_deadline(const struct futex_waiter *w)
{
	nsec_t offset = w->wall && w->deadline != NSEC_NEVER ? wall_offset() : 0;
	return w->deadline > offset ? w->deadline - offset : 0;
}

/* Called with w's bucket locked; nothing is locked afterwards. */
static err_t sleep_locked(struct futex_waiter *w)
{
	struct futex_bucket *held = load_relaxed(&w->bucket), *b;
	err_t err = 0;
	for (;;) {
		if (load_relaxed(&w->bucket) == held && (w->woken || err))
			break;
		if (load_relaxed(&w->bucket) == held)
			err = waitq_sleep(&w->wait, &held->lock, monotonic_deadline(w), WAIT_INTERRUPTIBLE);
		spin_unlock(&held->lock);
		b = lock_bucket_of(w);
		held = b;
	}
	if (w->woken)
		err = 0;
	else
		list_remove(&w->link);
	spin_unlock(&held->lock);
	return err;
}

err_t futex_wait(uaddr_t addr, bool shared, uint32_t expected, nsec_t deadline, bool wall, uint32_t bitset)
{
	struct futex_waiter w = {.bitset = bitset, .deadline = deadline, .wall = wall};
	uint32_t value;
	err_t err;
	if (!bitset)
		return -EINVAL;
	list_init(&w.link);
	waitq_init(&w.wait);
	do {
		err = key_get(addr, shared, &w.key);
		if (err)
			return err;
		err = enqueue(&w, addr, expected);
		if (!err)
			err = sleep_locked(&w);
		else if (err == -EFAULT && !read_user_u32(addr, &value))
			err = 1; /* it is there now: start over */
		key_put(&w.key);
	} while (err > 0);
	return err;
}

void futex_wall_was_set(void)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct futex_bucket *b = &buckets[i];
		spin_lock(&b->lock);
		list_for_each (it, &b->waiters) {
			struct futex_waiter *w = list_entry(it, struct futex_waiter, link);
			if (w->wall)
				waitq_wake_one(&w->wait); /* it stays on the list, and sleeps again */
		}
		spin_unlock(&b->lock);
	}
}

int64_t futex_wake(uaddr_t addr, bool shared, int32_t max, uint32_t bitset)
{
	struct futex_key key;
	int32_t count = 0;
	if (!bitset)
		return -EINVAL;
	err_t err = key_get(addr, shared, &key);
	if (err)
		return err;
	struct futex_bucket *b = bucket_of(&key);
	spin_lock(&b->lock);
	wake_key_locked(b, &key, bitset, max, &count);
	spin_unlock(&b->lock);
	key_put(&key);
	return count;
}

void futex_tell(uaddr_t addr)
{
	int64_t woken = futex_wake(addr, true, 1, (uint32_t)FUTEX_ANY);
	(void)woken;
}

/* --- requeue --- */

/* What one look through a bucket did; references of old keys are dropped without locks. */
struct requeue {
	struct futex_bucket *from, *to;
	struct futex_key from_key, to_key;
	int32_t max_wake, max_move;
	int32_t woken, moved;
};

static void move_locked(struct requeue *r, struct futex_waiter *w)
{
	if (r->to_key.object)
		object_get(r->to_key.object);
	/* The last reference cannot go here: from_key has one to the same object. */
	if (w->key.object)
		object_put(w->key.object);
	w->key = r->to_key;
	if (r->from == r->to)
		return;
	list_remove(&w->link);
	list_push_back(&r->to->waiters, &w->link);
	store_release(&w->bucket, r->to);
}

static void requeue_locked(struct requeue *r)
{
	list_for_each_safe (it, &r->from->waiters) {
		struct futex_waiter *w = list_entry(it, struct futex_waiter, link);
		if (r->woken >= r->max_wake && r->moved >= r->max_move)
			break;
		if (!key_equal(&w->key, &r->from_key))
			continue;
		if (r->woken < r->max_wake) {
			wake_locked(w);
			r->woken++;
		} else {
			move_locked(r, w);
			r->moved++;
		}
	}
}

/* 0, -EAGAIN (another value), -EFAULT (bring the page in and try again). */
static err_t try_requeue(struct requeue *r, uaddr_t from, const uint32_t *expected)
{
	uint32_t value;
	err_t err = 0;
	r->from = bucket_of(&r->from_key);
	r->to = bucket_of(&r->to_key);
	lock_two(r->from, r->to);
	if (expected)
		err = read_locked(from, &value);
	if (!err && expected && value != *expected)
		err = -EAGAIN;
	if (!err)
		requeue_locked(r);
	unlock_two(r->from, r->to);
	return err;
}

int64_t futex_requeue(
    uaddr_t from, uaddr_t to, bool shared, int32_t max_wake, int32_t max_move, const uint32_t *expected)
{
	struct requeue r = {.max_wake = max_wake, .max_move = max_move};
	uint32_t value;
	err_t err;
	if (max_wake < 0 || max_move < 0)
		return -EINVAL;
	do {
		err = keys_get(from, to, shared, &r.from_key, &r.to_key);
		if (err)
			return err;
		err = try_requeue(&r, from, expected);
		if (err == -EFAULT && !read_user_u32(from, &value))
			err = 1;
		key_put(&r.from_key);
		key_put(&r.to_key);
	} while (err > 0);
	return err ? err : (int64_t)r.woken + r.moved;
}

/* --- wake_op --- */

enum futex_ops { OP_SET, OP_ADD, OP_OR, OP_ANDN, OP_XOR, OP_SHIFT = 8 };
enum futex_comparisons { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };

/* A 12-bit field with its sign. */
static int32_t op_field(uint32_t bits)
{
	return (int32_t)(bits << 20) >> 20;
}

static err_t op_apply(uint32_t op, uint32_t old, uint32_t *out)
{
	uint32_t arg = (uint32_t)op_field(op >> 12);
	if ((op >> 28) & OP_SHIFT)
		arg = 1u << (arg & 31);
	switch ((op >> 28) & 7) {
	case OP_SET:
		*out = arg;
		return 0;
	case OP_ADD:
		*out = old + arg;
		return 0;
	case OP_OR:
		*out = old | arg;
		return 0;
	case OP_ANDN:
		*out = old & ~arg;
		return 0;
	case OP_XOR:
		*out = old ^ arg;
		return 0;
	default:
		return -ENOSYS;
	}
}

/* 1, 0 or -ENOSYS. */
static err_t op_compare(uint32_t op, int32_t old)
{
	int32_t arg = op_field(op);
	switch ((op >> 24) & 15) {
	case CMP_EQ:
		return old == arg;
	case CMP_NE:
		return old != arg;
	case CMP_LT:
		return old < arg;
	case CMP_GE:
		return old >= arg;
	case CMP_LE:
		return old <= arg;
	case CMP_GT:
		return old > arg;
	default:
		return -ENOSYS;
	}
}

/* Change the word, with bucket locks held: the result of the comparison, or -ENOSYS, -EFAULT. */
static err_t op_perform_locked(uaddr_t addr, uint32_t op)
{
	uint32_t old = 0, wanted, seen;
	err_t err = op_apply(op, 0, &wanted);
	if (!err)
		err = read_locked(addr, &old);
	while (!err) {
		(void)op_apply(op, old, &wanted);
		err = cas_locked(addr, old, wanted, &seen);
		if (!err && seen == old)
			break;
		old = seen;
	}
	return err ? err : op_compare(op, (int32_t)old);
}

/* Make the word writable from here, if that can be: writes what is there. */
static err_t fault_in_writable(uaddr_t addr)
{
	uint32_t seen;
	return cas_user_u32(addr, 0, 0, &seen);
}

static err_t try_wake_op(const struct futex_key *k1, const struct futex_key *k2, uaddr_t second,
    int32_t max_first, int32_t max_second, uint32_t op, int32_t *count)
{
	struct futex_bucket *b1 = bucket_of(k1), *b2 = bucket_of(k2);
	int32_t more = 0;
	lock_two(b1, b2);
	err_t passed = op_perform_locked(second, op);
	if (passed >= 0) {
		wake_key_locked(b1, k1, (uint32_t)FUTEX_ANY, max_first, count);
		if (passed)
			wake_key_locked(b2, k2, (uint32_t)FUTEX_ANY, max_second, &more);
		*count += more;
	}
	unlock_two(b1, b2);
	return MIN(passed, 0);
}

int64_t futex_wake_op(
    uaddr_t first, uaddr_t second, bool shared, int32_t max_first, int32_t max_second, uint32_t op)
{
	struct futex_key k1, k2;
	int32_t count = 0;
	err_t err;
	do {
		err = keys_get(first, second, shared, &k1, &k2);
		if (err)
			return err;
		err = try_wake_op(&k1, &k2, second, max_first, max_second, op, &count);
		if (err == -EFAULT && !fault_in_writable(second))
			err = 1;
		key_put(&k1);
		key_put(&k2);
	} while (err > 0);
	return err ? err : count;
}

/* --- robust lists --- */

/* The lock at addr: if this thread owns it, it has no owner now. False: stop, the list leads nowhere. */
static bool release_lock(uaddr_t addr, bool priority_inheriting, bool pending)
{
	uint32_t value, seen;
	if (!IS_ALIGNED(addr, sizeof(uint32_t)) || read_user_u32(addr, &value))
		return false;
	for (;;) {
		/* It was about to be unlocked: the word is free already, but the wake-up may be missing. */
		if (pending && !priority_inheriting && !value) {
			futex_tell(addr);
			return true;
		}
		if ((value & WORD_TID) != current_thread()->tid)
			return true;
		uint32_t dead = (value & (uint32_t)WORD_WAITERS) | WORD_OWNER_DIED;
		if (cas_user_u32(addr, value, dead, &seen))
			return false;
		if (seen == value)
			break;
		value = seen;
	}
	if (!priority_inheriting && (value & (uint32_t)WORD_WAITERS))
		futex_tell(addr);
	return true;
}

/* A link of the list: bit 0 tells that the lock inherits priority. */
static bool read_link(uaddr_t at, uaddr_t *link)
{
	return !copy_from_user(link, at, sizeof(*link));
}

void futex_release_robust(uaddr_t head)
{
	struct {
		uaddr_t first;
		int64_t offset; /* from a link to its lock */
		uaddr_t pending;
	} h;
	_Static_assert(sizeof(h) == ROBUST_HEAD_SIZE, "ABI");
	if (!head || copy_from_user(&h, head, sizeof(h)))
		return;
	uaddr_t link = h.first, pending = h.pending & ~1ULL, next = 0;
	for (unsigned n = 0; (link & ~1ULL) != head && n < ROBUST_MAX; n++) {
		uaddr_t entry = link & ~1ULL;
		bool more = read_link(entry, &next); /* before the lock can be taken by another */
		if (entry != pending && !release_lock(entry + (uint64_t)h.offset, link & 1, false))
			return;
		if (!more)
			return;
		link = next;
	}
	if (pending)
		(void)release_lock(pending + (uint64_t)h.offset, h.pending & 1, true);
}

unsigned futex_sleepers(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < BUCKETS; i++) {
		spin_lock(&buckets[i].lock);
		list_for_each (it, &buckets[i].waiters)
			n++;
		spin_unlock(&buckets[i].lock);
	}
	return n;
}
