/*
 * main.c - the order in which the kernel comes up, with a reason for each step, and what it runs then.
 *
 * The port has set up its own basics (descriptors, exceptions, direct map, `bootinfo`) before kernel_main.
 * Everything that allocates for ever may assert that it gets its memory: a machine that cannot even boot has
 * nobody to tell.
 *
 * Command line:
 *	test=PATTERN    run the kernel's own tests first (not in release kernels); without init= stop the machine then
 *	init=PATH       program to run, /init if not given
 *	-- WORD...      arguments for it
 *	onexit=halt     (default) when the program ends, stop the machine: clean if it returned 0
 *	onexit=stay     keep running
 */
#include "arch/bootinfo.h"
#include "arch/clock.h"
#include "arch/cpu.h"
#include "arch/platform.h"
#include "arch/upcall.h"
#include "dev/console.h"
#include "dev/pci.h"
#include "dev/rtc.h"
#include "dev/virtio.h"
#include "fs/system.h"
#include "init/root.h"
#include "kern/log.h"
#include "kern/random.h"
#include "kern/sched.h"
#include "kern/timer.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kva.h"
#include "mm/slab.h"
#include "object/desc.h"
#include "proc/exec.h"
#include "proc/load.h"
#include "proc/oom.h"
#include "proc/power.h"
#include "proc/procfs.h"
#include "proc/sysfs.h"
#include "proc/process.h"
#include "proc/trace.h"
#include "sys/sys.h"
#include "vm/fault.h"
#include "vm/page_tree.h"
#include "vm/space.h"

/* The kernel's tests, where they are compiled in; the number of those that failed. */
unsigned ktest_run(const char *pattern) __attribute__((weak));

static struct thread idle_threads[MAX_CPUS];
static struct thread main_thread, reclaim_thread;

void upcall_cpu_main(void)
{
	irq_disable();
	slab_init_cpu(); /* now, so that no later allocation on this CPU keeps frames for the first time */
	timer_init_cpu();
	sched_init_cpu(&idle_threads[cpu_id()]);
	sched_idle();
}

static void describe_exit(const char *path, int status)
{
	if (status & 0x7f)
		log_err("init", "%s was ended by signal %d (%s)", path, status & 0x7f,
		    signal_name(status & 0x7f));
	else
		log_info("init", "%s exited with status %d", path, status >> 8 & 0xff);
}

/* What follows `--` on the command line, one word an argument. */
static err_t add_arguments(struct exec_args *args)
{
	char word[BOOT_CMDLINE_MAX];
	const char *s = strstr(bootinfo.cmdline, " -- ");
	if (!s)
		return 0;
	s += 4;
	while (*s) {
		size_t n = 0;
		while (*s == ' ')
			s++;
		while (*s && *s != ' ' && n < sizeof(word) - 1)
			word[n++] = *s++;
		word[n] = 0;
		err_t err = n ? exec_args_add_arg(args, word) : 0;
		if (err)
			return err;
	}
	return 0;
}

/* What the first program is given: the console as its standard streams, and the system object, which its
 * auxiliary vector names. */
enum { SYSTEM_FD = 3 };

static err_t give_objects(struct user_thread *ut, void *arg)
{
	enum { RIGHTS = RIGHTS_ALL & ~RIGHT_EXEC };
	struct file *system;
	err_t err = root_open_console(ut, arg);
	if (!err)
		err = system_create(&system);
	if (err)
		return err;
	int fd = desc_install(ut->descs, &system->object, RIGHTS, true, SYSTEM_FD, SYSTEM_FD + 1);
	file_put(system);
	return fd < 0 ? fd : 0;
}

static err_t start_init(const char *path, struct process **out)
{
	struct exec_args args;
	exec_args_init(&args, 0); /* a few words */
	args.aux_type = QUIRE_AT_SYSTEM;
	args.aux_value = SYSTEM_FD;
	err_t err = exec_args_set_path(&args, path);
	if (!err)
		err = exec_args_add_arg(&args, path);
	if (!err)
		err = add_arguments(&args);
	if (!err)
		err = exec_args_add_env(&args, "PATH=/bin:/usr/bin");
	if (!err)
		err = exec_args_add_env(&args, "HOME=/");
	if (!err)
		err = process_spawn(&args, give_objects, NULL, out);
	exec_args_fini(&args);
	return err;
}

