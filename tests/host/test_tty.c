/*
 * test_tty.c - terminals without processes: what job control is asked and what its answers do, waiting and
 * being interrupted, turns, limits, and every allocation failing.
 */
#include "tty_env.h"

enum {
	SIGNO_NONE = 0,
	GETGROUP = 0x540f,
	SETGROUP = 0x5410,
	GETSESSION = 0x5429,
	SCTTY = 0x540e,
	NOTTY = 0x5422,
	PACKET = 0x5420
};

/* --- job control that says what it is told to --- */

static err_t answer;
static int asked, told;
static unsigned hang_ups;

static err_t fake_check(UNUSED struct tty *t, int signo)
{
	asked = signo;
	return answer;
}
static void fake_signal(UNUSED struct tty *t, int signo)
{
	told = signo;
}
static void fake_hung_up(UNUSED struct tty *t, UNUSED bool ends)
{
	hang_ups++;
}

static struct tty_proc_ops fake;
static const struct tty_proc_ops *real;

static void fake_begin(void)
{
	real = tty_proc;
	fake = *real;
	fake.check = fake_check;
	fake.signal_group = fake_signal;
	fake.hung_up = fake_hung_up;
	answer = 0;
	asked = told = 0;
	hang_ups = 0;
	tty_proc = &fake;
}

static void fake_end(void)
{
	tty_proc = real;
}

struct pair {
	struct file *master, *slave;
	char name[32];
};

static void pair_open(struct pair *p, unsigned flags)
{
	MUST(tty_open_master(flags, &p->master, p->name));
	p->slave = fs_open(p->name, FILE_RDWR | FILE_NOCTTY | flags, 0);
}

static void pair_close(struct pair *p)
{
	file_put(p->slave);
	file_put(p->master);
}

static struct tty *slave_of(const struct pair *p)
{
	return tty_file_of(p->slave)->tty;
}

static void set_local(struct pair *p, uint32_t lflag, uint8_t min)
{
	struct tty *t = slave_of(p);
	struct tty_termios s = t->ldisc.termios;
	mutex_lock(&t->line->lock);
	s.lflag = lflag;
	s.cc[TCC_MIN] = min;
	ldisc_set_termios(&t->ldisc, &s);
	tty_settle_locked(t);
	mutex_unlock(&t->line->lock);
}

HOST_TEST(job_control_is_asked)
{
	struct pair p;
	char c;
	int32_t value = 0;
	tty_env_begin();
	fake_begin();
	pair_open(&p, FILE_NONBLOCK);
	CHECK_EQ(fs_read(p.slave, &c, 1), -EAGAIN);
	CHECK_EQ(asked, TTY_SIGNAL_TTIN);
	answer = -EINTR;
	CHECK_EQ(fs_read(p.slave, &c, 1), -EINTR);
	answer = -EIO;
	CHECK_EQ(fs_read(p.slave, &c, 1), -EIO);
	asked = 0;
	CHECK_EQ(fs_write(p.slave, "x", 1), 1); /* without TOSTOP nobody asks */
	CHECK_EQ(asked, 0);
	set_local(&p, TL_TOSTOP, 1);
	CHECK_EQ(fs_write(p.slave, "x", 1), -EIO);
	CHECK_EQ(asked, TTY_SIGNAL_TTOU);
	CHECK_EQ(file_ioctl(p.slave, 0x5402, TTY_USER_AT), -EIO); /* TCSETS */
	CHECK_EQ(file_ioctl(p.slave, 0x540b, 0), -EIO);           /* TCFLSH */
	CHECK_EQ(tty_request(p.slave, SETGROUP, &value), -ENOTTY);
	answer = -EINTR;
	CHECK_EQ(tty_request(p.slave, SETGROUP, &value), -EINTR);
	answer = 0;
	value = -1;
	CHECK_EQ(tty_request(p.slave, SETGROUP, &value), -EINVAL);
	set_local(&p, TL_ISIG, 1);
	CHECK_EQ(fs_write(p.master, "\003", 1), 1);
	CHECK_EQ(told, TTY_SIGNAL_INT);
	file_put(p.master);
	CHECK_EQ(hang_ups, 1);
	CHECK_EQ(fs_read(p.slave, &c, 1), 0);
	CHECK_EQ(fs_write(p.slave, "x", 1), -EIO);
	CHECK_EQ(tty_request(p.slave, GETGROUP, &value), -EIO);
	file_put(p.slave);
	fake_end();
	tty_env_end();
}

