#pragma once
/*
 * tty_ldisc.h - the line discipline: what happens to bytes between a terminal and the programs that use it.
 * Pure: no locks, no threads, no files; the terminal's lock guards everything here.
 *
 *	terminal ──ldisc_receive──▶ editing, signals, echo ──▶ buffer ──ldisc_read──▶ program
 *	terminal ◀──ops.write────── column, CR and NL, tabs ◀─────────── ldisc_write── program
 *
 * See tty_ldisc.c. Flags, numbers of characters and sizes are the ABI's (asm-generic/termbits.h).
 */
#include "lib/assert.h"
#include "lib/err.h"

enum tty_iflag {
	TI_IGNBRK = 0000001,
	TI_BRKINT = 0000002,
	TI_IGNPAR = 0000004,
	TI_PARMRK = 0000010,
	TI_INPCK = 0000020,
	TI_ISTRIP = 0000040,
	TI_INLCR = 0000100,
	TI_IGNCR = 0000200,
	TI_ICRNL = 0000400,
	TI_IUCLC = 0001000,
	TI_IXON = 0002000,
	TI_IXANY = 0004000,
	TI_IXOFF = 0010000,
	TI_IUTF8 = 0040000,
};

enum tty_oflag {
	TO_OPOST = 0000001,
	TO_OLCUC = 0000002,
	TO_ONLCR = 0000004,
	TO_OCRNL = 0000010,
	TO_ONOCR = 0000020,
	TO_ONLRET = 0000040,
	TO_TABDLY = 0014000,
	TO_XTABS = 0014000,
};

enum tty_cflag {
	TC_CBAUD = 0010017,
	TC_B38400 = 0000017,
	TC_CSIZE = 0000060,
	TC_CS8 = 0000060,
	TC_CREAD = 0000200,
	TC_PARENB = 0000400,
	TC_HUPCL = 0002000,
	TC_CLOCAL = 0004000,
	TC_CBAUDEX = 0010000,
	TC_BOTHER = 0010000,
	TC_IBSHIFT = 16,
};

enum tty_lflag {
	TL_ISIG = 0000001,
	TL_ICANON = 0000002,
	TL_ECHO = 0000010,
	TL_ECHOE = 0000020,
	TL_ECHOK = 0000040,
	TL_ECHONL = 0000100,
	TL_NOFLSH = 0000200,
	TL_TOSTOP = 0000400,
	TL_ECHOCTL = 0001000,
	TL_ECHOPRT = 0002000,
	TL_ECHOKE = 0004000,
	TL_IEXTEN = 0100000,
	TL_EXTPROC = 0200000,
};

enum tty_char {
	TCC_INTR,
	TCC_QUIT,
	TCC_ERASE,
	TCC_KILL,
	TCC_EOF,
	TCC_TIME,
	TCC_MIN,
	TCC_SWTC,
	TCC_START,
	TCC_STOP,
	TCC_SUSP,
	TCC_EOL,
	TCC_REPRINT,
	TCC_DISCARD,
	TCC_WERASE,
	TCC_LNEXT,
	TCC_EOL2,
	TCC_COUNT = 19,
};

struct tty_termios { /* the ABI's struct termios2 */
	uint32_t iflag, oflag, cflag, lflag;
	uint8_t line;
	uint8_t cc[TCC_COUNT];
	uint32_t ispeed, ospeed;
};

enum {
	LDISC_SIZE = 4096, /* bytes of input that wait, as on Linux */
	LDISC_ECHOES = 4096,
	LDISC_THROTTLE = 128, /* less room than this: the sender is asked to pause (IXOFF) */
};

enum ldisc_fault { LDISC_BREAK, LDISC_PARITY }; /* what a serial line can report instead of a good byte */

struct ldisc;

struct ldisc_ops {
	/* Hand n bytes, for which there is room, to the terminal. */
	void (*write)(struct ldisc *ld, const uint8_t *bytes, size_t n);
	size_t (*room)(const struct ldisc *ld);
	/* A signal character was typed: signal `signo` to the foreground group. NULL: nobody to tell. */
	void (*signal)(struct ldisc *ld, int signo);
	/* Drop output that the terminal has not shown yet. NULL: there is none. */
	void (*discard_output)(struct ldisc *ld);
	/* Input was dropped; output was stopped or started. NULL: nobody cares. */
	void (*input_flushed)(struct ldisc *ld);
	void (*flow_changed)(struct ldisc *ld);
	/* Send one character past everything that waits: IXOFF. NULL: senders are not asked to pause. */
	void (*send_now)(struct ldisc *ld, uint8_t c);
};

