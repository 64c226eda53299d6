/*
 * trace_format.c - system calls as text, in the manner of strace.
 *
 * What a call reads is shown as it was before the call, what it fills in as it is afterwards; so a line is
 * made in two steps. Memory that cannot be read is shown as its address. A line that gets too long is cut
 * with dots, but always has its end: the result.
 */
#include "proc/trace_format.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "proc/signal_name.h"

enum {
	TAIL_ROOM = 64, /* kept for the end of a line */
	AT_FDCWD = -100,
	O_CREAT = 0x40,
	O_TMPFILE_BIT = 0x400000,
	ERROR_MAX = 4095,
	MAX_SIGNAL = 64,
};

static void put_bounded(struct trace_line *l, size_t limit, const char *s, size_t n)
{
	if (l->len + n > limit) {
		if (!l->full && l->len + 3 < TRACE_LINE) {
			memcpy(l->text + l->len, "...", 3);
			l->len += 3;
		}
		l->full = true;
	} else {
		memcpy(l->text + l->len, s, n);
		l->len += n;
	}
	l->text[l->len] = 0;
}

/* What does not fit any more ends the arguments; nothing that comes after it is shown. */
static void put(struct trace_line *l, const char *s)
{
	if (!l->full)
		put_bounded(l, TRACE_LINE - TAIL_ROOM, s, strlen(s));
}

static void PRINTF(2, 3) put_format(struct trace_line *l, const char *fmt, ...)
{
	char text[TAIL_ROOM];
	va_list args;
	va_start(args, fmt);
	(void)format_va(text, sizeof(text), fmt, args);
	va_end(args);
	put(l, text);
}

/* The end of a line always fits. */
static void PRINTF(2, 3) put_tail(struct trace_line *l, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	size_t room = TRACE_LINE - l->len;
	l->len += MIN((size_t)format_va(l->text + l->len, room, fmt, args), room - 1);
	va_end(args);
}

static void line_init(struct trace_line *l, size_t (*read)(void *dst, uaddr_t src, size_t n))
{
	l->len = 0;
	l->next = 0;
	l->full = false;
	l->read = read;
	l->text[0] = 0;
}

static void put_address(struct trace_line *l, uaddr_t addr)
{
	if (addr)
		put_format(l, "%#llx", (unsigned long long)addr);
	else
		put(l, "NULL");
}

/* A byte as C writes it in a string; `next` is the one that follows, which must not become part of a number.
 */
static void put_byte(struct trace_line *l, uint8_t c, uint8_t next)
{
	static const char escapes[] = "\"\"\\\\\nn\tt\rr\ff\vv";
	for (const char *e = escapes; *e; e += 2)
		if (c == (uint8_t)*e) {
			put_format(l, "\\%c", e[1]);
			return;
		}
	if (c >= ' ' && c < 0x7f)
		put_format(l, "%c", c);
	else
		put_format(l, next >= '0' && next <= '9' ? "\\%03o" : "\\%o", c);
}

static void put_quoted(struct trace_line *l, const uint8_t *data, size_t n, bool more)
{
	put(l, "\"");
	for (size_t i = 0; i < n; i++)
		put_byte(l, data[i], i + 1 < n ? data[i + 1] : 0);
	put(l, more ? "\"..." : "\"");
}

static void put_data(struct trace_line *l, uaddr_t addr, uint64_t len)
{
	uint8_t data[TRACE_DATA];
	size_t n = MIN(len, (uint64_t)TRACE_DATA);
	if (!addr || l->read(data, addr, n) < n)
		put_address(l, addr);
	else
		put_quoted(l, data, n, len > n);
}

static void put_string(struct trace_line *l, uaddr_t addr, size_t max)
{
	uint8_t data[TRACE_STRING + 1];
	size_t got = addr ? l->read(data, addr, max + 1) : 0;
	const uint8_t *end = got ? memchr(data, 0, got) : NULL;
	if (end)
		put_quoted(l, data, (size_t)(end - data), false);
	else if (got == max + 1)
		put_quoted(l, data, max, true);
	else
		put_address(l, addr);
}

static bool read_pointer(const struct trace_line *l, uaddr_t addr, uaddr_t *out)
{
	return l->read(out, addr, sizeof(*out)) == sizeof(*out);
}

static void put_strings(struct trace_line *l, uaddr_t addr)
{
	uaddr_t string;
	if (!addr || !read_pointer(l, addr, &string)) {
		put_address(l, addr);
		return;
	}
	put(l, "[");
	for (unsigned i = 0; string; i++) {
		if (i)
			put(l, ", ");
		if (i == TRACE_STRINGS) {
			put(l, "...");
			break;
		}
		put_string(l, string, TRACE_DATA);
		if (!read_pointer(l, addr + (i + 1) * sizeof(string), &string))
			break;
	}
	put(l, "]");
}