HOST_TEST(without_processes)
{
	struct pair p;
	int32_t value = 0;
	struct file *f;
	tty_env_begin();
	pair_open(&p, 0);
	CHECK_EQ(vfs_open(&fs_me, NULL, "/dev/tty", FILE_RDWR, 0, &f), -ENXIO);
	CHECK_EQ(tty_request(p.slave, GETGROUP, &value), -ENOTTY);
	CHECK_EQ(tty_request(p.slave, GETSESSION, &value), -ENOTTY);
	CHECK_EQ(file_ioctl(p.slave, SCTTY, 0), -EPERM);
	CHECK_EQ(file_ioctl(p.slave, NOTTY, 0), -ENOTTY);
	pair_close(&p);
	tty_env_end();
}

HOST_TEST(waiting_is_interrupted)
{
	static char many[32768];
	struct pair p;
	tty_env_begin();
	pair_open(&p, 0);
	fetch_or_acq_rel(&current_thread()->flags, THREAD_SIGNALLED);
	CHECK_EQ(fs_read(p.slave, many, 1), -EINTR);
	CHECK_EQ(fs_read(p.master, many, 1), -EINTR);
	set_local(&p, 0, 3);
	CHECK_EQ(fs_write(p.master, "ab", 2), 2);
	CHECK_EQ(fs_read(p.slave, many, 3), 2); /* what was read counts */
	memset(many, 'x', sizeof(many));
	int64_t total = 0, n;
	while ((n = fs_write(p.slave, many, sizeof(many))) > 0)
		total += n;
	CHECK_EQ(n, -EINTR);
	CHECK_EQ(total, LDISC_SIZE - 1 + TTY_WIRE_SIZE);
	fetch_and_acq_rel(&current_thread()->flags, ~(uint32_t)THREAD_SIGNALLED);
	pair_close(&p);
	tty_env_end();
}

/* --- sleepers --- */

struct meeting {
	struct pair pair;
	_Atomic uint32_t got;
	_Atomic uint32_t done;
};

enum { ROUNDS = 300, LINE = 40 };

/* CPU 0 types lines, 1 and 2 read them: each line goes to one of them, whole. */
static void share_lines(void *arg, unsigned cpu)
{
	struct meeting *m = arg;
	char line[LINE + 1];
	if (cpu == 0) {
		for (int i = 0; i < ROUNDS; i++) {
			memset(line, 'a' + i % 26, LINE);
			line[LINE] = '\n';
			CHECK_EQ(fs_write(m->pair.master, line, LINE + 1), LINE + 1);
		}
		CHECK_EQ(fs_write(m->pair.master, "\004\004", 2), 2);
		return;
	}
	int64_t n;
	while ((n = fs_read(m->pair.slave, line, sizeof(line))) > 0) {
		CHECK_EQ(n, LINE + 1);
		for (int i = 1; i < LINE; i++)
			if (line[i] != line[0])
				panic("a torn line");
		fetch_add_relaxed(&m->got, 1);
	}
}

HOST_TEST(readers_share_lines)
{
	struct meeting m = {0};
	tty_env_begin();
	pair_open(&m.pair, 0);
	set_local(&m.pair, TL_ICANON, 1);
	host_run_cpus(3, share_lines, &m);
	CHECK_EQ(m.got, ROUNDS);
	pair_close(&m.pair);
	tty_env_end();
}

/* CPUs 1 and 2 write on the slave, more than fits; 0 reads: nothing is lost, and no write is torn apart by
 * the other. */
