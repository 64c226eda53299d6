#pragma once
/* exec_priv.h - what the stages of exec_load share. */
#include "proc/elf.h"
#include "proc/exec.h"
#include "proc/exec_place.h"
#include "proc/script.h"

/* A program or interpreter. */
struct exec_file {
	struct file *file; /* counted, writing denied; the program's is args->file */
	struct elf_image elf;
	uint64_t bias; /* what is added to every linked address */
};

struct exec_load {
	struct user_thread *thread; /* that is to run it */
	const struct fs_context *context;
	struct exec_args *args;
	char head[SCRIPT_HEAD_SIZE];      /* of the file that is looked at */
	struct exec_file program, interp; /* interp.file NULL: none */
	struct cred *cred;                /* counted: what the program runs with */
	struct place *frozen;             /* its place, which nobody else can change; NULL: somebody can */
	bool secure;                      /* AT_SECURE: it has rights that its user has not */
	uint32_t personality;
	struct exec_place place;
	struct vm_space *space;
	uaddr_t sp;
};

/* exec_cred.c */
/* Set cred, secure and personality. -ENOMEM. */
MUST_CHECK err_t exec_choose_cred(struct exec_load *l);
/* exec_stack.c */
/* Map the stack and write everything on it; sets sp and the layout of it. -ENOMEM. */
MUST_CHECK err_t exec_build_stack(struct exec_load *l);
/* Write into the space that is being built: its pages are its own, so only memory can run out. */
MUST_CHECK err_t exec_put(struct vm_space *space, uaddr_t dst, const void *src, size_t n);
