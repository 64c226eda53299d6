#pragma once
/* log_news.h - readers of the kernel log that can be waited for. See log_news.c. */
#include "object/kobject.h"

/* (C) constant; (N) the lock of log_news.c; (O) its owner's lock for readers */
struct log_reader {
	struct list link;       /* (N) among those that wait; else alone */
	struct kobject *object; /* (C) whose signals tell */
	uint64_t next;          /* (O) and (N) to change: number of the record to be read next */
};

/* Once at boot. */
void log_news_init(void);
/* r, a part of what lives as long as `object`, reads from the oldest record on. Has the signals of a reader:
 * readable, with an error and priority if the next record was overwritten. */
void log_reader_init(struct log_reader *r, struct kobject *object);
void log_reader_fini(struct log_reader *r);
/* It reads on from `next`: bring the signals up to date. Owner's lock held. */
void log_reader_move(struct log_reader *r, uint64_t next);
/* Somebody looks at the signals: bring them up to date, and keep them so as long as somebody observes them.
 * No lock is needed. */
void log_reader_look(struct log_reader *r);
/* Sleep until there is a record. -EINTR. No lock is held. */
MUST_CHECK err_t log_reader_wait(struct log_reader *r);
