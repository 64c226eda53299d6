/*
 * test_boot.c - what loaders and firmware hand over, well-formed and not: bootinfo.c, pvh.c, multiboot2.c,
 * acpi.c.
 *
 * Physical memory is a reserved range of addresses, of which [LOW, LOW + AREA) is backed. Structures are
 * placed so that they end where the backing ends: reading one byte too many is a fault here, as it could be
 * on a machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "arch/mmu.h"

static inline paddr_t image_to_phys(const void *v)
{
	(void)v;
	return 0x180000;
}
#include "arch/x86_64/boot_map.h"
#include "machine/boot.h"
#define boot_start ((char *)0x100000)
#define kernel_end ((char *)0)
#include "arch/x86_64/bootinfo.c"
#include "arch/x86_64/pvh.c"
#include "arch/x86_64/multiboot2.c"
#include "dev/acpi.c"

enum { AREA = 64 * PAGE_SIZE, LOW = 0x200000, UNIT = 1024, UNITS = 512 };

static char *ram;

/* Where n bytes that end with the backed area lie; 8-aligned if n is. */
static paddr_t at_end(size_t n)
{
	return LOW + AREA - n;
}

static void *bytes(paddr_t pa)
{
	return ram + pa;
}

bool direct_map_covers(paddr_t pa, uint64_t len)
{
	return pa >= LOW && pa < LOW + AREA && len <= LOW + AREA - pa;
}

static void reset(void)
{
	memset(&bootinfo, 0, sizeof(bootinfo));
	nraw = 0;
	ntables = refused = 0;
	dsdt_address = 0;
	memset(bytes(LOW), 0, AREA);
}

static int setup(void **state)
{
	(void)state;
	ram = mmap(NULL, 5UL << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(ram, MAP_FAILED);
	assert_int_equal(mprotect(ram + LOW, AREA, PROT_READ | PROT_WRITE), 0);
	host_ram = ram;
	srand(1);
	return 0;
}

static uint64_t rnd(uint64_t n)
{
	return (((uint64_t)rand() << 31) ^ (uint64_t)rand()) % n;
}

/* -- the map --------------------------------------------------------------------------------------------- */

static void assert_map_is_normal(void)
{
	for (unsigned i = 0; i < bootinfo.nranges; i++) {
		struct boot_range *r = &bootinfo.ranges[i];
		assert_true(r->start < r->end);
		assert_true(i == 0 || r[-1].end <= r->start);
		if (r->type == BOOT_MEM_USABLE)
			assert_true(r->start % PAGE_SIZE == 0 && r->end % PAGE_SIZE == 0);
	}
	assert_true(bootinfo.nranges <= BOOT_MAX_RANGES - BOOT_SPARE_RANGES);
}

/* Type at pa, or -1. */
static int type_at(paddr_t pa)
{
	for (unsigned i = 0; i < bootinfo.nranges; i++)
		if (bootinfo.ranges[i].start <= pa && pa < bootinfo.ranges[i].end)
			return (int)bootinfo.ranges[i].type;
	return -1;
}

static enum claim strongest[UNITS];

static void model_add(unsigned start, unsigned end, enum claim c)
{
	for (unsigned u = start; u < end && u < UNITS; u++)
		if (c > strongest[u])
			strongest[u] = c;
}

static int model_type(unsigned unit)
{
	static const int types[] = {-1, BOOT_MEM_USABLE, BOOT_MEM_ACPI, BOOT_MEM_RESERVED, BOOT_MEM_ACPI,
	    BOOT_MEM_MODULE, BOOT_MEM_KERNEL};
	unsigned page = unit - unit % (PAGE_SIZE / UNIT);

	if (strongest[unit] != CLAIM_USABLE)
		return types[strongest[unit]];
	for (unsigned u = page; u < page + PAGE_SIZE / UNIT; u++)
		if (strongest[u] != CLAIM_USABLE)
			return -1;
	return BOOT_MEM_USABLE;
}

static void add_random_range(void)
{
	static const enum claim e820[] = {CLAIM_RESERVED, CLAIM_USABLE, CLAIM_RESERVED, CLAIM_ACPI,
	    CLAIM_ACPI, CLAIM_RESERVED, CLAIM_RESERVED};
	static const enum claim used[] = {[BOOT_MEM_ACPI] = CLAIM_ACPI_TABLE,
	    [BOOT_MEM_KERNEL] = CLAIM_KERNEL,
	    [BOOT_MEM_MODULE] = CLAIM_MODULE};
	unsigned start = (unsigned)rnd(UNITS), end = start + (unsigned)rnd(UNITS / 4);
	unsigned type = (unsigned)rnd(rnd(3) ? 2 : 7);

	if (end > UNITS)
		end = UNITS;
	if (rnd(5)) {
		boot_map_add_e820((uint64_t)start * UNIT, (uint64_t)(end - start) * UNIT, type);
		model_add(start, end, e820[type]);
	} else {
		enum boot_memory_type t = (enum boot_memory_type)(BOOT_MEM_ACPI + rnd(3));
		boot_map_add_used((paddr_t)start * UNIT, (paddr_t)end * UNIT, t);
		model_add(start, end, used[t]);
	}
}

static void test_map_random(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		reset();
		memset(strongest, 0, sizeof(strongest));
		for (unsigned n = (unsigned)rnd(30); n > 0; n--)
			add_random_range();
		boot_map_build();
		assert_map_is_normal();
		for (unsigned u = 0; u < UNITS; u++)
			assert_int_equal(type_at((paddr_t)u * UNIT), model_type(u));
	}
}

