#pragma once
/* thread.h (host) - the host's own stack switching is used; nothing to keep. */
struct arch_thread {
	int unused;
};
