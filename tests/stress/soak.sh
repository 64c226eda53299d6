#!/bin/bash
# soak.sh EACH SECONDS SEED CLASS... - in the guest, for soak.py: rounds of stress-ng until SECONDS are over, with EACH 0 three random classes for 20 seconds, else every class
# in turn for EACH seconds. Says what each round was, and what it left.
each=$1 seconds=$2 RANDOM=$3
shift 3
classes=("$@")
cd /tmp || exit 1
ulimit -c 0
touch now left out before # what is here from the beginning is nothing that is left

# Open files, free frames with those that the kernel keeps for its tables and slabs, and the number of objects of each cache, after everything that is only kept has been given back.
usage() {
	echo 3 > /proc/sys/vm/drop_caches
	cut -f1 /proc/sys/fs/file-nr
	awk -F'[":,{}]+' '/"kernel_tables"/ {n += $3} /"kind":"slab"/ {n += $5} /"frames":[0-9]*,"free"/ && !/"zone"/ {n += $5} END {print n}' /proc/mm
	awk -F'[":,{}]+' '/"cache"/ {print $3, $5}' /proc/mm
}

# Usage again until nothing is more than before: what died a moment ago may be on its way out. Prints what stays.
compare() {
	for try in {1..50}; do
		usage > now
		paste -d' ' before now | awk 'NR == 1 && $2 > $1 {print "left: open files", $1, $2}
			NR == 2 && $2 + 64 < $1 {print "left: free frames", $1, $2}
			NR > 2 && $1 == $3 && $4 > $2 + 8 {print "left: objects of", $1, $2, $4}' > left
		[ -s left ] || return 0
		sleep 0.2
	done
	cat left
}

# Until killed; no process of its own but itself, so that nothing of it is left when it is.
validate() {
	until read -rt 3 -u 9; do echo 1 > /proc/sys/vm/validate; done
}

# How many processes were ended because memory was short.
ended() {
	awk '$1 == "oom_kill" {print $2}' /proc/vmstat
}

# What stressors complain of. Some take a child of theirs that was ended for a failure of the system (shm says that it read nothing and goes on with descriptors that it has closed), and stress-ng
# misses the counters of a stressor that was ended itself: then only wrong contents of memory count.
complaints() { # ENDED_BEFORE
	grep -E '^stress-ng: (fail|error):' out | grep -v 'failed: 0' |
		if [ "$(ended)" -gt "$1" ]; then
			sed -E -e '/bogo-ops|metrics/b of_its_own' -e '/bit error|memory check|corrupt|mismatch|not match|incorrect|unexpected/b' -e ':of_its_own' -e 's/^stress-ng: fail:/some were ended:/'
		else
			cat
		fi
}

# madvise reads smaps for each of its pages: minutes, on the debug kernel under load. The bound is for what never ends.
run() { # SECONDS CLASS...
	local options=() length=$1 class before_it
	before_it=$(ended)
	shift
	validate &
	local validator=$!
	for class; do options+=(--"$class" 2); done
	(
		echo 0 > /proc/self/oom_score_adj
		exec timeout -k 5 $((length * 3 + 600)) stress-ng "${options[@]}" --timeout "$length" --vm-bytes 40M --mmap-bytes 40M --shm-bytes 8M --shm-objs 4 --memfd-bytes 16M
	) > out 2>&1
	local status=$?
	pkill -KILL stress-ng
	kill $validator
	wait $validator
	echo 1 > /proc/sys/vm/validate
	echo "round $((++round)): $* status $status"
	[ $status = 124 ] || [ $status = 137 ] && echo "stress-ng: fail: round $round was not over in time"
	complaints "$before_it"
	[ $round -gt 1 ] && compare || usage > before
}

# Stressors protect themselves but for what they let be ended; when that is gone, it would be this shell's turn.
echo -1000 > /proc/self/oom_score_adj
round=0
mkfifo pause
exec 9<> pause # open before memory is short; nobody ever writes
until=$((SECONDS + seconds))
if [ "$each" -gt 0 ]; then
	run 1 vm
	for class in "${classes[@]}"; do run "$each" "$class"; done
else
	while [ $SECONDS -lt $until ]; do
		run 20 "${classes[RANDOM % ${#classes[@]}]}" "${classes[RANDOM % ${#classes[@]}]}" "${classes[RANDOM % ${#classes[@]}]}"
	done
fi
echo "soak done"
