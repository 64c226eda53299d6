/*
 * usystem.c - the system object and what is made of it: interrupts, device memory, ports, the log. The device
 * is the second serial port of the test machines, which talks to itself (loopback).
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <quire/calls.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <time.h>

#include "uirq.h"
#include "uroot.h"
#include "utap.h"

enum { PAGE = 4096, COM2 = 0x2f8, COM2_LINE = 3, COM_SIZE = 8, PORTS = 65536 };
enum { UART_DATA, UART_IER, UART_FCR, UART_LCR, UART_MCR, UART_LSR, UART_SCRATCH = 7 };
enum { IER_RECEIVED = 1, MCR_LOOPBACK = 0x10, MCR_OUT2 = 8, LSR_READY = 1 };
static int root = -1;
static bool has_uart;

static uint64_t soon(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return ((uint64_t)now.tv_sec + 10) * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static unsigned count_fds(void)
{
	unsigned n = 0;
	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void out(unsigned port, uint8_t value)
{
	__asm__ volatile("outb %0, %w1" : : "a"(value), "d"(port));
}

static uint8_t in(unsigned port)
{
	uint8_t value;
	__asm__ volatile("inb %w1, %0" : "=a"(value) : "d"(port));
	return value;
}

static int carve(const struct quire_scope *scope)
{
	return (int)quire_system_carve(root, scope);
}

/* A descriptor of the system object without one right. */
static int without(unsigned right)
{
	int fd = dup(root);
	return quire_rights_limit(fd, (unsigned)quire_rights_get(fd) & ~right) ? -1 : fd;
}

/* --- who has it --- */

static bool test_root(void)
{
	struct quire_object_info info;
	CHECK(quire_object_info(root, &info, sizeof(info)) == sizeof(info) && info.type == QUIRE_SYSTEM);
	CHECK(info.rights == (QUIRE_RIGHTS_ALL & ~QUIRE_RIGHT_EXEC));
	CHECK(getpid() == 1 || getauxval(QUIRE_AT_SYSTEM) == 0); /* the first program alone is told */
	char c;
	CHECK(FAILS_WITH(read(root, &c, 1), EINVAL) && FAILS_WITH(write(root, &c, 1), EINVAL));
	return true;
}

static int runs_again(void *arg)
{
	char number[12];
	snprintf(number, sizeof(number), "%d", *(int *)arg);
	execl("/proc/self/exe", "usystem", number, (char *)NULL);
	return 2;
}

/* Of what is made here nothing gets to another program by accident. */
static bool test_close_on_exec(void)
{
	int made[] = {carve(&(struct quire_scope){.irqs = {COM2_LINE, 1}}),
	    (int)quire_system_irq(root, COM2_LINE, QUIRE_IRQ_ISA),
	    (int)quire_system_memory(root, 0xfed00000, PAGE, 0)};
	for (unsigned i = 0; i < 3; i++) {
		CHECK(made[i] >= 0 && fcntl(made[i], F_GETFD) == FD_CLOEXEC);
		CHECK(child_exits(runs_again, &made[i], 0));
		close(made[i]);
	}
	return true;
}

/* --- smaller ones --- */

static bool refuses_devices(int fd)
{
	unsigned before = count_fds();
	CHECK(FAILS_WITH(quire_system_irq(fd, COM2_LINE, QUIRE_IRQ_ISA), EACCES));
	CHECK(FAILS_WITH(quire_system_memory(fd, 0xfed00000, PAGE, 0), EACCES));
	CHECK(FAILS_WITH(quire_system_ports(fd, COM2, COM_SIZE), EACCES));
	CHECK(count_fds() == before);
	return true;
}

