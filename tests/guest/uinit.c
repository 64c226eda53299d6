/*
 * uinit.c - init as a manager of services: `init --services`, over services that are this program again, each
 * with a word for what it is to do. Whatever is waited for is a condition.
 */
#include <fcntl.h>
#include <poll.h>
#include <quire/calls.h>
#include <quire/spawn.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/io.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>

#include "uroot.h"
#include "utap.h"

enum { COM2 = 0x2f8, COM2_LINE = 3, COM_SIZE = 8, BOUND = 60, KILLS = 100, TAG_PING = 1 };

extern char **environ;
static int root = -1;   /* the system object */
static int reader = -1; /* another, with a place of its own in the log */
static char conf[64], out[64], address[64];

static uint64_t seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

static uint64_t soon(void)
{
	return (seconds() + BOUND) * 1000000000ULL;
}

static void rest(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* --- the services --- */

static int number(const char *variable)
{
	const char *value = getenv(variable);
	return value ? atoi(value) : -1;
}

/* Just these, each with these rights. */
static int has_descriptors(const int *fds, const unsigned *rights, unsigned n)
{
	for (int fd = 0; fd < 256; fd++) {
		unsigned i = 0;
		while (i < n && fds[i] != fd)
			i++;
		UCHECK((fcntl(fd, F_GETFD) >= 0) == (fd < 3 || i < n));
		if (i < n)
			UCHECK((unsigned)quire_rights_get(fd) == rights[i]);
	}
	return 0;
}

static int may_no_more(int system)
{
	const struct quire_scope less = {.irqs = {COM2_LINE, 1}};
	struct quire_log_record record;
	UCHECK(FAILS_WITH(quire_system_irq(system, COM2_LINE - 1, QUIRE_IRQ_ISA), EACCES));
	UCHECK(FAILS_WITH(quire_system_irq(system, COM2_LINE + 1, QUIRE_IRQ_ISA), EACCES));
	UCHECK(FAILS_WITH(quire_system_ports(system, COM2 - 1, 1), EACCES));
	UCHECK(FAILS_WITH(quire_system_ports(system, COM2, COM_SIZE + 1), EACCES));
	UCHECK(FAILS_WITH(quire_system_memory(system, 0xfed00000, 4096, 0), EACCES));
	UCHECK(FAILS_WITH(quire_system_log_read(system, &record), EACCES));
	UCHECK(FAILS_WITH(quire_system_log_write(system, 6, "never seen"), EACCES));
	UCHECK(FAILS_WITH(quire_system_power(system, QUIRE_POWER_OFF), EACCES));
	UCHECK(FAILS_WITH(quire_system_carve(system, &less), EACCES));
	UCHECK(FAILS_WITH(dup(system), EACCES));
	return 0;
}

/* The driver of the second serial port: exactly that, and nothing else. */
static int be_driver(void)
{
	enum { LOOKS = QUIRE_RIGHT_WAIT | QUIRE_RIGHT_INSPECT };
	const int fds[] = {number("QUIRE_SYSTEM"), number("QUIRE_PING"), number("QUIRE_KEEP")};
	const unsigned rights[] = {
	    QUIRE_RIGHT_MAP | QUIRE_RIGHT_INSPECT, QUIRE_RIGHT_READ | LOOKS, QUIRE_RIGHT_READ | LOOKS};
	unsigned variables = 0;
	UCHECK(fds[0] == 3 && fds[1] == 4 && fds[2] == 5);
	if (has_descriptors(fds, rights, 3) || may_no_more(fds[0]))
		return 1;
	while (environ[variables])
		variables++;
	UCHECK(variables == 4 && !strcmp(getenv("COLOUR"), "dark blue"));
	int irq = (int)quire_system_irq(fds[0], COM2_LINE, QUIRE_IRQ_ISA);
	UCHECK(irq >= 0 && quire_system_ports(fds[0], COM2, COM_SIZE) == 0);
	UCHECK(FAILS_WITH(dup(fds[1]), EACCES) && FAILS_WITH(quire_endpoint_notify(fds[1], 1), EACCES));
	return 0;
}

/* What is configured for nothing has nothing. */
static int be_plain(void)
{
	if (has_descriptors(NULL, NULL, 0))
		return 1;
	UCHECK(environ[0] == NULL && getppid() > 1 && getuid() == 0);
	return 0;
}

/* Reads the log, writes to it, and has no devices. */
static int be_logger(void)
{
	int system = number("QUIRE_SYSTEM");
	struct quire_log_record record;
	UCHECK(quire_system_log_write(system, 6, "uinit: the logger was here") == 0);
	do
		UCHECK(quire_system_log_read(system, &record) == 0);
	while (!strstr(record.text, "the logger was here"));
	UCHECK(FAILS_WITH(quire_system_irq(system, COM2_LINE, QUIRE_IRQ_ISA), EACCES));
	UCHECK(FAILS_WITH(quire_system_power(system, QUIRE_POWER_OFF), EACCES));
	return 0;
}

/* Answer whoever calls with the process's number. */
static int answer(int from)
{
	int pid = getpid();
	struct quire_message m = {.len = 0};
	if (quire_endpoint_receive(from, &m, QUIRE_NOW))
		return errno;
	if (from == number("QUIRE_PING")) {
		if (m.tag != TAG_PING || m.len || write(1, "ping\n", 5) != 5)
			return EINVAL;
	} else {
		m.len = sizeof(pid);
		memcpy(m.bytes, &pid, sizeof(pid));
	}
	quire_endpoint_reply(m.reply, &m); /* EPIPE: he has gone */
	return 0;
}

/* A server as it should be: until its manager is gone. */
static int be_server(void)
{
	struct quire_wait w[] = {
	    {.fd = number("QUIRE_PING"), .mask = QUIRE_SIGNAL_READABLE | QUIRE_SIGNAL_PEER_CLOSED},
	    {.fd = number("QUIRE_KEEP"), .mask = QUIRE_SIGNAL_READABLE}};
	while (quire_object_wait(w, 2, QUIRE_NEVER) > 0)
		for (unsigned i = 0; i < 2; i++) {
			int error = w[i].signals & w[i].mask ? answer(w[i].fd) : 0;
			if (error == EPIPE)
				return 3;
			if (error && error != ETIMEDOUT)
				return 4;
		}
	return 5;
}

/* Calls the server until it has seen three of them. One that is killed while it answers is called again;
 * while there is none the call waits. */
static int be_client(void)
{
	int to = number("QUIRE_CONNECT"), last = 0, pid;
	for (unsigned seen = 0; seen < 3;) {
		struct quire_message m = {.tag = 2};
		if (quire_endpoint_call(to, &m, soon())) {
			UCHECK(errno == EPIPE);
			continue;
		}
		UCHECK(m.len == sizeof(pid));
		memcpy(&pid, m.bytes, sizeof(pid));
		seen += pid != last;
		last = pid;
	}
	return 0;
}

static int be_stubborn(void)
{
	signal(SIGTERM, SIG_IGN);
	if (write(1, "deaf\n", 5) != 5)
		return 1;
	for (;;)
		pause();
}

static int service(int argc, char **argv)
{
	const char *what = argv[1];
	if (!strcmp(what, "driver"))
		return be_driver();
	if (!strcmp(what, "plain"))
		return be_plain();
	if (!strcmp(what, "logger"))
		return be_logger();
	if (!strcmp(what, "server"))
		return be_server();
	if (!strcmp(what, "client"))
		return be_client();
	if (!strcmp(what, "stubborn"))
		return be_stubborn();
	if (!strcmp(what, "exit"))
		return argc > 2 ? atoi(argv[2]) : 1;
	if (!strcmp(what, "crash"))
		raise(SIGSEGV);
	for (;;) /* hang */
		pause();
}

/* --- the manager --- */

/* Start it on a configuration. */
static pid_t manage(const char *text)
{
	char number_of[24];
	char *argv[] = {"init", "--services", conf, address, NULL}, *envp[] = {number_of, NULL};
	pid_t pid;
	int fd = open(conf, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	unlink(address);
	unlink(out);
	snprintf(number_of, sizeof(number_of), "QUIRE_SYSTEM=%d", 3);
	const struct quire_gift gifts[] = {{1, 1, QUIRE_RIGHT_WRITE}, {1, 2, QUIRE_RIGHT_WRITE},
	    {root, 3, (unsigned)quire_rights_get(root)}};
	int program = open("/sbin/init", O_RDONLY | O_CLOEXEC);
	int process = written ? quire_spawn("init", program, argv, envp, gifts, 3, &pid) : -1;
	close(program);
	close(process);
	return process < 0 ? -1 : pid;
}

static bool ends_with(pid_t pid, int status)
{
	int got = -1;
	while (waitpid(pid, &got, 0) < 0 && errno == EINTR)
		;
	return got == status;
}

/* Its services go with it. */
static bool ends_in_order(pid_t manager)
{
	return kill(manager, SIGTERM) == 0 && ends_with(manager, 0);
}

/* Ask it something; the answer's text. "": there is none. */
static const char *ask(const char *request)
{
	static char text[8192];
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	strcpy(to.sun_path, address);
	ssize_t n = -1;
	if (!connect(fd, (struct sockaddr *)&to, sizeof(to)) &&
	    send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
		n = recv(fd, text, sizeof(text) - 1, 0);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return text;
}

/* The answer comes to contain a text. */
static bool comes_to(const char *request, const char *wanted)
{
	for (uint64_t end = seconds() + BOUND; seconds() < end; rest())
		if (strstr(ask(request), wanted))
			return true;
	printf("# %s: %s", request, ask(request));
	return false;
}

static int number_after(const char *text, const char *before)
{
	const char *at = strstr(text, before);
	return at ? atoi(at + strlen(before)) : -1;
}

/* The process of a service that runs, other than `old`. */
static pid_t process_of(const char *request, pid_t old)
{
	for (uint64_t end = seconds() + BOUND; seconds() < end; rest()) {
		pid_t pid = number_after(ask(request), "runs, pid ");
		if (pid > 0 && pid != old)
			return pid;
	}
	printf("# %s: %s", request, ask(request));
	return -1;
}

/* It comes to have been started again this often. */
static bool restarts_reach(const char *request, int n)
{
	for (uint64_t end = seconds() + BOUND; seconds() < end; rest())
		if (number_after(ask(request), "again ") >= n)
			return true;
	printf("# %s: %s", request, ask(request));
	return false;
}

/* What services have written comes to contain a text this often. */
static bool is_written(const char *wanted, unsigned times)
{
	char text[4096];
	for (uint64_t end = seconds() + BOUND; seconds() < end; rest()) {
		int fd = open(out, O_RDONLY);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
		close(fd);
		text[n > 0 ? n : 0] = 0;
		unsigned found = 0;
		for (const char *at = text; (at = strstr(at, wanted)); at++)
			found++;
		if (found >= times)
			return true;
	}
	return false;
}

/* The log comes to have a line with both. */
static bool is_logged(const char *one, const char *other)
{
	struct quire_wait w = {.fd = reader, .mask = QUIRE_SIGNAL_HAS_LOG};
	struct quire_log_record record;
	for (uint64_t end = soon(); seconds() * 1000000000ULL < end;) {
		if (!quire_system_log_read(reader, &record)) {
			if (strstr(record.text, one) && strstr(record.text, other))
				return true;
		} else if (errno != EAGAIN || quire_object_wait(&w, 1, end) != 1) {
			break;
		}
	}
	printf("# not logged: %s ... %s\n", one, other);
	return false;
}

static const char *with_output(const char *format)
{
	static char text[4096];
	snprintf(text, sizeof(text), format, out, out, out);
	return text;
}

static void show_output(void)
{
	char text[1024];
	int fd = open(out, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	fputs(text, stdout);
}

/* --- the tests --- */

static bool is_done(const char *request)
{
	bool done = comes_to(request, " is done");
	if (!done)
		show_output();
	return done;
}

static bool has_just_what_it_needs(void)
{
	pid_t m = manage(with_output(
	    "service com2 { # the second serial port\n"
	    "  program /bin/uinit\n  argument driver\n  output %s\n"
	    "  irq 3\n  ports 0x2f8 8\n  ping 50s\n  keep endpoint\n"
	    "  environment \"COLOUR=dark blue\"\n  restart 1s 1s 1s\n}\n"
	    "service plain {\n program /bin/uinit\n argument plain\n output %s\n restart 1s 1s 1s\n}\n"
	    "service logger {\n program /bin/uinit\n argument logger\n output %s\n log write read\n"
	    " restart 1s 1s 1s\n}\n"));
	CHECK(m > 0 && is_done("status com2") && is_done("status plain") && is_done("status logger"));
	return ends_in_order(m);
}

static bool starts_again_what_crashes(void)
{
	pid_t m =
	    manage("service crash {\n program /bin/uinit\n argument crash\n restart 1ms 8ms 3600s\n}\n"
		   "service fails {\n program /bin/uinit\n argument exit 7\n restart 1ms 8ms 3600s\n}\n");
	CHECK(m > 0 && restarts_reach("status crash", 6) && restarts_reach("status fails", 6));
	CHECK(
	    strstr(ask("status crash"), "was ended by signal 11") && strstr(ask("status fails"), "status 7"));
	CHECK(is_logged("service crash[", "was ended by signal 11 (Segmentation fault): start 2, in 0 ms"));
	CHECK(is_logged("service crash[", ": start 3, in 1 ms"));
	CHECK(is_logged("service crash[", ": start 5, in 4 ms"));
	CHECK(is_logged("service crash[", ": start 6, in 8 ms")); /* and no longer */
	return ends_in_order(m);
}

static bool kills_what_does_not_answer(void)
{
	pid_t m = manage(
	    "service hang {\n program /bin/uinit\n argument hang\n ping 20ms\n restart 1ms 1ms 3600s\n}\n");
	pid_t first = process_of("status hang", 0);
	CHECK(m > 0 && first > 0 && process_of("status hang", first) > 0);
	CHECK(restarts_reach("status hang", 5));
	CHECK(strstr(ask("status hang"), "it last did not answer within 20 ms"));
	CHECK(is_logged("service hang[", "did not answer within 20 ms: start 2, in 0 ms"));
	return ends_in_order(m);
}

static const char server_conf[] = "service server {\n program /bin/uinit\n argument server\n keep endpoint\n"
				  " ping 50s\n restart 1ms 1ms 0s\n output %s\n}\n";

static bool comes_back_each_time(void)
{
	pid_t m = manage(with_output(server_conf)), pid = 0;
	for (int i = 0; i <= KILLS; i++) {
		pid = process_of("status server", pid);
		CHECK(pid > 0);
		if (i < KILLS)
			CHECK(kill(pid, SIGKILL) == 0);
	}
	CHECK(number_after(ask("status server"), "again ") == KILLS);
	CHECK(strstr(ask("status"), "was ended by signal 9"));
	return ends_in_order(m);
}

static const char com2_conf[] =
    "service com2 {\n program /service/serial\n irq 3\n ports 0x2f8 8\n keep tty 1\n"
    " ping 50s\n restart 1ms 1ms 0s\n}\n";

static bool has_com2(void)
{
	enum { SCRATCH = COM2 + 7, ANYTHING = 0x5a };
	if (quire_system_ports(root, COM2, COM_SIZE))
		return false;
	outb(ANYTHING, SCRATCH);
	return inb(SCRATCH) == ANYTHING;
}

/* What is written while there is no driver waits for the next one. */
static bool drains(int tty)
{
	struct termios t;
	CHECK(write(tty, "to nobody\n", 10) == 10 && tcdrain(tty) == 0);
	return tcgetattr(tty, &t) == 0 && cfgetospeed(&t) == B19200;
}

/* The terminal is the manager's: who has it open does not notice that drivers are killed. */
static bool keeps_a_terminal(void)
{
	if (!has_com2())
		return true;
	pid_t m = manage(com2_conf), pid = 0;
	CHECK(m > 0 && comes_to("status com2", "com2"));
	int tty = open("/dev/ttyS1", O_RDWR | O_NOCTTY);
	struct termios t;
	CHECK(tty >= 0 && tcgetattr(tty, &t) == 0);
	cfsetspeed(&t, B19200);
	CHECK(tcsetattr(tty, TCSANOW, &t) == 0);
	for (int i = 0; i < KILLS; i++) {
		pid = process_of("status com2", pid);
		CHECK(pid > 0 && drains(tty) && kill(pid, SIGKILL) == 0);
	}
	CHECK(ends_in_order(m));
	struct pollfd p = {.fd = tty};
	CHECK(poll(&p, 1, BOUND * 1000) == 1 && (p.revents & POLLHUP) && write(tty, "x", 1) < 0 &&
	      errno == EIO);
	close(tty);
	return access("/dev/ttyS1", F_OK) != 0;
}

/* An empty answer is enough, and it is asked again and again. */
static bool asks_whether_it_is_well(void)
{
	pid_t m = manage(with_output(
	    "service server {\n program /bin/uinit\n argument server\n keep endpoint\n ping 500ms\n"
	    " restart 1ms 1ms 0s\n output %s\n}\n"));
	CHECK(m > 0 && is_written("ping\n", 3));
	return ends_in_order(m);
}

static bool clients_notice_nothing(void)
{
	char text[2048];
	snprintf(text, sizeof(text), "%s%s", server_conf,
	    "service client {\n program /bin/uinit\n argument client\n connect server\n output %s\n restart 1s 1s 1s\n}\n");
	pid_t m = manage(with_output(text)), pid = 0;
	while (!strstr(ask("status client"), "is done")) {
		pid = process_of("status server", pid);
		CHECK(pid > 0 && kill(pid, SIGKILL) == 0 && process_of("status server", pid) > 0);
	}
	CHECK(number_after(ask("status client"), "again ") == 0);
	return ends_in_order(m);
}

static bool gives_up_in_time(void)
{
	pid_t m = manage("service missing {\n program /bin/uinit\n argument exit 6\n}\n"
			 "service busy {\n program /bin/uinit\n argument exit 16\n restart 1ms 1ms 3600s\n}\n"
			 "service absent {\n program /bin/nothing\n}\n"
			 "service text {\n program /proc/version\n}\n"
			 "service works {\n program /bin/uinit\n argument hang\n}\n");
	CHECK(m > 0 && comes_to("status missing", "missing has failed"));
	CHECK(comes_to("status busy", "busy has failed") && number_after(ask("status busy"), "again ") == 10);
	CHECK(comes_to("status absent", "absent has failed") && comes_to("status text", "text has failed"));
	CHECK(process_of("status works", 0) > 0);
	CHECK(strstr(ask("restart missing"), "missing ")); /* again, once */
	CHECK(comes_to("status missing", "missing has failed"));
	CHECK(strstr(ask("start absent"), "(/bin/nothing: No such file or directory)"));
	return ends_in_order(m);
}

static bool is_steered(void)
{
	pid_t m =
	    manage(with_output("service works {\n program /bin/uinit\n argument hang\n}\n"
			       "service deaf {\n program /bin/uinit\n argument stubborn\n output %s\n}\n"));
	pid_t pid = process_of("status works", 0);
	CHECK(m > 0 && pid > 0 && is_written("deaf\n", 1));
	CHECK(
	    strstr(ask("stop works"), "0works stopped, started again 0 times; it last was ended by signal "));
	CHECK(FAILS_WITH(kill(pid, 0), ESRCH));
	CHECK(!strncmp(ask("stop works"), "0works stopped", 14) &&
	      !strncmp(ask("start works"), "0works runs", 11));
	pid = process_of("status works", 0);
	CHECK(!strncmp(ask("start works"), "0works runs", 11) && process_of("status works", 0) == pid);
	CHECK(!strncmp(ask("restart works"), "0works runs", 11) && process_of("status works", 0) != pid);
	CHECK(strstr(ask("stop deaf"), "was ended by signal 9")); /* in the end */
	CHECK(!strncmp(ask("stop nobody"), "1there is no such", 17) &&
	      !strncmp(ask("dance works"), "1what", 5));
	CHECK(!strncmp(ask("stop"), "1which", 6) && !strncmp(ask(" "), "1which", 6));
	return ends_in_order(m);
}

static int asks_as_somebody(void *arg)
{
	(void)arg;
	if (setgid(65534) || setuid(65534))
		return 1;
	UCHECK(strstr(ask("status works"), "works runs"));
	UCHECK(!strcmp(ask("stop works"), "1only user 0 may do that\n"));
	return 0;
}

static int runs_tool(void *arg)
{
	char variable[80];
	char *const *words = arg, *envp[] = {variable, NULL};
	snprintf(variable, sizeof(variable), "QUIRE_CONTROL=%s", address);
	execve("/bin/service", words, envp);
	return 99;
}

/* Those who only connect keep nobody else from it. */
static bool is_seen_by_all(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int idle[10];
	pid_t m = manage("service works {\n program /bin/uinit\n argument hang\n}\n");
	pid_t pid = process_of("status works", 0);
	CHECK(m > 0 && pid > 0 && child_exits(asks_as_somebody, NULL, 0) &&
	      process_of("status works", 0) == pid);
	strcpy(to.sun_path, address);
	for (unsigned i = 0; i < 10; i++) {
		idle[i] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		CHECK(idle[i] >= 0 && !connect(idle[i], (struct sockaddr *)&to, sizeof(to)));
		CHECK(strstr(ask("status works"), "works runs"));
	}
	CHECK(child_exits(runs_tool, (char *[]){"service", "stop", "works", NULL}, 0));
	CHECK(child_exits(runs_tool, (char *[]){"service", "start", "works", NULL}, 0));
	CHECK(child_exits(runs_tool, (char *[]){"service", "stop", "nobody", NULL}, 1));
	CHECK(child_exits(runs_tool, (char *[]){"service", "--help", NULL}, 2));
	for (unsigned i = 0; i < 10; i++)
		close(idle[i]);
	return ends_in_order(m);
}

/* The manager's end is seen at the other end of its pings. */
static bool services_see_its_end(void)
{
	pid_t m = manage(with_output(server_conf)), pid = process_of("status server", 0);
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {.fd = process, .events = POLLIN};
	CHECK(m > 0 && pid > 0 && process >= 0 && kill(m, SIGKILL) == 0 && ends_with(m, SIGKILL));
	CHECK(poll(&p, 1, BOUND * 1000) == 1 && quire_process_status(process) == 3 << 8);
	close(process);
	return true;
}

static bool refuses_bad_configurations(void)
{
	static const struct {
		const char *text, *line, *what;
	} bad[] = {{"\nservices x {\n", ".conf:2: ", "there is no such directive: services"},
	    {"service x {\n irq many\n}\n", ".conf:2: ", "this is no such number: many"},
	    {"service x {\n\n}\nservice x {\n}\n", ".conf:4: ", "there is a service of this name: x"},
	    {"service x {\n", ".conf:1: ", "the block is not closed: x"}};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		pid_t m = manage(bad[i].text);
		CHECK(m > 0 && ends_with(m, 1 << 8) && is_logged(bad[i].line, bad[i].what));
	}
	return true;
}

static const struct utest tests[] = {
    {"a service has just what it needs", has_just_what_it_needs},
    {"what crashes is started again, ever later", starts_again_what_crashes},
    {"what does not answer is killed", kills_what_does_not_answer},
    {"what is killed is back each time", comes_back_each_time},
    {"who has a terminal does not notice that its driver was killed", keeps_a_terminal},
    {"services are asked whether they are well", asks_whether_it_is_well},
    {"what is kept hides from clients that a service was killed", clients_notice_nothing},
    {"what cannot work is left alone", gives_up_in_time},
    {"services are stopped and started as they are told", is_steered},
    {"everybody may look, and nobody can be kept from it", is_seen_by_all},
    {"services see the end of their manager", services_see_its_end},
    {"bad configurations are told by their lines", refuses_bad_configurations},
};

int main(int argc, char **argv)
{
	if (argc > 1)
		return service(argc, argv);
	root = system_given();
	reader = (int)quire_system_carve(root, &(struct quire_scope){.irqs = {0, 0}});
	if (!utest_proc() || reader < 0)
		return 1;
	utest_file(conf, "services.conf");
	utest_file(out, "output");
	utest_file(address, "socket");
	return UTEST_RUN(tests);
}
