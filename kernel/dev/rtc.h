#pragma once
/* rtc.h - the time of day, from the battery-backed clock of a PC. */
#include "lib/types.h"

/* Set the time of day (kern/wall.h) from the clock, which is taken to run in UTC. Once at boot. Without one,
 * or with one that makes no sense, the boot time is 1970-01-01 and the log says so. */
void rtc_init(void);
/* Seconds since 1970-01-01 of a date of the Gregorian calendar, month 1 ... 12, day 1 ... 31. */
int64_t date_to_seconds(int year, int month, int day, int hour, int minute, int second);
