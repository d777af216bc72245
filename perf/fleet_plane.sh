#!/bin/bash
# The delay of single packets through two gateways, UDP, 1000 a second, one way between two hosts over two emulated
# links of 50 Mbit/s: five runs without other traffic, then one while the appliance at site b fetches a model of 1 GiB
# from the manager at site a, over lode0 as class Management. Called by `lode-perf fleet` with the build folder and
# the seconds of a run; prints lines "CASE METRIC VALUE UNIT".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
sites_build=$(realpath "${1:-build}")
seconds=${2:-10}
sites_prefix=lf$$
sites_links=2
# shellcheck source=deploy/sites.sh
source deploy/sites.sh
pids=()
down() {
	[ ${#pids[@]} -eq 0 ] || { kill "${pids[@]}"; wait "${pids[@]}"; } 2>/dev/null
	sites_down
}
trap down EXIT
trap 'exit 130' INT TERM

give_up() {
	echo "$*" >&2
	exit 1
}

start() { # site-part command...
	ip netns exec "$sites_prefix-$1" "${@:2}" >>"$sites_dir/processes.log" 2>&1 &
	pids+=($!)
}

measure() { # case
	in_ns hb python3 tests/e2e/udp_deadline.py receive 7000 $((seconds + 2)) 1000 >"$sites_dir/received" &
	local receiver=$!
	sleep 1
	in_ns ha python3 tests/e2e/udp_deadline.py send 10.102.0.2 7000 1000 100 "$seconds" >/dev/null
	wait $receiver
	awk -v c="$1" '{ printf "%s p50 %d us\n%s p99 %d us\n", c, $6, c, $8 }' "$sites_dir/received"
}

# The manager itself listens on 127.0.0.1 only; nginx stands before it, as in service.
start_manager() {
	local base=http://127.0.0.1:8080/api/v1 post=(in_ns ga curl -sf -o /dev/null -X POST)
	cat >"$sites_dir/nginx.conf" <<-CONF
		pid $sites_dir/nginx.pid;
		events {}
		http {
			access_log off;
			proxy_temp_path $sites_dir/proxy;
			client_body_temp_path $sites_dir/body;
			server {
				listen 10.255.0.1:8081;
				location / { proxy_pass http://127.0.0.1:8080; proxy_max_temp_file_size 0; }
			}
		}
	CONF
	start ga "$sites_build/lodestone-manager" serve --insecure-loopback --data "$sites_dir/manager" --gateway ""
	start ga nginx -c "$sites_dir/nginx.conf" -e "$sites_dir/nginx.log" -g 'daemon off;'
	sites_wait 10 in_ns ga curl -sf "$base/health" || give_up "the manager does not answer"
	head -c $((1 << 30)) /dev/urandom >"$sites_dir/model"
	sites_model_root && sites_sign_model "$sites_dir/model" "$sites_dir/release" loss v1 1 || give_up "the model is not signed"
	"${post[@]}" "$base/devices" -d '{"id":"site-b"}' && "${post[@]}" "$base/fleets" -d '{"id":"all"}' &&
		"${post[@]}" "$base/fleets/all/devices/site-b" &&
		"${post[@]}" "$base/models/loss/versions/v1" -T "$sites_dir/model" &&
		"${post[@]}" "$base/models/loss/versions/v1/release" --data-binary "@$sites_dir/release" &&
		"${post[@]}" "$base/campaigns" -d '{"model_id":"loss","model_version":"v1","fleet_id":"all"}' ||
		give_up "the manager refuses"
	rm "$sites_dir/model"
}

fetched_bytes() {
	find "$sites_dir/models/ota" -type f -printf '%s\n' 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'
}

[ "$(id -u)" -eq 0 ] || { echo "needs root for network namespaces" >&2; exit 77; }
command -v nginx >/dev/null || { echo "needs nginx" >&2; exit 77; }
sites_up
sites_wanem_start "rate=50M delay=5ms queue=200" "rate=50M delay=10ms queue=200" || give_up "lodestone-wanem does not start"
for site in a b; do
	sites_config $site
	sites_gateway_start $site
done
sites_wait 30 sites_ping ha 10.102.0.2 || give_up "no ping through the tunnel"
start_manager
sleep 5
for run in 1 2 3 4 5; do
	measure "idle-$run"
done
start gb "$sites_build/lodestone-manager" agent --control-plane http://10.255.0.1:8081 --device-id site-b \
	--root "$sites_dir/root" --poll-interval 1 --model-dir "$sites_dir/models"
sleep 4
before=$(fetched_bytes)
measure transfer
after=$(fetched_bytes)
[ "$after" -gt "$before" ] || { tail "$sites_dir/processes.log" >&2; give_up "nothing was transferred meanwhile"; }
echo "transfer rate $(((after - before) * 8 / (seconds + 3) / 1000000)) Mbit/s"
