/*
 * irq.c - from a vector to a handler. arch/irq.h over LAPIC, IOAPIC and MSI.
 *
 * Vectors VECTOR_DEVICE_FIRST ... VECTOR_DEVICE_END - 1 belong to devices: one for each connected line or
 * message, all on the boot CPU. Dispatch takes no lock: it announces itself in `running`, then reads the
 * handler. Disconnecting clears the handler and waits until nobody runs it, so its argument can be freed
 * afterwards. The two sides are Dekker's pattern: each writes its own word, full barrier, reads the other's.
 *
 * Level-triggered lines: the handler runs before the end of interrupt is sent, so a line that the handler
 * quieted or masked does not come again at once.
 */
#include "arch/irq.h"
#include "arch/upcall.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/tlb.h"
#include "kern/cpu.h"
#include "kern/log.h"
#include "kern/spinlock.h"
#include "lib/assert.h"
#include "lib/printf.h"
#include "machine/cpu.h"
#include "machine/smp.h"
#include "machine/trap.h"

enum {
	NVECTORS = VECTOR_DEVICE_END - VECTOR_DEVICE_FIRST,
	NVECTORS_ALL = 256 - VECTOR_IRQ_FIRST,
	NO_GSI = UINT16_MAX,
	MSI_ADDRESS = 0xfee00000, /* SDM volume 3, 11.11.1: bits 12-19 name the destination */
	PIC1 = 0x20,
	PIC2 = 0xa0,
};

/* (I) irq_lock; (A) atomic: written under irq_lock, read by dispatch without. */
struct irq_vector {
	irq_handler *_Atomic handler; /* (A) NULL: nobody */
	void *_Atomic arg;            /* (A) */
	_Atomic uint32_t running;     /* (A) CPUs inside the handler */
	_Atomic uint32_t strays;      /* (A) interrupts without a handler */
	uint16_t gsi;                 /* (I) or NO_GSI for a message */
	bool used;                    /* (I) */
};

static struct spinlock irq_lock = SPINLOCK_INIT("irq", RANK_IRQ);
static struct irq_vector vectors[NVECTORS];
static _Atomic uint32_t spurious_count, lapic_errors;
static _Atomic uint64_t
    counts[MAX_CPUS][NVECTORS_ALL]; /* (A) interrupts by CPU and vector; written by the CPU itself */

/* -- allocation ------------------------------------------------------------------------------------------ */

static struct irq_vector *vector_of_gsi(unsigned gsi)
{
	ASSERT_HELD(&irq_lock);
	for (unsigned i = 0; i < NVECTORS; i++)
		if (vectors[i].used && vectors[i].gsi == gsi)
			return &vectors[i];
	return NULL;
}

/* Take a free vector for handler(arg). The two words are written in an order that dispatch may read them in.
 * NULL: all are taken. */
static struct irq_vector *vector_take(unsigned gsi, irq_handler *handler, void *arg)
{
	ASSERT_HELD(&irq_lock);
	for (unsigned i = 0; i < NVECTORS; i++) {
		struct irq_vector *v = &vectors[i];
		if (v->used)
			continue;
		v->used = true;
		v->gsi = (uint16_t)gsi;
		store_relaxed(&v->arg, arg);
		store_release(&v->handler, handler);
		return v;
	}
	return NULL;
}

static unsigned vector_number(const struct irq_vector *v)
{
	return VECTOR_DEVICE_FIRST + (unsigned)(v - vectors);
}

/* No CPU runs the handler when this returns, nor will. The vector stays taken until then. */
static void vector_release(struct irq_vector *v)
{
	ASSERT(load_relaxed(&v->handler));
	store_seq_cst(&v->handler, NULL);
	while (atomic_load_explicit(&v->running, memory_order_seq_cst)) {
		cpu_poll_requests();
		cpu_relax();
	}
	uint64_t state = spin_lock_irqsave(&irq_lock);
	v->used = false;
	spin_unlock_irqrestore(&irq_lock, state);
}

/* -- lines ----------------------------------------------------------------------------------------------- */

err_t irq_connect(unsigned gsi, enum irq_trigger trigger, bool active_low, irq_handler *handler, void *arg)
{
	err_t err = 0;
	if (!ioapic_has(gsi))
		return -EINVAL;
	uint64_t state = spin_lock_irqsave(&irq_lock);
	if (vector_of_gsi(gsi)) {
		err = -EBUSY;
	} else {
		struct irq_vector *v = vector_take(gsi, handler, arg);
		err = v ? 0 : -ENOSPC;
		if (v)
			ioapic_route(gsi, vector_number(v), cpus[0].arch.apic_id, trigger, active_low);
	}
	spin_unlock_irqrestore(&irq_lock, state);
	return err;
}

void irq_disconnect(unsigned gsi)
{
	uint64_t state = spin_lock_irqsave(&irq_lock);
	struct irq_vector *v = vector_of_gsi(gsi);
	ASSERT(v);
	ioapic_set_mask(gsi, true);
	spin_unlock_irqrestore(&irq_lock, state);
	vector_release(v);
}

void irq_mask(unsigned gsi)
{
	ioapic_set_mask(gsi, true);
}

void irq_unmask(unsigned gsi)
{
	ioapic_set_mask(gsi, false);
}

void irq_isa_route(unsigned isa, unsigned *gsi, enum irq_trigger *trigger, bool *active_low)
{
	ASSERT(isa < ISA_LINES);
	*gsi = topology.isa[isa].gsi;
	*trigger = topology.isa[isa].trigger;
	*active_low = topology.isa[isa].active_low;
}

/* -- messages -------------------------------------------------------------------------------------------- */