static void write_blocks(void *arg, unsigned cpu)
{
	enum { BLOCK = 5000, BLOCKS = 20 };
	static char blocks[3][BLOCK];
	struct meeting *m = arg;
	char *block = blocks[cpu];
	if (cpu) {
		memset(block, 'a' + (int)cpu, BLOCK);
		for (int i = 0; i < BLOCKS; i++)
			CHECK_EQ(fs_write(m->pair.slave, block, BLOCK), BLOCK);
		return;
	}
	size_t run = 0, total = 0;
	char last = 0;
	while (total < 2 * BLOCK * BLOCKS) {
		int64_t n = fs_read(m->pair.master, block, BLOCK);
		CHECK(n > 0);
		for (int64_t i = 0; i < n; i++, run++) {
			if (block[i] != last) {
				CHECK(run % BLOCK == 0);
				run = 0;
			}
			last = block[i];
		}
		total += (size_t)n;
	}
}

HOST_TEST(writers_do_not_mix)
{
	struct meeting m = {0};
	tty_env_begin();
	pair_open(&m.pair, 0);
	host_run_cpus(3, write_blocks, &m);
	pair_close(&m.pair);
	tty_env_end();
}

/* --- a serial line: faults, and senders that are asked to pause --- */

static struct {
	struct ldisc ldisc;
	char out[256];
	size_t len;
	int signal;
} wire;

static size_t wire_room(UNUSED const struct ldisc *ld)
{
	return sizeof(wire.out) - wire.len;
}
static void wire_write(UNUSED struct ldisc *ld, const uint8_t *bytes, size_t n)
{
	memcpy(wire.out + wire.len, bytes, n);
	wire.len += n;
}
static void wire_signal(UNUSED struct ldisc *ld, int signo)
{
	wire.signal = signo;
}
static void wire_send_now(struct ldisc *ld, uint8_t c)
{
	wire_write(ld, &c, 1);
}
static const struct ldisc_ops wire_ops = {
    .room = wire_room, .write = wire_write, .signal = wire_signal, .send_now = wire_send_now};

static void wire_begin(uint32_t iflag, uint32_t lflag)
{
	struct tty_termios s = tty_std_termios;
	s.iflag = iflag;
	s.lflag = lflag;
	ldisc_init(&wire.ldisc, &wire_ops, &s);
	wire.len = 0;
	wire.signal = 0;
}

/* What can be read is these n bytes. */
static bool wire_reads(const char *expected, size_t n)
{
	uint8_t got[32];
	bool end;
	return ldisc_read(&wire.ldisc, got, sizeof(got), &end) == n && !memcmp(got, expected, n);
}

HOST_TEST(line_faults)
{
	struct ldisc *ld = &wire.ldisc;
	wire_begin(0, 0);
	ldisc_receive_fault(ld, LDISC_BREAK, 0);
	ldisc_receive_fault(ld, LDISC_PARITY, 'p');
	CHECK(wire_reads("\0p", 2));
	wire_begin(TI_IGNBRK | TI_INPCK | TI_IGNPAR, 0);
	ldisc_receive_fault(ld, LDISC_BREAK, 0);
	ldisc_receive_fault(ld, LDISC_PARITY, 'p');
	CHECK(wire_reads("", 0));
	wire_begin(TI_PARMRK | TI_INPCK, 0);
	ldisc_receive_fault(ld, LDISC_BREAK, 0);
	ldisc_receive_fault(ld, LDISC_PARITY, 'p');
	CHECK(wire_reads("\377\0\0\377\0p", 6));
	wire_begin(TI_INPCK, 0);
	ldisc_receive_fault(ld, LDISC_PARITY, 'p');
	CHECK(wire_reads("\0", 1));
	wire_begin(TI_BRKINT, 0);
	CHECK_EQ(ldisc_receive(ld, (const uint8_t *)"abc", 3), 3);
	ldisc_receive_fault(ld, LDISC_BREAK, 0);
	CHECK_EQ(wire.signal, TTY_SIGNAL_INT);
	CHECK(wire_reads("", 0)); /* flushed */
	wire_begin(TI_BRKINT, TL_NOFLSH);
	CHECK_EQ(ldisc_receive(ld, (const uint8_t *)"abc", 3), 3);
	ldisc_receive_fault(ld, LDISC_BREAK, 0);
	CHECK(wire_reads("abc", 3));
}

