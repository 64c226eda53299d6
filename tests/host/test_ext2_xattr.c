/*
 * test_ext2_xattr.c - extended attributes on ext2: images of debugfs are read and what is written is judged
 * by e2fsck and debugfs; blocks that files share; full disks; memory and disks that fail at every place;
 * attributes that are damaged in every byte.
 */
#include "ext2_env.h"
#include "fs/xattr.h"

enum { FILES = 6, NAMES = 8, STEPS = 400, VALUE_MAX = 600 };

enum {
	REVISION_0 = 3
}; /* which has no attributes until it gets the first block of them, and is of revision 1 */
static const char *const formats[] = {
    "-b 1024 -I 128", "-b 1024 -I 256", "-b 4096 -I 256", [REVISION_0] = "-b 2048 -I 128 -r 0"};
static char got[XATTR_SIZE_MAX];

static err_t set(const char *file, const char *name, const void *value, size_t len, unsigned how)
{
	struct path p;
	err_t err = vfs_lookup(&fs_me, NULL, file, WALK_NOFOLLOW, &p);
	if (err)
		return err;
	err = vfs_xattr_set(&fs_me, &p, name, value ? &(struct xattr_value){value, len} : NULL, how);
	path_put(&p);
	return err;
}

static int64_t get(const char *file, const char *name, size_t size)
{
	struct path p;
	size_t len = 0;
	err_t err = vfs_lookup(&fs_me, NULL, file, WALK_NOFOLLOW, &p);
	if (err)
		return err;
	err = vfs_xattr_get(&fs_me, &p, name, got, size, &len);
	path_put(&p);
	return err ? err : (int64_t)len;
}

static int64_t list(const char *file, size_t size)
{
	struct path p;
	size_t len = 0;
	err_t err = vfs_lookup(&fs_me, NULL, file, WALK_NOFOLLOW, &p);
	if (err)
		return err;
	err = vfs_xattr_list(&fs_me, &p, got, size, &len);
	path_put(&p);
	return err ? err : (int64_t)len;
}

static bool has(const char *file, const char *name, const void *value, size_t len)
{
	return get(file, name, sizeof(got)) == (int64_t)len && !memcmp(got, value, len);
}

static uint64_t free_blocks(void)
{
	struct fs_stats st;
	MUST(vfs_statfs(&fs_me.root, &st));
	return st.free_blocks;
}

static uint64_t sectors_of(const char *file)
{
	struct vfs_stat st;
	MUST(fs_stat(file, 0, &st));
	return st.blocks;
}

static void make(const char *options, const char *size)
{
	make_image(options, size, "");
	MUST(ext2_begin(0, ""));
}

static void end_clean(void)
{
	fs_env_end();
	CHECK(image_is_clean());
}

/* What debugfs says of an attribute is this value. */
static bool debugfs_says(const char *file, const char *name, const void *value, size_t len)
{
	char cmd[400], path[100];
	snprintf(path, sizeof(path), "%s/value", work);
	snprintf(cmd, sizeof(cmd),
	    "PATH=$PATH:/sbin:/usr/sbin debugfs -R 'ea_get -f %s %s %s' %s/img >/dev/null 2>&1", path, file,
	    name, work);
	unlink(path);
	if (system(cmd))
		return false;
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof(got));
	close(fd);
	return n == (ssize_t)len && !memcmp(got, value, len);
}

HOST_TEST(generation)
{
	for (unsigned i = 0; i < 2; i++) {
		struct path p;
		uint32_t was, is;
		char cmd[300];
		make(formats[i], "4M");
		fs_make("f");
		MUST(vfs_lookup(&fs_me, NULL, "f", 0, &p));
		MUST(vfs_get_generation(&p, &was));
		MUST(vfs_set_generation(&fs_me, &p, 123456789));
		fs_as(5, 5);
		CHECK_EQ(vfs_set_generation(&fs_me, &p, 7), -EPERM);
		fs_as(0, 0);
		MUST(vfs_get_generation(&p, &is));
		CHECK_EQ(is, 123456789);
		path_put(&p);
		end_clean();
		snprintf(cmd, sizeof(cmd),
		    "PATH=$PATH:/sbin:/usr/sbin debugfs -R 'stat f' %s/img 2>/dev/null | grep -q 'Generation: 123456789'",
		    work);
		CHECK_EQ(system(cmd), 0);
		MUST(ext2_begin(0, ""));
		MUST(vfs_lookup(&fs_me, NULL, "f", 0, &p));
		MUST(vfs_get_generation(&p, &is));
		CHECK_EQ(is, 123456789);
		path_put(&p);
		end_clean();
	}
}

