/*
 * tty_ldisc.c - the way from the terminal: special characters, editing, the buffer that programs read from.
 *
 * One buffer serves both ways of reading. Counters run freely; [tail, canon) are complete lines and [canon,
 * head) is the line that is still being edited. Without ICANON everything up to head can be read and canon
 * stays where the mode was left. A bit for each byte says that a line ends with it; an end of file is such a
 * byte of value 0, which is not handed out.
 *
 * A line that does not fit: while no complete line waits, bytes are taken for ever, each replacing the last
 * one, so that an erase or the end of the line gets through; else nothing is taken, and the terminal has to
 * wait.
 *
 * The order in which a byte meets its possible meanings - flow control, signals, CR and NL, editing, echo -
 * and what each does to the echoes of its neighbours is Linux's n_tty; tests/host/test_ldisc.c compares the
 * two.
 */
#include "fs/tty_ldisc.h"
#include "lib/string.h"

enum { SIGNO_INT = 2, SIGNO_QUIT = 3, SIGNO_TSTP = 20, DISABLED = 0, MARK = 0xff };

const struct tty_termios tty_std_termios = {
    .iflag = TI_ICRNL | TI_IXON,
    .oflag = TO_OPOST | TO_ONLCR,
    .cflag = TC_B38400 | TC_CS8 | TC_CREAD | TC_HUPCL,
    .lflag = TL_ISIG | TL_ICANON | TL_ECHO | TL_ECHOE | TL_ECHOK | TL_ECHOCTL | TL_ECHOKE | TL_IEXTEN,
    .cc = TTY_STD_CHARS,
    .ispeed = 38400,
    .ospeed = 38400,
};

static bool has_i(const struct ldisc *ld, uint32_t flag)
{
	return ld->termios.iflag & flag;
}

static bool has_l(const struct ldisc *ld, uint32_t flag)
{
	return ld->termios.lflag & flag;
}

/* Is c this special character? A disabled one matches nothing. */
static bool is_char(const struct ldisc *ld, enum tty_char which, uint8_t c)
{
	return c != DISABLED && c == ld->termios.cc[which];
}

static uint8_t byte_at(const struct ldisc *ld, size_t at)
{
	return ld->buf[at % LDISC_SIZE];
}

static bool is_end(const struct ldisc *ld, size_t at)
{
	return ld->ends[at % LDISC_SIZE / 64] >> at % 64 & 1;
}

static void set_end(struct ldisc *ld, size_t at)
{
	ld->ends[at % LDISC_SIZE / 64] |= 1ULL << at % 64;
}

static void clear_end(struct ldisc *ld, size_t at)
{
	ld->ends[at % LDISC_SIZE / 64] &= ~(1ULL << at % 64);
}

/* In a full buffer the last byte is replaced. */
static void make_room(struct ldisc *ld)
{
	ld->head -= ld->head - ld->tail == LDISC_SIZE;
}

static void put_byte(struct ldisc *ld, uint8_t c)
{
	make_room(ld);
	ld->buf[ld->head++ % LDISC_SIZE] = c;
}

bool ldisc_reads_lines(const struct ldisc *ld)
{
	return has_l(ld, TL_ICANON) && !has_l(ld, TL_EXTPROC);
}

/* --- flow control --- */

void ldisc_stop(struct ldisc *ld)
{
	if (ld->stopped)
		return;
	ld->stopped = true;
	if (ld->ops->flow_changed)
		ld->ops->flow_changed(ld);
}

void ldisc_start(struct ldisc *ld)
{
	if (!ld->stopped || ld->stopped_by_call)
		return;
	ld->stopped = false;
	if (ld->ops->flow_changed)
		ld->ops->flow_changed(ld);
}

static void start_and_echo(struct ldisc *ld)
{
	ldisc_start(ld);
	ld->echo_ready = ld->echo_head;
	ldisc_run_echoes(ld);
}

/* IXANY: any character starts what a character has stopped. */
static void start_by_any(struct ldisc *ld)
{
	if (ld->stopped && !ld->stopped_by_call && has_i(ld, TI_IXON) && has_i(ld, TI_IXANY))
		start_and_echo(ld);
}

/* --- echo --- */

static void echo_raw(struct ldisc *ld, uint8_t c)
{
	ldisc_echo(ld, c == MARK ? ECHO_EXACT : ECHO_CHAR, c);
}

