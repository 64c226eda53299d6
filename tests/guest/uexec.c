/*
 * uexec.c - programs that are started: files that are and are not programs, scripts, interpreters, the
 * auxiliary vector, random places, what survives and what does not.
 *
 * With UEXEC_DUMP in its environment the program tells what it got and ends: that is how tests look at a
 * program that was started.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include "utap.h"

enum { DUMP_STATUS = 42, TEXT_MAX = 4000, STRING_MAX = 128 << 10 };

static const char *self; /* absolute path of this program */
static const char *dir;  /* where files are made */

/* ------------------------------------------------------------------ the started program's side */

static int dump(int argc, char **argv)
{
	char name[16] = "";
	prctl(PR_GET_NAME, name);
	void *mapping = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < argc; i++)
		printf("%s|", argv[i]);
	printf("\nexecfn=%s comm=%s secure=%lu base=%d\n", (char *)getauxval(AT_EXECFN), name,
	    getauxval(AT_SECURE), getauxval(AT_BASE) != 0);
	printf("stack=%lx brk=%lx mapping=%lx\n", (unsigned long)argv & -4096UL,
	    (unsigned long)syscall(SYS_brk, 0), (unsigned long)mapping);
	const uint64_t *r = (const uint64_t *)getauxval(AT_RANDOM);
	printf("random=%016llx%016llx\n", (unsigned long long)r[0], (unsigned long long)r[1]);
	printf("euid=%u egid=%u\n", geteuid(), getegid());
	printf("entry=%lx phnum=%lu\n", getauxval(AT_ENTRY), getauxval(AT_PHNUM));
	fflush(stdout);
	return DUMP_STATUS;
}

/* ------------------------------------------------------------------ the starting side */

static char text[TEXT_MAX]; /* what the last started program told */

static char *const dump_env[] = {"UEXEC_DUMP=1", NULL};

struct start {
	int fd;
	const char *path;
	char *const *argv, *const *envp;
	int flags;
	unsigned long persona;
};

/* Start it in a child and collect what it writes. Its exit status, or 1000 + errno of a failed exec, or -1.
 */
static int start(const struct start *s)
{
	int out[2], failed[2], status, err = 0;
	size_t used = 0;
	if (pipe2(out, O_CLOEXEC) || pipe2(failed, O_CLOEXEC))
		return -1;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		if (s->persona)
			personality(s->persona);
		syscall(SYS_execveat, s->fd, s->path, s->argv, s->envp, s->flags);
		err = errno;
		if (write(failed[1], &err, sizeof(err)) != sizeof(err))
			_exit(1);
		_exit(0);
	}
	close(out[1]);
	close(failed[1]);
	for (ssize_t n; used < TEXT_MAX - 1 && (n = read(out[0], text + used, TEXT_MAX - 1 - used)) > 0;)
		used += (size_t)n;
	text[used] = 0;
	for (char rest[4096]; read(out[0], rest, sizeof(rest)) > 0;)
		;
	ssize_t n = read(failed[0], &err, sizeof(err));
	close(out[0]);
	close(failed[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	if (n == sizeof(err))
		return 1000 + err;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int start_path(const char *path, char *const *argv)
{
	struct start s = {AT_FDCWD, path, argv, dump_env, 0, 0};
	return start(&s);
}

/* The error of execve in this process, which must fail. */
static int error_of(const char *path)
{
	char *argv[] = {"x", NULL};
	errno = 0;
	return syscall(SYS_execve, path, argv, dump_env) == -1 ? errno : 0;
}

/* The line that begins with `key`, up to the next blank or newline, in a static buffer. */
static const char *value_of(const char *key)
{
	static char value[256];
	const char *at = strstr(text, key);
	if (!at)
		return "(missing)";
	size_t n = strcspn(at += strlen(key), " \n");
	snprintf(value, sizeof(value), "%.*s", (int)(n < 255 ? n : 255), at);
	return value;
}

static bool first_line_is(const char *want)
{
	size_t n = strcspn(text, "\n");
	if (strlen(want) == n && !memcmp(text, want, n))
		return true;
	printf("# got %.*s, not %s\n", (int)n, text, want);
	return false;
}

/* ------------------------------------------------------------------ files */

static const char *path_of(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];
	snprintf(path, sizeof(paths[0]), "%s/uexec.%s", dir, name);
	return path;
}

static const char *make_file(const char *name, const void *bytes, size_t size, mode_t mode)
{
	const char *path = path_of(name);
	unlink(path);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, mode);
	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
		printf("# cannot write %s: %d\n", path, errno);
	close(fd);
	return path;
}

