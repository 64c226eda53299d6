#pragma once
/*
 * config.h - what quire.conf says: docs/init.md. A text of lines, each a directive and its words; `service`
 * has a block. Everything points into the text, which is changed and has to stay.
 */
#include <quire/system.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CONFIG_BYTES = 32 << 10, /* of the text */
	CONFIG_WORDS = 1024,     /* that are kept: arguments and variables */
	CONFIG_MOUNTS = 32,
	CONFIG_GETTYS = 16,
	CONFIG_SERVICES = 32,
	CONFIG_NAME = 15, /* characters: what a thread's name holds */
	LINE_WORDS = 64,
};

struct mount_config {
	char *device, *directory, *type;
	char *options; /* NULL: none */
};

struct getty_config {
	char *terminal;   /* in /dev */
	char **arguments; /* ends with NULL; none: root's shell */
};

/* When to start again what has ended: at once, after `first`, after twice that, and so on up to `most`; from
 * the beginning if it ran for `well`. Milliseconds. */
struct restart_rule {
	uint32_t first, most, well;
};

enum keep { KEEP_NOTHING, KEEP_ENDPOINT, KEEP_TTY };

struct service_config {
	char *name, *program;
	char **arguments, **environment; /* end with NULL */
	char *input, *output;
	struct quire_scope scope;
	bool log_read, log_write, power;
	bool screen; /* its memory is where the screen is, which is found when it is started */
	enum keep keep;
	unsigned tty;                      /* KEEP_TTY: the number of the terminal */
	char *connect;                     /* the service whose kept endpoint it may send to; NULL: none */
	const struct service_config *peer; /* that one */
	uint32_t ping;                     /* milliseconds; 0: it is not asked */
	struct restart_rule restart;
	unsigned line;
};

struct config {
	char *hostname; /* NULL: none */
	struct mount_config mounts[CONFIG_MOUNTS];
	struct getty_config gettys[CONFIG_GETTYS];
	struct service_config services[CONFIG_SERVICES];
	unsigned nmounts, ngettys, nservices;
	char *words[CONFIG_WORDS]; /* lists that end with NULL, one after the other */
	unsigned nwords;
};

/* Is told each error: the line, what is wrong, and the word that it is about ("": none). */
typedef void config_complain(unsigned line, const char *what, const char *word);

/* Read the `len` bytes of text, which are followed by one more that may be written. Returns how many errors
 * there are; with any, *c is good for nothing. */
unsigned config_parse(struct config *c, char *text, size_t len, config_complain *complain);