static void echo_char(struct ldisc *ld, uint8_t c)
{
	if (has_l(ld, TL_ECHOCTL) && tty_is_control(c) && c != '\t')
		ldisc_echo(ld, ECHO_CONTROL, c);
	else
		echo_raw(ld, c);
}

static void echo_string(struct ldisc *ld, const char *s)
{
	for (; *s; s++)
		echo_raw(ld, (uint8_t)*s);
}

static void finish_erasing(struct ldisc *ld)
{
	if (ld->erasing)
		echo_raw(ld, '/');
	ld->erasing = false;
}

/* Echo a character that enters the line; the first one says where the line begins. */
static void echo_input(struct ldisc *ld, uint8_t c)
{
	if (ld->canon == ld->head)
		ldisc_echo(ld, ECHO_MARK, 0);
	echo_char(ld, c);
}

/* --- editing --- */

/* Rub out a tab: count the columns from the line's begin, or from the tab before. */
static void echo_erased_tab(struct ldisc *ld)
{
	unsigned columns = 0;
	bool after_tab = false;
	for (size_t at = ld->head; at != ld->canon && !after_tab;) {
		uint8_t c = byte_at(ld, --at);
		if (c == '\t')
			after_tab = true;
		else if (tty_is_control(c))
			columns += has_l(ld, TL_ECHOCTL) ? 2 : 0;
		else
			columns += !tty_is_continuation(ld, c);
	}
	ldisc_echo(ld, ECHO_ERASE_TAB, (uint8_t)((columns & 7) | (after_tab ? 0x80 : 0)));
}

/* ECHOPRT: show what goes, backwards, between \ and /. */
static void echo_printed(struct ldisc *ld, uint8_t c, size_t more)
{
	if (!ld->erasing)
		echo_raw(ld, '\\');
	ld->erasing = true;
	echo_char(ld, c);
	for (size_t i = 1; i <= more; i++) {
		echo_raw(ld, byte_at(ld, ld->head + i));
		ldisc_echo(ld, ECHO_BACK, 0);
	}
}

/* c, which `more` continuation bytes followed, has just left the line. */
static void echo_erased(struct ldisc *ld, uint8_t c, size_t more, bool one)
{
	if (has_l(ld, TL_ECHOPRT))
		echo_printed(ld, c, more);
	else if (one && !has_l(ld, TL_ECHOE))
		echo_char(ld, ld->termios.cc[TCC_ERASE]);
	else if (c == '\t')
		echo_erased_tab(ld);
	else if (!tty_is_control(c))
		echo_string(ld, "\b \b");
	else if (has_l(ld, TL_ECHOCTL))
		echo_string(ld, "\b \b\b \b");
}

/* Where the last character of the line begins; false: it is only the rest of one, and stays. */
static bool last_char(const struct ldisc *ld, size_t *at)
{
	*at = ld->head;
	do
		--*at;
	while (tty_is_continuation(ld, byte_at(ld, *at)) && *at != ld->canon);
	return !tty_is_continuation(ld, byte_at(ld, *at));
}

static void kill_quickly(struct ldisc *ld)
{
	ld->head = ld->canon;
	if (!has_l(ld, TL_ECHO))
		return;
	finish_erasing(ld);
	echo_char(ld, ld->termios.cc[TCC_KILL]);
	if (has_l(ld, TL_ECHOK))
		echo_raw(ld, '\n');
}

/* VERASE takes a character, VWERASE a word and what is behind it, VKILL the line. */
static void erase(struct ldisc *ld, bool one, bool word)
{
	const uint32_t visible = TL_ECHOK | TL_ECHOKE | TL_ECHOE;
	bool in_word = false;
	size_t at;
	if (ld->head == ld->canon)
		return;
	if (!one && !word && (!has_l(ld, TL_ECHO) || (ld->termios.lflag & visible) != visible)) {
		kill_quickly(ld);
		return;
	}
	do {
		if (!last_char(ld, &at))
			break;
		uint8_t c = byte_at(ld, at);
		if (word && !tty_is_alnum(c) && c != '_' && in_word)
			break;
		in_word |= tty_is_alnum(c) || c == '_';
		size_t more = ld->head - at - 1;
		ld->head = at;
		if (has_l(ld, TL_ECHO))
			echo_erased(ld, c, more, one);
	} while (!one && ld->head != ld->canon);
	if (ld->head == ld->canon && has_l(ld, TL_ECHO))
		finish_erasing(ld);
}

