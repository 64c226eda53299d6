#!/bin/sh
# fuzz.sh PROGRAM SECONDS - run a libFuzzer program for a time. What it learned is kept in build/corpus/NAME, what breaks it in
# build/crashes/NAME-*; replay with PROGRAM FILE.
set -eu
name=$(basename "$1")
mkdir -p "build/corpus/$name" build/crashes
exec "$1" -max_total_time="$2" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
	-artifact_prefix="build/crashes/$name-" "build/corpus/$name"
