#!/bin/sh
# The figures of docs/performance.md, against their limits.
exec python3 bench/bench.py --tap --kernel build/gcc-test/quire.elf --initrd build/initrd.cpio