static const char *make_text(const char *name, const char *bytes)
{
	return make_file(name, bytes, strlen(bytes), 0755);
}

/* ------------------------------------------------------------------ tests */

static bool plain(void)
{
	char *argv[] = {"zero", "one", "", "three four", NULL};
	CHECK(start_path(self, argv) == DUMP_STATUS);
	CHECK(first_line_is("zero|one||three four|"));
	CHECK(!strcmp(value_of("execfn="), self) && !strcmp(value_of("comm="), "uexec"));
	CHECK(!strcmp(value_of("secure="), "0") && !strcmp(value_of("base="), "0"));
	char *none[] = {NULL};
	CHECK(start_path(self, none) == DUMP_STATUS && first_line_is("|"));
	CHECK(start_path(self, NULL) == DUMP_STATUS && first_line_is("|"));
	return true;
}

static bool vector(void)
{
	CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_CLKTCK) == 100 && getauxval(AT_FLAGS) == 0);
	CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid());
	CHECK(getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
	CHECK(getauxval(AT_PHENT) == sizeof(Elf64_Phdr) && getauxval(AT_PHNUM) > 0);
	CHECK(!strcmp((char *)getauxval(AT_PLATFORM), "x86_64") && getauxval(AT_HWCAP) != 0);
	CHECK(getauxval(AT_MINSIGSTKSZ) >= 512 + 440 && getauxval(AT_MINSIGSTKSZ) < 1 << 20);
	const Elf64_Phdr *ph = (const Elf64_Phdr *)getauxval(AT_PHDR);
	bool found = false;
	for (unsigned i = 0; i < getauxval(AT_PHNUM); i++)
		found |= ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_X) &&
			 getauxval(AT_ENTRY) - ph[i].p_vaddr < ph[i].p_memsz;
	CHECK(found);
	return true;
}

/* The strings lie in one block: arguments, environment, path; then the end of the stack. */
static bool strings_in_order(void)
{
	extern char **environ;
	const char *end = NULL;
	for (char **e = environ; *e; e++)
		end = *e + strlen(*e) + 1;
	CHECK(!end || end == (const char *)getauxval(AT_EXECFN));
	const char *after =
	    (const char *)getauxval(AT_EXECFN) + strlen((const char *)getauxval(AT_EXECFN)) + 1;
	CHECK(((uintptr_t)after + 8) % 4096 == 0);
	for (int i = 0; i < 8; i++)
		CHECK(after[i] == 0);
	return true;
}

struct script_case {
	const char *line; /* %s: this program */
	const char *want; /* first line of the dump, $: this program, @: the script; NULL: error */
	int error;
};

static void fill_in(char *to, size_t size, const char *from, const char *script)
{
	size_t n = 0;
	for (; *from && n + 1 < size; from++) {
		const char *s = *from == '$' ? self : *from == '@' ? script : NULL;
		n += (size_t)(s ? snprintf(to + n, size - n, "%s", s)
				: snprintf(to + n, size - n, "%c", *from));
	}
	to[n] = 0;
}

static bool run_script(const struct script_case *c)
{
	char line[512], want[512];
	char *argv[] = {"ignored", "a", "b", NULL};
	fill_in(line, sizeof(line), c->line, "");
	const char *script = make_text("script", line);
	fill_in(want, sizeof(want), c->want ? c->want : "", script);
	int got = start_path(script, argv);
	if (!c->want) {
		if (got != 1000 + c->error)
			printf("# %s: %d\n", c->line, got);
		return got == 1000 + c->error;
	}
	if (got != DUMP_STATUS)
		printf("# %s: %d\n", c->line, got);
	return got == DUMP_STATUS && first_line_is(want) && !strcmp(value_of("execfn="), script) &&
	       !strcmp(value_of("comm="), "uexec.script");
}