static bool test_carve(void)
{
	const struct quire_scope com2 = {.irqs = {COM2_LINE, 1}, .ports = {COM2, COM_SIZE}},
				 nothing = {{0, 0}, {0, 0}, {0, 0}};
	struct quire_scope wish = com2;
	int fd = carve(&com2), none = carve(&nothing);
	CHECK(fd >= 0 && none >= 0 && quire_rights_get(fd) == quire_rights_get(root));
	CHECK(refuses_devices(none));
	CHECK(FAILS_WITH(quire_system_carve(none, &com2), EACCES));
	CHECK(FAILS_WITH(quire_system_memory(fd, 0xfed00000, PAGE, 0), EACCES));
	CHECK(FAILS_WITH(quire_system_irq(fd, COM2_LINE + 1, 0), EACCES));
	CHECK(FAILS_WITH(quire_system_ports(fd, COM2 - 1, 1), EACCES));
	CHECK(FAILS_WITH(quire_system_ports(fd, COM2, COM_SIZE + 1), EACCES));
	wish.irqs.first--; /* ... and each way to want more than it has */
	CHECK(FAILS_WITH(quire_system_carve(fd, &wish), EACCES));
	wish = com2, wish.irqs.count++;
	CHECK(FAILS_WITH(quire_system_carve(fd, &wish), EACCES));
	wish = com2, wish.ports.count = UINT64_MAX;
	CHECK(FAILS_WITH(quire_system_carve(fd, &wish), EACCES));
	wish = com2, wish.memory = (struct quire_range){0, 1};
	CHECK(FAILS_WITH(quire_system_carve(fd, &wish), EACCES));
	wish = (struct quire_scope){.ports = {COM2 + 1, 1}};
	int less = (int)quire_system_carve(fd, &wish);
	CHECK(less >= 0 && FAILS_WITH(quire_system_ports(less, COM2, 1), EACCES));
	int line = (int)quire_system_irq(fd, COM2_LINE, QUIRE_IRQ_ISA);
	CHECK(line >= 0);
	close(line);
	close(less);
	close(none);
	close(fd);
	return true;
}

static bool test_carve_keeps_rights(void)
{
	const struct quire_scope com2 = {.irqs = {COM2_LINE, 1}};
	int fd = without(QUIRE_RIGHT_MANAGE | QUIRE_RIGHT_WRITE), part = (int)quire_system_carve(fd, &com2);
	CHECK(part >= 0 && quire_rights_get(part) == quire_rights_get(fd));
	CHECK(FAILS_WITH(quire_system_log_write(part, 6, "no"), EACCES));
	close(part);
	close(fd);
	return true;
}

/* --- what is missing, and what there is not --- */

static bool test_without_rights(void)
{
	const struct quire_scope nothing = {{0, 0}, {0, 0}, {0, 0}};
	struct quire_log_record record;
	int fd = without(QUIRE_RIGHT_MAP);
	CHECK(refuses_devices(fd));
	close(fd);
	fd = without(QUIRE_RIGHT_MANAGE);
	CHECK(FAILS_WITH(quire_system_power(fd, QUIRE_POWER_OFF), EACCES)); /* and here we are */
	close(fd);
	fd = without(QUIRE_RIGHT_READ);
	CHECK(FAILS_WITH(quire_system_log_read(fd, &record), EACCES));
	close(fd);
	fd = without(QUIRE_RIGHT_WRITE);
	CHECK(FAILS_WITH(quire_system_log_write(fd, 6, "never seen"), EACCES));
	close(fd);
	fd = without(QUIRE_RIGHT_DUPLICATE);
	CHECK(FAILS_WITH(quire_system_carve(fd, &nothing), EACCES));
	close(fd);
	return true;
}

