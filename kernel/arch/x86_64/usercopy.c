/*
 * usercopy.c - arch/usercopy.h: confine the range to user space, then let usercopy.S do the access. What lies
 * beyond USER_END counts as not copied; what lies below USER_START is never mapped and faults by itself, but
 * is refused here so that the fault path sees user addresses only.
 */
#include "arch/usercopy.h"
#include "arch/mmu.h"
#include "arch/x86_64/usercopy.h"

/* How many of the n bytes at addr lie in user space, counted from the first? */
static size_t confine(uaddr_t addr, size_t n)
{
	if (addr < USER_START || addr >= USER_END)
		return 0;
	return MIN(n, USER_END - addr);
}

size_t copy_from_user_partial(void *dst, uaddr_t src, size_t n)
{
	size_t allowed = confine(src, n);

	if (likely(allowed == n))
		return usercopy_bytes(dst, (const void *)src, n);
	return n - allowed + usercopy_bytes(dst, (const void *)src, allowed);
}

size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t n)
{
	size_t allowed = confine(dst, n);

	if (likely(allowed == n))
		return usercopy_bytes((void *)dst, src, n);
	return n - allowed + usercopy_bytes((void *)dst, src, allowed);
}

size_t zero_user_partial(uaddr_t dst, size_t n)
{
	size_t allowed = confine(dst, n);

	return n - allowed + usercopy_zero((void *)dst, allowed);
}

int64_t copy_string_from_user(char *dst, uaddr_t src, size_t size)
{
	size_t allowed = confine(src, size);
	int64_t n = usercopy_string(dst, (const char *)src, allowed);

	if (n >= 0)
		return n;
	return n == USERCOPY_UNTERMINATED && allowed == size ? -ENAMETOOLONG : -EFAULT;
}

err_t read_user_u32(uaddr_t addr, uint32_t *out)
{
	if (confine(addr, sizeof(uint32_t)) != sizeof(uint32_t) || !IS_ALIGNED(addr, sizeof(uint32_t)))
		return -EFAULT;
	return usercopy_read32((const uint32_t *)addr, out) ? -EFAULT : 0;
}

err_t cas_user_u32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *seen)
{
	if (confine(addr, sizeof(uint32_t)) != sizeof(uint32_t) || !IS_ALIGNED(addr, sizeof(uint32_t)))
		return -EFAULT;
	return usercopy_cas32((uint32_t *)addr, expected, desired, seen) ? -EFAULT : 0;
}