/* Run the first program to its end; clean: is it still true that nothing has failed? */
static void run_init(const char *path, bool clean)
{
	char onexit[16] = "halt";
	struct process *p;
	(void)cmdline_get("onexit", onexit, sizeof(onexit));
	err_t err = start_init(path, &p);
	if (err) {
		log_err("init", "cannot run %s: error %d", path, err);
		machine_halt(false);
	}
	int status = process_wait_dead(p);
	process_put(p);
	describe_exit(path, status);
	enum power_action action = power_requested();
	if (action == POWER_NONE && !strcmp(onexit, "stay"))
		return;
	process_end_all();
	clean = root_shutdown() == 0 && clean && status == 0;
	if (action == POWER_OFF)
		machine_power_off(clean);
	if (action == POWER_RESTART)
		machine_restart(clean);
	machine_halt(clean);
}

static void start_thread(struct thread *t, const char *name, void (*fn)(void *))
{
	vaddr_t stack = kva_alloc_stack();
	ASSERT(stack);
	thread_init(t, name, stack, KSTACK_PAGES * PAGE_SIZE, fn, NULL);
	thread_start(t);
}

/* The first thread: interrupts work, all CPUs are there or on their way, anything may sleep. */
static void main_thread_fn(UNUSED void *arg)
{
	char pattern[128], path[128] = "/init";
	bool clean = true;
	smp_start();        /* the other CPUs; first, so that all that follows finds them */
	rtc_init();         /* time of day: needs the clock */
	random_init();      /* before the first program: its stack protector wants bytes */
	virtio_init();      /* disks: their interrupts and timers work */
	vm_pressure_init(); /* before anything that may need much memory */
	start_thread(&reclaim_thread, "reclaim", vm_pressure_main);
	proc_init(); /* starts the reaper thread */
	oom_init();  /* who is ended if there is none: needs processes */
	load_init(); /* load averages */
	trace_init();
	native_init(); /* endpoints: programs send messages */
	syslog_init(); /* what has been read of the log: nobody reads yet */
	root_init();   /* the first file systems: programs come from there */
	procfs_init();
	sysfs_init(); /* after the disks and PCI */
	bool has_init = cmdline_get("init", path, sizeof(path));
	if (ktest_run && cmdline_get("test", pattern, sizeof(pattern))) {
		clean = ktest_run(pattern) == 0;
		if (!has_init)
			machine_halt(clean);
	}
	run_init(path, clean);
}

/* What the boot loader handed over, for whoever wonders why something is missing. */
static void describe_boot(void)
{
	const struct boot_framebuffer *fb = &bootinfo.framebuffer;
	log_info("quire", "booted by %s: %s", bootinfo.protocol, bootinfo.cmdline);
	for (unsigned i = 0; i < bootinfo.nmodules; i++)
		log_info("quire", "module %u at %#llx, %llu bytes, \"%s\"", i,
		    (unsigned long long)bootinfo.modules[i].start,
		    (unsigned long long)(bootinfo.modules[i].end - bootinfo.modules[i].start),
		    bootinfo.modules[i].name);
	if (fb->base)
		log_info("quire", "framebuffer at %#llx, %u x %u, %u bits", (unsigned long long)fb->base,
		    fb->width, fb->height, fb->bpp);
}

void kernel_main(void)
{
	log_set_console(console_write, LOG_INFO); /* whatever fails from here on can be read */
	describe_boot();
	frame_init(&bootinfo); /* frames: everything else is made of them */
	slab_init();           /* small objects, on frames */
	kva_init();            /* guarded stacks and device maps: table frames are there */
	vm_init();             /* caches of tree nodes, objects, regions: slabs are there */
	arch_devices_init();   /* interrupt controllers, clock: device maps are there */
	pci_init();            /* before the first driver */
	pci_known_init();      /* the same */
	timer_init_cpu();      /* timers: the scheduler's slices are one */
	sched_init_cpu(&idle_threads[0]);
	start_thread(&main_thread, "main", main_thread_fn);
	sched_idle(); /* interrupts are enabled there */
}
