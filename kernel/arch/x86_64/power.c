/*
 * power.c - turning a PC off, and starting it again, by what ACPI's tables say, without an interpreter of
 * their byte code.
 *
 * Soft-off wants a number that the firmware keeps in the byte code, in a package named _S5. A package of
 * constants can be read without running anything: it is found by its name and decoded here. Under an emulator
 * with the isa-debug-exit device that is used first, for it tells how things went.
 */
#include "arch/cpu.h"
#include "arch/mmu.h"
#include "dev/acpi.h"
#include "lib/string.h"
#include "machine/dump.h"
#include "mm/kva.h"

enum {
	SLEEP_ENABLE = 1 << 13, /* of a PM1 control register */
	SLEEP_TYPE_SHIFT = 10,
	REDUCED_ENABLE = 1 << 5, /* of the sleep control register of hardware-reduced ACPI */
	REDUCED_TYPE_SHIFT = 2,
	SLEEP_TYPE_MAX = 7,
	AML_PACKAGE = 0x12,
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_BYTE = 0x0a,
	KEYBOARD_COMMAND = 0x64,
	KEYBOARD_RESET = 0xfe,
	RESET_CONTROL = 0xcf9,
	RESET_HARD = 0x06,
};

/* What lidt reads. */
struct table_register {
	uint16_t limit;
	uint64_t base;
} PACKED;

/* Decode one constant of a package; false: it is none that fits a byte. */
static bool aml_constant(const uint8_t **p, const uint8_t *end, uint8_t *out)
{
	if (end - *p >= 1 && ((*p)[0] == AML_ZERO || (*p)[0] == AML_ONE)) {
		*out = *(*p)++;
		return true;
	}
	if (end - *p >= 2 && (*p)[0] == AML_BYTE) {
		*out = (*p)[1];
		*p += 2;
		return true;
	}
	return false;
}

/* Name (_S5, Package () {a, b, ...}) at p: its first two numbers. */
static bool decode_s5(const uint8_t *p, const uint8_t *end, uint8_t *a, uint8_t *b)
{
	static const uint8_t head[] = {'_', 'S', '5', '_', AML_PACKAGE};
	if (end - p < (int)sizeof(head) + 2 || memcmp(p, head, sizeof(head)) != 0)
		return false;
	p += sizeof(head);
	p += 1 + (*p >> 6); /* length of the package: its first byte says how many more it has */
	p += 1;             /* number of elements */
	return p < end && aml_constant(&p, end, a) && aml_constant(&p, end, b) && *a <= SLEEP_TYPE_MAX &&
	       *b <= SLEEP_TYPE_MAX;
}

static bool find_s5(const struct acpi_power *power, uint8_t *a, uint8_t *b)
{
	if (!power->dsdt)
		return false;
	const uint8_t *start = phys_to_virt(power->dsdt);
	const uint8_t *end = start + power->dsdt_length;
	for (const uint8_t *p = start + sizeof(struct acpi_header); p < end; p++)
		if (decode_s5(p, end, a, b))
			return true;
	return false;
}

/* A register of one byte that a table names. */
struct power_register {
	uint16_t port;          /* 0: it is not among the ports */
	volatile uint8_t *byte; /* NULL: it is not in memory */
};

static struct power_register find_register(const struct acpi_address *at)
{
	struct power_register r = {0};
	if (at->space == ACPI_SPACE_IO && at->address <= UINT16_MAX)
		r.port = (uint16_t)at->address;
	else if (at->space == ACPI_SPACE_MEMORY && at->address)
		r.byte = kva_map_phys(at->address, 1, MMU_UC, true);
	return r;
}

static void write_register(const struct power_register *r, uint8_t v)
{
	if (r->port)
		out8(r->port, v);
	else if (r->byte)
		*r->byte = v;
}

/* From here on this CPU is alone. */
static void stop_others(bool clean)
{
	irq_disable();
	dump_stop_others();
	dump_tell_emulator(clean ? DUMP_EXIT_CLEAN : DUMP_EXIT_FAILED);
}

static NORETURN void stop_here(void)
{
	for (;;)
		__asm__ volatile("cli; hlt");
}

void machine_power_off(bool clean)
{
	struct acpi_power power;
	uint8_t a = 0, b = 0;
	bool possible = acpi_power(&power) && find_s5(&power, &a, &b);
	struct power_register reduced = {0};
	if (possible && power.hardware_reduced)
		reduced = find_register(&power.sleep_control);
	stop_others(clean);
	if (!possible)
		stop_here();
	write_register(&reduced, (uint8_t)(a << REDUCED_TYPE_SHIFT | REDUCED_ENABLE));
	if (power.pm1a_control)
		out16(power.pm1a_control, (uint16_t)(a << SLEEP_TYPE_SHIFT | SLEEP_ENABLE));
	if (power.pm1b_control)
		out16(power.pm1b_control, (uint16_t)(b << SLEEP_TYPE_SHIFT | SLEEP_ENABLE));
	stop_here();
}

/* Each way is tried if those before did nothing; the last cannot fail: an exception that no table handles. */
void machine_restart(bool clean)
{
	static const struct table_register none;
	struct acpi_power power;
	struct power_register reset = {0};
	if (acpi_power(&power) && power.has_reset)
		reset = find_register(&power.reset);
	stop_others(clean);
	write_register(&reset, power.reset_value);
	out8(RESET_CONTROL, RESET_HARD);
	out8(KEYBOARD_COMMAND, KEYBOARD_RESET);
	__asm__ volatile("lidt %0; int3" : : "m"(none));
	stop_here();
}
