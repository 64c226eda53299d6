#pragma once
/*
 * fpu.h - x87, SSE and AVX state of user threads. The kernel itself is compiled without; so the state is
 * touched by thread switches, fork, exec and signals only.
 */
#include "lib/err.h"

struct fpu_area;

/* Turn the FPU on; on the boot CPU also find the size of the state. Part of cpu_enter. */
void fpu_enter(void);
/* Bytes that fpu_save writes: XSAVE's standard form, or FXSAVE's 512. */
size_t fpu_size(void);
/* A fresh program's state. NULL: no memory. */
struct fpu_area *fpu_create(void);
void fpu_destroy(struct fpu_area *a); /* NULL allowed */
void fpu_reset(struct fpu_area *a);
/* Registers to area and back. */
void fpu_save(struct fpu_area *a);
void fpu_load(const struct fpu_area *a);
/* Is this a state that fpu_load takes without a fault? For states that come from user space (signal frames):
 * clears what would fault, where that is enough. */
bool fpu_sanitize(struct fpu_area *a);
