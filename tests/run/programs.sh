#!/bin/sh
# The quick part of tests/programs: Debian's programs give in the guest what they give on Linux. `make programs` runs all of it.
cd "$(dirname "$0")/../.." || exit 1
exec tests/programs/compare.py --quick --timeout 400
