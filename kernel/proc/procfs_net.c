/*
 * procfs_net.c - /proc/PID/net: the sockets there are. Forms: proc(5) and Linux's own.
 *
 * There are local sockets and no network: no interface, not even a loop, and no protocol of one. Files that
 * only a protocol has (tcp, udp) are missing, as on a Linux without it.
 */
#include "fs/unix_socket.h"
#include "mm/slab.h"
#include "proc/procfs_priv.h"

enum {
	FLAG_ACCEPTS = 0x10000, /* the ABI's SO_ACCEPTCON */
	STATE_UNCONNECTED = 1,  /* SS_* */
	STATE_CONNECTING = 2,
	STATE_CONNECTED = 3,
	STATE_DISCONNECTING = 4,
	PROTOCOL_COLUMNS = 18, /* of what a protocol can do */
};

/* All sockets, for the caller to free, and how many. NULL: none, or no memory, which t is told. */
static struct socket_view *take_sockets(struct text *t, size_t *count)
{
	size_t room, n = socket_snapshot(NULL, 0);
	struct socket_view *all = NULL;
	do { /* until no more have come meanwhile than there is room for */
		kfree(all);
		room = n;
		all = room ? kcalloc(room, sizeof(*all)) : NULL;
		n = all ? socket_snapshot(all, room) : 0;
	} while (n > room);
	if (!all && room)
		t->err = -ENOMEM;
	*count = n;
	return all;
}

static unsigned state_of(const struct socket_view *s)
{
	if (s->has_file)
		return s->connected ? STATE_CONNECTED : STATE_UNCONNECTED;
	return s->connected ? STATE_CONNECTING : STATE_DISCONNECTING;
}

/* An abstract name has an '@' in the place of each zero. */
static void show_name(struct text *t, const struct socket_name *name)
{
	bool abstract = !name->path[0];
	text_printf(t, " ");
	for (unsigned i = 0; i < name->len && (abstract || name->path[i]); i++)
		text_printf(t, "%c", name->path[i] ? name->path[i] : '@');
}

/* Addresses in the kernel are nobody's business: as on Linux for those who may not see them. */
static void show_unix(struct text *t, UNUSED struct vnode *v)
{
	size_t n;
	struct socket_view *all = take_sockets(t, &n);
	text_printf(t, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	for (size_t i = 0; i < n; i++) {
		const struct socket_view *s = &all[i];
		text_printf(t, "%016u: %08X %08X %08X %04X %02X %5llu", 0, s->refs, 0,
		    s->listening ? FLAG_ACCEPTS : 0, s->type, state_of(s), (unsigned long long)s->ino);
		if (s->name.len)
			show_name(t, &s->name);
		text_printf(t, "\n");
	}
	kfree(all);
}

static void show_dev(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t,
	    "Inter-|   Receive                                                |  Transmit\n"
	    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo "
	    "colls carrier compressed\n");
}

static void show_sockstat(struct text *t, UNUSED struct vnode *v)
{
	size_t n, used = 0;
	struct socket_view *all = take_sockets(t, &n);
	for (size_t i = 0; i < n; i++)
		used += all[i].has_file;
	kfree(all);
	text_printf(t, "sockets: used %llu\n", (unsigned long long)used);
}

/* One of Linux's two protocols for local sockets: of all that the columns ask for they can be closed. */
static void show_protocol(struct text *t, const char *name, size_t sockets)
{
	text_printf(t, "%-9s %4zu %6zu  %6d   %-3s %6u   %-3s  %-10s  y", name, socket_size(), sockets, -1,
	    "NI", 0, "yes", "kernel");
	for (unsigned i = 1; i < PROTOCOL_COLUMNS; i++)
		text_printf(t, "  n");
	text_printf(t, "\n");
}

static void show_protocols(struct text *t, UNUSED struct vnode *v)
{
	size_t n, streams = 0;
	struct socket_view *all = take_sockets(t, &n);
	for (size_t i = 0; i < n; i++)
		streams += all[i].type == SOCKET_STREAM;
	kfree(all);
	text_printf(t,
	    "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs "
	    "se re bi br ha uh gp em\n");
	show_protocol(t, "UNIX-STREAM", streams);
	show_protocol(t, "UNIX", n - streams);
}

#define FILE_ENTRY(n)                                                                                        \
	{                                                                                                    \
		.name = #n, .mode = MODE_REG | 0444, .text = {.show = show_##n }                             \
	}
static const struct proc_entry entries[] = {
    FILE_ENTRY(dev), FILE_ENTRY(protocols), FILE_ENTRY(sockstat), FILE_ENTRY(unix)};
const struct proc_dir proc_net_dir = {.class = CLASS_NET, .entries = entries, .count = ARRAY_SIZE(entries)};