static bool test_no_such(void)
{
	static const struct {
		uint64_t first, count;
	} ports[] = {{PORTS, 1}, {0x2f8, 0}, {PORTS - 1, 2}, {0x2f8, 0xfffffffe}, {0xffffffff, 1}},
	  memory[] = {{0xfed00800, PAGE}, {0xfed00000, 0}, {0xfed00000, PAGE - 1}, {0xfed00000, -PAGE},
	      {-PAGE, PAGE}, {1ULL << 52, PAGE}, {0xfed00000, 1ULL << 52}};
	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		CHECK(FAILS_WITH(
		    quire_system_ports(root, (unsigned)ports[i].first, (unsigned)ports[i].count), EINVAL));
	for (unsigned i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
		CHECK(FAILS_WITH(quire_system_memory(root, memory[i].first, memory[i].count, 0), EINVAL));
	CHECK(FAILS_WITH(quire_system_memory(root, 0xfed00000, PAGE, 2), EINVAL));
	CHECK(FAILS_WITH(quire_system_irq(root, 100000, 0), EINVAL));
	CHECK(FAILS_WITH(quire_system_irq(root, 16, QUIRE_IRQ_ISA), EINVAL));
	CHECK(FAILS_WITH(quire_system_irq(root, 3, QUIRE_IRQ_ISA | QUIRE_IRQ_LEVEL), EINVAL));
	CHECK(FAILS_WITH(quire_system_irq(root, 3, 8), EINVAL));
	CHECK(FAILS_WITH(quire_system_power(root, 3), EINVAL));
	CHECK(FAILS_WITH(quire_system_log_write(root, 8, "x"), EINVAL));
	return true;
}

static bool test_kernel_uses_it(void)
{
	static const unsigned ports[] = {0x20, 0x43, 0xa1, 0xf4, 0x3f8, 0x3ff, 0xcf8, 0xcf9, 0xcff};
	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		CHECK(FAILS_WITH(quire_system_ports(root, ports[i], 1), EBUSY));
	CHECK(FAILS_WITH(quire_system_ports(root, 0, PORTS), EBUSY));
	CHECK(FAILS_WITH(quire_system_memory(root, 0xfee00000, PAGE, 0), EBUSY)); /* LAPIC */
	CHECK(FAILS_WITH(quire_system_memory(root, 0xfec00000, PAGE, 0), EBUSY)); /* IOAPIC */
	CHECK(FAILS_WITH(quire_system_memory(root, 0xfeb00000, 0x1000000, 0), EBUSY));
	CHECK(FAILS_WITH(quire_system_irq(root, 4, QUIRE_IRQ_ISA), EBUSY)); /* the console's */
	return true;
}

static bool test_ram(void)
{
	static const uint64_t starts[] = {0, 0x1000, 0x100000, 0x1000000, 0x3fff000};
	for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		CHECK(FAILS_WITH(quire_system_memory(root, starts[i], PAGE, 0), EPERM));
	CHECK(FAILS_WITH(quire_system_memory(root, 0xa0000, 0x100000, 0), EPERM)); /* the end of it */
	return true;
}

/* --- ports --- */

static int touches(void *arg)
{
	in(*(unsigned *)arg);
	return 0;
}

static int opens_and_touches(void *arg)
{
	unsigned *ports = arg;
	UCHECK(quire_system_ports(root, COM2, COM_SIZE) == 0);
	in(COM2);
	in(COM2 + COM_SIZE - 1);
	in(ports[0]);
	return 0;
}

static int child_has_none(void *arg)
{
	(void)arg;
	unsigned port = COM2;
	UCHECK(quire_system_ports(root, COM2, COM_SIZE) == 0);
	UCHECK(child_dies(touches, &port, SIGSEGV));
	UCHECK(quire_system_ports(root, COM2 - 8, 8) == 0); /* more of them, later */
	in(COM2 - 8);
	in(COM2);
	return 0;
}

static int exec_has_none(void *arg)
{
	(void)arg;
	UCHECK(quire_system_ports(root, COM2, COM_SIZE) == 0);
	in(COM2);
	execl("/proc/self/exe", "usystem", "ports", (char *)NULL);
	return 2;
}

static bool test_ports(void)
{
	unsigned first = COM2, below = COM2 - 1, above = COM2 + COM_SIZE;
	CHECK(child_dies(touches, &first, SIGSEGV));
	CHECK(child_exits(opens_and_touches, &first, 0));
	CHECK(child_dies(opens_and_touches, &below, SIGSEGV));
	CHECK(child_dies(opens_and_touches, &above, SIGSEGV));
	CHECK(child_exits(child_has_none, NULL, 0));
	CHECK(child_dies(exec_has_none, NULL, SIGSEGV));
	CHECK(child_dies(touches, &first, SIGSEGV)); /* we never had them */
	return true;
}

static _Atomic int go, stop, turns;

/* Runs, on whatever CPU, before there are ports, and goes on touching them while more come. */
static void *thread_touches(void *arg)
{
	(void)arg;
	while (!go)
		sched_yield();
	while (!stop) {
		in(COM2);
		turns++;
	}
	return NULL;
}

static int threads_share(void *arg)
{
	pthread_t t[2];
	(void)arg;
	for (unsigned i = 0; i < 2; i++)
		UCHECK(!pthread_create(&t[i], NULL, thread_touches, NULL));
	UCHECK(quire_system_ports(root, COM2, COM_SIZE) == 0);
	go = 1;
	for (unsigned port = 0x1000; port < 0x1400; port++) {
		UCHECK(quire_system_ports(root, port, 1) == 0);
		in(port);
	}
	for (int from = turns; turns - from < 1000;)
		sched_yield();
	stop = 1;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	return 0;
}

/* Those who have ports and those who have not take turns on each CPU. */
static bool test_ports_of_threads(void)
{
	unsigned port = COM2;
	for (unsigned i = 0; i < 5; i++) {
		CHECK(child_exits(threads_share, NULL, 0));
		CHECK(child_dies(touches, &port, SIGSEGV));
	}
	return true;
}

/* --- device memory --- */

/* The timer that PCs have there (HPET), which the kernel does not use, or nothing. */
static bool test_memory(void)
{
	enum { BASE = 0xfed00000 };
	for (unsigned flags = 0; flags < 2; flags++) {
		int fd = (int)quire_system_memory(root, BASE, PAGE, flags);
		CHECK(fd >= 0);
		const volatile uint32_t *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		CHECK(at != MAP_FAILED);
		uint32_t id = at[0];
		CHECK(id == UINT32_MAX || id == 0 || at[0] >> 16 == 0x8086);
		CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EINVAL);
		CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE) == MAP_FAILED && errno == EINVAL);
		CHECK(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
		CHECK(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0) == MAP_FAILED);
		CHECK(errno == EACCES && FAILS_WITH(mprotect((void *)at, PAGE, PROT_EXEC), EACCES));
		const volatile uint32_t *too = (void *)quire_vma_map(-1, fd, NULL, 0, PAGE, QUIRE_MAP_READ);
		CHECK((long)too != -1 && too[0] == id && munmap((void *)too, PAGE) == 0);
		CHECK(FAILS_WITH(quire_vma_map(-1, fd, NULL, PAGE, PAGE, QUIRE_MAP_READ), EINVAL));
		CHECK(FAILS_WITH(quire_vmo_physical(fd), EACCES)); /* nobody manages it */
		close(fd);
		CHECK(at[0] == id); /* the mapping stays */
		CHECK(munmap((void *)at, PAGE) == 0);
	}
	return true;
}

