#pragma once
/*
 * vport.h - ports of virtio consoles: streams of bytes to and from the host, that it may have given names.
 * See virtio_console.c.
 *
 * A port comes and goes as the host wants; its record stays, so that pointers to it are never wrong. Each
 * life of a port has a number, its epoch; what is asked of a port in another epoch is answered as for a port
 * that is gone.
 */
#include "lib/err.h"

enum { VPORT_NAME_MAX = 64, VPORT_CHUNK = 4096 };

enum vport_level {
	VPORT_READABLE = 1 << 0, /* bytes are there */
	VPORT_WRITABLE = 1 << 1, /* a buffer is free, and the host listens */
	VPORT_HUNG_UP = 1 << 2,  /* the host's side is not connected */
	VPORT_GONE = 1 << 3,     /* there is no port any more */
};

struct vport;

/* What a port's opener is told. In interrupt handlers too, under a lock of RANK_IRQ. */
typedef void vport_notify(void *opener, unsigned levels);

/* Called in a kernel thread, for one port at a time. */
struct vport_watcher {
	/* There is a port: number `id` of console `console`. */
	void (*added)(struct vport *p, unsigned console, unsigned id);
	/* It has this name: no slashes, no control characters, neither "." nor "..". Once in a life. */
	void (*named)(struct vport *p, const char *name);
	/* It is gone. */
	void (*removed)(struct vport *p);
};

/* Say who is told of all ports, those that are there included. Once. */
void vport_watch(const struct vport_watcher *w);

/* Take the port for oneself, and tell the host. *epoch gets the life that it is in. -EBUSY: somebody has it;
 * -ENXIO: it is gone. */
MUST_CHECK err_t vport_open(struct vport *p, vport_notify *notify, void *opener, unsigned *epoch);
/* Let go; what was received and not read is lost. When it returns, notify does not run any more. */
void vport_close(struct vport *p, unsigned epoch);
/* From any context that may take RANK_IRQ. */
unsigned vport_levels(struct vport *p, unsigned epoch);

/* Those who read a port take turns, and so do those who write. */
/* The oldest bytes that were received, to be read in place until vport_consume. 0: there are none. */
size_t vport_peek(struct vport *p, unsigned epoch, const void **data);
/* n of them are not needed any more. */
void vport_consume(struct vport *p, unsigned epoch, size_t n);
/* A buffer of VPORT_CHUNK bytes to fill. NULL: none is free, or nobody listens. */
void *vport_reserve(struct vport *p, unsigned epoch);
/* Send n bytes of it; none gives the buffer back. */
void vport_commit(struct vport *p, unsigned epoch, void *buffer, size_t n);
