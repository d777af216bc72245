# Sourced by the end-to-end tests: two sites with real gateways on emulated links (deploy/sites.sh).
# A test is called with the build folder. Exit code 77: skipped, the last line says why.
# shellcheck shell=bash
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
sites_build=$(realpath "${1:-build}")
sites_prefix=le$$
# shellcheck source=deploy/sites.sh
source deploy/sites.sh

skip() {
	echo "$*"
	exit 77
}

fail() {
	echo "FAILED: $*" >&2
	local log
	for log in a b wanem; do
		[ -s "$sites_dir/$log.log" ] && { echo "--- $log.log"; tail -n 25 "$sites_dir/$log.log"; } >&2
	done
	for site in a b; do
		ctl $site drop show 2>/dev/null | sed "s/^/$site: /" >&2
	done
	exit 1
}

check() { # description command...
	local what=$1
	shift
	"$@" >"$sites_dir/check.out" 2>&1 || { cat "$sites_dir/check.out" >&2; fail "$what"; }
	echo "ok: $what"
}

cleanup() {
	trap - EXIT
	kill "${background[@]}" 2>/dev/null
	sites_down
}
background=()
trap cleanup EXIT
trap 'exit 130' INT TERM

# Starts a command in a host's namespace and remembers it.
start_in() { # site-part command...
	local ns=$sites_prefix-$1
	shift
	ip netns exec "$ns" "$@" >/dev/null 2>&1 &
	background+=($!)
}

clean_links=("rate=100M delay=5ms queue=400" "rate=50M delay=10ms queue=400"
	"rate=30M delay=20ms queue=400" "rate=30M delay=30ms queue=400")

# Both gateways up and talking. YAML for both: $yaml; links: $links or clean ones.
two_sites() {
	[ "$(id -u)" -eq 0 ] || skip "needs root for network namespaces"
	sites_up
	sites_wanem_start "${links[@]:-${clean_links[@]}}" || fail "lodestone-wanem does not start"
	local site
	for site in a b; do
		sites_config $site "${yaml:-}"
		sites_gateway_start $site
	done
	sites_wait 20 sites_ping ha 10.102.0.2 || fail "no ping through the tunnel within 20 s"
	sites_wait 20 all_up a "$sites_links" || fail "not all $sites_links paths are up"
}

paths_json() {
	ctl "$1" -j path show
}

all_up() { # site number
	[ "$(paths_json "$1" | jq '[.. | objects | select(.state? == "up")] | length')" = "$2" ]
}

path_state_is() { # site link state
	[ "$(paths_json "$1" | jq -r --arg l "/$2" 'to_entries[] | select(.key | endswith($l)) | .value.state')" = "$3" ]
}

# Sum of a drop reason over everything the gateway reports.
drop_count() { # site reason
	ctl "$1" -j drop show | jq --arg r "/$2" '[to_entries[] | select(.key | endswith($r)) | .value.count] | add // 0'
}

iperf_server() {
	start_in hb iperf3 -s "$@"
	sites_wait 5 in_ns hb sh -c 'ss -ltn | grep -q :5201' || fail "iperf3 server"
}

# Lost packets of a UDP run from site a to site b.
udp_lost() { # iperf3 arguments...
	in_ns ha iperf3 -J -u -c 10.102.0.2 "$@" >"$sites_dir/udp.json" || fail "iperf3 UDP"
	jq '.end.sum.lost_packets' "$sites_dir/udp.json"
}

# A random file that $1 serves by HTTP on port 9000, and its fetch and comparison from $2.
serve_file() { # site-part bytes
	head -c "$2" /dev/urandom >"$sites_dir/file"
	start_in "$1" busybox httpd -f -p 9000 -h "$sites_dir"
	sites_wait 5 in_ns "$1" sh -c 'ss -ltn | grep -q :9000' || fail "busybox httpd"
}

fetch_file() { # site-part address
	in_ns "$1" curl -sS --max-time 60 -o "$sites_dir/copy" "http://$2:9000/file" &&
		cmp "$sites_dir/file" "$sites_dir/copy"
}

# Stops both gateways: exit code 0, all packet buffers back in their pool.
stop_cleanly() {
	local site
	for site in a b; do
		sites_gateway_stop $site || fail "gateway $site ends with exit code $?"
		grep 'not given back' "$sites_dir/$site.log" && fail "gateway $site kept packet buffers"
		grep -E '\bERROR\b' "$sites_dir/$site.log" && fail "gateway $site logged an error"
	done
	echo "ok: both gateways stop cleanly, pools whole"
}