static bool test_memory_rights(void)
{
	int fd = (int)quire_system_memory(root, 0xfed00000, PAGE, 0);
	char c;
	CHECK(FAILS_WITH(read(fd, &c, 1), EINVAL) && FAILS_WITH(ftruncate(fd, 0), EINVAL));
	CHECK(quire_rights_limit(fd, (unsigned)quire_rights_get(fd) & ~(unsigned)QUIRE_RIGHT_WRITE) == 0);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
	CHECK(quire_rights_limit(fd, (unsigned)quire_rights_get(fd) & ~(unsigned)QUIRE_RIGHT_MAP) == 0);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
	close(fd);
	return true;
}

/* --- interrupts --- */

/* Its ports are ours, and there is a UART at them, which hears what it says. */
static bool uart_begin(void)
{
	if (!has_uart)
		return false;
	out(COM2 + UART_IER, 0);
	out(COM2 + UART_LCR, 3);
	out(COM2 + UART_MCR, MCR_LOOPBACK | MCR_OUT2);
	out(COM2 + UART_FCR, 0); /* a byte at a time */
	in(COM2 + UART_DATA);
	out(COM2 + UART_IER, IER_RECEIVED);
	return true;
}

/* Have it interrupt: its line is up until what it heard is read. */
static bool uart_raise(void)
{
	uint64_t end = soon();
	struct timespec now;
	out(COM2 + UART_DATA, 'x');
	do {
		if (in(COM2 + UART_LSR) & LSR_READY)
			return true;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((uint64_t)now.tv_sec * 1000000000ULL < end);
	return false;
}

static void uart_lower(void)
{
	while (in(COM2 + UART_LSR) & LSR_READY)
		in(COM2 + UART_DATA);
}

static bool reaches(long count)
{
	struct timespec now;
	for (uint64_t end = soon(); count_interrupts(COM2_LINE) < count; sched_yield()) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((uint64_t)now.tv_sec * 1000000000ULL > end)
			return false;
	}
	return true;
}

static bool comes(int irq)
{
	struct quire_wait w = {.fd = irq, .mask = QUIRE_SIGNAL_READABLE};
	return quire_object_wait(&w, 1, soon()) == 1;
}

static bool has_come(int irq)
{
	struct quire_wait w = {.fd = irq, .mask = QUIRE_SIGNAL_READABLE};
	struct pollfd p = {.fd = irq, .events = POLLIN};
	bool readable = quire_object_wait(&w, 1, QUIRE_NOW) == 1;
	return poll(&p, 1, 0) == readable && readable;
}

static int take(unsigned flags)
{
	return (int)quire_system_irq(root, COM2_LINE, flags);
}

static int takes(void *arg)
{
	return *(int *)arg != (take(QUIRE_IRQ_ISA) < 0 ? errno : 0);
}

