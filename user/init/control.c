/*
 * control.c - see and steer services: the other side of user/service.c.
 *
 * A socket of whole messages (SOCK_SEQPACKET). One comes, "VERB [NAME]"; one goes: "0" or "1" for whether it
 * worked, and a text. Everybody may see, user 0 may steer. Who steers is answered when the service has become
 * what it was told to be.
 */
#define _GNU_SOURCE
#include "init.h"
#include "service.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS = CONTROL_POLLS - 1, REQUEST = 64, ANSWER = 8192, LISTENING = CLIENTS };

static struct client {
	int fd; /* -1: nobody */
	struct service
	    *waiting; /* it is answered when this one is no longer in between; NULL: it has not asked */
} clients[CLIENTS] = {{-1, NULL}, {-1, NULL}, {-1, NULL}, {-1, NULL}};
static int listening = -1;

void control_begin(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink(path);
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !chmod(path, 0666) &&
	    !listen(fd, CLIENTS)) {
		listening = fd;
		return;
	}
	say(SAY_WARNING, "cannot listen at %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void control_end(void)
{
	for (struct client *c = clients; c < clients + CLIENTS; c++)
		if (c->fd >= 0)
			close(c->fd);
	if (listening >= 0)
		close(listening);
}

static void answer(struct client *c, bool worked, const char *text)
{
	static char message[ANSWER];
	int n = snprintf(message, sizeof(message), "%c%s", worked ? '0' : '1', text);
	if (n >= (int)sizeof(message))
		n = sizeof(message) - 1;
	send(c->fd, message, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL); /* who does not take it has not asked */
	close(c->fd);
	*c = (struct client){.fd = -1};
}

static const char *describe(const struct service *s, char *out, size_t size)
{
	static const char *const states[] = {
	    "stopped", "waits", "runs", "is stopped", "is done", "has failed"};
	bool runs = s->state == SERVICE_RUNNING || s->state == SERVICE_STOPPING;
	int n = snprintf(out, size, "%s %s", s->config->name, states[s->state]);
	if (runs && n < (int)size)
		n += snprintf(out + n, size - (size_t)n, ", pid %d", (int)s->pid);
	if (n < (int)size)
		n += snprintf(out + n, size - (size_t)n, ", started again %u times", s->restarts);
	if (*s->why && n < (int)size)
		snprintf(out + n, size - (size_t)n, "; it last %s", s->why);
	return out;
}

static void tell_status(struct client *c, const struct service *one)
{
	static char text[ANSWER];
	char line[256];
	struct service *s;
	size_t n = 0;
	for (unsigned i = 0; (s = service_at(i)) && n < sizeof(text); i++)
		if (!one || s == one)
			n += (size_t)snprintf(
			    text + n, sizeof(text) - n, "%s\n", describe(s, line, sizeof(line)));
	text[n < sizeof(text) ? n : sizeof(text) - 1] = 0;
	answer(c, true, text);
}

static bool may_steer(int fd)
{
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t n = sizeof(who);
	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) && who.uid == 0;
}

static void steer(struct client *c, const char *verb, struct service *s)
{
	if (!may_steer(c->fd))
		answer(c, false, "only user 0 may do that\n");
	else if (!strcmp(verb, "start"))
		service_start(s);
	else if (!strcmp(verb, "stop"))
		service_stop(s, false);
	else if (!strcmp(verb, "restart"))
		service_stop(s, true);
	else
		answer(c, false, "what can be asked for is status, start, stop and restart\n");
	c->waiting = c->fd >= 0 ? s : NULL;
}

static void take_request(struct client *c)
{
	char text[REQUEST], *rest;
	ssize_t n = recv(c->fd, text, sizeof(text) - 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	text[n > 0 ? n : 0] = 0;
	const char *verb = strtok_r(text, " \n", &rest), *name = strtok_r(NULL, " \n", &rest);
	struct service *s = name ? service_find(name) : NULL;
	if (name && !s)
		answer(c, false, "there is no such service\n");
	else if (verb && !strcmp(verb, "status"))
		tell_status(c, s);
	else if (verb && s)
		steer(c, verb, s);
	else
		answer(c, false, "which service?\n");
}

/* A place for one more: a free one, else that of somebody who has not asked yet; NULL: all wait for us. */
static struct client *find_place(void)
{
	static unsigned turn;
	for (unsigned i = 0; i < CLIENTS; i++)
		if (clients[i].fd < 0)
			return &clients[i];
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[turn++ % CLIENTS];
		if (!c->waiting)
			return c;
	}
	return NULL;
}

/* Who asks at once is heard before anybody else can take his place. */
static void take_clients(void)
{
	struct client *c;
	int fd;
	while (
	    (c = find_place()) && (fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (c->fd >= 0)
			close(c->fd);
		*c = (struct client){.fd = fd};
		take_request(c);
	}
}

/* Who waits for an answer may go, which is all that is looked for. */
void control_fill(struct pollfd p[CONTROL_POLLS])
{
	bool room = false;
	for (unsigned i = 0; i < CLIENTS; i++) {
		p[i] = (struct pollfd){.fd = clients[i].fd, .events = clients[i].waiting ? 0 : POLLIN};
		room |= !clients[i].waiting;
	}
	p[LISTENING] = (struct pollfd){.fd = room ? listening : -1, .events = POLLIN};
}

/* Those whose services have become what they are to be; or who are gone. */
static void answer_waiting(void)
{
	char line[256];
	for (struct client *c = clients; c < clients + CLIENTS; c++) {
		const struct service *s = c->waiting;
		if (s && s->state != SERVICE_STOPPING && (s->state != SERVICE_WAITING || s->due)) {
			describe(s, line, sizeof(line) - 1);
			answer(c, s->state != SERVICE_FAILED, strcat(line, "\n"));
		}
	}
}

void control_turn(const struct pollfd p[CONTROL_POLLS])
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];
		if (c->fd < 0 || p[i].fd != c->fd || !p[i].revents)
			continue;
		if (!c->waiting) {
			take_request(c);
		} else {
			close(c->fd);
			*c = (struct client){.fd = -1};
		}
	}
	if (p[LISTENING].revents)
		take_clients();
	answer_waiting();
}
