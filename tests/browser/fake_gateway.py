# SPDX-License-Identifier: BSD-3-Clause
"""A gateway's dpdk-telemetry for tests: four paths to one peer whose figures move.   fake_gateway.py SOCKET

Speaks version 2 of the protocol: SOCK_SEQPACKET, a greeting, then one packet per question and per answer."""
import json
import math
import os
import socket
import sys
import threading
import time

CLASSES = ["gaming", "voip", "streaming", "bulk", "web", "management"]
# name, port, RTT in us, loss in ppm, kbit/s
PATHS = [("fibre", "wan0", 9000, 0, 62000), ("cable", "wan1", 24000, 300, 21000),
         ("lte", "wan2", 47000, 4000, 9000), ("satellite", "wan3", 63000, 9000, 3000)]
start = time.monotonic()


def age():
    return time.monotonic() - start


def wave(i, period):
    return 1 + 0.3 * math.sin(2 * math.pi * age() / period + i)


def carried(i, kbps):
    """Bytes since the start at a rate that moves by wave(i, 20)."""
    w = 2 * math.pi / 20
    return int(kbps * 125 * (age() + 0.3 / w * (math.cos(i) - math.cos(w * age() + i))))


def paths():
    out = {}
    for i, (name, port, rtt, loss, kbps) in enumerate(PATHS):
        down = name == "satellite" and os.path.exists(sys.argv[1] + ".satellite-down")
        out[f"site_b/{name}"] = {
            "name": name, "state": "down" if down else "up", "port": port, "rtt_us": int(rtt * wave(i, 14)),
            "rtt_min_us": int(rtt * 0.7), "jitter_us": int(rtt * 0.1), "owd_us": 800, "loss_ppm": int(loss * wave(i, 9)),
            "probe_loss_ppm": 0, "suspects": 0, "downs": int(down), "tx_kbps": kbps * 2, "rx_kbps": kbps,
            "pacing_kbps": kbps * 2, "share_kbps": 0, "mtu_bytes": 1500, "tx_pkts": 1000, "rx_pkts": 900,
            "tx_bytes": carried(i, kbps), "rx_bytes": carried(i, kbps / 8), "lost_pkts": 3, "silent_ms": 12,
            "local": f"192.0.2.{16 * i + 1}:51900", "remote": f"192.0.2.{16 * i + 2}:51900", "id": i}
    return out


def classes():
    return {f"site_b/{c}": {
        "queue_pkts": 12 if c == "bulk" else 0, "queue_bytes": 0, "wait_us": 40, "tx_segments": 61781, "rx_segments": 7271,
        "duplicates": 0, "copies": 2 if c in ("gaming", "voip") else 1, "allowed_paths": "0x07", "backup_paths": "0x08",
        "preferred_path": 0 if c in ("gaming", "voip", "web") else 1} for c in CLASSES}


def fec():
    return {f"site_b/{c}": {
        "mode": "auto", "means": "nack+copies" if c in ("gaming", "voip") else "nack+parity" if c == "streaming" else "nack",
        "redundancy_percent": {"gaming": 100, "voip": 100, "streaming": 12}.get(c, 0), "loss_ppm": 2100, "tx_segments": 61781,
        "tx_repairs": 700, "resent": 13, "rx_missing": 42, "asked": 13, "rx_repairs": 700, "recovered": 39, "late": 1}
        for c in CLASSES}


def drops():
    return {"worker/no_route": {"count": 1234, "per_s": 7, "why": "no peer, LAN or default owns the destination",
                                "first": "2026-01-01T00:00:00.000Z udp", "last": "<b>not markup</b> \"quoted\""},
            "lane/deadline": {"count": 3, "per_s": 0, "why": "too old to be of use"}}


def models():
    classic = {"name": "classic", "format": "-", "schema": "-", "isa": "-", "params": 0, "golden": 0, "sha256": "-"}
    return {"loss": {"name": "loss_transformer", "format": "int8", "schema": "loss/1", "isa": "avx512vnni", "params": 9441,
                     "golden": 16, "sha256": "5f" * 32}, "dqn": classic, "ppo": classic, "oracle": classic}


def status():
    up = sum(p["state"] == "up" for p in paths().values())
    return {"name": "site-a", "up_s": int(age()), "ports": 5, "ports_up": 5, "peers": 1, "peers_established": 1,
            "paths": 4, "paths_up": up, "workers": 2, "busiest_worker_permille": 410, "packets_in_use": 1200,
            "packets": 24576, "failovers": 1, "handshakes": 1, "initiations_sent": 2}


VIEWS = {
    "version": lambda p: {"version": "0.1.0", "dpdk": "DPDK 22.11.11", "aead": "ipsec-mb", "pid": 1},
    "status": lambda p: status(),
    "peers": lambda p: {"site_b": {"name": "site-b", "session": "established", "role": "initiator", "session_age_s": int(age()),
                                   "handshakes": 1, "failed_handshakes": 0, "paths": 4}},
    "ports": lambda p: {"wan0": {"role": "wan", "link": "up", "mbps": 10000, "rx_pkts": 5, "tx_pkts": 6}},
    "paths": lambda p: paths(), "classes": lambda p: classes(), "fec": lambda p: fec(), "drops": lambda p: drops(),
    "models": lambda p: models(), "decisions": lambda p: {"00": {
        "at": "2026-01-01T10:20:30.400Z", "peer": "site-b", "class": "voip", "from": "cable", "to": "fibre", "why": "better",
        "tipped": "latency", "values_permille": "fibre 964, cable 927"}},
    "selector": lambda p: {"algorithm": "value"},
    "loss": lambda p: {}, "loss_score": lambda p: {}, "apps": lambda p: {},
    "workers": lambda p: {p: {"cpu": int(p), "flows": 40, "load_permille": 410 - 200 * int(p), "lan_rx": 61791, "drop_ttl": 1}},
    "counters": lambda p: {"worker": {"lan_rx": {"unit": "packets", "severity": "info", "help": "frames received"},
                                      "drop_ttl": {"unit": "packets", "severity": "info", "help": "time to live used up"}},
                           "control": {"failovers": {"unit": "count", "severity": "warn", "help": "paths that failed"}}}.get(p, {}),
}


def serve(conn):
    conn.send(json.dumps({"version": "DPDK 22.11.11", "pid": os.getpid(), "max_output_len": 16384}).encode())
    while True:
        command, _, param = conn.recv(1024).decode().partition(",")
        if not command:
            return
        view = VIEWS.get(command.removeprefix("/lodestone/"))
        conn.send(json.dumps({command: view(param) if view else None}).encode())


def main():
    if os.path.exists(sys.argv[1]):
        os.unlink(sys.argv[1])
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(sys.argv[1])
    listener.listen()
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


main()
