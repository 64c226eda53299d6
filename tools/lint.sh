#!/bin/sh
# lint.sh FILE... - check layout, layers, sizes, and what cppcheck sees in the given C files. Every check runs; fails if any does.
set -u
status=0
step() {
	name=$1; shift
	if "$@"; then echo "lint: $name: clean"; else echo "lint: $name: FAILED"; status=1; fi
}
kernel=$(printf '%s\n' "$@" | grep -E '^kernel/.*\.c$' | grep -v '^kernel/arch/host/')

step layout clang-format --dry-run -Werror "$@"
step layers tools/check_layers.py "$@"
step sizes tools/check_size.py "$@"
# shellcheck disable=SC2086
[ -z "$kernel" ] || step cppcheck cppcheck --quiet --std=c11 --platform=unix64 --enable=warning,performance,portability --inline-suppr \
	--suppressions-list=tools/cppcheck.suppress --error-exitcode=1 -j 2 --cppcheck-build-dir="$(mkdir -p build/cppcheck && echo build/cppcheck)" \
	-Ikernel -Ikernel/arch/x86_64/include -DCONFIG_TEST -DCONFIG_INJECT -DCONFIG_DEBUG -D__x86_64__ $kernel
step docs sh -c 'python3 tools/gen_abi.py docs abi/linux.tbl | cmp -s - docs/abi.md' # else: make docs
exit $status