HOST_TEST(senders_pause)
{
	static const uint8_t many[LDISC_SIZE];
	struct ldisc *ld = &wire.ldisc;
	static uint8_t got[LDISC_SIZE];
	bool end;
	wire_begin(TI_IXOFF, 0);
	CHECK_EQ(ldisc_receive(ld, many, LDISC_SIZE - 200), LDISC_SIZE - 200);
	CHECK_EQ(wire.len, 0);
	CHECK_EQ(ldisc_receive(ld, many, 100), 100);
	CHECK_EQ(ldisc_receive(ld, many, 50), 50);
	CHECK(wire.len == 1 && wire.out[0] == 'S' - '@');
	CHECK_EQ(ldisc_read(ld, got, LDISC_SIZE - 300, &end), LDISC_SIZE - 300);
	ldisc_unthrottle(ld);
	CHECK_EQ(wire.len, 1); /* there is still much */
	CHECK_EQ(ldisc_read(ld, got, 200, &end), 200);
	ldisc_unthrottle(ld);
	CHECK(wire.len == 2 && wire.out[1] == 'Q' - '@');
}

/* Echoes wait for room, and the latest are kept. */
HOST_TEST(echoes_wait)
{
	struct ldisc *ld = &wire.ldisc;
	uint8_t c = 'a';
	wire_begin(0, TL_ECHO);
	wire.len = sizeof(wire.out);
	for (unsigned i = 0; i < 3 * LDISC_ECHOES; i++) {
		c = (uint8_t)('a' + i % 26);
		CHECK(ldisc_receive(ld, &c, 1) == 1 || ldisc_receive_room(ld) == 0);
		if (ldisc_receive_room(ld) == 0)
			ldisc_flush_input(ld);
	}
	CHECK_EQ(wire.len, sizeof(wire.out));
	wire.len = 0;
	ldisc_run_echoes(ld);
	CHECK_EQ(wire.len, sizeof(wire.out));
	while (ld->echo_tail != ld->echo_head) {
		wire.len = 0;
		ldisc_run_echoes(ld);
	}
	CHECK_EQ(wire.out[wire.len - 1], c);
}

/* --- shortage --- */

HOST_TEST(every_allocation_may_fail)
{
	bool fired = true;
	tty_env_begin();
	for (uint64_t n = 1; fired; n++) {
		struct file *master = NULL, *slave = NULL;
		char name[32];
		inject_arm(n);
		err_t err = vfs_open(&fs_me, NULL, "/dev/ptmx", FILE_RDWR, 0, &master);
		fired = inject_fired();
		inject_arm(0);
		CHECK(!err || (fired && err == -ENOMEM));
		if (!err)
			file_put(master);
		CHECK_EQ(pty_count(), 0);
		CHECK_EQ(fs_exists("/dev/pts/0"), -ENOENT);
		MUST(tty_open_master(0, &master, name));
		inject_arm(n);
		err = vfs_open(&fs_me, NULL, name, FILE_RDWR, 0, &slave);
		fired |= inject_fired();
		inject_arm(0);
		CHECK(!err || (fired && err == -ENOMEM));
		if (!err)
			file_put(slave);
		file_put(master);
	}
	tty_env_end();
}

HOST_TEST(numbers)
{
	enum { COUNT = 64 };
	static struct file *masters[COUNT];
	char name[32];
	struct vfs_stat st;
	tty_env_begin();
	for (int i = 0; i < COUNT; i++) {
		MUST(tty_open_master(0, &masters[i], name));
		CHECK_EQ(pty_count(), i + 1);
	}
	CHECK(!strcmp(name, "/dev/pts/63"));
	CHECK_EQ(fs_stat(name, 0, &st), 0);
	CHECK_EQ(st.mode, MODE_CHAR | 0620);
	CHECK_EQ(st.gid, 5);
	CHECK_EQ(st.rdev, DEV_MAKE(TTY_MAJOR_PTS, 63));
	file_put(masters[5]);
	file_put(masters[3]);
	MUST(tty_open_master(0, &masters[3], name));
	CHECK(!strcmp(name, "/dev/pts/3"));
	MUST(tty_open_master(0, &masters[5], name));
	CHECK(!strcmp(name, "/dev/pts/5"));
	for (int i = 0; i < COUNT; i++)
		file_put(masters[i]);
	tty_env_end();
}

int main(int argc, char **argv)
{
	tty_env_init(16384);
	int failed = host_test_main_started(argc, argv);
	tty_env_fini();
	return failed;
}
