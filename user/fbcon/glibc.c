/* glibc.c - what Debian's libtsm.a wants of the C library that it was compiled for, and musl does not have.
 * */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, ...);

/* snprintf, which knows how large the array behind `to` is. */
int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, ...)
{
	va_list args;
	(void)flag;
	va_start(args, format);
	int n = vsnprintf(to, size < room ? size : room, format, args);
	va_end(args);
	return n;
}