static bool test_one_holder(void)
{
	int busy = EBUSY, none = 0;
	int irq = take(QUIRE_IRQ_ISA);
	CHECK(irq >= 0 && FAILS_WITH(take(QUIRE_IRQ_ISA), EBUSY) && FAILS_WITH(take(0), EBUSY));
	CHECK(child_exits(takes, &busy, 0));
	int copy = dup(irq);
	close(irq);
	CHECK(child_exits(takes, &busy, 0));
	close(copy);
	CHECK(child_exits(takes, &none, 0));
	return true;
}

/* The line is down: what is still to be told is told, and acknowledged. An emulator may raise a line that is
 * up already, which makes one edge more. */
static bool settle(int irq)
{
	uart_lower();
	do
		CHECK(quire_irq_acknowledge(irq) == 0);
	while (has_come(irq));
	return true;
}

static bool test_edge(void)
{
	if (!uart_begin())
		return true;
	int irq = take(QUIRE_IRQ_ISA);
	CHECK(irq >= 0);
	CHECK(uart_raise() && !has_come(irq)); /* not acknowledged yet: masked */
	uart_lower();
	CHECK(quire_irq_acknowledge(irq) == 0 && quire_irq_acknowledge(irq) == 0);
	for (unsigned i = 0; i < 100; i++)
		CHECK(uart_raise() && comes(irq) && has_come(irq) && settle(irq));
	close(irq);
	return true;
}

/* It comes once, and once again when it was acknowledged while the device still wants something. */
static bool test_level(void)
{
	if (!uart_begin())
		return true;
	int irq = take(QUIRE_IRQ_LEVEL);
	CHECK(irq >= 0 && uart_raise() && !has_come(irq));
	uart_lower();
	CHECK(quire_irq_acknowledge(irq) == 0);
	for (unsigned i = 0; i < 100; i++) {
		CHECK(uart_raise() && comes(irq) && has_come(irq));
		CHECK(quire_irq_acknowledge(irq) == 0 && comes(irq));
		uart_lower();
		CHECK(quire_irq_acknowledge(irq) == 0 && !has_come(irq));
	}
	close(irq);
	return true;
}

/* An edge while the one before is not acknowledged is told afterwards; any number of them are one, and cost
 * no interrupts. */
static bool test_edge_remembered(void)
{
	if (!uart_begin())
		return true;
	int irq = take(QUIRE_IRQ_ISA);
	long count = count_interrupts(COM2_LINE);
	CHECK(irq >= 0 && quire_irq_acknowledge(irq) == 0);
	CHECK(uart_raise() && comes(irq));
	uart_lower();
	CHECK(uart_raise() && reaches(count + 2));
	for (unsigned i = 0; i < 100; i++) { /* masked by now, but one may be on its way */
		uart_lower();
		CHECK(uart_raise());
	}
	CHECK(count_interrupts(COM2_LINE) <= count + 3);
	CHECK(quire_irq_acknowledge(irq) == 0 && has_come(irq) && settle(irq));
	CHECK(uart_raise() && comes(irq) && settle(irq));
	close(irq);
	return true;
}

/* A line that nobody lowers costs one interrupt for each acknowledgement. */
static bool test_storm(void)
{
	if (!uart_begin())
		return true;
	int irq = take(QUIRE_IRQ_LEVEL);
	long count = count_interrupts(COM2_LINE);
	CHECK(irq >= 0 && uart_raise());
	for (unsigned i = 0; i < 1000; i++)
		CHECK(quire_irq_acknowledge(irq) == 0 && comes(irq));
	CHECK(count_interrupts(COM2_LINE) == count + 1000);
	close(irq); /* while it is up */
	irq = take(QUIRE_IRQ_LEVEL);
	CHECK(irq >= 0 && !has_come(irq) && quire_irq_acknowledge(irq) == 0 && comes(irq));
	uart_lower();
	close(irq);
	return true;
}

static bool receives(int from, uint64_t tag, uint64_t deadline)
{
	struct quire_message m;
	return quire_endpoint_receive(from, &m, deadline) == 0 && m.reply == QUIRE_NOTIFICATION &&
	       m.tag == tag;
}

