/* linux_info.c - what the system tells of itself: names, memory, the log. */
#include "arch/clock.h"
#include "fs/log_news.h"
#include "kern/log.h"
#include "kern/mutex.h"
#include "kern/uts.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "proc/cred.h"
#include "proc/load.h"
#include "proc/totals.h"
#include "sys/sys.h"

/* --- names --- */

int64_t sys_uname(uaddr_t name)
{
	struct uts_name u;
	uts_get(&u);
	return copy_to_user(name, &u, sizeof(u));
}

static err_t fetch_name(uaddr_t from, int32_t len, char *name)
{
	if (!current_can(CAP_SYS_ADMIN))
		return -EPERM;
	if (len < 0 || len >= UTS_LENGTH)
		return -EINVAL;
	return copy_from_user(name, from, (size_t)len);
}

int64_t sys_sethostname(uaddr_t from, int32_t len)
{
	char name[UTS_LENGTH];
	err_t err = fetch_name(from, len, name);
	if (!err)
		uts_set_nodename(name, (size_t)len);
	return err;
}

int64_t sys_setdomainname(uaddr_t from, int32_t len)
{
	char name[UTS_LENGTH];
	err_t err = fetch_name(from, len, name);
	if (!err)
		uts_set_domainname(name, (size_t)len);
	return err;
}

/* --- memory --- */

enum { LOADS_SHIFT = 16 }; /* loads of sysinfo: 1.0 is 1 << 16 */

/* struct sysinfo of the ABI. */
struct sys_sysinfo {
	int64_t uptime;
	uint64_t loads[3], total_ram, free_ram, shared_ram, buffer_ram, total_swap, free_swap;
	uint16_t threads, pad;
	uint64_t total_high, free_high;
	uint32_t unit;
};
_Static_assert(sizeof(struct sys_sysinfo) == 112, "sysinfo");

/* There is no swap and no memory that needs mapping. */
int64_t sys_sysinfo(uaddr_t to)
{
	struct memory_totals m;
	uint64_t loads[3];
	memory_totals_take(&m);
	load_averages(loads);
	struct sys_sysinfo s = {
	    .uptime = (int64_t)(clock_now() / 1000000000),
	    .total_ram = m.total * PAGE_SIZE,
	    .free_ram = m.free * PAGE_SIZE,
	    .shared_ram = m.shmem * PAGE_SIZE,
	    .buffer_ram = m.buffers * PAGE_SIZE,
	    .threads = (uint16_t)MIN(user_thread_count(), (unsigned)UINT16_MAX),
	    .unit = 1,
	};
	for (unsigned i = 0; i < 3; i++)
		s.loads[i] = loads[i] << (LOADS_SHIFT - LOAD_SHIFT);
	return copy_to_user(to, &s, sizeof(s));
}

/* --- the log --- */

enum syslog_action {
	SYSLOG_CLOSE,
	SYSLOG_OPEN,
	SYSLOG_READ,
	SYSLOG_READ_ALL,
	SYSLOG_READ_CLEAR,
	SYSLOG_CLEAR,
	SYSLOG_CONSOLE_OFF,
	SYSLOG_CONSOLE_ON,
	SYSLOG_CONSOLE_LEVEL,
	SYSLOG_SIZE_UNREAD,
	SYSLOG_SIZE_BUFFER,
};
enum { SYSLOG_LINE_MAX = 320, CONSOLE_LEVEL_MAX = 8 };

static struct mutex syslog_lock;
static struct kobject syslog_object;    /* who sleeps in SYSLOG_READ observes it; it has no descriptors */
static struct log_reader syslog_reader; /* syslog_lock: what SYSLOG_READ gives next, to whoever comes first */
static size_t syslog_offset;            /* syslog_lock: bytes of that record that were given already */
static uint64_t syslog_cleared;         /* syslog_lock: SYSLOG_READ_ALL begins here */
static unsigned console_was = 0;        /* syslog_lock: level before SYSLOG_CONSOLE_OFF; 0: it is on */

/* Nobody puts the reference that the system has. */
static void syslog_destroy(UNUSED struct kobject *o)
{
	ASSERT(false);
}

static const struct kobject_ops syslog_ops = {.type = KO_SYSTEM, .name = "syslog", .destroy = syslog_destroy};

void syslog_init(void)
{
	mutex_init(&syslog_lock, "syslog", RANK_CHANNEL);
	kobject_init(&syslog_object, &syslog_ops, 0);
	log_reader_init(&syslog_reader, &syslog_object);
}

/* The first record at or behind *seq as a line; *seq gets the next one's number. 0: there is none. */
static size_t next_line(uint64_t *seq, uint64_t *number, char *line)
{
	struct log_record r;
	uint64_t lost;
	if (log_read(seq, &r, &lost))
		return 0;
	*number = r.seq;
	int n = format(line, SYSLOG_LINE_MAX, "<%u>[%5llu.%06llu] %s: %s\n", r.level,
	    (unsigned long long)(r.time / 1000000000), (unsigned long long)(r.time / 1000 % 1000000),
	    r.subsystem, r.text);
	return MIN((size_t)n, (size_t)SYSLOG_LINE_MAX - 1);
}

