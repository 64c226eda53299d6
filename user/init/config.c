/*
 * config.c - read the configuration: config.h. A line is cut into words where it lies; what directives keep
 * are pointers to these. An error does not end the reading, so that all are told at once.
 */
#include "config.h"
#include <quire/ttyport.h>
#include <stdlib.h>
#include <string.h>

enum { HOUR = 3600 * 1000, PORTS = 65536, PING_LEAST = 10, TERMINAL = 32 /* characters */ };

struct parser {
	struct config *c;
	char *at, *end;
	bool in_line; /* there may be more words in this line */
	unsigned line, errors;
	config_complain *complain;
	const char *word;               /* what a complaint is about */
	struct service_config *service; /* whose block this is; NULL: no block */
	struct service_config nobody;   /* whose block is read only for its errors */
	uint32_t said;                  /* by bit: which directives of the block there were */
};

struct directive {
	const char *name;
	unsigned least, most; /* words behind it */
	/* Answers NULL, or what is wrong. */
	const char *(*take)(struct parser *p, char **words, unsigned n);
};

static void tell(struct parser *p, unsigned line, const char *what, const char *word)
{
	p->errors++;
	p->complain(line, what, word);
}

/* --- words --- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line, moved together if it has quotes; NULL: there is none. What ends it is taken
 * before the word's end is written, which may be at the same place. */
static char *next_word(struct parser *p)
{
	bool quoted = false;
	while (p->in_line && p->at < p->end && is_blank(*p->at))
		p->at++;
	if (!p->in_line || p->at == p->end || *p->at == '\n' || *p->at == '#')
		return NULL;
	char *word = p->at, *out = word;
	for (; p->at < p->end && *p->at != '\n' && (quoted || !is_blank(*p->at)); p->at++) {
		if (*p->at == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && *p->at == '\\' && p->at + 1 < p->end && p->at[1] != '\n')
			p->at++;
		*out++ = *p->at;
	}
	if (quoted)
		tell(p, p->line, "a quote is not closed", "");
	if (memchr(word, 0, (size_t)(out - word)))
		tell(p, p->line, "there is a byte 0", "");
	p->in_line = p->at < p->end && *p->at != '\n';
	p->at += p->at < p->end;
	*out = 0;
	return word;
}

/* The words of the next line that has any; 0: there is none. */
static unsigned next_line(struct parser *p, char *words[LINE_WORDS])
{
	unsigned n = 0;
	while (p->at < p->end && !n) {
		p->line++;
		p->in_line = true;
		for (char *word; (word = next_word(p));) {
			if (n == LINE_WORDS) {
				tell(p, p->line, "the line has too many words", "");
				break;
			}
			words[n++] = word;
		}
		char *end = p->in_line ? memchr(p->at, '\n', (size_t)(p->end - p->at)) : p->at - 1;
		p->at = end ? end + 1 : p->end;
	}
	return n;
}

/* Keep n of them, as a list that ends with NULL. */
static const char *keep_words(struct parser *p, char **words, unsigned n, char ***out)
{
	struct config *c = p->c;
	if (c->nwords + n + 1 > CONFIG_WORDS)
		return "there are too many arguments and variables";
	*out = c->words + c->nwords;
	memcpy(*out, words, n * sizeof(*words));
	(*out)[n] = NULL;
	c->nwords += n + 1;
	return NULL;
}

/* --- values --- */

static bool is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	return n && n <= CONFIG_NAME && !s[n];
}

/* A number up to `most`: decimal, octal with 0, hexadecimal with 0x. *rest: what follows it. */
static bool read_number(const char *s, uint64_t most, uint64_t *out, char **rest)
{
	if (*s < '0' || *s > '9')
		return false;
	*out = strtoull(s, rest, 0);
	return *out <= most && *out < UINT64_MAX;
}

/* FIRST [COUNT], all of it below `end`. */
static const char *read_range(struct parser *p, char **words, unsigned n, uint64_t end, struct quire_range *r)
{
	char *rest;
	r->count = 1;
	for (unsigned i = 0; i < n; i++) {
		p->word = words[i];
		if (!read_number(words[i], end, i ? &r->count : &r->first, &rest) || *rest)
			return "this is no such number";
	}
	return r->count && r->first < end && r->count <= end - r->first ? NULL : "there is no such range";
}

static const char *read_time(struct parser *p, const char *word, uint32_t *out)
{
	char *rest;
	uint64_t n;
	p->word = word;
	if (!read_number(word, HOUR, &n, &rest) || (strcmp(rest, "ms") && strcmp(rest, "s")))
		return "this is no time, such as 100ms or 2s, of an hour at most";
	n *= strcmp(rest, "s") ? 1 : 1000;
	*out = (uint32_t)n;
	return n <= HOUR ? NULL : "this is more than an hour";
}

static const char *take_path(struct parser *p, char *word, char **out)
{
	p->word = *out = word;
	return *word == '/' ? NULL : "this is no absolute path";
}

