/*
 * test_tty_port.c - ports of terminals without processes: every allocation of their creation fails once, and
 * what a port and its terminal hold of each other when either goes first.
 */
#include "fs/tty_port.h"
#include "lib/inject.h"
#include "tty_env.h"

static struct file *must_create(void)
{
	struct file *port;
	MUST(tty_port_create(1, &port));
	return port;
}

static struct file *open_tty(void)
{
	return fs_open("/dev/ttyS1", FILE_RDWR | FILE_NOCTTY | FILE_NONBLOCK, 0);
}

HOST_TEST(creation_fails_whole)
{
	struct file *port, *other;
	bool fired = true;
	tty_env_begin();
	for (uint64_t n = 1; fired; n++) {
		inject_arm(n);
		err_t err = tty_port_create(1, &port);
		fired = inject_fired();
		inject_arm(0);
		CHECK(err == 0 || (fired && err == -ENOMEM));
		if (fired && !err) /* it could do without */
			file_put(port);
	}
	CHECK_EQ(tty_port_create(1, &other), -EBUSY);
	CHECK_EQ(tty_port_create(0, &other), -EINVAL);
	CHECK_EQ(tty_port_create(QUIRE_TTYPORT_LAST + 1, &other), -EINVAL);
	file_put(port);
	tty_env_end();
}

HOST_TEST(either_goes_first)
{
	char c;
	tty_env_begin();
	struct file *port = must_create(), *tty = open_tty();
	CHECK_EQ(fs_write(tty, "ab", 2), 2);
	CHECK_EQ(fs_read(port, &c, 1), 1);
	CHECK_EQ(c, 'a');
	file_put(tty); /* what was written stays */
	CHECK_EQ(fs_read(port, &c, 1), 1);
	CHECK_EQ(c, 'b');
	tty = open_tty();
	file_put(port);
	CHECK_EQ(fs_write(tty, "c", 1), -EIO);
	port = must_create(); /* while somebody has a file of the old one */
	file_put(tty);
	file_put(port);
	tty_env_end();
}

/* A name in the way: nothing of the port stays. */
HOST_TEST(name_is_taken)
{
	struct file *port;
	tty_env_begin();
	file_put(fs_open("/dev/ttyS1", FILE_RDWR | FILE_CREAT, 0644));
	CHECK_EQ(tty_port_create(1, &port), -EBUSY);
	MUST(vfs_unlink(&fs_me, NULL, "/dev/ttyS1"));
	port = must_create();
	file_put(port);
	tty_env_end();
}
int main(int argc, char **argv)
{
	tty_env_init(16384);
	int failed = host_test_main_started(argc, argv);
	tty_env_fini();
	return failed;
}
