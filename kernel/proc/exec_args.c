/*
 * exec_args.c - collects the strings of a program to start; see exec.h.
 *
 * Limits are Linux's: a string has at most EXEC_STRING_MAX bytes; path, strings and the pointers to them
 * together may take a quarter of the stack's limit.
 */
#include "arch/usercopy.h"
#include "fs/file.h"
#include "lib/string.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "proc/exec.h"

enum {
	FIRST_CAPACITY = 1024,
	KMALLOC_MAX = 32 << 10, /* beyond, contiguous frames would be asked for needlessly */
};

/* --- blocks of strings --- */

static char *buffer_alloc(size_t size)
{
	return size <= KMALLOC_MAX ? kmalloc(size) : kva_alloc_buffer(size);
}
static void buffer_free(char *buffer, size_t size)
{
	if (!buffer)
		return;
	if (size <= KMALLOC_MAX)
		kfree(buffer);
	else
		kva_free_buffer(buffer);
}

static void strings_fini(struct exec_strings *s)
{
	buffer_free(s->bytes, s->capacity);
	*s = (struct exec_strings){0};
}

/* Make room for `more` further bytes. */
static err_t strings_reserve(struct exec_strings *s, size_t more)
{
	size_t capacity = MAX(s->capacity, (size_t)FIRST_CAPACITY);
	while (capacity - s->used < more)
		capacity *= 2;
	if (capacity == s->capacity)
		return 0;
	char *bytes = buffer_alloc(capacity);
	if (!bytes)
		return -ENOMEM;
	if (s->used)
		memcpy(bytes, s->bytes, s->used);
	buffer_free(s->bytes, s->capacity);
	s->bytes = bytes;
	s->capacity = capacity;
	return 0;
}

static err_t strings_add(struct exec_strings *s, const char *string)
{
	size_t size = strlen(string) + 1;
	err_t err = size > EXEC_STRING_MAX ? -E2BIG : strings_reserve(s, size);
	if (err)
		return err;
	memcpy(s->bytes + s->used, string, size);
	s->used += size;
	s->count++;
	return 0;
}

/* Add one string of the current space. */
static err_t strings_add_user(struct exec_strings *s, uaddr_t string)
{
	for (;;) {
		size_t room = MIN(s->capacity - s->used, (size_t)EXEC_STRING_MAX);
		int64_t len = room ? copy_string_from_user(s->bytes + s->used, string, room) : -ENAMETOOLONG;
		if (len >= 0) {
			s->used += (size_t)len + 1;
			s->count++;
			return 0;
		}
		if (len != -ENAMETOOLONG)
			return (err_t)len;
		err_t err = room == EXEC_STRING_MAX ? -E2BIG : strings_reserve(s, room + 1);
		if (err)
			return err;
	}
}

/* --- all of it --- */

void exec_args_init(struct exec_args *a, uint64_t stack_limit)
{
	uint64_t limit = MIN(stack_limit / 4, (uint64_t)EXEC_ARGS_MAX);
	*a = (struct exec_args){.limit = MAX(limit, (uint64_t)EXEC_ARGS_MIN)};
}

void exec_args_fini(struct exec_args *a)
{
	if (a->file)
		file_put_exec(a->file);
	strings_fini(&a->args);
	strings_fini(&a->env);
	kfree(a->path);
	kfree(a->interp);
}

/* Does everything still fit together? */
static err_t check_total(const struct exec_args *a)
{
	uint64_t used = a->args.used + a->env.used + strlen(a->path) + 1;
	return a->pointers >= a->limit || used > a->limit - a->pointers ? -E2BIG : 0;
}

static char *copy_string(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = kmalloc(size);
	if (copy)
		memcpy(copy, s, size);
	return copy;
}

err_t exec_args_set_path(struct exec_args *a, const char *path)
{
	ASSERT(!a->path);
	a->path = copy_string(path);
	return a->path ? 0 : -ENOMEM;
}

err_t exec_args_add_arg(struct exec_args *a, const char *s)
{
	a->pointers += sizeof(uaddr_t);
	err_t err = strings_add(&a->args, s);
	return err ? err : check_total(a);
}

err_t exec_args_add_env(struct exec_args *a, const char *s)
{
	a->pointers += sizeof(uaddr_t);
	err_t err = strings_add(&a->env, s);
	return err ? err : check_total(a);
}

/* How many strings the array has; more than can be is -E2BIG. */
static err_t count_user(const struct exec_args *a, uaddr_t array, unsigned *count)
{
	uaddr_t s;
	for (*count = 0; array; array += sizeof(s), ++*count) {
		err_t err = copy_from_user(&s, array, sizeof(s));
		if (err || !s)
			return err;
		if (*count > a->limit / sizeof(s))
			return -E2BIG;
	}
	return 0;
}

/* Add `count` strings: what another thread makes of the array meanwhile is its own affair. */
static err_t fetch_array(struct exec_args *a, struct exec_strings *to, uaddr_t array, unsigned count)
{
	err_t err = 0;
	for (unsigned i = 0; i < count && !err; i++) {
		uaddr_t s;
		err = copy_from_user(&s, array + i * sizeof(s), sizeof(s));
		if (!err)
			err = strings_add_user(to, s);
		if (!err)
			err = check_total(a);
	}
	return err;
}

err_t exec_args_fetch(struct exec_args *a, uaddr_t argv, uaddr_t envp)
{
	unsigned argc, envc;
	err_t err = count_user(a, argv, &argc);
	if (!err)
		err = count_user(a, envp, &envc);
	if (err)
		return err;
	a->pointers = ((uint64_t)MAX(argc, 1u) + envc) * sizeof(uaddr_t);
	err = check_total(a);
	if (!err)
		err = fetch_array(a, &a->env, envp, envc);
	if (!err)
		err = fetch_array(a, &a->args, argv, argc);
	if (!err && argc == 0)
		err = strings_add(&a->args, "");
	return err ? err : check_total(a);
}

/* The new arguments: interpreter, its argument, the script, and what the script got itself. */
static err_t build_script_args(
    const struct exec_args *a, const char *interp, const char *arg, struct exec_strings *to)
{
	const struct exec_strings *old = &a->args;
	size_t first = strlen(old->bytes) + 1;
	err_t err = strings_add(to, interp);
	if (!err && arg)
		err = strings_add(to, arg);
	if (!err)
		err = strings_add(to, a->interp ? a->interp : a->path);
	if (!err)
		err = strings_reserve(to, old->used - first);
	if (err)
		return err;
	memcpy(to->bytes + to->used, old->bytes + first, old->used - first);
	to->used += old->used - first;
	to->count += old->count - 1;
	return 0;
}

err_t exec_args_enter_script(struct exec_args *a, const char *interp, const char *arg)
{
	struct exec_strings args = {0};
	char *copy = copy_string(interp);
	err_t err = copy ? build_script_args(a, interp, arg, &args) : -ENOMEM;
	if (err) {
		strings_fini(&args);
		kfree(copy);
		return err;
	}
	strings_fini(&a->args);
	a->args = args;
	kfree(a->interp);
	a->interp = copy;
	return check_total(a);
}

err_t exec_args_open(struct exec_args *a, const struct fs_context *c, const struct path *base,
    const char *name, unsigned walk_flags)
{
	struct path path;
	ASSERT(!a->file);
	err_t err = vfs_lookup(c, base, name, walk_flags, &path);
	if (err)
		return err;
	err = vfs_open_exec(c, &path, &a->file);
	path_put(&path);
	return err;
}
