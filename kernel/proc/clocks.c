/* clocks.c - see clocks.h. */
#include "proc/clocks.h"
#include "arch/clock.h"
#include "kern/wall.h"
#include "lib/bits.h"
#include "proc/proc_priv.h"

enum { CPU_PART_MASK = 3, CPU_OF_THREAD = 4, CPU_ID_SHIFT = 3, CPU_PARTS = 3 };

struct user_clock clock_of_process(uint32_t pid, enum cpu_clock_part part)
{
	return (struct user_clock){.kind = CLOCK_KIND_CPU, .part = part, .id = pid};
}

/* May the current thread ask for this CPU time, and is there such a thing? 0 stands for the caller. A process
 * may be named by one of its own threads that asks. */
static bool cpu_clock_exists_locked(struct user_clock *c)
{
	struct thread *self = current_thread();
	c->of_caller = c->id == 0;
	if (c->of_thread) {
		c->id = c->id ? c->id : self->tid;
		struct user_thread *ut = user_thread_find_locked(c->id);
		return ut && ut->thread.process == self->process;
	}
	if (c->id == 0 || c->id == self->tid)
		c->id = self->process->pid;
	struct process *p = process_find_locked(c->id);
	return p && p->state != PROCESS_FORGIVEN;
}

static err_t cpu_clock_find(unsigned part, bool of_thread, uint32_t id, struct user_clock *out)
{
	*out = (struct user_clock){
	    .kind = CLOCK_KIND_CPU, .part = (enum cpu_clock_part)part, .of_thread = of_thread, .id = id};
	spin_lock(&process_tree_lock);
	bool exists = cpu_clock_exists_locked(out);
	spin_unlock(&process_tree_lock);
	return exists ? 0 : -EINVAL;
}

/* ~id << 3, then whether it is a thread's, then which part. */
static err_t encoded_find(int32_t number, struct user_clock *out)
{
	unsigned part = (unsigned)number & CPU_PART_MASK;
	if (part >= CPU_PARTS)
		return -EINVAL;
	return cpu_clock_find(part, number & CPU_OF_THREAD, (uint32_t) ~(number >> CPU_ID_SHIFT), out);
}

err_t clock_find(int32_t number, struct user_clock *out)
{
	static const struct user_clock clocks[] = {
	    [CLOCK_REALTIME] = {.kind = CLOCK_KIND_REALTIME},
	    [CLOCK_MONOTONIC] = {.kind = CLOCK_KIND_MONOTONIC},
	    [CLOCK_MONOTONIC_RAW] = {.kind = CLOCK_KIND_MONOTONIC, .raw = true, .cannot_wait = true},
	    [CLOCK_REALTIME_COARSE] = {.kind = CLOCK_KIND_REALTIME, .coarse = true, .cannot_wait = true},
	    [CLOCK_MONOTONIC_COARSE] = {.kind = CLOCK_KIND_MONOTONIC, .coarse = true, .cannot_wait = true},
	    [CLOCK_BOOTTIME] = {.kind = CLOCK_KIND_MONOTONIC},
	    [CLOCK_TAI] = {.kind = CLOCK_KIND_TAI},
	};
	if (number < 0)
		return encoded_find(number, out);
	if (number == CLOCK_PROCESS_CPUTIME_ID || number == CLOCK_THREAD_CPUTIME_ID)
		return cpu_clock_find(CPU_CLOCK_EXACT, number == CLOCK_THREAD_CPUTIME_ID, 0, out);
	if ((size_t)number >= ARRAY_SIZE(clocks) || (number > CLOCK_BOOTTIME && number < CLOCK_TAI))
		return -EINVAL;
	*out = clocks[number];
	return 0;
}

static nsec_t wanted_part(const struct user_clock *c, const struct usage *u)
{
	return c->part == CPU_CLOCK_USER ? u->user : u->user + u->system;
}

static err_t cpu_clock_read_locked(const struct user_clock *c, nsec_t *out)
{
	struct usage u;
	if (c->of_thread) {
		struct user_thread *ut = user_thread_find_locked(c->id);
		if (!ut)
			return -EINVAL;
		u = thread_usage(&ut->thread);
	} else {
		struct process *p = process_find_locked(c->id);
		if (!p)
			return -EINVAL;
		u = process_usage_locked(p);
	}
	*out = wanted_part(c, &u);
	return 0;
}

static nsec_t real_clock_read(const struct user_clock *c)
{
	nsec_t now = c->raw ? clock_raw_now() : clock_now();
	if (c->coarse)
		now -= now % COARSE_TICK_NS;
	if (c->kind != CLOCK_KIND_MONOTONIC)
		now += wall_offset();
	if (c->kind == CLOCK_KIND_TAI)
		now += (nsec_t)((int64_t)wall_tai_seconds() * (int64_t)NSEC_PER_SEC);
	return now;
}

err_t clock_read_locked(const struct user_clock *c, nsec_t *out)
{
	if (c->kind == CLOCK_KIND_CPU)
		return cpu_clock_read_locked(c, out);
	*out = real_clock_read(c);
	return 0;
}

err_t clock_read(const struct user_clock *c, nsec_t *out)
{
	if (c->kind != CLOCK_KIND_CPU)
		return clock_read_locked(c, out);
	spin_lock(&process_tree_lock);
	err_t err = cpu_clock_read_locked(c, out);
	spin_unlock(&process_tree_lock);
	return err;
}

/* All threads of a process may run at once. Not more often than a coarse tick, as the process may sleep as
 * well. */
nsec_t clock_look_at_locked(const struct user_clock *c, nsec_t now, nsec_t time)
{
	nsec_t left = time > now ? time - now : 0;
	if (c->kind == CLOCK_KIND_CPU) {
		struct process *p = c->of_thread ? NULL : process_find_locked(c->id);
		if (left && p && p->nthreads > 1)
			left /= p->nthreads;
		left = MAX(left, (nsec_t)COARSE_TICK_NS);
	}
	return time_add(clock_now(), left);
}

nsec_t clock_look_at(const struct user_clock *c, nsec_t now, nsec_t time)
{
	spin_lock(&process_tree_lock);
	nsec_t at = clock_look_at_locked(c, now, time);
	spin_unlock(&process_tree_lock);
	return at;
}
