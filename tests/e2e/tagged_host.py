# SPDX-License-Identifier: BSD-3-Clause
"""A host on a VLAN, without a kernel that knows VLANs: finds its router by ARP, answers ARP, and pings.

usage: tagged_host.py INTERFACE VLAN OWN_IP ROUTER_IP TARGET_IP COUNT
Prints how many echo replies came back with the tag; exit code 0 if all did."""
import socket
import struct
import sys
import time

SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 263, 8, 0x10
OWN_MAC = bytes.fromhex("0200000000aa")
BROADCAST = b"\xff" * 6


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class TaggedHost:
    def __init__(self, interface, vlan, own, router):
        self.vlan, self.own, self.router = vlan, socket.inet_aton(own), socket.inet_aton(router)
        self.router_mac = None
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.sock.bind((interface, 0))

    def send(self, mac, ethertype, payload):
        self.sock.send(mac + OWN_MAC + struct.pack("!HHH", 0x8100, self.vlan, ethertype) + payload)

    def send_arp(self, op, mac, ip):
        target = b"\0" * 6 if mac == BROADCAST else mac
        self.send(mac, 0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, op) + OWN_MAC + self.own + target + ip)

    def send_ping(self, target, sequence):
        icmp = struct.pack("!BBHHH", 8, 0, 0, 0x5a5a, sequence) + b"tagged" * 8
        icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), sequence, 0, 64, 1, 0) + self.own + target
        self.send(self.router_mac, 0x0800, ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + icmp)

    def receive(self, seconds):
        """Next frame of our VLAN as (ethertype, payload), or None. The kernel takes the tag out of the frame."""
        self.sock.settimeout(seconds)
        try:
            frame, control, _, _ = self.sock.recvmsg(2048, 256)
        except TimeoutError:
            return None
        for level, kind, data in control:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci = struct.unpack("=IIIHHH", data[:18])
                if status & VLAN_VALID and tci & 0xfff == self.vlan and frame[:6] in (OWN_MAC, BROADCAST):
                    return struct.unpack("!H", frame[12:14])[0], frame[14:]
        return (0, b"")

    def step(self, seconds):
        """Handles one frame; True for an echo reply to us."""
        got = self.receive(seconds)
        if got is None:
            return False
        ethertype, payload = got
        if ethertype == 0x0806 and payload[24:28] == self.own:
            if payload[14:18] == self.router:
                self.router_mac = payload[8:14]
            if payload[6:8] == b"\0\1":
                self.send_arp(2, payload[8:14], payload[14:18])
        return ethertype == 0x0800 and payload[16:20] == self.own and payload[20:21] == b"\0"


def main():
    interface, vlan, own, router, target, count = sys.argv[1:7]
    host = TaggedHost(interface, int(vlan), own, router)
    deadline = time.monotonic() + 5
    while host.router_mac is None and time.monotonic() < deadline:
        host.send_arp(1, BROADCAST, host.router)
        until = time.monotonic() + 0.3
        while host.router_mac is None and time.monotonic() < until:
            host.step(0.1)
    if host.router_mac is None:
        print("the router does not answer ARP")
        return 1
    replies = 0
    for sequence in range(int(count)):
        host.send_ping(socket.inet_aton(target), sequence)
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            replies += host.step(0.05)
    print(f"{replies} of {count} replies")
    return 0 if replies == int(count) else 1


sys.exit(main())
