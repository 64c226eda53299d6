/*
 * harden.c - run a command under rules that end whole classes of attacks: docs/guard.md.
 *
 *	harden [-s] [-w] [-t] [-c] COMMAND [ARGUMENT ...]
 */
#include <errno.h>
#include <quire/guard.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <quire/calls.h>

QUIRE_GUARDED(15); /* QUIRE_GUARD_ALL */

enum { EXIT_USAGE = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 }; /* as env(1) */

static int usage(void)
{
	fprintf(stderr, "usage: harden [-s] [-w] [-t] [-c] COMMAND [ARGUMENT ...]\n"
			"  -s  the stack pointer stays in stacks\n"
			"  -w  no memory is writable and executable, or executable after it was writable\n"
			"  -t  the text of programs and libraries cannot be changed or replaced\n"
			"  -c  system calls come from that text only\n"
			"Without any of these: all of them.\n");
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const char letters[] = "swtc"; /* bit by bit as enum quire_guard */
	unsigned guards = 0;
	int letter;
	while ((letter = getopt(argc, argv, "+swtc")) != -1) {
		if (letter == '?')
			return usage();
		guards |= 1U << (strchr(letters, letter) - letters);
	}
	if (optind >= argc)
		return usage();
	if (syscall(SYS_quire_harden, guards ? guards : QUIRE_GUARD_ALL) < 0) {
		perror("harden");
		return EXIT_USAGE;
	}
	execvp(argv[optind], argv + optind);
	fprintf(stderr, "harden: %s: %s\n", argv[optind], strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
