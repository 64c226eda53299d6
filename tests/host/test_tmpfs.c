/*
 * test_tmpfs.c - files in memory and the generic file layer on them: reads, writes, mappings of the same
 * pages, holes, sizes, limits, seals, large directories, positions, times; device files.
 */
#include "fs_env.h"
#include "vm/copy.h"

static char page[PAGE_SIZE], other[PAGE_SIZE];

static uint64_t blocks_of(const char *name)
{
	struct vfs_stat st;
	MUST(fs_stat(name, 0, &st));
	return st.blocks;
}

static uint64_t size_of(const char *name)
{
	struct vfs_stat st;
	MUST(fs_stat(name, 0, &st));
	return st.size;
}

HOST_TEST(reading_and_writing)
{
	fs_env_begin();
	struct file *f = fs_open("f", FILE_CREAT | FILE_RDWR, 0644);
	CHECK_EQ(fs_read(f, page, 10), 0);
	CHECK_EQ(fs_write(f, "hello world", 11), 11);
	CHECK_EQ(file_seek(f, 6, FILE_SEEK_SET), 6);
	CHECK_EQ(fs_read(f, page, 100), 5);
	CHECK(!memcmp(page, "world", 5));
	CHECK_EQ(fs_pwrite(f, "W", 1, 6), 1);
	CHECK_EQ(fs_pread(f, page, 100, 0), 11);
	CHECK(!memcmp(page, "hello World", 11));
	CHECK_EQ(fs_pread(f, page, 1, -1), -EINVAL);
	CHECK_EQ(fs_pread(f, page, 1, INT64_MAX), 0);
	CHECK_EQ(fs_pwrite(f, page, 1, INT64_MAX), -EFBIG);
	CHECK_EQ(file_seek(f, -20, FILE_SEEK_CUR), -EINVAL);
	CHECK_EQ(file_seek(f, INT64_MAX, FILE_SEEK_END), -EINVAL);
	CHECK_EQ(file_seek(f, 0, 9), -EINVAL);
	file_put(f);
	f = fs_open("f", FILE_WRONLY | FILE_APPEND, 0);
	CHECK_EQ(fs_read(f, page, 1), -EBADF);
	CHECK_EQ(fs_pwrite(f, "!", 1, 0), 1); /* appends all the same, as on Linux */
	CHECK_EQ(size_of("f"), 12);
	file_put(f);
	f = fs_open("f", FILE_RDONLY, 0);
	CHECK_EQ(fs_write(f, page, 1), -EBADF);
	CHECK_EQ(file_truncate(f, 0, UINT64_MAX, true), -EINVAL);
	file_put(f);
	fs_env_end();
}

HOST_TEST(sparse_files_and_holes)
{
	fs_env_begin();
	struct file *f = fs_open("f", FILE_CREAT | FILE_RDWR, 0644);
	int64_t far = 5LL << 30;
	CHECK_EQ(fs_pwrite(f, "end", 3, far), 3);
	CHECK_EQ(size_of("f"), (uint64_t)far + 3);
	CHECK_EQ(blocks_of("f"), 8);
	memset(page, 1, sizeof(page));
	CHECK_EQ(fs_pread(f, page, PAGE_SIZE, far - PAGE_SIZE / 2), PAGE_SIZE / 2 + 3);
	memset(other, 0, sizeof(other));
	CHECK(!memcmp(page, other, PAGE_SIZE / 2) && !memcmp(page + PAGE_SIZE / 2, "end", 3));
	CHECK_EQ(blocks_of("f"), 8); /* reading a hole makes no page */
	CHECK_EQ(file_seek(f, far + 3, FILE_SEEK_DATA), -ENXIO);
	CHECK_EQ(file_seek(f, far - 1, FILE_SEEK_DATA), far);
	CHECK_EQ(file_seek(f, far, FILE_SEEK_HOLE), far + 3);
	CHECK_EQ(file_seek(f, 10, FILE_SEEK_HOLE), 10);
	CHECK_EQ(file_truncate(f, 100, UINT64_MAX, true), 0);
	CHECK_EQ(blocks_of("f"), 0);
	CHECK_EQ(file_allocate(f, 0, 0, 3 * PAGE_SIZE, UINT64_MAX, true), 0);
	CHECK_EQ(blocks_of("f"), 24);
	CHECK_EQ(size_of("f"), 3 * PAGE_SIZE);
	memset(page, 'x', sizeof(page));
	CHECK_EQ(fs_pwrite(f, page, PAGE_SIZE, 100), PAGE_SIZE);
	CHECK_EQ(file_allocate(f, 3, 200, 2 * PAGE_SIZE, UINT64_MAX, true), 0); /* a hole, size kept */
	CHECK_EQ(blocks_of("f"), 16);
	CHECK_EQ(fs_pread(f, page, PAGE_SIZE, 0), PAGE_SIZE);
	CHECK(page[199] == 'x' && page[200] == 0 && page[PAGE_SIZE - 1] == 0);
	CHECK_EQ(file_allocate(f, 32, 0, 1, UINT64_MAX, true), -ENOTSUP);
	CHECK_EQ(file_allocate(f, 0, 0, 0, UINT64_MAX, true), -EINVAL);
	file_put(f);
	fs_env_end();
}

