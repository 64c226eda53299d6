/*
 * mock_tlb.c - the processors of the host port: a TLB each, shootdowns, accesses, and user copies on top of
 * them.
 *
 * The TLB is as hostile as the architecture allows: translations are tagged with their context and stay
 * across switches; a walk also loads the next page's translation, as a prefetcher may; an entry is used
 * without looking at the tables until somebody flushes it. A miss of rights in the TLB faults although the
 * tables may allow the access by now (a spurious fault), and only then forgets the entry, as x86 does.
 *
 * Detectors, each a panic:
 *	stale use	an access hits an entry that the tables do not allow (any more) while no gather of the
 * context is waiting to be flushed: a flush was forgotten or came too early. early free   a frame is freed
 * while a TLB still translates to it (mock_frame_freed; a count for each frame). no break        mmu_enter
 * gives an address another frame while a TLB still has the old one (tlb_check_enter).
 *	tables		the walker takes no lock: a table freed too early is read as rubbish, and ASan or the
 * poison of the frame allocator shows it.
 *
 * Shootdown: the initiator puts a request for each CPU of ctx->cpus into that CPU's inbox and waits,
 * answering its own. A CPU answers in cpu_poll_requests: in spin loops, between accesses, when interrupts are
 * enabled again. For a CPU that is idle or gone anybody answers, under its `away` lock.
 *
 * The entries of a TLB are written by its CPU only (or by who holds `away` while it is idle) and are atomics
 * because tlb_check_enter looks into those of others.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "arch/cpu.h"
#include "arch/host/host.h"
#include "arch/usercopy.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "vm/fault.h"

enum {
	TLB_ENTRIES = 512,
	ASID_BITS = 28,
	VPN_BITS = 36,
	MAX_RETRIES = 1000000,
};

enum tlb_bits { T_WRITE = 1, T_EXEC = 2, T_DIRTY = 4, T_BITS = 7 };

struct tlb_entry {
	_Atomic uint64_t key; /* asid and page number, 0: empty */
	_Atomic uint64_t val; /* frame number << 3 | T_* */
};

struct request {
	struct request *next;
	uint64_t asid;
	vaddr_t start, end;
	_Atomic uint32_t *left; /* CPUs that have not answered */
};

enum presence { CPU_OFF, CPU_RUNNING, CPU_IDLE };

struct tlb {
	struct tlb_entry entries[TLB_ENTRIES];
	_Atomic(struct request *) inbox;
	_Atomic uint32_t presence;
	pthread_mutex_t away;
} ALIGNED(CACHE_LINE);

struct mock_counters mock_counters[MAX_CPUS] ALIGNED(CACHE_LINE);
static struct tlb tlbs[MAX_CPUS];
static _Atomic uint32_t *tlb_refs; /* for each frame: TLB entries that name it */
static uint64_t nframes;

static inline uint64_t key_of(const struct mmu_context *ctx, vaddr_t va)
{
	return ctx->asid << VPN_BITS | (va >> PAGE_SHIFT & ((1ULL << VPN_BITS) - 1));
}

static inline struct tlb_entry *slot_of(struct tlb *t, uint64_t key)
{
	return &t->entries[(key ^ (key >> VPN_BITS) * 37) & (TLB_ENTRIES - 1)];
}

static inline bool is_counted(uint64_t pfn)
{
	return pfn < nframes && pfn_to_page(pfn) != zero_page;
}

/* ---------------------------------------------------------------- entries */

static void entry_drop(struct tlb_entry *e)
{
	uint64_t pfn = load_relaxed(&e->val) >> 3;

	if (!load_relaxed(&e->key))
		return;
	store_release(&e->key, 0);
	if (is_counted(pfn))
		fetch_sub_release(&tlb_refs[pfn], 1);
}

static void entry_load(struct tlb *t, uint64_t key, uint64_t val)
{
	struct tlb_entry *e = slot_of(t, key);

	entry_drop(e);
	if (is_counted(val >> 3))
		fetch_add_relaxed(&tlb_refs[val >> 3], 1);
	store_relaxed(&e->val, val);
	store_release(&e->key, key);
}

