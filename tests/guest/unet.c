/* unet.c - /proc/net: each local socket has its line, from its making to its end, and says what it is. */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "utap.h"
#include "utext.h"

enum { ACCEPTS = 0x10000, UNCONNECTED = 1, CONNECTING = 2, CONNECTED = 3 };

struct line {
	unsigned refs, protocol, flags, type, state;
	unsigned long ino;
	char name[120];
};

/* The first line with this inode and name (NULL: any). False: there is none. */
static bool find(unsigned long ino, const char *name, struct line *out)
{
	char line[300];
	bool found = false;
	FILE *f = fopen("/proc/net/unix", "r");
	while (f && !found && fgets(line, sizeof(line), f)) {
		*out = (struct line){0};
		int n = sscanf(line, "%*[^:]: %x %x %x %x %x %lu%119[^\n]", &out->refs, &out->protocol,
		    &out->flags, &out->type, &out->state, &out->ino, out->name);
		found = n >= 6 && out->ino == ino && (!name || !strcmp(out->name, name));
	}
	if (f)
		fclose(f);
	return found;
}

static unsigned long ino_of(int fd)
{
	struct stat st = {0};
	fstat(fd, &st);
	return st.st_ino;
}

/* What is told of the socket; name with a space before it, "": none. */
static bool is(int fd, unsigned type, unsigned flags, unsigned state, const char *name)
{
	struct line l;
	bool ok = find(ino_of(fd), NULL, &l) && l.refs && !l.protocol && l.type == type && l.flags == flags &&
		  l.state == state && !strcmp(l.name, name);
	if (!ok)
		printf("# type %u flags %x state %u name '%s'\n", l.type, l.flags, l.state, l.name);
	return ok;
}

static bool table(void)
{
	char *s = slurp("/proc/net/unix");
	CHECK(s && !strncmp(s, "Num       RefCount Protocol Flags    Type St Inode Path\n", 56));
	s = slurp("/proc/self/net/unix");
	CHECK(s && !strncmp(s, "Num ", 4));
	char link[16] = "";
	CHECK(readlink("/proc/net", link, sizeof(link)) == 8 && !strncmp(link, "self/net", 8));
	return access("/proc/thread-self/net/unix", F_OK) == 0;
}

static bool streams(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char path[64], name[80];
	struct line l;
	snprintf(name, sizeof(name), " %s", utest_file(path, "socket"));
	strcpy(a.sun_path, path);
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(is(s, 1, 0, UNCONNECTED, ""));
	CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0 && is(s, 1, 0, UNCONNECTED, name));
	CHECK(listen(s, 5) == 0 && is(s, 1, ACCEPTS, UNCONNECTED, name));
	CHECK(!find(0, name, &l) && connect(c, (struct sockaddr *)&a, sizeof(a)) == 0);
	CHECK(is(c, 1, 0, CONNECTED, "") && find(0, name, &l) && l.state == CONNECTING && l.type == 1);
	int b = accept(s, NULL, NULL);
	CHECK(is(b, 1, 0, CONNECTED, name) && !find(0, name, &l));
	unsigned long ino = ino_of(b);
	CHECK(close(b) == 0 && !find(ino, NULL, &l) && close(c) == 0);
	ino = ino_of(s);
	return close(s) == 0 && !find(ino, NULL, &l) && unlink(path) == 0;
}

static bool others(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char name[64];
	int p[2], d = socket(AF_UNIX, SOCK_DGRAM, 0);
	int len = snprintf(a.sun_path + 1, 60, "unet-%d-x", (int)getpid());
	a.sun_path[len] = 0; /* in the place of the x: the name goes on behind it */
	snprintf(name, sizeof(name), " @unet-%d-@", (int)getpid());
	CHECK(bind(d, (struct sockaddr *)&a,
		  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (unsigned)len)) == 0);
	CHECK(is(d, 2, 0, UNCONNECTED, name) && close(d) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p) == 0 && is(p[0], 5, 0, CONNECTED, "") &&
	      is(p[1], 5, 0, CONNECTED, ""));
	return close(p[0]) == 0 && close(p[1]) == 0;
}

static bool totals(void)
{
	unsigned used = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char *s = slurp("/proc/net/sockstat");
	CHECK(s && sscanf(s, "sockets: used %u\n", &used) == 1 && used >= 1 && close(fd) == 0);
	s = slurp("/proc/net/dev");
	CHECK(s && !strncmp(s, "Inter-|   Receive ", 18) && strstr(s, "\n face |bytes    packets errs"));
	s = slurp("/proc/softirqs");
	CHECK(s && strstr(s, "                    CPU0") == s && strstr(s, "\n     HRTIMER: "));
	return true;
}

/* Sockets of this protocol; -1: there is no such line. What it can do is as Linux has it. */
static int sockets_of(const char *protocol)
{
	static const char can[] =
	    " -1   NI       0   yes  kernel      y  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n  n";
	char form[32], rest[128];
	unsigned size;
	int n;
	snprintf(form, sizeof(form), "\n%s ", protocol);
	const char *s = slurp("/proc/net/protocols"), *line = s ? strstr(s, form) : NULL;
	if (!line || sscanf(line + strlen(form), "%u %d%127[^\n]", &size, &n, rest) != 3 || size == 0)
		return -1;
	return strstr(rest, can) ? n : -1;
}

static bool protocols(void)
{
	static const char head[] =
	    "protocol  size sockets  memory press maxhdr  slab module     cl co di ac ";
	int p[2], d[2];
	const char *s = slurp("/proc/net/protocols");
	CHECK(s && !strncmp(s, head, strlen(head)));
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, d) == 0);
	CHECK(sockets_of("UNIX-STREAM") >= 2 && sockets_of("UNIX") >= 2);
	return !close(p[0]) && !close(p[1]) && !close(d[0]) && !close(d[1]);
}

static const struct utest tests[] = {{"the table", table}, {"streams", streams}, {"other sockets", others},
    {"totals", totals}, {"protocols", protocols}};

int main(void)
{
	if (!utest_proc())
		return 1;
	return UTEST_RUN(tests);
}
