/*
 * system.c - system objects: the right to what the machine is made of.
 *
 *	root ──carve──▶ smaller ones           what devices: its scope, three ranges, which only get smaller
 *	 │                                     what may be done: the rights of the descriptor
 *	 ├──▶ interrupt (irq_line.c)           read: the log       map: devices, of its scope
 *	 ├──▶ device memory, to be mapped      write: to the log   manage: turn the machine off
 *	 └──▶ ports, open to the process
 *
 * The kernel makes one that is good for everything and gives it to the first program (init/main.c). Nobody
 * gets what the kernel uses itself (dev/claim.h), and nobody gets RAM, whatever his scope.
 *
 * Each object is a reader of the log: it has a position of its own, which the descriptors of it share.
 */
#include "fs/system.h"
#include "arch/mmu.h"
#include "arch/ports.h"
#include "arch/usercopy.h"
#include "dev/claim.h"
#include "fs/anon.h"
#include "fs/log_news.h"
#include "kern/log.h"
#include "kern/thread.h"
#include "lib/string.h"
#include "mm/slab.h"

/* (C) constant; (M) lock */
struct system {
	struct quire_scope scope; /* (C) */
	struct mutex lock;        /* RANK_CHANNEL: one reader of the log at a time */
	struct log_reader reader; /* (M) */
};

static const struct quire_scope everything = {
    .irqs = {0, UINT32_MAX}, .ports = {0, PORTS_END}, .memory = {0, UINT64_MAX}};

/* --- scopes --- */

static bool holds(const struct quire_range *r, uint64_t first, uint64_t count)
{
	return first >= r->first && first - r->first <= r->count && count <= r->count - (first - r->first);
}

/* Nothing at all may be asked for by anybody. */
static bool holds_range(const struct quire_range *r, const struct quire_range *part)
{
	return !part->count || holds(r, part->first, part->count);
}

static const struct quire_scope *scope_of(const struct file *system)
{
	const struct system *s = system->priv;
	return &s->scope;
}

bool system_has_irq(struct file *system, unsigned gsi)
{
	return holds(&scope_of(system)->irqs, gsi, 1);
}

/* --- device memory --- */

static err_t memory_mmap(struct file *f, uint64_t offset, uint64_t len, UNUSED unsigned prot,
    unsigned map_flags, struct vm_object **out)
{
	struct vm_object *o = f->priv;
	uint64_t size = o->npages << PAGE_SHIFT;
	if (!(map_flags & VM_MAP_SHARED) || offset > size || len > size - offset)
		return -EINVAL;
	object_get(o);
	*out = o;
	return 0;
}

static void memory_release(struct file *f)
{
	object_put(f->priv);
}

static const struct file_ops memory_ops = {
    .type = KO_VMO, .seek = file_seek_nowhere, .mmap = memory_mmap, .release = memory_release};

static err_t check_memory(const struct quire_scope *scope, paddr_t start, uint64_t len)
{
	if (!len || !IS_ALIGNED(start | len, PAGE_SIZE) || start >= mmu_phys_end() ||
	    len > mmu_phys_end() - start)
		return -EINVAL;
	if (!holds(&scope->memory, start, len))
		return -EACCES;
	if (memory_has_ram(start, len))
		return -EPERM;
	return claim_has_memory(start, len) ? -EBUSY : 0;
}

err_t system_memory(struct file *system, paddr_t start, uint64_t len, unsigned flags, struct file **out)
{
	struct vm_object *o;
	if (flags & ~(unsigned)QUIRE_MEMORY_COMBINE)
		return -EINVAL;
	err_t err = check_memory(scope_of(system), start, len);
	if (!err)
		err = object_create_phys(
		    start, len >> PAGE_SHIFT, flags & QUIRE_MEMORY_COMBINE ? MMU_WC : MMU_UC, &o);
	if (err)
		return err;
	err = file_create_anonymous(&memory_ops, FILE_RDWR, "anon_inode:[memory]", out);
	if (err)
		object_put(o);
	else
		(*out)->priv = o;
	return err;
}

/* --- ports --- */

err_t system_ports(struct file *system, unsigned first, unsigned count)
{
	if (!count || first >= PORTS_END || count > PORTS_END - first)
		return -EINVAL;
	if (!holds(&scope_of(system)->ports, first, count))
		return -EACCES;
	if (claim_has_ports(first, count))
		return -EBUSY;
	return ports_open(current_thread()->mmu, first, count);
}

/* --- the log --- */

static void record_tell(const struct log_record *r, uint64_t lost, struct quire_log_record *out)
{
	*out = (struct quire_log_record){
	    .seq = r->seq, .time = r->time, .lost = lost, .cpu = r->cpu, .level = r->level, .len = r->len};
	str_copy(out->subsystem, r->subsystem, sizeof(out->subsystem));
	memcpy(out->text, r->text, r->len);
}

err_t system_log_read(struct file *system, uaddr_t to)
{
	struct system *s = system->priv;
	struct log_record r;
	struct quire_log_record told;
	uint64_t lost;
	mutex_lock(&s->lock);
	uint64_t seq = s->reader.next;
	err_t err = log_read(&seq, &r, &lost);
	if (!err) {
		record_tell(&r, lost, &told);
		err = copy_to_user(to, &told, sizeof(told)) ? -EFAULT : 0;
	}
	if (!err)
		log_reader_move(&s->reader, seq);
	mutex_unlock(&s->lock);
	return err;
}

/* --- objects --- */

static void system_refresh(struct file *f)
{
	struct system *s = f->priv;
	log_reader_look(&s->reader);
}

static void system_release(struct file *f)
{
	struct system *s = f->priv;
	log_reader_fini(&s->reader);
	kfree(s);
}

static const struct file_ops system_ops = {
    .type = KO_SYSTEM, .seek = file_seek_nowhere, .refresh = system_refresh, .release = system_release};

static err_t create(const struct quire_scope *scope, struct file **out)
{
	struct system *s = kzalloc(sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->scope = *scope;
	mutex_init(&s->lock, "system", RANK_CHANNEL);
	err_t err = file_create_anonymous(&system_ops, FILE_RDWR, "anon_inode:[system]", out);
	if (err) {
		kfree(s);
		return err;
	}
	(*out)->priv = s;
	log_reader_init(&s->reader, &(*out)->object);
	return 0;
}

err_t system_create(struct file **out)
{
	return create(&everything, out);
}

err_t system_carve(struct file *system, const struct quire_scope *scope, struct file **out)
{
	const struct quire_scope *whole = scope_of(system);
	if (!holds_range(&whole->irqs, &scope->irqs) || !holds_range(&whole->ports, &scope->ports) ||
	    !holds_range(&whole->memory, &scope->memory))
		return -EACCES;
	return create(scope, out);
}