/* How many strings there are is enough. */
static void put_environment(struct trace_line *l, uaddr_t addr)
{
	enum { COUNT_MAX = 1000 };
	uaddr_t string = 0;
	unsigned n = 0;
	put_address(l, addr);
	while (addr && n < COUNT_MAX && read_pointer(l, addr + n * sizeof(string), &string) && string)
		n++;
	if (addr)
		put_format(l, " /* %u%s vars */", n, n == COUNT_MAX ? " or more" : "");
}

static void put_signal(struct trace_line *l, int32_t signal)
{
	enum { FIRST_REALTIME = 32 };
	if (signal > 0 && signal < FIRST_REALTIME)
		put(l, signal_name(signal));
	else if (signal >= FIRST_REALTIME && signal <= MAX_SIGNAL)
		put_format(l, "SIGRT_%d", signal - FIRST_REALTIME);
	else
		put_format(l, "%d", signal);
}

static void put_mask(struct trace_line *l, uaddr_t addr)
{
	enum { SIG_PREFIX = 3 };
	uint64_t mask;
	if (!addr || l->read(&mask, addr, sizeof(mask)) < sizeof(mask)) {
		put_address(l, addr);
		return;
	}
	bool inverse = __builtin_popcountll(mask) > MAX_SIGNAL / 2;
	const char *gap = "";
	if (inverse)
		mask = ~mask;
	put(l, inverse ? "~[" : "[");
	for (int signal = 1; signal <= MAX_SIGNAL; signal++) {
		if (!(mask >> (signal - 1) & 1))
			continue;
		put(l, gap);
		gap = " ";
		if (signal < 32)
			put(l, signal_name(signal) + SIG_PREFIX);
		else
			put_format(l, "RT_%d", signal - 32);
	}
	put(l, "]");
}

static void put_time(struct trace_line *l, uaddr_t addr)
{
	int64_t time[2];
	if (!addr || l->read(time, addr, sizeof(time)) < sizeof(time))
		put_address(l, addr);
	else
		put_format(l, "{%lld, %lld}", (long long)time[0], (long long)time[1]);
}

static void put_ints(struct trace_line *l, uaddr_t addr, unsigned n)
{
	int32_t value[2];
	if (!addr || l->read(value, addr, n * sizeof(value[0])) < n * sizeof(value[0]))
		put_address(l, addr);
	else if (n == 1)
		put_format(l, "[%d]", value[0]);
	else
		put_format(l, "[%d, %d]", value[0], value[1]);
}

static void put_value(struct trace_line *l, const struct trace_words *w, uint64_t value)
{
	for (unsigned i = 0; i < w->nvalues; i++)
		if (w->values[i].value == (value & w->mask)) {
			put(l, w->values[i].name);
			return;
		}
	if (w->mask == UINT32_MAX)
		put_format(l, "%d", (int32_t)value);
	else
		put_format(l, "%#llx", (unsigned long long)(value & w->mask));
}

static void put_words(struct trace_line *l, const struct trace_words *w, uint64_t value)
{
	const char *gap = "";
	if (w->nvalues) {
		put_value(l, w, value);
		value &= ~w->mask;
		gap = "|";
	} else if (!value) {
		put(l, w->none);
		return;
	}
	int32_t signal = w->low_signal ? (int32_t)(value & 0xff) : 0;
	value -= (uint64_t)signal;
	for (unsigned i = 0; i < w->nflags; i++)
		if ((value & w->flags[i].value) == w->flags[i].value) {
			put(l, gap);
			put(l, w->flags[i].name);
			value &= ~w->flags[i].value;
			gap = "|";
		}
	if (value)
		put_format(l, "%s%#llx", gap, (unsigned long long)value);
	if (signal) {
		put(l, value || *gap ? "|" : "");
		put_signal(l, signal);
	}
}

static void put_number(struct trace_line *l, enum trace_type type, uint64_t value)
{
	switch (type) {
	case TRACE_UINT:
		put_format(l, "%u", (uint32_t)value);
		break;
	case TRACE_LONG:
		put_format(l, "%lld", (long long)value);
		break;
	case TRACE_SIZE:
		put_format(l, "%llu", (unsigned long long)value);
		break;
	case TRACE_HEX:
		put_format(l, "%#llx", (unsigned long long)value);
		break;
	case TRACE_HEXINT:
		put_format(l, "%#x", (uint32_t)value);
		break;
	case TRACE_MODE:
	case TRACE_OMODE:
		put_format(l, "%#03o", (uint32_t)value);
		break;
	case TRACE_SIGNAL:
		put_signal(l, (int32_t)value);
		break;
	case TRACE_DIRFD:
		if ((int32_t)value == AT_FDCWD) {
			put(l, "AT_FDCWD");
			break;
		}
		__attribute__((fallthrough));
	default:
		put_format(l, "%d", (int32_t)value);
	}
}

