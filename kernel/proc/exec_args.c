/* exec_args.c - collects the strings of a program to start; see exec.h. */
#include "arch/usercopy.h"
#include "lib/string.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "proc/exec.h"

enum {
	FIRST_CAPACITY = 4096,
	KMALLOC_MAX = 32 << 10, /* beyond, contiguous frames would be asked for needlessly */
};

static char *buffer_alloc(size_t size)
{
	return size <= KMALLOC_MAX ? kmalloc(size) : kva_alloc_buffer(size);
}
static void buffer_free(char *buffer, size_t size)
{
	if (size <= KMALLOC_MAX)
		kfree(buffer);
	else
		kva_free_buffer(buffer);
}

void exec_args_init(struct exec_args *a)
{
	*a = (struct exec_args){0};
}

void exec_args_fini(struct exec_args *a)
{
	if (a->strings)
		buffer_free(a->strings, a->capacity);
	exec_args_init(a);
}

/* Twice the room. -E2BIG when that is more than strings may take. */
static err_t grow(struct exec_args *a)
{
	size_t capacity = a->capacity ? a->capacity * 2 : FIRST_CAPACITY;
	if (capacity > EXEC_ARGS_MAX)
		return -E2BIG;
	char *strings = buffer_alloc(capacity);
	if (!strings)
		return -ENOMEM;
	memcpy(strings, a->strings, a->used);
	if (a->strings)
		buffer_free(a->strings, a->capacity);
	a->strings = strings;
	a->capacity = capacity;
	return 0;
}

/* Do the strings and the pointers to them still fit together? */
static err_t check_total(const struct exec_args *a)
{
	return a->used + ((uint64_t)a->argc + a->envc) * sizeof(uaddr_t) > EXEC_ARGS_MAX ? -E2BIG : 0;
}

static err_t add(struct exec_args *a, const char *s)
{
	size_t size = strlen(s) + 1;
	while (size > a->capacity - a->used) {
		err_t err = grow(a);
		if (err)
			return err;
	}
	memcpy(a->strings + a->used, s, size);
	a->used += size;
	return check_total(a);
}

/* Add one string of the current space, of at most max bytes with its terminator, else -E2BIG. */
static err_t add_user(struct exec_args *a, uaddr_t s, size_t max)
{
	for (;;) {
		size_t room = MIN(a->capacity - a->used, max);
		int64_t len = room ? copy_string_from_user(a->strings + a->used, s, room) : -ENAMETOOLONG;
		if (len >= 0) {
			a->used += (size_t)len + 1;
			return check_total(a);
		}
		if (len != -ENAMETOOLONG)
			return (err_t)len;
		err_t err = room == max ? -E2BIG : grow(a);
		if (err)
			return err;
	}
}

/* Add the strings of a user array. */
static err_t add_user_array(struct exec_args *a, uaddr_t array, unsigned *count)
{
	for (; array; array += sizeof(uaddr_t)) {
		uaddr_t s;
		err_t err = copy_from_user(&s, array, sizeof(s));
		if (err || !s)
			return err;
		err = add_user(a, s, EXEC_STRING_MAX);
		if (err)
			return err;
		(*count)++;
	}
	return 0;
}

err_t exec_args_add_user(struct exec_args *a, uaddr_t argv, uaddr_t envp)
{
	err_t err = add_user_array(a, argv, &a->argc);
	if (!err &&
	    a->argc == 0) { /* no argument at all confuses programs: they get an empty one, as on Linux */
		err = exec_args_add_arg(a, "");
	}
	return err ? err : add_user_array(a, envp, &a->envc);
}

err_t exec_args_add_arg(struct exec_args *a, const char *s)
{
	ASSERT(a->envc == 0);
	a->argc++;
	return add(a, s);
}

err_t exec_args_add_env(struct exec_args *a, const char *s)
{
	a->envc++;
	return add(a, s);
}

err_t exec_args_set_path(struct exec_args *a, const char *path)
{
	ASSERT(a->used == 0);
	return add(a, path);
}

err_t exec_args_set_path_user(struct exec_args *a, uaddr_t path)
{
	ASSERT(a->used == 0);
	err_t err = add_user(a, path, EXEC_PATH_MAX);
	if (err == -E2BIG)
		return -ENAMETOOLONG;
	return err ? err : a->strings[0] ? 0 : -ENOENT;
}
