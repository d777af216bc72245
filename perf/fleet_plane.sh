#!/bin/bash
# The delay of single packets through two gateways, UDP, 1000 a second, one way between two hosts over two emulated
# links of 50 Mbit/s: five runs without other traffic, then one while the appliance at site b fetches a model of 1 GiB
# from the manager at site a, over lode0 as class Management. Called by `lode-perf fleet`.
# shellcheck source=perf/lib.sh
source "$(dirname "$0")/lib.sh"
sites_links=2

start() { # site-part command...
	ip netns exec "$sites_prefix-$1" "${@:2}" >>"$sites_dir/processes.log" 2>&1 &
	pids+=($!)
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

command -v nginx >/dev/null || give_up "needs nginx" 77
sites_up
sites_wanem_start "rate=50M delay=5ms queue=200" "rate=50M delay=10ms queue=200" || give_up "lodestone-wanem does not start"
start_gateways
sites_wait 30 sites_ping ha 10.102.0.2 || give_up "no ping through the tunnel"
start_manager
sleep 5
for run in 1 2 3 4 5; do
	udp_delay "idle-$run" 10.102.0.2
done
start gb "$sites_build/lodestone-manager" agent --control-plane http://10.255.0.1:8081 --device-id site-b \
	--root "$sites_dir/root" --poll-interval 1 --model-dir "$sites_dir/models"
sleep 4
before=$(fetched_bytes)
udp_delay transfer 10.102.0.2
after=$(fetched_bytes)
[ "$after" -gt "$before" ] || { tail "$sites_dir/processes.log" >&2; give_up "nothing was transferred meanwhile"; }
echo "transfer rate $(((after - before) * 8 / (seconds + 3) / 1000000)) Mbit/s"
