/*
 * tty_ldisc_out.c - the way to the terminal: output processing and echoes.
 *
 * Both know the column that the terminal's cursor is in, so that a tab can be expanded or rubbed out. Echoes
 * are produced while input is looked at, when there may be no room to write them; they wait in a ring as
 * operations and not as bytes, since what rubs out a tab depends on the column at the moment that it is
 * written. The ring keeps the latest.
 */
#include "fs/tty_ldisc.h"

enum { ECHO_BLOCK = 256, TAB = 8 };

/* Latin-1, as Linux sees characters. */
bool tty_is_control(uint8_t c)
{
	return c < 32 || c == 127;
}

static bool is_lower(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 0xdf && c != 0xf7);
}

static bool is_upper(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7);
}

bool tty_is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || is_lower(c) || is_upper(c);
}

uint8_t tty_to_upper(uint8_t c)
{
	return is_lower(c) ? (uint8_t)(c - 32) : c;
}

uint8_t tty_to_lower(uint8_t c)
{
	return is_upper(c) ? (uint8_t)(c + 32) : c;
}

size_t ldisc_room(const struct ldisc *ld)
{
	return ld->stopped ? 0 : ld->ops->room(ld);
}

static void put(struct ldisc *ld, uint8_t c)
{
	ld->ops->write(ld, &c, 1);
}

/* --- output processing: each returns false if there is no room, and has done nothing then --- */

static bool put_newline(struct ldisc *ld, size_t room)
{
	uint32_t o = ld->termios.oflag;
	if (o & TO_ONLRET)
		ld->column = 0;
	if (o & TO_ONLCR) {
		if (room < 2)
			return false;
		ld->column = ld->canon_column = 0;
		ld->ops->write(ld, (const uint8_t *)"\r\n", 2);
		return true;
	}
	ld->canon_column = ld->column;
	put(ld, '\n');
	return true;
}

static void put_return(struct ldisc *ld)
{
	uint32_t o = ld->termios.oflag;
	if ((o & TO_ONOCR) && ld->column == 0)
		return;
	if (!(o & TO_OCRNL) || (o & TO_ONLRET))
		ld->column = ld->canon_column = 0;
	put(ld, o & TO_OCRNL ? '\n' : '\r');
}

static bool put_tab(struct ldisc *ld, size_t room)
{
	unsigned spaces = TAB - (ld->column & (TAB - 1));
	bool expand = (ld->termios.oflag & TO_TABDLY) == TO_XTABS;
	if (expand && room < spaces)
		return false;
	ld->column += spaces;
	if (expand)
		ld->ops->write(ld, (const uint8_t *)"        ", spaces);
	else
		put(ld, '\t');
	return true;
}

static bool put_processed(struct ldisc *ld, uint8_t c)
{
	size_t room = ldisc_room(ld);
	if (!room)
		return false;
	switch (c) {
	case '\n':
		return put_newline(ld, room);
	case '\r':
		put_return(ld);
		return true;
	case '\t':
		return put_tab(ld, room);
	case '\b':
		ld->column -= ld->column > 0;
		break;
	default:
		if (tty_is_control(c))
			break;
		if (ld->termios.oflag & TO_OLCUC)
			c = tty_to_upper(c);
		ld->column += !tty_is_continuation(ld, c);
	}
	put(ld, c);
	return true;
}

size_t ldisc_write(struct ldisc *ld, const uint8_t *bytes, size_t n)
{
	size_t done = 0;
	if (ld->echo_head != ld->echo_tail) {
		ld->echo_ready = ld->echo_head;
		ldisc_run_echoes(ld);
	}
	if (!(ld->termios.oflag & TO_OPOST)) {
		done = MIN(n, ldisc_room(ld));
		if (done)
			ld->ops->write(ld, bytes, done);
		return done;
	}
	while (done < n && put_processed(ld, bytes[done]))
		done++;
	return done;
}

/* --- echoes --- */

/* The oldest makes room: what was typed last is what the user wants to see. */
void ldisc_echo(struct ldisc *ld, enum echo_kind kind, uint8_t byte)
{
	if (ld->echo_head - ld->echo_tail == LDISC_ECHOES) {
		ld->echo_tail++;
		ld->echo_ready += ld->echo_ready < ld->echo_tail;
	}
	ld->echoes[ld->echo_head++ % LDISC_ECHOES] = (uint16_t)(kind << 8 | byte);
}

/* How far to go back depends on where the tab began: in the column where the line begins, or behind another
 * tab. */
static bool erase_tab(struct ldisc *ld, uint8_t used)
{
	unsigned columns = used & 0x80 ? used : used + ld->canon_column;
	unsigned back = TAB - (columns & (TAB - 1));
	if (back > ldisc_room(ld))
		return false;
	while (back--) {
		put(ld, '\b');
		ld->column -= ld->column > 0;
	}
	return true;
}

static bool put_control(struct ldisc *ld, uint8_t c)
{
	const uint8_t shown[2] = {'^', c ^ 0100};
	if (ldisc_room(ld) < 2)
		return false;
	ld->ops->write(ld, shown, 2);
	ld->column += 2;
	return true;
}

static bool put_exact(struct ldisc *ld, uint8_t c, unsigned columns)
{
	if (!ldisc_room(ld))
		return false;
	put(ld, c);
	ld->column += columns;
	return true;
}

static bool run_echo(struct ldisc *ld, enum echo_kind kind, uint8_t c)
{
	switch (kind) {
	case ECHO_CHAR:
		return ld->termios.oflag & TO_OPOST ? put_processed(ld, c) : put_exact(ld, c, 0);
	case ECHO_EXACT:
		return put_exact(ld, c, 1);
	case ECHO_CONTROL:
		return put_control(ld, c);
	case ECHO_BACK:
		ld->column -= ld->column > 0;
		return true;
	case ECHO_MARK:
		ld->canon_column = ld->column;
		return true;
	case ECHO_ERASE_TAB:
		return erase_tab(ld, c);
	}
	return true;
}

void ldisc_run_echoes(struct ldisc *ld)
{
	while (ld->echo_tail != ld->echo_ready) {
		uint16_t e = ld->echoes[ld->echo_tail % LDISC_ECHOES];
		if (!run_echo(ld, (enum echo_kind)(e >> 8), (uint8_t)e))
			return;
		ld->echo_tail++;
	}
}

/* A signal character drops the echoes of what was received together with it: so they are not written one by
 * one, but at the end, or a block at a time. */
void ldisc_commit_echoes(struct ldisc *ld)
{
	size_t all = ld->echo_head - ld->echo_tail, ready = ld->echo_ready - ld->echo_tail;
	if (all < ECHO_BLOCK || all % ECHO_BLOCK > ready % ECHO_BLOCK)
		return;
	ld->echo_ready = ld->echo_head;
	ldisc_run_echoes(ld);
}

void ldisc_flush_echoes(struct ldisc *ld)
{
	if (!(ld->termios.lflag & (TL_ECHO | TL_ECHONL)))
		return;
	ld->echo_ready = ld->echo_head;
	ldisc_run_echoes(ld);
}
