#!/bin/sh
# Sessions on a disk that keeps its changes: how they end, and what is on the disk then.
QUIRE_KERNEL=$PWD/build/gcc-debug/quire.elf exec python3 tests/run/session.py
