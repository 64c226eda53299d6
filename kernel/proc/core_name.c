/*
 * core_name.c - where core files go: the pattern of /proc/sys/kernel/core_pattern and what its % stand for.
 * See core(5). A pattern that begins with '|' is the command line of a program that gets the file through a
 * pipe (core_pipe.c): it is cut into words before anything is put in, so what a user chose is never two
 * words.
 */
#include "kern/spinlock.h"
#include "kern/uts.h"
#include "kern/wall.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "fs/mount.h"
#include "mm/slab.h"
#include "proc/core_priv.h"
#include "proc/cred.h"
#include "proc/procfs_priv.h"

static struct spinlock pattern_lock = SPINLOCK_INIT("core pattern", RANK_SERVICE);
static char pattern[CORE_NAME_MAX] = "core"; /* pattern_lock */
static _Atomic bool is_piped;                /* set under pattern_lock: it begins with '|' */
static _Atomic uint32_t uses_pid, suid_dumpable;

/* --- the settings --- */

static void pattern_copy(char out[CORE_NAME_MAX])
{
	spin_lock(&pattern_lock);
	memcpy(out, pattern, sizeof(pattern));
	spin_unlock(&pattern_lock);
}

void core_show_pattern(struct text *t, UNUSED struct vnode *v)
{
	char now[CORE_NAME_MAX];
	pattern_copy(now);
	text_printf(t, "%s\n", now);
}

/* What is too long is cut, as on Linux. */
int64_t core_store_pattern(UNUSED struct vnode *v, char *s, size_t n)
{
	size_t len = 0;
	while (len < n && len < CORE_NAME_MAX - 1 && s[len] && s[len] != '\n')
		len++;
	if (!current_can(CAP_SYS_ADMIN))
		return -EPERM;
	spin_lock(&pattern_lock);
	memcpy(pattern, s, len);
	pattern[len] = 0;
	store_relaxed(&is_piped, pattern[0] == '|');
	spin_unlock(&pattern_lock);
	return (int64_t)n;
}

bool core_is_piped(void)
{
	return load_relaxed(&is_piped);
}

static int64_t store_number(_Atomic uint32_t *to, const char *s, int64_t min, int64_t max, size_t n)
{
	int64_t value;
	if (!current_can(CAP_SYS_ADMIN))
		return -EPERM;
	if (proc_parse_number(s, &value) || value < min || value > max)
		return -EINVAL;
	store_relaxed(to, (uint32_t)value);
	return (int64_t)n;
}

void core_show_uses_pid(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%d\n", (int)load_relaxed(&uses_pid));
}

int64_t core_store_uses_pid(UNUSED struct vnode *v, char *s, size_t n)
{
	return store_number(&uses_pid, s, INT32_MIN, INT32_MAX, n);
}

void core_show_suid(struct text *t, UNUSED struct vnode *v)
{
	text_printf(t, "%u\n", load_relaxed(&suid_dumpable));
}

int64_t core_store_suid(UNUSED struct vnode *v, char *s, size_t n)
{
	return store_number(&suid_dumpable, s, DUMP_NOBODY, DUMP_ROOT, n);
}

uint32_t core_suid_dumpable(void)
{
	return load_relaxed(&suid_dumpable);
}

/* --- the name --- */

/* Text that a user chose becomes one part of a path: no slashes in it, not empty, not "." or "..". */
static void add_part(struct text *t, const char *s)
{
	bool dots = !strcmp(s, ".") || !strcmp(s, "..");
	if (!*s || dots)
		text_add(t, "!", 1);
	for (s += dots; *s; s++)
		text_add(t, *s == '/' ? "!" : s, 1);
}

/* The path of the program, or its last part. */
static void add_program(struct text *t, struct process *p, bool whole)
{
	struct file *f = process_program(p);
	struct path root;
	char *buf = kmalloc(PATH_LEN_MAX);
	int64_t len = -ENOENT;
	if (f && buf) {
		mount_get_root(&root);
		len = file_describe(f, &root, buf, PATH_LEN_MAX);
		path_put(&root);
	}
	if (len < 0) {
		add_part(t, p->name);
	} else {
		const char *slash = strrchr(buf, '/');
		add_part(t, !whole && slash ? slash + 1 : buf);
	}
	kfree(buf);
	if (f)
		file_put(f);
}

/* What %kind stands for; what is not known stands for nothing. */
static void add_value(struct text *t, char kind, struct process *p, int signal, uint64_t limit)
{
	const struct cred *cred = current_cred();
	struct uts_name uts;
	switch (kind) {
	case '%':
		text_add(t, "%", 1);
		break;
	case 'p':
	case 'P':
		text_printf(t, "%u", p->pid);
		break;
	case 'i':
	case 'I':
		text_printf(t, "%u", current_thread()->tid);
		break;
	case 'u':
		text_printf(t, "%u", cred->uid);
		break;
	case 'g':
		text_printf(t, "%u", cred->gid);
		break;
	case 'd':
		text_printf(t, "%u", load_relaxed(&p->core.dumpable));
		break;
	case 's':
		text_printf(t, "%d", signal);
		break;
	case 't':
		text_printf(t, "%lld", (long long)(wall_now() / 1000000000));
		break;
	case 'h':
		uts_get(&uts);
		add_part(t, uts.nodename);
		break;
	case 'e':
		add_part(t, current_thread()->name);
		break;
	case 'f':
	case 'E':
		add_program(t, p, kind == 'E');
		break;
	case 'c':
		text_printf(t, "%llu", (unsigned long long)limit);
		break;
	}
}

/* Up to the end, or to `stop`. Returns where; *has_pid becomes true with a %p. */
static const char *expand(
    struct text *t, const char *from, char stop, bool *has_pid, struct process *p, int signal, uint64_t limit)
{
	for (; *from && *from != stop; from++) {
		if (*from != '%') {
			text_add(t, from, 1);
			continue;
		}
		if (!from[1])
			continue; /* a single % at the end */
		*has_pid |= *++from == 'p';
		add_value(t, *from, p, signal, limit);
	}
	return from;
}

err_t core_name(struct process *p, int signal, uint64_t limit, char name[CORE_NAME_MAX])
{
	struct text t = {0};
	char from[CORE_NAME_MAX];
	bool has_pid = false;
	pattern_copy(from);
	(void)expand(&t, from, 0, &has_pid, p, signal, limit);
	if (!has_pid && load_relaxed(&uses_pid))
		text_printf(&t, ".%u", p->pid);
	err_t err = t.err ? t.err : t.used >= CORE_NAME_MAX ? -ENAMETOOLONG : 0;
	if (!err) {
		memcpy(name, t.buf, t.used);
		name[t.used] = 0;
	}
	text_fini(&t);
	return err;
}

static err_t one_word(struct text *t, err_t (*fn)(void *arg, const char *word), void *arg)
{
	text_add(t, "", 1);
	return t->err ? t->err : fn(arg, t->buf);
}

err_t core_words(
    struct process *p, int signal, uint64_t limit, err_t (*fn)(void *arg, const char *word), void *arg)
{
	char from[CORE_NAME_MAX];
	bool has_pid, any = false;
	err_t err = 0;
	pattern_copy(from);
	const char *s = from + 1;
	while (!err && from[0] == '|') { /* it may have been changed a moment ago */
		struct text t = {0};
		while (*s == ' ')
			s++;
		if (!*s)
			break;
		s = expand(&t, s, ' ', &has_pid, p, signal, limit);
		err = one_word(&t, fn, arg);
		text_fini(&t);
		any = true;
	}
	return err || any ? err : -ENOENT;
}