/* More ranges than the table holds: nothing becomes usable that is not, and modules stay. */
static void test_map_overflow(void **state)
{
	(void)state;
	reset();
	for (unsigned i = 0; i < 150; i++) {
		boot_map_add_e820(i * 0x10000, 0x4000 + i % 7 * 0x1000, E820_USABLE);
		boot_map_add_e820(i * 0x10000 + 0x8000 + i % 7 * 0x800, 0x800, i % 2 ? E820_RESERVED : 77);
	}
	boot_map_add_used(0x55000, 0x56000, BOOT_MEM_MODULE);
	boot_map_build();
	assert_map_is_normal();
	assert_int_equal(type_at(0x55000), BOOT_MEM_MODULE);
	for (paddr_t pa = 0; pa < 150 * 0x10000; pa += PAGE_SIZE) {
		unsigned i = (unsigned)(pa / 0x10000);
		bool usable = pa % 0x10000 < 0x4000 + i % 7 * 0x1000 && pa != 0x55000;
		assert_true(usable || type_at(pa) != BOOT_MEM_USABLE);
	}
}

static void test_map_extremes(void **state)
{
	(void)state;
	reset();
	boot_map_add_e820(0, 0, E820_USABLE);
	boot_map_add_e820(UINT64_MAX, UINT64_MAX, E820_USABLE);
	boot_map_add_e820(1ULL << 52, 0x1000, E820_USABLE);
	boot_map_add_e820(0x1000, UINT64_MAX, E820_USABLE); /* the sum would wrap: cut where addresses end */
	boot_map_add_e820(0x2800, 0x10, E820_RESERVED);     /* a few bytes make a page unusable */
	boot_map_build();
	assert_map_is_normal();
	assert_int_equal(type_at(0x1000), BOOT_MEM_USABLE);
	assert_int_equal(type_at(0x2000), -1);
	assert_int_equal(type_at(0x2800), BOOT_MEM_RESERVED);
	assert_int_equal(type_at(0x3000), BOOT_MEM_USABLE);
	assert_int_equal(type_at((1ULL << 52) - 1), BOOT_MEM_USABLE);
	assert_int_equal(type_at(1ULL << 52), -1);
}

/* -- PVH ------------------------------------------------------------------------------------------------- */

