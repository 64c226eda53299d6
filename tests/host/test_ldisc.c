/*
 * test_ldisc.c - terminals against Linux's: the same bytes, settings and reads on a pty of this kernel and on
 * one of the machine that runs the test must give the same bytes, on both ends, errors and counts. First a
 * table of cases that have names, then random ones.
 *
 * Where the machine has no /dev/ptmx the comparison is left out, and the table's expectations alone decide.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tty_env.h"

enum { OUT_MAX = 16384 };
enum { GETS2 = 0x802c542a, SETS2 = 0x402c542b, SETLOCK = 0x40045431, GETNUMBER = 0x80045430 };

/* --- one end of a pty, here or there --- */

struct end {
	struct file *file; /* NULL: there */
	int fd;
};

static int64_t end_read(struct end *e, void *buf, size_t n)
{
	if (e->file)
		return fs_read(e->file, buf, n);
	int64_t got = read(e->fd, buf, n);
	return got < 0 ? -errno : got;
}

static int64_t end_write(struct end *e, const void *buf, size_t n)
{
	if (e->file)
		return fs_write(e->file, buf, n);
	int64_t got = write(e->fd, buf, n);
	return got < 0 ? -errno : got;
}

/* With an argument in memory, of up to 64 bytes. */
static int64_t end_ioctl(struct end *e, uint32_t request, void *arg, size_t n)
{
	int64_t result;
	if (!e->file) {
		result = ioctl(e->fd, request, arg);
		return result < 0 ? -errno : result;
	}
	host_use_space(tty_user);
	MUST(copy_to_user(TTY_USER_AT, arg, n));
	result = file_ioctl(e->file, request, TTY_USER_AT);
	MUST(copy_from_user(arg, TTY_USER_AT, n));
	host_use_space(NULL);
	return result;
}

/* With a number as argument. */
static int64_t end_call(struct end *e, uint32_t request, unsigned long value)
{
	if (e->file)
		return file_ioctl(e->file, request, value);
	int64_t result = ioctl(e->fd, request, value);
	return result < 0 ? -errno : result;
}

/* POLLIN, POLLOUT, POLLHUP, POLLPRI. */
static unsigned end_poll(struct end *e)
{
	if (e->file) {
		uint64_t s = kobject_signals(&e->file->object);
		return (s & SIGNAL_READABLE ? POLLIN : 0) | (s & SIGNAL_WRITABLE ? POLLOUT : 0) |
		       (s & SIGNAL_PEER_CLOSED ? POLLHUP : 0) | (s & SIGNAL_PRIORITY ? POLLPRI : 0);
	}
	struct pollfd p = {.fd = e->fd, .events = POLLIN | POLLOUT | POLLPRI};
	(void)!poll(&p, 1, 0);
	return (unsigned)p.revents;
}

static void end_close(struct end *e)
{
	if (e->file)
		file_put(e->file);
	else
		close(e->fd);
}

struct pair {
	struct end master, slave;
};

static void set_lock(struct end *e, int32_t value)
{
	CHECK_EQ(end_ioctl(e, SETLOCK, &value, sizeof(value)), 0);
}

static void open_slave_here(struct pair *p)
{
	char name[32];
	int32_t number;
	CHECK_EQ(end_ioctl(&p->master, GETNUMBER, &number, sizeof(number)), 0);
	snprintf(name, sizeof(name), "/dev/pts/%d", number);
	if (p->master.file)
		p->slave.file = fs_open(name, FILE_RDWR | FILE_NOCTTY | FILE_NONBLOCK, 0);
	else
		p->slave.fd = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK);
}

static void pair_open(struct pair *p, bool there)
{
	*p = (struct pair){{NULL, -1}, {NULL, -1}};
	if (there)
		p->master.fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
	else
		p->master.file = fs_open("/dev/ptmx", FILE_RDWR | FILE_NONBLOCK, 0);
	set_lock(&p->master, 0);
	open_slave_here(p);
}

