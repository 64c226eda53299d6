#pragma once
/*
 * tty.h - terminals: what a file on one does, and what drivers and job control have to offer. See tty.c.
 *
 *	file ──▶ tty_file ──▶ tty ──ldisc, wire──   a pty has two, linked, on one line
 *	                       │
 *	                       └──▶ tty_line: lock and references
 *
 * Letters: (L) the line's lock; (C) constant after creation; (J) the lock of job control, see struct
 * tty_proc_ops
 */
#include "fs/file.h"
#include "fs/tty_ldisc.h"

enum {
	TTY_WIRE_SIZE = 8192, /* bytes on their way to a line discipline that is full */
	TTY_FAULTS = 16,      /* bad ones among them */
	TTY_MAJOR_SERIAL = 4, /* ttyS0 is minor 64 */
	TTY_MAJOR_AUX = 5,    /* tty 0, console 1, ptmx 2 */
	TTY_MAJOR_PTS = 136,
	TTY_PACKET_DATA = 0, /* the ABI's TIOCPKT_* */
	TTY_PACKET_FLUSHREAD = 1,
	TTY_PACKET_FLUSHWRITE = 2,
	TTY_PACKET_STOP = 4,
	TTY_PACKET_START = 8,
	TTY_PACKET_NOSTOP = 16,
	TTY_PACKET_DOSTOP = 32,
	TTY_PACKET_IOCTL = 64,
};

enum tty_signal { /* numbers of the ABI that terminals send */
	TTY_SIGNAL_HUP = 1,
	TTY_SIGNAL_INT = 2,
	TTY_SIGNAL_QUIT = 3,
	TTY_SIGNAL_TSTP = 20,
	TTY_SIGNAL_TTIN = 21,
	TTY_SIGNAL_TTOU = 22,
	TTY_SIGNAL_WINCH = 28,
};

struct tty;

/* (L) is held in all but ioctl and closed. */
struct tty_driver {
	bool is_pty, is_master;
	struct tty_termios termios; /* to start with */
	/* May the terminal be opened now? -EIO. NULL: always. */
	err_t (*open)(struct tty *t);
	/* A file on t was closed, t->files is up to date. NULL: nothing to do. */
	void (*close)(struct tty *t);
	/* The same for the last one, no lock held. */
	void (*closed)(struct tty *t);
	/* Settings have changed; may correct them. NULL: all are taken. */
	void (*set)(struct tty *t, const struct tty_termios *old);
	size_t (*room)(const struct tty *t);
	void (*write)(struct tty *t, const uint8_t *bytes, size_t n);
	/* Output that was not shown yet goes. NULL: there is none. */
	void (*discard)(struct tty *t);
	/* What was written gathers in the driver: pass it on. NULL: it does not. */
	void (*flush)(struct tty *t);
	/* One character past everything that waits (flow control). NULL: as write, if there is room. */
	void (*send_now)(struct tty *t, uint8_t c);
	/* Output that has not been sent yet, bytes. NULL: there never is any. */
	size_t (*queued)(const struct tty *t);
	/* Sleep until all output has left; no lock held. -EINTR; -EIO: f was hung up. NULL: it has. */
	err_t (*drain)(struct file *f, struct tty *t);
	/* Begin or end a break. NULL: there is no such thing on this line. */
	void (*set_break)(struct tty *t, bool on);
	/* All files were hung up: who waits in the driver is to look. NULL: nobody does. */
	void (*hung_up)(struct tty *t);
	/* Requests of the driver's own, no lock held. -ENOTTY: not known. NULL: none. */
	int64_t (*ioctl)(struct file *f, struct tty *t, uint32_t request, uint64_t arg);
	/* It asks its sender to pause (IXOFF). */
	bool throttles;
};

struct tty_line {
	struct refcount refs;
	struct mutex lock; /* RANK_CHANNEL */
	void (*destroy)(struct tty_line *line);
};

/* A bad byte, or a break, among the good ones of the wire. */
struct tty_fault {
	size_t at; /* counter of the wire: behind so many good ones */
	enum ldisc_fault fault;
	uint8_t byte;
};

struct tty_size { /* the ABI's struct winsize */
	uint16_t rows, columns, width, height;
};

struct tty {
	struct tty_line *line;           /* (C) */
	const struct tty_driver *driver; /* (C) */
	struct tty *link;                /* (C) the other end of a pty, or NULL */
	uint64_t rdev;                   /* (C) */
	struct ldisc ldisc;              /* (L) */
	struct tty_termios locked;       /* (L) bits that nobody may change (TIOCSLCKTRMIOS) */
	uint8_t wire[TTY_WIRE_SIZE];     /* (L) bytes that the line discipline could not take yet */
	size_t wire_head, wire_tail;     /* (L) free-running */
	struct tty_fault faults[TTY_FAULTS];
	unsigned fault_head, fault_tail; /* (L) free-running; the ring is (L) as well */
	struct tty_size size;            /* (L) */
	struct list files;               /* (L) struct tty_file */
	unsigned nfiles;                 /* (L) */
	bool exclusive;                  /* (L) */
	bool packet;                     /* (L) of a master: TIOCPKT */
	bool other_closed;               /* (L) of a pty: the other side was opened and closed */
	bool reading, writing;           /* (L) somebody is at it: the next one waits */
	bool input_news, room_news;      /* (L) since the files were told */
	uint8_t packet_status;           /* (L) of a slave: TTY_PACKET_* that its master was not told yet */
	uint32_t session, group; /* (J) session whose controlling terminal it is, foreground group; 0: none */
};