/* --- what others wrote --- */

HOST_TEST(written_by_debugfs)
{
	for (unsigned i = 0; i < REVISION_0; i++) {
		char big[301] = "";
		memset(big, 'b', 300);
		make(formats[i], "4M");
		fs_make("f");
		fs_make("g");
		end_clean();
		shell(
		    "PATH=$PATH:/sbin:/usr/sbin; cd %s; printf 'ea_set f user.small tiny\nea_set f user.big %s\nea_set f trusted.t secret\nea_set g security.s "
		    "label\n' >cmds && debugfs -w -f cmds img >/dev/null 2>&1",
		    work, big);
		load_image();
		MUST(ext2_begin(0, ""));
		CHECK(has("f", "user.small", "tiny", 4) && has("f", "user.big", big, 300));
		CHECK(has("f", "trusted.t", "secret", 6) && has("g", "security.s", "label", 5));
		CHECK_EQ(list("f", 0), 11 + 9 + 10);
		MUST(set("f", "user.small", "changed", 7, XATTR_REPLACE));
		MUST(set("f", "user.big", NULL, 0, 0));
		CHECK(has("f", "trusted.t", "secret", 6) && has("f", "user.small", "changed", 7));
		CHECK_EQ(get("f", "user.big", 0), -ENODATA);
		end_clean();
		CHECK(debugfs_says("f", "user.small", "changed", 7) &&
		      debugfs_says("f", "trusted.t", "secret", 6));
	}
}

/* --- anything, and what it should come to --- */

struct model {
	size_t len[NAMES];
	uint8_t value[NAMES][VALUE_MAX];
	bool there[NAMES];
};
static struct model models[FILES];

static const char *const names[NAMES] = {"user.a", "user.longer", "user.\xe4\xf6\xfc", "trusted.a",
    "trusted.a-name-that-does-not-fit-into-an-inode-behind-its-fields-and-what-else-there-is-to-be-found",
    "security.a", "user.b", "user.aa"};

static void random_step(void)
{
	unsigned f = (unsigned)rand() % FILES, n = (unsigned)rand() % NAMES;
	struct model *m = &models[f];
	char file[16];
	uint8_t value[VALUE_MAX];
	size_t len = (size_t)rand() % (rand() % 4 ? 40 : VALUE_MAX);
	snprintf(file, sizeof(file), "f%u", f);
	if (rand() % 3 == 0) {
		CHECK_EQ(set(file, names[n], NULL, 0, 0), m->there[n] ? 0 : -ENODATA);
		m->there[n] = false;
		return;
	}
	for (size_t i = 0; i < len; i++) /* few different ones, so that files come to say the same */
		value[i] = (uint8_t)(rand() % 20 ? i : (size_t)rand());
	err_t err = set(file, names[n], value, len, 0);
	CHECK(!err || err == -ENOSPC);
	if (!err) {
		memcpy(m->value[n], value, len);
		m->len[n] = len;
		m->there[n] = true;
	}
}

static void compare_all(bool (*says)(const char *file, const char *name, const void *value, size_t len))
{
	for (unsigned f = 0; f < FILES; f++)
		for (unsigned n = 0; n < NAMES; n++) {
			char file[16];
			snprintf(file, sizeof(file), "f%u", f);
			if (models[f].there[n])
				CHECK(says(file, names[n], models[f].value[n], models[f].len[n]));
			else if (says == has)
				CHECK_EQ(get(file, names[n], 0), -ENODATA);
		}
}

HOST_TEST(random_changes)
{
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		srand(i + 1);
		memset(models, 0, sizeof(models));
		make(formats[i], "2M");
		uint64_t before = free_blocks();
		for (unsigned f = 0; f < FILES; f++) {
			char file[16];
			snprintf(file, sizeof(file), "f%u", f);
			fs_make(file);
		}
		for (unsigned s = 0; s < STEPS; s++)
			random_step();
		compare_all(has);
		end_clean();
		compare_all(debugfs_says);
		MUST(ext2_begin(0, ""));
		compare_all(has);
		for (unsigned f = 0; f < FILES; f++) {
			char file[16];
			snprintf(file, sizeof(file), "f%u", f);
			MUST(vfs_unlink(&fs_me, NULL, file));
		}
		CHECK_EQ(free_blocks(), before);
		end_clean();
	}
}

/* --- blocks --- */

static char value[4096];

