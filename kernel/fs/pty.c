/*
 * pty.c - pairs of terminals that are each other's line: what is written on the master is typed on the slave,
 * what is written on the slave is shown to the master.
 *
 * Opening /dev/ptmx makes a pair, its number and the slave's name in devpts, a small file system of its own
 * that every mount of "devpts" shows. The pair lives as long as a file or a session has to do with either
 * end; the name, as long as the master is open. The slave can be opened when the master has unlocked it,
 * closed and opened again: the master then sees, in turn, a hang-up and a line that works. When the master is
 * closed the slave is hung up for good.
 *
 * Locking: `pairs` by pair_lock, which ends before anything else is locked: who finds a pair takes a
 * reference.
 */
#include "arch/usercopy.h"
#include "fs/devfs.h"
#include "fs/mount.h"
#include "fs/tmpfs.h"
#include "fs/tty.h"
#include "lib/printf.h"
#include "lib/string.h"
#include "mm/slab.h"

#define DEVPTS_MAGIC 0x1cd1ULL

enum {
	PTY_MAX = 4096,
	PTS_GROUP = 5, /* "tty" */
	PTS_MODE = 0620,
	MINOR_PTMX = 2,
	NAME_SIZE = 12,
};

enum pty_request {
	TIOCPKT = 0x5420,
	TIOCGPTN = 0x80045430,
	TIOCSPTLCK = 0x40045431,
	TIOCSIG = 0x40045436,
	TIOCGPKT = 0x80045438,
	TIOCGPTLCK = 0x80045439,
	TIOCGPTPEER = 0x5441,
};

struct pty {
	struct tty_line line; /* first */
	unsigned number;      /* (C) */
	bool slave_locked;    /* (L) TIOCSPTLCK */
	bool has_name;        /* of ptmx_open, then of the last close */
	struct tty master, slave;
};

static struct spinlock pair_lock = SPINLOCK_INIT("pty", RANK_VNODES);
static struct pty *pairs[PTY_MAX]; /* pair_lock */
static struct pty reserved;        /* stands for a number that is being given out */
static unsigned npairs;            /* pair_lock */
static struct mount *pts_mount;    /* constant after boot: the tree of names */

static struct pty *pty_of(const struct tty *t)
{
	return container_of(t->line, struct pty, line);
}

unsigned pty_count(void)
{
	spin_lock(&pair_lock);
	unsigned n = npairs;
	spin_unlock(&pair_lock);
	return n;
}

/* --- the two drivers --- */

static size_t link_room(const struct tty *t)
{
	return tty_wire_room(t->link);
}

static void link_write(struct tty *t, const uint8_t *bytes, size_t n)
{
	size_t took = tty_feed_locked(t->link, bytes, n);
	ASSERT(took == n); /* there was room */
}

static void link_discard(struct tty *t)
{
	t->link->wire_tail = t->link->wire_head;
	t->room_news = true;
	tty_note_packet_locked(t, TTY_PACKET_FLUSHWRITE, 0);
}

static err_t slave_open(struct tty *t)
{
	if (pty_of(t)->slave_locked || t->link->nfiles == 0)
		return -EIO;
	t->link->other_closed = false;
	return 0;
}

static void slave_close(struct tty *t)
{
	if (t->nfiles)
		return;
	t->link->other_closed = true;
	t->link->input_news = true;
}

static void master_close(struct tty *t)
{
	t->packet = false;
	t->link->other_closed = true;
	tty_hang_up_locked(t->link, false);
}

static bool has_usual_flow(const struct tty_termios *s)
{
	return (s->iflag & TI_IXON) && s->cc[TCC_STOP] == 'S' - '@' && s->cc[TCC_START] == 'Q' - '@';
}

/* There is no hardware to have another word size; a master in packet mode wants to know who does flow
 * control. */
static void slave_set(struct tty *t, const struct tty_termios *old)
{
	struct tty_termios *now = &t->ldisc.termios;
	bool flow = has_usual_flow(now);
	now->cflag = (now->cflag & ~(uint32_t)(TC_CSIZE | TC_PARENB)) | TC_CS8 | TC_CREAD;
	if (flow != has_usual_flow(old))
		tty_note_packet_locked(
		    t, flow ? TTY_PACKET_DOSTOP : TTY_PACKET_NOSTOP, TTY_PACKET_DOSTOP | TTY_PACKET_NOSTOP);
	if ((old->lflag | now->lflag) & TL_EXTPROC)
		tty_note_packet_locked(t, TTY_PACKET_IOCTL, 0);
}

