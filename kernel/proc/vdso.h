#pragma once
/* vdso.h - the vDSO in the memory of processes. */
#include "lib/err.h"
#include "lib/types.h"

struct vm_space;
struct vm_object;

/* Once at boot, when all CPUs run. */
void vdso_init(void);
/* Map it below `ceiling` of a space that is being built, at a random place if so wanted. *ehdr: where its ELF
 * header is, for AT_SYSINFO_EHDR. -ENOMEM: the space is to be dropped. */
MUST_CHECK err_t vdso_map(struct vm_space *space, uaddr_t ceiling, bool randomize, uaddr_t *ehdr);
/* Where its ELF header is, as the auxiliary vector told the program; 0: it has none. */
uaddr_t vdso_address(const struct vm_space *space);