static bool scripts(void)
{
	static const struct script_case cases[] = {
	    {"#!$\n", "$|@|a|b|", 0},
	    {"#!$", "$|@|a|b|", 0},
	    {"#! \t $ \t \nrest", "$|@|a|b|", 0},
	    {"#!$ one two \t\n", "$|one two|@|a|b|", 0},
	    {"#!$\tone\t\n", "$|one|@|a|b|", 0},
	    {"#!$ ", "$||@|a|b|", 0},
	    {"#!\n$\n", NULL, ENOEXEC},
	    {"#!   \n", NULL, ENOEXEC},
	    {"#!", NULL, EACCES}, /* the empty name is the working directory */
	    {"# !$\n", NULL, ENOEXEC},
	    {"#!/no/such/file\n", NULL, ENOENT},
	    {"#!/\n", NULL, EACCES},
	    {"#!$/x\n", NULL, ENOTDIR},
	    {"#!$\r\n", NULL, ENOENT},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK(run_script(&cases[i]));
	return true;
}

/* Lines that are as long as what is looked at. */
static bool long_lines(void)
{
	char line[600] = "#!", *argv[] = {"x", NULL};
	memset(line + 2, '/', 300);
	memcpy(line + 256 - strlen(self) - 1, self, strlen(self) + 1);
	strcpy(line + 255, "\n"); /* the newline is the last byte of the 256 */
	CHECK(start_path(make_text("long", line), argv) == DUMP_STATUS);
	memmove(line + 3, line + 2, 254);
	strcpy(line + 256, "\n");
	CHECK(start_path(make_text("long", line), argv) == 1000 + ENOEXEC);
	snprintf(line, sizeof(line), "#!%s ", self);
	size_t n = strlen(line);
	memset(line + n, 'y', 400);
	line[n + 400] = 0;
	CHECK(start_path(make_text("long", line), argv) == DUMP_STATUS);
	CHECK(strspn(strchr(text, '|') + 1, "y") == 255 - n);
	return true;
}

static bool nested_scripts(void)
{
	char line[256], *argv[] = {"x", "end", NULL};
	char want[1024];
	const char *below = self;
	for (int depth = 1; depth <= 6; depth++) {
		char name[8] = {'s', (char)('0' + depth)};
		snprintf(line, sizeof(line), "#!%s %d\n", below, depth);
		below = make_text(name, line);
		int got = start_path(below, argv);
		CHECK(got == (depth <= 5 ? DUMP_STATUS : 1000 + ELOOP));
	}
	snprintf(line, sizeof(line), "#!%s\n", path_of("loop"));
	CHECK(start_path(make_text("loop", line), argv) == 1000 + ELOOP);
	/* The order of arguments at two levels. */
	snprintf(line, sizeof(line), "#!%s in\n", self);
	char inner[128], outer[128];
	strcpy(inner, make_text("in", line));
	snprintf(line, sizeof(line), "#!%s out\n", inner);
	strcpy(outer, make_text("out", line));
	CHECK(start_path(outer, argv) == DUMP_STATUS);
	snprintf(want, sizeof(want), "%s|in|%s|out|%s|end|", self, inner, outer);
	CHECK(first_line_is(want));
	return true;
}

static bool no_program(void)
{
	char longname[5000], part[300];
	memset(longname, 'x', sizeof(longname));
	longname[4999] = 0;
	memset(part, 'x', sizeof(part));
	part[0] = '/', part[299] = 0;
	CHECK(error_of("/no/such/file") == ENOENT && error_of("") == ENOENT);
	CHECK(error_of(longname) == ENAMETOOLONG && error_of(part) == ENAMETOOLONG);
	CHECK(error_of("/") == EACCES && error_of(dir) == EACCES);
	snprintf(longname, sizeof(longname), "%s/x", self);
	CHECK(error_of(longname) == ENOTDIR);
	CHECK(error_of((char *)8) == EFAULT && error_of(NULL) == EFAULT);
	CHECK(error_of(make_file("plain", "#!/bin/sh\n", 10, 0644)) == EACCES);
	CHECK(error_of(make_file("empty", "", 0, 0755)) == ENOEXEC);
	CHECK(error_of(make_text("words", "echo hello\n")) == ENOEXEC);
	CHECK(error_of(make_file("short", "\177ELF", 4, 0755)) == ENOEXEC);
	return true;
}

/* Strings and pointers that cannot be read. */
static bool bad_strings(void)
{
	char *bad[] = {(char *)8, NULL}, *good[] = {"x", NULL};
	CHECK(FAILS_WITH(syscall(SYS_execve, self, bad, good), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_execve, self, good, bad), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_execve, self, 8, good), EFAULT));
	CHECK(FAILS_WITH(syscall(SYS_execve, "", bad, bad), ENOENT));
	char *end =
	    (char *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096;
	munmap(end, 4096);
	memset(end - 4096, 'x', 4096);
	char *open_end[] = {end - 10, NULL};
	CHECK(FAILS_WITH(syscall(SYS_execve, self, open_end, good), EFAULT));
	return true;
}