static void flush_range(struct tlb *t, uint64_t asid, vaddr_t start, vaddr_t end)
{
	uint64_t first = start >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;

	if (last - first < TLB_ENTRIES / 4) {
		for (uint64_t vpn = first; vpn <= last; vpn++) {
			uint64_t key = asid << VPN_BITS | (vpn & ((1ULL << VPN_BITS) - 1));
			struct tlb_entry *e = slot_of(t, key);
			if (load_relaxed(&e->key) == key)
				entry_drop(e);
		}
		return;
	}
	for (unsigned i = 0; i < TLB_ENTRIES; i++) {
		uint64_t key = load_relaxed(&t->entries[i].key);
		uint64_t vpn = key & ((1ULL << VPN_BITS) - 1);
		bool inside =
		    (end - start > 1ULL << 48) || (vpn - (first & ((1ULL << VPN_BITS) - 1)) <= last - first);
		if (key >> VPN_BITS == asid && inside)
			entry_drop(&t->entries[i]);
	}
}

static void flush_all(struct tlb *t)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		entry_drop(&t->entries[i]);
}

/* ---------------------------------------------------------------- requests and presence */

static void answer(struct tlb *t)
{
	struct request *r = exchange_acq_rel(&t->inbox, NULL);

	while (r) {
		struct request *next = r->next; /* r is gone with its initiator's stack once answered */
		_Atomic uint32_t *left = r->left;
		flush_range(t, r->asid, r->start, r->end);
		fetch_sub_release(left, 1);
		r = next;
	}
}

void cpu_poll_requests(void)
{
	struct tlb *t = &tlbs[cpu_id()];

	if (unlikely(load_relaxed(&t->inbox) != NULL))
		answer(t);
}

static void set_presence(struct tlb *t, enum presence p)
{
	pthread_mutex_lock(&t->away);
	if (p == CPU_OFF)
		flush_all(t);
	answer(t);
	store_release(&t->presence, p);
	pthread_mutex_unlock(&t->away);
}

void tlb_cpu_start(uint32_t id)
{
	set_presence(&tlbs[id], CPU_RUNNING);
}

void tlb_cpu_idle(void)
{
	set_presence(&tlbs[cpu_id()], CPU_IDLE);
}

void tlb_cpu_resume(void)
{
	set_presence(&tlbs[cpu_id()], CPU_RUNNING);
}

void tlb_cpu_stop(void)
{
	set_presence(&tlbs[cpu_id()], CPU_OFF);
}

/* Answer for a CPU that is not there. */
static void answer_for(struct tlb *t)
{
	if (load_acquire(&t->presence) == CPU_RUNNING)
		return;
	pthread_mutex_lock(&t->away);
	if (load_acquire(&t->presence) != CPU_RUNNING)
		answer(t);
	pthread_mutex_unlock(&t->away);
}

static void post(struct tlb *t, struct request *r)
{
	struct request *old = load_relaxed(&t->inbox);

	do
		r->next = old;
	while (!cas_acq_rel(&t->inbox, &old, r));
}

static void wait_answers(_Atomic uint32_t *left, uint64_t targets)
{
	nsec_t since = 0;

	while (load_acquire(left) != 0) {
		for (uint64_t m = targets; m; m &= m - 1)
			answer_for(&tlbs[__builtin_ctzll(m)]);
		if (load_acquire(left) != 0)
			host_wait(&since, "an answer to a shootdown");
	}
}

void tlb_shootdown(struct mmu_context *ctx, vaddr_t start, vaddr_t end)
{
	fence_seq_cst(); /* our changes to the tables before our look at who may have walked them */
	uint64_t targets = load_relaxed(&ctx->cpus) & ~(1ULL << cpu_id());
	_Atomic uint32_t left = (uint32_t)__builtin_popcountll(targets);
	struct request requests[MAX_CPUS];

	MOCK_COUNT(flushes);
	flush_range(&tlbs[cpu_id()], ctx->asid, start, end);
	for (uint64_t m = targets; m; m &= m - 1) {
		unsigned cpu = (unsigned)__builtin_ctzll(m);
		requests[cpu].asid = ctx->asid;
		requests[cpu].start = start;
		requests[cpu].end = end;
		requests[cpu].left = &left;
		post(&tlbs[cpu], &requests[cpu]);
		MOCK_COUNT(remote_flushes);
	}
	if (targets)
		wait_answers(&left, targets);
}

