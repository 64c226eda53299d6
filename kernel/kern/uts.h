#pragma once
/* uts.h - what the system calls itself: uname(2), /proc/version, /proc/sys/kernel. */
#include "lib/err.h"

enum { UTS_LENGTH = 65 }; /* with the terminator, as in the ABI */

/* struct new_utsname of the ABI. */
struct uts_name {
	char sysname[UTS_LENGTH], nodename[UTS_LENGTH], release[UTS_LENGTH], version[UTS_LENGTH],
	    machine[UTS_LENGTH], domainname[UTS_LENGTH];
};

void uts_get(struct uts_name *out);
/* len < UTS_LENGTH bytes, not terminated. */
void uts_set_nodename(const char *name, size_t len);
void uts_set_domainname(const char *name, size_t len);
