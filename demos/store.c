/*
 * store.c - a key-value store that saves itself without stopping.
 *
 * All of the store is in one memory file: a hash table of fixed-size records, in which a key's place is found
 * by probing. To save it, it needs a copy of one moment while requests go on. Three ways:
 *
 *	snapshot	fcntl F_SNAPSHOT: a second file that shares all pages with the first. Quire's own
 *	fork		a child whose memory is a copy (the store then has to be private memory, so it is
 *			copied into such memory first). What Redis does
 *	copy		write(2) all of it into another file while requests wait. What is left elsewhere
 *
 * The program fills the store, saves it in each way that the kernel has, answers requests meanwhile, checks
 * that what was saved is the moment that was asked for, and prints how long requests had to wait for it
 * (instructions, in the emulator's instruction-count mode).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "demo.h"
#include "quire.h"

enum {
	SLOTS = 1 << 18, /* of 256 bytes: 64 MiB */
	KEY_MAX = 23,
	VALUE_MAX = 224,
	KEYS = SLOTS / 2,
	REQUESTS = 2000, /* while a copy is alive */
};

struct record {
	uint32_t hash, used;
	char key[KEY_MAX + 1];
	char value[VALUE_MAX];
};
_Static_assert(sizeof(struct record) == 256, "a slot");

struct store {
	struct record slots[SLOTS];
};

/* --- the table --- */

static uint32_t hash_of(const char *key)
{
	uint32_t h = 2166136261u;
	while (*key)
		h = (h ^ (uint8_t)*key++) * 16777619u;
	return h;
}

/* The record of a key, or the free one where it belongs. The table is never full. */
static struct record *find(struct store *s, const char *key)
{
	uint32_t h = hash_of(key);
	for (uint32_t i = h;; i++) {
		struct record *r = &s->slots[i % SLOTS];
		if (!r->used || (r->hash == h && !strcmp(r->key, key)))
			return r;
	}
}

static void put(struct store *s, const char *key, const char *value)
{
	struct record *r = find(s, key);
	r->hash = hash_of(key);
	r->used = 1;
	snprintf(r->key, sizeof(r->key), "%s", key);
	snprintf(r->value, sizeof(r->value), "%s", value);
}

static const char *get(struct store *s, const char *key)
{
	const struct record *r = find(s, key);
	return r->used ? r->value : NULL;
}

static void put_number(struct store *s, unsigned key, unsigned value)
{
	char k[KEY_MAX + 1], v[VALUE_MAX];
	snprintf(k, sizeof(k), "key:%u", key);
	snprintf(v, sizeof(v), "%u", value);
	put(s, k, v);
}

static unsigned get_number(struct store *s, unsigned key)
{
	char k[KEY_MAX + 1];
	snprintf(k, sizeof(k), "key:%u", key);
	const char *v = get(s, k);
	return v ? (unsigned)atoi(v) : 0;
}

/* Does every key have this value? */
static int is_moment(struct store *s, unsigned value)
{
	for (unsigned key = 0; key < KEYS; key++)
		if (get_number(s, key) != value)
			return 0;
	return 1;
}

/* --- where it is --- */

static struct store *map(int fd, int flags)
{
	struct store *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, flags, fd, 0);
	return s == MAP_FAILED ? NULL : s;
}

static int new_file(void)
{
	int fd = (int)syscall(SYS_memfd_create, "store", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, sizeof(struct store)))
		give_up("memfd_create");
	return fd;
}

/* --- saving --- */

/* Changes that the saved copy must not have. Returns ticks for each. */
static uint64_t answer_requests(struct store *s)
{
	uint64_t begin = ticks();
	for (unsigned i = 0; i < REQUESTS; i++)
		put_number(s, i * 61 % KEYS, 2);
	return (ticks() - begin) / REQUESTS;
}

static void reset(struct store *s)
{
	for (unsigned i = 0; i < REQUESTS; i++)
		put_number(s, i * 61 % KEYS, 1);
}

static void tell(const char *way, uint64_t stopped, uint64_t request, int good)
{
	printf("store: %-8s requests wait %11llu, then take %6llu each; what was saved is %s\n", way,
	    (unsigned long long)stopped, (unsigned long long)request, good ? "right" : "WRONG");
	fflush(stdout);
}

static void save_by_snapshot(struct store *s, int fd)
{
	uint64_t begin = ticks();
	int copy = fcntl(fd, F_SNAPSHOT, O_CLOEXEC);
	uint64_t stopped = ticks() - begin;
	if (copy < 0) {
		puts("store: snapshot the kernel has none");
		return;
	}
	uint64_t request = answer_requests(s);
	struct store *saved = map(copy, MAP_SHARED);
	tell("snapshot", stopped, request, saved && is_moment(saved, 1));
	munmap(saved, sizeof(*saved));
	close(copy);
	reset(s);
}

static void save_by_fork(struct store *s)
{
	int status = 1, go[2];
	char byte;
	struct store *mine = map(-1, MAP_PRIVATE | MAP_ANONYMOUS);
	if (!mine || pipe(go))
		give_up("mmap");
	memcpy(mine, s, sizeof(*mine));
	uint64_t begin = ticks();
	pid_t pid = fork();
	if (pid == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) || !is_moment(mine, 1));
	}
	uint64_t stopped = ticks() - begin;
	uint64_t request = answer_requests(mine);
	close(go[1]);
	tell("fork", stopped, request, waitpid(pid, &status, 0) == pid && status == 0);
	close(go[0]);
	munmap(mine, sizeof(*mine));
}

static void save_by_copy(struct store *s)
{
	int copy = new_file();
	uint64_t begin = ticks();
	for (size_t done = 0; done < sizeof(*s);) {
		ssize_t n = write(copy, (char *)s + done, sizeof(*s) - done);
		if (n <= 0)
			give_up("write");
		done += (size_t)n;
	}
	uint64_t stopped = ticks() - begin;
	uint64_t request = answer_requests(s);
	struct store *saved = map(copy, MAP_SHARED);
	tell("copy", stopped, request, saved && is_moment(saved, 1));
	munmap(saved, sizeof(*saved));
	close(copy);
	reset(s);
}

static int run(void)
{
	int fd = new_file();
	struct store *s = map(fd, MAP_SHARED);
	if (!s)
		give_up("mmap");
	for (unsigned key = 0; key < KEYS; key++)
		put_number(s, key, 1);
	printf("store: %u keys in %zu MiB\n", KEYS, sizeof(*s) >> 20);
	save_by_copy(s);
	save_by_fork(s);
	save_by_snapshot(s, fd);
	return !is_moment(s, 1);
}

int main(void)
{
	return demo_main("store", run);
}
