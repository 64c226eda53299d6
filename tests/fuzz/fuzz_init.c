/*
 * fuzz_init.c - any bytes as init's configuration: reading ends, stays inside the text, tells no line that
 * there is not, and what it accepts holds what config.h promises.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "../../user/init/config.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned lines, complaints;
static const char *begin, *end; /* of the text */

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void complain(unsigned line, const char *what, const char *word)
{
	check(line >= 1 && line <= lines && *what && strlen(word) < CONFIG_BYTES);
	complaints++;
}

/* A whole string of the text. */
static void check_word(const char *s)
{
	check(s && s >= begin && s <= end && s + strlen(s) <= end);
}

static void check_list(char **list)
{
	for (; *list; list++)
		check_word(*list);
}

static void check_range(const struct quire_range *r, uint64_t most)
{
	check(r->count == 0 || (r->first < most && r->count <= most - r->first));
}

static void check_service(const struct service_config *s)
{
	check_word(s->name);
	check_word(s->program);
	check(s->arguments[0] == s->name);
	check_list(s->arguments);
	check_list(s->environment);
	check(*s->input == '/' && *s->output == '/');
	check_range(&s->scope.irqs, UINT32_MAX);
	check_range(&s->scope.ports, 65536);
	check_range(&s->scope.memory, UINT64_MAX);
	check(!s->connect == !s->peer && (!s->peer || s->peer->keep == KEEP_ENDPOINT));
	check(s->ping <= 3600 * 1000 && s->restart.first && s->restart.first <= s->restart.most);
	check(s->restart.most <= 3600 * 1000 && s->restart.well <= 3600 * 1000);
}

static void check_config(const struct config *c)
{
	check(c->nmounts <= CONFIG_MOUNTS && c->ngettys <= CONFIG_GETTYS && c->nservices <= CONFIG_SERVICES);
	if (c->hostname)
		check_word(c->hostname);
	for (unsigned i = 0; i < c->nmounts; i++) {
		check_word(c->mounts[i].device);
		check_word(c->mounts[i].directory);
		check_word(c->mounts[i].type);
		if (c->mounts[i].options)
			check_word(c->mounts[i].options);
	}
	for (unsigned i = 0; i < c->ngettys; i++) {
		check_word(c->gettys[i].terminal);
		check_list(c->gettys[i].arguments);
	}
	for (unsigned i = 0; i < c->nservices; i++)
		check_service(&c->services[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config config;
	if (size > CONFIG_BYTES)
		return 0;
	char *text = malloc(size + 1);
	if (size)
		memcpy(text, data, size);
	begin = text;
	end = text + size;
	lines = 1;
	complaints = 0;
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	unsigned errors = config_parse(&config, text, size, complain);
	check(errors == complaints);
	if (!errors)
		check_config(&config);
	free(text);
	return 0;
}