/* --- directives of a service --- */

static const char *take_program(struct parser *p, char **words, unsigned n)
{
	(void)n;
	p->word = p->service->program = words[0];
	return *words[0] == '/' || is_name(words[0]) ? NULL : "this is no path, nor a name in /service";
}

static const char *take_argument(struct parser *p, char **words, unsigned n)
{
	char *all[LINE_WORDS + 1] = {p->service->name};
	memcpy(all + 1, words, n * sizeof(*words));
	return keep_words(p, all, n + 1, &p->service->arguments);
}

static const char *take_environment(struct parser *p, char **words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		p->word = words[i];
		if (*words[i] == '=' || !strchr(words[i], '='))
			return "this is no NAME=VALUE";
		if (!strncmp(words[i], "QUIRE_", 6))
			return "names that begin with QUIRE_ are set by init";
	}
	return keep_words(p, words, n, &p->service->environment);
}

static const char *take_input(struct parser *p, char **words, unsigned n)
{
	(void)n;
	return take_path(p, words[0], &p->service->input);
}

static const char *take_output(struct parser *p, char **words, unsigned n)
{
	(void)n;
	return take_path(p, words[0], &p->service->output);
}

static const char *take_irq(struct parser *p, char **words, unsigned n)
{
	return read_range(p, words, n, UINT32_MAX, &p->service->scope.irqs);
}

static const char *take_ports(struct parser *p, char **words, unsigned n)
{
	return read_range(p, words, n, PORTS, &p->service->scope.ports);
}

static const char *take_memory(struct parser *p, char **words, unsigned n)
{
	p->word = words[0];
	if (n == 1) {
		p->service->screen = !strcmp(words[0], "screen");
		return p->service->screen ? NULL : "memory has a start and a length, or is the screen's";
	}
	return read_range(p, words, n, UINT64_MAX - 1, &p->service->scope.memory);
}

static const char *take_log(struct parser *p, char **words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		p->word = words[i];
		if (!strcmp(words[i], "read"))
			p->service->log_read = true;
		else if (!strcmp(words[i], "write"))
			p->service->log_write = true;
		else
			return "the log is for read and write";
	}
	return NULL;
}

static const char *take_power(struct parser *p, char **words, unsigned n)
{
	(void)words;
	(void)n;
	p->service->power = true;
	return NULL;
}

static const char *take_keep(struct parser *p, char **words, unsigned n)
{
	bool is_tty = !strcmp(words[0], "tty");
	char *rest;
	uint64_t number;
	p->word = words[0];
	p->service->keep = is_tty ? KEEP_TTY : KEEP_ENDPOINT;
	if (!is_tty)
		return strcmp(words[0], "endpoint") || n > 1
			   ? "an endpoint can be kept, or a tty with its number"
			   : NULL;
	p->word = words[n - 1];
	if (n < 2 || !read_number(words[1], QUIRE_TTYPORT_LAST, &number, &rest) || *rest ||
	    number < QUIRE_TTYPORT_FIRST)
		return "there is no such tty";
	p->service->tty = (unsigned)number;
	return NULL;
}

static const char *take_connect(struct parser *p, char **words, unsigned n)
{
	(void)n;
	p->word = p->service->connect = words[0];
	return is_name(words[0]) ? NULL : "this is no name of a service";
}

static const char *take_ping(struct parser *p, char **words, unsigned n)
{
	(void)n;
	const char *wrong = read_time(p, words[0], &p->service->ping);
	return wrong || p->service->ping >= PING_LEAST ? wrong : "nobody answers as fast as that";
}

static const char *take_restart(struct parser *p, char **words, unsigned n)
{
	struct restart_rule *r = &p->service->restart;
	uint32_t *const times[] = {&r->first, &r->most, &r->well};
	const char *wrong = NULL;
	for (unsigned i = 0; i < n && !wrong; i++)
		wrong = read_time(p, words[i], times[i]);
	p->word = words[1];
	return wrong || (r->first && r->first <= r->most) ? wrong
							  : "the longest wait is shorter than the first";
}

static const char *take_end(struct parser *p, char **words, unsigned n)
{
	(void)words;
	(void)n;
	p->service = NULL;
	return NULL;
}

static const struct directive of_service[] = {
    {"program", 1, 1, take_program},
    {"argument", 1, LINE_WORDS, take_argument},
    {"environment", 1, LINE_WORDS, take_environment},
    {"input", 1, 1, take_input},
    {"output", 1, 1, take_output},
    {"irq", 1, 2, take_irq},
    {"ports", 1, 2, take_ports},
    {"memory", 1, 2, take_memory},
    {"log", 1, 2, take_log},
    {"power", 0, 0, take_power},
    {"keep", 1, 2, take_keep},
    {"connect", 1, 1, take_connect},
    {"ping", 1, 1, take_ping},
    {"restart", 3, 3, take_restart},
    {"}", 0, 0, take_end},
    {NULL, 0, 0, NULL},
};

