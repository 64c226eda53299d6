#pragma once
/* percpu.h (host) - a CPU of the host port is a POSIX thread that called host_cpu_enter(). */
struct arch_cpu {
	unsigned long cycles;
};
