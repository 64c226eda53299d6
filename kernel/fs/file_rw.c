/*
 * file_rw.c - regular files: read, write, size, mapping, all through the page cache.
 *
 * The cache is the vnode's VM object, the same that mappings show. A page is pinned, copied from or to
 * through the direct map, and let go: it is never locked, so the other side of the copy may be a mapping of
 * the same page. The vnode's lock is held for reading or writing around a whole call, which makes appends and
 * overlapping writes atomic; page faults on the user's side take no vnode lock.
 *
 *	         size                       npages * PAGE_SIZE
 *	 data ────┼─── zeros of the last page ──┤        a mapping may have written there: what lies beyond the end is
 *	                                                 zeroed when the file grows over it, and when it is cut
 *
 * A write grows the object first, then fills pages, and the size follows page by page, since what lies behind
 * it is not written back: if it stops early, the object is cut again to what the size says.
 */
#include "fs/memfd.h"
#include "fs/mount.h"
#include "fs/notify.h"
#include "fs/pipe.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "vm/fault.h"
#include "vm/space.h"

enum { ATIME_STALE = 24 * 3600, ALLOC_KEEP_SIZE = 1 }; /* seconds; the ABI's FALLOC_FL_KEEP_SIZE */

static pgidx_t pages_of(uint64_t size)
{
	return size / PAGE_SIZE + (size % PAGE_SIZE != 0);
}

/* --- access time --- */

static bool is_later(const struct timespec64 *a, const struct timespec64 *b)
{
	return a->sec != b->sec ? a->sec > b->sec : a->nsec > b->nsec;
}

static bool atime_is_due(const struct mount *m, const struct vnode *v, const struct timespec64 *now)
{
	if (load_relaxed(&m->flags) & MOUNT_STRICTATIME)
		return is_later(now, &v->atime);
	return !is_later(&v->atime, &v->mtime) || !is_later(&v->atime, &v->ctime) ||
	       now->sec - v->atime.sec >= ATIME_STALE;
}

void file_touch_atime(struct mount *m, struct vnode *v)
{
	struct attr a = {.mask = ATTR_ATIME};
	uint32_t flags = load_relaxed(&m->flags);
	if ((flags & MOUNT_NOATIME) || vnode_has(v, INODE_NOATIME) ||
	    ((flags & MOUNT_NODIRATIME) && vnode_is(v, MODE_DIR)) || mount_want_write(m))
		return;
	fs_now(&a.atime);
	rwlock_read(&v->lock);
	bool due = atime_is_due(m, v, &a.atime);
	rwlock_read_unlock(&v->lock);
	if (!due)
		return;
	rwlock_write(&v->lock);
	if (!v->ops->setattr || !v->ops->setattr(v, &a))
		v->atime = a.atime;
	rwlock_write_unlock(&v->lock);
}

void file_touch_mtime(const struct mount *m, struct vnode *v)
{
	struct attr a = {.mask = ATTR_MTIME | ATTR_CTIME};
	if (mount_want_write(m))
		return;
	fs_now(&a.mtime);
	a.ctime = a.mtime;
	rwlock_write(&v->lock);
	if (!v->ops->setattr || !v->ops->setattr(v, &a)) {
		v->mtime = a.mtime;
		v->ctime = a.ctime;
	}
	rwlock_write_unlock(&v->lock);
}

/* --- reading --- */

/* Pin the page at pos. A file that is read or written in small pieces uses each page once. */
static err_t pin_page(struct file *f, uint64_t pos, bool write, struct vm_pin *pin)
{
	uint64_t page = pos / PAGE_SIZE + 1;
	bool again = load_relaxed(&f->last_page) == page;
	store_relaxed(&f->last_page, page);
	return (again ? object_pin_again : object_pin)(f->vnode->pages, page - 1, write, pin);
}

/* Copy up to n bytes, within one page, out of the cache. */
static err_t read_page(struct file *f, struct uio *u, uint64_t pos, size_t n, size_t *done)
{
	struct vm_pin pin;
	struct vm_object *o = f->vnode->pages;
	if ((o->flags & VM_RESIDENT) && object_is_absent(o, pos / PAGE_SIZE))
		return uio_zero(u, n, done);
	err_t err = pin_page(f, pos, false, &pin);
	if (err)
		return err;
	err = uio_write(u, (uint8_t *)page_to_virt(pin.page) + pos % PAGE_SIZE, n, done);
	vm_unpin(&pin);
	return err;
}

