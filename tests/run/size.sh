#!/bin/sh
# The stripped kernel stays under 1 MiB, whichever compiler made it.
echo 1..2
n=0
for cc in gcc clang; do
	n=$((n + 1))
	strip -o "build/$cc-release/stripped.elf" "build/$cc-release/quire.elf" &&
		size=$(stat -c %s "build/$cc-release/stripped.elf") && [ "$size" -lt 1048576 ] || printf 'not '
	echo "ok $n - the kernel made by $cc has $size of 1048576 bytes"
done