/* A valid start info at the end of memory, everything it names before it. */
static paddr_t make_pvh(void)
{
	static const char text[] = "a=1 b";
	paddr_t info = at_end(sizeof(struct pvh_start_info)), map = LOW + 0x1000, mods = LOW + 0x2000,
		text_at = LOW + 0x3000;
	struct pvh_memmap_entry *e = bytes(map);
	struct pvh_module *m = bytes(mods);

	reset();
	e[0] = (struct pvh_memmap_entry){0x100000, 0x700000, 1, 0};
	e[1] = (struct pvh_memmap_entry){0, 0x9fc00, 1, 0};
	m[0] = (struct pvh_module){0x600123, 0x1000, text_at + 2, 0};
	memcpy(bytes(text_at), text, sizeof(text));
	*(struct pvh_start_info *)bytes(info) = (struct pvh_start_info){.magic = PVH_MAGIC,
	    .version = 1,
	    .nr_modules = 1,
	    .modlist = mods,
	    .cmdline = text_at,
	    .rsdp = 0xf0000,
	    .memmap = map,
	    .memmap_entries = 2};
	return info;
}

static void test_pvh(void **state)
{
	(void)state;
	bootinfo_parse(0, (uint32_t)make_pvh());
	boot_map_build();
	assert_map_is_normal();
	assert_string_equal(bootinfo.protocol, "pvh");
	assert_string_equal(bootinfo.cmdline, "a=1 b");
	assert_int_equal(bootinfo.rsdp, 0xf0000);
	assert_int_equal(bootinfo.nmodules, 1);
	assert_int_equal(bootinfo.modules[0].start, 0x600123);
	assert_int_equal(bootinfo.modules[0].end, 0x601123);
	assert_string_equal(bootinfo.modules[0].name, "1 b");
	assert_int_equal(type_at(0), BOOT_MEM_RESERVED);
	assert_int_equal(type_at(0x1000), BOOT_MEM_USABLE);
	assert_int_equal(type_at(0x9f000), -1); /* 3 KiB of it are usable, which is no page */
	assert_int_equal(type_at(0x100000), BOOT_MEM_KERNEL);
	assert_int_equal(type_at(0x180000), BOOT_MEM_USABLE);
	assert_int_equal(type_at(0x600000), BOOT_MEM_MODULE);
	assert_int_equal(type_at(0x601fff), BOOT_MEM_MODULE);
	assert_int_equal(type_at(0x602000), BOOT_MEM_USABLE);
}

static void test_pvh_refused(void **state)
{
	(void)state;
	struct pvh_start_info *si = bytes(make_pvh());
	si->version = 0;
	assert_false(pvh_parse((uint32_t)at_end(sizeof(*si))));
	si->version = 1;
	si->memmap_entries = 0;
	assert_false(pvh_parse((uint32_t)at_end(sizeof(*si))));
	si->memmap_entries = 2;
	si->memmap = BOOT_WINDOW_END - 8;
	assert_false(pvh_parse((uint32_t)at_end(sizeof(*si))));
	si->memmap = UINT64_MAX - 8;
	assert_false(pvh_parse((uint32_t)at_end(sizeof(*si))));
	si->magic = 1;
	assert_false(pvh_parse((uint32_t)at_end(sizeof(*si))));
	assert_false(pvh_parse(0));
	assert_false(pvh_parse(0xfffffff0));
	assert_false(multiboot2_parse(MB2_MAGIC, 0));
}

static void test_pvh_bad_modules(void **state)
{
	static const struct pvh_module bad[] = {{0, 10, 0, 0}, {0x400000, 0, 0, 0},
	    {0x400000, UINT64_MAX, 0, 0}, {UINT64_MAX - 5, 10, 0, 0}, {BOOT_WINDOW_END - 1, 2, 0, 0},
	    {0x400000, 0x1000, UINT64_MAX, 0}};
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		paddr_t info = make_pvh();
		struct pvh_start_info *si = bytes(info);
		*(struct pvh_module *)bytes(si->modlist) = bad[i];
		assert_true(pvh_parse((uint32_t)info));
		assert_int_equal(bootinfo.nmodules, i == 5); /* the last one is good but for its name */
		assert_string_equal(bootinfo.modules[0].name, "");
	}
}

/* -- Multiboot2 ------------------------------------------------------------------------------------------ */

