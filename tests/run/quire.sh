#!/bin/sh
# ./quire in earnest: the same tests as launcher.sh, and some more, in the guest on a root image of Debian's packages.
QUIRE_KERNEL=$PWD/build/gcc-debug/quire.elf exec python3 tests/launcher/test_launcher.py --guest
