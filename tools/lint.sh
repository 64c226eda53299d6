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
# The code in the tutorial is laid out like all other.
tutorial() {
	tools/tutorial.py docs/driver-tutorial.md build/tutorial && clang-format --dry-run -Werror build/tutorial/*.[ch]
}
step tutorial tutorial
step layers tools/check_layers.py "$@"
step sizes tools/check_size.py "$@"
# shellcheck disable=SC2086
[ -z "$kernel" ] || step cppcheck cppcheck --quiet --std=c11 --platform=unix64 --enable=warning,performance,portability --inline-suppr \
	--suppressions-list=tools/cppcheck.suppress --error-exitcode=1 -j 2 --cppcheck-build-dir="$(mkdir -p build/cppcheck && echo build/cppcheck)" \
	-Ikernel -Ikernel/arch/x86_64/include -DCONFIG_TEST -DCONFIG_INJECT -DCONFIG_DEBUG -D__x86_64__ $kernel
step docs sh -c 'python3 tools/gen_abi.py docs abi/linux.tbl | cmp -s - docs/abi.md' # else: make docs
step objects sh -c 'python3 tools/gen_abi.py objects docs/objects.md abi/native.tbl | cmp -s - docs/objects.md' # else: make docs
# Each native call has a page, and mandoc has nothing against it; mandoc.db is the machine's.
pages() {
	for call in $(sed -n 's/^0x[0-9a-f]* *\([a-z_]*\).*/\1/p' abi/native.tbl); do
		[ -f "man/quire_$call.2" ] || { echo "man/quire_$call.2 is missing"; return 1; }
	done
	! mandoc -Tlint -W warning man/*.[23] | grep -v 'mandoc.db'
}
step man pages
exit $status