struct blob {
	uint8_t data[2048];
	uint32_t n;
};

static void blob_tag(struct blob *b, uint32_t type, const void *payload, uint32_t n)
{
	uint32_t head[2] = {type, n + 8};
	memcpy(b->data + b->n, head, 8);
	memcpy(b->data + b->n + 8, payload, n);
	b->n += (uint32_t)ALIGN_UP(n + 8u, 8u);
}

static void make_multiboot2(struct blob *b)
{
	struct {
		uint32_t entry_size, version;
		struct mb2_memmap_entry e[3];
	} map = {sizeof(struct mb2_memmap_entry), 0,
	    {{0x100000, 0x700000, 1, 0}, {0, 0x9f000, 1, 0}, {0x300000, 0x1000, 20, 0}}};
	struct {
		uint32_t start, end;
		char name[8];
	} module = {0x600000, 0x600800, "initrd"};
	const struct {
		uint32_t place[6];
		uint8_t red[2], green[2], blue[2];
	} framebuffer = {
	    {0xfd000000, 0, 4096, 1024, 768, 32 | FRAMEBUFFER_RGB << 8}, {16, 8}, {8, 8}, {0, 8}};
	uint8_t rsdp[36] = "RSD PTR ";

	*b = (struct blob){.n = 8};
	blob_tag(b, TAG_CMDLINE, "test=all", 9);
	blob_tag(b, TAG_MODULE, &module, sizeof(module));
	blob_tag(b, 4, "basic mm", 8);
	blob_tag(b, TAG_MEMMAP, &map, sizeof(map));
	blob_tag(b, TAG_FRAMEBUFFER, &framebuffer, sizeof(framebuffer));
	blob_tag(b, TAG_ACPI_NEW, rsdp, sizeof(rsdp));
	blob_tag(b, TAG_ACPI_OLD, "RSD PTR old, to be ignored", 20);
	blob_tag(b, TAG_END, "", 0);
	memcpy(b->data, &b->n, 4);
}

static paddr_t place(const struct blob *b)
{
	paddr_t at = at_end(b->n);
	reset();
	memcpy(bytes(at), b->data, b->n);
	return at;
}

static void test_multiboot2(void **state)
{
	struct blob b;
	(void)state;
	make_multiboot2(&b);
	bootinfo_parse(MB2_MAGIC, (uint32_t)place(&b));
	boot_map_build();
	assert_map_is_normal();
	assert_string_equal(bootinfo.protocol, "multiboot2");
	assert_string_equal(bootinfo.cmdline, "test=all");
	assert_int_equal(bootinfo.nmodules, 1);
	assert_string_equal(bootinfo.modules[0].name, "initrd");
	assert_int_equal(bootinfo.framebuffer.base, 0xfd000000);
	assert_int_equal(bootinfo.framebuffer.width, 1024);
	assert_int_equal(bootinfo.framebuffer.bpp, 32);
	assert_int_equal(bootinfo.framebuffer.red, 16);
	assert_int_equal(bootinfo.framebuffer.green, 8);
	assert_int_equal(bootinfo.framebuffer.blue, 0);
	assert_true(bootinfo.has_rsdp_copy);
	assert_memory_equal(bootinfo.rsdp_copy, "RSD PTR \0", 9);
	assert_int_equal(type_at(0x300000), BOOT_MEM_RESERVED);
	assert_int_equal(type_at(0x301000), BOOT_MEM_USABLE);
	assert_int_equal(type_at(0x600000), BOOT_MEM_MODULE);
}

/* Cut short at every length: no byte beyond is read, and nothing wild comes out. */
static void test_multiboot2_cut(void **state)
{
	struct blob b;
	(void)state;
	make_multiboot2(&b);
	for (uint32_t n = b.n - 8; n >= 16; n -= 8) {
		struct blob cut = b;
		cut.n = n;
		memcpy(cut.data, &n, 4);
		assert_true(multiboot2_parse(MB2_MAGIC, (uint32_t)place(&cut)));
		boot_map_build();
		assert_map_is_normal();
	}
	b.data[0] = 8; /* smaller than its own head */
	b.data[1] = b.data[2] = b.data[3] = 0;
	assert_false(multiboot2_parse(MB2_MAGIC, (uint32_t)place(&b)));
}

