/*
 * virtqueue.c - see virtqueue.h.
 *
 * Three orders matter. The descriptors are written before the index that publishes them (release). The used
 * index is read before the entries that it publishes (acquire). And whoever publishes looks at the other
 * side's wish to be told only after a full fence: either it sees the wish, or the other side, which looks
 * again after stating it, sees what was published.
 */
#include "dev/virtqueue.h"
#include "lib/assert.h"
#include "lib/bits.h"
#include "lib/string.h"

_Static_assert(sizeof(struct virtq_desc) * VIRTQUEUE_MAX <= VIRTQUEUE_AVAIL_AT, "descriptors fit");
_Static_assert(6 + 2 * VIRTQUEUE_MAX <= VIRTQUEUE_USED_AT - VIRTQUEUE_AVAIL_AT, "the available ring fits");
_Static_assert(6 + 8 * VIRTQUEUE_MAX <= VIRTQUEUE_BYTES - VIRTQUEUE_USED_AT, "the used ring fits");

void virtqueue_init(struct virtqueue *q, void *memory, uint16_t size, bool event_idx)
{
	ASSERT(size && size <= VIRTQUEUE_MAX && !(size & (size - 1)));
	memset(q, 0, sizeof(*q));
	q->size = q->nfree = size;
	q->event_idx = event_idx;
	q->desc = memory;
	q->avail = (void *)((char *)memory + VIRTQUEUE_AVAIL_AT);
	q->used = (void *)((char *)memory + VIRTQUEUE_USED_AT);
	for (uint16_t i = 0; i < size; i++)
		q->book[i].next = (uint16_t)(i + 1);
}

err_t virtqueue_add(struct virtqueue *q, const struct virtq_desc *buffers, unsigned n, void *cookie)
{
	ASSERT(n && cookie);
	if (q->broken)
		return -EIO;
	if (n > q->nfree)
		return -ENOSPC;
	uint16_t head = q->free_head, at = head;
	for (unsigned i = 0; i < n; i++, at = q->book[at].next) {
		bool last = i == n - 1;
		q->desc[at] = buffers[i];
		q->desc[at].flags = (uint16_t)(buffers[i].flags | (last ? 0 : VIRTQ_NEXT));
		q->desc[at].next = last ? 0 : q->book[at].next;
	}
	q->free_head = at;
	q->nfree = (uint16_t)(q->nfree - n);
	q->book[head].cookie = cookie;
	q->book[head].count = (uint16_t)n;
	q->avail->ring[q->avail_idx & (q->size - 1)] = head;
	q->avail_idx++;
	store_release(&q->avail->idx, q->avail_idx);
	return 0;
}

/* The word of the other side's that names the index at which it wants to be told. */
static uint16_t read_event(const uint16_t *word)
{
	return *(const volatile uint16_t *)word;
}

bool virtqueue_wants_notify(struct virtqueue *q)
{
	uint16_t old = q->kicked_idx, now = q->avail_idx;
	q->kicked_idx = now;
	if (old == now || q->broken)
		return false;
	fence_seq_cst();
	if (!q->event_idx)
		return !(read_event(&q->used->flags) & 1);
	uint16_t event = read_event((const uint16_t *)&q->used->ring[q->size]);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/* The chain's descriptors are free again. */
static void *release_chain(struct virtqueue *q, uint16_t head)
{
	struct virtq_book *b = &q->book[head];
	void *cookie = b->cookie;
	uint16_t last = head;
	for (unsigned i = 1; i < b->count; i++)
		last = q->book[last].next;
	q->book[last].next = q->free_head;
	q->free_head = head;
	q->nfree = (uint16_t)(q->nfree + b->count);
	q->used_idx++;
	b->cookie = NULL;
	return cookie;
}

void *virtqueue_get(struct virtqueue *q, uint32_t *len)
{
	uint16_t done = (uint16_t)(load_acquire(&q->used->idx) - q->used_idx);
	if (q->broken || !done)
		return NULL;
	const volatile struct virtq_used_entry *e = &q->used->ring[q->used_idx & (q->size - 1)];
	uint32_t id = e->id;
	if (done > virtqueue_in_flight(q) || id >= q->size || !q->book[id].cookie) {
		q->broken = true;
		return NULL;
	}
	*len = e->len;
	return release_chain(q, (uint16_t)id);
}

bool virtqueue_arm(struct virtqueue *q)
{
	if (q->event_idx)
		*(volatile uint16_t *)&q->avail->ring[q->size] = q->used_idx;
	fence_seq_cst();
	return !q->broken && load_acquire(&q->used->idx) != q->used_idx;
}

void *virtqueue_revoke(struct virtqueue *q)
{
	q->broken = true;
	for (uint16_t i = 0; i < q->size; i++)
		if (q->book[i].cookie)
			return release_chain(q, i);
	return NULL;
}
