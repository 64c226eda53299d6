#!/bin/sh
# The style checks, each a test point.
out=$(make -s lint 2>&1)
echo "$out" | grep '^lint: ' | awk '{ n++; print ($NF == "clean" ? "ok " : "not ok ") n " - " $0 } END { print "1.." n }'
echo "$out" | grep -q FAILED && echo "$out" | head -60 >&2
exit 0
