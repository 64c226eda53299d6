/*
 * fuzz_namei.c - any bytes as operations on names: paths of a few letters, dots, slashes and links, in any
 * order. Nothing crashes or loops, every reference is accounted for after each input, and directory link
 * counts and the parents that ".." leads to stay those of a tree.
 */
#include "../host/fs_env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static uint8_t take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

/* Up to 12 characters of the alphabet of paths. */
static void take_path(struct input *in, char *path)
{
	static const char alphabet[] = "abc/./..abl/";
	unsigned n = take(in) % 12;
	for (unsigned i = 0; i < n; i++)
		path[i] = alphabet[take(in) % (sizeof(alphabet) - 1)];
	path[n] = 0;
}

static void visit(const char *path)
{
	char text[PATH_LEN_MAX];
	struct path p;
	if (vfs_lookup(&fs_me, NULL, path, 0, &p))
		return;
	int64_t n = path_to_text(&p, &fs_me.root, PATH_FD, text, sizeof(text));
	if (n <= 0 || strlen(text) != (size_t)n)
		panic("the path of %s is %lld long", path, (long long)n);
	path_put(&p);
}

static void change_directory(const char *path)
{
	struct path p, old = fs_me.cwd;
	if (vfs_lookup(&fs_me, NULL, path, WALK_DIRECTORY, &p))
		return;
	fs_me.cwd = p;
	path_put(&old);
}

static void one_operation(struct input *in)
{
	char a[16], b[16];
	unsigned op = take(in);
	take_path(in, a);
	take_path(in, b);
	fs_as(op & 0x80 ? 5 : 0, 0);
	switch (op % 13) {
	case 0:
		(void)!fs_try_open(a, FILE_CREAT | FILE_RDWR | (op & 0x40 ? FILE_EXCL : 0), 0644);
		break;
	case 1:
		(void)!vfs_mkdir(&fs_me, NULL, a, 0777);
		break;
	case 2:
		(void)!vfs_unlink(&fs_me, NULL, a);
		break;
	case 3:
		(void)!vfs_rmdir(&fs_me, NULL, a);
		break;
	case 4:
	case 5:
		(void)!vfs_rename(&fs_me, NULL, a, NULL, b, op >> 4 & 3);
		break;
	case 6:
		(void)!vfs_link(&fs_me, NULL, a, 0, NULL, b);
		break;
	case 7:
		(void)!vfs_symlink(&fs_me, a, NULL, b);
		break;
	case 8:
		(void)!vfs_mount(&fs_me, a, b, "tmpfs",
		    op & 0x40   ? MOUNT_BIND
		    : op & 0x20 ? MOUNT_MOVE
				: 0,
		    "");
		break;
	case 9:
		(void)!vfs_umount(&fs_me, a, op & 0x40 ? UMOUNT_DETACH : 0);
		break;
	case 10:
		change_directory(a);
		break;
	case 11:
		dentry_shrink(op >> 4);
		break;
	default:
		visit(a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	struct input in = {data, size};
	if (!started)
		fs_env_init(65536);
	started = true;
	fs_env_begin();
	for (unsigned n = 0; in.left && n < 200; n++)
		one_operation(&in);
	fs_as(0, 0);
	fs_env_end();
	if (host_test_failed)
		abort();
	return 0;
}
