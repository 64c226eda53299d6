#pragma once
/*
 * init.h - the parts of init, which main.c puts together. One thread does everything: it waits for children,
 * descriptors and times with one call, and nothing that it calls waits for a service. Each service that is
 * asked whether it is well has a second thread, which asks (ping.c).
 */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct config;
struct mount_config;

#define NEVER UINT64_MAX

/* log.c */

enum { SAY_ERROR = 3, SAY_WARNING = 4, SAY_INFO = 6 }; /* as syslog(3) */

/* The descriptor of the system object: say() logs by it. -1: there is none; say() writes to the standard
 * error, or to /dev/kmsg if this is the first program. */
extern int system_object;
__attribute__((format(printf, 2, 3))) void say(int level, const char *format, ...);
/* CLOCK_MONOTONIC, milliseconds. */
uint64_t now_ms(void);

/* mounts.c */

/* Make the disk the root, if there is one and the kernel has not done so. /dev is mounted. */
void change_root(void);
void mount_at(const struct mount_config *m);
/* Unmount everything, the latest first, and make the root read-only. */
void unmount_all(void);

/* settings.c */

/* The configuration of the file `path` below `dir`, or NULL: there is none (errno ENOENT), or it is bad,
 * which was logged. It is used until the end. */
const struct config *settings_read(int dir, const char *path);

/* end.c */

/* Signals that ask for the end of the machine are noted from here on. */
void end_listen(void);
/* The signal that asked for it; 0: none. */
int end_asked(void);
/* End all processes: they are asked to, and killed if they do not. True: there are no more. */
bool end_processes(void);
/* End all processes, write everything back, unmount, and end the machine in the way that was asked for. */
__attribute__((noreturn)) void end_machine(void);

/* getty.c: the programs on terminals. */

void gettys_begin(const struct config *c);
/* Start what is due. */
void gettys_turn(uint64_t now);
/* The child has ended; false: it is no getty. */
bool gettys_reaped(pid_t pid, int status, uint64_t now);
/* When gettys_turn() has something to do. */
uint64_t gettys_due(void);
/* Is there any that runs, or will? */
bool gettys_live(void);
/* Tell those who sit there that their terminals are gone, which also ends shells that ignore SIGTERM. */
void gettys_hang_up(void);

/* control.c: who wants to see or steer services, over a socket. */

enum { CONTROL_POLLS = 5 };
#define CONTROL_PATH "/run/service.socket"

/* Listen at `path`. */
void control_begin(const char *path);
void control_fill(struct pollfd p[CONTROL_POLLS]);
void control_turn(const struct pollfd p[CONTROL_POLLS]);
/* Close everything. */
void control_end(void);