static void pair_close(struct pair *p)
{
	end_close(&p->slave);
	end_close(&p->master);
}

static bool machine_has_ptys(void)
{
	static int has = -1;
	if (has < 0) {
		int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY);
		has = fd >= 0;
		if (has)
			close(fd);
		else
			printf("# no /dev/ptmx: not compared\n");
	}
	return has;
}

/* --- a case: steps, and a record of what they gave --- */

enum step_kind { END, TYPE, READ, SHOW, SETI, SETO, SETL, SETC, COUNT_IN, FLUSH, SEE };

struct step {
	enum step_kind kind;
	const char *text; /* TYPE (on the master), SHOW (on the slave) */
	size_t n;         /* length of it; bytes to read; flags; character << 8 | value */
};
#define TYPED(s)                                                                                             \
	{                                                                                                    \
		TYPE, s, sizeof(s) - 1                                                                       \
	}
#define SHOWN(s)                                                                                             \
	{                                                                                                    \
		SHOW, s, sizeof(s) - 1                                                                       \
	}
#define GET(bytes)                                                                                           \
	{                                                                                                    \
		READ, NULL, bytes                                                                            \
	}
#define IFLAG(f)                                                                                             \
	{                                                                                                    \
		SETI, NULL, f                                                                                \
	}
#define OFLAG(f)                                                                                             \
	{                                                                                                    \
		SETO, NULL, f                                                                                \
	}
#define LFLAG(f)                                                                                             \
	{                                                                                                    \
		SETL, NULL, f                                                                                \
	}
#define CHAR_(c, v)                                                                                          \
	{                                                                                                    \
		SETC, NULL, (c) << 8 | (v)                                                                   \
	}
#define SEEN                                                                                                 \
	{                                                                                                    \
		SEE, NULL, 0                                                                                 \
	}
#define COUNTED                                                                                              \
	{                                                                                                    \
		COUNT_IN, NULL, 0                                                                            \
	}
#define FLUSHED(q)                                                                                           \
	{                                                                                                    \
		FLUSH, NULL, q                                                                               \
	}

struct record {
	char text[OUT_MAX];
	size_t len;
};

static void note(struct record *r, const char *label, int64_t n, const char *bytes)
{
	r->len += (size_t)snprintf(r->text + r->len, OUT_MAX - r->len, " %s=%lld", label, (long long)n);
	for (int64_t i = 0; bytes && i < n && r->len < OUT_MAX - 8; i++) {
		unsigned char c = (unsigned char)bytes[i];
		r->len += (size_t)snprintf(r->text + r->len, OUT_MAX - r->len,
		    i == 0              ? (c > 32 && c < 127 ? ":%c" : ":<%02x>")
		    : c > 32 && c < 127 ? "%c"
					: "<%02x>",
		    c);
	}
}

/* The machine's kernel hands on what was typed in a thread of its own, and only some calls wait for that: how
 * long to sleep after each. */
static unsigned patience_us;

static void set_flags(struct pair *p, const struct step *s)
{
	struct tty_termios t;
	CHECK_EQ(end_ioctl(&p->slave, GETS2, &t, sizeof(t)), 0);
	if (s->kind == SETI)
		t.iflag = (uint32_t)s->n;
	else if (s->kind == SETO)
		t.oflag = (uint32_t)s->n;
	else if (s->kind == SETL)
		t.lflag = (uint32_t)s->n;
	else
		t.cc[s->n >> 8] = (uint8_t)s->n;
	CHECK_EQ(end_ioctl(&p->slave, SETS2, &t, sizeof(t)), 0);
}

