/* user_stack.c - see user_stack.h. */
#include "proc/user_stack.h"
#include "arch/user.h"
#include "fs/file.h"
#include "fs/mount.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/elf_symbols.h"
#include "proc/vdso.h"
#include "vm/copy.h"

struct user_position user_position_of(const struct trap_frame *f)
{
	return (struct user_position){user_frame_pc(f), user_frame_sp(f), user_frame_fp(f)};
}

static bool is_code(struct vm_space *s, uaddr_t pc)
{
	struct region_view r;
	bool there = space_view(s, pc, &r) && r.info.start <= pc && (r.info.prot & VM_EXEC);
	region_view_end(&r);
	return there;
}

unsigned user_backtrace(struct vm_space *s, struct user_position p, uaddr_t *pcs, unsigned max)
{
	struct {
		uaddr_t fp, pc;
	} frame;
	unsigned n = 0;
	size_t done;
	pcs[n++] = p.pc;
	while (n < max && p.fp >= p.sp && IS_ALIGNED(p.fp, sizeof(uaddr_t)) &&
	       !space_read(s, &frame, p.fp, sizeof(frame), &done) && is_code(s, frame.pc)) {
		pcs[n++] = frame.pc;
		if (frame.fp <= p.fp)
			break;
		p.sp = p.fp;
		p.fp = frame.fp;
	}
	return n;
}

static err_t read_file(void *ctx, void *buf, size_t len, uint64_t pos)
{
	return file_read_all(ctx, buf, len, pos);
}

/* The file's path, or its end if that is longer. */
static void add_path(struct file *f, char *buf, size_t size)
{
	char *path = kmalloc(PATH_LEN_MAX);
	struct path root;
	int64_t len = -ENOMEM;
	if (path) {
		mount_get_root(&root);
		len = file_describe(f, &root, path, PATH_LEN_MAX);
		path_put(&root);
	}
	if (len >= 0)
		str_copy(buf, path + MAX(len - (int64_t)size + 1, (int64_t)0), size);
	else
		str_copy(buf, "?", size);
	kfree(path);
}

static void describe_in_file(struct file *f, uint64_t where, bool is_return, char buf[USER_PLACE_MAX])
{
	const struct elf_source source = {read_file, f};
	char name[ELF_SYMBOL_NAME];
	uint64_t offset;
	int n;
	if (elf_symbol_find(&source, where - is_return, name, &offset)) {
		n = format(buf, USER_PLACE_MAX, "%s+%#llx in ", name, (unsigned long long)offset + is_return);
		add_path(f, buf + n, (size_t)(USER_PLACE_MAX - n));
	} else {
		add_path(f, buf, USER_PLACE_MAX - 24);
		format(buf + strlen(buf), 24, "+%#llx", (unsigned long long)where);
	}
}

const char *user_describe_pc(struct vm_space *s, uaddr_t pc, bool is_return, char buf[USER_PLACE_MAX])
{
	struct region_view r;
	bool there = space_view(s, pc, &r) && r.info.start <= pc;
	struct file *f = there ? file_of_vm_name(&r.name) : NULL;
	if (f)
		describe_in_file(f, (r.info.offset << PAGE_SHIFT) + (pc - r.info.start), is_return, buf);
	else
		str_copy(buf,
		    !there                            ? "nothing"
		    : r.info.start == vdso_address(s) ? "[vdso]"
						      : "memory without a file",
		    USER_PLACE_MAX);
	region_view_end(&r);
	return buf;
}
