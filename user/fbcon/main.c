/*
 * main.c - fbcon, the console on a framebuffer: an ordinary process that draws characters, reads a keyboard
 * and keeps login shells on virtual terminals. docs/console.md.
 *
 * It is a service: in its environment are QUIRE_SYSTEM (a system object: the pixels, the keyboard's ports and
 * interrupt), QUIRE_REGISTERS (another: the display's registers; if it is not there, the first is good for
 * them), and QUIRE_PING (an endpoint on which it is asked whether it is well). Once it has its devices it
 * lets go of the system objects.
 *
 * There is one wait, for all of these and the terminals. What changes is drawn at once if nothing was drawn
 * in the last sixtieth of a second, else at the end of it.
 */
#define _GNU_SOURCE
#include "vt.h"
#include <errno.h>
#include <quire/calls.h>
#include <quire/guard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

QUIRE_GUARDED(15); /* QUIRE_GUARD_ALL */

enum { TERMINALS = 4, PING = 0, KEYBOARD = 1, FIRST_VT = 2, NPOLL = FIRST_VT + 2 * TERMINALS };
enum { FRAME_NS = 1000000000 / 60, NS_PER_MS = 1000000 };

static struct {
	struct screen screen;
	int ping, irq; /* -1: there is none */
	struct key_decoder keys;
	struct vt vts[TERMINALS];
	struct vt *seen;
	uint64_t next_frame; /* ns: nothing is drawn before */
} console;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Does not return if there is no screen, which is no fault. */
static void fail(const char *what, int status)
{
	char text[128];
	snprintf(text, sizeof(text), "fbcon: %s: %s", what, strerror(errno));
	quire_diag(text);
	exit(status);
}

/* --- the keyboard --- */

static void look_at(struct vt *vt)
{
	console.seen = vt;
	vt->wanted = true;
	vt->dirty = true;
}

static void take_key(const struct key *key)
{
	if (key->modifiers & MOD_ALT && key->symbol >= KEY_F1 && key->symbol < KEY_F1 + TERMINALS)
		look_at(&console.vts[key->symbol - KEY_F1]);
	else
		vt_key(console.seen, key);
}

/* Acknowledged first: what comes while we read is told again. */
static void listen_to_keyboard(void)
{
	uint8_t byte;
	struct key key;
	keyboard_acknowledge(console.irq);
	while (keyboard_read(&byte))
		if (key_decode(&console.keys, byte, &key))
			take_key(&key);
}

/* --- whoever started us --- */

static void answer_ping(void)
{
	static const struct quire_message well;
	struct quire_message m = {.reply = QUIRE_NO_REPLY};
	if (quire_endpoint_receive(console.ping, &m, QUIRE_NOW) == 0) {
		if (m.reply >= 0)
			quire_endpoint_reply(m.reply, &well);
	} else if (errno == EPIPE) {
		exit(0); /* nobody is there who would start another */
	}
}

static int object_of(const char *name)
{
	const char *number = getenv(name);
	return number ? atoi(number) : -1;
}

static void open_devices(void)
{
	struct screen_place place;
	int system = object_of("QUIRE_SYSTEM"), registers = object_of("QUIRE_REGISTERS");
	if (system < 0)
		system = (int)getauxval(QUIRE_AT_SYSTEM); /* of the first program */
	errno = ENODEV;
	if (!screen_place(&place))
		fail("no screen", 0);
	if (!screen_open(&console.screen, &place, system, registers >= 0 ? registers : system))
		fail("cannot use the screen", 1);
	console.irq = keyboard_open(system);
	if (console.irq < 0)
		quire_diag("fbcon: there is no keyboard");
	if (registers >= 0)
		close(registers);
	close(system);
}

/* --- the loop --- */

/* How long to sleep, in ns; a negative number: until something comes. */
static int64_t keep_shells(uint64_t now)
{
	int64_t least = -1;
	for (unsigned i = 0; i < TERMINALS; i++) {
		int64_t ms = vt_keep_shell(&console.vts[i], now / NS_PER_MS);
		if (ms >= 0 && (least < 0 || ms * NS_PER_MS < least))
			least = ms * NS_PER_MS;
	}
	return least;
}

static void draw_if_due(uint64_t now)
{
	if (!console.seen->dirty || now < console.next_frame)
		return;
	vt_draw(console.seen, &console.screen);
	console.next_frame = now + FRAME_NS;
}

static void wait_for_anything(struct pollfd p[NPOLL])
{
	draw_if_due(now_ns());
	int64_t sleep = keep_shells(now_ns());
	uint64_t now = now_ns();
	if (console.seen->dirty) {
		int64_t frame = now < console.next_frame ? (int64_t)(console.next_frame - now) : 0;
		sleep = sleep < 0 || frame < sleep ? frame : sleep;
	}
	struct timespec t = {.tv_sec = sleep / 1000000000, .tv_nsec = sleep % 1000000000};
	p[PING] = (struct pollfd){.fd = console.ping, .events = POLLIN};
	p[KEYBOARD] = (struct pollfd){.fd = console.irq, .events = POLLIN};
	for (unsigned i = 0; i < TERMINALS; i++)
		vt_fill_poll(&console.vts[i], p + FIRST_VT + 2 * i);
	if (ppoll(p, NPOLL, sleep < 0 ? NULL : &t, NULL) <= 0)
		for (unsigned i = 0; i < NPOLL; i++)
			p[i].revents = 0;
}

static void turn(void)
{
	struct pollfd p[NPOLL];
	wait_for_anything(p);
	if (p[PING].revents)
		answer_ping();
	if (p[KEYBOARD].revents)
		listen_to_keyboard();
	for (unsigned i = 0; i < TERMINALS; i++)
		vt_turn(&console.vts[i], p + FIRST_VT + 2 * i);
}

int main(void)
{
	console.ping = object_of("QUIRE_PING");
	open_devices();
	for (unsigned i = 0; i < TERMINALS; i++)
		if (!vt_create(&console.vts[i], console.screen.columns, console.screen.rows))
			fail("not enough memory", 1);
	look_at(&console.vts[0]);
	if (console.irq >= 0)
		listen_to_keyboard();
	for (;;)
		turn();
}
