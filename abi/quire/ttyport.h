#pragma once
/*
 * ttyport.h - the device's side of a terminal (QUIRE_TTYPORT): /dev/ttySN is what Linux programs see, and a
 * driver has the port. docs/tty.md says what it means.
 */
#include <stdint.h>

enum { QUIRE_TTYPORT_FIRST = 1, QUIRE_TTYPORT_LAST = 31 }; /* ttyS0 is the kernel's own */

/* A program has asked for something that no ttyport_exchange has said to be done. Readable: there is output
 * to be sent; writable: there is room for input. */
#define QUIRE_SIGNAL_TTY_WISH (1ULL << 16)

/* The lines beside the data, numbered as Linux does (TIOCM_*). */
enum quire_tty_line {
	QUIRE_TTY_DTR = 0x002,
	QUIRE_TTY_RTS = 0x004,
	QUIRE_TTY_CTS = 0x020,
	QUIRE_TTY_CD = 0x040,
	QUIRE_TTY_RI = 0x080,
	QUIRE_TTY_DSR = 0x100,
	QUIRE_TTY_OUT1 = 0x2000,
	QUIRE_TTY_OUT2 = 0x4000,
	QUIRE_TTY_LOOP = 0x8000,
	QUIRE_TTY_LINES_IN = QUIRE_TTY_CTS | QUIRE_TTY_CD | QUIRE_TTY_RI | QUIRE_TTY_DSR,
	QUIRE_TTY_LINES_OUT =
	    QUIRE_TTY_DTR | QUIRE_TTY_RTS | QUIRE_TTY_OUT1 | QUIRE_TTY_OUT2 | QUIRE_TTY_LOOP,
};

/* What ttyport_fault tells instead of a byte, or about it. */
enum quire_tty_fault { QUIRE_TTY_BREAK, QUIRE_TTY_PARITY, QUIRE_TTY_FRAME, QUIRE_TTY_OVERRUN };

/* What driver and terminal tell each other with ttyport_exchange. */
struct quire_ttyport {
	/* The driver says: */
	uint32_t followed; /* the wish that the device follows by now; 0: none */
	uint32_t idle;     /* 1: all output that was read from the port has been sent */
	uint32_t lines;    /* enum quire_tty_line: of LINES_IN, as they are ... */
	uint32_t changed;  /* ... and which have changed since it last said so, even if they are back */
	uint32_t kind;     /* of the device, as TIOCGSERIAL numbers them (4: a 16550A) ... */
	uint32_t port;     /* ... its first I/O port ... */
	uint32_t irq;      /* ... its line ... */
	uint32_t fifo;     /* ... bytes that its transmitter takes at a time ... */
	uint32_t base;     /* ... and its highest speed; 0: any */
	/* The terminal says: */
	uint32_t wish;     /* number of what follows; each change has another one, and it is never 0 */
	uint32_t open;     /* 1: programs have it open */
	uint32_t set;      /* of LINES_OUT: those to be set */
	uint32_t in_break; /* 1: the line is to be held in a break */
	uint32_t speed;    /* bits in a second */
	uint32_t cflag;    /* of termios: size, parity, stop bits, CRTSCTS */
};