static void damage(uint8_t *p, size_t n)
{
	static const uint8_t extremes[] = {0, 1, 7, 8, 0x7f, 0x80, 0xff};
	for (unsigned k = 1 + (unsigned)rnd(6); k > 0; k--)
		p[rnd(n)] = rnd(2) ? extremes[rnd(sizeof(extremes))] : (uint8_t)rnd(256);
}

static void assert_info_is_sane(void)
{
	boot_map_build();
	assert_map_is_normal();
	assert_true(bootinfo.nmodules <= BOOT_MAX_MODULES);
	assert_true(strnlen(bootinfo.cmdline, sizeof(bootinfo.cmdline)) < sizeof(bootinfo.cmdline));
	for (unsigned i = 0; i < bootinfo.nmodules; i++) {
		assert_true(bootinfo.modules[i].start < bootinfo.modules[i].end &&
			    bootinfo.modules[i].end <= BOOT_WINDOW_END);
		assert_true(strnlen(bootinfo.modules[i].name, 64) < 64);
	}
}

static void test_multiboot2_damaged(void **state)
{
	struct blob b;
	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		make_multiboot2(&b);
		damage(b.data + 8, b.n - 8);
		(void)multiboot2_parse(MB2_MAGIC, (uint32_t)place(&b));
		assert_info_is_sane();
	}
}

/* Only what lies in the window can be read, and only [LOW, LOW + AREA) of it is backed here: pointers that
 * point elsewhere into the window would fault although a machine has memory there. So the fields are damaged
 * that are not pointers. */
static void test_pvh_damaged(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 5000; round++) {
		paddr_t info = make_pvh();
		struct pvh_start_info *si = bytes(info);
		damage(bytes(si->memmap), 2 * sizeof(struct pvh_memmap_entry));
		damage(bytes(si->modlist), 16);
		si->nr_modules = (uint32_t)rnd(20);
		si->memmap_entries = (uint32_t)rnd(20);
		(void)pvh_parse((uint32_t)info);
		assert_info_is_sane();
	}
}

/* -- the command line ------------------------------------------------------------------------------------ */

static void test_cmdline(void **state)
{
	char long_text[3000], v[8] = "old";
	(void)state;
	reset();
	memset(long_text, 'x', sizeof(long_text));
	boot_set_cmdline(long_text, sizeof(long_text));
	assert_int_equal(strlen(bootinfo.cmdline), BOOT_CMDLINE_MAX - 1);
	boot_set_cmdline(" key=value  key2 empty= key=second", 100);
	assert_true(cmdline_get("key", v, sizeof(v)));
	assert_string_equal(v, "value");
	assert_true(cmdline_get("key", v, 3));
	assert_string_equal(v, "va");
	assert_true(cmdline_get("key2", v, sizeof(v)));
	assert_string_equal(v, "");
	assert_true(cmdline_get("empty", v, sizeof(v)));
	assert_string_equal(v, "");
	assert_false(cmdline_get("ke", v, sizeof(v)));
	assert_false(cmdline_get("value", v, sizeof(v)));
	boot_set_cmdline(NULL, 0);
	assert_false(cmdline_get("key", v, sizeof(v)));
}

/* -- ACPI ------------------------------------------------------------------------------------------------ */

static paddr_t acpi_next;

static void fix_checksum(struct acpi_header *h)
{
	uint8_t sum = 0;
	h->checksum = 0;
	for (uint32_t i = 0; i < h->length; i++)
		sum = (uint8_t)(sum + ((uint8_t *)h)[i]);
	h->checksum = (uint8_t)-sum;
}

/* Tables lie one behind the other up to the end of memory: each is followed by nothing good. */
static paddr_t put_table(const char *signature, const void *body, uint32_t n)
{
	uint32_t length = (uint32_t)sizeof(struct acpi_header) + n;
	acpi_next -= length;
	struct acpi_header *h = bytes(acpi_next);
	memcpy(h->signature, signature, 4);
	h->length = length;
	h->revision = 1;
	memcpy(h + 1, body, n);
	fix_checksum(h);
	return acpi_next;
}