static bool long_strings(void)
{
	static char big[STRING_MAX + 1];
	char *argv[64] = {big, NULL};
	memset(big, 'x', sizeof(big));
	big[STRING_MAX] = 0;
	CHECK(FAILS_WITH(syscall(SYS_execve, self, argv, dump_env), E2BIG));
	big[STRING_MAX - 1] = 0;
	CHECK(start_path(self, argv) == DUMP_STATUS);
	/* A quarter of 8 MiB: fifteen fit, sixteen do not. */
	for (int i = 0; i < 16; i++)
		argv[i] = big;
	CHECK(FAILS_WITH(syscall(SYS_execve, self, argv, dump_env), E2BIG));
	argv[15] = NULL;
	CHECK(start_path(self, argv) == DUMP_STATUS);
	return true;
}

/* --- ELF files made by hand --- */

#define AT 0x10000000UL
static struct image {
	Elf64_Ehdr e;
	Elf64_Phdr p[4];
	uint8_t code[16];
	char interp[128];
	uint8_t rest[4096];
} image;

/* Exit with status 7. */
static const uint8_t exit_7[] = {0xbf, 7, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05};

static void make_image(unsigned type, const char *interp)
{
	memset(&image, 0, sizeof(image));
	image.e = (Elf64_Ehdr){.e_type = (Elf64_Half)type,
	    .e_machine = EM_X86_64,
	    .e_version = 1,
	    .e_phoff = offsetof(struct image, p),
	    .e_ehsize = sizeof(Elf64_Ehdr),
	    .e_phentsize = sizeof(Elf64_Phdr),
	    .e_phnum = 1};
	memcpy(image.e.e_ident, "\177ELF\2\1\1", 7);
	uint64_t base = type == ET_EXEC ? AT : 0;
	image.e.e_entry = base + offsetof(struct image, code);
	image.p[0] = (Elf64_Phdr){.p_type = PT_LOAD,
	    .p_flags = PF_R | PF_X,
	    .p_vaddr = base,
	    .p_filesz = sizeof(image),
	    .p_memsz = sizeof(image),
	    .p_align = 4096};
	memcpy(image.code, exit_7, sizeof(exit_7));
	if (!interp)
		return;
	strcpy(image.interp, interp);
	image.e.e_phnum = 2;
	image.p[1] = (Elf64_Phdr){.p_type = PT_INTERP,
	    .p_offset = offsetof(struct image, interp),
	    .p_filesz = strlen(interp) + 1,
	    .p_memsz = strlen(interp) + 1,
	    .p_align = 1};
}