HOST_TEST(truncation_zeroes_the_tail)
{
	fs_env_begin();
	struct file *f = fs_open("f", FILE_CREAT | FILE_RDWR, 0644);
	memset(page, 'x', sizeof(page));
	CHECK_EQ(fs_write(f, page, PAGE_SIZE), PAGE_SIZE);
	CHECK_EQ(file_truncate(f, 10, UINT64_MAX, true), 0);
	CHECK_EQ(file_truncate(f, 20, UINT64_MAX, true), 0);
	CHECK_EQ(fs_pread(f, page, PAGE_SIZE, 0), 20);
	CHECK(page[9] == 'x' && page[10] == 0 && page[19] == 0);
	CHECK_EQ(file_truncate(f, -1, UINT64_MAX, true), -EINVAL);
	CHECK_EQ(file_truncate(f, 100, 50, true), -EFBIG);
	CHECK_EQ(file_truncate(f, 5, 2, true), 0); /* the limit is on growing only */
	file_put(f);
	fs_env_end();
}

/* Reads, writes and mappings see the same pages; what a mapping leaves behind the end never shows in the
 * file. */
HOST_TEST(mappings_see_the_file)
{
	struct vm_object *o;
	struct vm_space *s;
	uaddr_t at, mine;
	char c;
	err_t err;
	fs_env_begin();
	struct file *f = fs_open("f", FILE_CREAT | FILE_RDWR, 0644);
	CHECK_EQ(fs_write(f, "0123456789", 10), 10);
	MUST(file_mmap(f, 0, PAGE_SIZE, VM_READ | VM_WRITE, VM_MAP_SHARED, &o));
	MUST(space_create(&s));
	MUST(space_map(s,
	    &(struct vm_map_args){
		.len = 2 * PAGE_SIZE, .prot = VM_READ | VM_WRITE, .flags = VM_MAP_SHARED, .object = o},
	    &at));
	MUST(space_map(
	    s, &(struct vm_map_args){.len = PAGE_SIZE, .prot = VM_READ | VM_WRITE, .object = o}, &mine));
	object_put(o);
	host_use_space(s);
	CHECK(mock_access(s, at + 3, "X", 1, true, &err));
	CHECK(mock_access(s, at + 50, "Y", 1, true, &err));  /* behind the end, in the same page */
	CHECK(mock_access(s, mine + 4, "P", 1, true, &err)); /* private */
	CHECK_EQ(fs_pread(f, page, 100, 0), 10);
	CHECK(!memcmp(page, "012X456789", 10));
	CHECK_EQ(fs_pwrite(f, "Z", 1, 1), 1);
	CHECK(mock_access(s, at + 1, &c, 1, false, &err) && c == 'Z');
	CHECK_EQ(fs_pwrite(f, "end", 3, 60), 3);
	CHECK_EQ(fs_pread(f, page, 100, 0), 63);
	CHECK(page[50] == 0 && page[60] == 'e');
	CHECK(!mock_access(s, at + PAGE_SIZE, &c, 1, false, &err));
	CHECK_EQ(err, -EIO);
	CHECK_EQ(fs_pwrite(f, "more", 4, PAGE_SIZE), 4);
	CHECK(mock_access(s, at + PAGE_SIZE, &c, 1, false, &err) && c == 'm');
	/* a write whose source is the page it goes to */
	struct uio_segment seg = {at, 16};
	struct uio u;
	uio_init_user(&u, &seg, 1);
	CHECK_EQ(file_pwrite(f, &u, 8), 16);
	/* a write that stops at an unmapped address leaves the size where it stopped */
	seg = (struct uio_segment){at + 2 * PAGE_SIZE - 4, 100};
	uio_init_user(&u, &seg, 1);
	CHECK_EQ(file_pwrite(f, &u, 10 * PAGE_SIZE), 4);
	CHECK_EQ(size_of("f"), 10 * PAGE_SIZE + 4);
	seg = (struct uio_segment){at + 2 * PAGE_SIZE, 100};
	uio_init_user(&u, &seg, 1);
	CHECK_EQ(file_pwrite(f, &u, 20 * PAGE_SIZE), -EFAULT);
	CHECK_EQ(size_of("f"), 10 * PAGE_SIZE + 4);
	file_put(f);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "f"), 0);
	CHECK(mock_access(s, at + 3, &c, 1, false, &err)); /* the mapping keeps the file */
	host_use_space(NULL);
	space_put(s);
	fs_env_end();
}

