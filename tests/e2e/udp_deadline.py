#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""UDP packets with their send time, and how many came within a deadline. Both ends share the machine's clock.

udp_deadline.py receive PORT SECONDS DEADLINE_MS    prints "received N within N p50_us N p99_us N"
udp_deadline.py dump PORT SECONDS FILE              writes "number sent_ns received_ns" of each
udp_deadline.py send ADDRESS PORT PPS BYTES SECONDS  prints the number of packets sent
"""
import socket
import struct
import sys
import time

HEADER = struct.Struct("!QQ")  # number, send time in ns


def receive(port, seconds, deadline_ms):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("", port))
    sock.settimeout(0.2)
    end, late_ns = time.monotonic() + seconds, deadline_ms * 1e6
    delays = {}
    while time.monotonic() < end:
        try:
            data = sock.recv(2048)
        except socket.timeout:
            continue
        number, sent_ns = HEADER.unpack_from(data)
        delays.setdefault(number, time.monotonic_ns() - sent_ns)
    order = sorted(delays.values())
    within = sum(d <= late_ns for d in order)
    p50, p99 = (order[int(len(order) * q)] // 1000 if order else 0 for q in (0.5, 0.99))
    print("received", len(order), "within", within, "p50_us", p50, "p99_us", p99)


def dump(port, seconds, path):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("", port))
    sock.settimeout(0.2)
    end = time.monotonic() + seconds
    with open(path, "w", buffering=1) as f:
        while time.monotonic() < end:
            try:
                number, sent_ns = HEADER.unpack_from(sock.recv(2048))
            except socket.timeout:
                continue
            print(number, sent_ns, time.monotonic_ns(), file=f)


def send(address, port, pps, size, seconds):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    padding = bytes(size - HEADER.size)
    start, n = time.monotonic(), int(pps * seconds)
    for i in range(n):
        wait = start + i / pps - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        sock.sendto(HEADER.pack(i, time.monotonic_ns()) + padding, (address, port))
    print(n)


if sys.argv[1] == "receive":
    receive(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
elif sys.argv[1] == "dump":
    dump(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
else:
    send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