static err_t read_locked(struct file *f, struct uio *u, uint64_t *pos)
{
	const struct vnode *v = f->vnode;
	err_t err = 0;
	while (!err && u->left && *pos < v->size) {
		size_t n = MIN(PAGE_SIZE - *pos % PAGE_SIZE, MIN(u->left, v->size - *pos)), done = 0;
		err = read_page(f, u, *pos, n, &done);
		*pos += done;
	}
	return err;
}

static int64_t regular_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct vnode *v = f->vnode;
	uint64_t start = *pos;
	if (start > INT64_MAX)
		return -EINVAL;
	if (!u->left)
		return 0;
	rwlock_read(&v->lock);
	err_t err = read_locked(f, u, pos);
	rwlock_read_unlock(&v->lock);
	if (!(load_relaxed(&f->flags) & FILE_NOATIME) && f->mount)
		file_touch_atime(f->mount, v);
	return *pos > start ? (int64_t)(*pos - start) : err;
}

/* --- size --- */

/* Zero [from, to), which lies in one page, if the cache has it or the file system can bring it. */
err_t vnode_zero_part(struct vnode *v, uint64_t from, uint64_t to)
{
	struct vm_pin pin;
	pgidx_t idx = from / PAGE_SIZE;
	if (from == to || ((v->pages->flags & VM_RESIDENT) && object_is_absent(v->pages, idx)))
		return 0;
	err_t err = object_pin(v->pages, idx, true, &pin);
	if (err)
		return err;
	memset((uint8_t *)page_to_virt(pin.page) + from % PAGE_SIZE, 0, to - from);
	vm_unpin(&pin);
	return 0;
}

/* Zero what mappings may have left between `size` and the end of its page. */
static err_t zero_tail(struct vnode *v, uint64_t size)
{
	return size % PAGE_SIZE ? vnode_zero_part(v, size, ALIGN_UP(size, (uint64_t)PAGE_SIZE)) : 0;
}

static void touch_change(struct vnode *v)
{
	fs_now(&v->mtime);
	v->ctime = v->mtime;
}

/* Tail first: what can fail comes before anything is lost. The bytes cut off are zero from then on even if
 * the file system fails after that. */
static err_t shrink(struct vnode *v, uint64_t size)
{
	uint64_t old = v->size;
	err_t err = zero_tail(v, size);
	if (!err)
		err = object_resize(v->pages, pages_of(size));
	if (err)
		return err;
	vnode_store_size(v, size);
	err = v->ops->truncate ? v->ops->truncate(v, size) : 0;
	if (err) {
		vnode_store_size(v, old);
		err_t again = object_resize(v->pages, pages_of(old)); /* growing allocates nothing */
		ASSERT(!again);
	}
	return err;
}

static err_t grow(struct vnode *v, uint64_t size)
{
	uint64_t old = v->size;
	err_t err = zero_tail(v, old);
	if (err)
		return err;
	vnode_store_size(v, size);
	err = v->ops->truncate ? v->ops->truncate(v, size) : 0;
	if (!err)
		err = object_resize(v->pages, pages_of(size));
	if (err)
		vnode_store_size(v, old);
	return err;
}

err_t vnode_set_size_locked(struct vnode *v, uint64_t size)
{
	if (size > v->fs->max_size)
		return -EFBIG;
	err_t err = size < v->size ? shrink(v, size) : grow(v, size);
	if (!err)
		touch_change(v);
	if (!err && v->ops->written)
		v->ops->written(v);
	return err;
}

err_t file_truncate(struct file *f, int64_t size, uint64_t limit, bool keep_suid)
{
	struct vnode *v = f->vnode;
	if (load_relaxed(&f->flags) & FILE_PATH)
		return -EBADF;
	if (size < 0 || !v || !vnode_is(v, MODE_REG) || !file_may_write(f) || !v->pages)
		return -EINVAL;
	if (vnode_has(v, INODE_APPEND))
		return -EPERM;
	rwlock_write(&v->lock);
	uint32_t seals = load_relaxed(&v->seals), events = NOTIFY_MODIFY;
	err_t err = 0;
	if ((uint64_t)size > v->size && (uint64_t)size > limit)
		err = -EFBIG;
	else if (((uint64_t)size < v->size && (seals & SEAL_SHRINK)) ||
		 ((uint64_t)size > v->size && (seals & SEAL_GROW)))
		err = -EPERM;
	if (!err)
		err = vnode_drop_rights_locked(v, keep_suid, &events);
	if (!err)
		err = vnode_set_size_locked(v, (uint64_t)size);
	rwlock_write_unlock(&v->lock);
	if (!err)
		notify_dentry(f->dentry, events);
	return err;
}