/* Does this argument show what the call filled in? */
static bool shown_afterwards(enum trace_type type)
{
	return type == TRACE_OUTBUF || type == TRACE_OUTINT || type == TRACE_OUTINTS;
}

static void put_filled(struct trace_line *l, enum trace_type type, uaddr_t addr, int64_t result)
{
	if (result < 0)
		put_address(l, addr);
	else if (type == TRACE_OUTBUF)
		put_data(l, addr, (uint64_t)result);
	else
		put_ints(l, addr, type == TRACE_OUTINT ? 1 : 2);
}

static void put_argument(struct trace_line *l, enum trace_type type, const uint64_t *arg, bool has_next)
{
	const struct trace_words *w = trace_words_of(type);
	if (w) {
		put_words(l, w, type == TRACE_CLONE ? *arg : (uint32_t)*arg);
		return;
	}
	switch (type) {
	case TRACE_ADDR:
	case TRACE_IN:
	case TRACE_OUT:
	case TRACE_INOUT:
		put_address(l, *arg);
		break;
	case TRACE_STR:
		put_string(l, *arg, TRACE_STRING);
		break;
	case TRACE_INBUF:
		put_data(l, *arg, has_next ? arg[1] : 0);
		break;
	case TRACE_ARGV:
		put_strings(l, *arg);
		break;
	case TRACE_ENVP:
		put_environment(l, *arg);
		break;
	case TRACE_SIGSET:
		put_mask(l, *arg);
		break;
	case TRACE_TIMESPEC:
		put_time(l, *arg);
		break;
	default:
		put_number(l, type, *arg);
	}
}

/* Is there nothing behind this argument? The mode of open counts only where a file is made. */
static bool is_left_out(const struct trace_call *c, const uint64_t args[TRACE_ARGS], unsigned i)
{
	return c->types[i] == TRACE_OMODE && i > 0 && !(args[i - 1] & (O_CREAT | O_TMPFILE_BIT));
}

/* Arguments from the next one on; before the call (`result` NULL) up to the first one that the call fills in.
 */
static void put_arguments(
    struct trace_line *l, const struct trace_call *c, const uint64_t args[TRACE_ARGS], const int64_t *result)
{
	for (; l->next < c->nargs; l->next++) {
		enum trace_type type = c->types[l->next];
		bool filled = shown_afterwards(type);
		if (filled && !result)
			return;
		if (is_left_out(c, args, l->next))
			continue;
		if (l->next)
			put(l, ", ");
		if (filled)
			put_filled(l, type, args[l->next], *result);
		else
			put_argument(l, type, &args[l->next], l->next + 1 < c->nargs);
	}
}

void trace_format_call(struct trace_line *l, const struct trace_call *c, const uint64_t args[TRACE_ARGS],
    size_t (*read)(void *dst, uaddr_t src, size_t n))
{
	line_init(l, read);
	put(l, c->name);
	put(l, "(");
	if (c->nargs == TRACE_NOT_OFFERED) {
		put(l, "...");
		l->next = c->nargs;
		return;
	}
	put_arguments(l, c, args, NULL);
}

void trace_format_result(
    struct trace_line *l, const struct trace_call *c, const uint64_t args[TRACE_ARGS], int64_t result)
{
	bool failed = result < 0 && result >= -ERROR_MAX;
	const char *restart = failed ? trace_restart_name((int)-result) : NULL;
	const char *error = failed ? trace_error_name((int)-result) : NULL;
	if (c->nargs != TRACE_NOT_OFFERED)
		put_arguments(l, c, args, &result);
	if (restart)
		put_tail(l, ") = ? %s", restart);
	else if (error)
		put_tail(l, ") = -1 %s", error);
	else if (c->result == TRACE_RESULT_HEX)
		put_tail(l, ") = %#llx", (unsigned long long)result);
	else if (c->result == TRACE_RESULT_OCTAL)
		put_tail(l, ") = %#llo", (unsigned long long)result);
	else
		put_tail(l, ") = %lld", (long long)result);
}

void trace_format_no_result(struct trace_line *l)
{
	put_tail(l, ") = ?");
}

void trace_format_signal(struct trace_line *l, int signal)
{
	line_init(l, NULL);
	put(l, "--- ");
	put_signal(l, signal);
	put(l, " ---");
}

void trace_format_exit(struct trace_line *l, int wait_status)
{
	int signal = wait_status & 0x7f;
	line_init(l, NULL);
	if (signal) {
		put(l, "+++ killed by ");
		put_signal(l, signal);
		put(l, wait_status & 0x80 ? " (core dumped) +++" : " +++");
	} else {
		put_format(l, "+++ exited with %d +++", wait_status >> 8 & 0xff);
	}
}
