#pragma once
/* uirq.h - how many interrupts of a line have reached a CPU, by /proc/interrupts. */
#include <fcntl.h>
#include "utap.h"

static inline long count_interrupts(unsigned line)
{
	char text[8192], label[16];
	int fd = open("/proc/interrupts", O_RDONLY);
	size_t have = 0;
	for (ssize_t n; fd >= 0 && (n = read(fd, text + have, sizeof(text) - 1 - have)) > 0;)
		have += (size_t)n;
	close(fd);
	text[have] = 0;
	snprintf(label, sizeof(label), " %u:", line);
	long sum = 0;
	char *at = strstr(text, label);
	for (at = at ? at + strlen(label) : NULL; at;) {
		char *end;
		long n = strtol(at, &end, 10);
		if (end == at)
			break;
		sum += n;
		at = end;
	}
	return sum;
}
