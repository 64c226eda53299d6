/*
 * serve.c - the guest's side of the conversation with the launcher: see launcher.h.
 *
 * A part of main.c's loop over poll(2). Input streams are buffered up to WINDOW, which is all that the
 * launcher may send ahead; output is read from the command only while there is credit, and written to the
 * port at once, which the launcher always drains. So a full buffer anywhere just stops the stream that it
 * belongs to.
 *
 * When the command has ended, what it left in its pipes is still told, as far as credit and the pipes'
 * contents go; processes that it left behind do not keep the machine.
 */
#define _GNU_SOURCE
#include "launcher.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 32 << 10, PORT = 3, MAX_STRINGS = 1 << 20, PROTOCOL_ERROR = 125 };

struct output {
	size_t credit; /* bytes that may be sent */
	bool open;     /* END or CLOSED was not said yet */
};

struct server {
	int port;
	bool over; /* the launcher is gone, or there is nothing to say any more */
	bool started;
	struct request request;
	struct job job;
	struct output output[3]; /* 1 and 2 */
	uint8_t *input;          /* [0, nin): bytes for the command, a ring of WINDOW */
	size_t in_first, nin;
	bool in_ended; /* END 0 has come */
	uint8_t frame[FRAME_HEADER + FRAME_MAX];
	size_t nframe; /* bytes of it that are there */
};

static struct server server;

/* --- sending --- */

/* Everything, whatever it takes: the launcher always reads. */
static void put(struct server *s, const void *data, size_t n)
{
	for (const char *p = data; n && !s->over;) {
		ssize_t done = write(s->port, p, n);
		if (done > 0) {
			p += done;
			n -= (size_t)done;
		} else if (done < 0 && errno == EAGAIN) {
			struct pollfd room = {.fd = s->port, .events = POLLOUT};
			poll(&room, 1, -1);
		} else if (done == 0 || errno != EINTR) {
			s->over = true;
		}
	}
}

static void send(struct server *s, enum frame_type type, int stream, const void *payload, size_t n)
{
	uint8_t frame[FRAME_HEADER + CHUNK] = {(uint8_t)type, (uint8_t)stream};
	uint32_t length = (uint32_t)n;
	memcpy(frame + 4, &length, sizeof(length));
	if (n)
		memcpy(frame + FRAME_HEADER, payload, n);
	put(s, frame, FRAME_HEADER + n);
}

static void send_number(struct server *s, enum frame_type type, int stream, uint32_t value)
{
	send(s, type, stream, &value, sizeof(value));
}

/* There will be no command: say why, and end. */
static void refuse(struct server *s, uint32_t status, const char *why)
{
	char payload[CHUNK];
	size_t n = strnlen(why, sizeof(payload) - sizeof(status));
	memcpy(payload, &status, sizeof(status));
	memcpy(payload + sizeof(status), why, n);
	send(s, FRAME_ERROR, 0, payload, sizeof(status) + n);
	s->over = true;
}

/* --- the request --- */

