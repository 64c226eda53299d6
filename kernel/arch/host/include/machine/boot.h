#pragma once
/* boot.h (host) - the PC's parsers of loader data and ACPI tables are tested on the host:
 * tests/host/test_boot.c. */
#include "arch/x86_64/include/machine/boot.h"
