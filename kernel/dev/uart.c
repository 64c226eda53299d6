/*
 * uart.c - the 16550 serial port as console of last resort.
 *
 * Output is polled; input interrupts once somebody wants it. Nothing here allocates, locks or sleeps, so
 * panic can use it from an NMI.
 *
 * A port that is not there reads as all ones (floating bus); the scratch register and the loopback test tell
 * one that is.
 */
#include "dev/uart.h"
#include "arch/cpu.h"
#include "arch/irq.h"
#include "lib/atomic.h"

enum {
	COM1 = 0x3f8,
	UART_DATA = 0,
	UART_IER = 1,
	UART_FCR = 2, /* writing */
	UART_IIR = 2, /* reading */
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_SCRATCH = 7,
	IER_DATA_AND_LINE = 0x05,
	ISA_IRQ = 4,
	LCR_8N1 = 0x03,
	LCR_DLAB = 0x80,
	MCR_DTR_RTS_OUT2 = 0x0b,
	MCR_LOOPBACK = 0x1e,
	LSR_DATA_READY = 0x01,
	LSR_PARITY = 0x04,
	LSR_FRAMING = 0x08,
	LSR_BREAK = 0x10,
	LSR_FAULTS = LSR_PARITY | LSR_FRAMING | LSR_BREAK,
	LSR_TX_EMPTY = 0x20,
	FCR_ENABLE_CLEAR = 0x07,
	DIVISOR_115200 = 1,
	PROBE_BYTE = 0xae,
	IIR_FIFO_WORKS = 0xc0,
	FIFO_SIZE = 16,
	/* At 115200 baud a byte takes 87 us; a port access takes about 1 us, so this is more than a second.
	 */
	TX_SPINS_MAX = 1 << 20,
};

static bool present;
static _Atomic uint32_t
    faults_seen; /* by somebody who looked at the line status for another reason: looking clears them */
static unsigned fifo_size; /* bytes that an empty transmitter takes: 1 on a 16450 */

static bool scratch_works(uint8_t value)
{
	out8(COM1 + UART_SCRATCH, value);
	return in8(COM1 + UART_SCRATCH) == value;
}

static bool loopback_works(void)
{
	out8(COM1 + UART_MCR, MCR_LOOPBACK);
	out8(COM1 + UART_DATA, PROBE_BYTE);
	for (int i = 0; i < 1000; i++)
		if (in8(COM1 + UART_LSR) & LSR_DATA_READY)
			return in8(COM1 + UART_DATA) == PROBE_BYTE;
	return false;
}

void uart_init(void)
{
	present = false;
	if (!scratch_works(0x55) || !scratch_works(0xaa))
		return;
	out8(COM1 + UART_IER, 0);
	out8(COM1 + UART_LCR, LCR_DLAB);
	out8(COM1 + UART_DATA, DIVISOR_115200);
	out8(COM1 + UART_IER, 0);
	out8(COM1 + UART_LCR, LCR_8N1);
	out8(COM1 + UART_FCR, FCR_ENABLE_CLEAR);
	fifo_size = (in8(COM1 + UART_IIR) & IIR_FIFO_WORKS) == IIR_FIFO_WORKS ? FIFO_SIZE : 1;
	present = loopback_works();
	out8(COM1 + UART_MCR, MCR_DTR_RTS_OUT2);
}

bool uart_is_present(void)
{
	return present;
}

/* Wait until the transmitter is empty: then it takes fifo_size bytes without asking again. */
static bool wait_transmitter(void)
{
	for (unsigned i = 0; i < TX_SPINS_MAX; i++) {
		uint8_t status = in8(COM1 + UART_LSR);
		if (status & LSR_FAULTS)
			fetch_or_acq_rel(&faults_seen, status & LSR_FAULTS);
		if (status & LSR_TX_EMPTY)
			return true;
		cpu_relax();
	}
	return false;
}

static void put_byte(uint8_t byte, unsigned *room)
{
	if (!present)
		return;
	if (*room == 0) {
		if (!wait_transmitter()) {
			present = false;
			return;
		}
		*room = fifo_size;
	}
	out8(COM1 + UART_DATA, byte);
	--*room;
}

void uart_write(const char *s, size_t n)
{
	unsigned room = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n')
			put_byte('\r', &room);
		put_byte((uint8_t)s[i], &room);
	}
}

void uart_write_raw(const uint8_t *bytes, size_t n)
{
	unsigned room = 0;

	for (size_t i = 0; i < n; i++)
		put_byte(bytes[i], &room);
}

bool uart_receive(uint8_t *byte, enum uart_fault *fault)
{
	if (!present)
		return false;
	uint32_t status = in8(COM1 + UART_LSR) | (fetch_and_acq_rel(&faults_seen, 0) & LSR_FAULTS);
	if (!(status & LSR_DATA_READY))
		return false;
	*byte = in8(COM1 + UART_DATA);
	*fault = status & LSR_BREAK ? UART_BREAK : status & (LSR_PARITY | LSR_FRAMING) ? UART_BAD : UART_GOOD;
	return true;
}

err_t uart_enable_input(void (*handler)(void *arg))
{
	enum irq_trigger trigger;
	bool active_low;
	unsigned gsi;
	if (!present)
		return -ENODEV;
	irq_isa_route(ISA_IRQ, &gsi, &trigger, &active_low);
	err_t err = irq_connect(gsi, trigger, active_low, handler, NULL);
	if (err)
		return err;
	out8(COM1 + UART_IER, IER_DATA_AND_LINE);
	irq_unmask(gsi);
	return 0;
}
