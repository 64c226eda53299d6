/*
 * multiboot2.c - the tags that GRUB leaves, on BIOS and on UEFI.
 *
 * Source of the layout: Multiboot2 Specification 2.0, section 3.6. Each tag is {u32 type, u32 size}, padded
 * to 8 bytes; every field is checked against its tag, every tag against the whole.
 */
#include "arch/x86_64/boot_map.h"
#include "lib/string.h"

enum {
	MB2_MAGIC = 0x36d76289,
	MB2_MAX_SIZE = 16 << 20,
	TAG_END = 0,
	TAG_CMDLINE = 1,
	TAG_MODULE = 3,
	TAG_MEMMAP = 6,
	TAG_FRAMEBUFFER = 8,
	TAG_ACPI_OLD = 14,
	TAG_ACPI_NEW = 15,
	RSDP_V1_SIZE = 20,
	FRAMEBUFFER_RGB = 1,
};

struct mb2_tag {
	uint32_t type, size; /* size includes this head, not the padding */
};

struct mb2_module {
	struct mb2_tag tag;
	uint32_t start, end;
	char cmdline[];
};

struct mb2_memmap {
	struct mb2_tag tag;
	uint32_t entry_size, entry_version;
};

struct mb2_memmap_entry {
	uint64_t start, len;
	uint32_t type, reserved;
};

struct mb2_framebuffer {
	struct mb2_tag tag;
	uint64_t base;
	uint32_t pitch, width, height;
	uint8_t bpp, type;
	uint16_t reserved;
	struct {
		uint8_t position, size; /* bits */
	} red, green, blue;
};

static void tag_module(const struct mb2_tag *t)
{
	const struct mb2_module *m = (const struct mb2_module *)t;

	if (t->size >= sizeof(*m))
		boot_add_module(m->start, m->end, m->cmdline, t->size - sizeof(*m));
}

static void tag_memmap(const struct mb2_tag *t)
{
	const struct mb2_memmap *m = (const struct mb2_memmap *)t;

	if (t->size < sizeof(*m) || m->entry_size < sizeof(struct mb2_memmap_entry) || m->entry_size % 8)
		return;
	uint64_t n = (t->size - sizeof(*m)) / m->entry_size;
	for (uint64_t i = 0; i < n; i++) {
		const struct mb2_memmap_entry *e = (const void *)((const char *)(m + 1) + i * m->entry_size);
		boot_map_add_e820(e->start, e->len, e->type);
	}
}

static void tag_framebuffer(const struct mb2_tag *t)
{
	const struct mb2_framebuffer *f = (const struct mb2_framebuffer *)t;

	if (t->size < offsetof(struct mb2_framebuffer, blue) + sizeof(f->blue) ||
	    f->type != FRAMEBUFFER_RGB || f->bpp == 0 || f->bpp > 32)
		return;
	if (!f->base || !f->width || !f->height || (uint64_t)f->pitch * 8 < (uint64_t)f->width * f->bpp)
		return;
	bootinfo.framebuffer = (struct boot_framebuffer){.base = f->base,
	    .width = f->width,
	    .height = f->height,
	    .pitch = f->pitch,
	    .bpp = f->bpp,
	    .red = f->red.position,
	    .green = f->green.position,
	    .blue = f->blue.position};
}

/* GRUB copies the RSDP itself into the tag. A new one (with the XSDT) wins over an old one. */
static void tag_rsdp(const struct mb2_tag *t)
{
	uint64_t len = MIN((uint64_t)t->size - sizeof(*t), sizeof(bootinfo.rsdp_copy));

	if (len < RSDP_V1_SIZE || (bootinfo.has_rsdp_copy && t->type == TAG_ACPI_OLD))
		return;
	memset(bootinfo.rsdp_copy, 0, sizeof(bootinfo.rsdp_copy));
	memcpy(bootinfo.rsdp_copy, t + 1, len);
	bootinfo.has_rsdp_copy = true;
}

static void parse_tag(const struct mb2_tag *t)
{
	switch (t->type) {
	case TAG_CMDLINE:
		boot_set_cmdline((const char *)(t + 1), t->size - sizeof(*t));
		break;
	case TAG_MODULE:
		tag_module(t);
		break;
	case TAG_MEMMAP:
		tag_memmap(t);
		break;
	case TAG_FRAMEBUFFER:
		tag_framebuffer(t);
		break;
	case TAG_ACPI_OLD:
	case TAG_ACPI_NEW:
		tag_rsdp(t);
		break;
	}
}

bool multiboot2_parse(uint32_t magic, uint32_t info)
{
	const uint32_t *total = boot_peek(info, 8);

	if (magic != MB2_MAGIC || !total || info % 8 || *total < 16 || *total > MB2_MAX_SIZE)
		return false;
	const char *base = boot_peek(info, *total);
	if (!base)
		return false;
	bootinfo.protocol = "multiboot2";
	uint64_t left = *total - 8, at = 8;
	while (left >= sizeof(struct mb2_tag)) {
		const struct mb2_tag *t = (const struct mb2_tag *)(base + at);
		uint64_t padded = ALIGN_UP((uint64_t)t->size, 8);
		if (t->type == TAG_END || t->size < sizeof(*t) || t->size > left)
			break;
		parse_tag(t);
		at += padded;
		left -= MIN(left, padded);
	}
	return true;
}