/* Everything that the master shows. The machine moves bytes in the background: look until nothing comes. */
static void see(struct pair *p, struct record *r)
{
	static char buf[OUT_MAX];
	size_t total = 0;
	int64_t n = 0;
	(void)end_poll(&p->slave); /* what was typed is looked at */
	while (total < sizeof(buf) && (n = end_read(&p->master, buf + total, sizeof(buf) - total)) > 0)
		total += (size_t)n;
	note(r, "shown", (int64_t)total, buf);
	if (n != -EAGAIN)
		note(r, "error", n, NULL);
}

static void run_step(struct pair *p, const struct step *s, struct record *r)
{
	static char buf[OUT_MAX];
	int32_t count = 0;
	int64_t n;
	switch (s->kind) {
	case TYPE:
		n = end_write(&p->master, s->text, s->n);
		note(r, "typed", n, NULL);
		(void)end_poll(&p->slave);
		if (!p->slave.file && patience_us)
			usleep(patience_us);
		break;
	case SHOW:
		note(r, "wrote", end_write(&p->slave, s->text, s->n), NULL);
		break;
	case READ:
		note(r, "poll", end_poll(&p->slave) & (POLLIN | POLLHUP), NULL);
		n = end_read(&p->slave, buf, s->n);
		note(r, "read", n, buf);
		if (!p->slave.file && patience_us)
			usleep(patience_us);
		break;
	case COUNT_IN:
		CHECK_EQ(end_ioctl(&p->slave, 0x541b, &count, sizeof(count)), 0);
		note(r, "count", count, NULL);
		break;
	case FLUSH:
		note(r, "flush", end_call(&p->slave, 0x540b, s->n), NULL);
		break;
	case SEE:
		see(p, r);
		break;
	default:
		set_flags(p, s);
	}
}

static void run_steps(const struct step *steps, bool there, struct record *r)
{
	struct pair p;
	r->len = 0;
	r->text[0] = 0;
	pair_open(&p, there);
	for (; steps->kind != END; steps++)
		run_step(&p, steps, r);
	see(&p, r);
	pair_close(&p);
}

/* For whoever looks for the reason of a difference. */
static void print_steps(const struct step *s)
{
	static const char *const kinds[] = {
	    "end", "type", "read", "show", "iflag", "oflag", "lflag", "char", "count", "flush", "see"};
	for (; s->kind != END; s++) {
		static struct record r;
		r.len = 0;
		note(&r, kinds[s->kind], (int64_t)s->n, s->kind == TYPE || s->kind == SHOW ? s->text : NULL);
		printf("# %.200s (%#zo)\n", r.text, s->n);
	}
}

/* What is around the first difference. */
static void print_difference(const char *name, const char *here, const char *there)
{
	size_t at = 0;
	while (here[at] && here[at] == there[at])
		at++;
	at = at > 200 ? at - 200 : 0;
	printf("# %s\n# here:  %.400s\n# there: %.400s\n", name, here + at, there + at);
}

static bool agree(const char *name, const struct step *steps, const char *expected)
{
	static const unsigned patience[] = {300, 1000, 5000, 20000};
	static struct record here, there;
	run_steps(steps, false, &here);
	bool same = true;
	if (expected && strcmp(here.text, expected)) {
		printf("# %s\n# here:     %s\n# expected: %s\n", name, here.text, expected);
		same = false;
	}
	patience_us = 0;
	for (unsigned tries = 0; same && machine_has_ptys(); tries++) {
		run_steps(steps, true, &there);
		if (!strcmp(here.text, there.text))
			break;
		if (tries < ARRAY_SIZE(patience)) {
			patience_us = patience[tries];
			continue;
		}
		print_difference(name, here.text, there.text);
		print_steps(steps);
		same = false;
	}
	return same;
}

/* --- the table --- */

enum {
	I_STD = TI_ICRNL | TI_IXON,
	L_STD = TL_ISIG | TL_ICANON | TL_ECHO | TL_ECHOE | TL_ECHOK | TL_ECHOCTL | TL_ECHOKE | TL_IEXTEN,
};