static paddr_t madt_at;

static void put_rsdp(uint64_t xsdt, uint32_t rsdt, uint8_t revision)
{
	struct rsdp r = {
	    .signature = "RSD PTR ", .revision = revision, .rsdt = rsdt, .length = RSDP_V2, .xsdt = xsdt};
	uint8_t sum = 0;
	for (unsigned i = 0; i < RSDP_V1; i++)
		sum = (uint8_t)(sum + ((uint8_t *)&r)[i]);
	r.checksum = (uint8_t)-sum;
	sum = 0;
	for (unsigned i = 0; i < RSDP_V2; i++)
		sum = (uint8_t)(sum + ((uint8_t *)&r)[i]);
	r.extended_checksum = (uint8_t)-sum;
	memcpy(bootinfo.rsdp_copy, &r, sizeof(r));
	bootinfo.has_rsdp_copy = true;
}

static void make_acpi(void)
{
	static const uint8_t madt[] = {0, 0, 0xe0, 0xfe, 1, 0, 0, 0, /* LAPIC address, flags */
	    0, 8, 0, 0, 1, 0, 0, 0, 0, 8, 1, 4, 1, 0, 0, 0, 1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0, 2, 10,
	    0, 0, 2, 0, 0, 0, 0, 0};
	struct fadt fadt = {.sci = 9, .pm1a_event = 0x600, .pm1a_control = 0x604, .event_length = 4};
	uint8_t hpet[sizeof(struct hpet) - sizeof(struct acpi_header)] = {0};
	uint8_t mcfg[8 + 16] = {0};
	uint64_t xsdt[5], base = 0xb0000000;

	reset();
	acpi_next = LOW + AREA;
	madt_at = put_table("APIC", madt, sizeof(madt));
	hpet[8 + 2] = 0xd0; /* address 0xfed00000: space 0, at offset 4 of the block */
	hpet[8 + 3] = 0xfe;
	memcpy(mcfg + 8, &base, 8);
	mcfg[8 + 11] = 255;
	fadt.dsdt = (uint32_t)put_table("DSDT", "aml", 3);
	xsdt[0] = madt_at;
	xsdt[1] = put_table(
	    "FACP", (uint8_t *)&fadt + sizeof(struct acpi_header), sizeof(fadt) - sizeof(struct acpi_header));
	xsdt[2] = put_table("HPET", hpet, sizeof(hpet));
	xsdt[3] = put_table("MCFG", mcfg, sizeof(mcfg));
	xsdt[4] = 0xdead0000; /* out of reach: refused */
	put_rsdp(put_table("XSDT", xsdt, sizeof(xsdt)), 0, 2);
}

static void count_entry(const struct acpi_madt_entry *e, void *arg)
{
	unsigned *counts = arg;
	const struct acpi_header *h = bytes(madt_at);
	/* The entry lies in the table whole. */
	assert_true((char *)e >= (char *)h && (char *)e + e->length <= (char *)h + h->length);
	if (e->type < 16)
		counts[e->type]++;
}