static int start_image(void)
{
	char *argv[] = {"image", NULL};
	return start_path(make_file("image", &image, sizeof(image), 0755), argv);
}

static bool hand_made(void)
{
	make_image(ET_EXEC, NULL);
	CHECK(start_image() == 7);
	make_image(ET_DYN, NULL);
	CHECK(start_image() == 7);
	make_image(ET_EXEC, NULL);
	image.e.e_phnum = 3; /* twice over itself: the later counts, and more of it is zero */
	image.p[1] = image.p[2] = image.p[0];
	image.p[2].p_memsz += 65536;
	image.p[2].p_flags |= PF_W;
	CHECK(start_image() == 7);
	image.p[1] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | PF_X};
	CHECK(start_image() == 7);
	return true;
}

#define IMAGE_FAILS(type, interp, err, change)                                                               \
	do {                                                                                                 \
		make_image(type, interp);                                                                    \
		change;                                                                                      \
		int got_ = start_image();                                                                    \
		if (got_ != 1000 + (err)) {                                                                  \
			printf("# %s: %d\n", #change, got_);                                                 \
			return false;                                                                        \
		}                                                                                            \
	} while (0)

static bool bad_headers(void)
{
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_ident[1] = 'x');
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_type = ET_REL);
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_type = ET_CORE);
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_machine = EM_AARCH64);
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_phnum = 0);
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_phnum = 1171);
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_phnum = 0xffff);
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_phentsize = 32);
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_phoff = sizeof(image));
	IMAGE_FAILS(ET_EXEC, NULL, ENOEXEC, image.e.e_phoff = UINT64_MAX - 8);
	return true;
}

/* The image, but only `size` bytes of it are there; more than it has are a hole. */
static int start_cut(uint64_t size)
{
	char *argv[] = {"image", NULL};
	const char *path = make_file("image", &image, sizeof(image), 0755);
	return truncate(path, (off_t)size) ? -2 : start_path(path, argv);
}

/* It was refused, or died of what it lacks: Linux sees some of this only when there is no way back. */
static bool did_not_run(int result)
{
	return result == -1 || result == 1000 + ENOEXEC;
}

/* What cannot be a program is refused; what only lacks its end does not get there. The caller goes on in any
 * case. */
static bool cut_and_huge_files(void)
{
	make_image(ET_EXEC, NULL);
	for (uint64_t size = 0; size < offsetof(struct image, p) + sizeof(Elf64_Phdr); size += 8)
		CHECK(start_cut(size) == 1000 + ENOEXEC);
	image.p[0].p_memsz = image.p[0].p_filesz = 3 * 4096;
	image.e.e_entry = AT + 2 * 4096;
	CHECK(did_not_run(start_cut(sizeof(image)))); /* its first instruction is behind the end */
	make_image(ET_EXEC, NULL);
	CHECK(start_cut(1ULL << 40) == 7);
	image.p[0].p_memsz = image.p[0].p_filesz = 1ULL << 40;
	CHECK(start_cut(1ULL << 40) == 7);
	image.p[0].p_memsz = image.p[0].p_filesz = 1ULL << 47; /* no room, too late to tell */
	CHECK(did_not_run(start_cut(1ULL << 40)));
	make_image(ET_EXEC, NULL);
	image.p[0].p_memsz = 16; /* less than the file has */
	CHECK(did_not_run(start_image()));
	return true;
}