/* --- directives outside of blocks --- */

static const char *take_hostname(struct parser *p, char **words, unsigned n)
{
	(void)n;
	p->word = words[0];
	if (p->c->hostname)
		return "the name of the host was said before";
	p->c->hostname = words[0];
	return *words[0] && strlen(words[0]) <= 64 ? NULL : "a host's name has 1 to 64 characters";
}

static const char *take_mount(struct parser *p, char **words, unsigned n)
{
	struct config *c = p->c;
	p->word = words[1];
	if (*words[1] != '/' || !words[1][strspn(words[1], "/")])
		return "this is no absolute path below the root";
	if (c->nmounts == CONFIG_MOUNTS)
		return "there are too many mounts";
	struct mount_config *m = &c->mounts[c->nmounts++];
	*m = (struct mount_config){words[0], words[1], words[2], n > 3 ? words[3] : NULL};
	return NULL;
}

static const char *take_getty(struct parser *p, char **words, unsigned n)
{
	struct config *c = p->c;
	p->word = words[0];
	if (!*words[0] || *words[0] == '/' || strlen(words[0]) > TERMINAL)
		return "this is no name of a terminal in /dev";
	p->word = n > 1 ? words[1] : "";
	if (n > 1 && *words[1] != '/')
		return "this is no absolute path";
	if (c->ngettys == CONFIG_GETTYS)
		return "there are too many gettys";
	struct getty_config *g = &c->gettys[c->ngettys++];
	g->terminal = words[0];
	return keep_words(p, words + 1, n - 1, &g->arguments);
}

static struct service_config *find_service(struct config *c, const char *name)
{
	for (unsigned i = 0; i < c->nservices; i++)
		if (!strcmp(c->services[i].name, name))
			return &c->services[i];
	return NULL;
}

static const char *take_service(struct parser *p, char **words, unsigned n)
{
	struct config *c = p->c;
	char *arguments[] = {words[0]};
	const char *wrong = NULL;
	(void)n;
	p->word = words[0];
	if (strcmp(words[1], "{"))
		wrong = "a service has its block: service NAME {";
	else if (!is_name(words[0]))
		wrong = "a name has 1 to 15 letters, digits, - and _";
	else if (find_service(c, words[0]))
		wrong = "there is a service of this name";
	else if (c->nservices == CONFIG_SERVICES)
		wrong = "there are too many services";
	p->said = 0;
	p->service = wrong ? &p->nobody : &c->services[c->nservices++];
	*p->service = (struct service_config){.name = words[0],
	    .program = words[0],
	    .input = "/dev/null",
	    .output = "/dev/null",
	    .restart = {.first = 100, .most = 30 * 1000, .well = 10 * 1000},
	    .line = p->line};
	if (!wrong)
		wrong = keep_words(p, arguments, 1, &p->service->arguments);
	return wrong ? wrong : keep_words(p, arguments, 0, &p->service->environment);
}

static const struct directive outside[] = {
    {"hostname", 1, 1, take_hostname},
    {"mount", 3, 4, take_mount},
    {"getty", 1, LINE_WORDS, take_getty},
    {"service", 2, 2, take_service},
    {NULL, 0, 0, NULL},
};

/* --- the whole --- */

static const char *take_line(struct parser *p, char **words, unsigned n)
{
	const struct directive *table = p->service ? of_service : outside, *d = table;
	while (d->name && strcmp(d->name, words[0]))
		d++;
	if (!d->name)
		return p->service ? "a service has no such directive" : "there is no such directive";
	if (n - 1 < d->least)
		return "the directive has too few words";
	if (n - 1 > d->most)
		return "the directive has too many words";
	uint32_t bit = 1U << (d - table);
	if (p->service && p->said & bit)
		return "this was said before";
	p->said |= p->service ? bit : 0;
	return d->take(p, words + 1, n - 1);
}

/* Services may name others that come later. */
static void find_peers(struct parser *p)
{
	for (unsigned i = 0; i < p->c->nservices; i++) {
		struct service_config *s = &p->c->services[i];
		s->peer = s->connect ? find_service(p->c, s->connect) : NULL;
		if (s->connect && (!s->peer || s->peer->keep != KEEP_ENDPOINT))
			tell(p, s->line, "no service of this name keeps an endpoint", s->connect);
	}
}

unsigned config_parse(struct config *c, char *text, size_t len, config_complain *complain)
{
	char *words[LINE_WORDS];
	struct parser p = {.c = c, .at = text, .end = text + len, .complain = complain};
	memset(c, 0, sizeof(*c));
	for (unsigned n; (n = next_line(&p, words));) {
		p.word = words[0];
		const char *wrong = take_line(&p, words, n);
		if (wrong)
			tell(&p, p.line, wrong, p.word);
	}
	if (p.service)
		tell(&p, p.service->line, "the block is not closed", p.service->name);
	find_peers(&p);
	return p.errors;
}
