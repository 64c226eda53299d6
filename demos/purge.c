/* purge.c - have volatile memory purged now: purge [FRAMES]. Without a number, all of it. Tells how many
 * frames that freed. */
#include <stdio.h>
#include <stdlib.h>

#define FILE_NAME "/proc/sys/vm/purge"

/* Frames that purges have freed since boot: the third line. */
static long frames_purged(void)
{
	char line[100] = "";
	FILE *f = fopen(FILE_NAME, "r");
	for (int i = 0; f && i < 3; i++)
		if (!fgets(line, sizeof(line), f))
			break;
	if (f)
		fclose(f);
	return f ? atol(line) : -1;
}

int main(int argc, char **argv)
{
	const char *frames = argc > 1 ? argv[1] : "18446744073709551615";
	long before = frames_purged();
	FILE *f = before < 0 ? NULL : fopen(FILE_NAME, "w");
	if (!f || fputs(frames, f) < 0 || fclose(f)) {
		perror(FILE_NAME);
		return 1;
	}
	printf("%ld frames freed\n", frames_purged() - before);
	return 0;
}