static bool bad_interpreters(void)
{
	char path[128];
	IMAGE_FAILS(ET_EXEC, "/no/such/file", ENOENT, );
	IMAGE_FAILS(ET_DYN, "/no/such/file", ENOENT, );
	IMAGE_FAILS(ET_EXEC, "/", EACCES, );
	strcpy(path, make_file("plain", &image, sizeof(image), 0644));
	IMAGE_FAILS(ET_EXEC, path, EACCES, );
	strcpy(path, make_file("tiny", "\177ELF", 4, 0755));
	IMAGE_FAILS(ET_EXEC, path, EIO, );
	char words[200];
	memset(words, 'w', sizeof(words));
	strcpy(path, make_file("words", words, sizeof(words), 0755));
	IMAGE_FAILS(ET_EXEC, path, ELIBBAD, );
	make_image(ET_DYN, NULL);
	image.e.e_machine = EM_386;
	strcpy(path, make_file("other", &image, sizeof(image), 0755));
	IMAGE_FAILS(ET_EXEC, path, ELIBBAD, );
	IMAGE_FAILS(ET_EXEC, self, ENOEXEC, image.p[1].p_filesz = 1);
	IMAGE_FAILS(ET_EXEC, self, ENOEXEC, image.p[1].p_filesz = 4097);
	IMAGE_FAILS(ET_EXEC, self, ENOEXEC, image.p[1].p_filesz--);
	IMAGE_FAILS(ET_EXEC, self, EIO, image.p[1].p_offset = sizeof(image));
	/* Nothing was lost by all that. */
	CHECK(error_of("/no/such/file") == ENOENT);
	return true;
}

/* An interpreter is started in place of the program, and told where that is. */
static bool interpreters(void)
{
	char path[128];
	make_image(ET_DYN, NULL);
	image.code[1] = 9;
	strcpy(path, make_file("ld", &image, sizeof(image), 0755));
	make_image(ET_EXEC, path);
	CHECK(start_image() == 9);
	make_image(ET_DYN, path);
	CHECK(start_image() == 9);
	make_image(ET_EXEC, self); /* this program, linked to a fixed place, as interpreter */
	CHECK(start_image() == DUMP_STATUS);
	CHECK(first_line_is("image|") && !strcmp(value_of("phnum="), "2"));
	CHECK(strtoul(value_of("entry="), NULL, 16) == image.e.e_entry);
	return true;
}

static bool busy_text(void)
{
	make_image(ET_EXEC, NULL);
	const char *path = make_file("image", &image, sizeof(image), 0755);
	int fd = open(path, O_WRONLY);
	CHECK(fd >= 0 && error_of(path) == ETXTBSY);
	close(fd);
	CHECK(FAILS_WITH(open(self, O_WRONLY), ETXTBSY) && FAILS_WITH(open(self, O_RDWR), ETXTBSY));
	return true;
}

/* --- places --- */

struct places {
	unsigned long stack, brk, mapping;
	char random[40];
};

static bool find_places(struct places *p, unsigned long persona)
{
	char *argv[] = {"x", NULL};
	struct start s = {AT_FDCWD, self, argv, dump_env, 0, persona};
	if (start(&s) != DUMP_STATUS)
		return false;
	p->stack = strtoul(value_of("stack="), NULL, 16);
	p->brk = strtoul(value_of("brk="), NULL, 16);
	p->mapping = strtoul(value_of("mapping="), NULL, 16);
	snprintf(p->random, sizeof(p->random), "%s", value_of("random="));
	return true;
}

static bool random_places(void)
{
	struct places a, b;
	CHECK(find_places(&a, 0) && find_places(&b, 0));
	CHECK(a.stack != b.stack && a.brk != b.brk && a.mapping != b.mapping);
	CHECK(strcmp(a.random, b.random));
	CHECK(a.stack >> 36 == 0x7ff && a.mapping >> 40 >= 0x7e && a.stack > a.mapping);
	return true;
}

static bool fixed_places(void)
{
	struct places a, b;
	CHECK((personality(0xffffffff) & ADDR_NO_RANDOMIZE) == 0);
	CHECK(find_places(&a, ADDR_NO_RANDOMIZE) && find_places(&b, ADDR_NO_RANDOMIZE));
	CHECK(a.stack == b.stack && a.brk == b.brk && a.mapping == b.mapping);
	CHECK(strcmp(a.random, b.random));
	CHECK(a.stack >> 12 >= 0x7ffffff00 && a.stack < 0x7ffffffff000);
	return true;
}

static bool persona(void)
{
	int before = personality(0xffffffff);
	CHECK(personality(PER_LINUX | ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC) == before);
	CHECK(personality((unsigned long)before) == (PER_LINUX | ADDR_NO_RANDOMIZE | READ_IMPLIES_EXEC));
	CHECK(personality(0xffffffff) == before);
	return true;
}