HOST_TEST(files_share_a_block)
{
	make("-b 1024 -I 128", "2M");
	uint64_t before = free_blocks();
	for (int i = 0; i < 20; i++) {
		char file[16];
		snprintf(file, sizeof(file), "f%d", i);
		fs_make(file);
		MUST(set(file, "user.same", value, 500, 0));
	}
	CHECK_EQ(free_blocks(), before - 1);
	CHECK_EQ(sectors_of("f0"), 2);
	MUST(set("f3", "user.own", "x", 1, 0)); /* leaves the others alone */
	CHECK_EQ(free_blocks(), before - 2);
	CHECK_EQ(get("f4", "user.own", 0), -ENODATA);
	CHECK(has("f3", "user.same", value, 500) && has("f4", "user.same", value, 500));
	MUST(set("f3", "user.own", NULL, 0, 0)); /* and comes back to them */
	CHECK_EQ(free_blocks(), before - 1);
	for (int i = 0; i < 20; i++) {
		char file[16];
		snprintf(file, sizeof(file), "f%d", i);
		if (i % 2)
			MUST(vfs_unlink(&fs_me, NULL, file));
		else
			MUST(set(file, "user.same", NULL, 0, 0));
	}
	CHECK_EQ(free_blocks(), before);
	CHECK_EQ(sectors_of("f0"), 0);
	end_clean();
}

/* Links whose target is in the inode are told by their blocks, of which attributes are one. */
HOST_TEST(links_have_them_too)
{
	char target[100];
	make("-b 1024 -I 128", "2M");
	MUST(vfs_symlink(&fs_me, "short", NULL, "l"));
	MUST(set("l", "trusted.a", value, 300, 0));
	end_clean();
	MUST(ext2_begin(0, ""));
	CHECK_EQ(vfs_readlink(&fs_me, NULL, "l", target, sizeof(target)), 5);
	CHECK(!memcmp(target, "short", 5) && has("l", "trusted.a", value, 300));
	MUST(vfs_unlink(&fs_me, NULL, "l"));
	end_clean();
}

HOST_TEST(no_room)
{
	make("-b 1024 -I 128", "1M");
	fs_make("f");
	CHECK_EQ(set("f", "user.a", value, 1024, 0), -ENOSPC);
	MUST(set("f", "user.a", value, 900, 0));
	CHECK_EQ(set("f", "user.b", value, 100, 0), -ENOSPC);
	CHECK_EQ(set("f", "user.a", value, 1000, XATTR_REPLACE), -ENOSPC);
	CHECK(has("f", "user.a", value, 900));
	fs_make("g");
	struct file *f = fs_open("fill", FILE_CREAT | FILE_WRONLY, 0644);
	while (fs_write(f, value, sizeof(value)) > 0)
		;
	CHECK_EQ(set("g", "user.b", "x", 1, 0), -ENOSPC);
	MUST(set("g", "user.a", value, 900, 0)); /* which is there */
	MUST(set("f", "user.a", NULL, 0, 0));
	file_put(f);
	end_clean();
}

HOST_TEST(not_for_users)
{
	make("-I 256", "2M");
	fs_make("f");
	MUST(set("f", "user.a", "v", 1, 0));
	MUST(set("f", "trusted.a", "v", 1, 0));
	fs_env_end();
	MUST(ext2_begin(0, "nouser_xattr"));
	CHECK_EQ(get("f", "user.a", 0), -ENOTSUP);
	CHECK_EQ(set("f", "user.a", "w", 1, 0), -ENOTSUP);
	CHECK_EQ(list("f", 0), 10);
	end_clean();
	MUST(ext2_begin(MOUNT_RDONLY, ""));
	CHECK(has("f", "user.a", "v", 1));
	CHECK_EQ(set("f", "user.a", "w", 1, 0), -EROFS);
	fs_env_end();
}

/* --- failures --- */

static err_t some_of_everything(void)
{
	err_t err = fs_try_open("f", FILE_CREAT | FILE_WRONLY, 0644);
	if (!err)
		err = fs_try_open("g", FILE_CREAT | FILE_WRONLY, 0644);
	if (!err)
		err = set("f", "user.small", "v", 1, 0);
	if (!err)
		err = set("f", "user.big", value, 400, 0);
	if (!err)
		err = set("g", "user.big", value, 400, 0);
	if (!err)
		err = set("f", "user.big", value, 300, 0);
	if (!err)
		err = set("g", "user.big", value, 300, 0);
	int64_t len = err ? err : get("g", "user.big", sizeof(got));
	err = len < 0 ? (err_t)len : 0;
	if (!err)
		err = set("f", "user.big", NULL, 0, 0);
	if (!err)
		err = vfs_unlink(&fs_me, NULL, "g");
	err_t later = vfs_sync_all();
	return err ? err : later;
}

