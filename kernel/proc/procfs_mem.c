/*
 * procfs_mem.c - /proc/PID/mem: the memory of a process as a file, the position being the address.
 *
 * Whoever opens it has to have the right to debug the process, and keeps what he opened: the memory that the
 * process had then, not that of a program which it runs later. He keeps a record of it only, so that memory
 * goes when the process does; reading then finds the end.
 */
#include "mm/slab.h"
#include "proc/procfs_memory.h"
#include "proc/procfs_priv.h"
#include "vm/copy.h"

/* Move one piece, of at most a page. Bytes or an error. */
static int64_t move_piece(struct vm_space *s, struct uio *u, uaddr_t at, char *buf, bool write)
{
	size_t n = MIN(u->left, (size_t)PAGE_SIZE), done = 0, moved = 0;
	err_t err = write ? uio_read(u, buf, n, &done) : space_peek(s, buf, at, n, &done);
	if (err && !done)
		return write ? err : -EIO;
	err = write ? space_poke(s, at, buf, done, &moved) : uio_write(u, buf, done, &moved);
	return moved ? (int64_t)moved : write ? -EIO : err;
}

static int64_t move_all(struct vm_space *s, struct uio *u, uint64_t *pos, bool write)
{
	int64_t total = 0, done = 0;
	char *buf = kmalloc(PAGE_SIZE);
	if (!buf)
		return -ENOMEM;
	while (u->left) {
		done = move_piece(s, u, *pos, buf, write);
		if (done <= 0)
			break;
		total += done;
		*pos += (uint64_t)done;
	}
	kfree(buf);
	return total ? total : done;
}

static int64_t mem_move(struct file *f, struct uio *u, uint64_t *pos, bool write)
{
	struct vm_space *s = f->priv;
	if (!space_recall(s))
		return 0;
	int64_t done = move_all(s, u, pos, write);
	space_put(s);
	return done;
}

static int64_t mem_read(struct file *f, struct uio *u, uint64_t *pos)
{
	return mem_move(f, u, pos, false);
}

static int64_t mem_write(struct file *f, struct uio *u, uint64_t *pos)
{
	return mem_move(f, u, pos, true);
}

/* Any address is a position. */
static int64_t mem_seek(struct file *f, int64_t offset, int whence)
{
	if (whence != FILE_SEEK_SET && whence != FILE_SEEK_CUR)
		return -EINVAL;
	f->pos = (uint64_t)offset + (whence == FILE_SEEK_CUR ? f->pos : 0);
	return (int64_t)f->pos;
}

static void mem_release(struct file *f)
{
	space_forget(f->priv);
}

static const struct file_ops mem_file_ops = {
    .read = mem_read, .write = mem_write, .seek = mem_seek, .release = mem_release};

err_t memory_open(const struct proc_node *n, struct file *f)
{
	if (!current_may_access(n->process, n->tid))
		return -EACCES;
	struct vm_space *s = process_space(n->process);
	if (!s)
		return -ESRCH;
	space_remember(s);
	space_put(s);
	f->priv = s;
	f->ops = &mem_file_ops;
	return 0;
}
