/*
 * ioapic.c - interrupt lines of devices: each IOAPIC has some pins, and a redirection entry for each that
 * says where and how its interrupt goes.
 *
 * Registers are reached by an index and a data register (82093AA data sheet, 3.1), so each access is two
 * steps under a lock. Masking is one bit of the entry's low word; the words of a route are written high
 * first, masked, so that a half-written route never fires.
 */
#include "arch/x86_64/apic.h"
#include "kern/log.h"
#include "kern/spinlock.h"
#include "lib/assert.h"
#include "mm/kva.h"

enum {
	IOAPIC_VERSION = 1,
	IOAPIC_ENTRY = 0x10, /* two registers for each pin */
	ENTRY_ACTIVE_LOW = 1 << 13,
	ENTRY_REMOTE_IRR = 1 << 14,
	ENTRY_LEVEL = 1 << 15,
	ENTRY_MASKED = 1 << 16,
};

/* (C) constant after ioapic_init; the registers: ioapic_lock */
struct ioapic {
	volatile uint32_t *registers; /* (C) [0] index, [4] data */
	uint32_t gsi_base;            /* (C) */
	uint32_t npins;               /* (C) */
};

static struct spinlock ioapic_lock = SPINLOCK_INIT("ioapic", RANK_IOAPIC);
static struct ioapic ioapics[MAX_IOAPICS];
static unsigned nioapics;

static uint32_t ioapic_read(const struct ioapic *io, unsigned r)
{
	io->registers[0] = r;
	return io->registers[4];
}

static void ioapic_write(const struct ioapic *io, unsigned r, uint32_t v)
{
	io->registers[0] = r;
	io->registers[4] = v;
}

static const struct ioapic *ioapic_of(unsigned gsi, unsigned *reg)
{
	for (unsigned i = 0; i < nioapics; i++) {
		const struct ioapic *io = &ioapics[i];
		if (gsi - io->gsi_base < io->npins) {
			*reg = IOAPIC_ENTRY + 2 * (gsi - io->gsi_base);
			return io;
		}
	}
	return NULL;
}

err_t ioapic_init(void)
{
	for (unsigned i = 0; i < topology.nioapics; i++) {
		struct ioapic *io = &ioapics[nioapics];
		io->registers = kva_map_phys(topology.ioapics[i].base, PAGE_SIZE, MMU_UC, true);
		if (!io->registers)
			return -ENOMEM;
		io->gsi_base = topology.ioapics[i].gsi_base;
		uint32_t version = ioapic_read(io, IOAPIC_VERSION);
		if (version == UINT32_MAX) { /* nobody there */
			kva_unmap_phys((void *)io->registers);
			continue;
		}
		io->npins = (version >> 16 & 0xff) + 1;
		for (unsigned pin = 0; pin < io->npins; pin++)
			ioapic_write(io, IOAPIC_ENTRY + 2 * pin, ENTRY_MASKED);
		log_info("irq", "ioapic at %#llx: GSI %u to %u", (unsigned long long)topology.ioapics[i].base,
		    io->gsi_base, io->gsi_base + io->npins - 1);
		nioapics++;
	}
	return 0;
}

unsigned ioapic_end_gsi(void)
{
	unsigned end = 0;
	for (unsigned i = 0; i < nioapics; i++)
		end = MAX(end, ioapics[i].gsi_base + ioapics[i].npins);
	return end;
}

bool ioapic_has(unsigned gsi)
{
	unsigned reg;
	return ioapic_of(gsi, &reg);
}

void ioapic_route(unsigned gsi, unsigned vector, uint32_t apic_id, enum irq_trigger trigger, bool active_low)
{
	unsigned reg;
	const struct ioapic *io = ioapic_of(gsi, &reg);
	uint32_t low = vector | ENTRY_MASKED;
	ASSERT(io && vector >= 0x10 && vector <= 0xfe && apic_id <= 0xff);
	low |= trigger == IRQ_LEVEL ? ENTRY_LEVEL : 0;
	low |= active_low ? ENTRY_ACTIVE_LOW : 0;
	uint64_t state = spin_lock_irqsave(&ioapic_lock);
	ioapic_write(io, reg, ENTRY_MASKED);
	ioapic_write(io, reg + 1, apic_id << 24);
	ioapic_write(io, reg, low);
	spin_unlock_irqrestore(&ioapic_lock, state);
}

void ioapic_set_mask(unsigned gsi, bool masked)
{
	unsigned reg;
	const struct ioapic *io = ioapic_of(gsi, &reg);
	ASSERT(io);
	uint64_t state = spin_lock_irqsave(&ioapic_lock);
	uint32_t low = ioapic_read(io, reg);
	ioapic_write(io, reg, masked ? low | ENTRY_MASKED : low & ~(uint32_t)ENTRY_MASKED);
	if (masked)
		ioapic_read(io, reg); /* the write has arrived when this is answered */
	spin_unlock_irqrestore(&ioapic_lock, state);
}

bool ioapic_is_in_service(unsigned gsi)
{
	unsigned reg;
	const struct ioapic *io = ioapic_of(gsi, &reg);
	ASSERT(io);
	uint64_t state = spin_lock_irqsave(&ioapic_lock);
	uint32_t low = ioapic_read(io, reg);
	spin_unlock_irqrestore(&ioapic_lock, state);
	return low & ENTRY_REMOTE_IRR;
}
