# Sourced by the scripts beside it: which Debian 12 packages are needed for what, and how they are installed.
# shellcheck shell=bash disable=SC2034

build_packages=(
	build-essential meson ninja-build pkg-config
	libdpdk-dev libyaml-dev libjansson-dev libssl-dev liblz4-dev libzstd-dev libisal-dev
	libipsec-mb-dev libmnl-dev libnftables-dev libsystemd-dev libndpi-dev libseccomp-dev
	libsqlite3-dev libpq-dev libmicrohttpd-dev libcurl4-openssl-dev
)
run_packages=(dpdk dpdk-dev iproute2 ethtool nftables kmod procps udhcpc)
try_packages=(iputils-ping iperf3 curl openssl jq)
test_packages=(
	git python3 libcriterion-dev tcpdump busybox dnsmasq-base postgresql-15 openssh-client nginx
	chromium chromium-driver fonts-dejavu-core
	ngtcp2-client ngtcp2-server
	xdelta3 bsdiff zstd gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
)

# Installs what is missing of "$@". Prints one line per step; the log is shown only when apt fails.
install_packages() {
	local missing=() package log
	for package in "$@"; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
	done
	if [ ${#missing[@]} -eq 0 ]; then
		echo "packages: all $# installed"
		return 0
	fi
	if [ "$(id -u)" -ne 0 ]; then
		echo "packages: ${missing[*]} are missing; run as root, or apt-get install them" >&2
		return 3
	fi
	log=$(mktemp)
	echo "packages: installing ${#missing[@]} of $#: ${missing[*]}"
	if ! { DEBIAN_FRONTEND=noninteractive apt-get update -q && DEBIAN_FRONTEND=noninteractive \
		apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		tail -n 30 "$log" >&2
		rm -f "$log"
		return 3
	fi
	rm -f "$log"
}
