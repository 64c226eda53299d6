#pragma once
/*
 * sleeplock.h - the rank check of sleeping locks, for mutex.c and rwlock.c only. What a thread holds is
 * recorded in struct thread, in debug kernels.
 */
#include "kern/mutex.h"
#include "kern/thread.h"

/* May the current context sleep for this lock, and does its rank come after those of the locks that the
 * thread holds? Panics if not. */
void sleeplock_check(const void *lock, const char *name, int rank, void *where);
/* Record that the current thread has it; and that it has it no longer. */
void sleeplock_acquired(const void *lock, const char *name, int rank, void *where);
void sleeplock_released(const void *lock, const char *name);
