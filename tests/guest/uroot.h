#pragma once
/* uroot.h - for programs that are trusted with the machine: the system object that is good for all of it. */
#include <stdlib.h>
#include <sys/auxv.h>

#include "quire/system.h"

/* A descriptor of it, or no number above 0: nobody gave us any. The first program has it in its auxiliary
 * vector; urun tells us by a variable. */
static inline int system_given(void)
{
	const char *given = getenv("QUIRE_SYSTEM");
	return given ? atoi(given) : (int)getauxval(QUIRE_AT_SYSTEM);
}
