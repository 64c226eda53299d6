#pragma once
/* commit.h - what memory has been promised. See commit.c. */
#include "lib/err.h"
#include "lib/types.h"

enum commit_mode {
	COMMIT_GUESS,
	COMMIT_ALWAYS,
	COMMIT_NEVER
}; /* the numbers of vm.overcommit_memory: "never" more than there is */

/* Promise npages while `gone` of those promised are about to be given back, which their owner does then;
 * `own`: pages that the asker's space has. -ENOMEM: too many, and nothing is promised. */
MUST_CHECK err_t commit_exchange(uint64_t npages, uint64_t gone, uint64_t own);
/* The same for npages that cannot be refused any more, as they are about to be given back. */
void commit_count_more(uint64_t npages);
/* npages of what was promised are not needed any more. */
void commit_return(uint64_t npages);
/* Pages that are promised now, and how many may be in COMMIT_NEVER. */
uint64_t commit_count(void);
uint64_t commit_limit(void);

enum commit_mode commit_mode(void);
void commit_set_mode(enum commit_mode m);
/* The limit as a share of memory in per cent, or in KiB: setting one makes the other 0. */
uint32_t commit_ratio(void);
void commit_set_ratio(uint32_t percent);
uint64_t commit_kib(void);
void commit_set_kib(uint64_t kib);
/* Who knows whether the current thread may administer the machine (CAP_SYS_ADMIN). */
void commit_set_privileged(bool (*current_is_privileged)(void));
