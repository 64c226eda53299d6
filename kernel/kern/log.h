#pragma once
/*
 * log.h - the kernel log: a ring of records with sequence numbers, writable from any context, NMI and panic
 * included. Readers keep their own position and learn how many records they missed. Never allocates, never
 * waits for a reader.
 */
#include "lib/err.h"
#include "lib/printf.h"

enum log_level { LOG_EMERG, LOG_ALERT, LOG_CRIT, LOG_ERR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

struct log_record {
	uint64_t seq;
	nsec_t time;
	uint32_t cpu;
	uint8_t level;
	char subsystem[11];
	uint16_t len;
	char text[256]; /* terminated; longer messages are cut */
};

void log_print(enum log_level level, const char *subsystem, const char *fmt, ...) PRINTF(3, 4);
void log_vprint(enum log_level level, const char *subsystem, const char *fmt, va_list args) PRINTF(3, 0);
#define log_err(sub, ...)   log_print(LOG_ERR, sub, __VA_ARGS__)
#define log_warn(sub, ...)  log_print(LOG_WARN, sub, __VA_ARGS__)
#define log_info(sub, ...)  log_print(LOG_INFO, sub, __VA_ARGS__)
#define log_debug(sub, ...) log_print(LOG_DEBUG, sub, __VA_ARGS__)

/* Where records go as they are written (the serial console), besides the ring; NULL: nowhere. Level: records
 * above it are not echoed. */
void log_set_console(void (*write)(const char *s, size_t n), enum log_level max);
/* Have the records before number `end` been shown there, now that this CPU has done what it can? If not,
 * another CPU is at it, or a record is not complete yet: who must not go on before gives way to others and
 * asks again. Without a console all are. */
bool log_is_shown(uint64_t end);
/* The number that the next record gets. */
uint64_t log_end(void);
/* Change that level; returns what it was. */
enum log_level log_console_level(enum log_level max);
/* Bytes of text that the ring holds. */
size_t log_capacity(void);
/* Read the first record with sequence number >= *seq; advances *seq past it; *lost gets how many were
 * overwritten in between. -EAGAIN: there is none yet. */
MUST_CHECK err_t log_read(uint64_t *seq, struct log_record *out, uint64_t *lost);
/* Would log_read give a record? *lost: some before it were overwritten. */
bool log_has(uint64_t seq, bool *lost);
/* Have tell called after a record was written, if the writer holds no spinlock and interrupts are enabled.
 * Nobody tells of what is written elsewhere: who waits for records looks again now and then. Once at boot. */
void log_set_listener(void (*tell)(void));
/* Write the last `max` records to the console again (panic). */
void log_replay(unsigned max);