HOST_TEST(size_limits)
{
	struct fs_stats st;
	struct path p;
	struct uio_segment seg;
	struct uio u;
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "m", 0777), 0);
	CHECK_EQ(vfs_mount(&fs_me, "none", "m", "tmpfs", 0, "size=16K,nr_inodes=4"), 0);
	struct file *f = fs_open("m/f", FILE_CREAT | FILE_RDWR, 0644);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(fs_write(f, page, PAGE_SIZE), PAGE_SIZE);
	CHECK_EQ(fs_write(f, page, 1), -ENOSPC);
	CHECK_EQ(size_of("m/f"), 4 * PAGE_SIZE);
	MUST(vfs_lookup(&fs_me, NULL, "m", 0, &p));
	CHECK_EQ(vfs_statfs(&p, &st), 0);
	path_put(&p);
	CHECK_EQ(st.free_blocks, 0);
	CHECK_EQ(st.blocks, 4);
	CHECK_EQ(st.free_files, 2);
	CHECK_EQ(file_truncate(f, PAGE_SIZE, UINT64_MAX, true), 0);
	CHECK_EQ(fs_pwrite(f, page, PAGE_SIZE, PAGE_SIZE), PAGE_SIZE);
	CHECK_EQ(file_allocate(f, 0, 0, 5 * PAGE_SIZE, UINT64_MAX, true), -ENOSPC);
	CHECK_EQ(size_of("m/f"), 2 * PAGE_SIZE);
	fs_make("m/g");
	fs_make("m/h");
	CHECK_EQ(fs_try_open("m/i", FILE_CREAT | FILE_RDWR, 0644), -ENOSPC);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "m/g"), 0);
	CHECK_EQ(fs_try_open("m/i", FILE_CREAT | FILE_RDWR, 0644), 0);
	uio_init_kernel(&u, &seg, page, 100);
	u.limit = PAGE_SIZE + 10;
	CHECK_EQ(file_pwrite(f, &u, PAGE_SIZE), 10); /* as far as the limit allows */
	CHECK(!u.limit_hit);
	CHECK_EQ(file_pwrite(f, &u, PAGE_SIZE + 10), -EFBIG);
	CHECK(u.limit_hit);
	file_put(f);
	CHECK_EQ(vfs_umount(&fs_me, "m", 0), 0);
	fs_env_end();
}

HOST_TEST(unlinked_files_live_while_open)
{
	char buf[64];
	fs_env_begin();
	struct file *f = fs_open("f", FILE_CREAT | FILE_RDWR, 0644);
	struct vfs_stat st;
	CHECK_EQ(fs_write(f, "data", 4), 4);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "f"), 0);
	CHECK_EQ(fs_exists("f"), -ENOENT);
	CHECK_EQ(fs_pread(f, page, 10, 0), 4);
	file_stat(f, &st);
	CHECK_EQ(st.nlink, 0);
	CHECK(file_describe(f, &fs_me.root, buf, sizeof(buf)) > 0 && !strcmp(buf, "/f (deleted)"));
	fs_make("f");
	CHECK(file_describe(f, &fs_me.root, buf, sizeof(buf)) > 0 && !strcmp(buf, "/f (deleted)"));
	file_put(f);
	f = fs_open(".", FILE_TMPFILE | FILE_RDWR, 0600);
	struct path p = file_path(f);
	CHECK_EQ(vfs_link(&fs_me, &p, "", WALK_EMPTY, NULL, "named"), 0);
	CHECK_EQ(fs_stat("named", 0, &st), 0);
	CHECK_EQ(st.nlink, 1);
	file_put(f);
	fs_env_end();
}