static void reprint(struct ldisc *ld)
{
	finish_erasing(ld);
	echo_char(ld, ld->termios.cc[TCC_REPRINT]);
	echo_raw(ld, '\n');
	for (size_t at = ld->canon; at != ld->head; at++)
		echo_char(ld, byte_at(ld, at));
}

static void take_literally_next(struct ldisc *ld)
{
	ld->literal_next = true;
	if (!has_l(ld, TL_ECHO))
		return;
	finish_erasing(ld);
	if (has_l(ld, TL_ECHOCTL))
		echo_string(ld, "^\b");
}

/* --- input, byte by byte --- */

void ldisc_flush_input(struct ldisc *ld)
{
	ld->head = ld->tail = ld->canon = 0;
	ld->erasing = ld->pushed = false;
	memset(ld->ends, 0, sizeof(ld->ends));
	if (ld->ops->input_flushed)
		ld->ops->input_flushed(ld);
}

static void raise(struct ldisc *ld, int signo)
{
	if (ld->ops->signal)
		ld->ops->signal(ld, signo);
	if (has_l(ld, TL_NOFLSH))
		return;
	ld->echo_head = ld->echo_ready = ld->echo_tail = 0;
	if (ld->ops->discard_output)
		ld->ops->discard_output(ld);
	ldisc_flush_input(ld);
}

static bool take_signal(struct ldisc *ld, uint8_t c)
{
	int signo = !has_l(ld, TL_ISIG)        ? 0
		    : is_char(ld, TCC_INTR, c) ? SIGNO_INT
		    : is_char(ld, TCC_QUIT, c) ? SIGNO_QUIT
		    : is_char(ld, TCC_SUSP, c) ? SIGNO_TSTP
					       : 0;
	if (!signo)
		return false;
	raise(ld, signo);
	if (has_i(ld, TI_IXON))
		ldisc_start(ld);
	if (has_l(ld, TL_ECHO)) {
		echo_char(ld, c);
		ldisc_commit_echoes(ld);
	} else {
		ld->echo_ready = ld->echo_head;
		ldisc_run_echoes(ld);
	}
	return true;
}

static bool take_flow(struct ldisc *ld, uint8_t c)
{
	if (!has_i(ld, TI_IXON))
		return false;
	if (is_char(ld, TCC_START, c))
		start_and_echo(ld);
	else if (is_char(ld, TCC_STOP, c))
		ldisc_stop(ld);
	else
		return false;
	return true;
}

static bool take_edit(struct ldisc *ld, uint8_t c)
{
	bool extended = has_l(ld, TL_IEXTEN);
	if (is_char(ld, TCC_ERASE, c))
		erase(ld, true, false);
	else if (is_char(ld, TCC_WERASE, c) && extended)
		erase(ld, false, true);
	else if (is_char(ld, TCC_KILL, c))
		erase(ld, false, false);
	else if (is_char(ld, TCC_LNEXT, c) && extended)
		take_literally_next(ld);
	else if (is_char(ld, TCC_REPRINT, c) && has_l(ld, TL_ECHO) && extended)
		reprint(ld);
	else
		return false;
	ldisc_commit_echoes(ld);
	return true;
}

static void end_line(struct ldisc *ld, uint8_t c)
{
	make_room(ld);
	set_end(ld, ld->head);
	put_byte(ld, c);
	ld->canon = ld->head;
}

static bool take_line_end(struct ldisc *ld, uint8_t c)
{
	if (c == '\n') {
		if (has_l(ld, TL_ECHO | TL_ECHONL)) {
			echo_raw(ld, '\n');
			ldisc_commit_echoes(ld);
		}
	} else if (is_char(ld, TCC_EOF, c)) {
		c = DISABLED;
	} else if (is_char(ld, TCC_EOL, c) || (is_char(ld, TCC_EOL2, c) && has_l(ld, TL_IEXTEN))) {
		if (has_l(ld, TL_ECHO)) {
			echo_input(ld, c);
			ldisc_commit_echoes(ld);
		}
		if (c == MARK && has_i(ld, TI_PARMRK))
			put_byte(ld, c);
	} else {
		return false;
	}
	end_line(ld, c);
	return true;
}

