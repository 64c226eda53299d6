/*
 * uts.c - see uts.h.
 *
 * Programs ask for the names to know which ABI they run on. The ABI is Linux's, as of the release given: C
 * libraries refuse to start on older ones, and configuration scripts look for the name. The suffix of the
 * release and the version say whose kernel it is.
 */
#include "kern/uts.h"
#include "kern/spinlock.h"
#include "lib/string.h"

static struct spinlock uts_lock = SPINLOCK_INIT("uts", RANK_SERVICE);

static struct uts_name uts = {
    .sysname = "Linux",
    .nodename = "quire", /* uts_lock */
    .release = "6.1.0-quire",
    .version = "#1 SMP Quire",
    .machine = "x86_64",
    .domainname = "(none)", /* uts_lock */
};

void uts_get(struct uts_name *out)
{
	spin_lock(&uts_lock);
	*out = uts;
	spin_unlock(&uts_lock);
}

static void set(char *to, const char *name, size_t len)
{
	ASSERT(len < UTS_LENGTH);
	spin_lock(&uts_lock);
	memset(to, 0, UTS_LENGTH);
	memcpy(to, name, len);
	spin_unlock(&uts_lock);
}

void uts_set_nodename(const char *name, size_t len)
{
	set(uts.nodename, name, len);
}

void uts_set_domainname(const char *name, size_t len)
{
	set(uts.domainname, name, len);
}