struct lister {
	unsigned n, stop_at;
	char names[16][32];
	uint64_t inos;
};

static bool collect(
    void *ctx, const char *name, size_t len, uint64_t ino, unsigned type UNUSED, uint64_t next UNUSED)
{
	struct lister *l = ctx;
	if (l->n == l->stop_at)
		return false;
	if (l->n < 16) {
		memcpy(l->names[l->n], name, len);
		l->names[l->n][len] = 0;
	}
	l->n++;
	l->inos += ino;
	return true;
}

HOST_TEST(directories_are_read_in_pieces)
{
	struct lister l = {.stop_at = 3};
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d", 0777), 0);
	fs_make("d/a");
	fs_make("d/b");
	fs_make("d/c");
	struct file *f = fs_open("d", FILE_DIRECTORY, 0);
	CHECK_EQ(fs_read(f, page, 1), -EISDIR);
	CHECK_EQ(file_readdir(f, collect, &l), 0);
	CHECK_EQ(l.n, 3);
	CHECK(!strcmp(l.names[0], ".") && !strcmp(l.names[1], "..") && !strcmp(l.names[2], "a"));
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "d/a"), 0);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "d/b"), 0);
	fs_make("d/new");
	l = (struct lister){.stop_at = 16};
	CHECK_EQ(file_readdir(f, collect, &l), 0);
	CHECK_EQ(l.n, 2);
	CHECK(!strcmp(l.names[0], "c") && !strcmp(l.names[1], "new"));
	CHECK_EQ(file_seek(f, 0, FILE_SEEK_SET), 0);
	l = (struct lister){.stop_at = 16};
	CHECK_EQ(file_readdir(f, collect, &l), 0);
	CHECK_EQ(l.n, 4);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "d/c"), 0);
	CHECK_EQ(vfs_unlink(&fs_me, NULL, "d/new"), 0);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "d"), 0);
	CHECK_EQ(file_seek(f, 0, FILE_SEEK_SET), 0);
	CHECK_EQ(file_readdir(f, collect, &l), -ENOENT);
	file_put(f);
	fs_env_end();
}

HOST_TEST(a_hundred_thousand_names)
{
	enum { NAMES = 100000 };
	char name[32];
	struct lister l = {.stop_at = UINT32_MAX};
	fs_env_begin();
	CHECK_EQ(vfs_mkdir(&fs_me, NULL, "d", 0777), 0);
	nsec_t start = clock_now();
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "d/name%d", i);
		MUST(vfs_mknod(&fs_me, NULL, name, MODE_FIFO | 0644, 0, NULL));
	}
	struct file *f = fs_open("d", FILE_DIRECTORY, 0);
	CHECK_EQ(file_readdir(f, collect, &l), 0);
	CHECK_EQ(l.n, NAMES + 2);
	file_put(f);
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "d/name%d", i);
		MUST(vfs_unlink(&fs_me, NULL, name));
	}
	CHECK(clock_now() - start < 60ULL * 1000000000);
	CHECK_EQ(size_of("d"), 40);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "d"), 0);
	fs_env_end();
}