static const struct test_case {
	const char *name;
	struct step steps[16];
	const char *expected; /* NULL: as there */
} cases[] = {
    {"line", {TYPED("hello\n"), GET(100), GET(100)},
	" typed=6 poll=1 read=6:hello<0a> poll=0 read=-11 shown=7:hello<0d><0a>"},
    {"line in parts", {TYPED("hello\nab\n"), GET(3), GET(3), GET(9)}, NULL},
    {"no line yet", {TYPED("hel"), GET(100), TYPED("lo\n"), GET(100)}, NULL},
    {"erase", {TYPED("abc\177d\177\177\n"), GET(100)},
	" typed=8 poll=1 read=2:a<0a> "
	"shown=15:abc<08><20><08>d<08><20><08><08><20><08><0d><0a>"},
    {"erase past the begin", {TYPED("a\177\177\177b\n"), GET(100)}, NULL},
    {"kill", {TYPED("abc\025xy\n"), GET(100)}, NULL},
    {"kill without ECHOKE", {LFLAG(L_STD & ~TL_ECHOKE), TYPED("abc\025xy\n"), GET(100)}, NULL},
    {"kill without ECHOK", {LFLAG(L_STD & ~TL_ECHOK), TYPED("abc\025xy\n"), GET(100)}, NULL},
    {"erase without ECHOE", {LFLAG(L_STD & ~TL_ECHOE), TYPED("abc\177\177x\n"), GET(100)}, NULL},
    {"erase with ECHOPRT", {LFLAG(L_STD | TL_ECHOPRT), TYPED("abc\177\177x\177\177y\n"), GET(100)}, NULL},
    {"erase control", {TYPED("a\001\177b\n"), GET(100)}, NULL},
    {"erase control without ECHOCTL", {LFLAG(L_STD & ~TL_ECHOCTL), TYPED("a\001\177b\n"), GET(100)}, NULL},
    {"erase tab", {TYPED("ab\tc\177\177d\n"), GET(100)}, NULL},
    {"erase tab behind tab", {TYPED("ab\t\tc\177\177\177d\n"), GET(100)}, NULL},
    {"erase tab behind prompt", {SHOWN("prompt"), TYPED("ab\t\177x\n"), GET(100)}, NULL},
    {"erase utf-8", {IFLAG(I_STD | TI_IUTF8), TYPED("a\303\244\177b\n"), GET(100)}, NULL},
    {"erase utf-8 as bytes", {TYPED("a\303\244\177b\n"), GET(100)}, NULL},
    {"word erase", {TYPED("one two_2, \027x\n"), GET(100)}, NULL},
    {"word erase all", {TYPED("word\027x\n"), GET(100)}, NULL},
    {"no IEXTEN", {LFLAG(L_STD & ~TL_IEXTEN), TYPED("one\027\026\022x\n"), GET(100)}, NULL},
    {"literal", {TYPED("a\026\003b\026\n\026\026c\n"), GET(100)}, NULL},
    {"literal across writes", {TYPED("a\026"), TYPED("\177b\n"), GET(100)}, NULL},
    {"reprint", {TYPED("abc\001\022d\n"), GET(100)}, NULL},
    {"end of file", {TYPED("\004"), GET(100), GET(100)}, " typed=1 poll=1 read=0 poll=0 read=-11 shown=0"},
    {"end of file in a line", {TYPED("abc\004"), GET(100), GET(100)}, NULL},
    {"end of file right behind the buffer", {TYPED("abc\004x\n"), GET(3), GET(100)}, NULL},
    {"end of file twice", {TYPED("abc\004\004x\n"), GET(100), GET(100), GET(100)}, NULL},
    {"EOL", {CHAR_(TCC_EOL, 'x'), TYPED("abcxdef\n"), GET(100), GET(100)}, NULL},
    {"EOL2", {CHAR_(TCC_EOL2, 'y'), TYPED("abcydef\n"), GET(100), GET(100)}, NULL},
    {"ECHONL", {LFLAG((L_STD & ~TL_ECHO) | TL_ECHONL), TYPED("secret\n"), GET(100)}, NULL},
    {"no echo", {LFLAG(L_STD & ~TL_ECHO), TYPED("secret\177\025x\022\n"), GET(100)}, NULL},
    {"interrupt flushes", {TYPED("abc\ndef\003gh\n"), GET(100), GET(100)}, NULL},
    {"interrupt with NOFLSH", {LFLAG(L_STD | TL_NOFLSH), TYPED("abc\003gh\n"), GET(100)}, NULL},
    {"quit, suspend", {TYPED("a\034b"), TYPED("c\032d\n"), GET(100)}, NULL},
    {"interrupt apart", {TYPED("abc"), SEEN, TYPED("\003"), SEEN, TYPED("x\n"), GET(100)}, NULL},
    {"no ISIG", {LFLAG(L_STD & ~TL_ISIG), TYPED("a\003\034\032\n"), GET(100)}, NULL},
    {"stop and start",
	{TYPED("\023"), SHOWN("held"), SEEN, TYPED("abc"), SEEN, TYPED("\021"), SEEN, SHOWN("free"), SEEN},
	NULL},
    {"IXANY", {IFLAG(I_STD | TI_IXANY), TYPED("a\023b"), SEEN, TYPED("c\n"), SEEN, GET(100)}, NULL},
    {"no IXON", {IFLAG(TI_ICRNL), TYPED("a\023b\021\n"), GET(100)}, NULL},
    {"IXON off while stopped", {TYPED("ab\023c"), SEEN, IFLAG(TI_ICRNL), SEEN}, NULL},
    {"CR is NL", {TYPED("abc\r"), GET(100)}, NULL},
    {"IGNCR", {IFLAG(TI_IGNCR), TYPED("a\rb\n"), GET(100)}, NULL},
    {"INLCR", {IFLAG(TI_INLCR), TYPED("a\nb\r\004"), GET(100)}, NULL},
    {"ISTRIP", {IFLAG(TI_ISTRIP | TI_ICRNL), TYPED("\341\342\212"), GET(100)}, NULL},
    {"IUCLC", {IFLAG(TI_IUCLC), TYPED("ABC\304\327x\n"), GET(100)}, NULL},
    {"PARMRK", {IFLAG(TI_PARMRK), TYPED("a\377b\n"), GET(100)}, NULL},
    {"byte 255", {TYPED("a\377\177b\n"), GET(100)}, NULL},
    {"raw", {IFLAG(0), LFLAG(0), TYPED("a\003\r\n\004\177"), GET(3), GET(100), GET(1)}, NULL},
    {"cbreak", {LFLAG(TL_ECHO | TL_ISIG), TYPED("ab\003c\n\td\004"), GET(100)}, NULL},
    {"cbreak, control shown", {LFLAG(TL_ECHO | TL_ECHOCTL), TYPED("a\003b\n\tc\r"), GET(100)}, NULL},
    {"VMIN 3", {LFLAG(0), CHAR_(TCC_MIN, 3), TYPED("ab"), GET(1), GET(100), TYPED("cde"), GET(100)}, NULL},
    {"VMIN 0", {LFLAG(0), CHAR_(TCC_MIN, 0), GET(10), TYPED("ab"), GET(10), GET(10)}, NULL},
    {"VMIN 3 VTIME 1", {LFLAG(0), CHAR_(TCC_MIN, 3), CHAR_(TCC_TIME, 1), TYPED("ab"), GET(10), GET(10)},
	NULL},
    {"to raw with a line", {TYPED("abc\ndef"), LFLAG(0), GET(100)}, NULL},
    {"to raw and back", {TYPED("ab\ncd"), LFLAG(0), GET(1), LFLAG(L_STD), TYPED("ef\n"), GET(100), GET(100)},
	NULL},
    {"to lines with bytes", {LFLAG(0), TYPED("abc"), LFLAG(L_STD), GET(100), TYPED("x\n"), GET(100)}, NULL},
    {"to lines with a zero", {LFLAG(0), TYPED("ab\0"), LFLAG(L_STD), GET(100), TYPED("x\n"), GET(100)}, NULL},
    {"EXTPROC",
	{LFLAG(L_STD | TL_EXTPROC), TYPED("ab\177\003\n"), COUNTED, GET(100), TYPED("\004"), GET(100)}, NULL},
    {"count", {TYPED("abc"), COUNTED, TYPED("\nde\004f"), COUNTED, GET(2), COUNTED, GET(10), COUNTED}, NULL},
    {"count raw", {LFLAG(0), TYPED("abc"), COUNTED, GET(2), COUNTED}, NULL},
    {"flush",
	{TYPED("ab\ncd"), FLUSHED(0), GET(100), TYPED("e\n"), GET(100), FLUSHED(1), FLUSHED(2), FLUSHED(3)},
	NULL},
    {"output", {SHOWN("a\nb\rc\td\be"), SEEN}, NULL},
    {"no OPOST", {OFLAG(0), SHOWN("a\nb\t"), SEEN, TYPED("x\t\177\n"), SEEN}, NULL},
    {"OCRNL", {OFLAG(TO_OPOST | TO_OCRNL), SHOWN("a\rb\n"), SEEN}, NULL},
    {"ONOCR", {OFLAG(TO_OPOST | TO_ONOCR), SHOWN("\ra\rb\n\r"), SEEN}, NULL},
    {"ONLRET", {OFLAG(TO_OPOST | TO_ONLRET | TO_ONOCR), SHOWN("a\n\rb\r\r"), SEEN}, NULL},
    {"XTABS", {OFLAG(TO_OPOST | TO_XTABS | TO_ONLCR), SHOWN("\tab\tabcdefgh\tx\b\t\n\ty"), SEEN}, NULL},
    {"OLCUC", {OFLAG(TO_OPOST | TO_OLCUC), SHOWN("aZ1\344"), SEEN}, NULL},
    {"columns in utf-8", {IFLAG(I_STD | TI_IUTF8), OFLAG(TO_OPOST | TO_XTABS), SHOWN("\303\244\tx"), SEEN},
	NULL},
    {"zero bytes", {TYPED(""), SHOWN(""), GET(0), TYPED("a\n"), GET(0), GET(10)}, NULL},
};

