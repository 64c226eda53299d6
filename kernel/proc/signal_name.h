#pragma once
/* signal_name.h - the names of signals, apart for who needs nothing else of them. */

/* SIGHUP ... SIGSYS; "signal" for other numbers. */
const char *signal_name(int signal);
