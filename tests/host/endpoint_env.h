#pragma once
/*
 * endpoint_env.h - two programs that send each other messages: each with memory, a table of descriptors and a
 * host thread of its own.
 */
#include "arch/usercopy.h"
#include "fs/endpoint.h"
#include "fs_env.h"
#include "quire/object.h"
#include "vm_test.h"

/* A program has a message at MESSAGE, room for the longest one at DATA, and what a test puts at SPECIAL. */
#define MESSAGE (GIB(1))
#define DATA    (GIB(1) + MIB(1))
#define SPECIAL (GIB(1) + MIB(2))
enum { DATA_PAGES = QUIRE_MESSAGE_MAX / PAGE_SIZE, TABLE_LIMIT = 1024 };

/* What descriptors stand for: counted exactly. */
struct thing {
	struct kobject object;
};

static inline void thing_destroy(UNUSED struct kobject *o)
{
}
static const struct kobject_ops thing_ops = {.type = KO_EVENT, .name = "thing", .destroy = thing_destroy};

struct side {
	struct vm_space *space;
	struct desc_table *table;
	struct endpoint_user user;
	struct thread *_Atomic thread; /* that plays it; NULL: not yet */
};

static inline int side_limit(void)
{
	return TABLE_LIMIT;
}

static inline void side_open(struct side *s)
{
	s->space = new_space();
	map_fixed(s->space, MESSAGE, 1, 0, NULL);
	CHECK_EQ(store(s->space, MESSAGE, 0), 0); /* what is injected is not the page of the message itself */
	map_fixed(s->space, DATA, DATA_PAGES, 0, NULL);
	MUST(desc_table_create(&s->table));
	s->user = (struct endpoint_user){s->table, side_limit};
	s->thread = NULL;
}

static inline void side_close(struct side *s)
{
	if (s->table)
		desc_table_put(s->table);
	done_with(s->space);
}

/* The current host thread plays it from here on, and no longer. */
static inline void side_enter(struct side *s)
{
	host_use_space(s->space);
	store_release(&s->thread, current_thread());
}
static inline void side_leave(void)
{
	fetch_and_acq_rel(&current_thread()->flags, ~(uint32_t)THREAD_INTERRUPTS);
	host_use_space(NULL);
}

static inline void put_message(struct side *s, const struct quire_message *m)
{
	size_t done;
	MUST(space_write(s->space, MESSAGE, m, sizeof(*m), &done));
}

static inline struct quire_message got_message(struct side *s)
{
	struct quire_message m;
	size_t done;
	MUST(space_read(s->space, &m, MESSAGE, sizeof(m), &done));
	return m;
}

/* Where there is room for a message. */
static inline void put_room(struct side *s, uaddr_t data, uint32_t capacity)
{
	put_message(s, &(struct quire_message){.data = data, .capacity = capacity, .reply = -1});
}

/* An endpoint whose ends are descriptors of a table that nobody plays with, and files of the test. */
struct ends {
	struct desc_table *table;
	struct file *in, *out; /* counted */
	int in_fd, out_fd;
};

static inline void ends_open(struct ends *e)
{
	MUST(desc_table_create(&e->table));
	MUST(endpoint_create(&e->in, &e->out));
	e->in_fd = desc_install(e->table, &e->in->object, RIGHTS_ALL, true, 0, TABLE_LIMIT);
	e->out_fd = desc_install(e->table, &e->out->object, RIGHTS_ALL, true, 0, TABLE_LIMIT);
	CHECK(e->in_fd >= 0 && e->out_fd >= 0);
}

static inline void ends_close(struct ends *e)
{
	desc_table_put(e->table);
	file_put(e->in);
	file_put(e->out);
}

/* All play with the same descriptors of the ends, so who waits for whom is not known: no circles are told. */
static inline bool is_alone(UNUSED const struct thread *t)
{
	return false;
}

static inline void endpoint_env_init(uint64_t nframes)
{
	fs_env_init(nframes);
	endpoint_init(is_alone);
}
