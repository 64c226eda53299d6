#pragma once
/*
 * irq.h - device interrupts. A line is a global system interrupt (GSI) of the IOAPICs or a message (MSI).
 *
 * Handlers run with interrupts disabled, may take spinlocks of rank RANK_IRQ and above, may not sleep or
 * allocate.
 */
#include "lib/err.h"

typedef void irq_handler(void *arg);

enum irq_trigger { IRQ_EDGE, IRQ_LEVEL };
enum { IRQ_ISA_LINES = 16 };

/* Route GSI `gsi` to a CPU and call handler(arg) on each interrupt; masked until irq_unmask. -EBUSY if taken,
 * -EINVAL if no IOAPIC has it, -ENOSPC without free vectors. */
MUST_CHECK err_t irq_connect(
    unsigned gsi, enum irq_trigger trigger, bool active_low, irq_handler *handler, void *arg);
void irq_disconnect(unsigned gsi);
void irq_mask(unsigned gsi);
void irq_unmask(unsigned gsi);

/* Allocate a vector for a message-signalled interrupt; the device writes `data` to `address`. -ENOSPC without
 * free vectors. */
MUST_CHECK err_t irq_connect_msi(irq_handler *handler, void *arg, uint64_t *address, uint32_t *data);
void irq_disconnect_msi(uint64_t address, uint32_t data);
/* ISA line to GSI, trigger and polarity, by the MADT's overrides. */
void irq_isa_route(unsigned isa, unsigned *gsi, enum irq_trigger *trigger, bool *active_low);

/* Interrupts of one kind: a device's, or one of the kernel's own. */
struct irq_kind {
	char label[8]; /* the line's number, the message's, or short for `what` */
	const char *what;
	unsigned vector; /* the port's */
};
/* The n-th kind, devices first. false: there are no more. */
bool irq_kind_at(unsigned n, struct irq_kind *out);
/* How many have arrived at a CPU. */
uint64_t irq_count(const struct irq_kind *kind, unsigned cpu);