err_t irq_connect_msi(irq_handler *handler, void *arg, uint64_t *address, uint32_t *data)
{
	uint64_t state = spin_lock_irqsave(&irq_lock);
	struct irq_vector *v = vector_take(NO_GSI, handler, arg);
	spin_unlock_irqrestore(&irq_lock, state);
	if (!v)
		return -ENOSPC;
	*address = MSI_ADDRESS | (uint64_t)cpus[0].arch.apic_id << 12;
	*data = vector_number(v); /* fixed delivery, edge */
	return 0;
}

void irq_disconnect_msi(uint64_t address, uint32_t data)
{
	unsigned i = (data & 0xff) - VECTOR_DEVICE_FIRST;
	ASSERT(address >> 20 == MSI_ADDRESS >> 20 && i < NVECTORS && vectors[i].used &&
	       vectors[i].gsi == NO_GSI);
	vector_release(&vectors[i]);
}

/* -- dispatch -------------------------------------------------------------------------------------------- */

static void run_device(struct irq_vector *v)
{
	atomic_fetch_add_explicit(&v->running, 1, memory_order_seq_cst);
	irq_handler *handler = atomic_load_explicit(&v->handler, memory_order_seq_cst);
	if (handler)
		handler(load_relaxed(&v->arg));
	else
		fetch_add_relaxed(&v->strays, 1);
	fetch_sub_release(&v->running, 1);
}

/* The 8259s are masked, but raise their lowest-priority line when a request vanishes. */
static void pic_spurious(unsigned vector)
{
	fetch_add_relaxed(&spurious_count, 1);
	log_debug("irq", "spurious interrupt of a masked 8259, vector %#x", vector);
}

static void lapic_error_interrupt(void)
{
	uint32_t bits = lapic_error();
	lapic_eoi();
	if (fetch_add_relaxed(&lapic_errors, 1) < 16) /* a broken machine must not fill the log */
		log_warn("irq", "cpu %u: LAPIC error %#x", cpu_id(), bits);
}

void interrupt_dispatch(struct trap_frame *f)
{
	unsigned vector = (unsigned)f->vector;
	_Atomic uint64_t *count = &counts[cpu_id()][vector - VECTOR_IRQ_FIRST];
	store_relaxed(count, load_relaxed(count) + 1);
	switch (vector) {
	case VECTOR_DEVICE_FIRST ... VECTOR_DEVICE_END - 1:
		run_device(&vectors[vector - VECTOR_DEVICE_FIRST]);
		lapic_eoi();
		break;
	case VECTOR_TIMER:
		lapic_eoi();
		clock_interrupt();
		break;
	case VECTOR_RESCHED:
		lapic_eoi();
		upcall_resched();
		break;
	case VECTOR_REQUEST:
		lapic_eoi();
		tlb_answer_requests();
		break;
	case VECTOR_ERROR:
		lapic_error_interrupt();
		break;
	case VECTOR_SPURIOUS: /* must not be acknowledged */
		fetch_add_relaxed(&spurious_count, 1);
		break;
	case VECTOR_PIC ... VECTOR_PIC + 15:
		pic_spurious(vector);
		break;
	default:
		panic("interrupt on vector %#x, which nobody uses", vector);
	}
}

/* -- what has arrived ------------------------------------------------------------------------------------ */

uint64_t irq_count(const struct irq_kind *kind, unsigned cpu)
{
	return load_relaxed(&counts[cpu][kind->vector - VECTOR_IRQ_FIRST]);
}

bool irq_kind_at(unsigned n, struct irq_kind *out)
{
	static const struct irq_kind own[] = {{"SPU", "Spurious interrupts", VECTOR_SPURIOUS},
	    {"LOC", "Local timer interrupts", VECTOR_TIMER},
	    {"RES", "Rescheduling interrupts", VECTOR_RESCHED}, {"TLB", "TLB shootdowns", VECTOR_REQUEST},
	    {"ERR", "Errors of local APICs", VECTOR_ERROR}};
	for (unsigned i = 0; i < NVECTORS; i++) {
		if (!load_relaxed(&vectors[i].handler) || n--)
			continue;
		unsigned gsi = vectors[i].gsi;
		*out = (struct irq_kind){
		    .what = gsi == NO_GSI ? "PCI-MSI" : "IO-APIC", .vector = VECTOR_DEVICE_FIRST + i};
		format(out->label, sizeof(out->label), "%u", gsi == NO_GSI ? out->vector : gsi);
		return true;
	}
	if (n >= ARRAY_SIZE(own))
		return false;
	*out = own[n];
	return true;
}

/* -- boot ------------------------------------------------------------------------------------------------ */

/* Move the 8259s away from the exceptions (8259A data sheet: ICW1 ... ICW4) and mask all their lines. */
static void pic_disable(void)
{
	static const uint8_t words[][4] = {{0x11, VECTOR_PIC, 4, 1}, {0x11, VECTOR_PIC + 8, 2, 1}};
	for (unsigned i = 0; i < 2; i++) {
		uint16_t port = i == 0 ? PIC1 : PIC2;
		out8(port, words[i][0]);
		for (unsigned w = 1; w < 4; w++)
			out8(port + 1, words[i][w]);
		out8(port + 1, 0xff);
	}
}

void irq_init(void)
{
	pic_disable();
	topology_read(lapic_id());
	cpus[0].arch.apic_id = topology.apic_ids[0];
	if (lapic_map(topology.lapic_base))
		panic("no memory for the map of the local APIC");
	lapic_enter();
	if (ioapic_init())
		panic("no memory for the maps of the IOAPICs");
	log_info("irq", "%u CPUs, %u IOAPICs (%s), %s%s", topology.ncpus, topology.nioapics, topology.source,
	    cpu_features.x2apic ? "x2APIC" : "xAPIC", cpu_features.tsc_deadline ? ", TSC deadline" : "");
}