static void add_string(struct server *s, struct strings *to, const char *value)
{
	char **list = to->n < MAX_STRINGS ? realloc(to->list, (to->n + 2) * sizeof(*list)) : NULL;
	char *copy = strdup(value);
	if (!list || !copy) {
		free(copy);
		refuse(s, PROTOCOL_ERROR, "not enough memory for the command line");
		return;
	}
	to->list = list;
	to->list[to->n++] = copy;
	to->list[to->n] = NULL;
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static void take_item(struct server *s, int kind, const uint8_t *payload, size_t n)
{
	struct request *r = &s->request;
	const char *text = (const char *)payload;
	switch (kind) {
	case ITEM_ARGUMENT:
		add_string(s, &r->arguments, text);
		break;
	case ITEM_VARIABLE:
		add_string(s, &r->variables, text);
		break;
	case ITEM_DIRECTORY:
		free(r->directory);
		r->directory = strdup(text);
		break;
	case ITEM_USER:
		r->user = (uid_t)strtoul(text, NULL, 10);
		break;
	case ITEM_TERMINAL:
		r->terminal = n == 4;
		r->rows = get16(payload);
		r->columns = get16(payload + 2);
		break;
	default:
		refuse(s, PROTOCOL_ERROR, "the launcher asks for something unknown");
	}
}

/* The second of two strings in a payload that ends with 0. */
static const char *second(const uint8_t *payload, size_t n)
{
	size_t first = strlen((const char *)payload) + 1;
	return first <= n ? (const char *)payload + first : "";
}

static void take_copy(struct server *s, int type, const uint8_t *payload, size_t n)
{
	const char *text = (const char *)payload, *wrong = NULL;
	if (type == FRAME_COPY_TO)
		wrong = copy_to(text, second(payload, n));
	else if (type == FRAME_COPY_DIR && n >= 4)
		wrong = copy_dir(get32(payload), text + 4);
	else if (type == FRAME_COPY_FILE && n >= 4)
		wrong = copy_file(get32(payload), text + 4);
	else if (type == FRAME_COPY_DATA)
		wrong = copy_data(payload, n);
	else if (type == FRAME_COPY_END)
		wrong = copy_end();
	else if (type == FRAME_COPY_LINK)
		wrong = copy_link(text, second(payload, n));
	if (wrong)
		refuse(s, PROTOCOL_ERROR, wrong);
}

static void start(struct server *s)
{
	const char *why = NULL;
	if (s->started || !s->request.arguments.n) {
		refuse(s, PROTOCOL_ERROR, "there is no command to run");
		return;
	}
	if (!s->request.variables.list)
		add_string(s, &s->request.variables, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	int status = s->over ? 0 : job_start(&s->job, &s->request, &why);
	if (status) {
		refuse(s, (uint32_t)status, why);
		return;
	}
	s->started = true;
	for (int i = 1; i < 3; i++)
		s->output[i] = (struct output){.credit = WINDOW, .open = s->job.fd[i] >= 0};
}

/* --- streams --- */

static void close_stream(struct server *s, int i)
{
	if (s->started && s->job.fd[i] >= 0)
		close(s->job.fd[i]);
	s->job.fd[i] = -1;
}

/* Nobody will read what the launcher sends. */
static void close_input(struct server *s)
{
	if (s->started && s->job.fd[0] >= 0 && !s->in_ended)
		send(s, FRAME_CLOSED, 0, NULL, 0);
	s->nin = 0;
	close_stream(s, 0);
}

static void take_input(struct server *s, const uint8_t *data, size_t n)
{
	if (s->started && s->job.fd[0] < 0)
		return; /* it was on its way when CLOSED was said */
	if (n > WINDOW - s->nin) {
		refuse(s, PROTOCOL_ERROR, "the launcher sends more than it may");
		return;
	}
	size_t at = (s->in_first + s->nin) % WINDOW;
	size_t first = n < WINDOW - at ? n : WINDOW - at;
	memcpy(s->input + at, data, first);
	memcpy(s->input, data + first, n - first);
	s->nin += n;
}

/* Pass on what has come for the command, as much as it takes now. */
static void feed(struct server *s)
{
	while (s->nin && s->job.fd[0] >= 0) {
		size_t n = s->in_first + s->nin > WINDOW ? WINDOW - s->in_first : s->nin;
		ssize_t done = write(s->job.fd[0], s->input + s->in_first, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			if (done < 0 && errno != EAGAIN)
				close_input(s);
			return;
		}
		s->in_first = (s->in_first + (size_t)done) % WINDOW;
		s->nin -= (size_t)done;
		send_number(s, FRAME_ACK, 0, (uint32_t)done);
	}
	if (s->in_ended && !s->nin && !s->job.terminal)
		close_stream(s, 0);
}

static void end_output(struct server *s, int i)
{
	if (s->output[i].open)
		send(s, FRAME_END, i, NULL, 0);
	s->output[i].open = false;
	close_stream(s, i);
}

/* Tell what the command has written; false: there is nothing now. The end of a terminal shows as EIO. */
static bool drain(struct server *s, int i)
{
	char data[CHUNK];
	struct output *o = &s->output[i];
	size_t most = o->credit < sizeof(data) ? o->credit : sizeof(data);
	if (s->job.fd[i] < 0 || !most)
		return false;
	ssize_t n = read(s->job.fd[i], data, most);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	if (n <= 0) {
		end_output(s, i);
		return false;
	}
	o->credit -= (size_t)n;
	send(s, FRAME_DATA, i, data, (size_t)n);
	return true;
}

/* --- receiving --- */

static void take_stream_frame(struct server *s, int type, int i, const uint8_t *payload, size_t n)
{
	if (type == FRAME_DATA && i == 0) {
		take_input(s, payload, n);
	} else if (type == FRAME_END && i == 0) {
		s->in_ended = true;
	} else if (type == FRAME_ACK && (i == 1 || i == 2) && n == 4) {
		s->output[i].credit += get32(payload);
	} else if (type == FRAME_CLOSED && (i == 1 || i == 2)) {
		s->output[i].open = false;
		close_stream(s, i);
	} else {
		refuse(s, PROTOCOL_ERROR, "the launcher speaks of a stream that there is not");
	}
}

/* One frame; its payload is followed by a 0. */
static void take_frame(struct server *s, int type, int stream, const uint8_t *payload, size_t n)
{
	if (type == FRAME_ITEM)
		take_item(s, stream, payload, n);
	else if (type >= FRAME_COPY_TO && type <= FRAME_COPY_LINK)
		take_copy(s, type, payload, n);
	else if (type == FRAME_START)
		start(s);
	else if (type >= FRAME_DATA && type <= FRAME_CLOSED)
		take_stream_frame(s, type, stream, payload, n);
	else if (type == FRAME_SIZE && n == 4)
		job_resize(&s->job, get16(payload), get16(payload + 2));
	else if (type == FRAME_SIGNAL && n == 8)
		job_signal(&s->job, (int)get32(payload), get32(payload + 4));
	else if (type == FRAME_SHUTDOWN)
		s->over = true;
	else
		refuse(s, PROTOCOL_ERROR, "the launcher says something unknown");
}

/* Take the whole frames off the front of the buffer. */
static void take_frames(struct server *s)
{
	size_t at = 0;
	while (!s->over && s->nframe - at >= FRAME_HEADER) {
		uint8_t *f = s->frame + at, after;
		size_t n = get32(f + 4);
		if (n >= FRAME_MAX) {
			refuse(s, PROTOCOL_ERROR, "the launcher sends a frame that is too long");
			return;
		}
		if (s->nframe - at < FRAME_HEADER + n)
			break;
		after = f[FRAME_HEADER + n]; /* inside the buffer, as n < FRAME_MAX */
		f[FRAME_HEADER + n] = 0;
		take_frame(s, f[0], f[1], f + FRAME_HEADER, n);
		f[FRAME_HEADER + n] = after;
		at += FRAME_HEADER + n;
	}
	s->nframe -= at;
	memmove(s->frame, s->frame + at, s->nframe);
}

static void listen_to_port(struct server *s)
{
	ssize_t n = read(s->port, s->frame + s->nframe, sizeof(s->frame) - s->nframe);
	if (n > 0) {
		s->nframe += (size_t)n;
		take_frames(s);
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		s->over = true;
	}
}

/* --- the loop --- */

/* The command has ended. Tell what is still in its pipes; a reader on the host that does not read is waited
 * for. */
static bool is_done(struct server *s)
{
	if (!s->started || !s->job.exited)
		return false;
	for (int i = 1; i < 3; i++) {
		while (drain(s, i) && !s->over)
			;
		if (s->job.fd[i] >= 0 && !s->output[i].credit)
			return false;
		end_output(s, i);
	}
	send_number(s, FRAME_EXIT, 0, (uint32_t)s->job.status);
	return true;
}

static void turn(struct server *s, const struct pollfd p[SERVE_POLLS])
{
	if (p[PORT].revents)
		listen_to_port(s);
	if (!s->started || s->over)
		return;
	if (p[0].revents & POLLERR)
		close_input(s);
	feed(s);
	for (int i = 1; i < 3; i++)
		if (p[i].revents)
			drain(s, i);
}

void serve_begin(int port)
{
	struct server *s = &server;
	*s = (struct server){.port = port, .job.fd = {-1, -1, -1}, .input = malloc(WINDOW)};
	fcntl(port, F_SETFL, fcntl(port, F_GETFL) | O_NONBLOCK);
	if (!s->input)
		refuse(s, PROTOCOL_ERROR, "not enough memory");
	else
		send_number(s, FRAME_HELLO, 0, PROTOCOL_VERSION);
}

/* poll tells POLLERR and POLLHUP of descriptors that are asked for nothing. */
void serve_fill(struct pollfd p[SERVE_POLLS])
{
	const struct server *s = &server;
	p[PORT] = (struct pollfd){.fd = s->port, .events = POLLIN};
	for (int i = 0; i < 3; i++)
		p[i] = (struct pollfd){.fd = s->started ? s->job.fd[i] : -1};
	if (s->nin)
		p[0].events = POLLOUT;
	else if (s->job.terminal)
		p[0].fd = -1; /* its state shows at the other descriptor */
	for (int i = 1; i < 3; i++) {
		if (s->output[i].credit)
			p[i].events = POLLIN;
		else
			p[i].fd = -1;
	}
}

bool serve_turn(const struct pollfd p[SERVE_POLLS])
{
	struct server *s = &server;
	if (!s->over)
		turn(s, p);
	return !s->over && !is_done(s);
}

bool serve_reaped(pid_t pid, int status)
{
	return job_reaped(&server.job, pid, status);
}