void tlb_init(uint64_t n)
{
	nframes = n;
	tlb_refs = mmap(NULL, n * sizeof(*tlb_refs), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (tlb_refs == MAP_FAILED)
		abort();
}

__attribute__((constructor)) static void init_locks(void)
{
	for (unsigned i = 0; i < MAX_CPUS; i++)
		pthread_mutex_init(&tlbs[i].away, NULL);
}

/* ---------------------------------------------------------------- detectors */

void tlb_check_enter(const struct mmu_context *ctx, vaddr_t va, uint64_t pfn)
{
	uint64_t key = key_of(ctx, va);

	fence_seq_cst();
	for (uint64_t m = load_relaxed(&ctx->cpus); m; m &= m - 1) {
		struct tlb_entry *e = slot_of(&tlbs[__builtin_ctzll(m)], key);
		if (load_acquire(&e->key) != key)
			continue;
		uint64_t old = load_acquire(&e->val) >> 3;
		if (old != pfn && load_acquire(&e->key) == key)
			panic("break before make: %#llx gets frame %#llx while CPU %d still has %#llx",
			    (unsigned long long)va, (unsigned long long)pfn, __builtin_ctzll(m),
			    (unsigned long long)old);
	}
}

void mock_frame_freed(const struct page *p, uint64_t npages)
{
	uint64_t pfn = page_to_pfn(p);

	for (uint64_t i = 0; tlb_refs && i < npages; i++)
		if (load_acquire(&tlb_refs[pfn + i]))
			panic("early free: frame %#llx is freed while %u TLB entries translate to it",
			    (unsigned long long)(pfn + i), load_acquire(&tlb_refs[pfn + i]));
}

/* Do the tables still allow what the entry says? */
static bool is_current(const struct mmu_context *ctx, vaddr_t va, uint64_t val)
{
	_Atomic uint64_t *leaf;
	uint64_t e = mmu_walk(ctx, va, &leaf);

	if (!e || (e & E_ADDR) >> PAGE_SHIFT != val >> 3)
		return false;
	return (!(val & T_WRITE) || (e & E_WRITE)) && (!(val & T_EXEC) || (e & E_EXEC));
}

static void check_stale(const struct mmu_context *ctx, vaddr_t va, uint64_t val)
{
	if (likely(is_current(ctx, va, val)) || load_acquire(&ctx->pending) != 0)
		return;
	panic(
	    "stale translation used: %#llx -> frame %#llx (%s%s), which the tables no longer say, and no flush is due",
	    (unsigned long long)va, (unsigned long long)(val >> 3), val & T_WRITE ? "w" : "r",
	    val & T_EXEC ? "x" : "");
}

void mock_tlb_validate(struct mmu_context *ctx)
{
	struct tlb *t = &tlbs[cpu_id()];

	ASSERT(load_acquire(&ctx->pending) == 0);
	for (unsigned i = 0; i < TLB_ENTRIES; i++) {
		uint64_t key = load_relaxed(&t->entries[i].key), val = load_relaxed(&t->entries[i].val);
		if (!key)
			continue;
		enum page_kind kind = page_kind(pfn_to_page(val >> 3));
		ASSERT(kind != PAGE_FREE && kind != PAGE_CACHED && kind != PAGE_TABLE && kind != PAGE_SLAB);
		if (key >> VPN_BITS == ctx->asid)
			check_stale(ctx, (key & ((1ULL << VPN_BITS) - 1)) << PAGE_SHIFT, val);
	}
}

unsigned mock_tlb_count(const struct mmu_context *ctx)
{
	struct tlb *t = &tlbs[cpu_id()];
	unsigned n = 0;

	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		n += load_relaxed(&t->entries[i].key) >> VPN_BITS == ctx->asid;
	return n;
}

void mock_tlb_forget(void)
{
	flush_all(&tlbs[cpu_id()]);
}

void mock_get_stats(struct mock_stats *out)
{
	*out = (struct mock_stats){0};
	for (unsigned i = 0; i < MAX_CPUS; i++) {
		const struct mock_counters *c = &mock_counters[i];
		out->walks += c->walks;
		out->hits += c->hits;
		out->faults += c->faults;
		out->spurious += c->spurious;
		out->flushes += c->flushes;
		out->remote_flushes += c->remote_flushes;
		out->push_downs += c->push_downs;
		out->protect_stores += c->protect_stores;
	}
}

/* ---------------------------------------------------------------- the processor's access */

/* Load the translation of va into the TLB; 0 or -EFAULT, and nothing loaded, if `rights` (of T_WRITE, T_EXEC)
 * are not there. */
static err_t walk(struct tlb *t, struct mmu_context *ctx, vaddr_t va, unsigned rights, uint64_t *out)
{
	uint64_t need = E_PRESENT | (rights & T_WRITE ? E_WRITE : 0) | (rights & T_EXEC ? E_EXEC : 0);
	uint64_t mark = E_ACCESSED | (rights & T_WRITE ? E_DIRTY : 0);
	_Atomic uint64_t *leaf;

	MOCK_COUNT(walks);
	for (;;) {
		uint64_t e = mmu_walk(ctx, va, &leaf);
		if ((e & need) != need)
			return -EFAULT;
		uint64_t seen = load_relaxed(leaf);
		if ((seen & mark) != mark) {
			if ((seen & need & ~(uint64_t)E_EXEC) == (need & ~(uint64_t)E_EXEC))
				(void)cas_acq_rel(
				    leaf, &seen, seen | mark); /* hardware sets A and D in the entry that it
								  used, or walks again */
			continue;
		}
		uint64_t val = (e & E_ADDR) >> PAGE_SHIFT << 3 | (e & E_WRITE ? T_WRITE : 0) |
			       (e & E_EXEC ? T_EXEC : 0) | (seen & E_DIRTY ? T_DIRTY : 0);
		entry_load(t, key_of(ctx, va), val);
		*out = val;
		return 0;
	}
}

static void prefetch(struct tlb *t, struct mmu_context *ctx, vaddr_t va)
{
	_Atomic uint64_t *leaf;
	uint64_t e = mmu_walk(ctx, va, &leaf), key = key_of(ctx, va);

	if (e && (e & E_ACCESSED) && load_relaxed(&slot_of(t, key)->key) == 0)
		entry_load(t, key,
		    (e & E_ADDR) >> PAGE_SHIFT << 3 | (e & E_WRITE ? T_WRITE : 0) |
			(e & E_EXEC ? T_EXEC : 0));
}

/* One attempt to translate: 0 and the frame number, or -EFAULT. *present: a translation was there, rights
 * were missing. */
static err_t translate(struct mmu_context *ctx, vaddr_t va, unsigned rights, uint64_t *pfn, bool *present)
{
	struct tlb *t = &tlbs[cpu_id()];
	uint64_t key = key_of(ctx, va), val;
	struct tlb_entry *e = slot_of(t, key);

	*present = false;
	if (!(load_relaxed(&ctx->cpus) >> cpu_id() & 1)) {
		fetch_or_acq_rel(&ctx->cpus, 1ULL << cpu_id());
		fence_seq_cst(); /* before our first look at the tables: see tlb_shootdown */
	}
	if (load_relaxed(&e->key) == key) {
		val = load_relaxed(&e->val);
		check_stale(ctx, va, val);
		if ((val & rights) != rights) {
			entry_drop(e);
			_Atomic uint64_t *leaf;
			uint64_t now = mmu_walk(ctx, va, &leaf);
			if (now && (!(rights & T_WRITE) || (now & E_WRITE)) &&
			    (!(rights & T_EXEC) || (now & E_EXEC)))
				MOCK_COUNT(spurious);
			*present = true;
			return -EFAULT;
		}
		if (!(rights & T_WRITE) || (val & T_DIRTY)) {
			MOCK_COUNT(hits);
			*pfn = val >> 3;
			return 0;
		}
	}
	if (walk(t, ctx, va, rights, &val)) {
		_Atomic uint64_t *leaf;
		*present = mmu_walk(ctx, va, &leaf) != 0;
		return -EFAULT;
	}
	*pfn = val >> 3;
	prefetch(t, ctx, (va & PAGE_MASK) + PAGE_SIZE);
	return 0;
}

err_t mock_probe(struct mmu_context *ctx, vaddr_t va, unsigned flags, paddr_t *out)
{
	uint64_t pfn = 0;
	bool present;

	cpu_poll_requests();
	unsigned rights = (flags & MMU_WRITE ? T_WRITE : 0) | (flags & MMU_EXEC ? T_EXEC : 0);
	err_t err = translate(ctx, va, rights, &pfn, &present);
	if (!err && out)
		*out = pfn << PAGE_SHIFT | (va & ~PAGE_MASK);
	return err;
}

/* Programs race as they like: their bytes are atomics, so that a race between the kernel and a program (a
 * page copied while it can still be written) stands out. */
static void copy_bytes(_Atomic uint8_t *user, uint8_t *buf, size_t n, bool write)
{
	size_t i = 0;

	if ((((uintptr_t)user | (uintptr_t)buf | n) & 7) == 0)
		for (; i < n; i += 8) {
			_Atomic uint64_t *u = (_Atomic uint64_t *)(user + i);
			if (write)
				store_relaxed(u, *(uint64_t *)(buf + i));
			else
				*(uint64_t *)(buf + i) = load_relaxed(u);
		}
	for (; i < n; i++)
		if (write)
			store_relaxed(&user[i], buf[i]);
		else
			buf[i] = load_relaxed(&user[i]);
}

/* Access [addr, addr + n), which lies in one page, once it is accessible; `user`: FAULT_USER or 0. */
static err_t access_page(struct vm_space *s, uaddr_t addr, void *buf, size_t n, unsigned access)
{
	unsigned rights = (access & FAULT_WRITE ? T_WRITE : 0) | (access & FAULT_EXEC ? T_EXEC : 0);
	uint64_t pfn;
	bool present;

	for (unsigned tries = 0; tries < MAX_RETRIES; tries++) {
		cpu_poll_requests();
		if (addr < 1ULL << 47 && translate(&s->mmu, addr, rights, &pfn, &present) == 0) {
			ASSERT(pfn < nframes);
			copy_bytes((_Atomic uint8_t *)phys_to_virt((pfn << PAGE_SHIFT) + (addr & ~PAGE_MASK)),
			    buf, n, access & FAULT_WRITE);
			return 0;
		}
		MOCK_COUNT(faults);
		err_t err = vm_fault(s, addr, access | (addr < 1ULL << 47 && present ? FAULT_PRESENT : 0));
		if (err)
			return err;
	}
	panic("livelock: %#llx faults for ever", (unsigned long long)addr);
}

static size_t access_range(struct vm_space *s, uaddr_t addr, void *buf, size_t n, unsigned access, err_t *err)
{
	size_t done = 0;

	ASSERT(preempt_count() == 0 && irq_is_enabled());
	*err = 0;
	while (done < n) {
		size_t part = MIN(n - done, PAGE_SIZE - ((addr + done) & ~PAGE_MASK));
		*err = access_page(s, addr + done, (char *)buf + done, part, access);
		if (*err)
			break;
		done += part;
	}
	return done;
}

size_t mock_copy(struct vm_space *s, uaddr_t addr, void *buf, size_t n, bool write, err_t *err)
{
	return access_range(s, addr, buf, n, (write ? FAULT_WRITE : FAULT_READ) | FAULT_USER, err);
}

err_t mock_execute(struct vm_space *s, uaddr_t addr)
{
	uint8_t opcode;
	err_t err;

	access_range(s, addr, &opcode, 1, FAULT_EXEC | FAULT_USER, &err);
	return err;
}

/* ---------------------------------------------------------------- user copies of the kernel */

/* Bytes of [addr, addr + n) that lie in user space, from addr on. */
static size_t confine(uaddr_t addr, size_t n)
{
	if (addr < USER_START || addr >= USER_END)
		return 0;
	return MIN(n, USER_END - addr);
}

static size_t user_copy(uaddr_t addr, void *buf, size_t n, unsigned access)
{
	struct vm_space *s = current_thread()->space;
	err_t err;

	if (!s)
		return n;
	return n - access_range(s, addr, buf, confine(addr, n), access, &err);
}

size_t copy_from_user_partial(void *dst, uaddr_t src, size_t n)
{
	return user_copy(src, dst, n, FAULT_READ);
}

size_t copy_to_user_partial(uaddr_t dst, const void *src, size_t n)
{
	return user_copy(dst, (void *)(uintptr_t)src, n, FAULT_WRITE);
}

size_t zero_user_partial(uaddr_t dst, size_t n)
{
	static uint8_t zeros[PAGE_SIZE];

	while (n > 0) {
		size_t part = MIN(n, PAGE_SIZE - (dst & ~PAGE_MASK)),
		       left = copy_to_user_partial(dst, zeros, part);
		n -= part - left;
		dst += part - left;
		if (left)
			break;
	}
	return n;
}

int64_t copy_string_from_user(char *dst, uaddr_t src, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (copy_from_user_partial(&dst[i], src + i, 1))
			return -EFAULT;
		if (!dst[i])
			return (int64_t)i;
	}
	return -ENAMETOOLONG;
}

err_t cas_user_u32(uaddr_t addr, uint32_t expected, uint32_t desired, uint32_t *seen)
{
	struct vm_space *s = current_thread()->space;
	uint64_t pfn;
	bool present;

	ASSERT(IS_ALIGNED(addr, 4));
	if (!s || confine(addr, 4) != 4)
		return -EFAULT;
	for (unsigned tries = 0; tries < MAX_RETRIES; tries++) {
		cpu_poll_requests();
		if (translate(&s->mmu, addr, T_WRITE, &pfn, &present) == 0) {
			_Atomic uint32_t *word =
			    (_Atomic uint32_t *)phys_to_virt((pfn << PAGE_SHIFT) + (addr & ~PAGE_MASK));
			(void)cas_acq_rel(word, &expected, desired);
			*seen = expected;
			return 0;
		}
		if (vm_fault(s, addr, FAULT_WRITE | (present ? FAULT_PRESENT : 0)))
			return -EFAULT;
	}
	panic("livelock: %#llx faults for ever", (unsigned long long)addr);
}
