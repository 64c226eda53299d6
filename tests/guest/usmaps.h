#pragma once
/* usmaps.h - what smaps says of one window. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* A line of the window of a process that begins at p, in KiB; -1: there is none. */
static inline long smaps_field(pid_t pid, const void *p, const char *name)
{
	char path[32], line[512];
	bool here = false;
	long value = -1;
	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	FILE *f = fopen(path, "r");
	while (f && value < 0 && fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start == (unsigned long)p;
		else if (here && !strncmp(line, name, strlen(name)))
			value = strtol(line + strlen(name), NULL, 10);
	}
	if (f)
		fclose(f);
	return value;
}