HOST_TEST(times)
{
	struct time_change omit = {.choice = TIME_OMIT}, set = {.choice = TIME_SET, .at = {1000, 5}},
			   now = {.choice = TIME_NOW};
	struct vfs_stat a, b;
	struct path p;
	fs_env_begin();
	fs_make("f");
	MUST(vfs_lookup(&fs_me, NULL, "f", 0, &p));
	CHECK_EQ(vfs_utimens(&fs_me, &p, &set, &set), 0);
	vfs_stat_path(&p, &a);
	CHECK_EQ(a.atime.sec, 1000);
	CHECK_EQ(a.mtime.nsec, 5);
	struct file *f = fs_open("f", FILE_RDWR, 0);
	CHECK_EQ(fs_write(f, "x", 1), 1);
	vfs_stat_path(&p, &b);
	CHECK(b.mtime.sec != 1000 && b.atime.sec == 1000);
	CHECK_EQ(fs_pread(f, page, 1, 0), 1);
	vfs_stat_path(&p, &b);
	CHECK(b.atime.sec != 1000); /* it was older than the change */
	CHECK_EQ(fs_pread(f, page, 1, 0), 1);
	vfs_stat_path(&p, &a);
	CHECK(a.atime.sec == b.atime.sec && a.atime.nsec == b.atime.nsec); /* relatime */
	file_put(f);
	CHECK_EQ(vfs_utimens(&fs_me, &p, &omit, &set), 0);
	vfs_stat_path(&p, &b);
	CHECK_EQ(b.mtime.sec, 1000);
	CHECK_EQ(b.atime.nsec, a.atime.nsec);
	fs_as(5, 5);
	CHECK_EQ(vfs_utimens(&fs_me, &p, &set, &set), -EPERM);
	CHECK_EQ(vfs_utimens(&fs_me, &p, &now, &now), -EACCES);
	CHECK_EQ(vfs_utimens(&fs_me, &p, &omit, &omit), 0);
	fs_as(0, 0);
	path_put(&p);
	fs_env_end();
}

HOST_TEST(writing_clears_set_user_id)
{
	struct vfs_stat st;
	struct path p;
	fs_env_begin();
	fs_make("f");
	MUST(vfs_lookup(&fs_me, NULL, "f", 0, &p));
	CHECK_EQ(vfs_chmod(&fs_me, &p, 06777), 0);
	struct file *f = fs_open("f", FILE_RDWR, 0);
	struct uio_segment seg;
	struct uio u;
	uio_init_kernel(&u, &seg, page, 1);
	u.keep_suid = true;
	CHECK_EQ(file_write(f, &u), 1);
	vfs_stat_path(&p, &st);
	CHECK_EQ(st.mode, MODE_REG | 06777);
	CHECK_EQ(fs_write(f, page, 1), 1);
	vfs_stat_path(&p, &st);
	CHECK_EQ(st.mode, MODE_REG | 0777);
	file_put(f);
	path_put(&p);
	fs_env_end();
}

HOST_TEST(memory_files_and_seals)
{
	char buf[64];
	struct file *f;
	struct vm_object *o;
	fs_env_begin();
	CHECK_EQ(memfd_create_file("name", MEMFD_SEALABLE, 0, 0, &f), 0);
	CHECK(file_describe(f, &fs_me.root, buf, sizeof(buf)) > 0 && !strcmp(buf, "/memfd:name (deleted)"));
	CHECK_EQ(fs_write(f, "12345", 5), 5);
	CHECK_EQ(file_control(f, CONTROL_GET_SEALS, 0, false), 0);
	CHECK_EQ(file_control(f, CONTROL_ADD_SEALS, SEAL_SHRINK | SEAL_GROW, false), 0);
	CHECK_EQ(file_truncate(f, 1, UINT64_MAX, true), -EPERM);
	CHECK_EQ(file_truncate(f, 9, UINT64_MAX, true), -EPERM);
	CHECK_EQ(fs_pwrite(f, "x", 1, 0), 1);
	CHECK_EQ(fs_pwrite(f, "x", 1, 5), -EPERM);
	struct vm_space *s;
	uaddr_t at;
	MUST(space_create(&s));
	MUST(file_mmap(f, 0, 5, VM_READ | VM_WRITE, VM_MAP_SHARED, &o));
	MUST(space_map(s,
	    &(struct vm_map_args){
		.len = PAGE_SIZE, .prot = VM_READ | VM_WRITE, .flags = VM_MAP_SHARED, .object = o},
	    &at));
	object_put(o);
	CHECK_EQ(file_control(f, CONTROL_ADD_SEALS, SEAL_WRITE, false), -EBUSY);
	space_put(s);
	CHECK_EQ(file_control(f, CONTROL_ADD_SEALS, SEAL_WRITE | SEAL_SEAL, false), 0);
	CHECK_EQ(fs_pwrite(f, "x", 1, 0), -EPERM);
	CHECK_EQ(file_mmap(f, 0, 5, VM_READ | VM_WRITE, VM_MAP_SHARED, &o), -EPERM);
	CHECK_EQ(file_control(f, CONTROL_ADD_SEALS, SEAL_GROW, false), -EPERM);
	CHECK_EQ(fs_recount(fs_env_roots, &fs_me), 0);
	file_put(f);
	CHECK_EQ(memfd_create_file("x", 0, 0, 0, &f), 0);
	CHECK_EQ(file_control(f, CONTROL_ADD_SEALS, SEAL_GROW, false), -EPERM);
	file_put(f);
	fs_env_end();
}

