/* procfs_limits.c - see procfs_limits.h. */
#include "proc/procfs_limits.h"
#include "lib/string.h"
#include "proc/ipc.h"

enum { SEM_NUMBERS = 4 };

/* A file that says one number, from 0 to `most`. */
#define NUMBER(ident, field, most)                                                                           \
	void ipc_show_##ident(struct text *t, UNUSED struct vnode *v)                                        \
	{                                                                                                    \
		text_printf(t, "%u\n", load_relaxed(&ipc_limits.field));                                     \
	}                                                                                                    \
	int64_t ipc_store_##ident(UNUSED struct vnode *v, char *s, size_t n)                                 \
	{                                                                                                    \
		int64_t value;                                                                               \
		if (proc_parse_number(s, &value) || value < 0 || value > (most))                             \
			return -EINVAL;                                                                      \
		store_relaxed(&ipc_limits.field, (uint32_t)value);                                           \
		return (int64_t)n;                                                                           \
	}
NUMBER(msgmax, msg_size, INT32_MAX)
NUMBER(msgmnb, msg_queue, INT32_MAX)
NUMBER(msgmni, msg_count, IPC_COUNT_MAX)
NUMBER(shmmni, shm_count, IPC_COUNT_MAX)

/* A file that says one number of 64 bits. */
#define LONG_NUMBER(ident, field)                                                                            \
	void ipc_show_##ident(struct text *t, UNUSED struct vnode *v)                                        \
	{                                                                                                    \
		text_printf(t, "%llu\n", (unsigned long long)load_relaxed(&ipc_limits.field));               \
	}                                                                                                    \
	int64_t ipc_store_##ident(UNUSED struct vnode *v, char *s, size_t n)                                 \
	{                                                                                                    \
		uint64_t value;                                                                              \
		size_t len = n;                                                                              \
		while (len && (s[len - 1] == '\n' || s[len - 1] == ' '))                                     \
			len--;                                                                               \
		s[len] = 0;                                                                                  \
		if (!str_to_u64(s, &value))                                                                  \
			return -EINVAL;                                                                      \
		store_relaxed(&ipc_limits.field, value);                                                     \
		return (int64_t)n;                                                                           \
	}
LONG_NUMBER(shmmax, shm_bytes)
LONG_NUMBER(shmall, shm_pages)

void ipc_show_sem(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%u\t%u\t%u\t%u\n", load_relaxed(&ipc_limits.sem_array),
	    load_relaxed(&ipc_limits.sem_total), load_relaxed(&ipc_limits.sem_ops),
	    load_relaxed(&ipc_limits.sem_count));
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Up to four numbers; those that are not given stay. */
int64_t ipc_store_sem(UNUSED struct vnode *v, char *s, size_t n)
{
	_Atomic uint32_t *const fields[SEM_NUMBERS] = {
	    &ipc_limits.sem_array, &ipc_limits.sem_total, &ipc_limits.sem_ops, &ipc_limits.sem_count};
	int64_t values[SEM_NUMBERS];
	unsigned given = 0;
	for (char *at = s; given < SEM_NUMBERS; given++) {
		while (is_space(*at))
			at++;
		if (!*at)
			break;
		char *word = at;
		while (*at && !is_space(*at))
			at++;
		if (*at)
			*at++ = 0;
		if (proc_parse_number(word, &values[given]) || values[given] < 0 || values[given] > INT32_MAX)
			return -EINVAL;
	}
	if (given == SEM_NUMBERS && values[SEM_NUMBERS - 1] > IPC_COUNT_MAX)
		return -ERANGE;
	for (unsigned i = 0; i < given; i++)
		store_relaxed(fields[i], (uint32_t)values[i]);
	return given ? (int64_t)n : -EINVAL;
}
