/* cpio.c - see cpio.h. All positions are below 2^33 + len, so no sum overflows: sizes are eight hexadecimal
 * digits. */
#include "fs/cpio.h"
#include "lib/string.h"

enum {
	HEADER_SIZE = 110,
	MAGIC_SIZE = 6,
	FIELD_MODE = 1, /* fields of eight digits after the magic */
	FIELD_FILESIZE = 6,
	FIELD_NAMESIZE = 11,
};

static bool read_field(const uint8_t *header, unsigned field, uint32_t *out)
{
	uint32_t value = 0;
	for (unsigned i = 0; i < 8; i++) {
		uint8_t c = header[MAGIC_SIZE + field * 8 + i];
		uint8_t letter = c | 0x20;
		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (letter >= 'a' && letter <= 'f')
			value = value << 4 | (uint32_t)(letter - 'a' + 10);
		else
			return false;
	}
	*out = value;
	return true;
}

err_t cpio_next(const void *archive, uint64_t len, uint64_t *pos, struct cpio_entry *out)
{
	const uint8_t *base = archive;
	uint32_t mode, filesize, namesize;
	if (*pos > len || len - *pos < HEADER_SIZE)
		return -EINVAL;
	const uint8_t *header = base + *pos;
	if (memcmp(header, "070701", MAGIC_SIZE) && memcmp(header, "070702", MAGIC_SIZE))
		return -EINVAL;
	if (!read_field(header, FIELD_MODE, &mode) || !read_field(header, FIELD_FILESIZE, &filesize) ||
	    !read_field(header, FIELD_NAMESIZE, &namesize))
		return -EINVAL;
	uint64_t name = *pos + HEADER_SIZE;
	uint64_t data = ALIGN_UP(name + namesize, 4);
	if (namesize == 0 || data > len || filesize > len - data || base[name + namesize - 1] != 0)
		return -EINVAL;
	*out = (struct cpio_entry){(const char *)base + name, base + data, filesize, mode};
	if (!strcmp(out->name, "TRAILER!!!"))
		return -ENOENT;
	*pos = ALIGN_UP(data + filesize, 4);
	return 0;
}
