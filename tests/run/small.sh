#!/bin/sh
# A compiler in a machine of 64 MiB, of which a file takes a part: `make stress` has it with sources that fill the machine themselves.
cd "$(dirname "$0")/../.." || exit 1
exec tests/programs/small.py --functions 1 --ballast 24M