/* --- execveat --- */

static int start_at(int fd, const char *name, int flags)
{
	char *argv[] = {"x", NULL};
	struct start s = {fd, name, argv, dump_env, flags, 0};
	return start(&s);
}

static bool by_descriptor(void)
{
	char want[64];
	int fd = open(self, O_RDONLY), bin = open("/", O_RDONLY | O_DIRECTORY);
	CHECK(fd >= 0 && bin >= 0);
	CHECK(start_at(fd, "", AT_EMPTY_PATH) == DUMP_STATUS);
	snprintf(want, sizeof(want), "/dev/fd/%d", fd);
	CHECK(!strcmp(value_of("execfn="), want));
	CHECK(start_at(bin, self + 1, 0) == DUMP_STATUS);
	CHECK(start_at(bin, self + 1, AT_SYMLINK_NOFOLLOW) == DUMP_STATUS);
	CHECK(start_at(-77, self, 0) == DUMP_STATUS);
	CHECK(start_at(fd, "", 0) == 1000 + ENOENT);
	CHECK(start_at(fd, "x", 0) == 1000 + ENOTDIR && start_at(-77, "x", 0) == 1000 + EBADF);
	CHECK(start_at(bin, "", AT_EMPTY_PATH) == 1000 + EACCES);
	CHECK(start_at(fd, "", AT_EMPTY_PATH | 1) == 1000 + EINVAL);
	CHECK(start_at(AT_FDCWD, self, AT_SYMLINK_FOLLOW) == 1000 + EINVAL);
	close(fd);
	close(bin);
	fd = open(self, O_PATH | O_CLOEXEC);
	CHECK(start_at(fd, "", AT_EMPTY_PATH) == DUMP_STATUS);
	close(fd);
	return true;
}

static bool script_by_descriptor(void)
{
	char line[128], want[300];
	snprintf(line, sizeof(line), "#!%s\n", self);
	int fd = open(make_text("script", line), O_RDONLY);
	CHECK(start_at(fd, "", AT_EMPTY_PATH) == DUMP_STATUS);
	snprintf(want, sizeof(want), "%s|/dev/fd/%d|", self, fd);
	CHECK(first_line_is(want));
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	CHECK(start_at(fd, "", AT_EMPTY_PATH) == 1000 + ENOENT);
	close(fd);
	return true;
}

/* --- what stays and what goes --- */

static int exec_child(void *arg)
{
	char *argv[] = {"x", NULL}, *envp[] = {NULL};
	execve(arg, argv, envp);
	return errno;
}

/* A process that shares our descriptors closes its own on exec, not ours. */
static bool shared_descriptors(void)
{
	static char stack[32768] __attribute__((aligned(16)));
	int fds[2], status;
	make_image(ET_EXEC, NULL);
	const char *path = make_file("image", &image, sizeof(image), 0755);
	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	pid_t pid = clone(exec_child, stack + sizeof(stack), CLONE_FILES | SIGCHLD, (void *)path);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	CHECK(fcntl(fds[0], F_GETFD) == FD_CLOEXEC && fcntl(fds[1], F_GETFD) == FD_CLOEXEC);
	close(fds[0]);
	close(fds[1]);
	return true;
}

static int open_57(void *arg)
{
	return dup2(*(int *)arg, 57) != 57;
}

static int unshare_and_open_58(void *arg)
{
	return unshare(CLONE_FILES) || dup2(*(int *)arg, 58) != 58 || close(57);
}

static bool shared_table(void)
{
	static char stack[32768] __attribute__((aligned(16)));
	int one = 1, status;
	pid_t pid = clone(open_57, stack + sizeof(stack), CLONE_FILES | SIGCHLD, &one);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(fcntl(57, F_GETFD) == 0);
	pid = clone(unshare_and_open_58, stack + sizeof(stack), CLONE_FILES | CLONE_FS | SIGCHLD, &one);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(fcntl(57, F_GETFD) == 0 && FAILS_WITH(fcntl(58, F_GETFD), EBADF));
	close(57);
	CHECK(unshare(0) == 0 && unshare(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM) == 0);
	CHECK(FAILS_WITH(unshare(1), EINVAL));
	return true;
}