/* What a file of a terminal has as priv. */
struct tty_file {
	struct list link;  /* (L) */
	struct tty *tty;   /* (C) counted */
	struct file *file; /* (C) */
	bool hung_up;      /* (L) */
	bool is_console;   /* (C) opened as /dev/console: no job control, no hang-up */
};

/*
 * What terminals need of processes, which are a layer above. Sessions, groups and controlling terminals are
 * guarded by a lock of its own, (J), which is taken inside (L) and never the other way round. No function
 * sleeps but install.
 */
struct tty_proc_ops {
	/* May the caller, if t is its controlling terminal, read (TTIN), or write and set (TTOU)? 0; -EINTR:
	 * its group was signalled and the call starts again; -EIO. */
	err_t (*check)(struct tty *t, int signo);
	void (*signal_group)(struct tty *t, int signo);
	/* The caller has opened t: it may become its controlling terminal. */
	void (*opened)(struct tty *t, bool readable);
	/* The caller's controlling terminal, with a reference; NULL: none. */
	struct tty *(*current)(void);
	bool (*is_current)(const struct tty *t);
	/* TIOCGPGRP, TIOCGSID; must_own: -ENOTTY unless it is the caller's. */
	err_t (*get_group)(struct tty *t, bool must_own, uint32_t *pgid);
	err_t (*get_session)(struct tty *t, bool must_own, uint32_t *sid);
	err_t (*set_group)(struct tty *t, int32_t pgid);
	/* TIOCSCTTY, TIOCNOTTY. */
	err_t (*acquire)(struct tty *t, bool steal, bool readable);
	err_t (*give_up)(struct tty *t);
	/* t is hung up: tell the leader of its session (and with `ends`, as the session ends, the foreground
	 * group), and part them. */
	void (*hung_up)(struct tty *t, bool ends);
	/* Of the caller: ids for new files, and may it do what takes the administrator? */
	void (*owner)(uint32_t *uid, uint32_t *gid);
	bool (*privileged)(void);
	/* Give the caller a descriptor of f, whose reference passes over on success. -EMFILE. */
	int64_t (*install)(struct file *f, unsigned flags);
};
extern const struct tty_proc_ops *tty_proc; /* set once at boot; until then there are no processes */

/* --- tty.c --- */
void tty_line_init(struct tty_line *line, void (*destroy)(struct tty_line *line));
void tty_init(struct tty *t, struct tty_line *line, const struct tty_driver *driver, uint64_t rdev);
static inline void tty_get(struct tty *t)
{
	ref_get(&t->line->refs);
}
/* May sleep. */
void tty_put(struct tty *t);
/* Make f a file of t. Takes a reference of t. -EIO, -EBUSY, -ENOMEM. */
MUST_CHECK err_t tty_open_file(struct tty *t, struct file *f, bool is_console, bool noctty);
struct tty_file *tty_file_of(const struct file *f);
/* Bytes come from the line's other end; those that find no room are lost. Returns how many were taken. (L)
 * held; tty_settle is due. */
size_t tty_feed_locked(struct tty *t, const uint8_t *bytes, size_t n);
size_t tty_wire_room(const struct tty *t);
/* The same for what is no good byte. False: too many wait, it is lost. */
bool tty_feed_fault_locked(struct tty *t, enum ldisc_fault fault, uint8_t byte);
/* Send one character past everything that waits. */
void tty_send_now_locked(struct tty *t, uint8_t c);
/* Sleep until all output of t has left; f: the caller's file. No lock held. -EINTR, -EIO. */
MUST_CHECK err_t tty_drain(struct file *f, struct tty *t);
/* Let everything move that can, and tell the files of t's line how things are. Due after every change. */
void tty_settle_locked(struct tty *t);
/* Note something for the master of a slave in packet mode. */
void tty_note_packet_locked(struct tty *t, uint8_t set, uint8_t clear);
void tty_flush_input_locked(struct tty *t);
/* Every file on t is dead from here on. `ends`: because the session has ended. */
void tty_hang_up(struct tty *t, bool ends);
void tty_hang_up_locked(struct tty *t, bool ends);
extern const struct file_ops tty_file_ops;
/* /dev/tty. Once at boot, after devfs_init. */
MUST_CHECK err_t tty_init_devices(void);

/* --- tty_ioctl.c --- */
int64_t tty_ioctl(struct file *f, uint32_t request, uint64_t arg);
/* --- tty_termios.c --- */
/* TCGETS and its relatives, on a slave where the file is on its master. -ENOTTY: none of them. */
int64_t tty_termios_ioctl(struct file *f, struct tty *real, uint32_t request, uint64_t arg);

/* --- pty.c --- */
/* /dev/ptmx and the file system "devpts". Once at boot, after devfs_init. */
MUST_CHECK err_t pty_init(void);
void pty_fini(void);
/* ptys that exist. */
unsigned pty_count(void);
extern const struct fs_ops devpts_ops;

/* --- console_tty.c --- */
/* ttyS0 and console on the serial port. Once at boot, after devfs_init and pty_init. */
MUST_CHECK err_t console_tty_init(void);
