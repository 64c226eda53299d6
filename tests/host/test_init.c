/* test_init.c - init's configuration and its back-off: user/init/config.c, restart.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../user/init/config.c"
#include "../../user/init/restart.h"

static struct config config;
static char text[CONFIG_BYTES + 1], first[256]; /* what was complained of first */

static void note(unsigned line, const char *what, const char *word)
{
	if (!*first)
		snprintf(first, sizeof(first), "%u: %s: %s", line, what, word);
}

static unsigned parse(const char *s)
{
	*first = 0;
	strcpy(text, s);
	return config_parse(&config, text, strlen(s), note);
}

static void accepts(const char *s)
{
	if (parse(s))
		fail_msg("refused: %s\n%s", s, first);
}

/* One error, of this line, with this in its text. */
static void refuses(const char *s, unsigned line, const char *what)
{
	unsigned n = parse(s), where = (unsigned)atoi(first);
	if (n != 1 || where != line || !strstr(first, what))
		fail_msg("%u errors, first %s\nnot %u: %s\nin %s", n, first, line, what, s);
}

static void test_the_default_is_good(void **state)
{
	(void)state;
	FILE *f = fopen("user/init/quire.conf", "r");
	assert_non_null(f);
	size_t n = fread(text, 1, CONFIG_BYTES, f);
	fclose(f);
	assert_int_equal(config_parse(&config, text, n, note), 0);
	assert_string_equal(config.hostname, "quire");
	assert_int_equal(config.nmounts, 6);
	assert_string_equal(config.mounts[2].directory, "/dev/pts");
	assert_string_equal(config.mounts[2].options, "nosuid,noexec,mode=0620,gid=5,ptmxmode=0666");
	assert_int_equal(config.ngettys, 1);
	assert_string_equal(config.gettys[0].terminal, "console");
	assert_null(config.gettys[0].arguments[0]);
	assert_int_equal(config.nservices, 0);
}

static void test_words(void **state)
{
	(void)state;
	accepts("");
	accepts("\n\n \t# nothing\n#\n\r\n");
	accepts("hostname quire");
	assert_string_equal(config.hostname, "quire");
	accepts("hostname \"a b\"c\t# that is it\n");
	assert_string_equal(config.hostname, "a bc");
	accepts("hostname \"a\\\"\\\\#\"\r\n");
	assert_string_equal(config.hostname, "a\"\\#");
	accepts("hostname a\\b#c");
	assert_string_equal(config.hostname, "a\\b#c");
	accepts("getty tty1 /sbin/agetty \"\" -");
	assert_string_equal(config.gettys[0].arguments[0], "/sbin/agetty");
	assert_string_equal(config.gettys[0].arguments[1], "");
	assert_string_equal(config.gettys[0].arguments[2], "-");
	assert_null(config.gettys[0].arguments[3]);
	refuses("\n\nhostname \"a\nmount a /b c\n", 3, "a quote is not closed");
	refuses("hostname \"a\\\n", 1, "a quote is not closed");
}

static void test_bytes(void **state)
{
	(void)state;
	char zero[] = "hostname a\0b\nhostname";
	*first = 0;
	memcpy(text, zero, sizeof(zero));
	assert_int_equal(config_parse(&config, text, 12, note), 1);
	assert_string_equal(first, "1: there is a byte 0: ");
}

static void test_what_is_found_later(void **state)
{
	(void)state;
	accepts("service x {\n memory screen\n keep tty 31\n}\nservice y {\n}\n");
	const struct service_config *x = &config.services[0], *y = &config.services[1];
	assert_true(x->screen && !x->scope.memory.count && x->keep == KEEP_TTY && x->tty == 31);
	assert_true(!y->screen && y->keep == KEEP_NOTHING);
}

