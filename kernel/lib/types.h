#pragma once
/*
 * types.h - the scalar types of the kernel and the macros that every file uses.
 *
 * Addresses of four kinds never meet by accident: none of them is a pointer, so none can be dereferenced, and
 * each conversion has a name (phys_to_virt, page_to_phys, ...).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t paddr_t; /* physical address, bytes */
typedef uint64_t vaddr_t; /* virtual address of either half, bytes */
typedef uint64_t uaddr_t; /* virtual address that came from or goes to user space, bytes */
typedef uint64_t pgidx_t; /* index of a page inside a VM object */
typedef uint64_t nsec_t;  /* nanoseconds: a duration, or a point on the monotonic clock */

#define NSEC_NEVER UINT64_MAX /* deadline that does not come */

enum {
	PAGE_SHIFT = 12,
	PAGE_SIZE = 1 << PAGE_SHIFT,
	MAX_CPUS = 64, /* a set of CPUs is one uint64_t */
	CACHE_LINE = 64,
};
#define PAGE_MASK (~(uint64_t)(PAGE_SIZE - 1))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define ARRAY_SIZE(a)         (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)             ((a) < (b) ? (a) : (b)) /* arguments are evaluated twice */
#define MAX(a, b)             ((a) > (b) ? (a) : (b))
#define ALIGN_DOWN(x, a)      ((x) & ~((typeof(x))(a)-1)) /* a: a power of two */
#define ALIGN_UP(x, a)        ALIGN_DOWN((x) + ((typeof(x))(a)-1), a)
#define IS_ALIGNED(x, a)      (((x) & ((typeof(x))(a)-1)) == 0)
#define DIV_ROUND_UP(x, d)    (((x) + (d)-1) / (d))
#define container_of(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))

#define NORETURN     __attribute__((noreturn))
#define MUST_CHECK   __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ALIGNED(n)   __attribute__((aligned(n)))
#define PACKED       __attribute__((packed))
#define UNUSED       __attribute__((unused))
#define NOINLINE     __attribute__((noinline))
#define ANY_POINTER                                                                                          \
	__attribute__((no_sanitize("undefined"))) /* a function that may be given any address on purpose */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define likely(x)     __builtin_expect(!!(x), 1)
#define unlikely(x)   __builtin_expect(!!(x), 0)
