/*
 * test_log.c - the kernel log, the real kern/log.c in place of the host port's stand-in: numbering, loss,
 * torn records, and the console under contention, emergencies and stopped writers. For ThreadSanitizer too.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../../kernel/kern/log.c"
#include "machine/host.h"

enum { WRITERS = 4, RECORDS = 2000 };

static char console[1 << 20];
static _Atomic size_t console_len;
static _Atomic unsigned console_inside;

static void console_write(const char *s, size_t n)
{
	assert_int_equal(fetch_add_acq_rel(&console_inside, 1), 0);
	size_t at = load_relaxed(&console_len);
	assert_true(at + n < sizeof(console));
	memcpy(console + at, s, n);
	store_relaxed(&console_len, at + n);
	fetch_sub_acq_rel(&console_inside, 1);
}

static int reset(void **state)
{
	(void)state;
	log_set_console(NULL, LOG_INFO);
	memset(&ring, 0, sizeof(ring));
	store_relaxed(&echo.next, 0);
	store_relaxed(&echo.owner, 0);
	memset(console, 0, sizeof(console));
	store_relaxed(&console_len, 0);
	store_relaxed(&console_inside, 0);
	return 0;
}

static void fields(void **state)
{
	struct log_record r;
	uint64_t seq = 0, lost;
	nsec_t before = clock_now();

	(void)state;
	assert_int_equal(log_read(&seq, &r, &lost), -EAGAIN);
	log_warn("a-name-too-long", "%s %d", "value", 42);
	assert_int_equal(log_read(&seq, &r, &lost), 0);
	assert_int_equal(seq, 1);
	assert_int_equal(lost, 0);
	assert_int_equal(r.seq, 0);
	assert_int_equal(r.level, LOG_WARN);
	assert_string_equal(r.subsystem, "a-name-too");
	assert_string_equal(r.text, "value 42");
	assert_int_equal(r.len, 8);
	assert_in_range(r.time, before, clock_now());
	assert_int_equal(log_read(&seq, &r, &lost), -EAGAIN);
}

static void long_text_is_cut(void **state)
{
	struct log_record r;
	uint64_t seq = 0, lost;

	(void)state;
	log_info("cut", "%300s|", "x");
	assert_int_equal(log_read(&seq, &r, &lost), 0);
	assert_int_equal(r.len, sizeof(r.text) - 1);
	assert_int_equal(strlen(r.text), r.len);
}

static void readers_count_what_they_miss(void **state)
{
	struct log_record r;
	uint64_t seq = 0, lost;

	(void)state;
	for (int i = 0; i < SLOTS + 10; i++)
		log_info("n", "%d", i);
	assert_int_equal(log_read(&seq, &r, &lost), 0);
	assert_int_equal(lost, 10);
	assert_int_equal(r.seq, 10);
	assert_string_equal(r.text, "10");
	for (int i = 11; i < SLOTS + 10; i++) {
		assert_int_equal(log_read(&seq, &r, &lost), 0);
		assert_int_equal(lost, 0);
		assert_int_equal(r.seq, i);
	}
	assert_int_equal(log_read(&seq, &r, &lost), -EAGAIN);
}

/* Each text says its writer, its number and then only letters that follow from both: a mixture of two records
 * shows. */
static void write_many(unsigned writer)
{
	char letters[180];

	for (unsigned i = 0; i < RECORDS; i++) {
		unsigned n = 20 + (writer * 31 + i * 7) % 150;
		memset(letters, 'a' + (int)((writer + i) % 26), n);
		letters[n] = '\0';
		log_info("w", "%u %u %s", writer, i, letters);
	}
}

static void check_text(const struct log_record *r, unsigned last[WRITERS])
{
	unsigned writer, i, n = 0;

	assert_int_equal(sscanf(r->text, "%u %u ", &writer, &i), 2);
	assert_true(writer < WRITERS && i < RECORDS);
	assert_true(i + 1 > last[writer]); /* in the order in which they were written */
	last[writer] = i + 1;
	for (const char *p = strrchr(r->text, ' ') + 1; *p; p++, n++)
		assert_int_equal(*p, 'a' + (int)((writer + i) % 26));
	assert_int_equal(n, 20 + (writer * 31 + i * 7) % 150);
	assert_int_equal(strlen(r->text), r->len);
}

static _Atomic unsigned writers_left;

static void write_or_read(void *arg, unsigned who)
{
	unsigned last[WRITERS] = {0};
	uint64_t seq = 0, lost, seen = 0, missed = 0;
	struct log_record r;

	(void)arg;
	if (who < WRITERS) {
		write_many(who);
		fetch_sub_acq_rel(&writers_left, 1);
		return;
	}
	for (;;) {
		bool over = load_acquire(&writers_left) == 0;
		err_t err = log_read(&seq, &r, &lost);
		missed += lost;
		if (!err) {
			assert_int_equal(r.seq + 1, seq);
			check_text(&r, last);
			seen++;
		} else if (over) {
			break;
		} else {
			cpu_relax();
		}
	}
	assert_int_equal(seen + missed, WRITERS * RECORDS);
	assert_true(seen > 0);
}

