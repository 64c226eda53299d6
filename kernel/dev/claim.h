#pragma once
/*
 * claim.h - which I/O ports and which memory the kernel itself drives devices by: no program gets them
 * (fs/system.c). Claims are made at boot, by one thread at a time, before programs run; constant afterwards.
 */
#include "lib/types.h"

/* [first, first + count) of the ports. */
void claim_ports(unsigned first, unsigned count);
/* [start, start + len) of physical memory. */
void claim_memory(paddr_t start, uint64_t len);
/* Is any of that claimed? From any context. */
bool claim_has_ports(unsigned first, unsigned count);
bool claim_has_memory(paddr_t start, uint64_t len);
/* Is any of it RAM, or what the boot loader left in RAM? From any context. */
bool memory_has_ram(paddr_t start, uint64_t len);
