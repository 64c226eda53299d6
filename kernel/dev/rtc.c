/*
 * rtc.c - see rtc.h.
 *
 * The MC146818 and what is compatible with it: an index port, a data port, time fields in BCD or binary, 12
 * or 24 hours. A field may change while it is read: the clock is read until two readings outside an update
 * agree.
 */
#include "dev/rtc.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "kern/log.h"
#include "kern/wall.h"
#include "lib/string.h"

enum {
	PORT_INDEX = 0x70,
	PORT_DATA = 0x71,
	REG_STATUS_A = 10,
	REG_STATUS_B = 11,
	STATUS_A_UPDATING = 0x80,
	STATUS_B_24_HOURS = 2,
	STATUS_B_BINARY = 4,
	HOUR_PM = 0x80,
	NOTHING = 0xff,        /* where there is no device */
	PATIENCE = 1000000000, /* ns */
	CENTURY = 2000,        /* the register for it is at no fixed place */
};
struct rtc_time {
	uint8_t second, minute, hour, day, month, year;
};

static uint8_t read_register(uint8_t reg)
{
	out8(PORT_INDEX, reg);
	return in8(PORT_DATA);
}

static struct rtc_time read_fields(void)
{
	return (struct rtc_time){read_register(0), read_register(2), read_register(4), read_register(7),
	    read_register(8), read_register(9)};
}

/* Two readings that agree, outside an update, which takes 2 ms, and longer if an emulator is kept waiting.
 * False: the clock never settles, or there is none. */
static bool read_settled(struct rtc_time *out)
{
	struct rtc_time last = {.month = 0xff}, now;
	nsec_t end = clock_now() + PATIENCE;
	do {
		uint8_t status = read_register(REG_STATUS_A);
		if (status == NOTHING)
			return false;
		if (status & STATUS_A_UPDATING)
			continue;
		now = read_fields();
		if (!memcmp(&now, &last, sizeof(now))) {
			*out = now;
			return true;
		}
		last = now;
	} while (clock_now() < end);
	return false;
}

static int field(uint8_t value, bool binary)
{
	return binary ? value : (value >> 4) * 10 + (value & 15);
}

int64_t date_to_seconds(int year, int month, int day, int hour, int minute, int second)
{
	/* Count from 1 March: leap days come last in a year. 400 years have 146,097 days. */
	int64_t y = month > 2 ? year : year - 1;
	int64_t m = (month + 9) % 12;
	int64_t days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + (day - 1) - 719468;
	return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

/* Seconds since 1970, or -1. */
static int64_t decode(const struct rtc_time *t, uint8_t status)
{
	bool binary = status & STATUS_B_BINARY;
	int hour = field(t->hour & (uint8_t)~HOUR_PM, binary);
	if (!(status & STATUS_B_24_HOURS))
		hour = hour % 12 + (t->hour & HOUR_PM ? 12 : 0);
	int month = field(t->month, binary), day = field(t->day, binary);
	int minute = field(t->minute, binary), second = field(t->second, binary),
	    year = field(t->year, binary);
	if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 59 ||
	    year > 99)
		return -1;
	return date_to_seconds(CENTURY + year, month, day, hour, minute, second);
}

void rtc_init(void)
{
	struct rtc_time t;
	int64_t seconds = read_settled(&t) ? decode(&t, read_register(REG_STATUS_B)) : -1;
	if (seconds < 0) {
		log_warn("rtc", "no clock: the time of day starts at 1970-01-01");
		return;
	}
	wall_set_offset((nsec_t)seconds * NSEC_PER_SEC - clock_now());
	log_info("rtc", "booted at %lld s since 1970", (long long)seconds);
}