HOST_TEST(named_cases)
{
	tty_env_begin();
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(agree(cases[i].name, cases[i].steps, cases[i].expected));
	tty_env_end();
}

/* --- more than fits --- */

HOST_TEST(long_lines)
{
	static char text[6000];
	memset(text, 'x', sizeof(text));
	text[5999] = '\n';
	static const size_t lengths[] = {4094, 4095, 4096, 4097, 5000};
	tty_env_begin();
	for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
		size_t n = lengths[i];
		struct step steps[] = {LFLAG(L_STD & ~TL_ECHO), {TYPE, text, n}, COUNTED,
		    TYPED("\177\177yz\n"), COUNTED, GET(4090), GET(4096), GET(10), {END, NULL, 0}};
		struct step whole[] = {LFLAG(L_STD & ~TL_ECHO), {TYPE, text + 6000 - n, n}, COUNTED,
		    GET(8000), GET(1), {END, NULL, 0}};
		CHECK(agree("long line", steps, NULL));
		CHECK(agree("long line at once", whole, NULL));
	}
	struct step behind[] = {LFLAG(L_STD & ~TL_ECHO), TYPED("first\n"), {TYPE, text, 4200}, COUNTED,
	    GET(100), COUNTED, TYPED("\n"), GET(8000), GET(8000), {END, NULL, 0}};
	CHECK(agree("long line behind another", behind, NULL));
	struct step raw[] = {
	    LFLAG(0), IFLAG(0), {TYPE, text, 6000}, COUNTED, GET(1000), GET(6000), GET(6000), {END, NULL, 0}};
	CHECK(agree("raw, more than the buffer", raw, NULL));
	struct step echoed[] = {{TYPE, text, 200}, SEEN, {TYPE, text, 3000}, SEEN, {TYPE, text + 5990, 10},
	    SEEN, GET(6000), {END, NULL, 0}};
	CHECK(agree("long line with echo", echoed, NULL));
	tty_env_end();
}