static int64_t master_ioctl(struct file *f, struct tty *t, uint32_t request, uint64_t arg);
static void remove_name(struct tty *t);

static const struct tty_driver master_driver = {
    .is_pty = true,
    .is_master = true,
    .termios = {.cflag = TC_B38400 | TC_CS8 | TC_CREAD,
	.cc = TTY_STD_CHARS,
	.ispeed = 38400,
	.ospeed = 38400},
    .close = master_close,
    .closed = remove_name,
    .room = link_room,
    .write = link_write,
    .discard = link_discard,
    .ioctl = master_ioctl,
};

static struct tty_driver slave_driver = {
    /* termios: the usual one without HUPCL; filled in at boot */
    .is_pty = true,
    .open = slave_open,
    .close = slave_close,
    .set = slave_set,
    .room = link_room,
    .write = link_write,
    .discard = link_discard,
};

/* --- names --- */

/* The kernel's own rights, in the tree of names. */
static void own_context(struct fs_context *c)
{
	*c = (struct fs_context){
	    .root = {pts_mount, pts_mount->root}, .cwd = {pts_mount, pts_mount->root}, .cred.caps = CAP_ALL};
}

static void name_of(const struct pty *p, char name[NAME_SIZE])
{
	(void)format(name, NAME_SIZE, "%u", p->number);
}

static err_t make_name(struct pty *p)
{
	char name[NAME_SIZE];
	struct fs_context c;
	struct path path;
	uint32_t uid, gid;
	own_context(&c);
	name_of(p, name);
	tty_proc->owner(&uid, &gid);
	err_t err = vfs_mknod(&c, NULL, name, MODE_CHAR | PTS_MODE, p->slave.rdev, &path);
	if (err)
		return err;
	p->has_name = true;
	err = vfs_chown(&c, &path, uid, PTS_GROUP);
	path_put(&path);
	return err;
}

static void remove_name(struct tty *t)
{
	struct pty *p = pty_of(t);
	char name[NAME_SIZE];
	struct fs_context c;
	if (!p->has_name)
		return;
	own_context(&c);
	name_of(p, name);
	p->has_name = false;
	err_t err = vfs_unlink(&c, NULL, name);
	ASSERT(!err || err == -ENOENT || err == -ENOMEM); /* an administrator may have removed it */
}

/* --- life --- */

/* The lowest free number. */
static err_t take_number(unsigned *out)
{
	unsigned i = 0;
	spin_lock(&pair_lock);
	while (i < PTY_MAX && pairs[i])
		i++;
	if (i < PTY_MAX) {
		pairs[i] = &reserved;
		npairs++;
	}
	spin_unlock(&pair_lock);
	*out = i;
	return i < PTY_MAX ? 0 : -ENOSPC;
}

static void set_pair(unsigned number, struct pty *p)
{
	spin_lock(&pair_lock);
	pairs[number] = p;
	npairs -= !p;
	spin_unlock(&pair_lock);
}

static void destroy(struct tty_line *line)
{
	struct pty *p = container_of(line, struct pty, line);
	err_t err = dev_unregister(NULL, MODE_CHAR, p->slave.rdev);
	ASSERT(!err);
	set_pair(p->number, NULL);
	kfree(p);
}

static err_t open_slave(struct file *f, UNUSED void *data)
{
	unsigned number = DEV_MINOR(f->vnode->rdev);
	bool noctty = load_relaxed(&f->flags) & FILE_NOCTTY;
	spin_lock(&pair_lock);
	struct pty *p = number < PTY_MAX ? pairs[number] : NULL;
	bool found = p && p != &reserved && ref_try_get(&p->line.refs);
	spin_unlock(&pair_lock);
	if (!found)
		return -EIO;
	err_t err = tty_open_file(&p->slave, f, false, noctty);
	tty_put(&p->slave);
	return err;
}

static err_t create(unsigned number, struct pty **out)
{
	struct pty *p = kzalloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	tty_line_init(&p->line, destroy);
	p->number = number;
	p->slave_locked = true;
	tty_init(&p->master, &p->line, &master_driver, DEV_MAKE(TTY_MAJOR_AUX, MINOR_PTMX));
	tty_init(&p->slave, &p->line, &slave_driver, DEV_MAKE(TTY_MAJOR_PTS, number));
	p->master.link = &p->slave;
	p->slave.link = &p->master;
	err_t err = dev_register(NULL, MODE_CHAR, p->slave.rdev, open_slave, NULL);
	if (err) {
		kfree(p);
		return err;
	}
	set_pair(number, p);
	*out = p;
	return 0;
}

