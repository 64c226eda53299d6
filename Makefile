# Quire's one makefile. `make help` lists the targets and the variables.
#
# Sources are found, not listed: every .c and .S under kernel/ but arch/host is the kernel; tests/guest/k*.c is compiled into
# every variant but release, tests/guest/u*.c are user programs; each tests/host/test_*.c is a host program over arch/host.
# A variant is a set of flags with an object directory of its own; objects are rebuilt when headers or flags change.
JOBS := $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
MAKEFLAGS += --no-builtin-rules --no-print-directory $(JOBS)
.DELETE_ON_ERROR:
.SUFFIXES:

# What the caller may set -----------------------------------------------------------------------------------------------
ifeq ($(origin CC),default)
CC := gcc
endif
VARIANT ?= $(if $(filter debug,$(MAKECMDGOALS)),debug,$(if $(filter bench,$(MAKECMDGOALS)),test,release))
LD      := $(if $(findstring clang,$(CC)),ld.lld,ld)
SAN     ?= asan
V       ?=
Q       := $(if $(V),,@)

# The kernel --------------------------------------------------------------------------------------------------------------
B    := build/$(CC)-$(VARIANT)
ARCH := kernel/arch/x86_64
WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wshadow

KASAN_gcc   := -fsanitize=kernel-address -fasan-shadow-offset=0xdffffc0000000000 --param asan-globals=1 \
	--param asan-stack=1 --param asan-instrumentation-with-call-threshold=0
KASAN_clang := -fsanitize=kernel-address $(addprefix -mllvm -asan-,mapping-offset=0xdffffc0000000000 globals=1 stack=1 \
	instrumentation-with-call-threshold=0)
SAN_kasan := $(KASAN_$(if $(findstring clang,$(CC)),clang,gcc))
SAN_ubsan := -fsanitize=undefined -fno-sanitize=alignment

FLAGS_release :=
FLAGS_test    := -DCONFIG_TEST
FLAGS_debug   := -DCONFIG_TEST -DCONFIG_INJECT -DCONFIG_DEBUG
FLAGS_kasan   := -DCONFIG_TEST -DCONFIG_INJECT -DCONFIG_KASAN
FLAGS_ubsan   := -DCONFIG_TEST -DCONFIG_INJECT -DCONFIG_UBSAN
ifeq ($(filter $(VARIANT),release test debug kasan ubsan),)
$(error VARIANT is one of release, test, debug, kasan, ubsan)
endif

UPROGS := $(patsubst tests/guest/%.c,build/initrd/bin/%,$(wildcard tests/guest/u*.c))
INCLUDES := -I$(B) -Ikernel -I$(ARCH)/include -Itests/guest -Ibuild/gen -Iabi
CFLAGS := -std=gnu11 $(WARN) -O2 -g $(INCLUDES) -ffreestanding -fno-builtin -fno-pic -fno-pie -mcmodel=kernel \
	-mno-red-zone -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
	-fno-omit-frame-pointer -fno-strict-aliasing -fno-common $(if $(findstring clang,$(CC)),--target=x86_64-linux-gnu) \
	$(FLAGS_$(VARIANT))
LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack $(if $(filter ld,$(LD)),-no-pie --no-warn-rwx-segments) \
	$(if $(filter kasan,$(VARIANT)),$(addprefix --wrap=,memcpy memmove memset memcmp))

