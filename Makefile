# Quire's one makefile. `make help` lists the targets.
#
# Sources are found, not listed: every .c and .S under kernel/ but arch/host is the kernel; every tests/host/test_*.c is a host test program, linked with the real sources of
# lib, mm and vm over arch/host. A variant (release, test, debug, kasan, ubsan) is a set of flags with an object directory of its own.
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SUFFIXES:

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
VARIANT ?= release
B := build/$(CC)-$(VARIANT)

WARN := -Wall -Wextra -Werror -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wshadow
CFLAGS := -std=gnu11 $(WARN) -O2 -g -Ikernel -Ikernel/arch/x86_64/include -Itests/guest -I$(B)/gen -Ibuild/gen -Iabi \
  -ffreestanding -fno-builtin -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
  -fno-asynchronous-unwind-tables -fcf-protection=none -fno-omit-frame-pointer -fno-strict-aliasing
ifneq ($(findstring clang,$(CC)),)
CFLAGS += --target=x86_64-unknown-none-elf
endif
CFLAGS_release :=
CFLAGS_test  := -DCONFIG_TEST
CFLAGS_debug := -DCONFIG_DEBUG -DCONFIG_TEST -DCONFIG_INJECT
CFLAGS += $(CFLAGS_$(VARIANT))

SRC := $(filter-out kernel/arch/host/%,$(wildcard kernel/*/*.c kernel/arch/x86_64/*.c kernel/arch/x86_64/*.S))
ifneq ($(VARIANT),release)
SRC += $(wildcard tests/guest/k*.c)
endif
OBJ := $(SRC:%=$(B)/%.o)

all: build/quire.elf

build/quire.elf: $(B)/quire.elf
	cp $< $@

$(B)/quire.elf: $(OBJ) kernel/arch/x86_64/kernel.ld
	ld -nostdlib -static -no-pie -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments -T kernel/arch/x86_64/kernel.ld -o $@ $(OBJ)

$(B)/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# Host tests: build/host-SAN/test_x, SAN = asan (default) or tsan or plain.
SAN ?= asan
H := build/host-$(SAN)
HFLAGS_asan := -fsanitize=address,undefined -fno-sanitize-recover=all
HFLAGS_tsan := -fsanitize=thread
HFLAGS_plain := -O2
HFLAGS_cov := --coverage
HCFLAGS := -std=gnu11 $(WARN) -Wno-missing-prototypes -O1 -g -D_GNU_SOURCE -DCONFIG_HOST -DCONFIG_DEBUG -DCONFIG_INJECT -Ikernel -Ikernel/arch/host/include -Itests/host -Itests/model \
  -fno-omit-frame-pointer $(HFLAGS_$(SAN))
HSRC := $(filter-out kernel/lib/string.c,$(wildcard kernel/lib/*.c kernel/mm/*.c kernel/vm/*.c)) kernel/kern/spinlock.c $(wildcard kernel/arch/host/*.c)
HOBJ := $(HSRC:%=$(H)/%.o)
HTESTS := $(patsubst tests/host/%.c,$(H)/%,$(wildcard tests/host/test_*.c))

$(H)/%.c.o: %.c
	@mkdir -p $(@D)
	gcc $(HCFLAGS) -MMD -MP -c -o $@ $<
$(H)/test_%: $(H)/tests/host/test_%.c.o $(HOBJ)
	gcc $(HCFLAGS) -o $@ $^ -lcmocka -lpthread

host-tests: $(HTESTS)
	prove -v -e '' $(HTESTS)

clean:
	rm -rf build

-include $(shell find build -name '*.d' 2>/dev/null)
.PHONY: all clean host-tests
