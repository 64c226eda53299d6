/*
 * exec_stack.c - the stack of a new program, from its end downwards, as the System V ABI (AMD64 supplement,
 * "Process Initialization") wants it and as Linux lays it out:
 *
 *	stack_top  8 zero bytes
 *	           path
 *	           environment strings
 *	           argument strings: read on into the environment by programs that rename themselves
 *	           a random number of bytes, "x86_64", 16 random bytes
 *	           padding, so that sp is a multiple of 16
 *	           auxiliary vector, pairs of words up to AT_NULL
 *	           0, environment pointers, in ascending addresses
 *	           0, argument pointers
 *	sp ->      argument count
 */
#include "arch/user.h"
#include "kern/random.h"
#include "lib/string.h"
#include "proc/cred.h"
#include "proc/exec_priv.h"
#include "proc/process.h"
#include "proc/vdso.h"
#include "vm/copy.h"
#include "vm/space.h"

enum aux_type { /* the ABI's */
	AT_NULL = 0,
	AT_PHDR = 3,
	AT_PHENT = 4,
	AT_PHNUM = 5,
	AT_PAGESZ = 6,
	AT_BASE = 7,
	AT_FLAGS = 8,
	AT_ENTRY = 9,
	AT_UID = 11,
	AT_EUID = 12,
	AT_GID = 13,
	AT_EGID = 14,
	AT_PLATFORM = 15,
	AT_HWCAP = 16,
	AT_CLKTCK = 17,
	AT_SECURE = 23,
	AT_RANDOM = 25,
	AT_HWCAP2 = 26,
	AT_RSEQ_FEATURE_SIZE = 27,
	AT_RSEQ_ALIGN = 28,
	AT_EXECFN = 31,
	AT_SYSINFO_EHDR = 33,
	AT_MINSIGSTKSZ = 51,
};

enum {
	RANDOM_SIZE = 16,
	CLOCK_TICKS = 100,
	STACK_FIRST = 132 << 10 /* bytes of stack that are mapped from the start, at least */
};

/* Where things go. */
struct stack_plan {
	uaddr_t vdso; /* its ELF header */
	uaddr_t path, env, args, platform, random, sp;
};

err_t exec_put(struct vm_space *space, uaddr_t dst, const void *src, size_t n)
{
	size_t done;
	return space_write(space, dst, src, n, &done);
}

/* --- the auxiliary vector, kept with the space for /proc --- */

static void aux_add(struct space_layout *layout, uint64_t type, uint64_t value)
{
	ASSERT(layout->aux_count + 2 <= AUX_WORDS);
	layout->aux[layout->aux_count++] = type;
	layout->aux[layout->aux_count++] = value;
}

static void aux_add_program(struct space_layout *layout, const struct exec_load *l)
{
	const struct elf_image *elf = &l->program.elf;
	uint64_t bias = l->program.bias;
	aux_add(layout, AT_PHDR, elf->phdr_vaddr ? bias + elf->phdr_vaddr : 0);
	aux_add(layout, AT_PHENT, ELF_PHDR_SIZE);
	aux_add(layout, AT_PHNUM, elf->phnum);
	aux_add(layout, AT_BASE, l->interp.file ? l->interp.bias : 0);
	aux_add(layout, AT_FLAGS, 0);
	aux_add(layout, AT_ENTRY, bias + elf->entry);
}

static void aux_build(struct space_layout *layout, const struct exec_load *l, const struct stack_plan *plan)
{
	const struct cred *c = l->cred;
	aux_add(layout, AT_SYSINFO_EHDR, plan->vdso);
	aux_add(layout, AT_MINSIGSTKSZ, user_min_signal_stack());
	aux_add(layout, AT_HWCAP, user_hwcap());
	aux_add(layout, AT_PAGESZ, PAGE_SIZE);
	aux_add(layout, AT_CLKTCK, CLOCK_TICKS);
	aux_add_program(layout, l);
	aux_add(layout, AT_UID, c->uid);
	aux_add(layout, AT_EUID, c->euid);
	aux_add(layout, AT_GID, c->gid);
	aux_add(layout, AT_EGID, c->egid);
	aux_add(layout, AT_SECURE, l->secure);
	aux_add(layout, AT_RANDOM, plan->random);
	aux_add(layout, AT_HWCAP2, user_hwcap2());
	aux_add(layout, AT_EXECFN, plan->path);
	aux_add(layout, AT_PLATFORM, plan->platform);
	aux_add(layout, AT_RSEQ_FEATURE_SIZE, RSEQ_FEATURE_SIZE);
	aux_add(layout, AT_RSEQ_ALIGN, RSEQ_ALIGN);
	if (l->args->aux_type)
		aux_add(layout, l->args->aux_type, l->args->aux_value);
	aux_add(layout, AT_NULL, 0);
}