static bool names_follow(void)
{
	char *argv[] = {"x", NULL};
	make_image(ET_EXEC, self);
	const char *path = make_file("a-name-that-is-too-long", &image, sizeof(image), 0755);
	CHECK(start_path(path, argv) == DUMP_STATUS);
	CHECK(!strcmp(value_of("comm="), "uexec.a-name-th"));
	return true;
}

/* --- ids --- */

enum { OTHER = 1234, OWNER = 4321 };

/* As another user, run the file at arg; which bits and ids it has, start_set_id says. */
static int run_as_other(void *arg)
{
	char *argv[] = {"x", NULL};
	if (setgid(OTHER) || setuid(OTHER))
		return 99;
	struct start s = {AT_FDCWD, arg, argv, dump_env, 0, 0};
	int got = start(&s);
	if (got != DUMP_STATUS)
		return 98;
	return atoi(value_of("secure=")) * 4 + (atoi(value_of("euid=")) == OWNER) * 2 +
	       (atoi(value_of("egid=")) == OWNER);
}

static int run_bound(void *arg)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? 97 : run_as_other(arg);
}

/* A copy of this program that belongs to OWNER, with this mode. */
static const char *own_copy(mode_t mode)
{
	static char bytes[1 << 20];
	int fd = open(self, O_RDONLY);
	ssize_t n = read(fd, bytes, sizeof(bytes));
	close(fd);
	const char *path = make_file("setid", bytes, n > 0 ? (size_t)n : 0, 0755);
	return chown(path, OWNER, OWNER) || chmod(path, mode) ? "" : path;
}

static bool set_ids(void)
{
	if (geteuid() != 0)
		return true; /* only the superuser can try */
	CHECK(child_exits(run_as_other, (void *)own_copy(0755), 0));
	CHECK(child_exits(run_as_other, (void *)own_copy(04755), 4 + 2));
	CHECK(child_exits(run_as_other, (void *)own_copy(02755), 4 + 1));
	CHECK(child_exits(run_as_other, (void *)own_copy(06755), 4 + 2 + 1));
	CHECK(child_exits(
	    run_as_other, (void *)own_copy(02745), 0)); /* the group may not execute: no set-group-ID */
	CHECK(child_exits(run_bound, (void *)own_copy(06755), 0));
	return true;
}

int main(int argc, char **argv)
{
	static const struct utest tests[] = {
	    {"arguments arrive", plain},
	    {"the auxiliary vector", vector},
	    {"strings lie in order", strings_in_order},
	    {"scripts", scripts},
	    {"lines that are too long", long_lines},
	    {"scripts that run scripts", nested_scripts},
	    {"what is no program", no_program},
	    {"strings that cannot be read", bad_strings},
	    {"strings that are too long", long_strings},
	    {"programs made by hand", hand_made},
	    {"bad headers", bad_headers},
	    {"cut and huge files", cut_and_huge_files},
	    {"bad interpreters", bad_interpreters},
	    {"interpreters", interpreters},
	    {"programs that run cannot be written", busy_text},
	    {"places are random", random_places},
	    {"places are not random", fixed_places},
	    {"personality", persona},
	    {"programs by descriptor", by_descriptor},
	    {"scripts by descriptor", script_by_descriptor},
	    {"descriptors close in one process only", shared_descriptors},
	    {"shared and unshared tables", shared_table},
	    {"the thread is named after the file", names_follow},
	    {"set-user-ID programs", set_ids},
	};
	static char path[256];
	if (getenv("UEXEC_DUMP"))
		return dump(argc, argv);
	snprintf(path, sizeof(path), "%s", (char *)getauxval(AT_EXECFN));
	self = path;
	dir = utest_dir();
	return UTEST_RUN(tests);
}