static bool test_endpoint(void)
{
	int ends[2];
	struct quire_message m;
	if (!uart_begin())
		return true;
	int irq = take(QUIRE_IRQ_LEVEL);
	CHECK(irq >= 0 && quire_endpoint_create(ends, 0) == 0);
	CHECK(FAILS_WITH(quire_irq_bind(irq, ends[1], 0), EINVAL));
	CHECK(FAILS_WITH(quire_irq_bind(irq, ends[0], 1), EACCES));
	CHECK(quire_irq_bind(irq, ends[1], 5) == 0 && FAILS_WITH(quire_irq_bind(irq, ends[1], 1), EBUSY));
	CHECK(quire_irq_acknowledge(irq) == 0 &&
	      FAILS_WITH(quire_endpoint_receive(ends[0], &m, QUIRE_NOW), ETIMEDOUT));
	for (unsigned i = 0; i < 50; i++) {
		CHECK(uart_raise() && receives(ends[0], 5, soon()) && has_come(irq));
		CHECK(FAILS_WITH(quire_endpoint_receive(ends[0], &m, QUIRE_NOW), ETIMEDOUT));
		uart_lower();
		CHECK(quire_irq_acknowledge(irq) == 0);
	}
	CHECK(quire_irq_bind(irq, -1, 0) == 0 && quire_irq_bind(irq, -1, 0) == 0);
	CHECK(uart_raise() && comes(irq));
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[0], &m, QUIRE_NOW), ETIMEDOUT));
	CHECK(quire_irq_bind(irq, ends[1], 8) == 0 && receives(ends[0], 8, QUIRE_NOW)); /* it had come */
	uart_lower();
	close(ends[1]); /* the interrupt keeps it open */
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[0], &m, QUIRE_NOW), ETIMEDOUT));
	close(irq);
	CHECK(FAILS_WITH(quire_endpoint_receive(ends[0], &m, QUIRE_NEVER), EPIPE));
	close(ends[0]);
	return true;
}

static bool test_nobody_receives(void)
{
	int ends[2];
	if (!uart_begin())
		return true;
	int irq = take(QUIRE_IRQ_LEVEL);
	CHECK(irq >= 0 && quire_endpoint_create(ends, 0) == 0 && quire_irq_bind(irq, ends[1], 1) == 0);
	close(ends[0]);
	CHECK(quire_irq_acknowledge(irq) == 0 && uart_raise() && comes(irq));
	CHECK(quire_irq_bind(irq, -1, 0) == 0 && FAILS_WITH(quire_irq_bind(irq, ends[1], 1), EPIPE));
	uart_lower();
	close(irq);
	close(ends[1]);
	return true;
}

static int drives_until_killed(void *arg)
{
	int ends[2], irq = take(QUIRE_IRQ_LEVEL);
	struct quire_message m;
	if (irq < 0 || quire_endpoint_create(ends, 0) || quire_irq_bind(irq, ends[1], 1) ||
	    write(*(int *)arg, "x", 1) != 1)
		return 1;
	for (;;) /* the line is up: an interrupt for each turn */
		if (quire_irq_acknowledge(irq) || quire_endpoint_receive(ends[0], &m, soon()))
			return 1;
}

/* In the midst of a storm of interrupts. */
static bool test_holder_killed(void)
{
	int ready[2], status;
	char c;
	if (!uart_begin())
		return true;
	CHECK(uart_raise());
	for (unsigned i = 0; i < 20; i++) {
		long count = count_interrupts(COM2_LINE);
		CHECK(pipe(ready) == 0);
		pid_t pid = fork();
		if (pid == 0)
			_exit(drives_until_killed(&ready[1]));
		close(ready[1]);
		CHECK(read(ready[0], &c, 1) == 1 && reaches(count + 1 + i % 5));
		CHECK(FAILS_WITH(take(QUIRE_IRQ_LEVEL), EBUSY));
		CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
		int irq = take(QUIRE_IRQ_LEVEL);
		CHECK(irq >= 0 && !has_come(irq));
		close(irq);
		close(ready[0]);
	}
	uart_lower();
	return true;
}

static int closing;

static void *thread_closes(void *arg)
{
	(void)arg;
	while (!go)
		sched_yield();
	close(closing);
	return NULL;
}

/* Acknowledging, binding and closing at the same time, with the line up: each works or finds it closed. */
static bool test_races(void)
{
	int ends[2];
	if (!uart_begin())
		return true;
	CHECK(uart_raise() && quire_endpoint_create(ends, 0) == 0);
	for (unsigned i = 0; i < 100; i++) {
		pthread_t t;
		go = 0;
		closing = take(QUIRE_IRQ_LEVEL);
		CHECK(closing >= 0 && !pthread_create(&t, NULL, thread_closes, NULL));
		go = 1;
		for (unsigned k = 0; k < 20; k++) {
			CHECK(!quire_irq_acknowledge(closing) || errno == EBADF);
			CHECK(!quire_irq_bind(closing, ends[1], 1) || errno == EBADF || errno == EBUSY);
		}
		pthread_join(t, NULL);
	}
	uart_lower();
	close(ends[0]);
	close(ends[1]);
	return true;
}