/* --- words --- */

/* Writes words to ascending addresses, a chunk at a time. */
struct word_writer {
	struct vm_space *space;
	uaddr_t at; /* where words[0] goes */
	unsigned n;
	err_t err; /* the first error; later words are dropped */
	uint64_t words[64];
};

static void words_flush(struct word_writer *w)
{
	if (!w->err)
		w->err = exec_put(w->space, w->at, w->words, w->n * sizeof(w->words[0]));
	w->at += w->n * sizeof(w->words[0]);
	w->n = 0;
}

static void words_add(struct word_writer *w, uint64_t word)
{
	w->words[w->n++] = word;
	if (w->n == ARRAY_SIZE(w->words))
		words_flush(w);
}

/* Pointers to strings that start at base, and a 0. */
static void words_add_strings(struct word_writer *w, const struct exec_strings *s, uaddr_t base)
{
	size_t at = 0;
	for (unsigned i = 0; i < s->count; i++) {
		words_add(w, base + at);
		at += strlen(s->bytes + at) + 1;
	}
	words_add(w, 0);
}

static err_t write_words(struct exec_load *l, const struct stack_plan *plan)
{
	const struct space_layout *layout = &l->space->layout;
	struct word_writer w = {.space = l->space, .at = plan->sp};
	words_add(&w, l->args->args.count);
	words_add_strings(&w, &l->args->args, plan->args);
	words_add_strings(&w, &l->args->env, plan->env);
	for (unsigned i = 0; i < layout->aux_count; i++)
		words_add(&w, layout->aux[i]);
	words_flush(&w);
	return w.err;
}

/* --- all of it --- */

static void make_plan(const struct exec_load *l, struct stack_plan *plan)
{
	const struct exec_args *a = l->args;
	uint64_t words = 1 + (uint64_t)a->args.count + 1 + a->env.count + 1 + AUX_WORDS;
	plan->path = l->place.stack_top - sizeof(uint64_t) - (strlen(a->path) + 1);
	plan->env = plan->path - a->env.used;
	plan->args = plan->env - a->args.used;
	plan->platform = ALIGN_DOWN(plan->args - l->place.sp_offset, 16ULL) - (strlen(user_platform()) + 1);
	plan->random = plan->platform - RANDOM_SIZE;
	plan->sp = ALIGN_DOWN(plan->random - words * sizeof(uint64_t), 16ULL);
}

/* It grows by faults, as far as RLIMIT_STACK lets it at that time. */
static err_t map_stack(struct exec_load *l, uaddr_t lowest)
{
	uaddr_t top = l->place.stack_top, where;
	uaddr_t start = MIN(top - STACK_FIRST, ALIGN_DOWN(lowest, (uint64_t)PAGE_SIZE));
	uint32_t guards = load_relaxed(&l->space->guards);
	bool executable = l->program.elf.exec_stack && !(guards & GUARD_WX);
	struct vm_map_args m = {.addr = start,
	    .len = top - start,
	    .prot = VM_READ | VM_WRITE | (executable ? VM_EXEC : 0),
	    .flags = VM_MAP_FIXED | VM_MAP_NOREPLACE | VM_MAP_GROWSDOWN |
		     (guards & GUARD_STACK ? VM_MAP_STACK : 0)};
	return space_map(l->space, &m, &where);
}

static err_t write_strings(const struct exec_load *l, const struct stack_plan *plan)
{
	const struct exec_args *a = l->args;
	const char *platform = user_platform();
	uint8_t random[RANDOM_SIZE];
	random_bytes(random, sizeof(random));
	err_t err = exec_put(l->space, plan->path, a->path, strlen(a->path) + 1);
	if (!err)
		err = exec_put(l->space, plan->env, a->env.bytes, a->env.used);
	if (!err)
		err = exec_put(l->space, plan->args, a->args.bytes, a->args.used);
	if (!err)
		err = exec_put(l->space, plan->platform, platform, strlen(platform) + 1);
	return err ? err : exec_put(l->space, plan->random, random, sizeof(random));
}

err_t exec_build_stack(struct exec_load *l)
{
	struct space_layout *layout = &l->space->layout;
	struct stack_plan plan;
	make_plan(l, &plan);
	err_t err = map_stack(l, plan.sp);
	if (!err)
		err = vdso_map(l->space, l->place.mmap_top, l->place.randomize, &plan.vdso);
	if (!err)
		err = write_strings(l, &plan);
	if (err)
		return err;
	layout->stack_start = plan.sp;
	layout->arg_start = plan.args;
	layout->arg_end = layout->env_start = plan.env;
	layout->env_end = plan.path;
	aux_build(layout, l, &plan);
	l->sp = plan.sp;
	return write_words(l, &plan);
}