/* A character that means nothing but itself. */
static void take_plain(struct ldisc *ld, uint8_t c, bool newline_is_plain)
{
	if (has_l(ld, TL_ECHO)) {
		finish_erasing(ld);
		if (c == '\n' && newline_is_plain)
			echo_raw(ld, '\n');
		else
			echo_input(ld, c);
		ldisc_commit_echoes(ld);
	}
	if (c == MARK && has_i(ld, TI_PARMRK))
		put_byte(ld, c);
	put_byte(ld, c);
}

/* CR and NL as the flags say; false: the character is dropped. */
static bool translate(const struct ldisc *ld, uint8_t *c)
{
	if (*c == '\r') {
		if (has_i(ld, TI_IGNCR))
			return false;
		if (has_i(ld, TI_ICRNL))
			*c = '\n';
	} else if (*c == '\n' && has_i(ld, TI_INLCR)) {
		*c = '\r';
	}
	return true;
}

static uint8_t strip(const struct ldisc *ld, uint8_t c)
{
	if (has_i(ld, TI_ISTRIP))
		c &= 0x7f;
	return has_i(ld, TI_IUCLC) && has_l(ld, TL_IEXTEN) ? tty_to_lower(c) : c;
}

/* Is a newline looked at, or just another byte (whose echo then is ^J with ECHOCTL)? */
static bool newline_is_special(const struct ldisc *ld, uint8_t c)
{
	if (has_l(ld, TL_ICANON) || has_i(ld, TI_INLCR))
		return true;
	if (c == '\r')
		return has_i(ld, TI_IGNCR | TI_ICRNL);
	return false;
}

static void take(struct ldisc *ld, uint8_t c)
{
	if (ld->literal_next) {
		ld->literal_next = false;
		start_by_any(ld);
		take_plain(ld, strip(ld, c), false);
		return;
	}
	c = strip(ld, c);
	if (has_l(ld, TL_EXTPROC)) {
		put_byte(ld, c);
		return;
	}
	bool special = newline_is_special(ld, c);
	if (take_flow(ld, c) || take_signal(ld, c))
		return;
	start_by_any(ld);
	if (!translate(ld, &c))
		return;
	if (has_l(ld, TL_ICANON) && (take_edit(ld, c) || take_line_end(ld, c)))
		return;
	take_plain(ld, c, special);
}

/* Nothing looks at the bytes at all. */
static bool is_raw(const struct ldisc *ld)
{
	return !has_i(ld, TI_ISTRIP | TI_IUCLC | TI_IGNCR | TI_ICRNL | TI_INLCR | TI_IXON | TI_PARMRK) &&
	       !has_l(ld, TL_ICANON | TL_ISIG | TL_ECHO);
}

/* --- the buffer --- */

/* Bytes that may come; with PARMRK one may need three. Not positive: full. */
static int64_t room_left(const struct ldisc *ld)
{
	int64_t room = LDISC_SIZE - (int64_t)(ld->head - ld->tail);
	if (has_i(ld, TI_PARMRK))
		room = (room + 2) / 3;
	return room - 1;
}

/* No line is complete: one more byte may come, in place of the last. */
static bool may_overflow(const struct ldisc *ld)
{
	return has_l(ld, TL_ICANON) && ld->canon == ld->tail;
}

size_t ldisc_receive_room(const struct ldisc *ld)
{
	int64_t room = room_left(ld);
	return room > 0 ? (size_t)room : may_overflow(ld);
}

static void throttle(struct ldisc *ld)
{
	if (!has_i(ld, TI_IXOFF) || !ld->ops->send_now || ld->throttled)
		return;
	if (room_left(ld) < LDISC_THROTTLE && !may_overflow(ld)) {
		ld->throttled = true;
		ld->ops->send_now(ld, ld->termios.cc[TCC_STOP]);
	}
}

void ldisc_unthrottle(struct ldisc *ld)
{
	size_t waiting = (has_l(ld, TL_ICANON) ? ld->canon : ld->head) - ld->tail;
	if (!ld->throttled || waiting > LDISC_THROTTLE)
		return;
	ld->throttled = false;
	ld->ops->send_now(ld, ld->termios.cc[TCC_START]);
}

size_t ldisc_receive(struct ldisc *ld, const uint8_t *bytes, size_t n)
{
	size_t done = 0;
	while (done < n) {
		size_t room = ldisc_receive_room(ld);
		if (!room)
			break;
		if (room_left(ld) < 0)
			ld->head--;
		for (size_t end = done + MIN(room, n - done); done < end; done++) {
			if (is_raw(ld))
				put_byte(ld, bytes[done]);
			else
				take(ld, bytes[done]);
		}
		if (!is_raw(ld))
			ldisc_flush_echoes(ld);
	}
	throttle(ld);
	return done;
}

