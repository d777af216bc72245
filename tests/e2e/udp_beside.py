#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Two UDP streams side by side through the same gateways: one whose losses are made good, and beside it one whose are
not. What of the second comes late, or does not come three times in a row, was held up by a busy machine, and what was
sent to the first at that time says nothing about repair: it is not judged.

udp_beside.py receive PORT BESIDE PPS SECONDS DEADLINE_MS HELD_MS
    until nothing has come for a second; packets of the first not there DEADLINE_MS after their time are missed, unless
    one of the second that was sent until then was held up, HELD_MS or more; prints "judged N missed N beside_lost N"
udp_beside.py send ADDRESS PORT BESIDE PPS BYTES SECONDS
"""
import select
import socket
import struct
import sys
import time

HEADER = struct.Struct("!QQ")  # number, send time in ns
BEFORE = 4  # packets: what holds one up may have begun before it


def bound(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("", port))
    return sock


def collect(ports):
    """Of each port: delay in ns by number of the packet, the first copy of it."""
    socks = [bound(port) for port in ports]
    delays = [{} for _ in ports]
    while (ready := select.select(socks, [], [], 1 if delays[0] else 30)[0]):
        for sock in ready:
            number, sent_ns = HEADER.unpack_from(sock.recv(2048))
            delays[socks.index(sock)].setdefault(number, time.monotonic_ns() - sent_ns)
    return delays


def receive(port, beside_port, pps, seconds, deadline_ms, held_ms):
    n = pps * seconds
    ours, beside = collect((port, beside_port))
    held = {i for i, delay in beside.items() if delay > held_ms * 1e6}
    held |= {i for i in range(n) if not beside.keys() & {i - 1, i, i + 1}}
    until = deadline_ms * pps // 1000
    judged = [i for i in range(n) if not held.intersection(range(i - BEFORE, i + until + 1))]
    missed = sum(ours.get(i, deadline_ms * 1e6 + 1) > deadline_ms * 1e6 for i in judged)
    print("judged", len(judged), "missed", missed, "beside_lost", n - len(beside))


def send(address, port, beside_port, pps, size, seconds):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    padding = bytes(size - HEADER.size)
    start = time.monotonic()
    for i in range(pps * seconds):
        wait = start + i / pps - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        for to in (port, beside_port):
            sock.sendto(HEADER.pack(i, time.monotonic_ns()) + padding, (address, to))


if sys.argv[1] == "receive":
    receive(*(int(a) for a in sys.argv[2:8]))
else:
    send(sys.argv[2], *(int(a) for a in sys.argv[3:8]))
