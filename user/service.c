/*
 * service.c - see and steer the services that init minds: docs/init.md.
 *
 *	service [status [NAME]]
 *	service start|stop|restart NAME
 *
 * It says what init answers (user/init/control.c) and exits with 0, or 1 if that did not work.
 */
#include <errno.h>
#include <quire/guard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

QUIRE_GUARDED(15); /* QUIRE_GUARD_ALL */

enum { EXIT_USAGE = 2, REQUEST = 63, ANSWER = 8192 };

static int usage(void)
{
	fprintf(stderr, "usage: service [status [NAME]]\n"
			"       service start|stop|restart NAME\n");
	return EXIT_USAGE;
}

static int connect_to_init(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("QUIRE_CONTROL"); /* another than the machine's: for tests */
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path ? path : "/run/service.socket");
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	fprintf(stderr, "service: cannot reach init at %s: %s\n", address.sun_path, strerror(errno));
	return -1;
}

int main(int argc, char **argv)
{
	static char text[ANSWER];
	const char *verb = argc > 1 ? argv[1] : "status", *name = argc > 2 ? argv[2] : "";
	if (argc > 3 || *verb == '-' || strlen(verb) + 1 + strlen(name) > REQUEST)
		return usage();
	int fd = connect_to_init();
	if (fd < 0)
		return EXIT_FAILURE;
	int n = snprintf(text, sizeof(text), "%s %s", verb, name);
	ssize_t got = -1;
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) == n)
		do
			got = recv(fd, text, sizeof(text) - 1, 0);
		while (got < 0 && errno == EINTR);
	if (got <= 0) {
		fprintf(stderr, "service: init does not answer\n");
		return EXIT_FAILURE;
	}
	text[got] = 0;
	fputs(text + 1, *text == '0' ? stdout : stderr);
	return *text == '0' ? EXIT_SUCCESS : EXIT_FAILURE;
}