/* --- the log --- */

static bool next_is(int fd, const char *text, int level)
{
	struct quire_log_record r;
	do /* the kernel may have something to say as well */
		CHECK(quire_system_log_read(fd, &r) == 0);
	while (strcmp(r.subsystem, "diag"));
	CHECK(r.len == strlen(r.text) && strstr(r.text, text) && r.level == level &&
	      !strcmp(r.subsystem, "diag"));
	return true;
}

static bool read_all(int fd)
{
	struct quire_log_record r;
	uint64_t last = 0, time = 0;
	while (quire_system_log_read(fd, &r) == 0) {
		CHECK(!last || (r.seq == last + 1 + r.lost && r.time >= time / 2));
		last = r.seq;
		time = r.time;
	}
	CHECK(errno == EAGAIN);
	return true;
}

static bool test_log(void)
{
	const struct quire_scope nothing = {{0, 0}, {0, 0}, {0, 0}};
	int a = carve(&nothing), b = carve(&nothing), same = dup(a);
	CHECK(read_all(a) && read_all(b));
	CHECK(quire_system_log_write(a, 3, "first") == 0 && quire_diag("second") == 0);
	CHECK(FAILS_WITH(quire_system_log_read(a, BAD), EFAULT));    /* it is still the next */
	CHECK(next_is(a, "first", 3) && next_is(same, "second", 6)); /* one position */
	CHECK(next_is(b, "first", 3) && next_is(b, "second", 6));
	close(a);
	close(b);
	close(same);
	return true;
}

/* All is read, and nothing has come since. */
static bool is_quiet(int fd, int ep)
{
	struct quire_wait w = {.fd = fd, .mask = QUIRE_SIGNAL_HAS_LOG};
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
	struct epoll_event e;
	for (unsigned tries = 0; tries < 100; tries++) {
		CHECK(read_all(fd));
		if (quire_object_wait(&w, 1, QUIRE_NOW) == -1 && poll(&p, 1, 0) == 0 &&
		    epoll_wait(ep, &e, 1, 0) == 0)
			return true;
	}
	return false;
}

static void *thread_waits_for_log(void *arg)
{
	struct quire_wait w = {.fd = *(int *)arg, .mask = QUIRE_SIGNAL_HAS_LOG};
	go = 1;
	return (void *)(intptr_t)(quire_object_wait(&w, 1, soon()) == 1);
}

static bool test_has_log(void)
{
	const struct quire_scope nothing = {{0, 0}, {0, 0}, {0, 0}};
	int fd = carve(&nothing), ep = epoll_create1(0);
	struct quire_wait w = {.fd = fd, .mask = QUIRE_SIGNAL_HAS_LOG};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct epoll_event e = {.events = EPOLLIN};
	CHECK(quire_object_wait(&w, 1, QUIRE_NOW) == 1); /* of the boot */
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
	for (unsigned i = 0; i < 50; i++) {
		pthread_t t;
		void *found;
		CHECK(is_quiet(fd, ep));
		go = 0;
		CHECK(!pthread_create(&t, NULL, thread_waits_for_log, &fd));
		while (!go)
			sched_yield();
		if (i % 2)
			usleep(500); /* either order must work */
		CHECK(quire_diag("news") == 0 && !pthread_join(t, &found) && found);
		CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN && epoll_wait(ep, &e, 1, 0) == 1);
	}
	CHECK(is_quiet(fd, ep) && quire_diag("one") == 0 && epoll_wait(ep, &e, 1, 10000) == 1);
	CHECK(poll(&p, 1, 10000) == 1);
	close(ep);
	close(fd);
	return true;
}

static void *thread_reads_kmsg(void *arg)
{
	char line[1024];
	go = 1;
	for (;;) {
		ssize_t n = read(*(int *)arg, line, sizeof(line) - 1);
		if (n < 0 && errno != EPIPE)
			return NULL;
		line[n > 0 ? n : 0] = 0;
		if (strstr(line, "to kmsg"))
			return arg;
	}
}