static void test_acpi(void **state)
{
	unsigned counts[16] = {0};
	struct acpi_power power;
	struct acpi_pci_window window;
	(void)state;
	make_acpi();
	acpi_init();
	assert_int_equal(acpi_table_count(), 4);
	assert_int_equal(acpi_refused_count(), 1);
	assert_int_equal(acpi_madt_lapic_base(), 0xfee00000);
	assert_true(acpi_madt_for_each(count_entry, counts));
	assert_int_equal(counts[MADT_LAPIC], 2);
	assert_int_equal(counts[MADT_IOAPIC], 1);
	assert_int_equal(counts[MADT_OVERRIDE], 1);
	assert_int_equal(acpi_hpet_base(), 0xfed00000);
	assert_true(acpi_pci_window(0, &window));
	assert_int_equal(window.base, 0xb0000000);
	assert_int_equal(window.last_bus, 255);
	assert_false(acpi_pci_window(1, &window));
	assert_true(acpi_power(&power));
	assert_int_equal(power.sci, 9);
	assert_int_equal(power.pm1a_event, 0x600);
	assert_int_equal(power.pm1b_control, 0);
	assert_false(power.has_reset);
	assert_true(power.dsdt && power.dsdt_length == sizeof(struct acpi_header) + 3);
	assert_null(acpi_find("XXXX", 0, 0));
	assert_null(acpi_find("APIC", 1, 0));
	assert_null(acpi_find("APIC", 0, 4096));
	/* The tables' memory is claimed whatever the map says. */
	boot_map_add_e820(LOW, AREA, E820_RESERVED);
	boot_map_build();
	assert_int_equal(type_at(madt_at), BOOT_MEM_ACPI);
	assert_int_equal(type_at(power.dsdt), BOOT_MEM_ACPI);
}

static void test_acpi_absent(void **state)
{
	unsigned counts[16] = {0};
	struct acpi_power power;
	struct acpi_pci_window window;
	(void)state;
	reset();
	acpi_init();
	assert_int_equal(acpi_table_count(), 0);
	assert_false(acpi_madt_for_each(count_entry, counts));
	assert_false(acpi_power(&power));
	assert_false(acpi_pci_window(0, &window));
	assert_int_equal(acpi_hpet_base(), 0);
	assert_int_equal(acpi_madt_lapic_base(), 0);
	make_acpi();
	bootinfo.rsdp_copy[8] ^= 1; /* the checksum */
	acpi_init();
	assert_int_equal(acpi_table_count(), 0);
	make_acpi();
	((uint8_t *)bytes(madt_at))[40] ^= 1;
	acpi_init();
	assert_int_equal(acpi_table_count(), 3);
	assert_false(acpi_madt_for_each(count_entry, counts));
}

static void test_acpi_rsdt(void **state)
{
	(void)state;
	make_acpi();
	uint32_t rsdt[2] = {(uint32_t)madt_at, 0};
	put_rsdp(0, (uint32_t)put_table("RSDT", rsdt, sizeof(rsdt)), 0);
	acpi_init();
	assert_int_equal(acpi_table_count(), 1);
	assert_int_equal(acpi_madt_lapic_base(), 0xfee00000);
}

/* Any bytes with a good checksum: everything that is read lies in the tables. */
static void test_acpi_damaged(void **state)
{
	unsigned counts[16];
	struct acpi_power power;
	struct acpi_pci_window window;
	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		make_acpi();
		for (paddr_t pa = acpi_next; pa < LOW + AREA;) {
			struct acpi_header *h = bytes(pa);
			uint32_t length = h->length;
			if (rnd(2)) {
				damage((uint8_t *)h + 4, length - 4);
				if (h->length <= length && h->length >= sizeof(*h))
					fix_checksum(h);
			}
			pa += length;
		}
		acpi_init();
		(void)acpi_madt_for_each(count_entry, counts);
		(void)acpi_power(&power);
		(void)acpi_hpet_base();
		for (unsigned i = 0; i < 3; i++)
			(void)acpi_pci_window(i, &window);
		boot_map_build();
		assert_map_is_normal();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_map_random),
	    cmocka_unit_test(test_map_overflow),
	    cmocka_unit_test(test_map_extremes),
	    cmocka_unit_test(test_pvh),
	    cmocka_unit_test(test_pvh_refused),
	    cmocka_unit_test(test_pvh_bad_modules),
	    cmocka_unit_test(test_multiboot2),
	    cmocka_unit_test(test_multiboot2_cut),
	    cmocka_unit_test(test_multiboot2_damaged),
	    cmocka_unit_test(test_pvh_damaged),
	    cmocka_unit_test(test_cmdline),
	    cmocka_unit_test(test_acpi),
	    cmocka_unit_test(test_acpi_absent),
	    cmocka_unit_test(test_acpi_rsdt),
	    cmocka_unit_test(test_acpi_damaged),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