static err_t open_ptmx(struct file *f, UNUSED void *data)
{
	unsigned number;
	struct pty *p;
	err_t err = take_number(&number);
	if (err)
		return err;
	err = create(number, &p);
	if (err) {
		set_pair(number, NULL);
		return err;
	}
	err = tty_open_file(&p->master, f, false, true);
	if (!err)
		err = make_name(p); /* the file's end undoes it */
	tty_put(&p->master);
	return err;
}

/* --- requests to a master --- */

static int64_t get_int(uint64_t arg, int32_t value)
{
	return copy_to_user(arg, &value, sizeof(value));
}

/* An open file of the slave that needs no name. */
static int64_t open_peer(struct pty *p, uint64_t flags)
{
	char name[NAME_SIZE];
	struct fs_context c;
	struct path path;
	struct file *f;
	own_context(&c);
	name_of(p, name);
	err_t err = vfs_lookup(&c, NULL, name, WALK_NOFOLLOW, &path);
	if (err)
		return err;
	err = vfs_open_path(&c, &path, (unsigned)flags, &f);
	path_put(&path);
	if (err)
		return err;
	int64_t fd = tty_proc->install(f, (unsigned)flags);
	if (fd < 0)
		file_put(f);
	return fd;
}

static int64_t set_flags(struct tty *t, uint32_t request, uint64_t arg)
{
	int32_t value;
	err_t err = copy_from_user(&value, arg, sizeof(value));
	if (err)
		return err;
	mutex_lock(&t->line->lock);
	if (request == TIOCSPTLCK) {
		pty_of(t)->slave_locked = value;
	} else {
		if (value && !t->packet)
			t->link->packet_status = 0;
		t->packet = value;
		tty_settle_locked(t);
	}
	mutex_unlock(&t->line->lock);
	return 0;
}

static int64_t send_signal(struct tty *t, int signo)
{
	if (signo != TTY_SIGNAL_INT && signo != TTY_SIGNAL_QUIT && signo != TTY_SIGNAL_TSTP)
		return -EINVAL;
	tty_proc->signal_group(t->link, signo);
	return 0;
}

static int64_t master_ioctl(UNUSED struct file *f, struct tty *t, uint32_t request, uint64_t arg)
{
	switch (request) {
	case TIOCSPTLCK:
	case TIOCPKT:
		return set_flags(t, request, arg);
	case TIOCGPTLCK:
		return get_int(arg, pty_of(t)->slave_locked);
	case TIOCGPKT:
		return get_int(arg, t->packet);
	case TIOCGPTN:
		return get_int(arg, (int32_t)pty_of(t)->number);
	case TIOCSIG:
		return send_signal(t, (int)arg);
	case TIOCGPTPEER:
		return open_peer(pty_of(t), arg);
	default:
		return -ENOTTY;
	}
}

/* --- the file system --- */

static err_t pts_statfs(struct fs *fs, struct fs_stats *out)
{
	err_t err = tmpfs_statfs(fs, out);
	out->type = DEVPTS_MAGIC;
	return err;
}

static err_t pts_mount_fs(struct fs *fs, const char *source, UNUSED const char *options, struct vnode **root)
{
	return tmpfs_mount(fs, source, "mode=755", root);
}

static struct fs *pts_single(void)
{
	return pts_mount->fs;
}

static const struct fs_ops devpts_make_ops = {
    .name = "devpts",
    .mount = pts_mount_fs,
    .unmount = tmpfs_unmount,
    .drain = tmpfs_drain,
    .own_refs = tmpfs_own_refs,
    .statfs = pts_statfs,
};
const struct fs_ops devpts_ops = {.name = "devpts", .single = pts_single};

err_t pty_init(void)
{
	struct fs_context c;
	uint64_t ptmx = DEV_MAKE(TTY_MAJOR_AUX, MINOR_PTMX);
	slave_driver.termios = tty_std_termios;
	slave_driver.termios.cflag &= ~(uint32_t)TC_HUPCL;
	err_t err = mount_create_internal(&devpts_make_ops, "devpts", "", &pts_mount);
	if (err)
		return err;
	fs_register(&devpts_ops);
	own_context(&c);
	err = vfs_mknod(&c, NULL, "ptmx", MODE_CHAR, ptmx, NULL);
	return err ? err : dev_register("ptmx", MODE_CHAR | 0666, ptmx, open_ptmx, NULL);
}

void pty_fini(void)
{
	ASSERT(pty_count() == 0);
	mount_put(pts_mount);
	pts_mount = NULL;
}