/* Every allocation of a snapshot fails once; then it is made while somebody writes to a page, which it does
 * not see any more. */
HOST_TEST(snapshots_and_failed_allocations)
{
	struct file *f, *copy = NULL;
	struct vm_pin pin;
	char byte = 0;
	bool fired = true;
	fs_env_begin();
	MUST(memfd_create_file("name", MEMFD_PURGEABLE, 0, 0, &f));
	CHECK_EQ(fs_pwrite(f, "1", 1, 0), 1);
	CHECK_EQ(fs_pwrite(f, "2", 1, 200 * PAGE_SIZE), 1);
	MUST(object_pin(f->vnode->pages, 0, true, &pin));
	for (unsigned n = 1, failed = 0; fired; n++) {
		inject_arm(n);
		err_t err = memfd_snapshot(f, 0, 0, &copy);
		fired = inject_fired();
		inject_arm(0);
		failed += err != 0;
		CHECK(err == 0 || (fired && err == -ENOMEM));
		CHECK_EQ(file_count(), err ? 1 : 2);
		if (fired && !err) /* somebody had a second way */
			file_put(copy);
		CHECK(fired || failed > 2);
	}
	*(char *)page_to_virt(pin.page) = '3';
	vm_unpin(&pin);
	CHECK(fs_pread(copy, &byte, 1, 0) == 1 && byte == '1');
	CHECK(fs_pread(f, &byte, 1, 0) == 1 && byte == '3');
	CHECK_EQ(memfd_set_volatile(f), 0);
	bool more;
	CHECK_EQ(vm_purge_one(&more), 1); /* the page that both have stays */
	CHECK(fs_pread(copy, &byte, 1, 200 * PAGE_SIZE) == 1 && byte == '2');
	object_validate(f->vnode->pages);
	object_validate(copy->vnode->pages);
	file_put(f);
	file_put(copy);
	fs_env_end();
}

/* Every allocation of a contiguous object fails once; then its pages are in a row, and go one by one. */
HOST_TEST(contiguous_and_failed_allocations)
{
	struct file *f = NULL;
	bool fired = true;
	fs_env_begin();
	for (unsigned n = 1, failed = 0; fired; n++) {
		inject_arm(n);
		err_t err = memfd_create_vmo(VM_CONTIGUOUS, true, 130 * PAGE_SIZE, 0, 0, &f);
		fired = inject_fired();
		inject_arm(0);
		failed += err != 0;
		CHECK(err == 0 || (fired && err == -ENOMEM));
		CHECK_EQ(file_count(), err ? 0 : 1);
		if (fired && !err)
			file_put(f);
		CHECK(fired || failed > 4);
	}
	struct vm_object *o = f->vnode->pages;
	paddr_t at = object_contiguous_at(o);
	for (pgidx_t i = 0; i < 130; i++) {
		struct vm_pin pin;
		MUST(object_pin(o, i, true, &pin));
		CHECK_EQ(page_to_phys(pin.page), at + i * PAGE_SIZE);
		CHECK_EQ(*(char *)page_to_virt(pin.page), 0);
		vm_unpin(&pin);
	}
	object_validate(o);
	CHECK_EQ(file_allocate(f, 3, 0, PAGE_SIZE, UINT64_MAX, false), -EPERM);
	CHECK_EQ(file_truncate(f, 0, UINT64_MAX, false), -EPERM);
	struct file *copy;
	CHECK_EQ(memfd_snapshot(f, 0, 0, &copy), -EINVAL);
	file_put(f);
	fs_env_end();
}

