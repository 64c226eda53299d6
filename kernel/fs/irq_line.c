/*
 * irq_line.c - interrupts of devices, as objects for the programs that drive them.
 *
 *	            acknowledge          interrupt
 *	  QUIET ───────────────▶ ARMED ────────────▶ TOLD ──interrupt of an edge──▶ AGAIN
 *	                           ▲                  │ ▲                             │
 *	                           └── acknowledge ───┘ └──── acknowledge: tell ──────┘
 *
 * Who has the line is told once - by a signal of the object and by the notification of an endpoint - and not
 * again until he has acknowledged. A level-triggered line is masked as long: if the device still wants
 * something it interrupts again at once. Of an edge that comes meanwhile nothing would be left if the line
 * were masked, so the first is remembered; then the line is masked, as more than one more is not told anyway.
 * So a device that never stops, or a program that never answers, costs at most two interrupts.
 *
 * Interrupt handlers get here with interrupts disabled. They allocate nothing: all that is done is to set
 * bits and to wake.
 */
#include "arch/irq.h"
#include "fs/anon.h"
#include "fs/endpoint.h"
#include "fs/system.h"
#include "mm/slab.h"

enum irq_state { IRQ_QUIET, IRQ_ARMED, IRQ_TOLD, IRQ_AGAIN, IRQ_CLOSED };

/* (C) constant; (I) lock */
struct irq_line {
	struct spinlock lock; /* RANK_IRQ */
	struct file *file;    /* (C) the object, which it is part of */
	unsigned gsi;         /* (C) */
	bool level;           /* (C) */
	enum irq_state state; /* (I) */
	struct file *to;      /* (I) end of an endpoint, kept open; NULL: nobody is notified */
	uint64_t tag;         /* (I) */
};

/* That nobody receives any more is no news to whoever waits for the signal. */
static void tell_locked(struct irq_line *l)
{
	l->state = IRQ_TOLD;
	kobject_signal(&l->file->object, SIGNAL_READABLE, 0);
	err_t err = l->to ? endpoint_notify(l->to, l->tag) : 0;
	(void)err;
}

static void line_interrupt(void *arg)
{
	struct irq_line *l = arg;
	uint64_t state = spin_lock_irqsave(&l->lock);
	if (l->level || l->state != IRQ_ARMED)
		irq_mask(l->gsi);
	if (l->state == IRQ_ARMED)
		tell_locked(l);
	else if (l->state == IRQ_TOLD && !l->level)
		l->state = IRQ_AGAIN;
	spin_unlock_irqrestore(&l->lock, state);
}

err_t irq_line_acknowledge(struct file *irq)
{
	struct irq_line *l = irq->priv;
	uint64_t state = spin_lock_irqsave(&l->lock);
	enum irq_state was = l->state;
	if (was == IRQ_AGAIN) {
		tell_locked(l);
	} else if (was != IRQ_CLOSED) {
		l->state = IRQ_ARMED;
		kobject_signal(&irq->object, 0, SIGNAL_READABLE);
	}
	if (was != IRQ_CLOSED)
		irq_unmask(l->gsi);
	spin_unlock_irqrestore(&l->lock, state);
	return was == IRQ_CLOSED ? -EBADF : 0;
}

/* --- whom it notifies --- */

static bool is_told(const struct irq_line *l)
{
	return l->state == IRQ_TOLD || l->state == IRQ_AGAIN;
}

err_t irq_line_bind(struct file *irq, struct file *to, uint64_t tag)
{
	struct irq_line *l = irq->priv;
	kobject_desc_get(&to->object); /* as a descriptor, so that who receives does not find it closed */
	uint64_t state = spin_lock_irqsave(&l->lock);
	err_t err = l->state == IRQ_CLOSED ? -EBADF : l->to ? -EBUSY : 0;
	if (!err)
		err = endpoint_notify(to, is_told(l) ? tag : 0);
	if (!err) {
		l->to = to;
		l->tag = tag;
	}
	spin_unlock_irqrestore(&l->lock, state);
	if (err)
		(void)kobject_desc_put(&to->object);
	return err;
}

void irq_line_unbind(struct file *irq)
{
	struct irq_line *l = irq->priv;
	uint64_t state = spin_lock_irqsave(&l->lock);
	struct file *to = file_take(&l->to);
	spin_unlock_irqrestore(&l->lock, state);
	if (to)
		(void)kobject_desc_put(&to->object);
}

/* --- life --- */

/* The last descriptor has gone: others can have the line. Who still holds a reference, for a call that is
 * under way, finds it closed. */
static err_t line_flush(struct file *f)
{
	struct irq_line *l = f->priv;
	uint64_t state = spin_lock_irqsave(&l->lock);
	bool was_open = l->state != IRQ_CLOSED;
	l->state = IRQ_CLOSED;
	spin_unlock_irqrestore(&l->lock, state);
	if (was_open)
		irq_disconnect(l->gsi);
	irq_line_unbind(f);
	return 0;
}

/* One that never had a descriptor is not closed yet. */
static void line_release(struct file *f)
{
	(void)line_flush(f);
	kfree(f->priv);
}

static const struct file_ops line_ops = {
    .type = KO_IRQ, .seek = file_seek_nowhere, .flush = line_flush, .release = line_release};

/* Where the line is and how it works. -EINVAL. */
static err_t find_line(unsigned line, unsigned flags, unsigned *gsi, enum irq_trigger *trigger, bool *low)
{
	if (flags & ~(unsigned)(QUIRE_IRQ_ISA | QUIRE_IRQ_LEVEL | QUIRE_IRQ_LOW))
		return -EINVAL;
	if (!(flags & QUIRE_IRQ_ISA)) {
		*gsi = line;
		*trigger = flags & QUIRE_IRQ_LEVEL ? IRQ_LEVEL : IRQ_EDGE;
		*low = flags & QUIRE_IRQ_LOW;
		return 0;
	}
	if (line >= IRQ_ISA_LINES || flags != QUIRE_IRQ_ISA)
		return -EINVAL;
	irq_isa_route(line, gsi, trigger, low);
	return 0;
}

err_t irq_line_create(struct file *system, unsigned line, unsigned flags, struct file **out)
{
	enum irq_trigger trigger;
	unsigned gsi;
	bool low;
	err_t err = find_line(line, flags, &gsi, &trigger, &low);
	if (!err && !system_has_irq(system, gsi))
		err = -EACCES;
	if (err)
		return err;
	struct irq_line *l = kzalloc(sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct irq_line){.gsi = gsi, .level = trigger == IRQ_LEVEL, .state = IRQ_QUIET};
	spin_init(&l->lock, "irq line", RANK_IRQ);
	err = file_create_anonymous(&line_ops, FILE_RDWR, "anon_inode:[irq]", &l->file);
	if (err)
		goto free_line;
	l->file->priv = l;
	kobject_signal(&l->file->object, 0, SIGNAL_READABLE | SIGNAL_WRITABLE);
	err = irq_connect(gsi, trigger, low, line_interrupt, l);
	if (err)
		goto put_file;
	*out = l->file;
	return 0;
put_file:
	l->state = IRQ_CLOSED; /* nobody else has seen it */
	file_put(l->file);
	return err;
free_line:
	kfree(l);
	return err;
}
