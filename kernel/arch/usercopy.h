#pragma once
/*
 * usercopy.h - the only way kernel code touches the memory of the current space.
 *
 * Nobody checks first: the access is made, and a fault that cannot be resolved lands on a fixup. The address
 * range is confined to user space beforehand, so a kernel address is never read by mistake. All may sleep
 * (the fault may read a file) unless the thread is in a usercopy_atomic section. Called with no spinlock
 * held, interrupts enabled.
 */
#include "lib/err.h"

/* Copy n bytes. Return the number of bytes NOT copied: 0 is success. What was copied is a prefix. */
MUST_CHECK size_t copy_from_user_partial(void *dst, uaddr_t src, size_t n);
MUST_CHECK size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t n);
/* Zero n bytes; returns the number not zeroed. */
MUST_CHECK size_t zero_user_partial(uaddr_t dst, size_t n);
/* Copy a string with its terminator, at most size bytes. Returns its length without the terminator, -EFAULT,
 * or -ENAMETOOLONG if there is no terminator in the first size bytes. */
MUST_CHECK int64_t copy_string_from_user(char *dst, uaddr_t src, size_t size);
/* Read a naturally aligned 32-bit word of user memory with one access. -EFAULT. */
MUST_CHECK err_t read_user_u32(uaddr_t addr, uint32_t *out);
/* Compare and exchange a naturally aligned 32-bit word of user memory; *seen gets what was there. -EFAULT. */
MUST_CHECK err_t cas_user_u32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *seen);

/*
 * Between these two an access that faults does not sleep but fails with -EFAULT, so it may be made with
 * spinlocks of threads held (interrupts enabled). Whoever gets -EFAULT lets go of the locks, makes the access
 * again outside, and starts over if that worked. `thread` is the current one.
 */
#define usercopy_atomic_begin(thread)                                                                        \
	((void)atomic_fetch_or_explicit(&(thread)->flags, THREAD_NOFAULT, memory_order_relaxed))
#define usercopy_atomic_end(thread)                                                                          \
	((void)atomic_fetch_and_explicit(&(thread)->flags, ~(uint32_t)THREAD_NOFAULT, memory_order_relaxed))

/* All or -EFAULT. */
static inline MUST_CHECK err_t copy_from_user(void *dst, uaddr_t src, size_t n)
{
	return copy_from_user_partial(dst, src, n) ? -EFAULT : 0;
}
static inline MUST_CHECK err_t copy_to_user(uaddr_t dst, const void *src, size_t n)
{
	return copy_to_user_partial(dst, src, n) ? -EFAULT : 0;
}