/* --- random ones --- */

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(random_state >> 33) % n;
}

/* Some of the bits. */
static uint32_t random_bits(uint32_t bits)
{
	uint32_t r = random_below(1u << 30);
	return bits & (r ^ r >> 7);
}

static size_t random_text(char *text)
{
	static const char special[] =
	    "\003\034\177\025\004\021\023\032\022\027\026\r\n\t\b\377\0\001\303\244\n\n";
	size_t n = random_below(12);
	for (size_t i = 0; i < n; i++)
		text[i] = random_below(2)   ? (char)('a' + random_below(26))
			  : random_below(8) ? special[random_below(sizeof(special) - 1)]
					    : (char)random_below(256);
	return n;
}

static void random_step(struct step *s, char *text)
{
	static const uint8_t chars[] = {
	    TCC_ERASE, TCC_KILL, TCC_EOF, TCC_EOL, TCC_EOL2, TCC_MIN, TCC_STOP, TCC_INTR};
	*s = (struct step){END, text, 0};
	switch (random_below(12)) {
	case 0:
		*s = (struct step){SETI, NULL,
		    random_bits(TI_PARMRK | TI_ISTRIP | TI_INLCR | TI_IGNCR | TI_ICRNL | TI_IUCLC | TI_IXON |
				TI_IXANY | TI_IUTF8)};
		break;
	case 1:
		*s = (struct step){SETO, NULL,
		    random_bits(TO_OPOST | TO_OLCUC | TO_ONLCR | TO_OCRNL | TO_ONOCR | TO_ONLRET | TO_XTABS)};
		break;
	case 2:
		*s = (struct step){SETL, NULL,
		    random_bits(TL_ISIG | TL_ECHO | TL_ECHOE | TL_ECHOK | TL_ECHONL | TL_NOFLSH | TL_ECHOCTL |
				TL_ECHOPRT | TL_ECHOKE | TL_IEXTEN) |
			(random_below(3) ? TL_ICANON : 0)};
		break;
	case 3:
		s->kind = SETC;
		s->n = (size_t)chars[random_below(sizeof(chars))] << 8 | random_below(4);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		s->kind = TYPE;
		s->n = random_text(text);
		break;
	case 8:
		s->kind = SHOW;
		s->n = random_text(text);
		break;
	case 9:
		s->kind = SEE;
		break;
	case 10:
		s->kind = COUNT_IN;
		break;
	default:
		s->kind = READ;
		s->n = random_below(2) ? random_below(8) : 100;
	}
}

enum { RANDOM_STEPS = 40, RANDOM_CASES = 1500 };

HOST_TEST(random_cases)
{
	static struct step steps[RANDOM_STEPS + 1];
	static char texts[RANDOM_STEPS][16];
	char name[32];
	tty_env_begin();
	for (unsigned i = 0; i < RANDOM_CASES && !host_test_failed; i++) {
		random_state = i + 1;
		for (unsigned k = 0; k < RANDOM_STEPS; k++)
			random_step(&steps[k], texts[k]);
		snprintf(name, sizeof(name), "random %u", i);
		CHECK(agree(name, steps, NULL));
	}
	tty_env_end();
}

int main(int argc, char **argv)
{
	tty_env_init(16384);
	int failed = host_test_main_started(argc, argv);
	tty_env_fini();
	return failed;
}
