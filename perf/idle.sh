#!/bin/bash
# What an idle gateway costs and how fast it wakes: two sites, four probed paths, no traffic; then single
# pings over links without delay. A ping passes a worker four times (two gateways, there and back), the
# kernel's stacks and the emulator besides: a quarter of its RTT bounds the time to wake.
# Called by `lode-perf idle`; the third argument are the CPUs of the workers, as "0, 1", else there is one.
# shellcheck source=perf/lib.sh
source "$(dirname "$0")/lib.sh"

all_up() {
	[ "$(ctl a -j path show | jq '[.. | objects | select(.state? == "up")] | length')" = 4 ]
}
sites_up
sites_wanem_start "delay=0ms" "delay=0ms" "delay=0ms" "delay=0ms" || exit 1
if [ -n "${3:-}" ]; then
	sites_workers=$3
	sites_memory="size_mb: 384, packets: 49152"
fi
start_gateways
sites_wait 30 all_up || give_up "the paths do not come up"
sleep 3
before=$(cpu_ticks "$(cat "$sites_dir/a.pid")")
sleep "$seconds"
spent=$(($(cpu_ticks "$(cat "$sites_dir/a.pid")") - before))
awk -v t="$spent" -v hz="$(getconf CLK_TCK)" -v s="$seconds" 'BEGIN { printf "idle cpu %.2f %%\n", t / hz / s * 100 }'
in_ns ha ping -n -c 100 -i 0.1 10.102.0.2 | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -n >"$sites_dir/rtt"
awk '{ rtt[NR] = $1 } END {
	printf "wake p50 %.0f us\nwake p95 %.0f us\n", rtt[int(NR * 0.5)] * 250, rtt[int(NR * 0.95)] * 250 }' "$sites_dir/rtt"