/* Give the records that were not given yet, as many as fit whole; of the first, if not even that fits, a
 * part: the rest is for the next call. Locked. 0: none. */
static int64_t read_new(uaddr_t to, size_t size)
{
	char line[SYSLOG_LINE_MAX];
	uint64_t next = syslog_reader.next, seq = next, number;
	size_t done = 0, len;
	err_t err = 0;
	while (done < size && (len = next_line(&seq, &number, line))) {
		size_t from = number == next ? MIN(syslog_offset, len) : 0;
		size_t part = MIN(len - from, size - done);
		if (done && from + part < len)
			break;
		err = copy_to_user(to + done, line + from, part);
		if (err)
			break;
		done += part;
		next = from + part == len ? seq : number;
		syslog_offset = from + part == len ? 0 : from + part;
	}
	log_reader_move(&syslog_reader, next);
	return done ? (int64_t)done : err;
}

/* Sleep until there are some. Who finds that another reader was faster sleeps again. */
static int64_t read_waiting(uaddr_t to, size_t size)
{
	for (;;) {
		mutex_lock(&syslog_lock);
		int64_t n = read_new(to, size);
		mutex_unlock(&syslog_lock);
		if (n)
			return n;
		err_t err = log_reader_wait(&syslog_reader);
		if (err)
			return restartable(err);
	}
}

/* Give the youngest records since the last clearing, as many as fit whole. Locked. */
static int64_t read_all(uaddr_t to, size_t size, bool clear)
{
	char line[SYSLOG_LINE_MAX];
	uint64_t seq = syslog_cleared, number, first = seq, end;
	size_t total = 0, len, done = 0;
	while ((len = next_line(&seq, &number, line)))
		total += len;
	for (end = seq; total > size && (len = next_line(&first, &number, line));)
		total -= MIN(total, len);
	while (first < end && (len = next_line(&first, &number, line)) && done + len <= size) {
		if (copy_to_user(to + done, line, len))
			return -EFAULT;
		done += len;
	}
	if (clear)
		syslog_cleared = end;
	return (int64_t)done;
}

static int64_t count_unread(void)
{
	char line[SYSLOG_LINE_MAX];
	uint64_t seq = syslog_reader.next, number;
	size_t total = 0, len;
	while ((len = next_line(&seq, &number, line)))
		total += len - (number == syslog_reader.next ? MIN(syslog_offset, len) : 0);
	return (int64_t)total;
}

static void clear_log(void)
{
	char line[SYSLOG_LINE_MAX];
	uint64_t seq = syslog_cleared, number;
	while (next_line(&seq, &number, line))
		;
	syslog_cleared = seq;
}

/* What goes to the console: levels below `level`, as Linux counts. */
static int64_t change_console(int32_t action, int32_t level)
{
	if (action == SYSLOG_CONSOLE_LEVEL) {
		if (level < 1 || level > CONSOLE_LEVEL_MAX)
			return -EINVAL;
		log_console_level((enum log_level)(level - 1));
		console_was = 0;
	} else if (action == SYSLOG_CONSOLE_OFF) {
		unsigned was = log_console_level(LOG_EMERG);
		console_was = console_was ? console_was : was + 1;
	} else if (console_was) {
		log_console_level((enum log_level)(console_was - 1));
		console_was = 0;
	}
	return 0;
}

static int64_t syslog_locked(int32_t action, uaddr_t buf, int32_t len)
{
	switch (action) {
	case SYSLOG_READ_ALL:
	case SYSLOG_READ_CLEAR:
		return read_all(buf, (size_t)len, action == SYSLOG_READ_CLEAR);
	case SYSLOG_CLEAR:
		clear_log();
		return 0;
	case SYSLOG_CONSOLE_OFF:
	case SYSLOG_CONSOLE_ON:
	case SYSLOG_CONSOLE_LEVEL:
		return change_console(action, len);
	case SYSLOG_SIZE_UNREAD:
		return count_unread();
	case SYSLOG_SIZE_BUFFER:
		return log_capacity();
	default:
		return action == SYSLOG_OPEN || action == SYSLOG_CLOSE ? 0 : -EINVAL;
	}
}

int64_t sys_syslog(int32_t action, uaddr_t buf, int32_t len)
{
	bool reads = action == SYSLOG_READ || action == SYSLOG_READ_ALL || action == SYSLOG_READ_CLEAR;
	bool harmless = action == SYSLOG_READ_ALL || action == SYSLOG_SIZE_BUFFER;
	bool may = harmless ? current_may_read_log() : current_can(CAP_SYSLOG) || current_can(CAP_SYS_ADMIN);
	if (!may)
		return -EPERM;
	if (reads && (!buf || len < 0))
		return -EINVAL;
	if (reads && len == 0)
		return 0;
	if (action == SYSLOG_READ)
		return read_waiting(buf, (size_t)len);
	mutex_lock(&syslog_lock);
	int64_t result = syslog_locked(action, buf, len);
	mutex_unlock(&syslog_lock);
	return result;
}