static void test_a_service(void **state)
{
	(void)state;
	accepts(
	    "service com2 {\n program serial\n argument -b 9600 \"x y\"\n environment A=1 B=\n input /dev/zero\n"
	    " output /dev/console\n irq 3\n ports 0x2f8 8\n memory 0xfed00000 0x1000\n log write read\n power\n"
	    " keep endpoint\n ping 1500ms\n restart 10ms 2s 0s\n}\nservice other {\n connect com2\n}\n");
	const struct service_config *s = &config.services[0], *other = &config.services[1];
	assert_int_equal(config.nservices, 2);
	assert_string_equal(s->name, "com2");
	assert_string_equal(s->program, "serial");
	static const char *const arguments[] = {"com2", "-b", "9600", "x y", NULL}, *const variables[] = {
											"A=1", "B=", NULL};
	for (unsigned i = 0; arguments[i]; i++)
		assert_string_equal(s->arguments[i], arguments[i]);
	for (unsigned i = 0; variables[i]; i++)
		assert_string_equal(s->environment[i], variables[i]);
	assert_true(!s->arguments[4] && !s->environment[2]);
	assert_string_equal(s->input, "/dev/zero");
	assert_string_equal(s->output, "/dev/console");
	assert_true(s->scope.irqs.first == 3 && s->scope.irqs.count == 1);
	assert_true(s->scope.ports.first == 0x2f8 && s->scope.ports.count == 8);
	assert_true(s->scope.memory.first == 0xfed00000 && s->scope.memory.count == 4096);
	assert_true(s->log_read && s->log_write && s->power && s->keep == KEEP_ENDPOINT);
	assert_true(
	    s->ping == 1500 && s->restart.first == 10 && s->restart.most == 2000 && s->restart.well == 0);
	assert_ptr_equal(other->peer, s);
	assert_string_equal(other->program, "other");
	assert_true(!other->power && !other->log_read && !other->log_write && other->keep == KEEP_NOTHING &&
		    !other->ping);
	assert_true(other->scope.irqs.count + other->scope.ports.count + other->scope.memory.count == 0);
	assert_true(
	    other->restart.first == 100 && other->restart.most == 30000 && other->restart.well == 10000);
	assert_string_equal(other->input, "/dev/null");
}

static void test_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		unsigned line;
		const char *what;
	} bad[] = {
	    {"hostnam quire", 1, "there is no such directive: hostnam"},
	    {"program x", 1, "there is no such directive: program"},
	    {"}", 1, "there is no such directive: }"},
	    {"hostname", 1, "too few words"},
	    {"hostname a b", 1, "too many words"},
	    {"hostname \"\"", 1, "1 to 64 characters"},
	    {"hostname a\nhostname b", 2, "said before"},
	    {"mount proc /proc", 1, "too few words"},
	    {"mount proc / proc", 1, "no absolute path below the root: /"},
	    {"mount proc /// proc", 1, "no absolute path below the root: ///"},
	    {"mount proc proc proc", 1, "no absolute path below the root: proc"},
	    {"getty /dev/tty1", 1, "no name of a terminal in /dev: /dev/tty1"},
	    {"getty tty1 agetty", 1, "this is no absolute path: agetty"},
	    {"service x", 1, "too few words"},
	    {"service x y\n}", 1, "a service has its block"},
	    {"service a/b {\n}", 1, "a name has"},
	    {"service abcdefghijklmnop {\n}", 1, "a name has"},
	    {"service x {\n}\nservice x {\n}", 3, "a service of this name: x"},
	    {"\nservice x {\n", 2, "the block is not closed: x"},
	    {"service x {\nhostname y\n}", 2, "a service has no such directive: hostname"},
	    {"service x {\nirq 3\nirq 4\n}", 3, "this was said before: irq"},
	    {"service x {\nprogram a/b\n}", 2, "no path, nor a name in /service: a/b"},
	    {"service x {\nenvironment A\n}", 2, "this is no NAME=VALUE: A"},
	    {"service x {\nenvironment A=1 =2\n}", 2, "this is no NAME=VALUE: =2"},
	    {"service x {\nenvironment QUIRE_SYSTEM=3\n}", 2, "are set by init"},
	    {"service x {\ninput null\n}", 2, "no absolute path: null"},
	    {"service x {\noutput null\n}", 2, "no absolute path: null"},
	    {"service x {\nirq three\n}", 2, "no such number: three"},
	    {"service x {\nirq -1\n}", 2, "no such number: -1"},
	    {"service x {\nirq 3x\n}", 2, "no such number: 3x"},
	    {"service x {\nirq 08\n}", 2, "no such number: 08"},
	    {"service x {\nirq 99999999999999999999999\n}", 2, "no such number"},
	    {"service x {\nirq 3 0\n}", 2, "no such range: 0"},
	    {"service x {\nports 0xfff8 9\n}", 2, "no such range"},
	    {"service x {\nports 65536\n}", 2, "no such range"},
	    {"service x {\nmemory 0xfed00000\n}", 2, "or is the screen's: 0xfed00000"},
	    {"service x {\nmemory\n}", 2, "too few words"},
	    {"service x {\nmemory 0xfffffffffffffff0 0x20\n}", 2, "no such range"},
	    {"service x {\nlog\n}", 2, "too few words"},
	    {"service x {\nlog read erase\n}", 2, "for read and write: erase"},
	    {"service x {\npower off\n}", 2, "too many words"},
	    {"service x {\nkeep calm\n}", 2, "can be kept, or a tty with its number: calm"},
	    {"service x {\nkeep endpoint 1\n}", 2, "can be kept, or a tty with its number: endpoint"},
	    {"service x {\nkeep tty\n}", 2, "no such tty: tty"},
	    {"service x {\nkeep tty 0\n}", 2, "no such tty: 0"},
	    {"service x {\nkeep tty 32\n}", 2, "no such tty: 32"},
	    {"service x {\nkeep tty 1x\n}", 2, "no such tty: 1x"},
	    {"service x {\nkeep tty 1\n}\nservice y {\nconnect x\n}", 4, "keeps an endpoint: x"},
	    {"service x {\nconnect y\n}", 1, "keeps an endpoint: y"},
	    {"service x {\nconnect y\n}\nservice y {\n}", 1, "keeps an endpoint: y"},
	    {"service x {\nping 2\n}", 2, "this is no time, such as 100ms or 2s, of an hour at most: 2"},
	    {"service x {\nping 2m\n}", 2, "this is no time"},
	    {"service x {\nping 3601s\n}", 2, "more than an hour"},
	    {"service x {\nping 9ms\n}", 2, "as fast as that"},
	    {"service x {\nrestart 1s 2s\n}", 2, "too few words"},
	    {"service x {\nrestart 2s 1s 1s\n}", 2, "shorter than the first: 1s"},
	    {"service x {\nrestart 0s 1s 1s\n}", 2, "shorter than the first"},
	};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(bad[i].text, bad[i].line, bad[i].what);
}

