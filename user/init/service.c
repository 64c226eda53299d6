/* service.c - when services are started, stopped and started again: service.h. */
#include "service.h"
#include "init.h"
#include "restart.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum {
	STOP_MS = 2000,  /* between SIGTERM and SIGKILL */
	BUSY_TRIES = 10, /* then a device that somebody else has is left to him */
};

static struct service services[CONFIG_SERVICES];
static unsigned count;
static int programs; /* the archive */

struct service *service_at(unsigned n)
{
	return n < count ? &services[n] : NULL;
}

struct service *service_find(const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(services[i].config->name, name))
			return &services[i];
	return NULL;
}

/* --- ends --- */

static void give_up(struct service *s, const char *because)
{
	s->state = SERVICE_FAILED;
	say(SAY_ERROR, "service %s %s and is not started again: %s", s->config->name, s->why, because);
}

static void start_later(struct service *s, uint64_t now, uint64_t ran)
{
	uint32_t delay = restart_delay(&s->config->restart, &s->tries, ran);
	s->state = SERVICE_WAITING;
	s->due = now + delay;
	s->restarts++;
	say(SAY_WARNING, "service %s[%d] %s: start %u, in %u ms", s->config->name, (int)s->pid, s->why,
	    s->restarts + 1, delay);
}

static void tell_why(struct service *s, int status)
{
	if (ping_was_bad(&s->ping, s->runs) && s->config->ping)
		snprintf(s->why, sizeof(s->why), "did not answer within %u ms", s->config->ping);
	else if (WIFSIGNALED(status))
		snprintf(s->why, sizeof(s->why), "was ended by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		snprintf(s->why, sizeof(s->why), "exited with status %d", WEXITSTATUS(status));
}

static void was_stopped(struct service *s)
{
	say(SAY_INFO, "service %s[%d] was stopped", s->config->name, (int)s->pid);
	s->state = SERVICE_STOPPED;
	if (s->again)
		service_start(s);
}

static void has_ended(struct service *s, int status, uint64_t now)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	tell_why(s, status);
	if (s->state == SERVICE_STOPPING) {
		was_stopped(s);
	} else if (code == 0) {
		s->state = SERVICE_DONE;
		say(SAY_INFO, "service %s[%d] is done", s->config->name, (int)s->pid);
	} else if (code == ENXIO || code == ENODEV) {
		give_up(s, "its device is missing");
	} else if (code == EBUSY && s->tries >= BUSY_TRIES) {
		give_up(s, "its device is busy");
	} else {
		start_later(s, now, now - s->started);
	}
}

bool services_reaped(pid_t pid, int status, uint64_t now)
{
	for (struct service *s = services; s < services + count; s++)
		if (s->pid == pid && (s->state == SERVICE_RUNNING || s->state == SERVICE_STOPPING)) {
			has_ended(s, status, now);
			return true;
		}
	return false;
}

/* --- starts --- */

/* May it work the next time? Else what is configured is wrong, or not there. */
static bool is_passing(int error)
{
	return error == ENOMEM || error == EAGAIN || error == EMFILE || error == ENFILE || error == EBUSY ||
	       error == ETXTBSY || error == EINTR;
}

static void start_now(struct service *s, uint64_t now)
{
	int error = service_spawn(s, programs);
	if (!error) {
		s->state = SERVICE_RUNNING;
		s->started = now;
		return;
	}
	snprintf(s->why, sizeof(s->why), "cannot be started (%s: %s)", s->config->program, strerror(error));
	s->pid = 0;
	if (is_passing(error))
		start_later(s, now, 0);
	else
		give_up(s, "that would not help");
}

void service_start(struct service *s)
{
	if (s->state == SERVICE_STOPPING)
		s->again = true;
	if (s->state == SERVICE_RUNNING || s->state == SERVICE_STOPPING)
		return;
	s->tries = 0;
	s->state = SERVICE_WAITING;
	s->due = 0;
}

void service_stop(struct service *s, bool again)
{
	s->again = again;
	if (s->state == SERVICE_RUNNING) {
		s->state = SERVICE_STOPPING;
		s->due = now_ms() + STOP_MS;
		kill(s->pid, SIGTERM);
		kill(s->pid, SIGCONT);
	} else if (s->state != SERVICE_STOPPING) {
		s->state = SERVICE_STOPPED;
		if (again)
			service_start(s);
	}
}

void services_turn(uint64_t now)
{
	for (struct service *s = services; s < services + count; s++) {
		if (s->state == SERVICE_WAITING && s->due <= now)
			start_now(s, now);
		if (s->state == SERVICE_STOPPING && s->due <= now) {
			kill(s->pid, SIGKILL);
			s->due = NEVER;
		}
	}
}

uint64_t services_due(void)
{
	uint64_t due = NEVER;
	for (struct service *s = services; s < services + count; s++)
		if ((s->state == SERVICE_WAITING || s->state == SERVICE_STOPPING) && s->due < due)
			due = s->due;
	return due;
}

bool services_live(void)
{
	for (struct service *s = services; s < services + count; s++)
		if (s->state == SERVICE_WAITING || s->state == SERVICE_RUNNING ||
		    s->state == SERVICE_STOPPING)
			return true;
	return false;
}

void services_stop(void)
{
	for (struct service *s = services; s < services + count; s++)
		service_stop(s, false);
}

void services_begin(const struct config *c, int archive)
{
	programs = archive;
	count = c->nservices;
	for (unsigned i = 0; i < count; i++) {
		struct service *s = &services[i];
		s->config = &c->services[i];
		if (keep_make(s)) {
			service_start(s);
			continue;
		}
		snprintf(s->why, sizeof(s->why), "cannot be started (%s)", strerror(errno));
		give_up(s, "what it keeps cannot be made");
	}
	services_turn(now_ms());
}
