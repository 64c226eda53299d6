#pragma once
/*
 * ring.h - a stream of bytes from one side to another, in this process or in another one, through memory that
 * both have mapped: nothing is copied, and no call is made while the ring is neither empty nor full. Part of
 * libquire, over VM objects and endpoints. docs/objects.md tells how the two sides wake each other.
 *
 *	producer ──look, pass──▶ bytes, mapped twice in a row ──look, pass──▶ consumer
 *	                    produced ──▶ header ◀── consumed
 *
 * Positions count bytes from the beginning and never wrap. Each side keeps its own, and only tells it to the
 * other; of the other's it believes no more than what a ring can hold. So a hostile side can make the other
 * read wrong bytes or get an error, and nothing else; but as the bytes may change while they are looked at,
 * who does not trust the other copies what it checks.
 */
#include <errno.h>
#include <fcntl.h>
#include <quire/calls.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

enum {
	QUIRE_RING_PAGE = 4096,   /* the smallest ring; the size of the header */
	QUIRE_RING_SPURIOUS = 16, /* wakings for nothing that end a wait: an honest side makes two */
};

/* The descriptors of a side. WAIT can be polled. */
enum quire_ring_fd {
	QUIRE_RING_BYTES,
	QUIRE_RING_HEADER,
	QUIRE_RING_WAIT,
	QUIRE_RING_WAKE,
	QUIRE_RING_FDS,
};

/* Each word is written by one side, and its own line of the cache. */
struct quire_ring_word {
	_Alignas(64) uint64_t value;
};

/* Index 0: the producer's; 1: the consumer's. */
struct quire_ring_header {
	struct quire_ring_word position[2];
	struct quire_ring_word sleeps[2]; /* not 0: wake it. Set by whom it is about, cleared by either */
};

/* A side. One thread at a time uses it; nothing of it is for others to change. */
struct quire_ring {
	struct quire_ring_header *header;
	uint8_t *bytes;
	uint64_t size;     /* a power of two */
	uint64_t position; /* this side's */
	int wait, wake;    /* descriptors */
	bool consumes;
};

