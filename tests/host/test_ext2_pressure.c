/* test_ext2_pressure.c - a file larger than memory, written by write(2) and through a mapping, on a machine
 * of 24 MiB: dirty pages are written back in time, and nothing of them is lost. */
#include "ext2_env.h"
#include "vm_test.h"

enum { BYTES = 48 << 20, PIECE = 1 << 16, FRAMES = 6144 };

static char piece[PIECE], all_bytes[BYTES];

/* What the write-back thread does in the kernel. */
static bool clean(void)
{
	return vfs_sync_all() == 0;
}

HOST_TEST(written)
{
	make_image("-b 4096", "64M", "");
	MUST(ext2_begin(0, ""));
	struct file *f = fs_open("large", FILE_CREAT | FILE_RDWR, 0644);
	unsigned wrong = 0;
	for (uint64_t at = 0; at < BYTES; at += PIECE) {
		memset(piece, (int)(at / PIECE % 251), PIECE);
		wrong += fs_pwrite(f, piece, PIECE, (int64_t)at) != PIECE;
	}
	CHECK_EQ(wrong, 0);
	for (uint64_t at = 0; at < BYTES; at += PIECE) {
		wrong += fs_pread(f, piece, PIECE, (int64_t)at) != PIECE;
		wrong +=
		    (uint8_t)piece[0] != at / PIECE % 251 || (uint8_t)piece[PIECE - 1] != at / PIECE % 251;
	}
	CHECK_EQ(wrong, 0);
	file_put(f);
	fs_env_end();
	CHECK(image_is_clean());
}

/* One write makes the file, and it is written back while that goes on: what lies behind the size that the
 * write has reached by then is not lost. */
HOST_TEST(written_at_once)
{
	make_image("-b 1024", "64M", "");
	MUST(ext2_begin(0, ""));
	struct file *f = fs_open("large", FILE_CREAT | FILE_RDWR, 0644);
	unsigned wrong = 0;
	for (uint64_t at = 0; at < BYTES; at += 8)
		memcpy(all_bytes + at, &at, 8);
	CHECK_EQ(fs_pwrite(f, all_bytes, BYTES, 0), BYTES);
	for (uint64_t at = 0; at < BYTES; at += PAGE_SIZE) {
		uint64_t value = 1;
		wrong += fs_pread(f, &value, 8, (int64_t)at) != 8 || value != at;
	}
	CHECK_EQ(wrong, 0);
	file_put(f);
	fs_env_end();
	CHECK(image_is_clean());
}

HOST_TEST(mapped)
{
	unsigned wrong = 0;
	uint64_t throttled = dirty_throttled_count();
	vm_set_cleaner(clean);
	make_image("-b 1024", "64M", "");
	MUST(ext2_begin(0, ""));
	struct file *f = fs_open("large", FILE_CREAT | FILE_RDWR, 0644);
	MUST(file_truncate(f, BYTES, UINT64_MAX, true));
	struct vm_space *s = new_space();
	MUST(try_map(s, GIB(1), BYTES, RW, VM_MAP_FIXED | VM_MAP_SHARED, f->vnode->pages));
	for (uint64_t at = 0; at < BYTES; at += PAGE_SIZE)
		wrong += store(s, GIB(1) + at, at + 1) != 0;
	CHECK_EQ(wrong, 0);
	CHECK(dirty_throttled_count() > throttled);
	for (uint64_t at = 0; at < BYTES; at += PAGE_SIZE) {
		uint64_t value = 0;
		wrong += fs_pread(f, &value, 8, (int64_t)at) != 8 || value != at + 1;
	}
	CHECK_EQ(wrong, 0);
	space_put(s);
	file_put(f);
	fs_env_end();
	CHECK(image_is_clean());
	vm_set_cleaner(NULL);
}

int main(int argc, char **argv)
{
	ext2_env_init(FRAMES);
	int status = host_test_main_started(argc, argv);
	ext2_env_fini();
	return status;
}
