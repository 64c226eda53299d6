/*
 * copy.c - copies between the kernel and any space, and between two spaces.
 *
 * Every store through the direct map succeeds, so what the hardware would have refused or noticed is redone
 * by vm_fault_pin for each page: the region's rights, copy-on-write, the dirty mark of a file page. The pin
 * keeps the frame while the copy runs with no lock held, whatever happens to the mapping meanwhile; a clone
 * taken meanwhile gets its own copy of a page that is pinned for writing.
 */
#include "vm/copy.h"
#include "lib/string.h"

/* Bytes from addr to the end of its page, at most n. */
static size_t in_page(uaddr_t addr, size_t n)
{
	return MIN(n, PAGE_SIZE - (addr & (PAGE_SIZE - 1)));
}

static char *pin_bytes(const struct vm_pin *pin, uaddr_t addr)
{
	return (char *)page_to_virt(pin->page) + (addr & (PAGE_SIZE - 1));
}

/* Copy between `buf` and the space, one page at a time. access: FAULT_READ (out of it) or FAULT_WRITE, and
 * FAULT_FORCE. */
static err_t copy_pages(struct vm_space *s, uaddr_t addr, char *buf, size_t n, unsigned access, size_t *done)
{
	for (*done = 0; *done < n;) {
		struct vm_pin pin;
		uaddr_t at = addr + *done;
		size_t chunk = in_page(at, n - *done);
		err_t err = at < addr ? -EFAULT : vm_fault_pin(s, at, access, &pin);
		if (err)
			return err;
		if (access & FAULT_WRITE)
			memcpy(pin_bytes(&pin, at), buf + *done, chunk);
		else
			memcpy(buf + *done, pin_bytes(&pin, at), chunk);
		vm_unpin(&pin);
		*done += chunk;
	}
	return 0;
}

err_t space_read(struct vm_space *s, void *dst, uaddr_t src, size_t n, size_t *done)
{
	return copy_pages(s, src, dst, n, FAULT_READ, done);
}

err_t space_write(struct vm_space *s, uaddr_t dst, const void *src, size_t n, size_t *done)
{
	return copy_pages(s, dst, (char *)(uintptr_t)src, n, FAULT_WRITE, done);
}

err_t space_peek(struct vm_space *s, void *dst, uaddr_t src, size_t n, size_t *done)
{
	return copy_pages(s, src, dst, n, FAULT_READ | FAULT_FORCE, done);
}

err_t space_poke(struct vm_space *s, uaddr_t dst, const void *src, size_t n, size_t *done)
{
	return copy_pages(s, dst, (char *)(uintptr_t)src, n, FAULT_WRITE | FAULT_FORCE, done);
}

/* Copy at most n bytes that lie in one page on either side. */
static err_t copy_chunk(
    struct vm_space *ds, uaddr_t dst, struct vm_space *ss, uaddr_t src, size_t n, enum copy_side *side)
{
	struct vm_pin from, to;
	*side = COPY_SRC_FAULT;
	err_t err = vm_fault_pin(ss, src, FAULT_READ, &from);
	if (err)
		return err;
	*side = COPY_DST_FAULT;
	err = vm_fault_pin(ds, dst, FAULT_WRITE, &to);
	if (!err) {
		memmove(pin_bytes(&to, dst), pin_bytes(&from, src), n);
		vm_unpin(&to);
		*side = COPY_OK;
	}
	vm_unpin(&from);
	return err;
}

err_t space_copy(struct vm_space *dst_space, uaddr_t dst, struct vm_space *src_space, uaddr_t src, size_t n,
    size_t *done, enum copy_side *side)
{
	*side = COPY_OK;
	for (*done = 0; *done < n;) {
		uaddr_t to = dst + *done, from = src + *done;
		if (from < src || to < dst) {
			*side = from < src ? COPY_SRC_FAULT : COPY_DST_FAULT;
			return -EFAULT;
		}
		size_t chunk = in_page(from, in_page(to, n - *done));
		err_t err = copy_chunk(dst_space, to, src_space, from, chunk, side);
		if (err)
			return err;
		*done += chunk;
	}
	return 0;
}
