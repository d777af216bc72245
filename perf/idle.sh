#!/bin/bash
# What an idle gateway costs and how fast it wakes: two sites, four probed paths, no traffic; then single
# pings over links without delay. A ping passes a worker four times (two gateways, there and back), the
# kernel's stacks and the emulator besides: a quarter of its RTT bounds the time to wake.
# Called by `lode-perf idle` with the build folder, the seconds of idling and the workers' CPUs; prints lines "CASE METRIC VALUE UNIT".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
sites_build=$(realpath "${1:-build}")
seconds=${2:-20}
workers=${3:-} # CPUs of the workers, as "0, 1"; else one worker
sites_prefix=li$$
# shellcheck source=deploy/sites.sh
source deploy/sites.sh
trap sites_down EXIT

all_up() {
	[ "$(ctl a -j path show | jq '[.. | objects | select(.state? == "up")] | length')" = 4 ]
}
ticks() { # user + system time of gateway $1
	awk '{print $14 + $15}' "/proc/$(cat "$sites_dir/$1.pid")/stat"
}
sites_up
sites_wanem_start "delay=0ms" "delay=0ms" "delay=0ms" "delay=0ms" || exit 1
for site in a b; do
	sites_config $site
	[ -z "$workers" ] || sed -i -e "s/workers: \[[0-9]*\]/workers: [$workers]/" \
		-e "s/size_mb: 192, packets: 24576/size_mb: 384, packets: 49152/" "$sites_dir/$site.yaml"
	sites_gateway_start $site
done
sites_wait 30 all_up || { echo "the paths do not come up" >&2; exit 1; }
sleep 3
before=$(ticks a)
sleep "$seconds"
spent=$(($(ticks a) - before))
awk -v t="$spent" -v hz="$(getconf CLK_TCK)" -v s="$seconds" 'BEGIN { printf "idle cpu %.2f %%\n", t / hz / s * 100 }'
in_ns ha ping -n -c 100 -i 0.1 10.102.0.2 | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -n >"$sites_dir/rtt"
awk '{ rtt[NR] = $1 } END {
	printf "wake p50 %.0f us\nwake p95 %.0f us\n", rtt[int(NR * 0.5)] * 250, rtt[int(NR * 0.95)] * 250 }' "$sites_dir/rtt"
