/*
 * fuzz_ext2.c - any bytes as damage to a volume: a small image from mke2fs, changed where the input says, is
 * mounted for writing (or reading), walked, read, and changed some. Nothing crashes, loops, or is left over;
 * what the volume is afterwards does not matter.
 */
#include "../host/ext2_env.h"
#include "fs/xattr.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IMAGES = 3, HOT = 96 << 10, NAMES = 40 };

static struct {
	uint8_t *good;
	size_t bytes;
} images[IMAGES];
static char bytes[20000];

static void make_tree(void)
{
	shell(
	    "mkdir -p %s/t/d/e %s/t/many && cd %s/t && seq -f a-name-of-some-length-%%g 1 300 | (cd many && xargs touch) && head -c 90000 /dev/urandom >big && "
	    "ln big d/hard && ln -s big short && ln -s $(seq -s x 1 60) long && truncate -s 3G d/sparse && echo x | dd of=d/sparse bs=1 seek=2000000000 conv=notrunc 2>/dev/null",
	    work, work, work);
}

/* In the inode, in a block of one file, in a block that files share. */
static void add_attributes(void)
{
	shell(
	    "PATH=$PATH:/sbin:/usr/sbin; cd %s; big=$(seq -s , 1 90); printf \"ea_set big user.small tiny\nea_set big user.big $big\nea_set d user.big "
	    "$big\nea_set short trusted.of-a-link text\n\" >cmds; debugfs -w -f cmds img >/dev/null 2>&1",
	    work);
}

int LLVMFuzzerInitialize(int *argc UNUSED, char ***argv UNUSED)
{
	static const char *const options[IMAGES] = {
	    "-b 1024 -I 128 -N 512", "-b 1024 -I 256 -g 1024 -N 512", "-b 4096 -I 256 -N 512"};
	char tree[100];
	ext2_env_init(65536);
	make_tree();
	snprintf(tree, sizeof(tree), "%s/t", work);
	for (unsigned i = 0; i < IMAGES; i++) {
		make_image(options[i], "2M", tree);
		add_attributes();
		load_image();
		images[i].bytes = image_bytes;
		images[i].good = malloc(image_bytes);
		memcpy(images[i].good, image, image_bytes);
	}
	munmap(image, image_bytes);
	image = malloc(image_bytes);
	ext2_env_fini();
	return 0;
}

static void ignore(err_t err UNUSED)
{
}

struct names {
	char name[NAMES][256];
	unsigned n;
};

static bool collect(
    void *ctx, const char *name, size_t len, uint64_t ino UNUSED, unsigned type UNUSED, uint64_t next UNUSED)
{
	struct names *all = ctx;
	if (all->n < NAMES && name[0] != '.') {
		memcpy(all->name[all->n], name, len);
		all->name[all->n++][len] = 0;
	}
	return all->n < NAMES;
}

static void use_attributes(const char *path, uint8_t how)
{
	static const char *const names[] = {"user.small", "user.big", "security.capability", "trusted.new"};
	const char *name = names[how % 4];
	struct path p;
	size_t len;
	if (vfs_lookup(&fs_me, NULL, path, WALK_NOFOLLOW, &p))
		return;
	ignore(vfs_xattr_list(&fs_me, &p, bytes, sizeof(bytes), &len));
	ignore(vfs_xattr_get(&fs_me, &p, name, bytes, sizeof(bytes), &len));
	if (how & 4)
		ignore(vfs_xattr_set(
		    &fs_me, &p, name, how & 8 ? NULL : &(struct xattr_value){bytes, how & 0x70}, how >> 7));
	path_put(&p);
}

static void use_file(const char *path, uint8_t how)
{
	struct file *f;
	if (vfs_open(&fs_me, NULL, path, how & 1 ? FILE_RDWR : FILE_RDONLY, 0, &f))
		return;
	(void)fs_pread(f, bytes, sizeof(bytes), how % 7 * 30000);
	if (how & 1) {
		(void)fs_pwrite(f, bytes, 3000 + how, how % 5 * 70000);
		err_t err = file_truncate(f, how % 3 * 5000, UINT64_MAX, true);
		err = err ? err : file_sync(f, false);
		(void)err;
	}
	file_put(f);
}

static void change(const char *path, uint8_t how)
{
	char to[600];
	snprintf(to, sizeof(to), "%s%s-new", how & 0x40 ? "d/" : "",
	    strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	switch (how % 8) {
	case 0:
		ignore(vfs_unlink(&fs_me, NULL, path));
		break;
	case 1:
		ignore(vfs_rename(&fs_me, NULL, path, NULL, to, how & 0x20 ? RENAME_EXCHANGE : 0));
		break;
	case 2:
		ignore(vfs_link(&fs_me, NULL, path, 0, NULL, to));
		break;
	case 3:
		ignore(vfs_mkdir(&fs_me, NULL, to, 0755));
		break;
	case 4:
		ignore(vfs_rmdir(&fs_me, NULL, path));
		break;
	case 5:
		ignore(fs_try_open(to, FILE_CREAT | FILE_WRONLY, 0644));
		break;
	case 6:
		ignore(vfs_symlink(&fs_me, to, NULL, to));
		break;
	default:
		(void)vfs_readlink(&fs_me, NULL, path, to, sizeof(to));
	}
}

static void walk(const char *dir, unsigned depth, const uint8_t *data, size_t size)
{
	struct names *all = calloc(1, sizeof(*all));
	struct file *f;
	char path[700];
	if (!vfs_open(&fs_me, NULL, dir, FILE_RDONLY | FILE_DIRECTORY, 0, &f)) {
		ignore(file_readdir(f, collect, all));
		file_put(f);
	}
	for (unsigned i = 0; i < all->n; i++) {
		struct vfs_stat st;
		uint8_t how = size ? data[(i * 31 + depth) % size] : (uint8_t)i;
		snprintf(path, sizeof(path), "%.300s/%s", dir, all->name[i]);
		if (fs_stat(path, WALK_NOFOLLOW, &st))
			continue;
		if ((st.mode & MODE_TYPE) == MODE_DIR && depth < 4)
			walk(path, depth + 1, data, size);
		use_attributes(path, how);
		if ((st.mode & MODE_TYPE) == MODE_REG)
			use_file(path, how);
		if (how & 0x80)
			change(path, how);
	}
	free(all);
}

/* Three bytes say where (mostly in the metadata at the front), one says what. */
static void damage(const uint8_t *data, size_t size)
{
	for (; size >= 4; data += 4, size -= 4) {
		uint32_t at = data[0] | data[1] << 8 | (uint32_t)data[2] << 16;
		at = data[2] & 0x80 ? at % (uint32_t)image_bytes : at % HOT;
		image[at] = data[3];
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	unsigned which = data[0] % IMAGES, flags = data[0] & 0x80 ? MOUNT_RDONLY : 0;
	image_bytes = images[which].bytes;
	memcpy(image, images[which].good, image_bytes);
	disk.nsectors = image_bytes / SECTOR_SIZE;
	fail_request = data[0] & 0x40 ? data[1] + 1u : 0;
	requests = 0;
	damage(data + 2, size - 2);
	if (!ext2_begin(flags, "")) {
		walk(".", 0, data, size);
		ignore(vfs_sync_all());
		fail_request = 0;
		fs_env_end();
	}
	fail_request = 0;
	return 0;
}