SRC := $(filter-out kernel/arch/host/%,$(wildcard kernel/*/*.c kernel/fs/ext2/*.c $(ARCH)/*.c $(ARCH)/*.S)) \
	$(if $(filter-out release,$(VARIANT)),$(wildcard tests/guest/k*.c))
SRC := $(filter-out $(if $(filter-out kasan,$(VARIANT)),%kasan.c) $(if $(filter-out ubsan,$(VARIANT)),%ubsan.c),$(SRC))
OBJ := $(SRC:%=$(B)/%.o)
# Code that runs before the shadow is mapped, or that reports what the sanitizers find.
NOSAN := $(wildcard $(ARCH)/early*.c $(ARCH)/boot*.c) kernel/debug/% kernel/lib/string.c kernel/mm/slab.c

.PHONY: all kernel
all: build/quire.elf compile_commands.json
build/quire.elf: $(B)/quire.elf
	@cmp -s $< $@ || cp $< $@
kernel: $(B)/quire.elf

# Linked twice: the symbols of the first link become a table for backtraces, which lies behind everything that it names.
link = $(LD) $(LDFLAGS) -T $(ARCH)/kernel.ld -o $(1) $(OBJ) $(2)
ksyms = python3 tools/ksyms.py make < $(1) > $(2).S && $(CC) $(CFLAGS) -c -o $(2).o $(2).S
$(B)/quire.elf: $(OBJ) $(B)/objects $(ARCH)/kernel.ld tools/ksyms.py
	@echo "LD    $@"
	$Q$(call ksyms,/dev/null,$(B)/ksyms0) && $(call link,$(B)/first.elf,$(B)/ksyms0.o)
	$Qnm -n --defined-only $(B)/first.elf > $(B)/symbols && $(call ksyms,$(B)/symbols,$(B)/ksyms)
	$Q$(call link,$@,$(B)/ksyms.o) && nm -n --defined-only $@ | python3 tools/ksyms.py check $(B)/ksyms.S
$(B)/%.o: % $(B)/flags
	@mkdir -p $(@D)
	@echo "CC    $<"
	$Q$(CC) $(CFLAGS) $(if $(filter $(NOSAN),$<),,$(SAN_$(VARIANT))) -MMD -MP -c -o $@ $<

# The vDSO: user code in a shared object, carried by vdso_image.S.
VDSO_CFLAGS := -std=gnu11 $(WARN) -O2 -I$(ARCH)/include -ffreestanding -fPIC -fno-stack-protector -fasynchronous-unwind-tables \
	-fcf-protection=none -fno-strict-aliasing $(if $(findstring clang,$(CC)),--target=x86_64-linux-gnu)
$(B)/vdso.so: $(ARCH)/vdso/vdso.c $(ARCH)/vdso/vdso.ld $(ARCH)/include/machine/vdso.h $(B)/flags
	@mkdir -p $(@D)
	@echo "VDSO  $@"
	$Q$(CC) $(VDSO_CFLAGS) -c -o $(B)/vdso.o $<
	$Qld -shared -Bsymbolic -soname linux-vdso.so.1 --hash-style=both --build-id=sha1 --eh-frame-hdr -z max-page-size=4096 \
		-z noexecstack -T $(ARCH)/vdso/vdso.ld -o $@ $(B)/vdso.o
	$Qobjcopy -S $@ && ! readelf -r $@ | grep R_X86
$(B)/$(ARCH)/vdso_image.S.o: $(B)/vdso.so

# The system-call tables of abi/ as C.
GEN := build/gen/syscall_proto.h build/gen/syscall_table.inc build/gen/syscall_trace.inc build/gen/quire/calls.h build/gen/native_checks.inc
GEN_syscall_proto.h := proto
GEN_syscall_table.inc := table
GEN_syscall_trace.inc := trace
GEN_calls.h := stubs
GEN_native_checks.inc := checks
ABI := abi/linux.tbl abi/native.tbl
$(GEN): build/gen/%: $(ABI) tools/gen_abi.py | build/deps/build
	@mkdir -p $(@D)
	$Qpython3 tools/gen_abi.py $(GEN_$(notdir $*)) $(ABI) > $@
$(OBJ) $(UPROGS): | $(GEN)

# A file that changes only when its text does: what depends on it is rebuilt when flags or lists of files change.
keep = @mkdir -p $(@D); echo '$(subst ','\'',$(1))' | cmp -s - $@ || echo '$(subst ','\'',$(1))' > $@
$(B)/flags: FORCE | build/deps/$(if $(findstring clang,$(CC)),clang,build)
	$(call keep,$(CC) $(CFLAGS) $(SAN_$(VARIANT)) $(NOSAN))
$(B)/objects: FORCE
	$(call keep,$(LD) $(LDFLAGS) $(OBJ))
compile_commands.json: tools/compdb.py $(B)/flags $(B)/objects
	$Qpython3 tools/compdb.py '$(CC) $(CFLAGS)' $(filter %.c,$(SRC)) > $@

# User programs and the initrd that carries them ------------------------------------------------------------------------------
# Programs of user/ that init's configuration starts, kept as /service/NAME.
SERVICES := logview serial
# What needs a machine of its own has a configuration in tests/run instead of a place here.
UTESTS := $(filter-out %/urun %/ubench %/uconsole %/ucore %/udriver %/uguarded %/uharden %/uioerr %/uline %/uown %/ustress %/upressure,$(UPROGS))
UFLAGS := -std=gnu11 $(WARN) -O2 -g -static -no-pie -fno-pie -Iabi -Ibuild/gen -DUTESTS='$(UTESTS:build/initrd%="%",)'
build/initrd/bin/%: tests/guest/%.c build/user/flags
	@mkdir -p $(@D) build/user
	@echo "MUSL  $<"
	$Qmusl-gcc $(UFLAGS) -MMD -MP -MF build/user/$*.d -o $@ $<
build/user/flags: FORCE | build/deps/test
	$(call keep,$(UFLAGS))
# The driver of the tutorial, out of its text, and what its test includes.
TUTORIAL := $(addprefix build/tutorial/,clock.c clock.h start.h)
$(TUTORIAL) &: docs/driver-tutorial.md tools/tutorial.py
	$Qtools/tutorial.py $< build/tutorial
build/initrd/service/clock: $(TUTORIAL) abi/quire/guard.h $(GEN) build/user/flags
	@mkdir -p $(@D)
	@echo "MUSL  $@"
	$Qmusl-gcc $(UFLAGS) -o $@ $<
build/initrd/bin/udriver: UFLAGS += -Ibuild/tutorial
build/initrd/bin/udriver: | $(TUTORIAL)
# musl-gcc -static-pie makes a dynamic program: link by hand.
MUSL := /usr/lib/x86_64-linux-musl
build/initrd/bin/upie: tests/guest/upie.c build/deps/test
	@mkdir -p $(@D) build/user
	@echo "MUSL  $<"
	$Qmusl-gcc -std=gnu11 $(WARN) -O2 -g -fPIE -MMD -MP -MF build/user/upie.d -MT $@ -c -o build/user/upie.o $<
	$Qld -static -pie --no-dynamic-linker -z text -z relro -z now -o $@ $(MUSL)/rcrt1.o $(MUSL)/crti.o build/user/upie.o \
		--start-group $(MUSL)/libc.a $$(gcc -print-libgcc-file-name) --end-group $(MUSL)/crtn.o
build/initrd.cpio: $(UPROGS) $(addprefix build/initrd/,sbin/init bin/harden bin/service service/clock $(SERVICES:%=service/%))
	@mkdir -p build/initrd
	$Qcd build/initrd && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible > ../initrd.cpio

# The guest's first program, the programs that come with it, and the archive that ./quire boots.
OWN_FLAGS := -std=gnu11 $(WARN) -Os -s -static -no-pie -fno-pie -Iabi -Ibuild/gen -Iuser
OWN_HEADERS := $(wildcard user/init/*.h user/fbcon/place.h abi/quire/*.h) build/gen/quire/calls.h Makefile
define own_program
	@mkdir -p $(@D)
	@echo "MUSL  $@"
	$Qmusl-gcc $(OWN_FLAGS) -o $@ $(filter %.c,$^)
endef
build/run/init build/initrd/sbin/init: $(wildcard user/init/*.c) user/fbcon/place.c $(OWN_HEADERS) | build/deps/run
	$(own_program)
# Programs that exist nowhere else: init puts them where the guest's programs find them.
build/run/harden build/initrd/bin/harden: user/harden.c $(OWN_HEADERS) | build/deps/run
	$(own_program)
build/run/bin/service build/initrd/bin/service: user/service.c $(OWN_HEADERS) | build/deps/run
	$(own_program)
build/run/service/%: user/%.c $(OWN_HEADERS) | build/deps/run
	$(own_program)
build/initrd/service/%: user/%.c $(OWN_HEADERS) | build/deps/run
	$(own_program)
build/run/etc/quire.conf: user/init/quire.conf
	@mkdir -p $(@D)
	$Qcp $< $@
RUN_FILES := init harden bin/service etc/quire.conf $(SERVICES:%=service/%)
# $(call archive,FOLDER,FILES): these files of the folder, and what they are in, as an archive for the guest.
archive = (cd $1 && mkdir -p dev newroot && printf '%s\n' dev newroot $(patsubst %/,%,$(filter-out ./,$(dir $2))) $2 | \
	LC_ALL=C sort -u | cpio --quiet -o -H newc -R 0:0 --reproducible)
build/run.cpio: $(addprefix build/run/,$(RUN_FILES))
	$Q$(call archive,build/run,$(RUN_FILES)) > $@

# The console on a framebuffer: a service in an archive of its own, with the first program. libtsm is Debian's static library, with its
# header alone out of the host's; the font is Debian's as well.
FBCON := $(wildcard user/fbcon/*.c)
FBCON_FLAGS := -std=gnu11 $(WARN) -O2 -s -static -no-pie -fno-pie -Iabi -Ibuild/gen -Ibuild/fbcon -DFONT_FILE='"build/fbcon/font.bin"'
build/fbcon/font.bin: tools/mkfont.py build/deps/console
	@mkdir -p $(@D)
	@echo "FONT  $@"
	$Qpython3 $< /usr/share/unifont/unifont.hex $@
build/fbcon/libtsm.h: build/deps/console
	@mkdir -p $(@D)
	$Qcp /usr/include/libtsm.h $@
build/display/service/fbcon: $(FBCON) $(wildcard user/fbcon/*.h) build/fbcon/font.bin build/fbcon/libtsm.h abi/quire/guard.h build/gen/quire/calls.h Makefile | build/deps/run
	@mkdir -p $(@D)
	@echo "MUSL  $@"
	$Qmusl-gcc $(FBCON_FLAGS) -o $@ $(FBCON) /usr/lib/x86_64-linux-gnu/libtsm.a
build/display/etc/quire.conf: user/init/quire.conf user/fbcon/quire.conf
	@mkdir -p $(@D)
	$Qcat $^ > $@
build/display.cpio: $(addprefix build/run/,$(RUN_FILES)) build/display/service/fbcon build/display/etc/quire.conf
	$Q$(foreach f,$(filter-out etc/quire.conf,$(RUN_FILES)),mkdir -p build/display/$(dir $f) && cp build/run/$f build/display/$f &&) \
		$(call archive,build/display,$(RUN_FILES) service/fbcon) > build/display.cpio

# Running -------------------------------------------------------------------------------------------------------------------
.PHONY: run boot machine debug iso
ARGS ?= init=/bin/ubench
QEMU_ARGS := $(if $(MACHINE),--machine $(MACHINE)) $(if $(CPUS),--cpus $(CPUS)) $(if $(MEM),--mem $(MEM)) $(if $(ARGS),--append '$(ARGS)')
machine: build/quire.elf build/run.cpio build/deps/run
# DISPLAY=1 asks for a window; where it is to be is what DISPLAY was for make itself.
ifeq ($(origin DISPLAY),command line)
WINDOW := $(filter-out 0,$(DISPLAY))
endif
run: machine build/deps/image $(if $(WINDOW),build/display.cpio build/deps/display)
	$Q$(if $(WINDOW),DISPLAY="$$(tr '\0' '\n' < /proc/$$PPID/environ | sed -n 's/^DISPLAY=//p')") ./quire shell $(if $(WINDOW),--display) $(if $(CPUS),--cpus $(CPUS)) $(if $(MEM),--memory $(MEM))
boot: $(B)/quire.elf build/initrd.cpio build/deps/run
	$Qpython3 tools/qemu.py run --kernel $< --initrd build/initrd.cpio $(QEMU_ARGS)
.PHONY: image image-full
image: build/deps/image
	$Qtools/mkroot.py base
image-full: build/deps/image
	$Qtools/mkroot.py full
debug: $(B)/quire.elf build/initrd.cpio build/deps/gdb
	$Qpython3 tools/qemu.py debug --kernel $< --initrd build/initrd.cpio $(QEMU_ARGS)
iso: build/quire.iso
build/quire-%.iso: build/$(CC)-%/quire.elf build/initrd.cpio tools/mkiso.sh build/deps/test
	$Qtools/mkiso.sh $< build/initrd.cpio $@
build/quire.iso: $(B)/quire.elf build/initrd.cpio tools/mkiso.sh build/deps/test
	$Qtools/mkiso.sh $< build/initrd.cpio $@ '$(ARGS)'

# Host programs: the real sources of lib, mm and vm over arch/host, one object directory for each sanitizer ------------------
H := build/host-$(SAN)
HCC         := $(if $(filter fuzz,$(SAN)),clang,gcc)
HSAN_asan   := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all
HSAN_tsan   := -O1 -fsanitize=thread
HSAN_plain  := -O2
HSAN_cov    := -O0 --coverage
HSAN_fuzz   := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
HCFLAGS := -std=gnu11 $(WARN) -Wno-missing-prototypes -g -D_GNU_SOURCE -DCONFIG_HOST -DCONFIG_INJECT \
	$(if $(filter plain,$(SAN)),,-DCONFIG_DEBUG) -Ikernel -Ikernel/arch/host/include -Itests/host -Itests/model -Ibuild/gen -Iabi \
	-fno-omit-frame-pointer $(HSAN_$(SAN))
HSRC := $(filter-out kernel/lib/string.c,$(wildcard kernel/lib/*.c kernel/mm/*.c kernel/vm/*.c)) kernel/kern/spinlock.c \
	$(wildcard kernel/object/*.c $(addprefix kernel/fs/,uio.c anon.c async.c vnode*.c dentry*.c namei*.c inotify.c mount*.c file*.c flock.c xattr*.c pipe*.c unix*.c memfd.c endpoint*.c tmpfs*.c devfs*.c tty*.c pty*.c ext2/*.c)) \
	kernel/fs/bdev.c kernel/fs/block_io.c kernel/dev/block.c \
	kernel/proc/trace_format.c kernel/proc/trace_names.c kernel/proc/signal_name.c \
	$(wildcard kernel/arch/host/*.c tests/model/*.c)
HOBJ   := $(HSRC:%=$(H)/%.o)
HTESTS := $(patsubst tests/host/%.c,$(H)/%,$(wildcard tests/host/test_*.c)) \
	$(patsubst tests/regress/%.c,$(H)/regress_%,$(wildcard tests/regress/*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,build/host-fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PRECIOUS: $(H)/%.o
$(H)/%.o: % $(H)/flags | $(GEN)
	@mkdir -p $(@D)
	@echo "HCC   $<"
	$Q$(HCC) $(HCFLAGS) -MMD -MP -c -o $@ $<
$(H)/tests/host/test_ring_race.c.o: HCFLAGS += -Iabi
$(H)/test_%: $(H)/tests/host/test_%.c.o $(HOBJ)
	$Q$(HCC) $(HCFLAGS) -o $@ $(filter %.o,$^) -lcmocka -lpthread
$(H)/regress_%: $(H)/tests/regress/%.c.o $(HOBJ)
	$Q$(HCC) $(HCFLAGS) -o $@ $(filter %.o,$^) -lcmocka -lpthread
$(H)/fuzz_%: $(H)/tests/fuzz/fuzz_%.c.o $(HOBJ)
	$Q$(HCC) $(HCFLAGS) -fsanitize=fuzzer -o $@ $(filter %.o,$^) -lpthread
$(H)/flags: FORCE | build/deps/test
	$(call keep,$(HCC) $(HCFLAGS) $(HSRC))
$(HTESTS) $(filter $(H)/%,$(FUZZERS)): $(H)/flags

RACES := $(patsubst $(H)/%,build/host-tsan/%,$(filter %_race,$(HTESTS)))
.PHONY: host-programs races fuzz-programs host-tests coverage
host-programs: $(HTESTS)
races: $(filter %_race,$(HTESTS))
fuzz-programs: $(FUZZERS)
host-tests: $(HTESTS)
	$Qprove --exec tools/runtest.py $(HTESTS)
coverage: build/deps/coverage
	$Q$(MAKE) SAN=cov host-programs
	$Qtools/coverage.py build/host-cov kernel/mm kernel/vm

# Everything ------------------------------------------------------------------------------------------------------------------
# Kernels and programs are made first, two tests run at a time. tests/run holds the tests that are not host programs: the guest's
# configurations (.case, see tools/runtest.py) and scripts.
.PHONY: test bench fuzz stress soak
SECONDS ?= 600
MINUTES ?= 15
SPAWNS  ?= 10000
test: build/deps/test build/deps/lint build/deps/image build/initrd.cpio machine build/display.cpio
	$Qtools/mkroot.py base > build/root.path || echo "make: no root image, so the tests that need one are skipped" >&2
	$Qfor v in release test debug kasan ubsan; do $(MAKE) CC=gcc VARIANT=$$v kernel || exit; done
	$Q$(MAKE) CC=clang VARIANT=release kernel && $(MAKE) CC=clang VARIANT=debug kernel
	$Q$(MAKE) SAN=asan host-programs && $(MAKE) SAN=tsan races && $(MAKE) SAN=fuzz fuzz-programs
	$QPERL5LIB=tools/prove prove -j2 --timer --formatter TAP::Formatter::Quire --exec tools/runtest.py \
		$(HTESTS) $(RACES) $(FUZZERS) $(wildcard tests/run/*.case tests/run/*.sh)
.PHONY: programs
programs: machine build/deps/image
	$Qtests/programs/compare.py
stress: $(B)/quire.elf build/initrd.cpio machine build/deps/image
	$Qpython3 tools/qemu.py test --name stress --kernel $< --initrd build/initrd.cpio --cpus 2 --timeout 7200 --silence 3600 \
		--append 'init=/bin/ustress -- $(SPAWNS)'
	$Qtests/programs/small.py --functions 32 --timeout 1800
soak: machine build/deps/image
	$Q$(MAKE) VARIANT=debug kernel
	$Qtests/stress/soak.py --minutes $(MINUTES)
fuzz: build/deps/test
	$Q$(MAKE) SAN=fuzz fuzz-programs
	$Qfor f in $(FUZZERS); do tools/fuzz.sh $$f $(SECONDS) || exit; done
bench: $(B)/quire.elf build/initrd.cpio build/compare.cpio build/curve.cpio build/deps/run
	$Qpython3 bench/bench.py --kernel $< --initrd build/initrd.cpio --write docs/performance.md
	$Qpython3 bench/compare.py --kernel $< --initrd build/compare.cpio --write docs/performance.md
	$Qpython3 bench/curve.py --kernel $< --initrd build/curve.cpio --write docs/performance.md
.PHONY: demos
demos: build/quire.elf build/deps/run
	$Qdemos/run.py $(DEMO)
build/%.cpio: bench/%.c Makefile | build/deps/run
	@mkdir -p build/$*/dev
	@echo "MUSL  $<"
	$Qmusl-gcc -std=gnu11 $(WARN) -O2 -static -no-pie -fno-pie -o build/$*/init $<
	$Qcd build/$* && printf '%s\n' dev init | cpio --quiet -o -H newc -R 0:0 --reproducible > ../$*.cpio

# Style ------------------------------------------------------------------------------------------------------------------------
OWN = $(filter-out %/asm.h,$(shell git ls-files -co --exclude-standard '*.c' '*.h' 2>/dev/null))
.PHONY: format lint
format: build/deps/lint
	$Qclang-format -i $(OWN)
docs: docs/abi.md docs/objects.md
docs/objects.md: abi/native.tbl tools/gen_abi.py
	$Qpython3 tools/gen_abi.py objects $@ $< > build/objects.md && cp build/objects.md $@
docs/abi.md: abi/linux.tbl tools/gen_abi.py
	$Qpython3 tools/gen_abi.py docs $< > $@
lint: build/deps/lint
	$Qtools/lint.sh $(OWN)

# Housekeeping -----------------------------------------------------------------------------------------------------------------
DEPS := build clang run console display image gdb test lint coverage
.PHONY: docs deps clean help FORCE
build/deps/%: tools/deps.sh
	@mkdir -p $(@D)
	$Qtools/deps.sh $* && touch $@
deps: $(DEPS:%=build/deps/%)
clean:
	rm -rf build compile_commands.json
help:
	@sed -n 's/^#: \?//p' $(firstword $(MAKEFILE_LIST))

#: make            the kernel, build/quire.elf            CC=gcc|clang VARIANT=release|test|debug|kasan|ubsan V=1
#: make run        a shell in a small machine, on this terminal: installs and makes what is missing   CPUS=n MEM=size
#:   DISPLAY=1     the same, and a window with the console on a framebuffer: docs/console.md
#: make machine    what ./quire needs: the kernel and the first program
#: make image      the base root file system, of Debian's packages;  make image-full: with every program that the tests run
#: make boot       the kernel with the archive of tests, log on this terminal   MACHINE=q35|microvm CPUS=n MEM=size ARGS='key=value ...'
#: make debug      boot it and wait for gdb
#: make iso        build/quire.iso, for BIOS and UEFI
#: make test       everything; ends with "N passed, N failed"
#: make host-tests the real sources of lib, mm and vm as host programs   SAN=asan|tsan|plain|cov
#: make programs   Debian's programs in the guest and on this Linux, compared
#: make stress     thousands of processes, threads and descriptors, and nothing left   SPAWNS=n
#: make soak       stress-ng's memory classes with memory short, on 2 and 4 CPUs, debug kernel    MINUTES=n for each
#: make fuzz       the fuzzers, for long                  SECONDS=n for each
#: make bench      the figures of docs/performance.md, counted in instructions, and those of Debian's Linux
#: make demos      programs that show what memory can do here, on Quire and on Debian's Linux   DEMO=cache|store|forkserver
#: make coverage   lines of mm/ and vm/ that the host tests run
#: make format     lay the sources out;  make lint: check layout, layers, sizes, and what cppcheck sees
#: make docs       docs/abi.md and a part of docs/objects.md, from the tables of system calls
#: make deps       install what Debian packages are missing (as root; else say how)

-include $(OBJ:.o=.d) $(HOBJ:.o=.d) $(HTESTS:$(H)/%=$(H)/tests/host/%.c.d) $(wildcard build/user/*.d)
