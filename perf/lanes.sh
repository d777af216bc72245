#!/bin/bash
# Eight TCP flows between two hosts through two gateways over one veth link, with one and with two workers in each
# gateway: throughput, and throughput per CPU-second of both gateways. Called by `lode-perf lanes`.
# shellcheck source=perf/lib.sh
source "$(dirname "$0")/lib.sh"

open_lanes() { # number
	[ "$(ctl a -j lane show | jq '[.[] | select(.usable)] | length')" = "$1" ]
}

measure() { # workers
	sites_links=0
	sites_up
	sites_veth ga wan0 gb wan0
	sites_links=1
	start_gateways
	sites_wait 20 sites_ping ha 10.102.0.2 && sites_wait 10 open_lanes "$1" || give_up "$1 workers: no tunnel"
	tcp_rate "workers-$1" "$(gateway_pids)" -P 8
	sites_down
}

sites_memory="size_mb: 384, packets: 65536"
sites_tunnel="lanes_open_load: 0"
cpus=$(nproc)
sites_workers=$((cpus > 1))
measure 1 || exit 1
sites_workers="$((cpus > 1)), $((cpus > 4 ? 2 : 0))"
measure 2