HOST_TEST(failing_memory)
{
	bool fired = true;
	for (uint64_t n = 1; fired && n < 2000; n++) {
		make("-b 1024 -I 256", "1M");
		inject_arm(n);
		err_t err = some_of_everything();
		fired = inject_fired();
		inject_arm(0);
		CHECK(!err || (fired && err == -ENOMEM));
		MUST(vfs_sync_all());
		end_clean();
	}
	CHECK(!fired);
}

HOST_TEST(failing_reads)
{
	make("-b 1024 -I 128", "1M");
	requests = 0;
	MUST(some_of_everything());
	uint64_t all = requests;
	fs_env_end();
	for (uint64_t n = 1; n <= all; n++) {
		make("-b 1024 -I 128", "1M");
		requests = 0;
		fail_request = n;
		err_t err = some_of_everything();
		fail_request = 0;
		fs_env_end();
		CHECK(!err || err == -EIO || err == -EROFS);
		shell("PATH=$PATH:/sbin:/usr/sbin e2fsck -fp %s/img >/dev/null 2>&1 || [ $? = 1 ]", work);
	}
}

/* --- damage --- */

/* Use what is there: anything but a crash will do. */
static void use(const char *file)
{
	(void)get(file, "user.big", sizeof(got));
	(void)get(file, "trusted.none", 3);
	(void)list(file, sizeof(got));
	err_t err = set(file, "user.new", "value", 5, 0);
	err = set(file, "user.big", value, 350, 0);
	err = set(file, "user.small", NULL, 0, 0);
	err = vfs_unlink(&fs_me, NULL, file);
	(void)err;
}

/* Where in the image these bytes are. */
static size_t place_of(const void *bytes, size_t n)
{
	const uint8_t *at = memmem(image, image_bytes, bytes, n);
	if (!at)
		panic("attribute not found");
	return (size_t)(at - image);
}

static void damage_around(const char *what, size_t before, size_t after, unsigned step)
{
	size_t at = place_of(what, strlen(what)) & ~(size_t)3;
	uint8_t *good = malloc(image_bytes);
	memcpy(good, image, image_bytes);
	for (size_t i = at - before; i < at + after; i += step)
		for (unsigned how = 0; how < 4; how++) {
			memcpy(image, good, image_bytes);
			image[i] = (uint8_t)(how == 0   ? 0
					     : how == 1 ? 0xff
					     : how == 2 ? image[i] + 1
							: rand());
			if (ext2_begin(0, ""))
				continue;
			use("f");
			use("g");
			fs_env_end();
		}
	free(good);
}

HOST_TEST(damaged_attributes)
{
	srand(7);
	memset(value, 'V', sizeof(value));
	make("-b 1024 -I 256", "1M");
	fs_make("f");
	fs_make("g");
	MUST(set("f", "user.small", "SMALL", 5, 0));
	MUST(set("f", "user.big", value, 300, 0));
	MUST(set("f", "user.more", "MORE", 4, 0));
	MUST(set("f", "trusted.of-the-block", value, 90, 0));
	MUST(set("g", "user.big", value, 300, 0));
	fs_env_end();
	damage_around("small", 24, 96, 1);        /* in the inode */
	damage_around("of-the-block", 72, 40, 1); /* in a block: the header as well */
}

/* Two inodes say that they are alone with their block: one may see what the other does, and no more. */
HOST_TEST(a_block_that_is_not_counted)
{
	make("-b 1024 -I 128", "1M");
	fs_make("f");
	fs_make("g");
	MUST(set("f", "user.big", value, 300, 0));
	MUST(set("g", "user.big", value, 300, 0));
	fs_env_end();
	const uint32_t header[3] = {0xea020000, 2, 1}; /* magic, users, blocks */
	image[place_of(header, sizeof(header)) + 4] = 1;
	MUST(ext2_begin(0, ""));
	MUST(set("f", "user.new", "x", 1, 0));
	(void)list("g", sizeof(got));
	MUST(vfs_unlink(&fs_me, NULL, "f"));
	err_t err = set("g", "user.new", "x", 1, 0);
	CHECK(err == 0 || err == -EUCLEAN);
	fs_env_end();
}

int main(int argc, char **argv)
{
	ext2_env_init(65536);
	int status = host_test_main_started(argc, argv);
	ext2_env_fini();
	return status;
}