/* Linux's face of the same: a read sleeps until there is a record. */
static bool test_kmsg(void)
{
	int fd = open("/dev/kmsg", O_RDONLY);
	for (unsigned i = 0; i < 50; i++) {
		pthread_t t;
		void *found;
		CHECK(lseek(fd, 0, SEEK_END) == 0);
		go = 0;
		CHECK(!pthread_create(&t, NULL, thread_reads_kmsg, &fd));
		while (!go)
			sched_yield();
		if (i % 2)
			usleep(500);
		CHECK(quire_diag("to kmsg") == 0 && !pthread_join(t, &found) && found);
	}
	struct pollfd p = {.fd = fd, .events = POLLIN};
	CHECK(quire_diag("more") == 0 && poll(&p, 1, 0) == 1 && p.revents == POLLIN);
	for (unsigned i = 0; i < 1000; i++)
		CHECK(quire_diag("a line") == 0);
	CHECK(poll(&p, 1, 0) == 1 && p.revents == (POLLIN | POLLERR)); /* overrun */
	char line[1024];
	CHECK(FAILS_WITH(read(fd, line, sizeof(line)), EPIPE));
	close(fd);
	return true;
}

/* Who is slow is told how many he has missed. */
static bool test_log_lost(void)
{
	enum { LINES = 2000 };
	const struct quire_scope nothing = {{0, 0}, {0, 0}, {0, 0}};
	struct quire_log_record r;
	int fd = carve(&nothing);
	uint64_t seen = 0;
	CHECK(read_all(fd));
	for (unsigned i = 0; i < LINES; i++)
		CHECK(quire_system_log_write(fd, 7, "a line") == 0);
	while (quire_system_log_read(fd, &r) == 0)
		seen += 1 + r.lost;
	CHECK(errno == EAGAIN && seen >= LINES);
	close(fd);
	return true;
}

static const struct utest tests[] = {
    {"the first program's system object", test_root},
    {"what is made of it is closed on exec", test_close_on_exec},
    {"carved into smaller ones", test_carve},
    {"rights go along", test_carve_keeps_rights},
    {"without each right", test_without_rights},
    {"numbers that there are not", test_no_such},
    {"what the kernel uses itself", test_kernel_uses_it},
    {"memory is no device", test_ram},
    {"ports", test_ports},
    {"ports of threads on other CPUs", test_ports_of_threads},
    {"device memory", test_memory},
    {"rights to device memory", test_memory_rights},
    {"an interrupt line has one holder", test_one_holder},
    {"interrupts by edge", test_edge},
    {"interrupts by level", test_level},
    {"edges are remembered", test_edge_remembered},
    {"a storm of interrupts", test_storm},
    {"interrupts notify an endpoint", test_endpoint},
    {"nobody receives", test_nobody_receives},
    {"the holder is killed", test_holder_killed},
    {"races with close", test_races},
    {"the log has readers with positions of their own", test_log},
    {"the log says what was lost", test_log_lost},
    {"who waits for the log is woken", test_has_log},
    {"a read of kmsg is woken", test_kmsg},
};

/* As a program that was run by this one: what did it get? As the first program: end the machine. */
static int as_child(const char *what)
{
	if (strcmp(what, "off") == 0)
		return (int)quire_system_power((int)getauxval(QUIRE_AT_SYSTEM), QUIRE_POWER_OFF);
	if (strcmp(what, "ports") == 0)
		in(COM2);
	return fcntl(atoi(what), F_GETFD) >= 0;
}

static bool find_uart(void)
{
	if (quire_system_ports(root, COM2, COM_SIZE))
		return false;
	out(COM2 + UART_SCRATCH, 0x5a);
	return in(COM2 + UART_SCRATCH) == 0x5a;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return as_child(argv[1]);
	bool mounted = access("/proc/self", F_OK) != 0;
	if (mounted && ((mkdir("/proc", 0555) && errno != EEXIST) || mount("proc", "/proc", "proc", 0, NULL)))
		return 1;
	root = system_given();
	int failed = 0;
	if (root <= 0) {
		printf("1..0 # SKIP nobody gave us the system object\n");
	} else {
		fcntl(root, F_SETFD, FD_CLOEXEC);
		has_uart = find_uart();
		printf("# %s\n", has_uart ? "with interrupts" : "no second serial port: no interrupts");
		failed = UTEST_RUN(tests);
	}
	if (mounted)
		umount("/proc");
	return failed;
}