static inline void quire_ring_close_fds(const int fds[QUIRE_RING_FDS])
{
	for (unsigned i = 0; i < QUIRE_RING_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* One side's descriptors of the memory, as copies of the other's; the consumer has no use for stores. */
static inline int quire_ring_copy_memory(const int producer[QUIRE_RING_FDS], int consumer[QUIRE_RING_FDS])
{
	for (unsigned i = QUIRE_RING_BYTES; i <= QUIRE_RING_HEADER; i++) {
		consumer[i] = fcntl(producer[i], F_DUPFD_CLOEXEC, 0);
		if (consumer[i] < 0)
			return -1;
	}
	const unsigned rights = QUIRE_RIGHTS_ALL & ~(unsigned)(QUIRE_RIGHT_WRITE | QUIRE_RIGHT_EXEC);
	return (int)quire_rights_limit(consumer[QUIRE_RING_BYTES], rights);
}

static inline int quire_ring_make_bells(int producer[QUIRE_RING_FDS], int consumer[QUIRE_RING_FDS])
{
	int ends[2];
	if (quire_endpoint_create(ends, 0))
		return -1;
	producer[QUIRE_RING_WAIT] = ends[0];
	consumer[QUIRE_RING_WAKE] = ends[1];
	if (quire_endpoint_create(ends, 0))
		return -1;
	consumer[QUIRE_RING_WAIT] = ends[0];
	producer[QUIRE_RING_WAKE] = ends[1];
	return 0;
}

/* Make a ring of `size` bytes, a power of two and whole pages: the descriptors of its two sides, which close
 * on exec and may be given to others. Returns 0, or -1 with errno, and nothing was made. */
static inline int quire_ring_create(size_t size, int producer[QUIRE_RING_FDS], int consumer[QUIRE_RING_FDS])
{
	for (unsigned i = 0; i < QUIRE_RING_FDS; i++)
		producer[i] = consumer[i] = -1;
	if (size < QUIRE_RING_PAGE || (size & (size - 1))) {
		errno = EINVAL;
		return -1;
	}
	producer[QUIRE_RING_BYTES] = (int)quire_vmo_create(QUIRE_VMO_RING, 0, size);
	producer[QUIRE_RING_HEADER] = (int)quire_vmo_create(QUIRE_VMO_FIXED, 0, QUIRE_RING_PAGE);
	if (producer[QUIRE_RING_BYTES] >= 0 && producer[QUIRE_RING_HEADER] >= 0 &&
	    !quire_ring_copy_memory(producer, consumer) && !quire_ring_make_bells(producer, consumer))
		return 0;
	int error = errno;
	quire_ring_close_fds(producer);
	quire_ring_close_fds(consumer);
	errno = error;
	return -1;
}

/* The size of memory that nobody can take away: shrunk, it would end who touches it. 0: it is no such. */
static inline uint64_t quire_ring_fixed_size(int fd)
{
	enum { SEAL_SHRINK = 2, GET_SEALS = 1034 }; /* Linux's; its C library shows them to few */
	struct stat st;
	int seals = fcntl(fd, GET_SEALS);
	return seals >= 0 && (seals & SEAL_SHRINK) && !fstat(fd, &st) && st.st_size > 0 ? (uint64_t)st.st_size
											: 0;
}

/* Map the bytes twice in a row. vma_map does that for what is a ring; what somebody sent may be anything. */
static inline uint8_t *quire_ring_map_twice(int fd, uint64_t size, int prot)
{
	uint8_t *at = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	if (mmap(at, size, prot, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED &&
	    mmap(at + size, size, prot, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED)
		return at;
	int error = errno;
	munmap(at, 2 * size);
	errno = error;
	return NULL;
}

/* Be a side of the ring whose descriptors these are, from whomever they came. Returns 0; two of them are
 * closed then, and the other two belong to the ring. Or -1 with errno, and nothing happened: EINVAL if this
 * is no ring, or what mmap says. */
static inline int quire_ring_open(struct quire_ring *r, const int fds[QUIRE_RING_FDS], bool consumes)
{
	uint64_t size = quire_ring_fixed_size(fds[QUIRE_RING_BYTES]);
	uint64_t header = quire_ring_fixed_size(fds[QUIRE_RING_HEADER]);
	if (size < QUIRE_RING_PAGE || (size & (size - 1)) || size > PTRDIFF_MAX / 2 ||
	    header < QUIRE_RING_PAGE) {
		errno = EINVAL;
		return -1;
	}
	void *head =
	    mmap(NULL, QUIRE_RING_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[QUIRE_RING_HEADER], 0);
	if (head == MAP_FAILED)
		return -1;
	uint8_t *bytes =
	    quire_ring_map_twice(fds[QUIRE_RING_BYTES], size, consumes ? PROT_READ : PROT_READ | PROT_WRITE);
	if (!bytes) {
		int error = errno;
		munmap(head, QUIRE_RING_PAGE);
		errno = error;
		return -1;
	}
	*r = (struct quire_ring){.header = head,
	    .bytes = bytes,
	    .size = size,
	    .wait = fds[QUIRE_RING_WAIT],
	    .wake = fds[QUIRE_RING_WAKE],
	    .consumes = consumes};
	close(fds[QUIRE_RING_BYTES]);
	close(fds[QUIRE_RING_HEADER]);
	return 0;
}

/* Leave. The other side is told: a producer is refused, a consumer gets what is there, then the end. The same
 * happens if the process ends in whatever way. */
static inline void quire_ring_close(struct quire_ring *r)
{
	munmap(r->bytes, 2 * r->size);
	munmap(r->header, QUIRE_RING_PAGE);
	close(r->wait);
	close(r->wake);
}

/* What this side can have now, in a row at *at: room to be filled, or bytes to be read. Makes no call.
 * Returns how many, perhaps 0; -1 with EPROTO: the other side told nonsense. */
static inline ssize_t quire_ring_look(const struct quire_ring *r, void **at)
{
	uint64_t other = __atomic_load_n(&r->header->position[!r->consumes].value, __ATOMIC_SEQ_CST);
	uint64_t filled = r->consumes ? other - r->position : r->position - other;
	if (filled > r->size) {
		errno = EPROTO;
		return -1;
	}
	*at = r->bytes + (r->position & (r->size - 1));
	return (ssize_t)(r->consumes ? filled : r->size - filled);
}

/* The first n bytes of what quire_ring_look told are done with: the other side can have them. Makes a call
 * only if it sleeps. Position and flag are stored and loaded in one order that all agree on: either this side
 * sees that the other is about to sleep, or that one sees the bytes. */
static inline void quire_ring_pass(struct quire_ring *r, size_t n)
{
	uint64_t *sleeps = &r->header->sleeps[!r->consumes].value;
	if (!n)
		return;
	r->position += n;
	__atomic_store_n(&r->header->position[r->consumes].value, r->position, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(sleeps, __ATOMIC_SEQ_CST) && __atomic_exchange_n(sleeps, 0, __ATOMIC_SEQ_CST))
		(void)quire_endpoint_notify(r->wake, 1); /* that it has gone is told to who waits */
}

/* Before polling r->wait: true if this side cannot have more than `have` bytes yet; then that becomes
 * readable when it can, or hangs up when it never will. Afterwards, quire_ring_wait with QUIRE_NOW. */
static inline bool quire_ring_prepare(struct quire_ring *r, size_t have)
{
	void *at;
	__atomic_store_n(&r->header->sleeps[r->consumes].value, 1, __ATOMIC_SEQ_CST);
	ssize_t n = quire_ring_look(r, &at);
	return n >= 0 && (size_t)n <= have;
}

/* Sleep until the other side rings. A message with descriptors is not what it should send. */
static inline int quire_ring_sleep(struct quire_ring *r, uint64_t deadline)
{
	struct quire_message m = {.capacity = 0};
	if (quire_endpoint_receive(r->wait, &m, deadline))
		return -1;
	for (unsigned i = 0; i < m.nfds; i++)
		close(m.fds[i]);
	if (m.reply >= 0)
		close(m.reply);
	return 0;
}

/* The part of quire_ring_wait that sleeps. */
static inline ssize_t quire_ring_wait_more(struct quire_ring *r, size_t have, void **at, uint64_t deadline)
{
	bool gone = false;
	ssize_t n = 0;
	if (have >= r->size) {
		errno = EINVAL;
		return -1;
	}
	for (unsigned tries = 0; n >= 0 && (size_t)n <= have; tries++) {
		if (gone || tries == QUIRE_RING_SPURIOUS) {
			errno = gone ? EPIPE : EPROTO;
			return -1;
		}
		if (quire_ring_prepare(r, have) && quire_ring_sleep(r, deadline)) {
			if (errno != EPIPE)
				return -1;
			gone = true; /* what it did before it went counts */
		}
		n = quire_ring_look(r, at);
	}
	__atomic_store_n(&r->header->sleeps[r->consumes].value, 0, __ATOMIC_RELAXED);
	return n;
}

/* Sleep until this side can have more than `have` bytes, which are fewer than the ring holds. Returns how
 * many, in a row at *at. -1: EPIPE: it never will, as the other side has gone; ETIMEDOUT: not until the
 * deadline; EINTR: a signal was handled; EPROTO: the other side told nonsense, or wakes for nothing; EINVAL:
 * so much does not fit. Errors of endpoint_receive: the other side sends what it should not. */
static inline ssize_t quire_ring_wait(struct quire_ring *r, size_t have, void **at, uint64_t deadline)
{
	ssize_t n = quire_ring_look(r, at);
	return n < 0 || (size_t)n > have ? n : quire_ring_wait_more(r, have, at, deadline);
}

/* Copy up to n bytes out of the ring: what is there, and if there is nothing it sleeps. Returns how many; 0:
 * the producer has gone; -1 as quire_ring_wait. */
static inline ssize_t quire_ring_read(struct quire_ring *r, void *to, size_t n, uint64_t deadline)
{
	void *at;
	ssize_t have = quire_ring_wait(r, 0, &at, deadline);
	if (have < 0)
		return errno == EPIPE ? 0 : -1;
	if ((size_t)have < n)
		n = (size_t)have;
	memcpy(to, at, n);
	quire_ring_pass(r, n);
	return (ssize_t)n;
}

/* Copy n bytes into the ring, sleeping while it is full. Returns n; fewer, if an error came in between; -1 as
 * quire_ring_wait. There is no SIGPIPE. */
static inline ssize_t quire_ring_write(struct quire_ring *r, const void *from, size_t n, uint64_t deadline)
{
	size_t done = 0;
	while (done < n) {
		void *at;
		ssize_t room = quire_ring_wait(r, 0, &at, deadline);
		if (room < 0)
			return done ? (ssize_t)done : -1;
		size_t part = n - done < (size_t)room ? n - done : (size_t)room;
		memcpy(at, (const uint8_t *)from + done, part);
		quire_ring_pass(r, part);
		done += part;
	}
	return (ssize_t)done;
}
