#pragma once
/* core_priv.h - what the files that write core files share. */
#include "arch/user.h"
#include "fs/file.h"
#include "fs/text.h"
#include "proc/core.h"
#include "proc/process.h"
#include "vm/space.h"

enum { CORE_NAME_MAX = 128 }; /* of the pattern and of the name, with the terminator: as on Linux */

/* A thread that is in the kernel until the file is done, on its own stack. */
struct core_thread {
	struct list link; /* (T) in core_state.parked */
	struct user_thread *thread;
};

/* A region that goes into the file. */
struct core_segment {
	uaddr_t start, end;
	uint64_t filesz; /* bytes from `start` on whose contents are in the file */
	unsigned prot;   /* enum vm_prot */
	bool by_copy;    /* device memory that its own program may read: the vDSO */
};

/* One core file. With `file` NULL, what is emitted is only counted. */
struct core_file {
	struct process *process; /* the current one */
	const struct signal_info *info;
	struct file *file;
	uint64_t pos;     /* where the next byte goes */
	uint64_t written; /* bytes that were really written */
	uint64_t limit;   /* of these: RLIMIT_CORE */
	err_t err;        /* the first; nothing is written after it. -EFBIG: over the limit */
	struct core_segment *segments;
	unsigned nsegments;
	struct text mapped;  /* contents of the note on mapped files */
	void *scratch;       /* a page */
	uint64_t limit_size; /* RLIMIT_FSIZE */
	bool streams;        /* the file is a pipe: no holes, no positions, no limits */
};

/* core_name.c */
/* The name by the pattern, of p, which `signal` ends. -ENAMETOOLONG. */
MUST_CHECK err_t core_name(struct process *p, int signal, uint64_t limit, char name[CORE_NAME_MAX]);
/* Is it the command line of a program that gets the file through a pipe? */
bool core_is_piped(void);
/* That command line: fn for each word. -ENOMEM, -ENOENT (there is no word), what fn says. */
MUST_CHECK err_t core_words(
    struct process *p, int signal, uint64_t limit, err_t (*fn)(void *arg, const char *word), void *arg);

/* core_pipe.c */
/* The same as for a file. True: the program has the whole of it. */
bool core_pipe(struct core_file *c);

/* core_file.c */
/* Write the ELF file. All other threads are parked. May sleep. */
void core_file_write(struct core_file *c);
/* n bytes at the end of what there is. */
void core_emit(struct core_file *c, const void *buf, size_t n);

/* core_segments.c */
/* Choose the regions that go into the file, and what is said of mapped files. */
MUST_CHECK err_t core_segments_take(struct core_file *c);

/* core_note.c */
void core_emit_notes(struct core_file *c);