static void receive_break(struct ldisc *ld)
{
	if (has_i(ld, TI_IGNBRK))
		return;
	if (has_i(ld, TI_BRKINT)) {
		raise(ld, SIGNO_INT);
		return;
	}
	if (has_i(ld, TI_PARMRK)) {
		put_byte(ld, MARK);
		put_byte(ld, 0);
	}
	put_byte(ld, 0);
}

static void receive_bad(struct ldisc *ld, uint8_t c)
{
	if (has_i(ld, TI_INPCK)) {
		if (has_i(ld, TI_IGNPAR))
			return;
		if (has_i(ld, TI_PARMRK)) {
			put_byte(ld, MARK);
			put_byte(ld, 0);
		} else {
			c = 0;
		}
	}
	put_byte(ld, c);
}

void ldisc_receive_fault(struct ldisc *ld, enum ldisc_fault fault, uint8_t c)
{
	if (room_left(ld) <= 0)
		return;
	if (fault == LDISC_BREAK)
		receive_break(ld);
	else
		receive_bad(ld, c);
}

/* --- reading --- */

bool ldisc_has_input(const struct ldisc *ld, size_t amount)
{
	if (ldisc_reads_lines(ld))
		return ld->canon != ld->tail;
	return ld->head - ld->tail >= MAX(amount, (size_t)1);
}

static void copy_out(struct ldisc *ld, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = byte_at(ld, ld->tail++);
}

static size_t read_line(struct ldisc *ld, uint8_t *out, size_t n, bool *end)
{
	size_t got = 0, left = MIN(n, ld->canon - ld->tail);
	while (got < left && !*end) {
		uint8_t c = byte_at(ld, ld->tail);
		*end = is_end(ld, ld->tail);
		clear_end(ld, ld->tail);
		ld->tail++;
		if (!*end || c != DISABLED)
			out[got++] = c;
	}
	if (*end)
		ld->pushed = false;
	return got;
}

size_t ldisc_read(struct ldisc *ld, uint8_t *out, size_t n, bool *end)
{
	*end = false;
	if (ldisc_reads_lines(ld))
		return read_line(ld, out, n, end);
	n = MIN(n, ld->head - ld->tail);
	bool eof = n == 1 && byte_at(ld, ld->tail) == ld->termios.cc[TCC_EOF];
	copy_out(ld, out, n);
	if (eof && has_l(ld, TL_EXTPROC) && has_l(ld, TL_ICANON) && ld->head == ld->tail) {
		*end = true;
		return 0;
	}
	return n;
}

void ldisc_skip_eof(struct ldisc *ld)
{
	if (ld->tail == ld->canon || !is_end(ld, ld->tail) || byte_at(ld, ld->tail) != DISABLED)
		return;
	clear_end(ld, ld->tail);
	ld->tail++;
}

size_t ldisc_count(const struct ldisc *ld)
{
	if (!ldisc_reads_lines(ld))
		return ld->head - ld->tail;
	size_t n = 0;
	for (size_t at = ld->tail; at != ld->canon; at++)
		n += !is_end(ld, at) || byte_at(ld, at) != DISABLED;
	return n;
}

/* --- settings --- */

/* What was not read yet when lines begin to count is one line; when they cease to, it is just bytes. */
static void switch_mode(struct ldisc *ld)
{
	memset(ld->ends, 0, sizeof(ld->ends));
	ld->canon = ld->tail;
	ld->pushed = has_l(ld, TL_ICANON) && ld->head != ld->tail;
	if (ld->pushed) {
		set_end(ld, ld->head - 1);
		ld->canon = ld->head;
	}
	ld->erasing = ld->literal_next = false;
}

void ldisc_set_termios(struct ldisc *ld, const struct tty_termios *new)
{
	struct tty_termios old = ld->termios;
	ld->termios = *new;
	if ((old.lflag ^ new->lflag) & (TL_ICANON | TL_EXTPROC))
		switch_mode(ld);
	if ((old.iflag & TI_IXON) && !has_i(ld, TI_IXON))
		start_and_echo(ld);
}

void ldisc_init(struct ldisc *ld, const struct ldisc_ops *ops, const struct tty_termios *termios)
{
	memset(ld, 0, sizeof(*ld));
	ld->ops = ops;
	ld->termios = *termios;
}
