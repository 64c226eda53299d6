/*
 * spawn.c - start the program of a service. It gets descriptors 0, 1 and 2, from 3 on what it is configured
 * for, each told by a variable, and nothing else: the process is no copy of this one.
 */
#define _GNU_SOURCE
#include "fbcon/place.h"
#include "init.h"
#include "service.h"
#include <errno.h>
#include <fcntl.h>
#include <quire/calls.h>
#include <quire/spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	STANDARD = 3,
	GIFTS = 8,     /* the standard ones, QUIRE_SYSTEM, _REGISTERS, _PING, _KEEP, _CONNECT */
	VARIABLE = 24, /* characters: QUIRE_REGISTERS=4 */
	/* A file that init has opened for it. */
	FILE_RIGHTS = QUIRE_RIGHTS_ALL & ~QUIRE_RIGHT_EXEC,
	RECEIVES = QUIRE_RIGHT_READ | QUIRE_RIGHT_WAIT | QUIRE_RIGHT_INSPECT,
	SENDS = QUIRE_RIGHT_WRITE | QUIRE_RIGHT_WAIT | QUIRE_RIGHT_INSPECT,
	DRIVES = RECEIVES | SENDS | QUIRE_RIGHT_MANAGE, /* the device's side of a terminal */
};

/* What a process is about to be given. */
struct parcel {
	struct quire_gift gifts[GIFTS];
	unsigned n;
	unsigned ours; /* by bit: this descriptor is to be closed afterwards */
	char variables[GIFTS][VARIABLE];
	char *environment[LINE_WORDS + GIFTS + 1];
	unsigned nvariables;
};

/* Rights that the descriptor does not have cannot be given. */
static void give(struct parcel *p, int fd, unsigned rights, bool ours)
{
	p->gifts[p->n] = (struct quire_gift){fd, (int)p->n, rights & (unsigned)quire_rights_get(fd)};
	p->ours |= (unsigned)ours << p->n++;
}

static void give_named(struct parcel *p, const char *name, int fd, unsigned rights, bool ours)
{
	char *variable = p->variables[p->n];
	snprintf(variable, VARIABLE, "QUIRE_%s=%u", name, p->n);
	p->environment[p->nvariables++] = variable;
	give(p, fd, rights, ours);
}

static bool give_standard(struct parcel *p, const struct service_config *c)
{
	for (int i = 0; i < STANDARD; i++) {
		int fd = open(i ? c->output : c->input,
		    (i ? O_WRONLY | O_CREAT | O_APPEND : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
		if (fd < 0)
			return false;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
		give(p, fd, FILE_RIGHTS, true);
	}
	return true;
}

static bool give_scope(struct parcel *p, const char *name, const struct quire_scope *scope, unsigned rights)
{
	int fd = (int)quire_system_carve(system_object, scope);
	if (fd < 0)
		return false;
	give_named(p, name, fd, rights | QUIRE_RIGHT_INSPECT, true);
	return true;
}

/* Its memory is the screen's, and the display's registers are another object, since a scope has one range. */
static bool find_screen(struct quire_scope *scope, struct quire_scope *registers)
{
	struct screen_place place;
	errno = ENODEV;
	if (!screen_place(&place))
		return false;
	scope->memory = (struct quire_range){place.memory, place.len};
	registers->memory = (struct quire_range){place.registers, place.registers_len};
	return true;
}

/* A system object for its devices, with what rights they take. */
static bool give_system(struct parcel *p, const struct service_config *c)
{
	struct quire_scope scope = c->scope, registers = {{0, 0}, {0, 0}, {0, 0}};
	unsigned rights = 0;
	if (c->screen && !find_screen(&scope, &registers))
		return false;
	if (scope.irqs.count || scope.ports.count || scope.memory.count)
		rights |= QUIRE_RIGHT_MAP;
	if (c->log_read)
		rights |= QUIRE_RIGHT_READ | QUIRE_RIGHT_WAIT;
	rights |= c->log_write ? QUIRE_RIGHT_WRITE : 0;
	rights |= c->power ? QUIRE_RIGHT_MANAGE : 0;
	return (!rights || give_scope(p, "SYSTEM", &scope, rights)) &&
	       (!registers.memory.count || give_scope(p, "REGISTERS", &registers, QUIRE_RIGHT_MAP));
}

/* *to: our end. */
static bool give_ping(struct parcel *p, const struct service_config *c, int *to)
{
	int ends[2];
	if (!c->ping)
		return true;
	if (quire_endpoint_create(ends, 0))
		return false;
	*to = ends[1];
	give_named(p, "PING", ends[0], RECEIVES, true);
	return true;
}

bool keep_make(struct service *s)
{
	s->kept[0] = s->kept[1] = -1;
	if (s->config->keep == KEEP_ENDPOINT)
		return !quire_endpoint_create(s->kept, 0);
	if (s->config->keep == KEEP_TTY)
		s->kept[0] = (int)quire_ttyport_create(system_object, s->config->tty);
	return s->config->keep != KEEP_TTY || s->kept[0] >= 0;
}

static void give_kept(struct parcel *p, const struct service_config *c, const struct service *s)
{
	const struct service *peer = c->connect ? service_find(c->connect) : NULL;
	if (c->keep != KEEP_NOTHING)
		give_named(p, "KEEP", s->kept[0], c->keep == KEEP_TTY ? DRIVES : RECEIVES, false);
	if (peer)
		give_named(p, "CONNECT", peer->kept[1], SENDS, false);
}

static bool pack(struct parcel *p, const struct service *s, int *to)
{
	const struct service_config *c = s->config;
	while (c->environment[p->nvariables]) {
		p->environment[p->nvariables] = c->environment[p->nvariables];
		p->nvariables++;
	}
	if (!give_standard(p, c) || !give_system(p, c) || !give_ping(p, c, to))
		return false;
	give_kept(p, c, s);
	return true;
}

/* As the kernel asks for: a program is read by a descriptor that was opened. */
static int open_program(const char *program, int archive)
{
	char path[sizeof("service/") + CONFIG_NAME];
	if (*program == '/')
		return open(program, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	snprintf(path, sizeof(path), "service/%s", program);
	return openat(archive, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

int service_spawn(struct service *s, int archive)
{
	const struct service_config *c = s->config;
	struct parcel p = {.n = 0};
	int to = -1, process = -1, error = 0, program = open_program(c->program, archive);
	if (program >= 0 && pack(&p, s, &to))
		process = quire_spawn(c->name, program, c->arguments, p.environment, p.gifts, p.n, &s->pid);
	if (process < 0)
		error = errno;
	for (unsigned i = 0; i < p.n; i++)
		if (p.ours >> i & 1)
			close(p.gifts[i].fd);
	if (program >= 0)
		close(program);
	if (error) {
		if (to >= 0)
			close(to);
		return error;
	}
	s->runs++;
	if (to < 0)
		close(process);
	else if (!ping_begin(&s->ping, c->ping, process, to, s->runs))
		say(SAY_WARNING, "no memory to ask %s[%d] whether it is well", c->name, (int)s->pid);
	return 0;
}
