# Sourced by the suites that are scripts: two sites (deploy/sites.sh), and what is measured between them. They are
# called by lode-perf with the build folder and the seconds of a run, and print lines "CASE METRIC VALUE UNIT".
# shellcheck shell=bash
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
sites_build=$(realpath "${1:-build}")
seconds=${2:-10}
sites_prefix=lp$$
# shellcheck source=deploy/sites.sh
source deploy/sites.sh

pids=() # ended with the sites
down() {
	[ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}"; wait "${pids[@]}"; } 2>/dev/null
	pids=()
	sites_down
}
trap down EXIT
trap 'exit 130' INT TERM

give_up() { # sentence [exit code]
	echo "$1" >&2
	exit "${2:-1}"
}
[ "$(id -u)" -eq 0 ] || give_up "needs root for network namespaces" 77

start_gateways() {
	local site
	for site in a b; do
		sites_config $site
		sites_gateway_start $site
	done
}

gateway_pids() {
	cat "$sites_dir/a.pid" "$sites_dir/b.pid"
}

cpu_ticks() { # pid...: user and system time so far
	local pid
	for pid in "$@"; do cat "/proc/$pid/stat"; done | awk '{ sub(/.*\) /, ""); sum += $12 + $13 } END { print sum }'
}

# Throughput of TCP from host to host, and per CPU-second of these processes.
tcp_rate() { # case "pid pid" iperf3-argument...
	local before bits used
	in_ns hb iperf3 -s -1 >/dev/null 2>&1 &
	sites_wait 5 in_ns hb sh -c 'ss -ltn | grep -q :5201'
	# shellcheck disable=SC2086
	before=$(cpu_ticks $2)
	in_ns ha iperf3 -J -c 10.102.0.2 -t "$seconds" "${@:3}" >"$sites_dir/iperf.json" || return 1
	# shellcheck disable=SC2086
	used=$(($(cpu_ticks $2) - before))
	bits=$(jq '.end.sum_received.bits_per_second' "$sites_dir/iperf.json")
	awk -v c="$1" -v b="$bits" -v t="$used" -v hz="$(getconf CLK_TCK)" -v s="$seconds" 'BEGIN {
		printf "%s throughput %.4f Gbit/s\n", c, b / 1e9
		if (t > 0)
			printf "%s efficiency %.4f Gbit/CPU-s\n", c, b * s / 1e9 / (t / hz) }'
}

# One-way delay of single UDP packets from host to host, 1000 a second.
udp_delay() { # case address-of-hb
	in_ns hb python3 tests/e2e/udp_deadline.py receive 7000 $((seconds + 2)) 1000 >"$sites_dir/received" &
	local receiver=$!
	sleep 1
	in_ns ha python3 tests/e2e/udp_deadline.py send "$2" 7000 1000 100 "$seconds" >/dev/null
	wait $receiver
	awk -v c="$1" '{ printf "%s p50 %d us\n%s p99 %d us\n", c, $6, c, $8 }' "$sites_dir/received"
}
