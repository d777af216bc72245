#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What happened to a stream after each event of a test.

stream_report.py call|game FILE EVENTS       FILE: of `udp_deadline.py dump`
stream_report.py bulk FILE EVENTS START_S    FILE: JSON of iperf3 -R
EVENTS: lines "name seconds", seconds of uptime. Ends with 1 when a limit is missed; the limits leave room for
a busy machine, the figures printed are what was measured.
"""
import json
import sys

# Longest time after the event in which packets are lost or late, and packets lost of 1000 in its window.
LIMITS = {"three": (0.7, 20), "half-lost": (0.7, 20), "brown-out": (2.0, 60), "outage": (0.7, 150),
          "one-way-loss": (2.5, 250)}
LATE_MS = 60  # above the stream's ordinary delay; the queues of the links hold 60 to 80 ms
WINDOW_S = 4.0
# Of what three paths alone carry, in the second half of a window. After the last three events TCP stalls for a
# time-out in some runs, and there are at most two good paths left.
BULK_SHARES = {"half-lost": 0.8, "brown-out": 0.25, "outage": 0, "one-way-loss": 0.25}


def read_events(path):
    with open(path) as f:
        return [(name, float(at)) for name, at in (line.split() for line in f)]


def windows(events):
    for (name, at), (_, following) in zip(events, events[1:]):
        yield name, at, min(at + WINDOW_S, following)


def stream(path, events):
    with open(path) as f:
        packets = {int(n): (int(sent) / 1e9, int(came) / 1e9) for n, sent, came in map(str.split, f)}
    if len(packets) < 100:
        sys.exit("only %d packets came" % len(packets))
    delays = sorted(came - sent for sent, came in packets.values())
    late = delays[len(delays) // 2] + LATE_MS / 1e3
    first, last = min(packets), max(packets)
    gap = (packets[last][0] - packets[first][0]) / (last - first)
    good = True
    for name, at, end in windows(events):
        # The send time of a lost packet follows from its number.
        sent_in = [n for n in range(first, last + 1)
                   if at <= packets[first][0] + (n - first) * gap < end]
        lost = [n for n in sent_in if n not in packets]
        bad = [n for n in sent_in if n not in packets or packets[n][1] - packets[n][0] > late]
        longest = (packets[first][0] + (bad[-1] - first) * gap - at) if bad else 0.0
        # Single packets lost on the new path are loss, not steering: the last of three bad ones in 300 ms.
        runs = [n for i, n in enumerate(bad) if i >= 2 and (n - bad[i - 2]) * gap < 0.3]
        steered = (packets[first][0] + (runs[-1] - first) * gap - at) if runs else 0.0
        limit_s, limit_lost = LIMITS[name]
        ok = steered <= limit_s and len(lost) * 1000 <= limit_lost * len(sent_in)
        good &= ok
        print("%s: %-5s %-13s lost %3d of %4d, lost or late for %.2f s (single ones until %.2f s)"
              % ("ok" if ok else "MISSED", sys.argv[1], name, len(lost), len(sent_in), steered, longest))
    return good


def bulk(path, events, start_s):
    with open(path) as f:
        parts = [(start_s + i["sum"]["start"], start_s + i["sum"]["end"], i["sum"]["bits_per_second"] / 1e6)
                 for i in json.load(f)["intervals"]]
    good = True
    three = None
    for name, at, end in windows(events):
        rates = [rate for begin, over, rate in parts if at <= begin and over <= end + 0.05]
        settled = rates[len(rates) // 2:]
        mean = sum(settled) / max(len(settled), 1)
        three = three or mean
        share = mean / three
        ok = share >= BULK_SHARES.get(name, 0)
        good &= ok
        print("%s: bulk  %-13s %.1f Mbit/s at the least, %.1f after %.0f s: %.2f of three paths"
              % ("ok" if ok else "MISSED", name, min(rates, default=0), mean, (end - at) / 2, share))
    return good


events = read_events(sys.argv[3])
if sys.argv[1] == "bulk":
    done = bulk(sys.argv[2], events, float(sys.argv[4]))
else:
    done = stream(sys.argv[2], events)
sys.exit(0 if done else 1)