HOST_TEST(write_errors_are_told_once)
{
	fs_env_begin();
	struct file *a = fs_open("f", FILE_CREAT | FILE_RDWR, 0644), *b = fs_open("f", FILE_RDWR, 0);
	vnode_note_error(a->vnode, -EIO);
	CHECK_EQ(file_sync(a, false), -EIO);
	CHECK_EQ(file_sync(a, false), 0);
	struct file *c = fs_open("f", FILE_RDWR, 0);
	CHECK_EQ(file_sync(c, false), 0); /* opened after somebody was told */
	CHECK_EQ(file_sync(b, false), -EIO);
	vnode_note_error(a->vnode, -ENOSPC);
	struct file *d = fs_open("f", FILE_RDWR, 0);
	CHECK_EQ(file_sync(d, false), -ENOSPC); /* before anybody was */
	CHECK_EQ(file_sync(a, true), -ENOSPC);
	CHECK_EQ(file_sync(a, true), 0);
	file_put(a);
	file_put(b);
	file_put(c);
	file_put(d);
	fs_env_end();
}

static err_t file_operations(void)
{
	struct file *f;
	char buf[64];
	err_t err = vfs_open(&fs_me, NULL, "f", FILE_CREAT | FILE_RDWR, 0644, &f);
	if (err)
		return err;
	memset(buf, 'a', sizeof(buf));
	for (int i = 0; i < 200 && !err; i++) {
		int64_t n = fs_pwrite(f, buf, sizeof(buf), i * (PAGE_SIZE - 10));
		err = n < 0 ? (err_t)n : 0;
		if (!err && n != sizeof(buf)) /* stopped between two pages by what did not tell yet */
			err = -ENOMEM;
	}
	if (!err)
		err = file_truncate(f, 100, UINT64_MAX, true);
	file_put(f);
	return err;
}

HOST_TEST(every_allocation_may_fail)
{
	bool fired = true;
	fs_env_begin();
	for (uint64_t n = 1; fired && n < 2000; n++) {
		inject_arm(n);
		err_t err = file_operations();
		fired = inject_fired();
		inject_arm(0);
		CHECK(err == 0 || (fired && err == -ENOMEM));
		(void)!vfs_unlink(&fs_me, NULL, "f");
	}
	CHECK(!fired);
	fs_env_end();
}

static void race_file(void *arg UNUSED, unsigned i)
{
	char buf[100], c = (char)('a' + i);
	struct file *f = fs_open("f", FILE_RDWR | FILE_APPEND, 0);
	memset(buf, c, sizeof(buf));
	for (int n = 0; n < 300; n++) {
		CHECK_EQ(fs_write(f, buf, sizeof(buf)), sizeof(buf));
		(void)!fs_pread(f, buf, sizeof(buf), n * 100);
		for (unsigned k = 1; k < sizeof(buf); k++)
			CHECK_EQ(buf[k], buf[0]); /* appends are whole */
		memset(buf, c, sizeof(buf));
	}
	file_put(f);
}

HOST_TEST(appends_race)
{
	fs_env_begin();
	fs_make("f");
	host_run_cpus(4, race_file, NULL);
	CHECK_EQ(size_of("f"), 4 * 300 * 100);
	fs_env_end();
}

/* --- devices --- */

static void mount_dev(void)
{
	MUST(vfs_mkdir(&fs_me, NULL, "dev", 0755));
	MUST(vfs_mount(&fs_me, "dev", "dev", "devtmpfs", 0, ""));
}

