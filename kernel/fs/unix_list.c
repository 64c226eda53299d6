/* unix_list.c - the list of all sockets, for those who want to see them. */
#include "fs/unix_priv.h"

static struct list all = LIST_INIT(all); /* (U) by all_link, oldest first */

void socket_list_add(struct unix_socket *s)
{
	spin_lock(&unix_lock);
	list_push_back(&all, &s->all_link);
	spin_unlock(&unix_lock);
}

void socket_list_remove_locked(struct unix_socket *s)
{
	ASSERT_HELD(&unix_lock);
	list_remove(&s->all_link);
}

static void look_at_locked(const struct unix_socket *s, struct socket_view *out)
{
	bool datagrams = s->type == SOCKET_DGRAM;
	*out = (struct socket_view){.type = s->type,
	    .refs = ref_count(&s->refs),
	    .listening = s->state == SOCKET_LISTENING,
	    .connected = datagrams ? s->peer != NULL : s->state == SOCKET_CONNECTED,
	    .has_file = s->file,
	    .ino = s->file ? s->file->vnode->ino : 0,
	    .name = s->name};
}

size_t socket_snapshot(struct socket_view *out, size_t room)
{
	size_t n = 0;
	spin_lock(&unix_lock);
	list_for_each (it, &all) {
		if (n < room)
			look_at_locked(list_entry(it, struct unix_socket, all_link), &out[n]);
		n++;
	}
	spin_unlock(&unix_lock);
	return n;
}
