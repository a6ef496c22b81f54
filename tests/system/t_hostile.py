#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""tests/system/t_hostile.py: hostile senders: floods of SYNs, and messages that never end.

Promise: other senders go on meanwhile, and none of them gets 452 because of it.
"""
import os
import sys
import time

import harness
from lab import CLIENT, DOMAINS, RELAY, wait_until

CONNECTIONS = 64
SEGMENTS = 4
SEGMENT_BYTES = 1 << 20
PATIENCE = 15                  # transaction_timeout, seconds
SOON = 10                      # seconds: an unanswered SYN-ACK is given up after half a minute

REPLACE = ((r"connections = 4096", f"connections = {CONNECTIONS}"),
           (r"connections_per_client = \d+", f"connections_per_client = {CONNECTIONS}"),
           (r"(?m)^(\s+)segment = \"[^\"]*\"", r'\1segment = "1MiB"'),
           (r'message = "100MiB"', 'message = "1MiB"'),
           (r"segments_max = \d+", f"segments_max = {SEGMENTS}"),
           (r"transaction_timeout = \"[^\"]*\"", f'transaction_timeout = "{PATIENCE}s"'))


def slow_start(lab, name, size):
    process = lab.start(name, "outside", sys.executable, os.path.join(harness.HERE, "slow.py"),
                        f"{RELAY}:25", f"{name}@{DOMAINS[0]}", str(size))
    process.wait_for(lambda: "drips" in process.output(), "begun its message", 20)
    return process


def sent(lab, check, name, count, *options):
    done = lab.send(name, "--count", str(count), "--many", "0", *options)
    return check(done["accepted"] == count, f"{name}: {count} of {count} answered 250", str(done))


def flood(lab, check):
    """More half-open connections than there may be connections at all."""
    for rule in ("add table inet flood",
                 "add chain inet flood out { type filter hook output priority 0 ; }",
                 "add rule inet flood out tcp flags & rst == rst drop"):
        lab.command("outside", "nft", rule)
    lab.command("outside", sys.executable, os.path.join(harness.HERE, "flood.py"), CLIENT, RELAY,
                "1000")
    # Their SYN-ACKs are retransmitted for a while: they are there, half-open.
    check(wait_until(lambda: lab.cli_json("status")["counters"]["connections_now"] > CONNECTIONS,
                     10), f"more than {CONNECTIONS} connections are half-open",
          str(lab.cli_json("status")["counters"]["connections_now"]))
    begin = time.monotonic()
    sent(lab, check, "beside-a-flood", 20)
    check(time.monotonic() - begin < SOON, f"within {SOON} s: nobody waited for them to time out",
          f"{time.monotonic() - begin:.0f} s")
    lab.command("outside", "nft", "delete table inet flood")


def never_ends(lab, check):
    """A message that comes at two bytes a second is cut off, as the configuration says."""
    begin = time.monotonic()
    slow = slow_start(lab, "slow", 1000)
    sent(lab, check, "beside-a-slow-one", 5)
    slow.popen.wait(PATIENCE + 30)
    took = time.monotonic() - begin
    check("421" in slow.output() and PATIENCE <= took < PATIENCE + 10,
          f"answered 421 after its {PATIENCE} s", slow.output())


def segments_pinned(lab, check):
    """One such message in each segment: the oldest must be given up, or nobody could send."""
    slow = []
    for number in range(SEGMENTS):
        slow.append(slow_start(lab, f"pin{number}", 100_000))
        sent(lab, check, f"fill{number}", 12, "--size-min", "80000", "--size-max", "80000")
    check(any("421" in process.output() for process in slow),
          "the spool took a segment back from a message without an end",
          "; ".join(process.output() for process in slow))
    for process in slow:
        process.kill()


def test(lab, check):
    lab.sinks_start()
    lab.bounce_sinks_start()
    lab.daemons_start()
    flood(lab, check)
    never_ends(lab, check)
    segments_pinned(lab, check)
    check(harness.settle(lab), "nothing waits", str(lab.totals()))
    harness.account_check(lab, check)


if __name__ == "__main__":
    harness.main("hostile", test, replace=REPLACE)