HOST_TEST(memory_devices)
{
	struct vfs_stat st;
	struct vm_object *o;
	fs_env_begin();
	mount_dev();
	struct file *f = fs_open("dev/null", FILE_RDWR, 0);
	CHECK_EQ(fs_read(f, page, 10), 0);
	CHECK_EQ(fs_write(f, page, PAGE_SIZE), PAGE_SIZE);
	CHECK_EQ(file_seek(f, 100, FILE_SEEK_SET), 0);
	CHECK_EQ(file_mmap(f, 0, PAGE_SIZE, VM_READ, 0, &o), -ENODEV);
	CHECK_EQ(file_sync(f, false), -EINVAL);
	file_put(f);
	f = fs_open("dev/zero", FILE_RDWR, 0);
	memset(page, 1, sizeof(page));
	memset(other, 0, sizeof(other));
	CHECK_EQ(fs_read(f, page, PAGE_SIZE), PAGE_SIZE);
	CHECK(!memcmp(page, other, PAGE_SIZE));
	CHECK_EQ(file_mmap(f, 0, PAGE_SIZE, VM_READ, 0, &o), 0);
	CHECK(!o);
	CHECK_EQ(file_mmap(f, 0, 3 * PAGE_SIZE, VM_READ, VM_MAP_SHARED, &o), 0);
	CHECK_EQ(o->npages, 3);
	object_put(o);
	file_put(f);
	f = fs_open("dev/full", FILE_RDWR, 0);
	CHECK_EQ(fs_write(f, page, 1), -ENOSPC);
	CHECK_EQ(fs_read(f, page, 10), 10);
	file_put(f);
	f = fs_open("dev/urandom", FILE_RDWR, 0);
	CHECK_EQ(fs_read(f, page, 1000), 1000);
	CHECK_EQ(fs_read(f, other, 1000), 1000);
	CHECK(memcmp(page, other, 1000));
	CHECK_EQ(fs_write(f, page, 5), 5);
	file_put(f);
	f = fs_open("dev/mem", FILE_RDWR, 0);
	CHECK_EQ(fs_read(f, page, 1), -EPERM);
	CHECK_EQ(file_mmap(f, 0, PAGE_SIZE, VM_READ, 0, &o), -EPERM);
	file_put(f);
	CHECK_EQ(fs_stat("dev/null", 0, &st), 0);
	CHECK_EQ(st.rdev, 0x103);
	CHECK_EQ(st.mode, MODE_CHAR | 0666);
	CHECK_EQ(fs_stat("dev/fd", WALK_NOFOLLOW, &st), 0);
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "mynull", MODE_CHAR | 0600, DEV_MAKE(1, 3), NULL), 0);
	CHECK_EQ(fs_try_open("mynull", FILE_RDWR, 0), 0);
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "nothing", MODE_CHAR | 0600, DEV_MAKE(250, 300), NULL), 0);
	CHECK_EQ(fs_try_open("nothing", FILE_RDWR, 0), -ENXIO);
	CHECK_EQ(vfs_mknod(&fs_me, NULL, "socket", MODE_SOCK | 0600, 0, NULL), 0);
	CHECK_EQ(fs_try_open("socket", FILE_RDWR, 0), -ENXIO);
	CHECK_EQ(vfs_mount(&fs_me, "", "dev", "", MOUNT_REMOUNT | MOUNT_NODEV | MOUNT_BIND, ""), 0);
	CHECK_EQ(fs_try_open("dev/null", FILE_RDWR, 0), -EACCES);
	CHECK_EQ(vfs_umount(&fs_me, "dev", 0), 0);
	fs_env_end();
}

static err_t test_open(struct file *f, void *data)
{
	static const struct file_ops ops;
	f->ops = &ops;
	f->priv = data;
	return 0;
}

HOST_TEST(devices_are_registered)
{
	struct vfs_stat st;
	uint64_t rdev = DEV_MAKE(136, 70000);
	int data;
	CHECK_EQ(DEV_MAJOR(rdev), 136);
	CHECK_EQ(DEV_MINOR(rdev), 70000);
	fs_env_begin();
	mount_dev();
	CHECK_EQ(dev_register("sub/dir/thing", MODE_CHAR | 0620, rdev, test_open, &data), 0);
	CHECK_EQ(dev_register("other", MODE_CHAR | 0620, rdev, test_open, &data), -EEXIST);
	CHECK_EQ(dev_register("null", MODE_CHAR | 0620, DEV_MAKE(200, 0), test_open, &data), -EEXIST);
	CHECK_EQ(dev_set_owner("sub/dir/thing", 7, 8, 0600), 0);
	CHECK_EQ(fs_stat("dev/sub/dir/thing", 0, &st), 0);
	CHECK(st.uid == 7 && st.gid == 8 && st.mode == (MODE_CHAR | 0600) && st.rdev == rdev);
	struct file *f = fs_open("dev/sub/dir/thing", FILE_RDWR, 0);
	CHECK(f->priv == &data);
	CHECK_EQ(fs_read(f, page, 1), -EINVAL);
	CHECK_EQ(dev_unregister("sub/dir/thing", MODE_CHAR, rdev), 0);
	CHECK_EQ(dev_unregister("sub/dir/thing", MODE_CHAR, rdev), -ENOENT);
	CHECK_EQ(fs_exists("dev/sub/dir/thing"), -ENOENT);
	file_put(f);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "dev/sub/dir"), 0);
	CHECK_EQ(vfs_rmdir(&fs_me, NULL, "dev/sub"), 0);
	while (dentry_shrink(100))
		;
	fs_env_end();
}

int main(int argc, char **argv)
{
	fs_env_init(262144);
	return host_test_main_started(argc, argv);
}