/* --- writing --- */

/* How much of a write at pos may be done. 0 or -EFBIG. */
static err_t limit_write(const struct vnode *v, struct uio *u, uint64_t pos, size_t *n)
{
	uint64_t end = MIN(u->limit, v->fs->max_size);
	*n = u->left;
	if (pos < end) {
		*n = MIN(*n, end - pos);
		return 0;
	}
	u->limit_hit = pos >= u->limit;
	return -EFBIG;
}

static err_t check_seals(const struct vnode *v, uint64_t end)
{
	uint32_t seals = load_relaxed(&v->seals);
	if (seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
		return -EPERM;
	return (seals & SEAL_GROW) && end > v->size ? -EPERM : 0;
}

/* Room that was had behind the end of the file is not needed. */
static err_t trim(struct vnode *v)
{
	err_t err = object_resize(v->pages, pages_of(v->size));
	return !err && v->ops->reserve ? v->ops->truncate(v, v->size) : err;
}

/* Make room for [pos, pos + *n), or for a part of it: blocks, then pages of the object. */
static err_t prepare_write(struct vnode *v, uint64_t pos, size_t *n)
{
	err_t err = v->ops->reserve ? v->ops->reserve(v, pos, n) : 0;
	if (err)
		return err;
	if (pos > v->size)
		err = zero_tail(v, v->size);
	if (!err && pos + *n > v->size)
		err = object_resize(v->pages, pages_of(pos + *n));
	if (err && pos + *n > v->size)
		(void)trim(v); /* the first error is the one to tell */
	return err;
}

/* The disk cannot read the page, but all of it is to be written, so nobody asks what it held. The bytes come
 * first: without them the page must not be seen. */
static err_t replace_page(struct vnode *v, struct uio *u, pgidx_t idx, size_t *done)
{
	struct vm_pin pin;
	uint8_t *bytes = kmalloc(PAGE_SIZE);
	if (!bytes)
		return -ENOMEM;
	err_t err = uio_read(u, bytes, PAGE_SIZE, done);
	if (!err)
		err = object_fill_zero(v->pages, idx);
	if (!err)
		err = object_pin(v->pages, idx, true, &pin);
	if (!err) {
		memcpy(page_to_virt(pin.page), bytes, PAGE_SIZE);
		if ((idx + 1) * PAGE_SIZE > v->size)
			vnode_store_size(v, (idx + 1) * PAGE_SIZE);
		vm_unpin(&pin);
	} else {
		*done = 0;
	}
	kfree(bytes);
	return err;
}

/* Copy up to n bytes, within one page, into the cache. */
static err_t write_page(struct file *f, struct uio *u, uint64_t pos, size_t n, size_t *done)
{
	struct vm_pin pin;
	struct vnode *v = f->vnode;
	err_t err = pin_page(f, pos, true, &pin);
	if (err == -EIO && n == PAGE_SIZE && pos + n <= v->pages->npages << PAGE_SHIFT)
		return replace_page(v, u, pos / PAGE_SIZE, done);
	if (err)
		return err;
	err = uio_read(u, (uint8_t *)page_to_virt(pin.page) + pos % PAGE_SIZE, n, done);
	if (*done &&
	    pos + *done > v->size) /* before the pin goes: write-back writes what lies inside the file */
		vnode_store_size(v, pos + *done);
	vm_unpin(&pin);
	return err;
}

static err_t write_pages(struct file *f, struct uio *u, uint64_t *pos, size_t n)
{
	err_t err = 0;
	while (!err && n) {
		size_t part = MIN(PAGE_SIZE - *pos % PAGE_SIZE, n), done = 0;
		err = write_page(f, u, *pos, part, &done);
		*pos += done;
		n -= done;
		if (done)
			dirty_note_page(f->vnode, (*pos - 1) / PAGE_SIZE);
	}
	return err;
}

static err_t write_locked(struct file *f, struct uio *u, uint64_t *pos, uint32_t *events)
{
	struct vnode *v = f->vnode;
	size_t n;
	if (u->append || (load_relaxed(&f->flags) & FILE_APPEND))
		*pos = v->size;
	err_t err = limit_write(v, u, *pos, &n);
	if (!err)
		err = check_seals(v, *pos + n);
	if (!err)
		err = vnode_drop_rights_locked(v, u->keep_suid, events);
	if (!err)
		err = prepare_write(v, *pos, &n);
	if (err)
		return err;
	uint64_t start = *pos;
	err = write_pages(f, u, pos, n);
	if (*pos > start) {
		touch_change(v);
		if (v->ops->written)
			v->ops->written(v);
	}
	if (*pos < start + n && start + n > v->size) { /* it stopped early: no pages beyond the end */
		err_t cut = trim(v);
		err = err ? err : cut;
	}
	return err;
}

static err_t sync_written(struct file *f, uint32_t more, uint64_t from, uint64_t to)
{
	struct vnode *v = f->vnode;
	uint32_t flags = load_relaxed(&f->flags) | more;
	if (!(flags & FILE_DSYNC) && !(f->mount && (load_relaxed(&f->mount->flags) & MOUNT_SYNCHRONOUS)))
		return 0;
	err_t err = vnode_writeback(v, from / PAGE_SIZE, pages_of(to));
	if (!err && v->ops->sync)
		err = v->ops->sync(v, (flags & FILE_SYNC) != FILE_SYNC);
	return err;
}

static int64_t regular_write(struct file *f, struct uio *u, uint64_t *pos)
{
	struct vnode *v = f->vnode;
	uint64_t start = *pos, at = *pos;
	size_t left = u->left;
	uint32_t events = 0;
	if (start > INT64_MAX)
		return -EINVAL;
	if (!left)
		return 0;
	rwlock_write(&v->lock);
	err_t err = write_locked(f, u, &at, &events);
	rwlock_write_unlock(&v->lock);
	if (events)
		notify_dentry(f->dentry, events);
	int64_t n = (int64_t)(left - u->left);
	if (!n)
		return err;
	*pos = at;
	err = sync_written(f, u->sync, at - (uint64_t)n, at);
	return err ? err : n;
}

/* --- position, mapping, durability --- */

/* The next page from pos on that is there (or is not), as a position; only files in memory know their holes,
 * others are data throughout. */
static int64_t seek_data(const struct vnode *v, uint64_t pos, bool hole)
{
	if (!(v->pages->flags & VM_RESIDENT))
		return hole ? (int64_t)v->size : (int64_t)pos;
	while (pos < v->size && object_is_absent(v->pages, pos / PAGE_SIZE) != hole)
		pos = ALIGN_DOWN(pos, (uint64_t)PAGE_SIZE) + PAGE_SIZE;
	return pos < v->size ? (int64_t)pos : hole ? (int64_t)v->size : -ENXIO;
}

static int64_t regular_seek(struct file *f, int64_t offset, int whence)
{
	struct vnode *v = f->vnode;
	int64_t pos = -EINVAL;
	rwlock_read(&v->lock);
	if (whence == FILE_SEEK_DATA || whence == FILE_SEEK_HOLE)
		pos = offset < 0 || (uint64_t)offset >= v->size
			  ? -ENXIO
			  : seek_data(v, (uint64_t)offset, whence == FILE_SEEK_HOLE);
	else if (whence >= FILE_SEEK_SET && whence <= FILE_SEEK_END) {
		int64_t from = whence == FILE_SEEK_CUR   ? (int64_t)f->pos
			       : whence == FILE_SEEK_END ? (int64_t)v->size
							 : 0;
		if (__builtin_add_overflow(from, offset, &pos) || pos < 0 || (uint64_t)pos > v->fs->max_size)
			pos = -EINVAL;
	}
	rwlock_read_unlock(&v->lock);
	return pos;
}

static err_t regular_mmap(struct file *f, UNUSED uint64_t offset, UNUSED uint64_t len, unsigned prot,
    unsigned map_flags, struct vm_object **out)
{
	struct vnode *v = f->vnode;
	if (!v->pages)
		return -ENODEV;
	if ((map_flags & VM_MAP_SHARED) && vnode_has(v, INODE_APPEND) && file_may_write(f))
		return -EACCES;
	if ((map_flags & VM_MAP_SHARED) && (prot & VM_WRITE) &&
	    (load_relaxed(&v->seals) & (SEAL_WRITE | SEAL_FUTURE_WRITE)))
		return -EPERM;
	object_get(v->pages);
	*out = v->pages;
	if (f->mount)
		file_touch_atime(f->mount, v);
	return 0;
}

static err_t regular_sync(struct file *f, bool data_only)
{
	struct vnode *v = f->vnode;
	vnode_note_mapped_writes(v);
	(void)vnode_writeback(v, 0, UINT64_MAX); /* its error is noted, and told by file_sync */
	return v->ops->sync ? v->ops->sync(v, data_only) : 0;
}

static err_t check_allocate(const struct file *f, int mode, int64_t pos, int64_t len)
{
	const struct vnode *v = f->vnode;
	if (pos < 0 || len <= 0)
		return -EINVAL;
	if (!file_may_write(f))
		return -EBADF;
	if (vnode_has(v, INODE_IMMUTABLE) || (vnode_has(v, INODE_APPEND) && mode & ~ALLOC_KEEP_SIZE))
		return -EPERM;
	if (vnode_is(v, MODE_FIFO))
		return -ESPIPE;
	if (vnode_is(v, MODE_DIR))
		return -EISDIR;
	if (!vnode_is(v, MODE_REG))
		return -ENODEV;
	return pos > INT64_MAX - len ? -EFBIG : v->ops->allocate ? 0 : -ENOTSUP;
}

err_t file_allocate(struct file *f, int mode, int64_t pos, int64_t len, uint64_t limit, bool keep_suid)
{
	uint32_t events = NOTIFY_MODIFY;
	err_t err = check_allocate(f, mode, pos, len);
	if (err)
		return err;
	struct vnode *v = f->vnode;
	uint64_t end = (uint64_t)pos + (uint64_t)len;
	rwlock_write(&v->lock);
	bool grows = !(mode & ALLOC_KEEP_SIZE) && end > v->size;
	if (end > v->fs->max_size || (grows && end > limit))
		err = -EFBIG;
	else if (load_relaxed(&v->seals) & (SEAL_WRITE | (grows ? SEAL_GROW : 0)))
		err = -EPERM;
	else
		err = v->ops->allocate(v, mode, (uint64_t)pos, (uint64_t)len);
	if (!err)
		err = vnode_drop_rights_locked(v, keep_suid, &events);
	if (!err)
		touch_change(v);
	rwlock_write_unlock(&v->lock);
	if (!err)
		notify_file(f, events);
	return err;
}

/* --- seals --- */

static bool has_shared_viewer(struct vm_object *o)
{
	bool shared = false;
	spin_lock(&o->lock);
	list_for_each (it, &o->viewers)
		shared |= (list_entry(it, struct region, view_link)->max_prot & VM_WRITE) != 0;
	spin_unlock(&o->lock);
	return shared;
}

static int64_t add_seals(struct file *f, uint32_t seals)
{
	struct vnode *v = f->vnode;
	enum { ALL = SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_WRITE | SEAL_FUTURE_WRITE };
	if (!file_may_write(f))
		return -EPERM;
	if (seals & ~(uint32_t)ALL)
		return -EINVAL;
	rwlock_write(&v->lock);
	err_t err = load_relaxed(&v->seals) & SEAL_SEAL ? -EPERM : 0;
	if (!err && (seals & (SEAL_WRITE | SEAL_FUTURE_WRITE)) && (v->pages->flags & VM_PURGEABLE))
		err = -EPERM; /* what may be taken cannot be promised */
	if (!err && (seals & SEAL_WRITE) && has_shared_viewer(v->pages))
		err = -EBUSY;
	if (!err)
		fetch_or_acq_rel(&v->seals, seals);
	rwlock_write_unlock(&v->lock);
	return err;
}

static int64_t regular_control(struct file *f, int command, uint64_t arg, UNUSED bool privileged)
{
	if (command == CONTROL_GETPIPE_SZ || command == CONTROL_SETPIPE_SZ)
		return -EBADF;
	if (!f->vnode->pages || !(f->vnode->pages->flags & VM_RESIDENT))
		return -EINVAL;
	if (command == CONTROL_GET_SEALS)
		return load_relaxed(&f->vnode->seals);
	return command == CONTROL_ADD_SEALS ? add_seals(f, (uint32_t)arg) : -EINVAL;
}

static void regular_release(struct file *f)
{
	memfd_let_go(f);
}

const struct file_ops regular_file_ops = {
    .read = regular_read,
    .write = regular_write,
    .seek = regular_seek,
    .mmap = regular_mmap,
    .sync = regular_sync,
    .control = regular_control,
    .release = regular_release,
    .splice = SPLICE_READ | SPLICE_WRITE,
};
