/*
 * xattr_area.c - entries and values in a place of the disk. See xattr_area.h.
 *
 * A change builds the place anew from the old one, so it needs no assumption on how that was laid out, or
 * whether values overlap. In blocks entries are in order (space, length of the name, name), which Linux
 * relies on to find them.
 */
#include "fs/ext2/xattr_area.h"
#include "lib/string.h"

enum { END = 4, NAME_SHIFT = 5, VALUE_SHIFT = 16, BLOCK_SHIFT = 16 }; /* END: the 0 behind the last entry */

static uint32_t padded(uint32_t n)
{
	return (n + 3) & ~3u;
}

static uint32_t entry_len(size_t name_len)
{
	return padded((uint32_t)(sizeof(struct ext2_attr) + name_len));
}

static struct ext2_attr *entry_at(const struct xattr_area *a, uint32_t at)
{
	return (void *)(a->base + at);
}

/* --- reading --- */

static bool is_end(const struct xattr_area *a, uint32_t at)
{
	uint32_t word;
	memcpy(&word, a->base + at, sizeof(word));
	return !word;
}

/* The entry at `at`, which has room for its fixed part at least, and its value lie inside; values above
 * `low`. */
static bool is_sound(const struct xattr_area *a, uint32_t at, uint32_t *low)
{
	const struct ext2_attr *d = entry_at(a, at);
	if (entry_len(d->name_len) > a->size - END - at || d->value_ino || d->value_len > a->size)
		return false;
	if (!d->value_len)
		return true;
	*low = MIN(*low, d->value_at);
	return d->value_at <= a->size - d->value_len;
}

err_t xattr_area_check(const struct xattr_area *a)
{
	uint32_t at = a->first, low = a->size;
	if (a->first == a->size)
		return 0;
	while (at <= a->size - END && !is_end(a, at)) {
		if (at > a->size - END - sizeof(struct ext2_attr) || !is_sound(a, at, &low))
			return -EUCLEAN;
		at += entry_len(entry_at(a, at)->name_len);
	}
	return at <= a->size - END && at + END <= low ? 0 : -EUCLEAN;
}

const struct ext2_attr *xattr_area_next(const struct xattr_area *a, uint32_t *at)
{
	if (*at == a->size || is_end(a, *at))
		return NULL;
	const struct ext2_attr *d = entry_at(a, *at);
	*at += entry_len(d->name_len);
	return d;
}

struct xattr_name xattr_area_name(const struct ext2_attr *d)
{
	return (struct xattr_name){(enum xattr_space)d->space, d->name, d->name_len};
}

static int compare(const struct xattr_name *a, const struct xattr_name *b)
{
	if (a->space != b->space)
		return a->space < b->space ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->name, b->name, a->len);
}

const struct ext2_attr *xattr_area_find(const struct xattr_area *a, const struct xattr_name *name)
{
	const struct ext2_attr *d;
	for (uint32_t at = a->first; (d = xattr_area_next(a, &at));) {
		struct xattr_name n = xattr_area_name(d);
		if (!compare(&n, name))
			return d;
	}
	return NULL;
}

bool xattr_area_is_empty(const struct xattr_area *a)
{
	uint32_t at = a->first;
	return !xattr_area_next(a, &at);
}

/* --- hashes --- */

static uint32_t roll(uint32_t hash, unsigned shift, uint32_t with)
{
	return hash << shift ^ hash >> (32 - shift) ^ with;
}

/* d's value is laid out, with zeros up to a multiple of 4 bytes. */
static uint32_t hash_entry(const struct xattr_area *a, const struct ext2_attr *d)
{
	uint32_t hash = 0, word;
	for (unsigned i = 0; i < d->name_len; i++)
		hash = roll(hash, NAME_SHIFT, (uint8_t)d->name[i]);
	for (uint32_t i = 0; i < d->value_len; i += sizeof(word)) {
		memcpy(&word, a->base + d->value_at + i, sizeof(word));
		hash = roll(hash, VALUE_SHIFT, word);
	}
	return hash;
}

uint32_t xattr_area_hash(const struct xattr_area *a)
{
	const struct ext2_attr *d;
	uint32_t hash = 0;
	for (uint32_t at = a->first; (d = xattr_area_next(a, &at));) {
		if (!d->hash)
			return 0;
		hash = roll(hash, BLOCK_SHIFT, d->hash);
	}
	return hash;
}

/* --- building --- */

struct builder {
	const struct xattr_area *to;
	uint32_t at, low; /* the next entry's place; values begin here */
};

/* -ENOSPC. *out: the entry, its hash to be filled in. */
static err_t append(
    struct builder *b, const struct xattr_name *name, const struct xattr_value *value, struct ext2_attr **out)
{
	uint32_t room = b->low - b->at - END, len = entry_len(name->len);
	if (len > room || value->len > room || padded((uint32_t)value->len) > room - len)
		return -ENOSPC;
	struct ext2_attr *d = entry_at(b->to, b->at);
	b->at += len;
	b->low -= padded((uint32_t)value->len);
	*d = (struct ext2_attr){.name_len = (uint8_t)name->len,
	    .space = (uint8_t)name->space,
	    .value_at = value->len ? (uint16_t)b->low : 0,
	    .value_len = (uint32_t)value->len};
	memcpy(d->name, name->name, name->len);
	memcpy(b->to->base + b->low, value->data, value->len);
	*out = d;
	return 0;
}

static err_t append_new(
    struct builder *b, const struct xattr_name *name, const struct xattr_value *value, bool hashed)
{
	struct ext2_attr *d;
	err_t err = append(b, name, value, &d);
	if (!err && hashed)
		d->hash = hash_entry(b->to, d);
	return err;
}

static err_t append_old(struct builder *b, const struct xattr_area *from, const struct ext2_attr *old)
{
	struct xattr_name name = xattr_area_name(old);
	struct xattr_value value = {from->base + old->value_at, old->value_len};
	struct ext2_attr *d;
	err_t err = append(b, &name, &value, &d);
	if (!err)
		d->hash = old->hash;
	return err;
}

err_t xattr_area_rebuild(const struct xattr_area *from, const struct xattr_area *to,
    const struct xattr_name *name, const struct xattr_value *value, bool hashed)
{
	struct builder b = {.to = to, .at = to->first, .low = to->size};
	const struct ext2_attr *d;
	err_t err = 0;
	if (to->first == to->size)
		return value ? -ENOSPC : 0;
	memset(to->base + to->first, 0, to->size - to->first);
	for (uint32_t at = from->first; !err && (d = xattr_area_next(from, &at));) {
		struct xattr_name n = xattr_area_name(d);
		int order = compare(&n, name);
		if (order > 0 && value) {
			err = append_new(&b, name, value, hashed);
			value = NULL;
		}
		if (order && !err)
			err = append_old(&b, from, d);
	}
	return err || !value ? err : append_new(&b, name, value, hashed);
}
