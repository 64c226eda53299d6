#pragma once
/*
 * futex.h - sleeping on a word of user memory, and waking who sleeps there.
 *
 * A word is named by its key. Private: the space and the address. Shared: in shared memory the object and the
 * byte in it, so that processes that see it at different addresses meet; in private memory the space and the
 * address, in a class of its own, as on Linux.
 */
#include "lib/err.h"
#include "lib/types.h"

struct vm_space;
struct vm_object;

enum { FUTEX_ANY = -1 }; /* a bitset that every other meets, as uint32_t */

void futex_init(void);

/* Sleep while the word is `expected`, until woken by somebody whose bitset meets this one, or until the time
 * `deadline`, monotonic or of day (`wall`). 0: woken. -EAGAIN: it was not `expected`; -ETIMEDOUT, -EINTR;
 * -EFAULT; -EINVAL: not aligned, empty bitset. */
MUST_CHECK err_t futex_wait(
    uaddr_t addr, bool shared, uint32_t expected, nsec_t deadline, bool wall, uint32_t bitset);
/* The time of day was set: who waits until one waits for as long as that takes now. */
void futex_wall_was_set(void);
/* Wake up to max threads, but at least one, if there is one: the number woken. -EINVAL, -EFAULT. */
MUST_CHECK int64_t futex_wake(uaddr_t addr, bool shared, int32_t max, uint32_t bitset);
/* Wake one, as for shared memory, if there is one and the address is good: for threads that go away, which
 * have nobody to tell errors to. */
void futex_tell(uaddr_t addr);
/* Wake up to max_wake that sleep on `from` and let up to max_move others sleep on `to` instead; the number of
 * both. expected: NULL, or what `from` must contain (else -EAGAIN). -EINVAL, -EFAULT. */
MUST_CHECK int64_t futex_requeue(
    uaddr_t from, uaddr_t to, bool shared, int32_t max_wake, int32_t max_move, const uint32_t *expected);
/* Change the word at `second` as `op` (FUTEX_OP of the ABI) says; wake up to max_first on `first`, and if the
 * old value passes op's comparison up to max_second on `second`. The number woken. -EINVAL, -EFAULT, -ENOSYS
 * (no such operation). */
MUST_CHECK int64_t futex_wake_op(
    uaddr_t first, uaddr_t second, bool shared, int32_t max_first, int32_t max_second, uint32_t op);

/* The current thread stops using its memory, by exit or exec: locks on its robust list that it holds become
 * ownerless and their next waiter is woken. */
void futex_release_robust(uaddr_t head);
enum { ROBUST_HEAD_SIZE = 24 };

/* For tests: number of threads that sleep on any word. */
unsigned futex_sleepers(void);
