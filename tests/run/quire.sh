#!/bin/sh
# ./quire in earnest: the same tests as launcher.sh, and some more, in the guest on a root image of Debian's packages. A machine that cannot make one (no package
# mirror within reach) skips them, and says why.
if ! tools/mkroot.py base > build/root.path 2> build/root.err; then
	echo "1..0 # SKIP no root image: $(tail -n 1 build/root.err)"
	exit 0
fi
QUIRE_KERNEL=$PWD/build/gcc-debug/quire.elf exec python3 tests/launcher/test_launcher.py --guest