struct ldisc {
	const struct ldisc_ops *ops;
	struct tty_termios termios;
	/* Free-running counters of `buf`: tail <= canon <= head, head - tail <= LDISC_SIZE. Complete lines
	 * end at canon. */
	size_t head, tail, canon;
	uint8_t buf[LDISC_SIZE];
	uint64_t ends[LDISC_SIZE / 64]; /* bits of buf: a line ends with this byte */
	/* Echoes that wait for room: struct-less (kind << 8 | byte), [echo_tail, echo_ready) may be written,
	 * [.., echo_head) once the input that is being looked at is through. */
	size_t echo_head, echo_ready, echo_tail;
	uint16_t echoes[LDISC_ECHOES];
	unsigned column, canon_column; /* of the output; where the line that is being edited begins */
	bool literal_next;             /* VLNEXT was typed */
	bool erasing;                  /* ECHOPRT: inside \.../ */
	bool pushed;                   /* the "line" is what came before canonical mode was switched on */
	bool stopped;                  /* output: by a character or TCOOFF */
	bool stopped_by_call;          /* TCOOFF: only TCOON starts it again */
	bool throttled;                /* the sender was asked to pause */
};

/* The characters that a terminal starts with, and all else. */
#define TTY_STD_CHARS                                                                                        \
	{                                                                                                    \
		[TCC_INTR] = 3, [TCC_QUIT] = 28, [TCC_ERASE] = 127, [TCC_KILL] = 21, [TCC_EOF] = 4,          \
		[TCC_MIN] = 1, [TCC_START] = 17, [TCC_STOP] = 19, [TCC_SUSP] = 26, [TCC_REPRINT] = 18,       \
		[TCC_DISCARD] = 15, [TCC_WERASE] = 23, [TCC_LNEXT] = 22                                      \
	}
extern const struct tty_termios tty_std_termios; /* what a terminal starts with */

void ldisc_init(struct ldisc *ld, const struct ldisc_ops *ops, const struct tty_termios *termios);
/* Bytes come from the terminal; returns how many were taken: fewer than n while the buffer is full. */
size_t ldisc_receive(struct ldisc *ld, const uint8_t *bytes, size_t n);
void ldisc_receive_fault(struct ldisc *ld, enum ldisc_fault fault, uint8_t c);
/* How many bytes ldisc_receive would take now (1 stands for "any number, but only one is kept"). */
size_t ldisc_receive_room(const struct ldisc *ld);
/* Is input there that a read would return now; at least `amount` bytes of it unless input comes in lines? */
bool ldisc_has_input(const struct ldisc *ld, size_t amount);
bool ldisc_reads_lines(const struct ldisc *ld);
/* Take up to n > 0 bytes; *end: a line (or a lone end of file) ends here, and the read with it. */
size_t ldisc_read(struct ldisc *ld, uint8_t *out, size_t n, bool *end);
/* A read took all it has room for, within a line: an end-of-file character right behind belongs to it. */
void ldisc_skip_eof(struct ldisc *ld);
/* What FIONREAD tells. */
size_t ldisc_count(const struct ldisc *ld);
/* The reader has taken something: ask a paused sender to go on. */
void ldisc_unthrottle(struct ldisc *ld);
/* Output by a program; returns how many bytes were taken: fewer than n while there is no room. */
size_t ldisc_write(struct ldisc *ld, const uint8_t *bytes, size_t n);
/* Echoes that were held back by lack of room or a stop. */
void ldisc_run_echoes(struct ldisc *ld);
size_t ldisc_room(const struct ldisc *ld);
void ldisc_flush_input(struct ldisc *ld);
void ldisc_stop(struct ldisc *ld);
void ldisc_start(struct ldisc *ld);
void ldisc_set_termios(struct ldisc *ld, const struct tty_termios *new);

/* --- tty_ldisc_out.c, for tty_ldisc.c --- */
enum echo_kind {
	ECHO_CHAR = 0,      /* as if a program had written it */
	ECHO_EXACT = 1,     /* past output processing */
	ECHO_CONTROL = 2,   /* ^X */
	ECHO_BACK = 3,      /* one column less, nothing shown */
	ECHO_MARK = 4,      /* the line that is being edited begins in this column */
	ECHO_ERASE_TAB = 5, /* byte: columns used since the line's begin, or (bit 7) since a tab */
};
void ldisc_echo(struct ldisc *ld, enum echo_kind kind, uint8_t byte);
/* The input that caused them is through, more or less: write if many wait. */
void ldisc_commit_echoes(struct ldisc *ld);
/* At the end of what was received. */
void ldisc_flush_echoes(struct ldisc *ld);
bool tty_is_control(uint8_t c);
bool tty_is_alnum(uint8_t c);
uint8_t tty_to_upper(uint8_t c);
uint8_t tty_to_lower(uint8_t c);
static inline bool tty_is_continuation(const struct ldisc *ld, uint8_t c)
{
	return (ld->termios.iflag & TI_IUTF8) && (c & 0xc0) == 0x80;
}
