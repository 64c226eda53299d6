#pragma once
/*
 * host.h - what only the host port offers: starting the machine, CPUs as threads, accesses as a processor
 * would make them, and views into the mock hardware for tests.
 */
#include "arch/mmu.h"
#include "lib/err.h"

struct vm_space;
struct mmu_context;

/* A machine with `nframes` frames (reserved address space only, touched lazily). Gives all but the first
 * HOST_RESERVED_FRAMES to the zones and starts slab, page tree and vm. Once in a process; the calling thread
 * becomes CPU 0. */
enum { HOST_RESERVED_FRAMES = 64, HOST_DEVICE_FRAME = 16 };
void host_init(uint64_t nframes);
/* The memory alone: host_ram and records, nothing given to the zones. For tests that start parts themselves.
 */
void host_memory_init(uint64_t nframes);
uint64_t host_nframes(void);

/* Become CPU `id`, which nobody else is. A thread that runs kernel code without calling this becomes the
 * lowest free CPU by itself, and leaves when it ends. */
void host_cpu_enter(uint32_t id);
void host_cpu_exit(void);
/* This CPU does nothing for a while (it waits in the host): others may answer its requests for it. */
void host_cpu_idle(void);
void host_cpu_resume(void);
/* Run fn(arg, i) for i = 0 ... n - 1, each on a CPU (thread) of its own, number i + 1, and wait for all.
 * Called on CPU 0. */
void host_run_cpus(unsigned n, void (*fn)(void *arg, unsigned i), void *arg);
/* Not 0: about one in host_chaos changes of the preemption count (so, locks taken or given back) lets other
 * CPUs run and answers their requests. */
extern unsigned host_chaos;
/* Make s the space of the current thread, as a switch to a thread of that space would. NULL: none. */
void host_use_space(struct vm_space *s);

/* True if fn(arg), run in a forked child, ends in panic() with `needle` in its message. */
bool host_panics(void (*fn)(void *arg), void *arg, const char *needle);
/* Called by panic() before it aborts, in addition to its message: a test prints its seed here. */
extern void (*host_panic_hook)(void);
/* Print log records on stderr up to this level (-1: none, the default). */
extern int host_log_level;

/* Access [addr, addr + n) of s as a program running on this CPU would: through the TLB, walking on a miss,
 * faulting where rights are missing, again until it works or vm_fault gives an error. *err gets the error (0:
 * all done). Returns the number of bytes done. */
size_t mock_copy(struct vm_space *s, uaddr_t addr, void *buf, size_t n, bool write, err_t *err);
static inline bool mock_access(struct vm_space *s, uaddr_t addr, void *buf, size_t n, bool write, err_t *err)
{
	return mock_copy(s, addr, buf, n, write, err) == n;
}
/* Fetch an instruction at addr. */
err_t mock_execute(struct vm_space *s, uaddr_t addr);
/* One attempt without a fault handler: 0 or -EFAULT, as the hardware alone decides. flags: MMU_READ,
 * MMU_WRITE or MMU_EXEC. */
err_t mock_probe(struct mmu_context *ctx, vaddr_t va, unsigned flags, paddr_t *out);

struct mock_stats {
	uint64_t walks, hits, faults, spurious; /* spurious: refused by the TLB though the tables allow it */
	uint64_t flushes, remote_flushes;       /* gathers flushed; CPUs that had to answer */
	uint64_t push_downs;                    /* upper entries opened again */
	uint64_t protect_stores;                /* entries that mmu_write_protect changed */
};
/* Sum over CPUs; exact when the others are quiet. */
void mock_get_stats(struct mock_stats *out);
/* Forget every translation of this CPU, as hardware may at any time. */
void mock_tlb_forget(void);
/* Number of translations of ctx in this CPU's TLB. */
unsigned mock_tlb_count(const struct mmu_context *ctx);
/* Nothing runs and nothing is under way: every translation in this CPU's TLB must be what the tables of its
 * context say or narrower, and no frame that is free may be in it. Panics. */
void mock_tlb_validate(struct mmu_context *ctx);
/* A frame is being freed: panics if any TLB still translates to it. Called by mm through the hook of the host
 * port. */
void mock_frame_freed(const struct page *p, uint64_t npages);
