#pragma once
/* list.h - circular doubly linked intrusive list. A `struct list` is both the head and the link of a member.
 */
#include "lib/types.h"

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(name)                                                                                      \
	{                                                                                                    \
		&(name), &(name)                                                                             \
	}
#define list_entry(p, t, m)  container_of(p, t, m)
#define list_first(h, t, m)  container_of((h)->next, t, m) /* list not empty */
#define list_last(h, t, m)   container_of((h)->prev, t, m)
#define list_for_each(it, h) for (struct list *it = (h)->next; it != (h); it = it->next)
#define list_for_each_safe(it, h)                                                                            \
	for (struct list *it = (h)->next, *it##_next = it->next; it != (h);                                  \
	     it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_insert_between(struct list *e, struct list *prev, struct list *next)
{
	e->prev = prev;
	e->next = next;
	prev->next = e;
	next->prev = e;
}

static inline void list_push_front(struct list *head, struct list *e)
{
	list_insert_between(e, head, head->next);
}

static inline void list_push_back(struct list *head, struct list *e)
{
	list_insert_between(e, head->prev, head);
}

/* Unlink and leave the link empty, so that list_is_empty(e) says that it is on no list. */
static inline void list_remove(struct list *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	list_init(e);
}

/* Move all members of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	from->prev->next = to;
	to->prev->next = from->next;
	to->prev = from->prev;
	list_init(from);
}