static void test_all_errors_are_told(void **state)
{
	(void)state;
	assert_int_equal(parse("nonsense\nservice x y {\n more\n}\nhostname\n"), 5);
	assert_int_equal(parse("service x {\n} y\n"), 2);
	assert_int_equal(parse("service a/b {\n irq x\n ping 1s\n}\nmount x\n"), 3);
}

/* One more than there is room for. */
static void fills(const char *line, unsigned n, const char *what)
{
	size_t at = 0;
	for (unsigned i = 0; i <= n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, line, i, i, i, i);
	assert_true(at < CONFIG_BYTES);
	*first = 0;
	assert_int_equal(config_parse(&config, text, at, note), 1);
	assert_non_null(strstr(first, what));
}

static void test_limits(void **state)
{
	(void)state;
	char line[4 * LINE_WORDS + 1] = "getty tty1 /a";
	for (unsigned i = 3; i < LINE_WORDS; i++)
		strcat(line, " a");
	accepts(line);
	strcat(line, " a");
	refuses(line, 1, "the line has too many words");
	fills("mount a /%u b\n", CONFIG_MOUNTS, "too many mounts");
	fills("getty tty%u\n", CONFIG_GETTYS, "too many gettys");
	fills("service s%u {\n}\n", CONFIG_SERVICES, "too many services");
	char long_text[16384] = "";
	for (unsigned i = 0; i < 20; i++) {
		char service[512];
		snprintf(service, sizeof(service), "service s%u {\n argument%s\n}\n", i, line + 13);
		strcat(long_text, service);
	}
	assert_true(parse(long_text) > 0);
	assert_non_null(strstr(first, "too many arguments and variables"));
}

static void test_back_off(void **state)
{
	(void)state;
	const struct restart_rule rule = {.first = 100, .most = 30000, .well = 10000}, fast = {1, 1, 0};
	static const uint32_t delays[] = {
	    0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
	unsigned tries = 0;
	for (unsigned i = 0; i < sizeof(delays) / sizeof(delays[0]); i++)
		assert_int_equal(restart_delay(&rule, &tries, 9999), delays[i]);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(restart_delay(&rule, &tries, 0), 30000);
	assert_int_equal(restart_delay(&rule, &tries, 10000), 0); /* it ran well */
	assert_int_equal(restart_delay(&rule, &tries, 0), 100);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(restart_delay(&fast, &tries, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_the_default_is_good),
	    cmocka_unit_test(test_words),
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_a_service),
	    cmocka_unit_test(test_what_is_found_later),
	    cmocka_unit_test(test_what_is_wrong),
	    cmocka_unit_test(test_all_errors_are_told),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_back_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
