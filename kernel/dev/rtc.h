#pragma once
/* rtc.h - the time of day, from the battery-backed clock of a PC. */
#include "lib/types.h"

/* Read the clock. Once at boot. Without one, or with one that makes no sense, the boot time is 1970-01-01 and
 * the log says so. */
void rtc_init(void);
/* Time of day when clock_now() was 0: nanoseconds since 1970-01-01 00:00 UTC. The hardware clock is taken to
 * run in UTC. */
nsec_t rtc_boot_time(void);
/* Seconds since 1970-01-01 of a date of the Gregorian calendar, month 1 ... 12, day 1 ... 31. */
int64_t date_to_seconds(int year, int month, int day, int hour, int minute, int second);
