#!/bin/sh
# A minute of the soak: `make soak` for more.
cd "$(dirname "$0")/../.." || exit 1
exec tests/stress/soak.py --each 1 --cpus 2 --classes vm,mmap,mremap,mprotect,mlock,brk,fork,shm,memfd,munmap,remap
