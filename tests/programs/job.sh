#!/bin/bash
# job.sh DIRECTORY LIMIT NAME... - run the command files DIRECTORY/NAME one after the other, each in an empty directory and in the same small
# environment. Standard output has for each a line `NAME STATUS OUT-BYTES ERR-BYTES MILLISECONDS` and those bytes. The same script serves the guest and the host.
directory=$1 limit=$2
shift 2
umask 022
ulimit -S -c 0 -s 8192
ulimit -n 1024
exec 3>&1 </dev/null
for name; do
	work=/tmp/work/$name results=/tmp/results
	mkdir -p "$work" $results /tmp/home && cd "$work" || exit 1
	began=${EPOCHREALTIME/./}
	env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp/home TZ=UTC LC_ALL=C.UTF-8 TERM=dumb USER=root \
		LOGNAME=root SHELL=/bin/bash timeout -k 5 "$limit" bash "$directory/$name" >$results/out 2>$results/err 3>&-
	status=$? took=$(((${EPOCHREALTIME/./} - began) / 1000))
	printf '%s %d %d %d %d\n' "$name" $status "$(stat -c %s $results/out)" "$(stat -c %s $results/err)" $took >&3
	cat $results/out $results/err >&3
	cd / && rm -rf /tmp/work $results /tmp/home
done