static void concurrent(void **state)
{
	(void)state;
	store_relaxed(&writers_left, WRITERS);
	host_run_cpus(WRITERS + 2, write_or_read, NULL);
}

/* Count the lines on the console that are whole, and check that each is there once and in the order of its
 * writer. */
static unsigned check_console(void)
{
	unsigned last[WRITERS] = {0}, lines = 0, writer, i;

	for (char *line = strtok(console, "\n"); line; line = strtok(NULL, "\n")) {
		if (strstr(line, "records lost"))
			continue;
		const char *text = strstr(line, "] w: ");
		assert_non_null(text);
		assert_int_equal(sscanf(text, "] w: %u %u", &writer, &i), 2);
		assert_true(writer < WRITERS && i + 1 > last[writer]);
		last[writer] = i + 1;
		lines++;
	}
	return lines;
}

static void write_few(void *arg, unsigned who)
{
	(void)arg;
	for (unsigned i = 0; i < 100; i++)
		log_info("w", "%u %u", who, i);
}

static void console_gets_everything_once(void **state)
{
	(void)state;
	log_set_console(console_write, LOG_INFO);
	host_run_cpus(WRITERS, write_few, NULL);
	/* 400 records fit the ring, so none may be lost, and none may be left behind. */
	assert_int_equal(load_relaxed(&echo.next), WRITERS * 100);
	assert_int_equal(check_console(), WRITERS * 100);
}

static void console_levels_and_catching_up(void **state)
{
	(void)state;
	log_info("t", "before");
	log_debug("t", "quiet");
	log_set_console(console_write, LOG_INFO);
	assert_non_null(strstr(console, "] t: before\n"));
	log_err("t", "after");
	assert_non_null(strstr(console, "] t: after\n"));
	assert_null(strstr(console, "quiet"));
	for (int i = 0; i < 3; i++)
		log_info("t", "number %d", i);
	store_relaxed(&console_len, 0);
	memset(console, 0, sizeof(console));
	log_replay(2);
	assert_null(strstr(console, "number 0"));
	assert_non_null(strstr(console, "number 1"));
	assert_non_null(strstr(console, "number 2"));
}

/* A CPU was stopped, or is the very one that was interrupted, while it owned the console. */
static void emergency_takes_the_console(void **state)
{
	(void)state;
	log_set_console(console_write, LOG_INFO);
	store_relaxed(&echo.owner, (77 << 8) | (cpu_id() + 1)); /* we interrupted ourselves */
	log_info("t", "waits");
	assert_null(strstr(console, "waits"));
	log_print(LOG_EMERG, "panic", "now");
	assert_non_null(strstr(console, "] t: waits\n"));
	assert_non_null(strstr(console, "] panic: now\n"));
	store_relaxed(&echo.owner, (78 << 8) | (cpu_id() + 9)); /* another CPU */
	log_print(LOG_EMERG, "panic", "after a while");
	assert_non_null(strstr(console, "after a while"));
	assert_int_equal(load_relaxed(&echo.owner), 0);
}

/* A writer took its number and was stopped before it wrote. */
static void stopped_writer(void **state)
{
	struct log_record r;
	uint64_t seq = 0, lost;

	(void)state;
	log_set_console(console_write, LOG_INFO);
	log_info("t", "first");
	uint64_t stuck = fetch_add_acq_rel(&ring.next, 1);
	store_relaxed(&slot_of(stuck)->state, state_writing(stuck));
	log_info("t", "third");
	assert_int_equal(log_read(&seq, &r, &lost), 0);
	assert_int_equal(
	    log_read(&seq, &r, &lost), -EAGAIN); /* order is kept: nothing after the missing one */
	assert_null(strstr(console, "third"));
	log_print(LOG_EMERG, "panic", "help");
	assert_non_null(strstr(console, "third"));
	assert_non_null(strstr(console, "help"));
	/* A whole ring later its slot is still taken: that record is given up, and readers know. */
	for (int i = 0; i < SLOTS; i++)
		log_info("t", "more %d", i);
	seq = stuck + SLOTS;
	assert_int_equal(log_read(&seq, &r, &lost), 0);
	assert_int_equal(lost, 1);
	assert_int_equal(r.seq, stuck + SLOTS + 1);
	assert_non_null(strstr(console, "records lost"));
	assert_non_null(strstr(console, "more 511"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(fields, reset),
	    cmocka_unit_test_setup(long_text_is_cut, reset),
	    cmocka_unit_test_setup(readers_count_what_they_miss, reset),
	    cmocka_unit_test_setup(concurrent, reset),
	    cmocka_unit_test_setup(console_gets_everything_once, reset),
	    cmocka_unit_test_setup(console_levels_and_catching_up, reset),
	    cmocka_unit_test_setup(emergency_takes_the_console, reset),
	    cmocka_unit_test_setup(stopped_writer, reset),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	host_init(1024);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
